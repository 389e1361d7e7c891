/* SPDX-License-Identifier: Apache-2.0 */
/* What of consumers is on disk when, damage and its repair, many at once. */
#include "tests/core/consumer_states.h"

#include <pthread.h>

/* ---- what is on disk when -------------------------------------------------------------------- */

static struct js_consumer_state file_of(struct fixture *f, const char *name) {
    struct js_consumer_state st;
    char path[200];
    uint8_t *data;

    snprintf(path, sizeof path, OBS "c/%s", name);
    long len = rd_get(f->disk, path, &data);
    assert_true(len > 0);
    assert_int_equal(js_consumer_state_decode(js_env_default(), data, (size_t)len, &st), 0);
    free(data);
    return st;
}

static uint64_t delivered_on_disk(struct fixture *f, const char *name) {
    struct js_consumer_state st = file_of(f, name);
    uint64_t n = st.delivered_consumer;

    js_consumer_state_done(&st);
    return n;
}

static void run_due(struct fixture *f) {
    assert_int_equal(js_store_run_due(f->store, atomic_load(&f->te.now)), 0);
}

static void states_are_written_in_time(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 1000);
    assert_int_equal(delivered_on_disk(&f, "o.dat"), 0);
    for (uint64_t i = 1; i <= 3; i++)
        assert_int_equal(js_consumer_update_delivered(f.c, i, i, 1, TE_START), 0);
    assert_int_equal(delivered_on_disk(&f, "o.dat"), 0);
    js_time_t due = js_store_next_deadline(f.store);
    assert_true(due > 0 && due <= atomic_load(&f.te.now));
    run_due(&f);
    assert_int_equal(delivered_on_disk(&f, "o.dat"), 3);
    /* The next one not before 100 ms are over, and nothing is forgotten meanwhile. */
    assert_int_equal(js_consumer_update_delivered(f.c, 4, 4, 1, TE_START), 0);
    run_due(&f);
    assert_int_equal(delivered_on_disk(&f, "o.dat"), 3);
    due = js_store_next_deadline(f.store);
    assert_true(due > atomic_load(&f.te.now));
    assert_true(due <= atomic_load(&f.te.now) + TE_SECOND / 10);
    te_advance(&f.te, TE_SECOND / 10);
    run_due(&f);
    assert_int_equal(delivered_on_disk(&f, "o.dat"), 4);
    assert_int_equal(js_consumer_update_delivered(f.c, 5, 5, 1, TE_START), 0);
    assert_int_equal(js_consumer_sync(f.c), 0);
    assert_int_equal(delivered_on_disk(&f, "o.dat"), 5);
    assert_int_equal(js_consumer_update_delivered(f.c, 6, 6, 1, TE_START), 0);
    assert_int_equal(js_consumer_stop(f.c), 0);
    assert_int_equal(delivered_on_disk(&f, "o.dat"), 6);
    assert_int_equal(js_consumer_stop(f.c), 0);
    assert_int_equal(js_consumer_update_acks(f.c, 6, 6), JS_ERR_STORE_CLOSED);
    assert_int_equal(js_consumer_has_state(f.c), JS_ERR_STORE_CLOSED);
    fx_end(&f);
}

/* A mode that syncs nothing keeps the last state that is on disk beside the new one. */
static void the_state_before_is_kept(void **s) {
    struct fixture f = {0};
    uint8_t *data;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 9);
    fx_let_go(&f);
    f.sync = JS_SYNC_OS;
    fx_open(&f);
    assert_int_equal(js_stream_open_consumer(f.stream, "c", &f.c), 0);
    for (uint64_t i = 1; i <= 2; i++) {
        assert_int_equal(js_consumer_update_delivered(f.c, i, i, 1, TE_START), 0);
        te_advance(&f.te, TE_SECOND);
        run_due(&f);
        assert_int_equal(delivered_on_disk(&f, "o.dat"), i);
        assert_int_equal(delivered_on_disk(&f, "o.dat.prev"), 0);
    }
    /* Torn: the one before counts, and says so. */
    struct ramdisk *crashed = rd_clone(f.disk);
    assert_int_equal(rd_put(crashed, OBS "c/o.dat", "\x16", 1), 0);
    assert_int_equal(js_consumer_sync(f.c), 0);
    assert_true(rd_get(f.disk, OBS "c/o.dat.prev", &data) < 0);
    fx_end(&f);

    f = (struct fixture){.disk = crashed, .sync = JS_SYNC_CLOSE};
    te_init(&f.te, rd_io(crashed));
    fx_open(&f);
    assert_int_equal(js_stream_open_consumer(f.stream, "c", &f.c), 0);
    expect_floor(&f, 0, 0);
    assert_int_equal(js_stream_verify(f.stream), 0);
    assert_int_equal(js_stream_health(f.stream), JS_HEALTH_DAMAGED);
    fx_let_go(&f);
    assert_int_equal(delivered_on_disk(&f, "o.dat"), 0);
    assert_true(rd_get(f.disk, OBS "c/o.dat.prev", &data) < 0);
    rd_free(crashed);
}

