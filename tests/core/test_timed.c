/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules, and the files that hold the times of messages: thw.db, sched.db. */
#include <errno.h>

#include "tests/core/rules_fixture.h"

/* As nats-server 2.15.1 does it: headers, times, order. */
static void schedules(void **unused) {
    static const char *const bad[] = {
        "Nats-Schedule: @every 10ms\r\nNats-Schedule-Target: t.b",
        "Nats-Schedule: nonsense\r\nNats-Schedule-Target: t.b",
        "Nats-Schedule: @every 1s",
        "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: x.b",
        "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: s.bad",
        "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: t.*",
        "Nats-Schedule: @at 2026-01-01T00:00:00Z\r\nNats-Schedule-Target: "
        "t.z\r\nNats-Schedule-TTL: x",
    };
    struct fixture f;

    (void)unused;
    /* 2023-11-14T22:13:20Z */
    begin(&f, ",\"allow_msg_schedules\":true,\"allow_msg_ttl\":true");
    te_advance(&f.te, TE_SECOND / 2);
    assert_int_equal(pub(&f, "s.at",
                         "Nats-Schedule: @at 2023-11-14T22:13:21Z\r\n"
                         "Nats-Schedule-Target: t.at\r\nNats-Schedule-TTL: 5m"),
                     1);
    assert_int_equal(
        pub(&f, "s.ev", "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: t.ev\r\nX-Mine: 1"), 2);
    assert_int_equal(
        pub(&f, "s.cron", "Nats-Schedule: */2 * * * * *\r\nNats-Schedule-Target: t.cron"), 3);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(pub(&f, "s.bad", bad[i]), JS_ERR_BAD_HEADER);
    expect_hdr(&f, 2, "s.ev",
               "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: t.ev\r\nX-Mine: 1\r\n"
               "Nats-Rollup: sub");
    pass(&f, TE_SECOND);
    expect_hdr(&f, 4, "t.at", "Nats-Scheduler: s.at\r\nNats-Schedule-Next: purge\r\nNats-TTL: 5m");
    struct js_msg msg;
    assert_int_equal(js_stream_load_msg(f.s, 1, &msg), JS_ERR_MSG_NOT_FOUND);
    pass(&f, TE_SECOND);
    expect_hdr(&f, 5, "t.ev",
               "X-Mine: 1\r\nNats-Scheduler: s.ev\r\nNats-Schedule-Next: 2023-11-14T22:13:23Z");
    expect_hdr(&f, 6, "t.cron",
               "Nats-Scheduler: s.cron\r\nNats-Schedule-Next: 2023-11-14T22:13:24Z");
    /* It goes on after opening again, with sched.db and without. */
    reopen(&f);
    pass(&f, TE_SECOND);
    expect_hdr(&f, 7, "t.ev",
               "X-Mine: 1\r\nNats-Scheduler: s.ev\r\nNats-Schedule-Next: 2023-11-14T22:13:24Z");
    let_go(&f);
    assert_int_equal(rd_remove(f.disk, "/s/jetstream/$G/streams/S/msgs/sched.db"), 0);
    open_it(&f, JS_OPEN_RW);
    pass(&f, TE_SECOND);
    assert_int_equal(state(&f).last_seq, 9);
    /* A plain message on the subject ends a schedule. */
    assert_int_equal(pub(&f, "s.ev", NULL), 10);
    assert_int_equal(pub(&f, "s.cron", NULL), 11);
    pass(&f, 10 * TE_SECOND);
    assert_int_equal(state(&f).last_seq, 11);
    end(&f);
}

