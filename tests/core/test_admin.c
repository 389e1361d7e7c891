/* SPDX-License-Identifier: Apache-2.0 */
/* A stream as a whole: new configurations, deleting, encoded states, backups and restoring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/jetstore.h"
#include "core/jetstore_consumer.h"

struct fixture {
    char dir[64];
    struct js_store *store;
    struct js_stream *s;
    char why[300];
    uint64_t block_size; /* 0: as usual */
};

static int kek(void *ctx, const char *account, const char *context, uint8_t ret[32]) {
    (void)ctx;
    return js_kek_derive("k3y", 3, account, context, ret);
}

static void open_store(struct fixture *f, enum js_new_cipher cipher) {
    struct js_store_options o = {.flags = JS_OPEN_RW | JS_OPEN_CREATE,
                                 .sync = JS_SYNC_OS,
                                 .block_size = f->block_size,
                                 .cipher = cipher,
                                 .key = cipher ? kek : NULL};

    if (js_store_open(js_env_default(), f->dir, &o, &f->store, f->why, sizeof f->why) < 0)
        fail_msg("%s", f->why);
}

static void begin_with(struct fixture *f, const char *config, enum js_new_cipher cipher) {
    snprintf(f->dir, sizeof f->dir, "/tmp/jetfs-admin.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    open_store(f, cipher);
    if (js_store_create_stream(f->store, "$G", "S", config, f->why, sizeof f->why) < 0)
        fail_msg("%s", f->why);
    assert_int_equal(js_store_get_stream(f->store, "$G", "S", &f->s), 0);
}

static void begin(struct fixture *f, const char *config, enum js_new_cipher cipher) {
    f->block_size = 0;
    begin_with(f, config, cipher);
}

static void begin_blocks(struct fixture *f, const char *config, uint64_t block_size) {
    f->block_size = block_size;
    begin_with(f, config, JS_CIPHER_NEW_NONE);
}

static void reopen(struct fixture *f, enum js_new_cipher cipher, const char *name) {
    js_stream_unref(f->s);
    assert_int_equal(js_store_close(f->store), 0);
    open_store(f, cipher);
    assert_int_equal(js_store_get_stream(f->store, "$G", name, &f->s), 0);
}

static void end(struct fixture *f) {
    char cmd[100];

    js_stream_unref(f->s);
    assert_int_equal(js_store_close(f->store), 0);
    snprintf(cmd, sizeof cmd, "rm -rf %s", f->dir);
    assert_int_equal(system(cmd), 0);
}

static void store(struct fixture *f, const char *subject, int n) {
    char text[32];

    for (int i = 0; i < n; i++) {
        snprintf(text, sizeof text, "payload %d", i);
        assert_int_equal(js_stream_store_msg(f->s, subject, strlen(subject), NULL, 0,
                                             (uint8_t *)text, strlen(text), NULL, NULL),
                         0);
    }
}

static struct js_stream_state state(struct fixture *f) {
    struct js_stream_state st;

    js_stream_get_state(f->s, &st);
    return st;
}

static int update(struct fixture *f, const char *config) {
    return js_stream_update_config(f->s, config, f->why, sizeof f->why);
}

static void limits_act_at_once(void **unused) {
    struct fixture f;

    (void)unused;
    begin(&f, "{\"subjects\":[\"a.>\"]}", JS_CIPHER_NEW_NONE);
    store(&f, "a.x", 30);
    store(&f, "a.y", 10);
    assert_int_equal(update(&f, "{\"subjects\":[\"a.>\",\"b\"],\"max_msgs_per_subject\":5}"), 0);
    assert_int_equal(state(&f).msgs, 10);
    assert_int_equal(state(&f).first_seq, 26);
    store(&f, "b", 1);
    assert_int_equal(update(&f, "{\"subjects\":[\"a.>\",\"b\"],\"max_msgs\":3}"), 0);
    assert_int_equal(state(&f).msgs, 3);
    reopen(&f, JS_CIPHER_NEW_NONE, "S");
    assert_int_equal(state(&f).msgs, 3);
    assert_non_null(strstr(js_stream_config_json(f.s), "\"max_msgs\":3"));
    assert_int_equal(state(&f).last_seq, 41);
    end(&f);
}

static void what_may_not_change(void **unused) {
    struct fixture f;

    (void)unused;
    begin(&f, "{\"subjects\":[\"a.>\"],\"deny_delete\":true}", JS_CIPHER_NEW_NONE);
    assert_int_equal(js_store_create_stream(f.store, "$G", "T", "{\"subjects\":[\"t\"]}", f.why,
                                            sizeof f.why),
                     0);
    assert_int_equal(js_store_create_stream(f.store, "$G", "U", "{\"subjects\":[\"*\"]}", f.why,
                                            sizeof f.why),
                     JS_ERR_EXISTS);
    assert_int_equal(update(&f, "{\"subjects\":[\"a.>\"]}"), JS_ERR_NOT_PERMITTED);
    assert_int_equal(
        update(&f, "{\"subjects\":[\"a.>\"],\"deny_delete\":true,\"retention\":\"workqueue\"}"),
        JS_ERR_NOT_PERMITTED);
    assert_int_equal(update(&f, "{\"subjects\":[\"t\"],\"deny_delete\":true}"), JS_ERR_EXISTS);
    assert_int_equal(update(&f, "{\"name\":\"X\"}"), JS_ERR_INVAL);
    assert_int_equal(update(&f, "{"), JS_ERR_INVAL);
    store(&f, "a.x", 2);
    assert_int_equal(js_stream_remove_msg(f.s, 1), JS_ERR_NOT_PERMITTED);
    assert_int_equal(update(&f, "{\"subjects\":[\"a.>\"],\"deny_delete\":true,\"sealed\":true}"), 0);
    assert_int_equal(js_stream_store_msg(f.s, "a.x", 3, NULL, 0, NULL, 0, NULL, NULL),
                     JS_ERR_NOT_PERMITTED);
    assert_int_equal(js_stream_purge(f.s, NULL), JS_ERR_NOT_PERMITTED);
    end(&f);
}

static bool configured(struct fixture *f, const char *field) {
    return strstr(js_stream_config_json(f->s), field) != NULL;
}

/* Servers expire messages of a sealed stream that has max_age, so sealing takes that out. */
static void sealing_keeps_everything(void **unused) {
    struct fixture f;

    (void)unused;
    begin(&f, "{\"subjects\":[\"a.>\"],\"max_age\":3600000000000,\"allow_rollup_hdrs\":true}",
          JS_CIPHER_NEW_NONE);
    store(&f, "a.x", 5);
    assert_int_equal(update(&f, "{\"subjects\":[\"a.>\"],\"max_age\":3600000000000,\"sealed\":true,"
                                "\"allow_rollup_hdrs\":true,\"max_msgs\":2,"
                                "\"max_msgs_per_subject\":1}"),
                     0);
    assert_int_equal(state(&f).msgs, 5);
    for (int i = 0; i < 2; i++) {
        assert_true(configured(&f, "\"sealed\":true"));
        assert_true(configured(&f, "\"max_age\":0"));
        assert_true(configured(&f, "\"discard\":\"new\""));
        assert_true(configured(&f, "\"deny_delete\":true"));
        assert_true(configured(&f, "\"deny_purge\":true"));
        assert_true(configured(&f, "\"allow_rollup_hdrs\":false"));
        reopen(&f, JS_CIPHER_NEW_NONE, "S");
    }
    end(&f);
}

static void fields_imply_others(void **unused) {
    static const char head[] = "{\"metadata\":{\"a\":\"";
    static const char tail[] = "\"},\"allow_msg_schedules\":true}";
    static char big[140000];
    struct fixture f;

    (void)unused;
    begin(&f, "{\"subjects\":[\"a.>\"],\"deny_purge\":true,\"allow_msg_schedules\":true}",
          JS_CIPHER_NEW_NONE);
    assert_true(configured(&f, "\"allow_rollup_hdrs\":true"));
    assert_true(configured(&f, "\"deny_purge\":false"));
    assert_int_equal(update(&f, "{\"subjects\":[\"a.>\"]}"), JS_ERR_NOT_PERMITTED);
    assert_non_null(strstr(f.why, "allow_msg_schedules"));
    assert_int_equal(update(&f, "{\"subjects\":[\"a.>\"],\"allow_msg_schedules\":true,"
                                "\"subject_delete_marker_ttl\":2000000000}"),
                     0);
    assert_true(configured(&f, "\"allow_rollup_hdrs\":true"));
    assert_true(configured(&f, "\"allow_msg_ttl\":true"));
    /* No server would load it. */
    memset(big, 'b', sizeof big);
    memcpy(big, head, sizeof head - 1);
    memcpy(big + sizeof big - sizeof tail, tail, sizeof tail);
    assert_int_equal(update(&f, big), JS_ERR_INVAL);
    assert_non_null(strstr(f.why, "metadata"));
    end(&f);
}

struct left {
    unsigned calls;
    uint64_t msgs, bytes;
};

static void note_left(void *ctx, struct js_stream *s, uint64_t msgs, uint64_t bytes, js_seq_t seq,
                      const char *subject, size_t len) {
    struct left *l = ctx;

    (void)s;
    (void)subject;
    assert_int_equal(seq, 0);
    assert_int_equal(len, 0);
    l->calls++;
    l->msgs += msgs;
    l->bytes += bytes;
}

static void deleted_streams_are_gone(void **unused) {
    struct fixture f;
    struct js_stream *s;
    struct left left = {0};

    (void)unused;
    begin(&f, NULL, JS_CIPHER_NEW_NONE);
    store(&f, "S.x", 3);
    js_stream_on_removed(f.s, note_left, &left);
    uint64_t bytes = state(&f).bytes;
    assert_int_equal(js_store_delete_stream(f.store, "$G", "S"), 0);
    assert_int_equal(left.calls, 1);
    assert_int_equal(left.msgs, 3);
    assert_int_equal(left.bytes, bytes);
    assert_int_equal(js_stream_store_msg(f.s, "S.x", 3, NULL, 0, NULL, 0, NULL, NULL),
                     JS_ERR_STORE_CLOSED);
    assert_int_equal(js_store_get_stream(f.store, "$G", "S", &s), JS_ERR_NO_STREAM);
    assert_int_equal(js_store_delete_stream(f.store, "$G", "S"), JS_ERR_NO_STREAM);
    assert_int_equal(js_store_create_stream(f.store, "$G", "S", NULL, f.why, sizeof f.why), 0);
    end(&f);
}

static void deleted_streams_with_lz4_are_gone(void **unused) {
    struct fixture f;
    struct js_stream *s;

    (void)unused;
    begin(&f, NULL, JS_CIPHER_NEW_NONE);
    store(&f, "S.x", 3);
    js_stream_unref(f.s);
    f.s = NULL;
    if (js_store_recompress(f.store, "$G", "S", "lz4", NULL, f.why, sizeof f.why) < 0)
        fail_msg("%s", f.why);
    assert_int_equal(js_store_delete_stream(f.store, "$G", "S"), 0);
    assert_int_equal(js_store_get_stream(f.store, "$G", "S", &s), JS_ERR_NO_STREAM);
    assert_int_equal(js_store_delete_stream(f.store, "$G", "S"), JS_ERR_NO_STREAM);
    end(&f);
}

struct bytes {
    uint8_t *data;
    size_t len;
};

static int take(void *ctx, const void *data, size_t len) {
    struct bytes *b = ctx;

    b->data = realloc(b->data, b->len + len + 1);
    memcpy(b->data + b->len, data, len);
    b->len += len;
    return 0;
}

/* One that lies beside streams/ counts as much as the others. */
static void lz4_streams_take_their_name_and_subjects(void **unused) {
    struct fixture f;

    (void)unused;
    begin(&f, "{\"subjects\":[\"s.>\"]}", JS_CIPHER_NEW_NONE);
    store(&f, "s.a", 5);
    assert_int_equal(js_store_recompress(f.store, "$G", "S", "lz4", NULL, f.why, sizeof f.why), 0);
    assert_int_equal(js_store_create_stream(f.store, "$G", "S", "{\"subjects\":[\"other\"]}", f.why,
                                            sizeof f.why),
                     JS_ERR_EXISTS);
    assert_int_equal(js_store_create_stream(f.store, "$G", "T", "{\"subjects\":[\"s.x\"]}", f.why,
                                            sizeof f.why),
                     JS_ERR_EXISTS);
    assert_non_null(strstr(f.why, "overlaps"));
    assert_int_equal(js_store_create_stream(f.store, "$G", "T", "{\"subjects\":[\"t\"]}", f.why,
                                            sizeof f.why),
                     0);
    end(&f);
}

/* Another cipher for a stream with LZ4 blocks: it stays where no server looks. */
static void lz4_streams_change_their_cipher(void **unused) {
    const enum js_new_cipher chacha = JS_CIPHER_NEW_CHACHA;
    struct js_stream_state before, after;
    struct js_msg msg;
    struct fixture f;
    char path[200];

    (void)unused;
    begin(&f, "{\"subjects\":[\"s.>\"]}", JS_CIPHER_NEW_NONE);
    store(&f, "s.a", 50);
    assert_int_equal(js_store_recompress(f.store, "$G", "S", "lz4", NULL, f.why, sizeof f.why), 0);
    js_stream_get_state(f.s, &before);
    reopen(&f, JS_CIPHER_NEW_CHACHA, "S");
    js_stream_unref(f.s);
    assert_int_equal(js_store_rekey(f.store, "$G", "S", &chacha, NULL), 0);
    assert_int_equal(js_store_get_stream(f.store, "$G", "S", &f.s), 0);
    reopen(&f, JS_CIPHER_NEW_CHACHA, "S");
    js_stream_get_state(f.s, &after);
    assert_int_equal(after.msgs, before.msgs);
    assert_int_equal(after.last_seq, before.last_seq);
    assert_string_equal(js_stream_cipher(f.s), "chacha");
    assert_int_equal(js_stream_load_msg(f.s, 7, &msg), 0);
    assert_memory_equal(msg.data, "payload 6", 9);
    js_msg_release(&msg);
    snprintf(path, sizeof path, "%s/jetstream/$G/jetfs/S/meta.key", f.dir);
    assert_int_equal(access(path, F_OK), 0);
    snprintf(path, sizeof path, "%s/jetstream/$G/streams/S", f.dir);
    assert_int_not_equal(access(path, F_OK), 0);
    store(&f, "s.b", 1);
    end(&f);
}

/* The first bytes of a block's file, or none. */
static bool is_lz4(struct fixture *f, uint32_t number) {
    uint8_t head[4];

    return js_stream_read_block_file(f->s, number, head, 4, 0) == 4 && memcmp(head, "cmpL", 4) == 0;
}

static size_t lz4_blocks(struct fixture *f) {
    struct js_block_info b;
    size_t n = 0;

    for (size_t i = 0; js_stream_block(f->s, i, &b) == 0; i++)
        n += is_lz4(f, b.number);
    return n;
}

static bool exists(struct fixture *f, const char *world) {
    char path[200];

    snprintf(path, sizeof path, "%s/jetstream/$G/%s/S", f->dir, world);
    return access(path, F_OK) == 0;
}

static int recompress(struct fixture *f, const char *kind) {
    return js_store_recompress(f->store, "$G", "S", kind, NULL, f->why, sizeof f->why);
}

/* Servers delete a stream for one block that they cannot decode: a block that is kept for its
 * tombstones alone is decoded like all others before the stream gets back to where they look. */
static void no_lz4_block_gets_where_servers_look(void **unused) {
    char big[600];
    struct js_block_info b;
    struct fixture f;

    (void)unused;
    begin_blocks(&f, "{\"subjects\":[\"s.>\"]}", 2000);
    memset(big, 'x', sizeof big);
    store(&f, "s.a", 1);
    assert_int_equal(recompress(&f, "lz4"), 0);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(
            js_stream_store_msg(f.s, "s.b", 3, NULL, 0, (uint8_t *)big, sizeof big, NULL, NULL), 0);
        /* Its tombstone is in the second block. */
        if (i == 4)
            assert_int_equal(js_stream_remove_msg(f.s, 2), 1);
    }
    assert_int_equal(js_stream_sync_blocks(f.s), 0);
    assert_int_equal(js_stream_compact_blocks(f.s, NULL), 0);
    assert_true(lz4_blocks(&f) > 2);
    assert_int_equal(js_stream_block(f.s, 1, &b), 0);
    for (js_seq_t seq = b.first_seq; seq <= b.last_seq; seq++)
        assert_int_equal(js_stream_remove_msg(f.s, seq), 1);
    js_stream_unref(f.s);
    assert_int_equal(recompress(&f, "none"), 0);
    assert_int_equal(js_store_get_stream(f.store, "$G", "S", &f.s), 0);
    assert_int_equal(lz4_blocks(&f), 0);
    assert_true(exists(&f, "streams") && !exists(&f, "jetfs"));
    end(&f);
}

