/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/view/render.h"

static struct js_msg make_msg(const char *hdr, const void *data, size_t len) {
    struct js_msg msg = {
        .seq = 42,
        .time = 1784034000000000001LL,
        .subject = "orders.eu",
        .subject_len = 9,
        .hdr = (const uint8_t *)hdr,
        .hdr_len = hdr ? strlen(hdr) : 0,
        .data = data,
        .data_len = len,
    };
    return msg;
}

/* The whole rendering (given), checked against the length that is announced. */
static char *render_all(enum jf_format format, const struct js_msg *msg, size_t *ret_len) {
    struct jf_render render = {.format = format};
    uint64_t len = jf_render_length(&render, msg);
    char *text = malloc(len + 2);
    size_t n = jf_render_emit(&render, msg, 0, text, len + 1);

    assert_int_equal(n, len);
    text[n] = '\0';
    *ret_len = n;
    return text;
}

static const char duplicates[] = "NATS/1.0\r\nA: 1\r\nB: x \"q\"\r\nA: 2\r\nEmpty:\r\nA: 3\r\n\r\n";

static void test_utf8_accepts_exactly_what_rfc_3629_allows(void **state) {
    static const struct {
        const char *text;
        size_t len;
        bool valid;
    } cases[] = {
        {"", 0, true},
        {"plain ascii, longer than a word", 31, true},
        {"\0", 1, true},
        {"\x7f", 1, true},
        {"\x80", 1, false},
        {"\xc0\x80", 2, false},
        {"\xc1\xbf", 2, false},
        {"\xc2\x80", 2, true},
        {"\xc2", 1, false},
        {"\xdf\xbf", 2, true},
        {"\xe0\x9f\xbf", 3, false},
        {"\xe0\xa0\x80", 3, true},
        {"\xed\x9f\xbf", 3, true},
        {"\xed\xa0\x80", 3, false},
        {"\xed\xbf\xbf", 3, false},
        {"\xee\x80\x80", 3, true},
        {"\xef\xbf\xbf", 3, true},
        {"\xe2\x82", 2, false},
        {"\xe2\x28\xa1", 3, false},
        {"\xf0\x8f\xbf\xbf", 4, false},
        {"\xf0\x90\x80\x80", 4, true},
        {"\xf4\x8f\xbf\xbf", 4, true},
        {"\xf4\x90\x80\x80", 4, false},
        {"\xf5\x80\x80\x80", 4, false},
        {"\xf0\x90\x80\x28", 4, false},
        {"\xff", 1, false},
        {"1234567\xe2\x82\xac", 10, true},
        {"1234567\xe2\x82\x28", 10, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(jf_utf8_valid(cases[i].text, cases[i].len), cases[i].valid);
}

/* jansson decides too: it refuses what is not UTF-8. All sequences of one and two bytes, and all
 * second bytes of longer ones. */
static void test_utf8_agrees_with_jansson(void **state) {
    (void)state;
    for (unsigned a = 1; a < 256; a++) {
        for (unsigned b = 1; b < 256; b++) {
            char text[4] = {(char)a, (char)b, (char)0x80, (char)0xbf};

            for (size_t len = 1; len <= 4; len++) {
                json_t *string = json_stringn(text, len);

                assert_int_equal(jf_utf8_valid(text, len), string != NULL);
                json_decref(string);
            }
        }
    }
}

static void test_every_window_equals_the_whole(void **state) {
    static const char binary[] = "\xff\xfe payload \0 with everything\n";
    static const char text[] = "quote \" back \\ tab\t lf\n \x01 \xc3\xa4 and a longer plain tail";
    const struct js_msg msgs[] = {
        make_msg(NULL, NULL, 0),
        make_msg(duplicates, text, sizeof text - 1),
        make_msg(duplicates, binary, sizeof binary - 1),
        make_msg("NATS/1.0\r\nA: \xff\r\n\r\n", "ab", 2),
    };

    (void)state;
    for (size_t m = 0; m < sizeof msgs / sizeof msgs[0]; m++) {
        for (int f = JF_LOG; f <= JF_RAW; f++) {
            struct jf_render render = {.format = (enum jf_format)f};
            size_t len, n;
            char *whole = render_all(render.format, &msgs[m], &len);
            char *part = malloc(len + 1);

            for (size_t skip = 0; skip <= len; skip++) {
                for (size_t size = 0; size <= len - skip + 1; size++) {
                    size_t want = size < len - skip ? size : len - skip;

                    n = jf_render_emit(&render, &msgs[m], skip, part, size);
                    assert_int_equal(n, want);
                    assert_memory_equal(part, whole + skip, n);
                }
                assert_int_equal(jf_render_both(&render, &msgs[m], skip, part, 5, &n), len);
                assert_int_equal(n, len - skip < 5 ? len - skip : 5);
                assert_memory_equal(part, whole + skip, n);
            }
            free(whole);
            free(part);
        }
    }
}

static void expect_text(enum jf_format format, const struct js_msg *msg, const char *want) {
    size_t len;
    char *text = render_all(format, msg, &len);

    assert_string_equal(text, want);
    free(text);
}

static void test_formats_look_as_documented(void **state) {
    struct js_msg msg = make_msg(duplicates, "hi", 2);

    (void)state;
    expect_text(JF_LOG, &msg, "hi\n");
    expect_text(JF_RAW, &msg, "hi");
    expect_text(JF_TSV, &msg,
                "0000000000000042\t2026-07-14T13:00:00.000000001Z\t0000000002\t0000000048\t"
                "orders.eu\n");
    expect_text(JF_FULL, &msg,
                "NATS/1.0\r\nA: 1\r\nB: x \"q\"\r\nA: 2\r\nEmpty:\r\nA: 3\r\n"
                "Nats-Sequence: 42\r\nNats-Subject: orders.eu\r\n"
                "Nats-Time-Stamp: 2026-07-14T13:00:00.000000001Z\r\n\r\nhi");
    expect_text(JF_JSONL, &msg,
                "{\"seq\":42,\"subject\":\"orders.eu\",\"time\":\"2026-07-14T13:00:00.000000001Z\","
                "\"hdrs\":{\"A\":[\"1\",\"2\",\"3\"],\"B\":[\"x \\\"q\\\"\"],\"Empty\":[\"\"]},"
                "\"data\":\"hi\"}\n");
    msg = make_msg(NULL, "hi", 2);
    expect_text(JF_FULL, &msg,
                "NATS/1.0\r\nNats-Sequence: 42\r\nNats-Subject: orders.eu\r\n"
                "Nats-Time-Stamp: 2026-07-14T13:00:00.000000001Z\r\n\r\nhi");
}

static void test_account_and_stream_are_shown_when_asked(void **state) {
    struct jf_render render = {.format = JF_JSONL, .account = "$G", .stream = "ORD"};
    struct js_msg msg = make_msg(NULL, "", 0);
    char text[200];

    (void)state;
    text[jf_render_emit(&render, &msg, 0, text, sizeof text - 1)] = '\0';
    assert_string_equal(text, "{\"account\":\"$G\",\"stream\":\"ORD\",\"seq\":42,\"subject\":"
                              "\"orders.eu\",\"time\":\"2026-07-14T13:00:00.000000001Z\","
                              "\"data\":\"\"}\n");
}

static void test_jsonl_reads_back_whatever_the_payload_is(void **state) {
    uint8_t data[300];
    size_t len;

    (void)state;
    srand(7);
    for (int round = 0; round < 3000; round++) {
        size_t n = (size_t)(rand() % 40);
        struct js_msg msg = make_msg(NULL, data, n);
        json_t *object, *member;
        char *text;

        for (size_t i = 0; i < n; i++)
            data[i] = (uint8_t)(round % 2 ? rand() : rand() % 128);
        text = render_all(JF_JSONL, &msg, &len);
        assert_ptr_equal(memchr(text, '\n', len), text + len - 1);
        object = json_loads(text, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(object);
        member = json_object_get(object, "data");
        assert_int_equal(member != NULL, jf_utf8_valid(data, n));
        if (member) {
            assert_int_equal(json_string_length(member), n);
            assert_memory_equal(json_string_value(member), data, n);
        } else {
            member = json_object_get(object, "data_b64");
            assert_int_equal(json_string_length(member), (n + 2) / 3 * 4);
        }
        json_decref(object);
        free(text);
    }
}

static void test_base64_has_the_published_vectors(void **state) {
    static const char *const vectors[][2] = {
        {"\xff", "/w=="}, {"\xff\xfe", "//4="}, {"\xff\xfe\xfd", "//79"}, {"foob\xff", "Zm9vYv8="}};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct js_msg msg = make_msg(NULL, vectors[i][0], strlen(vectors[i][0]));
        char want[64];
        size_t len;
        char *text = render_all(JF_JSONL, &msg, &len);

        snprintf(want, sizeof want, "\"data_b64\":\"%s\"}\n", vectors[i][1]);
        assert_non_null(strstr(text, want));
        free(text);
    }
}

static void test_odd_headers_are_given_as_base64(void **state) {
    struct js_msg msg = make_msg("NATS/1.0\r\nA: \xff\r\n\r\n", "x", 1);
    size_t len;
    char *text = render_all(JF_JSONL, &msg, &len);
    char *many = malloc(10 + 6 * (JF_RENDER_MAX_HDRS + 1) + 3), *p = many;

    (void)state;
    assert_non_null(strstr(text, "\"hdrs_b64\":\"TkFUUy8xLjANCkE6IP8NCg0K\""));
    free(text);
    p += sprintf(p, "NATS/1.0\r\n");
    for (int i = 0; i <= JF_RENDER_MAX_HDRS; i++)
        p += sprintf(p, "A: b\r\n");
    sprintf(p, "\r\n");
    msg = make_msg(many, "x", 1);
    text = render_all(JF_JSONL, &msg, &len);
    assert_non_null(strstr(text, "\"hdrs_b64\""));
    free(text);
    free(many);
}

static void test_tsv_length_follows_from_the_index(void **state) {
    struct jf_render render = {.format = JF_TSV};
    struct js_msg msg = make_msg(NULL, "abc", 3);
    struct js_msg_stat stat = {.seq = 42, .subject_len = 9, .data_len = 3};
    uint64_t length;

    (void)state;
    assert_true(jf_render_length_of_stat(&render, &stat, &length));
    assert_int_equal(length, jf_render_length(&render, &msg));
    assert_int_equal(length, JF_TSV_FIXED + 9);
    stat.seq = JF_TSV_MAX_SEQ + 1;
    assert_false(jf_render_length_of_stat(&render, &stat, &length));
    msg.seq = stat.seq;
    assert_int_equal(jf_render_length(&render, &msg), JF_TSV_FIXED + 10);
    render.format = JF_JSONL;
    assert_false(jf_render_length_of_stat(&render, &stat, &length));
}

static void test_tsv_stays_one_line_with_a_hostile_subject(void **state) {
    struct js_msg msg = make_msg(NULL, "", 0);
    size_t len;
    char *text;

    (void)state;
    msg.subject = "a\tb\nc";
    msg.subject_len = 5;
    text = render_all(JF_TSV, &msg, &len);
    assert_int_equal(len, JF_TSV_FIXED + 5);
    assert_string_equal(text + len - 6, "a?b?c\n");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_accepts_exactly_what_rfc_3629_allows),
        cmocka_unit_test(test_utf8_agrees_with_jansson),
        cmocka_unit_test(test_every_window_equals_the_whole),
        cmocka_unit_test(test_formats_look_as_documented),
        cmocka_unit_test(test_account_and_stream_are_shown_when_asked),
        cmocka_unit_test(test_jsonl_reads_back_whatever_the_payload_is),
        cmocka_unit_test(test_base64_has_the_published_vectors),
        cmocka_unit_test(test_odd_headers_are_given_as_base64),
        cmocka_unit_test(test_tsv_length_follows_from_the_index),
        cmocka_unit_test(test_tsv_stays_one_line_with_a_hostile_subject),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
