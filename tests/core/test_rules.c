/* SPDX-License-Identifier: Apache-2.0 */
/* What headers ask for at publishing, and what time makes due: duplicates, expected positions,
 * rollup, TTLs, age, delete markers, counters. */
#include "tests/core/rules_fixture.h"

static void duplicates(void **unused) {
    struct fixture f;
    bool dup;

    (void)unused;
    begin(&f, ",\"duplicate_window\":10000000000");
    assert_int_equal(pub(&f, "s.a", "Nats-Msg-Id: one"), 1);
    assert_int_equal(pub(&f, "s.a", "Nats-Msg-Id: two"), 2);
    assert_int_equal(pub_dup(&f, "s.b", "Nats-Msg-Id: one", &dup), 1);
    assert_true(dup);
    /* What is not allowed at all comes first. */
    assert_int_equal(pub(&f, "s.b", "Nats-Msg-Id: one\r\nNats-TTL: 5s"), JS_ERR_NOT_PERMITTED);
    assert_int_equal(state(&f).msgs, 2);
    /* Also after opening again: the window is made from the messages. */
    pass(&f, 5 * TE_SECOND);
    reopen(&f);
    assert_int_equal(pub_dup(&f, "s.b", "Nats-Msg-Id: two", &dup), 2);
    assert_true(dup);
    assert_int_equal(pub_dup(&f, "s.b", "Nats-Msg-Id: three", &dup), 3);
    assert_false(dup);
    pass(&f, 6 * TE_SECOND);
    assert_int_equal(pub_dup(&f, "s.b", "Nats-Msg-Id: one", &dup), 4);
    assert_false(dup);
    assert_int_equal(pub_dup(&f, "s.b", "Nats-Msg-Id: three", &dup), 3);
    assert_true(dup);
    /* Many, so that the table grows and the oldest leave it. */
    for (int i = 0; i < 2000; i++) {
        char id[40];
        snprintf(id, sizeof id, "Nats-Msg-Id: n%d", i);
        assert_int_equal(pub(&f, "s.c", id), 5 + i);
        if (i % 100 == 0)
            pass(&f, TE_SECOND);
    }
    for (int i = 1999; i > 1200; i--) {
        char id[40];
        snprintf(id, sizeof id, "Nats-Msg-Id: n%d", i);
        assert_int_equal(pub_dup(&f, "s.c", id, &dup), 5 + i);
        assert_true(dup);
    }
    /* An empty value is none. */
    assert_true(pub(&f, "s.a", "Nats-Batch-Id: ") > 0);
    end(&f);
}

static void expected_positions(void **unused) {
    static const struct {
        const char *headers;
        int result;
    } cases[] = {
        {"Nats-Expected-Stream: T", JS_ERR_WRONG_STREAM},
        {"Nats-Expected-Last-Sequence: 3", JS_ERR_WRONG_LAST_SEQ},
        {"Nats-Expected-Last-Sequence: x", JS_ERR_BAD_HEADER},
        {"Nats-Expected-Last-Msg-Id: other", JS_ERR_WRONG_LAST_MSG_ID},
        {"Nats-Expected-Last-Subject-Sequence: 0", JS_ERR_EXISTS},
        {"Nats-Expected-Last-Subject-Sequence: 2", JS_ERR_WRONG_LAST_SEQ},
        {"Nats-Expected-Last-Subject-Sequence: 3\r\nNats-Expected-Last-Subject-Sequence-Subject: "
         "s.*",
         JS_ERR_WRONG_LAST_SEQ},
        {"Nats-Rollup: sub", JS_ERR_NOT_PERMITTED},
        {"Nats-TTL: 5s", JS_ERR_NOT_PERMITTED},
        {"Nats-Schedule: @every 1s\r\nNats-Schedule-Target: t.a", JS_ERR_NOT_PERMITTED},
        {"Nats-Batch-Id: b", JS_ERR_UNSUPPORTED},
    };
    struct fixture f;

    (void)unused;
    begin(&f, "");
    assert_int_equal(pub(&f, "s.a", NULL), 1);
    assert_int_equal(pub(&f, "s.b", "Nats-Msg-Id: id"), 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(pub(&f, "s.a", cases[i].headers), cases[i].result);
        assert_int_equal(state(&f).last_seq, 2);
    }
    assert_int_equal(pub(&f, "s.a",
                         "Nats-Expected-Stream: S\r\nNats-Expected-Last-Sequence: 2\r\n"
                         "Nats-Expected-Last-Msg-Id: id\r\n"
                         "Nats-Expected-Last-Subject-Sequence: 1"),
                     3);
    assert_int_equal(pub(&f, "s.c", "Nats-Expected-Last-Subject-Sequence: 0"), 4);
    assert_int_equal(pub(&f, "s.x",
                         "Nats-Expected-Last-Subject-Sequence: 4\r\n"
                         "Nats-Expected-Last-Subject-Sequence-Subject: s.*"),
                     5);
    reopen(&f);
    assert_int_equal(pub(&f, "s.b", "Nats-Expected-Last-Subject-Sequence: 2"), 6);
    end(&f);
}

