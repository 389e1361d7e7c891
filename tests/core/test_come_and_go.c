/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams that are made and deleted on a disk whose power fails before any call: the stream is
 * there as a whole or not at all, the same can be asked for again, and the stream beside it is as
 * it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include "tests/core/place.h"
#include "tests/crash/crash.h"

#define SEEDS 20

enum change { CREATE, DELETE, REMOVE_EMPTY };

static int make(struct place *p, const char *account, const char *name) {
    char why[256] = "", config[64];

    snprintf(config, sizeof config, "{\"subjects\":[\"%s.>\"]}", name);
    return js_store_create_stream(p->store, account, name, config, why, sizeof why);
}

static void fill(struct place *p, const char *account, const char *name) {
    struct js_stream *s;

    assert_int_equal(js_store_get_stream(p->store, account, name, &s), 0);
    for (int i = 0; i < 40; i++) {
        char subject[64], data[200];
        int n = snprintf(subject, sizeof subject, "%s.a", name);
        memset(data, 'a' + i % 26, sizeof data);
        assert_int_equal(js_stream_store_msg(s, subject, (size_t)n, NULL, 0, (uint8_t *)data,
                                             sizeof data, NULL, NULL),
                         0);
    }
    js_stream_unref(s);
}

static int change(struct place *p, enum change what) {
    return what == CREATE   ? make(p, "B", "NEW")
           : what == DELETE ? js_store_delete_stream(p->store, "B", "NEW")
                            : js_store_remove_empty_stream(p->store, "B", "NEW");
}

/* 0 with what is in it, or why it cannot be opened. */
static int see(struct place *p, const char *account, const char *name, struct snap *ret,
               const char *at) {
    struct js_stream *s;
    char why[256];
    int r = js_store_get_stream(p->store, account, name, &s);

    if (r < 0)
        return r;
    if (js_stream_health(s) != JS_HEALTH_OK || !strstr(js_stream_config_json(s), name))
        fail_msg("%s: %s/%s: health %d, configuration %.60s", at, account, name,
                 (int)js_stream_health(s), js_stream_config_json(s));
    if (snap_take(s, ret, why) < 0)
        fail_msg("%s: %s/%s: %s", at, account, name, why);
    js_stream_unref(s);
    return 0;
}

static void expect(struct place *p, const char *account, const char *name, const struct snap *want,
                   const char *at) {
    struct snap got;
    int r = see(p, account, name, &got, at);

    if (r < 0)
        fail_msg("%s: %s/%s: %s", at, account, name, js_err_name(r));
    const char *differs = snap_differs(want, &got);
    if (differs)
        fail_msg("%s: %s/%s: %s", at, account, name, differs);
    snap_done(&got);
}

/* Returns whether the stream was there. */
static bool crash_at(const struct place *done, enum change what, const struct snap *beside,
                     const struct snap *own, size_t upto, int loss, uint64_t seed,
                     bool acknowledged) {
    struct place p = {.disk = rd_crash(done->disk, upto, (enum rd_loss)loss, seed),
                      .cipher = done->cipher};
    struct snap got;
    char at[120];

    snprintf(at, sizeof at, "change %d, cipher %d, call %zu, loss %d, seed %d", (int)what,
             (int)done->cipher, upto, loss, (int)seed);
    open_place(&p);
    expect(&p, "A", "SRC", beside, at);
    int r = see(&p, "B", "NEW", &got, at);
    bool there = r == 0;
    if (there)
        snap_done(&got);
    else if (r != JS_ERR_NO_STREAM && r != JS_ERR_NO_ACCOUNT)
        fail_msg("%s: %s", at, js_err_name(r));
    if (there)
        expect(&p, "B", "NEW", own, at);
    if (acknowledged && there != (what == CREATE))
        fail_msg("%s: what was acknowledged is undone", at);
    if (there != (what == CREATE)) {
        r = change(&p, what);
        if (r < 0)
            fail_msg("%s: again: %s", at, js_err_name(r));
    }
    /* The name can be used again, and nothing of the old one comes back with it. */
    if (what != CREATE) {
        r = make(&p, "B", "NEW");
        if (r < 0)
            fail_msg("%s: anew: %s", at, js_err_name(r));
    }
    /* Also when the first time left something behind. */
    if (what != CREATE) {
        r = change(&p, what);
        if (r == 0)
            r = make(&p, "B", "NEW");
        if (r < 0)
            fail_msg("%s: once more: %s", at, js_err_name(r));
    }
    close_place(&p);
    uint64_t hash = rd_hash(p.disk, "/");
    open_place(&p);
    expect(&p, "A", "SRC", beside, at);
    assert_int_equal(see(&p, "B", "NEW", &got, at), 0);
    assert_int_equal(got.count, 0);
    assert_int_equal(got.last, 0);
    snap_done(&got);
    close_place(&p);
    if (rd_hash(p.disk, "/") != hash)
        fail_msg("%s: opened again, the disk has changed", at);
    rd_free(p.disk);
    return there;
}

