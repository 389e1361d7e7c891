/* SPDX-License-Identifier: Apache-2.0 */
/* Compression by several threads: the same bytes come out in the same order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include "core/base/buf.h"
#include "core/format/s2.h"
#include "core/store/pack.h"
#include "tests/support/testenv.h"

#define TOTAL (9 * 1024 * 1024 + 12345)

struct out {
    struct js_buf got;
    long calls, fail_at; /* the n-th call of the sink; 0 = none */
};

static int take(void *ctx, const void *data, size_t len) {
    struct out *o = ctx;

    if (++o->calls == o->fail_at)
        return JS_ERR_NO_SPACE;
    js_buf_append(&o->got, data, len);
    return o->got.failed ? JS_ERR_NOMEM : 0;
}

struct source {
    const uint8_t *data;
    size_t len, at;
};

static ssize_t read_some(void *ctx, void *buf, size_t len) {
    struct source *s = ctx;
    size_t n = s->len - s->at < len ? s->len - s->at : len;

    if (n)
        memcpy(buf, s->data + s->at, n);
    s->at += n;
    return (ssize_t)n;
}

static int keep(void *ctx, const uint8_t *data, size_t len) {
    struct js_buf *to = ctx;

    js_buf_append(to, data, len);
    return to->failed ? JS_ERR_NOMEM : 0;
}

static uint8_t *make_input(void) {
    uint8_t *in = malloc(TOTAL);
    uint32_t x = 1;

    assert_non_null(in);
    for (size_t i = 0; i < TOTAL; i++) {
        x = x * 1664525 + 1013904223;
        in[i] = i / 4096 % 3 ? (uint8_t)(x >> 28) : (uint8_t)(x >> 24);
    }
    return in;
}

/* In parts of changing sizes, some larger than a piece. */
static int pack_all(struct testenv *te, unsigned threads, const uint8_t *in, size_t len,
                    struct out *out) {
    struct js_pack *pack;
    int r = js_pack_new(&te->env, threads, take, out, &pack);

    if (r < 0)
        return r;
    for (size_t at = 0, part = 1; at < len; part = part * 7 % 2500000 + 1) {
        size_t n = part < len - at ? part : len - at;
        (void)js_pack_put(pack, in + at, n);
        at += n;
    }
    r = js_pack_end(pack);
    js_pack_free(pack);
    return r;
}

static void any_number_of_threads_does_the_same(void **state) {
    static const unsigned threads[] = {1, 2, 3, 8, 100};
    static const size_t lens[] = {0, 1, 1 << 20, (1 << 20) + 1, 3 << 20, TOTAL};
    uint8_t *in = make_input();

    (void)state;
    for (size_t k = 0; k < sizeof lens / sizeof *lens; k++) {
        struct js_buf first = {0};
        for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
            struct testenv te;
            te_init(&te, NULL);
            struct out out = {.got = {.env = &te.env}};
            struct js_buf back = {.env = &te.env};
            assert_int_equal(pack_all(&te, threads[i], in, lens[k], &out), 0);
            struct source source = {.data = out.got.data, .len = out.got.len};
            assert_int_equal(js_s2_decode_stream(&te.env, read_some, &source, keep, &back, TOTAL), 0);
            assert_int_equal(back.len, lens[k]);
            if (lens[k])
                assert_memory_equal(back.data, in, lens[k]);
            if (i == 0) {
                first.data = malloc(out.got.len + 1);
                assert_non_null(first.data);
                first.len = out.got.len;
                if (first.len)
                    memcpy(first.data, out.got.data, first.len);
            }
            assert_int_equal(out.got.len, first.len);
            if (first.len)
                assert_memory_equal(out.got.data, first.data, first.len);
            js_buf_done(&back);
            js_buf_done(&out.got);
            assert_int_equal(atomic_load(&te.memory), 0);
        }
        free(first.data);
    }
    free(in);
}

/* Whoever receives fails, or memory ends: that error comes back, and nothing is handed out after it. */
static void errors_end_it(void **state) {
    uint8_t *in = make_input();

    (void)state;
    for (unsigned threads = 1; threads <= 3; threads++) {
        for (long n = 1; n <= 9; n++) {
            struct testenv te;
            te_init(&te, NULL);
            struct out out = {.got = {.env = &te.env}, .fail_at = n};
            assert_int_equal(pack_all(&te, threads, in, TOTAL, &out), JS_ERR_NO_SPACE);
            assert_int_equal(out.calls, n);
            js_buf_done(&out.got);
            assert_int_equal(atomic_load(&te.memory), 0);
        }
        bool fired = true;
        for (long n = 1; fired; n++) {
            struct testenv te, quiet;
            te_init(&te, NULL);
            te_init(&quiet, NULL);
            struct out out = {.got = {.env = &quiet.env}};
            te_fail_alloc(&te, n, true);
            int r = pack_all(&te, threads, in, TOTAL, &out);
            fired = atomic_load(&te.alloc_fired) > 0;
            assert_int_equal(r, fired ? JS_ERR_NOMEM : 0);
            js_buf_done(&out.got);
            assert_int_equal(atomic_load(&te.memory), 0);
        }
    }
    free(in);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_threads_does_the_same),
        cmocka_unit_test(errors_end_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
