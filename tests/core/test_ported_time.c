/* SPDX-License-Identifier: Apache-2.0 */
/* Ported tests: TTLs of messages, delete markers, schedules. */
#include <errno.h>

#include "tests/core/ported.h"

#define TTL_1 "NATS/1.0\r\nNats-TTL: 1s\r\n\r\n"
#define ALLOW "\"allow_msg_ttl\":true"

PORTED(test_file_store_message_ttl) {
    pt_open(p, ALLOW, 0);
    for (int i = 0; i < 10; i++)
        pt_store_hdr(p, "test", TTL_1, "x");
    PT_STATE(p, 10, 1, 10);
    pt_pass(p, 2 * TE_SECOND);
    PT_STATE(p, 0, 11, 10);
    pt_same_everywhere(p);
}

PORTED(test_file_store_message_ttl_restart) {
    pt_open(p, ALLOW, 0);
    for (int i = 0; i < 10; i++)
        pt_store_hdr(p, "test", TTL_1, "x");
    pt_restart(p);
    PT_STATE(p, 10, 1, 10);
    pt_pass(p, 2 * TE_SECOND);
    PT_STATE(p, 0, 11, 10);
    pt_same_everywhere(p);
}

PORTED(test_file_store_message_ttl_recovered) {
    pt_open(p, ALLOW, 0);
    for (int i = 0; i < 10; i++)
        pt_store_hdr(p, "test", i == 0 ? NULL : TTL_1, "x");
    pt_close(p);
    if (pt_has_file(p, "msgs/thw.db"))
        pt_remove_file(p, "msgs/thw.db");
    pt_reopen(p);
    PT_STATE(p, 10, 1, 10);
    pt_pass(p, 2 * TE_SECOND);
    PT_STATE(p, 1, 1, 10);
    pt_same_everywhere(p);
}

PORTED(test_file_store_message_ttl_recovered_single_message_without_stream_state) {
    pt_open(p, ALLOW, 0);
    pt_store_hdr(p, "test", TTL_1, "x");
    pt_close(p);
    if (pt_has_file(p, "msgs/thw.db"))
        pt_remove_file(p, "msgs/thw.db");
    pt_remove_file(p, "msgs/index.db");
    pt_reopen(p);
    PT_STATE(p, 1, 1, 1);
    pt_pass(p, 2 * TE_SECOND);
    PT_STATE(p, 0, 2, 1);
}

PORTED(test_file_store_message_ttl_write_tombstone) {
    pt_open(p, ALLOW, 0);
    pt_store(p, "test", "x");
    pt_store_hdr(p, "test", TTL_1, "x");
    pt_store(p, "test", "x");
    pt_pass(p, 2 * TE_SECOND);
    PT_STATE(p, 2, 1, 3);
    pt_restart_without_index(p);
    PT_STATE(p, 2, 1, 3);
    assert_int_equal(pt_load(p, 2), JS_ERR_DELETED_MSG);
}

PORTED(test_file_store_message_ttl_recovered_off_by_one) {
    pt_open(p, ALLOW, 0);
    pt_store_hdr(p, "test", TTL_1, "x");
    pt_close(p);
    struct pt_kept thw = {.len = -1};
    if (pt_has_file(p, "msgs/thw.db"))
        thw = pt_keep_file(p, "msgs/thw.db");
    pt_reopen(p);
    pt_store_hdr(p, "test", TTL_1, "x");
    pt_close(p);
    if (thw.len >= 0)
        pt_put_back(p, "msgs/thw.db", &thw);
    /* One message came after the file was written: it expires, too, and each of them once. */
    pt_reopen(p);
    PT_STATE(p, 2, 1, 2);
    pt_pass(p, 2 * TE_SECOND);
    PT_STATE(p, 0, 3, 2);
}

