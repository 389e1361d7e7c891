/* SPDX-License-Identifier: Apache-2.0 */
/* meta.inf and meta.sum: reading, making, block sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/format/meta.h"

static long allocs_left = -1; /* -1: unlimited */

static void *count_realloc(void *ctx, void *p, size_t size) {
    (void)ctx;
    if (allocs_left == 0)
        return NULL;
    if (allocs_left > 0)
        allocs_left--;
    return realloc(p, size);
}

static void plain_free(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

static const struct js_alloc test_alloc = {.realloc = count_realloc, .free = plain_free};
static const struct js_env env = {.alloc = &test_alloc};

#define CREATED INT64_C(1700000000123456789)

static int parse(const char *json, struct js_stream_config *c, char why[256]) {
    why[0] = 0;
    return js_stream_config_parse(&env, json, strlen(json), c, why, 256);
}

/* ---- sums ----------------------------------------------------------------------------------- */

static void sums_are_those_of_servers(void **state) {
    (void)state;
    static const char stream[] =
        "{\"name\":\"ORDERS\",\"subjects\":[\"orders.\\u003e\"],\"storage\":\"file\"}";
    static const char consumer[] =
        "{\"Name\":\"c\",\"durable_name\":\"c\",\"ack_policy\":\"explicit\","
        "\"deliver_policy\":\"all\",\"replay_policy\":\"instant\",\"num_replicas\":0}";
    char hex[17];
    assert_int_equal(strlen(stream), 63);
    js_meta_sum("ORDERS", (const uint8_t *)stream, strlen(stream), hex);
    assert_string_equal(hex, "bb211a88add0546a");
    js_meta_sum("ORDERS/c", (const uint8_t *)consumer, strlen(consumer), hex);
    assert_string_equal(hex, "7fb6bb7e97b8b9b3");
}

/* ---- reading a stream's --------------------------------------------------------------------- */

static void a_server_s_stream_is_read_whole(void **state) {
    (void)state;
    static const char json[] =
        "{\"Created\":\"2026-11-23T13:27:27.797332598Z\",\"name\":\"NEWPER\",\"subjects\":"
        "[\"newper.\\u003e\",\"x\"],\"retention\":\"workqueue\",\"max_consumers\":-1,\"max_msgs\":"
        "0,"
        "\"max_bytes\":2000,\"max_age\":1000000000,\"max_msgs_per_subject\":1,\"max_msg_size\":7,"
        "\"discard\":\"new\",\"storage\":\"file\",\"num_replicas\":1,\"compression\":\"s2\","
        "\"first_seq\":9007199254740993,\"duplicate_window\":1000000000,\"allow_direct\":false,"
        "\"discard_new_per_subject\":true,\"sealed\":true,\"deny_delete\":true,\"deny_purge\":true,"
        "\"allow_rollup_hdrs\":true,\"consumer_limits\":{},\"allow_msg_ttl\":true,"
        "\"allow_msg_counter\":true,\"allow_atomic\":true,\"allow_msg_schedules\":true,"
        "\"from_the_future\":[1],\"mirror\":null,\"metadata\":{\"_nats.req.level\":\"2\"}}";
    struct js_stream_config c;
    char why[256];
    assert_int_equal(parse(json, &c, why), 0);
    assert_string_equal(c.name, "NEWPER");
    assert_int_equal(c.num_subjects, 2);
    assert_string_equal(c.subjects[0], "newper.>");
    assert_string_equal(c.subjects[1], "x");
    assert_int_equal(c.retention, 'w');
    assert_int_equal(c.discard, 'n');
    assert_int_equal(c.compression, 's');
    assert_int_equal(c.max_msgs, -1);
    assert_int_equal(c.max_bytes, 2000);
    assert_int_equal(c.max_age, 1000000000);
    assert_int_equal(c.max_msgs_per_subject, 1);
    assert_int_equal(c.max_msg_size, 7);
    assert_true(c.first_seq == 9007199254740993u);
    assert_int_equal(c.created, INT64_C(1795440447797332598));
    assert_true(c.discard_new_per_subject && c.sealed && c.deny_delete && c.deny_purge);
    assert_true(c.allow_rollup_hdrs && c.allow_msg_ttl && c.allow_msg_counter && c.allow_atomic);
    assert_true(c.allow_msg_schedules);
    assert_false(c.has_mirror || c.has_sources || c.has_transform || c.memory || c.template_owned);
    assert_int_equal(c.api_level, 2);
    js_stream_config_done(&c);
    js_stream_config_done(&c);
}

static void absent_fields_have_the_servers_defaults(void **state) {
    (void)state;
    struct js_stream_config c;
    char why[256];
    assert_int_equal(parse("{\"name\":\"S\"}", &c, why), 0);
    assert_int_equal(c.num_subjects, 1);
    assert_string_equal(c.subjects[0], "S");
    assert_int_equal(c.retention, 'l');
    assert_int_equal(c.discard, 'o');
    assert_int_equal(c.compression, 'n');
    assert_int_equal(c.max_msgs, -1);
    assert_int_equal(c.max_msg_size, -1);
    assert_int_equal(c.created, 0);
    js_stream_config_done(&c);

    assert_int_equal(parse("{\"name\":\"M\",\"mirror\":{\"name\":\"S\"},\"storage\":\"memory\","
                           "\"Created\":\"0001-01-01T00:00:00Z\",\"template_owner\":\"t\"}\n",
                           &c, why),
                     0);
    assert_int_equal(c.num_subjects, 0);
    assert_true(c.has_mirror && c.memory && c.template_owned);
    assert_int_equal(c.created, 0);
    js_stream_config_done(&c);

    assert_int_equal(
        parse("{\"name\":\"M\",\"sources\":[{\"name\":\"S\"}],\"subject_transform\":{},"
              "\"subject_delete_marker_ttl\":1000000000}",
              &c, why),
        0);
    assert_int_equal(c.num_subjects, 0);
    assert_true(c.has_sources && c.has_transform && c.allow_msg_ttl && c.allow_rollup_hdrs);
    js_stream_config_done(&c);
}

static void damaged_text_is_corrupt_with_a_reason(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "7",
                                      "{}",
                                      "{\"name\":\"S\"}x",
                                      "{\"name\":7}",
                                      "{\"name\":\"a\xff\"}",
                                      "{\"name\":\"S\",\"max_msgs\":\"x\"}",
                                      "{\"name\":\"S\",\"max_msgs\":1.5}",
                                      "{\"name\":\"S\",\"max_msgs\":99999999999999999999}",
                                      "{\"name\":\"S\",\"subjects\":\"s\"}",
                                      "{\"name\":\"S\",\"subjects\":[1]}",
                                      "{\"name\":\"S\",\"sealed\":1}",
                                      "{\"name\":\"S\",\"retention\":\"x\"}",
                                      "{\"name\":\"S\",\"mirror\":1}",
                                      "{\"name\":\"S\",\"Created\":\"yesterday\"}",
                                      "{\"name\":\"S\\u0000\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct js_stream_config c = {.api_level = 99};
        char why[256];
        assert_int_equal(parse(bad[i], &c, why), JS_ERR_CORRUPT);
        assert_true(strlen(why) > 5);
        assert_null(strchr(why, '\n'));
        assert_int_equal(c.api_level, 99);
        assert_int_equal(js_stream_config_parse(&env, bad[i], strlen(bad[i]), &c, NULL, 0),
                         JS_ERR_CORRUPT);
    }
    /* Nesting without bound. */
    char *deep = malloc(200001);
    memset(deep, '[', 200000);
    deep[200000] = 0;
    struct js_stream_config c;
    char why[256];
    assert_int_equal(parse(deep, &c, why), JS_ERR_CORRUPT);
    free(deep);
}

