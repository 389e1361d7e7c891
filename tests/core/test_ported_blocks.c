/* SPDX-License-Identifier: Apache-2.0 */
/* Ported tests that look at blocks: what records stand in them, how they shrink, what odd ones say.
 */
#include "tests/core/ported.h"

#include "core/format/hash64.h"
#include "core/format/meta.h"
#include "core/format/record.h"

/* ---- records by hand ---------------------------------------------------------------------------
 */

struct rec {
    uint64_t seq; /* with flags */
    const char *subject;
    const char *text;
};

/* Writes a block with these records, in place of what was there. */
static void plant_block(struct pt *p, unsigned number, const struct rec *recs, size_t n) {
    struct js_hash_key key;
    uint8_t buf[4096];
    size_t len = 0;
    char name[24];

    js_hash_key_of_block(&key, "S", number);
    for (size_t i = 0; i < n; i++) {
        js_time_t t = TE_START + (js_time_t)(recs[i].seq & JS_SEQ_MASK) * 1000;
        const char *subject = recs[i].subject ? recs[i].subject : "";
        const char *text = recs[i].text ? recs[i].text : "";
        uint32_t size = js_record_size(strlen(subject), 0, strlen(text));
        assert_true(len + size < sizeof buf);
        js_record_encode(buf + len, recs[i].seq, t, subject, strlen(subject), NULL, 0,
                         (const uint8_t *)text, strlen(text), &key);
        len += size;
    }
    snprintf(name, sizeof name, "msgs/%u.blk", number);
    assert_int_equal(rd_put(p->disk, pt_path(name), buf, len), 0);
}

#define PLANT(p, number, ...)                                                                      \
    do {                                                                                           \
        const struct rec recs_[] = {__VA_ARGS__};                                                  \
        plant_block(p, number, recs_, sizeof recs_ / sizeof *recs_);                               \
    } while (0)

/* An empty stream, closed, so that blocks can be put into it. */
static void open_empty(struct pt *p, const char *rest) {
    pt_open(p, rest, 0);
    pt_close(p);
}

PORTED(test_file_store_msg_block_holes_and_indexing) {
    if (!pt_is_plain(p))
        return;
    open_empty(p, "");
    PLANT(p, 1, {2, "A", "x"}, {4, "A", "x"}, {12, "A", "x"});
    pt_reopen(p);
    PT_STATE(p, 3, 2, 12);
    assert_string_equal(pt_deleted(p), "3,5-11");
    for (js_seq_t i = 2; i <= 12; i++)
        assert_int_equal(pt_load(p, i), i == 2 || i == 4 || i == 12 ? 0 : JS_ERR_DELETED_MSG);
    assert_int_equal(pt_load(p, 1), JS_ERR_MSG_NOT_FOUND);
    assert_int_equal(pt_load(p, 13), JS_ERR_EOF);
    assert_int_equal(pt_store(p, "A", "x"), 13);
    pt_same_everywhere(p);
}

PORTED(test_file_store_corrupted_non_ordered_sequences) {
    if (!pt_is_plain(p))
        return;
    for (int twice = 0; twice < 2; twice++) {
        pt_begin_anew(p);
        open_empty(p, "");
        if (twice)
            PLANT(p, 1, {1, "foo", "1"}, {2, "foo", "2"}, {2, "foo", "2"}, {3, "foo", "3"});
        else
            PLANT(p, 1, {1, "foo", "1"}, {3, "foo", "3"}, {2, "foo", "2"}, {4, "foo", "4"});
        pt_reopen(p);
        struct js_stream_state st = pt_state(p);
        assert_int_equal(st.msgs, 3);
        assert_int_equal(st.last_seq, twice ? 3 : 4);
        assert_int_equal(pt_load(p, 1), 0);
        assert_int_equal(pt_load(p, st.last_seq), 0);
        assert_int_equal(pt_store(p, "foo", "x"), st.last_seq + 1);
    }
}

