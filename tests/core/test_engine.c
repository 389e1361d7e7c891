/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine through its public interface: what is planted in a store costs nothing else, random
 * work agrees with a model, and every failing call of the I/O table leaves what was acknowledged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/jetstore.h"

#define MSGS "jetstream/$G/streams/S/msgs"

static char root[64];

static int make_root(void **state) {
    (void)state;
    snprintf(root, sizeof root, "/tmp/jetfs-engine.XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int drop_root(void **state) {
    char cmd[128];
    (void)state;
    snprintf(cmd, sizeof cmd, "rm -rf %s", root);
    return system(cmd);
}

static const char *path_of(const char *rest) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", root, rest);
    return path;
}

/* ---- a table of calls that fails at the n-th
 * ------------------------------------------------------ */

static struct {
    int countdown; /* 0 = never */
    bool sticky;
    int err;
    unsigned opened_for_writing;
} fault;

static int due(void) {
    if (fault.countdown == 0 || --fault.countdown > 0)
        return 0;
    if (fault.sticky)
        fault.countdown = 1;
    return -fault.err;
}

static const struct js_io *real_io(void) {
    return js_env_default()->io;
}

static int f_open_file(void *ctx, int dirfd, const char *name, int flags, unsigned mode) {
    int r = due();
    fault.opened_for_writing += (flags & (O_RDWR | O_CREAT)) != 0;
    return r ? r : real_io()->open_file(ctx, dirfd, name, flags, mode);
}
static int f_open_dir(void *ctx, int dirfd, const char *name) {
    int r = due();
    return r ? r : real_io()->open_dir(ctx, dirfd, name);
}
static ssize_t f_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off) {
    int r = due();
    return r ? r : real_io()->pread(ctx, fd, buf, len, off);
}
static ssize_t f_pwrite(void *ctx, int fd, const void *buf, size_t len, uint64_t off) {
    int r = due();
    if (!r)
        return real_io()->pwrite(ctx, fd, buf, len, off);
    /* Half of it may be on disk all the same. */
    (void)real_io()->pwrite(ctx, fd, buf, len / 2, off);
    return r;
}
static int f_fsync(void *ctx, int fd) {
    int r = due();
    return r ? r : real_io()->fsync(ctx, fd);
}
static int f_fdatasync(void *ctx, int fd) {
    int r = due();
    return r ? r : real_io()->fdatasync(ctx, fd);
}
static int f_rename(void *ctx, int a, const char *from, int b, const char *to) {
    int r = due();
    return r ? r : real_io()->rename(ctx, a, from, b, to);
}
static int f_fstat(void *ctx, int fd, struct stat *st) {
    int r = due();
    return r ? r : real_io()->fstat(ctx, fd, st);
}

static const struct js_env *faulty(struct js_env *env, struct js_io *io) {
    *io = *real_io();
    io->open_file = f_open_file;
    io->open_dir = f_open_dir;
    io->pread = f_pread;
    io->pwrite = f_pwrite;
    io->fsync = f_fsync;
    io->fdatasync = f_fdatasync;
    io->rename = f_rename;
    io->fstat = f_fstat;
    *env = *js_env_default();
    env->io = io;
    return env;
}

/* ---- helpers --------------------------------------------------------------------------------- */

static int open_stream(const struct js_env *env, unsigned flags, enum js_sync_mode sync,
                       struct js_store **store, struct js_stream **stream) {
    struct js_store_options options = {.flags = flags, .sync = sync, .scan_threads = 1};
    char why[256];
    int r = js_store_open(env, root, &options, store, why, sizeof why);

    if (r < 0)
        return r;
    r = js_store_get_stream(*store, "$G", "S", stream);
    if (r == JS_ERR_NO_STREAM && (flags & JS_OPEN_RW)) {
        r = js_store_create_stream(*store, "$G", "S", NULL, why, sizeof why);
        if (r == 0)
            r = js_store_get_stream(*store, "$G", "S", stream);
    }
    if (r < 0)
        js_store_close(*store);
    return r;
}

static int store_number(struct js_stream *s, unsigned n, js_seq_t *ret_seq) {
    char subject[32], text[400];
    int slen = snprintf(subject, sizeof subject, "S.%u", n % 7);
    int len = snprintf(text, sizeof text, "message %u %0*u", n, (int)(n % 300) + 1, n);
    return js_stream_store_msg(s, subject, (size_t)slen, NULL, 0, (const uint8_t *)text,
                               (size_t)len, ret_seq, NULL);
}

