/* SPDX-License-Identifier: Apache-2.0 */
/* What headers ask for when a message is published: expected positions, duplicates, rollup, TTLs,
 * schedules. What is expected here is what nats-server 2.15.1 was seen to do. */
#include <errno.h>

#include "core/format/sched_spec.h"
#include "tests/core/ported.h"

static js_seq_t last_first; /* the sequence that the last call of try_hdr was told */
static bool last_duplicate;

/* Publishes; headers are lines without the first and the last one. 0 or the error. */
static int try_hdr(struct pt *p, const char *subject, const char *lines) {
    char hdr[600];
    struct js_new_msg m = {.subject = subject, .subject_len = strlen(subject), .data_len = 5};
    int err = 0;

    snprintf(hdr, sizeof hdr, "NATS/1.0\r\n%s\r\n", lines);
    m.hdr = (const uint8_t *)hdr;
    m.hdr_len = strlen(hdr);
    m.data = (const uint8_t *)"hello";
    ssize_t n = js_stream_store_msgs(p->stream, &m, 1, &err);
    last_first = m.ret_seq;
    last_duplicate = m.ret_duplicate;
    return n == 1 ? 0 : err;
}

static void expect_hdr(struct pt *p, js_seq_t seq, const char *lines) {
    char want[600];
    struct js_msg m;

    snprintf(want, sizeof want, "NATS/1.0\r\n%s\r\n", lines);
    assert_int_equal(js_stream_load_msg(p->stream, seq, &m), 0);
    if (m.hdr_len != strlen(want) || memcmp(m.hdr, want, m.hdr_len) != 0)
        fail_msg("%llu: %.*s", (unsigned long long)seq, (int)m.hdr_len, (const char *)m.hdr);
    js_msg_release(&m);
}

PORTED(expected_positions) {
    pt_open(p, "", 0);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Expected-Stream: S\r\n"), 0);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Expected-Stream: T\r\n"), JS_ERR_WRONG_STREAM);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Expected-Last-Sequence: 2\r\n"),
                     JS_ERR_WRONG_LAST_SEQ);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Expected-Last-Sequence: x\r\n"), JS_ERR_BAD_HEADER);
    assert_int_equal(try_hdr(p, "a.2", "Nats-Expected-Last-Subject-Sequence: 5\r\n"),
                     JS_ERR_WRONG_LAST_SEQ);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Expected-Last-Subject-Sequence: 0\r\n"),
                     JS_ERR_EXISTS);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Expected-Last-Subject-Sequence-Subject: a.*\r\n"),
                     JS_ERR_BAD_HEADER);
    PT_STATE(p, 1, 1, 1);
    assert_int_equal(try_hdr(p, "a.2", "Nats-Expected-Last-Subject-Sequence: 1\r\n"
                                       "Nats-Expected-Last-Subject-Sequence-Subject: a.*\r\n"),
                     0);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Expected-Last-Subject-Sequence: 1\r\n"), 0);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Expected-Last-Sequence: \r\n"
                                       "Nats-Expected-Last-Subject-Sequence: \r\n"
                                       "Nats-Expected-Stream: \r\n"
                                       "Nats-Expected-Last-Msg-Id: \r\n"),
                     0);
    PT_STATE(p, 4, 1, 4);
}

PORTED(expected_last_message_id) {
    pt_open(p, "", 0);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Msg-Id: one\r\n"), 0);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Expected-Last-Msg-Id: two\r\n"),
                     JS_ERR_WRONG_LAST_MSG_ID);
    pt_restart(p);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Expected-Last-Msg-Id: one\r\n"), 0);
    /* Only the newest message counts. */
    assert_int_equal(try_hdr(p, "a.1", "Nats-Expected-Last-Msg-Id: one\r\n"),
                     JS_ERR_WRONG_LAST_MSG_ID);
}

PORTED(duplicates_within_the_window) {
    pt_open(p, "\"duplicate_window\":10000000000,\"allow_rollup_hdrs\":true", 0);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Msg-Id: x\r\n"), 0);
    pt_store(p, "a.1", "between");
    assert_int_equal(try_hdr(p, "a.2", "Nats-Msg-Id: x\r\n"), 0);
    assert_true(last_duplicate);
    assert_int_equal(last_first, 1);
    /* A wrong position is told even to a duplicate; other things that are wrong are not. */
    assert_int_equal(try_hdr(p, "a.1", "Nats-Msg-Id: x\r\nNats-Expected-Last-Sequence: 9\r\n"),
                     JS_ERR_WRONG_LAST_SEQ);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Msg-Id: x\r\nNats-TTL: bogus\r\n"), 0);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Msg-Id: x\r\nNats-Rollup: bogus\r\n"), 0);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Msg-Id: x\r\nNats-Expected-Last-Msg-Id: q\r\n"), 0);
    PT_STATE(p, 2, 1, 2);
    pt_restart_without_index(p);
    assert_int_equal(try_hdr(p, "a.2", "Nats-Msg-Id: x\r\n"), 0);
    assert_true(last_duplicate);
    pt_pass(p, 11 * TE_SECOND);
    assert_int_equal(try_hdr(p, "a.2", "Nats-Msg-Id: x\r\n"), 0);
    assert_false(last_duplicate);
    assert_int_equal(last_first, 3);
}

