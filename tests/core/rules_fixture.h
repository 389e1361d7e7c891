/* SPDX-License-Identifier: Apache-2.0 */
/* A stream in memory, whose clock is the test's: for tests of what headers and time do. */
#ifndef TESTS_RULES_FIXTURE_H
#define TESTS_RULES_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/jetstore.h"
#include "core/jetstore_consumer.h"
#include "tests/support/ramdisk.h"
#include "tests/support/testenv.h"

struct fixture {
    struct testenv te;
    struct ramdisk *disk;
    struct js_store *store;
    struct js_stream *s;
    uint64_t block_size; /* 0 = as usual */
    bool empty;          /* messages without payload */
};

static inline void open_it(struct fixture *f, unsigned flags) {
    struct js_store_options o = {.flags = flags, .sync = JS_SYNC_OS, .block_size = f->block_size};
    char why[200];

    if (js_store_open(&f->te.env, "/s", &o, &f->store, why, sizeof why) < 0)
        fail_msg("%s", why);
    if (js_store_get_stream(f->store, "$G", "S", &f->s) < 0)
        f->s = NULL;
}

static inline void begin_blocks(struct fixture *f, const char *config, uint64_t block_size) {
    char text[500], why[200];

    *f = (struct fixture){.block_size = block_size};
    f->disk = rd_new();
    te_init(&f->te, rd_io(f->disk));
    open_it(f, JS_OPEN_RW | JS_OPEN_CREATE);
    snprintf(text, sizeof text, "{\"subjects\":[\"s.>\",\"t.>\"]%s}", config);
    if (js_store_create_stream(f->store, "$G", "S", text, why, sizeof why) < 0)
        fail_msg("%s", why);
    assert_int_equal(js_store_get_stream(f->store, "$G", "S", &f->s), 0);
}

static inline void begin(struct fixture *f, const char *config) {
    begin_blocks(f, config, 0);
}

static inline void let_go(struct fixture *f) {
    js_stream_unref(f->s);
    assert_int_equal(js_store_close(f->store), 0);
}

static inline void reopen(struct fixture *f) {
    let_go(f);
    open_it(f, JS_OPEN_RW);
    assert_non_null(f->s);
}

static inline void end(struct fixture *f) {
    let_go(f);
    assert_int_equal(rd_open_files(f->disk), 0);
    assert_int_equal(atomic_load(&f->te.memory), 0);
    rd_free(f->disk);
}

/* Headers as "A: 1\r\nB: 2"; NULL: none. The sequence, or the error. */
static inline int64_t pub_dup(struct fixture *f, const char *subject, const char *headers,
                              bool *ret_dup) {
    char hdr[400];
    int err = 0;
    struct js_new_msg m = {.subject = subject,
                           .subject_len = strlen(subject),
                           .data = (const uint8_t *)"body",
                           .data_len = f->empty ? 0 : 4};

    if (headers) {
        m.hdr_len = (size_t)snprintf(hdr, sizeof hdr, "NATS/1.0\r\n%s\r\n\r\n", headers);
        m.hdr = (const uint8_t *)hdr;
    }
    if (js_stream_store_msgs(f->s, &m, 1, &err) != 1)
        return err;
    if (ret_dup)
        *ret_dup = m.ret_duplicate;
    return (int64_t)m.ret_seq;
}

static inline int64_t pub(struct fixture *f, const char *subject, const char *headers) {
    return pub_dup(f, subject, headers, NULL);
}

static inline struct js_stream_state state(struct fixture *f) {
    struct js_stream_state st;

    js_stream_get_state(f->s, &st);
    return st;
}

/* Lets time pass and does what becomes due, deadline by deadline. */
static inline void pass(struct fixture *f, js_time_t ns) {
    js_time_t until = f->te.clock.now(f->te.clock.ctx) + ns;

    for (int steps = 0; steps < 100000; steps++) {
        js_time_t now = f->te.clock.now(f->te.clock.ctx);
        js_time_t due = js_store_next_deadline(f->store);
        if (!due || due > until) {
            if (until > now)
                te_advance(&f->te, until - now);
            assert_int_equal(js_store_run_due(f->store, until), 0);
            return;
        }
        if (due > now)
            te_advance(&f->te, due - now);
        assert_int_equal(js_store_run_due(f->store, f->te.clock.now(f->te.clock.ctx)), 0);
    }
    fail_msg("deadlines without end");
}

static inline void expect_hdr(struct fixture *f, js_seq_t seq, const char *subject,
                              const char *want) {
    struct js_msg msg;
    char text[500];

    assert_int_equal(js_stream_load_msg(f->s, seq, &msg), 0);
    assert_int_equal(msg.subject_len, strlen(subject));
    assert_memory_equal(msg.subject, subject, msg.subject_len);
    snprintf(text, sizeof text, "NATS/1.0\r\n%s\r\n\r\n", want);
    assert_int_equal(msg.hdr_len, strlen(text));
    assert_memory_equal(msg.hdr, text, msg.hdr_len);
    js_msg_release(&msg);
}

#endif
