/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/session/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* How often a thread looks at the one before it while that one is busy. A request that takes
 * longer than this gets company. */
#define TICK_MS 2
/* After so many ticks without a request it sleeps until there is one. */
#define QUIET_TICKS 50
/* The one before cannot keep up: so many requests between two looks, and it waited for less than
 * one in SATURATED of them. */
#define MANY      16
#define SATURATED 8
/* How long a thread looks for the next request before it sleeps, and how often in vain. */
#define SPIN_US  30
#define MAX_LUCK 4
/* Requests that are served between two looks. */
#define ROUND 64

/* What a thread tells the next one. */
struct standing {
    unsigned long begun;  /* requests */
    unsigned long done;   /* less than begun while one is handled */
    unsigned long waited; /* how often it had to wait for a request */
};

struct worker {
    struct jf_loop *loop;
    pthread_t thread;
    atomic_ulong begun, done, waited;
    atomic_bool asleep; /* until the thread before it writes wake */
    int wake;           /* eventfd */
    int requests;       /* epoll: the session and the end */
    int watch;          /* epoll: wake and the end */
    struct fuse_buf buf;
    int luck; /* looking for a request without sleeping paid lately */
};

struct jf_loop {
    struct jf_fs *fs;
    int stop;  /* eventfd: the threads shall end */
    int ended; /* eventfd of the session: the kernel ended it */
    unsigned count;
    unsigned cap;
    bool may_spin; /* there is a processor for who asks */
    struct worker workers[];
};

static void signal_fd(int fd) {
    uint64_t one = 1;

    /* Fails only when the counter is full: then it is readable. */
    ssize_t n = write(fd, &one, sizeof(one));
    (void)n;
}

static void drain_fd(int fd) {
    uint64_t count;

    /* Fails only when there is nothing to take. */
    ssize_t n = read(fd, &count, sizeof(count));
    (void)n;
}

static struct standing look(const struct worker *w) {
    struct standing s = {.done = atomic_load(&w->done)};

    s.begun = atomic_load(&w->begun);
    s.waited = atomic_load(&w->waited);
    return s;
}

static bool needs_help(const struct standing *old, const struct standing *now) {
    unsigned long begun = now->begun - old->begun;

    if (now->begun != now->done && begun == 0)
        return true;
    return begun >= MANY && (now->waited - old->waited) * SATURATED < begun;
}

/* The thread after this one watches from now on. */
static void nudge_next(struct worker *w) {
    struct worker *next = w + 1;

    if (next < w->loop->workers + w->loop->cap && atomic_load(&next->asleep) &&
        atomic_exchange(&next->asleep, false))
        signal_fd(next->wake);
}

/* False: the session is over. */
static bool receive(struct worker *w) {
    struct fuse_session *session = w->loop->fs->session;
    int n = fuse_session_receive_buf(session, &w->buf);

    if (n > 0) {
        atomic_fetch_add(&w->begun, 1);
        nudge_next(w);
        fuse_session_process_buf(session, &w->buf);
        atomic_fetch_add(&w->done, 1);
    } else if (n != -EINTR && n != -EAGAIN) {
        return false;
    }
    return !fuse_session_exited(session);
}

enum outcome { SERVED, TIMED_OUT, STOPPED, BROKEN };

