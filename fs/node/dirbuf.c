/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/dirbuf.h"

#include <string.h>

#include "fs/node/stream.h"

static bool put(struct jf_dirbuf *buf, const char *name, const struct fuse_entry_param *e,
                off_t cookie) {
    size_t left = buf->cap - buf->len;
    size_t n =
        buf->plus ? fuse_add_direntry_plus(buf->req, buf->data + buf->len, left, name, e, cookie)
                  : fuse_add_direntry(buf->req, buf->data + buf->len, left, name, &e->attr, cookie);

    if (n > left) {
        buf->full = true;
        return false;
    }
    buf->len += n;
    return true;
}

bool jf_dirbuf_add(struct jf_dirbuf *buf, const char *name, fuse_ino_t ino, mode_t type,
                   off_t cookie) {
    struct fuse_entry_param e;

    memset(&e, 0, sizeof(e));
    /* e.ino 0: no attributes, no lookup counted. */
    e.attr.st_ino = ino;
    e.attr.st_mode = type & S_IFMT;
    return put(buf, name, &e, cookie);
}

bool jf_dirbuf_dots(struct jf_dirbuf *buf, off_t off) {
    if (off < 1 && !jf_dirbuf_add(buf, ".", buf->dir->ino, S_IFDIR, 1))
        return false;
    return off >= 2 || jf_dirbuf_add(buf, "..", buf->dir->ino, S_IFDIR, 2);
}

bool jf_dirbuf_add_msg(struct jf_dirbuf *buf, const char *name, js_seq_t seq, bool full_msg,
                       off_t cookie) {
    struct jf_stream *stream = buf->dir->stream;
    enum jf_kind kind = full_msg ? JF_KIND_FULL : JF_KIND_MSG;
    bool packs = stream->slot <= JF_MAX_SLOT && seq <= JF_MAX_SEQ;
    struct jf_entry entry;

    /* Messages with an address have no lookup count, so an entry that does not fit costs nothing.
     * One that vanished meanwhile keeps its name, as it does without attributes. */
    if (buf->plus && packs && jf_entry_msg(buf->dir->fs, stream, seq, full_msg, &entry) == 0)
        return put(buf, name, &entry.e, cookie);
    return jf_dirbuf_add(buf, name, packs ? jf_node_pack(kind, stream->slot, seq) : seq, S_IFREG,
                         cookie);
}
