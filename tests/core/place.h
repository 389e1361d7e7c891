/* SPDX-License-Identifier: Apache-2.0 */
/* A store on a disk in memory, for tests of whole streams. Included after cmocka. */
#ifndef TESTS_PLACE_H
#define TESTS_PLACE_H

#include "tests/support/ramdisk.h"
#include "tests/support/testenv.h"

struct place {
    struct ramdisk *disk;
    struct testenv te;
    struct js_store *store;
    enum js_new_cipher cipher;
};

static int server_key(void *ctx, const char *account, const char *context, uint8_t ret_kek[32]) {
    (void)ctx;
    return js_kek_derive("secret", 6, account, context, ret_kek);
}

static void open_place(struct place *p) {
    struct js_store_options options = {.flags = JS_OPEN_RW | JS_OPEN_CREATE,
                                       .sync = JS_SYNC_CLOSE,
                                       .cipher = p->cipher,
                                       .block_size = 2048,
                                       .key = server_key};
    char why[256] = "";

    te_init(&p->te, rd_io(p->disk));
    if (js_store_open(&p->te.env, "/s", &options, &p->store, why, sizeof why) < 0)
        fail_msg("open: %s", why);
}

static void close_place(struct place *p) {
    assert_int_equal(js_store_close(p->store), 0);
    assert_int_equal(rd_open_files(p->disk), 0);
    assert_int_equal(atomic_load(&p->te.memory), 0);
}

#endif