/* What a failed write took back is no duplicate, whatever got its sequence since. */
PORTED(what_was_not_stored_is_no_duplicate) {
    struct rd_fault fault = {.calls = RD_WRITES, .countdown = 1, .kind = RD_FAIL, .err = ENOSPC};

    pt_open(p, "", 0);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Msg-Id: first\r\n"), 0);
    rd_set_fault(p->disk, &fault);
    assert_int_not_equal(try_hdr(p, "a.1", "Nats-Msg-Id: x\r\n"), 0);
    fault.countdown = 0;
    rd_set_fault(p->disk, &fault);
    PT_STATE(p, 1, 1, 1);
    assert_int_equal(pt_store(p, "a.1", "other"), 2);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Msg-Id: x\r\n"), 0);
    assert_false(last_duplicate);
    PT_STATE(p, 3, 1, 3);
}

PORTED(rollup) {
    pt_open(p, "\"allow_rollup_hdrs\":true", 0);
    pt_store_n(p, 3, "a.1", "x");
    pt_store_n(p, 3, "a.2", "x");
    assert_int_equal(try_hdr(p, "a.1", "Nats-Rollup: bogus\r\n"), JS_ERR_BAD_HEADER);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Rollup: SUB\r\n"), 0);
    PT_STATE(p, 4, 4, 7);
    assert_int_equal(try_hdr(p, "a.3", "Nats-Rollup: all\r\n"), 0);
    PT_STATE(p, 1, 8, 8);
    pt_same_everywhere(p);
    pt_begin_anew(p);
    pt_open(p, "", 0);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Rollup: sub\r\n"), JS_ERR_NOT_PERMITTED);
}

PORTED(what_ttls_may_say) {
    static const char *const bad[] = {"0", "10ms", "bogus", "-1", "+5", "10000000h", "1\xc2\xb5s"};
    static const char *const good[] = {"1", "1500ms", "4.9s", "1m0.5s", "99999999999", "NEVER", "+5s",
                                       ".5m", "9223372037", ""};
    char line[80];

    pt_open(p, "\"allow_msg_ttl\":true", 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(line, sizeof line, "Nats-TTL: %s\r\n", bad[i]);
        assert_int_equal(try_hdr(p, "a.1", line), JS_ERR_BAD_HEADER);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(line, sizeof line, "Nats-TTL: %s\r\n", good[i]);
        assert_int_equal(try_hdr(p, "a.1", line), 0);
        expect_hdr(p, last_first, line);
    }
    /* Those that last longer than time can be told stay, after a restart too. */
    pt_restart_without_index(p);
    pt_pass(p, 100 * TE_SECOND);
    PT_STATE(p, 4, 5, 10);
    pt_begin_anew(p);
    pt_open(p, "", 0);
    assert_int_equal(try_hdr(p, "a.1", "Nats-TTL: 5s\r\n"), JS_ERR_NOT_PERMITTED);
}

PORTED(a_ttl_is_no_shorter_than_a_markers) {
    pt_open(p, "\"subject_delete_marker_ttl\":2500000000", 0);
    assert_int_equal(try_hdr(p, "a.1", "Nats-TTL: 1s\r\nK: v\r\n"), 0);
    expect_hdr(p, 1, "K: v\r\nNats-TTL: 2\r\n");
    assert_int_equal(try_hdr(p, "a.2", "Nats-TTL: 5s\r\n"), 0);
    expect_hdr(p, 2, "Nats-TTL: 5s\r\n");
    pt_pass(p, 1500000000);
    PT_STATE(p, 2, 1, 2);
    pt_pass(p, TE_SECOND);
    PT_STATE(p, 2, 2, 3);
    expect_hdr(p, 3, "Nats-Marker-Reason: MaxAge\r\nNats-TTL: 2s\r\nNats-Rollup: sub\r\n");
}

#define SCHED "\"allow_msg_schedules\":true,\"allow_msg_ttl\":true"

static void expect_last(struct pt *p, const char *subject, const char *lines) {
    js_seq_t seq = 0;

    assert_int_equal(pt_load_last(p, subject, &seq), 0);
    expect_hdr(p, seq, lines);
}

