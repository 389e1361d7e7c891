/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations of consumers: what is refused, what is written, what may change. */
#include "tests/core/consumer_deliver.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations),
        cmocka_unit_test(written_as_servers_do),
        cmocka_unit_test(changed_configurations),
        cmocka_unit_test(beside_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
