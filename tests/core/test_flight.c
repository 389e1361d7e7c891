/* SPDX-License-Identifier: Apache-2.0 */
/* Asynchronous flush: a part of the buffer is written by another thread while the rest is filled. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/core/ported.h"

#define MANY     1500
#define MAX_DATA 3000

/* The bytes of the message that gets this sequence. */
static size_t data_of(js_seq_t seq, uint8_t *data) {
    size_t len = 200 + (size_t)(seq * 7919 % (MAX_DATA - 200));

    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(seq * 31 + i * (seq % 7 + 1));
    return len;
}

static size_t subject_of(js_seq_t seq, char *subject) {
    return (size_t)sprintf(subject, "s.%u", (unsigned)(seq % 10));
}

static int store(struct js_stream *s, js_seq_t seq) {
    uint8_t data[MAX_DATA];
    char subject[16];
    js_seq_t got = 0;
    size_t n = subject_of(seq, subject);
    int r = js_stream_store_msg(s, subject, n, NULL, 0, data, data_of(seq, data), &got, NULL);

    if (r == 0)
        assert_int_equal(got, seq);
    return r;
}

/* 0 if it is what store() stored, 1 if not, or an error. */
static int check(struct js_stream *s, js_seq_t seq) {
    uint8_t data[MAX_DATA];
    char subject[16];
    struct js_msg m;
    int r = js_stream_load_msg(s, seq, &m);

    if (r < 0)
        return r;
    bool same = m.subject_len == subject_of(seq, subject) &&
                memcmp(m.subject, subject, m.subject_len) == 0 && m.hdr_len == 0 &&
                m.data_len == data_of(seq, data) && memcmp(m.data, data, m.data_len) == 0;
    js_msg_release(&m);
    return !same;
}

static void check_all(struct pt *p, js_seq_t first, js_seq_t last) {
    for (js_seq_t seq = first; seq <= last; seq++) {
        int r = check(p->stream, seq);
        if (r != 0)
            fail_msg("message %llu: %d", (unsigned long long)seq, r);
    }
}

static void open_async(struct pt *p) {
    p->flags = JS_OPEN_ASYNC;
    p->threads = 2;
    pt_open(p, "", 0);
}

static size_t in_files(struct pt *p) {
    size_t sum = 0;
    char name[32];

    for (unsigned i = 1; i < 20; i++) {
        snprintf(name, sizeof name, "msgs/%u.blk", i);
        long n = pt_file_size(p, name);
        sum += n > 0 ? (size_t)n : 0;
    }
    return sum;
}

/* What is stored can be read at once, wherever its bytes are, and is there later. */
PORTED(all_is_there_at_once_and_later) {
    open_async(p);
    for (js_seq_t seq = 1; seq <= MANY * 3; seq++) {
        pt_must(p, store(p->stream, seq), "store");
        /* The newest, one of the buffer, one of long ago. */
        assert_int_equal(check(p->stream, seq), 0);
        assert_int_equal(check(p->stream, seq > 150 ? seq - 150 : 1), 0);
        assert_int_equal(check(p->stream, 1 + seq * 7919 % seq), 0);
        if (seq % 400 == 0)
            pt_must(p, js_stream_sync(p->stream), "sync");
    }
    /* Some of it came into files before anybody asked. */
    assert_true(in_files(p) > 1000000);
    PT_STATE(p, MANY * 3, 1, MANY * 3);
    check_all(p, 1, MANY * 3);
    pt_same_everywhere(p);
    check_all(p, 1, MANY * 3);
}

