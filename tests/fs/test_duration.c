/* SPDX-License-Identifier: Apache-2.0 */
/* Durations as users write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>

#include "fs/view/duration.h"

static void durations(void **s) {
    static const struct {
        const char *text;
        js_time_t ns;
    } good[] = {
        {"0", 0},
        {"90", INT64_C(90000000000)},
        {"1.5", INT64_C(1500000000)},
        {"250ms", 250000000},
        {"7ns", 7},
        {"3us", 3000},
        {"1m30s", INT64_C(90000000000)},
        {"1h", INT64_C(3600000000000)},
        {"2d", INT64_C(172800000000000)},
        {"1m5ms", INT64_C(60005000000)},
    };
    static const char *const bad[] = {"",    " 1s",  "s",    "1x",  "-1s",  "1s ",
                                      "1 s", "1..2", "5s10", "1e3", "9999999999h"};
    js_time_t ns;

    (void)s;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(jf_duration_parse(good[i].text, &ns), 0);
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (jf_duration_parse(bad[i], &ns) != -EINVAL)
            fail_msg("\"%s\" was accepted", bad[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(durations)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
