/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for subjects, filters, names, and header lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/format/subject.h"

static bool subject_ok(const char *s) {
    return js_subject_valid(s, strlen(s));
}

static bool filter_ok(const char *s) {
    return js_filter_valid(s, strlen(s));
}

static bool matches(const char *s, const char *f) {
    return js_subject_matches(s, strlen(s), f, strlen(f));
}

static bool overlap(const char *a, const char *b) {
    bool r = js_filters_overlap(a, strlen(a), b, strlen(b));
    assert_int_equal(r, js_filters_overlap(b, strlen(b), a, strlen(a)));
    return r;
}

static int cmp(const char *a, const char *b) {
    return js_subject_cmp(a, strlen(a), b, strlen(b));
}

static void literal_subjects_follow_the_server_s_rules(void **state) {
    (void)state;
    assert_true(subject_ok("a"));
    assert_true(subject_ok("a.b.c"));
    assert_true(subject_ok("a*b.c>"));
    assert_true(subject_ok(">a"));
    assert_true(subject_ok("$KV.x.\xc3\xa4"));
    assert_true(subject_ok("a\x01z"));
    assert_false(subject_ok(""));
    assert_false(subject_ok("."));
    assert_false(subject_ok(".a"));
    assert_false(subject_ok("a."));
    assert_false(subject_ok("a..b"));
    assert_false(subject_ok("*"));
    assert_false(subject_ok(">"));
    assert_false(subject_ok("a.*"));
    assert_false(subject_ok("a.>.b"));
    assert_false(subject_ok("a b"));
    assert_false(subject_ok("a\tb"));
    assert_false(subject_ok("a\rb"));
    assert_false(subject_ok("a\nb"));
    assert_false(subject_ok("a\fb"));
    assert_false(js_subject_valid("a\0b", 3));
    assert_false(js_subject_valid(NULL, 0));
}

static void subjects_longer_than_the_record_can_say_are_refused(void **state) {
    (void)state;
    static char s[65536];
    memset(s, 'x', sizeof s);
    assert_true(js_subject_valid(s, 65535));
    assert_false(js_subject_valid(s, 65536));
}

static void filters_take_wildcards_as_whole_tokens(void **state) {
    (void)state;
    assert_true(filter_ok("*"));
    assert_true(filter_ok(">"));
    assert_true(filter_ok("a.*.b.>"));
    assert_true(filter_ok("*.*"));
    assert_false(filter_ok("a.>.b"));
    assert_false(filter_ok(">.a"));
    assert_false(filter_ok("a..>"));
    assert_false(filter_ok(""));
    assert_false(filter_ok("a. .b"));
}

static void matching_goes_token_by_token(void **state) {
    (void)state;
    assert_true(matches("a.b", "a.b"));
    assert_true(matches("a.b", "a.*"));
    assert_true(matches("a.b", "*.b"));
    assert_true(matches("a.b", ">"));
    assert_true(matches("a.b", "a.>"));
    assert_true(matches("a.b.c.d", "a.*.>"));
    assert_true(matches("a*", "a*"));
    assert_false(matches("ab", "a*"));
    assert_false(matches("a", "a.>"));
    assert_false(matches("a.b", "a"));
    assert_false(matches("a", "a.b"));
    assert_false(matches("a.b", "*"));
    assert_false(matches("a.b.c", "a.*"));
    assert_false(matches("a.x", "a.b"));
    assert_true(matches("", ">"));
    assert_true(matches("a..b", "a.*.b"));
}

static void filters_overlap_when_a_subject_could_match_both(void **state) {
    (void)state;
    assert_true(overlap("a.*", "*.b"));
    assert_true(overlap(">", "a"));
    assert_true(overlap("a.>", "a.b.c"));
    assert_true(overlap("a.>", "*.b"));
    assert_false(overlap("a.>", "a"));
    assert_false(overlap("a.b", "a.c"));
    assert_false(overlap("*", "a.b"));
    assert_false(overlap("a.*", "b.>"));
}

static void literal_prefix_ends_before_the_first_wildcard(void **state) {
    (void)state;
    bool literal;
    assert_int_equal(js_filter_literal_prefix("a.b.*", 5, &literal), 4);
    assert_false(literal);
    assert_int_equal(js_filter_literal_prefix("a.b", 3, &literal), 3);
    assert_true(literal);
    assert_int_equal(js_filter_literal_prefix(">", 1, &literal), 0);
    assert_false(literal);
    assert_int_equal(js_filter_literal_prefix("a.x>.>", 6, &literal), 5);
    assert_false(literal);
    assert_int_equal(js_filter_literal_prefix("a*.>b", 5, &literal), 5);
    assert_true(literal);
}

