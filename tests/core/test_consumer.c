/* SPDX-License-Identifier: Apache-2.0 */
/* The consumer store: what its operations make of the state, and what is on disk when. */
#include "tests/core/consumer_fixture.h"

#include <pthread.h>

#include "core/consumer/window.h"
#include "core/format/consumer_state.h"

static const char explicit_acks[] = "{\"ack_policy\":\"explicit\"}";

static void begin(struct fixture *f, const char *config) {
    fx_begin(f, NULL, JS_SYNC_CLOSE);
    fx_consumer(f, "c", config);
}

static struct js_consumer_state state_of(struct fixture *f) {
    struct js_consumer_state st;

    assert_int_equal(js_consumer_state(f->c, &st), 0);
    return st;
}

static void expect_floor(struct fixture *f, uint64_t dseq, js_seq_t seq) {
    struct js_consumer_state st = state_of(f);

    assert_int_equal(st.floor_consumer, dseq);
    assert_int_equal(st.floor_stream, seq);
    js_consumer_state_done(&st);
}

static bool same_state(const struct js_consumer_state *a, const struct js_consumer_state *b) {
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
static void expect_same_after_reopening(struct fixture *f) {
    struct js_consumer_state was = state_of(f), is;

    fx_reopen(f, "c");
    is = state_of(f);
    assert_true(same_state(&was, &is));
    js_consumer_state_done(&was);
    js_consumer_state_done(&is);
}

/* Sequences up to `last` are there. */
static void fill(struct fixture *f, js_seq_t last) {
    struct js_stream_state st;

    js_stream_get_state(f->stream, &st);
    fx_store(f, "s.a", (unsigned)(last - st.last_seq));
}

/* ---- deliveries and acknowledgements
 * ------------------------------------------------------------- */

/* TestFileStoreConsumerDeliveredAndAckUpdates */
static void acks_out_of_order(void **s) {
    static const js_seq_t seqs[] = {100, 110, 130, 150, 165};
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 200);
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(js_consumer_update_delivered(f.c, i + 1, seqs[i], 1, TE_START), 0);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.delivered_consumer, 5);
    assert_int_equal(st.delivered_stream, 165);
    assert_int_equal(st.num_pending, 5);
    assert_int_equal(st.floor_consumer, 0);
    js_consumer_state_done(&st);
    assert_int_equal(js_consumer_update_acks(f.c, 1, 101), JS_ERR_MSG_NOT_FOUND);
    assert_int_equal(js_consumer_update_acks(f.c, 1, 100), 0);
    expect_floor(&f, 1, 109);
    assert_int_equal(js_consumer_update_acks(f.c, 3, 130), 0);
    expect_floor(&f, 1, 109);
    assert_int_equal(js_consumer_update_acks(f.c, 2, 110), 0);
    expect_floor(&f, 3, 149);
    expect_same_after_reopening(&f);
    assert_int_equal(js_consumer_update_acks(f.c, 5, 165), 0);
    expect_floor(&f, 3, 149);
    assert_int_equal(js_consumer_update_acks(f.c, 4, 150), 0);
    expect_floor(&f, 5, 165);
    /* What is below the floor is known. */
    assert_int_equal(js_consumer_update_acks(f.c, 4, 150), 0);
    assert_int_equal(js_consumer_update_delivered(f.c, 5, 165, 1, TE_START), 0);
    st = state_of(&f);
    assert_int_equal(st.num_pending, 0);
    js_consumer_state_done(&st);
    expect_same_after_reopening(&f);
    fx_end(&f);
}

/* TestFileStoreConsumerDeliveredUpdates */
static void no_acks(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, "{\"ack_policy\":\"none\"}");
    fill(&f, 300);
    assert_int_equal(js_consumer_update_delivered(f.c, 1, 100, 1, TE_START), 0);
    expect_floor(&f, 1, 100);
    assert_int_equal(js_consumer_update_delivered(f.c, 2, 110, 1, TE_START), 0);
    assert_int_equal(js_consumer_update_delivered(f.c, 5, 130, 1, TE_START), 0);
    expect_floor(&f, 5, 130);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.delivered_consumer, 5);
    assert_int_equal(st.num_pending, 0);
    js_consumer_state_done(&st);
    assert_int_equal(js_consumer_update_acks(f.c, 5, 130), JS_ERR_NO_ACK_POLICY);
    assert_int_equal(js_consumer_update_delivered(f.c, 6, 131, 2, TE_START), JS_ERR_NO_ACK_POLICY);
    assert_int_equal(js_consumer_update_starting(f.c, 200), 0);
    expect_floor(&f, 5, 200);
    assert_int_equal(js_consumer_update_starting(f.c, 150), 0);
    expect_floor(&f, 5, 200);
    expect_same_after_reopening(&f);
    fx_end(&f);
}

