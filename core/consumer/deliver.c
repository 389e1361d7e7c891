/* SPDX-License-Identifier: Apache-2.0 */
/* Which message comes next. */
#include "core/consumer/consumer.h"

#define BATCH 128

static js_time_t wall(const struct js_consumer *c) {
    return c->env->clock->now(c->env->clock->ctx);
}

/* ---- where delivery begins ---------------------------------------------------------------------
 */

/* The sequence before the first of the newest messages of every subject. */
static int first_of_lasts(struct js_stream *s, const struct js_filter *filter, js_seq_t last,
                          js_seq_t *ret_before) {
    js_seq_t *seqs;
    size_t n;
    int r = js_stream_last_seqs(s, filter, 0, 0, &seqs, &n);

    if (r < 0)
        return r;
    *ret_before = n ? seqs[0] - 1 : last;
    js_stream_free_seqs(s, seqs);
    return 0;
}

static int first_of_last(struct js_stream *s, const struct js_filter *filter, js_seq_t last,
                         js_seq_t *ret_before) {
    struct js_subject_state st;
    int r = js_stream_filtered_state(s, 0, filter, &st);

    if (r == 0)
        *ret_before = st.msgs ? st.last_seq - 1 : last;
    return r;
}

int js_consumer_first(struct js_stream *s, const struct js_consumer_config *config,
                      js_seq_t *ret_before) {
    struct js_filter filter = js_consumer_filter(config);
    struct js_stream_state st;
    js_seq_t seq;
    int r;

    js_stream_get_state(s, &st);
    js_seq_t first = st.first_seq ? st.first_seq : 1;
    switch (config->deliver_policy) {
    case 'n':
        *ret_before = st.last_seq;
        return 0;
    case 'l':
        return first_of_last(s, &filter, st.last_seq, ret_before);
    case 'p':
        return first_of_lasts(s, &filter, st.last_seq, ret_before);
    case 't':
        r = js_stream_seq_from_time(s, config->opt_start_time, &seq);
        if (r < 0)
            return r;
        break;
    case 's':
        seq = config->opt_start_seq;
        break;
    default:
        seq = first;
    }
    if (seq < first)
        seq = first;
    if (seq > st.last_seq + 1)
        seq = st.last_seq + 1;
    *ret_before = seq - 1;
    return 0;
}

/*
 * Last per subject: the newest message of every subject at the time when the consumer was made,
 * then everything since. The list is not stored; it is made again when the consumer is opened
 * before it came to its end.
 */
static int list_lasts(struct js_consumer *c) {
    struct js_filter filter = js_consumer_filter(&c->config);
    struct js_dispatch *d = &c->d;
    js_seq_t after;
    js_time_t created = c->config.created;
    int r =
        js_stream_seq_from_time(c->stream, created == INT64_MAX ? created : created + 1, &after);

    if (r < 0)
        return r;
    if (c->config.created == 0 || after <= 1 || c->w.delivered_stream >= after - 1)
        return 0;
    d->resume = after;
    r = js_stream_last_seqs(c->stream, &filter, after - 1, 0, &d->lasts, &d->num_lasts);
    if (r < 0)
        return r;
    while (d->at_last < d->num_lasts && d->lasts[d->at_last] <= c->w.delivered_stream)
        d->at_last++;
    return 0;
}

int js_dispatch_begin(struct js_consumer *c) {
    struct js_dispatch *d = &c->d;
    int r = 0;

    *d = (struct js_dispatch){.next = c->w.delivered_stream + 1};
    if (c->config.pause_until > wall(c))
        d->paused_until = c->config.pause_until;
    for (size_t i = js_window_from(&c->w, 0); i != JS_NO_ENTRY && r == 0;
         i = js_window_after(&c->w, i)) {
        struct js_entry *e = &c->w.entries[i];
        if (e->flags & JS_ENTRY_DUE) {
            e->flags &= ~(uint32_t)JS_ENTRY_DUE;
            r = js_dispatch_push(c, i);
        } else {
            js_dispatch_expect(c, js_consumer_end(c, e->time, e->redelivered));
        }
    }
    if (r == 0 && c->config.deliver_policy == 'p')
        r = list_lasts(c);
    return r;
}

