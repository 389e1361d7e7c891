/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our own compressed form of a block, for streams that no server reads: "cmp", 'L', uv original size,
 * pieces, last 8 bytes of the block raw. A piece is
 *
 *   u32 decoded size (at most 64 KiB), u32 stored size (bit 31: stored as it is), u32 masked CRC-32C of
 *   the decoded bytes, the stored bytes (LZ4 block).
 *
 * A piece whose bytes are damaged costs itself; one whose head is damaged costs what follows up to the
 * next head that fits to the end of the file (found by trying). What is lost is filled with zeros as far as
 * the sizes of the whole and of the other pieces tell how much it was.
 */
#include <lz4.h>

#include "core/base/bytes.h"
#include "core/format/s2_chunk.h"

#define PIECE     65536u
#define HEAD      12u
#define STORED    (1u << 31)
#define MAX_TRIES (1u << 20) /* places looked at for the next head */

int js_lz4_encode(const uint8_t *in, size_t len, struct js_buf *out) {
    for (size_t at = 0; at < len;) {
        int n = (int)(len - at < PIECE ? len - at : PIECE);
        int bound = LZ4_compressBound(n);
        int r = js_buf_reserve(out, HEAD + (size_t)bound);
        if (r < 0)
            return r;
        uint8_t *p = out->data + out->len;
        int packed = LZ4_compress_default((const char *)in + at, (char *)p + HEAD, n, bound);
        bool store = packed <= 0 || packed >= n;
        if (store)
            memcpy(p + HEAD, in + at, (size_t)n);
        uint32_t size = (uint32_t)(store ? n : packed);
        js_put32(p, (uint32_t)n);
        js_put32(p + 4, size | (store ? STORED : 0));
        js_put32(p + 8, js_s2_crc(in + at, (size_t)n));
        out->len += HEAD + size;
        at += (size_t)n;
    }
    return 0;
}

bool js_lz4_piece(const uint8_t head[12], uint32_t *ret_raw, uint32_t *ret_len) {
    uint32_t size = js_get32(head + 4) & ~STORED;

    *ret_raw = js_get32(head);
    *ret_len = HEAD + size;
    return *ret_raw && *ret_raw <= PIECE && size && size <= (uint32_t)LZ4_COMPRESSBOUND(PIECE) &&
           (!(js_get32(head + 4) & STORED) || size == *ret_raw);
}

/* Could a piece begin here? */
static bool plausible(const uint8_t *in, size_t len, size_t at, uint32_t *ret_raw,
                      uint32_t *ret_size) {
    if (at > len || len - at < HEAD)
        return false;
    uint32_t whole;
    if (!js_lz4_piece(in + at, ret_raw, &whole) || whole > len - at)
        return false;
    *ret_size = whole - HEAD;
    return true;
}

/* Decodes one piece behind out->len. 0, CORRUPT, NOMEM. */
static int decode_piece(const uint8_t *in, size_t at, uint32_t raw, uint32_t size,
                        struct js_buf *out) {
    int r = js_buf_reserve(out, raw);

    if (r < 0)
        return r;
    uint8_t *p = out->data + out->len;
    if (js_get32(in + at + 4) & STORED)
        memcpy(p, in + at + HEAD, raw);
    else if (LZ4_decompress_safe((const char *)in + at + HEAD, (char *)p, (int)size, (int)raw) !=
             (int)raw)
        return JS_ERR_CORRUPT;
    return js_s2_crc(p, raw) == js_get32(in + at + 8) ? 0 : JS_ERR_CORRUPT;
}

/* The next place from at + 1 on where a whole piece proves itself; len if none. */
static size_t find_next(const uint8_t *in, size_t len, size_t at, const struct js_env *env) {
    struct js_buf scratch = {.env = env};
    size_t tries = 0, found = len;

    for (at++; at < len && tries < MAX_TRIES; at++, tries++) {
        uint32_t raw, size;
        if (!plausible(in, len, at, &raw, &size))
            continue;
        scratch.len = 0;
        if (decode_piece(in, at, raw, size, &scratch) == 0) {
            found = at;
            break;
        }
    }
    js_buf_done(&scratch);
    return found;
}

/* Decoded bytes of the pieces from at to the end; false where their heads are no chain. */
static bool sum_of(const uint8_t *in, size_t len, size_t at, uint64_t *ret_sum) {
    uint32_t raw, size;

    for (*ret_sum = 0; at < len; at += HEAD + size) {
        if (!plausible(in, len, at, &raw, &size))
            return false;
        *ret_sum += raw;
    }
    return true;
}

/* How much a stretch held whose heads do not tell: what the rest lacks of the whole. 0: not known. */
static uint64_t missing(const uint8_t *in, size_t len, size_t next, uint64_t expect, uint64_t got,
                        uint64_t max_out) {
    uint64_t sum;

    return expect <= max_out && sum_of(in, len, next, &sum) && expect > got + sum ? expect - got - sum
                                                                                  : 0;
}

int js_lz4_decode(const uint8_t *in, size_t len, uint64_t expect, uint64_t max_out, struct js_buf *out,
                  void (*bad_fn)(void *ctx, const struct js_s2_bad *bad), void *ctx) {
    size_t begin = out->len, at = 0;

    while (at < len) {
        struct js_s2_bad bad = {.src_off = at, .out_off = out->len - begin};
        uint32_t raw = 0, size = 0;
        bool whole = plausible(in, len, at, &raw, &size);
        int r = whole ? decode_piece(in, at, raw, size, out) : JS_ERR_CORRUPT;
        if (r == JS_ERR_NOMEM)
            return r;
        if (whole && out->len - begin + raw > max_out)
            return JS_ERR_TOO_BIG;
        if (r == 0) {
            out->len += raw;
            at += HEAD + size;
            continue;
        }
        if (!bad_fn)
            return JS_ERR_CORRUPT;
        /* Where the head is right the next piece follows it. */
        uint32_t next_raw, next_size;
        size_t next = whole ? at + HEAD + size : 0;
        if (!whole || (next != len && !plausible(in, len, next, &next_raw, &next_size)))
            next = find_next(in, len, at, out->env);
        bad.src_len = next - at;
        bad.what = "a piece of the compressed block is damaged";
        /* What follows stays where it was. */
        bad.out_len = whole && next == at + HEAD + size
                          ? raw
                          : missing(in, len, next, expect, out->len - begin, max_out);
        if (bad.out_len / PIECE > (next - at) / HEAD)
            bad.out_len = 0; /* not in so few bytes */
        if (js_buf_reserve(out, bad.out_len ? bad.out_len : 1) < 0)
            return JS_ERR_NOMEM;
        memset(out->data + out->len, 0, bad.out_len);
        out->len += bad.out_len;
        bad_fn(ctx, &bad);
        at = next;
    }
    return 0;
}
