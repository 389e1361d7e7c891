/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as files: the payload (seq/N), or headers and payload (full/N.msg). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/node/class.h"
#include "fs/node/stream.h"
#include "fs/node/xattr.h"
#include "fs/view/render.h"

#define DAY    86400.0
#define PUSHED ((size_t)16 << 10) /* payloads up to this size */

/* An open message. It is read at open, so a removal meanwhile changes nothing for the reader. */
struct handle {
    struct js_msg msg;
    int err; /* why it cannot be read; the file opens, the read fails */
    /* The kernel may release the file while the thread that answered its last read is still on its
     * way back from that call. */
    atomic_uint users;
};

static bool is_gone(int r) {
    return r == JS_ERR_MSG_NOT_FOUND || r == JS_ERR_DELETED_MSG || r == JS_ERR_EOF;
}

static struct jf_render render_of(const struct jf_ref *ref) {
    return (struct jf_render){.format = ref->class == &jf_class_full ? JF_FULL : JF_RAW};
}

static int stat_msg(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                    double *entry_timeout) {
    struct js_msg_stat info;
    struct js_msg msg;
    uint64_t size = 0;
    int r = js_stream_stat_msg(ref->stream->stream, ref->seq, &info);

    if (r < 0)
        return is_gone(r) ? -ESTALE : r;
    st->st_nlink = 2;
    *attr_timeout = info.damaged ? 1 : DAY;
    *entry_timeout = 60;
    if (info.damaged)
        return 0;
    struct jf_render render = render_of(ref);
    if (!jf_render_length_of_stat(&render, &info, &size)) {
        r = js_stream_load_msg(ref->stream->stream, ref->seq, &msg);
        if (r < 0 && is_gone(r))
            return -ESTALE;
        if (r == 0) {
            size = jf_render_length(&render, &msg);
            js_msg_release(&msg);
        }
    }
    jf_stat_time(ref->fs, st, info.time);
    st->st_size = (off_t)size;
    st->st_blocks = (info.record_len + 511) / 512;
    return 0;
}

static int stat_open_msg(const struct jf_ref *ref, const struct fuse_file_info *fi,
                         struct stat *st) {
    const struct handle *h = (const struct handle *)(uintptr_t)fi->fh;
    struct jf_render render = render_of(ref);

    if (h->err < 0)
        return -ESTALE;
    memset(st, 0, sizeof(*st));
    st->st_ino = ref->ino;
    st->st_mode = ref->class->mode & ~ref->fs->options.umask;
    st->st_uid = ref->fs->options.uid;
    st->st_gid = ref->fs->options.gid;
    st->st_size = (off_t)jf_render_length(&render, &h->msg);
    st->st_blocks = (st->st_size + 511) / 512;
    jf_stat_time(ref->fs, st, h->msg.time);
    return 0;
}

/* True the first time that it is asked for a number; by chance, and when many were asked for, it
 * forgets or takes one for another. */
static bool is_first_open(struct jf_fs *fs, fuse_ino_t ino) {
    uint64_t h = (uint64_t)ino * UINT64_C(0x9e3779b97f4a7c15) >> (64 - JF_PUSHED_BITS);
    uint64_t bit = UINT64_C(1) << (h & 63);
    atomic_ullong *word = &fs->pushed[h >> 6];

    if (atomic_load_explicit(word, memory_order_relaxed) & bit)
        return false;
    atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
    unsigned set = atomic_fetch_add_explicit(&fs->num_pushed, 1, memory_order_relaxed);
    if (set == 1u << (JF_PUSHED_BITS - 1)) {
        for (size_t i = 0; i < JF_PUSHED_WORDS; i++)
            atomic_store_explicit(&fs->pushed[i], 0, memory_order_relaxed);
        atomic_store_explicit(&fs->num_pushed, 0, memory_order_relaxed);
    }
    return true;
}

/*
 * Puts a small payload into the kernel's page cache before who opens the file reads it: that saves the
 * request for it, and with it much of what reading such a file costs. Once, because it stays there for
 * the next time. The kernel locks the page for this, and a request for the same page may hold it that
 * another thread here has to answer first: so only one thread at a time does it, and the others stay
 * free.
 */
static void push_payload(const struct jf_ref *ref, const struct js_msg *msg) {
    struct fuse_bufvec bytes = FUSE_BUFVEC_INIT(msg->data_len);
    struct jf_fs *fs = ref->fs;

    if (msg->data_len == 0 || msg->data_len > PUSHED || !fs->session ||
        !is_first_open(fs, ref->ino) || atomic_exchange(&fs->pushing, true))
        return;
    bytes.buf[0].mem = (void *)(uintptr_t)msg->data;
    /* If it fails, the read will be asked for. */
    (void)fuse_lowlevel_notify_store(fs->session, ref->ino, 0, &bytes, 0);
    atomic_store(&fs->pushing, false);
}

static int open_msg(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    (void)req;
    if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC))
        return -EPERM;
    struct handle *h = calloc(1, sizeof(*h));
    if (!h)
        return JS_ERR_NOMEM;
    atomic_init(&h->users, 1);
    h->err = js_stream_load_msg(ref->stream->stream, ref->seq, &h->msg);
    if (is_gone(h->err)) {
        free(h);
        return -ESTALE;
    }
    if (h->err < 0)
        jf_log_add(ref->fs->log, "%s: message %" PRIu64 ": %s", ref->stream->tag, ref->seq,
                   js_err_text(h->err));
    fi->fh = (uintptr_t)h;
    fi->noflush = 1;
    /* A damaged message has size 0, which the kernel would believe: its reads come here. */
    fi->keep_cache = h->err == 0;
    fi->direct_io = h->err < 0;
    if (h->err == 0 && ref->class != &jf_class_full)
        push_payload(ref, &h->msg);
    return 0;
}

static void unuse(struct handle *h) {
    if (atomic_fetch_sub(&h->users, 1) != 1)
        return;
    if (h->err == 0)
        js_msg_release(&h->msg);
    free(h);
}

static int read_msg(fuse_req_t req, const struct jf_ref *ref, size_t size, off_t off,
                    struct fuse_file_info *fi) {
    struct handle *h = (struct handle *)(uintptr_t)fi->fh;
    struct jf_render render = render_of(ref);

    if (h->err < 0)
        return h->err;
    if (render.format == JF_RAW) {
        atomic_fetch_add(&h->users, 1);
        jf_reply_text(req, (const char *)h->msg.data, h->msg.data_len, size, off);
        unuse(h);
        return JF_REPLIED;
    }
    char *buf = malloc(size ? size : 1);
    if (!buf)
        return JS_ERR_NOMEM;
    size_t n = jf_render_emit(&render, &h->msg, (uint64_t)off, buf, size);
    fuse_reply_buf(req, buf, n);
    free(buf);
    return JF_REPLIED;
}

static void release_msg(const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct handle *h = (struct handle *)(uintptr_t)fi->fh;

    (void)ref;
    unuse(h);
}

#define MSG_CLASS(class_name)                                                                      \
    {                                                                                              \
        .name = class_name, .mode = S_IFREG | 0444, .stat = stat_msg, .stat_open = stat_open_msg,  \
        .open = open_msg, .read = read_msg, .release = release_msg, .getxattr = jf_msg_getxattr,   \
        .listxattr = jf_msg_listxattr,                                                             \
    }

const struct jf_class jf_class_msg = MSG_CLASS("msg");
const struct jf_class jf_class_full = MSG_CLASS("full");
