/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing many messages by one call: by filter, by a list from another replica, and when a write
 * or an allocation fails in the middle: what the call tells, what is in memory and what is on disk
 * agree.
 */
#include "tests/core/ported.h"
#include "tests/crash/crash.h"

#include <errno.h>

/* Small blocks, three subjects in turn. */
static void fill(struct pt *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char subject[16];
        snprintf(subject, sizeof subject, "foo.%c", (char)('a' + i % 3));
        pt_store(p, subject, "a text");
    }
}

PORTED(a_run_that_another_replica_deleted_goes) {
    struct js_delete_block run = {.first = 3, .num = 20};

    for (int reopened = 0; reopened < 3; reopened++) {
        pt_open(p, "", 150);
        fill(p, 30);
        pt_remove(p, 5);
        if (reopened == 1)
            pt_restart(p);
        if (reopened == 2)
            pt_restart_without_index(p);
        pt_must(p, js_stream_sync_deleted(p->stream, &run, 1), "sync_deleted");
        PT_STATE(p, 10, 1, 30);
        assert_string_equal(pt_deleted(p), "3-22");
        /* Such removals leave no tombstone: the index tells of them. */
        pt_restart_scanned(p);
        PT_STATE(p, 10, 1, 30);
        pt_begin_anew(p);
    }
}

PORTED(a_list_that_another_replica_deleted_goes) {
    const js_seq_t list[] = {1, 2, 9, 10, 11, 29, 400, UINT64_MAX};
    struct js_delete_block blocks[] = {{.first = 25, .num = 2},
                                       {.first = 1, .num = 8, .list = list},
                                       {.first = 100, .num = UINT64_MAX},
                                       {.first = 26, .num = 0}};

    pt_open(p, "", 150);
    fill(p, 30);
    pt_must(p, js_stream_sync_deleted(p->stream, blocks, 4), "sync_deleted");
    PT_STATE(p, 22, 3, 30);
    assert_string_equal(pt_deleted(p), "9-11,25-26,29");
    pt_must(p, js_stream_sync_deleted(p->stream, blocks, 4), "again");
    PT_STATE(p, 22, 3, 30);
    pt_expect_msg(p, 30, "foo.c", "a text");
    assert_int_equal(pt_filtered(p, 0, "foo.a").msgs, 7);
}

PORTED(a_filter_takes_its_messages_out_of_many_blocks) {
    uint64_t n = 0;

    pt_open(p, "", 150);
    fill(p, 60);
    pt_must(p, js_stream_purge_ex(p->stream, "*.b", 3, 41, 0, &n), "purge");
    assert_int_equal(n, 13);
    PT_STATE(p, 47, 1, 60);
    pt_must(p, js_stream_purge_ex(p->stream, "*.a", 3, 0, 2, &n), "purge");
    assert_int_equal(n, 18);
    PT_STATE(p, 29, 3, 60);
    assert_int_equal(pt_filtered(p, 0, "foo.a").first_seq, 55);
    assert_int_equal(pt_filtered(p, 0, "foo.b").first_seq, 41);
    pt_same_everywhere(p);
    pt_must(p, js_stream_purge_ex(p->stream, "foo.c", 5, 0, 0, &n), "purge");
    assert_int_equal(n, 20);
    PT_STATE(p, 9, 41, 60);
    pt_same_everywhere(p);
}

/* The block of the tombstone is emptied while the file of what it names stays. */
PORTED(what_was_removed_at_the_head_stays_removed) {
    for (int pass = 0; pass < 2; pass++) {
        pt_open(p, "", 150);
        fill(p, 10);
        pt_remove(p, 1);
        fill(p, 10);
        for (js_seq_t seq = 7; seq <= 18; seq++)
            pt_remove(p, seq);
        PT_STATE(p, 7, 2, 20);
        if (pass)
            pt_must(p, js_stream_truncate(p->stream, 19), "truncate");
        pt_restart_without_index(p);
        PT_STATE(p, pass ? 6 : 7, 2, pass ? 19 : 20);
        pt_begin_anew(p);
    }
}

/* Little stays of the block, so it is written anew, which fails: what then is in memory is on disk.
 */
PORTED(a_compact_whose_rewrite_fails_changes_nothing) {
    const struct rd_fault no_names = {
        .calls = RD_NAMES, .kind = RD_FAIL, .err = EIO, .countdown = 1, .sticky = true};
    const struct rd_fault none = {0};

    pt_open(p, "", 4 << 20);
    for (int i = 0; i < 40; i++)
        pt_store_size(p, "foo.a", 200 << 10);
    assert_true(pt_num_block_files(p) > 1);
    rd_set_fault(p->disk, &no_names);
    assert_true(js_stream_compact(p->stream, 36, NULL) < 0);
    assert_true(rd_faults_fired(p->disk) > 0);
    rd_set_fault(p->disk, &none);
    PT_STATE(p, 40, 1, 40);
    pt_restart_without_index(p);
    PT_STATE(p, 40, 1, 40);
    pt_must(p, js_stream_compact(p->stream, 36, NULL), "compact");
    PT_STATE(p, 5, 36, 40);
    pt_same_everywhere(p);
}