static int recompress_once(void *ctx, const void *data, size_t len) {
    struct fixture *f = ctx;

    (void)data;
    (void)len;
    if (!f->why[0]) {
        assert_int_equal(recompress(f, "none"), JS_ERR_SNAPSHOT_IN_PROGRESS);
        strcpy(f->why, "asked");
    }
    return 0;
}

/* While a backup runs no block is replaced: so the stream stays where it is. */
static void lz4_blocks_stay_away_during_a_backup(void **unused) {
    struct fixture f;

    (void)unused;
    begin_blocks(&f, "{\"subjects\":[\"s.>\"]}", 2000);
    store(&f, "s.a", 1);
    assert_int_equal(recompress(&f, "lz4"), 0);
    store(&f, "s.a", 200);
    assert_int_equal(js_stream_compact_blocks(f.s, NULL), 0);
    assert_true(lz4_blocks(&f) > 2);
    f.why[0] = 0;
    assert_int_equal(js_stream_backup(f.s, 0, recompress_once, &f), 0);
    assert_true(exists(&f, "jetfs") && !exists(&f, "streams"));
    assert_int_equal(recompress(&f, "none"), 0);
    assert_int_equal(lz4_blocks(&f), 0);
    assert_true(exists(&f, "streams") && !exists(&f, "jetfs"));
    end(&f);
}

