/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/backup.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "core/base/bytes.h"
#include "core/base/file.h"
#include "core/base/limits.h"
#include "core/format/archive.h"
#include "core/format/record.h"
#include "core/format/s2.h"
#include "core/store/store.h"

#define MAX_UNPACKED (1ull << 42)      /* the scratch file's disk is the real limit */
#define V2_BLOCK (8u << 20)            /* size of the blocks made from a V2 archive */

struct member {
    char *path;
    uint64_t off, size;
    char *text; /* made by us instead of read from the scratch file */
};

struct js_backup {
    const struct js_env *env;
    atomic_int refs;
    int fd; /* scratch */
    uint64_t size;
    struct member *members;
    size_t count, cap;
    char *stream;
    /* while unpacking */
    uint64_t in_off;
    int in_fd;
};

struct js_backup *js_backup_ref(struct js_backup *b) {
    /* Relaxed: whoever takes a reference already holds one. */
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void js_backup_unref(struct js_backup *b) {
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < b->count; i++) {
        js_free(b->env, b->members[i].path);
        js_free(b->env, b->members[i].text);
    }
    js_free(b->env, b->members);
    js_free(b->env, b->stream);
    if (b->fd >= 0)
        b->env->io->close(b->env->io->ctx, b->fd);
    js_free(b->env, b);
}

const struct js_env *js_backup_env(struct js_backup *b) {
    return b->env;
}

const char *js_backup_stream_name(struct js_backup *b) {
    return b->stream;
}

/* ---- unpacking ----------------------------------------------------------------------------- */

static ssize_t read_input(void *ctx, void *buf, size_t len) {
    struct js_backup *b = ctx;
    ssize_t n = js_file_read(b->env, b->in_fd, buf, len, b->in_off);
    if (n > 0)
        b->in_off += (uint64_t)n;
    return n;
}

static int write_scratch(void *ctx, const uint8_t *data, size_t len) {
    struct js_backup *b = ctx;
    int r = js_file_write(b->env, b->fd, data, len, b->size, NULL);
    if (r == 0)
        b->size += len;
    return r;
}

static ssize_t read_scratch(void *ctx, void *buf, size_t len, uint64_t off) {
    struct js_backup *b = ctx;
    return js_file_read(b->env, b->fd, buf, len, off);
}

static struct member *add_member(struct js_backup *b, const char *path, uint64_t off,
                                 uint64_t size) {
    if (b->count == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 32;
        struct member *p = js_realloc_array(b->env, b->members, cap, sizeof *p);
        if (!p)
            return NULL;
        b->members = p;
        b->cap = cap;
    }
    struct member *m = &b->members[b->count];
    *m = (struct member){.path = js_strdup(b->env, path), .off = off, .size = size};
    if (!m->path)
        return NULL;
    b->count++;
    return m;
}

/* Names are only compared, never made into paths on disk; strange ones are passed over. */
static bool known_name(const char *name) {
    if (strcmp(name, "meta.inf") == 0 || strcmp(name, "meta.sum") == 0 ||
        strcmp(name, "sources.db") == 0 || strcmp(name, "errors.txt") == 0)
        return true;
    if (strncmp(name, "msgs/", 5) == 0)
        return strchr(name + 5, '/') == NULL && name[5] != 0;
    if (strncmp(name, "obs/", 4) != 0)
        return false;
    const char *slash = strchr(name + 4, '/');
    return slash && slash > name + 4 && strchr(slash + 1, '/') == NULL && slash[1] != 0;
}

static int take_tar(void *ctx, const char *name, uint64_t off, uint64_t size) {
    struct js_backup *b = ctx;

    if (!known_name(name))
        return 0;
    return add_member(b, name, off, size) ? 0 : JS_ERR_NOMEM;
}

static struct member *find_member(struct js_backup *b, const char *path) {
    for (size_t i = 0; i < b->count; i++)
        if (strcmp(b->members[i].path, path) == 0)
            return &b->members[i];
    return NULL;
}

