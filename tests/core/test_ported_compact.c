/* SPDX-License-Identifier: Apache-2.0 */
/* Ported tests: compacting and truncating. */
#include "tests/core/ported.h"

PORTED(test_file_store_compact) {
    pt_open(p, "", 350);
    pt_store_n(p, 10, "foo", "Hello World");
    PT_STATE(p, 10, 1, 10);
    assert_int_equal(pt_compact(p, 6), 5);
    PT_STATE(p, 5, 6, 10);
    assert_int_equal(pt_compact(p, 100), 5);
    PT_STATE(p, 0, 100, 99);
    pt_same_everywhere(p);
    assert_int_equal(pt_store(p, "foo", "Hello World"), 100);
    PT_STATE(p, 1, 100, 100);
}

PORTED(test_file_store_compact_last_plus_one) {
    pt_open(p, "", 8192);
    for (int i = 0; i < 300; i++)
        pt_store_size(p, "foo", 1000);
    assert_int_equal(pt_compact(p, 301), 300);
    PT_STATE(p, 0, 301, 300);
    assert_int_equal(pt_store(p, "foo", "x"), 301);
    pt_same_everywhere(p);
}

PORTED(test_file_store_compact_msg_count_bug) {
    pt_open(p, "", 0);
    pt_store_n(p, 10, "foo", "Hello World");
    for (js_seq_t i = 2; i <= 4; i++)
        pt_erase(p, i);
    for (js_seq_t i = 7; i <= 9; i++)
        pt_remove(p, i);
    assert_int_equal(pt_compact(p, 6), 2);
    PT_STATE(p, 2, 6, 10);
    pt_same_everywhere(p);
}

PORTED(test_file_store_stream_truncate) {
    pt_open(p, "", 350);
    pt_store_n(p, 50, "foo", "Hello World");
    pt_store_n(p, 50, "bar", "Hello World");
    PT_STATE(p, 100, 1, 100);
    assert_int_equal(js_stream_truncate(p->stream, 101), JS_ERR_INVAL);
    assert_int_equal(js_stream_truncate(p->stream, 50), 0);
    PT_STATE(p, 50, 1, 50);
    pt_remove(p, 10);
    pt_remove(p, 20);
    pt_remove(p, 30);
    pt_remove(p, 40);
    assert_int_equal(js_stream_truncate(p->stream, 25), 0);
    PT_STATE(p, 23, 1, 25);
    assert_string_equal(pt_deleted(p), "10,20");
    pt_same_everywhere(p);
    for (js_seq_t i = 1; i <= 25; i++)
        assert_int_equal(pt_load(p, i), i == 10 || i == 20 ? JS_ERR_DELETED_MSG : 0);
    assert_int_equal(pt_store(p, "foo", "Hello World"), 26);
}

PORTED(test_file_store_double_compact_with_write_in_between_encrypted_bug) {
    pt_open(p, "", 0);
    pt_store_n(p, 5, "foo", "ouch");
    assert_int_equal(pt_compact(p, 5), 4);
    PT_STATE(p, 1, 5, 5);
    pt_store_n(p, 5, "foo", "ouch");
    assert_int_equal(pt_compact(p, 10), 5);
    PT_STATE(p, 1, 10, 10);
    pt_same_everywhere(p);
    pt_expect_msg(p, 10, "foo", "ouch");
}

PORTED(test_file_store_compact_all_with_dangling_lmb) {
    pt_open(p, "", 0);
    pt_store_n(p, 100, "foo", "Hello World");
    pt_remove(p, 100);
    assert_int_equal(pt_compact(p, 100), 99);
    PT_STATE(p, 0, 101, 100);
    assert_int_equal(pt_store(p, "foo", "x"), 101);
    pt_same_everywhere(p);
}

PORTED(test_file_store_stream_truncate_reset_multi_block) {
    pt_open(p, "", 128);
    pt_store_n(p, 500, "foo", "Hello World");
    assert_true(pt_num_block_files(p) >= 150);
    assert_int_equal(js_stream_truncate(p->stream, 0), 0);
    PT_STATE(p, 0, 0, 0);
    assert_int_equal(pt_state(p).bytes, 0);
    for (js_seq_t i = 1; i <= 100; i++)
        assert_int_equal(pt_store(p, "foo", "Hello World"), i);
    PT_STATE(p, 100, 1, 100);
    assert_int_equal(pt_state(p).bytes, 100 * pt_record(3, 0, 11));
    pt_same_everywhere(p);
}

