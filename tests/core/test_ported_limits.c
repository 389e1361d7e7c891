/* SPDX-License-Identifier: Apache-2.0 */
/* Ported tests: limits, discarding, age, changes of the configuration. */
#include "tests/core/ported.h"

PORTED(test_file_store_msg_limit) {
    pt_open(p, "\"max_msgs\":10", 0);
    pt_store_n(p, 10, "foo", "Hello World");
    PT_STATE(p, 10, 1, 10);
    assert_int_equal(pt_store(p, "foo", "Hello World"), 11);
    PT_STATE(p, 10, 2, 11);
    assert_int_equal(pt_state(p).bytes, 10 * pt_record(3, 0, 11));
    assert_true(pt_load(p, 1) < 0);
    pt_same_everywhere(p);
}

PORTED(test_file_store_msg_limit_bug) {
    pt_open(p, "\"max_msgs\":1", 0);
    pt_store_n(p, 2, "foo", "Hello World");
    pt_restart(p);
    pt_store(p, "foo", "Hello World");
    PT_STATE(p, 1, 3, 3);
    pt_same_everywhere(p);
}

PORTED(test_file_store_bytes_limit) {
    char rest[60];
    uint64_t size = pt_record(3, 0, 512);

    snprintf(rest, sizeof rest, "\"max_bytes\":%llu", (unsigned long long)(size * 200));
    pt_open(p, rest, 8192);
    for (int i = 0; i < 200; i++)
        pt_store_size(p, "foo", 512);
    PT_STATE(p, 200, 1, 200);
    for (int i = 0; i < 10; i++)
        pt_store_size(p, "foo", 512);
    PT_STATE(p, 200, 11, 210);
    assert_int_equal(pt_state(p).bytes, size * 200);
    pt_same_everywhere(p);
}

PORTED(test_file_store_bytes_limit_with_discard_new) {
    pt_open(p, "\"max_bytes\":100,\"discard\":\"new\"", 0);
    assert_int_equal(pt_record(3, 0, 8), 41);
    for (int i = 0; i < 10; i++)
        assert_int_equal(pt_try(p, "foo", "12345678"), i < 2 ? 0 : JS_ERR_MAX_BYTES);
    PT_STATE(p, 2, 1, 2);
    assert_int_equal(pt_state(p).bytes, 82);
}

PORTED(test_file_store_age_limit) {
    pt_open(p, "\"max_age\":1000000000", 256);
    pt_store_n(p, 500, "foo", "Hello World");
    PT_STATE(p, 500, 1, 500);
    pt_pass(p, 3 * TE_SECOND);
    PT_STATE(p, 0, 501, 500);
    pt_store_n(p, 500, "foo", "Hello World");
    PT_STATE(p, 500, 501, 1000);
    for (js_seq_t i = 510; i < 900; i++)
        pt_remove(p, i);
    pt_pass(p, 3 * TE_SECOND);
    PT_STATE(p, 0, 1001, 1000);
    pt_same_everywhere(p);
}

PORTED(test_file_store_age_limit_recovery) {
    pt_open(p, "\"max_age\":1000000000", 256);
    pt_store_n(p, 100, "foo", "Hello World");
    pt_close(p);
    te_advance(&p->te, 2 * TE_SECOND);
    pt_reopen(p);
    pt_pass(p, TE_SECOND);
    PT_STATE(p, 0, 101, 100);
    assert_int_equal(pt_state(p).bytes, 0);
}

PORTED(test_file_store_short_index_write_bug) {
    pt_open(p, "\"max_age\":1000000000", 0);
    pt_store_n(p, 100, "foo", "x");
    pt_pass(p, 3 * TE_SECOND);
    PT_STATE(p, 0, 101, 100);
    pt_restart(p);
    PT_STATE(p, 0, 101, 100);
    pt_same_everywhere(p);
}