/* ---- V2: messages become blocks --------------------------------------------------------------- */

struct v2 {
    struct js_backup *b;
    struct js_buf block;
    uint32_t number;
    uint64_t out_base; /* where blocks go: behind the archive in the scratch file */
    struct js_hash_key key;
    js_seq_t first_seq, last_seq, prev;
    js_time_t last_time;
    struct js_buf scratch;
};

static int flush_block(struct v2 *v) {
    struct js_backup *b = v->b;
    char path[32];

    if (v->block.len == 0)
        return 0;
    snprintf(path, sizeof path, "msgs/%u.blk", v->number);
    if (!add_member(b, path, v->out_base, v->block.len))
        return JS_ERR_NOMEM;
    int r = js_file_write(b->env, b->fd, v->block.data, v->block.len, v->out_base, NULL);
    v->out_base += v->block.len;
    v->block.len = 0;
    v->number++;
    js_hash_key_of_block(&v->key, b->stream, v->number);
    return r;
}

static int put_record(struct v2 *v, uint64_t seq, js_time_t time, const char *subject, size_t slen,
                      const uint8_t *hdr, size_t hlen, const uint8_t *data, size_t dlen) {
    uint32_t len = js_record_size(slen, hlen, dlen);
    int r = 0;

    if (!len)
        return JS_ERR_CORRUPT;
    if (v->block.len && v->block.len + len > V2_BLOCK)
        r = flush_block(v);
    if (r == 0)
        r = js_buf_reserve(&v->block, len);
    if (r < 0)
        return r;
    js_record_encode(v->block.data + v->block.len, seq, time, subject, slen, hdr, hlen, data, dlen,
                     &v->key);
    v->block.len += len;
    return 0;
}

static int read_part(struct v2 *v, uint64_t off, uint64_t size, const uint8_t **ret) {
    struct js_buf *s = &v->scratch;

    if (size > JS_MAX_RECORD)
        return JS_ERR_CORRUPT;
    int r = js_buf_reserve(s, size ? size : 1);
    if (r < 0)
        return r;
    ssize_t n = js_file_read(v->b->env, v->b->fd, s->data + s->len, size, off);
    if (n < 0)
        return (int)n;
    if ((uint64_t)n < size)
        return JS_ERR_TORN;
    *ret = s->data + s->len;
    s->len += size;
    return 0;
}

/* Keeps a JSON text of the archive as a member of its own. */
static int add_text(struct js_backup *b, const char *path, char *text) {
    struct member *m = add_member(b, path, 0, strlen(text));
    char *copy = m ? js_strdup(b->env, text) : NULL;

    if (!copy)
        return JS_ERR_NOMEM;
    m->text = copy;
    return 0;
}

static int take_state(struct v2 *v, const uint8_t *p, size_t len) {
    json_t *j = json_loadb((const char *)p, len, 0, NULL);

    if (!j)
        return JS_ERR_CORRUPT;
    v->first_seq = (js_seq_t)json_integer_value(json_object_get(j, "first_seq"));
    v->last_seq = (js_seq_t)json_integer_value(json_object_get(j, "last_seq"));
    const char *ts = json_string_value(json_object_get(j, "last_ts"));
    if (!ts || js_time_parse(ts, 0, &v->last_time) < 0)
        v->last_time = 0;
    json_decref(j);
    return 0;
}

static uint64_t int_of(const json_t *j, const char *group, const char *field) {
    const json_t *o = group ? json_object_get(j, group) : j;
    return (uint64_t)json_integer_value(json_object_get(o, field));
}

