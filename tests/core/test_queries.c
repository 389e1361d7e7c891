/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every question of core/jetstore.h against a model that looks at everything: 100,000 random ones
 * for each kind of store, opened in every way. Each store follows from the seed, its kind and its
 * number: JETFS_TEST_SEED sets the seed, JETFS_TEST_STORE=n asks the n-th store of each kind alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/core/query_store.h"

#define QUESTIONS 100000

/* ---- stores that are read ------------------------------------------------------------------- */

enum opening { OPEN_SCAN, OPEN_LAZY, OPEN_THEN_SCAN, OPEN_NO_ROOM, OPENINGS };

static const char *const opening_names[] = {"with a scan", "by index.db", "scanned in between",
                                            "with no room for the index"};

struct kind {
    const char *name;
    unsigned flags;
};

static const struct kind kinds[] = {
    {"plain", 0},
    {"plain_deletes", QS_TOMBSTONES | QS_INDEX_DELETES},
    {"plain_large", QS_LARGE | QS_TOMBSTONES},
    {"many_subjects", QS_MANY_SUBJECTS | QS_TOMBSTONES},
    {"s2", QS_COMPRESSED | QS_TOMBSTONES},
    {"chacha", QS_CHACHA | QS_TOMBSTONES},
    {"aes", QS_AES | QS_INDEX_DELETES},
    {"aes_s2", QS_AES | QS_COMPRESSED | QS_TOMBSTONES},
    {"tiny", QS_TINY | QS_TOMBSTONES | QS_INDEX_DELETES},
    {"sparse", QS_SPARSE | QS_TINY},
    {"sparse_deletes", QS_SPARSE | QS_TOMBSTONES | QS_INDEX_DELETES},
    {"tombstones", QS_TOMBSTONES},
    {"index_deletes", QS_INDEX_DELETES},
    {"damage", QS_DAMAGE | QS_TOMBSTONES},
    {"damage_more", QS_DAMAGE | QS_COMPRESSED | QS_CHACHA | QS_SPARSE | QS_INDEX_DELETES},
};

static uint64_t store_seed(size_t kind, size_t number) {
    struct qm_rng rng = {.state = qm_seed() + kind * 1000003 + number * 7919};
    return qm_next(&rng);
}

/* Opens the store and asks n questions. */
static void ask_session(const struct kind *kind, size_t number, const char *dir, struct qm *m,
                        enum opening how, size_t n, struct qm_rng *rng) {
    static const uint64_t rooms[] = {1, 1000, 20000};
    uint64_t room = how == OPEN_NO_ROOM ? rooms[qm_below(rng, 3)] : 0;
    size_t scan_at = how == OPEN_THEN_SCAN ? qm_below(rng, n) : SIZE_MAX;
    bool fuzzy = m->fuzzy;
    struct js_store *store;
    struct js_stream *stream;

    if (how == OPEN_SCAN)
        m->fuzzy = false;
    int r = qs_open(NULL, dir, how == OPEN_SCAN ? JS_OPEN_SCAN : 0, room, &store, &stream);
    if (r < 0)
        fail_msg("%s: store %zu (seed %llu): open: %s", kind->name, number,
                 (unsigned long long)qm_seed(), js_err_name(r));
    for (size_t i = 0; i < n; i++) {
        if (i == scan_at) {
            assert_int_equal(js_stream_scan(stream), 0);
            m->fuzzy = false;
        }
        r = qm_ask(m, stream, rng);
        if (r < 0)
            snprintf(m->why, sizeof m->why, "%s", js_err_name(r));
        if (r != 0)
            fail_msg("%s: store %zu (JETFS_TEST_SEED=%llu JETFS_TEST_STORE=%zu), opened %s, "
                     "question %zu: %s",
                     kind->name, number, (unsigned long long)qm_seed(), number,
                     opening_names[how], i, m->why);
    }
    if (!m->damage && js_stream_health(stream) != JS_HEALTH_OK)
        fail_msg("%s: store %zu: health %s", kind->name, number,
                 js_health_name(js_stream_health(stream)));
    js_stream_unref(stream);
    assert_int_equal(js_store_close(store), 0);
    m->fuzzy = fuzzy;
}