static bool is_number(struct js_stream *s, js_seq_t seq, unsigned n) {
    char text[400];
    struct js_msg msg;
    int len = snprintf(text, sizeof text, "message %u %0*u", n, (int)(n % 300) + 1, n);

    if (js_stream_load_msg(s, seq, &msg) < 0)
        return false;
    bool same = msg.data_len == (size_t)len && memcmp(msg.data, text, (size_t)len) == 0;
    js_msg_release(&msg);
    return same;
}

static void fill(unsigned n) {
    struct js_store *store;
    struct js_stream *s;
    js_seq_t seq;

    assert_int_equal(
        open_stream(js_env_default(), JS_OPEN_RW | JS_OPEN_CREATE, JS_SYNC_OS, &store, &s), 0);
    for (unsigned i = 1; i <= n; i++) {
        assert_int_equal(store_number(s, i, &seq), 0);
        assert_int_equal(seq, i);
    }
    js_stream_unref(s);
    assert_int_equal(js_store_close(store), 0);
}

/* ---- bad input ------------------------------------------------------------------------------- */

static void all_messages_and_health(unsigned n, bool healthy) {
    struct js_store *store;
    struct js_stream *s;

    assert_int_equal(open_stream(js_env_default(), 0, JS_SYNC_OS, &store, &s), 0);
    for (unsigned i = 1; i <= n; i++)
        assert_true(is_number(s, i, i));
    assert_int_equal(js_stream_health(s) == JS_HEALTH_OK, healthy);
    js_stream_unref(s);
    js_store_close(store);
}

