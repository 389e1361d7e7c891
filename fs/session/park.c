/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may reply to a parked request? Waking, interrupting and draining run in different threads.
 * A request is in one of three states, under the queue's lock:
 *
 *   BUSY     its try function runs (in jf_park or in the pool); others only leave a mark (again,
 *            cancel) that is looked at afterwards;
 *   WAITING  nobody touches it; who moves it out of this state owns it;
 *   (gone)   taken off the list and replied to.
 *
 * Before a reply the interrupt callback is taken back, which waits for one that runs: libfuse calls
 * it with the request's lock held. The order of locks is request, queue; so that call is made
 * without the queue's lock.
 */
#include "fs/session/park.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/session/pool.h"

struct parked {
    struct parked *next;
    struct jf_waitq *queue;
    const void *owner;
    fuse_req_t req;
    jf_try_fn try_fn;
    jf_park_done_fn done;
    void *arg;
    bool busy;
    bool again;
    int cancel; /* errno to answer as soon as it is not busy */
};

struct poller {
    struct poller *next;
    const void *owner;
    struct fuse_pollhandle *ph;
};

struct jf_waitq {
    struct jf_fs *fs;
    struct jf_waitq *next; /* of all queues */
    pthread_mutex_t lock;
    struct parked *parked;
    struct poller *pollers;
    bool scheduled; /* a job of the pool will look at it */
    bool ordered;   /* first come, first served; who finds nothing ends the round */
};

struct jf_parking {
    pthread_mutex_t lock;
    struct jf_waitq *queues;
    atomic_bool draining;
    atomic_size_t count;
};

struct jf_parking *jf_parking_new(void) {
    struct jf_parking *p = calloc(1, sizeof(*p));

    if (p)
        pthread_mutex_init(&p->lock, NULL);
    return p;
}

void jf_parking_free(struct jf_parking *parking) {
    if (!parking)
        return;
    pthread_mutex_destroy(&parking->lock);
    free(parking);
}

size_t jf_parking_count(struct jf_fs *fs) {
    return atomic_load(&fs->parking->count);
}

struct jf_waitq *jf_waitq_new(struct jf_fs *fs) {
    struct jf_waitq *q = calloc(1, sizeof(*q));

    if (!q)
        return NULL;
    q->fs = fs;
    pthread_mutex_init(&q->lock, NULL);
    pthread_mutex_lock(&fs->parking->lock);
    q->next = fs->parking->queues;
    fs->parking->queues = q;
    pthread_mutex_unlock(&fs->parking->lock);
    return q;
}

struct jf_waitq *jf_waitq_new_ordered(struct jf_fs *fs) {
    struct jf_waitq *q = jf_waitq_new(fs);

    if (q)
        q->ordered = true;
    return q;
}

void jf_waitq_free(struct jf_waitq *q) {
    if (!q)
        return;
    pthread_mutex_lock(&q->fs->parking->lock);
    struct jf_waitq **slot = &q->fs->parking->queues;
    while (*slot != q)
        slot = &(*slot)->next;
    *slot = q->next;
    pthread_mutex_unlock(&q->fs->parking->lock);
    while (q->pollers) {
        struct poller *p = q->pollers;
        q->pollers = p->next;
        fuse_pollhandle_destroy(p->ph);
        free(p);
    }
    pthread_mutex_destroy(&q->lock);
    free(q);
}

/* With the queue's lock. */
static void unlink_parked(struct parked *p) {
    struct parked **slot = &p->queue->parked;

    while (*slot != p)
        slot = &(*slot)->next;
    *slot = p->next;
    atomic_fetch_sub(&p->queue->fs->parking->count, 1);
}

static void finish(struct parked *p) {
    if (p->done)
        p->done(p->arg);
    free(p);
}

/* Owned by the caller (busy): answers with an error. */
static void reply_error(struct parked *p, int err) {
    fuse_req_interrupt_func(p->req, NULL, NULL);
    fuse_reply_err(p->req, err);
    finish(p);
}

static void on_interrupt(fuse_req_t req, void *data);

/*
 * Owned by the caller (busy, the interrupt callback taken back or not yet set): tries until the
 * request is answered and gone (true) or there is nothing to do but wait.
 */
static bool run(struct parked *p) {
    struct jf_waitq *q = p->queue;

    for (;;) {
        /* From here until it is set again, an interrupt is kept by libfuse. */
        fuse_req_interrupt_func(p->req, NULL, NULL);
        pthread_mutex_lock(&q->lock);
        int cancel = p->cancel;
        if (cancel)
            unlink_parked(p);
        p->again = false;
        pthread_mutex_unlock(&q->lock);
        if (cancel) {
            reply_error(p, cancel);
            return true;
        }
        if (p->try_fn(p->arg, p->req)) {
            pthread_mutex_lock(&q->lock);
            unlink_parked(p);
            pthread_mutex_unlock(&q->lock);
            finish(p);
            return true;
        }
        fuse_req_interrupt_func(p->req, on_interrupt, p);
        pthread_mutex_lock(&q->lock);
        bool wait = !p->again && !p->cancel;
        if (wait)
            p->busy = false;
        pthread_mutex_unlock(&q->lock);
        if (wait)
            return false;
    }
}

/* Called by libfuse with the request's lock held. */
static void cancel_job(void *arg) {
    run(arg);
}

