/* SPDX-License-Identifier: Apache-2.0 */
/* S2 blocks, every element at every length; encoding; the checksum of chunks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/format/s2.h"
#include "core/format/s2_chunk.h"

/* Decodes from and into memory of exactly these sizes, so that a step outside is seen. */
static int decode_exact(const uint8_t *in, size_t len, uint8_t **ret_out, size_t out_len,
                        size_t *ret_done) {
    uint8_t *tight = malloc(len ? len : 1);

    *ret_out = malloc(out_len ? out_len : 1);
    if (len)
        memcpy(tight, in, len);
    int r = js_s2_decode_block(tight, len, *ret_out, out_len, ret_done);
    free(tight);
    return r;
}

/* A literal of n bytes in the shortest form, or with `extra` length bytes. */
static void put_literal(struct js_buf *b, const uint8_t *p, uint32_t n, unsigned extra) {
    if (extra == 0) {
        js_buf_append_u8(b, (uint8_t)((n - 1) << 2));
    } else {
        js_buf_append_u8(b, (uint8_t)((59 + extra) << 2));
        for (unsigned i = 0; i < extra; i++)
            js_buf_append_u8(b, (uint8_t)((n - 1) >> (8 * i)));
    }
    js_buf_append(b, p, n);
}

static void put_copy1(struct js_buf *b, unsigned offset, unsigned len) {
    js_buf_append_u8(b, (uint8_t)(((offset >> 8) << 5) | ((len - 4) << 2) | 1));
    js_buf_append_u8(b, (uint8_t)offset);
}

static void put_repeat(struct js_buf *b, unsigned k, uint32_t more) {
    js_buf_append_u8(b, (uint8_t)((k << 2) | 1));
    js_buf_append_u8(b, 0);
    for (unsigned i = 0; k >= 5 && i < k - 4; i++)
        js_buf_append_u8(b, (uint8_t)(more >> (8 * i)));
}

/* Appends what a copy gives, byte by byte. */
static void model_copy(struct js_buf *b, size_t offset, size_t len) {
    for (size_t i = 0; i < len; i++)
        js_buf_append_u8(b, b->data[b->len - offset]);
}

static void assert_decodes(const struct js_buf *in, const struct js_buf *want) {
    uint8_t *out;
    size_t done;

    assert_int_equal(decode_exact(in->data, in->len, &out, want->len, &done), 0);
    assert_int_equal(done, want->len);
    assert_memory_equal(out, want->data, want->len);
    free(out);
    /* One byte of room less, or of input less: an error, and nothing outside is touched. */
    assert_int_equal(decode_exact(in->data, in->len, &out, want->len - 1, &done), JS_ERR_CORRUPT);
    free(out);
    assert_int_equal(decode_exact(in->data, in->len - 1, &out, want->len, &done), JS_ERR_CORRUPT);
    assert_true(done < want->len);
    free(out);
}

static void fill(uint8_t *p, size_t n) {
    uint32_t x = 88172645;

    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        p[i] = (uint8_t)x;
    }
}

static void literals_of_every_length_class_decode(void **state) {
    static const struct {
        uint32_t n;
        unsigned extra;
    } rows[] = {{1, 0},   {2, 0},   {15, 0},  {16, 0},    {17, 0},    {60, 0},   {61, 1},
                {256, 1}, {257, 2}, {65536, 2}, {65537, 3}, {100000, 3}, {70000, 4}, {1, 4}};
    uint8_t *bytes = malloc(100000);

    (void)state;
    fill(bytes, 100000);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct js_buf in = {.env = js_env_default()}, want = {.env = js_env_default()};
        put_literal(&in, bytes, rows[i].n, rows[i].extra);
        js_buf_append(&want, bytes, rows[i].n);
        assert_decodes(&in, &want);
        js_buf_done(&in);
        js_buf_done(&want);
    }
    free(bytes);
}

