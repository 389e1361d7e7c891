/* SPDX-License-Identifier: Apache-2.0 */
/* What consumers deliver, when again, what leaves the stream; with a clock that the test turns. */
#include "tests/core/consumer_fixture.h"

#include <pthread.h>

#define MS (TE_SECOND / 1000)

static void begin(struct fixture *f, const char *retention, const char *config) {
    fx_begin(f, retention, JS_SYNC_CLOSE);
    fx_consumer(f, "c", config);
}

static struct js_delivery next(struct fixture *f) {
    struct js_delivery d = {0};
    size_t n = 0;
    int r = js_consumer_next(f->c, &d, 1, &n);

    if (r < 0)
        fail_msg("next: %s", js_err_name(r));
    assert_int_equal(n, 1);
    return d;
}

static int next_error(struct fixture *f) {
    struct js_delivery d;
    size_t n;

    return js_consumer_next(f->c, &d, 1, &n);
}

static void expect_next(struct fixture *f, js_seq_t seq, uint64_t count, uint64_t pending) {
    struct js_delivery d = next(f);

    assert_int_equal(d.seq, seq);
    assert_int_equal(d.count, count);
    assert_int_equal(d.num_pending, pending);
}

static int answer(struct fixture *f, js_seq_t seq, enum js_ack_kind kind, js_time_t delay) {
    struct js_ack a = {.seq = seq, .kind = kind, .delay = delay};

    return js_consumer_ack(f->c, &a, 1, NULL);
}

static void ack(struct fixture *f, js_seq_t seq) {
    assert_int_equal(answer(f, seq, JS_ACK, 0), 0);
}

static void expect_floor(struct fixture *f, js_seq_t seq, size_t pending) {
    struct js_consumer_state st;

    assert_int_equal(js_consumer_state(f->c, &st), 0);
    assert_int_equal(st.floor_stream, seq);
    assert_int_equal(st.num_pending, pending);
    js_consumer_state_done(&st);
}

static void run_due(struct fixture *f) {
    assert_int_equal(js_store_run_due(f->store, atomic_load(&f->te.now)), 0);
}

/* ---- new messages ------------------------------------------------------------------------------
 */

static void in_order(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, NULL, NULL);
    assert_int_equal(next_error(&f), JS_ERR_AGAIN);
    fx_store(&f, "s.a", 5);
    expect_next(&f, 1, 1, 4);
    expect_next(&f, 2, 1, 3);
    fx_store(&f, "s.a", 1);
    expect_next(&f, 3, 1, 3);
    struct js_delivery d[8];
    size_t n;
    assert_int_equal(js_consumer_next(f.c, d, 8, &n), 0);
    assert_int_equal(n, 3);
    assert_int_equal(d[2].seq, 6);
    assert_int_equal(d[2].consumer_seq, 6);
    assert_int_equal(d[0].num_pending, 2);
    assert_int_equal(d[2].num_pending, 0);
    assert_int_equal(next_error(&f), JS_ERR_AGAIN);
    expect_floor(&f, 0, 6);
    ack(&f, 1);
    expect_floor(&f, 1, 5);
    assert_int_equal(answer(&f, 1, JS_ACK, 0), JS_ERR_MSG_NOT_FOUND);
    for (js_seq_t q = 6; q > 1; q--)
        ack(&f, q);
    expect_floor(&f, 6, 0);
    fx_reopen(&f, "c");
    expect_floor(&f, 6, 0);
    fx_store(&f, "s.b", 1);
    d[0] = next(&f);
    assert_int_equal(d[0].seq, 7);
    assert_int_equal(d[0].consumer_seq, 7);
    fx_end(&f);
}

static void filters(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, NULL, "{\"filter_subjects\":[\"s.b\",\"s.c.*\"],\"ack_policy\":\"explicit\"}");
    for (int i = 0; i < 3; i++) {
        fx_store(&f, "s.a", 2);
        fx_store(&f, "s.b", 1);
        fx_store(&f, "s.c.x", 1);
        fx_store(&f, "s.c.x.y", 1);
    }
    expect_next(&f, 3, 1, 5);
    expect_next(&f, 4, 1, 4);
    expect_next(&f, 8, 1, 3);
    ack(&f, 8);
    expect_floor(&f, 0, 2);
    ack(&f, 4);
    ack(&f, 3);
    expect_floor(&f, 8, 0);
    fx_end(&f);
}

