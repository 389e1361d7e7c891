/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restoring a backup on a disk that fails: before every call of a restore that changes something
 * the power may go. Then the new stream is there as a whole or not at all, the restore can be done
 * again, and what else the store holds is as it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "tests/core/place.h"
#include "tests/crash/crash.h"

#define SEEDS 3

struct archive {
    uint8_t *data;
    size_t len, cap;
};

/* How the backup is restored. */
struct way {
    const char *name;
    const char *as; /* the stream's new name */
    enum js_new_cipher cipher;
    bool sealed;
};

static const struct way ways[] = {
    {"the files as they are", "SRC", JS_CIPHER_NEW_NONE, false},
    {"under another name", "NEW", JS_CIPHER_NEW_NONE, false},
    {"sealed, under another name", "NEW", JS_CIPHER_NEW_NONE, true},
    {"encrypted with ChaCha", "SRC", JS_CIPHER_NEW_CHACHA, false},
    {"encrypted with AES, under another name", "NEW", JS_CIPHER_NEW_AES, false},
};

static int take_archive(void *ctx, const void *data, size_t len) {
    struct archive *a = ctx;

    if (a->len + len > a->cap) {
        a->cap = (a->len + len) * 2;
        a->data = realloc(a->data, a->cap);
        assert_non_null(a->data);
    }
    memcpy(a->data + a->len, data, len);
    a->len += len;
    return 0;
}

/* The stream that is backed up, and its backup in "/backup". */
static void make_source(struct place *p, bool sealed) {
    struct archive a = {0};
    struct js_stream *s;
    char why[256] = "", text[100];

    if (js_store_create_stream(p->store, "A", "SRC", "{\"subjects\":[\"a.>\"]}", why, sizeof why) <
        0)
        fail_msg("create: %s", why);
    assert_int_equal(js_store_get_stream(p->store, "A", "SRC", &s), 0);
    for (int i = 0; i < 60; i++) {
        int n = snprintf(text, sizeof text, "message %d %*d", i, 10 + i, i);
        assert_int_equal(js_stream_store_msg(s, i % 3 ? "a.b" : "a.c", 3, NULL, 0, (uint8_t *)text,
                                             (size_t)n, NULL, NULL),
                         0);
    }
    for (js_seq_t seq = 5; seq <= 60; seq += 5)
        assert_int_equal(js_stream_remove_msg(s, seq), 1);
    if (js_stream_create_consumer(s, "c", "{\"ack_policy\":\"explicit\",\"durable_name\":\"c\"}",
                                  why, sizeof why) < 0)
        fail_msg("consumer: %s", why);
    if (sealed &&
        js_stream_update_config(s, "{\"name\":\"SRC\",\"subjects\":[\"a.>\"],\"sealed\":true}", why,
                                sizeof why) < 0)
        fail_msg("seal: %s", why);
    assert_int_equal(js_stream_backup(s, JS_BACKUP_CHECK | JS_BACKUP_CONSUMERS, take_archive, &a),
                     0);
    js_stream_unref(s);
    assert_int_equal(rd_put(p->disk, "/backup", a.data, a.len), 0);
    free(a.data);
}

static int restore(struct place *p, const struct way *way, char *why) {
    return js_store_restore(p->store, "B", "/backup", way->as, NULL, 0, why, 256);
}

static int count_name(void *ctx, const char *name) {
    assert_string_equal(name, "c");
    ++*(int *)ctx;
    return 0;
}

/* What there is of a stream: 0, or why it cannot be opened. */
static int see(struct place *p, const char *account, const char *name, struct snap *ret,
               int *ret_consumers, bool *ret_sealed) {
    struct js_stream *s;
    char why[256];
    int r = js_store_get_stream(p->store, account, name, &s);

    if (r < 0)
        return r;
    if (snap_take(s, ret, why) < 0)
        fail_msg("%s/%s: %s", account, name, why);
    *ret_consumers = 0;
    assert_int_equal(js_stream_list_consumers(s, count_name, ret_consumers), 0);
    *ret_sealed = strstr(js_stream_config_json(s), "\"sealed\":true") != NULL;
    if (js_stream_health(s) != JS_HEALTH_OK)
        fail_msg("%s/%s: health %d", account, name, (int)js_stream_health(s));
    js_stream_unref(s);
    return 0;
}

static void expect(struct place *p, const char *account, const char *name, const struct snap *want,
                   bool sealed, const char *what) {
    struct snap got;
    int consumers;
    bool is_sealed;
    int r = see(p, account, name, &got, &consumers, &is_sealed);

    if (r < 0)
        fail_msg("%s: %s/%s: %s", what, account, name, js_err_name(r));
    const char *differs = snap_differs(want, &got);
    if (differs)
        fail_msg("%s: %s/%s: %s", what, account, name, differs);
    if (consumers != 1 || is_sealed != sealed)
        fail_msg("%s: %s/%s: %d consumers, sealed %d", what, account, name, consumers, is_sealed);
    snap_done(&got);
}