static void every_cut_of_a_text_is_corrupt(void **state) {
    (void)state;
    static const char json[] = "{\"name\":\"S\",\"subjects\":[\"a\",\"b.\\u003e\"],\"max_age\":5}";
    struct js_stream_config c;
    for (size_t n = 0; n < sizeof json - 1; n++)
        assert_int_equal(js_stream_config_parse(&env, json, n, &c, NULL, 0), JS_ERR_CORRUPT);
}

static void running_out_of_memory_leaks_nothing(void **state) {
    (void)state;
    static const char json[] = "{\"name\":\"S\",\"subjects\":[\"a\",\"b\",\"c\"]}";
    static const char consumer[] = "{\"Name\":\"S\",\"filter_subjects\":[\"a\",\"b\",\"c\"]}";
    for (long n = 0; n < 5; n++) {
        struct js_stream_config c;
        struct js_consumer_config k;
        allocs_left = n;
        assert_int_equal(js_stream_config_parse(&env, json, strlen(json), &c, NULL, 0),
                         JS_ERR_NOMEM);
        allocs_left = n;
        assert_int_equal(js_consumer_config_parse(&env, consumer, strlen(consumer), &k),
                         JS_ERR_NOMEM);
    }
    struct js_buf text = {.env = &env};
    allocs_left = 0;
    assert_int_equal(js_stream_config_make(&env, "S", NULL, CREATED, &text, NULL, 0), JS_ERR_NOMEM);
    allocs_left = -1;
    js_buf_done(&text);
}