static void max_ack_pending(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, NULL, "{\"max_ack_pending\":2,\"ack_policy\":\"explicit\"}");
    fx_store(&f, "s.a", 5);
    struct js_delivery d[8];
    size_t n;
    assert_int_equal(js_consumer_next(f.c, d, 8, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(next_error(&f), JS_ERR_MAX_ACK_PENDING);
    ack(&f, 2);
    expect_next(&f, 3, 1, 2);
    assert_int_equal(next_error(&f), JS_ERR_MAX_ACK_PENDING);
    /* What comes again does not wait for room. */
    assert_int_equal(answer(&f, 1, JS_NAK, 0), 0);
    expect_next(&f, 1, 2, 2);
    fx_end(&f);
}

struct policy {
    const char *config;
    js_seq_t first, second;
    uint64_t pending; /* after the first */
};

static void deliver_policies(void **s) {
    char by_time[200], when[40];
    struct policy cases[] = {
        {"{\"deliver_policy\":\"all\"}", 1, 2, 9},
        {"{\"deliver_policy\":\"last\"}", 10, 11, 0},
        {"{\"deliver_policy\":\"last\",\"filter_subject\":\"s.a\"}", 4, 11, 0},
        {"{\"deliver_policy\":\"new\"}", 11, 12, 1},
        {"{\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":7}", 7, 8, 3},
        {"{\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":77}", 11, 12, 1},
        {by_time, 5, 6, 5},
        {"{\"deliver_policy\":\"last_per_subject\",\"filter_subject\":\"s.>\"}", 4, 7, 2},
    };
    struct js_msg msg;
    struct fixture f;
    char name[10];

    (void)s;
    fx_begin(&f, NULL, JS_SYNC_CLOSE);
    fx_store(&f, "s.a", 4);
    fx_store(&f, "s.b", 3);
    fx_store(&f, "s.c", 3);
    assert_int_equal(js_stream_load_msg(f.stream, 5, &msg), 0);
    js_time_format(msg.time, when, sizeof when);
    js_msg_release(&msg);
    snprintf(by_time, sizeof by_time,
             "{\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"%s\"}", when);
    size_t n = sizeof cases / sizeof *cases;
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "c%zu", i);
        fx_consumer(&f, name, cases[i].config);
    }
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "c%zu", i);
        js_consumer_unref(f.c);
        assert_int_equal(js_stream_open_consumer(f.stream, name, &f.c), 0);
        if (cases[i].first > 10)
            assert_int_equal(next_error(&f), JS_ERR_AGAIN);
        else
            expect_next(&f, cases[i].first, 1, cases[i].pending);
    }
    fx_store(&f, "s.a", 2);
    /* Opened again in the middle, each goes on where it was. */
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "c%zu", i);
        fx_reopen(&f, name);
        if (cases[i].first > 10)
            expect_next(&f, cases[i].first, 1, cases[i].pending);
        assert_int_equal(next(&f).seq, cases[i].second);
    }
    fx_end(&f);
}

static void last_per_subject(void **s) {
    struct fixture f;

    (void)s;
    fx_begin(&f, NULL, JS_SYNC_CLOSE);
    fx_store(&f, "s.a", 3);
    fx_store(&f, "s.b", 1);
    fx_store(&f, "s.a", 1); /* 5 */
    fx_store(&f, "s.c", 2); /* 7 */
    fx_consumer(&f, "c",
                "{\"deliver_policy\":\"last_per_subject\",\"filter_subject\":\"s.>\","
                "\"ack_policy\":\"explicit\"}");
    fx_store(&f, "s.a", 2); /* 8 and 9 come, because they are new */
    expect_next(&f, 4, 1, 4);
    assert_int_equal(js_stream_remove_msg(f.stream, 5), 1);
    expect_next(&f, 7, 1, 2);
    expect_next(&f, 8, 1, 1);
    expect_next(&f, 9, 1, 0);
    fx_end(&f);
}

/* ---- again
 * --------------------------------------------------------------------------------------- */

static void ack_wait(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, NULL, "{\"ack_wait\":1000000000,\"ack_policy\":\"explicit\"}");
    fx_store(&f, "s.a", 3);
    expect_next(&f, 1, 1, 2);
    te_advance(&f.te, 500 * MS);
    expect_next(&f, 2, 1, 1);
    run_due(&f);
    js_time_t due = js_store_next_deadline(f.store);
    assert_true(due > atomic_load(&f.te.now) && due <= atomic_load(&f.te.now) + 500 * MS);
    te_advance(&f.te, 499 * MS);
    run_due(&f);
    expect_next(&f, 3, 1, 0);
    te_advance(&f.te, 2 * MS);
    /* Only the first is over. It is no longer in flight before it is delivered again. */
    struct js_pending p[4];
    size_t n;
    assert_int_equal(js_consumer_inflight(f.c, 0, p, 4, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(p[0].stream_seq, 2);
    expect_next(&f, 1, 2, 0);
    assert_int_equal(next_error(&f), JS_ERR_AGAIN);
    /* In progress: the wait begins anew. */
    assert_int_equal(answer(&f, 2, JS_IN_PROGRESS, 0), 0);
    te_advance(&f.te, 900 * MS);
    assert_int_equal(next_error(&f), JS_ERR_AGAIN);
    te_advance(&f.te, 200 * MS);
    struct js_delivery d[8];
    assert_int_equal(js_consumer_next(f.c, d, 8, &n), 0);
    assert_int_equal(n, 3);
    assert_int_equal(d[0].seq, 1);
    assert_int_equal(d[0].count, 3);
    assert_int_equal(d[1].seq, 2);
    assert_int_equal(d[1].count, 2);
    /* Late is better than never. */
    te_advance(&f.te, 5 * TE_SECOND);
    run_due(&f);
    ack(&f, 2);
    assert_int_equal(js_consumer_next(f.c, d, 8, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(d[1].seq, 3);
    assert_int_equal(d[1].count, 3);
    fx_end(&f);
}

static void backoff(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, NULL,
          "{\"backoff\":[1000000000,2000000000,4000000000],\"max_deliver\":5,"
          "\"ack_policy\":\"explicit\"}");
    fx_store(&f, "s.a", 1);
    expect_next(&f, 1, 1, 0);
    static const int waits[] = {1, 2, 4, 4};
    for (int i = 0; i < 4; i++) {
        te_advance(&f.te, waits[i] * TE_SECOND - 10 * MS);
        assert_int_equal(next_error(&f), JS_ERR_AGAIN);
        te_advance(&f.te, 20 * MS);
        expect_next(&f, 1, (uint64_t)i + 2, 0);
    }
    te_advance(&f.te, 60 * TE_SECOND);
    assert_int_equal(next_error(&f), JS_ERR_AGAIN);
    /* A dead letter is not pending, and its count stays. */
    struct js_consumer_state st;
    assert_int_equal(js_consumer_state(f.c, &st), 0);
    assert_int_equal(st.num_pending, 0);
    assert_int_equal(st.num_redelivered, 1);
    js_consumer_state_done(&st);
    assert_int_equal(fx_msgs(&f), 1);
    fx_end(&f);
}

static void refused(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, NULL, "{\"ack_wait\":60000000000,\"ack_policy\":\"explicit\"}");
    fx_store(&f, "s.a", 4);
    for (js_seq_t q = 1; q <= 4; q++)
        expect_next(&f, q, 1, 4 - q);
    assert_int_equal(answer(&f, 3, JS_NAK, 0), 0);
    assert_int_equal(answer(&f, 1, JS_NAK, 0), 0);
    assert_int_equal(answer(&f, 1, JS_NAK, 0), 0); /* is in the queue already */
    assert_int_equal(answer(&f, 2, JS_NAK, 5 * TE_SECOND), 0);
    assert_int_equal(answer(&f, 4, JS_TERM, 0), 0);
    assert_int_equal(answer(&f, 4, JS_NAK, 0), JS_ERR_MSG_NOT_FOUND);
    expect_next(&f, 3, 2, 0);
    expect_next(&f, 1, 2, 0);
    assert_int_equal(next_error(&f), JS_ERR_AGAIN);
    te_advance(&f.te, 4900 * MS);
    assert_int_equal(next_error(&f), JS_ERR_AGAIN);
    te_advance(&f.te, 200 * MS);
    expect_next(&f, 2, 2, 0);
    /* Taken back before anybody saw it: not counted. */
    assert_int_equal(js_consumer_undeliver(f.c, 2), 0);
    expect_next(&f, 2, 2, 0);
    /* Acknowledged while it waits for its next delivery. */
    assert_int_equal(answer(&f, 3, JS_NAK, 0), 0);
    ack(&f, 3);
    assert_int_equal(next_error(&f), JS_ERR_AGAIN);
    /* Removed meanwhile. */
    assert_int_equal(js_stream_remove_msg(f.stream, 1), 1);
    assert_int_equal(answer(&f, 1, JS_NAK, 0), 0);
    assert_int_equal(next_error(&f), JS_ERR_AGAIN);
    expect_floor(&f, 1, 1);
    fx_end(&f);
}

static void taken_back_first(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, NULL, NULL);
    fx_store(&f, "s.a", 2);
    expect_next(&f, 1, 1, 1);
    assert_int_equal(js_consumer_undeliver(f.c, 1), 0);
    expect_next(&f, 1, 1, 1);
    assert_int_equal(js_consumer_undeliver(f.c, 7), JS_ERR_MSG_NOT_FOUND);
    fx_end(&f);
}