static int problem_of(void *ctx, const struct js_consumer_info *info) {
    snprintf(ctx, 200, "%s", info->problem);
    return (int)info->health;
}

/* A damaged state deletes nobody; reset mends it. */
static void damaged_states_are_mended(void **s) {
    char problem[200];
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 9);
    fx_let_go(&f);
    assert_int_equal(rd_put(f.disk, OBS "c/o.dat", "\x16\x02\x05", 3), 0);
    fx_open(&f);
    assert_int_equal(js_stream_open_consumer(f.stream, "c", &f.c), JS_ERR_CORRUPT);
    f.c = NULL;
    assert_int_equal(js_consumer_get(f.stream, "c", problem_of, problem), JS_HEALTH_DAMAGED);
    assert_int_equal(js_stream_repair_consumer(f.stream, "c", 5), 0);
    assert_int_equal(js_stream_open_consumer(f.stream, "c", &f.c), 0);
    expect_floor(&f, 0, 4);
    assert_int_equal(js_consumer_get(f.stream, "c", problem_of, problem), JS_HEALTH_OK);
    fx_end(&f);
}

/* A consumer that is ahead of its stream (which lost its end) would skip what comes. */
static void states_past_the_end(void **s) {
    static const uint8_t ahead[] = {22, 2, 3, 30, 5, 50, 2, 0, 2, 2, 0, 15, 3, 0, 1, 15, 1};
    struct js_store_options ro = {0};
    char problem[200];
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 40);
    fx_let_go(&f);
    assert_int_equal(rd_put(f.disk, OBS "c/o.dat", ahead, sizeof ahead), 0);
    assert_int_equal(js_store_open(&f.te.env, "/s", &ro, &f.store, f.why, sizeof f.why), 0);
    assert_int_equal(js_store_get_stream(f.store, "$G", "S", &f.stream), 0);
    assert_int_equal(js_consumer_get(f.stream, "c", problem_of, problem), JS_HEALTH_DAMAGED);
    assert_non_null(strstr(problem, "past the stream's last sequence"));
    assert_int_equal(js_stream_open_consumer(f.stream, "c", &f.c), JS_ERR_READ_ONLY);
    f.c = NULL;
    fx_let_go(&f);
    fx_open(&f);
    assert_int_equal(js_stream_repair_consumer(f.stream, "c", 0), 0);
    assert_int_equal(js_consumer_get(f.stream, "c", problem_of, problem), JS_HEALTH_OK);
    assert_int_equal(js_stream_open_consumer(f.stream, "c", &f.c), 0);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.delivered_stream, 40);
    assert_int_equal(st.floor_stream, 30);
    assert_int_equal(st.num_pending, 1);
    js_consumer_state_done(&st);
    fx_end(&f);
}

static int gone_of(void *ctx, const struct js_consumer_info *info) {
    *(uint64_t *)ctx = info->num_gone;
    return 0;
}

/* Pending messages that a damaged block has lost: told, and reset forgets them. */
static void pending_that_is_lost(void **s) {
    char problem[200];
    struct fixture f;
    uint64_t gone;
    uint8_t *data;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 9);
    for (uint64_t i = 1; i <= 4; i++)
        assert_int_equal(js_consumer_update_delivered(f.c, i, i, 1, TE_START), 0);
    assert_int_equal(js_stream_remove_msg(f.stream, 1), 1);
    fx_let_go(&f);
    long len = rd_get(f.disk, "/s/jetstream/$G/streams/S/msgs/1.blk", &data);
    assert_true(len > 100);
    data[93] ^= 0x40; /* the payload of the third message */
    assert_int_equal(rd_put(f.disk, "/s/jetstream/$G/streams/S/msgs/1.blk", data, (size_t)len), 0);
    free(data);
    assert_int_equal(rd_remove(f.disk, "/s/jetstream/$G/streams/S/msgs/index.db"), 0);
    fx_open(&f);
    assert_int_equal(js_stream_scan(f.stream), 0);
    assert_int_equal(js_consumer_get(f.stream, "c", problem_of, problem), JS_HEALTH_DAMAGED);
    assert_non_null(strstr(problem, "lost or deleted"));
    assert_int_equal(js_consumer_get(f.stream, "c", gone_of, &gone), 0);
    assert_int_equal(gone, 2);
    assert_int_equal(js_stream_repair_consumer(f.stream, "c", 0), 0);
    assert_int_equal(js_consumer_get(f.stream, "c", problem_of, problem), JS_HEALTH_OK);
    assert_int_equal(js_stream_open_consumer(f.stream, "c", &f.c), 0);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.num_pending, 2);
    assert_int_equal(st.floor_stream, 1);
    js_consumer_state_done(&st);
    fx_end(&f);
}

