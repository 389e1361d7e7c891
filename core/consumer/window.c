/* SPDX-License-Identifier: Apache-2.0 */
#include "core/consumer/window.h"

#include "core/format/consumer_state.h"

#define PACK_MIN 64

void js_window_done(struct js_window *w) {
    js_free(w->env, w->entries);
    js_free(w->env, w->others);
    *w = (struct js_window){.env = w->env};
}

void js_window_clear(struct js_window *w) {
    struct js_window old = *w;

    *w = (struct js_window){.env = old.env,
                            .entries = old.entries,
                            .cap = old.cap,
                            .others = old.others,
                            .cap_others = old.cap_others};
}

/* ---- entries -----------------------------------------------------------------------------------
 */

/* Moves the live entries to the front of the array. */
static void pack(struct js_window *w) {
    size_t to = 0;

    for (size_t i = w->head; i < w->tail; i++)
        if (w->entries[i].flags & JS_ENTRY_LIVE)
            w->entries[to++] = w->entries[i];
    w->head = 0;
    w->tail = to;
}

int js_window_reserve(struct js_window *w, size_t n) {
    if (w->cap - w->tail >= n)
        return 0;
    if (w->live <= w->cap / 2 && w->cap - w->live >= n) {
        pack(w);
        return 0;
    }
    size_t cap = w->cap ? w->cap : PACK_MIN;
    while (cap - w->tail < n) {
        if (cap > SIZE_MAX / 2)
            return JS_ERR_NOMEM;
        cap *= 2;
    }
    struct js_entry *p = js_realloc_array(w->env, w->entries, cap, sizeof *p);
    if (!p)
        return JS_ERR_NOMEM;
    w->entries = p;
    w->cap = cap;
    return 0;
}

