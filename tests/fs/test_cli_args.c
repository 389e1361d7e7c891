/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/cli/args.h"
#include "fs/cli/out.h"

enum { ID_JSON = 1, ID_ACCOUNT, ID_HEADER, ID_LINES };

static const struct jf_opt common[] = {{"json", 0, NULL, ID_JSON, ""},
                                       {"account", 'a', "NAME", ID_ACCOUNT, ""}};
static const struct jf_opt own[] = {{"header", 'H', "K:V", ID_HEADER, ""},
                                    {"lines", 'l', NULL, ID_LINES, ""}};

static struct jf_args args_of(int argc, const char **argv) {
    return (struct jf_args){
        .argc = argc, .argv = (char **)argv, .opts = {common, own}, .nopts = {2, 2}};
}

#define ARGS(...)                                                                                  \
    const char *argv[] = {__VA_ARGS__};                                                            \
    struct jf_args args = args_of((int)(sizeof argv / sizeof argv[0]), argv);                      \
    const char *value = NULL

static void options_stand_anywhere_and_words_keep_their_order(void **state) {
    (void)state;
    ARGS("store", "--json", "subject", "-H", "a:b", "--account=A", "-lx");

    assert_int_equal(jf_args_next(&args, &value), JF_ARGS_WORD);
    assert_string_equal(value, "store");
    assert_int_equal(jf_args_next(&args, &value), ID_JSON);
    assert_null(value);
    assert_int_equal(jf_args_next(&args, &value), JF_ARGS_WORD);
    assert_string_equal(value, "subject");
    assert_int_equal(jf_args_next(&args, &value), ID_HEADER);
    assert_string_equal(value, "a:b");
    assert_int_equal(jf_args_next(&args, &value), ID_ACCOUNT);
    assert_string_equal(value, "A");
    assert_int_equal(jf_args_next(&args, &value), JF_ARGS_BAD);
}

static void a_value_may_be_attached_to_a_letter(void **state) {
    (void)state;
    ARGS("-Hk:v=1", "--header=", "-l");

    assert_int_equal(jf_args_next(&args, &value), ID_HEADER);
    assert_string_equal(value, "k:v=1");
    assert_int_equal(jf_args_next(&args, &value), ID_HEADER);
    assert_string_equal(value, "");
    assert_int_equal(jf_args_next(&args, &value), ID_LINES);
    assert_int_equal(jf_args_next(&args, &value), JF_ARGS_END);
}

static void two_dashes_end_the_options(void **state) {
    (void)state;
    ARGS("--json", "--", "--json", "--", "-");

    assert_int_equal(jf_args_next(&args, &value), ID_JSON);
    assert_int_equal(jf_args_next(&args, &value), JF_ARGS_WORD);
    assert_string_equal(value, "--json");
    assert_int_equal(jf_args_next(&args, &value), JF_ARGS_WORD);
    assert_string_equal(value, "--");
    assert_int_equal(jf_args_next(&args, &value), JF_ARGS_WORD);
    assert_string_equal(value, "-");
    assert_int_equal(jf_args_next(&args, &value), JF_ARGS_END);
}