static void power_failures_of(enum change what, enum js_new_cipher cipher) {
    struct place p = {.disk = rd_new(), .cipher = cipher};
    struct snap beside, own;
    size_t there = 0, absent = 0;

    open_place(&p);
    assert_int_equal(make(&p, "A", "SRC"), 0);
    fill(&p, "A", "SRC");
    if (what != CREATE)
        assert_int_equal(make(&p, "B", "NEW"), 0);
    if (what == DELETE)
        fill(&p, "B", "NEW");
    close_place(&p);
    open_place(&p);
    assert_int_equal(see(&p, "A", "SRC", &beside, "before"), 0);
    if (what != CREATE)
        assert_int_equal(see(&p, "B", "NEW", &own, "before"), 0);
    rd_record(p.disk);
    assert_int_equal(change(&p, what), 0);
    size_t returned = rd_recorded(p.disk);
    if (what == CREATE)
        assert_int_equal(see(&p, "B", "NEW", &own, "after"), 0);
    close_place(&p);
    for (size_t upto = 0; upto <= rd_recorded(p.disk); upto++)
        for (int loss = 0; loss < RD_LOSSES; loss++)
            for (uint64_t seed = 1; seed <= (loss == RD_RANDOM ? SEEDS : 1); seed++) {
                bool t = crash_at(&p, what, &beside, &own, upto, loss, seed, upto >= returned);
                there += t;
                absent += !t;
            }
    assert_true(there > 5 && absent > 5);
    snap_done(&beside);
    snap_done(&own);
    rd_free(p.disk);
}

static void of_all_ciphers(enum change what) {
    static const enum js_new_cipher ciphers[] = {JS_CIPHER_NEW_NONE, JS_CIPHER_NEW_CHACHA,
                                                 JS_CIPHER_NEW_AES};

    for (size_t i = 0; i < sizeof ciphers / sizeof *ciphers; i++)
        power_failures_of(what, ciphers[i]);
}

static void while_a_stream_is_made(void **unused) {
    (void)unused;
    of_all_ciphers(CREATE);
}

static void while_a_stream_is_deleted(void **unused) {
    (void)unused;
    of_all_ciphers(DELETE);
}

static void while_an_empty_stream_is_removed(void **unused) {
    (void)unused;
    of_all_ciphers(REMOVE_EMPTY);
}

/* What is not ours, or was kept for the user, is not left under a name by which servers would delete it, and
 * nothing of the stream goes. */