static void rollup(void **unused) {
    struct fixture f;

    (void)unused;
    begin(&f, ",\"allow_rollup_hdrs\":true");
    for (int i = 0; i < 5; i++) {
        pub(&f, "s.a", NULL);
        pub(&f, "s.b", NULL);
    }
    assert_int_equal(pub(&f, "s.a", "Nats-Rollup: sub"), 11);
    assert_int_equal(state(&f).msgs, 6);
    assert_int_equal(state(&f).first_seq, 2);
    assert_int_equal(pub(&f, "s.a", "Nats-Rollup: none"), JS_ERR_BAD_HEADER);
    assert_int_equal(pub(&f, "s.c", "Nats-Rollup: all"), 12);
    assert_int_equal(state(&f).msgs, 1);
    reopen(&f);
    assert_int_equal(state(&f).first_seq, 12);
    end(&f);
}

static void ttls(void **unused) {
    struct fixture f;

    (void)unused;
    begin(&f, ",\"allow_msg_ttl\":true");
    assert_int_equal(pub(&f, "s.a", "Nats-TTL: 5s"), 1);
    assert_int_equal(pub(&f, "s.a", "Nats-TTL: 1h30m"), 2);
    assert_int_equal(pub(&f, "s.a", "Nats-TTL: 20"), 3);
    assert_int_equal(pub(&f, "s.a", "Nats-TTL: never"), 4);
    assert_int_equal(pub(&f, "s.a", NULL), 5);
    assert_int_equal(pub(&f, "s.a", "Nats-TTL: 10ms"), JS_ERR_BAD_HEADER);
    assert_int_equal(pub(&f, "s.a", "Nats-TTL: soon"), JS_ERR_BAD_HEADER);
    pass(&f, 4 * TE_SECOND);
    assert_int_equal(state(&f).msgs, 5);
    pass(&f, 2 * TE_SECOND);
    assert_int_equal(state(&f).msgs, 4);
    assert_int_equal(state(&f).first_seq, 2);
    /* It goes on after opening again, and what expired does not come back without index.db. */
    reopen(&f);
    pass(&f, 15 * TE_SECOND);
    assert_int_equal(state(&f).msgs, 3);
    let_go(&f);
    assert_int_equal(rd_remove(f.disk, "/s/jetstream/$G/streams/S/msgs/index.db"), 0);
    (void)rd_remove(f.disk, "/s/jetstream/$G/streams/S/msgs/thw.db");
    open_it(&f, JS_OPEN_RW);
    assert_int_equal(state(&f).msgs, 3);
    pass(&f, 5400 * TE_SECOND);
    assert_int_equal(state(&f).msgs, 2);
    assert_int_equal(state(&f).first_seq, 4);
    assert_int_equal(state(&f).last_seq, 5);
    end(&f);
}