static void counts_survive(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, NULL, "{\"ack_wait\":1000000000,\"ack_policy\":\"explicit\"}");
    fx_store(&f, "s.a", 3);
    expect_next(&f, 1, 1, 2);
    expect_next(&f, 2, 1, 1);
    for (uint64_t i = 2; i < 6; i++) {
        struct js_delivery d[4];
        size_t n;
        te_advance(&f.te, 2 * TE_SECOND);
        assert_int_equal(js_consumer_next(f.c, d, 2, &n), 0);
        assert_int_equal(n, 2);
        assert_int_equal(d[0].seq, 1);
        assert_int_equal(d[0].count, i);
        assert_int_equal(d[1].seq, 2);
        fx_reopen(&f, "c");
    }
    fx_end(&f);
}

static void paused(void **s) {
    char config[200], until[40];
    struct fixture f;

    (void)s;
    begin(&f, NULL, NULL);
    fx_store(&f, "s.a", 2);
    js_time_format(atomic_load(&f.te.now) + 5 * TE_SECOND, until, sizeof until);
    snprintf(config, sizeof config, "{\"ack_policy\":\"explicit\",\"pause_until\":\"%s\"}", until);
    assert_int_equal(js_consumer_update_config(f.c, config, f.why, sizeof f.why), 0);
    assert_int_equal(next_error(&f), JS_ERR_PAUSED);
    js_time_t due = js_store_next_deadline(f.store);
    assert_true(due && due <= atomic_load(&f.te.now) + 5 * TE_SECOND);
    fx_reopen(&f, "c");
    assert_int_equal(next_error(&f), JS_ERR_PAUSED);
    te_advance(&f.te, 6 * TE_SECOND);
    expect_next(&f, 1, 1, 1);
    fx_end(&f);
}

static void ack_all(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, "interest", "{\"ack_policy\":\"all\"}");
    fx_store(&f, "s.a", 5);
    for (js_seq_t q = 1; q <= 4; q++)
        expect_next(&f, q, 1, 5 - q);
    ack(&f, 3);
    expect_floor(&f, 3, 1);
    assert_int_equal(fx_msgs(&f), 2);
    fx_end(&f);
}

static void no_acks(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, NULL, "{\"ack_policy\":\"none\"}");
    fx_store(&f, "s.a", 3);
    expect_next(&f, 1, 1, 2);
    expect_next(&f, 2, 1, 1);
    assert_int_equal(answer(&f, 2, JS_ACK, 0), JS_ERR_NO_ACK_POLICY);
    expect_floor(&f, 2, 0);
    te_advance(&f.te, 60 * TE_SECOND);
    expect_next(&f, 3, 1, 0);
    fx_end(&f);
}

/* ---- what leaves the stream
 * ---------------------------------------------------------------------- */

