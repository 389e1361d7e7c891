/* SPDX-License-Identifier: Apache-2.0 */
/* A store in memory with a clock that the test turns, for the tests of consumers. */
#ifndef TESTS_CONSUMER_FIXTURE_H
#define TESTS_CONSUMER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/jetstore.h"
#include "tests/support/ramdisk.h"
#include "tests/support/testenv.h"

#define OBS "/s/jetstream/$G/streams/S/obs/"

/* In which way stores keep their bytes; NULL: plain. */
static const char *fx_cipher, *fx_compression;

static inline int fx_key(void *ctx, const char *account, const char *context, uint8_t kek[32]) {
    (void)ctx;
    return js_kek_derive("k", 1, account, context, kek);
}

struct fixture {
    struct testenv te;
    struct ramdisk *disk;
    struct js_store *store;
    struct js_stream *stream;
    struct js_consumer *c;
    enum js_sync_mode sync;
    char why[300];
};

static inline void fx_open(struct fixture *f) {
    struct js_store_options options = {.flags = JS_OPEN_RW | JS_OPEN_CREATE, .sync = f->sync};

    if (fx_cipher) {
        options.key = fx_key;
        options.cipher = *fx_cipher == 'a' ? JS_CIPHER_NEW_AES : JS_CIPHER_NEW_CHACHA;
    }
    assert_int_equal(js_store_open(&f->te.env, "/s", &options, &f->store, f->why, sizeof f->why),
                     0);
    if (js_store_get_stream(f->store, "$G", "S", &f->stream) < 0)
        f->stream = NULL;
}

/* A new store with the stream S of subjects s.>; retention NULL: limits. */
static inline void fx_begin(struct fixture *f, const char *retention, enum js_sync_mode sync) {
    bool lz4 = fx_compression && strcmp(fx_compression, "lz4") == 0;
    char config[400];

    *f = (struct fixture){.sync = sync};
    f->disk = rd_new();
    te_init(&f->te, rd_io(f->disk));
    fx_open(f);
    snprintf(config, sizeof config,
             "{\"subjects\":[\"s.>\"],\"retention\":\"%s\",\"compression\":\"%s\"}",
             retention ? retention : "limits", fx_compression && !lz4 ? fx_compression : "none");
    assert_int_equal(js_store_create_stream(f->store, "$G", "S", config, f->why, sizeof f->why), 0);
    /* One with LZ4 blocks is made without, and moves. */
    if (lz4)
        assert_int_equal(
            js_store_recompress(f->store, "$G", "S", "lz4", NULL, f->why, sizeof f->why), 0);
    assert_int_equal(js_store_get_stream(f->store, "$G", "S", &f->stream), 0);
}

static inline void fx_let_go(struct fixture *f) {
    js_consumer_unref(f->c);
    f->c = NULL;
    js_stream_unref(f->stream);
    f->stream = NULL;
    assert_int_equal(js_store_close(f->store), 0);
    f->store = NULL;
}

static inline void fx_end(struct fixture *f) {
    fx_let_go(f);
    assert_int_equal(rd_open_files(f->disk), 0);
    assert_int_equal(atomic_load(&f->te.memory), 0);
    rd_free(f->disk);
}

static inline void fx_consumer(struct fixture *f, const char *name, const char *config) {
    int r = js_stream_create_consumer(f->stream, name, config, f->why, sizeof f->why);

    if (r < 0)
        fail_msg("%s: %s", js_err_name(r), f->why);
    js_consumer_unref(f->c);
    assert_int_equal(js_stream_open_consumer(f->stream, name, &f->c), 0);
}

/* Everything is closed and opened again; f->c is the consumer of that name. */
static inline void fx_reopen(struct fixture *f, const char *name) {
    fx_let_go(f);
    fx_open(f);
    assert_non_null(f->stream);
    assert_int_equal(js_stream_open_consumer(f->stream, name, &f->c), 0);
}

static inline void fx_store(struct fixture *f, const char *subject, unsigned n) {
    struct js_new_msg msgs[100];
    int err = 0;

    while (n) {
        unsigned k = n < 100 ? n : 100;
        for (unsigned i = 0; i < k; i++)
            msgs[i] = (struct js_new_msg){.subject = subject,
                                          .subject_len = strlen(subject),
                                          .data = (const uint8_t *)"x",
                                          .data_len = 1};
        assert_int_equal(js_stream_store_msgs(f->stream, msgs, k, &err), k);
        n -= k;
    }
}

static inline uint64_t fx_msgs(struct fixture *f) {
    struct js_stream_state st;

    js_stream_get_state(f->stream, &st);
    return st.msgs;
}

#endif
