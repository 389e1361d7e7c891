/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/jetstore.h"
#include "fs/view/lines.h"

/* Takes all lines of a feed and writes them as "<line>" one after another. */
static int take_all(struct jf_lines *lines, char *out, size_t batch, size_t *ret_end) {
    struct jf_line list[64];
    int n;

    while ((n = jf_lines_take(lines, list, batch)) > 0) {
        for (int i = 0; i < n; i++) {
            size_t at = strlen(out);

            out[at++] = '<';
            memcpy(out + at, list[i].data, list[i].len);
            out[at + list[i].len] = '>';
            out[at + list[i].len + 1] = '\0';
            *ret_end = list[i].end;
        }
    }
    return n;
}

static void expect_rest(const struct jf_lines *lines, const char *want) {
    const uint8_t *data;
    size_t len = jf_lines_rest(lines, &data);

    assert_int_equal(len, strlen(want));
    if (len)
        assert_memory_equal(data, want, len);
}

static void test_any_cutting_gives_the_same_lines(void **state) {
    static const char text[] = "one\ntwo\r\n\n\nthree is longer\nx\n\nrest";
    const size_t len = sizeof text - 1;

    (void)state;
    for (int keep = 0; keep < 2; keep++) {
        for (size_t a = 0; a <= len; a++) {
            for (size_t b = a; b <= len; b++) {
                for (size_t batch = 1; batch <= 3; batch++) {
                    const size_t cuts[] = {0, a, b, len};
                    struct jf_lines lines;
                    char out[200] = "";
                    size_t end;

                    jf_lines_init(&lines, 100, keep);
                    for (int i = 0; i < 3; i++) {
                        /* A copy that is freed shows whether anything is kept of it. */
                        char *chunk = malloc(cuts[i + 1] - cuts[i] + 1);

                        memcpy(chunk, text + cuts[i], cuts[i + 1] - cuts[i]);
                        jf_lines_feed(&lines, chunk, cuts[i + 1] - cuts[i]);
                        assert_int_equal(take_all(&lines, out, batch, &end), 0);
                        free(chunk);
                    }
                    assert_string_equal(out, keep ? "<one><two\r><><><three is longer><x><>"
                                                  : "<one><two\r><three is longer><x>");
                    expect_rest(&lines, "rest");
                    jf_lines_done(&lines);
                }
            }
        }
    }
}

static void test_short_count_ends_after_the_stored_lines(void **state) {
    struct jf_lines lines;
    struct jf_line list[8];

    (void)state;
    jf_lines_init(&lines, 100, false);
    jf_lines_feed(&lines, "beg", 3);
    assert_int_equal(jf_lines_take(&lines, list, 8), 0);
    jf_lines_feed(&lines, "in\nsecond\n\nthird\ntail", 21);
    assert_int_equal(jf_lines_take(&lines, list, 8), 3);
    assert_int_equal(list[0].end, 3);
    assert_memory_equal(list[0].data, "begin", 5);
    assert_int_equal(list[1].end, 10);
    assert_int_equal(list[2].end, 17);
    assert_int_equal(jf_lines_stop(&lines, list[1].end), 10);
    expect_rest(&lines, "");
    /* The writer tries again with what was not taken. */
    jf_lines_feed(&lines, "\nthird\ntail", 11);
    assert_int_equal(jf_lines_take(&lines, list, 8), 1);
    assert_memory_equal(list[0].data, "third", 5);
    jf_lines_done(&lines);
}

static void test_refusing_the_first_line_puts_the_remainder_back(void **state) {
    struct jf_lines lines;
    struct jf_line list[8];

    (void)state;
    jf_lines_init(&lines, 100, false);
    jf_lines_feed(&lines, "beg", 3);
    assert_int_equal(jf_lines_take(&lines, list, 8), 0);
    for (int i = 0; i < 3; i++) {
        jf_lines_feed(&lines, "in\nmore\n", 8);
        assert_int_equal(jf_lines_take(&lines, list, 8), 2);
        assert_int_equal(list[0].len, 5);
        assert_memory_equal(list[0].data, "begin", 5);
        assert_int_equal(jf_lines_stop(&lines, 0), 0);
        expect_rest(&lines, "beg");
    }
    jf_lines_done(&lines);
}

static void test_lines_over_the_limit_are_refused(void **state) {
    struct jf_lines lines;
    struct jf_line list[8];
    static const char text[] = "12345678\n123456789\nx\n";

    (void)state;
    jf_lines_init(&lines, 8, false);
    jf_lines_feed(&lines, text, sizeof text - 1);
    assert_int_equal(jf_lines_take(&lines, list, 8), 1);
    assert_int_equal(list[0].end, 9);
    assert_int_equal(jf_lines_take(&lines, list, 8), JS_ERR_MSG_TOO_LARGE);
    assert_int_equal(jf_lines_stop(&lines, 9), 9);
    /* An unfinished line counts too, and the remainder with it. */
    jf_lines_feed(&lines, "12345", 5);
    assert_int_equal(jf_lines_take(&lines, list, 8), 0);
    jf_lines_feed(&lines, "6789", 4);
    assert_int_equal(jf_lines_take(&lines, list, 8), JS_ERR_MSG_TOO_LARGE);
    assert_int_equal(jf_lines_stop(&lines, 0), 0);
    expect_rest(&lines, "12345");
    jf_lines_feed(&lines, "678\n", 4);
    assert_int_equal(jf_lines_take(&lines, list, 8), 1);
    assert_memory_equal(list[0].data, "12345678", 8);
    assert_int_equal(jf_lines_take(&lines, list, 8), 0);
    expect_rest(&lines, "");
    jf_lines_feed(&lines, "ab", 2);
    assert_int_equal(jf_lines_take(&lines, list, 8), 0);
    jf_lines_drop_rest(&lines);
    expect_rest(&lines, "");
    jf_lines_done(&lines);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_cutting_gives_the_same_lines),
        cmocka_unit_test(test_short_count_ends_after_the_stored_lines),
        cmocka_unit_test(test_refusing_the_first_line_puts_the_remainder_back),
        cmocka_unit_test(test_lines_over_the_limit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
