/* SPDX-License-Identifier: Apache-2.0 */
/* S2 streams and compressed blocks: every byte damaged. Streams are built here in chunks of 4 KiB,
 * so that each byte of several chunks can be tried; a few in chunks of 1 MiB, as servers write. */
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

static void fill(uint8_t *p, size_t n) {
    uint32_t x = 88172645;

    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        p[i] = (uint8_t)x;
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
    /* 4 MiB of zeros in 21 bytes, a hundred times: a literal, a copy of four, a long repeat. */
    js_buf_append(&b, identifier, sizeof identifier);
    for (int i = 0; i < 100; i++) {
        js_buf_append(&b, "\x00\x11\x00\x00", 4);
        js_buf_append_u32(&b, js_s2_crc(zeros, 4u << 20));
        js_buf_append(&b, "\x80\x80\x80\x02\x00\x00\x01\x01\x1d\x00\xf7\xff\x3e", 13);
    }
    for (int lenient = 0; lenient < 2; lenient++) {
        out.len = 0;
        assert_int_equal(
            js_s2_decode(b.data, b.len, 0, 6u << 20, &out, lenient ? note : NULL, &told),
            JS_ERR_TOO_BIG);
        assert_int_equal(out.len, 4u << 20);
    }
    assert_int_equal(told.count, 0);
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

/* ---- chunks of the size that servers write --------------------------------------------------- */

enum { LARGE = 1 << 20, LARGE_TAIL = 300000, LARGE_SIZE = 2 * LARGE + LARGE_TAIL };

/* Chunk 1 is raw, the last is short. *ret_text: what it decodes to; begins: where they begin. */
static void make_large(struct js_buf *b, uint8_t **ret_text, size_t begins[4]) {
    uint8_t *p = malloc(LARGE_SIZE);
    char *packed = malloc(2 * LARGE);

    fill(p, LARGE_SIZE);
    for (size_t i = 0; i < LARGE_SIZE; i++)
        if (i / LARGE != 1)
            p[i] = (uint8_t)("{\"order\":\"created\"}"[i % 19] + (i % 97 == 0 ? p[i] & 7 : 0));
    *b = (struct js_buf){.env = js_env_default()};
    js_buf_append(b, identifier, sizeof identifier);
    for (size_t c = 0; c < 3; c++) {
        size_t n = c == 2 ? LARGE_TAIL : LARGE, len = 2 * LARGE;
        begins[c] = b->len;
        assert_int_equal(snappy_compress((char *)p + c * LARGE, n, packed, &len), SNAPPY_OK);
        js_buf_append_u32(b, (uint32_t)((c == 1 ? n : len) + 4) << 8 | (c == 1));
        js_buf_append_u32(b, js_s2_crc(p + c * LARGE, n));
        js_buf_append(b, c == 1 ? p + LARGE : (uint8_t *)packed, c == 1 ? n : len);
    }
    begins[3] = b->len;
    free(packed);
    *ret_text = p;
}

/* Decodes b; every chunk but `hit` (-1: also that) must be whole and at its place. */
static void check_large(const struct js_buf *b, const uint8_t *want, int hit, struct told *told,
                        struct js_buf *out) {
    out->len = 0;
    *told = (struct told){0};
    assert_int_equal(
        js_s2_decode(b->data, b->len, LARGE_SIZE, 4 * LARGE_SIZE, out, note, told), 0);
    assert_int_equal(out->len, LARGE_SIZE);
    for (int c = 0; c < 3; c++)
        if (c != hit)
            assert_memory_equal(out->data + c * LARGE, want + c * LARGE,
                                c == 2 ? LARGE_TAIL : LARGE);
}

static void heads_of_large_chunks_are_mended(void **state) {
    struct js_buf b, out = {.env = js_env_default()};
    struct told told;
    uint8_t *want;
    size_t begins[4];

    (void)state;
    make_large(&b, &want, begins);
    for (int c = 0; c < 3; c++) {
        /* Of a raw chunk there is no size behind the checksum. */
        for (size_t at = begins[c]; at < begins[c] + (c == 1 ? 8 : 11); at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                b.data[at] ^= (uint8_t)(1 << bit);
                check_large(&b, want, -1, &told, &out);
                assert_int_equal(told.count, 1);
                assert_int_equal(told.src_off, begins[c]);
                assert_int_equal(told.out_off, c * LARGE);
                b.data[at] ^= (uint8_t)(1 << bit);
            }
        }
    }
    js_buf_done(&b);
    js_buf_done(&out);
    free(want);
}