static void workqueue(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, "workqueue", NULL);
    fx_store(&f, "s.a", 6);
    for (js_seq_t q = 1; q <= 4; q++)
        expect_next(&f, q, 1, 6 - q);
    ack(&f, 2);
    assert_int_equal(answer(&f, 3, JS_TERM, 0), 0);
    assert_int_equal(answer(&f, 4, JS_NAK, 0), 0);
    assert_int_equal(fx_msgs(&f), 4);
    expect_next(&f, 4, 2, 2);
    expect_next(&f, 5, 1, 1);
    fx_reopen(&f, "c");
    assert_int_equal(fx_msgs(&f), 4);
    ack(&f, 1);
    ack(&f, 5);
    ack(&f, 4);
    expect_next(&f, 6, 1, 0);
    ack(&f, 6);
    assert_int_equal(fx_msgs(&f), 0);
    fx_store(&f, "s.a", 1);
    expect_next(&f, 7, 1, 0);
    fx_end(&f);
}

/* What users may not delete, consumers may be done with all the same. */
static void denied_to_users(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, "workqueue\",\"deny_delete\":true,\"description\":\"x", NULL);
    fx_store(&f, "s.a", 2);
    assert_int_equal(js_stream_remove_msg(f.stream, 1), JS_ERR_NOT_PERMITTED);
    expect_next(&f, 1, 1, 1);
    ack(&f, 1);
    assert_int_equal(fx_msgs(&f), 1);
    fx_end(&f);
}

static void limits_of_the_stream(void **s) {
    struct fixture f;

    (void)s;
    begin(&f,
          "limits\",\"max_consumers\":2,\"consumer_limits\":{\"max_ack_pending\":1500},"
          "\"description\":\"x",
          NULL);
    assert_int_equal(
        js_stream_create_consumer(f.stream, "d", "{\"max_ack_pending\":1501}", f.why, sizeof f.why),
        JS_ERR_NOT_PERMITTED);
    assert_int_equal(
        js_stream_create_consumer(f.stream, "d", "{\"max_ack_pending\":-1}", f.why, sizeof f.why),
        JS_ERR_NOT_PERMITTED);
    assert_int_equal(
        js_stream_create_consumer(f.stream, "d", "{\"max_ack_pending\":1500}", f.why, sizeof f.why),
        0);
    assert_int_equal(js_stream_create_consumer(f.stream, "e", NULL, f.why, sizeof f.why),
                     JS_ERR_NOT_PERMITTED);
    assert_non_null(strstr(f.why, "2 consumers"));
    /* Changing one that is there is no new one. */
    assert_int_equal(js_consumer_update_config(f.c, "{\"max_deliver\":3}", f.why, sizeof f.why), 0);
    fx_end(&f);
}

static void interest(void **s) {
    struct js_consumer *other;
    struct js_delivery d[8];
    struct js_ack a = {.seq = 2};
    struct fixture f;
    size_t n;

    (void)s;
    begin(&f, "interest", NULL);
    assert_int_equal(js_stream_create_consumer(f.stream, "other",
                                               "{\"filter_subject\":\"s.b\",\"ack_policy\":"
                                               "\"explicit\"}",
                                               f.why, sizeof f.why),
                     0);
    fx_store(&f, "s.a", 1);
    fx_store(&f, "s.b", 2);
    assert_int_equal(js_consumer_next(f.c, d, 8, &n), 0);
    assert_int_equal(n, 3);
    ack(&f, 1); /* nobody else wants it */
    ack(&f, 2);
    assert_int_equal(fx_msgs(&f), 2);
    assert_int_equal(js_stream_open_consumer(f.stream, "other", &other), 0);
    assert_int_equal(js_consumer_next(other, d, 8, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(js_consumer_ack(other, &a, 1, &n), 0);
    assert_int_equal(fx_msgs(&f), 1);
    ack(&f, 3);
    assert_int_equal(fx_msgs(&f), 1);
    js_consumer_unref(other);
    /* With the consumer goes what only it wanted. */
    assert_int_equal(js_stream_delete_consumer(f.stream, "other", false), JS_ERR_LOCKED);
    assert_int_equal(js_stream_delete_consumer(f.stream, "other", true), 0);
    assert_int_equal(fx_msgs(&f), 0);
    fx_end(&f);
}

/* Nobody wants it: only its sequence is used up. */
static void without_interest(void **s) {
    struct js_stream_state st;
    struct fixture f;

    (void)s;
    fx_begin(&f, "interest", JS_SYNC_CLOSE);
    fx_store(&f, "s.a", 3);
    js_stream_get_state(f.stream, &st);
    assert_int_equal(st.msgs, 0);
    assert_int_equal(st.last_seq, 3);
    fx_consumer(&f, "c", "{\"filter_subject\":\"s.b\"}");
    fx_store(&f, "s.a", 2);
    fx_store(&f, "s.b", 2);
    fx_store(&f, "s.a", 1);
    assert_int_equal(fx_msgs(&f), 2);
    expect_next(&f, 6, 1, 1);
    ack(&f, 6);
    assert_int_equal(js_consumer_update_config(f.c, "{}", f.why, sizeof f.why), 0);
    fx_store(&f, "s.a", 1);
    assert_int_equal(fx_msgs(&f), 2);
    fx_reopen(&f, "c");
    fx_store(&f, "s.a", 1);
    assert_int_equal(fx_msgs(&f), 3);
    js_stream_get_state(f.stream, &st);
    assert_int_equal(st.last_seq, 10);
    assert_int_equal(js_stream_delete_consumer(f.stream, "c", true), 0);
    assert_int_equal(fx_msgs(&f), 0);
    fx_store(&f, "s.b", 1);
    assert_int_equal(fx_msgs(&f), 0);
    fx_end(&f);
}

static void after_truncation(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, NULL, NULL);
    fx_store(&f, "s.a", 9);
    for (js_seq_t q = 1; q <= 8; q++)
        expect_next(&f, q, 1, 9 - q);
    ack(&f, 1);
    assert_int_equal(js_stream_truncate(f.stream, 5), 0);
    assert_int_equal(next_error(&f), JS_ERR_AGAIN);
    expect_floor(&f, 1, 4);
    fx_store(&f, "s.a", 1);
    expect_next(&f, 6, 1, 0);
    assert_int_equal(js_stream_purge(f.stream, NULL), 0);
    fx_store(&f, "s.a", 1);
    expect_next(&f, 7, 1, 0);
    fx_end(&f);
}

/* Purged messages hold no room, and their counts are forgotten. */
static void after_a_purge(void **s) {
    struct js_consumer_state st;
    struct fixture f;

    (void)s;
    begin(&f, NULL, "{\"max_ack_pending\":3,\"max_deliver\":2,\"ack_policy\":\"explicit\"}");
    fx_store(&f, "s.a", 4);
    expect_next(&f, 1, 1, 3);
    assert_int_equal(answer(&f, 1, JS_NAK, 0), 0);
    expect_next(&f, 1, 2, 3);
    assert_int_equal(answer(&f, 1, JS_NAK, 0), 0); /* a dead letter when it is looked at */
    expect_next(&f, 2, 1, 2);
    expect_next(&f, 3, 1, 1);
    expect_next(&f, 4, 1, 0);
    fx_store(&f, "s.a", 1);
    assert_int_equal(next_error(&f), JS_ERR_MAX_ACK_PENDING);
    assert_int_equal(js_stream_compact(f.stream, 4, NULL), 0);
    expect_next(&f, 5, 1, 0);
    assert_int_equal(js_consumer_state(f.c, &st), 0);
    assert_int_equal(st.num_pending, 2);
    assert_int_equal(st.num_redelivered, 0);
    js_consumer_state_done(&st);
    fx_end(&f);
}

static void delivered_is_done_without_acks(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, "interest", "{\"ack_policy\":\"none\"}");
    fx_store(&f, "s.a", 3);
    expect_next(&f, 1, 1, 2);
    assert_int_equal(fx_msgs(&f), 2);
    fx_end(&f);
}

