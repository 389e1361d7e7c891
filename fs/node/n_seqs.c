/* SPDX-License-Identifier: Apache-2.0 */
/* seq/, full/ and msgs.d/: a name for each message of a scope. */
#include <errno.h>
#include <string.h>

#include "fs/base/name.h"
#include "fs/node/admin.h"
#include "fs/node/dirbuf.h"
#include "fs/node/items.h"
#include "fs/node/stream.h"
#include "fs/session/notify.h"

#define BATCH 256
/* Cookie of sequence n is n + SHIFT: "." and ".." come before. */
#define SHIFT 2

static bool is_full(const struct jf_ref *ref) {
    return ref->node->num == 1;
}

static const char *suffix(const struct jf_ref *ref) {
    return is_full(ref) ? ".msg" : "";
}

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

/* The sequence behind a name if it belongs to this directory. */
static int find(const struct jf_ref *dir, const char *name, js_seq_t *ret_seq) {
    const struct jf_scope *scope = dir->node->scope;
    js_seq_t last = jf_scope_last(scope);
    js_seq_t seq;
    js_seq_t next;
    size_t n;

    if (!jf_name_parse_seq_suffix(name, suffix(dir), &seq) || seq == 0)
        return -ENOENT;
    if (jf_scope_is_void(scope) || seq < jf_scope_first(scope) || (last && seq > last))
        return -ENOENT;
    if (jf_scope_filter(scope)) {
        int r = js_stream_list_seqs(dir->stream->stream, jf_scope_filter(scope), seq, true, &next,
                                    1, &n);
        if (r < 0)
            return r;
        if (n == 0 || next != seq)
            return -ENOENT;
    }
    *ret_seq = seq;
    return 0;
}

static int lookup(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    js_seq_t seq;

    if (strlen(name) > JF_NAME_MAX)
        return -ENAMETOOLONG;
    jf_stream_touch(dir->stream);
    int r = find(dir, name, &seq);
    if (r == 0)
        r = jf_entry_msg(dir->fs, dir->stream, seq, is_full(dir), ret_entry);
    return r == -ESTALE ? -ENOENT : r;
}

static bool slow(const struct jf_ref *ref, enum jf_op op, const char *name) {
    (void)ref;
    (void)name;
    return op == JF_OP_UNLINK || op == JF_OP_RENAME;
}

static int remove_msg(const struct jf_ref *dir, const char *name) {
    js_seq_t seq;

    if (!dir->fs->options.allow_delete)
        return -EPERM;
    int r = find(dir, name, &seq);
    if (r < 0)
        return r;
    r = dir->fs->options.erase ? js_stream_erase_msg(dir->stream->stream, seq)
                               : js_stream_remove_msg(dir->stream->stream, seq);
    if (r > 0)
        jf_notify_msg(dir->stream, seq);
    return r == 0 ? -ENOENT : r < 0 ? r : 0;
}

static int move_msg(const struct jf_ref *from, const char *name, const struct jf_ref *to,
                    const char *new_name, unsigned flags) {
    js_seq_t seq;
    int r = find(from, name, &seq);

    (void)new_name;
    if (flags & ~1u)
        return -EINVAL;
    return r < 0 ? r : jf_move_msg(from, seq, to);
}

static int list(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                struct jf_dirbuf *buf) {
    const struct jf_scope *scope = ref->node->scope;
    js_seq_t from = off > SHIFT ? (js_seq_t)off - SHIFT + 1 : 1;
    js_seq_t last = jf_scope_last(scope);
    char name[JF_NAME_BUF];
    js_seq_t seqs[BATCH];
    size_t n = BATCH;

    (void)fi;
    if (off == 0)
        jf_stream_touch(ref->stream);
    if (!jf_dirbuf_dots(buf, off) || jf_scope_is_void(scope))
        return 0;
    /* seq=hidden: what names a range is listed still. */
    if (ref->fs->options.seq_hidden &&
        !strcmp(jf_scope_key(scope), jf_scope_key(ref->stream->scope)))
        return 0;
    if (from < jf_scope_first(scope))
        from = jf_scope_first(scope);
    while (n == BATCH) {
        int r = js_stream_list_seqs(ref->stream->stream, jf_scope_filter(scope), from, true, seqs,
                                    BATCH, &n);
        if (r < 0)
            return buf->len ? 0 : r;
        for (size_t i = 0; i < n; i++) {
            if (last && seqs[i] > last)
                return 0;
            jf_name_of_seq(seqs[i], suffix(ref), name);
            if (!jf_dirbuf_add_msg(buf, name, seqs[i], is_full(ref), (off_t)seqs[i] + SHIFT))
                return 0;
        }
        from = n ? seqs[n - 1] + 1 : from;
    }
    return 0;
}

const struct jf_class jf_class_seqs = {
    .name = "seqs",
    .mode = S_IFDIR | 0755,
    .slow = slow,
    .lookup = lookup,
    .stat = stat_dir,
    .readdir = list,
    .unlink = remove_msg,
    .rename = move_msg,
};