PORTED(test_file_store_index_cache_buf_tombstone_mismatch) {
    if (!pt_is_plain(p))
        return;
    open_empty(p, "");
    PLANT(p, 1, {1, "foo", "1"}, {2, "foo", "2"}, {3, "foo", "3"},
          {2 | JS_SEQ_TOMBSTONE, NULL, NULL});
    pt_reopen(p);
    PT_STATE(p, 2, 1, 3);
    assert_string_equal(pt_deleted(p), "2");
    pt_same_everywhere(p);
}

PORTED(test_file_store_index_cache_buf_erase_msg_mismatch) {
    if (!pt_is_plain(p))
        return;
    open_empty(p, "");
    PLANT(p, 1, {1, "foo", "1"}, {2 | JS_SEQ_ERASED, "foo", "2"}, {3, "foo", "3"});
    pt_reopen(p);
    PT_STATE(p, 2, 1, 3);
    assert_string_equal(pt_deleted(p), "2");
    pt_same_everywhere(p);
}

PORTED(test_file_store_corruption_sets_hbit_without_headers) {
    if (!pt_is_plain(p))
        return;
    open_empty(p, "");
    PLANT(p, 1, {1, "f", ""}, {2, "f", "abc"});
    struct pt_kept k = pt_keep_file(p, "msgs/1.blk");
    k.data[3] |= 0x80; /* "has headers", and no room for their length */
    pt_put_back(p, "msgs/1.blk", &k);
    pt_reopen(p);
    /* The checksum does not cover lengths: the message may be proved all the same. */
    assert_int_equal(js_stream_scan(p->stream), 0);
    assert_int_not_equal(js_stream_health(p->stream), JS_HEALTH_OK);
    assert_int_equal(pt_load(p, 2), 0);
    assert_int_equal(pt_state(p).last_seq, 2);
    struct js_msg m;
    if (js_stream_load_msg(p->stream, 1, &m) == 0) {
        assert_int_equal(m.hdr_len + m.data_len, 0);
        js_msg_release(&m);
    }
}

PORTED(test_file_store_tombstones_of_earlier_blocks_alone) {
    if (!pt_is_plain(p))
        return;
    /* The highest tombstone tells where a stream without messages goes on. */
    open_empty(p, "");
    PLANT(p, 1, {3 | JS_SEQ_TOMBSTONE, NULL, NULL}, {7 | JS_SEQ_TOMBSTONE, NULL, NULL},
          {5 | JS_SEQ_TOMBSTONE, NULL, NULL});
    pt_reopen(p);
    PT_STATE(p, 0, 8, 7);
    assert_int_equal(pt_store(p, "foo", "x"), 8);
    pt_same_everywhere(p);
}

PORTED(test_file_store_no_panic_on_recover_ttl_with_corrupt_blocks) {
    if (!pt_is_plain(p))
        return;
    open_empty(p, "\"allow_msg_ttl\":true");
    PLANT(p, 1, {1, "foo", "1"}, {2, "foo", "2"}, {3, "foo", "3"});
    PLANT(p, 2, {2, "foo", "2"}, {3, "foo", "3"}, {4, "foo", "4"});
    PLANT(p, 4, {8, "foo", "8"}, {9, "foo", "9"});
    pt_reopen(p);
    assert_int_equal(pt_state(p).last_seq, 9);
    assert_int_equal(pt_load(p, 1), 0);
    assert_int_equal(pt_load(p, 9), 0);
    pt_pass(p, TE_SECOND);
    assert_int_equal(pt_store(p, "foo", "x"), 10);
}

PORTED(test_file_store_recover_full_state_detect_corrupt_state) {
    struct js_hash_key key;
    uint64_t sum;

    if (!pt_is_plain(p))
        return;
    pt_open(p, "", 0);
    pt_store_n(p, 10, "abc", "x");
    pt_close(p);
    struct pt_kept k = pt_keep_file(p, "msgs/index.db");
    assert_int_equal(k.data[2], 10); /* the number of messages */
    k.data[2] = 22;
    js_hash_key_of_name(&key, "S", 1);
    sum = js_hash64_one(&key, k.data, (size_t)k.len - 8);
    memcpy(k.data + k.len - 8, &sum, 8);
    pt_put_back(p, "msgs/index.db", &k);
    pt_reopen(p);
    assert_int_equal(js_stream_scan(p->stream), 0);
    PT_STATE(p, 10, 1, 10);
    assert_int_equal(pt_store(p, "abc", "x"), 11);
    pt_same_everywhere(p);
}

