/* SPDX-License-Identifier: Apache-2.0 */
/* Time zones: the C library's answers for those of this machine, and rules at the end of files.
 * What is due by a clock is what nats-server 2.15.1 wrote into its sched.db. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/format/sched_spec.h"

#define YEAR (INT64_C(31556952))

/* A file of one type and no changes but those of a rule. */
static size_t make_file(uint8_t *out, size_t size, const char *rule) {
    size_t len = 0;

    memset(out, 0, size);
    for (int i = 0; i < 2; i++) {
        memcpy(out + len, "TZif2", 5);
        out[len + 39] = 1; /* types */
        out[len + 43] = 4; /* bytes of names */
        len += 44 + 6 + 4;
    }
    return len + (size_t)snprintf((char *)out + len, size - len, "\n%s\n", rule);
}

static void decode(const char *rule, uint8_t *file, size_t size, struct js_zone *z) {
    if (js_zone_decode(file, make_file(file, size, rule), z) != 0)
        fail_msg("%s", rule);
}

static size_t read_file(const char *name, uint8_t *buf, size_t size) {
    char path[100];

    snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    FILE *f = fopen(path, "rb");
    if (!f)
        return 0;
    size_t n = fread(buf, 1, size, f);
    fclose(f);
    return n;
}

static long libc_offset(time_t t) {
    struct tm tm;

    assert_non_null(localtime_r(&t, &tm));
    return tm.tm_gmtoff;
}

static void as_the_c_library(void **state) {
    static const char *const names[] = {
        "Europe/Berlin",     "America/New_York",     "Asia/Kolkata", "Australia/Lord_Howe",
        "Africa/Casablanca", "America/Sao_Paulo",    "Pacific/Apia", "Europe/Dublin",
        "Asia/Kathmandu",    "America/Scoresbysund", "Etc/GMT+3",    "EST5EDT"};
    static uint8_t buf[1 << 16];
    size_t seen = 0;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct js_zone z;
        size_t len = read_file(names[i], buf, sizeof buf);
        if (!len)
            continue;
        seen++;
        assert_int_equal(js_zone_decode(buf, len, &z), 0);
        setenv("TZ", names[i], 1);
        tzset();
        /* Every change, and nothing between two. */
        int64_t at = 0, next = 0;
        while (at < 130 * YEAR) {
            bool more = js_zone_next_change(&z, at, &next);
            int64_t end = more && next < 130 * YEAR ? next : 130 * YEAR;
            for (int64_t t = at; t < end; t += 5 * 86400 + 3600)
                if (js_zone_offset(&z, t) != libc_offset((time_t)t))
                    fail_msg("%s at %lld", names[i], (long long)t);
            assert_int_equal(js_zone_offset(&z, end - 1), libc_offset((time_t)end - 1));
            at = end;
        }
    }
    if (!seen)
        skip(); /* a machine without zones */
}

static void rules(void **state) {
    static const char *const bad[] = {"CET",
                                      "CET-1CEST",
                                      "CET-1CEST,M3.5.0",
                                      "C1,M3.5.0,M4.1.0x",
                                      "CET-1CEST,M13.5.0,M10.5.0",
                                      "CET-1CEST,M3.6.0,M10.5.0",
                                      "<CET-1",
                                      "CET-1CEST,J0,J5",
                                      "CET-1CEST,M3.5.0,M10.5.0/3x",
                                      "CET-999"};
    uint8_t file[400];
    struct js_zone z;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (js_zone_decode(file, make_file(file, sizeof file, bad[i]), &z) == 0)
            fail_msg("%s", bad[i]);
    size_t len = make_file(file, sizeof file, "CET-1CEST,M3.5.0,M10.5.0/3");
    for (size_t n = 0; n < len; n++)
        assert_int_equal(js_zone_decode(file, n, &z), JS_ERR_CORRUPT);
    /* Days of both other forms: February 29 has no Julian day. */
    decode("A0B,J60,300", file, sizeof file, &z);
    int64_t march_2028 = 1835488800; /* 2028-03-01T02:00:00Z */
    assert_int_equal(js_zone_offset(&z, march_2028 - 1), 0);
    assert_int_equal(js_zone_offset(&z, march_2028), 3600);
    assert_false(js_zone_name_valid("../x", 4));
    assert_false(js_zone_name_valid("/etc", 4));
    assert_true(js_zone_name_valid("America/Port-au-Prince", 22));
}

static void due_by_clocks(void **state) {
    static const char berlin[] = "CET-1CEST,M3.5.0,M10.5.0/3";
    static const struct {
        const char *rule, *spec, *after, *next;
    } rows[] = {
        {berlin, "0 30 12 * * *", "2026-11-27T15:10:00Z", "2026-11-28T11:30:00Z"},
        {berlin, "0 15 3 28 3 *", "2026-11-27T15:10:00Z", "2027-03-28T01:15:00Z"},
        {berlin, "0 0 0 29 2 *", "2026-11-27T15:10:00Z", "2028-02-28T23:00:00Z"},
        /* The clock is put forward over it; the year after that it is not. */
        {berlin, "0 30 2 28 3 *", "2026-11-27T15:10:00Z", "2028-03-28T00:30:00Z"},
        /* And put back: it is shown twice. */
        {berlin, "0 30 2 31 10 *", "2026-11-27T15:10:00Z", "2027-10-31T00:30:00Z"},
        {berlin, "0 30 2 31 10 *", "2027-10-31T00:30:00Z", "2027-10-31T01:30:00Z"},
        {berlin, "0 0 3 * * *", "2027-03-28T00:00:00Z", "2027-03-28T01:00:00Z"},
        {"EST5EDT,M3.2.0,M11.1.0", "0 0 9 1 7 *", "2026-11-27T15:10:00Z", "2027-07-01T13:00:00Z"},
        {"IST-5:30", "@daily", "2026-11-27T15:10:00Z", "2026-11-27T18:30:00Z"},
        {"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "0 0 0 1 1 *", "2026-11-27T15:10:00Z",
         "2026-12-31T13:00:00Z"},
    };
    uint8_t file[400];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct js_sched_spec spec;
        struct js_zone z;
        js_time_t after, want;
        decode(rows[i].rule, file, sizeof file, &z);
        assert_int_equal(js_time_parse(rows[i].after, 0, &after), 0);
        assert_int_equal(js_time_parse(rows[i].next, 0, &want), 0);
        assert_int_equal(js_sched_spec_parse(rows[i].spec, strlen(rows[i].spec), &spec), 0);
        js_time_t got = js_sched_spec_next_in(&spec, &z, after);
        if (got != want)
            fail_msg("%s of %s: %lld, not %lld", rows[i].spec, rows[i].rule, (long long)got,
                     (long long)want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_c_library),
        cmocka_unit_test(rules),
        cmocka_unit_test(due_by_clocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