/* Large ones, for which the buffer must grow while a part of it is being written. */
PORTED(large_messages_between_small_ones) {
    static uint8_t big[3000000];
    js_seq_t seq = 0;

    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 13 + i / 251);
    open_async(p);
    for (size_t len = 100000; len <= sizeof big; len = len * 3 / 2)
        for (int k = 0; k < 3; k++) {
            pt_must(p, store(p->stream, seq + 1), "store");
            pt_must(p, js_stream_store_msg(p->stream, "s.1", 3, NULL, 0, big, len, &seq, NULL), "store");
        }
    for (js_seq_t s = 1; s <= seq; s += 2) {
        struct js_msg m;
        assert_int_equal(check(p->stream, s), 0);
        pt_must(p, js_stream_load_msg(p->stream, s + 1, &m), "load");
        assert_memory_equal(m.data, big, m.data_len);
        js_msg_release(&m);
    }
    pt_same_everywhere(p);
    PT_STATE(p, seq, 1, seq);
}

/* The n-th write fails, once or for ever: what was told to be stored stays, nothing is stored twice, and
 * when writes are possible again it goes on. */
static void fail_nth(struct pt *p, long n, bool sticky, unsigned calls, enum rd_fault_kind kind) {
    struct rd_fault fault = {
        .calls = calls, .kind = kind, .err = ENOSPC, .countdown = n, .sticky = sticky};
    js_seq_t stored = 0;
    int failed = 0, err = 0;

    pt_begin_anew(p);
    open_async(p);
    pt_must(p, store(p->stream, ++stored), "store");
    pt_must(p, js_stream_sync(p->stream), "sync");
    rd_set_fault(p->disk, &fault);
    for (int i = 0; i < MANY && failed < 3; i++) {
        int r = store(p->stream, stored + 1);
        if (r == 0)
            stored++;
        else
            err = r;
        failed += r < 0;
    }
    if (failed)
        assert_int_equal(err, JS_ERR_NO_SPACE);
    else /* all writes that failed are in the air, or none did */
        (void)js_stream_sync(p->stream);
    bool fired = rd_faults_fired(p->disk) > 0;
    /* Of an encrypted stream it may be a new block's key that could not be written. */
    if (fired && sticky && pt_is_plain(p))
        assert_true(js_stream_sync(p->stream) < 0);
    assert_int_equal(pt_state(p).last_seq, stored);
    check_all(p, 1, stored);
    rd_set_fault(p->disk, NULL);
    for (int i = 0; i < 300; i++)
        pt_must(p, store(p->stream, ++stored), "store when it is possible again");
    check_all(p, 1, stored);
    pt_same_everywhere(p);
    PT_STATE(p, stored, 1, stored);
    check_all(p, 1, stored);
}

PORTED(what_cannot_be_written_stays) {
    for (long n = 1; n <= 6; n++) {
        fail_nth(p, n, false, RD_WRITES, RD_FAIL);
        fail_nth(p, n, true, RD_WRITES, RD_FAIL);
        fail_nth(p, n, true, RD_WRITES, RD_PARTIAL);
    }
}

/* When the file cannot be cut back either nothing is written any more; what was synced is there. */
PORTED(read_only_when_it_cannot_be_cut_back) {
    struct rd_fault fault = {.calls = RD_WRITES | RD_CUTS,
                             .kind = RD_PARTIAL,
                             .err = EIO,
                             .countdown = 2,
                             .sticky = true};
    js_seq_t stored = 0;
    int r = 0;

    open_async(p);
    while (stored < 100)
        pt_must(p, store(p->stream, ++stored), "store");
    pt_must(p, js_stream_sync(p->stream), "sync");
    js_seq_t synced = stored;
    rd_set_fault(p->disk, &fault);
    for (int i = 0; i < MANY && r == 0; i++) {
        r = store(p->stream, stored + 1);
        stored += r == 0;
    }
    assert_true(r < 0);
    assert_int_equal(store(p->stream, stored + 1), JS_ERR_WRITE_FAILED);
    assert_int_equal(js_stream_sync(p->stream), JS_ERR_WRITE_FAILED);
    check_all(p, 1, stored);
    rd_set_fault(p->disk, NULL);
    js_stream_unref(p->stream);
    assert_int_equal(js_store_close(p->store), JS_ERR_WRITE_FAILED);
    pt_reopen(p);
    js_seq_t last = pt_state(p).last_seq;
    assert_in_range(last, synced, stored);
    check_all(p, 1, last);
    pt_must(p, store(p->stream, last + 1), "store");
}