PORTED(test_file_store_meta) {
    char sum[17];

    if (!pt_is_plain(p))
        return;
    pt_open(p, "\"description\":\"for a test\"", 0);
    struct pt_kept inf = pt_keep_file(p, "meta.inf"), got = pt_keep_file(p, "meta.sum");
    js_meta_sum("S", inf.data, (size_t)inf.len, sum);
    assert_int_equal(got.len, 16);
    assert_memory_equal(got.data, sum, 16);
    assert_non_null(memmem(inf.data, (size_t)inf.len, "\"for a test\"", 12));
    free(inf.data);
    free(got.data);
}

/* ---- what a block weighs -----------------------------------------------------------------------
 */

static uint64_t raw_bytes(struct pt *p) {
    struct js_block_info b;
    uint64_t sum = 0;

    for (size_t i = 0; js_stream_block(p->stream, i, &b) == 0; i++)
        sum += b.raw_bytes;
    return sum;
}

PORTED(test_file_store_tombstone_rbytes) {
    struct js_block_info b;

    pt_open(p, "", 1024);
    for (int i = 0; i < 20; i++)
        pt_store_size(p, "foo.22", 100 - pt_record(6, 0, 0));
    pt_store_size(p, "foo.22", 100 - pt_record(6, 0, 0));
    for (js_seq_t i = 11; i <= 15; i++)
        pt_remove(p, i);
    size_t n = pt_num_block_files(p);
    assert_int_equal(js_stream_block(p->stream, n - 1, &b), 0);
    assert_true(b.raw_bytes > b.bytes);
    assert_int_equal(raw_bytes(p), 21 * 100 + 5 * 30);
}

PORTED(test_file_store_remove_last_no_double_tombstones) {
    pt_open(p, "\"max_msgs\":1", 0);
    pt_store(p, "foo", "x");
    uint64_t one = pt_record(3, 0, 1);
    pt_remove(p, 1);
    assert_true(raw_bytes(p) <= one + 30);
    PT_STATE(p, 0, 2, 1);
    pt_same_everywhere(p);
}

PORTED(test_file_store_msg_block_should_compact) {
    pt_open(p, "", 8 << 20);
    for (int i = 0; i < 190; i++)
        pt_store_size(p, "foo", 64 << 10);
    assert_int_equal(pt_num_block_files(p), 2);
    long before = pt_file_size(p, "msgs/1.blk");
    /* More than half of the first block, and it is larger than 2 MiB: it shrinks at once. */
    for (js_seq_t i = 2; i <= 80; i++)
        pt_remove(p, i);
    long after = pt_file_size(p, "msgs/1.blk");
    assert_true(after < before / 2 + (64 << 10));
    for (js_seq_t i = 1; i <= 190; i++)
        assert_int_equal(pt_load(p, i) == 0, i == 1 || i > 80);
    pt_same_everywhere(p);
}

PORTED(test_file_store_inline_compaction_sync) {
    struct rd_fault count = {.calls = RD_SYNCS};

    p->sync = JS_SYNC_ALWAYS;
    pt_open(p, "", 4 << 20);
    for (int i = 0; i < 80; i++)
        pt_store_size(p, "foo", 64 << 10);
    rd_set_fault(p->disk, &count);
    for (js_seq_t i = 2; i <= 60; i++)
        pt_remove(p, i);
    /* A removal costs one sync, the replacement of the block at least two more. */
    assert_true(rd_fault_calls(p->disk) >= 59 + 2);
    rd_set_fault(p->disk, NULL);
    pt_same_everywhere(p);
}