/* A consumer's state as o.dat would hold it. */
static int add_consumer_state(struct js_backup *b, const char *name, const json_t *state) {
    struct js_buf out = {.env = b->env};
    char path[600];
    uint64_t floor_c = int_of(state, "ack_floor", "consumer_seq");
    uint64_t floor_s = int_of(state, "ack_floor", "stream_seq");
    json_t *pending = json_object_get(state, "pending"), *re = json_object_get(state, "redelivered");
    const char *key;
    json_t *value;

    js_buf_append_u8(&out, 22);
    js_buf_append_u8(&out, 2);
    js_buf_append_uv(&out, floor_c);
    js_buf_append_uv(&out, floor_s);
    js_buf_append_uv(&out, int_of(state, "delivered", "consumer_seq"));
    js_buf_append_uv(&out, int_of(state, "delivered", "stream_seq"));
    js_buf_append_uv(&out, json_object_size(pending));
    if (json_object_size(pending))
        js_buf_append_sv(&out, 0);
    json_object_foreach(pending, key, value) {
        js_buf_append_uv(&out, strtoull(key, NULL, 10) - floor_s);
        js_buf_append_uv(&out, int_of(value, NULL, "Sequence") - floor_c);
        js_buf_append_sv(&out, -(int64_t)(int_of(value, NULL, "Timestamp") / 1000000000));
    }
    js_buf_append_uv(&out, json_object_size(re));
    json_object_foreach(re, key, value) {
        js_buf_append_uv(&out, strtoull(key, NULL, 10) - floor_s);
        js_buf_append_uv(&out, (uint64_t)json_integer_value(value));
    }
    snprintf(path, sizeof path, "obs/%s/o.dat", name);
    struct member *m = out.failed ? NULL : add_member(b, path, 0, out.len);
    if (!m) {
        js_buf_done(&out);
        return JS_ERR_NOMEM;
    }
    m->text = (char *)out.data; /* owned by the member now */
    return 0;
}

static int take_consumer(struct js_backup *b, const char *name, const uint8_t *p, size_t len) {
    char path[600];
    json_t *j = json_loadb((const char *)p, len, 0, NULL);
    json_t *config = json_object_get(j, "config");
    int r = JS_ERR_CORRUPT;

    if (js_name_valid(name) && json_is_object(config)) {
        char *text = json_dumps(config, JSON_COMPACT);
        snprintf(path, sizeof path, "obs/%s/meta.inf", name);
        r = text ? add_text(b, path, text) : JS_ERR_NOMEM;
        if (r == 0) {
            char key_name[600], sum[17];
            snprintf(key_name, sizeof key_name, "%s/%s", b->stream, name);
            js_meta_sum(key_name, (const uint8_t *)text, strlen(text), sum);
            snprintf(path, sizeof path, "obs/%s/meta.sum", name);
            r = add_text(b, path, sum);
        }
        free(text);
        if (r == 0)
            r = add_consumer_state(b, name, json_object_get(j, "state"));
    }
    json_decref(j);
    return r;
}

static int take_arc(void *ctx, const struct js_arc_entry *e) {
    struct v2 *v = ctx;
    const uint8_t *hdr = NULL, *data = NULL;

    v->scratch.len = 0;
    /* Both parts in one buffer: room for both first, so that the first does not move. */
    if (e->hdr_size > JS_MAX_RECORD || e->data_size > JS_MAX_RECORD)
        return JS_ERR_CORRUPT;
    int r = js_buf_reserve(&v->scratch, e->hdr_size + e->data_size + 2);
    if (r == 0)
        r = read_part(v, e->hdr_off, e->hdr_size, &hdr);
    if (r == 0)
        r = read_part(v, e->data_off, e->data_size, &data);
    if (r < 0)
        return r;
    if (e->seq == 0 && strcmp(e->name, "state.json") == 0)
        return take_state(v, data, e->data_size);
    if (e->seq == 0 && strncmp(e->name, "consumers/", 10) == 0)
        return take_consumer(v->b, e->name + 10, data, e->data_size);
    if (e->seq <= v->prev)
        return JS_ERR_CORRUPT;
    /* The stream begins at first_seq even when that message is gone. */
    if (v->prev == 0 && v->first_seq > 1 && e->seq > v->first_seq) {
        r = put_record(v, (v->first_seq) | JS_SEQ_ERASED, 0, NULL, 0, NULL, 0, NULL, 0);
        if (r < 0)
            return r;
    }
    v->prev = e->seq;
    return put_record(v, e->seq, e->time, e->name, e->name_len, hdr, e->hdr_size, data,
                      e->data_size);
}