static void what_is_planted_as_a_block_costs_nothing_else(void **state) {
    (void)state;
    alarm(60);
    fill(20);
    all_messages_and_health(20, true);
    assert_int_equal(mkdir(path_of(MSGS "/7.blk"), 0700), 0);
    all_messages_and_health(20, false);
    assert_int_equal(rmdir(path_of(MSGS "/7.blk")), 0);
    assert_int_equal(mkfifo(path_of(MSGS "/7.blk"), 0600), 0);
    all_messages_and_health(20, false);
    unlink(path_of(MSGS "/7.blk"));
    assert_int_equal(symlink("/etc/passwd", path_of(MSGS "/7.blk")), 0);
    all_messages_and_health(20, false);
    unlink(path_of(MSGS "/7.blk"));
    int fd = open(path_of(MSGS "/7.blk"), O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    all_messages_and_health(20, true); /* an empty block is what a server leaves */
    assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
    all_messages_and_health(20, false); /* 1 TiB of nothing */
    close(fd);
    unlink(path_of(MSGS "/7.blk"));
    fd = open(path_of(MSGS "/02.blk"), O_CREAT | O_WRONLY, 0600);
    close(fd);
    all_messages_and_health(20, false);
    unlink(path_of(MSGS "/02.blk"));
    all_messages_and_health(20, true);
    alarm(0);
}

static void damaged_meta_and_index_leave_the_messages(void **state) {
    (void)state;
    fill(20);
    assert_int_equal(truncate(path_of("jetstream/$G/streams/S/meta.inf"), 10), 0);
    all_messages_and_health(20, false);
    assert_int_equal(truncate(path_of("jetstream/$G/streams/S/meta.inf"), 0), 0);
    all_messages_and_health(20, false);
    unlink(path_of("jetstream/$G/streams/S/meta.inf"));
    all_messages_and_health(20, false);
}

static void an_interrupted_purge_is_read_as_servers_finish_it(void **state) {
    char from[512];

    (void)state;
    fill(20);
    snprintf(from, sizeof from, "%s", path_of(MSGS));
    assert_int_equal(rename(from, path_of("jetstream/$G/streams/S/__new_msgs__")), 0);
    assert_int_equal(mkdir(from, 0700), 0);
    all_messages_and_health(20, true);
}

static void what_is_no_store_is_told(void **state) {
    struct js_store *store;
    char why[256] = "";

    (void)state;
    assert_int_equal(js_store_open(js_env_default(), root, NULL, &store, why, sizeof why),
                     JS_ERR_NOT_A_STORE);
    assert_true(strlen(why) > 10);
    assert_int_equal(
        js_store_open(js_env_default(), path_of("none"), NULL, &store, why, sizeof why),
        JS_ERR_NO_ENTRY);
    assert_int_equal(js_store_open(js_env_default(), "/dev/null", NULL, &store, why, sizeof why),
                     JS_ERR_NOT_A_STORE);
}

static void a_second_writer_is_refused(void **state) {
    struct js_store *a, *b;
    struct js_stream *s, *t;

    (void)state;
    fill(3);
    assert_int_equal(open_stream(js_env_default(), JS_OPEN_RW, JS_SYNC_OS, &a, &s), 0);
    assert_int_equal(open_stream(js_env_default(), JS_OPEN_RW, JS_SYNC_OS, &b, &t), JS_ERR_LOCKED);
    assert_int_equal(open_stream(js_env_default(), 0, JS_SYNC_OS, &b, &t), 0);
    js_stream_unref(t);
    js_store_close(b);
    js_stream_unref(s);
    js_store_close(a);
}

/* ---- model ----------------------------------------------------------------------------------- */

#define MODEL 4000

static void check_model(struct js_stream *s, const unsigned *model, js_seq_t last) {
    struct js_stream_state st;
    js_seq_t *seqs = malloc(MODEL * sizeof *seqs);
    size_t n, live = 0;

    js_stream_get_state(s, &st);
    assert_int_equal(js_stream_list_seqs(s, NULL, 0, true, seqs, MODEL, &n), 0);
    for (js_seq_t q = 1; q <= last; q++) {
        struct js_msg msg;
        if (model[q]) {
            assert_int_equal(seqs[live++], q);
            assert_true(is_number(s, q, model[q]));
        } else {
            assert_true(js_stream_load_msg(s, q, &msg) < 0);
        }
    }
    assert_int_equal(n, live);
    assert_int_equal(st.msgs, live);
    assert_int_equal(st.last_seq, last);
    for (unsigned k = 0; k < 7; k++) {
        char subject[8];
        struct js_subject_state ss = {0};
        size_t len = (size_t)snprintf(subject, sizeof subject, "S.%u", k);
        uint64_t want = 0;
        js_seq_t first = 0, latest = 0;
        for (js_seq_t q = 1; q <= last; q++) {
            if (!model[q] || model[q] % 7 != k)
                continue;
            want++;
            first = first ? first : q;
            latest = q;
        }
        int r = js_stream_subject(s, subject, len, &ss);
        assert_int_equal(r, want ? 0 : JS_ERR_MSG_NOT_FOUND);
        assert_int_equal(ss.msgs, want);
        assert_int_equal(ss.first_seq, first);
        assert_int_equal(ss.last_seq, latest);
        const char *pattern = subject;
        struct js_filter filter = {.patterns = &pattern, .count = 1};
        struct js_totals totals;
        assert_int_equal(js_stream_totals(s, &filter, 0, 0, &totals), 0);
        assert_int_equal(totals.msgs, want);
        assert_int_equal(totals.first_seq, first);
    }
    free(seqs);
}

static void random_work_agrees_with_a_model_across_reopening(void **state) {
    unsigned *model = calloc(MODEL + 1, sizeof *model), n = 0;
    struct js_store *store;
    struct js_stream *s;
    js_seq_t last = 0;
    unsigned seed = 20261124;

    (void)state;
    for (int round = 0; round < 8; round++) {
        assert_int_equal(
            open_stream(js_env_default(), JS_OPEN_RW | JS_OPEN_CREATE, JS_SYNC_OS, &store, &s), 0);
        for (int i = 0; i < 450; i++) {
            js_seq_t seq;
            seed = seed * 1103515245u + 12345u;
            if ((seed >> 16) % 3) {
                assert_int_equal(store_number(s, ++n, &seq), 0);
                assert_int_equal(seq, last + 1);
                model[++last] = n;
            } else if (last) {
                seq = (seed >> 8) % last + 1;
                assert_int_equal(js_stream_remove_msg(s, seq), model[seq] != 0);
                model[seq] = 0;
            }
        }
        check_model(s, model, last);
        js_stream_unref(s);
        assert_int_equal(js_store_close(store), 0);
        if (round & 1) /* also without what only the index knows */
            unlink(path_of(MSGS "/index.db"));
        assert_int_equal(open_stream(js_env_default(), 0, JS_SYNC_OS, &store, &s), 0);
        assert_int_equal(js_stream_verify(s), 0);
        assert_int_equal(js_stream_health(s), JS_HEALTH_OK);
        check_model(s, model, last);
        js_stream_unref(s);
        js_store_close(store);
    }
    free(model);
}

/* ---- failing calls --------------------------------------------------------------------------- */

static void a_failing_call_while_reading_writes_nothing(void **state) {
    static const int errors[] = {EIO, EMFILE, EACCES};
    struct js_env env;
    struct js_io io;

    (void)state;
    fill(30);
    faulty(&env, &io);
    for (int e = 0; e < 3; e++) {
        for (int n = 1; n < 120; n++) {
            struct js_store *store;
            struct js_stream *s;
            fault.countdown = n;
            fault.sticky = n & 1;
            fault.err = errors[e];
            fault.opened_for_writing = 0;
            if (open_stream(&env, 0, JS_SYNC_OS, &store, &s) == 0) {
                for (unsigned i = 1; i <= 30; i++)
                    (void)is_number(s, i, i);
                js_stream_unref(s);
                js_store_close(store);
            }
            fault.countdown = 0;
            assert_int_equal(fault.opened_for_writing, 0);
        }
    }
    all_messages_and_health(30, true);
}

/* Stores until the n-th call fails; returns how many were acknowledged. */
static unsigned store_with_fault(int n, bool sticky, enum js_sync_mode sync, unsigned from) {
    struct js_env env;
    struct js_io io;
    struct js_store *store;
    struct js_stream *s;
    unsigned acked = from;

    faulty(&env, &io);
    fault.countdown = 0;
    if (open_stream(&env, JS_OPEN_RW, sync, &store, &s) < 0)
        return acked;
    fault.countdown = n;
    fault.sticky = sticky;
    fault.err = n % 2 ? ENOSPC : EIO;
    for (unsigned i = 0; i < 6; i++) {
        js_seq_t seq;
        if (store_number(s, acked + 1, &seq) < 0)
            break;
        assert_int_equal(seq, acked + 1);
        acked++;
    }
    js_stream_unref(s);
    (void)js_store_close(store);
    fault.countdown = 0;
    return acked;
}

static void what_was_acknowledged_survives_every_failing_call(void **state) {
    unsigned acked = 5;

    (void)state;
    fill(acked);
    for (int n = 1; n < 60; n++) {
        unsigned now =
            store_with_fault(n, n % 3 == 0, n & 1 ? JS_SYNC_ALWAYS : JS_SYNC_CLOSE, acked);
        struct js_store *store;
        struct js_stream *s;
        struct js_stream_state st;
        assert_int_equal(open_stream(js_env_default(), 0, JS_SYNC_OS, &store, &s), 0);
        for (unsigned i = 1; i <= now; i++)
            assert_true(is_number(s, i, i));
        js_stream_get_state(s, &st);
        /* One that was written but not acknowledged (its sync failed) may be there. */
        assert_in_range(st.last_seq, now, now + 1);
        acked = (unsigned)st.last_seq;
        js_stream_unref(s);
        js_store_close(store);
    }
}

static void after_a_failed_sync_the_stream_takes_nothing_more(void **state) {
    struct js_env env;
    struct js_io io;
    struct js_store *store;
    struct js_stream *s;
    js_seq_t seq;

    (void)state;
    fill(2);
    faulty(&env, &io);
    fault.countdown = 0;
    assert_int_equal(open_stream(&env, JS_OPEN_RW, JS_SYNC_CLOSE, &store, &s), 0);
    assert_int_equal(store_number(s, 3, &seq), 0);
    fault.countdown = 1;
    fault.err = EIO;
    fault.sticky = false;
    assert_int_equal(js_stream_sync(s), JS_ERR_IO);
    assert_int_equal(store_number(s, 4, &seq), JS_ERR_WRITE_FAILED);
    assert_int_equal(js_stream_sync(s), JS_ERR_WRITE_FAILED);
    js_stream_unref(s);
    assert_int_equal(js_store_close(store), JS_ERR_WRITE_FAILED);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_root, drop_root)
    const struct CMUnitTest tests[] = {
        TEST(what_is_planted_as_a_block_costs_nothing_else),
        TEST(damaged_meta_and_index_leave_the_messages),
        TEST(an_interrupted_purge_is_read_as_servers_finish_it),
        TEST(what_is_no_store_is_told),
        TEST(a_second_writer_is_refused),
        TEST(random_work_agrees_with_a_model_across_reopening),
        TEST(a_failing_call_while_reading_writes_nothing),
        TEST(what_was_acknowledged_survives_every_failing_call),
        TEST(after_a_failed_sync_the_stream_takes_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
