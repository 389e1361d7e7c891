/* SPDX-License-Identifier: Apache-2.0 */
/* States in memory against a model, and their encoding. */
#include "tests/core/consumer_states.h"

/* ---- a model
 * ------------------------------------------------------------------------------------- */

#define MODEL 300

struct model {
    uint64_t dseq[MODEL], count[MODEL]; /* dseq 0: not pending */
    uint64_t delivered_c, delivered_s, floor_c, floor_s;
};

static unsigned rnd(uint64_t *x, unsigned n) {
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return (unsigned)(*x % n);
}

static uint64_t model_pending(const struct model *m) {
    uint64_t n = 0;

    for (int i = 0; i < MODEL; i++)
        n += m->dseq[i] != 0;
    return n;
}

static int model_ack(struct model *m, uint64_t dseq, js_seq_t seq) {
    m->count[seq] = 0;
    if (dseq <= m->floor_c)
        return 0;
    if (!m->dseq[seq])
        return JS_ERR_MSG_NOT_FOUND;
    if (m->dseq[seq] < dseq)
        dseq = m->dseq[seq];
    m->dseq[seq] = 0;
    if (model_pending(m) == 0) {
        m->floor_c = m->delivered_c;
        m->floor_s = m->delivered_s;
    } else if (dseq == m->floor_c + 1) {
        m->floor_c = dseq;
        m->floor_s = seq;
        for (js_seq_t i = seq + 1; i < MODEL; i++) {
            if (m->dseq[i]) {
                m->floor_c = m->dseq[i] - 1;
                m->floor_s = i - 1;
                break;
            }
        }
    }
    return 0;
}

static void check_model(const struct js_window *w, const struct model *m) {
    assert_int_equal(w->delivered_consumer, m->delivered_c);
    assert_int_equal(w->delivered_stream, m->delivered_s);
    assert_int_equal(w->floor_consumer, m->floor_c);
    assert_int_equal(w->floor_stream, m->floor_s);
    assert_int_equal(w->live, model_pending(m));
    size_t at = js_window_from(w, 0);
    for (js_seq_t i = 0; i < MODEL; i++) {
        assert_int_equal(js_window_redelivered(w, i), m->count[i]);
        assert_int_equal(js_window_find(w, i) != JS_NO_ENTRY, m->dseq[i] != 0);
        if (!m->dseq[i])
            continue;
        assert_int_equal(w->entries[at].seq, i);
        assert_int_equal(w->entries[at].dseq, m->dseq[i]);
        at = js_window_after(w, at);
    }
    assert_true(at == JS_NO_ENTRY);
}

/* Random deliveries, redeliveries and acknowledgements against arrays that know everything. */
static void window_against_model(void **s) {
    struct js_window_rules rules = {.ack_policy = 'e', .max_deliver = 4};
    uint64_t x = 88172645463325252u;

    (void)s;
    for (int round = 0; round < 60; round++) {
        struct js_window w = {.env = js_env_default()};
        static struct model m;
        bool changed;
        memset(&m, 0, sizeof m);
        for (int step = 0; step < 400; step++) {
            unsigned what = rnd(&x, 10);
            js_seq_t seq = rnd(&x, 4) == 0 ? rnd(&x, MODEL) : (js_seq_t)m.delivered_s;
            if (what < 4 && m.delivered_s + 6 < MODEL) {
                seq = m.delivered_s + 1 + (round % 3 ? rnd(&x, 5) : 0);
                uint64_t d = ++m.delivered_c;
                m.delivered_s = seq;
                m.dseq[seq] = d;
                assert_int_equal(js_window_deliver(&w, &rules, d, seq, 1, TE_START), 0);
            } else if (what < 6) {
                uint64_t d = m.delivered_c + 1, n = m.count[seq] + 2;
                if (!m.dseq[seq])
                    continue;
                m.delivered_c = d;
                if (n > 4)
                    m.dseq[seq] = 0;
                m.count[seq] = n - 1;
                assert_int_equal(js_window_deliver(&w, &rules, d, seq, n, TE_START), 0);
            } else {
                uint64_t d = m.dseq[seq] + rnd(&x, 3);
                assert_int_equal(js_window_ack(&w, &rules, d, seq, &changed),
                                 model_ack(&m, d, seq));
            }
            if (step % 7 == 0)
                check_model(&w, &m);
        }
        check_model(&w, &m);
        struct js_consumer_state st;
        assert_int_equal(js_window_copy(&w, &st), 0);
        assert_int_equal(js_window_set(&w, &st), 0);
        check_model(&w, &m);
        js_consumer_state_done(&st);
        js_window_done(&w);
    }
}

