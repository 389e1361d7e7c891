/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what another one writes (core/stream/refresh.c): what limits and purges took is gone for
 * the reader, too, though nothing in the blocks tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/bytes.h"
#include "core/format/record.h"
#include "core/jetstore.h"
#include "tests/support/tempdir.h"

static char dir[TEMPDIR_SIZE];
static struct js_store *writing, *reading;
static struct js_stream *writer, *reader;

static int setup(void **unused) {
    (void)unused;
    return tempdir_make(dir, "refresh");
}

static int teardown(void **unused) {
    (void)unused;
    js_stream_unref(reader);
    js_stream_unref(writer);
    reader = writer = NULL;
    js_store_close(reading);
    js_store_close(writing);
    reading = writing = NULL;
    return tempdir_remove(dir);
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

/* As servers do: in place, the same length, a checksum. */
static void erase_in_place(js_seq_t seq) {
    static const uint8_t noise[64] = {1, 2, 3};
    struct js_hash_key key;
    struct js_record rec;
    uint8_t block[4096];
    char path[128];

    snprintf(path, sizeof path, "%s/jetstream/$G/streams/S/msgs/1.blk", dir);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    size_t len = fread(block, 1, sizeof block, file), off = 0;
    while (js_record_parse(block + off, len - off, &rec) && rec.seq != seq)
        off += rec.len;
    assert_int_equal(rec.seq, seq);
    js_hash_key_of_block(&key, "S", 1);
    js_record_encode(block + off, seq | JS_SEQ_ERASED, 0, NULL, 0, NULL, 0, noise, rec.len - 30,
                     &key);
    assert_int_equal(fseek(file, (long)off, SEEK_SET), 0);
    assert_int_equal(fwrite(block + off, 1, rec.len, file), rec.len);
    assert_int_equal(fclose(file), 0);
}

static void what_a_server_erases_is_not_served(void **unused) {
    struct js_msg_stat stat;
    struct js_msg msg;

    (void)unused;
    open_writer("", 0);
    put(20, 4);
    assert_int_equal(js_stream_sync(writer), 0);
    open_reader();
    expect_same();
    /* It knows where the messages are, and has read only the first one. */
    assert_int_equal(js_stream_stat_msg(reader, 1, &stat), 0);
    erase_in_place(5);
    assert_int_equal(js_stream_load_msg(reader, 5, &msg), JS_ERR_DELETED_MSG);
    assert_int_equal(js_stream_load_msg(reader, 6, &msg), 0);
    assert_memory_equal(msg.data, "text", 4);
    js_msg_release(&msg);
}

/* ---- a server that writes its newest block anew, in place ---- */

static uint8_t whole[4096];
static size_t whole_len;
static unsigned waits;

static void write_block(size_t len) {
    char path[128];

    snprintf(path, sizeof path, "%s/jetstream/$G/streams/S/msgs/1.blk", dir);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(whole, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* Meanwhile it is done. */
static void wait_for_server(void *ctx, js_time_t ns) {
    (void)ctx;
    (void)ns;
    if (++waits == 2)
        write_block(whole_len);
}

static void a_block_that_is_being_written_is_waited_for(void **unused) {
    char path[128], index[128];
    struct js_clock clock = *js_env_default()->clock;
    struct js_env env = *js_env_default();
    struct js_store_options options = {0};
    struct js_stream_state state;

    (void)unused;
    open_writer("", 0);
    put(40, 4);
    assert_int_equal(js_stream_sync(writer), 0);
    snprintf(path, sizeof path, "%s/jetstream/$G/streams/S/msgs/1.blk", dir);
    snprintf(index, sizeof index, "%s/jetstream/$G/streams/S/msgs/index.db", dir);
    (void)remove(index);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    whole_len = fread(whole, 1, sizeof whole, file);
    assert_int_equal(fclose(file), 0);
    clock.wait = wait_for_server;
    env.clock = &clock;
    for (size_t len = 0; len < whole_len; len += whole_len / 3 + 1) {
        waits = 0;
        write_block(len);
        assert_int_equal(js_store_open(&env, dir, &options, &reading, NULL, 0), 0);
        assert_int_equal(js_store_get_stream(reading, "$G", "S", &reader), 0);
        js_stream_get_state(reader, &state);
        assert_int_equal(state.msgs, 40);
        assert_int_equal(waits, 2);
        js_stream_unref(reader);
        assert_int_equal(js_store_close(reading), 0);
    }
    reader = NULL;
    reading = NULL;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_limits_take_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_purge_takes_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_server_erases_is_not_served, setup, teardown),
        cmocka_unit_test_setup_teardown(a_block_that_is_being_written_is_waited_for, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