PORTED(test_file_store_expire_msgs_on_start) {
    pt_open(p, "\"max_age\":1000000000", 8 * pt_record(6, 0, 11));
    /* All of them. */
    pt_store_n(p, 10, "orders", "Hello World");
    pt_close(p);
    te_advance(&p->te, 2 * TE_SECOND);
    pt_reopen(p);
    pt_pass(p, TE_SECOND / 2);
    PT_STATE(p, 0, 11, 10);
    /* Part of a block. */
    pt_store_n(p, 5, "orders", "Hello World");
    pt_pass(p, 600000000);
    pt_store_n(p, 5, "orders", "Hello World");
    pt_close(p);
    te_advance(&p->te, 500000000);
    pt_reopen(p);
    pt_pass(p, 200000000);
    PT_STATE(p, 5, 16, 20);
    assert_int_equal(pt_filtered(p, 1, "orders").msgs, 5);
    assert_int_equal(pt_filtered(p, 1, "orders").first_seq, 16);
    assert_int_equal(pt_filtered(p, 1, "order*").msgs, 0);
    /* The tail of what remains is deleted. */
    pt_remove(p, 20);
    pt_remove(p, 19);
    pt_close(p);
    te_advance(&p->te, 2 * TE_SECOND);
    pt_reopen(p);
    pt_pass(p, TE_SECOND / 2);
    PT_STATE(p, 0, 21, 20);
    pt_same_everywhere(p);
}

PORTED(test_file_store_expire_on_recover_subject_accounting) {
    pt_open(p, "\"max_age\":500000000", 100);
    pt_store(p, "A", "ONLY ONE 123456");
    pt_store(p, "B", "ONLY ONE 123456");
    pt_store(p, "C", "ONLY ONE 123456");
    assert_int_equal(pt_state(p).num_subjects, 3);
    te_advance(&p->te, 400000000);
    pt_store_n(p, 2, "D", "ONLY ONE 123456");
    pt_close(p);
    te_advance(&p->te, 200000000);
    pt_reopen(p);
    pt_pass(p, 100000000);
    assert_int_equal(pt_state(p).num_subjects, 1);
    PT_STATE(p, 2, 4, 5);
}

PORTED(test_file_store_fss_close_and_keep_on_expire_on_recover_bug) {
    pt_open(p, "\"max_age\":100000000", 0);
    pt_store(p, "foo", "");
    pt_close(p);
    te_advance(&p->te, TE_SECOND);
    pt_reopen(p);
    pt_pass(p, 300000000);
    assert_int_equal(pt_state(p).num_subjects, 0);
    PT_STATE(p, 0, 2, 1);
}

PORTED(test_file_store_fss_expire_num_pending_bug) {
    pt_open(p, "", 0);
    pt_store(p, "KV.X", "Y");
    pt_pass(p, 200 * TE_SECOND);
    pt_store(p, "KV.X", "Y");
    assert_int_equal(pt_filtered(p, 1, "KV.X").msgs, 2);
}

PORTED(test_file_store_bad_first_and_failed_expire_after_restart) {
    /* Seven records in a block; the first block expires, and the next one's first is deleted. */
    pt_open(p, "\"max_age\":1000000000", 7 * pt_record(3, 0, 3));
    pt_store_n(p, 7, "foo", "ZZZ");
    pt_pass(p, 700000000);
    pt_store_n(p, 2, "foo", "ZZZ");
    assert_int_equal(pt_num_block_files(p), 2);
    pt_remove(p, 8);
    pt_close(p);
    te_advance(&p->te, 500000000);
    pt_reopen(p);
    pt_pass(p, 10000000);
    PT_STATE(p, 1, 9, 9);
    assert_true(pt_state(p).first_time > 0);
    js_time_t last = pt_state(p).last_time;
    pt_pass(p, 2 * TE_SECOND);
    PT_STATE(p, 0, 10, 9);
    assert_int_equal(pt_state(p).last_time, last);
    pt_same_everywhere(p);
}

