/* SPDX-License-Identifier: Apache-2.0 */
/* Ported tests: removing, erasing, purging. */
#include "tests/core/ported.h"

/* The bytes of a message's record, where they stand in a block file. */
static long find_text(struct pt *p, const char *file, const char *text) {
    struct pt_kept k = pt_keep_file(p, file);
    void *at = memmem(k.data, (size_t)k.len, text, strlen(text));
    long off = at ? (long)((uint8_t *)at - k.data) : -1;

    free(k.data);
    return off;
}

PORTED(test_file_store_purge) {
    pt_open(p, "", 64 << 10);
    for (int i = 0; i < 100; i++)
        pt_store_size(p, "foo", 8 << 10);
    assert_true(pt_num_block_files(p) > 1);
    PT_STATE(p, 100, 1, 100);
    assert_int_equal(pt_purge(p), 100);
    PT_STATE(p, 0, 101, 100);
    assert_int_equal(pt_state(p).bytes, 0);
    assert_int_equal(pt_num_block_files(p), 1);
    pt_same_everywhere(p);
    assert_int_equal(pt_num_block_files(p), 1);
    /* A folder that a server's purge left behind changes nothing. */
    pt_store(p, "foo", "x");
    pt_restart(p);
    PT_STATE(p, 1, 101, 101);
}

PORTED(test_file_store_remove_partial_recovery) {
    pt_open(p, "", 0);
    pt_store_n(p, 100, "foo", "Hello World");
    for (js_seq_t i = 1; i <= 50; i++)
        pt_remove(p, i);
    PT_STATE(p, 50, 51, 100);
    pt_same_everywhere(p);
}

PORTED(test_file_store_remove_out_of_order_recovery) {
    pt_open(p, "", 0);
    pt_store_n(p, 100, "foo", "Hello World");
    for (js_seq_t i = 2; i <= 100; i += 2)
        pt_remove(p, i);
    for (js_seq_t i = 1; i <= 100; i++)
        assert_int_equal(pt_load(p, i), i % 2 ? 0 : JS_ERR_DELETED_MSG);
    PT_STATE(p, 50, 1, 100);
    pt_same_everywhere(p);
}

PORTED(test_file_store_erase_msg) {
    pt_open(p, "", 0);
    pt_store(p, "foo", "Hello World 1");
    pt_store(p, "foo", "Hello World 2");
    pt_expect_msg(p, 1, "foo", "Hello World 1");
    assert_int_equal(find_text(p, "msgs/1.blk", "Hello World 1") > 0, pt_is_plain(p));
    pt_erase(p, 1);
    assert_int_equal(pt_load(p, 1), JS_ERR_MSG_NOT_FOUND);
    PT_STATE(p, 1, 2, 2);
    assert_int_equal(find_text(p, "msgs/1.blk", "Hello World 1"), -1);
    pt_expect_msg(p, 2, "foo", "Hello World 2");
    pt_same_everywhere(p);
    assert_int_equal(js_stream_erase_msg(p->stream, 1), 0);
}

PORTED(test_file_store_erase_and_no_index_recovery) {
    pt_open(p, "", 0);
    pt_store_n(p, 100, "foo", "Hello World");
    for (js_seq_t i = 2; i <= 100; i += 2)
        pt_erase(p, i);
    pt_restart_without_index(p);
    for (js_seq_t i = 1; i <= 100; i++)
        assert_int_equal(pt_load(p, i), i % 2 ? 0 : JS_ERR_DELETED_MSG);
    PT_STATE(p, 50, 1, 100);
}

PORTED(test_file_store_stream_state_deleted) {
    pt_open(p, "", 0);
    pt_store_n(p, 10, "foo", "ok");
    assert_string_equal(pt_deleted(p), "");
    pt_remove(p, 2);
    pt_remove(p, 4);
    pt_remove(p, 6);
    assert_string_equal(pt_deleted(p), "2,4,6");
    assert_int_equal(pt_state(p).num_deleted, 3);
    pt_remove(p, 1);
    assert_string_equal(pt_deleted(p), "4,6");
    pt_purge(p);
    assert_string_equal(pt_deleted(p), "");
    assert_int_equal(pt_state(p).num_deleted, 0);
}