PORTED(test_file_store_dont_spam_compact_when_mostly_tombstones) {
    pt_open(p, "", 4 << 20);
    for (int i = 0; i < 200; i++)
        pt_store_size(p, "foo", 100);
    for (js_seq_t i = 1; i <= 199; i++)
        pt_remove(p, i);
    pt_store(p, "bar", "x");
    uint64_t freed = 0;
    assert_int_equal(js_stream_sync_blocks(p->stream), 0);
    uint64_t raw = raw_bytes(p);
    assert_int_equal(js_stream_sync_blocks(p->stream), 0);
    assert_int_equal(raw_bytes(p), raw);
    assert_int_equal(js_stream_compact_blocks(p->stream, &freed), 0);
    pt_same_everywhere(p);
}

PORTED(test_file_store_sync_compress_only_if_dirty) {
    pt_open(p, "", 256);
    for (int i = 0; i < 12; i++)
        pt_store_size(p, "foo.BB", 20);
    for (js_seq_t i = 2; i <= 10; i++)
        if (i % 4)
            pt_remove(p, i);
    assert_int_equal(js_stream_sync_blocks(p->stream), 0);
    uint64_t hash = rd_hash(p->disk, pt_path("msgs"));
    /* Nothing has changed: a second pass writes nothing. */
    struct rd_fault count = {.calls = RD_WRITES};
    rd_set_fault(p->disk, &count);
    assert_int_equal(js_stream_sync_blocks(p->stream), 0);
    assert_int_equal(rd_fault_calls(p->disk), 0);
    rd_set_fault(p->disk, NULL);
    assert_int_equal(rd_hash(p->disk, pt_path("msgs")), hash);
    pt_same_everywhere(p);
}

PORTED(test_file_store_restore_delete_tombstones_exceeding_max_blk_size) {
    struct js_block_info b;

    pt_open(p, "", 512);
    assert_int_equal(pt_purge_ex(p, "", 1000000000, 0), 0);
    pt_purge(p);
    pt_begin_anew(p);
    pt_open(p, "", 512);
    pt_store_n(p, 100, "foo", "hello");
    assert_int_equal(pt_purge_ex(p, "foo", 90, 0), 89);
    for (size_t i = 0; js_stream_block(p->stream, i, &b) == 0; i++)
        assert_true(b.raw_bytes <= 512);
    PT_STATE(p, 11, 90, 100);
    pt_same_everywhere(p);
    for (js_seq_t i = 90; i <= 99; i++)
        pt_remove(p, i);
    assert_int_equal(js_stream_sync_blocks(p->stream), 0);
    /* Tombstones of what lies below the first are needed by nobody. */
    assert_true(pt_num_block_files(p) <= 4);
    PT_STATE(p, 1, 100, 100);
    pt_same_everywhere(p);
}

PORTED(test_file_store_compact_tombstones_below_first_seq) {
    pt_open(p, "", 10 * 33);
    pt_store_n(p, 20, "foo", "");
    for (js_seq_t i = 2; i <= 10; i++)
        pt_remove(p, i);
    pt_store_n(p, 10, "foo", "");
    PT_STATE(p, 21, 1, 30);
    uint64_t raw = raw_bytes(p);
    pt_remove(p, 1);
    assert_int_equal(js_stream_compact_blocks(p->stream, NULL), 0);
    assert_true(raw_bytes(p) < raw);
    PT_STATE(p, 20, 11, 30);
    pt_same_everywhere(p);
}

PORTED(test_file_store_sparse_compaction_with_interior_deletes) {
    pt_open(p, "", 64 << 10);
    for (int i = 1; i <= 1000; i++)
        pt_store(p, i % 2 ? "kv.1" : "kv.2", "data");
    pt_remove(p, 500);
    pt_remove(p, 600);
    pt_remove(p, 700);
    assert_int_equal(js_stream_compact_blocks(p->stream, NULL), 0);
    for (js_seq_t i = 1; i <= 1000; i++)
        assert_int_equal(pt_load(p, i) == 0, i != 500 && i != 600 && i != 700);
    pt_same_everywhere(p);
}