PORTED(test_file_store_max_msgs_per_subject) {
    char subject[20];

    pt_open(p, "\"max_msgs_per_subject\":1", 128);
    for (int round = 0; round < 2; round++)
        for (int i = 1; i <= 100; i++) {
            snprintf(subject, sizeof subject, "kv.%d", i);
            pt_store(p, subject, "value");
        }
    PT_STATE(p, 100, 101, 200);
    assert_int_equal(pt_state(p).num_deleted, 0);
    /* Blocks that lost all of their messages have gone. */
    assert_true(pt_num_block_files(p) <= 51);
    pt_same_everywhere(p);
}

PORTED(test_file_store_max_msgs_and_max_msgs_per_subject) {
    char subject[20];

    pt_open(p,
            "\"discard\":\"new\",\"discard_new_per_subject\":true,\"max_msgs\":100,"
            "\"max_msgs_per_subject\":1",
            128);
    for (int i = 1; i <= 101; i++) {
        snprintf(subject, sizeof subject, "kv.%d", i);
        assert_int_equal(pt_try(p, subject, "value"), i <= 100 ? 0 : JS_ERR_MAX_MSGS);
    }
    for (int i = 1; i <= 100; i++) {
        snprintf(subject, sizeof subject, "kv.%d", i);
        assert_int_equal(pt_try(p, subject, "value"), JS_ERR_MAX_MSGS_PER_SUBJECT);
    }
    PT_STATE(p, 100, 1, 100);
}

PORTED(test_file_store_rebuild_state_properly_with_max_msgs_per_subject) {
    char subject[20];

    pt_open(p, "\"max_msgs_per_subject\":1", 1024);
    for (int i = 0; i < 1999; i++) {
        snprintf(subject, sizeof subject, "foo.%d", i % 3);
        pt_store(p, subject, "x");
    }
    PT_STATE(p, 3, 1997, 1999);
    assert_int_equal(pt_state(p).num_subjects, 3);
    pt_same_everywhere(p);
}

PORTED(test_file_store_update_max_msgs_per_subject) {
    pt_open(p, "\"max_msgs_per_subject\":10", 0);
    pt_store_n(p, 10, "foo", "x");
    assert_int_equal(pt_update(p, "\"max_msgs_per_subject\":50"), 0);
    pt_store_n(p, 22, "foo", "x");
    PT_STATE(p, 32, 1, 32);
    assert_int_equal(pt_filtered(p, 1, "foo").msgs, 32);
    assert_int_equal(pt_update(p, "\"max_msgs_per_subject\":10"), 0);
    PT_STATE(p, 10, 23, 32);
    assert_int_equal(pt_filtered(p, 1, "foo").msgs, 10);
    pt_same_everywhere(p);
}

PORTED(test_store_max_msgs_per_update_bug) {
    pt_open(p, "\"max_msgs_per_subject\":0", 0);
    pt_store_n(p, 5, "foo", "x");
    PT_STATE(p, 5, 1, 5);
    assert_int_equal(pt_update(p, "\"max_msgs_per_subject\":1"), 0);
    PT_STATE(p, 1, 5, 5);
    assert_int_equal(pt_update(p, "\"max_msgs_per_subject\":-2"), 0);
    pt_store_n(p, 2, "foo", "x");
    PT_STATE(p, 3, 5, 7);
}

PORTED(test_store_max_msgs_per_update_to_one_remove_newest) {
    js_seq_t seq = 0;

    pt_open(p, "\"max_msgs_per_subject\":-1", 1);
    pt_store(p, "foo", "1");
    pt_store(p, "bar", "x");
    pt_store(p, "foo", "2");
    pt_store(p, "foo", "3");
    pt_remove(p, 4);
    assert_int_equal(pt_update(p, "\"max_msgs_per_subject\":1"), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pt_filtered(p, 1, "foo").msgs, 1);
        assert_int_equal(pt_filtered(p, 1, "foo").first_seq, 3);
        assert_int_equal(pt_load_last(p, "foo", &seq), 0);
        assert_int_equal(seq, 3);
        assert_int_equal(pt_next(p, "foo", 1, &seq), 0);
        assert_int_equal(seq, 3);
        pt_same_everywhere(p);
    }
}

