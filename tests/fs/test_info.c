/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>

#include "tests/fs/view_store.h"

#include "fs/view/info.h"
#include "fs/view/json_build.h"

static struct view_store vs;

static int setup(void **state) {
    (void)state;
    view_store_new(&vs);
    view_store_fill(&vs, 100);
    assert_int_equal(js_stream_remove_msg(vs.stream, 50), 1);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    view_store_free(&vs);
    return 0;
}

/* Parses a text that was given and frees it. */
static json_t *parsed(int rc, char *text, size_t len) {
    json_t *json;

    assert_int_equal(rc, 0);
    assert_int_equal(strlen(text), len);
    assert_int_equal(text[len - 1], '\n');
    json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    free(text);
    return json;
}

static long long number(const json_t *json, const char *name) {
    const json_t *value = json_object_get(json, name);

    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static const char *text_of(const json_t *json, const char *name) {
    const char *value = json_string_value(json_object_get(json, name));

    assert_non_null(value);
    return value;
}

static void test_stream_info_tells_the_state(void **state) {
    char *text = NULL;
    size_t len = 0;
    int rc = jf_info_stream(vs.stream, &text, &len);
    json_t *json = parsed(rc, text, len);

    (void)state;
    assert_string_equal(text_of(json, "name"), "S");
    assert_string_equal(text_of(json, "config_name"), "S");
    assert_string_equal(text_of(json, "health"), "ok");
    assert_string_equal(text_of(json, "cipher"), "none");
    assert_int_equal(number(json, "messages"), 99);
    assert_int_equal(number(json, "first_seq"), 1);
    assert_int_equal(number(json, "last_seq"), 100);
    assert_int_equal(number(json, "deleted"), 1);
    assert_int_equal(number(json, "subjects"), 4);
    assert_int_equal(number(json, "consumers"), 0);
    assert_int_equal(number(json, "problems_total"), 0);
    assert_int_equal(strlen(text_of(json, "last_time")), 30);
    json_decref(json);
}

static void test_subject_info_tells_subtree_and_own(void **state) {
    struct jf_scope *root, *scope;
    char *text = NULL;
    size_t len = 0;
    json_t *json, *own;
    int rc;

    (void)state;
    assert_int_equal(jf_scope_root(vs.stream, &root), 0);
    assert_int_equal(jf_scope_subtree(root, "a.b", 3, &scope), 0);
    rc = jf_info_subject(scope, "a.b", 3, &text, &len);
    json = parsed(rc, text, len);
    assert_int_equal(number(json, "messages"), 50);
    assert_int_equal(number(json, "first_seq"), 1);
    assert_int_equal(number(json, "last_seq"), 100);
    own = json_object_get(json, "own");
    assert_int_equal(number(own, "messages"), 25);
    assert_int_equal(number(own, "last_seq"), 97);
    json_decref(json);
    rc = jf_info_subject(root, "", 0, &text, &len);
    json = parsed(rc, text, len);
    assert_int_equal(number(json, "messages"), 99);
    assert_null(json_object_get(json, "own"));
    json_decref(json);
    jf_scope_unref(scope);
    jf_scope_unref(root);
}

static void test_account_and_store_info_sum_up(void **state) {
    char *text = NULL;
    size_t len = 0;
    int rc = jf_info_account(vs.store, "$G", &text, &len);
    json_t *json = parsed(rc, text, len), *list;

    (void)state;
    assert_string_equal(text_of(json, "account"), "$G");
    assert_int_equal(number(json, "messages"), 99);
    list = json_object_get(json, "streams");
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(text_of(json_array_get(list, 0), "name"), "S");
    assert_string_equal(text_of(json_array_get(list, 0), "health"), "ok");
    json_decref(json);
    rc = jf_info_account(vs.store, NULL, &text, &len);
    json = parsed(rc, text, len);
    assert_int_equal(number(json, "num_streams"), 1);
    list = json_object_get(json, "accounts");
    assert_int_equal(json_array_size(list), 1);
    assert_int_equal(number(json_array_get(list, 0), "messages"), 99);
    json_decref(json);
    assert_int_equal(jf_info_account(vs.store, "none", &text, &len), JS_ERR_NO_ACCOUNT);
}

static void test_config_is_the_streams_own(void **state) {
    char *text = NULL;
    size_t len = 0;
    int rc = jf_info_config(vs.stream, &text, &len);
    json_t *json = parsed(rc, text, len);

    (void)state;
    assert_int_equal(number(json, "max_bytes"), 120000);
    assert_int_equal(json_array_size(json_object_get(json, "subjects")), 3);
    json_decref(json);
}

static void test_missing_consumer_is_an_error(void **state) {
    char *text;
    size_t len;

    (void)state;
    assert_int_equal(jf_info_consumer(vs.stream, "none", &text, &len), JS_ERR_NO_CONSUMER);
    assert_int_equal(jf_info_consumer_config(vs.stream, "none", &text, &len), JS_ERR_NO_CONSUMER);
}

static void test_odd_values_still_make_json(void **state) {
    struct jf_json json = jf_json_object();
    char *text = NULL;
    size_t len = 0;
    json_t *back;
    int rc;

    (void)state;
    jf_json_text(&json, "name", "a\xff\xc3\xa4\xe2\x82");
    jf_json_number(&json, "huge", UINT64_MAX);
    jf_json_time(&json, "none", 0);
    rc = jf_json_finish(&json, &text, &len);
    back = parsed(rc, text, len);
    assert_string_equal(text_of(back, "name"), "a\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd");
    assert_int_equal(number(back, "huge"), INT64_MAX);
    assert_true(json_is_null(json_object_get(back, "none")));
    json_decref(back);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_info_tells_the_state),
        cmocka_unit_test(test_subject_info_tells_subtree_and_own),
        cmocka_unit_test(test_account_and_store_info_sum_up),
        cmocka_unit_test(test_config_is_the_streams_own),
        cmocka_unit_test(test_missing_consumer_is_an_error),
        cmocka_unit_test(test_odd_values_still_make_json),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
