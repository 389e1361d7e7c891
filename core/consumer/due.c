/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What time does to consumers: ack waits end, pauses end, states are written. Nothing runs by
 * itself; js_store_next_deadline says when js_store_run_due wants to be called. A consumer knows
 * the earliest time at which a wait can end, and looks at all its pending messages only then.
 */
#include "core/consumer/consumer.h"

js_time_t js_consumer_wait(const struct js_consumer_config *config, uint64_t redelivered) {
    if (config->num_backoff == 0)
        return config->ack_wait;
    return config
        ->backoff[redelivered < config->num_backoff ? redelivered : config->num_backoff - 1];
}

js_time_t js_consumer_end(const struct js_consumer *c, js_time_t begin, uint64_t redelivered) {
    js_time_t end;

    /* Both come from files. */
    if (__builtin_add_overflow(begin, js_consumer_wait(&c->config, redelivered), &end))
        return INT64_MAX;
    return end;
}

void js_dispatch_expect(struct js_consumer *c, js_time_t end) {
    if (c->d.check_at == 0 || end < c->d.check_at)
        c->d.check_at = end;
}

int js_dispatch_push(struct js_consumer *c, size_t entry) {
    struct js_dispatch *d = &c->d;
    struct js_entry *e = &c->w.entries[entry];

    if (e->flags & JS_ENTRY_DUE)
        return 0;
    if (d->due_count == d->due_cap) {
        size_t cap = d->due_cap ? d->due_cap * 2 : 64;
        js_seq_t *p = js_realloc_array(c->env, NULL, cap, sizeof *p);
        if (!p)
            return JS_ERR_NOMEM;
        for (size_t i = 0; i < d->due_count; i++)
            p[i] = d->due[(d->due_head + i) & (d->due_cap - 1)];
        js_free(c->env, d->due);
        d->due = p;
        d->due_head = 0;
        d->due_cap = cap;
    }
    d->due[(d->due_head + d->due_count++) & (d->due_cap - 1)] = e->seq;
    e->flags |= JS_ENTRY_DUE;
    return 0;
}

int js_dispatch_expire(struct js_consumer *c, js_time_t now, bool *ret_some) {
    struct js_dispatch *d = &c->d;

    if (ret_some)
        *ret_some = false;
    if (d->check_at == 0 || now < d->check_at)
        return 0;
    d->check_at = 0;
    for (size_t i = js_window_from(&c->w, 0); i != JS_NO_ENTRY; i = js_window_after(&c->w, i)) {
        const struct js_entry *e = &c->w.entries[i];
        if (e->flags & JS_ENTRY_DUE)
            continue;
        js_time_t end = js_consumer_end(c, e->time, e->redelivered);
        if (end > now) {
            js_dispatch_expect(c, end);
            continue;
        }
        int r = js_dispatch_push(c, i);
        if (r < 0) {
            js_dispatch_expect(c, now + JS_STATE_RETRY);
            return r;
        }
        if (ret_some)
            *ret_some = true;
    }
    return 0;
}

/* ---- all consumers of a stream
 * ------------------------------------------------------------------- */

static js_time_t sooner(js_time_t a, js_time_t b) {
    return a == 0 || (b && b < a) ? b : a;
}

/* mu held. */
static js_time_t deadline(const struct js_consumer *c) {
    js_time_t t = c->d.check_at;

    if (c->closed)
        return 0;
    if (c->written != c->changes)
        t = sooner(t, c->write_at ? c->write_at : 1);
    return sooner(t, c->d.paused_until);
}

static void take_deadline(void *ctx, struct js_consumer *c) {
    js_time_t *soonest = ctx;

    pthread_mutex_lock(&c->mu);
    *soonest = sooner(*soonest, deadline(c));
    pthread_mutex_unlock(&c->mu);
}

js_time_t js_consumers_deadline(struct js_stream *s) {
    js_time_t soonest = 0;

    js_consumers_each(s, take_deadline, &soonest);
    return soonest;
}

static void sync_one(void *ctx, struct js_consumer *c) {
    int *result = ctx;
    int r = js_consumer_sync(c);

    if (*result == 0 && r != JS_ERR_STORE_CLOSED)
        *result = r;
}

int js_stream_sync_consumers(struct js_stream *s) {
    int r = 0;

    js_consumers_each(s, sync_one, &r);
    return r;
}

struct run {
    js_time_t now;
    int result;
};

static void run_one(void *ctx, struct js_consumer *c) {
    struct run *run = ctx;
    bool some = false;
    int r = 0;

    pthread_mutex_lock(&c->mu);
    if (!c->closed) {
        r = js_dispatch_expire(c, run->now, &some);
        if (c->d.paused_until && c->d.paused_until <= run->now) {
            c->d.paused_until = 0;
            some = true;
        }
        if (r == 0 && c->written != c->changes && c->write_at <= run->now)
            r = js_consumer_write(c, false);
    }
    pthread_mutex_unlock(&c->mu);
    if (some)
        js_consumer_tell_ready(c);
    if (run->result == 0)
        run->result = r;
}

int js_consumers_run(struct js_stream *s, js_time_t now) {
    struct run run = {.now = now};

    js_consumers_each(s, run_one, &run);
    return run.result;
}