PORTED(test_file_store_restart_with_expire_and_locking_bug) {
    pt_open(p, "", 256);
    for (int i = 0; i < 50; i++) {
        pt_store(p, "foo", "x");
        pt_store(p, "bar", "x");
    }
    pt_close(p);
    /* Tighter limits than what is there: the configuration is changed while it is closed. */
    pt_plant_config(p, "\"max_msgs\":5,\"max_msgs_per_subject\":2");
    pt_reopen(p);
    pt_same_everywhere(p);
    assert_int_equal(pt_state(p).msgs, 4);
    assert_int_equal(pt_state(p).last_seq, 100);
}

PORTED(test_file_store_full_state_test_sys_removals) {
    char subject[20];

    pt_open(p, "\"max_msgs\":10,\"max_msgs_per_subject\":1", 100);
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 15; k++) {
            snprintf(subject, sizeof subject, "foo.%d", k);
            pt_store(p, subject, "ok");
        }
        assert_int_equal(pt_state(p).msgs, 10);
        pt_same_everywhere(p);
    }
}

PORTED(test_file_store_stream_fail_to_roll_bug) {
    pt_open(p, "\"max_bytes\":300", 512);
    for (int i = 0; i < 200; i++)
        pt_store_size(p, "foo", 120);
    assert_true(pt_num_block_files(p) <= 2);
    long size = 0;
    unsigned newest = 0;
    for (unsigned i = 1; i < 300; i++) {
        char name[20];
        snprintf(name, sizeof name, "msgs/%u.blk", i);
        if (pt_has_file(p, name)) {
            newest = i;
            size = pt_file_size(p, name);
        }
    }
    assert_true(newest >= 60);
    assert_true(size <= 512);
    pt_same_everywhere(p);
}

/* ---- discard new ------------------------------------------------------------------------------
 */

static int follow(struct pt *p, const char *subject, const char *text) {
    struct js_new_msg m = {.subject = subject,
                           .subject_len = strlen(subject),
                           .data = (const uint8_t *)text,
                           .data_len = strlen(text)};

    return js_stream_store_raw_msg(p->stream, &m, 0, 0, false);
}

static void discard_case(struct pt *p, const char *limits, const char *subject, int want,
                         bool replaces) {
    char rest[200];

    for (int leader = 0; leader < 2; leader++) {
        pt_begin_anew(p);
        snprintf(rest, sizeof rest, "\"discard\":\"new\",%s", limits);
        pt_open(p, rest, 0);
        assert_int_equal(pt_try(p, "foo", "12345678"), 0);
        int r = leader ? pt_try(p, subject, "12345678") : follow(p, subject, "12345678");
        struct js_stream_state st = pt_state(p);
        assert_int_equal(r, leader ? want : 0);
        if (r < 0) {
            assert_int_equal(st.msgs, 1);
            assert_int_equal(st.last_seq, 1);
        } else {
            /* A follower accepts what its leader did, and trims by subject alone. */
            bool per = strstr(limits, "per_subject") != NULL && strcmp(subject, "foo") == 0;
            assert_int_equal(st.msgs, (leader && replaces) || (!leader && per) ? 1 : 2);
            assert_int_equal(st.last_seq, 2);
        }
        pt_same_everywhere(p);
    }
}