void js_dispatch_done(struct js_consumer *c) {
    js_stream_free_seqs(c->stream, c->d.lasts);
    js_free(c->env, c->d.due);
    c->d = (struct js_dispatch){0};
}

/* ---- delivering --------------------------------------------------------------------------------
 */

struct batch {
    struct js_delivery *out;
    size_t n, max;
    js_time_t now;
};

static int hand_out(struct js_consumer *c, struct batch *b, js_seq_t seq, uint64_t count) {
    struct js_window_rules rules = js_consumer_rules(c);
    uint64_t dseq = c->w.delivered_consumer + 1;
    int r = js_window_deliver(&c->w, &rules, dseq, seq, count, b->now);

    if (r < 0)
        return r;
    size_t i = js_window_find(&c->w, seq);
    if (i != JS_NO_ENTRY) {
        js_dispatch_expect(c, js_consumer_end(c, b->now, c->w.entries[i].redelivered));
        c->w.entries[i].flags &= ~(uint32_t)(JS_ENTRY_DUE | JS_ENTRY_UNSEEN);
    }
    js_consumer_changed(c);
    b->out[b->n++] = (struct js_delivery){.seq = seq, .consumer_seq = dseq, .count = count};
    return 0;
}

/* 1, or 0 when it was removed or is damaged; anything else says nothing about the message. */
static int is_there(struct js_consumer *c, js_seq_t seq) {
    struct js_msg_stat st;
    int r = js_stream_stat_msg(c->stream, seq, &st);

    if (r == JS_ERR_MSG_NOT_FOUND || r == JS_ERR_DELETED_MSG || r == JS_ERR_EOF)
        return 0;
    return r < 0 ? r : !st.damaged;
}

/* One that waits to be delivered again. Those that were removed meanwhile, or were delivered too
 * often, are pending no longer. */
static int again(struct js_consumer *c, struct batch *b, size_t i) {
    struct js_window_rules rules = js_consumer_rules(c);
    struct js_entry e = c->w.entries[i];
    uint64_t count = (uint64_t)e.redelivered + (e.flags & JS_ENTRY_UNSEEN ? 1 : 2);
    bool changed;
    int there = is_there(c, e.seq);

    if (there < 0)
        return there;
    if (!there) {
        js_consumer_changed(c);
        return js_window_ack(&c->w, &rules, js_window_dseq(&c->w, &e), e.seq, &changed);
    }
    if (rules.max_deliver > 0 && count > (uint64_t)rules.max_deliver) {
        js_consumer_changed(c);
        return js_window_deliver(&c->w, &rules, js_window_dseq(&c->w, &e), e.seq, count, b->now);
    }
    return hand_out(c, b, e.seq, count);
}

static int take_due(struct js_consumer *c, struct batch *b) {
    struct js_dispatch *d = &c->d;
    int r = 0;

    while (d->due_count && b->n < b->max && r == 0) {
        js_seq_t seq = d->due[d->due_head];
        size_t i = js_window_find(&c->w, seq);
        /* Acknowledged or told to be in progress since. */
        if (i != JS_NO_ENTRY && (c->w.entries[i].flags & JS_ENTRY_DUE))
            r = again(c, b, i);
        if (r == 0) {
            d->due_head = (d->due_head + 1) & (d->due_cap - 1);
            d->due_count--;
        }
    }
    return r;
}

int js_dispatch_drop_gone(struct js_consumer *c) {
    struct js_window_rules rules = js_consumer_rules(c);
    js_seq_t from = 0;
    int r = 0;

    for (;;) {
        size_t i = js_window_from(&c->w, from);
        if (i == JS_NO_ENTRY || r < 0)
            return r;
        struct js_entry e = c->w.entries[i];
        int there = is_there(c, e.seq);
        bool changed;
        if (there < 0)
            return there;
        /* An acknowledgement of all would take those before it along. */
        rules.ack_policy = 'e';
        if (!there)
            r = js_window_ack(&c->w, &rules, js_window_dseq(&c->w, &e), e.seq, &changed);
        from = e.seq + 1;
    }
}