/* ---- making one ----------------------------------------------------------------------------- */

static int make(const char *name, const char *user, char *ret_text, size_t size, char why[256]) {
    struct js_buf text = {.env = &env};
    why[0] = 0;
    int r = js_stream_config_make(&env, name, user, CREATED, &text, why, 256);
    if (r == 0) {
        assert_true(text.len < size);
        memcpy(ret_text, text.data, text.len);
        ret_text[text.len] = 0;
    } else {
        assert_int_equal(text.len, 0);
        assert_true(strlen(why) > 5);
        assert_null(strchr(why, '\n'));
    }
    js_buf_done(&text);
    return r;
}

static void the_default_is_what_a_2_9_server_writes(void **state) {
    (void)state;
    char text[2048], why[256];
    assert_int_equal(make("ORDERS", NULL, text, sizeof text, why), 0);
    assert_string_equal(
        text, "{\"Created\":\"2023-11-14T22:13:20.123456789Z\",\"name\":\"ORDERS\",\"subjects\":["
              "\"ORDERS\",\"ORDERS.>\"],\"retention\":\"limits\",\"max_consumers\":-1,"
              "\"max_msgs\":-1,\"max_bytes\":-1,\"max_age\":0,\"max_msgs_per_subject\":-1,"
              "\"max_msg_size\":-1,\"discard\":\"old\",\"storage\":\"file\",\"num_replicas\":1,"
              "\"duplicate_window\":120000000000,\"allow_direct\":false,\"mirror_direct\":false,"
              "\"sealed\":false,\"deny_delete\":false,\"deny_purge\":false,"
              "\"allow_rollup_hdrs\":false}");
    struct js_stream_config c;
    assert_int_equal(parse(text, &c, why), 0);
    assert_int_equal(c.created, CREATED);
    assert_int_equal(c.num_subjects, 2);
    js_stream_config_done(&c);
}