PORTED(test_file_store_stream_compact_multi_block_subject_info) {
    char subject[20];

    pt_open(p, "", 128);
    for (int i = 1; i <= 1000; i++) {
        snprintf(subject, sizeof subject, "foo.%d", i);
        pt_store(p, subject, "Hello World");
    }
    assert_int_equal(pt_compact(p, 501), 500);
    PT_STATE(p, 500, 501, 1000);
    assert_int_equal(pt_state(p).num_subjects, 500);
    pt_same_everywhere(p);
}

PORTED(test_file_store_recover_after_remove_operation) {
    for (int op = 0; op < 8; op++) {
        pt_begin_anew(p);
        pt_open(p, "", 0);
        pt_store_n(p, 2, "foo.0", "x");
        pt_store_n(p, 2, "foo.1", "x");
        switch (op) {
        case 1:
            pt_remove(p, 1);
            break;
        case 2:
            pt_erase(p, 1);
            break;
        case 3:
            assert_int_equal(pt_purge(p), 4);
            break;
        case 4:
            assert_int_equal(pt_purge_ex(p, "foo.0", 0, 0), 2);
            break;
        case 5:
            assert_int_equal(pt_purge_ex(p, "foo.1", 4, 0), 1);
            break;
        case 6:
            assert_int_equal(pt_compact(p, 4), 3);
            break;
        case 7:
            assert_int_equal(js_stream_truncate(p->stream, 2), 0);
            break;
        }
        pt_same_everywhere(p);
    }
}

PORTED(test_file_store_recover_after_compact) {
    for (int large = 0; large < 2; large++) {
        pt_begin_anew(p);
        pt_open(p, "", 0);
        for (int i = 0; i < 4; i++)
            pt_store_size(p, "foo", large ? 1 << 20 : 1024);
        long before = pt_file_size(p, "msgs/1.blk");
        assert_int_equal(pt_compact(p, 4), 3);
        PT_STATE(p, 1, 4, 4);
        /* Blocks of encrypted streams are smaller: there it is the whole block that goes. */
        pt_must(p, js_stream_sync(p->stream), "sync");
        long after = pt_file_size(p, "msgs/1.blk");
        /* A small block stays and gets three tombstones; a large one is rewritten. */
        if (large)
            assert_true(after < before);
        else
            assert_int_equal(after, before + 3 * 30);
        pt_same_everywhere(p);
    }
}

PORTED(test_file_store_truncate_removed_block) {
    /* One message in a block. */
    pt_open(p, "", 33);
    pt_store_n(p, 3, "foo", "");
    assert_int_equal(pt_num_block_files(p), 3);
    pt_remove(p, 2);
    PT_STATE(p, 2, 1, 3);
    assert_int_equal(js_stream_truncate(p->stream, 2), 0);
    PT_STATE(p, 1, 1, 2);
    assert_int_equal(pt_state(p).num_deleted, 1);
    pt_same_everywhere(p);
}

PORTED(test_file_store_missing_deletes_after_compact) {
    pt_open(p, "", 0);
    pt_store_n(p, 6, "foo", "");
    pt_remove(p, 1);
    pt_remove(p, 3);
    pt_remove(p, 4);
    pt_remove(p, 6);
    PT_STATE(p, 2, 2, 6);
    assert_int_equal(js_stream_compact_blocks(p->stream, NULL), 0);
    assert_string_equal(pt_deleted(p), "3-4,6");
    pt_same_everywhere(p);
    pt_remove(p, 5);
    assert_int_equal(js_stream_compact_blocks(p->stream, NULL), 0);
    PT_STATE(p, 1, 2, 6);
    pt_same_everywhere(p);
}

PORTED(test_file_store_preserve_last_seq_after_compact) {
    pt_open(p, "", 0);
    pt_store(p, "foo", "");
    assert_int_equal(pt_compact(p, 2), 1);
    PT_STATE(p, 0, 2, 1);
    pt_restart_without_index(p);
    PT_STATE(p, 0, 2, 1);
}