/* A message that a schedule makes is one like others. */
static void schedules_and_limits(void **unused) {
    struct fixture f;

    (void)unused;
    begin(&f, ",\"allow_msg_schedules\":true,\"max_msgs\":3");
    assert_int_equal(pub(&f, "s.a", NULL), 1);
    assert_int_equal(pub(&f, "s.ev", "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: t.ev"), 2);
    pass(&f, 2 * TE_SECOND);
    assert_int_equal(state(&f).last_seq, 4);
    assert_int_equal(state(&f).msgs, 3);
    assert_int_equal(state(&f).first_seq, 2);
    end(&f);

    /* Its schedule may be what leaves for it. */
    begin(&f, ",\"allow_msg_schedules\":true,\"max_bytes\":160");
    assert_int_equal(pub(&f, "s.ev", "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: t.ev"), 1);
    pass(&f, 4 * TE_SECOND);
    assert_int_equal(state(&f).msgs, 1);
    assert_int_equal(state(&f).first_seq, 2);
    assert_int_equal(state(&f).last_seq, 2);
    end(&f);

    /* Its size counts with the headers that are stored. A source may be too long for it. */
    begin(&f, ",\"allow_msg_schedules\":true,\"max_msg_size\":110");
    assert_int_equal(pub(&f, "s.long",
                         "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: t.e\r\n"
                         "X: 01234567890123456789"),
                     JS_ERR_MSG_TOO_LARGE);
    assert_int_equal(pub(&f, "s.src", "X-Header: 012345678901234567890123456789"), 1);
    assert_int_equal(pub(&f, "s.ev",
                         "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: t.e\r\n"
                         "Nats-Schedule-Source: s.s"),
                     JS_ERR_MSG_TOO_LARGE);
    end(&f);
    begin(&f, ",\"allow_msg_schedules\":true,\"max_msg_size\":140");
    assert_int_equal(pub(&f, "s.src",
                         "X-Header: 0123456789012345678901234567890123456789"
                         "0123456789012345678901234567890123456789"),
                     1);
    assert_int_equal(pub(&f, "s.ev",
                         "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: t.e\r\n"
                         "Nats-Schedule-Source: s.src"),
                     2);
    pass(&f, 3 * TE_SECOND);
    assert_int_equal(state(&f).last_seq, 2);
    assert_int_equal(pub(&f, "s.src", NULL), 3);
    pass(&f, TE_SECOND);
    expect_hdr(&f, 4, "t.e", "Nats-Scheduler: s.ev\r\nNats-Schedule-Next: 2023-11-14T22:13:25Z");
    end(&f);

    /* A TTL that is shorter than a marker's. */
    begin(&f, ",\"allow_msg_schedules\":true,\"allow_msg_ttl\":true,"
              "\"subject_delete_marker_ttl\":60000000000");
    assert_int_equal(pub(&f, "s.ev",
                         "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: t.e\r\n"
                         "Nats-Schedule-TTL: 5s\r\nNats-Schedule-Rollup: sub"),
                     1);
    pass(&f, 2 * TE_SECOND);
    expect_hdr(&f, 3, "t.e",
               "Nats-Scheduler: s.ev\r\nNats-Schedule-Next: 2023-11-14T22:13:23Z\r\n"
               "Nats-Rollup: sub\r\nNats-TTL: 60");
    assert_int_equal(state(&f).msgs, 2);
    end(&f);
}

/* A consumer of a subject. */
static void consume(struct fixture *f, const char *subject) {
    char text[200], why[200];

    snprintf(text, sizeof text, "{\"ack_policy\":\"explicit\",\"filter_subject\":\"%s\"}", subject);
    if (js_stream_create_consumer(f->s, "worker", text, why, sizeof why) < 0)
        fail_msg("%s", why);
}

/* Nobody wants what a schedule makes: it uses up its sequence, and the schedule goes on. */
static void schedules_and_interest(void **unused) {
    struct fixture f;
    struct js_msg msg;

    (void)unused;
    begin(&f, ",\"allow_msg_schedules\":true,\"retention\":\"interest\"");
    consume(&f, "s.>");
    assert_int_equal(pub(&f, "s.at",
                         "Nats-Schedule: @at 2023-11-14T22:13:21Z\r\n"
                         "Nats-Schedule-Target: t.at"),
                     1);
    assert_int_equal(pub(&f, "s.ev", "Nats-Schedule: @every 1s\r\nNats-Schedule-Target: t.ev"), 2);
    pass(&f, 3 * TE_SECOND + TE_SECOND / 2);
    assert_int_equal(state(&f).last_seq, 6);
    assert_int_equal(state(&f).msgs, 1);
    assert_int_equal(js_stream_load_msg(f.s, 1, &msg), JS_ERR_MSG_NOT_FOUND);
    end(&f);
}

/* Kolkata's, all of it a rule. */
static void put_zone(struct fixture *f) {
    static const char *const dirs[] = {"/usr", "/usr/share", "/usr/share/zoneinfo",
                                       "/usr/share/zoneinfo/Asia"};
    const struct js_io *io = rd_io(f->disk);
    uint8_t file[200] = {0};
    size_t len = 0;

    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
        assert_int_equal(io->mkdir(io->ctx, -1, dirs[i], 0755), 0);
    for (int i = 0; i < 2; i++) {
        memcpy(file + len, "TZif2", 5);
        file[len + 39] = 1;
        file[len + 43] = 4;
        len += 44 + 6 + 4;
    }
    len += (size_t)sprintf((char *)file + len, "\nIST-5:30\n");
    assert_int_equal(rd_put(f->disk, "/usr/share/zoneinfo/Asia/Kolkata", file, len), 0);
}

