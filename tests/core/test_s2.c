/* SPDX-License-Identifier: Apache-2.0 */
/* S2 blocks and streams: every element, and every byte damaged. Streams are built here in chunks of
 * 4 KiB, so that each byte of several chunks can be tried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <snappy-c.h>

#include "core/base/bytes.h"
#include "core/format/s2.h"

#define CHUNK  4096u
#define CHUNKS 4u
#define SIZE   (CHUNK * CHUNKS)
#define ROOM   (1u << 20)

static const uint8_t identifier[10] = {0xff, 6, 0, 0, 'S', '2', 's', 'T', 'w', 'O'};

/* ---- blocks -------------------------------------------------------------------------------- */

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

/* ---- streams ------------------------------------------------------------------------------- */

static uint8_t text[SIZE];

/* Compressible, but chunk 2 is not and is stored raw. */
static void make_text(void) {
    fill(text, SIZE);
    for (unsigned i = 0; i < SIZE; i++)
        if (i / CHUNK != 2)
            text[i] = (uint8_t)("order created; "[i % 15] + (i % 211 == 0 ? text[i] & 7 : 0));
}

static void put_chunk(struct js_buf *b, const uint8_t *p, size_t n) {
    uint8_t packed[2 * CHUNK];
    size_t len = sizeof packed;
    bool raw = snappy_compress((const char *)p, n, (char *)packed, &len) != SNAPPY_OK || len >= n;

    if (raw)
        len = n;
    js_buf_append_u32(b, (uint32_t)(len + 4) << 8 | raw);
    js_buf_append_u32(b, js_s2_crc(p, n));
    js_buf_append(b, raw ? p : packed, len);
}

static void make_stream(struct js_buf *b) {
    make_text();
    *b = (struct js_buf){.env = js_env_default()};
    js_buf_append(b, identifier, sizeof identifier);
    for (unsigned c = 0; c < CHUNKS; c++)
        put_chunk(b, text + c * CHUNK, CHUNK);
    assert_false(b->failed);
}

struct told {
    unsigned count;
    uint64_t out_len, out_off, src_off, src_len;
};

static void note(void *ctx, const struct js_s2_bad *bad) {
    struct told *told = ctx;

    assert_non_null(bad->what);
    told->count++;
    told->out_len += bad->out_len;
    told->out_off = bad->out_off;
    told->src_off = bad->src_off;
    told->src_len = bad->src_len;
}

static int decode(const struct js_buf *in, struct js_buf *out, struct told *told) {
    uint8_t *tight = malloc(in->len ? in->len : 1);

    if (in->len)
        memcpy(tight, in->data, in->len);
    *told = (struct told){0};
    out->len = 0;
    int r = js_s2_decode(tight, in->len, SIZE, ROOM, out, told ? note : NULL, told);
    free(tight);
    return r;
}

/* Chunks of text that out does not hold at their place. */
static unsigned wrong_chunks(const struct js_buf *out) {
    unsigned wrong = 0;

    for (unsigned c = 0; c < CHUNKS; c++)
        wrong += out->len < (c + 1) * CHUNK ||
                 memcmp(out->data + c * CHUNK, text + c * CHUNK, CHUNK) != 0;
    return wrong;
}

/* The chunk that holds offset at of the stream; -1 for the identifier. *ret_begin is its offset. */
static int chunk_of(const struct js_buf *stream, size_t at, size_t *ret_begin) {
    size_t q = sizeof identifier;
    int c = at < q ? -1 : 0;

    *ret_begin = at < q ? 0 : q;
    while (c >= 0 && at >= *ret_begin + 4 + (js_get32(stream->data + *ret_begin) >> 8)) {
        *ret_begin += 4 + (js_get32(stream->data + *ret_begin) >> 8);
        c++;
    }
    return c;
}

/* Damage to identifier, type, length, checksum or declared size costs nothing: the checksum or the
 * neighbours prove what it was. Damage to data costs at most what is behind it in its chunk. */