static long now_us(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Looks for a request for a moment instead of sleeping, as long as that was worth it lately: a tool
 * that opens file after file asks again at once, and waking up takes longer than answering. */
static bool spin(struct worker *w) {
    struct epoll_event event;
    long begin;

    if (w->luck == 0 || !w->loop->may_spin)
        return false;
    begin = now_us();
    do {
        for (int i = 0; i < 4; i++) {
            if (epoll_wait(w->requests, &event, 1, 0) > 0) {
                w->luck = MAX_LUCK;
                return true;
            }
        }
    } while (now_us() - begin < SPIN_US);
    w->luck--;
    return false;
}

/* Waits for a request at most so long and handles it. */
static enum outcome serve(struct worker *w, int timeout_ms) {
    struct epoll_event events[2];
    int n;

    (void)spin(w);
    n = epoll_wait(w->requests, events, 2, 0);

    if (n == 0) {
        atomic_fetch_add_explicit(&w->waited, 1, memory_order_relaxed);
        long slept = now_us();
        n = epoll_wait(w->requests, events, 2, timeout_ms);
        /* It came so soon that looking for it would have found it. */
        if (n > 0 && now_us() - slept < 2 * SPIN_US && w->luck < MAX_LUCK)
            w->luck++;
    }
    if (n < 0)
        return errno == EINTR ? SERVED : BROKEN;
    for (int i = 0; i < n; i++)
        if (events[i].data.fd == w->loop->stop)
            return STOPPED;
    if (n == 0)
        return TIMED_OUT;
    return receive(w) ? SERVED : BROKEN;
}

static void *lead(void *arg) {
    struct worker *w = arg;
    enum outcome outcome;

    do {
        outcome = serve(w, -1);
    } while (outcome == SERVED);
    if (outcome == BROKEN)
        signal_fd(w->loop->ended);
    return NULL;
}

/* Helps the thread before, as long as it needs that. */
static enum outcome help(struct worker *w, struct standing *ref_before) {
    enum outcome outcome = SERVED;
    struct standing now;
    bool needed;

    do {
        for (int i = 0; i < ROUND && outcome == SERVED; i++)
            outcome = serve(w, TICK_MS);
        if (outcome == TIMED_OUT)
            outcome = SERVED;
        now = look(w - 1);
        needed = needs_help(ref_before, &now);
        *ref_before = now;
    } while (needed && outcome == SERVED);
    return outcome;
}

static void *follow(void *arg) {
    struct worker *w = arg;
    enum outcome outcome = SERVED;
    struct standing before = look(w - 1);
    int quiet = QUIET_TICKS;

    while (outcome == SERVED) {
        struct epoll_event events[2];
        struct standing now;
        /* What begins after asleep was set wakes this thread; what began before is seen here. */
        if (quiet >= QUIET_TICKS) {
            atomic_store(&w->asleep, true);
            now = look(w - 1);
            if (now.begun != before.begun)
                atomic_store(&w->asleep, false);
        }
        int n = epoll_wait(w->watch, events, 2, atomic_load(&w->asleep) ? -1 : TICK_MS);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == w->loop->stop)
                outcome = STOPPED;
            else
                drain_fd(w->wake);
        }
        if (n < 0 && errno != EINTR)
            outcome = BROKEN;
        if (outcome != SERVED)
            break;
        now = look(w - 1);
        quiet = now.begun == before.begun && now.begun == now.done ? quiet + 1 : 0;
        bool needed = needs_help(&before, &now);
        before = now;
        if (needed)
            outcome = help(w, &before);
    }
    if (outcome == BROKEN)
        signal_fd(w->loop->ended);
    return NULL;
}

static int make_epoll(int a, uint32_t a_flags, int b) {
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event first = {.events = EPOLLIN | a_flags, .data.fd = a};
    struct epoll_event second = {.events = EPOLLIN, .data.fd = b};

    if (ep >= 0 && (epoll_ctl(ep, EPOLL_CTL_ADD, a, &first) < 0 ||
                    epoll_ctl(ep, EPOLL_CTL_ADD, b, &second) < 0)) {
        close(ep);
        return -1;
    }
    return ep;
}

static void close_fd(int fd) {
    if (fd >= 0)
        close(fd);
}

static bool init_worker(struct jf_loop *loop, struct worker *w) {
    w->loop = loop;
    w->requests = make_epoll(fuse_session_fd(loop->fs->session), EPOLLEXCLUSIVE, loop->stop);
    w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->watch = w->wake >= 0 ? make_epoll(w->wake, 0, loop->stop) : -1;
    return w->requests >= 0 && w->watch >= 0;
}

int jf_loop_start(struct jf_fs *fs, unsigned n, int ended, struct jf_loop **ret_loop) {
    int fd = fuse_session_fd(fs->session);
    struct jf_loop *loop = calloc(1, sizeof(*loop) + n * sizeof(struct worker));
    bool ready = true;

    if (!loop)
        return JS_ERR_NOMEM;
    loop->fs = fs;
    loop->ended = ended;
    loop->cap = n;
    loop->may_spin = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    loop->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* Two threads may wake for one request. */
    if (loop->stop < 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
        int err = errno;
        close_fd(loop->stop);
        free(loop);
        return -err;
    }
    for (unsigned i = 0; i < n; i++)
        ready &= init_worker(loop, &loop->workers[i]);
    /* One thread alone must never wait for what only another one could answer. */
    atomic_store(&fs->pushing, true);
    while (ready && loop->count < n &&
           pthread_create(&loop->workers[loop->count].thread, NULL, loop->count ? follow : lead,
                          &loop->workers[loop->count]) == 0)
        loop->count++;
    if (loop->count == 0) {
        jf_loop_stop(loop);
        return JS_ERR_NOMEM;
    }
    atomic_store(&fs->pushing, loop->count < 2);
    *ret_loop = loop;
    return 0;
}

void jf_loop_stop(struct jf_loop *loop) {
    signal_fd(loop->stop);
    for (unsigned i = 0; i < loop->count; i++)
        pthread_join(loop->workers[i].thread, NULL);
    for (unsigned i = 0; i < loop->cap; i++) {
        struct worker *w = &loop->workers[i];
        close_fd(w->requests);
        close_fd(w->watch);
        close_fd(w->wake);
        free(w->buf.mem);
    }
    close(loop->stop);
    free(loop);
}
