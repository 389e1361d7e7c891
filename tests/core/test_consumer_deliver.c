/* SPDX-License-Identifier: Apache-2.0 */
/* What consumers deliver, when again, and how many follow; with a clock that the test turns. */
#include "tests/core/consumer_deliver.h"

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

/* ---- how many follow
 * ----------------------------------------------------------------------------- */

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),         cmocka_unit_test(filters),
        cmocka_unit_test(max_ack_pending),  cmocka_unit_test(deliver_policies),
        cmocka_unit_test(last_per_subject), cmocka_unit_test(ack_wait),
        cmocka_unit_test(backoff),          cmocka_unit_test(refused),
        cmocka_unit_test(taken_back_first), cmocka_unit_test(counts_survive),
        cmocka_unit_test(paused),           cmocka_unit_test(ack_all),
        cmocka_unit_test(no_acks),          cmocka_unit_test(pending_is_exact),
        cmocka_unit_test(peeked),           cmocka_unit_test(sought),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