/* TestFileStoreConsumerRedeliveredLost */
static void redelivered_survives(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 10);
    assert_int_equal(js_consumer_update_delivered(f.c, 1, 1, 1, TE_START), 0);
    expect_same_after_reopening(&f);
    assert_int_equal(js_consumer_update_delivered(f.c, 2, 1, 2, TE_START), 0);
    assert_int_equal(js_consumer_update_delivered(f.c, 3, 1, 3, TE_START), 0);
    expect_same_after_reopening(&f);
    assert_int_equal(js_consumer_update_delivered(f.c, 4, 2, 1, TE_START), 0);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.num_pending, 2);
    assert_int_equal(st.pending[0].consumer_seq, 1); /* of the first delivery */
    assert_int_equal(st.num_redelivered, 1);
    assert_int_equal(st.redelivered[0].count, 2);
    js_consumer_state_done(&st);
    expect_same_after_reopening(&f);
    assert_int_equal(js_consumer_update_acks(f.c, 3, 1), 0);
    assert_int_equal(js_consumer_update_acks(f.c, 4, 2), 0);
    st = state_of(&f);
    assert_int_equal(st.num_pending, 0);
    assert_int_equal(st.num_redelivered, 0);
    assert_int_equal(st.floor_consumer, 4);
    js_consumer_state_done(&st);
    expect_same_after_reopening(&f);
    fx_end(&f);
}

/* TestFileStoreConsumerUpdateAcksFlushesRedelivered */
static void too_often(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, "{\"ack_policy\":\"explicit\",\"max_deliver\":1}");
    fill(&f, 10);
    assert_int_equal(js_consumer_update_delivered(f.c, 1, 1, 1, TE_START), 0);
    assert_int_equal(js_consumer_update_delivered(f.c, 2, 1, 2, TE_START), 0);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.num_pending, 0);
    assert_int_equal(st.num_redelivered, 1);
    js_consumer_state_done(&st);
    expect_same_after_reopening(&f);
    assert_int_equal(js_consumer_update_acks(f.c, 1, 1), JS_ERR_MSG_NOT_FOUND);
    fx_reopen(&f, "c");
    st = state_of(&f);
    assert_int_equal(st.num_redelivered, 0);
    js_consumer_state_done(&st);
    fx_end(&f);
}

static void ack_all_is_cumulative(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, "{\"ack_policy\":\"all\"}");
    fill(&f, 100);
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(js_consumer_update_delivered(f.c, i, i * 10, 1, TE_START), 0);
    assert_int_equal(js_consumer_update_delivered(f.c, 11, 30, 2, TE_START), 0);
    assert_int_equal(js_consumer_update_acks(f.c, 4, 45), JS_ERR_MSG_NOT_FOUND);
    assert_int_equal(js_consumer_update_acks(f.c, 4, 40), 0);
    expect_floor(&f, 4, 40);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.num_pending, 6);
    assert_int_equal(st.num_redelivered, 0);
    js_consumer_state_done(&st);
    /* A gap of two thousand million sequences takes no time. */
    assert_int_equal(js_consumer_update_delivered(f.c, 12, 1999999999, 1, TE_START), 0);
    assert_int_equal(js_consumer_update_acks(f.c, 12, 1999999999), 0);
    expect_floor(&f, 12, 1999999999);
    fx_end(&f);
}

