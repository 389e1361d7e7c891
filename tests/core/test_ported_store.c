/* SPDX-License-Identifier: Apache-2.0 */
/* Ported tests: storing, skipping, reading back, restarts. */
#include <errno.h>

#include "tests/core/ported.h"

PORTED(test_file_store_basics) {
    pt_open(p, "", 0);
    js_time_t last = 0;
    for (js_seq_t i = 1; i <= 5; i++) {
        struct js_msg m;
        assert_int_equal(pt_store(p, "foo", "Hello World"), i);
        assert_int_equal(js_stream_load_msg(p->stream, i, &m), 0);
        assert_true(m.time > last && m.time >= TE_START);
        last = m.time;
        js_msg_release(&m);
    }
    PT_STATE(p, 5, 1, 5);
    assert_int_equal(pt_state(p).bytes, 5 * pt_record(3, 0, 11));
    pt_expect_msg(p, 2, "foo", "Hello World");
    pt_expect_msg(p, 5, "foo", "Hello World");
    pt_remove(p, 1);
    PT_STATE(p, 4, 2, 5);
    pt_remove(p, 5);
    PT_STATE(p, 3, 2, 5);
    pt_remove(p, 3);
    PT_STATE(p, 2, 2, 5);
}

PORTED(test_file_store_msg_headers) {
    const char *hdr = "NATS/1.0\r\nname:derek\r\n\r\n";
    struct js_msg m;

    pt_open(p, "", 0);
    pt_store_hdr(p, "foo", hdr, "Hello World");
    assert_int_equal(pt_state(p).bytes, 22 + 3 + 4 + strlen(hdr) + 11 + 8);
    assert_int_equal(js_stream_load_msg(p->stream, 1, &m), 0);
    assert_int_equal(m.hdr_len, strlen(hdr));
    assert_memory_equal(m.hdr, hdr, m.hdr_len);
    assert_int_equal(m.data_len, 11);
    assert_memory_equal(m.data, "Hello World", 11);
    js_msg_release(&m);
    pt_erase(p, 1);
    PT_STATE(p, 0, 2, 1);
}

PORTED(test_file_store_basic_write_msgs_and_restore) {
    char why[100];

    /* The configurations that are refused. */
    pt_open(p, "", 0);
    assert_true(
        js_store_create_stream(p->store, "A", "", "{\"storage\":\"file\"}", why, sizeof why) < 0);
    assert_true(js_store_create_stream(p->store, "A", "M", "{\"storage\":\"memory\"}", why,
                                       sizeof why) < 0);
    for (int i = 1; i <= 100; i++) {
        char text[40];
        snprintf(text, sizeof text, "[%08d] Hello World!", i);
        assert_int_equal(pt_store(p, "foo", text), i);
    }
    uint64_t bytes = 100 * pt_record(3, 0, 23);
    PT_STATE(p, 100, 1, 100);
    assert_int_equal(pt_state(p).bytes, bytes);
    pt_restart(p);
    PT_STATE(p, 100, 1, 100);
    assert_int_equal(pt_state(p).bytes, bytes);
    for (int i = 101; i <= 200; i++) {
        char text[40];
        snprintf(text, sizeof text, "[%08d] Hello World!", i);
        assert_int_equal(pt_store(p, "foo", text), i);
    }
    pt_restart(p);
    PT_STATE(p, 200, 1, 200);
    assert_int_equal(pt_state(p).bytes, 2 * bytes);
    pt_expect_msg(p, 200, "foo", "[00000200] Hello World!");
    assert_int_equal(pt_purge(p), 200);
    pt_restart(p);
    PT_STATE(p, 0, 201, 200);
    assert_int_equal(pt_state(p).bytes, 0);
    assert_int_equal(pt_store(p, "foo", "one"), 201);
    pt_remove(p, 201);
    pt_restart(p);
    PT_STATE(p, 0, 202, 201);
}