static void a_stream_that_is_kept_keeps_its_name(void **unused) {
    static const char *const strange[] = {"msgs/notes.txt", "notes.txt", "quarantine"};

    (void)unused;
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        struct place p = {.disk = rd_new()};
        struct snap own;
        char path[100];

        open_place(&p);
        assert_int_equal(make(&p, "B", "NEW"), 0);
        fill(&p, "B", "NEW");
        struct js_stream *s;
        assert_int_equal(js_store_get_stream(p.store, "B", "NEW", &s), 0);
        assert_int_equal(js_stream_purge(s, NULL), 0);
        js_stream_unref(s);
        close_place(&p);
        open_place(&p);
        snprintf(path, sizeof path, "/s/jetstream/B/streams/NEW/%s", strange[i]);
        assert_int_equal(rd_put(p.disk, path, (const uint8_t *)"x", 1), 0);
        rd_record(p.disk);
        assert_int_equal(change(&p, REMOVE_EMPTY), JS_ERR_NOT_EMPTY);
        /* Not for a moment: whenever the power fails. */
        assert_int_equal(rd_recorded(p.disk), 0);
        struct place after = {.disk = rd_crash(p.disk, rd_recorded(p.disk), RD_ALL_LOST, 1)};
        close_place(&p);
        assert_true(rd_get(after.disk, path, NULL) >= 0);
        open_place(&after);
        assert_int_equal(see(&after, "B", "NEW", &own, strange[i]), 0);
        assert_int_equal(own.last, 40);
        snap_done(&own);
        close_place(&after);
        rd_free(after.disk);
        rd_free(p.disk);
    }
}

static int store_one(struct js_stream *s) {
    return js_stream_store_msg(s, "NEW.a", 5, NULL, 0, (const uint8_t *)"x", 1, NULL, NULL);
}

/* Who holds a stream stores into it as long as it is there, and no longer; and what he stores after
 * a removal that was refused gets to the disk in its time. */
static void handles_of_a_stream_that_was_to_go(void **unused) {
    (void)unused;
    for (int kept = 0; kept < 2; kept++) {
        struct place p = {.disk = rd_new()};
        struct js_stream *s;
        struct snap seen;

        open_place(&p);
        assert_int_equal(make(&p, "B", "NEW"), 0);
        assert_int_equal(js_store_get_stream(p.store, "B", "NEW", &s), 0);
        if (kept)
            assert_int_equal(rd_put(p.disk, "/s/jetstream/B/streams/NEW/notes.txt", "x", 1), 0);
        assert_int_equal(change(&p, REMOVE_EMPTY), kept ? JS_ERR_NOT_EMPTY : 0);
        rd_record(p.disk);
        assert_int_equal(store_one(s), kept ? 0 : JS_ERR_STORE_CLOSED);
        if (kept) {
            te_advance(&p.te, 2 * TE_SECOND);
            assert_int_equal(js_store_run_due(p.store, atomic_load(&p.te.now)), 0);
            struct place after = {.disk = rd_crash(p.disk, rd_recorded(p.disk), RD_ALL_LOST, 1)};
            open_place(&after);
            assert_int_equal(see(&after, "B", "NEW", &seen, "synced"), 0);
            assert_int_equal(seen.count, 1);
            snap_done(&seen);
            close_place(&after);
            rd_free(after.disk);
        }
        js_stream_unref(s);
        close_place(&p);
        rd_free(p.disk);
    }
}

/* Those with LZ4 blocks lie elsewhere. */
static void an_empty_stream_of_lz4_goes(void **unused) {
    struct place p = {.disk = rd_new()};
    struct js_stream *s;
    char why[256] = "";

    (void)unused;
    open_place(&p);
    assert_int_equal(make(&p, "B", "NEW"), 0);
    assert_int_equal(js_store_recompress(p.store, "B", "NEW", "lz4", NULL, why, sizeof why), 0);
    assert_int_equal(change(&p, REMOVE_EMPTY), 0);
    assert_int_equal(js_store_get_stream(p.store, "B", "NEW", &s), JS_ERR_NO_STREAM);
    assert_int_equal(make(&p, "B", "NEW"), 0);
    close_place(&p);
    rd_free(p.disk);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_a_stream_is_made),
        cmocka_unit_test(while_a_stream_is_deleted),
        cmocka_unit_test(while_an_empty_stream_is_removed),
        cmocka_unit_test(a_stream_that_is_kept_keeps_its_name),
        cmocka_unit_test(handles_of_a_stream_that_was_to_go),
        cmocka_unit_test(an_empty_stream_of_lz4_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