PORTED(test_store_update_config_ttl_state) {
    pt_open(p, "", 0);
    pt_store_hdr(p, "foo", NULL, "x");
    assert_int_equal(pt_update(p, ALLOW), 0);
    pt_store_hdr(p, "foo", TTL_1, "x");
    pt_pass(p, 2 * TE_SECOND);
    PT_STATE(p, 1, 1, 2);
    pt_store_hdr(p, "foo", TTL_1, "x");
    /* A server does not let it be taken back; if the engine does, nothing expires any more. */
    int r = pt_update(p, "");
    pt_pass(p, 2 * TE_SECOND);
    assert_int_equal(pt_state(p).msgs, r < 0 ? 1 : 2);
}

PORTED(test_jet_stream_message_ttl_not_expiring) {
    /* "never" keeps a message beyond max_age, and does not stop those behind it. */
    pt_open(p, ALLOW ",\"max_age\":2000000000", 0);
    pt_store_hdr(p, "test", "NATS/1.0\r\nNats-TTL: never\r\n\r\n", "x");
    pt_store_hdr(p, "test", TTL_1, "x");
    pt_store(p, "test", "x");
    pt_pass(p, 1500000000);
    PT_STATE(p, 2, 1, 3);
    pt_pass(p, 3 * TE_SECOND);
    PT_STATE(p, 1, 1, 3);
    assert_int_equal(pt_load(p, 1), 0);
    pt_same_everywhere(p);
}

/* Not ported: a disk without space when something is due. It leaves later, and soon. */
PORTED(what_could_not_expire_expires_later) {
    const struct rd_fault full = {
        .calls = RD_WRITES, .kind = RD_FAIL, .err = ENOSPC, .countdown = 1, .sticky = true};
    const struct rd_fault none = {0};
    const char *const configs[] = {ALLOW,
                                   ALLOW ",\"max_age\":1000000000,\"subject_delete_marker_ttl\":"
                                         "1000000000,\"allow_rollup_hdrs\":true"};

    for (size_t i = 0; i < 2; i++) {
        pt_open(p, configs[i], 0);
        if (i == 0)
            pt_store_hdr(p, "test", TTL_1, "x");
        else
            pt_store(p, "test", "x");
        pt_store(p, "other", "x");
        pt_must(p, js_store_run_due(p->store, atomic_load(&p->te.now)), "run_due");
        te_advance(&p->te, 2 * TE_SECOND);
        rd_set_fault(p->disk, &full);
        (void)js_store_run_due(p->store, atomic_load(&p->te.now));
        assert_true(rd_faults_fired(p->disk) > 0);
        rd_set_fault(p->disk, &none);
        assert_int_equal(pt_load(p, 1), 0);
        te_advance(&p->te, 2 * TE_SECOND);
        pt_must(p, js_store_run_due(p->store, atomic_load(&p->te.now)), "run_due");
        assert_int_not_equal(pt_load(p, 1), 0);
        pt_begin_anew(p);
    }
}

/* Not ported: no memory to note when a message is due, or which id it has. */
PORTED(what_could_not_be_noted_expires_all_the_same) {
    for (long n = 1; n < 12; n++) {
        pt_open(p, ALLOW, 0);
        pt_store(p, "test", "x");
        pt_must(p, js_store_run_due(p->store, atomic_load(&p->te.now)), "run_due");
        te_fail_alloc(&p->te, n, false);
        int r = js_stream_store_msg(p->stream, "test", 4, (const uint8_t *)TTL_1, sizeof TTL_1 - 1,
                                    NULL, 0, NULL, NULL);
        te_fail_alloc(&p->te, 0, false);
        te_advance(&p->te, 3 * TE_SECOND);
        pt_must(p, js_store_run_due(p->store, atomic_load(&p->te.now)), "run_due");
        PT_STATE(p, 1, 1, r < 0 ? 1 : 2);
        pt_begin_anew(p);
    }
}