/* Returns whether the new stream was there. */
static bool crash_at(const struct place *done, const struct way *way, const struct snap *want,
                     size_t upto, enum rd_loss loss, uint64_t seed, bool acknowledged) {
    struct place p = {.disk = rd_crash(done->disk, upto, loss, seed), .cipher = way->cipher};
    struct snap got;
    char what[160], why[256] = "";
    int consumers;
    bool is_sealed;

    snprintf(what, sizeof what, "%s, call %zu, loss %d, seed %d", way->name, upto, (int)loss,
             (int)seed);
    open_place(&p);
    expect(&p, "A", "SRC", want, way->sealed, what);
    int r = see(&p, "B", way->as, &got, &consumers, &is_sealed);
    bool there = r == 0;
    if (there)
        snap_done(&got);
    else if (r != JS_ERR_NO_STREAM && r != JS_ERR_NO_ACCOUNT)
        fail_msg("%s: %s", what, js_err_name(r));
    if (acknowledged && !there)
        fail_msg("%s: what was acknowledged is not there", what);
    r = there ? 0 : restore(&p, way, why);
    if (r < 0)
        fail_msg("%s: again: %s %s", what, js_err_name(r), why);
    for (int again = 0; again < 2; again++) {
        expect(&p, "B", way->as, want, way->sealed, what);
        close_place(&p);
        open_place(&p);
    }
    close_place(&p);
    rd_free(p.disk);
    return there;
}

static void power_failures_of(const struct way *way) {
    struct place p = {.disk = rd_new(), .cipher = way->cipher};
    struct snap want;
    char why[256] = "";
    int consumers;
    bool is_sealed;
    size_t there = 0, absent = 0;

    open_place(&p);
    make_source(&p, way->sealed);
    assert_int_equal(see(&p, "A", "SRC", &want, &consumers, &is_sealed), 0);
    close_place(&p);
    open_place(&p);
    rd_record(p.disk);
    if (restore(&p, way, why) < 0)
        fail_msg("%s: %s", way->name, why);
    size_t returned = rd_recorded(p.disk);
    expect(&p, "B", way->as, &want, way->sealed, way->name);
    close_place(&p);
    size_t calls = rd_recorded(p.disk);
    assert_true(returned > 20);
    for (size_t upto = 0; upto <= calls; upto++)
        for (int loss = 0; loss < RD_LOSSES; loss++)
            for (uint64_t seed = 1; seed <= (loss == RD_RANDOM ? SEEDS : 1); seed++) {
                bool t = crash_at(&p, way, &want, upto, (enum rd_loss)loss, seed, upto >= returned);
                there += t;
                absent += !t;
            }
    assert_true(there > 0 && absent > 20);
    snap_done(&want);
    rd_free(p.disk);
}

static void power_failures(void **unused) {
    (void)unused;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        power_failures_of(&ways[i]);
}

/* The n-th call of a kind fails: the restore says so and leaves nothing, or it is done. */
static bool fails_at(const struct way *way, unsigned calls, int err, long n) {
    struct place p = {.disk = rd_new(), .cipher = way->cipher};
    const struct rd_fault none = {0};
    struct snap want, got;
    char why[256] = "", what[160];
    int consumers;
    bool is_sealed;

    snprintf(what, sizeof what, "%s, kind %u, call %ld", way->name, calls, n);
    open_place(&p);
    make_source(&p, way->sealed);
    assert_int_equal(see(&p, "A", "SRC", &want, &consumers, &is_sealed), 0);
    close_place(&p);
    open_place(&p);
    rd_set_fault(p.disk,
                 &(struct rd_fault){.calls = calls, .kind = RD_FAIL, .err = err, .countdown = n});
    int r = restore(&p, way, why);
    bool fired = rd_faults_fired(p.disk) > 0;
    rd_set_fault(p.disk, &none);
    if (r < 0) {
        if (!fired)
            fail_msg("%s: %s %s", what, js_err_name(r), why);
        int there = see(&p, "B", way->as, &got, &consumers, &is_sealed);
        if (there == 0) {
            /* All was done but the last sync: it is there as a whole. */
            snap_done(&got);
        } else if (restore(&p, way, why) < 0) {
            fail_msg("%s: again: %s", what, why);
        }
    }
    expect(&p, "B", way->as, &want, way->sealed, what);
    expect(&p, "A", "SRC", &want, way->sealed, what);
    close_place(&p);
    snap_done(&want);
    rd_free(p.disk);
    return fired;
}

static void failing_calls(void **unused) {
    static const struct {
        unsigned calls;
        int err;
    } kinds[] = {{RD_OPENS, EMFILE},
                 {RD_READS, EIO},
                 {RD_WRITES, ENOSPC},
                 {RD_SYNCS, EIO},
                 {RD_NAMES, EACCES}};

    (void)unused;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            long n = 1;
            while (fails_at(&ways[i], kinds[k].calls, kinds[k].err, n))
                n++;
            assert_true(n > 2);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_failures),
        cmocka_unit_test(failing_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