/* ---- how many follow
 * ----------------------------------------------------------------------------- */

static uint64_t seed = 88172645463325252u;

static unsigned rnd(unsigned n) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed % n);
}

static int take_pending(void *ctx, const struct js_consumer_info *info) {
    *(uint64_t *)ctx = info->num_pending;
    return 0;
}

/* The kept number against one that is counted, while messages come and go. */
static void pending_is_exact(void **s) {
    static const char *const subjects[] = {"s.a", "s.b", "s.c"};
    static const char *const patterns[] = {"s.a", "s.c"};
    struct js_filter filter = {.patterns = patterns, .count = 2, .any_of = true};
    uint64_t kept, counted;
    js_seq_t delivered = 0;
    struct fixture f;

    (void)s;
    begin(&f, NULL,
          "{\"filter_subjects\":[\"s.a\",\"s.c\"],\"max_ack_pending\":-1,"
          "\"ack_policy\":\"explicit\"}");
    for (int i = 0; i < 2000; i++) {
        struct js_delivery d;
        struct js_stream_state st;
        size_t n;
        js_stream_get_state(f.stream, &st);
        switch (rnd(5)) {
        case 0:
        case 1:
            fx_store(&f, subjects[rnd(3)], 1 + rnd(4));
            break;
        case 2:
            if (st.msgs)
                (void)js_stream_remove_msg(
                    f.stream, st.first_seq + rnd((unsigned)(st.last_seq + 1 - st.first_seq)));
            break;
        default:
            if (js_consumer_next(f.c, &d, 1, &n) == 0) {
                delivered = d.seq;
                assert_int_equal(
                    js_stream_num_pending(f.stream, delivered + 1, &filter, false, &counted, NULL),
                    0);
                assert_int_equal(d.num_pending, counted);
            }
        }
        assert_int_equal(
            js_stream_num_pending(f.stream, delivered + 1, &filter, false, &counted, NULL), 0);
        assert_int_equal(js_consumer_get(f.stream, "c", take_pending, &kept), 0);
        assert_int_equal(kept, counted);
    }
    fx_end(&f);
}

static void peeked(void **s) {
    js_seq_t q[8];
    struct fixture f;
    size_t n;

    (void)s;
    begin(&f, NULL, NULL);
    fx_store(&f, "s.a", 6);
    for (js_seq_t i = 1; i <= 4; i++)
        expect_next(&f, i, 1, 6 - i);
    assert_int_equal(answer(&f, 3, JS_NAK, 0), 0);
    assert_int_equal(answer(&f, 2, JS_NAK, 0), 0);
    assert_int_equal(js_consumer_peek(f.c, 0, q, 8, &n), 0);
    assert_int_equal(n, 4);
    assert_true(q[0] == 2 && q[1] == 3 && q[2] == 5 && q[3] == 6);
    assert_int_equal(js_consumer_peek(f.c, 3, q, 2, &n), 0);
    assert_int_equal(n, 2);
    assert_true(q[0] == 3 && q[1] == 5);
    /* Refused first, delivered first. */
    expect_next(&f, 3, 2, 2);
    fx_end(&f);
}

