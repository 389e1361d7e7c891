/* SPDX-License-Identifier: Apache-2.0 */
/* The consumer store's operations on the state (engine behaviour: docs/semantics.md "Consumers").
 */
#include "core/consumer/consumer.h"

static int begin_again(struct js_consumer *c) {
    js_dispatch_done(c);
    return js_dispatch_begin(c);
}

int js_consumer_set_starting(struct js_consumer *c, js_seq_t seq) {
    int r = js_consumer_lock(c);

    if (r < 0)
        return r;
    c->w.delivered_stream = c->w.floor_stream = seq;
    js_consumer_changed(c);
    r = begin_again(c);
    if (r == 0)
        r = js_consumer_write(c, true);
    pthread_mutex_unlock(&c->mu);
    return r;
}

int js_consumer_update_starting(struct js_consumer *c, js_seq_t seq) {
    int r = js_consumer_lock(c);

    if (r < 0)
        return r;
    if (seq > c->w.delivered_stream) {
        c->w.delivered_stream = seq;
        /* Nothing is pending where nothing is acknowledged. */
        if (c->config.ack_policy == 'n')
            c->w.floor_stream = seq;
        js_consumer_changed(c);
        r = begin_again(c);
    }
    pthread_mutex_unlock(&c->mu);
    return r;
}

int js_consumer_reset(struct js_consumer *c, js_seq_t seq) {
    int r = js_consumer_lock(c);

    if (r < 0)
        return r;
    js_window_clear(&c->w);
    c->w.delivered_stream = c->w.floor_stream = seq;
    js_consumer_changed(c);
    r = begin_again(c);
    if (r == 0)
        r = js_consumer_write(c, true);
    pthread_mutex_unlock(&c->mu);
    js_consumer_tell_ready(c);
    return r;
}

int js_consumer_has_state(struct js_consumer *c) {
    int r = js_consumer_lock(c);

    if (r < 0)
        return r;
    r = c->has_file || c->w.delivered_consumer || c->w.delivered_stream;
    pthread_mutex_unlock(&c->mu);
    return r;
}

int js_consumer_update_delivered(struct js_consumer *c, uint64_t dseq, js_seq_t seq, uint64_t count,
                                 js_time_t time) {
    struct js_window_rules rules;
    int r = js_consumer_lock(c);

    if (r < 0)
        return r;
    rules = js_consumer_rules(c);
    r = js_window_deliver(&c->w, &rules, dseq, seq, count, time);
    if (r == 0) {
        js_consumer_changed(c);
        size_t i = js_window_find(&c->w, seq);
        if (i != JS_NO_ENTRY)
            js_dispatch_expect(c, js_consumer_end(c, time, c->w.entries[i].redelivered));
        if (seq >= c->d.next) {
            c->d.next = seq + 1;
            c->d.known = false;
        }
    }
    pthread_mutex_unlock(&c->mu);
    return r;
}

int js_consumer_update_acks(struct js_consumer *c, uint64_t dseq, js_seq_t seq) {
    struct js_window_rules rules;
    bool changed;
    int r = js_consumer_lock(c);

    if (r < 0)
        return r;
    rules = js_consumer_rules(c);
    r = js_window_ack(&c->w, &rules, dseq, seq, &changed);
    if (changed)
        js_consumer_changed(c);
    pthread_mutex_unlock(&c->mu);
    return r;
}

int js_consumer_remove_redelivered_below(struct js_consumer *c, js_seq_t seq) {
    int r = js_consumer_lock(c);

    if (r < 0)
        return r;
    if (js_window_forget_counts_below(&c->w, seq))
        js_consumer_changed(c);
    pthread_mutex_unlock(&c->mu);
    return 0;
}

/* mu held. */
static int put_state(struct js_consumer *c, const struct js_consumer_state *st) {
    int r = js_window_set(&c->w, st);

    if (r < 0)
        return r;
    js_consumer_changed(c);
    return begin_again(c);
}

int js_consumer_update(struct js_consumer *c, const struct js_consumer_state *st) {
    int r = js_window_check(st);

    if (r == 0)
        r = js_consumer_lock(c);
    if (r < 0)
        return r;
    if (st->delivered_consumer < c->w.delivered_consumer || st->floor_stream < c->w.floor_stream)
        r = JS_ERR_OLD_UPDATE;
    else
        r = put_state(c, st);
    pthread_mutex_unlock(&c->mu);
    return r;
}

int js_consumer_force_update(struct js_consumer *c, const struct js_consumer_state *st) {
    int r = js_window_check(st);

    if (r == 0)
        r = js_consumer_lock(c);
    if (r < 0)
        return r;
    r = put_state(c, st);
    if (r == 0)
        r = js_consumer_write(c, true);
    pthread_mutex_unlock(&c->mu);
    return r;
}

int js_consumer_state(struct js_consumer *c, struct js_consumer_state *ret_state) {
    int r = js_consumer_lock(c);

    if (r < 0)
        return r;
    r = js_window_copy(&c->w, ret_state);
    pthread_mutex_unlock(&c->mu);
    return r;
}

int js_consumer_borrow_state(struct js_consumer *c,
                             int (*fn)(void *ctx, const struct js_consumer_state *state),
                             void *ctx) {
    struct js_consumer_state st;
    int r = js_consumer_state(c, &st);

    if (r < 0)
        return r;
    r = fn(ctx, &st);
    js_consumer_state_done(&st);
    return r;
}

int js_consumer_encoded_state(struct js_consumer *c, js_sink_fn sink, void *ctx) {
    struct js_buf buf = {.env = c->env};
    int r = js_consumer_lock(c);

    if (r < 0)
        return r;
    r = js_window_encode(&c->w, c->env->clock->now(c->env->clock->ctx), &buf);
    pthread_mutex_unlock(&c->mu);
    if (r == 0)
        r = sink(ctx, buf.data, buf.len);
    js_buf_done(&buf);
    return r;
}

int js_consumer_get_config(struct js_consumer *c, js_sink_fn sink, void *ctx) {
    struct js_buf copy = {.env = c->env};
    int r = js_consumer_lock(c);

    if (r < 0)
        return r;
    js_buf_append(&copy, c->config_text.data, c->config_text.len - 1);
    pthread_mutex_unlock(&c->mu);
    r = copy.failed ? JS_ERR_NOMEM : sink(ctx, copy.data, copy.len);
    js_buf_done(&copy);
    return r;
}

int js_consumer_sync(struct js_consumer *c) {
    int r = js_consumer_lock(c);

    if (r < 0)
        return r;
    r = js_consumer_write(c, true);
    pthread_mutex_unlock(&c->mu);
    return r;
}
