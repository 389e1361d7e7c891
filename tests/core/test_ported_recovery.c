/* SPDX-License-Identifier: Apache-2.0 */
/* Ported tests: what index.db, the blocks and other files say when a stream is opened. */
#include "tests/core/ported.h"

PORTED(test_file_store_full_state_basics) {
    pt_open(p, "", 100);
    pt_store_n(p, 2, "zzz", "Z");
    pt_close(p);
    assert_true(pt_has_file(p, "msgs/index.db"));
    assert_false(pt_has_file(p, "msgs/1.idx"));
    struct pt_kept one = pt_keep_file(p, "msgs/index.db"), many;
    pt_reopen(p);
    PT_STATE(p, 2, 1, 2);
    pt_store(p, "zzz", "Z");
    pt_close(p);
    many = pt_keep_file(p, "msgs/index.db");
    /* One behind. */
    pt_put_back(p, "msgs/index.db", &one);
    pt_reopen(p);
    PT_STATE(p, 3, 1, 3);
    assert_int_equal(pt_state(p).bytes, 3 * pt_record(3, 0, 1));
    pt_store_n(p, 7, "aaa", "Z");
    pt_close(p);
    /* Several blocks behind. */
    pt_put_back(p, "msgs/index.db", &many);
    pt_reopen(p);
    PT_STATE(p, 10, 1, 10);
    assert_int_equal(pt_filtered(p, 1, "zzz").msgs, 3);
    assert_int_equal(pt_filtered(p, 1, "aaa").first_seq, 4);
    assert_int_equal(pt_filtered(p, 1, "aaa").last_seq, 10);
    pt_same_everywhere(p);
}

PORTED(test_file_store_full_state_purge) {
    pt_open(p, "", 132);
    pt_store_n(p, 10, "A", "META");
    assert_int_equal(pt_purge(p), 10);
    pt_restart(p);
    PT_STATE(p, 0, 11, 10);
    pt_store_n(p, 10, "A", "META");
    pt_store_n(p, 10, "B", "META");
    assert_int_equal(pt_purge_ex(p, "A", 0, 0), 10);
    pt_restart(p);
    PT_STATE(p, 10, 21, 30);
    assert_int_equal(pt_purge_ex(p, "B", 0, 2), 8);
    pt_restart(p);
    PT_STATE(p, 2, 29, 30);
    assert_int_equal(pt_purge(p), 2);
    pt_restart(p);
    PT_STATE(p, 0, 31, 30);
}

PORTED(test_file_store_full_state_purge_full_recovery) {
    pt_open(p, "", 132);
    pt_store_n(p, 10, "A", "META");
    assert_int_equal(pt_purge(p), 10);
    pt_same_everywhere(p);
    pt_store_n(p, 10, "A", "META");
    pt_store_n(p, 10, "B", "META");
    assert_int_equal(pt_purge_ex(p, "A", 0, 0), 10);
    pt_same_everywhere(p);
    assert_int_equal(pt_purge_ex(p, "B", 0, 2), 8);
    pt_same_everywhere(p);
    assert_int_equal(pt_purge(p), 2);
    pt_same_everywhere(p);
    PT_STATE(p, 0, 31, 30);
}

PORTED(test_file_store_full_state_test_user_remove_wal) {
    pt_open(p, "", 132);
    pt_store_n(p, 3, "A", "META");
    pt_close(p);
    struct pt_kept index = pt_keep_file(p, "msgs/index.db");
    pt_reopen(p);
    pt_store_n(p, 3, "A", "META");
    pt_remove(p, 1);
    pt_erase(p, 2);
    pt_remove(p, 5);
    PT_STATE(p, 3, 3, 6);
    pt_close(p);
    pt_put_back(p, "msgs/index.db", &index);
    pt_reopen(p);
    PT_STATE(p, 3, 3, 6);
    assert_string_equal(pt_deleted(p), "5");
    pt_same_everywhere(p);
}