/* Whenever the power fails: what was synced is there, and what is there is what was stored. */
PORTED(a_crash_takes_what_was_not_synced) {
    struct {
        size_t op;
        js_seq_t last;
    } synced[8] = {{0}};
    size_t num = 0, states = 0;
    js_seq_t stored = 0;

    open_async(p);
    rd_record(p->disk);
    while (stored < MANY) {
        pt_must(p, store(p->stream, ++stored), "store");
        if (stored % 350 == 0) {
            pt_must(p, js_stream_sync(p->stream), "sync");
            synced[++num].op = rd_recorded(p->disk);
            synced[num].last = stored;
        }
    }
    size_t ops = rd_recorded(p->disk);
    for (size_t at = 1; at <= ops; at++)
        for (int loss = 0; loss < RD_LOSSES; loss++) {
            struct pt q = {.perm = p->perm, .disk = rd_crash(p->disk, at, (enum rd_loss)loss, at)};
            js_seq_t must = 0;
            for (size_t i = 0; i <= num; i++)
                if (synced[i].op <= at)
                    must = synced[i].last;
            te_init(&q.te, rd_io(q.disk));
            pt_reopen(&q);
            js_seq_t last = pt_state(&q).last_seq;
            assert_in_range(last, must, stored);
            check_all(&q, 1, must);
            for (js_seq_t seq = must + 1; seq <= last; seq++)
                assert_int_not_equal(check(q.stream, seq), 1);
            pt_must(&q, store(q.stream, last + 1), "store");
            assert_int_equal(check(q.stream, last + 1), 0);
            pt_close(&q);
            rd_free(q.disk);
            states++;
        }
    assert_true(states > 50);
}

/* ---- threads ----------------------------------------------------------------------------------
 */

struct shared {
    struct js_stream *stream;
    atomic_ullong stored;
    atomic_bool stop;
    atomic_uint failures;
};

static void *read_some(void *arg) {
    struct shared *sh = arg;
    uint64_t n = (uint64_t)(uintptr_t)&n >> 4;

    while (!atomic_load(&sh->stop)) {
        js_seq_t last = atomic_load(&sh->stored);
        n = n * 6364136223846793005u + 1442695040888963407u;
        /* Mostly of those that were stored just now. */
        js_seq_t seq = last - (n >> 33) % (n & 1 ? last : last < 300 ? last : 300);
        if (last && check(sh->stream, seq) != 0)
            atomic_fetch_add(&sh->failures, 1);
    }
    return NULL;
}

static void *sync_some(void *arg) {
    struct shared *sh = arg;

    while (!atomic_load(&sh->stop))
        if (js_stream_sync(sh->stream) < 0)
            atomic_fetch_add(&sh->failures, 1);
    return NULL;
}

PORTED(readers_and_a_syncer_beside) {
    struct shared sh = {0};
    pthread_t threads[3];

    open_async(p);
    sh.stream = p->stream;
    pt_must(p, store(p->stream, 1), "store");
    atomic_store(&sh.stored, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i == 2 ? sync_some : read_some, &sh), 0);
    for (js_seq_t seq = 2; seq <= MANY * 2; seq++) {
        pt_must(p, store(p->stream, seq), "store");
        atomic_store(&sh.stored, seq);
    }
    atomic_store(&sh.stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&sh.failures), 0);
    check_all(p, 1, MANY * 2);
    pt_same_everywhere(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_there_at_once_and_later),
        cmocka_unit_test(large_messages_between_small_ones),
        cmocka_unit_test(what_cannot_be_written_stays),
        cmocka_unit_test(read_only_when_it_cannot_be_cut_back),
        cmocka_unit_test(a_crash_takes_what_was_not_synced),
        cmocka_unit_test(readers_and_a_syncer_beside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