PORTED(test_file_store_subject_delete_markers) {
    js_seq_t seq = 0;
    struct js_msg m;

    pt_open(p,
            ALLOW ",\"max_age\":1000000000,\"subject_delete_marker_ttl\":1000000000,"
                  "\"allow_rollup_hdrs\":true",
            0);
    pt_store_n(p, 10, "test", "x");
    pt_pass(p, 1500000000);
    assert_int_equal(pt_load_last(p, "test", &seq), 0);
    assert_int_equal(seq, 11);
    PT_STATE(p, 1, 11, 11);
    assert_int_equal(js_stream_load_msg(p->stream, 11, &m), 0);
    assert_non_null(memmem(m.hdr, m.hdr_len, "Nats-Marker-Reason: MaxAge", 26));
    assert_non_null(memmem(m.hdr, m.hdr_len, "Nats-TTL: 1s", 12));
    assert_int_equal(m.data_len, 0);
    js_msg_release(&m);
    pt_pass(p, 3 * TE_SECOND);
    PT_STATE(p, 0, 12, 11);
}

#define SCHEDULES ALLOW ",\"allow_msg_schedules\":true,\"allow_rollup_hdrs\":true"

static void store_schedule(struct pt *p, js_time_t at) {
    char when[40], hdr[200];

    js_time_format(at, when, sizeof when);
    snprintf(hdr, sizeof hdr,
             "NATS/1.0\r\nNats-Schedule: @at %s\r\nNats-Schedule-Target: foo.target\r\n\r\n", when);
    pt_store_hdr(p, "foo.schedule", hdr, "hello");
}

static void expect_scheduled(struct pt *p) {
    struct js_msg m;

    assert_int_equal(js_stream_load_last_msg(p->stream, "foo.target", 10, &m), 0);
    assert_non_null(memmem(m.hdr, m.hdr_len, "Nats-Scheduler: foo.schedule", 28));
    assert_non_null(memmem(m.hdr, m.hdr_len, "Nats-Schedule-Next: purge", 25));
    assert_int_equal(m.data_len, 5);
    js_msg_release(&m);
}

PORTED(test_file_store_message_schedule) {
    js_seq_t seq = 0;

    pt_open(p, SCHEDULES, 0);
    store_schedule(p, atomic_load(&p->te.now) + TE_SECOND);
    pt_pass(p, TE_SECOND / 2);
    assert_int_equal(pt_load_last(p, "foo.target", &seq), JS_ERR_MSG_NOT_FOUND);
    pt_pass(p, 2 * TE_SECOND);
    expect_scheduled(p);
}

PORTED(test_file_store_message_schedule_recovered) {
    pt_open(p, SCHEDULES, 0);
    store_schedule(p, atomic_load(&p->te.now) + TE_SECOND);
    pt_close(p);
    if (pt_has_file(p, "msgs/sched.db"))
        pt_remove_file(p, "msgs/sched.db");
    pt_reopen(p);
    pt_pass(p, 3 * TE_SECOND);
    expect_scheduled(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_store_message_ttl),
        cmocka_unit_test(test_file_store_message_ttl_restart),
        cmocka_unit_test(test_file_store_message_ttl_recovered),
        cmocka_unit_test(test_file_store_message_ttl_recovered_single_message_without_stream_state),
        cmocka_unit_test(test_file_store_message_ttl_write_tombstone),
        cmocka_unit_test(test_file_store_message_ttl_recovered_off_by_one),
        cmocka_unit_test(test_store_update_config_ttl_state),
        cmocka_unit_test(test_jet_stream_message_ttl_not_expiring),
        cmocka_unit_test(what_could_not_expire_expires_later),
        cmocka_unit_test(what_could_not_be_noted_expires_all_the_same),
        cmocka_unit_test(test_file_store_subject_delete_markers),
        cmocka_unit_test(test_file_store_message_schedule),
        cmocka_unit_test(test_file_store_message_schedule_recovered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