PORTED(test_file_store_full_state_multi_block_past_wal) {
    pt_open(p, "", 100);
    pt_store(p, "A", "META");
    pt_close(p);
    struct pt_kept index = pt_keep_file(p, "msgs/index.db");
    pt_reopen(p);
    pt_store_n(p, 9, "A", "META");
    assert_true(pt_num_block_files(p) >= 3);
    struct js_stream_state st = pt_state(p);
    pt_close(p);
    pt_put_back(p, "msgs/index.db", &index);
    pt_reopen(p);
    PT_STATE(p, st.msgs, st.first_seq, st.last_seq);
    assert_int_equal(pt_state(p).bytes, st.bytes);
    pt_same_everywhere(p);
}

PORTED(test_file_store_full_state_mid_block_past_wal) {
    pt_open(p, "", 0);
    pt_store_n(p, 3, "A", "META");
    pt_close(p);
    struct pt_kept index = pt_keep_file(p, "msgs/index.db");
    pt_reopen(p);
    pt_store_n(p, 3, "A", "META");
    pt_remove(p, 2);
    pt_close(p);
    pt_put_back(p, "msgs/index.db", &index);
    pt_reopen(p);
    PT_STATE(p, 5, 1, 6);
    assert_string_equal(pt_deleted(p), "2");
    assert_true(pt_has_file(p, "msgs/index.db"));
    pt_same_everywhere(p);
}

PORTED(test_file_store_restore_index_with_match_but_left_over_blocks) {
    /* Three messages in a block; limits remove the front. */
    pt_open(p, "\"max_msgs_per_subject\":1", 256);
    const char *text = "Hello World for this one!!!";
    for (char c = 'A'; c <= 'L'; c++) {
        char subject[8] = {c, 0};
        pt_store(p, subject, text);
    }
    pt_close(p);
    struct pt_kept index = pt_keep_file(p, "msgs/index.db");
    pt_reopen(p);
    for (char c = 'A'; c <= 'F'; c++) {
        char subject[8] = {c, 0};
        pt_store(p, subject, text);
    }
    PT_STATE(p, 12, 7, 18);
    pt_close(p);
    pt_put_back(p, "msgs/index.db", &index);
    pt_reopen(p);
    PT_STATE(p, 12, 7, 18);
    assert_int_equal(pt_state(p).num_subjects, 12);
    pt_same_everywhere(p);
}

PORTED(test_file_store_large_full_state_meta_cleanup) {
    pt_open(p, "", 0);
    pt_store_n(p, 3, "foo", "x");
    pt_close(p);
    /* Legacy files beside the blocks say nothing that matters. */
    assert_int_equal(rd_put(p->disk, pt_path("msgs/1.idx"), "foo", 3), 0);
    assert_int_equal(rd_put(p->disk, pt_path("msgs/1.fss"), "foo", 3), 0);
    pt_reopen(p);
    PT_STATE(p, 3, 1, 3);
    assert_int_equal(pt_store(p, "foo", "x"), 4);
    pt_restart(p);
    PT_STATE(p, 4, 1, 4);
}

PORTED(test_file_store_corrupt_psim_on_disk) {
    js_seq_t seq = 0;

    pt_open(p, "", 0);
    pt_store(p, "foo.bar", "a");
    pt_store(p, "foo.baz", "b");
    pt_close(p);
    struct pt_kept k = pt_keep_file(p, "msgs/index.db");
    uint8_t *at = pt_is_plain(p) ? memmem(k.data, (size_t)k.len, "foo.bar", 7) : k.data + k.len / 2;
    assert_non_null(at);
    at[3] = 0xff;
    pt_put_back(p, "msgs/index.db", &k);
    pt_reopen(p);
    assert_int_equal(pt_load_last(p, "foo.bar", &seq), 0);
    assert_int_equal(seq, 1);
    assert_int_equal(pt_load_last(p, "foo.baz", &seq), 0);
    assert_int_equal(seq, 2);
    PT_STATE(p, 2, 1, 2);
    pt_store(p, "foo.bar", "c");
    pt_same_everywhere(p);
}

