/* SPDX-License-Identifier: Apache-2.0 */
/* What a write that failed leaves behind in memory: nothing that a later step may build upon. */
#include <errno.h>
#include <pthread.h>

#include "core/base/buf.h"
#include "core/format/s2.h"
#include "tests/core/ported.h"

/* Fails the n-th write from now on, once or for ever. */
static void fail_writes(struct pt *p, long n, bool sticky) {
    struct rd_fault fault = {
        .calls = RD_WRITES, .kind = RD_FAIL, .err = ENOSPC, .countdown = n, .sticky = sticky};

    rd_set_fault(p->disk, &fault);
}

static void mend(struct pt *p) {
    struct rd_fault none = {0};

    rd_set_fault(p->disk, &none);
}

/* A removal whose tombstone could not be written has not shown where the stream stands: who lets go
 * of the block with the last message later has to write another one. */
PORTED(a_failed_tombstone_counts_for_nothing) {
    js_seq_t last = 3;

    pt_open(p, "", 0);
    pt_store_n(p, last, "foo", "x");
    pt_must(p, js_stream_rotate(p->stream), "rotate");
    assert_int_equal(pt_num_block_files(p), 2);
    fail_writes(p, 1, true);
    assert_int_equal(js_stream_remove_msg(p->stream, last), JS_ERR_NO_SPACE);
    assert_true(rd_faults_fired(p->disk) > 0);
    mend(p);
    PT_STATE(p, last, 1, last);
    /* As limits do: no tombstones. */
    struct js_delete_block all = {.first = 1, .num = last};
    assert_int_equal(js_stream_sync_deleted(p->stream, &all, 1), 0);
    PT_STATE(p, 0, last + 1, last);
    pt_must(p, js_stream_sync(p->stream), "sync");
    pt_restart_without_index(p);
    assert_int_equal(pt_state(p).last_seq, last);
    assert_int_equal(pt_store(p, "foo", "next"), last + 1);
}

/* The same with a skipped run: the sequences are free again, and are given out once. */
PORTED(a_failed_skip_uses_up_nothing) {
    pt_open(p, "", 0);
    pt_store_n(p, 3, "foo", "x");
    fail_writes(p, 1, true);
    assert_int_equal(js_stream_skip_msgs(p->stream, 4, 10), JS_ERR_NO_SPACE);
    assert_int_equal(js_stream_skip_msg(p->stream, 0, false, NULL), JS_ERR_NO_SPACE);
    assert_int_equal(pt_try(p, "foo", "lost"), JS_ERR_NO_SPACE);
    mend(p);
    PT_STATE(p, 3, 1, 3);
    assert_int_equal(pt_store(p, "foo", "y"), 4);
    PT_STATE(p, 4, 1, 4);
    pt_same_everywhere(p);
    pt_expect_msg(p, 4, "foo", "y");
}

/* Writes that fail in the middle of a batch take back what they carried, and no more. */
PORTED(a_failed_batch_is_forgotten) {
    struct js_new_msg msgs[3];
    int err = 0;

    pt_open(p, "\"max_msgs_per_subject\":2", 0);
    pt_store_n(p, 2, "foo", "x");
    for (size_t i = 0; i < 3; i++)
        msgs[i] = (struct js_new_msg){.subject = "bar",
                                      .subject_len = 3,
                                      .data = (const uint8_t *)"z",
                                      .data_len = 1};
    struct js_stream_state before = pt_state(p);
    fail_writes(p, 1, false);
    assert_int_equal(js_stream_store_msgs(p->stream, msgs, 2, &err), 0);
    assert_int_equal(err, JS_ERR_NO_SPACE);
    mend(p);
    assert_int_equal(pt_state(p).bytes, before.bytes);
    PT_STATE(p, 2, 1, 2);
    assert_int_equal(pt_filtered(p, 1, "bar").msgs, 0);
    assert_int_equal(js_stream_store_msgs(p->stream, msgs, 3, &err), 3);
    assert_int_equal(msgs[2].ret_seq, 5);
    PT_STATE(p, 4, 1, 5);
    assert_int_equal(pt_filtered(p, 1, "bar").msgs, 2);
    pt_same_everywhere(p);
}