PORTED(schedules_that_are_refused) {
    static const char *const bad[] = {
        "Nats-Schedule: @bogus\r\nNats-Schedule-Target: a.t\r\n",
        "Nats-Schedule: @every 1s\r\n",
        "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: a.1\r\n",
        "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: no.where.at.all.here\r\n",
        "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: a.*\r\n",
        "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: a.t\r\nNats-Schedule-TTL: 0\r\n",
        "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: a.t\r\nNats-Schedule-Source: a.t\r\n",
        "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: a.t\r\nNats-Schedule-Source: a.*\r\n",
        "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: a.t\r\nNats-Schedule-Rollup: all\r\n",
        "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: a.t\r\nNats-Schedule-Time-Zone: UTC\r\n",
        "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: a.t\r\nNats-Rollup: all\r\n",
        "Nats-Scheduler: a.2\r\nNats-Schedule-Next: purge\r\n",
        "Nats-Scheduler: a.2\r\n",
    };

    pt_open(p, SCHED, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(try_hdr(p, "a.1", bad[i]), JS_ERR_BAD_HEADER);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Schedule: @hourly\r\nNats-Schedule-Target: a.t\r\n"
                                       "Nats-Schedule-Time-Zone: Europe/Berlin\r\n"),
                     JS_ERR_UNSUPPORTED);
    PT_STATE(p, 0, 0, 0);
    pt_begin_anew(p);
    pt_open(p, "", 0);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: a.t\r\n"),
                     JS_ERR_NOT_PERMITTED);
}

PORTED(a_schedule_for_one_time) {
    char when[40], lines[200];

    pt_open(p, SCHED, 0);
    js_time_format(atomic_load(&p->te.now) + TE_SECOND, when, sizeof when);
    snprintf(lines, sizeof lines,
             "Nats-Schedule: @at %s\r\nNats-Schedule-Target: a.t\r\nX: y\r\nNats-Msg-Id: m\r\n", when);
    assert_int_equal(try_hdr(p, "a.1", lines), 0);
    snprintf(lines + strlen(lines), sizeof lines - strlen(lines), "Nats-Rollup: sub\r\n");
    expect_hdr(p, 1, lines);
    pt_pass(p, TE_SECOND / 2);
    PT_STATE(p, 1, 1, 1);
    pt_pass(p, TE_SECOND);
    PT_STATE(p, 1, 2, 2);
    pt_expect_msg(p, 2, "a.t", "hello");
    expect_hdr(p, 2, "X: y\r\nNats-Scheduler: a.1\r\nNats-Schedule-Next: purge\r\n");
    pt_same_everywhere(p);
    pt_pass(p, 10 * TE_SECOND);
    PT_STATE(p, 1, 2, 2);
}

PORTED(schedules_that_repeat) {
    pt_open(p, SCHED, 0);
    assert_int_equal(try_hdr(p, "a.src", "A: b\r\nNats-TTL: 90\r\n"), 0);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Schedule: @every 2s\r\nNats-Schedule-Target: a.t1\r\n"
                                       "Nats-Schedule-TTL: 5m\r\nOwn: 1\r\n"),
                     0);
    assert_int_equal(try_hdr(p, "a.2", "Nats-Schedule: * * * * * *\r\nNats-Schedule-Target: a.t2\r\n"
                                       "Nats-Schedule-Source: a.src\r\nNats-Schedule-Rollup: sub\r\n"),
                     0);
    pt_pass(p, TE_SECOND);
    PT_STATE(p, 4, 1, 4);
    expect_last(p, "a.t2", "A: b\r\nNats-Scheduler: a.2\r\n"
                           "Nats-Schedule-Next: 2023-11-14T22:13:22Z\r\nNats-Rollup: sub\r\n");
    /* With sched.db and without it. */
    pt_restart(p);
    pt_pass(p, TE_SECOND);
    PT_STATE(p, 5, 1, 6);
    expect_last(p, "a.t1", "Own: 1\r\nNats-Scheduler: a.1\r\n"
                           "Nats-Schedule-Next: 2023-11-14T22:13:24Z\r\nNats-TTL: 5m\r\n");
    pt_close(p);
    assert_true(pt_has_file(p, "msgs/sched.db"));
    pt_remove_file(p, "msgs/sched.db");
    pt_reopen(p);
    pt_pass(p, TE_SECOND);
    PT_STATE(p, 5, 1, 7);
    /* A message of another kind ends a schedule, and so does one that says so. */
    pt_store(p, "a.2", "over");
    assert_int_equal(try_hdr(p, "a.3", "Nats-Scheduler: a.1\r\nNats-Schedule-Next: purge\r\n"), 0);
    js_seq_t last = pt_state(p).last_seq;
    pt_restart(p);
    pt_pass(p, 10 * TE_SECOND);
    assert_int_equal(pt_state(p).last_seq, last);
    pt_restart_without_index(p);
    pt_pass(p, 10 * TE_SECOND);
    assert_int_equal(pt_state(p).last_seq, last);
}