/* First index of head..tail whose sequence is >= seq. */
static size_t lower(const struct js_window *w, js_seq_t seq) {
    size_t lo = w->head, hi = w->tail;

    if (lo == hi || seq <= w->entries[lo].seq)
        return lo;
    if (seq > w->entries[hi - 1].seq)
        return hi;
    /* Sequences grow by at least one an entry: that bounds the place from both sides, and names it
     * where none is missing. */
    uint64_t from_head = seq - w->entries[lo].seq, from_end = w->entries[hi - 1].seq - seq;
    hi--;
    if (from_end < hi - lo)
        lo = hi - (size_t)from_end;
    if (from_head < hi - w->head)
        hi = w->head + (size_t)from_head;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (w->entries[mid].seq >= seq)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

size_t js_window_find(const struct js_window *w, js_seq_t seq) {
    size_t i = lower(w, seq);

    if (i < w->tail && w->entries[i].seq == seq && (w->entries[i].flags & JS_ENTRY_LIVE))
        return i;
    return JS_NO_ENTRY;
}

static size_t skip_dead(const struct js_window *w, size_t i) {
    while (i < w->tail && !(w->entries[i].flags & JS_ENTRY_LIVE))
        i++;
    return i < w->tail ? i : JS_NO_ENTRY;
}

size_t js_window_from(const struct js_window *w, js_seq_t seq) {
    return skip_dead(w, lower(w, seq));
}

size_t js_window_after(const struct js_window *w, size_t i) {
    return skip_dead(w, i + 1);
}

static void drop_entry(struct js_window *w, size_t i) {
    struct js_entry *e = &w->entries[i];

    w->counted -= e->redelivered > 0;
    e->flags = 0;
    if (--w->live == 0) {
        w->head = w->tail = 0;
        return;
    }
    while (!(w->entries[w->head].flags & JS_ENTRY_LIVE))
        w->head++;
    while (!(w->entries[w->tail - 1].flags & JS_ENTRY_LIVE))
        w->tail--;
    if (w->tail - w->head > 4 * w->live + PACK_MIN)
        pack(w);
}

static void set_count(struct js_window *w, struct js_entry *e, uint64_t count) {
    w->counted -= e->redelivered > 0;
    e->redelivered = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
    w->counted += e->redelivered > 0;
}

/* ---- counts of what is not pending -------------------------------------------------------------
 */

static size_t find_other(const struct js_window *w, js_seq_t seq) {
    size_t lo = 0, hi = w->num_others;

    if (hi && w->others[hi - 1].stream_seq < seq)
        return hi;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (w->others[mid].stream_seq < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool is_other(const struct js_window *w, size_t i, js_seq_t seq) {
    return i < w->num_others && w->others[i].stream_seq == seq;
}

/* The greater of the count there is and this one. */
static int raise_other(struct js_window *w, js_seq_t seq, uint64_t count) {
    size_t i = find_other(w, seq);

    if (!is_other(w, i, seq)) {
        if (w->num_others == w->cap_others) {
            size_t cap = w->cap_others ? w->cap_others * 2 : 16;
            struct js_consumer_redelivered *p = js_realloc_array(w->env, w->others, cap, sizeof *p);
            if (!p)
                return JS_ERR_NOMEM;
            w->others = p;
            w->cap_others = cap;
        }
        memmove(&w->others[i + 1], &w->others[i], (w->num_others - i) * sizeof *w->others);
        w->others[i] = (struct js_consumer_redelivered){.stream_seq = seq};
        w->num_others++;
    }
    if (w->others[i].count < count)
        w->others[i].count = count;
    return 0;
}

/* Takes out the counts of first..last. */
static bool drop_others(struct js_window *w, js_seq_t first, js_seq_t last) {
    size_t from = find_other(w, first), to = from;

    while (to < w->num_others && w->others[to].stream_seq <= last)
        to++;
    if (to == from)
        return false;
    memmove(&w->others[from], &w->others[to], (w->num_others - to) * sizeof *w->others);
    w->num_others -= to - from;
    return true;
}

uint64_t js_window_redelivered(const struct js_window *w, js_seq_t seq) {
    size_t i = js_window_find(w, seq);

    if (i != JS_NO_ENTRY)
        return w->entries[i].redelivered;
    i = find_other(w, seq);
    return is_other(w, i, seq) ? w->others[i].count : 0;
}

bool js_window_forget_counts_below(struct js_window *w, js_seq_t seq) {
    bool changed = seq > 0 && drop_others(w, 0, seq - 1);

    for (size_t i = js_window_from(w, 0); i != JS_NO_ENTRY && w->entries[i].seq < seq;
         i = js_window_after(w, i)) {
        changed |= w->entries[i].redelivered > 0;
        set_count(w, &w->entries[i], 0);
    }
    return changed;
}

/* ---- states ------------------------------------------------------------------------------------
 */

int js_window_check(const struct js_consumer_state *st) {
    if (st->floor_consumer > st->delivered_consumer || st->floor_stream > st->delivered_stream)
        return JS_ERR_INVAL;
    for (size_t i = 0; i < st->num_pending; i++) {
        js_seq_t seq = st->pending[i].stream_seq;
        if (seq <= st->floor_stream || seq > st->delivered_stream)
            return JS_ERR_INVAL;
        if (i && seq <= st->pending[i - 1].stream_seq)
            return JS_ERR_INVAL;
    }
    for (size_t i = 1; i < st->num_redelivered; i++)
        if (st->redelivered[i].stream_seq <= st->redelivered[i - 1].stream_seq)
            return JS_ERR_INVAL;
    return 0;
}

static struct js_entry entry_of(const struct js_pending *p) {
    return (struct js_entry){.seq = p->stream_seq,
                             .dseq = p->consumer_seq,
                             .time = p->delivered,
                             .flags = JS_ENTRY_LIVE};
}

/* Puts the counts where they belong: both lists ascend. */
static int join_counts(struct js_window *w, const struct js_consumer_state *st) {
    size_t i = w->head;
    int r = 0;

    for (size_t k = 0; k < st->num_redelivered && r == 0; k++) {
        const struct js_consumer_redelivered *c = &st->redelivered[k];
        while (i < w->tail && w->entries[i].seq < c->stream_seq)
            i++;
        if (i < w->tail && w->entries[i].seq == c->stream_seq)
            set_count(w, &w->entries[i], c->count);
        else
            r = raise_other(w, c->stream_seq, c->count);
    }
    return r;
}

static struct js_window begin_set(const struct js_window *w, const struct js_consumer_state *st) {
    return (struct js_window){.env = w->env,
                              .delivered_consumer = st->delivered_consumer,
                              .delivered_stream = st->delivered_stream,
                              .floor_consumer = st->floor_consumer,
                              .floor_stream = st->floor_stream};
}

static int end_set(struct js_window *w, struct js_window *n, const struct js_consumer_state *st) {
    /* What a file says to be out and was never delivered: it comes as a new one. */
    n->tail = st->num_pending;
    while (n->tail && n->entries[n->tail - 1].seq > n->delivered_stream)
        n->tail--;
    n->live = n->tail;
    if (n->floor_consumer > n->delivered_consumer)
        n->floor_consumer = n->delivered_consumer;
    if (n->floor_stream > n->delivered_stream)
        n->floor_stream = n->delivered_stream;
    int r = n->delivered_consumer >> 63 ? JS_ERR_CORRUPT : join_counts(n, st);

    if (r < 0) {
        js_window_done(n);
        return r;
    }
    js_window_done(w);
    *w = *n;
    return 0;
}

int js_window_set(struct js_window *w, const struct js_consumer_state *st) {
    struct js_window n = begin_set(w, st);
    int r = st->num_pending ? js_window_reserve(&n, st->num_pending) : 0;

    if (r < 0)
        return r;
    for (size_t i = 0; i < st->num_pending; i++)
        n.entries[i] = entry_of(&st->pending[i]);
    return end_set(w, &n, st);
}

_Static_assert(sizeof(struct js_entry) == sizeof(struct js_pending), "one takes the other's place");

int js_window_take(struct js_window *w, struct js_consumer_state *st) {
    struct js_window n = begin_set(w, st);
    void *memory = st->pending;

    for (size_t i = 0; i < st->num_pending; i++) {
        struct js_entry e = entry_of(&st->pending[i]);
        memcpy((char *)memory + i * sizeof e, &e, sizeof e);
    }
    st->pending = NULL;
    n.entries = memory;
    n.cap = st->num_pending;
    return end_set(w, &n, st);
}

static void add_count(struct js_consumer_state *st, js_seq_t seq, uint64_t count) {
    st->redelivered[st->num_redelivered++] =
        (struct js_consumer_redelivered){.stream_seq = seq, .count = count};
}

int js_window_copy(const struct js_window *w, struct js_consumer_state *ret_state) {
    struct js_consumer_state st = {.env = w->env,
                                   .delivered_consumer = w->delivered_consumer,
                                   .delivered_stream = w->delivered_stream,
                                   .floor_consumer = w->floor_consumer,
                                   .floor_stream = w->floor_stream};
    size_t counts = w->counted + w->num_others, k = 0;

    if (w->live)
        st.pending = js_malloc(w->env, w->live * sizeof *st.pending);
    if (counts)
        st.redelivered = js_malloc(w->env, counts * sizeof *st.redelivered);
    if ((w->live && !st.pending) || (counts && !st.redelivered)) {
        js_consumer_state_done(&st);
        return JS_ERR_NOMEM;
    }
    for (size_t i = w->head; i < w->tail; i++) {
        const struct js_entry *e = &w->entries[i];
        if (!(e->flags & JS_ENTRY_LIVE))
            continue;
        st.pending[st.num_pending++] = (struct js_pending){.stream_seq = e->seq,
                                                           .consumer_seq = e->dseq,
                                                           .delivered = e->time,
                                                           .redelivered = e->redelivered};
        if (e->redelivered == 0)
            continue;
        for (; k < w->num_others && w->others[k].stream_seq < e->seq; k++)
            add_count(&st, w->others[k].stream_seq, w->others[k].count);
        add_count(&st, e->seq, e->redelivered);
    }
    for (; k < w->num_others; k++)
        add_count(&st, w->others[k].stream_seq, w->others[k].count);
    *ret_state = st;
    return 0;
}

int js_window_encode(const struct js_window *w, js_time_t now, struct js_buf *out) {
    const struct js_consumer_state head = {.delivered_consumer = w->delivered_consumer,
                                           .delivered_stream = w->delivered_stream,
                                           .floor_consumer = w->floor_consumer,
                                           .floor_stream = w->floor_stream};
    size_t counts = w->counted + w->num_others, k = 0;
    struct js_state_writer sw;
    int r = js_state_begin(&sw, &head, w->live, counts, now, out);

    if (r < 0)
        return r;
    for (size_t i = w->head; i < w->tail; i++) {
        const struct js_entry *e = &w->entries[i];
        if (e->flags & JS_ENTRY_LIVE)
            js_state_put_pending(&sw, e->seq, e->dseq, e->time);
    }
    js_state_put(&sw, counts);
    for (size_t i = w->head; i < w->tail && w->counted; i++) {
        const struct js_entry *e = &w->entries[i];
        if (!(e->flags & JS_ENTRY_LIVE) || e->redelivered == 0)
            continue;
        for (; k < w->num_others && w->others[k].stream_seq < e->seq; k++)
            js_state_put_count(&sw, w->others[k].stream_seq, w->others[k].count);
        js_state_put_count(&sw, e->seq, e->redelivered);
    }
    for (; k < w->num_others; k++)
        js_state_put_count(&sw, w->others[k].stream_seq, w->others[k].count);
    out->len = (size_t)(sw.p - out->data);
    return 0;
}

/* ---- the rules ---------------------------------------------------------------------------------
 */

static void raise_to(uint64_t *v, uint64_t to) {
    if (*v < to)
        *v = to;
}

/* The count of a message that was delivered again; what was too often is pending no longer. */
static int deliver_again(struct js_window *w, const struct js_window_rules *rules, js_seq_t seq,
                         uint64_t count) {
    size_t i = js_window_find(w, seq);
    bool too_often = rules->max_deliver > 0 && count > (uint64_t)rules->max_deliver;

    if (i == JS_NO_ENTRY)
        return raise_other(w, seq, count - 1);
    struct js_entry *e = &w->entries[i];
    uint64_t was = e->redelivered;
    if (!too_often) {
        set_count(w, e, was > count - 1 ? was : count - 1);
        return 0;
    }
    int r = raise_other(w, seq, was > count - 1 ? was : count - 1);
    if (r == 0)
        drop_entry(w, i);
    return r;
}

int js_window_deliver(struct js_window *w, const struct js_window_rules *rules, uint64_t dseq,
                      js_seq_t seq, uint64_t count, js_time_t time) {
    if (rules->ack_policy == 'n' && count != 1)
        return JS_ERR_NO_ACK_POLICY;
    if (dseq <= w->floor_consumer)
        return 0; /* an old one once more */
    if (rules->ack_policy == 'n') {
        raise_to(&w->delivered_consumer, dseq);
        raise_to(&w->delivered_stream, seq);
        raise_to(&w->floor_consumer, dseq);
        raise_to(&w->floor_stream, seq);
        return 0;
    }
    if (seq <= w->delivered_stream) {
        size_t i = js_window_find(w, seq);
        if (i != JS_NO_ENTRY)
            w->entries[i].time = time;
    } else {
        int r = js_window_reserve(w, 1);
        if (r < 0)
            return r;
        /* A count may be there already: of a message that was sought again. */
        size_t k = find_other(w, seq);
        uint64_t known = is_other(w, k, seq) ? w->others[k].count : 0;
        if (known)
            drop_others(w, seq, seq);
        struct js_entry *e = &w->entries[w->tail++];
        *e = (struct js_entry){.seq = seq, .dseq = dseq, .time = time, .flags = JS_ENTRY_LIVE};
        w->live++;
        set_count(w, e, known);
    }
    raise_to(&w->delivered_consumer, dseq);
    raise_to(&w->delivered_stream, seq);
    return count > 1 ? deliver_again(w, rules, seq, count) : 0;
}

static void ack_all(struct js_window *w, uint64_t dseq, js_seq_t seq) {
    drop_others(w, w->floor_stream + 1, seq);
    for (size_t i = js_window_from(w, 0); i != JS_NO_ENTRY && w->entries[i].seq <= seq;
         i = w->live ? js_window_from(w, 0) : JS_NO_ENTRY)
        drop_entry(w, i);
    w->floor_consumer = dseq;
    w->floor_stream = seq;
}

static void ack_one(struct js_window *w, size_t i, uint64_t dseq, js_seq_t seq) {
    if (w->entries[i].dseq < dseq)
        dseq = w->entries[i].dseq;
    drop_entry(w, i);
    if (w->live == 0) {
        w->floor_consumer = w->delivered_consumer;
        w->floor_stream = w->delivered_stream;
        return;
    }
    if (dseq != w->floor_consumer + 1)
        return;
    w->floor_consumer = dseq;
    w->floor_stream = seq;
    i = js_window_from(w, seq + 1);
    if (i != JS_NO_ENTRY) {
        w->floor_consumer = w->entries[i].dseq - 1;
        w->floor_stream = w->entries[i].seq - 1;
    }
}

int js_window_ack(struct js_window *w, const struct js_window_rules *rules, uint64_t dseq,
                  js_seq_t seq, bool *ret_changed) {
    *ret_changed = false;
    if (rules->ack_policy == 'n')
        return JS_ERR_NO_ACK_POLICY;
    /* Acknowledged is acknowledged: its count goes, whatever else is found. */
    *ret_changed = drop_others(w, seq, seq);
    size_t i = js_window_find(w, seq);
    if (i != JS_NO_ENTRY && w->entries[i].redelivered) {
        set_count(w, &w->entries[i], 0);
        *ret_changed = true;
    }
    if (dseq <= w->floor_consumer)
        return 0;
    if (i == JS_NO_ENTRY)
        return JS_ERR_MSG_NOT_FOUND;
    *ret_changed = true;
    if (rules->ack_policy == 'e')
        ack_one(w, i, dseq, seq);
    else
        ack_all(w, dseq, seq);
    return 0;
}

bool js_window_cut(struct js_window *w, js_seq_t last) {
    if (w->delivered_stream <= last)
        return false;
    drop_others(w, last + 1, UINT64_MAX);
    while (w->live && w->entries[w->tail - 1].seq > last)
        drop_entry(w, w->tail - 1);
    w->delivered_stream = last;
    if (w->floor_stream > last)
        w->floor_stream = last;
    if (w->live == 0)
        w->floor_consumer = w->delivered_consumer;
    return true;
}