PORTED(test_file_store_recover_only_blk_files) {
    pt_open(p, "", 0);
    pt_store(p, "foo", "x");
    pt_close(p);
    assert_int_equal(rd_put(p->disk, pt_path("msgs/10.blk.random"), "x", 1), 0);
    assert_int_equal(rd_put(p->disk, pt_path("msgs/10.blk.tmp"), "x", 1), 0);
    pt_reopen(p);
    PT_STATE(p, 1, 1, 1);
    assert_int_equal(js_stream_health(p->stream), JS_HEALTH_OK);
    pt_restart_without_index(p);
    PT_STATE(p, 1, 1, 1);
    assert_int_equal(pt_store(p, "foo", "x"), 2);
    assert_true(pt_has_file(p, "msgs/1.blk"));
    assert_false(pt_has_file(p, "msgs/11.blk"));
    pt_same_everywhere(p);
}

PORTED(test_file_store_recover_does_not_reset_stream_state) {
    pt_open(p, "\"max_age\":1000000000", 0);
    pt_store_n(p, 100, "foo", "x");
    pt_pass(p, 3 * TE_SECOND);
    PT_STATE(p, 0, 101, 100);
    pt_close(p);
    for (unsigned i = 1; i < 10; i++) {
        char name[20];
        snprintf(name, sizeof name, "msgs/%u.blk", i);
        if (pt_has_file(p, name))
            pt_remove_file(p, name);
    }
    pt_reopen(p);
    PT_STATE(p, 0, 101, 100);
    assert_int_equal(pt_store(p, "foo", "x"), 101);
}

PORTED(test_file_store_remove_block_with_stale_stream_state) {
    pt_open(p, "", 33);
    pt_store_n(p, 3, "foo", "");
    pt_close(p);
    pt_remove_file(p, "msgs/2.blk");
    pt_reopen(p);
    assert_int_equal(pt_load(p, 1), 0);
    assert_true(pt_load(p, 2) < 0);
    assert_int_equal(pt_load(p, 3), 0);
    assert_int_equal(pt_state(p).last_seq, 3);
    assert_int_equal(pt_store(p, "foo", ""), 4);
}

PORTED(test_file_store_msg_blk_fail_on_kernel_fault_lost_data_reporting) {
    pt_open(p, "", 4096);
    for (int i = 0; i < 500; i++)
        pt_store(p, "foo", "ZZZ");
    size_t blocks = pt_num_block_files(p);
    assert_true(blocks >= 4);
    struct js_block_info first, last;
    assert_int_equal(js_stream_block(p->stream, 0, &first), 0);
    assert_int_equal(js_stream_block(p->stream, blocks - 1, &last), 0);
    uint64_t in_first = first.msgs, in_last = last.msgs;
    pt_close(p);
    pt_remove_file(p, "msgs/1.blk");
    pt_reopen(p);
    assert_int_equal(js_stream_scan(p->stream), 0);
    assert_true(pt_load(p, 1) < 0);
    assert_int_equal(pt_state(p).num_lost, in_first);
    assert_int_equal(pt_state(p).last_seq, 500);
    assert_int_equal(pt_state(p).msgs, 500 - in_first);
    pt_close(p);
    char name[24];
    snprintf(name, sizeof name, "msgs/%zu.blk", blocks);
    pt_remove_file(p, name);
    pt_reopen(p);
    assert_int_equal(js_stream_scan(p->stream), 0);
    assert_true(pt_load(p, 500) < 0);
    assert_int_equal(pt_state(p).last_seq, 500);
    assert_int_equal(pt_state(p).msgs, 500 - in_first - in_last);
    assert_int_equal(pt_store(p, "foo", "ZZZ"), 501);
}