PORTED(test_store_discard_new) {
    discard_case(p, "\"max_msgs\":1", "foo", JS_ERR_MAX_MSGS, false);
    discard_case(p, "\"max_bytes\":41", "foo", JS_ERR_MAX_BYTES, false);
    discard_case(p, "\"max_bytes\":82", "foo", 0, false);
    discard_case(p, "\"max_msgs_per_subject\":1", "foo", 0, true);
    discard_case(p, "\"max_msgs_per_subject\":1,\"max_msgs\":1", "foo", 0, true);
    discard_case(p, "\"max_msgs_per_subject\":1,\"max_msgs\":1", "bar", JS_ERR_MAX_MSGS, false);
    discard_case(p, "\"max_msgs_per_subject\":1,\"max_bytes\":41", "foo", 0, true);
    discard_case(p, "\"max_msgs_per_subject\":1,\"max_bytes\":41", "bar", JS_ERR_MAX_BYTES, false);
    discard_case(p, "\"max_msgs_per_subject\":1,\"max_msgs\":5,\"discard_new_per_subject\":true",
                 "foo", JS_ERR_MAX_MSGS_PER_SUBJECT, false);
    /* What is larger than the one it replaces may not fit. */
    pt_begin_anew(p);
    pt_open(p, "\"discard\":\"new\",\"max_msgs_per_subject\":1,\"max_bytes\":41", 0);
    assert_int_equal(pt_try(p, "foo", "12345678"), 0);
    assert_int_equal(pt_try(p, "foo", "123456789"), JS_ERR_MAX_BYTES);
    assert_int_equal(pt_try(p, "foo", "1234567"), 0);
    PT_STATE(p, 1, 2, 2);
}

/* ---- deleting a stream -------------------------------------------------------------------------
 */

PORTED(test_file_store_stream_delete_dir_not_empty) {
    struct js_stream *gone;

    pt_open(p, "", 0);
    pt_store_n(p, 100, "foo", "Hello World");
    assert_int_equal(rd_put(p->disk, pt_path("g"), "x", 1), 0);
    js_stream_unref(p->stream);
    p->stream = NULL;
    assert_int_equal(js_store_delete_stream(p->store, pt_account(), "S"), 0);
    assert_int_equal(js_store_get_stream(p->store, pt_account(), "S", &gone), JS_ERR_NO_STREAM);
    assert_false(pt_has_file(p, "meta.inf"));
    assert_false(pt_has_file(p, "g"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_store_msg_limit),
        cmocka_unit_test(test_file_store_msg_limit_bug),
        cmocka_unit_test(test_file_store_bytes_limit),
        cmocka_unit_test(test_file_store_bytes_limit_with_discard_new),
        cmocka_unit_test(test_file_store_age_limit),
        cmocka_unit_test(test_file_store_age_limit_recovery),
        cmocka_unit_test(test_file_store_short_index_write_bug),
        cmocka_unit_test(test_file_store_expire_msgs_on_start),
        cmocka_unit_test(test_file_store_expire_on_recover_subject_accounting),
        cmocka_unit_test(test_file_store_fss_close_and_keep_on_expire_on_recover_bug),
        cmocka_unit_test(test_file_store_fss_expire_num_pending_bug),
        cmocka_unit_test(test_file_store_bad_first_and_failed_expire_after_restart),
        cmocka_unit_test(test_file_store_max_msgs_per_subject),
        cmocka_unit_test(test_file_store_max_msgs_and_max_msgs_per_subject),
        cmocka_unit_test(test_file_store_rebuild_state_properly_with_max_msgs_per_subject),
        cmocka_unit_test(test_file_store_update_max_msgs_per_subject),
        cmocka_unit_test(test_store_max_msgs_per_update_bug),
        cmocka_unit_test(test_store_max_msgs_per_update_to_one_remove_newest),
        cmocka_unit_test(test_file_store_restart_with_expire_and_locking_bug),
        cmocka_unit_test(test_file_store_full_state_test_sys_removals),
        cmocka_unit_test(test_file_store_stream_fail_to_roll_bug),
        cmocka_unit_test(test_store_discard_new),
        cmocka_unit_test(test_file_store_stream_delete_dir_not_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