/* How many new ones may be out besides those that are. */
static size_t room(const struct js_consumer *c, size_t wanted) {
    int64_t max = c->config.max_ack_pending;

    if (c->config.ack_policy == 'n' || max <= 0)
        return wanted;
    if (c->w.live >= (uint64_t)max)
        return 0;
    uint64_t left = (uint64_t)max - c->w.live;
    return left < wanted ? (size_t)left : wanted;
}

static int find_new(struct js_consumer *c, js_seq_t *seqs, size_t max, size_t *ret_n) {
    struct js_filter filter = js_consumer_filter(&c->config);
    struct js_dispatch *d = &c->d;
    size_t n = 0;

    for (size_t i = d->at_last; i < d->num_lasts && n < max; i++) {
        int there = is_there(c, d->lasts[i]);
        if (there < 0)
            return there;
        if (there)
            seqs[n++] = d->lasts[i];
    }
    *ret_n = n;
    if (n)
        return 0;
    d->at_last = d->num_lasts;
    if (d->next < d->resume)
        d->next = d->resume;
    return js_stream_list_seqs(c->stream, &filter, d->next, false, seqs, max, ret_n);
}

static int take_new(struct js_consumer *c, struct batch *b) {
    struct js_dispatch *d = &c->d;
    js_seq_t seqs[BATCH];
    size_t n = 1;
    int r = 0;

    while (r == 0 && n && b->n < b->max) {
        size_t want = room(c, b->max - b->n);
        if (want == 0)
            return b->n ? 0 : JS_ERR_MAX_ACK_PENDING;
        r = find_new(c, seqs, want < BATCH ? want : BATCH, &n);
        for (size_t i = 0; i < n && r == 0; i++) {
            js_seq_t seq = seqs[i];
            r = hand_out(c, b, seq, 1 + js_window_redelivered(&c->w, seq));
            if (r < 0)
                break;
            while (d->at_last < d->num_lasts && d->lasts[d->at_last] <= seq)
                d->at_last++;
            d->next = seq + 1;
            js_dispatch_took(c, seq);
            b->out[b->n - 1].num_pending = d->pending;
        }
    }
    return r;
}

/* A stream that was cut back gives the sequences behind the cut anew. */
static int follow_back(struct js_consumer *c) {
    struct js_stream_state st;
    js_seq_t seen = c->d.seen;

    js_stream_get_state(c->stream, &st);
    c->d.seen = st.last_seq;
    if (st.last_seq >= seen || !js_window_cut(&c->w, st.last_seq))
        return 0;
    js_consumer_changed(c);
    js_dispatch_done(c);
    int r = js_dispatch_begin(c);
    c->d.seen = st.last_seq;
    return r;
}

/* What a purge took need not wait for its ack wait to be over; nor do counts below the first
 * message. */
static int forget_removed(struct js_consumer *c) {
    struct js_stream_state st;

    if (!c->d.lost_some)
        return 0;
    int r = js_dispatch_drop_gone(c);
    if (r < 0)
        return r;
    js_stream_get_state(c->stream, &st);
    js_window_forget_counts_below(&c->w, st.first_seq);
    js_consumer_changed(c);
    c->d.lost_some = false;
    return 0;
}

/* mu held. */
static int deliver(struct js_consumer *c, struct batch *b) {
    if (c->config.pause_until > b->now) {
        c->d.paused_until = c->config.pause_until;
        return JS_ERR_PAUSED;
    }
    int r = follow_back(c);
    if (r == 0)
        r = js_dispatch_expire(c, b->now, NULL);
    if (r == 0)
        r = js_dispatch_count(c);
    if (r == 0)
        r = forget_removed(c);
    if (r == 0)
        r = take_due(c, b);
    for (size_t i = 0; i < b->n; i++)
        b->out[i].num_pending = c->d.pending;
    if (r == 0)
        r = take_new(c, b);
    /* Those that were handed out are out. */
    if (b->n)
        return 0;
    return r == 0 ? JS_ERR_AGAIN : r;
}

