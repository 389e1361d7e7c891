/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading while memory or I/O fails: every allocation and every call of the I/O table of an opening
 * and a script of questions fails once. A question answers rightly or says so; asked again it
 * answers rightly; nothing leaks, no descriptor stays open.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/core/query_store.h"

#define QUESTIONS 24

/* ---- tables whose n-th call fails ----------------------------------------------------------- */

enum what { FAIL_ALLOC, FAIL_IO, SHORT_READ };

static struct {
    enum what what;
    int err;
    bool sticky;
    atomic_long countdown; /* 0 = never */
    atomic_long calls, fired;
    atomic_long memory, files; /* not given back */
} fault;

static bool due(enum what what) {
    if (what != fault.what)
        return false;
    atomic_fetch_add(&fault.calls, 1);
    if (atomic_load(&fault.countdown) <= 0)
        return false;
    if (atomic_fetch_sub(&fault.countdown, 1) != 1)
        return false;
    if (fault.sticky)
        atomic_store(&fault.countdown, 1);
    atomic_fetch_add(&fault.fired, 1);
    return true;
}

static const struct js_io *io(void) {
    return js_env_default()->io;
}

static void *f_realloc(void *ctx, void *p, size_t size) {
    if (due(FAIL_ALLOC))
        return NULL;
    void *q = js_env_default()->alloc->realloc(ctx, p, size);
    if (!p && q)
        atomic_fetch_add(&fault.memory, 1);
    return q;
}

static void f_free(void *ctx, void *p) {
    atomic_fetch_sub(&fault.memory, 1);
    js_env_default()->alloc->free(ctx, p);
}

static int opened(int fd) {
    if (fd >= 0)
        atomic_fetch_add(&fault.files, 1);
    return fd;
}

static int f_open_dir(void *ctx, int dirfd, const char *name) {
    return due(FAIL_IO) ? -fault.err : opened(io()->open_dir(ctx, dirfd, name));
}

static int f_open_file(void *ctx, int dirfd, const char *name, int flags, unsigned mode) {
    return due(FAIL_IO) ? -fault.err : opened(io()->open_file(ctx, dirfd, name, flags, mode));
}

static int f_close(void *ctx, int fd) {
    atomic_fetch_sub(&fault.files, 1);
    return io()->close(ctx, fd);
}

static ssize_t f_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off) {
    if (due(FAIL_IO))
        return -fault.err;
    if (due(SHORT_READ) && len > 1)
        len = len % 3 ? len / 2 : 1;
    return io()->pread(ctx, fd, buf, len, off);
}

static int f_fstat(void *ctx, int fd, struct stat *st) {
    return due(FAIL_IO) ? -fault.err : io()->fstat(ctx, fd, st);
}

static int f_stat(void *ctx, int dirfd, const char *name, struct stat *st) {
    return due(FAIL_IO) ? -fault.err : io()->stat(ctx, dirfd, name, st);
}

static int f_list(void *ctx, int dirfd, int (*fn)(void *arg, const char *name), void *arg) {
    return due(FAIL_IO) ? -fault.err : io()->list(ctx, dirfd, fn, arg);
}

static ssize_t f_real_path(void *ctx, const char *path, char *buf, size_t size) {
    return due(FAIL_IO) ? -fault.err : io()->real_path(ctx, path, buf, size);
}

static struct js_io faulty_io;
static struct js_alloc faulty_alloc;
static struct js_env faulty_env;

static void make_tables(void) {
    faulty_io = *io();
    faulty_io.open_dir = f_open_dir;
    faulty_io.open_file = f_open_file;
    faulty_io.close = f_close;
    faulty_io.pread = f_pread;
    faulty_io.fstat = f_fstat;
    faulty_io.stat = f_stat;
    faulty_io.list = f_list;
    faulty_io.real_path = f_real_path;
    faulty_alloc = *js_env_default()->alloc;
    faulty_alloc.realloc = f_realloc;
    faulty_alloc.free = f_free;
    faulty_env = *js_env_default();
    faulty_env.io = &faulty_io;
    faulty_env.alloc = &faulty_alloc;
}

/* ---- the script ----------------------------------------------------------------------------- */

struct way { /* how a store is opened and asked */
    const char *name;
    unsigned flags; /* of the store */
    unsigned open_flags;
    uint64_t index_bytes;
    bool scan; /* js_stream_scan after some questions */
};

static const struct way ways[] = {
    {"scan", QS_TOMBSTONES, JS_OPEN_SCAN, 0, false},
    {"lazy", QS_TOMBSTONES, 0, 0, false},
    {"lazy then scanned", QS_TOMBSTONES | QS_COMPRESSED, 0, 0, true},
    {"no room", QS_TOMBSTONES | QS_CHACHA | QS_COMPRESSED, 0, 1, false},
    {"without index.db", QS_TOMBSTONES | QS_AES | QS_NO_INDEX, 0, 0, false},
};

static bool is_fault(int r) {
    return r == JS_ERR_NOMEM || r == JS_ERR_IO || r == JS_ERR_TOO_MANY_FILES;
}

struct run {
    const struct way *way;
    const char *dir;
    struct qm *m;
    uint64_t seed;
    char text[200];
};

#define WRONG(run, ...)                                                                            \
    do {                                                                                           \
        char why_[700];                                                                            \
        snprintf(why_, sizeof why_, __VA_ARGS__);                                                  \
        fail_msg("%s (JETFS_TEST_SEED=%llu): %s", (run)->text, (unsigned long long)qm_seed(),      \
                 why_);                                                                            \
    } while (0)