static void on_interrupt(fuse_req_t req, void *data) {
    struct parked *p = data;
    bool mine;

    (void)req;
    pthread_mutex_lock(&p->queue->lock);
    p->cancel = EINTR;
    mine = !p->busy;
    p->busy = true;
    pthread_mutex_unlock(&p->queue->lock);
    /* The reply needs the request's lock, which is held here: another thread gives it. */
    if (mine && jf_pool_run(p->queue->fs->pool, cancel_job, p) < 0) {
        pthread_mutex_lock(&p->queue->lock);
        p->busy = false;
        pthread_mutex_unlock(&p->queue->lock);
    }
}

void jf_park(struct jf_waitq *queue, const void *owner, fuse_req_t req, jf_try_fn try_fn, void *arg,
             jf_park_done_fn done) {
    struct jf_parking *parking = queue->fs->parking;
    bool room = atomic_load(&parking->count) < JF_MAX_PARKED;
    struct parked *p = room ? calloc(1, sizeof(*p)) : NULL;

    if (!p) {
        fuse_reply_err(req, room ? ENOMEM : EAGAIN);
        if (done)
            done(arg);
        return;
    }
    *p = (struct parked){.queue = queue,
                         .owner = owner,
                         .req = req,
                         .try_fn = try_fn,
                         .done = done,
                         .arg = arg,
                         .busy = true};
    pthread_mutex_lock(&queue->lock);
    struct parked **end = &queue->parked;
    while (*end)
        end = &(*end)->next;
    *end = p;
    atomic_fetch_add(&parking->count, 1);
    if (atomic_load(&parking->draining))
        p->cancel = ESHUTDOWN;
    pthread_mutex_unlock(&queue->lock);
    run(p);
}

/* Takes one request that should be looked at; marks those that are busy. */
static struct parked *take(struct jf_waitq *q, const void *owner, int cancel) {
    struct parked *found = NULL;

    pthread_mutex_lock(&q->lock);
    for (struct parked *p = q->parked; p && !found; p = p->next) {
        if (owner && p->owner != owner)
            continue;
        if (cancel)
            p->cancel = cancel;
        if (!p->busy && (cancel || p->again)) {
            p->busy = true;
            found = p;
        }
    }
    pthread_mutex_unlock(&q->lock);
    return found;
}

static void tell_pollers(struct jf_waitq *q) {
    pthread_mutex_lock(&q->lock);
    struct poller *p = q->pollers;
    q->pollers = NULL;
    pthread_mutex_unlock(&q->lock);
    while (p) {
        struct poller *next = p->next;
        fuse_lowlevel_notify_poll(p->ph);
        fuse_pollhandle_destroy(p->ph);
        free(p);
        p = next;
    }
}

static void wake_job(void *arg) {
    struct jf_waitq *q = arg;
    struct parked *p;

    pthread_mutex_lock(&q->lock);
    q->scheduled = false;
    for (p = q->parked; p; p = p->next)
        p->again = true;
    pthread_mutex_unlock(&q->lock);
    /* In an ordered queue a mark that is left over costs one look at the next round. */
    while ((p = take(q, NULL, 0)) != NULL)
        if (!run(p) && q->ordered)
            break;
    tell_pollers(q);
}

void jf_waitq_wake(struct jf_waitq *queue) {
    pthread_mutex_lock(&queue->lock);
    bool needed = (queue->parked || queue->pollers) && !queue->scheduled;
    if (needed)
        queue->scheduled = true;
    pthread_mutex_unlock(&queue->lock);
    if (needed && jf_pool_run(queue->fs->pool, wake_job, queue) < 0) {
        pthread_mutex_lock(&queue->lock);
        queue->scheduled = false;
        pthread_mutex_unlock(&queue->lock);
    }
}

void jf_waitq_cancel(struct jf_waitq *queue, const void *owner, int err) {
    struct parked *p;

    while ((p = take(queue, owner, err)) != NULL)
        run(p);
    pthread_mutex_lock(&queue->lock);
    struct poller **slot = &queue->pollers;
    struct poller *found = NULL;
    while (*slot && (*slot)->owner != owner)
        slot = &(*slot)->next;
    if (*slot) {
        found = *slot;
        *slot = found->next;
    }
    pthread_mutex_unlock(&queue->lock);
    if (found) {
        fuse_pollhandle_destroy(found->ph);
        free(found);
    }
}

void jf_waitq_poll(struct jf_waitq *queue, const void *owner, struct fuse_pollhandle *ph) {
    struct fuse_pollhandle *old = NULL;

    pthread_mutex_lock(&queue->lock);
    struct poller *p = queue->pollers;
    while (p && p->owner != owner)
        p = p->next;
    if (p) {
        old = p->ph;
        p->ph = ph;
    } else if ((p = malloc(sizeof(*p))) != NULL) {
        *p = (struct poller){.next = queue->pollers, .owner = owner, .ph = ph};
        queue->pollers = p;
    } else {
        old = ph;
    }
    pthread_mutex_unlock(&queue->lock);
    if (old)
        fuse_pollhandle_destroy(old);
}

void jf_parking_drain(struct jf_fs *fs) {
    struct jf_parking *parking = fs->parking;
    struct parked *p;

    atomic_store(&parking->draining, true);
    pthread_mutex_lock(&parking->lock);
    for (struct jf_waitq *q = parking->queues; q; q = q->next) {
        while ((p = take(q, NULL, ESHUTDOWN)) != NULL)
            run(p);
        tell_pollers(q);
    }
    pthread_mutex_unlock(&parking->lock);
}
