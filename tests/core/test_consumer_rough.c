/* SPDX-License-Identifier: Apache-2.0 */
/* Consumers under rough handling: states that others wrote, many threads. */
#include "tests/core/consumer_deliver.h"

#include <pthread.h>

/* ---- what others may have written ------------------------------------------------------------ */

#define STATE OBS "c/o.dat"

/* Whatever a state says: it is refused, or worked with. */
static void hostile_states(void **s) {
    static const uint8_t good[] = {22, 2, 2, 2, 9, 9, 3, 20, 1, 1, 4,
                                   2,  2, 6, 5, 5, 8, 2, 2,  1, 9, 3};
    uint8_t bytes[sizeof good + 12];
    unsigned opened = 0;
    struct fixture f;

    (void)s;
    begin(&f, NULL, "{\"ack_wait\":1000000000,\"max_deliver\":3,\"ack_policy\":\"explicit\"}");
    fx_store(&f, "s.a", 12);
    for (int i = 0; i < 1500; i++) {
        struct js_delivery d[16];
        struct js_pending p[16];
        js_seq_t q[16];
        size_t n;
        fx_let_go(&f);
        memcpy(bytes, good, sizeof good);
        for (size_t k = sizeof good; k < sizeof bytes; k++)
            bytes[k] = (uint8_t)rnd(256);
        bytes[1] = (uint8_t)(1 + i % 2);
        for (unsigned k = rnd(5); k > 0; k--)
            bytes[2 + rnd(sizeof bytes - 2)] = (uint8_t)(rnd(3) ? rnd(256) : rnd(4));
        assert_int_equal(rd_put(f.disk, STATE, bytes, sizeof bytes - rnd(12)), 0);
        fx_open(&f);
        if (js_stream_open_consumer(f.stream, "c", &f.c) < 0) {
            f.c = NULL;
            continue;
        }
        opened++;
        for (int round = 0; round < 5; round++) {
            te_advance(&f.te, 2 * TE_SECOND);
            run_due(&f);
            n = 0;
            (void)js_consumer_next(f.c, d, 5, &n);
            for (size_t k = 0; k < n; k++)
                (void)answer(&f, d[k].seq, (enum js_ack_kind)rnd(4), 0);
            (void)js_consumer_peek(f.c, rnd(20), q, 16, &n);
            assert_int_equal(js_consumer_inflight(f.c, 0, p, 16, &n), 0);
            for (size_t k = 0; k < n; k++)
                if (rnd(2))
                    assert_int_equal(answer(&f, p[k].stream_seq, JS_ACK, 0), 0);
        }
    }
    assert_true(opened > 200);
    assert_int_equal(fx_msgs(&f), 12);
    if (!f.c)
        assert_int_equal(js_stream_repair_consumer(f.stream, "c", 1), 0);
    fx_reopen(&f, "c");
    fx_end(&f);
}

/* Version 1 knows no consumer sequences: its messages can be acknowledged all the same. */
static void first_version(void **s) {
    static const uint8_t old[] = {22, 1, 2, 2, 4, 8, 2, 0, 1, 0, 3, 0, 0};
    struct fixture f;

    (void)s;
    begin(&f, NULL, NULL);
    fx_store(&f, "s.a", 12);
    fx_let_go(&f);
    assert_int_equal(rd_put(f.disk, STATE, old, sizeof old), 0);
    fx_open(&f);
    assert_int_equal(js_stream_open_consumer(f.stream, "c", &f.c), 0);
    expect_floor(&f, 2, 2);
    ack(&f, 3);
    ack(&f, 5);
    expect_floor(&f, 9, 0);
    expect_next(&f, 10, 1, 2);
    fx_end(&f);
}

/* ---- threads
 * ------------------------------------------------------------------------------------- */

#define WORK    4000
#define WORKERS 4

struct race {
    struct fixture f;
    atomic_uint seen[WORK + 1];
    atomic_uint done;
};

static void *work(void *ctx) {
    struct race *race = ctx;
    struct js_delivery d[3];
    struct js_ack a[3];
    size_t n, done;

    while (atomic_load(&race->done) < WORK) {
        if (js_consumer_next(race->f.c, d, 3, &n) < 0)
            continue;
        for (size_t i = 0; i < n; i++) {
            atomic_fetch_add(&race->seen[d[i].seq], 1);
            a[i] = (struct js_ack){.seq = d[i].seq, .kind = JS_ACK};
        }
        if (js_consumer_ack(race->f.c, a, n, &done) == 0)
            atomic_fetch_add(&race->done, (unsigned)n);
    }
    return NULL;
}

static void racing_workers(void **s) {
    static struct race race;
    pthread_t threads[WORKERS];

    (void)s;
    fx_begin(&race.f, "workqueue", JS_SYNC_OS);
    fx_consumer(&race.f, "c", NULL);
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &race), 0);
    for (int i = 0; i < WORK / 100; i++) {
        fx_store(&race.f, "s.a", 100);
        run_due(&race.f);
    }
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 1; i <= WORK; i++)
        assert_int_equal(atomic_load(&race.seen[i]), 1);
    assert_int_equal(fx_msgs(&race.f), 0);
    expect_floor(&race.f, WORK, 0);
    fx_end(&race.f);
}

static void count_ready(void *ctx, struct js_consumer *c) {
    (void)c;
    ++*(unsigned *)ctx;
}

static void who_waits_is_told(void **s) {
    struct fixture f;
    unsigned n = 0;

    (void)s;
    begin(&f, NULL, "{\"ack_wait\":1000000000,\"max_ack_pending\":1,\"ack_policy\":\"explicit\"}");
    js_consumer_on_ready(f.c, count_ready, &n);
    fx_store(&f, "s.a", 1);
    assert_int_equal(n, 1);
    (void)next(&f);
    te_advance(&f.te, 2 * TE_SECOND);
    run_due(&f);
    assert_int_equal(n, 2);
    (void)next(&f);
    ack(&f, 1);
    assert_int_equal(n, 3);
    js_consumer_on_ready(f.c, NULL, NULL);
    fx_store(&f, "s.a", 1);
    assert_int_equal(n, 3);
    fx_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_states),
        cmocka_unit_test(first_version),
        cmocka_unit_test(racing_workers),
        cmocka_unit_test(who_waits_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
