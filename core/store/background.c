/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that does what time makes due, for programs that have no loop of their own to do it in.
 * Streams do not tell when they get a new deadline, so it looks every TICK_MS, or every FLUSH_MS
 * where records may wait in buffers.
 */
#include <errno.h>
#include <time.h>

#include "core/store/store.h"

#define TICK_MS  100
#define FLUSH_MS 8
#define MS       INT64_C(1000000)
#define IDLE_MS  5000 /* so often caches are looked at when nothing is due */

void js_background_init(struct js_background *bg) {
    pthread_condattr_t attr;

    *bg = (struct js_background){0};
    pthread_mutex_init(&bg->mu, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&bg->stopped, &attr);
    pthread_condattr_destroy(&attr);
}

/* Nothing in a store depends on how long this sleeps: no table for it. With the mutex. */
static void doze(struct js_background *bg, unsigned ms) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += (long)(ms * MS);
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    while (!bg->stop && pthread_cond_timedwait(&bg->stopped, &bg->mu, &t) != ETIMEDOUT)
        ;
}

static void *run(void *arg) {
    struct js_store *store = arg;
    struct js_background *bg = &store->background;
    const struct js_clock *c = store->env->clock;
    unsigned tick = store->options.flags & JS_OPEN_ASYNC ? FLUSH_MS : TICK_MS;

    js_time_t idle = 0;

    pthread_mutex_lock(&bg->mu);
    while (!bg->stop) {
        pthread_mutex_unlock(&bg->mu);
        js_time_t due = js_store_next_deadline(store), now = c->now(c->ctx);
        js_time_t up = c->monotonic(c->ctx);
        int r = 0;
        if ((due && due <= now) || up >= idle) {
            idle = up + IDLE_MS * MS;
            r = js_store_run_due(store, now);
        }
        pthread_mutex_lock(&bg->mu);
        if (r < 0 && bg->error == 0)
            bg->error = r;
        /* What failed is due again at once, and may go on failing. */
        doze(bg, r < 0 ? TICK_MS : tick);
    }
    pthread_mutex_unlock(&bg->mu);
    return NULL;
}

int js_store_run_in_background(struct js_store *store) {
    struct js_background *bg = &store->background;
    int r = 0;

    if (!(store->options.flags & JS_OPEN_RW))
        return JS_ERR_READ_ONLY;
    pthread_mutex_lock(&bg->mu);
    if (!bg->running) {
        r = pthread_create(&bg->thread, NULL, run, store);
        bg->running = r == 0;
        r = r ? JS_ERR_NOMEM : 0;
    }
    pthread_mutex_unlock(&bg->mu);
    return r;
}

int js_store_background_error(struct js_store *store) {
    pthread_mutex_lock(&store->background.mu);
    int r = store->background.error;
    pthread_mutex_unlock(&store->background.mu);
    return r;
}

int js_background_done(struct js_background *bg) {
    pthread_mutex_lock(&bg->mu);
    bg->stop = true;
    pthread_cond_broadcast(&bg->stopped);
    pthread_mutex_unlock(&bg->mu);
    if (bg->running)
        pthread_join(bg->thread, NULL);
    pthread_cond_destroy(&bg->stopped);
    pthread_mutex_destroy(&bg->mu);
    return bg->error;
}