PORTED(test_file_store_purge_ex_keep_one_bug) {
    pt_open(p, "", 128);
    pt_store(p, "A", "META");
    pt_store_n(p, 5, "B", "fill the block with something else");
    pt_store(p, "A", "META");
    assert_int_equal(pt_filtered(p, 1, "A").msgs, 2);
    assert_int_equal(pt_purge_ex(p, "A", 0, 1), 1);
    struct js_subject_state st = pt_filtered(p, 1, "A");
    assert_int_equal(st.msgs, 1);
    assert_int_equal(st.first_seq, 7);
    pt_same_everywhere(p);
}

PORTED(test_file_store_purge_ex_with_subject) {
    pt_open(p, "", 1000);
    pt_store_n(p, 100, "foo.0", "payload");
    pt_store_n(p, 200, "foo.1", "payload");
    pt_store_n(p, 100, "foo.2", "payload");
    pt_close(p);
    struct pt_kept index = pt_keep_file(p, "msgs/index.db");
    pt_reopen(p);
    assert_int_equal(pt_purge_ex(p, "foo.1", 0, 0), 200);
    PT_STATE(p, 200, 1, 400);
    assert_int_equal(pt_filtered(p, 1, "foo.1").msgs, 0);
    pt_same_everywhere(p);
    /* The index of the time before, as a crash leaves it. */
    pt_close(p);
    pt_put_back(p, "msgs/index.db", &index);
    pt_reopen(p);
    PT_STATE(p, 200, 1, 400);
    assert_int_equal(pt_filtered(p, 1, "foo.1").msgs, 0);
    assert_int_equal(pt_state(p).num_subjects, 2);
}

PORTED(test_file_store_purge_ex_no_tombs_on_block_removal) {
    pt_open(p, "", 1000);
    for (int i = 0; i < 100; i++)
        pt_store_size(p, "foo.11", 24);
    pt_store(p, "foo.22", "bar");
    assert_true(pt_num_block_files(p) > 4);
    pt_close(p);
    struct pt_kept index = pt_keep_file(p, "msgs/index.db");
    pt_reopen(p);
    assert_int_equal(pt_purge_ex(p, "foo.11", 0, 0), 100);
    PT_STATE(p, 1, 101, 101);
    assert_true(pt_num_block_files(p) <= 2);
    pt_close(p);
    pt_put_back(p, "msgs/index.db", &index);
    pt_reopen(p);
    PT_STATE(p, 1, 101, 101);
    assert_int_equal(pt_state(p).num_subjects, 1);
    pt_same_everywhere(p);
}

PORTED(test_file_store_remember_last_msg_time) {
    pt_open(p, "\"max_age\":1000000000", 1024);
    pt_store(p, "foo", "Hello World");
    js_time_t last = pt_state(p).last_time;
    pt_remove(p, 1);
    PT_STATE(p, 0, 2, 1);
    assert_int_equal(pt_state(p).last_time, last);
    pt_same_everywhere(p);
    pt_store(p, "foo", "Hello World");
    last = pt_state(p).last_time;
    assert_int_equal(pt_purge(p), 1);
    assert_int_equal(pt_state(p).last_time, last);
    pt_same_everywhere(p);
    pt_store(p, "foo", "Hello World");
    last = pt_state(p).last_time;
    pt_pass(p, 3 * TE_SECOND);
    PT_STATE(p, 0, 4, 3);
    assert_int_equal(pt_state(p).last_time, last);
    pt_same_everywhere(p);
    for (int i = 0; i < 2; i++)
        pt_store(p, "foo", "Hello World");
    last = pt_state(p).last_time;
    pt_remove(p, 5);
    pt_remove(p, 4);
    assert_int_equal(pt_state(p).last_time, last);
    pt_same_everywhere(p);
    PT_STATE(p, 0, 6, 5);
    assert_int_equal(pt_store(p, "foo", "x"), 6);
}