PORTED(test_file_store_select_next_first) {
    /* Records of 51 bytes: five in a block. */
    assert_int_equal(pt_record(3, 0, 18), 51);
    pt_open(p, "", 256);
    pt_store_n(p, 10, "zzz", "Hello World is her");
    assert_int_equal(pt_num_block_files(p), 2);
    for (js_seq_t i = 2; i <= 7; i++)
        pt_remove(p, i);
    PT_STATE(p, 4, 1, 10);
    pt_remove(p, 1);
    PT_STATE(p, 3, 8, 10);
    pt_same_everywhere(p);
}

PORTED(test_file_store_skip_msg) {
    pt_open(p, "", 0);
    pt_skip(p, 10);
    PT_STATE(p, 0, 11, 10);
    assert_int_equal(pt_store(p, "zzz", "Hello World!"), 11);
    pt_skip(p, 1);
    pt_skip(p, 1);
    assert_int_equal(pt_store(p, "zzz", "Hello World!"), 14);
    PT_STATE(p, 2, 11, 14);
    pt_skip(p, 1);
    PT_STATE(p, 2, 11, 15);
    pt_restart(p);
    PT_STATE(p, 2, 11, 15);
    pt_skip(p, 1);
    assert_int_equal(pt_store(p, "foo", "Ok"), 17);
    pt_restart(p);
    pt_expect_msg(p, 17, "foo", "Ok");
    pt_same_everywhere(p);
}

PORTED(test_file_store_write_expire_write) {
    pt_open(p, "", 0);
    pt_store_n(p, 10, "zzz", "Hello World!");
    pt_pass(p, 60 * TE_SECOND); /* whatever was cached has gone */
    for (js_seq_t i = 1; i <= 10; i++)
        pt_expect_msg(p, i, "zzz", "Hello World!");
    pt_pass(p, 60 * TE_SECOND);
    pt_store_n(p, 10, "zzz", "Hello World!");
    PT_STATE(p, 20, 1, 20);
    pt_restart(p);
    for (js_seq_t i = 1; i <= 20; i++)
        pt_expect_msg(p, i, "zzz", "Hello World!");
}

PORTED(test_file_store_time_stamps) {
    js_time_t last = 0;

    pt_open(p, "", 0);
    for (js_seq_t i = 1; i <= 10; i++) {
        struct js_msg m;
        te_advance(&p->te, 5000000);
        pt_store(p, "foo", "Hello World");
        assert_int_equal(js_stream_load_msg(p->stream, i, &m), 0);
        assert_true(m.time > last);
        last = m.time;
        js_msg_release(&m);
    }
}

PORTED(test_file_store_write_and_read_same_block) {
    pt_open(p, "", 0);
    for (js_seq_t i = 1; i <= 10; i++) {
        assert_int_equal(pt_store(p, "foo", "Hello World!"), i);
        pt_expect_msg(p, i, "foo", "Hello World!");
    }
}

PORTED(test_file_store_and_retrieve_multi_block) {
    /* Four records of 42 bytes in a block. */
    pt_open(p, "", 4 * pt_record(3, 0, 12));
    pt_store_n(p, 20, "foo", "Hello World!");
    PT_STATE(p, 20, 1, 20);
    assert_int_equal(pt_num_block_files(p), 5);
    pt_restart(p);
    for (js_seq_t i = 1; i <= 20; i++)
        pt_expect_msg(p, i, "foo", "Hello World!");
}

PORTED(test_file_store_partial_cache_expiration) {
    pt_open(p, "", 0);
    pt_store(p, "foo", "Hello World!");
    pt_pass(p, 60 * TE_SECOND);
    pt_store(p, "bar", "Hello World!");
    pt_pass(p, 60 * TE_SECOND);
    pt_expect_msg(p, 1, "foo", "Hello World!");
}

PORTED(test_file_store_stream_delete_cache_bug) {
    pt_open(p, "", 0);
    pt_store_n(p, 2, "foo", "Hello World!");
    pt_erase(p, 1);
    pt_pass(p, 60 * TE_SECOND);
    pt_expect_msg(p, 2, "foo", "Hello World!");
}