PORTED(test_file_store_rebuild_state_dmap_accounting_bug) {
    pt_open(p, "", 10 * 34);
    pt_store_n(p, 30, "foo", "x");
    for (js_seq_t i = 5; i <= 20; i += 3)
        pt_remove(p, i);
    for (int round = 0; round < 3; round++) {
        struct js_stream_state st = pt_state(p);
        assert_int_equal(st.last_seq - st.first_seq + 1 - st.num_deleted, st.msgs);
        if (round == 0)
            assert_int_equal(js_stream_compact_blocks(p->stream, NULL), 0);
        if (round == 1)
            pt_remove(p, 1);
    }
    pt_same_everywhere(p);
}

PORTED(test_file_store_msg_block_compaction_and_holes) {
    struct js_stream_state st;

    pt_open(p, "", 2048);
    for (int i = 0; i < 30; i++)
        pt_store_size(p, "foo", 100);
    for (js_seq_t i = 2; i <= 14; i++)
        if (i != 7)
            pt_remove(p, i);
    assert_int_equal(js_stream_compact_blocks(p->stream, NULL), 0);
    struct js_block_info b;
    assert_int_equal(js_stream_block(p->stream, 0, &b), 0);
    assert_int_equal(b.raw_bytes, b.bytes);
    st = pt_state(p);
    assert_int_equal(st.msgs, 18);
    pt_same_everywhere(p);
}

PORTED(test_file_store_dmap_block_recover_after_compact) {
    pt_open(p, "", 10 * 34);
    pt_store_n(p, 12, "foo", "x");
    pt_remove(p, 2);
    pt_remove(p, 4);
    pt_remove(p, 6);
    pt_remove(p, 8);
    assert_int_equal(js_stream_compact_blocks(p->stream, NULL), 0);
    assert_string_equal(pt_deleted(p), "2,4,6,8");
    pt_restart_without_index(p);
    assert_string_equal(pt_deleted(p), "2,4,6,8");
    pt_same_everywhere(p);
}

PORTED(test_file_store_compact_restores_last_seq) {
    pt_open(p, "", 4 * 33);
    pt_store_n(p, 4, "foo", "");
    pt_store_n(p, 1, "foo", "");
    pt_remove(p, 4);
    pt_remove(p, 1);
    assert_int_equal(js_stream_compact_blocks(p->stream, NULL), 0);
    PT_STATE(p, 3, 2, 5);
    assert_string_equal(pt_deleted(p), "4");
    pt_same_everywhere(p);
}

PORTED(test_file_store_compact_fully_resets_first_and_last_seq) {
    pt_open(p, "", 4 * 33);
    pt_store_n(p, 4, "foo", "");
    for (js_seq_t i = 1; i <= 4; i++)
        pt_remove(p, i);
    assert_int_equal(js_stream_compact_blocks(p->stream, NULL), 0);
    PT_STATE(p, 0, 5, 4);
    pt_same_everywhere(p);
}

PORTED(test_file_store_compact_rewrites_file_with_swap) {
    pt_open(p, "", 20 * 33 + 1000);
    pt_store_n(p, 20, "foo", "");
    assert_int_equal(pt_compact(p, 20), 19);
    PT_STATE(p, 1, 20, 20);
    pt_store_size(p, "foo", 2000); /* the next block */
    assert_int_equal(js_stream_compact_blocks(p->stream, NULL), 0);
    struct js_block_info b;
    assert_int_equal(js_stream_block(p->stream, 0, &b), 0);
    assert_int_equal(b.msgs, 1);
    assert_int_equal(b.raw_bytes, 33);
    pt_same_everywhere(p);
}

PORTED(test_file_store_compact_and_psim_when_deleting_blocks) {
    struct js_subject_state st;

    pt_open(p, "", 3 * 34);
    pt_store_n(p, 10, "A", "xyz");
    assert_int_equal(pt_num_block_files(p), 4);
    assert_int_equal(pt_compact(p, 10), 9);
    assert_int_equal(js_stream_subject(p->stream, "A", 1, &st), 0);
    assert_int_equal(st.msgs, 1);
    assert_int_equal(st.first_seq, 10);
    assert_int_equal(st.last_seq, 10);
    pt_same_everywhere(p);
}