static void mistakes_are_named(void **state) {
    static const struct {
        const char *word;
        const char *why;
    } cases[] = {{"--jso", "unknown option --jso"},
                 {"--json=1", "option --json takes no value"},
                 {"--account", "option --account needs a value"},
                 {"-H", "option --header needs a value"},
                 {"-x", "unknown option -x"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ARGS(cases[i].word);
        assert_int_equal(jf_args_next(&args, &value), JF_ARGS_BAD);
        assert_string_equal(args.why, cases[i].why);
    }
}

static bool nothing_exists(const char *path) {
    (void)path;
    return false;
}

static bool everything_exists(const char *path) {
    (void)path;
    return true;
}

static void expect_split(const char *text, bool (*exists)(const char *path), const char *source,
                         const char *stream) {
    char *got_source = NULL;
    char *got_stream = NULL;

    assert_int_equal(jf_args_split_source(text, exists, &got_source, &got_stream), 0);
    assert_string_equal(got_source, source);
    if (stream)
        assert_string_equal(got_stream, stream);
    else
        assert_null(got_stream);
    free(got_source);
    free(got_stream);
}

static void the_text_after_the_last_colon_is_the_stream(void **state) {
    (void)state;
    expect_split("/data", nothing_exists, "/data", NULL);
    expect_split("/data:ORDERS", nothing_exists, "/data", "ORDERS");
    expect_split("/da:ta:ORDERS", nothing_exists, "/da:ta", "ORDERS");
    expect_split("/da:ta/x", nothing_exists, "/da:ta/x", NULL);
}

static void a_path_that_exists_is_never_split(void **state) {
    (void)state;
    expect_split("/data:ORDERS", everything_exists, "/data:ORDERS", NULL);
    expect_split("/data:", everything_exists, "/data:", NULL);
}

static void empty_parts_of_a_source_are_refused(void **state) {
    static const char *const bad[] = {"", ":", "/data:", ":ORDERS"};
    char *source = NULL;
    char *stream = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(jf_args_split_source(bad[i], nothing_exists, &source, &stream),
                         JS_ERR_INVAL);
    assert_null(source);
    assert_null(stream);
}

static void ranges_have_open_and_closed_ends(void **state) {
    static const struct {
        const char *text;
        js_seq_t first, last;
    } cases[] = {{"5..9", 5, 9}, {"5..", 5, 0},  {"..9", 1, 9},
                 {"7", 7, 7},    {"0..3", 1, 3}, {"18446744073709551615", UINT64_MAX, UINT64_MAX}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        js_seq_t first = 99;
        js_seq_t last = 99;

        assert_int_equal(jf_args_parse_range(cases[i].text, &first, &last), 0);
        assert_true(first == cases[i].first && last == cases[i].last);
    }
}

static void malformed_ranges_are_refused(void **state) {
    static const char *const bad[] = {
        "",   "..",    "9..5", "0",    "a..b", "1..2..3", "-1",   "+1",
        " 1", "1.. 2", "..0",  "0..0", "1-2",  "1..x",    "0x10", "18446744073709551616"};
    js_seq_t first = 99;
    js_seq_t last = 99;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (jf_args_parse_range(bad[i], &first, &last) != JS_ERR_INVAL)
            fail_msg("taken: %s", bad[i]);
    assert_true(first == 99 && last == 99);
}

static void headers_become_a_block(void **state) {
    char *block = NULL;
    size_t len = 0;

    (void)state;
    assert_int_equal(jf_args_end_headers(&block, &len), 0);
    assert_null(block);
    assert_int_equal(jf_args_add_header("Nats-Msg-Id:7", &block, &len), 0);
    assert_int_equal(jf_args_add_header("A:  b: c  ", &block, &len), 0);
    assert_int_equal(jf_args_add_header("Empty:", &block, &len), 0);
    assert_int_equal(jf_args_end_headers(&block, &len), 0);
    assert_string_equal(block, "NATS/1.0\r\nNats-Msg-Id: 7\r\nA: b: c\r\nEmpty: \r\n\r\n");
    assert_int_equal(len, strlen(block));
    free(block);
}

static void headers_that_would_break_the_block_are_refused(void **state) {
    static const char *const bad[] = {"",           "novalue", ":v",    "a b:c",
                                      "a:b\r\nc:d", "a\t:b",   "a:\x7f"};
    char *block = NULL;
    size_t len = 0;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (jf_args_add_header(bad[i], &block, &len) != JS_ERR_INVAL)
            fail_msg("taken: %s", bad[i]);
    assert_null(block);
}

static void expect_escaped(const char *text, const char *shown) {
    char buf[200];
    size_t len = jf_escape(text, strlen(text), buf, sizeof buf);

    assert_string_equal(buf, shown);
    assert_int_equal(len, strlen(shown));
}

static void names_cannot_steer_a_terminal(void **state) {
    (void)state;
    expect_escaped("plain name", "plain name");
    expect_escaped("r\xc3\xa9sum\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
                   "r\xc3\xa9sum\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    expect_escaped("a\x1b[31mb\n\t\x7f", "a\\x1b[31mb\\x0a\\x09\\x7f");
    expect_escaped("c1 \xc2\x9b x", "c1 \\xc2\\x9b x");
    expect_escaped("bad \xff\xc3", "bad \\xff\\xc3");
    expect_escaped("\xc3\xa9\x80", "\xc3\xa9\\x80");
    expect_escaped("rtl \xe2\x80\xae x \xe2\x81\xa6", "rtl \\xe2\\x80\\xae x \\xe2\\x81\\xa6");
    expect_escaped("back\\slash", "back\\x5cslash");
}

static void escaping_never_writes_past_the_buffer(void **state) {
    char buf[8];

    (void)state;
    for (size_t size = 0; size <= sizeof buf; size++) {
        memset(buf, '#', sizeof buf);
        assert_int_equal(jf_escape("a\x1b"
                                   "b\xc3\xa9",
                                   5, buf, size),
                         8);
        for (size_t i = size; i < sizeof buf; i++)
            assert_int_equal(buf[i], '#');
    }
    assert_string_equal(buf, "a\\x1b"
                             "b");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere_and_words_keep_their_order),
        cmocka_unit_test(a_value_may_be_attached_to_a_letter),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(the_text_after_the_last_colon_is_the_stream),
        cmocka_unit_test(a_path_that_exists_is_never_split),
        cmocka_unit_test(empty_parts_of_a_source_are_refused),
        cmocka_unit_test(ranges_have_open_and_closed_ends),
        cmocka_unit_test(malformed_ranges_are_refused),
        cmocka_unit_test(headers_become_a_block),
        cmocka_unit_test(headers_that_would_break_the_block_are_refused),
        cmocka_unit_test(names_cannot_steer_a_terminal),
        cmocka_unit_test(escaping_never_writes_past_the_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
