/* SPDX-License-Identifier: Apache-2.0 */
/* A small store in a directory of its own, for the tests of views. */
#ifndef TESTS_VIEW_STORE_H
#define TESTS_VIEW_STORE_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/jetstore.h"

struct view_store {
    char dir[64];
    struct js_store *store;
    struct js_stream *stream;
};

/* Blocks of 32,000 bytes: the smallest that a quarter of max_bytes gives. */
#define VIEW_STORE_CONFIG                                                                          \
    "{\"name\":\"S\",\"subjects\":[\"a\",\"a.>\",\"k.*\"],\"retention\":\"limits\","               \
    "\"storage\":\"file\",\"max_bytes\":120000,\"max_consumers\":-1,\"max_msgs\":-1,"              \
    "\"max_msg_size\":-1,\"discard\":\"old\",\"num_replicas\":1}"

static inline void view_store_open(struct view_store *vs) {
    struct js_store_options options = {.flags = JS_OPEN_RW | JS_OPEN_CREATE};
    char why[200] = "";

    if (js_store_open(js_env_default(), vs->dir, &options, &vs->store, why, sizeof why) < 0)
        fail_msg("%s", why);
}

static inline void view_store_new(struct view_store *vs) {
    char why[200] = "";

    strcpy(vs->dir, "/tmp/jetfs-view-XXXXXX");
    assert_non_null(mkdtemp(vs->dir));
    view_store_open(vs);
    if (js_store_create_stream(vs->store, "$G", "S", VIEW_STORE_CONFIG, why, sizeof why) < 0)
        fail_msg("%s", why);
    assert_int_equal(js_store_get_stream(vs->store, "$G", "S", &vs->stream), 0);
}

static inline int view_store_rm(const char *path, const struct stat *st, int flag,
                                struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline void view_store_free(struct view_store *vs) {
    js_stream_unref(vs->stream);
    assert_int_equal(js_store_close(vs->store), 0);
    nftw(vs->dir, view_store_rm, 16, FTW_DEPTH | FTW_PHYS);
}

/* Appends n messages: subjects take turns, sizes vary from 0 to 199, every fifth has a header,
 * every seventh payload is no UTF-8. */
static inline void view_store_fill(struct view_store *vs, size_t n) {
    static const char *const subjects[] = {"a.b.c", "a.b", "a.x", "k.1"};
    static const char hdr[] = "NATS/1.0\r\nX: \"y\"\r\n\r\n";
    struct js_stream_state state;
    js_seq_t seq;

    js_stream_get_state(vs->stream, &state);
    for (size_t i = 0; i < n; i++) {
        size_t id = (size_t)state.last_seq + 1 + i;
        const char *subject = subjects[id % 4];
        bool with_hdr = id % 5 == 0;
        uint8_t data[256];
        size_t len = id * 37 % 200;

        memset(data, 'a' + (int)(id % 26), sizeof data);
        snprintf((char *)data, 20, "%zu\n", id);
        if (id % 7 == 0)
            data[len / 2] = 0xff;
        assert_int_equal(js_stream_store_msg(vs->stream, subject, strlen(subject),
                                             (const uint8_t *)(with_hdr ? hdr : NULL),
                                             with_hdr ? sizeof hdr - 1 : 0, data, len, &seq, NULL),
                         0);
        assert_int_equal(seq, id);
    }
}

#endif