PORTED(test_file_store_write_failures) {
    struct rd_fault full = {
        .calls = RD_WRITES, .kind = RD_PARTIAL, .err = ENOSPC, .countdown = 200, .sticky = true};

    pt_open(p, "", 1024);
    rd_set_fault(p->disk, &full);
    js_seq_t last = 0;
    int r;
    while ((r = pt_try(p, "foo", "Hello World!")) == 0)
        last++;
    assert_int_equal(r, JS_ERR_NO_SPACE);
    assert_true(last > 100);
    PT_STATE(p, last, 1, last);
    for (js_seq_t i = 1; i <= last; i++)
        pt_expect_msg(p, i, "foo", "Hello World!");
    rd_set_fault(p->disk, NULL);
    pt_restart(p);
    PT_STATE(p, last, 1, last);
    pt_expect_msg(p, last, "foo", "Hello World!");
    assert_int_equal(pt_purge(p), last);
    assert_int_equal(pt_store(p, "foo", "Hello World!"), last + 1);
    pt_same_everywhere(p);
}

PORTED(test_file_store_out_of_space_rebuild_state) {
    struct rd_fault full = {.calls = RD_WRITES, .kind = RD_FAIL, .err = ENOSPC, .countdown = 1};

    pt_open(p, "", 0);
    pt_store_n(p, 2, "foo", "A");
    pt_store(p, "bar", "B");
    struct js_stream_state before = pt_state(p), after;
    rd_set_fault(p->disk, &full);
    assert_int_equal(pt_try(p, "foo", "Z"), JS_ERR_NO_SPACE);
    after = pt_state(p);
    assert_int_equal(before.msgs, after.msgs);
    assert_int_equal(before.bytes, after.bytes);
    assert_int_equal(before.last_seq, after.last_seq);
    assert_int_equal(before.last_time, after.last_time);
    assert_int_equal(pt_filtered(p, 1, "foo").msgs, 2);
    assert_int_equal(pt_filtered(p, 1, "foo").last_seq, 2);
    assert_int_equal(pt_store(p, "foo", "Z"), 4);
    pt_same_everywhere(p);
}

PORTED(test_file_store_store_raw_message_throws_permission_error_if_fs_mode_read_only) {
    struct rd_fault denied = {
        .calls = RD_OPENS | RD_WRITES, .kind = RD_FAIL, .err = EACCES, .countdown = 1};

    denied.sticky = true;
    pt_open(p, "", 512);
    pt_store(p, "ev.1", "x");
    rd_set_fault(p->disk, &denied);
    int r = 0;
    for (int i = 0; i < 100 && r == 0; i++)
        r = pt_try(p, "ev.1", "x");
    assert_int_equal(r, JS_ERR_ACCESS);
    rd_set_fault(p->disk, NULL);
    assert_int_equal(pt_store(p, "ev.1", "y"), 2);
}

PORTED(test_file_store_initial_first_seq) {
    pt_open(p, "", 0);
    /* A new stream is not made with it, because some servers purge such a stream at every start. */
    pt_close(p);
    pt_plant_config(p, "\"first_seq\":1000");
    pt_reopen(p);
    assert_int_equal(pt_store(p, "foo", "Hello World"), 1000);
    assert_int_equal(pt_store(p, "foo", "Hello World"), 1001);
    PT_STATE(p, 2, 1000, 1001);
    /* A restart does not purge again (FileStoreFirstSeqAfterRestart). */
    pt_same_everywhere(p);
    PT_STATE(p, 2, 1000, 1001);
}

