/* SPDX-License-Identifier: Apache-2.0 */
/* No derived key lies in ordinary memory: not while streams are open, not in what is given back,
 * and not on a stack after a call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/vault.h"
#include "core/jetstore.h"
#include "tests/support/keywatch.h"
#include "tests/support/ramdisk.h"

static struct keywatch kw;
static struct ramdisk *disk;
static struct js_store *store;
static struct js_stream *stream;

static int derive(const char *server_key, const char *account, const char *context,
                  uint8_t ret_kek[32]) {
    int r = js_kek_derive(server_key, strlen(server_key), account, context, ret_kek);

    kw_add_key(&kw, ret_kek);
    return r;
}

static int new_key(void *ctx, const char *account, const char *context, uint8_t ret_kek[32]) {
    (void)ctx;
    return derive("new", account, context, ret_kek);
}

static int old_key(void *ctx, const char *account, const char *context, uint8_t ret_kek[32]) {
    (void)ctx;
    return derive("old", account, context, ret_kek);
}

/* At least so many keys are where they belong. */
static void look(const char *when, size_t at_least) {
    size_t locked = kw_in_locked(&kw);

    if (locked < at_least)
        fail_msg("%s: only %zu keys in locked memory: are they watched?", when, locked);
    if (kw_in_ordinary(&kw))
        fail_msg("%s: %zu keys in ordinary memory", when, kw_in_ordinary(&kw));
    if (kw.leaks)
        fail_msg("%s: %zu keys in memory that was given back", when, kw.leaks);
    size_t n = kw_in_process(&kw);
    if (n)
        fail_msg("%s: %zu keys elsewhere in the process (stacks, libraries)", when, n);
}

static void open_store(enum js_new_cipher cipher, js_key_fn key, js_key_fn prev, unsigned flags) {
    struct js_store_options o = {.flags = flags,
                                 .sync = JS_SYNC_OS,
                                 .cipher = cipher,
                                 .key = key,
                                 .prev_key = prev,
                                 .block_size = 2000,
                                 .scan_threads = 3};
    char why[300];

    if (js_store_open(&kw.te.env, "/s", &o, &store, why, sizeof why) < 0)
        fail_msg("%s", why);
}

static void get_stream(void) {
    assert_int_equal(js_store_get_stream(store, "$G", "S", &stream), 0);
}

static void close_store(void) {
    js_stream_unref(stream);
    stream = NULL;
    assert_int_equal(js_store_close(store), 0);
    store = NULL;
    look("closed", 0);
    assert_int_equal(kw.num_locked, 0);
}

static void put(unsigned n) {
    uint8_t text[200];

    memset(text, 'x', sizeof text);
    for (unsigned i = 0; i < n; i++) {
        char subject[24];
        snprintf(subject, sizeof subject, "s.%u", i % 7);
        assert_int_equal(js_stream_store_msg(stream, subject, strlen(subject), NULL, 0, text,
                                             sizeof text, NULL, NULL),
                         0);
    }
}

static void read_all(void) {
    struct js_stream_state st;
    struct js_msg msg;

    js_stream_get_state(stream, &st);
    assert_true(st.msgs > 50);
    for (js_seq_t seq = st.first_seq; seq <= st.last_seq; seq++)
        if (js_stream_load_msg(stream, seq, &msg) == 0)
            js_msg_release(&msg);
}

static int nowhere(void *ctx, const void *data, size_t len) {
    (void)ctx;
    (void)data;
    (void)len;
    return 0;
}

static int any_record(void *ctx, const struct js_record_info *record) {
    (void)ctx;
    (void)record;
    return 0;
}