static void counts_below_are_forgotten(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, "{\"ack_policy\":\"explicit\",\"max_deliver\":2}");
    fill(&f, 100);
    for (uint64_t i = 1; i <= 20; i++)
        assert_int_equal(js_consumer_update_delivered(f.c, i, i, 1, TE_START), 0);
    for (uint64_t i = 1; i <= 20; i++) /* 1..10 are dead letters then */
        assert_int_equal(js_consumer_update_delivered(f.c, 20 + i, i, i <= 10 ? 3 : 2, TE_START),
                         0);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.num_pending, 10);
    assert_int_equal(st.num_redelivered, 20);
    js_consumer_state_done(&st);
    assert_int_equal(js_consumer_remove_redelivered_below(f.c, 0), 0);
    assert_int_equal(js_consumer_remove_redelivered_below(f.c, 16), 0);
    st = state_of(&f);
    assert_int_equal(st.num_redelivered, 5);
    assert_int_equal(st.redelivered[0].stream_seq, 16);
    assert_int_equal(st.pending[0].redelivered, 0);
    assert_int_equal(st.pending[9].redelivered, 1);
    js_consumer_state_done(&st);
    expect_same_after_reopening(&f);
    fx_end(&f);
}

/* TestFileStoreConsumer, TestFileStoreResetConsumerToStreamState */
static void update_takes_over(void **s) {
    static struct js_pending many[8192];
    struct js_consumer_redelivered twice[] = {{22, 3}, {30, 8}};
    struct js_consumer_state st = {.delivered_consumer = 100, .delivered_stream = 100};
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 19000);
    assert_int_equal(js_consumer_update(f.c, &st), 0);
    st.floor_consumer = 101;
    assert_int_equal(js_consumer_update(f.c, &st), JS_ERR_INVAL);
    st.floor_consumer = 20, st.floor_stream = 200;
    assert_int_equal(js_consumer_update(f.c, &st), JS_ERR_INVAL);
    st.floor_stream = 20;
    struct js_pending p = {.stream_seq = 20, .consumer_seq = 20, .delivered = TE_START};
    st.pending = &p, st.num_pending = 1;
    assert_int_equal(js_consumer_update(f.c, &st), JS_ERR_INVAL);
    p.stream_seq = 101;
    assert_int_equal(js_consumer_update(f.c, &st), JS_ERR_INVAL);
    p.stream_seq = 22;
    st.redelivered = twice, st.num_redelivered = 2;
    assert_int_equal(js_consumer_update(f.c, &st), 0);
    struct js_consumer_state is = state_of(&f);
    p.redelivered = 3;
    assert_true(same_state(&st, &is));
    js_consumer_state_done(&is);
    expect_same_after_reopening(&f);
    /* Older ones only by force; what cannot be is refused before that. */
    st.delivered_consumer = 99;
    assert_int_equal(js_consumer_update(f.c, &st), JS_ERR_OLD_UPDATE);
    st.floor_consumer = 200;
    assert_int_equal(js_consumer_force_update(f.c, &st), JS_ERR_INVAL);
    assert_int_equal(js_consumer_update(f.c, &st), JS_ERR_INVAL);
    st.floor_consumer = 20;
    assert_int_equal(js_consumer_force_update(f.c, &st), 0);
    is = state_of(&f);
    assert_true(same_state(&st, &is));
    js_consumer_state_done(&is);
    for (size_t i = 0; i < 8192; i++)
        many[i] = (struct js_pending){
            .stream_seq = 100 + i * 2, .consumer_seq = 30 + i, .delivered = TE_START};
    st = (struct js_consumer_state){.delivered_consumer = 9000,
                                    .delivered_stream = 19000,
                                    .floor_consumer = 20,
                                    .floor_stream = 99,
                                    .pending = many,
                                    .num_pending = 8192};
    assert_int_equal(js_consumer_update(f.c, &st), 0);
    expect_same_after_reopening(&f);
    fx_end(&f);
}

static void starting_and_reset(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 100);
    assert_int_equal(js_consumer_set_starting(f.c, 22), 0);
    expect_floor(&f, 0, 22);
    expect_same_after_reopening(&f);
    assert_int_equal(js_consumer_update_delivered(f.c, 1, 23, 1, TE_START), 0);
    assert_int_equal(js_consumer_update_starting(f.c, 10), 0);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.delivered_stream, 23);
    js_consumer_state_done(&st);
    assert_int_equal(js_consumer_has_state(f.c), 1);
    assert_int_equal(js_consumer_reset(f.c, 7), 0);
    st = state_of(&f);
    assert_int_equal(st.num_pending, 0);
    assert_int_equal(st.delivered_consumer, 0);
    assert_int_equal(st.delivered_stream, 7);
    js_consumer_state_done(&st);
    expect_same_after_reopening(&f);
    assert_string_equal(js_consumer_type(f.c), "file");
    fx_end(&f);
}

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