static void ask_store(size_t k, size_t number, size_t *asked) {
    struct qm_rng rng = {.state = store_seed(k, number)};
    unsigned flags = kinds[k].flags;
    char dir[] = "/tmp/jetfs-queries.XXXXXX";
    struct qm *m = malloc(sizeof *m);

    assert_non_null(m);
    assert_non_null(mkdtemp(dir));
    if (qm_once_in(&rng, 4))
        flags |= QS_NO_INDEX;
    if (qm_once_in(&rng, 5))
        flags |= QS_FEW_SUBJECTS;
    assert_int_equal(qs_plant(dir, flags, &rng, m), 0);
    for (unsigned how = 0; how < OPENINGS; how++) {
        /* Short sessions: what is asked first is answered by the least that was read. */
        size_t n = 1 + qm_below(&rng, qm_once_in(&rng, 3) ? 1500 : 80);
        ask_session(&kinds[k], number, dir, m, (enum opening)how, n, &rng);
        *asked += n;
    }
    qm_done(m);
    free(m);
    qs_remove(dir);
}

static void stores_answer_like_the_model(void **state) {
    size_t k = (size_t)((const struct kind *)*state - kinds), asked = 0;
    const char *only = getenv("JETFS_TEST_STORE");

    if (only) {
        ask_store(k, strtoul(only, NULL, 0), &asked);
        return;
    }
    for (size_t number = 0; asked < QUESTIONS; number++)
        ask_store(k, number, &asked);
}

/* ---- stores that are written ---------------------------------------------------------------- */

struct written {
    const char *name, *limits; /* further fields of the configuration */
    uint64_t max_msgs, max_per_subject, max_bytes;
    bool discard_new;
};

static const struct written writtens[] = {
    /* Blocks of 32,000 bytes: a quarter of what the stream may hold, at least. */
    {"written", ",\"max_bytes\":120000", 0, 0, 120000, false},
    {"written_max_msgs", ",\"max_msgs\":40", 40, 0, 0, false},
    {"written_max_per_subject", ",\"max_bytes\":120000,\"max_msgs_per_subject\":3", 0, 3, 120000,
     false},
    {"written_both", ",\"max_msgs\":40,\"max_msgs_per_subject\":2", 40, 2, 0, false},
    {"written_discard_new", ",\"max_msgs\":40,\"discard\":\"new\"", 40, 0, 0, true},
};

static void gone(struct qm *m, struct qm_msg *g) {
    g->kind = QM_GONE;
    if (g->seq == m->first)
        qm_settle(m);
}

/* Takes out what the limits do not allow. */
static void limit_model(struct qm *m, const struct written *w, uint32_t sid) {
    uint64_t live = 0, same = 0, bytes = 0;

    for (size_t i = 0; i < m->count; i++) {
        if (m->msgs[i].kind != QM_LIVE)
            continue;
        live++;
        same += m->msgs[i].sid == sid;
        bytes += qm_record_len(m, &m->msgs[i]);
    }
    for (size_t i = 0; w->max_per_subject && same > w->max_per_subject; i++) {
        if (m->msgs[i].kind == QM_LIVE && m->msgs[i].sid == sid) {
            bytes -= qm_record_len(m, &m->msgs[i]);
            gone(m, &m->msgs[i]);
            same--;
            live--;
        }
    }
    for (size_t i = 0; (w->max_msgs && live > w->max_msgs) || (w->max_bytes && bytes > w->max_bytes);
         i++) {
        if (m->msgs[i].kind == QM_LIVE) {
            bytes -= qm_record_len(m, &m->msgs[i]);
            gone(m, &m->msgs[i]);
            live--;
        }
    }
}

static void append_one(struct qm *m, struct js_stream *s, const struct written *w,
                       struct qm_rng *rng) {
    struct qm_msg g = {.seq = m->last + 1,
                       .sid = (uint32_t)qm_below(rng, m->num_subjects),
                       .has_hdr = qm_once_in(rng, 5),
                       .data_len = (uint32_t)qm_below(rng, 700)};
    uint64_t live = 0;
    char hdr[64];
    uint8_t data[1024];
    js_seq_t seq = 0;
    struct js_msg_stat st;

    for (size_t i = 0; i < m->count; i++)
        live += m->msgs[i].kind == QM_LIVE;
    size_t hlen = qm_hdr(&g, hdr);
    qm_data(&g, data);
    int r = js_stream_store_msg(s, m->subjects[g.sid], strlen(m->subjects[g.sid]),
                                hlen ? (const uint8_t *)hdr : NULL, hlen, data, g.data_len, &seq,
                                &g.time);
    if (w->discard_new && live >= w->max_msgs) {
        assert_int_equal(r, JS_ERR_MAX_MSGS);
        return;
    }
    assert_int_equal(r, 0);
    assert_int_equal(seq, g.seq);
    assert_int_equal(js_stream_stat_msg(s, seq, &st), 0);
    g.block = st.block;
    qm_add(m, &g);
    if (m->first == m->last || m->count == 1)
        m->first = m->last;
    limit_model(m, w, g.sid);
}