static int unpack_v2(struct js_backup *b, const struct js_pread *src) {
    struct v2 v = {.b = b, .block.env = b->env, .scratch.env = b->env, .number = 1};

    v.out_base = b->size;
    js_hash_key_of_block(&v.key, b->stream, 1);
    int r = js_arc_walk(b->env, src, take_arc, &v);
    if (r == 0 && v.last_seq > v.prev)
        r = put_record(&v, v.last_seq | JS_SEQ_ERASED, v.last_time, NULL, 0, NULL, 0, NULL, 0);
    if (r == 0)
        r = flush_block(&v);
    js_buf_done(&v.block);
    js_buf_done(&v.scratch);
    return r;
}

/* ---- opening ------------------------------------------------------------------------------- */

/* meta.inf made from backup.json's "config" (V2, or a damaged V1). */
static int config_from_json(struct js_backup *b, const char *text) {
    json_t *j = json_loads(text, 0, NULL);
    json_t *config = json_object_get(j, "config");
    int r = JS_ERR_CORRUPT;

    if (json_is_object(config)) {
        char *meta = json_dumps(config, JSON_COMPACT);
        r = meta ? add_text(b, "meta.inf", meta) : JS_ERR_NOMEM;
        free(meta);
    }
    json_decref(j);
    return r;
}

static int learn_name(struct js_backup *b) {
    struct js_buf meta = {.env = b->env};
    int r = js_backup_slurp(b, "meta.inf", JS_MAX_META_FILE, &meta);

    if (r == 0) {
        json_t *j = json_loadb((const char *)meta.data, meta.len, 0, NULL);
        const char *name = json_string_value(json_object_get(j, "name"));
        r = name && js_name_valid(name) ? 0 : JS_ERR_CORRUPT;
        if (r == 0 && !(b->stream = js_strdup(b->env, name)))
            r = JS_ERR_NOMEM;
        json_decref(j);
    }
    js_buf_done(&meta);
    return r;
}

static int unpack(struct js_backup *b, const char *config_json, char *ret_why, size_t why_size) {
    uint8_t magic[8] = {0};
    int r = js_s2_decode_stream(b->env, read_input, b, write_scratch, b, MAX_UNPACKED);

    if (r < 0) {
        js_why(ret_why, why_size, "the archive cannot be decompressed: %s", js_err_text(r));
        return r;
    }
    struct js_pread src = {.fn = read_scratch, .ctx = b, .size = b->size};
    ssize_t n = read_scratch(b, magic, 8, 0);
    if (n == 8 && memcmp(magic, "NATSARC1", 8) == 0) {
        if (!config_json) {
            js_why(ret_why, why_size,
                   "a backup of the new form needs backup.json beside it (give the directory)");
            return JS_ERR_NOT_A_STORE;
        }
        r = config_from_json(b, config_json);
        if (r == 0)
            r = learn_name(b);
        if (r == 0)
            r = unpack_v2(b, &src);
    } else {
        r = js_tar_walk(b->env, &src, take_tar, b);
        if (r == 0 && !find_member(b, "meta.inf") && config_json)
            r = config_from_json(b, config_json);
        if (r == 0)
            r = learn_name(b);
    }
    if (r == 0 && find_member(b, "errors.txt")) {
        js_why(ret_why, why_size, "the server wrote errors.txt into it: the snapshot had failed");
        return JS_ERR_CORRUPT;
    }
    if (r < 0)
        js_why(ret_why, why_size, "the archive is no backup of a stream: %s", js_err_text(r));
    return r;
}