/* What cannot get LZ4 blocks stays where servers find it. */
static void refused_lz4_moves_nothing(void **unused) {
    struct fixture f;

    (void)unused;
    begin(&f, "{\"subjects\":[\"s.>\"]}", JS_CIPHER_NEW_NONE);
    store(&f, "s.a", 3);
    /* By configuration alone no server would load it. */
    assert_int_equal(update(&f, "{\"subjects\":[\"s.>\"],\"compression\":\"lz4\"}"),
                     JS_ERR_NOT_PERMITTED);
    assert_int_equal(js_store_create_stream(f.store, "$G", "T",
                                            "{\"subjects\":[\"t\"],\"compression\":\"lz4\"}", f.why,
                                            sizeof f.why),
                     JS_ERR_INVAL);
    assert_int_equal(update(&f, "{\"subjects\":[\"s.>\"],\"sealed\":true}"), 0);
    assert_int_equal(recompress(&f, "lz4"), JS_ERR_NOT_PERMITTED);
    assert_true(exists(&f, "streams") && !exists(&f, "jetfs"));
    assert_int_equal(state(&f).msgs, 3);
    end(&f);
}

/* A sealed stream gets another cipher like any other, also when it does not begin with 1. */
static void sealed_streams_change_their_cipher(void **unused) {
    const enum js_new_cipher chacha = JS_CIPHER_NEW_CHACHA;
    struct fixture f;

    (void)unused;
    begin(&f, "{\"subjects\":[\"s.>\"]}", JS_CIPHER_NEW_NONE);
    store(&f, "s.a", 10);
    assert_int_equal(js_stream_remove_msg(f.s, 1), 1);
    assert_int_equal(js_stream_remove_msg(f.s, 5), 1);
    assert_int_equal(update(&f, "{\"subjects\":[\"s.>\"],\"sealed\":true}"), 0);
    reopen(&f, JS_CIPHER_NEW_CHACHA, "S");
    js_stream_unref(f.s);
    assert_int_equal(js_store_rekey(f.store, "$G", "S", &chacha, NULL), 0);
    assert_int_equal(js_store_get_stream(f.store, "$G", "S", &f.s), 0);
    assert_int_equal(state(&f).msgs, 8);
    assert_int_equal(state(&f).first_seq, 2);
    assert_string_equal(js_stream_cipher(f.s), "chacha");
    assert_int_equal(js_stream_remove_msg(f.s, 2), JS_ERR_NOT_PERMITTED);
    assert_int_equal(js_stream_store_msg(f.s, "s.a", 3, NULL, 0, NULL, 0, NULL, NULL),
                     JS_ERR_NOT_PERMITTED);
    end(&f);
}