PORTED(test_file_store_keep_with_deleted_msgs_bug) {
    pt_open(p, "", 0);
    pt_store_n(p, 5, "A", "META");
    pt_store_n(p, 5, "B", "META");
    assert_int_equal(pt_purge_ex(p, "A", 0, 0), 5);
    PT_STATE(p, 5, 6, 10);
    assert_int_equal(pt_purge_ex(p, "", 0, 2), 3);
    PT_STATE(p, 2, 9, 10);
    pt_same_everywhere(p);
}

PORTED(test_file_store_recover_with_removes_and_no_index_db) {
    pt_open(p, "", 250);
    pt_store_n(p, 10, "foo", "Hello World");
    pt_remove(p, 1);
    pt_remove(p, 2);
    pt_remove(p, 8);
    PT_STATE(p, 7, 3, 10);
    assert_int_equal(js_stream_compact_blocks(p->stream, NULL), 0);
    p->block_size = 1000;
    pt_same_everywhere(p);
    PT_STATE(p, 7, 3, 10);
}

PORTED(test_file_store_erase_msg_with_dbit_slots) {
    pt_open(p, "", 0);
    pt_store(p, "foo", "abd");
    for (int i = 0; i < 10; i++) {
        pt_store(p, "foo", "x");
        pt_remove(p, (js_seq_t)i + 2);
    }
    assert_int_equal(js_stream_compact_blocks(p->stream, NULL), 0);
    pt_erase(p, 1);
    PT_STATE(p, 0, 12, 11);
    pt_same_everywhere(p);
}

PORTED(test_file_store_erase_msg_with_all_trailing_dbit_slots) {
    pt_open(p, "", 0);
    pt_store(p, "foo", "abd");
    for (int i = 0; i < 10; i++)
        pt_store(p, "foo", "x");
    for (js_seq_t i = 2; i <= 11; i++)
        pt_remove(p, i);
    assert_int_equal(js_stream_compact_blocks(p->stream, NULL), 0);
    pt_erase(p, 1);
    PT_STATE(p, 0, 12, 11);
    pt_same_everywhere(p);
}

PORTED(test_file_store_write_full_state_after_purge_ex) {
    pt_open(p, "", 0);
    pt_store_n(p, 10, "foo.1", "x");
    pt_remove(p, 8);
    pt_remove(p, 9);
    pt_remove(p, 10);
    assert_int_equal(pt_purge_ex(p, ">", 8, 0), 7);
    PT_STATE(p, 0, 11, 10);
    pt_same_everywhere(p);
    PT_STATE(p, 0, 11, 10);
}

PORTED(test_file_store_recover_with_empty_message_block) {
    /* The second block holds two tombstones and nothing else. */
    pt_open(p, "", 4 * pt_record(3, 0, 8));
    pt_store_n(p, 4, "foo", "12345678");
    pt_remove(p, 2);
    pt_remove(p, 3);
    assert_int_equal(pt_num_block_files(p), 2);
    PT_STATE(p, 2, 1, 4);
    pt_same_everywhere(p);
}

PORTED(test_file_store_remove_msg_block_first) {
    pt_open(p, "", 0);
    pt_store(p, "test", "");
    pt_close(p);
    pt_remove_file(p, "msgs/index.db");
    pt_remove_file(p, "msgs/1.blk");
    pt_reopen(p);
    PT_STATE(p, 0, 0, 0);
}

PORTED(test_file_store_remove_msg_block_last) {
    /* The key of a block goes with it. */
    if (!pt_is_plain(p))
        return;
    pt_open(p, "", 0);
    pt_store(p, "test", "");
    js_time_t time = pt_state(p).last_time;
    pt_restart(p);
    struct pt_kept old = pt_keep_file(p, "msgs/1.blk");
    /* The peer begins a new block at once; ours keeps the tombstone in the one that goes when the
     * stream is closed. */
    pt_remove(p, 1);
    PT_STATE(p, 0, 2, 1);
    pt_close(p);
    assert_false(pt_has_file(p, "msgs/1.blk"));
    assert_true(pt_has_file(p, "msgs/2.blk"));
    /* As if its removal had not got to the disk. */
    pt_put_back(p, "msgs/1.blk", &old);
    pt_reopen(p);
    PT_STATE(p, 0, 2, 1);
    pt_restart_without_index(p);
    PT_STATE(p, 0, 2, 1);
    assert_int_equal(pt_state(p).last_time, time);
    assert_int_equal(pt_store(p, "test", ""), 2);
    pt_must(p, js_stream_sync_blocks(p->stream), "sync_blocks");
    assert_false(pt_has_file(p, "msgs/1.blk"));
    pt_same_everywhere(p);
}