/* Without acknowledgements, delivered is done. */
static int retire_delivered(struct js_consumer *c, const struct batch *b) {
    js_seq_t *seqs = js_malloc(c->env, b->n * sizeof *seqs);
    bool kept;

    if (!seqs)
        return JS_ERR_NOMEM;
    for (size_t i = 0; i < b->n; i++)
        seqs[i] = b->out[i].seq;
    int r = js_consumer_retire(c, seqs, b->n, &kept);
    js_free(c->env, seqs);
    return r;
}

int js_consumer_next(struct js_consumer *c, struct js_delivery *out, size_t max, size_t *ret_n) {
    struct batch b = {.out = out, .max = max, .now = wall(c)};
    bool retires = c->config.ack_policy == 'n' && js_stream_retires(c->stream);

    if (max == 0)
        return JS_ERR_INVAL;
    if (retires)
        pthread_mutex_lock(&c->stream->retire_mu);
    int r = js_consumer_lock(c);
    if (r == 0) {
        r = deliver(c, &b);
        pthread_mutex_unlock(&c->mu);
    }
    if (r == 0 && retires)
        r = retire_delivered(c, &b);
    if (retires)
        pthread_mutex_unlock(&c->stream->retire_mu);
    if (r == 0)
        *ret_n = b.n;
    return r;
}

struct peek {
    js_seq_t *buf;
    size_t n, max;
};

static int peek_one(struct js_consumer *c, struct peek *p, js_seq_t seq) {
    int there = is_there(c, seq);

    if (there > 0)
        p->buf[p->n++] = seq;
    return there < 0 ? there : 0;
}

int js_consumer_peek(struct js_consumer *c, js_seq_t from, js_seq_t *buf, size_t max,
                     size_t *ret_n) {
    struct js_filter filter = js_consumer_filter(&c->config);
    struct peek p = {.buf = buf, .max = max};
    size_t more = 0;
    int r = js_consumer_lock(c);

    if (r < 0)
        return r;
    r = js_dispatch_expire(c, wall(c), NULL);
    for (size_t i = js_window_from(&c->w, from); i != JS_NO_ENTRY && p.n < max && r == 0;
         i = js_window_after(&c->w, i))
        if (c->w.entries[i].flags & JS_ENTRY_DUE)
            r = peek_one(c, &p, c->w.entries[i].seq);
    for (size_t i = c->d.at_last; i < c->d.num_lasts && p.n < max && r == 0; i++)
        if (c->d.lasts[i] >= from)
            r = peek_one(c, &p, c->d.lasts[i]);
    js_seq_t next = c->d.next > c->d.resume ? c->d.next : c->d.resume;
    if (r == 0 && p.n < max)
        r = js_stream_list_seqs(c->stream, &filter, from > next ? from : next, false, buf + p.n,
                                max - p.n, &more);
    pthread_mutex_unlock(&c->mu);
    if (r == 0)
        *ret_n = p.n + more;
    return r;
}

int js_consumer_inflight(struct js_consumer *c, js_seq_t from, struct js_pending *buf, size_t max,
                         size_t *ret_n) {
    size_t n = 0;
    int r = js_consumer_lock(c);

    if (r < 0)
        return r;
    r = js_dispatch_expire(c, wall(c), NULL);
    for (size_t i = js_window_from(&c->w, from); i != JS_NO_ENTRY && n < max;
         i = js_window_after(&c->w, i)) {
        const struct js_entry *e = &c->w.entries[i];
        if (!(e->flags & JS_ENTRY_DUE))
            buf[n++] = (struct js_pending){.stream_seq = e->seq,
                                           .consumer_seq = e->dseq,
                                           .delivered = e->time,
                                           .redelivered = e->redelivered};
    }
    pthread_mutex_unlock(&c->mu);
    if (r == 0)
        *ret_n = n;
    return r;
}