/* The subjects of encrypted streams count as much as those that can be read without a key. */
static void encrypted_streams_take_their_subjects(void **unused) {
    struct fixture f;

    (void)unused;
    begin(&f, "{\"subjects\":[\"s.>\"]}", JS_CIPHER_NEW_CHACHA);
    assert_int_equal(
        js_store_create_stream(f.store, "$G", "T", "{\"subjects\":[\"s.x\"]}", f.why, sizeof f.why),
        JS_ERR_EXISTS);
    assert_non_null(strstr(f.why, "overlaps"));
    end(&f);
}

/* Servers do not know the word. */
static void backups_of_lz4_streams_are_for_servers(void **unused) {
    struct bytes b = {0};
    struct fixture f;
    char path[100];

    (void)unused;
    begin(&f, "{\"subjects\":[\"s.>\"]}", JS_CIPHER_NEW_NONE);
    store(&f, "s.a", 20);
    assert_int_equal(recompress(&f, "lz4"), 0);
    assert_int_equal(js_stream_backup(f.s, 0, take, &b), 0);
    snprintf(path, sizeof path, "%s/backup", f.dir);
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    assert_int_equal(fwrite(b.data, 1, b.len, out), b.len);
    assert_int_equal(fclose(out), 0);
    free(b.data);
    js_stream_unref(f.s);
    assert_int_equal(js_store_delete_stream(f.store, "$G", "S"), 0);
    assert_int_equal(js_store_restore(f.store, "$G", path, NULL, NULL, 0, f.why, sizeof f.why), 0);
    assert_int_equal(js_store_get_stream(f.store, "$G", "S", &f.s), 0);
    assert_null(strstr(js_stream_config_json(f.s), "lz4"));
    assert_int_equal(state(&f).msgs, 20);
    assert_int_equal(js_stream_health(f.s), JS_HEALTH_OK);
    end(&f);
}