/* The same where blocks before the newest one stay, without index.db after each removal, and after
 * power failures before each call. */
PORTED(removing_the_newest_block_bit_by_bit) {
    p->sync = JS_SYNC_ALWAYS;
    pt_open(p, "", 2 * pt_record(4, 0, 0) + 1);
    pt_store_n(p, 6, "test", "");
    pt_restart(p);
    rd_record(p->disk);
    for (js_seq_t seq = 6; seq >= 4; seq--) {
        pt_remove(p, seq);
        if (seq != 5)
            pt_restart_without_index(p);
        PT_STATE(p, seq - 1, 1, 6);
    }
    size_t calls = rd_recorded(p->disk);
    for (size_t at = 0; at <= calls; at++) {
        struct pt q = {.perm = p->perm, .block_size = p->block_size, .sync = p->sync};
        q.disk = rd_crash(p->disk, at, at % 2 ? RD_ALL_LOST : RD_NAMES_LOST, 1);
        te_init(&q.te, rd_io(q.disk));
        pt_reopen(&q);
        struct js_stream_state st = pt_state(&q);
        assert_int_equal(st.last_seq, 6);
        assert_int_equal(st.first_seq, 1);
        assert_int_equal(pt_store(&q, "test", ""), 7);
        pt_close(&q);
        rd_free(q.disk);
    }
}

PORTED(test_file_store_atomic_erase_msg) {
    for (int last = 0; last < 2; last++) {
        pt_begin_anew(p);
        pt_open(p, "", 2 * pt_record(3, 0, 1000) + 1);
        for (int i = 0; i < 4; i++)
            pt_store_size(p, "foo", 1000);
        pt_erase(p, last ? 3 : 1);
        assert_int_equal(pt_load(p, last ? 4 : 2), 0);
        pt_same_everywhere(p);
    }
}

PORTED(test_file_store_erase_msg_does_not_lose_tombstones) {
    const char *secret = "secret!";

    pt_open(p, "", 0);
    pt_store(p, "foo", "");
    pt_store(p, "foo", "");
    pt_store(p, "foo", secret);
    pt_remove(p, 2);
    pt_store(p, "foo", "");
    pt_erase(p, 3);
    PT_STATE(p, 2, 1, 4);
    assert_string_equal(pt_deleted(p), "2-3");
    assert_int_equal(find_text(p, "msgs/1.blk", secret), -1);
    pt_same_everywhere(p);
    assert_int_equal(pt_load(p, 2), JS_ERR_DELETED_MSG);
    assert_int_equal(pt_load(p, 3), JS_ERR_DELETED_MSG);
}

PORTED(test_file_store_erase_msg_does_not_lose_tombstones_in_empty_block) {
    pt_open(p, "", 0);
    pt_store_n(p, 2, "foo", "");
    pt_close(p);
    /* A new block begins: what comes does not fit into the first. */
    p->block_size = (uint64_t)pt_file_size(p, "msgs/1.blk");
    pt_reopen(p);
    pt_store(p, "foo", "secret!");
    p->block_size = 0;
    pt_restart(p);
    pt_remove(p, 2);
    pt_erase(p, 3);
    PT_STATE(p, 1, 1, 3);
    assert_string_equal(pt_deleted(p), "2-3");
    for (int i = 1; i < 5; i++) {
        char name[20];
        snprintf(name, sizeof name, "msgs/%d.blk", i);
        if (pt_has_file(p, name))
            assert_int_equal(find_text(p, name, "secret!"), -1);
    }
    pt_same_everywhere(p);
    assert_true(pt_load(p, 2) < 0);
    assert_true(pt_load(p, 3) < 0);
}