PORTED(test_file_store_trailing_skip_msgs_from_stream_state_file) {
    pt_open(p, "", 0);
    pt_store_n(p, 10, "foo", "");
    pt_close(p);
    struct pt_kept k = pt_keep_file(p, "msgs/1.blk");
    k.len = 5 * 33;
    pt_put_back(p, "msgs/1.blk", &k);
    pt_reopen(p);
    assert_int_equal(js_stream_scan(p->stream), 0);
    assert_int_equal(pt_state(p).msgs, 5);
    assert_int_equal(pt_state(p).last_seq, 10);
    for (js_seq_t i = 1; i <= 10; i++)
        assert_int_equal(pt_load(p, i) == 0, i <= 5);
    assert_int_equal(pt_store(p, "foo", ""), 11);
    pt_restart_without_index(p);
    assert_int_equal(pt_state(p).last_seq, 11);
    assert_int_equal(pt_load(p, 11), 0);
}

PORTED(test_file_store_tombstones_select_next_first_cleanup_on_recovery) {
    pt_open(p, "", 10 * 33);
    pt_store(p, "foo", "");
    for (js_seq_t i = 2; i <= 100; i++) {
        pt_store(p, "foo", "");
        pt_remove(p, i);
    }
    PT_STATE(p, 1, 1, 100);
    pt_close(p);
    struct pt_kept index = pt_keep_file(p, "msgs/index.db");
    pt_reopen(p);
    js_time_t last = pt_state(p).last_time;
    pt_remove(p, 1);
    pt_close(p);
    /* As if nothing but the tombstone had reached the disk. */
    pt_put_back(p, "msgs/index.db", &index);
    pt_reopen(p);
    PT_STATE(p, 0, 101, 100);
    assert_int_equal(pt_state(p).first_time, 0);
    assert_int_equal(pt_state(p).last_time, last);
    pt_same_everywhere(p);
}

PORTED(test_file_store_write_full_state_throws_permission_error_if_fs_mode_read_only) {
    struct rd_fault denied = {
        .calls = RD_OPENS | RD_NAMES, .kind = RD_FAIL, .err = 13, .countdown = 1, .sticky = true};

    pt_open(p, "", 0);
    pt_store_n(p, 10, "ev.1", "x");
    rd_set_fault(p->disk, &denied);
    js_stream_unref(p->stream);
    assert_int_equal(js_store_close(p->store), JS_ERR_ACCESS);
    p->store = NULL;
    rd_set_fault(p->disk, NULL);
    pt_reopen(p);
    PT_STATE(p, 10, 1, 10);
}

PORTED(test_file_store_bit_rot) {
    pt_open(p, "", 0);
    for (int i = 0; i < 100; i++)
        pt_store(p, "foo", "Hello World");
    pt_close(p);
    struct pt_kept k = pt_keep_file(p, "msgs/1.blk");
    /* "World" of one in the middle; ciphers change no place. */
    size_t record = pt_record(3, 0, 11);
    uint8_t *at = k.data + 61 * record - 8 - 5;
    assert_true(!pt_is_plain(p) || memcmp(at, "World", 5) == 0);
    at[2] ^= 0xff;
    pt_put_back(p, "msgs/1.blk", &k);
    pt_reopen(p);
    assert_int_equal(js_stream_verify(p->stream), 0);
    assert_int_not_equal(js_stream_health(p->stream), JS_HEALTH_OK);
    assert_int_equal(pt_state(p).msgs, 99);
    /* Writing goes on, and what could be proved stays. */
    assert_int_equal(pt_store(p, "foo", "Hello World"), 101);
    pt_restart(p);
    assert_int_equal(pt_state(p).msgs, 100);
    assert_int_equal(pt_state(p).last_seq, 101);
}

/* ---- server level ------------------------------------------------------------------------------
 */