static void copies_of_every_kind_offset_and_length_decode(void **state) {
    uint8_t bytes[2100];

    (void)state;
    fill(bytes, sizeof bytes);
    for (unsigned kind = 1; kind <= 3; kind++) {
        for (unsigned offset = 1; offset <= 2047; offset += offset < 70 ? 1 : 659) {
            unsigned max = kind == 1 ? 11 : 64;
            for (unsigned len = kind == 1 ? 4 : 1; len <= max; len++) {
                struct js_buf in = {.env = js_env_default()}, want = {.env = js_env_default()};
                put_literal(&in, bytes, offset, offset > 256 ? 2 : offset > 60 ? 1 : 0);
                js_buf_append(&want, bytes, offset);
                if (kind == 1) {
                    put_copy1(&in, offset, len);
                } else {
                    js_buf_append_u8(&in, (uint8_t)((len - 1) << 2 | kind));
                    js_buf_append_u16(&in, (uint16_t)offset);
                    if (kind == 3)
                        js_buf_append_u16(&in, 0);
                }
                model_copy(&want, offset, len);
                assert_decodes(&in, &want);
                js_buf_done(&in);
                js_buf_done(&want);
            }
        }
    }
}

static void offsets_beyond_64_kib_decode(void **state) {
    uint8_t *bytes = malloc(200000);
    struct js_buf in = {.env = js_env_default()}, want = {.env = js_env_default()};

    (void)state;
    fill(bytes, 200000);
    put_literal(&in, bytes, 200000, 3);
    js_buf_append(&want, bytes, 200000);
    js_buf_append_u8(&in, 63 << 2 | 3);
    js_buf_append_u32(&in, 199990);
    model_copy(&want, 199990, 64);
    assert_decodes(&in, &want);
    js_buf_done(&in);
    js_buf_done(&want);
    free(bytes);
}

static void repeats_of_every_length_class_decode(void **state) {
    static const struct {
        unsigned k;
        uint32_t more, len;
    } rows[] = {{0, 0, 4},     {1, 0, 5},       {2, 0, 6},       {3, 0, 7},
                {4, 0, 8},     {5, 0, 8},       {5, 255, 263},   {6, 0, 260},
                {6, 65535, 65795}, {7, 0, 65540}, {7, 300000, 365540}};
    static const unsigned offsets[] = {1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 40};
    uint8_t bytes[40];

    (void)state;
    fill(bytes, sizeof bytes);
    for (size_t o = 0; o < sizeof offsets / sizeof offsets[0]; o++) {
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            struct js_buf in = {.env = js_env_default()}, want = {.env = js_env_default()};
            put_literal(&in, bytes, 40, 0);
            js_buf_append(&want, bytes, 40);
            put_copy1(&in, offsets[o], 5);
            model_copy(&want, offsets[o], 5);
            put_literal(&in, bytes, 3, 0); /* a literal keeps the offset */
            js_buf_append(&want, bytes, 3);
            put_repeat(&in, rows[i].k, rows[i].more);
            model_copy(&want, offsets[o], rows[i].len);
            assert_decodes(&in, &want);
            js_buf_done(&in);
            js_buf_done(&want);
        }
    }
}

static void impossible_elements_are_refused(void **state) {
    static const struct {
        const char *in;
        size_t len, done;
    } rows[] = {
        {"\x00"
         "a"
         "\x01\x00",
         4, 1},                                              /* a repeat before any copy */
        {"\x00" "a" "\x01\x02", 4, 1},                       /* copy from before the beginning */
        {"\x00" "a" "\x02\x00\x00", 5, 1},                   /* offset 0 */
        {"\x00" "a" "\x03\x00\x00\x00\x00", 7, 1},           /* offset 0 */
        {"\x00" "a" "\x03\xff\xff\xff\xff", 7, 1},           /* 4 GiB back */
        {"\xfc\xff\xff\xff\xff" "a", 6, 0},                  /* a literal of 4 GiB */
        {"\xf8\x00\x00", 3, 0},                              /* length cut */
        {"\x00" "a" "\x01\x01\x1d\x00\xff\xff", 8, 5},       /* repeat length cut */
        {"\x00" "a" "\x01\x01\x1d\x00\xff\xff\xff", 9, 5},   /* repeat past the end */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t *out;
        size_t done = 99;
        assert_int_equal(
            decode_exact((const uint8_t *)rows[i].in, rows[i].len, &out, 1000, &done),
            JS_ERR_CORRUPT);
        assert_int_equal(done, rows[i].done);
        free(out);
    }
}

static void random_bytes_never_lead_outside(void **state) {
    uint8_t in[64];

    (void)state;
    srand(20261124);
    for (int round = 0; round < 200000; round++) {
        size_t len = (size_t)rand() % sizeof in, done, out_len = (size_t)rand() % 300;
        uint8_t *out;
        for (size_t i = 0; i < len; i++)
            in[i] = (uint8_t)(i == 0 ? rand() & 0x3c : rand() % 3 ? rand() & 0x3f : rand());
        (void)decode_exact(in, len, &out, out_len, &done);
        assert_true(done <= out_len);
        free(out);
    }
}

