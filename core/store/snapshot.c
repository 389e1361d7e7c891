/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backup in the servers' own form, version 1: a tar in S2 framing with meta.inf, meta.sum, every block
 * decrypted and decompressed, index.db for exactly that, and the consumers.
 *
 * What is backed up is the stream as it was when the backup began: the index is made then, of the newest
 * block no more is taken than it held, and until the end no block file is unlinked or rewritten by the
 * periodic pass. Only truncating and erasing replace files at once; a backup that meets such a file ends
 * with STALE.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/bytes.h"
#include "core/block/scan.h"
#include "core/consumer/consumer.h"
#include "core/consumer/load.h"
#include "core/store/pack.h"
#include "core/store/store.h"
#include "core/stream/writer.h"

struct member {
    uint32_t number, version;
    uint64_t length; /* decoded */
    uint64_t file_length; /* of the newest block, if it was not read yet; 0 = any */
};

struct backup {
    struct js_stream *s;
    struct js_pack *tar;
    struct member *blocks;
    size_t num_blocks;
    struct js_buf index;
    struct js_buf meta;
    js_time_t now;
};

/* ---- tar ------------------------------------------------------------------------------------- */

static void tar_header(struct backup *b, const char *path, uint64_t size, char type) {
    uint8_t h[512] = {0};
    unsigned sum = 0;

    snprintf((char *)h, 100, "%s", path);
    memcpy(h + 100, "0000600", 8);
    memcpy(h + 108, "0000000", 8);
    memcpy(h + 116, "0000000", 8);
    snprintf((char *)h + 124, 12, "%011llo", (unsigned long long)size);
    snprintf((char *)h + 136, 12, "%011llo", (unsigned long long)(b->now / 1000000000));
    memset(h + 148, ' ', 8);
    h[156] = (uint8_t)type;
    memcpy(h + 257, "ustar\00000", 8);
    memcpy(h + 265, "nats", 4);
    memcpy(h + 297, "nats", 4);
    for (size_t i = 0; i < sizeof h; i++)
        sum += h[i];
    snprintf((char *)h + 148, 8, "%06o", sum);
    h[155] = ' ';
    js_pack_put(b->tar, h, sizeof h);
}

static void tar_pad(struct backup *b, uint64_t size) {
    static const uint8_t zeros[512];
    size_t rest = (size_t)(size % 512);

    if (rest)
        js_pack_put(b->tar, zeros, 512 - rest);
}

static int tar_file(struct backup *b, const char *path, const void *data, uint64_t size) {
    if (strlen(path) >= 100) {
        /* "<length of the line> path=<path>\n", the length counting itself. */
        char line[700];
        size_t n = strlen(path) + 7, digits = n + 2 < 100 ? 2 : 3;
        int len = snprintf(line, sizeof line, "%zu path=%s\n", n + digits, path);
        if (len < 0 || (size_t)len >= sizeof line)
            return JS_ERR_INVAL;
        tar_header(b, "PaxHeaders/path", (uint64_t)len, 'x');
        js_pack_put(b->tar, line, (size_t)len);
        tar_pad(b, (uint64_t)len);
    }
    tar_header(b, path, size, '0');
    js_pack_put(b->tar, data, size);
    tar_pad(b, size);
    return js_pack_put(b->tar, "", 0); /* any error of those above */
}

int js_store_config_for_servers(const char *text, struct js_buf *ret) {
    json_t *root = json_loads(text, 0, NULL);
    const char *kind = json_string_value(json_object_get(root, "compression"));
    char *other = NULL;
    int r = 0;

    if (kind && strcmp(kind, "lz4") == 0) {
        r = json_object_set_new(root, "compression", json_string("none"));
        other = r == 0 ? json_dumps(root, JSON_COMPACT) : NULL;
        r = other ? 0 : JS_ERR_NOMEM;
    }
    if (r == 0)
        js_buf_append(ret, other ? other : text, strlen(other ? other : text));
    free(other);
    json_decref(root);
    return r == 0 && ret->failed ? JS_ERR_NOMEM : r;
}

/* ---- what is backed up ------------------------------------------------------------------------- */

static int take_view(struct backup *b) {
    struct js_stream *s = b->s;
    int r = 0;

    if (s->backing_up)
        return JS_ERR_SNAPSHOT_IN_PROGRESS;
    if (s->health == JS_HEALTH_NO_KEY || s->health == JS_HEALTH_WRONG_KEY)
        return s->health == JS_HEALTH_NO_KEY ? JS_ERR_NO_KEY : JS_ERR_WRONG_KEY;
    if (s->writer)
        r = js_writer_flush(s, s->writer);
    if (r == 0)
        r = js_stream_encode_index(s, &b->index);
    if (r == 0 && s->config_text)
        r = js_store_config_for_servers(s->config_text->s, &b->meta);
    if (r == 0 && b->meta.len == 0)
        r = JS_ERR_CORRUPT;
    b->blocks = js_calloc(s->env, s->num_blocks + 1, sizeof *b->blocks);
    if (r == 0 && (!b->blocks || b->meta.failed))
        r = JS_ERR_NOMEM;
    for (size_t i = 0; i < s->num_blocks && r == 0; i++) {
        const struct js_block *blk = s->blocks[i];
        if (blk->unreadable) {
            r = blk->missing ? 0 : JS_ERR_BAD_MSG;
            continue;
        }
        bool known = !(blk->cold && blk->cold->unread);
        bool newest = i + 1 == s->num_blocks;
        b->blocks[b->num_blocks++] =
            (struct member){.number = blk->number,
                            .version = blk->version,
                            .length = known ? blk->good_size : UINT64_MAX,
                            .file_length = !known && newest ? blk->file_size : 0};
    }
    s->backing_up = r == 0;
    return r;
}