/* By the clock of another zone. One that is not known here is refused, or left to a server. */
static void schedules_in_zones(void **unused) {
    static const char spec[] = "Nats-Schedule: 30 43 3 * * *\r\nNats-Schedule-Target: t.z\r\n";
    static const char zone[] = "Nats-Schedule-Time-Zone: Asia/Kolkata";
    char text[200];
    struct fixture f;

    (void)unused;
    begin(&f, ",\"allow_msg_schedules\":true");
    snprintf(text, sizeof text, "%s%s", spec, zone);
    assert_int_equal(pub(&f, "s.z", text), JS_ERR_UNSUPPORTED);
    put_zone(&f);
    assert_int_equal(pub(&f, "s.z", text), 1);
    snprintf(text, sizeof text, "%sNats-Schedule-Time-Zone: ../x", spec);
    assert_int_equal(pub(&f, "s.z", text), JS_ERR_BAD_HEADER);
    pass(&f, 9 * TE_SECOND);
    assert_int_equal(state(&f).last_seq, 1);
    pass(&f, TE_SECOND);
    expect_hdr(&f, 2, "t.z", "Nats-Scheduler: s.z\r\nNats-Schedule-Next: 2023-11-15T22:13:30Z");
    /* Nobody can tell any more when it is due: it stays, and no file says that it is not there. */
    assert_int_equal(rd_remove(f.disk, "/usr/share/zoneinfo/Asia/Kolkata"), 0);
    reopen(&f);
    pass(&f, 48 * 3600 * TE_SECOND);
    assert_int_equal(state(&f).last_seq, 2);
    assert_int_equal(pub(&f, "s.other", NULL), 3);
    assert_int_equal(state(&f).msgs, 3);
    let_go(&f);
    assert_true(rd_get(f.disk, "/s/jetstream/$G/streams/S/msgs/sched.db", &(uint8_t *){NULL}) < 0);
    open_it(&f, JS_OPEN_RW);
    end(&f);
}

#define MSGS   "/s/jetstream/$G/streams/S/msgs/"
#define BLOCKS 60 /* at least */

/* Opens the stream again and does what is due: how many reads that takes. */
static long reads_to_open(struct fixture *f) {
    const struct rd_fault count = {.calls = RD_READS};

    rd_set_fault(f->disk, &count);
    open_it(f, JS_OPEN_RW);
    pass(f, 1);
    return rd_fault_calls(f->disk);
}

/* Opening a stream reads thw.db and sched.db, and not its messages. */
static void files_of_times(void **unused) {
    static const char *const files[] = {MSGS "thw.db", MSGS "sched.db"};
    struct fixture f;
    uint8_t *old[2];
    long len[2];

    (void)unused;
    begin_blocks(&f, ",\"allow_msg_schedules\":true,\"allow_msg_ttl\":true", 500);
    pass(&f, 1);
    for (int i = 0; i < 400; i++)
        assert_int_equal(pub(&f, i % 2 ? "s.a" : "s.b", "Nats-TTL: 1h\r\nX: 1234567890"), i + 1);
    assert_int_equal(pub(&f, "s.ev", "Nats-Schedule: @every 1h\r\nNats-Schedule-Target: t.ev"),
                     401);
    let_go(&f);
    assert_in_range(reads_to_open(&f), 1, BLOCKS / 4);
    let_go(&f);
    for (int i = 0; i < 2; i++)
        assert_true((len[i] = rd_get(f.disk, files[i], &old[i])) > 0);
    /* Without the files all is found by the headers, and at the same cost as once before. */
    for (int i = 0; i < 2; i++)
        assert_int_equal(rd_remove(f.disk, files[i]), 0);
    assert_true(reads_to_open(&f) >= BLOCKS);
    let_go(&f);
    assert_in_range(reads_to_open(&f), 1, BLOCKS / 4);
    for (int i = 0; i < 2; i++)
        assert_int_equal(rd_remove(f.disk, files[i]), 0);
    assert_int_equal(pub(&f, "s.late", "Nats-TTL: 1h"), 402);
    assert_int_equal(pub(&f, "s.l", "Nats-Schedule: @every 50m\r\nNats-Schedule-Target: t.l"), 403);
    let_go(&f);
    /* Older ones serve for what they cover. */
    for (int i = 0; i < 2; i++)
        assert_int_equal(rd_put(f.disk, files[i], old[i], (size_t)len[i]), 0);
    assert_in_range(reads_to_open(&f), 1, BLOCKS / 4);
    pass(&f, 3590 * TE_SECOND);
    assert_int_equal(state(&f).last_seq, 404);
    pass(&f, 15 * TE_SECOND);
    /* The schedules, and what they made. */
    assert_int_equal(state(&f).last_seq, 405);
    assert_int_equal(state(&f).msgs, 4);
    for (int i = 0; i < 2; i++)
        free(old[i]);
    end(&f);
}