PORTED(test_file_store_tombstones_no_first_seq_rollback) {
    pt_open(p, "", 10 * 33);
    pt_store_n(p, 20, "foo", "");
    PT_STATE(p, 20, 1, 20);
    for (js_seq_t i = 1; i <= 20; i++)
        pt_remove(p, i);
    PT_STATE(p, 0, 21, 20);
    pt_same_everywhere(p);
    assert_int_equal(pt_store(p, "foo", ""), 21);
}

PORTED(test_file_store_tombstones_select_next_first_cleanup) {
    pt_open(p, "", 10 * 33);
    pt_store(p, "foo", "");
    for (js_seq_t i = 2; i <= 50; i++) {
        pt_store(p, "foo", "");
        pt_remove(p, i);
    }
    PT_STATE(p, 1, 1, 50);
    pt_store_n(p, 50, "foo", "");
    for (js_seq_t i = 51; i <= 100; i++)
        pt_remove(p, i);
    PT_STATE(p, 1, 1, 100);
    pt_remove(p, 1);
    PT_STATE(p, 0, 101, 100);
    pt_same_everywhere(p);
}

PORTED(test_file_store_empty_block_contains_prior_tombstones) {
    /* Two records of 33 bytes and a tombstone fill a block. */
    pt_open(p, "", 96);
    pt_store_n(p, 2, "foo", "");
    pt_remove(p, 2);
    pt_store(p, "foo", ""); /* 3: a new block */
    pt_store_n(p, 2, "foo", "");
    size_t before = pt_num_block_files(p);
    pt_remove(p, 3);
    pt_remove(p, 4);
    pt_remove(p, 5);
    PT_STATE(p, 1, 1, 5);
    assert_true(before >= 2);
    pt_same_everywhere(p);
    assert_string_equal(pt_deleted(p), "2-5");
    pt_remove(p, 1);
    PT_STATE(p, 0, 6, 5);
    assert_int_equal(js_stream_sync_blocks(p->stream), 0);
    assert_true(pt_num_block_files(p) <= 2);
    pt_same_everywhere(p);
}

PORTED(test_file_store_erase_msg_err) {
    struct rd_fault no_rename = {.calls = RD_NAMES, .kind = RD_FAIL, .err = 5, .countdown = 1};

    pt_open(p, "", 0);
    pt_store_n(p, 2, "foo", "x");
    no_rename.sticky = true;
    rd_set_fault(p->disk, &no_rename);
    (void)js_stream_erase_msg(p->stream, 1);
    rd_set_fault(p->disk, NULL);
    pt_expect_msg(p, 2, "foo", "x");
    js_stream_unref(p->stream);
    (void)js_store_close(p->store);
    p->store = NULL;
    pt_reopen(p);
    pt_expect_msg(p, 2, "foo", "x");
}

PORTED(test_store_purge_ex_zero) {
    pt_open(p, "", 0);
    pt_purge(p);
    PT_STATE(p, 0, 1, 0);
    assert_int_equal(pt_purge_ex(p, "", 0, 0), 0);
    PT_STATE(p, 0, 1, 0);
}

PORTED(test_store_purge_ex_sequence_one) {
    static const char *const filters[] = {"", ">", "foo", "foo.*"};

    pt_open(p, "", 0);
    pt_store_n(p, 5, "foo", "x");
    for (size_t i = 0; i < 4; i++)
        for (uint64_t keep = 0; keep < 3; keep++)
            assert_int_equal(pt_purge_ex(p, filters[i], 1, keep), 0);
    PT_STATE(p, 5, 1, 5);
}

PORTED(test_file_store_all_filtered_state_with_deleted) {
    pt_open(p, "", 1024);
    pt_store_n(p, 100, "foo", "Hello World");
    assert_int_equal(pt_filtered(p, 1, "").msgs, 100);
    for (js_seq_t i = 2; i <= 4; i++)
        pt_remove(p, i);
    for (js_seq_t i = 81; i <= 90; i++)
        pt_remove(p, i);
    assert_int_equal(pt_filtered(p, 1, "").msgs, 87);
    assert_int_equal(pt_filtered(p, 5, "").msgs, 86);
    assert_int_equal(pt_filtered(p, 5, "").first_seq, 5);
    assert_int_equal(pt_filtered(p, 85, "").first_seq, 91);
    pt_purge(p);
    assert_int_equal(pt_filtered(p, 1, "").msgs, 0);
    assert_int_equal(pt_filtered(p, 1, "").first_seq, 101);
    assert_int_equal(pt_filtered(p, 1, "").last_seq, 100);
}

