/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers of all classes share: entries, attributes, replies with texts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/node/class.h"
#include "fs/node/stream.h"
#include "fs/session/notify.h"

#define NS_PER_S 1000000000LL

void jf_stat_time(struct jf_fs *fs, struct stat *st, js_time_t time) {
    js_time_t t = time ? time : fs->mounted;
    js_time_t ns = t % NS_PER_S;
    js_time_t s = t / NS_PER_S;

    /* Times before 1970 keep a nanosecond part between 0 and 1 s. */
    if (ns < 0) {
        ns += NS_PER_S;
        s--;
    }
    st->st_mtim.tv_sec = s;
    st->st_mtim.tv_nsec = ns;
    st->st_ctim = st->st_atim = st->st_mtim;
}

int jf_stat(const struct jf_ref *ref, struct stat *ret_st, double *ret_attr_timeout,
            double *ret_entry_timeout) {
    const struct jf_options *o = &ref->fs->options;
    mode_t mode = ref->class->mode;
    struct stat st;
    double attr = 1;
    double entry = 1;

    memset(&st, 0, sizeof(st));
    st.st_ino = ref->ino;
    st.st_mode = S_ISLNK(mode) ? mode : mode & ~o->umask;
    st.st_uid = o->uid;
    st.st_gid = o->gid;
    st.st_nlink = 1;
    st.st_blksize = 131072;
    if (S_ISDIR(mode))
        st.st_size = 4096;
    jf_stat_time(ref->fs, &st, 0);
    int r = ref->class->stat(ref, &st, &attr, &entry);
    if (r < 0)
        return r;
    if (st.st_blocks == 0)
        st.st_blocks = (st.st_size + 511) / 512;
    *ret_st = st;
    if (ret_attr_timeout)
        *ret_attr_timeout = attr;
    if (ret_entry_timeout)
        *ret_entry_timeout = entry;
    return 0;
}

static int fill_entry(const struct jf_ref *ref, struct jf_entry *ret_entry) {
    struct fuse_entry_param *e = &ret_entry->e;

    memset(e, 0, sizeof(*e));
    e->ino = ref->ino;
    e->generation = 1;
    return jf_stat(ref, &e->attr, &e->attr_timeout, &e->entry_timeout);
}

int jf_entry_node(struct jf_fs *fs, struct jf_node *node, struct jf_entry *ret_entry) {
    struct jf_ref ref = jf_ref_of(fs, node);
    struct jf_entry entry = {.node = node};
    int r = fill_entry(&ref, &entry);

    if (r < 0) {
        jf_node_drop(fs, node, 1);
        return r;
    }
    *ret_entry = entry;
    return 0;
}

int jf_entry_new(struct jf_fs *fs, const struct jf_node_new *init, struct jf_entry *ret_entry) {
    struct jf_node *node;
    int r = jf_intern_get(fs, init, &node);

    return r < 0 ? r : jf_entry_node(fs, node, ret_entry);
}

int jf_entry_msg(struct jf_fs *fs, struct jf_stream *stream, js_seq_t seq, bool full,
                 struct jf_entry *ret_entry) {
    const struct jf_class *class = full ? &jf_class_full : &jf_class_msg;

    if (stream->slot > JF_MAX_SLOT || seq > JF_MAX_SEQ) {
        char key[32];
        snprintf(key, sizeof(key), "%llu", (unsigned long long)seq);
        struct jf_node_new init = {.class = class, .stream = stream, .num = seq, .key = key};
        return jf_entry_new(fs, &init, ret_entry);
    }
    struct jf_ref ref = {.fs = fs,
                         .ino = jf_node_pack(full ? JF_KIND_FULL : JF_KIND_MSG, stream->slot, seq),
                         .class = class,
                         .stream = stream,
                         .seq = seq};
    struct jf_entry entry = {.node = NULL};
    int r = fill_entry(&ref, &entry);
    if (r < 0)
        return r;
    jf_notify_seen(fs, ref.ino);
    *ret_entry = entry;
    return 0;
}

int jf_reply_text(fuse_req_t req, const char *text, size_t len, size_t size, off_t off) {
    size_t begin = off < 0 || (uint64_t)off > len ? len : (size_t)off;

    if (size > len - begin)
        size = len - begin;
    fuse_reply_buf(req, text + begin, size);
    return JF_REPLIED;
}
