/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads on one stream: readers, a writer and a remover on a handle that writes; readers and
 * one who refreshes on a read-only handle of a directory that another handle appends to. What a
 * reader is given is right in itself; at the end the stream is what the model says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/core/query_store.h"

#define READERS 3
#define APPENDS 6000
#define SECONDS 3
#define PLANTED 1000

/* A store of small blocks was planted; appended messages follow, number 1 with sequence base + 1. */
struct shared {
    struct qm *m; /* what was planted; the others are added when the threads are done */
    js_seq_t base;
    struct js_stream *writing, *reading;
    js_time_t times[APPENDS + 1];
    uint32_t blocks[APPENDS + 1];
    atomic_bool removed[APPENDS + 1];
    atomic_bool removed_planted[PLANTED]; /* by index in the model */
    size_t planted;
    atomic_uint appended, removals;
    atomic_bool done;
    atomic_int failures;
    char first_failure[300]; /* of whoever raised failures from 0 */
    bool refresh;
};

#define FAILED(sh, ...)                                                                            \
    do {                                                                                           \
        if (atomic_fetch_add(&(sh)->failures, 1) == 0)                                             \
            snprintf((sh)->first_failure, sizeof(sh)->first_failure, __VA_ARGS__);                 \
    } while (0)

/* What message seq is: anybody can tell from the sequence alone. */
static struct qm_msg message(const struct shared *sh, js_seq_t seq) {
    uint64_t x = seq * 0x9e3779b97f4a7c15ull >> 32;
    const struct qm_msg *planted = seq <= sh->base ? qm_find(sh->m, seq) : NULL;

    if (planted)
        return *planted;
    return (struct qm_msg){.seq = seq,
                           .sid = (uint32_t)(x % sh->m->num_subjects),
                           .has_hdr = seq % 5 == 0,
                           .data_len = (uint32_t)(x % 400)};
}

/* ---- those who write ------------------------------------------------------------------------ */

static void *append(void *arg) {
    struct shared *sh = arg;
    struct timespec t0, t;

    clock_gettime(CLOCK_MONOTONIC, &t0);
    for (unsigned i = 1; i <= APPENDS && atomic_load(&sh->failures) == 0; i++) {
        struct qm_msg g = message(sh, sh->base + i);
        char hdr[64];
        uint8_t data[512];
        js_seq_t seq = 0;
        struct js_msg_stat st;
        size_t hlen = qm_hdr(&g, hdr);
        const char *subject = sh->m->subjects[g.sid];
        qm_data(&g, data);
        int r = js_stream_store_msg(sh->writing, subject, strlen(subject),
                                    hlen ? (const uint8_t *)hdr : NULL, hlen, data, g.data_len,
                                    &seq, &sh->times[i]);
        if (r != 0 || seq != sh->base + i) {
            FAILED(sh, "append %u: %s", i, js_err_name(r));
            break;
        }
        r = js_stream_stat_msg(sh->writing, seq, &st);
        sh->blocks[i] = r == 0 ? st.block : 0;
        if (r != 0)
            FAILED(sh, "stat %u: %s", i, js_err_name(r));
        atomic_store(&sh->appended, i);
        clock_gettime(CLOCK_MONOTONIC, &t);
        if (t.tv_sec - t0.tv_sec >= SECONDS)
            break;
    }
    atomic_store(&sh->done, true);
    return NULL;
}

/* Leaves the newest alone, so that the one who appends can ask for them. */
static void *remove_some(void *arg) {
    struct shared *sh = arg;
    struct qm_rng rng = {.state = qm_seed()};

    while (!atomic_load(&sh->done)) {
        unsigned n = atomic_load(&sh->appended);
        if (n < 20 || atomic_load(&sh->removals) > n / 2)
            continue;
        bool planted = qm_once_in(&rng, 8);
        size_t i = planted ? qm_below(&rng, sh->planted) : 1 + qm_below(&rng, n - 10);
        js_seq_t seq = planted ? sh->m->msgs[i].seq : sh->base + i;
        atomic_bool *removed = planted ? &sh->removed_planted[i] : &sh->removed[i];
        bool there = !atomic_load(removed);
        int r = js_stream_remove_msg(sh->writing, seq);
        if (r != there)
            FAILED(sh, "remove %llu: %d", (unsigned long long)seq, r);
        atomic_store(removed, true);
        atomic_fetch_add(&sh->removals, 1);
    }
    return NULL;
}