/* ---- what is on disk when -------------------------------------------------------------------- */

static struct js_consumer_state file_of(struct fixture *f, const char *name) {
    struct js_consumer_state st;
    char path[200];
    uint8_t *data;

    snprintf(path, sizeof path, OBS "c/%s", name);
    long len = rd_get(f->disk, path, &data);
    assert_true(len > 0);
    assert_int_equal(js_consumer_state_decode(js_env_default(), data, (size_t)len, &st), 0);
    free(data);
    return st;
}

static uint64_t delivered_on_disk(struct fixture *f, const char *name) {
    struct js_consumer_state st = file_of(f, name);
    uint64_t n = st.delivered_consumer;

    js_consumer_state_done(&st);
    return n;
}

static void run_due(struct fixture *f) {
    assert_int_equal(js_store_run_due(f->store, atomic_load(&f->te.now)), 0);
}

static void states_are_written_in_time(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 1000);
    assert_int_equal(delivered_on_disk(&f, "o.dat"), 0);
    for (uint64_t i = 1; i <= 3; i++)
        assert_int_equal(js_consumer_update_delivered(f.c, i, i, 1, TE_START), 0);
    assert_int_equal(delivered_on_disk(&f, "o.dat"), 0);
    js_time_t due = js_store_next_deadline(f.store);
    assert_true(due > 0 && due <= atomic_load(&f.te.now));
    run_due(&f);
    assert_int_equal(delivered_on_disk(&f, "o.dat"), 3);
    /* The next one not before 100 ms are over, and nothing is forgotten meanwhile. */
    assert_int_equal(js_consumer_update_delivered(f.c, 4, 4, 1, TE_START), 0);
    run_due(&f);
    assert_int_equal(delivered_on_disk(&f, "o.dat"), 3);
    due = js_store_next_deadline(f.store);
    assert_true(due > atomic_load(&f.te.now));
    assert_true(due <= atomic_load(&f.te.now) + TE_SECOND / 10);
    te_advance(&f.te, TE_SECOND / 10);
    run_due(&f);
    assert_int_equal(delivered_on_disk(&f, "o.dat"), 4);
    assert_int_equal(js_consumer_update_delivered(f.c, 5, 5, 1, TE_START), 0);
    assert_int_equal(js_consumer_sync(f.c), 0);
    assert_int_equal(delivered_on_disk(&f, "o.dat"), 5);
    assert_int_equal(js_consumer_update_delivered(f.c, 6, 6, 1, TE_START), 0);
    assert_int_equal(js_consumer_stop(f.c), 0);
    assert_int_equal(delivered_on_disk(&f, "o.dat"), 6);
    assert_int_equal(js_consumer_stop(f.c), 0);
    assert_int_equal(js_consumer_update_acks(f.c, 6, 6), JS_ERR_STORE_CLOSED);
    assert_int_equal(js_consumer_has_state(f.c), JS_ERR_STORE_CLOSED);
    fx_end(&f);
}

static int add_size(void *ctx, const void *data, size_t len) {
    (void)data;
    *(size_t *)ctx += len;
    return 0;
}

static int look(void *ctx, const struct js_consumer_state *st) {
    *(uint64_t *)ctx = st->delivered_consumer;
    return 7;
}

static void looks_at_the_state(void **s) {
    uint64_t delivered = 0;
    size_t len = 0;
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 9);
    assert_int_equal(js_consumer_update_delivered(f.c, 1, 1, 1, TE_START), 0);
    assert_int_equal(js_consumer_encoded_state(f.c, add_size, &len), 0);
    assert_true(len > 8 && len < 40);
    assert_int_equal(js_consumer_borrow_state(f.c, look, &delivered), 7);
    assert_int_equal(delivered, 1);
    fx_end(&f);
}

