/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves the stream because consumers are done with it, or are not there. */
#include "tests/core/consumer_deliver.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workqueue),
        cmocka_unit_test(denied_to_users),
        cmocka_unit_test(limits_of_the_stream),
        cmocka_unit_test(interest),
        cmocka_unit_test(without_interest),
        cmocka_unit_test(after_truncation),
        cmocka_unit_test(after_a_purge),
        cmocka_unit_test(delivered_is_done_without_acks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
