/* SPDX-License-Identifier: Apache-2.0 */
/*
 * o.dat:
 *
 *   u8 22, u8 version
 *   uv floor consumer, uv floor stream, uv delivered consumer, uv delivered stream
 *   uv pending; if any: sv base (seconds), then each
 *     v2: uv stream - floor, uv consumer - floor, sv base - delivered (seconds)
 *     v1: uv stream - floor, sv delivered - base
 *   uv redelivered, each uv stream - floor, uv count
 *
 * Differences wrap modulo 2^64. In version 1 the delivered values count from the floor.
 */
#include "core/format/consumer_state.h"

#include <stdlib.h>

#include "core/base/bytes.h"

#define MAGIC    22
#define HIGH_BIT (1ull << 63)
#define SECOND   INT64_C(1000000000)

void js_consumer_state_done(struct js_consumer_state *state) {
    if (!state->env)
        return;
    js_free(state->env, state->pending);
    js_free(state->env, state->redelivered);
    state->pending = NULL;
    state->redelivered = NULL;
    state->num_pending = state->num_redelivered = 0;
}

static js_time_t seconds(uint64_t s) {
    return (js_time_t)(s * (uint64_t)SECOND);
}

static int read_pending(struct js_reader *r, uint8_t version, struct js_consumer_state *st) {
    uint64_t n = js_read_uv(r);

    if (r->bad || n > js_reader_left(r) / 2)
        return JS_ERR_CORRUPT;
    if (n == 0)
        return 0;
    uint64_t base = (uint64_t)js_read_sv(r);
    st->pending = js_realloc_array(st->env, NULL, n, sizeof *st->pending);
    if (!st->pending)
        return JS_ERR_NOMEM;
    for (uint64_t i = 0; i < n; i++) {
        struct js_pending *p = &st->pending[st->num_pending];
        p->redelivered = 0;
        p->stream_seq = js_read_uv(r) + st->floor_stream;
        p->consumer_seq = version == 2 ? js_read_uv(r) + st->floor_consumer : 0;
        uint64_t delta = (uint64_t)js_read_sv(r);
        p->delivered = seconds(version == 2 ? base - delta : base + delta);
        if (r->bad || p->stream_seq == 0)
            return JS_ERR_CORRUPT;
        st->num_pending++;
    }
    return 0;
}

static int read_redelivered(struct js_reader *r, struct js_consumer_state *st) {
    uint64_t n = js_read_uv(r);

    if (r->bad || n > js_reader_left(r) / 2)
        return JS_ERR_CORRUPT;
    if (n == 0)
        return 0;
    st->redelivered = js_calloc(st->env, n, sizeof *st->redelivered);
    if (!st->redelivered)
        return JS_ERR_NOMEM;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t delta = js_read_uv(r), count = js_read_uv(r);
        if (r->bad)
            return JS_ERR_CORRUPT;
        if (delta == 0 || count == 0)
            continue;
        st->redelivered[st->num_redelivered++] = (struct js_consumer_redelivered){
            .stream_seq = delta + st->floor_stream, .count = count};
    }
    return 0;
}

static int cmp_pending(const void *a, const void *b) {
    const struct js_pending *x = a, *y = b;
    return (x->stream_seq > y->stream_seq) - (x->stream_seq < y->stream_seq);
}

static int cmp_redelivered(const void *a, const void *b) {
    const struct js_consumer_redelivered *x = a, *y = b;
    return (x->stream_seq > y->stream_seq) - (x->stream_seq < y->stream_seq);
}

/* Servers write maps in any order, we in ascending order. Of an entry that is there twice the first
 * counts. */
static void sort_pending(struct js_consumer_state *st) {
    struct js_pending *p = st->pending;
    size_t n = 1, to = 1;

    while (n < st->num_pending && p[n].stream_seq > p[n - 1].stream_seq)
        n++;
    if (n >= st->num_pending)
        return;
    qsort(p, st->num_pending, sizeof *p, cmp_pending);
    for (size_t i = 1; i < st->num_pending; i++)
        if (p[i].stream_seq != p[to - 1].stream_seq)
            p[to++] = p[i];
    st->num_pending = to;
}

