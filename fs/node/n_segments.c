/* SPDX-License-Identifier: Apache-2.0 */
/* segments/: three rendered files and the raw one for each message block. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/name.h"
#include "fs/node/dirbuf.h"
#include "fs/node/items.h"
#include "fs/node/stream.h"

static const struct {
    const char *suffix;
    enum jf_format format;
} kinds[] = {{".jsonl", JF_JSONL}, {".log", JF_LOG}, {".raw", JF_RAW}, {".tsv", JF_TSV}};

#define NKINDS 4

static int stat_dir(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                    double *entry_timeout) {
    struct js_stream_state state;

    (void)attr_timeout;
    (void)entry_timeout;
    jf_stream_touch(ref->stream);
    js_stream_get_state(ref->stream->stream, &state);
    jf_stat_time(ref->fs, st, state.last_time);
    return 0;
}

static int raw_entry(const struct jf_ref *dir, uint32_t number, struct jf_entry *ret_entry) {
    char key[16];

    snprintf(key, sizeof(key), "%" PRIu32, number);
    struct jf_node_new init = {
        .class = &jf_class_raw, .stream = dir->stream, .num = number, .key = key};
    return jf_entry_new(dir->fs, &init, ret_entry);
}

static int lookup(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    struct js_block_info block;
    struct jf_scope *scope;
    uint64_t number;

    jf_stream_touch(dir->stream);
    for (size_t i = 0; i < NKINDS; i++) {
        if (!jf_name_parse_seq_suffix(name, kinds[i].suffix, &number) || number > UINT32_MAX)
            continue;
        if (js_stream_block_by_number(dir->stream->stream, (uint32_t)number, &block) < 0)
            return -ENOENT;
        if (kinds[i].format == JF_RAW)
            return raw_entry(dir, (uint32_t)number, ret_entry);
        int r = jf_scope_block(dir->node->scope, (uint32_t)number, &scope);
        if (r < 0)
            return r;
        r = jf_view_entry(dir, scope, kinds[i].format, ret_entry);
        jf_scope_unref(scope);
        return r;
    }
    return -ENOENT;
}

static bool slow(const struct jf_ref *ref, enum jf_op op, const char *name) {
    (void)ref;
    return op == JF_OP_LOOKUP && jf_items_slow(name);
}

/* The place of the first block with this number or a greater one. */
static size_t place_of(struct js_stream *stream, uint64_t number) {
    struct js_stream_state state;
    struct js_block_info block;

    js_stream_get_state(stream, &state);
    size_t lo = 0;
    size_t hi = (size_t)state.num_blocks;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (js_stream_block(stream, mid, &block) == 0 && block.number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Cookie: block number and kind, above "..". */
static int list(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                struct jf_dirbuf *buf) {
    struct js_stream *stream = ref->stream->stream;
    struct js_block_info block;
    char name[64];

    (void)fi;
    if (!jf_dirbuf_dots(buf, off))
        return 0;
    uint64_t next = off < JF_COOKIE_FIRST ? 0 : (uint64_t)off - JF_COOKIE_FIRST + 1;
    for (size_t i = place_of(stream, next / NKINDS); js_stream_block(stream, i, &block) == 0; i++) {
        for (size_t k = 0; k < NKINDS; k++) {
            uint64_t cookie = (uint64_t)block.number * NKINDS + k;
            if (cookie < next)
                continue;
            snprintf(name, sizeof(name), "%06" PRIu32 "%s", block.number, kinds[k].suffix);
            const struct jf_class *class =
                kinds[k].format == JF_RAW ? &jf_class_raw : &jf_class_view;
            if (!jf_dirbuf_add(buf, name, jf_intern_ino(class, ref->stream, name), S_IFREG,
                               (off_t)cookie + JF_COOKIE_FIRST))
                return 0;
        }
    }
    return 0;
}

const struct jf_class jf_class_segments = {
    .name = "segments",
    .mode = S_IFDIR | 0755,
    .slow = slow,
    .lookup = lookup,
    .stat = stat_dir,
    .readdir = list,
};

static int stat_raw(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                    double *entry_timeout) {
    struct js_block_info block;

    (void)attr_timeout;
    (void)entry_timeout;
    if (js_stream_block_by_number(ref->stream->stream, (uint32_t)ref->node->num, &block) < 0)
        return -ESTALE;
    st->st_size = (off_t)block.file_bytes;
    jf_stat_time(ref->fs, st, block.last_time);
    return 0;
}

static int open_raw(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    (void)req;
    (void)ref;
    if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC))
        return -EACCES;
    /* The last block grows, and a server may rewrite any: nothing is kept. */
    fi->direct_io = 1;
    fi->noflush = 1;
    return 0;
}

static int read_raw(fuse_req_t req, const struct jf_ref *ref, size_t size, off_t off,
                    struct fuse_file_info *fi) {
    char *buf = malloc(size ? size : 1);

    (void)fi;
    if (!buf)
        return JS_ERR_NOMEM;
    ssize_t n = js_stream_read_block_file(ref->stream->stream, (uint32_t)ref->node->num, buf, size,
                                          (uint64_t)off);
    if (n >= 0)
        fuse_reply_buf(req, buf, (size_t)n);
    free(buf);
    return n < 0 ? (int)n : JF_REPLIED;
}

const struct jf_class jf_class_raw = {
    .name = "raw",
    .mode = S_IFREG | 0444,
    .stat = stat_raw,
    .open = open_raw,
    .read = read_raw,
};