static void the_user_s_fields_are_kept(void **state) {
    (void)state;
    char text[2048], why[256];
    assert_int_equal(
        make(
            "S",
            "{\"max_msgs\":10,\"discard\":\"new\",\"subjects\":[\"a.*\",\"b.>\"],\"name\":\"S\","
            "\"Created\":\"2020-01-01T00:00:00Z\",\"description\":\"d <&> \xc3\xa4\","
            "\"retention\":\"interest\",\"max_consumers\":3,\"max_bytes\":0,\"max_age\":1000000000,"
            "\"max_msgs_per_subject\":2,\"max_msg_size\":100,\"num_replicas\":0,\"no_ack\":true,"
            "\"compression\":\"s2\",\"allow_direct\":true,\"discard_new_per_subject\":true,"
            "\"deny_delete\":true,\"allow_rollup_hdrs\":true,\"mirror\":null,\"sources\":[],"
            "\"first_seq\":0,\"allow_msg_ttl\":false,\"template_owner\":\"\","
            "\"consumer_limits\":{\"max_ack_pending\":5},"
            "\"metadata\":{\"_nats.req.level\":\"0\",\"team\":\"x\"}}",
            text, sizeof text, why),
        0);
    assert_string_equal(
        text, "{\"Created\":\"2023-11-14T22:13:20.123456789Z\",\"name\":\"S\","
              "\"description\":\"d <&> \xc3\xa4\",\"subjects\":[\"a.*\",\"b.>\"],"
              "\"retention\":\"interest\",\"max_consumers\":3,\"max_msgs\":10,\"max_bytes\":-1,"
              "\"max_age\":1000000000,\"max_msgs_per_subject\":2,\"max_msg_size\":100,"
              "\"discard\":\"new\",\"storage\":\"file\",\"num_replicas\":1,\"no_ack\":true,"
              "\"duplicate_window\":1000000000,\"compression\":\"s2\",\"allow_direct\":true,"
              "\"mirror_direct\":false,\"discard_new_per_subject\":true,\"sealed\":false,"
              "\"deny_delete\":true,\"deny_purge\":false,\"allow_rollup_hdrs\":true,"
              "\"consumer_limits\":{\"max_ack_pending\":5},\"metadata\":{\"team\":\"x\"}}");
    /* A user's JSON without subjects: as servers do. */
    assert_int_equal(
        make("S", "{\"compression\":\"none\",\"metadata\":{}}", text, sizeof text, why), 0);
    assert_non_null(strstr(text, "\"subjects\":[\"S\"],"));
    assert_null(strstr(text, "compression"));
    assert_null(strstr(text, "metadata"));
    assert_int_equal(make("S", "{\"subjects\":[\">\"],\"no_ack\":true}", text, sizeof text, why),
                     0);
    assert_int_equal(make("S", "{\"subjects\":[\"$JS.EVENT.>\"]}", text, sizeof text, why), 0);
}