/* What only thw.db says is not believed: it has no checksum. */
static void wrong_files(void **unused) {
    /* seqs 1 and 2 at once, stamp 5; cut; another stamp */
    static const uint8_t now[] = {1, 2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 2};
    static const uint8_t far[] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0};
    static const struct {
        const uint8_t *data;
        size_t len;
    } cases[] = {{now, sizeof now}, {now, sizeof now - 1}, {far, sizeof far}, {far, 3}, {far, 0}};
    struct fixture f;

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(&f, ",\"allow_msg_ttl\":true");
        assert_int_equal(pub(&f, "s.a", "Nats-TTL: 1h"), 1);
        assert_int_equal(pub(&f, "s.a", NULL), 2);
        assert_int_equal(pub(&f, "s.a", "Nats-TTL: never"), 3);
        assert_int_equal(pub(&f, "s.a", "X: 1"), 4);
        let_go(&f);
        assert_int_equal(rd_put(f.disk, MSGS "thw.db", cases[i].data, cases[i].len), 0);
        open_it(&f, JS_OPEN_RW);
        pass(&f, 3000 * TE_SECOND);
        assert_int_equal(state(&f).msgs, 4);
        pass(&f, 601 * TE_SECOND);
        assert_int_equal(state(&f).msgs, 3);
        assert_int_equal(state(&f).first_seq, 2);
        end(&f);
    }
}

/* Sequences that are given out anew are not those that the files speak of. */
static void files_before_a_cut(void **unused) {
    struct fixture f;

    (void)unused;
    begin(&f, ",\"allow_msg_ttl\":true");
    for (int i = 0; i < 10; i++)
        assert_int_equal(pub(&f, "s.a", "Nats-TTL: 1h"), i + 1);
    reopen(&f);
    pass(&f, 1);
    assert_int_equal(js_stream_truncate(f.s, 5), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(pub(&f, "s.a", "Nats-TTL: 2h"), i + 6);
    reopen(&f);
    pass(&f, 3601 * TE_SECOND);
    assert_int_equal(state(&f).msgs, 10);
    pass(&f, 3600 * TE_SECOND);
    assert_int_equal(state(&f).msgs, 0);
    end(&f);
}

/* What could not be done once is done later: here a directory could not be listed. */
static void expiry_is_tried_again(void **unused) {
    const struct rd_fault no_list = {
        .calls = RD_STATS, .kind = RD_FAIL, .err = EMFILE, .countdown = 1, .sticky = true};
    const struct rd_fault none = {0};
    struct fixture f;

    (void)unused;
    begin(&f, ",\"max_age\":1000000000");
    for (int i = 0; i < 5; i++)
        assert_int_equal(pub(&f, "s.a", NULL), i + 1);
    reopen(&f);
    te_advance(&f.te, 5 * TE_SECOND);
    rd_set_fault(f.disk, &no_list);
    assert_int_equal(js_store_run_due(f.store, f.te.clock.now(f.te.clock.ctx)),
                     JS_ERR_TOO_MANY_FILES);
    assert_true(rd_faults_fired(f.disk) > 0);
    rd_set_fault(f.disk, &none);
    assert_int_equal(state(&f).msgs, 5);
    pass(&f, 5 * TE_SECOND);
    assert_int_equal(state(&f).msgs, 0);
    end(&f);
}

/* Messages that were replaced long before their TTL was over leave nothing behind. */
static void replaced_messages_have_no_ttl(void **unused) {
    const char *path = "/s/jetstream/$G/streams/S/msgs/thw.db";
    struct fixture f;
    uint8_t *data;

    (void)unused;
    begin(&f, ",\"allow_msg_ttl\":true,\"max_msgs_per_subject\":1");
    assert_int_equal(js_store_run_due(f.store, f.te.clock.now(f.te.clock.ctx)), 0);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(pub(&f, i & 1 ? "s.a" : "s.b", "Nats-TTL: 1h"), i + 1);
    let_go(&f);
    long len = rd_get(f.disk, path, &data);
    assert_true(len > 17 && len < 17 + 64 * 20);
    free(data);
    open_it(&f, JS_OPEN_RW);
    assert_int_equal(state(&f).msgs, 2);
    pass(&f, 3599 * TE_SECOND);
    assert_int_equal(state(&f).msgs, 2);
    pass(&f, 2 * TE_SECOND);
    assert_int_equal(state(&f).msgs, 0);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expiry_is_tried_again),
        cmocka_unit_test(replaced_messages_have_no_ttl),
        cmocka_unit_test(schedules),
        cmocka_unit_test(schedules_and_limits),
        cmocka_unit_test(schedules_and_interest),
        cmocka_unit_test(schedules_in_zones),
        cmocka_unit_test(files_of_times),
        cmocka_unit_test(wrong_files),
        cmocka_unit_test(files_before_a_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