static void work(void) {
    struct js_consumer *c;
    struct js_delivery d;
    char why[300];
    size_t n = 0;

    put(100);
    look("stored", 10);
    read_all();
    look("read what was stored", 10);
    assert_true(js_stream_create_consumer(stream, "C", "{\"ack_policy\":\"explicit\"}", why,
                                          sizeof why) >= 0);
    assert_int_equal(js_stream_open_consumer(stream, "C", &c), 0);
    look("with a consumer", 11);
    assert_int_equal(js_consumer_next(c, &d, 1, &n), 0);
    assert_int_equal(js_consumer_sync(c), 0);
    look("delivered", 11);
    js_consumer_unref(c);
    for (js_seq_t seq = 3; seq < 30; seq += 2)
        assert_int_equal(js_stream_remove_msg(stream, seq), 1);
    assert_int_equal(js_stream_compact_blocks(stream, NULL), 0);
    look("removed and compacted", 10);
    assert_int_equal(js_stream_update_config(stream, "{\"subjects\":[\"s.>\"],\"max_msgs\":500}",
                                             why, sizeof why),
                     0);
    assert_int_equal(js_stream_truncate(stream, 98), 0);
    assert_int_equal(js_stream_sync(stream), 0);
    look("truncated", 10);
    assert_int_equal(js_stream_backup(stream, JS_BACKUP_CONSUMERS, nowhere, NULL), 0);
    look("backed up", 10);
}

static void read_in_all_ways(enum js_new_cipher cipher) {
    struct js_consumer *c;

    for (int scan = 0; scan < 2; scan++) {
        open_store(cipher, new_key, NULL, scan ? JS_OPEN_SCAN : 0);
        get_stream();
        look("opened", 1);
        read_all();
        look("read", 10);
        assert_int_equal(js_stream_scan(stream), 0);
        look("scanned", 10);
        assert_int_equal(js_stream_walk_records(stream, any_record, NULL), 0);
        assert_int_equal(js_stream_verify(stream), 0);
        look("verified", 10);
        assert_true(js_stream_refresh(stream) >= 0);
        close_store();
    }
    open_store(cipher, new_key, NULL, JS_OPEN_RW);
    get_stream();
    assert_int_equal(js_stream_open_consumer(stream, "C", &c), 0);
    put(20);
    look("written again", 3);
    js_consumer_unref(c);
    close_store();
}

/* Keys that are wrong are no less secret. */
static void try_wrong_key(enum js_new_cipher cipher) {
    open_store(cipher, new_key, NULL, 0);
    get_stream();
    assert_int_equal(js_stream_health(stream), JS_HEALTH_WRONG_KEY);
    look("with the wrong key", 0);
    close_store();
}

static void watch(enum js_new_cipher cipher) {
    enum js_new_cipher other =
        cipher == JS_CIPHER_NEW_AES ? JS_CIPHER_NEW_CHACHA : JS_CIPHER_NEW_AES;
    char why[300];

    disk = rd_new();
    kw_init(&kw, rd_io(disk));
    open_store(cipher, old_key, NULL, JS_OPEN_RW | JS_OPEN_CREATE);
    assert_int_equal(
        js_store_create_stream(store, "$G", "S", "{\"subjects\":[\"s.>\"]}", why, sizeof why), 0);
    look("created", 0);
    get_stream();
    work();
    close_store();
    try_wrong_key(cipher);
    open_store(cipher, new_key, old_key, JS_OPEN_RW);
    assert_int_equal(js_store_rekey(store, "$G", "S", NULL, NULL), 0);
    look("with another key", 0);
    close_store();
    read_in_all_ways(cipher);
    open_store(cipher, new_key, NULL, JS_OPEN_RW);
    assert_int_equal(js_store_rekey(store, "$G", "S", &other, NULL), 0);
    look("with another cipher", 0);
    close_store();
    read_in_all_ways(other);
    kw_done(&kw);
    rd_free(disk);
}

static void chacha_keys_stay_in_locked_memory(void **state) {
    (void)state;
    watch(JS_CIPHER_NEW_CHACHA);
}

static void aes_keys_stay_in_locked_memory(void **state) {
    (void)state;
    watch(JS_CIPHER_NEW_AES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chacha_keys_stay_in_locked_memory),
        cmocka_unit_test(aes_keys_stay_in_locked_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
