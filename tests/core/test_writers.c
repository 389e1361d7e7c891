/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: test_writers [SECONDS [async]]   (20)
 *
 * Eight threads store, four read, one removes, erases, purges and compacts, one syncs; all on one
 * stream of small blocks. Every message proves by its bytes who stored it; what was acknowledged
 * and not removed is there at the end, in memory and on disk, and nothing else is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/jetstore.h"
#include "tests/support/tempdir.h"

#define WRITERS  8
#define READERS  4
#define KINDS    3     /* subjects of a writer */
#define RATE     20000 /* messages a second, all together: the model must fit into memory */
#define LIVE     60000 /* above it everything but the newest is compacted away */
#define MAX_MSGS (RATE * 700)

enum { NOBODY = 0, REMOVING = 0x8000, OWNER = 0x00ff };

static struct {
    char dir[TEMPDIR_SIZE];
    int seconds;
    bool async; /* the buffer is written by a thread of its own, in blocks in which it fills up */
    struct js_store *store;
    struct js_stream *stream;
    atomic_bool stop;
    atomic_uint failures;
    _Atomic uint16_t *owner; /* by sequence: 1 + writer * KINDS + kind, and REMOVING */
    atomic_ullong stored, next_id, last;
    atomic_ullong floor;                   /* compacted below, or about to be */
    atomic_ullong purged[WRITERS * KINDS]; /* of this subject everything below is purged, or soon */
} all;

#define COMPLAIN(...)                                                                              \
    do {                                                                                           \
        if (atomic_fetch_add(&all.failures, 1) < 10) {                                             \
            fprintf(stderr, "# " __VA_ARGS__);                                                     \
            fprintf(stderr, "\n");                                                                 \
        }                                                                                          \
        atomic_store(&all.stop, true);                                                             \
    } while (0)

#define LL(x) ((unsigned long long)(x))