PORTED(test_file_store_skip_msgs) {
    pt_open(p, "", 1024);
    assert_int_equal(js_stream_skip_msgs(p->stream, 10, 100), JS_ERR_SEQUENCE_MISMATCH);
    assert_int_equal(js_stream_skip_msgs(p->stream, 1, 100), 0);
    PT_STATE(p, 0, 101, 100);
    assert_int_equal(pt_num_block_files(p), 1);
    assert_int_equal(js_stream_skip_msgs(p->stream, 101, 100000), 0);
    PT_STATE(p, 0, 100101, 100100);
    assert_int_equal(pt_num_block_files(p), 1);
    pt_same_everywhere(p);
    pt_begin_anew(p);
    pt_open(p, "", 1024);
    pt_store(p, "foo", "x");
    assert_int_equal(js_stream_skip_msgs(p->stream, 2, 10), 0);
    PT_STATE(p, 1, 1, 11);
    assert_int_equal(pt_state(p).num_deleted, 10);
    assert_string_equal(pt_deleted(p), "2-11");
    pt_same_everywhere(p);
    assert_int_equal(js_stream_skip_msgs(p->stream, 12, 0), 0);
    PT_STATE(p, 1, 1, 11);
}

PORTED(test_file_store_skip_msg_and_num_blocks) {
    pt_open(p, "", 128);
    pt_store(p, "one", "!");
    assert_int_equal(js_stream_skip_msgs(p->stream, 2, 10000), 0);
    pt_store(p, "two", "!");
    assert_true(pt_num_block_files(p) <= 3);
    PT_STATE(p, 2, 1, 10002);
    pt_same_everywhere(p);
}

PORTED(test_file_store_detect_delete_gap_with_last_skip_msg) {
    pt_open(p, "", 0);
    pt_store(p, "foo", "");
    assert_int_equal(js_stream_skip_msgs(p->stream, 2, 3), 0);
    PT_STATE(p, 1, 1, 4);
    assert_int_equal(pt_state(p).num_deleted, 3);
    pt_same_everywhere(p);
}

PORTED(test_file_store_detect_delete_gap_with_only_skip_msg) {
    pt_open(p, "", 0);
    assert_int_equal(js_stream_skip_msgs(p->stream, 1, 3), 0);
    pt_skip(p, 1);
    PT_STATE(p, 0, 5, 4);
    assert_int_equal(pt_state(p).num_deleted, 0);
    pt_same_everywhere(p);
}

PORTED(test_file_store_leftover_skip_msg_in_dmap) {
    pt_open(p, "", 0);
    pt_skip(p, 1);
    PT_STATE(p, 0, 2, 1);
    pt_restart_without_index(p);
    PT_STATE(p, 0, 2, 1);
    assert_int_equal(pt_state(p).num_deleted, 0);
}

PORTED(test_file_store_reload_and_lose_last_sequence) {
    pt_open(p, "", 0);
    pt_skip(p, 22);
    for (int i = 0; i < 5; i++) {
        PT_STATE(p, 0, 23, 22);
        pt_restart(p);
    }
    PT_STATE(p, 0, 23, 22);
    pt_restart_without_index(p);
    PT_STATE(p, 0, 23, 22);
}

PORTED(test_file_store_reload_and_lose_last_sequence_with_skip_msgs) {
    pt_open(p, "", 0);
    assert_int_equal(js_stream_skip_msgs(p->stream, 0, 22), 0);
    for (int i = 0; i < 5; i++) {
        PT_STATE(p, 0, 23, 22);
        pt_restart(p);
    }
    PT_STATE(p, 0, 23, 22);
    pt_restart_without_index(p);
    PT_STATE(p, 0, 23, 22);
}

PORTED(test_file_store_idx_accounting_for_skip_msgs) {
    for (int many = 0; many < 2; many++) {
        pt_begin_anew(p);
        pt_open(p, "", 0);
        pt_store(p, "foo", "");
        if (many)
            assert_int_equal(js_stream_skip_msgs(p->stream, 2, 10), 0);
        else
            pt_skip(p, 10);
        pt_store(p, "foo", "");
        for (js_seq_t i = 2; i <= 11; i++)
            assert_int_equal(pt_load(p, i), JS_ERR_DELETED_MSG);
        assert_int_equal(pt_load(p, 12), 0);
        PT_STATE(p, 2, 1, 12);
        pt_same_everywhere(p);
    }
}