static void what_a_server_would_refuse_is_refused_with_the_field_s_name(void **state) {
    (void)state;
    static const struct {
        const char *json, *names;
        int r;
    } bad[] = {
        {"{\"max_mgs\":1}", "max_mgs", JS_ERR_INVAL},
        {"{", "JSON", JS_ERR_INVAL},
        {"[]", "object", JS_ERR_INVAL},
        {"{\"name\":\"T\"}", "\"T\"", JS_ERR_INVAL},
        {"{\"name\":1}", "name", JS_ERR_INVAL},
        {"{\"subjects\":\"a\"}", "subjects", JS_ERR_INVAL},
        {"{\"subjects\":[\"a..b\"]}", "a..b", JS_ERR_INVAL},
        {"{\"subjects\":[\"a.>\",\"a.b\"]}", "overlap", JS_ERR_INVAL},
        {"{\"subjects\":[\">\"]}", "overlap", JS_ERR_INVAL},
        {"{\"subjects\":[\"$JS.API.x\"]}", "overlap", JS_ERR_INVAL},
        {"{\"retention\":\"x\"}", "retention", JS_ERR_INVAL},
        {"{\"retention\":5}", "retention", JS_ERR_INVAL},
        {"{\"storage\":\"memory\"}", "storage", JS_ERR_INVAL},
        {"{\"max_msgs\":-2}", "max_msgs", JS_ERR_INVAL},
        {"{\"max_msgs\":1.5}", "max_msgs", JS_ERR_INVAL},
        {"{\"max_msg_size\":2147483648}", "max_msg_size", JS_ERR_INVAL},
        {"{\"max_age\":99999999}", "max_age", JS_ERR_INVAL},
        {"{\"max_age\":-1}", "max_age", JS_ERR_INVAL},
        {"{\"max_age\":200000000,\"duplicate_window\":200000001}", "duplicate", JS_ERR_INVAL},
        {"{\"duplicate_window\":5}", "duplicate_window", JS_ERR_INVAL},
        {"{\"num_replicas\":3}", "num_replicas", JS_ERR_INVAL},
        {"{\"sealed\":true}", "sealed", JS_ERR_INVAL},
        {"{\"sealed\":\"yes\"}", "sealed", JS_ERR_INVAL},
        {"{\"mirror_direct\":true}", "mirror_direct", JS_ERR_INVAL},
        {"{\"deny_purge\":true,\"allow_rollup_hdrs\":true}", "rollup", JS_ERR_INVAL},
        {"{\"discard_new_per_subject\":true}", "discard", JS_ERR_INVAL},
        {"{\"discard_new_per_subject\":true,\"discard\":\"new\"}", "max_msgs_per", JS_ERR_INVAL},
        {"{\"first_seq\":5}", "purge", JS_ERR_INVAL},
        {"{\"compression\":\"zip\"}", "compression", JS_ERR_INVAL},
        {"{\"persist_mode\":\"eager\"}", "persist_mode", JS_ERR_INVAL},
        {"{\"consumer_limits\":{\"x\":1}}", "consumer_limits.x", JS_ERR_INVAL},
        {"{\"metadata\":{\"k\":1}}", "metadata.k", JS_ERR_INVAL},
        {"{\"metadata\":7}", "metadata", JS_ERR_INVAL},
        {"{\"mirror\":{\"name\":\"x\"}}", "mirror", JS_ERR_UNSUPPORTED},
        {"{\"sources\":[{}]}", "sources", JS_ERR_UNSUPPORTED},
        {"{\"subject_transform\":{\"src\":\"a\"}}", "subject_transform", JS_ERR_UNSUPPORTED},
        {"{\"allow_atomic\":true}", "allow_atomic", JS_ERR_UNSUPPORTED},
        {"{\"allow_msg_counter\":true,\"discard\":\"new\"}", "discard", JS_ERR_INVAL},
        {"{\"allow_msg_counter\":true,\"allow_msg_ttl\":true}", "allow_msg_ttl", JS_ERR_INVAL},
        {"{\"allow_msg_counter\":true,\"allow_msg_schedules\":true}", "schedules", JS_ERR_INVAL},
        {"{\"allow_msg_counter\":true,\"retention\":\"workqueue\"}", "limits", JS_ERR_INVAL},
    };
    char text[2048], why[256];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(make("S", bad[i].json, text, sizeof text, why), bad[i].r);
        assert_non_null(strstr(why, bad[i].names));
    }
    assert_int_equal(make("a.b", NULL, text, sizeof text, why), JS_ERR_INVAL);
    char *json = malloc(6000);
    sprintf(json, "{\"description\":\"%04097d\"}", 0);
    assert_int_equal(make("S", json, text, sizeof text, why), JS_ERR_INVAL);
    free(json);
}

static void a_name_of_any_length_makes_a_stream(void **state) {
    (void)state;
    char name[256], text[4096], why[256];
    memset(name, 'n', 255);
    name[255] = 0;
    assert_int_equal(make(name, NULL, text, sizeof text, why), 0);
    struct js_stream_config c;
    assert_int_equal(parse(text, &c, why), 0);
    assert_string_equal(c.name, name);
    assert_int_equal(strlen(c.subjects[1]), 257);
    js_stream_config_done(&c);
}

/* ---- block sizes ---------------------------------------------------------------------------- */

static uint64_t block_size(const char *json, bool encrypted) {
    struct js_stream_config c;
    char why[256];
    assert_int_equal(parse(json, &c, why), 0);
    uint64_t size = js_block_size_of(&c, encrypted);
    js_stream_config_done(&c);
    return size;
}