static void what_is_encoded_decodes(void **state) {
    static const size_t sizes[] = {0, 1, 100, 65535, 65536, 65537, 300000};
    uint8_t *in = malloc(300000);

    (void)state;
    for (int noise = 0; noise < 2; noise++) {
        fill(in, 300000);
        for (size_t i = 0; !noise && i < 300000; i++)
            in[i] = (uint8_t)"{\"id\":17}"[i % 9];
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct js_buf packed = {.env = js_env_default()}, out = {.env = js_env_default()};
            assert_int_equal(js_s2_encode(in, sizes[i], &packed), 0);
            assert_true(packed.len <= sizes[i] + 10 + 8 * (sizes[i] / 65536 + 1));
            assert_int_equal(
                js_s2_decode(packed.data, packed.len, sizes[i], sizes[i], &out, NULL, NULL), 0);
            assert_int_equal(out.len, sizes[i]);
            if (out.len)
                assert_memory_equal(out.data, in, out.len);
            js_buf_done(&packed);
            js_buf_done(&out);
        }
    }
    free(in);
}

static void checksums_are_those_of_crc32c_for_every_length(void **state) {
    uint8_t p[100];

    (void)state;
    fill(p, sizeof p);
    for (size_t len = 0; len <= sizeof p; len++) {
        uint32_t c = ~0u;
        for (size_t i = 0; i < len; i++) {
            c ^= p[i];
            for (int bit = 0; bit < 8; bit++)
                c = c & 1 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
        }
        c = ~c;
        c = ((c >> 15) | (c << 17)) + 0xa282ead8u;
        assert_int_equal(js_s2_crc(p, len), c);
        assert_int_equal(js_s2_crc_portable(p, len), c);
    }
}

static void the_place_where_a_checksum_is_reached_is_found(void **state) {
    uint8_t p[300];

    (void)state;
    fill(p, sizeof p);
    for (size_t n = 1; n <= sizeof p; n++) {
        uint32_t want = js_s2_unmask(js_s2_crc(p, n)), c = ~0u;
        assert_int_equal(js_crc32c_until(&c, want, p, sizeof p), n);
        assert_int_equal(js_s2_mask(c), js_s2_crc(p, n));
        c = ~0u;
        assert_int_equal(js_crc32c_until(&c, want, p, n - 1), 0);
        assert_int_equal(js_crc32c_until(&c, want, p + n - 1, 1), 1);
    }
}

/* A few bytes do not become hundreds of megabytes that their head does not speak of. */
static void blocks_grow_to_what_their_head_says(void **state) {
    static const enum js_cmp_kind kinds[] = {JS_CMP_S2, JS_CMP_LZ4};
    const size_t size = 60u << 20;

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct js_buf plain = {.env = js_env_default()}, packed = {.env = js_env_default()};
        struct js_buf out = {.env = js_env_default()};
        assert_int_equal(js_buf_reserve(&plain, size), 0);
        memset(plain.data, 0, size);
        plain.len = size;
        assert_int_equal(js_cmp_encode(kinds[k], plain.data, size, &packed), 0);
        assert_int_equal(js_cmp_decode(packed.data, packed.len, 256u << 20, &out, NULL, NULL), 0);
        assert_int_equal(out.len, size);
        /* The size takes four bytes: "cmp", kind, size. */
        out.len = 0;
        packed.data[7] = 1; /* 6 MiB or less */
        assert_int_equal(js_cmp_decode(packed.data, packed.len, 256u << 20, &out, NULL, NULL),
                         JS_ERR_TOO_BIG);
        assert_true(out.len <= 40u << 20);
        js_buf_done(&plain);
        js_buf_done(&packed);
        js_buf_done(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_of_every_length_class_decode),
        cmocka_unit_test(copies_of_every_kind_offset_and_length_decode),
        cmocka_unit_test(offsets_beyond_64_kib_decode),
        cmocka_unit_test(repeats_of_every_length_class_decode),
        cmocka_unit_test(impossible_elements_are_refused),
        cmocka_unit_test(random_bytes_never_lead_outside),
        cmocka_unit_test(the_place_where_a_checksum_is_reached_is_found),
        cmocka_unit_test(what_is_encoded_decodes),
        cmocka_unit_test(blocks_grow_to_what_their_head_says),
        cmocka_unit_test(checksums_are_those_of_crc32c_for_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
