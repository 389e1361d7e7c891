/* SPDX-License-Identifier: Apache-2.0 */
/* consumers/, a consumer's directory, and inflight/: what was delivered and not acknowledged. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/name.h"
#include "fs/node/dirbuf.h"
#include "fs/node/items.h"
#include "fs/node/names.h"
#include "fs/node/stream.h"

#define BATCH 128
#define SHIFT 2

static int stat_dir(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                    double *entry_timeout) {
    struct js_stream_state state;

    (void)attr_timeout;
    (void)entry_timeout;
    js_stream_get_state(ref->stream->stream, &state);
    jf_stat_time(ref->fs, st, state.last_time);
    return 0;
}

static int collect(const struct jf_ref *ref, js_name_fn fn, void *ctx) {
    return js_stream_list_consumers(ref->stream->stream, fn, ctx);
}

static int find_name(void *ctx, const char *name) {
    return strcmp(name, ctx) == 0 ? 1 : 0;
}

static int lookup_consumer(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    char consumer[JF_NAME_BUF];

    jf_stream_touch(dir->stream);
    int r = jf_names_resolve(dir, collect, name, consumer);
    if (r < 0)
        return r;
    r = collect(dir, find_name, consumer);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct jf_node_new init = {.class = &jf_class_consumer,
                               .stream = dir->stream,
                               .scope = dir->node->scope,
                               .text = consumer,
                               .key = consumer};
    return jf_entry_new(dir->fs, &init, ret_entry);
}

static int open_consumers(const struct jf_ref *ref, struct fuse_file_info *fi) {
    jf_stream_touch(ref->stream);
    return jf_names_open(ref, collect, fi);
}

static int list_consumers(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                          struct jf_dirbuf *buf) {
    if (jf_dirbuf_dots(buf, off))
        jf_names_list(fi, &jf_class_consumer, ref->stream, off, JF_COOKIE_FIRST, buf);
    return 0;
}

const struct jf_class jf_class_consumers = {
    .name = "consumers",
    .mode = S_IFDIR | 0755,
    .lookup = lookup_consumer,
    .stat = stat_dir,
    .opendir = open_consumers,
    .readdir = list_consumers,
    .releasedir = jf_names_release,
};

static int lookup(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    const char *consumer = dir->node->text;

    if (strcmp(name, "info.json") == 0)
        return jf_text_entry(dir, JF_TEXT_CONSUMER_INFO, NULL, consumer, ret_entry);
    if (strcmp(name, "config.json") == 0)
        return jf_text_entry(dir, JF_TEXT_CONSUMER_CONFIG, NULL, consumer, ret_entry);
    if (strcmp(name, "inflight") != 0)
        return -ENOENT;
    struct jf_node_new init = {
        .class = &jf_class_inflight, .stream = dir->stream, .text = consumer, .key = consumer};
    return jf_entry_new(dir->fs, &init, ret_entry);
}

static int list(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                struct jf_dirbuf *buf) {
    static const struct {
        const char *name;
        mode_t type;
    } names[] = {{"info.json", S_IFREG}, {"config.json", S_IFREG}, {"inflight", S_IFDIR}};

    (void)fi;
    if (!jf_dirbuf_dots(buf, off))
        return 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        off_t cookie = JF_COOKIE_FIRST + (off_t)i;
        if (off < cookie && !jf_dirbuf_add(buf, names[i].name,
                                           jf_intern_ino(ref->class, ref->stream, names[i].name),
                                           names[i].type, cookie))
            return 0;
    }
    return 0;
}

const struct jf_class jf_class_consumer = {
    .name = "consumer",
    .mode = S_IFDIR | 0755,
    .lookup = lookup,
    .stat = stat_dir,
    .readdir = list,
};

static int lookup_inflight(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    struct js_pending pending;
    js_seq_t seq;
    size_t n;

    if (!jf_name_parse_seq(name, &seq) || seq == 0)
        return -ENOENT;
    jf_stream_touch(dir->stream);
    int r = js_consumer_pending(dir->stream->stream, dir->node->text, seq, &pending, 1, &n);
    if (r < 0)
        return r;
    if (n == 0 || pending.stream_seq != seq)
        return -ENOENT;
    r = jf_entry_msg(dir->fs, dir->stream, seq, false, ret_entry);
    return r == -ESTALE ? -ENOENT : r;
}

/* Messages that were removed since their delivery have no name. */
static int list_inflight(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                         struct jf_dirbuf *buf) {
    struct js_pending pending[BATCH];
    struct js_msg_stat info;
    char name[JF_NAME_BUF];
    js_seq_t from = off > SHIFT ? (js_seq_t)off - SHIFT + 1 : 1;
    size_t n = BATCH;

    (void)fi;
    if (!jf_dirbuf_dots(buf, off))
        return 0;
    while (n == BATCH) {
        int r = js_consumer_pending(ref->stream->stream, ref->node->text, from, pending, BATCH, &n);
        if (r < 0)
            return buf->len ? 0 : r;
        for (size_t i = 0; i < n; i++) {
            js_seq_t seq = pending[i].stream_seq;
            from = seq + 1;
            if (js_stream_stat_msg(ref->stream->stream, seq, &info) < 0)
                continue;
            jf_name_of_seq(seq, "", name);
            if (!jf_dirbuf_add_msg(buf, name, seq, false, (off_t)seq + SHIFT))
                return 0;
        }
    }
    return 0;
}

const struct jf_class jf_class_inflight = {
    .name = "inflight",
    .mode = S_IFDIR | 0755,
    .lookup = lookup_inflight,
    .stat = stat_dir,
    .readdir = list_inflight,
};