bool js_backup_detect(const struct js_env *env, int fd) {
    uint8_t head[10];
    static const uint8_t s2[] = {0xff, 6, 0, 0, 'S', '2', 's', 'T', 'w', 'O'};
    static const uint8_t snappy[] = {0xff, 6, 0, 0, 's', 'N', 'a', 'P', 'p', 'Y'};

    if (js_file_read(env, fd, head, sizeof head, 0) != (ssize_t)sizeof head)
        return false;
    return memcmp(head, s2, sizeof s2) == 0 || memcmp(head, snappy, sizeof snappy) == 0;
}

int js_backup_open(const struct js_env *env, int fd, const char *config_json,
                   struct js_backup **ret_backup, char *ret_why, size_t why_size) {
    if (!js_backup_detect(env, fd)) {
        js_why(ret_why, why_size, "not a backup (no S2 stream at its beginning)");
        return JS_ERR_NOT_A_STORE;
    }
    struct js_backup *b = js_calloc(env, 1, sizeof *b);
    if (!b)
        return JS_ERR_NOMEM;
    b->env = env;
    b->in_fd = fd;
    atomic_init(&b->refs, 1);
    b->fd = env->io->open_temp(env->io->ctx);
    int r = b->fd < 0 ? js_err_from_errno(-b->fd) : unpack(b, config_json, ret_why, why_size);
    if (r < 0) {
        js_backup_unref(b);
        return r;
    }
    *ret_backup = b;
    return 0;
}

/* ---- reading members ------------------------------------------------------------------------- */

int js_backup_slurp(struct js_backup *b, const char *path, uint64_t max, struct js_buf *out) {
    struct member *m = find_member(b, path);

    if (!m)
        return JS_ERR_NO_ENTRY;
    if (m->size > max)
        return JS_ERR_TOO_BIG;
    if (m->text) {
        js_buf_append(out, m->text, m->size);
        return out->failed ? JS_ERR_NOMEM : 0;
    }
    int r = js_buf_reserve(out, m->size ? m->size : 1);
    if (r < 0)
        return r;
    ssize_t n = js_file_read(b->env, b->fd, out->data + out->len, m->size, m->off);
    if (n < 0)
        return (int)n;
    out->len += (size_t)n;
    return 0;
}

int js_backup_stat(struct js_backup *b, const char *path, struct stat *ret_st) {
    struct member *m = find_member(b, path);
    size_t len = strlen(path);

    if (m) {
        *ret_st = (struct stat){.st_mode = S_IFREG | 0400, .st_size = (off_t)m->size};
        return 0;
    }
    for (size_t i = 0; i < b->count; i++) {
        if (strncmp(b->members[i].path, path, len) == 0 && b->members[i].path[len] == '/') {
            *ret_st = (struct stat){.st_mode = S_IFDIR | 0500};
            return 0;
        }
    }
    return JS_ERR_NO_ENTRY;
}

int js_backup_open_block(struct js_backup *b, uint32_t number, struct js_extent *ret_extent) {
    char path[32];

    snprintf(path, sizeof path, "msgs/%u.blk", number);
    struct member *m = find_member(b, path);
    if (!m)
        return JS_ERR_NO_ENTRY;
    *ret_extent = (struct js_extent){.fd = b->fd, .off = m->off, .len = m->size};
    return 0;
}

int js_backup_list(struct js_backup *b, const char *prefix,
                   int (*fn)(void *ctx, const char *name), void *ctx) {
    size_t len = strlen(prefix);
    char last[300] = "";

    for (size_t i = 0; i < b->count; i++) {
        const char *name = b->members[i].path + len;
        char child[300];
        if (strncmp(b->members[i].path, prefix, len) != 0)
            continue;
        size_t n = strcspn(name, "/");
        if (n == 0 || n >= sizeof child)
            continue;
        memcpy(child, name, n);
        child[n] = 0;
        /* A consumer's files stand together in the archive. */
        if (strcmp(child, last) == 0)
            continue;
        memcpy(last, child, n + 1);
        int r = fn(ctx, child);
        if (r != 0)
            return r;
    }
    return 0;
}
