/* SPDX-License-Identifier: Apache-2.0 */
/* Short words for what tests of delivering do over and over. */
#ifndef TESTS_CONSUMER_DELIVER_H
#define TESTS_CONSUMER_DELIVER_H

#include "tests/core/consumer_fixture.h"

#define MS (TE_SECOND / 1000)

static inline void begin(struct fixture *f, const char *retention, const char *config) {
    fx_begin(f, retention, JS_SYNC_CLOSE);
    fx_consumer(f, "c", config);
}

static inline struct js_delivery next(struct fixture *f) {
    struct js_delivery d = {0};
    size_t n = 0;
    int r = js_consumer_next(f->c, &d, 1, &n);

    if (r < 0)
        fail_msg("next: %s", js_err_name(r));
    assert_int_equal(n, 1);
    return d;
}

static inline int next_error(struct fixture *f) {
    struct js_delivery d;
    size_t n;

    return js_consumer_next(f->c, &d, 1, &n);
}

static inline void expect_next(struct fixture *f, js_seq_t seq, uint64_t count, uint64_t pending) {
    struct js_delivery d = next(f);

    assert_int_equal(d.seq, seq);
    assert_int_equal(d.count, count);
    assert_int_equal(d.num_pending, pending);
}

static inline int answer(struct fixture *f, js_seq_t seq, enum js_ack_kind kind, js_time_t delay) {
    struct js_ack a = {.seq = seq, .kind = kind, .delay = delay};

    return js_consumer_ack(f->c, &a, 1, NULL);
}

static inline void ack(struct fixture *f, js_seq_t seq) {
    assert_int_equal(answer(f, seq, JS_ACK, 0), 0);
}

static inline void expect_floor(struct fixture *f, js_seq_t seq, size_t pending) {
    struct js_consumer_state st;

    assert_int_equal(js_consumer_state(f->c, &st), 0);
    assert_int_equal(st.floor_stream, seq);
    assert_int_equal(st.num_pending, pending);
    js_consumer_state_done(&st);
}

static inline void run_due(struct fixture *f) {
    assert_int_equal(js_store_run_due(f->store, atomic_load(&f->te.now)), 0);
}

static uint64_t seed = 88172645463325252u;

static inline unsigned rnd(unsigned n) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed % n);
}

#endif
