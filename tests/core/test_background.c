/* SPDX-License-Identifier: Apache-2.0 */
/* The store's own thread (core/store/background.c), on real files and with the real clock: what
 * time makes due is done though nobody calls. */
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
#include <sys/stat.h>
#include <time.h>

#include "core/jetstore.h"
#include "tests/support/tempdir.h"

#define PATIENCE_S 30

static char dir[TEMPDIR_SIZE];

static int setup(void **unused) {
    (void)unused;
    return tempdir_make(dir, "background");
}

static int teardown(void **unused) {
    (void)unused;
    return tempdir_remove(dir);
}

static struct js_store *open_store(const struct js_env *env, unsigned flags,
                                   enum js_sync_mode sync) {
    struct js_store_options options = {.flags = flags, .sync = sync};
    struct js_store *store;
    char why[256] = "";

    assert_int_equal(js_store_open(env, dir, &options, &store, why, sizeof why), 0);
    return store;
}

static struct js_stream *add_stream(struct js_store *store, const char *limits) {
    char config[200], why[256] = "";
    struct js_stream *s;

    snprintf(config, sizeof config, "{\"subjects\":[\"a.>\"]%s}", limits);
    assert_int_equal(js_store_create_stream(store, "$G", "S", config, why, sizeof why), 0);
    assert_int_equal(js_store_get_stream(store, "$G", "S", &s), 0);
    return s;
}

static js_seq_t put(struct js_stream *s, const char *text) {
    js_seq_t seq = 0;

    assert_int_equal(
        js_stream_store_msg(s, "a.b", 3, NULL, 0, (const uint8_t *)text, strlen(text), &seq, NULL),
        0);
    return seq;
}

/* What a stream's subscriber was told. */
struct watch {
    pthread_mutex_t mu;
    pthread_cond_t cond;
    unsigned calls;
};

static void on_change(void *ctx, struct js_stream *s, js_seq_t first, uint64_t n) {
    struct watch *w = ctx;

    (void)s;
    (void)first;
    (void)n;
    pthread_mutex_lock(&w->mu);
    w->calls++;
    pthread_cond_broadcast(&w->cond);
    pthread_mutex_unlock(&w->mu);
}

static uint64_t count(struct js_stream *s) {
    struct js_stream_state st;

    js_stream_get_state(s, &st);
    return st.msgs;
}

/* max_age takes a message out, and who subscribed is told. */
static void age_expires(void **unused) {
    struct js_store *store =
        open_store(js_env_default(), JS_OPEN_RW | JS_OPEN_CREATE, JS_SYNC_CLOSE);
    struct js_stream *s = add_stream(store, ",\"max_age\":300000000");
    struct watch w = {.mu = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct timespec end;

    (void)unused;
    assert_int_equal(put(s, "one"), 1);
    assert_int_equal(js_stream_subscribe(s, on_change, &w), 0);
    assert_int_equal(js_store_run_in_background(store), 0);
    assert_int_equal(js_store_run_in_background(store), 0);
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&w.mu);
    while (count(s) != 0 && pthread_cond_timedwait(&w.cond, &w.mu, &end) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&w.mu);
    assert_int_equal(count(s), 0);
    assert_int_equal(js_store_background_error(store), 0);
    js_stream_unsubscribe(s, on_change, &w);
    js_stream_unref(s);
    assert_int_equal(js_store_close(store), 0);
}

/* A block file that grew. */
static bool wait_for_bytes(const char *path) {
    struct stat st;

    for (int i = 0; i < PATIENCE_S * 100; i++) {
        if (stat(path, &st) == 0 && st.st_size > 0)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return false;
}

/* Records that wait in a buffer get into the file. */
static void buffers_are_flushed(void **unused) {
    struct js_store *store =
        open_store(js_env_default(), JS_OPEN_RW | JS_OPEN_CREATE | JS_OPEN_ASYNC, JS_SYNC_OS);
    struct js_stream *s = add_stream(store, "");
    char path[200];
    struct stat st;

    (void)unused;
    snprintf(path, sizeof path, "%s/jetstream/$G/streams/S/msgs/1.blk", dir);
    put(s, "one");
    /* Nobody does it by himself. */
    assert_true(stat(path, &st) < 0 || st.st_size == 0);
    assert_int_equal(js_store_run_in_background(store), 0);
    assert_true(wait_for_bytes(path));
    js_stream_unref(s);
    assert_int_equal(js_store_close(store), 0);
}

/* ---- errors ------------------------------------------------------------------------------------
 */

static atomic_bool syncs_fail;
static atomic_uint failed_syncs;
static int (*real_fdatasync)(void *ctx, int fd);

static int failing_fdatasync(void *ctx, int fd) {
    if (!atomic_load(&syncs_fail))
        return real_fdatasync(ctx, fd);
    atomic_fetch_add(&failed_syncs, 1);
    return -EIO;
}

/* What the thread cannot do reaches whoever asks, writes next, or closes. */
static void errors_are_told(void **unused) {
    struct js_io io = *js_env_default()->io;
    struct js_env env = *js_env_default();
    js_seq_t seq;

    (void)unused;
    real_fdatasync = io.fdatasync;
    io.fdatasync = failing_fdatasync;
    env.io = &io;
    atomic_store(&syncs_fail, false);
    struct js_store *store = open_store(&env, JS_OPEN_RW | JS_OPEN_CREATE, JS_SYNC_CLOSE);
    struct js_stream *s = add_stream(store, "");
    put(s, "one");
    assert_int_equal(js_store_background_error(store), 0);
    atomic_store(&syncs_fail, true);
    assert_int_equal(js_store_run_in_background(store), 0);
    /* It is synced a second after the write. */
    for (int i = 0; i < PATIENCE_S * 100 && js_store_background_error(store) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    assert_int_equal(js_store_background_error(store), JS_ERR_IO);
    assert_int_equal(
        js_stream_store_msg(s, "a.b", 3, NULL, 0, (const uint8_t *)"two", 3, &seq, NULL),
        JS_ERR_WRITE_FAILED);
    assert_true(atomic_load(&failed_syncs) > 0);
    js_stream_unref(s);
    assert_int_equal(js_store_close(store), JS_ERR_IO);
}

static void only_for_writers(void **unused) {
    struct js_store *store =
        open_store(js_env_default(), JS_OPEN_RW | JS_OPEN_CREATE, JS_SYNC_CLOSE);

    (void)unused;
    js_stream_unref(add_stream(store, ""));
    assert_int_equal(js_store_close(store), 0);
    store = open_store(js_env_default(), 0, JS_SYNC_CLOSE);
    assert_int_equal(js_store_run_in_background(store), JS_ERR_READ_ONLY);
    assert_int_equal(js_store_close(store), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(age_expires, setup, teardown),
        cmocka_unit_test_setup_teardown(buffers_are_flushed, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(only_for_writers, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