static void check_damage(const struct js_buf *good, const struct js_buf *bad, size_t at,
                         struct js_buf *out) {
    struct told told;
    size_t begin;
    int hit = chunk_of(good, at, &begin);
    bool in_data = hit >= 0 && at >= begin + 8 + (hit == 2 ? 0 : 2);

    assert_int_equal(decode(bad, out, &told), 0);
    assert_int_equal(out->len, SIZE);
    if (in_data) {
        assert_true(wrong_chunks(out) <= 1);
        for (int c = 0; c < (int)CHUNKS; c++)
            if (c != hit)
                assert_memory_equal(out->data + (unsigned)c * CHUNK, text + (unsigned)c * CHUNK,
                                    CHUNK);
        assert_true(told.count == 1 || memcmp(out->data, text, SIZE) == 0);
        if (told.count) {
            assert_int_equal(told.src_off, begin);
            assert_int_equal(told.out_off, (unsigned)hit * CHUNK);
            assert_int_equal(told.out_len, CHUNK);
        }
    } else {
        assert_memory_equal(out->data, text, SIZE);
        assert_int_equal(told.count, 1);
        assert_int_equal(told.src_off, begin);
    }
    struct js_buf strict = {.env = js_env_default()};
    int r = js_s2_decode(bad->data, bad->len, SIZE, ROOM, &strict, NULL, NULL);
    assert_true(r == JS_ERR_CORRUPT || r == JS_ERR_TORN ||
                (told.count == 0 && r == 0 && strict.len == SIZE));
    js_buf_done(&strict);
}

static void every_changed_byte_costs_its_chunk_at_most(void **state) {
    struct js_buf good, bad = {.env = js_env_default()}, out = {.env = js_env_default()};
    unsigned x = 1;

    (void)state;
    make_stream(&good);
    js_buf_append(&bad, good.data, good.len);
    for (size_t at = 0; at < good.len; at++) {
        size_t begin;
        int hit = chunk_of(&good, at, &begin);
        bool head = hit < 0 || at < begin + 10;
        /* Every other value in the heads, a few in the data. */
        for (unsigned v = 1; v < 256; v += head ? 1 : 101) {
            x = x * 1103515245 + 12345;
            unsigned mask = head ? v : 1 + (x >> 16) % 255;
            bad.data[at] = good.data[at] ^ (uint8_t)mask;
            check_damage(&good, &bad, at, &out);
        }
        bad.data[at] = good.data[at];
    }
    js_buf_done(&good);
    js_buf_done(&bad);
    js_buf_done(&out);
}

static void two_damaged_chunks_cost_two(void **state) {
    struct js_buf good, bad = {.env = js_env_default()}, out = {.env = js_env_default()};
    struct told told;

    (void)state;
    make_stream(&good);
    js_buf_append(&bad, good.data, good.len);
    srand(7);
    for (int round = 0; round < 5000; round++) {
        size_t a = (size_t)rand() % good.len, b = (size_t)rand() % good.len, begin;
        int hit_a = chunk_of(&good, a, &begin), hit_b = chunk_of(&good, b, &begin);
        bad.data[a] ^= (uint8_t)(1 + rand() % 255);
        if (b != a)
            bad.data[b] ^= (uint8_t)(1 + rand() % 255);
        assert_int_equal(decode(&bad, &out, &told), 0);
        /* Where both hit one chunk's head and data, its size may be lost and what follows lies
         * elsewhere, but it is there. */
        for (int c = 0; c < (int)CHUNKS; c++)
            if (c != hit_a && c != hit_b)
                assert_non_null(memmem(out.data, out.len, text + (unsigned)c * CHUNK, CHUNK));
        assert_true(out.len <= 4u * SIZE);
        bad.data[a] = good.data[a];
        bad.data[b] = good.data[b];
    }
    js_buf_done(&good);
    js_buf_done(&bad);
    js_buf_done(&out);
}

static void a_cut_costs_what_was_cut(void **state) {
    struct js_buf good, out = {.env = js_env_default()};
    struct told told;
    uint64_t before = 0;

    (void)state;
    make_stream(&good);
    for (size_t len = 0; len < good.len; len++) {
        struct js_buf cut = {.data = good.data, .len = len};
        size_t begin, whole, same = 0;
        int hit = chunk_of(&good, len, &begin);
        assert_int_equal(decode(&cut, &out, &told), 0);
        whole = hit < 0 ? 0 : (size_t)hit * CHUNK;
        bool boundary = len == 0 || len == begin;
        assert_true(boundary || told.count == 1);
        assert_true(out.len >= whole && out.len <= SIZE);
        while (same < out.len && out.data[same] == text[same])
            same++;
        assert_true(same >= whole);
        /* What decodes of the chunk that is cut is kept. */
        assert_true(same + 64 >= before);
        if (hit == 2 && len > begin + 8)
            assert_true(same >= whole + (len - begin - 8));
        before = same;
        struct js_buf strict = {.env = js_env_default()};
        int r = js_s2_decode(good.data, len, SIZE, ROOM, &strict, NULL, NULL);
        assert_int_equal(r, boundary ? 0 : JS_ERR_TORN);
        js_buf_done(&strict);
    }
    js_buf_done(&good);
    js_buf_done(&out);
}