/* Sectors overwritten by zeros or noise: nothing of the head is left. */
static void a_hole_costs_the_large_chunk_it_is_in(void **state) {
    static const size_t sizes[] = {4, 8, 16, 512, 4096};
    struct js_buf b, out = {.env = js_env_default()};
    struct told told;
    uint8_t *want, saved[4096];
    size_t begins[4];

    (void)state;
    make_large(&b, &want, begins);
    for (int c = 0; c < 3; c++) {
        for (size_t i = 0; i < 4 * sizeof sizes / sizeof sizes[0]; i++) {
            size_t n = sizes[i / 4], at = i & 1 ? (begins[c] + begins[c + 1]) / 2 : begins[c];
            memcpy(saved, b.data + at, n);
            if (i & 2)
                memset(b.data + at, 0, n);
            else
                fill(b.data + at, n);
            check_large(&b, want, c, &told, &out);
            assert_true(told.count >= 1);
            memcpy(b.data + at, saved, n);
        }
    }
    js_buf_done(&b);
    js_buf_done(&out);
    free(want);
}

static void neighbours_damaged_together_are_told_apart(void **state) {
    struct js_buf b, out = {.env = js_env_default()};
    struct told told;
    size_t begin = sizeof identifier;

    (void)state;
    make_stream(&b);
    for (int c = 0; c < 2; c++) {
        begin += 4 + (js_get32(b.data + begin) >> 8);
        b.data[begin + 12] ^= 0x11; /* in the first literal */
    }
    assert_int_equal(decode(&b, &out, &told), 0);
    assert_int_equal(told.count, 2);
    assert_int_equal(out.len, SIZE);
    assert_memory_equal(out.data, text, CHUNK);
    assert_memory_equal(out.data + 3 * CHUNK, text + 3 * CHUNK, CHUNK);
    /* Without an identifier at all, and with one that is gone. */
    js_buf_done(&b);
    make_stream(&b);
    memset(b.data, 0, sizeof identifier);
    assert_int_equal(decode(&b, &out, &told), 0);
    assert_int_equal(told.count, 1);
    assert_int_equal(out.len, SIZE);
    assert_int_equal(wrong_chunks(&out), 0);
    struct js_buf bare = {.data = b.data + sizeof identifier, .len = b.len - sizeof identifier};
    assert_int_equal(decode(&bare, &out, &told), 0);
    assert_int_equal(told.count, 1);
    assert_int_equal(out.len, SIZE);
    assert_int_equal(wrong_chunks(&out), 0);
    js_buf_done(&b);
    js_buf_done(&out);
}

/* Bytes in which a chunk seems to begin everywhere. The test's time limit is the bound. */
static void streams_made_to_be_searched_end(void **state) {
    static const struct {
        const char *p;
        size_t len;
    } rows[] = {{"\x00", 1},
                {"\x01\x00\x10\x00", 4},
                {"\x00\x00\x20\x00", 4},
                {"\x01\x04\x00\x00zzzz", 8},
                {"\x00\x08\x00\x00zzzz\x80\x80\x80\x02", 12},
                {"\x00\x0a\x00\x00zzzz\x80\x80\x80\x02\x00" "a", 14},
                {"\x01\x01\x00\x00\x00\x02", 6}};
    enum { LEN = 1 << 20 };
    uint8_t *in = malloc(LEN);
    struct js_buf out = {.env = js_env_default()};
    struct told told;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t k = 0; k < LEN; k++)
            in[k] = (uint8_t)rows[i].p[k % rows[i].len];
        for (int known = 0; known < 2; known++) {
            out.len = 0;
            told = (struct told){0};
            assert_int_equal(
                js_s2_decode(in, LEN, known ? ROOM : 0, 2 * ROOM, &out, note, &told), 0);
            assert_true(told.count >= 1);
            assert_true(out.len <= 2 * ROOM);
        }
    }
    js_buf_done(&out);
    free(in);
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
        cmocka_unit_test(every_changed_byte_costs_its_chunk_at_most),
        cmocka_unit_test(two_damaged_chunks_cost_two),
        cmocka_unit_test(a_cut_costs_what_was_cut),
        cmocka_unit_test(bytes_put_in_or_taken_out_cost_their_chunk_at_most),
        cmocka_unit_test(skippable_chunks_and_more_identifiers_are_passed_over),
        cmocka_unit_test(output_is_bounded_whatever_is_declared),
        cmocka_unit_test(heads_of_large_chunks_are_mended),
        cmocka_unit_test(a_hole_costs_the_large_chunk_it_is_in),
        cmocka_unit_test(neighbours_damaged_together_are_told_apart),
        cmocka_unit_test(streams_made_to_be_searched_end),
        cmocka_unit_test(streaming_gives_the_same_and_stops_at_a_fault),
        cmocka_unit_test(damage_to_the_head_of_a_compressed_block_costs_nothing),
        cmocka_unit_test(faults_of_a_compressed_block_are_told_by_their_place_in_the_file),
        cmocka_unit_test(every_length_of_a_compressed_block_is_survived),
        cmocka_unit_test(only_compressed_blocks_look_compressed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