static void order_keeps_what_lies_below_a_prefix_together(void **state) {
    (void)state;
    static const char *const sorted[] = {"",    "a",  "a.b",     "a.b.c",      "a.b-",
                                         "a.c", "a!", "a-",      "aaaaaaaa.b", "aaaaaaaa-b",
                                         "ab",  "b",  "\xc3\xa4"};
    size_t n = sizeof sorted / sizeof *sorted;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++)
            assert_int_equal(cmp(sorted[i], sorted[j]), (i > j) - (i < j));
    }
}

static void names_follow_the_server_s_rules(void **state) {
    (void)state;
    char name[258];

    assert_true(js_name_valid("ORDERS"));
    assert_true(js_name_valid("a-b_c$%:\"'"));
    assert_true(js_name_valid("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"));
    for (const char *bad = ".*>\\/ \t\r\n\f"; *bad; bad++) {
        char s[4] = {'a', *bad, 'b', 0};
        assert_false(js_name_valid(s));
    }
    assert_false(js_name_valid(""));
    assert_false(js_name_valid(NULL));
    assert_false(js_name_valid("\xc3"));
    assert_false(js_name_valid("\x80"));
    assert_false(js_name_valid("\xc0\x80"));
    assert_false(js_name_valid("\xed\xa0\x80"));
    assert_false(js_name_valid("\xf4\x90\x80\x80"));
    memset(name, 'n', sizeof name);
    name[255] = 0;
    assert_true(js_name_valid(name));
    name[255] = 'n';
    name[256] = 0;
    assert_false(js_name_valid(name));
}

/* Joins the lines found as "key=value;". */
static void lines_of(const char *hdr, size_t len, char *out) {
    const char *key, *value;
    size_t klen, vlen, pos = 0;

    *out = 0;
    /* An exact copy on the heap lets the sanitizer see a read past the end. */
    uint8_t *copy = test_malloc(len ? len : 1);
    memcpy(copy, hdr, len);
    while (js_hdr_next(copy, len, &pos, &key, &klen, &value, &vlen)) {
        strncat(out, key, klen);
        strcat(out, "=");
        strncat(out, value, vlen);
        strcat(out, ";");
    }
    assert_false(js_hdr_next(copy, len, &pos, &key, &klen, &value, &vlen));
    test_free(copy);
}

static void assert_lines(const char *hdr, const char *expect) {
    char out[256];
    lines_of(hdr, strlen(hdr), out);
    assert_string_equal(out, expect);
}

static void header_lines_come_in_order(void **state) {
    (void)state;
    assert_lines("NATS/1.0\r\nA: 1\r\nB:2\r\nA:  \t3 \r\nE:\r\n\r\n", "A=1;B=2;A=3 ;E=;");
    assert_lines("NATS/1.0 503 No Responders\r\nX: y:z\r\n\r\n", "X=y:z;");
    assert_lines("NATS/1.0\r\n\r\n", "");
    assert_lines("NATS/1.0\r\n\r\nA: behind the end\r\n", "");
}

static void header_reading_is_tolerant(void **state) {
    (void)state;
    assert_lines("NATS/1.0\r\nA: 1\r\n", "A=1;");
    assert_lines("NATS/1.0\r\nA: 1", "A=1;");
    assert_lines("NATS/1.0\r\nA: 1\r", "A=1;");
    assert_lines("NATS/1.0\nA: 1\nB: 2\n\n", "A=1;B=2;");
    assert_lines("NATS/1.0\r\nno key\r\n: none\r\nA: 1\r\n\r\n", "A=1;");
    assert_lines("NATS/1.0", "");
    assert_lines("HTTP/1.0\r\nA: 1\r\n\r\n", "");
    assert_lines("NATS/1.", "");
    assert_lines("", "");
}

static void header_cut_anywhere_never_reads_past_its_end(void **state) {
    (void)state;
    static const char hdr[] = "NATS/1.0\r\nKey: value\r\nOther:  x\r\n\r\n";
    char out[256];
    for (size_t n = 0; n < sizeof hdr; n++)
        lines_of(hdr, n, out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literal_subjects_follow_the_server_s_rules),
        cmocka_unit_test(subjects_longer_than_the_record_can_say_are_refused),
        cmocka_unit_test(filters_take_wildcards_as_whole_tokens),
        cmocka_unit_test(matching_goes_token_by_token),
        cmocka_unit_test(filters_overlap_when_a_subject_could_match_both),
        cmocka_unit_test(literal_prefix_ends_before_the_first_wildcard),
        cmocka_unit_test(order_keeps_what_lies_below_a_prefix_together),
        cmocka_unit_test(names_follow_the_server_s_rules),
        cmocka_unit_test(header_lines_come_in_order),
        cmocka_unit_test(header_reading_is_tolerant),
        cmocka_unit_test(header_cut_anywhere_never_reads_past_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