PORTED(test_jet_stream_recovers_stream_first_seq_when_not_empty) {
    pt_open(p, "\"max_msgs\":500", 2000);
    pt_store_n(p, 1000, "foo", "");
    PT_STATE(p, 500, 501, 1000);
    pt_close(p);
    for (unsigned i = 1; i < 400; i++) {
        char name[20];
        snprintf(name, sizeof name, "msgs/%u.blk", i);
        if (!pt_has_file(p, name))
            continue;
        struct pt_kept k = pt_keep_file(p, name);
        k.len--;
        pt_put_back(p, name, &k);
    }
    pt_reopen(p);
    assert_int_equal(js_stream_scan(p->stream), 0);
    assert_int_equal(pt_state(p).last_seq, 1000);
    assert_int_equal(pt_store(p, "foo", ""), 1001);
}

PORTED(test_jet_stream_recovers_stream_first_seq_when_empty) {
    pt_open(p, "", 2000);
    pt_store_n(p, 1000, "foo", "");
    pt_purge(p);
    PT_STATE(p, 0, 1001, 1000);
    pt_close(p);
    for (unsigned i = 1; i < 400; i++) {
        char name[20];
        snprintf(name, sizeof name, "msgs/%u.blk", i);
        if (!pt_has_file(p, name))
            continue;
        struct pt_kept k = pt_keep_file(p, name);
        k.len--;
        pt_put_back(p, name, &k);
    }
    pt_reopen(p);
    PT_STATE(p, 0, 1001, 1000);
    assert_int_equal(pt_store(p, "foo", ""), 1001);
}

PORTED(test_jet_stream_file_store_error_opening_block_after_truncate) {
    pt_open(p, "", 0);
    pt_store(p, "foo", "");
    pt_close(p);
    struct pt_kept k = pt_keep_file(p, "msgs/1.blk");
    k.len = 1;
    pt_put_back(p, "msgs/1.blk", &k);
    pt_remove_file(p, "msgs/index.db");
    pt_reopen(p);
    assert_int_equal(pt_store(p, "foo", ""), 1);
    pt_restart(p);
    PT_STATE(p, 1, 1, 1);
    pt_restart_without_index(p);
    PT_STATE(p, 1, 1, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_store_full_state_basics),
        cmocka_unit_test(test_file_store_full_state_purge),
        cmocka_unit_test(test_file_store_full_state_purge_full_recovery),
        cmocka_unit_test(test_file_store_full_state_test_user_remove_wal),
        cmocka_unit_test(test_file_store_full_state_multi_block_past_wal),
        cmocka_unit_test(test_file_store_full_state_mid_block_past_wal),
        cmocka_unit_test(test_file_store_restore_index_with_match_but_left_over_blocks),
        cmocka_unit_test(test_file_store_large_full_state_meta_cleanup),
        cmocka_unit_test(test_file_store_corrupt_psim_on_disk),
        cmocka_unit_test(test_file_store_recover_only_blk_files),
        cmocka_unit_test(test_file_store_recover_does_not_reset_stream_state),
        cmocka_unit_test(test_file_store_remove_block_with_stale_stream_state),
        cmocka_unit_test(test_file_store_msg_blk_fail_on_kernel_fault_lost_data_reporting),
        cmocka_unit_test(test_file_store_trailing_skip_msgs_from_stream_state_file),
        cmocka_unit_test(test_file_store_tombstones_select_next_first_cleanup_on_recovery),
        cmocka_unit_test(
            test_file_store_write_full_state_throws_permission_error_if_fs_mode_read_only),
        cmocka_unit_test(test_file_store_bit_rot),
        cmocka_unit_test(test_jet_stream_recovers_stream_first_seq_when_not_empty),
        cmocka_unit_test(test_jet_stream_recovers_stream_first_seq_when_empty),
        cmocka_unit_test(test_jet_stream_file_store_error_opening_block_after_truncate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
