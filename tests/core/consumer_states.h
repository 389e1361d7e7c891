/* SPDX-License-Identifier: Apache-2.0 */
/* Short words for tests of consumers' states. */
#ifndef TESTS_CONSUMER_STATES_H
#define TESTS_CONSUMER_STATES_H

#include "core/consumer/window.h"
#include "core/format/consumer_state.h"
#include "tests/core/consumer_fixture.h"

static const char explicit_acks[] __attribute__((unused)) = "{\"ack_policy\":\"explicit\"}";

static inline void begin(struct fixture *f, const char *config) {
    fx_begin(f, NULL, JS_SYNC_CLOSE);
    fx_consumer(f, "c", config);
}

static inline struct js_consumer_state state_of(struct fixture *f) {
    struct js_consumer_state st;

    assert_int_equal(js_consumer_state(f->c, &st), 0);
    return st;
}

static inline void expect_floor(struct fixture *f, uint64_t dseq, js_seq_t seq) {
    struct js_consumer_state st = state_of(f);

    assert_int_equal(st.floor_consumer, dseq);
    assert_int_equal(st.floor_stream, seq);
    js_consumer_state_done(&st);
}

static inline bool same_state(const struct js_consumer_state *a,
                              const struct js_consumer_state *b) {
    if (a->delivered_consumer != b->delivered_consumer ||
        a->delivered_stream != b->delivered_stream || a->floor_consumer != b->floor_consumer ||
        a->floor_stream != b->floor_stream || a->num_pending != b->num_pending ||
        a->num_redelivered != b->num_redelivered)
        return false;
    for (size_t i = 0; i < a->num_pending; i++) {
        const struct js_pending *p = &a->pending[i], *q = &b->pending[i];
        if (p->stream_seq != q->stream_seq || p->consumer_seq != q->consumer_seq ||
            p->delivered / TE_SECOND != q->delivered / TE_SECOND ||
            p->redelivered != q->redelivered)
            return false;
    }
    for (size_t i = 0; i < a->num_redelivered; i++)
        if (a->redelivered[i].stream_seq != b->redelivered[i].stream_seq ||
            a->redelivered[i].count != b->redelivered[i].count)
            return false;
    return true;
}

/* The same after everything was closed and opened again. Messages must reach as far as the state.
 */
static inline void expect_same_after_reopening(struct fixture *f) {
    struct js_consumer_state was = state_of(f), is;

    fx_reopen(f, "c");
    is = state_of(f);
    assert_true(same_state(&was, &is));
    js_consumer_state_done(&was);
    js_consumer_state_done(&is);
}

/* Sequences up to `last` are there. */
static inline void fill(struct fixture *f, js_seq_t last) {
    struct js_stream_state st;

    js_stream_get_state(f->stream, &st);
    fx_store(f, "s.a", (unsigned)(last - st.last_seq));
}

#endif