PORTED(test_file_store_skip_msg_and_compact_requires_append) {
    pt_open(p, "", 8 << 20);
    pt_store_size(p, "foo", 3 << 20);
    pt_skip(p, 1);
    assert_int_equal(pt_compact(p, 2), 1);
    pt_skip(p, 1);
    PT_STATE(p, 0, 4, 3);
    assert_int_equal(pt_store(p, "foo", "x"), 4);
    pt_expect_msg(p, 4, "foo", "x");
    pt_same_everywhere(p);
}

PORTED(test_store_skip_msgs_carry_forward_last_time) {
    pt_open(p, "", 0);
    pt_store(p, "foo", "x");
    js_time_t last = pt_state(p).last_time;
    te_advance(&p->te, TE_SECOND);
    assert_int_equal(js_stream_skip_msgs(p->stream, 2, 10), 0);
    assert_int_equal(pt_state(p).last_time, last);
    pt_skip(p, 1);
    assert_int_equal(pt_state(p).last_time, last);
    te_advance(&p->te, TE_SECOND);
    pt_store(p, "foo", "y");
    js_seq_t seq = 0;
    assert_int_equal(js_stream_seq_from_time(p->stream, last + 1, &seq), 0);
    assert_int_equal(seq, 13);
    pt_same_everywhere(p);
}

PORTED(test_store_skip_msgs_carry_forward_last_time_from_empty) {
    pt_open(p, "", 0);
    pt_skip(p, 1);
    js_time_t last = pt_state(p).last_time;
    assert_true(last >= TE_START);
    te_advance(&p->te, TE_SECOND);
    pt_skip(p, 2);
    assert_int_equal(js_stream_skip_msgs(p->stream, 4, 10), 0);
    assert_int_equal(pt_state(p).last_time, last);
    pt_same_everywhere(p);
}

PORTED(test_store_skip_msg_no_interest_advances_last_time) {
    js_seq_t seq = 0;

    pt_open(p, "", 0);
    pt_store(p, "foo", "x");
    js_time_t last = pt_state(p).last_time;
    te_advance(&p->te, TE_SECOND);
    assert_int_equal(js_stream_skip_msg(p->stream, 2, true, &seq), 0);
    assert_int_equal(seq, 2);
    PT_STATE(p, 1, 1, 2);
    assert_true(pt_state(p).last_time >= last + TE_SECOND);
    pt_same_everywhere(p);
}

PORTED(test_file_store_subject_corruption) {
    char subject[40];

    pt_open(p, "", 32768);
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(subject, sizeof subject, "a.%u.%x", i % 100, i);
        pt_store(p, subject, "payload");
    }
    pt_restart_without_index(p);
    PT_STATE(p, 2000, 1, 2000);
    for (js_seq_t seq = 1; seq <= 2000; seq++) {
        char buf[64];
        size_t len = 0;
        snprintf(subject, sizeof subject, "a.%u.%x", (unsigned)(seq - 1) % 100, (unsigned)seq - 1);
        assert_int_equal(js_stream_subject_for_seq(p->stream, seq, buf, sizeof buf, &len), 0);
        assert_int_equal(len, strlen(subject));
        assert_memory_equal(buf, subject, len);
    }
}

PORTED(test_file_store_large_full_state_psim) {
    char subject[80];

    pt_open(p, "", 0);
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(subject, sizeof subject, "%060u.%u", i, i);
        pt_store(p, subject, "");
    }
    pt_restart(p);
    assert_int_equal(pt_state(p).num_subjects, 3000);
    assert_true(pt_has_file(p, "msgs/index.db"));
    pt_same_everywhere(p);
}

PORTED(test_file_store_index_db_exists_after_shutdown) {
    pt_open(p, "", 0);
    pt_store(p, "foo", "x");
    pt_close(p);
    assert_true(pt_has_file(p, "msgs/index.db"));
    pt_reopen(p);
    pt_store(p, "foo", "x");
    pt_remove_file(p, "msgs/index.db");
    pt_close(p);
    assert_true(pt_has_file(p, "msgs/index.db"));
    pt_reopen(p);
}