static void age(void **unused) {
    struct fixture f;

    (void)unused;
    begin(&f, ",\"max_age\":10000000000,\"allow_msg_ttl\":true");
    assert_int_equal(pub(&f, "s.a", "Nats-TTL: never"), 1);
    for (int i = 0; i < 20; i++) {
        pub(&f, "s.a", NULL);
        pass(&f, TE_SECOND);
    }
    /* The last ten, and the one that never leaves. */
    assert_in_range(state(&f).msgs, 10, 11);
    assert_int_equal(state(&f).first_seq, 1);
    pass(&f, 20 * TE_SECOND);
    assert_int_equal(state(&f).msgs, 1);
    assert_int_equal(state(&f).last_seq, 21);
    end(&f);
    begin(&f, ",\"max_age\":10000000000");
    for (int i = 0; i < 50; i++)
        pub(&f, "s.a", NULL);
    let_go(&f);
    te_advance(&f.te, 11 * TE_SECOND);
    /* Looking does not make it older; opening for writing does. */
    open_it(&f, 0);
    assert_int_equal(state(&f).msgs, 50);
    assert_int_equal(js_store_run_due(f.store, f.te.clock.now(f.te.clock.ctx)), 0);
    assert_int_equal(state(&f).msgs, 50);
    reopen(&f);
    pass(&f, 1);
    assert_int_equal(state(&f).msgs, 0);
    assert_int_equal(state(&f).first_seq, 51);
    assert_int_equal(pub(&f, "s.a", NULL), 51);
    end(&f);
}

static void markers(void **unused) {
    struct fixture f;

    (void)unused;
    begin(&f, ",\"max_age\":10000000000,\"subject_delete_marker_ttl\":90000000000");
    pub(&f, "s.a", NULL);
    pub(&f, "s.a", NULL);
    pub(&f, "s.b", NULL);
    pass(&f, 11 * TE_SECOND);
    /* One for each subject, that leave without another. */
    assert_int_equal(state(&f).msgs, 2);
    expect_hdr(&f, 4, "s.a", "Nats-Marker-Reason: MaxAge\r\nNats-TTL: 1m30s\r\nNats-Rollup: sub");
    expect_hdr(&f, 5, "s.b", "Nats-Marker-Reason: MaxAge\r\nNats-TTL: 1m30s\r\nNats-Rollup: sub");
    pass(&f, 200 * TE_SECOND);
    assert_int_equal(state(&f).msgs, 0);
    assert_int_equal(state(&f).last_seq, 5);
    end(&f);
}

static void expect_count(struct fixture *f, js_seq_t seq, const char *want) {
    struct js_msg msg;
    char text[200];

    snprintf(text, sizeof text, "{\"val\":\"%s\"}", want);
    assert_int_equal(js_stream_load_msg(f->s, seq, &msg), 0);
    assert_int_equal(msg.data_len, strlen(text));
    assert_memory_equal(msg.data, text, msg.data_len);
    js_msg_release(&msg);
}