PORTED(a_purged_schedule_is_over) {
    pt_open(p, SCHED, 0);
    assert_int_equal(try_hdr(p, "a.1", "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: a.t\r\n"), 0);
    assert_int_equal(js_stream_purge_ex(p->stream, "a.1", 3, 0, 0, NULL), 0);
    pt_pass(p, 5 * TE_SECOND);
    PT_STATE(p, 0, 2, 1);
}

static js_time_t next_of(const char *text, js_time_t after) {
    struct js_sched_spec spec;

    if (js_sched_spec_parse(text, strlen(text), &spec) < 0)
        return -1;
    return js_sched_spec_next(&spec, after);
}

static void patterns(void **state) {
    static const struct {
        const char *text, *after, *next; /* next NULL: not valid */
    } rows[] = {
        {"* * * * * *", "2026-11-27T08:51:27.2Z", "2026-11-27T08:51:28Z"},
        {"*/5 * * * * *", "2026-11-27T08:51:55Z", "2026-11-27T08:52:00Z"},
        {"5/15 * * * * *", "2026-11-27T08:51:21Z", "2026-11-27T08:51:35Z"},
        {"0 0 0 1 1 *", "2026-11-27T08:51:21Z", "2027-01-01T00:00:00Z"},
        {"0 0 12 29 2 ?", "2026-11-27T08:51:21Z", "2028-02-29T12:00:00Z"},
        {"1-5,10 * * ? JAN mon-fri", "2026-11-27T08:51:21Z", "2027-01-01T00:00:01Z"},
        {"0 30 4 13 * 5", "2026-11-27T08:51:21Z", "2026-12-04T04:30:00Z"},
        {"@hourly", "2026-11-27T08:51:21Z", "2026-11-27T09:00:00Z"},
        {"@daily", "2026-12-31T08:51:21Z", "2027-01-01T00:00:00Z"},
        {"@weekly", "2026-11-27T08:51:21Z", "2026-11-29T00:00:00Z"},
        {"@monthly", "2026-11-27T08:51:21Z", "2026-12-01T00:00:00Z"},
        {"@yearly", "2026-11-27T08:51:21Z", "2027-01-01T00:00:00Z"},
        {"@every 1500ms", "2026-11-27T08:51:27.151Z", "2026-11-27T08:51:28.5Z"},
        {"@every 1500ms", "2026-11-27T08:51:28.502Z", "2026-11-27T08:51:30.5Z"},
        {"@every 1h30m1ms", "2026-11-27T08:00:00Z", "2026-11-27T09:30:00.001Z"},
        {"@at 2030-01-01T00:00:00.5+01:00", "2026-11-27T08:00:00Z", "2029-12-31T23:00:00.5Z"},
        {"* * * * *", NULL, NULL},      {"0 0 0 31 2 *", NULL, NULL},
        {"60 * * * * *", NULL, NULL},   {"TZ=UTC * * * * * *", NULL, NULL},
        {"0 0 12 L * *", NULL, NULL},   {"@HOURLY", NULL, NULL},
        {"* * * * * 7", NULL, NULL},    {"@every 500ms", NULL, NULL},
        {"@at 2030-01-01", NULL, NULL}, {"* * * * * */0", NULL, NULL},
        {"5-1 * * * * *", NULL, NULL},  {"1, * * * * *", NULL, NULL},
        {"", NULL, NULL},               {"@every 99999999999999999999h", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        js_time_t after = 0, want = -1;
        if (rows[i].after)
            assert_int_equal(js_time_parse(rows[i].after, 0, &after), 0);
        if (rows[i].next)
            assert_int_equal(js_time_parse(rows[i].next, 0, &want), 0);
        js_time_t got = next_of(rows[i].text, after);
        if (got != want)
            fail_msg("%s after %s: %lld, not %lld", rows[i].text,
                     rows[i].after ? rows[i].after : "0", (long long)got, (long long)want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expected_positions),
        cmocka_unit_test(expected_last_message_id),
        cmocka_unit_test(duplicates_within_the_window),
        cmocka_unit_test(what_was_not_stored_is_no_duplicate),
        cmocka_unit_test(rollup),
        cmocka_unit_test(what_ttls_may_say),
        cmocka_unit_test(a_ttl_is_no_shorter_than_a_markers),
        cmocka_unit_test(schedules_that_are_refused),
        cmocka_unit_test(a_schedule_for_one_time),
        cmocka_unit_test(schedules_that_repeat),
        cmocka_unit_test(a_purged_schedule_is_over),
        cmocka_unit_test(patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