static uint64_t rng_state;

static uint64_t random_below(uint64_t n) {
    rng_state = rng_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (rng_state >> 33) % n;
}

PORTED(test_file_store_track_subj_len_for_psim) {
    char subject[64];
    static uint16_t len[1001];
    uint64_t want = 0;

    pt_open(p, "", 512);
    rng_state = 13;
    for (int i = 1; i <= 1000; i++) {
        int n = 3 + (int)random_below(50);
        memset(subject, 'a', (size_t)n);
        subject[n] = 0;
        pt_store(p, subject, "x");
        len[i] = (uint16_t)n;
    }
    for (int i = 0; i < 500; i++) {
        js_seq_t seq = 1 + random_below(1000);
        if (js_stream_remove_msg(p->stream, seq) == 1)
            len[seq] = 0;
    }
    for (int i = 1; i <= 1000; i++)
        want += len[i];
    for (int i = 0; i < 2; i++) {
        struct js_totals t;
        assert_int_equal(js_stream_totals(p->stream, NULL, 1, 0, &t), 0);
        assert_int_equal(t.subject_bytes, want);
        pt_restart(p);
    }
    pt_purge(p);
    struct js_totals t;
    assert_int_equal(js_stream_totals(p->stream, NULL, 1, 0, &t), 0);
    assert_int_equal(t.subject_bytes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_store_purge),
        cmocka_unit_test(test_file_store_remove_partial_recovery),
        cmocka_unit_test(test_file_store_remove_out_of_order_recovery),
        cmocka_unit_test(test_file_store_erase_msg),
        cmocka_unit_test(test_file_store_erase_and_no_index_recovery),
        cmocka_unit_test(test_file_store_stream_state_deleted),
        cmocka_unit_test(test_file_store_purge_ex_keep_one_bug),
        cmocka_unit_test(test_file_store_purge_ex_with_subject),
        cmocka_unit_test(test_file_store_purge_ex_no_tombs_on_block_removal),
        cmocka_unit_test(test_file_store_remember_last_msg_time),
        cmocka_unit_test(test_file_store_keep_with_deleted_msgs_bug),
        cmocka_unit_test(test_file_store_recover_with_removes_and_no_index_db),
        cmocka_unit_test(test_file_store_erase_msg_with_dbit_slots),
        cmocka_unit_test(test_file_store_erase_msg_with_all_trailing_dbit_slots),
        cmocka_unit_test(test_file_store_write_full_state_after_purge_ex),
        cmocka_unit_test(test_file_store_recover_with_empty_message_block),
        cmocka_unit_test(test_file_store_remove_msg_block_first),
        cmocka_unit_test(test_file_store_remove_msg_block_last),
        cmocka_unit_test(removing_the_newest_block_bit_by_bit),
        cmocka_unit_test(test_file_store_atomic_erase_msg),
        cmocka_unit_test(test_file_store_erase_msg_does_not_lose_tombstones),
        cmocka_unit_test(test_file_store_erase_msg_does_not_lose_tombstones_in_empty_block),
        cmocka_unit_test(test_file_store_tombstones_no_first_seq_rollback),
        cmocka_unit_test(test_file_store_tombstones_select_next_first_cleanup),
        cmocka_unit_test(test_file_store_empty_block_contains_prior_tombstones),
        cmocka_unit_test(test_file_store_erase_msg_err),
        cmocka_unit_test(test_store_purge_ex_zero),
        cmocka_unit_test(test_store_purge_ex_sequence_one),
        cmocka_unit_test(test_file_store_all_filtered_state_with_deleted),
        cmocka_unit_test(test_file_store_track_subj_len_for_psim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