PORTED(test_file_store_compact_reclaim_head_space) {
    pt_open(p, "", 4 << 20);
    for (int i = 0; i < 100; i++)
        pt_store_size(p, "z", 64 << 10);
    size_t blocks = pt_num_block_files(p);
    assert_true(blocks > 1);
    long before = pt_file_size(p, "msgs/1.blk");
    assert_int_equal(pt_compact(p, 33), 32);
    assert_true(pt_file_size(p, "msgs/1.blk") < before);
    PT_STATE(p, 68, 33, 100);
    assert_int_equal(pt_load(p, 33), 0);
    assert_int_equal(pt_load(p, 100), 0);
    assert_int_equal(pt_compact(p, 85), 52);
    PT_STATE(p, 16, 85, 100);
    assert_int_equal(pt_load(p, 85), 0);
    pt_store(p, "z", "more");
    pt_expect_msg(p, 101, "z", "more");
    pt_same_everywhere(p);
}

PORTED(test_file_store_sparse_compaction) {
    pt_open(p, "", 64 << 10);
    for (int i = 0; i < 1000; i++)
        pt_store_size(p, "foo", 100);
    for (js_seq_t i = 1; i <= 1000; i++)
        if (i < 100 || (i > 500 && i % 10 != 0) || (i % 3 == 0 && i < 500)) {
            if (i % 7)
                pt_remove(p, i);
            else
                pt_erase(p, i);
        }
    struct js_stream_state before = pt_state(p), after;
    uint64_t freed = 0;
    assert_int_equal(js_stream_compact_blocks(p->stream, &freed), 0);
    assert_true(freed > 0);
    after = pt_state(p);
    assert_int_equal(before.msgs, after.msgs);
    assert_int_equal(before.bytes, after.bytes);
    assert_int_equal(before.first_seq, after.first_seq);
    assert_int_equal(before.last_seq, after.last_seq);
    for (js_seq_t i = 1; i <= 1000; i++) {
        bool gone = i < 100 || (i > 500 && i % 10 != 0) || (i % 3 == 0 && i < 500);
        assert_int_equal(pt_load(p, i) == 0, !gone);
    }
    pt_same_everywhere(p);
}

PORTED(test_file_store_compacting_blocks_on_sync) {
    pt_open(p, "", 1000);
    for (int i = 0; i < 11; i++)
        pt_store_size(p, "Z", 100 - pt_record(1, 0, 0));
    assert_int_equal(pt_num_block_files(p), 2);
    for (js_seq_t i = 1; i <= 9; i++)
        pt_remove(p, i);
    long before = pt_file_size(p, "msgs/1.blk");
    assert_int_equal(js_stream_sync_blocks(p->stream), 0);
    assert_true(before >= 1000);
    /* The form of a compressed block costs something. */
    assert_true(pt_file_size(p, "msgs/1.blk") <=
                (strcmp(p->perm->compression, "none") == 0 ? 100 : 150));
    PT_STATE(p, 2, 10, 11);
    pt_same_everywhere(p);
}

PORTED(test_store_compact_cleans_up_dmap) {
    for (js_seq_t c = 2; c <= 4; c++) {
        pt_begin_anew(p);
        pt_open(p, "", 0);
        pt_store_n(p, 3, "foo", "");
        pt_remove(p, 2);
        pt_compact(p, c);
        assert_int_equal(pt_state(p).first_seq, c > 3 ? c : 3);
        assert_int_equal(pt_state(p).last_seq, 3);
        assert_string_equal(pt_deleted(p), "");
        pt_same_everywhere(p);
    }
}

PORTED(test_store_truncate_cleans_up_dmap) {
    for (js_seq_t t = 0; t <= 1; t++) {
        pt_begin_anew(p);
        pt_open(p, "", 0);
        pt_store_n(p, 3, "foo", "");
        pt_remove(p, 2);
        assert_int_equal(js_stream_truncate(p->stream, t), 0);
        PT_STATE(p, t, t, t);
        assert_string_equal(pt_deleted(p), "");
        if (t) {
            pt_same_everywhere(p);
        } else { /* the time of an empty stream's end is written nowhere */
            pt_restart(p);
            PT_STATE(p, 0, 0, 0);
        }
    }
}

PORTED(test_store_purge_ex_keep_with_interior_deletes) {
    pt_open(p, "", 0);
    pt_store_n(p, 50, "foo", "x");
    for (js_seq_t i = 2; i <= 50; i += 2)
        pt_remove(p, i);
    PT_STATE(p, 25, 1, 50);
    assert_int_equal(pt_purge_ex(p, "foo", 0, 5), 20);
    PT_STATE(p, 5, 41, 50);
    pt_same_everywhere(p);
}

PORTED(test_store_compact_fully_deleted_range) {
    pt_open(p, "", 0);
    pt_store_n(p, 3, "foo", "x");
    pt_remove(p, 2);
    pt_remove(p, 3);
    assert_int_equal(pt_compact(p, 2), 1);
    PT_STATE(p, 0, 4, 3);
    assert_int_equal(pt_state(p).first_time, 0);
    pt_same_everywhere(p);
}

