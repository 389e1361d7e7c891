/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fs/view_store.h"

#include "fs/view/scope.h"

static struct view_store vs;

static int setup(void **state) {
    (void)state;
    view_store_new(&vs);
    view_store_fill(&vs, 100); /* a.b.c when n % 4 is 0, then a.b, a.x, k.1 */
    return 0;
}

static int teardown(void **state) {
    (void)state;
    view_store_free(&vs);
    return 0;
}

/* Takes old, narrows it, checks that it worked. */
static struct jf_scope *narrowed(struct jf_scope *old, char how, const char *text) {
    struct jf_scope *scope = NULL;
    size_t len = strlen(text);
    int rc = JS_ERR_INVAL;

    if (how == 'm')
        rc = jf_scope_match(old, text, len, &scope);
    else if (how == 's')
        rc = jf_scope_subtree(old, text, len, &scope);
    else if (how == 'o')
        rc = jf_scope_subject(old, text, len, &scope);
    else if (how == 'f')
        rc = jf_scope_from(old, strtoull(text, NULL, 10), &scope);
    else if (how == 't')
        rc = jf_scope_tail(old, strtoull(text, NULL, 10), &scope);
    assert_int_equal(rc, 0);
    jf_scope_unref(old);
    return scope;
}

static struct jf_scope *root(void) {
    struct jf_scope *scope;

    assert_int_equal(jf_scope_root(vs.stream, &scope), 0);
    return scope;
}

static void test_order_of_composition_does_not_change_the_key(void **state) {
    struct jf_scope *a = root(), *b = root();

    (void)state;
    a = narrowed(narrowed(narrowed(narrowed(a, 'm', "a.*"), 'm', "*.b"), 's', "a"), 'f', "7");
    b = narrowed(narrowed(narrowed(narrowed(b, 'f', "7"), 's', "a"), 'm', "*.b"), 'm', "a.*");
    assert_string_equal(jf_scope_key(a), jf_scope_key(b));
    b = narrowed(narrowed(narrowed(b, 'm', "a.*"), 'm', ">"), 'f', "3");
    assert_string_equal(jf_scope_key(a), jf_scope_key(b));
    b = narrowed(b, 'f', "8");
    assert_string_not_equal(jf_scope_key(a), jf_scope_key(b));
    jf_scope_unref(a);
    jf_scope_unref(b);
}

static void test_root_has_no_filter(void **state) {
    struct jf_scope *scope = root();

    (void)state;
    assert_null(jf_scope_filter(scope));
    assert_int_equal(jf_scope_first(scope), 1);
    assert_int_equal(jf_scope_last(scope), 0);
    assert_false(jf_scope_is_block(scope, NULL));
    scope = narrowed(narrowed(scope, 'm', ">"), 's', "");
    assert_null(jf_scope_filter(scope));
    jf_scope_unref(scope);
}

static void test_subtree_covers_itself_and_what_is_below(void **state) {
    struct jf_scope *scope = narrowed(root(), 's', "a.b");

    (void)state;
    assert_true(jf_scope_covers(scope, 1, "a.b", 3));
    assert_true(jf_scope_covers(scope, 1, "a.b.c", 5));
    assert_false(jf_scope_covers(scope, 1, "a.bc", 4));
    assert_false(jf_scope_covers(scope, 1, "a", 1));
    /* A wider one changes nothing, a narrower one counts. */
    scope = narrowed(scope, 's', "a");
    assert_string_equal(jf_scope_prefix(scope), "a.b");
    scope = narrowed(scope, 's', "a.b.c");
    assert_string_equal(jf_scope_prefix(scope), "a.b.c");
    assert_false(jf_scope_covers(scope, 1, "a.b", 3));
    assert_false(jf_scope_is_void(scope));
    scope = narrowed(scope, 's', "a.b.cd");
    assert_true(jf_scope_is_void(scope));
    assert_false(jf_scope_covers(scope, 1, "a.b.c", 5));
    jf_scope_unref(scope);
}

static void test_filters_agree_with_the_engine(void **state) {
    struct jf_scope *scope = narrowed(narrowed(root(), 's', "a.b"), 'm', "a.*.>");
    struct js_totals totals;
    uint64_t n = 0;

    (void)state;
    assert_int_equal(
        js_stream_totals(vs.stream, jf_scope_filter(scope), jf_scope_first(scope), 0, &totals), 0);
    for (js_seq_t seq = 1; seq <= 100; seq++) {
        struct js_msg msg;

        assert_int_equal(js_stream_load_msg(vs.stream, seq, &msg), 0);
        n += jf_scope_covers(scope, seq, msg.subject, msg.subject_len);
        js_msg_release(&msg);
    }
    assert_int_equal(n, 25);
    assert_int_equal(totals.msgs, n);
    jf_scope_unref(scope);
}