/* A mode that syncs nothing keeps the last state that is on disk beside the new one. */
static void the_state_before_is_kept(void **s) {
    struct fixture f = {0};
    uint8_t *data;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 9);
    fx_let_go(&f);
    f.sync = JS_SYNC_OS;
    fx_open(&f);
    assert_int_equal(js_stream_open_consumer(f.stream, "c", &f.c), 0);
    for (uint64_t i = 1; i <= 2; i++) {
        assert_int_equal(js_consumer_update_delivered(f.c, i, i, 1, TE_START), 0);
        te_advance(&f.te, TE_SECOND);
        run_due(&f);
        assert_int_equal(delivered_on_disk(&f, "o.dat"), i);
        assert_int_equal(delivered_on_disk(&f, "o.dat.prev"), 0);
    }
    /* Torn: the one before counts, and says so. */
    struct ramdisk *crashed = rd_clone(f.disk);
    assert_int_equal(rd_put(crashed, OBS "c/o.dat", "\x16", 1), 0);
    assert_int_equal(js_consumer_sync(f.c), 0);
    assert_true(rd_get(f.disk, OBS "c/o.dat.prev", &data) < 0);
    fx_end(&f);

    f = (struct fixture){.disk = crashed, .sync = JS_SYNC_CLOSE};
    te_init(&f.te, rd_io(crashed));
    fx_open(&f);
    assert_int_equal(js_stream_open_consumer(f.stream, "c", &f.c), 0);
    expect_floor(&f, 0, 0);
    assert_int_equal(js_stream_verify(f.stream), 0);
    assert_int_equal(js_stream_health(f.stream), JS_HEALTH_DAMAGED);
    fx_let_go(&f);
    assert_int_equal(delivered_on_disk(&f, "o.dat"), 0);
    assert_true(rd_get(f.disk, OBS "c/o.dat.prev", &data) < 0);
    rd_free(crashed);
}

static int problem_of(void *ctx, const struct js_consumer_info *info) {
    snprintf(ctx, 200, "%s", info->problem);
    return (int)info->health;
}

/* A damaged state deletes nobody; reset mends it. */
static void damaged_states_are_mended(void **s) {
    char problem[200];
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 9);
    fx_let_go(&f);
    assert_int_equal(rd_put(f.disk, OBS "c/o.dat", "\x16\x02\x05", 3), 0);
    fx_open(&f);
    assert_int_equal(js_stream_open_consumer(f.stream, "c", &f.c), JS_ERR_CORRUPT);
    f.c = NULL;
    assert_int_equal(js_consumer_get(f.stream, "c", problem_of, problem), JS_HEALTH_DAMAGED);
    assert_int_equal(js_stream_repair_consumer(f.stream, "c", 5), 0);
    assert_int_equal(js_stream_open_consumer(f.stream, "c", &f.c), 0);
    expect_floor(&f, 0, 4);
    assert_int_equal(js_consumer_get(f.stream, "c", problem_of, problem), JS_HEALTH_OK);
    fx_end(&f);
}

/* A consumer that is ahead of its stream (which lost its end) would skip what comes. */
static void states_past_the_end(void **s) {
    static const uint8_t ahead[] = {22, 2, 3, 30, 5, 50, 2, 0, 2, 2, 0, 15, 3, 0, 1, 15, 1};
    struct js_store_options ro = {0};
    char problem[200];
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 40);
    fx_let_go(&f);
    assert_int_equal(rd_put(f.disk, OBS "c/o.dat", ahead, sizeof ahead), 0);
    assert_int_equal(js_store_open(&f.te.env, "/s", &ro, &f.store, f.why, sizeof f.why), 0);
    assert_int_equal(js_store_get_stream(f.store, "$G", "S", &f.stream), 0);
    assert_int_equal(js_consumer_get(f.stream, "c", problem_of, problem), JS_HEALTH_DAMAGED);
    assert_non_null(strstr(problem, "past the stream's last sequence"));
    assert_int_equal(js_stream_open_consumer(f.stream, "c", &f.c), JS_ERR_READ_ONLY);
    f.c = NULL;
    fx_let_go(&f);
    fx_open(&f);
    assert_int_equal(js_stream_repair_consumer(f.stream, "c", 0), 0);
    assert_int_equal(js_consumer_get(f.stream, "c", problem_of, problem), JS_HEALTH_OK);
    assert_int_equal(js_stream_open_consumer(f.stream, "c", &f.c), 0);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.delivered_stream, 40);
    assert_int_equal(st.floor_stream, 30);
    assert_int_equal(st.num_pending, 1);
    js_consumer_state_done(&st);
    fx_end(&f);
}