static void states_are_encoded(void **unused) {
    struct js_decoded_state d;
    struct bytes b = {0};
    struct fixture f;
    uint64_t num = 0;

    (void)unused;
    begin(&f, NULL, JS_CIPHER_NEW_NONE);
    store(&f, "S.x", 10);
    assert_int_equal(js_stream_remove_msg(f.s, 3), 1);
    assert_int_equal(js_stream_remove_msg(f.s, 5), 1);
    assert_int_equal(js_stream_skip_msgs(f.s, 0, 20000), 0);
    store(&f, "S.x", 1);
    assert_int_equal(js_stream_encoded_state(f.s, 7, take, &b), 0);
    assert_true(b.len < 512);
    assert_int_equal(js_decode_stream_state(js_env_default(), b.data, b.len, &d), 0);
    assert_int_equal(d.msgs, 9);
    assert_int_equal(d.failed, 7);
    assert_int_equal(d.first_seq, 1);
    assert_int_equal(d.last_seq, 20011);
    assert_int_equal(d.num_deleted, 20002);
    for (size_t i = 0; i < d.num_blocks; i++)
        num += d.deleted[i].num;
    assert_int_equal(num, 20002);
    js_decoded_state_free(js_env_default(), &d);
    /* What lacks an end, or has another head, is refused. */
    assert_int_equal(js_decode_stream_state(js_env_default(), b.data, b.len - 1, &d),
                     JS_ERR_CORRUPT);
    b.data[1] = 9;
    assert_int_equal(js_decode_stream_state(js_env_default(), b.data, b.len, &d),
                     JS_ERR_BAD_STATE_ENCODING);
    free(b.data);
    end(&f);
}