static void test_tail_begins_with_the_nth_last_match(void **state) {
    static const struct {
        const char *subject, *n;
        js_seq_t first;
    } cases[] = {
        {"k.1", "1", 99},  {"k.1", "3", 91},      {"k.1", "25", 3},   {"k.1", "26", 1},
        {"k.1", "0", 101}, {"k.1", "1000000", 1}, {"a.none", "5", 1},
    };
    struct jf_scope *scope;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scope = narrowed(narrowed(root(), 'o', cases[i].subject), 't', cases[i].n);
        assert_int_equal(jf_scope_first(scope), cases[i].first);
        jf_scope_unref(scope);
    }
    for (js_seq_t n = 1; n <= 100; n++) {
        char text[24];

        snprintf(text, sizeof text, "%d", (int)n);
        scope = narrowed(root(), 't', text);
        assert_int_equal(jf_scope_first(scope), 101 - n);
        jf_scope_unref(scope);
    }
    scope = narrowed(narrowed(root(), 'f', "90"), 't', "50");
    assert_int_equal(jf_scope_first(scope), 90);
    scope = narrowed(scope, 'f', "200");
    scope = narrowed(scope, 't', "5");
    assert_int_equal(jf_scope_first(scope), 200);
    jf_scope_unref(scope);
}

static void test_since_begins_with_the_first_message_not_older(void **state) {
    struct jf_scope *scope = root(), *since;
    struct js_msg_stat stat;

    (void)state;
    assert_int_equal(js_stream_stat_msg(vs.stream, 50, &stat), 0);
    assert_int_equal(jf_scope_since(scope, stat.time + 1, &since), 0);
    assert_true(jf_scope_first(since) >= 51);
    jf_scope_unref(since);
    assert_int_equal(jf_scope_since(scope, INT64_MAX, &since), 0);
    assert_int_equal(jf_scope_first(since), 101);
    jf_scope_unref(since);
    assert_int_equal(jf_scope_since(scope, 0, &since), 0);
    assert_int_equal(jf_scope_first(since), 1);
    jf_scope_unref(since);
    jf_scope_unref(scope);
}

static void test_malformed_conditions_are_refused(void **state) {
    struct jf_scope *scope = root(), *none;
    char text[16];

    (void)state;
    assert_int_equal(jf_scope_match(scope, "a..b", 4, &none), JS_ERR_INVAL);
    assert_int_equal(jf_scope_match(scope, "", 0, &none), JS_ERR_INVAL);
    assert_int_equal(jf_scope_match(scope, "a\nb", 3, &none), JS_ERR_INVAL);
    assert_int_equal(jf_scope_subject(scope, "a.*", 3, &none), JS_ERR_INVAL);
    assert_int_equal(jf_scope_subtree(scope, "a.>", 3, &none), JS_ERR_INVAL);
    for (int i = 0; i < JF_SCOPE_MAX_PATTERNS; i++) {
        snprintf(text, sizeof text, "p%d", i);
        scope = narrowed(scope, 'm', text);
    }
    assert_int_equal(jf_scope_match(scope, "one.more", 8, &none), JS_ERR_TOO_MANY_RESULTS);
    jf_scope_unref(scope);
}

static void test_bounds_that_exclude_each_other_are_void(void **state) {
    struct jf_scope *scope = narrowed(root(), 'f', "10"), *upto, *block, *other;

    (void)state;
    assert_int_equal(jf_scope_upto(scope, 9, &upto), 0);
    assert_true(jf_scope_is_void(upto));
    assert_int_equal(jf_scope_block(scope, 1, &block), 0);
    assert_int_equal(jf_scope_block(block, 2, &other), 0);
    assert_true(jf_scope_is_void(other));
    assert_false(jf_scope_is_void(block));
    jf_scope_unref(other);
    jf_scope_unref(block);
    jf_scope_unref(upto);
    jf_scope_unref(scope);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_composition_does_not_change_the_key),
        cmocka_unit_test(test_root_has_no_filter),
        cmocka_unit_test(test_subtree_covers_itself_and_what_is_below),
        cmocka_unit_test(test_filters_agree_with_the_engine),
        cmocka_unit_test(test_tail_begins_with_the_nth_last_match),
        cmocka_unit_test(test_since_begins_with_the_first_message_not_older),
        cmocka_unit_test(test_malformed_conditions_are_refused),
        cmocka_unit_test(test_bounds_that_exclude_each_other_are_void),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