static double now(void) {
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void doze(long us) {
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    return z ^ z >> 31;
}

/* ---- messages ---------------------------------------------------------------------------------
 */

#define MAX_LEN 300

static size_t make_data(unsigned owner, uint64_t id, uint8_t *buf) {
    uint64_t state = id * 31 + owner;
    size_t len = 24 + next_random(&state) % (MAX_LEN - 24);

    memcpy(buf, &id, 8);
    for (size_t i = 8; i < len; i += 8) {
        uint64_t v = next_random(&state);
        memcpy(buf + i, &v, len - i < 8 ? len - i : 8);
    }
    return len;
}

static size_t make_subject(unsigned owner, char *buf) {
    return (size_t)sprintf(buf, "w.%u.%u", (owner - 1) / KINDS, (owner - 1) % KINDS);
}

/* Whose message it is; 0 if its bytes are not what anybody stored. */
static unsigned owner_of(const struct js_msg *m) {
    char subject[32];
    uint8_t want[MAX_LEN];
    uint64_t id;
    unsigned writer, kind;

    if (m->subject_len >= sizeof subject || m->data_len < 8 || m->hdr_len)
        return 0;
    memcpy(subject, m->subject, m->subject_len);
    subject[m->subject_len] = 0;
    if (sscanf(subject, "w.%u.%u", &writer, &kind) != 2)
        return 0;
    unsigned owner = 1 + writer * KINDS + kind;
    memcpy(&id, m->data, 8);
    size_t len = make_data(owner, id, want);
    return len == m->data_len && memcmp(want, m->data, len) == 0 ? owner : 0;
}

/* True if the message may have been removed by now. */
static bool may_be_gone(js_seq_t seq, unsigned owner) {
    return (owner & REMOVING) || seq < atomic_load(&all.floor) ||
           seq < atomic_load(&all.purged[(owner & OWNER) - 1]);
}

/* ---- threads ----------------------------------------------------------------------------------
 */

static void *write_msgs(void *arg) {
    unsigned me = (unsigned)(uintptr_t)arg;
    uint64_t rng = me + 1;
    double start = now();

    while (!atomic_load(&all.stop)) {
        struct js_new_msg msgs[16] = {0};
        char subjects[16][16];
        static _Thread_local uint8_t data[16][MAX_LEN];
        unsigned owners[16];
        size_t n = next_random(&rng) % 4 ? 1 : 1 + next_random(&rng) % 16;
        int err = 0;
        for (size_t i = 0; i < n; i++) {
            owners[i] = 1 + me * KINDS + (unsigned)(next_random(&rng) % KINDS);
            msgs[i].subject = subjects[i];
            msgs[i].subject_len = make_subject(owners[i], subjects[i]);
            msgs[i].data = data[i];
            msgs[i].data_len = make_data(owners[i], atomic_fetch_add(&all.next_id, 1), data[i]);
        }
        ssize_t done = js_stream_store_msgs(all.stream, msgs, n, &err);
        if (done != (ssize_t)n)
            COMPLAIN("store: %zd of %zu, %s", done, n, js_err_name(err));
        for (ssize_t i = 0; i < done; i++) {
            if (i && msgs[i].ret_seq != msgs[i - 1].ret_seq + 1)
                COMPLAIN("a batch is torn at %llu", LL(msgs[i].ret_seq));
            if (msgs[i].ret_seq >= MAX_MSGS ||
                atomic_exchange(&all.owner[msgs[i].ret_seq], (uint16_t)owners[i]) != NOBODY) {
                COMPLAIN("sequence %llu was given out twice", LL(msgs[i].ret_seq));
                return NULL;
            }
            uint64_t last = atomic_load(&all.last);
            while (last < msgs[i].ret_seq &&
                   !atomic_compare_exchange_weak(&all.last, &last, msgs[i].ret_seq))
                ;
        }
        uint64_t total = atomic_fetch_add(&all.stored, n);
        while ((double)total > (now() - start) * RATE && !atomic_load(&all.stop))
            doze(200);
    }
    return NULL;
}

static void read_one(uint64_t *rng) {
    uint64_t last = atomic_load(&all.last), floor = atomic_load(&all.floor);
    struct js_msg m;

    if (last <= floor + 1)
        return;
    js_seq_t seq = floor + 1 + next_random(rng) % (last - floor);
    unsigned owner = atomic_load(&all.owner[seq]);
    int r = js_stream_load_msg(all.stream, seq, &m);
    if (r == 0) {
        unsigned found = owner_of(&m);
        if (!found || m.seq != seq || (owner && (owner & OWNER) != found))
            COMPLAIN("message %llu: bytes of %u, stored by %u", LL(seq), found, owner & OWNER);
        js_msg_release(&m);
    } else if (owner && !may_be_gone(seq, atomic_load(&all.owner[seq]))) {
        COMPLAIN("message %llu of %u: %s", LL(seq), owner, js_err_name(r));
    }
}

static void read_filtered(uint64_t *rng) {
    char subject[32];
    unsigned owner = 1 + (unsigned)(next_random(rng) % (WRITERS * KINDS));
    const char *pattern = subject;
    struct js_filter f = {.patterns = &pattern, .count = 1};
    struct js_msg m;
    uint64_t n = 0;

    make_subject(owner, subject);
    uint64_t last = atomic_load(&all.last);
    js_seq_t from = last ? 1 + next_random(rng) % last : 1;
    int r = js_stream_load_next_msg(all.stream, &f, from, &m);
    if (r == 0) {
        if (owner_of(&m) != owner || m.seq < from)
            COMPLAIN("the next message of %s from %llu is %llu", subject, LL(from), LL(m.seq));
        js_msg_release(&m);
    } else if (r != JS_ERR_EOF) {
        COMPLAIN("next of %s: %s", subject, js_err_name(r));
    }
    r = js_stream_num_pending(all.stream, from, &f, false, &n, NULL);
    if (r < 0)
        COMPLAIN("pending of %s: %s", subject, js_err_name(r));
    r = js_stream_load_last_msg(all.stream, subject, strlen(subject), &m);
    if (r == 0) {
        if (owner_of(&m) != owner)
            COMPLAIN("the last message of %s is %llu", subject, LL(m.seq));
        js_msg_release(&m);
    } else if (r != JS_ERR_MSG_NOT_FOUND) {
        COMPLAIN("last of %s: %s", subject, js_err_name(r));
    }
}

static void walk(void) {
    struct js_iter *it;
    struct js_msg m;
    js_seq_t from = 1;
    int r = js_iter_open(all.stream, NULL, &it);

    if (r < 0) {
        COMPLAIN("iter: %s", js_err_name(r));
        return;
    }
    for (int i = 0; i < 3000 && (r = js_iter_next(it, from, &m)) == 0; i++) {
        if (m.seq < from || !owner_of(&m))
            COMPLAIN("walked to %llu from %llu, not anybody's", LL(m.seq), LL(from));
        from = m.seq + 1;
    }
    if (r < 0 && r != JS_ERR_EOF)
        COMPLAIN("walk at %llu: %s", LL(from), js_err_name(r));
    js_iter_close(it);
}

static void *read_msgs(void *arg) {
    uint64_t rng = 1000 + (uintptr_t)arg;

    while (!atomic_load(&all.stop)) {
        for (int i = 0; i < 200; i++)
            read_one(&rng);
        for (int i = 0; i < 20; i++)
            read_filtered(&rng);
        walk();
        doze(500);
    }
    return NULL;
}

static void remove_one(uint64_t *rng) {
    uint64_t last = atomic_load(&all.last), floor = atomic_load(&all.floor);

    if (last <= floor + 1)
        return;
    js_seq_t seq = floor + 1 + next_random(rng) % (last - floor);
    unsigned owner = atomic_load(&all.owner[seq]);
    if (!owner || may_be_gone(seq, owner))
        return;
    atomic_fetch_or(&all.owner[seq], REMOVING);
    int r = next_random(rng) % 8 ? js_stream_remove_msg(all.stream, seq)
                                 : js_stream_erase_msg(all.stream, seq);
    if (r != 1)
        COMPLAIN("removal of %llu: %d %s", LL(seq), r, js_err_name(r));
}

static void purge_some(uint64_t *rng) {
    char subject[32];
    unsigned owner = 1 + (unsigned)(next_random(rng) % (WRITERS * KINDS));
    uint64_t last = atomic_load(&all.last), n = 0;

    if (last < 2000)
        return;
    /* What is being stored now has a higher sequence than anything acknowledged. */
    js_seq_t below = last - 1000;
    size_t len = make_subject(owner, subject);
    atomic_store(&all.purged[owner - 1], below);
    int r = js_stream_purge_ex(all.stream, subject, len, below, 0, &n);
    if (r < 0)
        COMPLAIN("purge of %s: %s", subject, js_err_name(r));
}

static void compact_some(void) {
    uint64_t last = atomic_load(&all.last), n = 0;
    struct js_stream_state st;

    js_stream_get_state(all.stream, &st);
    if (st.msgs < LIVE || last < LIVE)
        return;
    js_seq_t to = last - LIVE / 2;
    atomic_store(&all.floor, to);
    int r = js_stream_compact(all.stream, to, &n);
    if (r < 0)
        COMPLAIN("compact: %s", js_err_name(r));
}

static void *remove_msgs(void *arg) {
    uint64_t rng = 5000;

    (void)arg;
    for (unsigned i = 0; !atomic_load(&all.stop); i++) {
        for (int k = 0; k < 20; k++)
            remove_one(&rng);
        if (i % 50 == 0)
            purge_some(&rng);
        if (i % 20 == 0)
            compact_some();
        doze(2000);
    }
    return NULL;
}

static void *sync_stream(void *arg) {
    const struct js_clock *clock = js_env_default()->clock;

    (void)arg;
    for (unsigned i = 1; !atomic_load(&all.stop); i++) {
        int r = js_stream_sync(all.stream);
        if (r == 0)
            r = js_store_run_due(all.store, clock->now(clock->ctx));
        if (r == 0 && i % 100 == 0)
            r = js_stream_sync_blocks(all.stream);
        if (r < 0)
            COMPLAIN("sync: %s", js_err_name(r));
        /* Seldom enough for the buffer to fill up. */
        doze(all.async ? 300000 : 10000);
    }
    return NULL;
}

/* ---- the whole --------------------------------------------------------------------------------
 */

static int open_all(unsigned flags) {
    struct js_store_options options = {.flags = JS_OPEN_RW | JS_OPEN_CREATE | flags |
                                                (all.async ? JS_OPEN_ASYNC : 0),
                                       .sync = JS_SYNC_CLOSE,
                                       .scan_threads = 2,
                                       .block_size = all.async ? 3 << 20 : 96 << 10};
    int r = js_store_open(js_env_default(), all.dir, &options, &all.store, NULL, 0);

    return r < 0 ? r : js_store_get_stream(all.store, "A", "S", &all.stream);
}

static void close_all(void) {
    js_stream_unref(all.stream);
    all.stream = NULL;
    assert_int_equal(js_store_close(all.store), 0);
    all.store = NULL;
}

/* Every sequence that was given out: there, or removed. */
static void check_all(const char *when) {
    uint64_t last = atomic_load(&all.last), there = 0;
    struct js_stream_state st;

    for (js_seq_t seq = 1; seq <= last; seq++) {
        struct js_msg m;
        unsigned owner = atomic_load(&all.owner[seq]);
        bool gone = !owner || may_be_gone(seq, owner);
        int r = js_stream_load_msg(all.stream, seq, &m);
        if (r == 0) {
            if (gone || owner_of(&m) != (owner & OWNER))
                fail_msg("%s: message %llu of %u is %s", when, LL(seq), owner & OWNER,
                         gone ? "still there" : "another");
            there++;
            js_msg_release(&m);
        } else if (!gone) {
            fail_msg("%s: message %llu of %u: %s", when, LL(seq), owner & OWNER, js_err_name(r));
        }
    }
    js_stream_get_state(all.stream, &st);
    assert_int_equal(st.msgs, there);
    assert_int_equal(st.last_seq, last);
    assert_int_equal(js_stream_health(all.stream), JS_HEALTH_OK);
}

static void writers_readers_a_purger_and_a_syncer(void **state) {
    pthread_t threads[WRITERS + READERS + 2];
    size_t n = 0;
    char why[200] = "";

    (void)state;
    all.owner = calloc(MAX_MSGS, sizeof *all.owner);
    assert_non_null(all.owner);
    assert_int_equal(tempdir_make(all.dir, "writers"), 0);
    struct js_store_options options = {.flags = JS_OPEN_RW | JS_OPEN_CREATE};
    assert_int_equal(
        js_store_open(js_env_default(), all.dir, &options, &all.store, why, sizeof why), 0);
    assert_int_equal(js_store_create_stream(all.store, "A", "S",
                                            "{\"subjects\":[\"w.>\"],\"storage\":\"file\"}", why,
                                            sizeof why),
                     0);
    assert_int_equal(js_store_close(all.store), 0);
    assert_int_equal(open_all(0), 0);
    for (uintptr_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[n++], NULL, write_msgs, (void *)i), 0);
    for (uintptr_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[n++], NULL, read_msgs, (void *)i), 0);
    assert_int_equal(pthread_create(&threads[n++], NULL, remove_msgs, NULL), 0);
    assert_int_equal(pthread_create(&threads[n++], NULL, sync_stream, NULL), 0);
    for (double end = now() + all.seconds; now() < end && !atomic_load(&all.stop);)
        doze(50000);
    atomic_store(&all.stop, true);
    while (n)
        pthread_join(threads[--n], NULL);
    assert_int_equal(atomic_load(&all.failures), 0);
    print_message("# %llu messages\n", LL(atomic_load(&all.stored)));
    check_all("in memory");
    close_all();
    assert_int_equal(open_all(0), 0);
    check_all("opened again");
    close_all();
    assert_int_equal(open_all(JS_OPEN_SCAN), 0);
    check_all("read anew");
    close_all();
    free(all.owner);
}

static int clean(void **state) {
    (void)state;
    return tempdir_remove(all.dir);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(writers_readers_a_purger_and_a_syncer, clean),
    };

    all.seconds = argc > 1 ? atoi(argv[1]) : 20;
    all.async = argc > 2 && strcmp(argv[2], "async") == 0;
    if (all.seconds < 1 || all.seconds > 650) {
        fprintf(stderr, "SECONDS must be 1 to 650\n");
        return 2;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