static void *refresh(void *arg) {
    struct shared *sh = arg;

    while (!atomic_load(&sh->done)) {
        int r = js_stream_refresh(sh->reading);
        if (r < 0)
            FAILED(sh, "refresh: %s", js_err_name(r));
    }
    return NULL;
}

/* ---- those who read ------------------------------------------------------------------------- */

static void check_view(struct shared *sh, const char *what, const struct js_msg *msg) {
    struct qm_msg g = message(sh, msg->seq);
    char hdr[64];
    uint8_t data[2048];
    size_t hlen = qm_hdr(&g, hdr);
    const char *subject = sh->m->subjects[g.sid];

    qm_data(&g, data);
    if (msg->seq == 0 || msg->seq > sh->base + APPENDS || msg->subject_len != strlen(subject) ||
        memcmp(msg->subject, subject, msg->subject_len) != 0 || msg->hdr_len != hlen ||
        (hlen && memcmp(msg->hdr, hdr, hlen) != 0) || msg->data_len != g.data_len ||
        memcmp(msg->data, data, g.data_len) != 0)
        FAILED(sh, "%s: message %llu is not what was stored", what, (unsigned long long)msg->seq);
}

/* A result that may be: the message, or nothing there. */
static bool got(struct shared *sh, const char *what, int r) {
    if (r < 0 && r != JS_ERR_EOF && r != JS_ERR_MSG_NOT_FOUND && r != JS_ERR_DELETED_MSG)
        FAILED(sh, "%s: %s", what, js_err_name(r));
    return r == 0;
}

static void read_message(struct shared *sh, struct qm_rng *rng, const struct qm_filter *f,
                         js_seq_t seq) {
    struct js_stream *s = sh->reading;
    struct js_msg msg;
    char pattern[QM_SUBJECT_SIZE + 8];
    bool forward = qm_once_in(rng, 2), by_filter = qm_once_in(rng, 2);

    if (qm_once_in(rng, 4)) {
        qm_random_pattern(sh->m, rng, pattern);
        if (got(sh, "last", js_stream_load_last_msg(s, pattern, strlen(pattern), &msg))) {
            check_view(sh, "last", &msg);
            js_msg_release(&msg);
        }
        return;
    }
    int r = !by_filter ? js_stream_load_msg(s, seq, &msg)
            : forward  ? js_stream_load_next_msg(s, f->given, seq, &msg)
                       : js_stream_load_prev_msg(s, f->given, seq, &msg);
    if (!got(sh, by_filter ? "next or prev" : "load", r))
        return;
    check_view(sh, "load", &msg);
    if (by_filter && (forward ? msg.seq < seq : msg.seq > seq))
        FAILED(sh, "next or prev of %llu: %llu", (unsigned long long)seq,
               (unsigned long long)msg.seq);
    if (by_filter && !f->match[message(sh, msg.seq).sid])
        FAILED(sh, "next or prev: %llu does not match", (unsigned long long)msg.seq);
    js_msg_release(&msg);
}

static void read_lists(struct shared *sh, struct qm_rng *rng, const struct qm_filter *f,
                       js_seq_t seq) {
    struct js_stream *s = sh->reading;
    js_seq_t seqs[40], *newest = NULL;
    size_t n = 0;

    if (got(sh, "list", js_stream_list_seqs(s, f->given, seq, false, seqs, 40, &n))) {
        for (size_t i = 0; i < n; i++)
            if (seqs[i] < seq || (i && seqs[i] <= seqs[i - 1]) || seqs[i] > sh->base + APPENDS ||
                !f->match[message(sh, seqs[i]).sid])
                FAILED(sh, "list: %llu at %zu", (unsigned long long)seqs[i], i);
    }
    if (qm_once_in(rng, 2))
        return;
    if (got(sh, "newest", js_stream_last_seqs(s, f->given, 0, 0, &newest, &n))) {
        bool seen[QM_MAX_SUBJECTS] = {false};
        for (size_t i = 0; i < n; i++) {
            struct qm_msg g = message(sh, newest[i]);
            if ((i && newest[i] <= newest[i - 1]) || seen[g.sid] || !f->match[g.sid])
                FAILED(sh, "newest: %llu at %zu", (unsigned long long)newest[i], i);
            seen[g.sid] = true;
        }
        if (newest)
            js_stream_free_seqs(s, newest);
    }
}

static int subject_seen(void *ctx, const char *subject, size_t len,
                        const struct js_subject_state *st) {
    struct shared *sh = ctx;

    if (st->msgs == 0 || st->first_seq > st->last_seq ||
        st->msgs > st->last_seq - st->first_seq + 1 || st->last_seq > sh->base + APPENDS)
        FAILED(sh, "subject %.*s: %llu from %llu to %llu", (int)len, subject,
               (unsigned long long)st->msgs, (unsigned long long)st->first_seq,
               (unsigned long long)st->last_seq);
    return 0;
}