/* Whatever could not be synced: a message is there, or it is gone. */
PORTED(a_compact_that_is_not_synced_leaves_no_damage) {
    bool failed = true;

    for (long nth = 1; failed; nth++) {
        const struct rd_fault no_sync = {
            .calls = RD_SYNCS, .kind = RD_FAIL, .err = EIO, .countdown = nth};
        const struct rd_fault none = {0};

        pt_open(p, "", 4 << 20);
        for (int i = 0; i < 15; i++)
            pt_store_size(p, "foo.a", 200 << 10);
        pt_must(p, js_stream_sync(p->stream), "sync");
        rd_set_fault(p->disk, &no_sync);
        failed = js_stream_compact(p->stream, 13, NULL) < 0;
        rd_set_fault(p->disk, &none);
        js_seq_t first = pt_state(p).first_seq;
        assert_int_equal(pt_state(p).msgs, 16 - first);
        for (js_seq_t seq = first; seq <= 15; seq++)
            assert_int_equal(pt_load(p, seq), 0);
        js_stream_unref(p->stream);
        (void)js_store_close(p->store);
        pt_reopen(p);
        pt_begin_anew(p);
    }
}

/* The records of the stream go, and then there is no room to say that its sequences go on
 * elsewhere. */
PORTED(a_compact_beyond_the_end_that_fails_leaves_the_end) {
    /* The first write says that the stream is empty; before it an encrypted block gets its key. */
    const struct rd_fault full = {.calls = RD_WRITES,
                                  .kind = RD_FAIL,
                                  .err = ENOSPC,
                                  .countdown = pt_is_plain(p) ? 2 : 3,
                                  .sticky = true};
    const struct rd_fault none = {0};

    for (int without = 0; without < 2; without++) {
        pt_open(p, "", 0);
        fill(p, 3);
        rd_set_fault(p->disk, &full);
        assert_true(js_stream_compact(p->stream, 100, NULL) < 0);
        rd_set_fault(p->disk, &none);
        PT_STATE(p, 0, 4, 3);
        if (without)
            pt_restart_without_index(p);
        PT_STATE(p, 0, 4, 3);
        pt_must(p, js_stream_compact(p->stream, 100, NULL), "compact");
        PT_STATE(p, 0, 100, 99);
        pt_same_everywhere(p);
        pt_begin_anew(p);
    }
}

/* An index.db that lists blocks whose files are about to go would call them lost: if it cannot be
 * taken away, nothing goes. */
PORTED(files_stay_where_the_old_index_cannot_go) {
    const struct rd_fault no_names = {
        .calls = RD_NAMES, .kind = RD_FAIL, .err = EIO, .countdown = 1, .sticky = true};
    const struct rd_fault none = {0};

    pt_open(p, "", 150);
    fill(p, 20);
    pt_restart_scanned(p);
    for (js_seq_t seq = 1; seq <= 10; seq++)
        pt_remove(p, seq);
    assert_true(pt_has_file(p, "msgs/index.db"));
    rd_set_fault(p->disk, &no_names);
    assert_int_equal(js_stream_sync(p->stream), JS_ERR_IO);
    assert_true(rd_faults_fired(p->disk) > 0);
    rd_set_fault(p->disk, &none);
    assert_true(pt_has_file(p, "msgs/index.db"));
    assert_true(pt_has_file(p, "msgs/1.blk"));
    assert_int_equal(
        js_stream_store_msg(p->stream, "foo.a", 5, NULL, 0, (const uint8_t *)"x", 1, NULL, NULL),
        JS_ERR_WRITE_FAILED);
    js_stream_unref(p->stream);
    (void)js_store_close(p->store);
    pt_reopen(p);
    PT_STATE(p, 10, 11, 20);
    assert_int_equal(pt_state(p).num_lost, 0);
    pt_same_everywhere(p);
}

/* The same where a block is written anew without what is dead in it. */
PORTED(no_block_is_rewritten_where_the_old_index_cannot_go) {
    const struct rd_fault none = {0};
    long n = 1;

    for (bool fired = true; fired; n++) {
        const struct rd_fault no_name = {
            .calls = RD_NAMES, .kind = RD_FAIL, .err = EIO, .countdown = n, .sticky = true};
        pt_open(p, "", 4096);
        fill(p, 100);
        pt_restart_scanned(p);
        for (js_seq_t seq = 1; seq <= 90; seq += 2)
            pt_remove(p, seq);
        rd_set_fault(p->disk, &no_name);
        int r = js_stream_compact_blocks(p->stream, NULL);
        fired = rd_faults_fired(p->disk) > 0;
        assert_true(fired ? r < 0 : r == 0);
        rd_set_fault(p->disk, &none);
        js_stream_unref(p->stream);
        (void)js_store_close(p->store);
        pt_reopen(p);
        PT_STATE(p, 55, 2, 100);
        assert_int_equal(pt_state(p).num_lost, 0);
        pt_begin_anew(p);
    }
    assert_true(n > 2);
}