static int to_file(void *ctx, const void *data, size_t len) {
    return fwrite(data, 1, len, ctx) == len ? 0 : JS_ERR_IO;
}

static void backed_up_as(enum js_new_cipher from, enum js_new_cipher to, const char *name) {
    struct js_stream_state a, b;
    char path[100], got[100], consumer[] = "{\"ack_policy\":\"explicit\"}";
    struct js_msg msg;
    struct fixture f;

    begin(&f, "{\"subjects\":[\"a.>\"]}", from);
    store(&f, "a.x", 40);
    if (from == JS_CIPHER_NEW_NONE)
        assert_int_equal(js_stream_create_consumer(f.s, "c", consumer, f.why, sizeof f.why), 0);
    assert_int_equal(js_stream_remove_msg(f.s, 1), 1);
    assert_int_equal(js_stream_remove_msg(f.s, 17), 1);
    assert_int_equal(js_stream_remove_msg(f.s, 40), 1);
    a = state(&f);
    snprintf(path, sizeof path, "%s.tar.s2", f.dir);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(js_stream_backup(f.s, JS_BACKUP_CONSUMERS | JS_BACKUP_CHECK, to_file, out), 0);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(
        js_store_restore(f.store, "$G", path, NULL, NULL, 0, f.why, sizeof f.why),
        JS_ERR_EXISTS);
    assert_int_equal(js_store_delete_stream(f.store, "$G", "S"), 0);
    js_stream_unref(f.s);
    assert_int_equal(js_store_close(f.store), 0);
    open_store(&f, to);
    if (js_store_restore(f.store, "$G", path, name, got, sizeof got, f.why, sizeof f.why) < 0)
        fail_msg("%s", f.why);
    assert_string_equal(got, name ? name : "S");
    assert_int_equal(js_store_get_stream(f.store, "$G", got, &f.s), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(js_stream_scan(f.s), 0);
        assert_int_equal(js_stream_health(f.s), JS_HEALTH_OK);
        b = state(&f);
        assert_int_equal(a.msgs, b.msgs);
        assert_int_equal(a.first_seq, b.first_seq);
        assert_int_equal(a.last_seq, b.last_seq);
        assert_int_equal(a.num_deleted, b.num_deleted);
        assert_int_equal(b.num_consumers, from == JS_CIPHER_NEW_NONE);
        assert_int_equal(js_stream_load_msg(f.s, 39, &msg), 0);
        assert_memory_equal(msg.data, "payload 38", 10);
        js_msg_release(&msg);
        assert_int_equal(js_stream_load_msg(f.s, 17, &msg), JS_ERR_DELETED_MSG);
        reopen(&f, to, got);
    }
    store(&f, "a.y", 1);
    assert_int_equal(state(&f).last_seq, 41);
    assert_string_equal(js_stream_cipher(f.s), to == JS_CIPHER_NEW_NONE     ? "none"
                                               : to == JS_CIPHER_NEW_CHACHA ? "chacha"
                                                                            : "aes");
    unlink(path);
    end(&f);
}