static bool is_current(struct js_stream *s, const struct member *m) {
    bool same = true;

    pthread_rwlock_rdlock(&s->lock);
    for (size_t i = 0; i < s->num_blocks; i++)
        if (s->blocks[i]->number == m->number)
            same = s->blocks[i]->version == m->version;
    pthread_rwlock_unlock(&s->lock);
    return same;
}

static int put_block(struct backup *b, const struct member *m, bool check, struct js_scan *scan) {
    struct js_block_key *key = NULL;
    char path[40];

    int r = js_stream_scan_block(b->s, m->number, &key, scan);
    js_vault_put(b->s->vault, key);
    if (r < 0)
        return r;
    if (!is_current(b->s, m) || (scan->verdict == JS_SCAN_MISSING))
        return JS_ERR_STALE;
    if (scan->verdict != JS_SCAN_OK)
        return JS_ERR_BAD_MSG;
    if (check && scan->num_damages)
        return JS_ERR_BAD_MSG;
    uint64_t len = m->length < scan->data.len ? m->length : scan->data.len;
    if (m->file_length && m->file_length < len && !scan->compressed)
        len = m->file_length;
    snprintf(path, sizeof path, "msgs/%u.blk", m->number);
    return tar_file(b, path, scan->data.data, len);
}

static int put_consumer(void *ctx, const char *name) {
    struct backup *b = ctx;
    struct js_consumer_loaded c;
    struct js_buf state = {.env = b->s->env};
    char path[JS_CONSUMER_PATH], key[600], sum[17];
    int r = js_consumer_load(b->s, name, &c);

    if (r < 0)
        return r == JS_ERR_NO_CONSUMER ? 0 : r;
    /* That it cannot be read now does not mean that there is nothing. */
    r = c.config_error ? c.config_error : c.state_error;
    if (r == 0) {
        size_t len = strlen((const char *)c.config.data);
        snprintf(key, sizeof key, "%s/%s", b->s->name, name);
        js_meta_sum(key, c.config.data, len, sum);
        r = tar_file(b, js_consumer_path(path, name, "meta.inf"), c.config.data, len);
        if (r == 0)
            r = tar_file(b, js_consumer_path(path, name, "meta.sum"), sum, 16);
        if (r == 0 && c.info.has_state) {
            js_consumer_state_encode(&c.state, b->now, &state);
            r = state.failed ? JS_ERR_NOMEM
                             : tar_file(b, js_consumer_path(path, name, "o.dat"), state.data,
                                        state.len);
        }
    }
    js_buf_done(&state);
    js_consumer_loaded_done(&c);
    return r;
}

static int put_all(struct backup *b, unsigned flags) {
    static const uint8_t end[1024];
    struct js_scan scan;
    char sum[17];

    js_meta_sum(b->s->name, b->meta.data, b->meta.len, sum);
    int r = tar_file(b, "meta.inf", b->meta.data, b->meta.len);
    if (r == 0)
        r = tar_file(b, "meta.sum", sum, 16);
    js_scan_init(&scan, b->s->env);
    for (size_t i = 0; i < b->num_blocks && r == 0; i++)
        r = put_block(b, &b->blocks[i], flags & JS_BACKUP_CHECK, &scan);
    js_scan_done(&scan);
    if (r == 0 && b->index.len)
        r = tar_file(b, "msgs/index.db", b->index.data, b->index.len);
    if (r == 0 && (flags & JS_BACKUP_CONSUMERS)) {
        r = js_stream_sync_consumers(b->s);
        if (r == JS_ERR_READ_ONLY)
            r = 0;
        if (r == 0)
            r = js_stream_list_consumers(b->s, put_consumer, b);
    }
    if (r == 0) {
        js_pack_put(b->tar, end, sizeof end);
        r = js_pack_end(b->tar);
    }
    return r;
}

int js_stream_backup(struct js_stream *stream, unsigned flags, js_sink_fn sink, void *ctx) {
    const struct js_env *env = stream->env;
    struct backup b = {.s = stream, .now = env->clock->now(env->clock->ctx)};

    b.index.env = b.meta.env = env;
    int r = js_pack_new(env, stream->scan_threads, sink, ctx, &b.tar);
    if (r < 0)
        return r;
    pthread_rwlock_wrlock(&stream->lock);
    r = take_view(&b);
    pthread_rwlock_unlock(&stream->lock);
    if (r == 0) {
        r = put_all(&b, flags);
        pthread_rwlock_wrlock(&stream->lock);
        stream->backing_up = false;
        pthread_rwlock_unlock(&stream->lock);
    }
    js_free(env, b.blocks);
    js_pack_free(b.tar);
    js_buf_done(&b.index);
    js_buf_done(&b.meta);
    return r < 0 ? r : 0;
}