PORTED(test_file_store_select_block_with_first_seq_removals) {
    pt_open(p, "", 100);
    for (int i = 0; i < 65 * 2; i++)
        pt_store(p, "subject", "0123456789");
    assert_int_equal(pt_num_block_files(p), 65);
    for (js_seq_t i = 1; i <= 130; i += 2)
        pt_remove(p, i);
    for (js_seq_t i = 2; i <= 130; i++)
        assert_int_equal(pt_load(p, i) == 0, i % 2 == 0);
    pt_same_everywhere(p);
}

PORTED(test_file_store_select_msg_block_binary_search) {
    pt_open(p, "", 2 * 33);
    for (int i = 0; i < 70; i++) {
        pt_store(p, "foo", "");
        if (i % 7 == 3)
            pt_remove(p, (js_seq_t)i - 1);
    }
    for (int round = 0; round < 2; round++) {
        for (js_seq_t i = 1; i <= 70; i++)
            assert_int_equal(pt_load(p, i) == 0, (i + 1) % 7 != 3 || i < 2);
        pt_restart_without_index(p);
    }
    pt_same_everywhere(p);
}

PORTED(test_file_store_purge_msg_block) {
    /* Limits take whole blocks at once: sums, subjects and the first message follow. */
    pt_open(p, "", 10 * 33);
    pt_store_n(p, 10, "foo", "");
    pt_store_n(p, 10, "bar", "");
    assert_int_equal(pt_update(p, "\"max_msgs\":10"), 0);
    PT_STATE(p, 10, 11, 20);
    assert_int_equal(pt_state(p).bytes, 330);
    assert_int_equal(pt_state(p).num_subjects, 1);
    assert_int_equal(pt_filtered(p, 1, "foo").msgs, 0);
    assert_int_equal(pt_filtered(p, 1, "bar").msgs, 10);
    pt_same_everywhere(p);
}

PORTED(test_file_store_encrypted_keep_index_need_bek_reset_bug) {
    pt_open(p, "\"max_age\":1000000000", 0);
    pt_store_n(p, 5, "zzz", "0123456789");
    pt_pass(p, 3 * TE_SECOND);
    PT_STATE(p, 0, 6, 5);
    pt_store_n(p, 5, "zzz", "0123456789");
    pt_expect_msg(p, 6, "zzz", "0123456789");
    pt_restart(p);
    pt_expect_msg(p, 10, "zzz", "0123456789");
}

PORTED(test_file_store_subject_state_cache_expiration) {
    char subject[20];

    pt_open(p, "", 256);
    for (int i = 1; i <= 100; i++) {
        snprintf(subject, sizeof subject, "kv.foo.%d", i);
        pt_store(p, subject, "value");
    }
    for (int i = 1; i <= 100; i++) {
        snprintf(subject, sizeof subject, "kv.bar.%d", i);
        pt_store(p, subject, "value");
    }
    pt_store(p, "kv.foo.1", "again");
    pt_pass(p, 300 * TE_SECOND);
    assert_int_equal(pt_filtered(p, 1, "kv.bar.>").msgs, 100);
    assert_int_equal(pt_filtered(p, 1, "kv.bar.99").first_seq, 199);
    assert_int_equal(pt_filtered(p, 1, "kv.foo.1").first_seq, 1);
    assert_int_equal(pt_filtered(p, 1, "kv.foo.1").last_seq, 201);
}

PORTED(test_file_store_err_partial_load_on_sync_close) {
    pt_open(p, "", 500);
    pt_store(p, "Z", "ZZZZZZZZZZZZZ");
    assert_int_equal(js_stream_sync(p->stream), 0);
    pt_pass(p, 60 * TE_SECOND);
    pt_store(p, "Z", "ZZZZZZZZZZZZZ");
    pt_expect_msg(p, 1, "Z", "ZZZZZZZZZZZZZ");
}