PORTED(test_file_store_subject_for_seq) {
    char buf[16];
    size_t len = 0;

    pt_open(p, "", 0);
    pt_store(p, "foo.bar", "x");
    assert_int_equal(js_stream_subject_for_seq(p->stream, 1, buf, sizeof buf, &len), 0);
    assert_int_equal(len, 7);
    assert_memory_equal(buf, "foo.bar", 7);
    assert_int_equal(js_stream_subject_for_seq(p->stream, 0, buf, sizeof buf, &len),
                     JS_ERR_MSG_NOT_FOUND);
    assert_int_equal(js_stream_subject_for_seq(p->stream, 2, buf, sizeof buf, &len),
                     JS_ERR_MSG_NOT_FOUND);
}

PORTED(test_store_delete_slice) {
    js_seq_t list[] = {2};
    struct js_delete_block b = {.first = 2, .num = 1, .list = list};

    pt_open(p, "", 0);
    pt_store_n(p, 3, "foo", "x");
    assert_int_equal(js_stream_sync_deleted(p->stream, &b, 1), 0);
    assert_string_equal(pt_deleted(p), "2");
    PT_STATE(p, 2, 1, 3);
}

PORTED(test_store_delete_range) {
    struct js_delete_block b = {.first = 2, .num = 1};

    pt_open(p, "", 0);
    pt_store_n(p, 3, "foo", "x");
    assert_int_equal(js_stream_sync_deleted(p->stream, &b, 1), 0);
    assert_string_equal(pt_deleted(p), "2");
    PT_STATE(p, 2, 1, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_store_basics),
        cmocka_unit_test(test_file_store_msg_headers),
        cmocka_unit_test(test_file_store_basic_write_msgs_and_restore),
        cmocka_unit_test(test_file_store_select_next_first),
        cmocka_unit_test(test_file_store_skip_msg),
        cmocka_unit_test(test_file_store_write_expire_write),
        cmocka_unit_test(test_file_store_time_stamps),
        cmocka_unit_test(test_file_store_write_and_read_same_block),
        cmocka_unit_test(test_file_store_and_retrieve_multi_block),
        cmocka_unit_test(test_file_store_partial_cache_expiration),
        cmocka_unit_test(test_file_store_stream_delete_cache_bug),
        cmocka_unit_test(test_file_store_write_failures),
        cmocka_unit_test(test_file_store_out_of_space_rebuild_state),
        cmocka_unit_test(
            test_file_store_store_raw_message_throws_permission_error_if_fs_mode_read_only),
        cmocka_unit_test(test_file_store_initial_first_seq),
        cmocka_unit_test(test_file_store_skip_msgs),
        cmocka_unit_test(test_file_store_skip_msg_and_num_blocks),
        cmocka_unit_test(test_file_store_detect_delete_gap_with_last_skip_msg),
        cmocka_unit_test(test_file_store_detect_delete_gap_with_only_skip_msg),
        cmocka_unit_test(test_file_store_leftover_skip_msg_in_dmap),
        cmocka_unit_test(test_file_store_reload_and_lose_last_sequence),
        cmocka_unit_test(test_file_store_reload_and_lose_last_sequence_with_skip_msgs),
        cmocka_unit_test(test_file_store_idx_accounting_for_skip_msgs),
        cmocka_unit_test(test_file_store_skip_msg_and_compact_requires_append),
        cmocka_unit_test(test_store_skip_msgs_carry_forward_last_time),
        cmocka_unit_test(test_store_skip_msgs_carry_forward_last_time_from_empty),
        cmocka_unit_test(test_store_skip_msg_no_interest_advances_last_time),
        cmocka_unit_test(test_file_store_subject_corruption),
        cmocka_unit_test(test_file_store_large_full_state_psim),
        cmocka_unit_test(test_file_store_index_db_exists_after_shutdown),
        cmocka_unit_test(test_file_store_subject_for_seq),
        cmocka_unit_test(test_store_delete_slice),
        cmocka_unit_test(test_store_delete_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
