/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/jetstore.h"
#include "fs/view/msgfile.h"

static void expect_parsed(const char *file, const char *hdr, const char *subject,
                          const char *data) {
    struct jf_msgfile msg;
    size_t len = strlen(file);
    char *copy = malloc(len); /* without a NUL: reading on is seen by the sanitizer */

    memcpy(copy, file, len);
    assert_int_equal(jf_msgfile_parse(copy, len, &msg), 0);
    assert_int_equal(msg.hdr_len, hdr ? strlen(hdr) : 0);
    assert_int_equal(msg.hdr != NULL, hdr != NULL);
    if (hdr)
        assert_memory_equal(msg.hdr, hdr, msg.hdr_len);
    assert_int_equal(msg.subject != NULL, subject != NULL);
    if (subject) {
        assert_int_equal(msg.subject_len, strlen(subject));
        assert_memory_equal(msg.subject, subject, msg.subject_len);
    }
    assert_int_equal(msg.data_len, strlen(data));
    assert_memory_equal(msg.data, data, msg.data_len);
    jf_msgfile_done(&msg);
    free(copy);
}

static void test_pseudo_headers_are_taken_out(void **state) {
    (void)state;
    expect_parsed("NATS/1.0\r\nNats-Msg-Id: 7\r\n\r\nhello", "NATS/1.0\r\nNats-Msg-Id: 7\r\n\r\n",
                  NULL, "hello");
    expect_parsed("NATS/1.0\r\nA: 1\r\nNats-Sequence: 9\r\nNats-Subject: a.b \r\n"
                  "nats-time-stamp: x\r\nA: 2\r\n\r\nbody\r\n\r\n",
                  "NATS/1.0\r\nA: 1\r\nA: 2\r\n\r\n", "a.b", "body\r\n\r\n");
    expect_parsed("NATS/1.0\r\nNats-Sequence: 9\r\nNats-Subject: a.b\r\n\r\n", NULL, "a.b", "");
    expect_parsed("NATS/1.0\r\n\r\nx", NULL, NULL, "x");
    expect_parsed("NATS/1.0 503\r\n\r\nx", "NATS/1.0 503\r\n\r\n", NULL, "x");
}

static void test_line_feeds_alone_are_accepted_and_made_crlf(void **state) {
    (void)state;
    expect_parsed("NATS/1.0\nA:1\nB:2\nC:\n\nx\n", "NATS/1.0\r\nA:1\r\nB:2\r\nC:\r\n\r\n", NULL,
                  "x\n");
    expect_parsed("NATS/1.0\na:\nb:\nc:\nd:\ne:\nf:\ng:\nh:\ni:\n\n",
                  "NATS/1.0\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\ni:\r\n\r\n", NULL,
                  "");
}

static void test_malformed_files_are_refused(void **state) {
    static const char *const bad[] = {
        "",
        "hello",
        "NATS/1.0",
        "NATS/1.0\r\n",
        "NATS/1.0x\r\n\r\n",
        "NATS/1.1\r\n\r\n",
        "NATS/1.0\r\nA: 1\r\n",
        "NATS/1.0\r\nno colon\r\n\r\n",
        "NATS/1.0\r\n: 1\r\n\r\n",
        "NATS/1.0\r\nA B: 1\r\n\r\n",
        "NATS/1.0\r\n folded: 1\r\n\r\n",
        "NATS/1.0\r\nA: 1\rB\r\n\r\n",
    };
    struct jf_msgfile msg;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(jf_msgfile_parse(bad[i], strlen(bad[i]), &msg), JS_ERR_INVAL);
    assert_int_equal(jf_msgfile_parse("NATS/1.0\r\nA: \0\r\n\r\n", 18, &msg), JS_ERR_INVAL);
}

static void test_block_over_the_limit_is_refused(void **state) {
    size_t len = JF_MSGFILE_MAX_HDR + 100;
    char *file = malloc(len);
    struct jf_msgfile msg;

    (void)state;
    memset(file, 'x', len);
    memcpy(file, "NATS/1.0\r\nA: ", 13);
    memcpy(file + len - 4, "\r\n\r\n", 4);
    assert_int_equal(jf_msgfile_parse(file, len, &msg), JS_ERR_MSG_TOO_LARGE);
    free(file);
}

static void test_headers_are_added_to_a_block(void **state) {
    uint8_t *hdr = NULL;
    size_t len = 0;

    (void)state;
    assert_int_equal(jf_hdr_add(&hdr, &len, "Jetfs-Partial", 13, "true", 4), 0);
    assert_int_equal(jf_hdr_add(&hdr, &len, "B", 1, "", 0), 0);
    assert_int_equal(len, 38);
    assert_memory_equal(hdr, "NATS/1.0\r\nJetfs-Partial: true\r\nB: \r\n\r\n", 38);
    assert_int_equal(jf_hdr_add(&hdr, &len, "", 0, "x", 1), JS_ERR_INVAL);
    assert_int_equal(jf_hdr_add(&hdr, &len, "a:", 2, "x", 1), JS_ERR_INVAL);
    assert_int_equal(jf_hdr_add(&hdr, &len, "a", 1, "x\ny", 3), JS_ERR_INVAL);
    assert_int_equal(len, 38);
    free(hdr);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pseudo_headers_are_taken_out),
        cmocka_unit_test(test_line_feeds_alone_are_accepted_and_made_crlf),
        cmocka_unit_test(test_malformed_files_are_refused),
        cmocka_unit_test(test_block_over_the_limit_is_refused),
        cmocka_unit_test(test_headers_are_added_to_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