/* What the stream is after a power failure before one of the calls since rd_record(). */
static struct js_stream_state crashed(struct pt *p, size_t at, enum rd_loss loss) {
    struct pt q = {.perm = p->perm, .block_size = p->block_size, .sync = p->sync};

    q.disk = rd_crash(p->disk, at, loss, 1);
    te_init(&q.te, rd_io(q.disk));
    pt_reopen(&q);
    pt_must(&q, js_stream_scan(q.stream), "scan");
    struct js_stream_state st = pt_state(&q);
    pt_close(&q);
    rd_free(q.disk);
    return st;
}

/* What a rewrite drops, because later records say more, must not go before these are on the disk.
 */
PORTED(a_rewrite_does_not_take_the_end_of_the_sequences) {
    p->sync = JS_SYNC_CLOSE;
    pt_open(p, "", 160);
    fill(p, 3);
    pt_remove(p, 3);
    pt_must(p, js_stream_sync(p->stream), "sync");
    rd_record(p->disk);
    fill(p, 2); /* in the next block, not synced */
    pt_must(p, js_stream_compact_blocks(p->stream, NULL), "compact_blocks");
    for (size_t at = 0; at <= rd_recorded(p->disk); at++) {
        struct js_stream_state st = crashed(p, at, RD_ALL_LOST);
        assert_true(st.last_seq >= 3 && st.msgs >= 2 && st.first_seq == 1);
    }
}

/* index.db says it of the newest block, and goes with the block whose record shows it. */
PORTED(the_end_of_the_sequences_stays_when_its_block_goes) {
    struct js_delete_block run = {.first = 2, .num = 2};

    pt_open(p, "", 140);
    fill(p, 3);
    pt_remove(p, 1); /* in a block of its own */
    pt_restart(p);
    rd_record(p->disk);
    pt_must(p, js_stream_sync_deleted(p->stream, &run, 1), "sync_deleted");
    pt_must(p, js_stream_sync(p->stream), "sync");
    PT_STATE(p, 0, 4, 3);
    for (size_t at = 0; at <= rd_recorded(p->disk); at++)
        assert_int_equal(crashed(p, at, RD_ALL_KEPT).last_seq, 3);
}

/* An up to date index.db lists what a compact takes out of a block with the block's file. */
PORTED(what_a_compact_takes_out_of_a_block_is_not_lost) {
    for (int newer = 0; newer < 2; newer++) {
        pt_open(p, "", 4 << 20);
        for (int i = 0; i < 15; i++)
            pt_store_size(p, "foo.a", 200 << 10);
        if (newer) {
            pt_must(p, js_stream_rotate(p->stream), "rotate");
            pt_store(p, "foo.b", "x");
        }
        pt_pass(p, INT64_C(130) * 1000000000);
        rd_record(p->disk);
        pt_must(p, js_stream_compact(p->stream, 13, NULL), "compact");
        for (size_t at = 0; at <= rd_recorded(p->disk); at++) {
            struct js_stream_state st = crashed(p, at, at & 1 ? RD_ALL_LOST : RD_ALL_KEPT);
            assert_int_equal(st.num_lost, 0);
            assert_true(st.msgs >= 3 && st.last_seq == (js_seq_t)15 + newer);
        }
        pt_begin_anew(p);
    }
}

/* The length of the longest header is told by its record alone, which a rewrite takes. */
PORTED(messages_with_the_longest_header_leave) {
    struct js_block_info b;
    char *hdr = malloc(65536);

    assert_non_null(hdr);
    memset(hdr, 'h', 65535);
    memcpy(hdr, "NATS/1.0\r\nA: ", 13);
    memcpy(hdr + 65531, "\r\n\r\n", 5);
    pt_open(p, "", 4 << 20);
    pt_store(p, "foo.a", "x");
    for (int i = 0; i < 50; i++)
        pt_store_hdr(p, "foo.a", hdr, "y");
    pt_erase(p, 3);
    PT_STATE(p, 50, 1, 51);
    pt_must(p, js_stream_compact(p->stream, 45, NULL), "compact");
    PT_STATE(p, 7, 45, 51);
    pt_must(p, js_stream_block(p->stream, 0, &b), "block");
    assert_int_equal(b.payload_bytes, 7);
    pt_same_everywhere(p);
    free(hdr);
}