/* TestFileStoreNoDirectoryNotEmptyError */
static void deleted_while_it_changes(void **s) {
    char name[20];
    struct fixture f;

    (void)s;
    fx_begin(&f, NULL, JS_SYNC_CLOSE);
    fill(&f, 100);
    for (int i = 0; i < 20; i++) {
        uint8_t *data;
        snprintf(name, sizeof name, "c%d", i);
        fx_consumer(&f, name, NULL);
        assert_int_equal(js_consumer_update_delivered(f.c, 1, 1, 1, TE_START), 0);
        run_due(&f);
        assert_int_equal(js_consumer_update_delivered(f.c, 2, 2, 1, TE_START), 0);
        assert_int_equal(js_stream_delete_consumer(f.stream, name, false), JS_ERR_LOCKED);
        assert_int_equal(js_consumer_delete(f.c), 0);
        assert_int_equal(js_consumer_set_starting(f.c, 5), JS_ERR_STORE_CLOSED);
        assert_int_equal(js_consumer_delete(f.c), JS_ERR_NO_CONSUMER);
        snprintf(f.why, sizeof f.why, OBS "c%d/meta.inf", i);
        assert_true(rd_get(f.disk, f.why, &data) < 0);
    }
    fx_end(&f);
}

static int count_name(void *ctx, const char *name) {
    (void)name;
    ++*(unsigned *)ctx;
    return 0;
}

/* What a crash left of others goes when one is made; nobody takes it for a consumer meanwhile. */
static void leftovers(void **s) {
    static const char *const left[] = {".a.new", ".b.gone"};
    const struct js_io *io;
    struct fixture f;
    unsigned n = 0;
    char path[200];
    uint8_t *data;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 3);
    fx_let_go(&f);
    io = rd_io(f.disk);
    int obs = io->open_dir(io->ctx, -1, "/s/jetstream/$G/streams/S/obs");
    assert_true(obs >= 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(io->mkdir(io->ctx, obs, left[i], 0700), 0);
        snprintf(path, sizeof path, OBS "%s/o.dat", left[i]);
        assert_int_equal(rd_put(f.disk, path, "x", 1), 0);
    }
    io->close(io->ctx, obs);
    fx_open(&f);
    assert_int_equal(js_stream_list_consumers(f.stream, count_name, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(js_stream_create_consumer(f.stream, "d", NULL, NULL, 0), 0);
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, OBS "%s/o.dat", left[i]);
        assert_true(rd_get(f.disk, path, &data) < 0);
    }
    n = 0;
    assert_int_equal(js_stream_list_consumers(f.stream, count_name, &n), 0);
    assert_int_equal(n, 2);
    fx_end(&f);
}

#define CONSUMERS 60
#define THREADS   4

struct crowd {
    struct fixture f;
    atomic_uint next;
    atomic_uint failed;
};

/* Makes, changes, writes and deletes consumers of its own. */
static void *one_of_many(void *ctx) {
    struct crowd *crowd = ctx;
    unsigned i;

    while ((i = atomic_fetch_add(&crowd->next, 1)) < CONSUMERS) {
        struct js_consumer *c;
        char name[20];
        snprintf(name, sizeof name, "c%u", i);
        int r = js_stream_create_consumer(crowd->f.stream, name, NULL, NULL, 0);
        if (r == 0)
            r = js_stream_open_consumer(crowd->f.stream, name, &c);
        if (r < 0) {
            atomic_fetch_add(&crowd->failed, 1);
            continue;
        }
        for (uint64_t k = 1; k <= 20 && r == 0; k++) {
            r = js_consumer_update_delivered(c, k, k, 1, TE_START);
            if (r == 0 && k % 3)
                r = js_consumer_update_acks(c, k, k);
            if (r == 0 && k % 7 == 0)
                r = js_consumer_sync(c);
        }
        if (r == 0 && i % 2)
            r = js_consumer_delete(c);
        js_consumer_unref(c);
        if (r < 0)
            atomic_fetch_add(&crowd->failed, 1);
    }
    return NULL;
}

/* NoRaceJetStreamConsumerFileStoreConcurrentDiskIO, TestFileStoreNoDirectoryNotEmptyError */
static void many_at_once(void **s) {
    static struct crowd crowd;
    pthread_t threads[THREADS];
    unsigned n = 0;

    (void)s;
    fx_begin(&crowd.f, NULL, JS_SYNC_CLOSE);
    fill(&crowd.f, 30);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, one_of_many, &crowd), 0);
    while (atomic_load(&crowd.next) < CONSUMERS) {
        te_advance(&crowd.f.te, TE_SECOND);
        (void)js_store_run_due(crowd.f.store, atomic_load(&crowd.f.te.now));
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&crowd.failed), 0);
    assert_int_equal(js_stream_list_consumers(crowd.f.stream, count_name, &n), 0);
    assert_int_equal(n, CONSUMERS / 2);
    fx_reopen(&crowd.f, "c40");
    expect_floor(&crowd.f, 2, 2);
    fx_end(&crowd.f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_are_written_in_time),
        cmocka_unit_test(the_state_before_is_kept),
        cmocka_unit_test(damaged_states_are_mended),
        cmocka_unit_test(states_past_the_end),
        cmocka_unit_test(pending_that_is_lost),
        cmocka_unit_test(deleted_while_it_changes),
        cmocka_unit_test(leftovers),
        cmocka_unit_test(many_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
