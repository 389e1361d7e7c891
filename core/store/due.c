/* SPDX-License-Identifier: Apache-2.0 */
/* What time makes due, stream by stream: each module says when, and does it. */
#include "core/consumer/consumer.h"
#include "core/store/store.h"
#include "core/stream/rules.h"

static js_time_t sooner(js_time_t a, js_time_t b) {
    return a && (!b || a < b) ? a : b;
}

static js_time_t deadline_of(struct js_stream *s) {
    js_time_t t = sooner(js_stream_sync_deadline(s), js_stream_expire_deadline(s));
    return sooner(t, js_consumers_deadline(s));
}

js_time_t js_store_next_deadline(struct js_store *store) {
    js_time_t soonest = 0;

    pthread_mutex_lock(&store->mu);
    for (struct js_open_stream *o = store->streams; o; o = o->next)
        if (o->stream)
            soonest = sooner(deadline_of(o->stream), soonest);
    pthread_mutex_unlock(&store->mu);
    return soonest;
}

static int run_stream(struct js_stream *s, js_time_t now) {
    int r = js_stream_sync_due(s, now);
    js_time_t due = js_stream_expire_deadline(s);
    int e = due && due <= now ? js_stream_expire_due(s, now) : 0;

    if (r == 0)
        r = e;
    e = js_consumers_run(s, now);
    return r ? r : e;
}

int js_store_run_due(struct js_store *store, js_time_t now) {
    int r = 0;

    js_cache_expire_idle(&store->cache, store->env->clock->monotonic(store->env->clock->ctx));
    for (size_t i = 0;; i++) {
        /* One stream at a time with a reference, so that the store is not held up by a sync. */
        pthread_mutex_lock(&store->mu);
        struct js_open_stream *o = store->streams;
        for (size_t k = 0; o && k < i; k++)
            o = o->next;
        struct js_stream *s = o && o->stream ? js_stream_ref(o->stream) : NULL;
        pthread_mutex_unlock(&store->mu);
        if (!o)
            return r;
        if (!s)
            continue;
        int e = run_stream(s, now);
        js_stream_unref(s);
        if (r == 0)
            r = e;
    }
}