static int gone_of(void *ctx, const struct js_consumer_info *info) {
    *(uint64_t *)ctx = info->num_gone;
    return 0;
}

/* Pending messages that a damaged block has lost: told, and reset forgets them. */
static void pending_that_is_lost(void **s) {
    char problem[200];
    struct fixture f;
    uint64_t gone;
    uint8_t *data;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 9);
    for (uint64_t i = 1; i <= 4; i++)
        assert_int_equal(js_consumer_update_delivered(f.c, i, i, 1, TE_START), 0);
    assert_int_equal(js_stream_remove_msg(f.stream, 1), 1);
    fx_let_go(&f);
    long len = rd_get(f.disk, "/s/jetstream/$G/streams/S/msgs/1.blk", &data);
    assert_true(len > 100);
    data[93] ^= 0x40; /* the payload of the third message */
    assert_int_equal(rd_put(f.disk, "/s/jetstream/$G/streams/S/msgs/1.blk", data, (size_t)len), 0);
    free(data);
    assert_int_equal(rd_remove(f.disk, "/s/jetstream/$G/streams/S/msgs/index.db"), 0);
    fx_open(&f);
    assert_int_equal(js_stream_scan(f.stream), 0);
    assert_int_equal(js_consumer_get(f.stream, "c", problem_of, problem), JS_HEALTH_DAMAGED);
    assert_non_null(strstr(problem, "lost or deleted"));
    assert_int_equal(js_consumer_get(f.stream, "c", gone_of, &gone), 0);
    assert_int_equal(gone, 2);
    assert_int_equal(js_stream_repair_consumer(f.stream, "c", 0), 0);
    assert_int_equal(js_consumer_get(f.stream, "c", problem_of, problem), JS_HEALTH_OK);
    assert_int_equal(js_stream_open_consumer(f.stream, "c", &f.c), 0);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.num_pending, 2);
    assert_int_equal(st.floor_stream, 1);
    js_consumer_state_done(&st);
    fx_end(&f);
}

/* TestFileStoreNoDirectoryNotEmptyError */
static void deleted_while_it_changes(void **s) {
    char name[20];
    struct fixture f;

    (void)s;
    fx_begin(&f, NULL, JS_SYNC_CLOSE);
    fill(&f, 100);
    for (int i = 0; i < 20; i++) {
        uint8_t *data;
        snprintf(name, sizeof name, "c%d", i);
        fx_consumer(&f, name, NULL);
        assert_int_equal(js_consumer_update_delivered(f.c, 1, 1, 1, TE_START), 0);
        run_due(&f);
        assert_int_equal(js_consumer_update_delivered(f.c, 2, 2, 1, TE_START), 0);
        assert_int_equal(js_stream_delete_consumer(f.stream, name, false), JS_ERR_LOCKED);
        assert_int_equal(js_consumer_delete(f.c), 0);
        assert_int_equal(js_consumer_set_starting(f.c, 5), JS_ERR_STORE_CLOSED);
        assert_int_equal(js_consumer_delete(f.c), JS_ERR_NO_CONSUMER);
        snprintf(f.why, sizeof f.why, OBS "c%d/meta.inf", i);
        assert_true(rd_get(f.disk, f.why, &data) < 0);
    }
    fx_end(&f);
}

#define CONSUMERS 60
#define THREADS   4

struct crowd {
    struct fixture f;
    atomic_uint next;
    atomic_uint failed;
};

