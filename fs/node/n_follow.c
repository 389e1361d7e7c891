/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow.log and follow.jsonl: files without an end. A read that finds nothing is parked until the
 * stream changes; no thread waits with it. They begin now, or where the directory begins
 * (since/, from/, tail/).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "fs/node/publish.h"
#include "fs/node/stream.h"
#include "fs/session/park.h"
#include "fs/view/view.h"

/* One read is at most this long, so that a parked one holds little. */
#define MAX_READ 131072

struct handle {
    atomic_uint refs; /* the open file's, and one for each parked read */
    struct jf_stream *stream;
    struct jf_view *view;
    pthread_mutex_t lock; /* the reader */
    struct jf_reader *reader;
    char *buf;
};

struct waiting {
    struct handle *h;
    size_t size;
};

static int stat_follow(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                       double *entry_timeout) {
    (void)ref;
    (void)st;
    (void)entry_timeout;
    *attr_timeout = 0;
    return 0;
}

static void drop_handle(struct handle *h) {
    if (atomic_fetch_sub(&h->refs, 1) != 1)
        return;
    jf_reader_close(h->reader);
    jf_view_unref(h->view);
    pthread_mutex_destroy(&h->lock);
    free(h->buf);
    free(h);
}

static int open_follow(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct jf_view_options options = {.render = {.format = (enum jf_format)ref->node->num}};
    struct js_stream_state state;
    struct handle *h;
    int r = JS_ERR_NOMEM;

    (void)req;
    if ((fi->flags & O_ACCMODE) != O_RDONLY)
        return -EACCES;
    h = calloc(1, sizeof(*h));
    if (!h)
        return r;
    atomic_init(&h->refs, 1);
    h->stream = ref->stream;
    pthread_mutex_init(&h->lock, NULL);
    h->buf = malloc(MAX_READ);
    if (h->buf)
        r = jf_view_open(ref->node->scope, &options, &h->view);
    if (r == 0)
        r = jf_reader_open(h->view, &h->reader);
    if (r < 0) {
        drop_handle(h);
        return r;
    }
    jf_stream_touch(ref->stream);
    js_stream_get_state(ref->stream->stream, &state);
    if (jf_scope_first(ref->node->scope) <= 1)
        jf_reader_skip_to(h->reader, state.last_seq + 1);
    jf_stream_watch(ref->stream);
    fi->fh = (uint64_t)(uintptr_t)h;
    fi->direct_io = 1;
    fi->nonseekable = 1;
    return 0;
}

static struct handle *handle_of(const struct fuse_file_info *fi) {
    return (struct handle *)(uintptr_t)fi->fh;
}

/* Answers if there is something. */
static bool answer(void *arg, fuse_req_t req) {
    struct waiting *w = arg;
    struct handle *h = w->h;

    pthread_mutex_lock(&h->lock);
    ssize_t n = jf_reader_next(h->reader, h->buf, w->size < MAX_READ ? w->size : MAX_READ);
    if (n > 0)
        fuse_reply_buf(req, h->buf, (size_t)n);
    else if (n < 0)
        fuse_reply_err(req, jf_errno((int)n));
    pthread_mutex_unlock(&h->lock);
    return n != 0;
}

static void end_waiting(void *arg) {
    struct waiting *w = arg;

    drop_handle(w->h);
    free(w);
}

static int read_follow(fuse_req_t req, const struct jf_ref *ref, size_t size, off_t off,
                       struct fuse_file_info *fi) {
    struct handle *h = handle_of(fi);
    struct waiting *w;

    (void)off;
    jf_stream_touch(ref->stream);
    if (fi->flags & O_NONBLOCK) {
        struct waiting now = {.h = h, .size = size};
        return answer(&now, req) ? JF_REPLIED : -EAGAIN;
    }
    w = malloc(sizeof(*w));
    if (!w)
        return JS_ERR_NOMEM;
    atomic_fetch_add(&h->refs, 1);
    *w = (struct waiting){.h = h, .size = size};
    jf_park(ref->stream->waitq, h, req, answer, w, end_waiting);
    return JF_REPLIED;
}

static int poll_follow(const struct jf_ref *ref, struct fuse_file_info *fi,
                       struct fuse_pollhandle *ph, unsigned *ret_revents) {
    struct handle *h = handle_of(fi);

    if (ph)
        jf_waitq_poll(ref->stream->waitq, h, ph);
    pthread_mutex_lock(&h->lock);
    bool more = jf_reader_pending(h->reader);
    pthread_mutex_unlock(&h->lock);
    *ret_revents = more ? POLLIN | POLLRDNORM : 0;
    return 0;
}

static void release_follow(const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct handle *h = handle_of(fi);

    jf_waitq_cancel(ref->stream->waitq, h, EBADF);
    jf_stream_unwatch(ref->stream);
    drop_handle(h);
}

const struct jf_class jf_class_follow = {
    .name = "follow",
    .mode = S_IFREG | 0444,
    .stat = stat_follow,
    .open = open_follow,
    .read = read_follow,
    .poll = poll_follow,
    .release = release_follow,
};
