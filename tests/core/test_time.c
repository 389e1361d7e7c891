/* SPDX-License-Identifier: Apache-2.0 */
/* Times as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/base/time.h"

static void assert_format(js_time_t t, const char *text, const char *fixed) {
    char buf[40];
    js_time_format(t, buf, sizeof buf);
    assert_string_equal(buf, text);
    js_time_format_fixed(t, buf, sizeof buf);
    assert_string_equal(buf, fixed);
}

#define NOW INT64_C(1700000000000000000)

static void assert_parses(const char *text, js_time_t t) {
    js_time_t got = 42;
    assert_int_equal(js_time_parse(text, NOW, &got), 0);
    assert_int_equal(got, t);
}

static void assert_refused(const char *text) {
    js_time_t got = 42;
    assert_int_equal(js_time_parse(text, NOW, &got), JS_ERR_INVAL);
    assert_int_equal(got, 42);
}

static void times_are_written_as_servers_do(void **state) {
    (void)state;
    assert_format(0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000000Z");
    assert_format(1, "1970-01-01T00:00:00.000000001Z", "1970-01-01T00:00:00.000000001Z");
    assert_format(-1, "1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999999Z");
    assert_format(NOW + 500000000, "2023-11-14T22:13:20.5Z", "2023-11-14T22:13:20.500000000Z");
    assert_format(INT64_C(951782400) * 1000000000, "2000-02-29T00:00:00Z",
                  "2000-02-29T00:00:00.000000000Z");
    assert_format(INT64_MAX, "2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854775807Z");
    assert_format(INT64_MIN, "1677-09-21T00:12:43.145224192Z", "1677-09-21T00:12:43.145224192Z");
}

static void writing_is_cut_to_the_buffer(void **state) {
    (void)state;
    char buf[12];
    js_time_format(NOW, buf, sizeof buf);
    assert_string_equal(buf, "2023-11-14T");
}

static void every_day_goes_there_and_back(void **state) {
    (void)state;
    for (int64_t day = -106751; day <= 106751; day++) {
        time_t sec = (time_t)(day * 86400 + 3723);
        struct tm tm;
        char want[40], got[40];
        gmtime_r(&sec, &tm);
        strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%SZ", &tm);
        js_time_format((js_time_t)sec * 1000000000, got, sizeof got);
        assert_string_equal(got, want);
        assert_parses(want, (js_time_t)sec * 1000000000);
    }
}

static void random_times_survive_both_formats(void **state) {
    (void)state;
    uint64_t x = 88172645463325252ull;
    for (int i = 0; i < 200000; i++) {
        char buf[40];
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        js_time_format((js_time_t)x, buf, sizeof buf);
        assert_parses(buf, (js_time_t)x);
        js_time_format_fixed((js_time_t)x, buf, sizeof buf);
        assert_int_equal(strlen(buf), 30);
        assert_parses(buf, (js_time_t)x);
    }
}

static void rfc_3339_dates_and_seconds_are_read(void **state) {
    (void)state;
    assert_parses("2023-11-14T22:13:20Z", NOW);
    assert_parses("2023-11-14t22:13:20z", NOW);
    assert_parses("2023-11-14 22:13:20Z", NOW);
    assert_parses("2023-11-15T00:13:20+02:00", NOW);
    assert_parses("2023-11-14T17:43:20-04:30", NOW);
    assert_parses("2023-11-14T22:13:20.1234567899Z", NOW + 123456789);
    assert_parses("2023-11-14", INT64_C(1699920000) * 1000000000);
    assert_parses("1700000000", NOW);
    assert_parses("1700000000.25", NOW + 250000000);
    assert_parses("0", 0);
    assert_parses("2262-04-11T23:47:16.854775807Z", INT64_MAX);
    assert_parses("1677-09-21T00:12:43.145224192Z", INT64_MIN);
    assert_parses("9223372036.854775807", INT64_MAX);
}

static void relative_times_count_from_now(void **state) {
    (void)state;
    const int64_t s = 1000000000;
    assert_parses("-1h", NOW - 3600 * s);
    assert_parses("-15m", NOW - 900 * s);
    assert_parses("-7d", NOW - 7 * 86400 * s);
    assert_parses("-1h30m", NOW - 5400 * s);
    assert_parses("-2w1d", NOW - 15 * 86400 * s);
    assert_parses("-1.5s", NOW - 1500000000);
    assert_parses("-250ms10us3ns", NOW - 250010003);
    assert_parses("+1m", NOW + 60 * s);
    assert_parses("-0s", NOW);
}

static void nonsense_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "-",
                                      "+",
                                      "x",
                                      "-1",
                                      "-h",
                                      "-1y",
                                      "-1hh",
                                      "-1h-1m",
                                      "-1.h",
                                      "1h",
                                      ".5",
                                      "5.",
                                      "1 ",
                                      "1e9",
                                      "2023-11-14T22:13:20",
                                      "2023-11-14T22:13Z",
                                      "2023-11-14T22:13:20.Z",
                                      "2023-13-01",
                                      "2023-00-01",
                                      "2023-02-29",
                                      "1900-02-29",
                                      "2023-04-31",
                                      "2023-11-00",
                                      "2023-11-14T24:00:00Z",
                                      "2023-11-14T22:60:00Z",
                                      "2023-11-14T22:13:60Z",
                                      "2023-11-14T22:13:20+24:00",
                                      "2023-11-14T22:13:20+0200",
                                      "2023-11-14T22:13:20ZZ",
                                      "2023-11-14Z",
                                      "99999999999999999999",
                                      "9223372036.854775808",
                                      "2262-04-11T23:47:16.854775808Z",
                                      "1677-09-21T00:12:43.145224191Z",
                                      "0001-01-01T00:00:00Z",
                                      "9999-12-31T23:59:59Z",
                                      "-99999999w",
                                      "-9223372036854775807w",
                                      "-999999999999999999999s",
                                      "-300000d"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_refused(bad[i]);
    }
    assert_refused(NULL);
}

static void every_cut_of_a_time_is_refused_or_something_else(void **state) {
    (void)state;
    static const char text[] = "2023-11-14T22:13:20.5+01:00";
    for (size_t n = 0; n < sizeof text - 1; n++) {
        js_time_t t;
        assert_int_equal(js_time_parse_rfc3339(text, n, &t), JS_ERR_INVAL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_written_as_servers_do),
        cmocka_unit_test(writing_is_cut_to_the_buffer),
        cmocka_unit_test(every_day_goes_there_and_back),
        cmocka_unit_test(random_times_survive_both_formats),
        cmocka_unit_test(rfc_3339_dates_and_seconds_are_read),
        cmocka_unit_test(relative_times_count_from_now),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(every_cut_of_a_time_is_refused_or_something_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
