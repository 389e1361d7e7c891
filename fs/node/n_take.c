/* SPDX-License-Identifier: Apache-2.0 */
/*
 * take and next: one message per open. The first read claims it; until there is one, the read is
 * parked and no thread waits. take gives its sequence, and the message is in flight until it is
 * acknowledged. next gives the payload, and is acknowledged when it was read to its end and closed
 * by who opened it; otherwise it comes again at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/node/consumer.h"
#include "fs/node/opener.h"
#include "fs/node/stream.h"
#include "fs/session/park.h"

struct handle {
    atomic_uint refs; /* the open file's, and one for each read */
    struct jf_stream *stream;
    struct jf_consumer *consumer;
    bool payload;
    pid_t opener;
    pthread_mutex_t lock;
    /* guarded by lock: */
    js_seq_t seq;      /* claimed; 0 = not yet */
    bool settled;      /* acknowledged, or left to its ack wait */
    bool at_end;       /* a read told so */
    char line[32];     /* take */
    struct js_msg msg; /* next */
    const char *data;
    size_t len, pos;
};

struct reading {
    struct handle *h;
    size_t size;
    bool first; /* the try in the handler itself, not one after a wake */
};

static int stat_take(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                     double *entry_timeout) {
    (void)ref;
    st->st_size = 0;
    *attr_timeout = 0;
    *entry_timeout = 0;
    return 0;
}