static void bytes_put_in_or_taken_out_cost_their_chunk_at_most(void **state) {
    struct js_buf good, out = {.env = js_env_default()};
    struct told told;

    (void)state;
    make_stream(&good);
    for (size_t at = sizeof identifier; at + 40 < good.len; at += 37) {
        for (int put = 0; put < 2; put++) {
            struct js_buf bad = {.env = js_env_default()};
            size_t begin;
            int hit = chunk_of(&good, at, &begin), last = chunk_of(&good, at + 19, &begin);
            js_buf_append(&bad, good.data, at);
            if (put)
                js_buf_append(&bad, "something that is no chunk", 26);
            js_buf_append(&bad, good.data + at + (put ? 0 : 20), good.len - at - (put ? 0 : 20));
            assert_int_equal(decode(&bad, &out, &told), 0);
            assert_true(told.count >= 1);
            for (int c = 0; c < (int)CHUNKS; c++)
                if (c < hit || c > (put ? hit : last))
                    assert_non_null(
                        memmem(out.data, out.len, text + (unsigned)c * CHUNK, CHUNK));
            js_buf_done(&bad);
        }
    }
    js_buf_done(&good);
    js_buf_done(&out);
}

static void skippable_chunks_and_more_identifiers_are_passed_over(void **state) {
    struct js_buf b = {.env = js_env_default()}, out = {.env = js_env_default()};
    struct told told;

    (void)state;
    make_text();
    js_buf_append(&b, identifier, sizeof identifier);
    for (unsigned c = 0; c < CHUNKS; c++) {
        put_chunk(&b, text + c * CHUNK, CHUNK);
        js_buf_append(&b, "\xfe\x03\x00\x00\x00\x00\x00", 7);
        js_buf_append(&b, "\x99\x02\x00\x00xy", 6);
        js_buf_append(&b, "\xff\x06\x00\x00sNaPpY", 10);
    }
    assert_int_equal(decode(&b, &out, &told), 0);
    assert_int_equal(told.count, 0);
    assert_int_equal(wrong_chunks(&out), 0);
    out.len = 0;
    assert_int_equal(js_s2_decode(b.data, b.len, 0, ROOM, &out, NULL, NULL), 0);
    assert_int_equal(wrong_chunks(&out), 0);
    js_buf_append(&b, "\x02\x00\x00\x00", 4);
    out.len = 0;
    assert_int_equal(js_s2_decode(b.data, b.len, 0, ROOM, &out, NULL, NULL), JS_ERR_CORRUPT);
    js_buf_done(&b);
    js_buf_done(&out);
}

