/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/stage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/node/stream.h"
#include "fs/view/msgfile.h"

#define BUCKETS 1024

static struct {
    pthread_mutex_t lock;
    struct jf_stage *list, *last;      /* named ones and receipts, by id */
    struct jf_stage *oldest, *newest;  /* receipts, by age */
    struct jf_stage *buckets[BUCKETS]; /* by name */
    uint64_t last_id;
    unsigned receipts;
    atomic_ullong bytes;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool jf_stage_is_temporary(const char *name) {
    static const char *const ends[] = {"~", ".tmp", ".part", ".swp"};
    size_t len = strlen(name);

    if (name[0] == '.')
        return true;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        size_t n = strlen(ends[i]);
        if (len > n && strcmp(name + len - n, ends[i]) == 0)
            return true;
    }
    return false;
}

static js_time_t now(void) {
    const struct js_clock *clock = js_env_default()->clock;
    return clock->monotonic(clock->ctx);
}

/* With the table's lock. */
static void drop_ref(struct jf_stage *s) {
    if (--s->refs)
        return;
    atomic_fetch_sub(&table.bytes, s->cap);
    pthread_mutex_destroy(&s->lock);
    free(s->data);
    free(s->hdr);
    free(s->xattr_subject);
    free(s->dir);
    free(s->name);
    free(s);
}

static struct jf_stage **bucket_of(const char *name) {
    uint32_t h = 2166136261u;

    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 16777619u;
    return &table.buckets[(h ^ h >> 16) % BUCKETS];
}

static void into_bucket(struct jf_stage *s) {
    struct jf_stage **bucket = bucket_of(s->name);

    s->chain = *bucket;
    *bucket = s;
}

static void out_of_bucket(const struct jf_stage *s) {
    struct jf_stage **p = bucket_of(s->name);

    while (*p != s)
        p = &(*p)->chain;
    *p = s->chain;
}

static void out_of_receipts(struct jf_stage *s) {
    *(s->older ? &s->older->newer : &table.oldest) = s->newer;
    *(s->newer ? &s->newer->older : &table.newest) = s->older;
    s->older = s->newer = NULL;
    s->receipt_until = 0;
    table.receipts--;
}

/* Those that have a name are in the table. */
static void take_out(struct jf_stage *s) {
    if (!s->name)
        return;
    out_of_bucket(s);
    *(s->prev ? &s->prev->next : &table.list) = s->next;
    *(s->next ? &s->next->prev : &table.last) = s->prev;
    if (s->receipt_until)
        out_of_receipts(s);
    free(s->name);
    s->name = NULL;
    drop_ref(s);
}

/* The oldest receipts go first. */
static void expire(void) {
    js_time_t t = now();

    while (table.oldest && (table.oldest->receipt_until <= t || table.receipts > JF_MAX_RECEIPTS))
        take_out(table.oldest);
}

static struct jf_stage *find(struct jf_stream *stream, const char *dir, const char *name) {
    struct jf_stage *s = *bucket_of(name);

    while (s && !(s->stream == stream && strcmp(s->dir, dir) == 0 && strcmp(s->name, name) == 0))
        s = s->chain;
    return s;
}

struct jf_stage *jf_stage_find(struct jf_stream *stream, const char *dir, const char *name) {
    pthread_mutex_lock(&table.lock);
    expire();
    struct jf_stage *s = find(stream, dir, name);
    if (s)
        s->refs++;
    pthread_mutex_unlock(&table.lock);
    return s;
}

/* With the table's lock: makes room for a name. */
static int clear_name(struct jf_stream *stream, const char *dir, const char *name) {
    struct jf_stage *old = find(stream, dir, name);

    if (!old)
        return 0;
    if (!old->receipt_until)
        return -EEXIST;
    take_out(old);
    return 0;
}

int jf_stage_new(struct jf_stream *stream, const char *dir, const char *name, pid_t opener,
                 struct jf_stage **ret_stage) {
    const struct js_clock *clock = js_env_default()->clock;
    struct jf_stage *s = calloc(1, sizeof(*s));

    if (!s)
        return JS_ERR_NOMEM;
    s->dir = strdup(dir);
    s->name = strdup(name);
    s->stream = stream;
    s->opener = opener;
    s->mtime = clock->now(clock->ctx);
    s->refs = 2; /* the table's and the caller's */
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_lock(&table.lock);
    int r = s->dir && s->name ? clear_name(stream, dir, name) : JS_ERR_NOMEM;
    if (r == 0) {
        s->id = ++table.last_id;
        s->prev = table.last;
        *(s->prev ? &s->prev->next : &table.list) = s;
        table.last = s;
        into_bucket(s);
        *ret_stage = s;
    } else {
        s->refs = 1;
        drop_ref(s);
    }
    pthread_mutex_unlock(&table.lock);
    return r;
}

struct jf_stage *jf_stage_ref(struct jf_stage *s) {
    pthread_mutex_lock(&table.lock);
    s->refs++;
    pthread_mutex_unlock(&table.lock);
    return s;
}

void jf_stage_unref(struct jf_stage *s) {
    pthread_mutex_lock(&table.lock);
    drop_ref(s);
    pthread_mutex_unlock(&table.lock);
}

void jf_stage_unlink(struct jf_stage *s) {
    pthread_mutex_lock(&s->lock);
    s->discarded = true;
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_lock(&table.lock);
    take_out(s);
    pthread_mutex_unlock(&table.lock);
}