PORTED(test_file_store_sync_intervals) {
    struct rd_fault count = {.calls = RD_SYNCS};

    p->sync = JS_SYNC_INTERVAL;
    pt_open(p, "", 0);
    pt_store(p, "Z", "hello");
    rd_set_fault(p->disk, &count);
    pt_store(p, "Z", "hello");
    assert_int_equal(rd_fault_calls(p->disk), 0);
    pt_pass(p, 130 * TE_SECOND);
    assert_true(rd_fault_calls(p->disk) > 0);
    pt_close(p);
    p->sync = JS_SYNC_ALWAYS;
    pt_reopen(p);
    rd_set_fault(p->disk, &count);
    pt_store(p, "Z", "hello");
    assert_true(rd_fault_calls(p->disk) > 0);
    rd_set_fault(p->disk, NULL);
}

PORTED(test_file_store_async_truncate) {
    p->flags = JS_OPEN_ASYNC;
    pt_open(p, "", 8192);
    pt_store_n(p, 2, "foo", "");
    assert_int_equal(js_stream_truncate(p->stream, 1), 0);
    PT_STATE(p, 1, 1, 1);
    assert_int_equal(pt_file_size(p, "msgs/1.blk"), 33);
    pt_same_everywhere(p);
}

PORTED(test_file_store_async_flush_on_skip_msgs) {
    p->flags = JS_OPEN_ASYNC;
    pt_open(p, "", 4 * 33);
    pt_store_n(p, 3, "foo", "");
    assert_int_equal(js_stream_skip_msgs(p->stream, 4, 100000), 0);
    pt_pass(p, 20000000);
    assert_true(pt_file_size(p, "msgs/1.blk") >= 99);
    PT_STATE(p, 3, 1, 100003);
    pt_same_everywhere(p);
}

PORTED(test_file_store_sync_blocks_flushes_and_syncs_messages) {
    p->flags = JS_OPEN_ASYNC;
    pt_open(p, "", 0);
    pt_store(p, "foo", "");
    assert_int_equal(js_stream_sync_blocks(p->stream), 0);
    assert_int_equal(pt_file_size(p, "msgs/1.blk"), 33);
}

PORTED(test_jet_stream_file_store_subjects_removed_after_secure_erase) {
    pt_open(p, "", 0);
    pt_store(p, "test.1", "msg");
    pt_store(p, "test.2", "msg");
    pt_store(p, "test.3", "msg");
    assert_int_equal(pt_state(p).num_subjects, 3);
    pt_erase(p, 1);
    assert_int_equal(pt_state(p).num_subjects, 2);
    assert_int_equal(pt_filtered(p, 1, "test.1").msgs, 0);
    pt_erase(p, 3);
    assert_int_equal(pt_state(p).num_subjects, 1);
    pt_same_everywhere(p);
}

PORTED(test_file_store_max_msgs_per_subject_one_stale_fblk_after_restart) {
    js_seq_t seq = 0;

    pt_open(p, "\"max_msgs_per_subject\":1", 100);
    pt_store(p, "kv.a", "1");
    pt_store_n(p, 10, "kv.b", "fill, fill, fill, fill");
    pt_store(p, "kv.a", "2");
    pt_store_n(p, 10, "kv.b", "fill, fill, fill, fill");
    pt_restart(p);
    assert_int_equal(pt_load_last(p, "kv.a", &seq), 0);
    assert_int_equal(seq, 12);
    pt_store(p, "kv.a", "3");
    assert_int_equal(pt_filtered(p, 1, "kv.a").msgs, 1);
    pt_same_everywhere(p);
}

PORTED(test_file_store_remove_per_subject_with_multiple_blocks) {
    pt_open(p, "", 33);
    pt_store_n(p, 2, "foo", "");
    pt_remove(p, 2);
    assert_int_equal(pt_filtered(p, 1, "foo").first_seq, 1);
    assert_int_equal(pt_filtered(p, 1, "foo").last_seq, 1);
    pt_same_everywhere(p);
}