static int token_seen(void *ctx, const struct js_token *token) {
    if (!token->exact && !token->children)
        FAILED((struct shared *)ctx, "a token without anything");
    return 0;
}

static int run_seen(void *ctx, js_seq_t first, js_seq_t last) {
    if (first > last)
        FAILED((struct shared *)ctx, "deleted: %llu to %llu", (unsigned long long)first,
               (unsigned long long)last);
    return 0;
}

static void read_sums(struct shared *sh, struct qm_rng *rng, const struct qm_filter *f,
                      js_seq_t seq) {
    struct js_stream *s = sh->reading;
    struct js_subject_state st;
    struct js_totals t;
    uint64_t n = 0;
    js_seq_t through = 0, at;

    switch (qm_below(rng, 7)) {
    case 0:
        if (got(sh, "pending", js_stream_num_pending(s, seq, f->given, qm_once_in(rng, 2), &n,
                                                     &through)) &&
            (n > sh->planted + APPENDS || (n && through < seq)))
            FAILED(sh, "pending: %llu", (unsigned long long)n);
        break;
    case 1:
        if (got(sh, "filtered", js_stream_filtered_state(s, seq, f->given, &st)) && st.msgs &&
            (st.first_seq > st.last_seq || st.msgs > st.last_seq - st.first_seq + 1))
            FAILED(sh, "filtered state");
        break;
    case 2:
        if (got(sh, "totals", js_stream_totals(s, f->given, seq, 0, &t)) && t.msgs &&
            (t.first_seq < seq || t.first_seq > t.last_seq || t.bytes < t.payload_bytes))
            FAILED(sh, "totals");
        break;
    case 3:
        (void)got(sh, "subjects", js_stream_subjects(s, f->given, subject_seen, sh));
        break;
    case 4:
        (void)got(sh, "tokens",
                  js_stream_list_tokens(s, "", 0, JS_NO_ID, token_seen, sh));
        break;
    case 5:
        (void)got(sh, "deleted", js_stream_deleted(s, run_seen, sh));
        break;
    default:
        (void)got(sh, "from time", js_stream_seq_from_time(s, (js_time_t)qm_next(rng), &at));
    }
}

static void read_on(struct shared *sh, struct js_iter *it, js_seq_t from) {
    for (int i = 0; i < 8; i++) {
        struct js_msg msg;
        if (!got(sh, "iterator", js_iter_next(it, from, &msg)))
            break;
        if (msg.seq < from)
            FAILED(sh, "iterator goes back");
        check_view(sh, "iterator", &msg);
        from = msg.seq + 1;
    }
}

/* Many in order, forward or backward: enough to make the stream read blocks ahead. */
static void walk(struct shared *sh, struct qm_rng *rng, js_seq_t seq) {
    bool forward = qm_once_in(rng, 2), step = qm_once_in(rng, 2);

    for (int i = 0; i < 400 && seq > 0; i++) {
        struct js_msg msg = {.seq = seq};
        int r = step      ? js_stream_load_msg(sh->reading, seq, &msg)
                : forward ? js_stream_load_next_msg(sh->reading, NULL, seq, &msg)
                          : js_stream_load_prev_msg(sh->reading, NULL, seq, &msg);
        if (got(sh, "walk", r)) {
            check_view(sh, "walk", &msg);
            seq = msg.seq;
            js_msg_release(&msg);
        } else if (!step) {
            break;
        }
        seq = forward ? seq + 1 : seq - 1;
    }
}

static void *read_random(void *arg) {
    struct shared *sh = arg;
    static atomic_uint number;
    struct qm_rng rng = {.state = qm_seed() + 77 + atomic_fetch_add(&number, 1)};
    struct qm_filter f;
    struct js_iter *it = NULL;
    js_seq_t last = 0;

    if (js_iter_open(sh->reading, NULL, &it) < 0) {
        FAILED(sh, "iterator");
        return NULL;
    }
    while (!atomic_load(&sh->done) && atomic_load(&sh->failures) == 0) {
        struct js_stream_state st;
        js_stream_get_state(sh->reading, &st);
        if (st.last_seq < last || st.msgs > st.last_seq)
            FAILED(sh, "state goes back");
        last = st.last_seq;
        js_seq_t seq = 1 + qm_below(&rng, last + 2);
        if (seq < sh->m->first)
            seq = sh->m->msgs[qm_below(&rng, sh->planted)].seq;
        qm_random_filter(sh->m, &rng, &f);
        switch (qm_below(&rng, 5)) {
        case 4:
            walk(sh, &rng, seq);
            break;
        case 0:
            read_lists(sh, &rng, &f, seq);
            break;
        case 1:
            read_sums(sh, &rng, &f, seq);
            break;
        case 2:
            read_on(sh, it, seq);
            break;
        default:
            read_message(sh, &rng, &f, seq);
        }
    }
    js_iter_close(it);
    return NULL;
}

