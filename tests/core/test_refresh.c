/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what another one writes (core/stream/refresh.c): what limits and purges took is gone for the
 * reader, too, though nothing in the blocks tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/jetstore.h"

static char dir[64];
static struct js_store *writing, *reading;
static struct js_stream *writer, *reader;

static int setup(void **unused) {
    (void)unused;
    strcpy(dir, "/tmp/jetfs-refresh-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int teardown(void **unused) {
    (void)unused;
    js_stream_unref(reader);
    js_stream_unref(writer);
    reader = writer = NULL;
    js_store_close(reading);
    js_store_close(writing);
    reading = writing = NULL;
    return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void open_writer(const char *limits, uint64_t block_size) {
    struct js_store_options options = {.flags = JS_OPEN_RW | JS_OPEN_CREATE,
                                       .block_size = block_size};
    char config[200], why[256] = "";

    assert_int_equal(js_store_open(js_env_default(), dir, &options, &writing, why, sizeof why), 0);
    snprintf(config, sizeof config, "{\"subjects\":[\"a.>\"]%s}", limits);
    assert_int_equal(js_store_create_stream(writing, "$G", "S", config, why, sizeof why), 0);
    assert_int_equal(js_store_get_stream(writing, "$G", "S", &writer), 0);
}

static void open_reader(void) {
    struct js_store_options options = {0};
    char why[256] = "";

    assert_int_equal(js_store_open(js_env_default(), dir, &options, &reading, why, sizeof why), 0);
    assert_int_equal(js_store_get_stream(reading, "$G", "S", &reader), 0);
}

static void put(unsigned n, unsigned subjects) {
    char subject[16];

    for (unsigned i = 0; i < n; i++) {
        snprintf(subject, sizeof subject, "a.%u", i % subjects);
        assert_int_equal(js_stream_store_msg(writer, subject, strlen(subject), NULL, 0,
                                             (const uint8_t *)"text", 4, NULL, NULL),
                         0);
    }
}

static void expect_same(void) {
    struct js_stream_state w, r;

    assert_true(js_stream_refresh(reader) >= 0);
    js_stream_get_state(writer, &w);
    js_stream_get_state(reader, &r);
    assert_int_equal(r.msgs, w.msgs);
    assert_int_equal(r.first_seq, w.first_seq);
    assert_int_equal(r.last_seq, w.last_seq);
    assert_int_equal(r.num_subjects, w.num_subjects);
}

static void what_limits_take_is_gone(void **unused) {
    static const char *const limits[] = {",\"max_msgs\":10", ",\"max_msgs_per_subject\":1",
                                         ",\"max_bytes\":400"};
    (void)unused;
    for (size_t i = 0; i < 3; i++) {
        if (i) {
            teardown(NULL);
            setup(NULL);
        }
        open_writer(limits[i], 0);
        put(20, 4);
        open_reader();
        expect_same();
        for (int k = 0; k < 3; k++) {
            put(15, 4);
            expect_same();
        }
    }
}

static void what_a_purge_takes_is_gone(void **unused) {
    (void)unused;
    open_writer("", 400);
    put(60, 3);
    open_reader();
    expect_same();
    assert_int_equal(js_stream_purge_ex(writer, "", 0, 30, 0, NULL), 0);
    assert_int_equal(js_stream_sync(writer), 0);
    expect_same();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_limits_take_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_purge_takes_is_gone, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