static void block_sizes_follow_the_limits(void **state) {
    (void)state;
    assert_int_equal(block_size("{\"name\":\"S\"}", false), 8388608);
    assert_int_equal(block_size("{\"name\":\"S\"}", true), 2097152);
    assert_int_equal(block_size("{\"name\":\"S\",\"retention\":\"workqueue\"}", false), 4194304);
    assert_int_equal(block_size("{\"name\":\"S\",\"max_msgs_per_subject\":1}", true), 4194304);
    assert_int_equal(block_size("{\"name\":\"S\",\"max_bytes\":2000}", false), 32000);
    /* 127996 / 4 + 1 = 32000; four more bytes round up to 32100. */
    assert_int_equal(block_size("{\"name\":\"S\",\"max_bytes\":127996}", false), 32000);
    assert_int_equal(block_size("{\"name\":\"S\",\"max_bytes\":128000}", false), 4194304);
    assert_int_equal(block_size("{\"name\":\"S\",\"max_bytes\":33553999}", false), 4194304);
    assert_int_equal(block_size("{\"name\":\"S\",\"max_bytes\":33554400}", false), 8388608);
    /* 330 * (34 + 6 + 320) = 118800. */
    assert_int_equal(
        block_size("{\"name\":\"S\",\"subjects\":[\"kill.0\",\"k.*\"],\"max_msgs\":330,"
                   "\"max_msg_size\":320}",
                   false),
        32000);
    assert_int_equal(block_size("{\"name\":\"S\",\"subjects\":[\"s.>\"],\"max_msgs\":330,"
                                "\"max_msg_size\":320}",
                                false),
                     4194304);
    assert_int_equal(block_size("{\"name\":\"S\",\"max_msgs\":9000000000000000000}", false),
                     8388608);
}

/* ---- consumers ------------------------------------------------------------------------------ */

static int parse_consumer(const char *json, struct js_consumer_config *c) {
    return js_consumer_config_parse(&env, json, strlen(json), c);
}

static void consumers_are_read(void **state) {
    (void)state;
    struct js_consumer_config c;
    assert_int_equal(
        parse_consumer("{\"Created\":\"2023-11-14T22:13:20Z\",\"Name\":\"C\","
                       "\"durable_name\":\"C\",\"deliver_policy\":\"by_start_sequence\","
                       "\"opt_start_seq\":17,\"ack_policy\":\"explicit\","
                       "\"filter_subject\":\"a.\\u003e\",\"x\":{}}",
                       &c),
        0);
    assert_string_equal(c.name, "C");
    assert_true(c.durable);
    assert_int_equal(c.ack_policy, 'e');
    assert_int_equal(c.deliver_policy, 's');
    assert_int_equal(c.opt_start_seq, 17);
    assert_int_equal(c.created, INT64_C(1700000000000000000));
    assert_int_equal(c.num_filters, 1);
    assert_string_equal(c.filters[0], "a.>");
    js_consumer_config_done(&c);

    assert_int_equal(parse_consumer("{\"name\":\"E\",\"filter_subjects\":[\"a\",\"b\"],"
                                    "\"opt_start_time\":\"2023-11-14T22:13:20Z\","
                                    "\"deliver_policy\":\"last_per_subject\"}",
                                    &c),
                     0);
    assert_string_equal(c.name, "E");
    assert_false(c.durable);
    assert_int_equal(c.ack_policy, 'n');
    assert_int_equal(c.deliver_policy, 'p');
    assert_int_equal(c.opt_start_time, INT64_C(1700000000000000000));
    assert_int_equal(c.num_filters, 2);
    js_consumer_config_done(&c);

    assert_int_equal(parse_consumer("{\"ack_policy\":\"x\"}", &c), JS_ERR_CORRUPT);
    assert_int_equal(parse_consumer("{\"filter_subject\":1}", &c), JS_ERR_CORRUPT);
    assert_int_equal(parse_consumer("", &c), JS_ERR_CORRUPT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_those_of_servers),
        cmocka_unit_test(a_server_s_stream_is_read_whole),
        cmocka_unit_test(absent_fields_have_the_servers_defaults),
        cmocka_unit_test(damaged_text_is_corrupt_with_a_reason),
        cmocka_unit_test(every_cut_of_a_text_is_corrupt),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
        cmocka_unit_test(the_default_is_what_a_2_9_server_writes),
        cmocka_unit_test(the_user_s_fields_are_kept),
        cmocka_unit_test(what_a_server_would_refuse_is_refused_with_the_field_s_name),
        cmocka_unit_test(a_name_of_any_length_makes_a_stream),
        cmocka_unit_test(block_sizes_follow_the_limits),
        cmocka_unit_test(consumers_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