/* Makes, changes, writes and deletes consumers of its own. */
static void *one_of_many(void *ctx) {
    struct crowd *crowd = ctx;
    unsigned i;

    while ((i = atomic_fetch_add(&crowd->next, 1)) < CONSUMERS) {
        struct js_consumer *c;
        char name[20];
        snprintf(name, sizeof name, "c%u", i);
        int r = js_stream_create_consumer(crowd->f.stream, name, NULL, NULL, 0);
        if (r == 0)
            r = js_stream_open_consumer(crowd->f.stream, name, &c);
        if (r < 0) {
            atomic_fetch_add(&crowd->failed, 1);
            continue;
        }
        for (uint64_t k = 1; k <= 20 && r == 0; k++) {
            r = js_consumer_update_delivered(c, k, k, 1, TE_START);
            if (r == 0 && k % 3)
                r = js_consumer_update_acks(c, k, k);
            if (r == 0 && k % 7 == 0)
                r = js_consumer_sync(c);
        }
        if (r == 0 && i % 2)
            r = js_consumer_delete(c);
        js_consumer_unref(c);
        if (r < 0)
            atomic_fetch_add(&crowd->failed, 1);
    }
    return NULL;
}

static int count_name(void *ctx, const char *name) {
    (void)name;
    ++*(unsigned *)ctx;
    return 0;
}

/* NoRaceJetStreamConsumerFileStoreConcurrentDiskIO, TestFileStoreNoDirectoryNotEmptyError */
static void many_at_once(void **s) {
    static struct crowd crowd;
    pthread_t threads[THREADS];
    unsigned n = 0;

    (void)s;
    fx_begin(&crowd.f, NULL, JS_SYNC_CLOSE);
    fill(&crowd.f, 30);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, one_of_many, &crowd), 0);
    while (atomic_load(&crowd.next) < CONSUMERS) {
        te_advance(&crowd.f.te, TE_SECOND);
        (void)js_store_run_due(crowd.f.store, atomic_load(&crowd.f.te.now));
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&crowd.failed), 0);
    assert_int_equal(js_stream_list_consumers(crowd.f.stream, count_name, &n), 0);
    assert_int_equal(n, CONSUMERS / 2);
    fx_reopen(&crowd.f, "c40");
    expect_floor(&crowd.f, 2, 2);
    fx_end(&crowd.f);
}

/* Where a stream is encrypted, nothing of its consumers is plain. */
static void sealed(void **s) {
    static const char *const files[] = {"meta.inf", "o.dat"};
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 9);
    assert_int_equal(js_consumer_update_delivered(f.c, 1, 1, 1, TE_START), 0);
    expect_same_after_reopening(&f);
    assert_string_equal(js_stream_cipher(f.stream), fx_cipher ? fx_cipher : "none");
    for (size_t i = 0; i < 2; i++) {
        char path[200];
        uint8_t *data;
        snprintf(path, sizeof path, OBS "c/%s", files[i]);
        long len = rd_get(f.disk, path, &data);
        assert_true(len > 4);
        if (fx_cipher)
            assert_memory_not_equal(data, i ? "\x16\x02\x00\x00" : "{\"Cr", 4);
        else
            assert_memory_equal(data, i ? "\x16\x02\x00\x00" : "{\"Cr", 4);
        free(data);
    }
    fx_end(&f);
}

int main(void) {
    const struct CMUnitTest states[] = {
        cmocka_unit_test(acks_out_of_order),     cmocka_unit_test(no_acks),
        cmocka_unit_test(redelivered_survives),  cmocka_unit_test(too_often),
        cmocka_unit_test(ack_all_is_cumulative), cmocka_unit_test(counts_below_are_forgotten),
        cmocka_unit_test(update_takes_over),     cmocka_unit_test(starting_and_reset),
        cmocka_unit_test(looks_at_the_state),    cmocka_unit_test(sealed),
    };
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(window_against_model),     cmocka_unit_test(encoded_states),
        cmocka_unit_test(unsorted_and_twice),       cmocka_unit_test(states_are_written_in_time),
        cmocka_unit_test(the_state_before_is_kept), cmocka_unit_test(damaged_states_are_mended),
        cmocka_unit_test(states_past_the_end),      cmocka_unit_test(pending_that_is_lost),
        cmocka_unit_test(deleted_while_it_changes), cmocka_unit_test(many_at_once),
    };
    static const char *const ciphers[] = {NULL, "chacha", "aes"};
    static const char *const compressions[] = {"none", "s2"};
    int failed = cmocka_run_group_tests(plain, NULL, NULL);

    for (int i = 0; i < 6; i++) {
        fx_cipher = ciphers[i / 2];
        fx_compression = compressions[i % 2];
        failed += cmocka_run_group_tests(states, NULL, NULL);
    }
    return failed;
}