static void sought(void **s) {
    struct js_msg msg;
    struct fixture f;

    (void)s;
    begin(&f, NULL, NULL);
    for (int i = 0; i < 9; i++) /* each at a time of its own */
        fx_store(&f, "s.a", 1);
    expect_next(&f, 1, 1, 8);
    expect_next(&f, 2, 1, 7);
    assert_int_equal(js_consumer_seek(f.c, 7), 0);
    expect_floor(&f, 6, 0);
    expect_next(&f, 7, 1, 2);
    assert_int_equal(js_consumer_seek(f.c, 0), 0);
    expect_next(&f, 1, 1, 8);
    assert_int_equal(js_consumer_seek(f.c, 99), 0);
    assert_int_equal(next_error(&f), JS_ERR_AGAIN);
    assert_int_equal(js_stream_load_msg(f.stream, 4, &msg), 0);
    assert_int_equal(js_consumer_seek_time(f.c, msg.time), 0);
    js_msg_release(&msg);
    fx_reopen(&f, "c");
    expect_next(&f, 4, 1, 5);
    fx_end(&f);
}

/* ---- configurations
 * ------------------------------------------------------------------------------ */

static const struct {
    const char *config;
    int result; /* of 2.15.1, as far as it goes */
} configs[] = {
    {"{}", 0},
    {"{\"ack_policy\":\"none\"}", 0},
    {"{\"ack_policy\":\"bogus\"}", JS_ERR_INVAL},
    {"{\"ack_policy\":\"flow_control\"}", JS_ERR_INVAL},
    {"{\"ack_wait\":-5}", JS_ERR_INVAL},
    {"{\"ack_wait\":1000}", 0},
    {"{\"max_deliver\":-3}", 0},
    {"{\"max_deliver\":2,\"backoff\":[1,2,3]}", JS_ERR_INVAL},
    {"{\"max_deliver\":2,\"backoff\":[1,2]}", 0},
    {"{\"backoff\":[1,2]}", 0},
    {"{\"backoff\":[-1]}", JS_ERR_INVAL},
    {"{\"backoff\":[\"1\"]}", JS_ERR_INVAL},
    {"{\"backoff\":7}", JS_ERR_INVAL},
    {"{\"max_ack_pending\":-5}", 0},
    {"{\"filter_subject\":\"x.y\"}", 0},
    {"{\"filter_subject\":\"s..y\"}", JS_ERR_INVAL},
    {"{\"filter_subject\":\"s.a\",\"filter_subjects\":[\"s.b\"]}", JS_ERR_INVAL},
    {"{\"filter_subjects\":[\"s.b\",\"s.b\"]}", JS_ERR_INVAL},
    {"{\"filter_subjects\":[\"s.b\",\"s.*\"]}", JS_ERR_INVAL},
    {"{\"filter_subjects\":[\"s.b\",\"\"]}", JS_ERR_INVAL},
    {"{\"filter_subjects\":[\"s.b\",\"s.c\"]}", 0},
    {"{\"deliver_policy\":\"last_per_subject\"}", JS_ERR_INVAL},
    {"{\"deliver_policy\":\"by_start_sequence\"}", JS_ERR_INVAL},
    {"{\"deliver_policy\":\"by_start_time\"}", JS_ERR_INVAL},
    {"{\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"yesterday\"}", JS_ERR_INVAL},
    {"{\"deliver_policy\":\"all\",\"opt_start_seq\":3}", JS_ERR_INVAL},
    {"{\"deliver_policy\":\"new\",\"opt_start_time\":\"2020-01-01T00:00:00Z\"}", JS_ERR_INVAL},
    {"{\"durable_name\":\"z\"}", JS_ERR_INVAL},
    {"{\"num_replicas\":3}", JS_ERR_INVAL},
    {"{\"rate_limit_bps\":3}", JS_ERR_INVAL},
    {"{\"idle_heartbeat\":5000000000}", JS_ERR_INVAL},
    {"{\"sample_freq\":\"abc\"}", JS_ERR_INVAL},
    {"{\"sample_freq\":\"50%\"}", 0},
    {"{\"max_expires\":1}", JS_ERR_INVAL},
    {"{\"metadata\":{\"a\":1}}", JS_ERR_INVAL},
    {"{\"metadata\":{\"a\":\"b\"}}", 0},
    {"{\"unknown\":1}", JS_ERR_INVAL},
    {"{\"deliver_subject\":\"d\"}", JS_ERR_UNSUPPORTED},
    {"{\"mem_storage\":true}", JS_ERR_UNSUPPORTED},
    {"{\"max_waiting\":\"x\"}", JS_ERR_INVAL},
    {"[]", JS_ERR_INVAL},
    {"", JS_ERR_INVAL},
};

static void configurations(void **s) {
    struct fixture f;
    char name[10];

    (void)s;
    fx_begin(&f, NULL, JS_SYNC_CLOSE);
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        snprintf(name, sizeof name, "c%zu", i);
        f.why[0] = 0;
        int r = js_stream_create_consumer(f.stream, name, configs[i].config, f.why, sizeof f.why);
        if (r != configs[i].result)
            fail_msg("%s: %s, not %s (%s)", configs[i].config, js_err_name(r),
                     js_err_name(configs[i].result), f.why);
        assert_true((r < 0) == (f.why[0] != 0));
    }
    assert_int_equal(js_stream_create_consumer(f.stream, "c0", NULL, f.why, sizeof f.why),
                     JS_ERR_EXISTS);
    assert_int_equal(js_stream_create_consumer(f.stream, "a.b", NULL, f.why, sizeof f.why),
                     JS_ERR_INVAL);
    assert_int_equal(js_stream_open_consumer(f.stream, "nobody", &f.c), JS_ERR_NO_CONSUMER);
    f.c = NULL;
    assert_int_equal(js_stream_delete_consumer(f.stream, "nobody", true), JS_ERR_NO_CONSUMER);
    fx_end(&f);
}

static int print_config(void *ctx, const void *data, size_t len) {
    snprintf(ctx, 1000, "%.*s", (int)len, (const char *)data);
    return 0;
}