static void backups_are_restored(void **unused) {
    (void)unused;
    backed_up_as(JS_CIPHER_NEW_NONE, JS_CIPHER_NEW_NONE, NULL);
    backed_up_as(JS_CIPHER_NEW_NONE, JS_CIPHER_NEW_NONE, "OTHER");
    backed_up_as(JS_CIPHER_NEW_CHACHA, JS_CIPHER_NEW_NONE, NULL);
    backed_up_as(JS_CIPHER_NEW_AES, JS_CIPHER_NEW_CHACHA, NULL);
    backed_up_as(JS_CIPHER_NEW_CHACHA, JS_CIPHER_NEW_AES, "OTHER");
}

/* What other streams take is not restored beside them; a sealed stream is sealed again under a new name. */
static void restored_streams_fit_in(void **unused) {
    struct fixture f;
    char path[100], got[100];

    (void)unused;
    begin(&f, "{\"subjects\":[\"a.>\"]}", JS_CIPHER_NEW_NONE);
    store(&f, "a.x", 4);
    assert_int_equal(update(&f, "{\"subjects\":[\"a.>\"],\"sealed\":true}"), 0);
    snprintf(path, sizeof path, "%s.tar", f.dir);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(js_stream_backup(f.s, JS_BACKUP_CHECK, to_file, out), 0);
    assert_int_equal(fclose(out), 0);
    js_stream_unref(f.s);
    f.s = NULL;
    assert_int_equal(js_store_delete_stream(f.store, "$G", "S"), 0);
    assert_int_equal(js_store_create_stream(f.store, "$G", "T", "{\"subjects\":[\"a.x\"]}", f.why,
                                            sizeof f.why),
                     0);
    assert_int_equal(js_store_restore(f.store, "$G", path, NULL, NULL, 0, f.why, sizeof f.why),
                     JS_ERR_EXISTS);
    assert_non_null(strstr(f.why, "overlaps"));
    assert_int_equal(js_store_delete_stream(f.store, "$G", "T"), 0);
    if (js_store_restore(f.store, "$G", path, "NEW", got, sizeof got, f.why, sizeof f.why) < 0)
        fail_msg("%s", f.why);
    assert_int_equal(js_store_get_stream(f.store, "$G", "NEW", &f.s), 0);
    assert_int_equal(state(&f).msgs, 4);
    assert_true(configured(&f, "\"sealed\":true"));
    assert_int_equal(js_stream_remove_msg(f.s, 1), JS_ERR_NOT_PERMITTED);
    unlink(path);
    end(&f);
}

