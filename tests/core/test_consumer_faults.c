/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consumers while memory or the disk fails, and after power failures: in scripted work every
 * allocation and every call of the I/O table fails once or from then on, and every call that
 * changes something is the last one before a crash. An acknowledgement that was accepted is never
 * lost where the mode says so, no floor runs ahead of what was acknowledged, no consumer
 * disappears.
 */
#include "tests/core/consumer_fixture.h"

#include <errno.h>

#define MSGS  24
#define SEEDS 3

/* What was done with each message, and how far it got. */
struct work {
    struct fixture f;
    const char *retention;
    bool created;              /* the consumer's creation was accepted */
    bool tried[MSGS + 1];      /* an acknowledgement was asked for */
    size_t acked_at[MSGS + 1]; /* it was accepted after so many recorded calls; 0 = not */
    size_t created_at, opened_at;
};

static void begin(struct work *w, const char *retention, enum js_sync_mode sync) {
    *w = (struct work){.retention = retention};
    fx_begin(&w->f, retention, sync);
    fx_store(&w->f, "s.a", MSGS);
    assert_int_equal(js_stream_sync(w->f.stream), 0);
}

static void ack_one(struct work *w, js_seq_t seq, enum js_ack_kind kind) {
    struct js_ack a = {.seq = seq, .kind = kind};

    w->tried[seq] |= kind == JS_ACK || kind == JS_TERM;
    int r = js_consumer_ack(w->f.c, &a, 1, NULL);
    if (r == 0 && (kind == JS_ACK || kind == JS_TERM))
        w->acked_at[seq] = rd_recorded(w->f.disk) + 1;
}

/* Deliveries, acknowledgements in and out of order, refusals, time. Errors are passed over: what
 * was accepted is noted. */
static void script(struct work *w) {
    struct js_delivery d[5];
    struct fixture *f = &w->f;
    size_t n;

    int r = js_stream_create_consumer(f->stream, "c",
                                      "{\"ack_policy\":\"explicit\",\"ack_wait\":1000000000}",
                                      f->why, sizeof f->why);
    w->created = r == 0;
    w->created_at = rd_recorded(f->disk) + 1;
    if (js_stream_open_consumer(f->stream, "c", &f->c) < 0) {
        f->c = NULL;
        return;
    }
    for (int round = 0; round < 9; round++) {
        if (js_consumer_next(f->c, d, 3, &n) < 0)
            n = 0;
        for (size_t i = n; i-- > 0;) {
            if ((round + i) % 4 == 3)
                ack_one(w, d[i].seq, JS_NAK);
            else if ((round + i) % 5 == 4)
                ack_one(w, d[i].seq, JS_IN_PROGRESS);
            else
                ack_one(w, d[i].seq, (round + i) % 7 ? JS_ACK : JS_TERM);
        }
        te_advance(&f->te, 400 * (TE_SECOND / 1000));
        (void)js_store_run_due(f->store, atomic_load(&f->te.now));
        if (round == 5)
            (void)js_consumer_update_config(f->c, "{\"ack_wait\":2000000000}", f->why,
                                            sizeof f->why);
    }
}

static void let_go(struct work *w) {
    js_consumer_unref(w->f.c);
    w->f.c = NULL;
    js_stream_unref(w->f.stream);
    w->f.stream = NULL;
    (void)js_store_close(w->f.store);
    w->f.store = NULL;
}

/* Holds what is there against what was done up to a recorded call (SIZE_MAX: all of it). durable:
 * the mode keeps what it accepted through a power failure. */
static void check(struct work *w, size_t upto, bool durable, const char *what) {
    bool retires = strcmp(w->retention, "limits") != 0;
    struct fixture *f = &w->f;
    struct js_consumer_state st;
    struct js_msg_stat msg;

    int r = js_stream_open_consumer(f->stream, "c", &f->c);
    if (r == JS_ERR_NO_CONSUMER && (!w->created || upto < w->created_at)) {
        f->c = NULL;
        return;
    }
    if (r < 0)
        fail_msg("%s: the consumer does not open: %s", what, js_err_name(r));
    assert_int_equal(js_consumer_state(f->c, &st), 0);
    size_t k = 0;
    for (js_seq_t q = 1; q <= MSGS; q++) {
        while (k < st.num_pending && st.pending[k].stream_seq < q)
            k++;
        bool pending = k < st.num_pending && st.pending[k].stream_seq == q;
        bool there = js_stream_stat_msg(f->stream, q, &msg) == 0;
        bool done = q <= st.delivered_stream && !pending;
        if (done && !w->tried[q])
            fail_msg("%s: message %d is done, and nobody acknowledged it", what, (int)q);
        if (!there && !w->tried[q])
            fail_msg("%s: message %d is gone, and nobody acknowledged it", what, (int)q);
        if (retires && done && there)
            fail_msg("%s: message %d is acknowledged and stays for ever", what, (int)q);
        if (durable && w->acked_at[q] && w->acked_at[q] <= upto + 1 && !done && there)
            fail_msg("%s: the acknowledgement of %d is lost", what, (int)q);
    }
    js_consumer_state_done(&st);
    /* It works on: everything that is left can be taken and acknowledged. */
    for (int i = 0; i < 10; i++) {
        struct js_delivery d[MSGS];
        struct js_ack acks[MSGS];
        size_t n;
        te_advance(&f->te, 3 * TE_SECOND);
        if (js_consumer_next(f->c, d, MSGS, &n) < 0)
            break;
        for (size_t j = 0; j < n; j++)
            acks[j] = (struct js_ack){.seq = d[j].seq};
        assert_int_equal(js_consumer_ack(f->c, acks, n, NULL), 0);
    }
    assert_int_equal(js_consumer_state(f->c, &st), 0);
    assert_int_equal(st.floor_stream, MSGS);
    assert_int_equal(st.num_pending, 0);
    js_consumer_state_done(&st);
    if (retires)
        assert_int_equal(fx_msgs(f), 0);
}

