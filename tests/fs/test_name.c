/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/base/name.h"

static void sequences_have_sixteen_digits_and_any_width_is_read(void **state) {
    char buf[JF_NAME_BUF];
    uint64_t seq;
    (void)state;

    assert_int_equal(jf_name_of_seq(42, ".msg", buf), 20);
    assert_string_equal(buf, "0000000000000042.msg");
    assert_true(jf_name_parse_seq_suffix(buf, ".msg", &seq));
    assert_int_equal(seq, 42);
    assert_true(jf_name_parse_seq("7", &seq));
    assert_int_equal(seq, 7);
    jf_name_of_seq(INT64_MAX, "", buf);
    assert_string_equal(buf, "9223372036854775807");
    assert_true(jf_name_parse_seq(buf, &seq));
    assert_true(seq == INT64_MAX);
}

static void what_is_no_sequence_is_refused(void **state) {
    static const char *const bad[] = {"",    "-1",  "+1",    " 1", "1 ",
                                      "0x1", "1.0", "1.msg", "a",  "9223372036854775808"};
    uint64_t seq = 99;
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(jf_name_parse_seq(bad[i], &seq));
    assert_false(jf_name_parse_seq_suffix("12", ".msg", &seq));
    assert_int_equal(seq, 99);
}

static void check_round_trip(const char *token, size_t len, const char *shown) {
    char name[JF_NAME_BUF];
    char back[JF_NAME_BUF];

    assert_int_equal(jf_name_escape(token, len, name), strlen(shown));
    assert_string_equal(name, shown);
    assert_int_equal(jf_name_unescape(name, back), len);
    assert_memory_equal(back, token, len);
}

static void tokens_survive_a_round_trip(void **state) {
    (void)state;
    check_round_trip("orders", 6, "orders");
    check_round_trip("a/b", 3, "a%2Fb");
    check_round_trip("50%", 3, "50%25");
    check_round_trip("\x01\x7f", 2, "%01%7F");
    check_round_trip("a*b>", 4, "a*b>");
    check_round_trip("gr\xc3\xbc\xc3\x9f", 6, "gr\xc3\xbc\xc3\x9f");
    check_round_trip("\xff\xc3", 2, "%FF%C3");
    check_round_trip("$G", 2, "$G");
}

static void one_token_has_one_name(void **state) {
    static const char *const bad[] = {"", ".", "..", "a.b", "%", "%4", "%41", "%2f", "%zz", "\xff"};
    char buf[JF_NAME_BUF];
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(jf_name_unescape(bad[i], buf), -EINVAL);
}

static void long_tokens_are_shortened_and_stay_different(void **state) {
    char token[600];
    char one[JF_NAME_BUF];
    char two[JF_NAME_BUF];
    char back[JF_NAME_BUF];
    (void)state;

    memset(token, 'x', sizeof(token));
    size_t len = jf_name_escape(token, sizeof(token), one);
    assert_int_equal(len, 218);
    assert_int_equal(strlen(one), len);
    token[599] = 'y';
    jf_name_escape(token, sizeof(token), two);
    assert_string_not_equal(one, two);
    assert_int_equal(jf_name_unescape(one, back), -EAGAIN);
    assert_int_equal(jf_name_escape(token, 255, one), 255);
    token[256] = 0;
    assert_int_equal(jf_name_unescape(token, back), -ENAMETOOLONG);
}

static void shortening_cuts_no_character(void **state) {
    char token[402];
    char name[JF_NAME_BUF];
    (void)state;

    token[0] = 'a';
    for (size_t i = 1; i + 1 < sizeof(token); i += 2)
        memcpy(token + i, "\xc3\xbc", 2);
    size_t len = jf_name_escape(token, 401, name);
    assert_int_equal(len, 199 + 18);
    assert_memory_equal(name + 199, "%~", 2);
}

static void names_with_a_dot_are_ours(void **state) {
    (void)state;
    assert_true(jf_name_is_ours("all.log"));
    assert_true(jf_name_is_ours(".jetfs"));
    assert_false(jf_name_is_ours("orders"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_have_sixteen_digits_and_any_width_is_read),
        cmocka_unit_test(what_is_no_sequence_is_refused),
        cmocka_unit_test(tokens_survive_a_round_trip),
        cmocka_unit_test(one_token_has_one_name),
        cmocka_unit_test(long_tokens_are_shortened_and_stay_different),
        cmocka_unit_test(shortening_cuts_no_character),
        cmocka_unit_test(names_with_a_dot_are_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