/* Numbers and times that the last message leaves outlive a failed sync: nothing is given out twice. */
PORTED(a_failed_sync_is_final_until_reopened) {
    struct rd_fault fault = {.calls = RD_SYNCS, .kind = RD_FAIL, .err = EIO, .countdown = 1};

    p->sync = JS_SYNC_ALWAYS;
    pt_open(p, "", 0);
    pt_store_n(p, 2, "foo", "x");
    rd_set_fault(p->disk, &fault);
    assert_true(pt_try(p, "foo", "unsynced") < 0);
    mend(p);
    assert_int_equal(pt_try(p, "foo", "late"), JS_ERR_WRITE_FAILED);
    assert_int_equal(js_stream_sync(p->stream), JS_ERR_WRITE_FAILED);
    assert_int_equal(js_stream_skip_msg(p->stream, 0, false, NULL), JS_ERR_WRITE_FAILED);
    js_seq_t last = pt_state(p).last_seq;
    js_stream_unref(p->stream);
    assert_int_equal(js_store_close(p->store), JS_ERR_WRITE_FAILED);
    pt_reopen(p);
    assert_true(pt_state(p).last_seq >= 2);
    assert_true(pt_store(p, "foo", "again") > last);
}

/* Without one nats-server 2.10 makes another meta.key when it stops (core/store/fill.c): no crash
 * leaves an encrypted stream without, and none a torn one. */
PORTED(encrypted_streams_always_have_an_index) {
    static const enum rd_loss losses[] = {RD_ALL_KEPT, RD_ALL_LOST, RD_DATA_LOST, RD_NAMES_LOST};
    uint64_t freed;

    if (pt_is_plain(p))
        return;
    p->sync = JS_SYNC_CLOSE;
    rd_record(p->disk);
    pt_open(p, "", 200);
    pt_store_n(p, 20, "foo", "x");
    for (js_seq_t seq = 1; seq < 12; seq++)
        assert_int_equal(js_stream_remove_msg(p->stream, seq), 1);
    pt_must(p, js_stream_sync(p->stream), "sync");
    assert_int_equal(js_stream_remove_msg(p->stream, 14), 1);
    pt_must(p, js_stream_compact_blocks(p->stream, &freed), "compact_blocks");
    pt_restart(p);
    pt_must(p, js_stream_truncate(p->stream, 15), "truncate");
    pt_store_n(p, 3, "foo", "y");
    pt_must(p, js_stream_purge(p->stream, NULL), "purge");
    pt_close(p);
    size_t seen = 0;
    for (size_t at = 0; at <= rd_recorded(p->disk); at++)
        for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
            struct pt q = {.perm = p->perm, .disk = rd_crash(p->disk, at, losses[i], 1)};
            if (pt_has_file(&q, "meta.inf")) {
                seen++;
                if (pt_file_size(&q, "msgs/index.db") < 40)
                    fail_msg("before call %zu, loss %d: %ld bytes", at, (int)losses[i],
                             pt_file_size(&q, "msgs/index.db"));
            }
            rd_free(q.disk);
        }
    assert_true(seen > 100);
}

/* The bits above mark other records: there sequences end. */
PORTED(sequences_end) {
    const js_seq_t most = ((js_seq_t)1 << 62) - 1;

    pt_open(p, "", 0);
    assert_int_equal(js_stream_skip_msgs(p->stream, 1, most - 1), 0);
    assert_int_equal(pt_store(p, "foo", "the last"), most);
    assert_int_equal(pt_try(p, "foo", "one more"), JS_ERR_TOO_BIG);
    PT_STATE(p, 1, most, most);
    pt_restart(p);
    pt_expect_msg(p, most, "foo", "the last");
    assert_int_equal(pt_try(p, "foo", "one more"), JS_ERR_TOO_BIG);
    PT_STATE(p, 1, most, most);
}

/* ---- two who sync at the same time --------------------------------------------------------------- */