int jf_stage_rename(struct jf_stage *s, const char *dir, const char *name) {
    char *d = strdup(dir), *n = strdup(name);
    int r = d && n ? 0 : JS_ERR_NOMEM;

    pthread_mutex_lock(&table.lock);
    if (r == 0)
        r = clear_name(s->stream, dir, name);
    if (r == 0 && !s->name)
        r = -ENOENT;
    if (r == 0) {
        char *old_dir = s->dir, *old_name = s->name;
        out_of_bucket(s);
        s->dir = d;
        s->name = n;
        into_bucket(s);
        d = old_dir;
        n = old_name;
    }
    pthread_mutex_unlock(&table.lock);
    free(d);
    free(n);
    return r;
}

struct jf_stage *jf_stage_next(struct jf_stream *stream, const char *dir, uint64_t after,
                               char **ret_name) {
    pthread_mutex_lock(&table.lock);
    expire();
    struct jf_stage *s = table.list;
    while (s && !(s->id > after && s->stream == stream && strcmp(s->dir, dir) == 0))
        s = s->next;
    if (s) {
        *ret_name = strdup(s->name);
        if (*ret_name)
            s->refs++;
        else
            s = NULL;
    }
    pthread_mutex_unlock(&table.lock);
    return s;
}

void jf_stage_shutdown(struct jf_fs *fs) {
    pthread_mutex_lock(&table.lock);
    while (table.list) {
        struct jf_stage *s = table.list;
        if (!s->receipt_until)
            jf_log_add(fs->log, "spool/%s/%s: not finished when the mount ended: dropped", s->dir,
                       s->name);
        take_out(s);
    }
    pthread_mutex_unlock(&table.lock);
}

int jf_stage_resize(struct jf_stage *s, uint64_t len, uint64_t max) {
    if (len > max)
        return -EFBIG;
    if (len > s->cap) {
        size_t cap = s->cap ? s->cap : 4096;
        while (cap < len)
            cap *= 2;
        if (atomic_fetch_add(&table.bytes, cap - s->cap) + (cap - s->cap) > JF_MAX_STAGED) {
            atomic_fetch_sub(&table.bytes, cap - s->cap);
            return -ENOSPC;
        }
        uint8_t *p = realloc(s->data, cap);
        if (!p) {
            atomic_fetch_sub(&table.bytes, cap - s->cap);
            return JS_ERR_NOMEM;
        }
        s->data = p;
        s->cap = cap;
    }
    if (len > s->len)
        memset(s->data + s->len, 0, len - s->len);
    s->len = len;
    return 0;
}

static bool ends_with_msg(const char *name) {
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".msg") == 0;
}

bool jf_stage_is_duplicate(const struct jf_stream *stream, js_seq_t seq) {
    bool found = false;

    pthread_mutex_lock(&table.lock);
    for (struct jf_stage *s = table.list; s && !found; s = s->next)
        found = s->duplicate_of == seq && s->stream == stream && s->receipt_until > now();
    pthread_mutex_unlock(&table.lock);
    return found;
}

/* From now on the name is a receipt. */
static void become_receipt(struct jf_stage *s, bool duplicate) {
    pthread_mutex_lock(&table.lock);
    s->duplicate_of = duplicate ? s->seq : 0;
    if (s->name && !s->receipt_until) {
        s->receipt_until = now() + JF_RECEIPT_S * INT64_C(1000000000);
        s->older = table.newest;
        *(s->older ? &s->older->newer : &table.oldest) = s;
        table.newest = s;
        table.receipts++;
    }
    pthread_mutex_unlock(&table.lock);
}

/* What the file means as a message. m->hdr is given when *ret_free. */
static int parse(struct jf_stage *s, const char *dir, bool headers, struct js_new_msg *m,
                 struct jf_msgfile *file) {
    bool any = strcmp(dir, "any.d") == 0;

    *m = (struct js_new_msg){.subject = dir,
                             .subject_len = strlen(dir),
                             .data = s->data,
                             .data_len = s->len,
                             .hdr = s->hdr,
                             .hdr_len = s->hdr_len};
    if (any) {
        m->subject = s->xattr_subject;
        m->subject_len = s->xattr_subject ? strlen(s->xattr_subject) : 0;
    }
    if (headers) {
        int r = jf_msgfile_parse(s->data ? (const void *)s->data : "", s->len, file);
        if (r < 0)
            return r;
        m->hdr = file->hdr;
        m->hdr_len = file->hdr_len;
        m->data = file->data;
        m->data_len = file->data_len;
        if (any && file->subject) {
            m->subject = file->subject;
            m->subject_len = file->subject_len;
        }
    }
    if (!m->subject || !js_subject_valid(m->subject, m->subject_len))
        return -EINVAL;
    return 0;
}

int jf_stage_commit(struct jf_stage *s) {
    struct jf_msgfile file = {0};
    struct js_new_msg m;
    int err = 0;

    s->dirty = false;
    pthread_mutex_lock(&table.lock);
    char *dir = strdup(s->dir);
    bool headers = (s->name && ends_with_msg(s->name)) || strcmp(s->dir, "any.d") == 0;
    pthread_mutex_unlock(&table.lock);
    if (!dir)
        return JS_ERR_NOMEM;
    int r = parse(s, dir, headers, &m, &file);
    if (r == 0 && js_stream_store_msgs(s->stream->stream, &m, 1, &err) != 1)
        r = err < 0 ? err : JS_ERR_IO;
    jf_msgfile_done(&file);
    free(dir);
    if (r < 0)
        return r;
    s->seq = m.ret_seq;
    s->committed = true;
    become_receipt(s, m.ret_duplicate);
    return 0;
}