/* What 2.15.1 wrote for the same wish, but for the level of its API. */
static void written_as_servers_do(void **s) {
    char text[1000];
    struct fixture f;

    (void)s;
    begin(&f, NULL, "{\"ack_policy\":\"explicit\"}");
    assert_int_equal(js_consumer_get_config(f.c, print_config, text), 0);
    assert_string_equal(strstr(text, "\"Name\""),
                        "\"Name\":\"c\",\"durable_name\":\"c\",\"name\":\"c\",\"deliver_policy\":"
                        "\"all\",\"ack_policy\":\"explicit\",\"ack_wait\":30000000000,"
                        "\"max_deliver\":-1,\"replay_policy\":\"instant\",\"max_waiting\":512,"
                        "\"max_ack_pending\":1000,\"num_replicas\":0}");
    fx_end(&f);
}

static void changed_configurations(void **s) {
    static const struct {
        const char *config;
        int result;
    } cases[] = {
        {"{\"ack_policy\":\"all\"}", JS_ERR_NOT_PERMITTED},
        {"{\"deliver_policy\":\"new\"}", JS_ERR_NOT_PERMITTED},
        {"{\"replay_policy\":\"original\"}", JS_ERR_NOT_PERMITTED},
        {"{\"max_waiting\":4}", JS_ERR_NOT_PERMITTED},
        {"{\"max_deliver\":x}", JS_ERR_INVAL},
        {"{\"filter_subject\":\"s.b\",\"max_deliver\":7,\"ack_wait\":7000000000}", 0},
    };
    char text[1000];
    struct fixture f;

    (void)s;
    begin(&f, NULL, NULL);
    fx_store(&f, "s.a", 2);
    fx_store(&f, "s.b", 2);
    expect_next(&f, 1, 1, 3);
    assert_int_equal(answer(&f, 1, JS_NAK, 0), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(js_consumer_update_config(f.c, cases[i].config, f.why, sizeof f.why),
                         cases[i].result);
    /* What was in the queue stays there; the filter holds for what is new. */
    expect_next(&f, 1, 2, 2);
    expect_next(&f, 3, 1, 1);
    fx_reopen(&f, "c");
    assert_int_equal(js_consumer_get_config(f.c, print_config, text), 0);
    assert_non_null(strstr(text, "\"max_deliver\":7"));
    expect_next(&f, 4, 1, 0);
    fx_end(&f);
}

static void beside_each_other(void **s) {
    static const struct {
        const char *config;
        int result;
    } cases[] = {
        {"{\"ack_policy\":\"none\"}", JS_ERR_NOT_PERMITTED},
        {"{\"ack_policy\":\"all\"}", JS_ERR_NOT_PERMITTED},
        {"{\"deliver_policy\":\"new\"}", JS_ERR_NOT_PERMITTED},
        {"{\"filter_subject\":\"s.a\"}", 0},
        {"{\"filter_subject\":\"s.*\"}", JS_ERR_NOT_PERMITTED},
        {"{}", JS_ERR_NOT_PERMITTED},
        {"{\"filter_subject\":\"s.b.c\"}", 0},
        {"{\"filter_subjects\":[\"s.q\",\"s.b.c\"]}", JS_ERR_NOT_PERMITTED},
        {"{\"filter_subjects\":[\"s.q\",\"s.b.d\"]}", 0},
    };
    struct fixture f;
    char name[10];

    (void)s;
    fx_begin(&f, "workqueue", JS_SYNC_CLOSE);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(name, sizeof name, "w%zu", i);
        assert_int_equal(
            js_stream_create_consumer(f.stream, name, cases[i].config, f.why, sizeof f.why),
            cases[i].result);
    }
    assert_int_equal(js_stream_open_consumer(f.stream, "w3", &f.c), 0);
    assert_int_equal(
        js_consumer_update_config(f.c, "{\"filter_subject\":\"s.>\"}", f.why, sizeof f.why),
        JS_ERR_NOT_PERMITTED);
    fx_end(&f);
}

/* ---- what others may have written ------------------------------------------------------------ */

#define STATE OBS "c/o.dat"

/* Whatever a state says: it is refused, or worked with. */
static void hostile_states(void **s) {
    static const uint8_t good[] = {22, 2, 2, 2, 9, 9, 3, 20, 1, 1, 4,
                                   2,  2, 6, 5, 5, 8, 2, 2,  1, 9, 3};
    uint8_t bytes[sizeof good + 12];
    unsigned opened = 0;
    struct fixture f;

    (void)s;
    begin(&f, NULL, "{\"ack_wait\":1000000000,\"max_deliver\":3,\"ack_policy\":\"explicit\"}");
    fx_store(&f, "s.a", 12);
    for (int i = 0; i < 1500; i++) {
        struct js_delivery d[16];
        struct js_pending p[16];
        js_seq_t q[16];
        size_t n;
        fx_let_go(&f);
        memcpy(bytes, good, sizeof good);
        for (size_t k = sizeof good; k < sizeof bytes; k++)
            bytes[k] = (uint8_t)rnd(256);
        bytes[1] = (uint8_t)(1 + i % 2);
        for (unsigned k = rnd(5); k > 0; k--)
            bytes[2 + rnd(sizeof bytes - 2)] = (uint8_t)(rnd(3) ? rnd(256) : rnd(4));
        assert_int_equal(rd_put(f.disk, STATE, bytes, sizeof bytes - rnd(12)), 0);
        fx_open(&f);
        if (js_stream_open_consumer(f.stream, "c", &f.c) < 0) {
            f.c = NULL;
            continue;
        }
        opened++;
        for (int round = 0; round < 5; round++) {
            te_advance(&f.te, 2 * TE_SECOND);
            run_due(&f);
            n = 0;
            (void)js_consumer_next(f.c, d, 5, &n);
            for (size_t k = 0; k < n; k++)
                (void)answer(&f, d[k].seq, (enum js_ack_kind)rnd(4), 0);
            (void)js_consumer_peek(f.c, rnd(20), q, 16, &n);
            assert_int_equal(js_consumer_inflight(f.c, 0, p, 16, &n), 0);
            for (size_t k = 0; k < n; k++)
                if (rnd(2))
                    assert_int_equal(answer(&f, p[k].stream_seq, JS_ACK, 0), 0);
        }
    }
    assert_true(opened > 200);
    assert_int_equal(fx_msgs(&f), 12);
    if (!f.c)
        assert_int_equal(js_stream_repair_consumer(f.stream, "c", 1), 0);
    fx_reopen(&f, "c");
    fx_end(&f);
}