/* As nats-server 2.15.1 counts. */
static void counters(void **unused) {
    static const struct {
        const char *subject, *incr, *val;
    } rows[] = {
        {"s.a", "1", "1"},
        {"s.a", "+5", "6"},
        {"s.a", "-10", "-4"},
        {"s.a", "0", "-4"},
        {"s.a", "999999999999999999999999999999", "999999999999999999999999999995"},
        {"s.a", "1", "999999999999999999999999999996"},
        {"s.a", "4", "1000000000000000000000000000000"},
        {"s.a", "-999999999999999999999999999999", "1"},
        {"s.b", "007", "7"},
        {"s.b", "-0", "7"},
        {"s.b", "-7", "0"},
        {"s.b", "-12", "-12"},
        {"s.b", "-90", "-102"},
        {"s.b", "103", "1"},
    };
    static const char *const bad[] = {NULL,
                                      "X: 1",
                                      "Nats-Incr: ",
                                      "Nats-Incr: abc",
                                      "Nats-Incr: 1.5",
                                      "Nats-Incr: - 1",
                                      "Nats-Incr: 0x10",
                                      "Nats-Incr: 1_000",
                                      "Nats-Incr: 1\r\nNats-Rollup: sub",
                                      "nats-incr: 1",
                                      "Nats-Incr: 1\r\nNats-Expected-Last-Sequence: 14"};
    struct fixture f;
    char text[200];
    bool dup;

    (void)unused;
    begin(&f, ",\"allow_msg_counter\":true,\"allow_rollup_hdrs\":true");
    f.empty = true;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(text, sizeof text, "Nats-Incr: %s", rows[i].incr);
        assert_int_equal(pub(&f, rows[i].subject, text), i + 1);
        expect_count(&f, i + 1, rows[i].val);
        if (i % 4 == 3)
            reopen(&f);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(pub(&f, "s.a", bad[i]), JS_ERR_BAD_HEADER);
    f.empty = false;
    assert_int_equal(pub(&f, "s.a", "Nats-Incr: 1"), JS_ERR_BAD_HEADER);
    f.empty = true;
    assert_int_equal(state(&f).last_seq, 14);
    assert_int_equal(pub(&f, "s.a", "Nats-Incr: 1\r\nNats-Msg-Id: m"), 15);
    assert_int_equal(pub_dup(&f, "s.a", "Nats-Incr: 1\r\nNats-Msg-Id: m", &dup), 15);
    assert_true(dup);
    expect_count(&f, 15, "2");
    /* What leaves does not count any more; what follows what is no counter cannot be counted. */
    assert_int_equal(js_stream_remove_msg(f.s, 15), 1);
    assert_int_equal(pub(&f, "s.a", "Nats-Incr: 1"), 16);
    expect_count(&f, 16, "2");
    struct js_new_msg raw = {
        .subject = "s.a", .subject_len = 3, .data = (const uint8_t *)"x", .data_len = 1};
    assert_int_equal(js_stream_store_raw_msg(f.s, &raw, 0, 0, false), 0);
    assert_int_equal(pub(&f, "s.a", "Nats-Incr: 1"), JS_ERR_BAD_MSG);
    assert_int_equal(state(&f).last_seq, 17);
    end(&f);
    begin(&f, "");
    assert_int_equal(pub(&f, "s.a", "Nats-Incr: 1"), JS_ERR_NOT_PERMITTED);
    end(&f);
}

/* A rollup may pass max_msgs_per_subject of a stream that discards new ones, but not its other
 * limits. */
static void rollups_keep_within_the_limits(void **unused) {
    const char *rollup = "Nats-Rollup: sub";
    struct fixture f;

    (void)unused;
    begin(&f, ",\"discard\":\"new\",\"discard_new_per_subject\":true,\"max_msgs_per_subject\":1,"
              "\"max_bytes\":150,\"allow_rollup_hdrs\":true");
    assert_int_equal(pub(&f, "s.a", NULL), 1);
    assert_int_equal(pub(&f, "s.b", NULL), 2);
    assert_int_equal(pub(&f, "s.a", NULL), JS_ERR_MAX_MSGS_PER_SUBJECT);
    assert_int_equal(
        pub(&f, "s.a", "Nats-Rollup: sub\r\nA: 0123456789012345678901234567890123456789"),
        JS_ERR_MAX_BYTES);
    assert_int_equal(state(&f).msgs, 2);
    assert_int_equal(state(&f).first_seq, 1);
    end(&f);
    begin(&f, ",\"discard\":\"new\",\"discard_new_per_subject\":true,\"max_msgs_per_subject\":1,"
              "\"max_msgs\":2,\"allow_rollup_hdrs\":true");
    assert_int_equal(pub(&f, "s.a", NULL), 1);
    assert_int_equal(pub(&f, "s.b", NULL), 2);
    /* It takes the place of the one that leaves. */
    assert_int_equal(pub(&f, "s.a", rollup), 3);
    assert_int_equal(state(&f).msgs, 2);
    assert_int_equal(pub(&f, "s.c", rollup), JS_ERR_MAX_MSGS);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rollups_keep_within_the_limits),
        cmocka_unit_test(duplicates),
        cmocka_unit_test(expected_positions),
        cmocka_unit_test(rollup),
        cmocka_unit_test(ttls),
        cmocka_unit_test(age),
        cmocka_unit_test(markers),
        cmocka_unit_test(counters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