PORTED(test_file_store_correct_checksum_after_truncate) {
    pt_open(p, "", 0);
    pt_store_n(p, 3, "foo", "");
    assert_int_equal(js_stream_truncate(p->stream, 2), 0);
    pt_close(p);
    pt_reopen(p);
    /* index.db speaks of the record that is last now: nothing had to be read anew. */
    PT_STATE(p, 2, 1, 2);
    assert_false(pt_state(p).scanned);
    pt_same_everywhere(p);
}

PORTED(test_file_store_doesnt_rebuild_subject_state_with_no_track) {
    pt_open(p, "", 0);
    pt_store_n(p, 2, "foo", "");
    assert_int_equal(js_stream_truncate(p->stream, 1), 0);
    assert_int_equal(pt_state(p).num_subjects, 1);
    assert_int_equal(js_stream_truncate(p->stream, 0), 0);
    assert_int_equal(pt_state(p).num_subjects, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_store_msg_block_holes_and_indexing),
        cmocka_unit_test(test_file_store_corrupted_non_ordered_sequences),
        cmocka_unit_test(test_file_store_index_cache_buf_tombstone_mismatch),
        cmocka_unit_test(test_file_store_index_cache_buf_erase_msg_mismatch),
        cmocka_unit_test(test_file_store_corruption_sets_hbit_without_headers),
        cmocka_unit_test(test_file_store_tombstones_of_earlier_blocks_alone),
        cmocka_unit_test(test_file_store_no_panic_on_recover_ttl_with_corrupt_blocks),
        cmocka_unit_test(test_file_store_recover_full_state_detect_corrupt_state),
        cmocka_unit_test(test_file_store_meta),
        cmocka_unit_test(test_file_store_tombstone_rbytes),
        cmocka_unit_test(test_file_store_remove_last_no_double_tombstones),
        cmocka_unit_test(test_file_store_msg_block_should_compact),
        cmocka_unit_test(test_file_store_inline_compaction_sync),
        cmocka_unit_test(test_file_store_dont_spam_compact_when_mostly_tombstones),
        cmocka_unit_test(test_file_store_sync_compress_only_if_dirty),
        cmocka_unit_test(test_file_store_restore_delete_tombstones_exceeding_max_blk_size),
        cmocka_unit_test(test_file_store_compact_tombstones_below_first_seq),
        cmocka_unit_test(test_file_store_sparse_compaction_with_interior_deletes),
        cmocka_unit_test(test_file_store_rebuild_state_dmap_accounting_bug),
        cmocka_unit_test(test_file_store_msg_block_compaction_and_holes),
        cmocka_unit_test(test_file_store_dmap_block_recover_after_compact),
        cmocka_unit_test(test_file_store_compact_restores_last_seq),
        cmocka_unit_test(test_file_store_compact_fully_resets_first_and_last_seq),
        cmocka_unit_test(test_file_store_compact_rewrites_file_with_swap),
        cmocka_unit_test(test_file_store_compact_and_psim_when_deleting_blocks),
        cmocka_unit_test(test_file_store_select_block_with_first_seq_removals),
        cmocka_unit_test(test_file_store_select_msg_block_binary_search),
        cmocka_unit_test(test_file_store_purge_msg_block),
        cmocka_unit_test(test_file_store_encrypted_keep_index_need_bek_reset_bug),
        cmocka_unit_test(test_file_store_subject_state_cache_expiration),
        cmocka_unit_test(test_file_store_err_partial_load_on_sync_close),
        cmocka_unit_test(test_file_store_sync_intervals),
        cmocka_unit_test(test_file_store_async_truncate),
        cmocka_unit_test(test_file_store_async_flush_on_skip_msgs),
        cmocka_unit_test(test_file_store_sync_blocks_flushes_and_syncs_messages),
        cmocka_unit_test(test_jet_stream_file_store_subjects_removed_after_secure_erase),
        cmocka_unit_test(test_file_store_max_msgs_per_subject_one_stale_fblk_after_restart),
        cmocka_unit_test(test_file_store_remove_per_subject_with_multiple_blocks),
        cmocka_unit_test(test_file_store_correct_checksum_after_truncate),
        cmocka_unit_test(test_file_store_doesnt_rebuild_subject_state_with_no_track),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