/* Version 1 knows no consumer sequences: its messages can be acknowledged all the same. */
static void first_version(void **s) {
    static const uint8_t old[] = {22, 1, 2, 2, 4, 8, 2, 0, 1, 0, 3, 0, 0};
    struct fixture f;

    (void)s;
    begin(&f, NULL, NULL);
    fx_store(&f, "s.a", 12);
    fx_let_go(&f);
    assert_int_equal(rd_put(f.disk, STATE, old, sizeof old), 0);
    fx_open(&f);
    assert_int_equal(js_stream_open_consumer(f.stream, "c", &f.c), 0);
    expect_floor(&f, 2, 2);
    ack(&f, 3);
    ack(&f, 5);
    expect_floor(&f, 9, 0);
    expect_next(&f, 10, 1, 2);
    fx_end(&f);
}

/* ---- threads
 * ------------------------------------------------------------------------------------- */

#define WORK    4000
#define WORKERS 4

struct race {
    struct fixture f;
    atomic_uint seen[WORK + 1];
    atomic_uint done;
};

static void *work(void *ctx) {
    struct race *race = ctx;
    struct js_delivery d[3];
    struct js_ack a[3];
    size_t n, done;

    while (atomic_load(&race->done) < WORK) {
        if (js_consumer_next(race->f.c, d, 3, &n) < 0)
            continue;
        for (size_t i = 0; i < n; i++) {
            atomic_fetch_add(&race->seen[d[i].seq], 1);
            a[i] = (struct js_ack){.seq = d[i].seq, .kind = JS_ACK};
        }
        if (js_consumer_ack(race->f.c, a, n, &done) == 0)
            atomic_fetch_add(&race->done, (unsigned)n);
    }
    return NULL;
}

static void racing_workers(void **s) {
    static struct race race;
    pthread_t threads[WORKERS];

    (void)s;
    fx_begin(&race.f, "workqueue", JS_SYNC_OS);
    fx_consumer(&race.f, "c", NULL);
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &race), 0);
    for (int i = 0; i < WORK / 100; i++) {
        fx_store(&race.f, "s.a", 100);
        run_due(&race.f);
    }
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 1; i <= WORK; i++)
        assert_int_equal(atomic_load(&race.seen[i]), 1);
    assert_int_equal(fx_msgs(&race.f), 0);
    expect_floor(&race.f, WORK, 0);
    fx_end(&race.f);
}

static void count_ready(void *ctx, struct js_consumer *c) {
    (void)c;
    ++*(unsigned *)ctx;
}

static void who_waits_is_told(void **s) {
    struct fixture f;
    unsigned n = 0;

    (void)s;
    begin(&f, NULL, "{\"ack_wait\":1000000000,\"max_ack_pending\":1,\"ack_policy\":\"explicit\"}");
    js_consumer_on_ready(f.c, count_ready, &n);
    fx_store(&f, "s.a", 1);
    assert_int_equal(n, 1);
    (void)next(&f);
    te_advance(&f.te, 2 * TE_SECOND);
    run_due(&f);
    assert_int_equal(n, 2);
    (void)next(&f);
    ack(&f, 1);
    assert_int_equal(n, 3);
    js_consumer_on_ready(f.c, NULL, NULL);
    fx_store(&f, "s.a", 1);
    assert_int_equal(n, 3);
    fx_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),
        cmocka_unit_test(filters),
        cmocka_unit_test(max_ack_pending),
        cmocka_unit_test(deliver_policies),
        cmocka_unit_test(last_per_subject),
        cmocka_unit_test(ack_wait),
        cmocka_unit_test(backoff),
        cmocka_unit_test(refused),
        cmocka_unit_test(taken_back_first),
        cmocka_unit_test(counts_survive),
        cmocka_unit_test(paused),
        cmocka_unit_test(ack_all),
        cmocka_unit_test(no_acks),
        cmocka_unit_test(workqueue),
        cmocka_unit_test(denied_to_users),
        cmocka_unit_test(limits_of_the_stream),
        cmocka_unit_test(interest),
        cmocka_unit_test(without_interest),
        cmocka_unit_test(after_truncation),
        cmocka_unit_test(after_a_purge),
        cmocka_unit_test(delivered_is_done_without_acks),
        cmocka_unit_test(pending_is_exact),
        cmocka_unit_test(peeked),
        cmocka_unit_test(sought),
        cmocka_unit_test(configurations),
        cmocka_unit_test(written_as_servers_do),
        cmocka_unit_test(changed_configurations),
        cmocka_unit_test(beside_each_other),
        cmocka_unit_test(hostile_states),
        cmocka_unit_test(first_version),
        cmocka_unit_test(racing_workers),
        cmocka_unit_test(who_waits_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