static void output_is_bounded_whatever_is_declared(void **state) {
    struct js_buf b = {.env = js_env_default()}, out = {.env = js_env_default()};
    struct told told = {0};
    uint8_t *zeros = calloc(1, 4u << 20);

    (void)state;
    /* 4 MiB of zeros in 20 bytes, a hundred times. */
    js_buf_append(&b, identifier, sizeof identifier);
    for (int i = 0; i < 100; i++) {
        js_buf_append(&b, "\x00\x10\x00\x00", 4);
        js_buf_append_u32(&b, js_s2_crc(zeros, 4u << 20));
        js_buf_append(&b, "\x80\x80\x80\x02\x00\x00\x01\x01\x1d\x00", 10);
        js_buf_append(&b, "\xf7\xff\x3e", 3); /* wrong on purpose: see below */
        b.len -= 1;
    }
    for (int lenient = 0; lenient < 2; lenient++) {
        out.len = 0;
        int r = js_s2_decode(b.data, b.len, 0, 6u << 20, &out, lenient ? note : NULL, &told);
        assert_true(r < 0 || lenient);
        assert_true(out.len <= 6u << 20);
    }
    /* A valid stream longer than allowed. */
    js_buf_done(&b);
    make_stream(&b);
    for (size_t max = 0; max < SIZE; max += 1000) {
        for (int lenient = 0; lenient < 2; lenient++) {
            out.len = 0;
            assert_int_equal(
                js_s2_decode(b.data, b.len, 0, max, &out, lenient ? note : NULL, &told),
                JS_ERR_TOO_BIG);
            assert_true(out.len <= max);
        }
    }
    /* A size that is damaged is a fault of that chunk, however little room there is. */
    b.data[19] |= 0x7f;
    out.len = 0;
    told.count = 0;
    assert_int_equal(js_s2_decode(b.data, b.len, SIZE, SIZE, &out, note, &told), 0);
    assert_int_equal(told.count, 1);
    assert_int_equal(wrong_chunks(&out), 0);
    js_buf_done(&b);
    js_buf_done(&out);
    free(zeros);
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

/* ---- the streaming decoder ----------------------------------------------------------------- */

struct source {
    const uint8_t *p;
    size_t left, step;
};

static ssize_t read_some(void *ctx, void *buf, size_t len) {
    struct source *s = ctx;
    size_t n = len < s->step ? len : s->step;

    if (n > s->left)
        n = s->left;
    if (n)
        memcpy(buf, s->p, n);
    s->p += n;
    s->left -= n;
    return (ssize_t)n;
}

static int take_all(void *ctx, const uint8_t *data, size_t len) {
    js_buf_append(ctx, data, len);
    return 0;
}

static int decode_stream(const uint8_t *p, size_t len, size_t step, uint64_t max,
                         struct js_buf *out) {
    struct source s = {.p = p, .left = len, .step = step};

    out->len = 0;
    return js_s2_decode_stream(js_env_default(), read_some, &s, take_all, out, max);
}

static void streaming_gives_the_same_and_stops_at_a_fault(void **state) {
    struct js_buf b, out = {.env = js_env_default()};

    (void)state;
    make_stream(&b);
    for (size_t step = 1; step < 9000; step = step * 3 + 1) {
        assert_int_equal(decode_stream(b.data, b.len, step, SIZE, &out), 0);
        assert_int_equal(wrong_chunks(&out), 0);
    }
    assert_int_equal(decode_stream(b.data, b.len, 500, SIZE - 1, &out), JS_ERR_TOO_BIG);
    assert_true(out.len < SIZE);
    for (size_t at = 0; at < b.len; at += at < 40 ? 1 : 11) {
        b.data[at] ^= 0x40;
        int r = decode_stream(b.data, b.len, 4096, SIZE, &out);
        assert_true(r < 0 || wrong_chunks(&out) == 0 || (at < 40 && out.len < SIZE));
        b.data[at] ^= 0x40;
        if (at > 10 && at < b.len - CHUNK)
            assert_int_equal(decode_stream(b.data, at, 4096, SIZE, &out) == 0,
                             out.len % CHUNK == 0 && at == 10);
    }
    js_buf_done(&b);
    js_buf_done(&out);
}

/* ---- compressed blocks --------------------------------------------------------------------- */

static void make_cmp(struct js_buf *b) {
    struct js_buf stream;

    make_stream(&stream);
    *b = (struct js_buf){.env = js_env_default()};
    js_buf_append(b, "cmp\x01", 4);
    js_buf_append_uv(b, SIZE + 8);
    js_buf_append(b, stream.data, stream.len);
    js_buf_append(b, "lastsum!", 8);
    js_buf_done(&stream);
}

static void damage_to_the_head_of_a_compressed_block_costs_nothing(void **state) {
    struct js_buf b, out = {.env = js_env_default()};
    struct told told = {0};

    (void)state;
    make_cmp(&b);
    assert_true(js_cmp_is(b.data, b.len));
    assert_int_equal(js_cmp_decode(b.data, b.len, ROOM, &out, note, &told), 0);
    assert_int_equal(told.count, 0);
    assert_int_equal(out.len, SIZE + 8);
    for (size_t at = 0; at < 7 + sizeof identifier; at++) {
        for (unsigned mask = 1; mask < 256; mask++) {
            b.data[at] ^= (uint8_t)mask;
            out.len = 0;
            told.count = 0;
            assert_true(js_cmp_is(b.data, b.len));
            assert_int_equal(js_cmp_decode(b.data, b.len, ROOM, &out, note, &told), 0);
            assert_true(told.count >= 1);
            assert_int_equal(out.len, SIZE + 8);
            assert_memory_equal(out.data, text, SIZE);
            assert_memory_equal(out.data + SIZE, "lastsum!", 8);
            b.data[at] ^= (uint8_t)mask;
        }
    }
    /* Without a listener the first fault ends it. */
    b.data[1] ^= 1;
    out.len = 0;
    assert_int_equal(js_cmp_decode(b.data, b.len, ROOM, &out, NULL, NULL), JS_ERR_CORRUPT);
    js_buf_done(&b);
    js_buf_done(&out);
}

static void faults_of_a_compressed_block_are_told_by_their_place_in_the_file(void **state) {
    struct js_buf b, out = {.env = js_env_default()};
    struct told told = {0};

    (void)state;
    make_cmp(&b);
    b.data[b.len - 10] ^= 1; /* in the last chunk */
    uint32_t len2 = 0;
    size_t at = 7 + sizeof identifier;
    for (unsigned c = 0; c < CHUNKS - 1; c++)
        at += 4 + (js_get32(b.data + at) >> 8);
    len2 = js_get32(b.data + at) >> 8;
    assert_int_equal(js_cmp_decode(b.data, b.len, ROOM, &out, note, &told), 0);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.src_off, at);
    assert_int_equal(told.src_len, 4 + len2);
    assert_int_equal(told.out_off, (CHUNKS - 1) * CHUNK);
    js_buf_done(&b);
    js_buf_done(&out);
}