/* A name of 255 bytes leaves no room for a hidden one. */
static void long_names_come_and_go(void **unused) {
    const enum js_new_cipher chacha = JS_CIPHER_NEW_CHACHA;
    struct bytes b = {0};
    struct fixture f;
    char name[256], path[100];

    (void)unused;
    begin(&f, "{\"subjects\":[\"s.>\"]}", JS_CIPHER_NEW_NONE);
    js_stream_unref(f.s);
    for (size_t len = 245; len <= 255; len++) {
        memset(name, 'n', len);
        name[len] = 0;
        assert_int_equal(js_store_create_stream(f.store, "$G", name, "{\"subjects\":[\"t\"]}", f.why,
                                                sizeof f.why),
                         0);
        assert_int_equal(js_store_get_stream(f.store, "$G", name, &f.s), 0);
        assert_int_equal(js_stream_create_consumer(f.s, name, NULL, f.why, sizeof f.why), 0);
        b.len = 0;
        assert_int_equal(js_stream_backup(f.s, 0, take, &b), 0);
        assert_int_equal(js_stream_delete_consumer(f.s, name, true), 0);
        js_stream_unref(f.s);
        assert_int_equal(js_store_close(f.store), 0);
        open_store(&f, JS_CIPHER_NEW_CHACHA);
        assert_int_equal(js_store_rekey(f.store, "$G", name, &chacha, NULL), 0);
        assert_int_equal(js_store_remove_empty_stream(f.store, "$G", name), 0);
        snprintf(path, sizeof path, "%s/backup", f.dir);
        FILE *out = fopen(path, "we");
        assert_non_null(out);
        assert_int_equal(fwrite(b.data, 1, b.len, out), b.len);
        assert_int_equal(fclose(out), 0);
        assert_int_equal(js_store_restore(f.store, "$G", path, NULL, NULL, 0, f.why, sizeof f.why),
                         0);
        assert_int_equal(js_store_delete_stream(f.store, "$G", name), 0);
    }
    free(b.data);
    assert_int_equal(js_store_get_stream(f.store, "$G", "S", &f.s), 0);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_act_at_once),     cmocka_unit_test(what_may_not_change),
        cmocka_unit_test(sealing_keeps_everything), cmocka_unit_test(fields_imply_others),
        cmocka_unit_test(deleted_streams_are_gone),
        cmocka_unit_test(lz4_streams_take_their_name_and_subjects),
        cmocka_unit_test(lz4_streams_change_their_cipher),
        cmocka_unit_test(no_lz4_block_gets_where_servers_look),
        cmocka_unit_test(lz4_blocks_stay_away_during_a_backup),
        cmocka_unit_test(refused_lz4_moves_nothing),
        cmocka_unit_test(sealed_streams_change_their_cipher),
        cmocka_unit_test(encrypted_streams_take_their_subjects),
        cmocka_unit_test(backups_of_lz4_streams_are_for_servers),
        cmocka_unit_test(long_names_come_and_go),
        cmocka_unit_test(deleted_streams_with_lz4_are_gone), cmocka_unit_test(states_are_encoded),
        cmocka_unit_test(backups_are_restored),
        cmocka_unit_test(restored_streams_fit_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