/* A block that could not be read when the stream was read in is told as damage instead; lack of memory
 * or of descriptors never is. */
static bool is_doubted(struct js_stream *s) {
    return atomic_load(&fault.fired) > 0 && fault.what == FAIL_IO && fault.err != EMFILE &&
           js_stream_health(s) != JS_HEALTH_OK;
}

/* Something that may fail because of the fault, and then not again. */
static void ask_twice(struct run *run, struct js_stream *s, int i) {
    struct qm_rng rng = {.state = run->seed + (uint64_t)i}, again = rng;
    long before = atomic_load(&fault.fired);
    int r = run->way->scan && i == QUESTIONS / 2 ? js_stream_scan(s) : qm_ask(run->m, s, &rng);

    if (r > 0 && !is_doubted(s))
        WRONG(run, "question %d: %s", i, run->m->why);
    if (r >= 0)
        return;
    if (!is_fault(r) || atomic_load(&fault.fired) == before)
        WRONG(run, "question %d: %s, and no call failed", i, js_err_name(r));
    if (fault.what == SHORT_READ)
        WRONG(run, "question %d: a short read is an error: %s", i, js_err_name(r));
    long left = atomic_exchange(&fault.countdown, 0);
    r = run->way->scan && i == QUESTIONS / 2 ? js_stream_scan(s) : qm_ask(run->m, s, &again);
    if (r > 0 && !is_doubted(s))
        WRONG(run, "question %d, asked again: %s", i, run->m->why);
    if (r < 0)
        WRONG(run, "question %d, asked again: %s", i, js_err_name(r));
    if (fault.sticky)
        atomic_store(&fault.countdown, left);
}

/* Opens and asks with the n-th call failing (0: none). */
static void run_script(struct run *run, long n) {
    struct js_store *store;
    struct js_stream *s;

    atomic_store(&fault.calls, 0);
    atomic_store(&fault.fired, 0);
    atomic_store(&fault.countdown, n);
    int r = qs_open(&faulty_env, run->dir, run->way->open_flags, run->way->index_bytes, &store, &s);
    bool in_open = atomic_load(&fault.fired) > 0;
    if (r < 0) {
        if (!in_open || !is_fault(r))
            WRONG(run, "open: %s", js_err_name(r));
    } else {
        if (in_open && js_stream_health(s) != JS_HEALTH_OK && !is_doubted(s))
            WRONG(run, "the fault is told as damage");
        for (int i = 0; i < QUESTIONS; i++)
            ask_twice(run, s, i);
        js_stream_unref(s);
        js_store_close(store);
    }
    atomic_store(&fault.countdown, 0);
    if (atomic_load(&fault.memory) != 0 || atomic_load(&fault.files) != 0)
        WRONG(run, "%ld allocations and %ld files are left", atomic_load(&fault.memory),
              atomic_load(&fault.files));
}

static void every_call_fails_once(enum what what, int err, bool sticky, const char *name) {
    struct run run;

    make_tables();
    fault.what = what;
    fault.err = err;
    fault.sticky = sticky;
    atomic_store(&fault.memory, 0);
    atomic_store(&fault.files, 0);
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        struct qm_rng rng = {.state = qm_seed() + w};
        char dir[] = "/tmp/jetfs-faults.XXXXXX";
        struct qm *m = malloc(sizeof *m);
        assert_non_null(m);
        assert_non_null(mkdtemp(dir));
        assert_int_equal(qs_plant(dir, ways[w].flags | QS_TINY, &rng, m), 0);
        run = (struct run){.way = &ways[w], .dir = dir, .m = m, .seed = qm_next(&rng)};
        snprintf(run.text, sizeof run.text, "%s, %s, no fault", name, ways[w].name);
        run_script(&run, 0);
        long calls = atomic_load(&fault.calls), step = calls / 400 + 1;
        assert_true(calls > 20);
        /* The first ones all, the many alike of a long opening in strides. */
        for (long n = 1; n <= calls; n += n < 200 ? 1 : step) {
            snprintf(run.text, sizeof run.text, "%s, %s, call %ld of %ld", name, ways[w].name, n,
                     calls);
            run_script(&run, n);
        }
        qm_done(m);
        free(m);
        qs_remove(dir);
    }
}

static void failing_allocations(void **state) {
    (void)state;
    every_call_fails_once(FAIL_ALLOC, 0, false, "allocation");
}

static void failing_allocations_for_good(void **state) {
    (void)state;
    every_call_fails_once(FAIL_ALLOC, 0, true, "all allocations");
}

static void failing_io(void **state) {
    (void)state;
    every_call_fails_once(FAIL_IO, EIO, false, "EIO");
}

static void too_many_files(void **state) {
    (void)state;
    every_call_fails_once(FAIL_IO, EMFILE, false, "EMFILE");
}

static void failing_io_for_good(void **state) {
    (void)state;
    every_call_fails_once(FAIL_IO, EIO, true, "all EIO");
}

static void interrupted_calls(void **state) {
    (void)state;
    every_call_fails_once(FAIL_IO, EINTR, false, "EINTR");
}

static void short_reads(void **state) {
    (void)state;
    every_call_fails_once(SHORT_READ, 0, false, "short read");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failing_allocations), cmocka_unit_test(failing_allocations_for_good),
        cmocka_unit_test(failing_io),          cmocka_unit_test(too_many_files),
        cmocka_unit_test(failing_io_for_good), cmocka_unit_test(interrupted_calls),
        cmocka_unit_test(short_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