/* ---- encoding
 * ------------------------------------------------------------------------------------ */

static void round_trip(struct js_consumer_state *st) {
    struct js_buf buf = {.env = js_env_default()};
    struct js_consumer_state is;

    assert_int_equal(js_consumer_state_encode(st, TE_START, &buf), 0);
    assert_int_equal(js_consumer_state_decode(js_env_default(), buf.data, buf.len, &is), 0);
    assert_true(same_state(st, &is));
    js_consumer_state_done(&is);
    /* Cut off anywhere, it is no state. */
    for (size_t i = 0; i < buf.len; i++)
        assert_true(js_consumer_state_decode(js_env_default(), buf.data, i, &is) < 0);
    js_buf_done(&buf);
}

/* TestFileStoreConsumerEncodeDecodeRedelivered, ...PendingBelowStreamAckFloor, BadConsumerState */
static void encoded_states(void **s) {
    static const uint8_t zero_redelivered[] = {22, 2, 0x19, 0x1c, 0x1a, 0x1d, 0, 2, 0, 3, 1, 4};
    struct js_consumer_redelivered twice[] = {{122, 3}, {1000, 8}};
    struct js_pending below[] = {{1192, 10010, TE_START, 0},
                                 {10005, 10020, TE_START - 5 * TE_SECOND, 0}};
    struct js_consumer_state is, st = {.delivered_consumer = 100,
                                       .delivered_stream = 100,
                                       .floor_consumer = 50,
                                       .floor_stream = 50,
                                       .redelivered = twice,
                                       .num_redelivered = 2};

    (void)s;
    round_trip(&st);
    st = (struct js_consumer_state){.delivered_consumer = 1192,
                                    .delivered_stream = 10185,
                                    .floor_consumer = 1189,
                                    .floor_stream = 10815,
                                    .pending = below,
                                    .num_pending = 2};
    round_trip(&st);
    assert_int_equal(
        js_consumer_state_decode(js_env_default(), zero_redelivered, sizeof zero_redelivered, &is),
        0);
    assert_int_equal(is.num_redelivered, 1);
    assert_int_equal(is.redelivered[0].stream_seq, 0x1c + 1);
    js_consumer_state_done(&is);
}

/* Servers write their maps in any order, and nobody stops a file from naming an entry twice. */
static void unsorted_and_twice(void **s) {
    static const uint8_t in[] = {22, 2, 0, 0, 9, 9, 3, 0, 5, 5, 0, 3,
                                 3,  0, 5, 6, 0, 3, 5, 1, 3, 2, 5, 7};
    struct js_consumer_state st;

    (void)s;
    assert_int_equal(js_consumer_state_decode(js_env_default(), in, sizeof in, &st), 0);
    assert_int_equal(st.num_pending, 2);
    assert_int_equal(st.pending[0].stream_seq, 3);
    assert_int_equal(st.pending[0].redelivered, 2);
    assert_int_equal(st.pending[1].stream_seq, 5);
    assert_int_equal(st.num_redelivered, 2);
    js_consumer_state_done(&st);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(window_against_model),
        cmocka_unit_test(encoded_states),
        cmocka_unit_test(unsorted_and_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