/* ---- all together --------------------------------------------------------------------------- */

static void work(struct shared *sh) {
    pthread_t t[READERS + 3];
    size_t n = 0;

    assert_int_equal(pthread_create(&t[n++], NULL, append, sh), 0);
    assert_int_equal(pthread_create(&t[n++], NULL, remove_some, sh), 0);
    if (sh->refresh)
        assert_int_equal(pthread_create(&t[n++], NULL, refresh, sh), 0);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&t[n++], NULL, read_random, sh), 0);
    while (n > 0)
        pthread_join(t[--n], NULL);
    if (atomic_load(&sh->failures))
        fail_msg("JETFS_TEST_SEED=%llu: %s (and %d more)", (unsigned long long)qm_seed(),
                 sh->first_failure, atomic_load(&sh->failures) - 1);
}

static void fill_model(struct shared *sh) {
    unsigned n = atomic_load(&sh->appended);

    for (size_t i = 0; i < sh->planted; i++)
        if (atomic_load(&sh->removed_planted[i]))
            sh->m->msgs[i].kind = QM_GONE;
    for (unsigned i = 1; i <= n; i++) {
        struct qm_msg g = message(sh, sh->base + i);
        g.time = sh->times[i];
        g.block = sh->blocks[i];
        g.kind = atomic_load(&sh->removed[i]) ? QM_GONE : QM_LIVE;
        qm_add(sh->m, &g);
    }
    sh->m->gone_unknown = true;
    qm_settle(sh->m);
}

static void check_model(struct shared *sh, struct js_stream *s, const char *which) {
    struct qm_rng rng = {.state = qm_seed()};
    int r = qm_ask_all(sh->m, s);

    for (int i = 0; i < 300 && r == 0; i++)
        r = qm_ask(sh->m, s, &rng);
    if (r != 0)
        fail_msg("at the end, %s: %s", which, r < 0 ? js_err_name(r) : sh->m->why);
}

static void together(bool with_refresh) {
    struct shared *sh = calloc(1, sizeof *sh);
    struct qm *m = malloc(sizeof *m);
    struct js_store *store, *other = NULL;
    char dir[] = "/tmp/jetfs-threads.XXXXXX";
    struct qm_rng rng = {.state = qm_seed()};

    assert_non_null(sh);
    assert_non_null(m);
    assert_non_null(mkdtemp(dir));
    assert_int_equal(qs_plant(dir, QS_TINY, &rng, m), 0);
    sh->m = m;
    sh->base = m->last;
    sh->planted = m->count;
    assert_in_range(m->count, 1, PLANTED);
    assert_int_equal(qs_open(NULL, dir, JS_OPEN_RW, 0, &store, &sh->writing), 0);
    sh->reading = sh->writing;
    sh->refresh = with_refresh;
    if (with_refresh)
        assert_int_equal(qs_open(NULL, dir, 0, 0, &other, &sh->reading), 0);
    work(sh);
    fill_model(sh);
    check_model(sh, sh->writing, "writer");
    js_stream_unref(sh->writing);
    assert_int_equal(js_store_close(store), 0);
    if (with_refresh) {
        assert_true(js_stream_refresh(sh->reading) >= 0);
        check_model(sh, sh->reading, "reader");
        js_stream_unref(sh->reading);
        js_store_close(other);
    }
    assert_int_equal(qs_open(NULL, dir, 0, 0, &store, &sh->writing), 0);
    check_model(sh, sh->writing, "reopened");
    js_stream_unref(sh->writing);
    js_store_close(store);
    qm_done(m);
    free(m);
    free(sh);
    qs_remove(dir);
}

static void readers_a_writer_and_a_remover(void **state) {
    (void)state;
    together(false);
}

static void readers_of_a_directory_that_grows(void **state) {
    (void)state;
    together(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_a_writer_and_a_remover),
        cmocka_unit_test(readers_of_a_directory_that_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
