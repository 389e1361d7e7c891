/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/session/notify.h"

#include <stdlib.h>
#include <time.h>

#include "fs/node/class.h"
#include "fs/node/stream.h"

/* At most one round in this time. */
#define ROUND_NS 20000000L
/* Streams that are watched on a read-only mount are looked at this often. */
#define TICK_NS 250000000L
#define RECENT  4096u
#define QUEUE   1024u

struct jf_notify {
    struct jf_fs *fs;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool ending;
    bool work;
    fuse_ino_t queue[QUEUE]; /* messages removed by us */
    size_t queued;
    _Atomic fuse_ino_t recent[RECENT]; /* messages the kernel was told of lately */
    atomic_uint next;
};

static void tell(struct jf_fs *fs, fuse_ino_t ino) {
    /* ENOENT: the kernel does not hold it; nothing to do. */
    if (!atomic_load(&fs->stopping))
        fuse_lowlevel_notify_inval_inode(fs->session, ino, -1, 0);
}

struct views {
    struct jf_stream *stream;
    fuse_ino_t *ino;
    size_t count;
    size_t cap;
};

static void collect_view(void *ctx, struct jf_node *node) {
    struct views *v = ctx;

    if (node->class != &jf_class_view || node->stream != v->stream)
        return;
    if (v->count == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 64;
        fuse_ino_t *p = realloc(v->ino, cap * sizeof(*p));
        /* Attributes are short-lived anyway: what is not told is seen 0.2 s later. */
        if (!p)
            return;
        v->ino = p;
        v->cap = cap;
    }
    v->ino[v->count++] = node->ino;
}

static void tell_views(struct jf_fs *fs, struct jf_stream *stream) {
    struct views v = {.stream = stream};

    jf_intern_each(fs, collect_view, &v);
    for (size_t i = 0; i < v.count; i++)
        tell(fs, v.ino[i]);
    free(v.ino);
}

/* Messages that went away since the kernel was told of them. */
static void tell_removed(struct jf_fs *fs, struct jf_stream *stream) {
    struct jf_notify *n = fs->notify;
    struct js_msg_stat info;

    for (size_t i = 0; i < RECENT; i++) {
        fuse_ino_t ino = atomic_load(&n->recent[i]);
        if (!ino || jf_node_slot(ino) != stream->slot)
            continue;
        if (js_stream_stat_msg(stream->stream, jf_node_seq(ino), &info) < 0) {
            tell(fs, ino);
            atomic_compare_exchange_strong(&n->recent[i], &ino, 0);
        }
    }
}

static void look_at(void *ctx, struct jf_stream *stream) {
    if (atomic_exchange(&stream->changed, false)) {
        tell_views(ctx, stream);
        tell_removed(ctx, stream);
    }
}

static void tell_queue(struct jf_notify *n) {
    fuse_ino_t queue[64];

    for (;;) {
        size_t count = 0;
        pthread_mutex_lock(&n->lock);
        while (n->queued && count < 64)
            queue[count++] = n->queue[--n->queued];
        pthread_mutex_unlock(&n->lock);
        if (!count)
            return;
        for (size_t i = 0; i < count; i++)
            tell(n->fs, queue[i]);
    }
}

static void *run(void *arg) {
    struct jf_notify *n = arg;
    struct timespec until;

    pthread_mutex_lock(&n->lock);
    while (!n->ending) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_NS;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000L;
        }
        while (!n->work && !n->ending)
            if (pthread_cond_timedwait(&n->cond, &n->lock, &until) != 0)
                break;
        bool work = n->work;
        n->work = false;
        pthread_mutex_unlock(&n->lock);
        if (work) {
            tell_queue(n);
            jf_streams_each(n->fs, look_at, n->fs);
            /* The pause makes one round of many changes. */
            nanosleep(&(struct timespec){.tv_nsec = ROUND_NS}, NULL);
        } else {
            jf_streams_tick(n->fs);
        }
        pthread_mutex_lock(&n->lock);
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}

int jf_notify_start(struct jf_fs *fs) {
    struct jf_notify *n = calloc(1, sizeof(*n));
    pthread_condattr_t attr;

    if (!n)
        return JS_ERR_NOMEM;
    n->fs = fs;
    pthread_mutex_init(&n->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&n->cond, &attr);
    pthread_condattr_destroy(&attr);
    fs->notify = n;
    if (pthread_create(&n->thread, NULL, run, n) != 0) {
        fs->notify = NULL;
        free(n);
        return JS_ERR_NOMEM;
    }
    return 0;
}

static void wake(struct jf_notify *n) {
    pthread_mutex_lock(&n->lock);
    n->work = true;
    pthread_cond_signal(&n->cond);
    pthread_mutex_unlock(&n->lock);
}

void jf_notify_stop(struct jf_fs *fs) {
    struct jf_notify *n = fs->notify;

    if (!n)
        return;
    pthread_mutex_lock(&n->lock);
    n->ending = true;
    pthread_cond_signal(&n->cond);
    pthread_mutex_unlock(&n->lock);
    pthread_join(n->thread, NULL);
}

void jf_notify_stream(struct jf_stream *stream) {
    if (stream->fs->notify && !atomic_exchange(&stream->changed, true))
        wake(stream->fs->notify);
}

void jf_notify_msg(struct jf_stream *stream, js_seq_t seq) {
    struct jf_notify *n = stream->fs->notify;

    if (!n || stream->slot > JF_MAX_SLOT || seq > JF_MAX_SEQ)
        return;
    pthread_mutex_lock(&n->lock);
    /* When the queue is full, recent (or the entry's timeout) has to do. */
    if (n->queued + 2 <= QUEUE) {
        n->queue[n->queued++] = jf_node_pack(JF_KIND_MSG, stream->slot, seq);
        n->queue[n->queued++] = jf_node_pack(JF_KIND_FULL, stream->slot, seq);
    }
    n->work = true;
    pthread_cond_signal(&n->cond);
    pthread_mutex_unlock(&n->lock);
}

void jf_notify_seen(struct jf_fs *fs, fuse_ino_t ino) {
    struct jf_notify *n = fs->notify;

    if (n)
        atomic_store(&n->recent[atomic_fetch_add(&n->next, 1) % RECENT], ino);
}

void jf_notify_free(struct jf_fs *fs) {
    struct jf_notify *n = fs->notify;

    if (!n)
        return;
    fs->notify = NULL;
    pthread_cond_destroy(&n->cond);
    pthread_mutex_destroy(&n->lock);
    free(n);
}