/* ---- failing calls -----------------------------------------------------------------------------
 */

static const struct fault {
    const char *name;
    unsigned calls; /* 0: allocations */
    enum rd_fault_kind kind;
    int err;
    bool sticky;
} faults[] = {
    {"allocation", 0, RD_FAIL, 0, false},
    {"allocations from", 0, RD_FAIL, 0, true},
    {"write", RD_WRITES, RD_FAIL, ENOSPC, false},
    {"writes from", RD_WRITES, RD_PARTIAL, ENOSPC, true},
    {"sync", RD_SYNCS, RD_FAIL, EIO, false},
    {"name", RD_NAMES, RD_FAIL, EIO, false},
    {"names from", RD_NAMES, RD_FAIL, ENOSPC, true},
    {"open", RD_OPENS, RD_FAIL, EMFILE, false},
    {"read", RD_READS, RD_FAIL, EIO, false},
    {"stat", RD_STATS, RD_FAIL, EIO, false},
};

/* One run with the n-th call failing; false when there was no such call. */
static bool run_with(const struct fault *fault, long n, const char *retention) {
    struct rd_fault rf = {.calls = fault->calls,
                          .kind = fault->kind,
                          .err = fault->err,
                          .countdown = n,
                          .sticky = fault->sticky},
                    none = {0};
    struct work w;
    char what[80];

    snprintf(what, sizeof what, "%s %ld (%s)", fault->name, n, retention);
    begin(&w, retention, JS_SYNC_CLOSE);
    if (fault->calls)
        rd_set_fault(w.f.disk, &rf);
    else
        te_fail_alloc(&w.f.te, n, fault->sticky);
    script(&w);
    bool fired =
        fault->calls ? rd_faults_fired(w.f.disk) > 0 : atomic_load(&w.f.te.alloc_fired) > 0;
    let_go(&w);
    rd_set_fault(w.f.disk, &none);
    te_fail_alloc(&w.f.te, 0, false);
    if (rd_open_files(w.f.disk) || atomic_load(&w.f.te.memory))
        fail_msg("%s: %zu files and %ld allocations are left", what, rd_open_files(w.f.disk),
                 atomic_load(&w.f.te.memory));
    fx_open(&w.f);
    assert_non_null(w.f.stream);
    check(&w, SIZE_MAX - 1, true, what);
    fx_end(&w.f);
    return fired;
}

static void failing_calls(void **s) {
    (void)s;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        long n = 1;
        while (run_with(&faults[i], n, n % 2 ? "limits" : "workqueue"))
            n += 1 + n / 40;
        assert_true(n > 3);
    }
}

/* ---- power failures
 * ------------------------------------------------------------------------------ */

static void crash_at(const struct work *done, size_t upto, enum rd_loss loss, uint64_t seed,
                     enum js_sync_mode sync) {
    struct work w = *done;
    char what[100];

    snprintf(what, sizeof what, "%s, sync mode %d, call %zu, loss %d, seed %d", done->retention,
             (int)sync, upto, (int)loss, (int)seed);
    w.f = (struct fixture){.disk = rd_crash(done->f.disk, upto, loss, seed), .sync = sync};
    te_init(&w.f.te, rd_io(w.f.disk));
    te_advance(&w.f.te, 3600 * TE_SECOND);
    fx_open(&w.f);
    assert_non_null(w.f.stream);
    bool durable = sync == JS_SYNC_CLOSE || sync == JS_SYNC_ALWAYS;
    check(&w, upto, durable, what);
    fx_end(&w.f);
}

static void power_failures_in(const char *retention, enum js_sync_mode sync) {
    struct work w;

    begin(&w, retention, sync);
    rd_record(w.f.disk);
    script(&w);
    let_go(&w);
    size_t calls = rd_recorded(w.f.disk);
    assert_true(calls > 50);
    for (size_t upto = 0; upto <= calls; upto++)
        for (int loss = 0; loss < RD_LOSSES; loss++)
            for (uint64_t seed = 1; seed <= (loss == RD_RANDOM ? SEEDS : 1); seed++)
                crash_at(&w, upto, (enum rd_loss)loss, seed, sync);
    fx_end(&w.f);
}

static void power_failures(void **s) {
    (void)s;
    power_failures_in("limits", JS_SYNC_CLOSE);
    power_failures_in("limits", JS_SYNC_ALWAYS);
    power_failures_in("limits", JS_SYNC_OS);
    power_failures_in("workqueue", JS_SYNC_CLOSE);
    power_failures_in("workqueue", JS_SYNC_ALWAYS);
    power_failures_in("workqueue", JS_SYNC_OS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failing_calls),
        cmocka_unit_test(power_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