static void sort_redelivered(struct js_consumer_state *st) {
    struct js_consumer_redelivered *p = st->redelivered;
    size_t n = 1, to = 1;

    while (n < st->num_redelivered && p[n].stream_seq > p[n - 1].stream_seq)
        n++;
    if (n >= st->num_redelivered)
        return;
    qsort(p, st->num_redelivered, sizeof *p, cmp_redelivered);
    for (size_t i = 1; i < st->num_redelivered; i++)
        if (p[i].stream_seq != p[to - 1].stream_seq)
            p[to++] = p[i];
    st->num_redelivered = to;
}

/* Sorts both lists and tells each pending entry how often it was redelivered. */
static void join(struct js_consumer_state *st) {
    size_t k = 0;

    sort_pending(st);
    sort_redelivered(st);
    for (size_t i = 0; i < st->num_pending; i++) {
        while (k < st->num_redelivered && st->redelivered[k].stream_seq < st->pending[i].stream_seq)
            k++;
        if (k < st->num_redelivered && st->redelivered[k].stream_seq == st->pending[i].stream_seq)
            st->pending[i].redelivered = st->redelivered[k].count;
    }
}

int js_consumer_state_decode(const struct js_env *env, const uint8_t *in, size_t len,
                             struct js_consumer_state *ret_state) {
    struct js_consumer_state st = {.env = env};
    struct js_reader r = js_reader_of(in, len);
    uint8_t magic = js_read_u8(&r), version = js_read_u8(&r);

    if (r.bad || magic != MAGIC)
        return JS_ERR_CORRUPT;
    if (version != 1 && version != 2)
        return JS_ERR_UNKNOWN_FORMAT;
    st.floor_consumer = js_read_uv(&r);
    st.floor_stream = js_read_uv(&r);
    st.delivered_consumer = js_read_uv(&r);
    st.delivered_stream = js_read_uv(&r);
    if (version == 1) {
        if (st.floor_consumer > 1)
            st.delivered_consumer += st.floor_consumer - 1;
        if (st.floor_stream > 1)
            st.delivered_stream += st.floor_stream - 1;
    }
    int e = r.bad || ((st.floor_stream | st.delivered_stream) & HIGH_BIT) ? JS_ERR_CORRUPT : 0;
    if (e == 0)
        e = read_pending(&r, version, &st);
    if (e == 0)
        e = read_redelivered(&r, &st);
    if (e < 0) {
        js_consumer_state_done(&st);
        return e;
    }
    join(&st);
    *ret_state = st;
    return 0;
}

int js_state_begin(struct js_state_writer *w, const struct js_consumer_state *head,
                   size_t num_pending, size_t num_redelivered, js_time_t now, struct js_buf *out) {
    size_t numbers = 8, each;

    if (__builtin_mul_overflow(num_pending, (size_t)3, &each) ||
        __builtin_add_overflow(numbers, each, &numbers) ||
        __builtin_mul_overflow(num_redelivered, (size_t)2, &each) ||
        __builtin_add_overflow(numbers, each, &numbers) ||
        __builtin_mul_overflow(numbers, (size_t)JS_STATE_MAX_UV, &each) ||
        js_buf_reserve(out, each) < 0)
        return JS_ERR_NOMEM;
    *w = (struct js_state_writer){.p = out->data + out->len,
                                  .floor_consumer = head->floor_consumer,
                                  .floor_stream = head->floor_stream,
                                  .base = now / SECOND};
    *w->p++ = MAGIC;
    *w->p++ = 2;
    js_state_put(w, head->floor_consumer);
    js_state_put(w, head->floor_stream);
    js_state_put(w, head->delivered_consumer);
    js_state_put(w, head->delivered_stream);
    js_state_put(w, num_pending);
    if (num_pending)
        js_state_put_signed(w, w->base);
    return 0;
}

int js_consumer_state_encode(const struct js_consumer_state *st, js_time_t now,
                             struct js_buf *out) {
    struct js_state_writer w;
    int r = js_state_begin(&w, st, st->num_pending, st->num_redelivered, now, out);

    if (r < 0)
        return r;
    for (size_t i = 0; i < st->num_pending; i++)
        js_state_put_pending(&w, st->pending[i].stream_seq, st->pending[i].consumer_seq,
                             st->pending[i].delivered);
    js_state_put(&w, st->num_redelivered);
    for (size_t i = 0; i < st->num_redelivered; i++)
        js_state_put_count(&w, st->redelivered[i].stream_seq, st->redelivered[i].count);
    out->len = (size_t)(w.p - out->data);
    return 0;
}