static void drop_handle(struct handle *h) {
    if (atomic_fetch_sub(&h->refs, 1) != 1)
        return;
    if (h->payload && h->data)
        js_msg_release(&h->msg);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static int open_take(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct jf_consumer *consumer;

    if ((fi->flags & O_ACCMODE) != O_RDONLY)
        return -EACCES;
    int r = jf_consumer_of(ref, &consumer);
    if (r < 0)
        return r;
    struct handle *h = calloc(1, sizeof(*h));
    if (!h)
        return JS_ERR_NOMEM;
    atomic_init(&h->refs, 1);
    pthread_mutex_init(&h->lock, NULL);
    h->stream = ref->stream;
    h->consumer = consumer;
    h->payload = ref->class == &jf_class_next;
    h->opener = fuse_req_ctx(req)->pid;
    fi->fh = (uint64_t)(uintptr_t)h;
    fi->direct_io = 1;
    fi->nonseekable = 1;
    return 0;
}

static struct handle *handle_of(const struct fuse_file_info *fi) {
    return (struct handle *)(uintptr_t)fi->fh;
}

/* Makes what the claimed message is to the reader. lock held. */
static int show(struct handle *h, js_seq_t seq) {
    if (!h->payload) {
        h->len = (size_t)snprintf(h->line, sizeof(h->line), "%016" PRIu64 "\n", seq);
        h->data = h->line;
        return 0;
    }
    int r = js_stream_load_msg(h->stream->stream, seq, &h->msg);
    if (r < 0)
        return r;
    h->data = h->msg.data ? (const char *)h->msg.data : "";
    h->len = h->msg.data_len;
    return 0;
}

/* Claims a message. lock held. */
static int claim(struct handle *h) {
    struct js_delivery d;
    size_t n;
    int r;

    do {
        if (atomic_load(&h->consumer->gone) || atomic_load(&h->stream->gone))
            return -ESTALE;
        r = js_consumer_next(h->consumer->c, &d, 1, &n);
        if (r < 0)
            return r == JS_ERR_STORE_CLOSED ? -ESHUTDOWN : r;
        r = show(h, d.seq);
        /* Removed in this moment: the next one. */
    } while (r == JS_ERR_MSG_NOT_FOUND || r == JS_ERR_DELETED_MSG);
    h->seq = d.seq;
    /* Without acknowledgements there is nothing to answer later. */
    return r;
}

static bool may_wait(int r, bool first) {
    return r == JS_ERR_AGAIN || r == JS_ERR_PAUSED || (r == JS_ERR_MAX_ACK_PENDING && !first);
}

/* A reader that was killed while it waited takes nothing with it. lock held. */
static void give_back(struct handle *h) {
    (void)js_consumer_undeliver(h->consumer->c, h->seq);
    if (h->payload)
        js_msg_release(&h->msg);
    h->data = NULL;
    h->seq = 0;
}

/* lock held. */
static bool answer_locked(struct reading *w, fuse_req_t req) {
    struct handle *h = w->h;
    int r = 0;

    if (!h->data) {
        bool first = w->first;
        w->first = false;
        if (fuse_req_interrupted(req)) {
            fuse_reply_err(req, EINTR);
            return true;
        }
        r = claim(h);
        if (may_wait(r, first))
            return false;
        if (r < 0) {
            fuse_reply_err(req, jf_errno(r));
            return true;
        }
        if (fuse_req_interrupted(req)) {
            give_back(h);
            fuse_reply_err(req, EINTR);
            return true;
        }
    }
    size_t n = h->len - h->pos < w->size ? h->len - h->pos : w->size;
    if (fuse_reply_buf(req, h->data + h->pos, n) != 0) {
        if (h->pos == 0)
            give_back(h);
        return true;
    }
    h->pos += n;
    h->at_end |= n == 0 && w->size > 0;
    return true;
}

static bool answer(void *arg, fuse_req_t req) {
    struct reading *w = arg;

    pthread_mutex_lock(&w->h->lock);
    bool done = answer_locked(w, req);
    pthread_mutex_unlock(&w->h->lock);
    return done;
}

static void end_reading(void *arg) {
    struct reading *w = arg;

    drop_handle(w->h);
    free(w);
}

static int read_take(fuse_req_t req, const struct jf_ref *ref, size_t size, off_t off,
                     struct fuse_file_info *fi) {
    struct handle *h = handle_of(fi);

    (void)ref;
    (void)off; /* what the kernel passes for a file without positions means nothing */
    if (fi->flags & O_NONBLOCK) {
        struct reading now = {.h = h, .size = size, .first = true};
        return answer(&now, req) ? JF_REPLIED : -EAGAIN;
    }
    struct reading *w = malloc(sizeof(*w));
    if (!w)
        return JS_ERR_NOMEM;
    atomic_fetch_add(&h->refs, 1);
    *w = (struct reading){.h = h, .size = size, .first = true};
    jf_park(h->consumer->waitq, h, req, answer, w, end_reading);
    return JF_REPLIED;
}

static int poll_take(const struct jf_ref *ref, struct fuse_file_info *fi,
                     struct fuse_pollhandle *ph, unsigned *ret_revents) {
    struct handle *h = handle_of(fi);
    js_seq_t seq;
    size_t n = 0;

    (void)ref;
    if (ph)
        jf_waitq_poll(h->consumer->waitq, h, ph);
    pthread_mutex_lock(&h->lock);
    bool claimed = h->data != NULL;
    pthread_mutex_unlock(&h->lock);
    bool more = claimed || (js_consumer_peek(h->consumer->c, 0, &seq, 1, &n) == 0 && n);
    *ret_revents = more ? POLLIN | POLLRDNORM : 0;
    return 0;
}

static int settle(struct handle *h, enum js_ack_kind kind) {
    struct js_ack a = {.seq = h->seq, .kind = kind};

    h->settled = true;
    int r = js_consumer_ack(h->consumer->c, &a, 1, NULL);
    return r == JS_ERR_NO_ACK_POLICY ? 0 : r;
}

/* The opener's close, after the last byte. Children close what they inherited, too. */
static int flush_take(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct handle *h = handle_of(fi);
    int r = 0;

    (void)ref;
    pthread_mutex_lock(&h->lock);
    if (h->payload && h->seq && !h->settled && h->at_end &&
        jf_is_opener(h->opener, fuse_req_ctx(req)->pid))
        r = settle(h, JS_ACK);
    pthread_mutex_unlock(&h->lock);
    return r;
}

static void release_take(const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct handle *h = handle_of(fi);

    jf_waitq_cancel(h->consumer->waitq, h, EBADF);
    pthread_mutex_lock(&h->lock);
    int r = h->payload && h->seq && !h->settled ? settle(h, JS_NAK) : 0;
    pthread_mutex_unlock(&h->lock);
    if (r < 0 && r != JS_ERR_MSG_NOT_FOUND && r != JS_ERR_STORE_CLOSED)
        jf_log_add(ref->fs->log, "%s: consumer %s: message %" PRIu64 ": %s", ref->stream->tag,
                   h->consumer->name, h->seq, js_err_text(r));
    drop_handle(h);
}

#define TAKE_CLASS(class_name)                                                                     \
    {                                                                                              \
        .name = class_name, .mode = S_IFREG | 0444, .stat = stat_take, .open = open_take,          \
        .read = read_take, .poll = poll_take, .flush = flush_take, .release = release_take,        \
    }

const struct jf_class jf_class_take = TAKE_CLASS("take");
const struct jf_class jf_class_next = TAKE_CLASS("next");
