/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Acknowledgements, refusals, leases that are prolonged.
 *
 * Where what is acknowledged leaves the stream, the message is removed first and the state changed
 * afterwards: after a crash between the two it is simply gone. The other way round it would stay
 * for ever, because nobody would be asked for it again.
 */
#include "core/consumer/consumer.h"

#define MAX_DELAY (INT64_C(3650) * 86400 * 1000000000) /* ten years */

/* Takes a message out of the pending ones. mu held. */
static int acknowledge(struct js_consumer *c, js_seq_t seq) {
    struct js_window_rules rules = js_consumer_rules(c);
    size_t i = js_window_find(&c->w, seq);
    bool changed;

    if (i == JS_NO_ENTRY)
        return JS_ERR_MSG_NOT_FOUND;
    int r = js_window_ack(&c->w, &rules, js_window_dseq(&c->w, &c->w.entries[i]), seq, &changed);
    js_consumer_changed(c);
    return r;
}

/* The pending ones that an acknowledgement of seq covers. mu held. *ret_seqs is freed by the
 * caller. */
static int covered(struct js_consumer *c, js_seq_t seq, js_seq_t **ret_seqs, size_t *ret_n) {
    bool all = c->config.ack_policy != 'e';
    js_seq_t *p = js_malloc(c->env, (all ? c->w.live : 1) * sizeof *p);
    size_t n = 0;

    if (!p)
        return JS_ERR_NOMEM;
    for (size_t i = js_window_from(&c->w, all ? 0 : seq);
         i != JS_NO_ENTRY && c->w.entries[i].seq <= seq; i = js_window_after(&c->w, i))
        p[n++] = c->w.entries[i].seq;
    *ret_seqs = p;
    *ret_n = n;
    return 0;
}

/* mu held, let go of meanwhile; retire_mu held. */
static int acknowledge_and_retire(struct js_consumer *c, js_seq_t seq, bool *ret_kept) {
    js_seq_t *seqs;
    bool kept;
    size_t n;

    if (js_window_find(&c->w, seq) == JS_NO_ENTRY)
        return JS_ERR_MSG_NOT_FOUND;
    int r = covered(c, seq, &seqs, &n);
    if (r < 0)
        return r;
    pthread_mutex_unlock(&c->mu);
    r = js_consumer_retire(c, seqs, n, &kept);
    pthread_mutex_lock(&c->mu);
    *ret_kept |= kept;
    js_free(c->env, seqs);
    if (r == 0 && c->closed)
        r = JS_ERR_STORE_CLOSED;
    if (r < 0)
        return r;
    r = acknowledge(c, seq);
    /* A concurrent reset may have forgotten it: it is removed all the same. */
    return r == JS_ERR_MSG_NOT_FOUND ? 0 : r;
}

static int refuse(struct js_consumer *c, js_seq_t seq, js_time_t delay, js_time_t now) {
    size_t i = js_window_find(&c->w, seq);

    if (i == JS_NO_ENTRY)
        return JS_ERR_MSG_NOT_FOUND;
    struct js_entry *e = &c->w.entries[i];
    js_consumer_changed(c);
    if (delay > MAX_DELAY)
        delay = MAX_DELAY;
    /* The wait ends when the delay does, also for who opens the consumer later. */
    e->time = now - js_consumer_wait(&c->config, e->redelivered) + (delay > 0 ? delay : 0);
    if (delay <= 0)
        return js_dispatch_push(c, i);
    e->flags &= ~(uint32_t)JS_ENTRY_DUE;
    js_dispatch_expect(c, now + delay);
    return 0;
}

static int prolong(struct js_consumer *c, js_seq_t seq, js_time_t now) {
    size_t i = js_window_find(&c->w, seq);

    if (i == JS_NO_ENTRY)
        return JS_ERR_MSG_NOT_FOUND;
    struct js_entry *e = &c->w.entries[i];
    e->flags &= ~(uint32_t)JS_ENTRY_DUE;
    e->time = now;
    js_consumer_changed(c);
    js_dispatch_expect(c, js_consumer_end(c, now, e->redelivered));
    return 0;
}

struct taking {
    struct js_consumer *c;
    js_time_t now;
    bool retires;
    bool removed; /* something left the stream */
    bool state;   /* something is only done because the state says so */
};

static int take_one(struct taking *t, const struct js_ack *a) {
    bool kept = false;
    int r;

    switch (a->kind) {
    case JS_ACK:
    case JS_TERM:
        r = t->retires ? acknowledge_and_retire(t->c, a->seq, &kept) : acknowledge(t->c, a->seq);
        t->removed |= t->retires;
        t->state |= r == 0 && (kept || !t->retires);
        return r;
    case JS_NAK:
        return refuse(t->c, a->seq, a->delay, t->now);
    case JS_IN_PROGRESS:
        return prolong(t->c, a->seq, t->now);
    }
    return JS_ERR_INVAL;
}

/* Only what is final must outlive a crash: everything else only comes again. mu held, let go of. */
static int settle(struct taking *t) {
    struct js_consumer *c = t->c;
    enum js_sync_mode mode = c->stream->sync_mode;
    int r = t->state ? js_consumer_make_durable(c) : 0;

    pthread_mutex_unlock(&c->mu);
    if (t->state || !t->removed || (mode != JS_SYNC_CLOSE && mode != JS_SYNC_ALWAYS))
        return r;
    return js_stream_sync(c->stream);
}

int js_consumer_ack(struct js_consumer *c, const struct js_ack *acks, size_t n, size_t *ret_done) {
    struct taking t = {.c = c,
                       .now = c->env->clock->now(c->env->clock->ctx),
                       .retires = js_stream_retires(c->stream)};
    size_t done = 0;
    int settled;

    if (ret_done)
        *ret_done = 0;
    if (c->config.ack_policy == 'n')
        return JS_ERR_NO_ACK_POLICY;
    if (t.retires)
        pthread_mutex_lock(&c->stream->retire_mu);
    int r = js_consumer_lock(c);
    bool open = r == 0;
    for (; done < n && r == 0; done += r == 0)
        r = take_one(&t, &acks[done]);
    if (t.retires)
        pthread_mutex_unlock(&c->stream->retire_mu);
    if (!open)
        return r;
    settled = settle(&t);
    js_consumer_tell_ready(c);
    if (settled < 0)
        return settled;
    if (ret_done)
        *ret_done = done;
    return r;
}

int js_consumer_undeliver(struct js_consumer *c, js_seq_t seq) {
    int r = js_consumer_lock(c);

    if (r < 0)
        return r;
    r = refuse(c, seq, 0, c->env->clock->now(c->env->clock->ctx));
    if (r == 0)
        c->w.entries[js_window_find(&c->w, seq)].flags |= JS_ENTRY_UNSEEN;
    pthread_mutex_unlock(&c->mu);
    js_consumer_tell_ready(c);
    return r;
}

int js_consumer_seek(struct js_consumer *c, js_seq_t seq) {
    struct js_stream_state st;

    js_stream_get_state(c->stream, &st);
    if (seq < st.first_seq)
        seq = st.first_seq;
    if (seq == 0)
        seq = 1;
    if (seq > st.last_seq + 1)
        seq = st.last_seq + 1;
    return js_consumer_reset(c, seq - 1);
}

int js_consumer_seek_time(struct js_consumer *c, js_time_t time) {
    js_seq_t seq;
    int r = js_stream_seq_from_time(c->stream, time, &seq);

    return r < 0 ? r : js_consumer_seek(c, seq);
}