static void remove_one(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    if (m->count == 0)
        return;
    struct qm_msg *g = &m->msgs[qm_below(rng, m->count)];
    int r = js_stream_remove_msg(s, g->seq);
    assert_int_equal(r, g->kind == QM_LIVE);
    if (g->kind == QM_LIVE)
        gone(m, g);
}

static void write_and_ask(const struct written *w, size_t number, size_t n) {
    struct qm_rng rng = {.state = store_seed(100 + (size_t)(w - writtens), number)};
    char dir[] = "/tmp/jetfs-queries.XXXXXX", config[512], why[200] = "";
    struct qm *m = malloc(sizeof *m);
    struct js_store *store;
    struct js_stream *s;
    struct js_store_options options = {.flags = JS_OPEN_RW | JS_OPEN_CREATE, .sync = JS_SYNC_OS};

    assert_non_null(m);
    assert_non_null(mkdtemp(dir));
    qm_init(m);
    qm_make_subjects(m, &rng, 2 + (uint32_t)qm_below(&rng, 30));
    m->first = 1;
    m->gone_unknown = true;
    snprintf(config, sizeof config,
             "{\"name\":\"S\",\"subjects\":[\">\"],\"storage\":\"file\",\"no_ack\":true%s}", w->limits);
    if (js_store_open(js_env_default(), dir, &options, &store, why, sizeof why) < 0 ||
        js_store_create_stream(store, "$G", "S", config, why, sizeof why) < 0)
        fail_msg("%s: %s", w->name, why);
    assert_int_equal(js_store_get_stream(store, "$G", "S", &s), 0);
    for (size_t i = 0; i < n; i++) {
        uint64_t what = qm_below(&rng, 100);
        int r = 0;
        if (what < 25) {
            append_one(m, s, w, &rng);
        } else if (what < 33) {
            remove_one(m, s, &rng);
        } else if (qm_once_in(&rng, 400)) {
            js_stream_unref(s);
            assert_int_equal(js_store_close(store), 0);
            bool rw = !qm_once_in(&rng, 3);
            assert_int_equal(qs_open(NULL, dir, rw ? JS_OPEN_RW : 0,
                                     qm_once_in(&rng, 2) ? 0 : 1, &store, &s),
                             0);
            for (int k = 0; k < 100 && r == 0; k++)
                r = qm_ask(m, s, &rng);
            if (!rw && r == 0) {
                js_stream_unref(s);
                assert_int_equal(js_store_close(store), 0);
                assert_int_equal(qs_open(NULL, dir, JS_OPEN_RW, 0, &store, &s), 0);
            }
        } else {
            r = qm_ask(m, s, &rng);
        }
        if (r < 0)
            snprintf(m->why, sizeof m->why, "%s", js_err_name(r));
        if (r != 0)
            fail_msg("%s: store %zu (JETFS_TEST_SEED=%llu), step %zu: %s", w->name, number,
                     (unsigned long long)qm_seed(), i, m->why);
    }
    js_stream_unref(s);
    assert_int_equal(js_store_close(store), 0);
    qm_done(m);
    free(m);
    qs_remove(dir);
}

static void written_stores_answer_like_the_model(void **state) {
    const struct written *w = *state;

    for (size_t number = 0; number < 8; number++)
        write_and_ask(w, number, number % 4 ? 1500 : 8000);
}

int main(void) {
    struct CMUnitTest tests[32];
    size_t n = 0;

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        tests[n++] = (struct CMUnitTest){.name = kinds[i].name,
                                         .test_func = stores_answer_like_the_model,
                                         .initial_state = (void *)(uintptr_t)&kinds[i]};
    for (size_t i = 0; i < sizeof writtens / sizeof *writtens; i++)
        tests[n++] = (struct CMUnitTest){.name = writtens[i].name,
                                         .test_func = written_stores_answer_like_the_model,
                                         .initial_state = (void *)(uintptr_t)&writtens[i]};
    return _cmocka_run_group_tests("queries", tests, n, NULL, NULL);
}