static void every_length_of_a_compressed_block_is_survived(void **state) {
    struct js_buf b, out = {.env = js_env_default()};
    struct told told = {0};

    (void)state;
    make_cmp(&b);
    for (size_t len = 0; len < b.len; len++) {
        uint8_t *tight = malloc(len ? len : 1);
        memcpy(tight, b.data, len);
        out.len = 0;
        told.count = 0;
        (void)js_cmp_is(tight, len);
        int r = js_cmp_decode(tight, len, ROOM, &out, note, &told);
        assert_true(r < 0 || told.count >= 1);
        assert_true(out.len <= SIZE + 16);
        free(tight);
    }
    for (uint64_t max = 0; max < SIZE + 8; max += max < 20 ? 1 : 997) {
        out.len = 0;
        assert_int_equal(js_cmp_decode(b.data, b.len, max, &out, note, &told), JS_ERR_TOO_BIG);
        assert_true(out.len <= max);
    }
    out.len = 0;
    assert_int_equal(js_cmp_decode(b.data, b.len, SIZE + 8, &out, note, &told), 0);
    js_buf_done(&b);
    js_buf_done(&out);
}

static void only_compressed_blocks_look_compressed(void **state) {
    uint8_t plain[64] = {45};
    uint8_t *large = calloc(1, 7368035);

    (void)state;
    assert_false(js_cmp_is(plain, sizeof plain));
    assert_false(js_cmp_is(plain, 0));
    assert_false(js_cmp_is((const uint8_t *)"cmp\x01", 4));
    /* An unknown algorithm is one, and is named. */
    uint8_t other[64] = {'c', 'm', 'p', 2, 64};
    struct js_buf out = {.env = js_env_default()};
    struct told told = {0};
    assert_true(js_cmp_is(other, sizeof other));
    assert_int_equal(js_cmp_decode(other, sizeof other, ROOM, &out, note, &told),
                     JS_ERR_UNKNOWN_FORMAT);
    /* A first record whose length spells "cmp" is none when it really is that long. */
    js_put32(large, 7368035);
    assert_false(js_cmp_is(large, 7368035));
    assert_true(js_cmp_is(large, 7368034));
    free(large);
    js_buf_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_of_every_length_class_decode),
        cmocka_unit_test(copies_of_every_kind_offset_and_length_decode),
        cmocka_unit_test(offsets_beyond_64_kib_decode),
        cmocka_unit_test(repeats_of_every_length_class_decode),
        cmocka_unit_test(impossible_elements_are_refused),
        cmocka_unit_test(random_bytes_never_lead_outside),
        cmocka_unit_test(every_changed_byte_costs_its_chunk_at_most),
        cmocka_unit_test(two_damaged_chunks_cost_two),
        cmocka_unit_test(a_cut_costs_what_was_cut),
        cmocka_unit_test(bytes_put_in_or_taken_out_cost_their_chunk_at_most),
        cmocka_unit_test(skippable_chunks_and_more_identifiers_are_passed_over),
        cmocka_unit_test(output_is_bounded_whatever_is_declared),
        cmocka_unit_test(what_is_encoded_decodes),
        cmocka_unit_test(checksums_are_those_of_crc32c_for_every_length),
        cmocka_unit_test(streaming_gives_the_same_and_stops_at_a_fault),
        cmocka_unit_test(damage_to_the_head_of_a_compressed_block_costs_nothing),
        cmocka_unit_test(faults_of_a_compressed_block_are_told_by_their_place_in_the_file),
        cmocka_unit_test(every_length_of_a_compressed_block_is_survived),
        cmocka_unit_test(only_compressed_blocks_look_compressed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