PORTED(test_store_stream_interior_delete_accounting) {
    for (int op = 0; op < 10; op++) {
        pt_begin_anew(p);
        pt_open(p, "", 0);
        bool empty = op >= 6;
        if (!empty)
            pt_store(p, "foo", "");
        switch (op) {
        case 0:
        case 1: /* remove or erase, then cut behind it */
            pt_store(p, "foo", "");
            pt_store(p, "foo", "");
            if (op)
                pt_erase(p, 2);
            else
                pt_remove(p, 2);
            assert_int_equal(js_stream_truncate(p->stream, 2), 0);
            PT_STATE(p, 1, 1, 2);
            break;
        case 2:
            pt_skip(p, 1);
            PT_STATE(p, 1, 1, 2);
            break;
        case 3:
            assert_int_equal(js_stream_skip_msgs(p->stream, 2, 2), 0);
            PT_STATE(p, 1, 1, 3);
            break;
        case 4:
            pt_skip(p, 2);
            assert_int_equal(js_stream_truncate(p->stream, 2), 0);
            PT_STATE(p, 1, 1, 2);
            break;
        case 5:
            assert_int_equal(js_stream_skip_msgs(p->stream, 2, 3), 0);
            assert_int_equal(js_stream_truncate(p->stream, 3), 0);
            PT_STATE(p, 1, 1, 3);
            break;
        case 6:
            pt_skip(p, 1);
            PT_STATE(p, 0, 2, 1);
            break;
        case 7:
            assert_int_equal(js_stream_skip_msgs(p->stream, 1, 2), 0);
            PT_STATE(p, 0, 3, 2);
            break;
        case 8:
            pt_skip(p, 3);
            assert_int_equal(js_stream_truncate(p->stream, 2), 0);
            PT_STATE(p, 0, 3, 2);
            break;
        case 9:
            pt_store(p, "foo", "");
            pt_remove(p, 1);
            pt_skip(p, 1);
            PT_STATE(p, 0, 3, 2);
            break;
        }
        pt_same_everywhere(p);
        js_seq_t next = pt_state(p).last_seq + 1;
        assert_int_equal(pt_store(p, "foo", ""), next);
        pt_same_everywhere(p);
    }
}

PORTED(truncate_below_the_first) {
    pt_open(p, "", 128);
    pt_store_n(p, 10, "foo", "x");
    pt_compact(p, 6);
    assert_int_equal(js_stream_truncate(p->stream, 3), 0);
    PT_STATE(p, 0, 4, 3);
    assert_int_equal(js_stream_truncate(p->stream, 4), JS_ERR_INVAL);
    assert_int_equal(pt_store(p, "foo", "x"), 4);
    pt_same_everywhere(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_store_compact),
        cmocka_unit_test(test_file_store_compact_last_plus_one),
        cmocka_unit_test(test_file_store_compact_msg_count_bug),
        cmocka_unit_test(test_file_store_stream_truncate),
        cmocka_unit_test(test_file_store_double_compact_with_write_in_between_encrypted_bug),
        cmocka_unit_test(test_file_store_compact_all_with_dangling_lmb),
        cmocka_unit_test(test_file_store_stream_truncate_reset_multi_block),
        cmocka_unit_test(test_file_store_stream_compact_multi_block_subject_info),
        cmocka_unit_test(test_file_store_recover_after_remove_operation),
        cmocka_unit_test(test_file_store_recover_after_compact),
        cmocka_unit_test(test_file_store_truncate_removed_block),
        cmocka_unit_test(test_file_store_missing_deletes_after_compact),
        cmocka_unit_test(test_file_store_preserve_last_seq_after_compact),
        cmocka_unit_test(test_file_store_compact_reclaim_head_space),
        cmocka_unit_test(test_file_store_sparse_compaction),
        cmocka_unit_test(test_file_store_compacting_blocks_on_sync),
        cmocka_unit_test(test_store_compact_cleans_up_dmap),
        cmocka_unit_test(test_store_truncate_cleans_up_dmap),
        cmocka_unit_test(test_store_purge_ex_keep_with_interior_deletes),
        cmocka_unit_test(test_store_compact_fully_deleted_range),
        cmocka_unit_test(test_store_stream_interior_delete_accounting),
        cmocka_unit_test(truncate_below_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