/* Sequences end where a record can still say so. */
PORTED(a_compact_does_not_go_beyond_all_sequences) {
    const js_seq_t most = (UINT64_C(1) << 62) - 1;

    pt_open(p, "", 0);
    pt_store_n(p, 2, "foo", "x");
    assert_int_equal(js_stream_compact(p->stream, UINT64_MAX, NULL), JS_ERR_INVAL);
    assert_int_equal(js_stream_compact(p->stream, most + 1, NULL), JS_ERR_INVAL);
    assert_int_equal(js_stream_purge_ex(p->stream, "", 0, most + 1, 0, NULL), JS_ERR_INVAL);
    PT_STATE(p, 2, 1, 2);
    assert_int_equal(pt_store(p, "foo", "y"), 3);
    pt_same_everywhere(p);
}

static void snap(struct pt *p, struct snap *ret) {
    char why[200];

    if (snap_take(p->stream, ret, why) < 0)
        fail_msg("%s", why);
}

/* The n-th write or allocation fails; false when there were not so many. */
static bool purge_fails(struct pt *p, long n, bool memory) {
    struct js_stream_state before, after;
    struct snap seen, again;
    uint64_t left = 0;

    pt_open(p, "", 150);
    fill(p, 60);
    before = pt_state(p);
    struct rd_fault f = {.calls = RD_WRITES, .kind = RD_FAIL, .err = ENOSPC, .countdown = n};
    if (memory)
        te_fail_alloc(&p->te, n, false);
    else
        rd_set_fault(p->disk, &f);
    int r = js_stream_purge_ex(p->stream, "foo.b", 5, 0, 0, &left);
    bool fired = memory ? atomic_load(&p->te.alloc_fired) > 0 : rd_faults_fired(p->disk) > 0;
    te_fail_alloc(&p->te, 0, false);
    f.countdown = 0;
    rd_set_fault(p->disk, &f);
    if (r < 0 && !fired)
        fail_msg("%s, and nothing failed", js_err_name(r));
    after = pt_state(p);
    assert_true(after.msgs >= before.msgs - 20 && after.msgs <= before.msgs);
    assert_int_equal(after.last_seq, 60);
    assert_int_equal(pt_filtered(p, 0, "foo.a").msgs, 20);
    snap(p, &seen);
    bool known = js_stream_writable(p->stream, NULL, 0) == 1;
    js_stream_unref(p->stream);
    int c = js_store_close(p->store);
    p->store = NULL;
    if (known && c < 0)
        fail_msg("close: %s", js_err_name(c));
    rd_remove(p->disk, pt_path("msgs/index.db"));
    pt_reopen(p);
    snap(p, &again);
    const char *differs = snap_differs(&seen, &again);
    if (known && differs)
        fail_msg("call %ld, %s: %s", n, js_err_name(r), differs);
    snap_done(&seen);
    snap_done(&again);
    /* Asked again, the rest goes. */
    pt_must(p, js_stream_purge_ex(p->stream, "foo.b", 5, 0, 0, &left), "again");
    PT_STATE(p, 40, 1, 60);
    pt_begin_anew(p);
    return fired;
}

PORTED(a_purge_whose_writes_fail_tells_what_is_left) {
    long n = 1;

    while (purge_fails(p, n, false))
        n++;
    assert_true(n > 3);
}

PORTED(a_purge_without_memory_tells_what_is_left) {
    long n = 1;

    while (purge_fails(p, n, true))
        n++;
    assert_true(n > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_that_another_replica_deleted_goes),
        cmocka_unit_test(a_list_that_another_replica_deleted_goes),
        cmocka_unit_test(what_was_removed_at_the_head_stays_removed),
        cmocka_unit_test(a_compact_whose_rewrite_fails_changes_nothing),
        cmocka_unit_test(a_compact_that_is_not_synced_leaves_no_damage),
        cmocka_unit_test(a_compact_beyond_the_end_that_fails_leaves_the_end),
        cmocka_unit_test(a_rewrite_does_not_take_the_end_of_the_sequences),
        cmocka_unit_test(the_end_of_the_sequences_stays_when_its_block_goes),
        cmocka_unit_test(what_a_compact_takes_out_of_a_block_is_not_lost),
        cmocka_unit_test(messages_with_the_longest_header_leave),
        cmocka_unit_test(a_compact_does_not_go_beyond_all_sequences),
        cmocka_unit_test(files_stay_where_the_old_index_cannot_go),
        cmocka_unit_test(no_block_is_rewritten_where_the_old_index_cannot_go),
        cmocka_unit_test(a_filter_takes_its_messages_out_of_many_blocks),
        cmocka_unit_test(a_purge_whose_writes_fail_tells_what_is_left),
        cmocka_unit_test(a_purge_without_memory_tells_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