static struct gate {
    pthread_mutex_t mu;
    pthread_cond_t changed;
    bool closed, entered;
    int result; /* of the sync that was held up */
    const struct js_io *io;
} gate = {.mu = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* The first sync waits until the gate opens, and then fails; others do what they always do. */
static int held_fdatasync(void *ctx, int fd) {
    pthread_mutex_lock(&gate.mu);
    bool mine = gate.closed && !gate.entered;
    if (mine) {
        gate.entered = true;
        pthread_cond_broadcast(&gate.changed);
        while (gate.closed)
            pthread_cond_wait(&gate.changed, &gate.mu);
    }
    int r = mine ? gate.result : 0;
    pthread_mutex_unlock(&gate.mu);
    return r < 0 ? r : gate.io->fdatasync(ctx, fd);
}

static void *sync_stream(void *stream) {
    return (void *)(intptr_t)js_stream_sync(stream);
}

static void *sync_blocks(void *stream) {
    return (void *)(intptr_t)js_stream_sync_blocks(stream);
}

/* Nobody takes for synced what another thread's sync has not brought to the disk, or failed to. */
PORTED(a_sync_counts_when_it_is_done) {
    struct js_io io = *p->te.env.io;
    pthread_t one, two;
    void *first, *second;

    for (int fails = 0; fails < 2; fails++) {
        gate.io = rd_io(p->disk);
        io.fdatasync = held_fdatasync;
        io.ctx = gate.io->ctx;
        p->te.env.io = &io;
        pt_open(p, "", 0);
        pt_store_n(p, 3, "foo", "x");
        /* There is none, or (encrypted) one that knows nothing. */
        long index_size = pt_file_size(p, "msgs/index.db");
        gate.closed = true;
        gate.entered = false;
        gate.result = fails ? -EIO : 0;
        assert_int_equal(pthread_create(&one, NULL, sync_stream, p->stream), 0);
        pthread_mutex_lock(&gate.mu);
        while (!gate.entered)
            pthread_cond_wait(&gate.changed, &gate.mu);
        pthread_mutex_unlock(&gate.mu);
        /* All is on its way: this one has nothing of its own to sync. */
        assert_int_equal(pthread_create(&two, NULL, sync_blocks, p->stream), 0);
        for (int i = 0; i < 100; i++)
            sched_yield();
        assert_int_equal(pt_file_size(p, "msgs/index.db"), index_size);
        pthread_mutex_lock(&gate.mu);
        gate.closed = false;
        pthread_cond_broadcast(&gate.changed);
        pthread_mutex_unlock(&gate.mu);
        pthread_join(one, &first);
        pthread_join(two, &second);
        assert_int_equal((intptr_t)first, fails ? JS_ERR_IO : 0);
        /* It may be that the first one has already made the stream read-only. */
        if (fails && (intptr_t)second != JS_ERR_WRITE_FAILED)
            assert_int_equal((intptr_t)second, JS_ERR_IO);
        else if (!fails)
            assert_int_equal((intptr_t)second, 0);
        assert_int_equal(pt_file_size(p, "msgs/index.db") == index_size, fails);
        if (fails) {
            js_stream_unref(p->stream);
            (void)js_store_close(p->store);
            p->store = NULL;
            p->stream = NULL;
        }
        pt_begin_anew(p);
    }
}

/* index.db speaks of a record that the power failure took: what had been removed, and says so in the block,
 * stays removed. */
PORTED(a_removal_outlives_the_record_behind_it) {
    pt_open(p, "", 0);
    pt_store_n(p, 3, "foo", "x");
    pt_remove(p, 2);
    pt_skip(p, 1);
    pt_close(p);
    struct pt_kept block = pt_keep_file(p, "msgs/1.blk");
    assert_true(block.len > 30);
    assert_int_equal(rd_put(p->disk, pt_path("msgs/1.blk"), block.data, (size_t)block.len - 30), 0);
    free(block.data);
    pt_reopen(p);
    PT_STATE(p, 2, 1, 4);
    assert_true(pt_load(p, 2) < 0);
    assert_int_equal(pt_store(p, "foo", "y"), 5);
}

/* Before the files of blocks that hold nothing go, what shows where the stream stands is in a file: even
 * then when only the buffer has it. */
PORTED(the_end_never_moves_back) {
    js_seq_t highest = 0;

    p->flags = JS_OPEN_ASYNC;
    pt_open(p, "\"max_msgs\":1", 4 * pt_record(3, 0, 1));
    rd_record(p->disk);
    pt_store_n(p, 400, "foo", "x");
    for (size_t at = 0; at <= rd_recorded(p->disk); at++) {
        struct pt q = {.perm = p->perm, .disk = rd_crash(p->disk, at, RD_ALL_KEPT, 1)};
        te_init(&q.te, rd_io(q.disk));
        pt_reopen(&q);
        js_seq_t last = pt_state(&q).last_seq;
        if (last < highest)
            fail_msg("before call %zu: %llu after %llu", at, (unsigned long long)last,
                     (unsigned long long)highest);
        highest = last;
        pt_close(&q);
        rd_free(q.disk);
    }
    assert_true(highest > 300);
}

/* Blocks that cannot be compressed for want of space keep nothing off the disk. */
PORTED(data_is_synced_though_blocks_cannot_be_compressed) {
    if (strcmp(p->perm->compression, "none") == 0)
        return;
    p->sync = JS_SYNC_CLOSE;
    pt_open(p, "", 500);
    pt_store_size(p, "foo", 300);
    pt_must(p, js_stream_sync(p->stream), "sync");
    rd_record(p->disk);
    pt_store_size(p, "foo", 300); /* in the next block */
    fail_writes(p, 1, true);
    te_advance(&p->te, 2 * TE_SECOND);
    assert_int_equal(js_store_run_due(p->store, atomic_load(&p->te.now)), JS_ERR_NO_SPACE);
    assert_true(rd_faults_fired(p->disk) > 0);
    mend(p);
    struct pt q = {.perm = p->perm, .block_size = p->block_size, .sync = p->sync};
    q.disk = rd_crash(p->disk, rd_recorded(p->disk), RD_ALL_LOST, 1);
    te_init(&q.te, rd_io(q.disk));
    pt_reopen(&q);
    PT_STATE(&q, 2, 1, 2);
    pt_close(&q);
    rd_free(q.disk);
}

/* Sequences that no block holds cost the index nothing, be they many. */
PORTED(gaps_between_blocks_are_no_reason_against_an_index) {
    pt_open(p, "", 0);
    pt_store(p, "foo", "x");
    pt_must(p, js_stream_rotate(p->stream), "rotate");
    pt_must(p, js_stream_skip_msgs(p->stream, 0, 17000000), "skip_msgs");
    assert_int_equal(pt_store(p, "foo", "y"), 17000002);
    pt_pass(p, 130 * TE_SECOND);
    assert_true(pt_has_file(p, "msgs/index.db"));
    assert_true(js_store_next_deadline(p->store) == 0 ||
                js_store_next_deadline(p->store) > atomic_load(&p->te.now));
    pt_same_everywhere(p);
}

static int count_bytes(void *ctx, const void *data, size_t len) {
    (void)data;
    *(uint64_t *)ctx += len;
    return 0;
}

/* Those within one would be listed one by one. */
PORTED(backups_do_not_list_endless_gaps) {
    uint64_t n = 0;

    if (!pt_is_plain(p))
        return;
    pt_open(p, "", 0);
    pt_store(p, "foo", "x");
    pt_must(p, js_stream_skip_msgs(p->stream, 0, 30000000), "skip_msgs");
    pt_store(p, "foo", "y");
    pt_must(p, js_stream_backup(p->stream, 0, count_bytes, &n), "backup");
    assert_true(n < 5000);
    PT_STATE(p, 2, 1, 30000002);
}

/* ---- many who wait for their syncs -------------------------------------------------------------
 */

struct writer {
    pthread_t thread;
    struct js_stream *stream;
    unsigned char acked[256]; /* by the number that the message carries */
    unsigned char id;
    int error;
};

static void *store_till_it_fails(void *arg) {
    struct writer *w = arg;

    for (unsigned i = 0; i < sizeof w->acked && w->error == 0; i++) {
        uint8_t data[2] = {w->id, (uint8_t)i};
        w->error = js_stream_store_msg(w->stream, "foo", 3, NULL, 0, data, 2, NULL, NULL);
        w->acked[i] = w->error == 0;
    }
    return NULL;
}

/* A sync fails while many wait for it and for the next: each of them is told, and what any of them was told to
 * be stored is on disk. */
PORTED(a_failed_sync_is_told_to_all_who_wait) {
    enum { WRITERS = 8 };
    static const long whens[] = {1, 2, 3, 7, 20, 60, 0};

    if (!pt_is_plain(p))
        return;
    for (size_t k = 0; k < sizeof whens / sizeof *whens; k++) {
        struct rd_fault fault = {.calls = RD_SYNCS, .kind = RD_FAIL, .err = EIO, .countdown = whens[k]};
        struct writer writers[WRITERS] = {0};
        struct js_msg m;

        pt_begin_anew(p);
        p->sync = JS_SYNC_ALWAYS;
        pt_open(p, "", 0);
        pt_store(p, "foo", "x");
        rd_record(p->disk);
        rd_set_fault(p->disk, &fault);
        for (unsigned i = 0; i < WRITERS; i++) {
            writers[i].stream = p->stream;
            writers[i].id = (unsigned char)i;
            assert_int_equal(pthread_create(&writers[i].thread, NULL, store_till_it_fails, &writers[i]), 0);
        }
        for (unsigned i = 0; i < WRITERS; i++) {
            pthread_join(writers[i].thread, NULL);
            assert_true(whens[k] ? writers[i].error < 0 : writers[i].error == 0);
        }
        rd_set_fault(p->disk, NULL);
        struct pt q = {.perm = p->perm, .disk = rd_crash(p->disk, rd_recorded(p->disk), RD_ALL_LOST, 1)};
        te_init(&q.te, rd_io(q.disk));
        pt_reopen(&q);
        for (js_seq_t seq = 2; seq <= pt_state(&q).last_seq; seq++) {
            pt_must(&q, js_stream_load_msg(q.stream, seq, &m), "load");
            writers[m.data[0]].acked[m.data[1]] = 0;
            js_msg_release(&m);
        }
        for (unsigned i = 0; i < WRITERS; i++)
            for (size_t j = 0; j < sizeof writers[i].acked; j++)
                assert_false(writers[i].acked[j]);
        pt_close(&q);
        rd_free(q.disk);
        js_stream_unref(p->stream);
        assert_int_equal(js_store_close(p->store), whens[k] ? JS_ERR_WRITE_FAILED : 0);
        p->store = NULL;
        p->stream = NULL;
    }
    pt_begin_anew(p);
    pt_open(p, "", 0);
}

struct taken {
    struct js_buf archive;
    struct js_stream *stream; /* to be written to when the first bytes come; NULL: not */
    size_t at, decoded;
};

static int take(void *ctx, const void *data, size_t len) {
    struct taken *t = ctx;

    static const uint8_t late[5000]; /* more than what fills up a member of the archive */

    js_buf_append(&t->archive, data, len);
    if (t->stream)
        assert_int_equal(
            js_stream_store_msg(t->stream, "foo", 3, NULL, 0, late, sizeof late, NULL, NULL), 0);
    t->stream = NULL;
    return t->archive.failed ? JS_ERR_NOMEM : 0;
}

static ssize_t read_taken(void *ctx, void *buf, size_t len) {
    struct taken *t = ctx;
    size_t n = t->archive.len - t->at < len ? t->archive.len - t->at : len;

    memcpy(buf, t->archive.data + t->at, n);
    t->at += n;
    return (ssize_t)n;
}

static int count_taken(void *ctx, const uint8_t *data, size_t len) {
    (void)data;
    ((struct taken *)ctx)->decoded += len;
    return 0;
}

/* What comes while it is made is not in it, also when the newest block was not read before. */
PORTED(backups_end_where_they_began) {
    size_t lens[2];

    for (int busy = 0; busy < 2; busy++) {
        pt_begin_anew(p);
        pt_open(p, "", 1 << 20);
        for (int i = 0; i < 40; i++)
            pt_store_size(p, "foo", 100000);
        pt_restart(p);
        struct taken t = {.archive = {.env = &p->te.env}, .stream = busy ? p->stream : NULL};
        pt_must(p, js_stream_backup(p->stream, 0, take, &t), "backup");
        PT_STATE(p, 40u + (unsigned)busy, 1, 40 + busy);
        pt_must(p, js_s2_decode_stream(&p->te.env, read_taken, &t, count_taken, &t, 1 << 30), "decode");
        lens[busy] = t.decoded;
        js_buf_done(&t.archive);
    }
    assert_int_equal(lens[0], lens[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaps_between_blocks_are_no_reason_against_an_index),
        cmocka_unit_test(backups_do_not_list_endless_gaps),
        cmocka_unit_test(backups_end_where_they_began),
        cmocka_unit_test(data_is_synced_though_blocks_cannot_be_compressed),
        cmocka_unit_test(sequences_end),
        cmocka_unit_test(a_removal_outlives_the_record_behind_it),
        cmocka_unit_test(the_end_never_moves_back),
        cmocka_unit_test(a_sync_counts_when_it_is_done),
        cmocka_unit_test(encrypted_streams_always_have_an_index),
        cmocka_unit_test(a_failed_tombstone_counts_for_nothing),
        cmocka_unit_test(a_failed_skip_uses_up_nothing),
        cmocka_unit_test(a_failed_batch_is_forgotten),
        cmocka_unit_test(a_failed_sync_is_final_until_reopened),
        cmocka_unit_test(a_failed_sync_is_told_to_all_who_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
