/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A compressed block: "cmp", u8 1, uv original size, S2 stream, last 8 bytes of the block raw. The
 * head is not covered by any checksum; when the S2 identifier stands where it belongs, damage to
 * the head costs nothing.
 */
#include "core/base/bytes.h"
#include "core/base/limits.h"
#include "core/format/record.h"
#include "core/format/s2_chunk.h"

#define MIN_HEAD 5  /* "cmp", algorithm, one byte of size */
/* What a block holds at most whatever its head says (servers up to 2.12 write another size there):
 * a full one, and the largest record. */
#define UNTOLD ((8u << 20) + JS_MAX_RECORD)

/* A few bytes must not grow to hundreds of megabytes because nobody said that they would not. */
static uint64_t bound(uint64_t told, uint64_t max_out) {
    uint64_t most = told > UNTOLD ? told : UNTOLD;

    return most < max_out ? most : max_out;
}

/* Offset of the S2 stream by its identifier, 0 if there is none near the beginning. One of its ten
 * bytes may be damaged. */
static size_t find_stream(const uint8_t *in, size_t len) {
    static const uint8_t ids[2][10] = {{0xff, 6, 0, 0, 'S', '2', 's', 'T', 'w', 'O'},
                                       {0xff, 6, 0, 0, 's', 'N', 'a', 'P', 'p', 'Y'}};

    for (size_t at = MIN_HEAD; at <= JS_CMP_MAX_HEAD && at + 10 <= len; at++) {
        for (int k = 0; k < 2; k++) {
            int same = 0;
            for (int i = 0; i < 10; i++)
                same += in[at + (size_t)i] == ids[k][i];
            if (same >= 9)
                return at;
        }
    }
    return 0;
}

bool js_cmp_is(const uint8_t *in, size_t len) {
    if (len < MIN_HEAD)
        return false;
    /* A plain block whose first record's bytes look like a stream does not exist: subject and
     * payload begin behind. */
    if (find_stream(in, len) != 0)
        return true;
    /* But "cmp" and 0 is also the length of a record of 7 MiB. */
    return memcmp(in, "cmp", 3) == 0 && (js_get32(in) & ~JS_LEN_HAS_HEADERS) > len;
}

/* Passes faults on with their place in the file. */
struct place {
    void (*bad_fn)(void *ctx, const struct js_s2_bad *bad);
    void *ctx;
    size_t stream;
};

static void in_file(void *ctx, const struct js_s2_bad *bad) {
    const struct place *place = ctx;
    struct js_s2_bad moved = *bad;

    moved.src_off += place->stream;
    place->bad_fn(place->ctx, &moved);
}

static int decode_lz4(const uint8_t *in, size_t len, uint64_t max_out, struct js_buf *out,
                      void (*bad_fn)(void *ctx, const struct js_s2_bad *bad), void *ctx) {
    struct place place = {.bad_fn = bad_fn, .ctx = ctx};
    struct js_reader r = js_reader_of(in + 4, len - 4);
    uint64_t size = js_read_uv(&r);
    size_t begin = out->len;

    place.stream = r.bad ? MIN_HEAD : (size_t)(r.p - in);
    if (len < place.stream + JS_CMP_RAW_END)
        return JS_ERR_TORN;
    if (max_out < JS_CMP_RAW_END)
        return JS_ERR_TOO_BIG;
    max_out = bound(r.bad ? 0 : size, max_out);
    int e = js_lz4_decode(in + place.stream, len - place.stream - JS_CMP_RAW_END,
                          !r.bad && size >= JS_CMP_RAW_END ? size - JS_CMP_RAW_END : 0, max_out - JS_CMP_RAW_END, out,
                          bad_fn ? in_file : NULL, &place);
    if (e == 0)
        js_buf_append(out, in + len - JS_CMP_RAW_END, JS_CMP_RAW_END);
    if (e == 0 && out->failed)
        e = JS_ERR_NOMEM;
    if (e == 0 && out->len - begin != size) {
        struct js_s2_bad bad = {.src_off = 4,
                                .src_len = place.stream - 4,
                                .out_off = out->len - begin,
                                .what = "the block is not as long as its head says"};
        if (!bad_fn)
            return JS_ERR_CORRUPT;
        bad_fn(ctx, &bad);
    }
    return e;
}

int js_cmp_decode(const uint8_t *in, size_t len, uint64_t max_out, struct js_buf *out,
                  void (*bad_fn)(void *ctx, const struct js_s2_bad *bad), void *ctx) {
    struct js_s2_bad bad = {.src_len = MIN_HEAD, .what = "the head of the compressed block is "
                                                         "damaged"};
    struct place place = {.bad_fn = bad_fn, .ctx = ctx};

    if (len < MIN_HEAD)
        return JS_ERR_TORN;
    if (memcmp(in, "cmp", 3) == 0 && in[3] == JS_CMP_LZ4 && !find_stream(in, len))
        return decode_lz4(in, len, max_out, out, bad_fn, ctx);
    struct js_reader r = js_reader_of(in + 4, len - 4);
    uint64_t size = js_read_uv(&r);
    size_t at = r.bad ? 0 : (size_t)(r.p - in);
    size_t found = find_stream(in, len), begin = out->len;
    bool named = memcmp(in, "cmp", 3) == 0 && in[3] == 1;

    if (!found && !named)
        return memcmp(in, "cmp", 3) == 0 ? JS_ERR_UNKNOWN_FORMAT : JS_ERR_CORRUPT;
    if (!named || at == 0 || (found && at != found)) {
        if (!bad_fn)
            return JS_ERR_CORRUPT;
        bad.src_len = found ? found : MIN_HEAD;
        bad_fn(ctx, &bad);
        if (at == 0 || at != found)
            size = 0;
        at = found ? found : MIN_HEAD;
    }
    if (len < at + JS_CMP_RAW_END)
        return JS_ERR_TORN;
    if (max_out < JS_CMP_RAW_END)
        return JS_ERR_TOO_BIG;
    max_out = bound(size, max_out);
    uint64_t expect = size >= JS_CMP_RAW_END ? size - JS_CMP_RAW_END : 0;
    place.stream = at;
    int e = js_s2_decode(in + at, len - at - JS_CMP_RAW_END, expect, max_out - JS_CMP_RAW_END, out,
                         bad_fn ? in_file : NULL, &place);
    if (e == 0)
        js_buf_append(out, in + len - JS_CMP_RAW_END, JS_CMP_RAW_END);
    if (e == 0 && out->failed)
        e = JS_ERR_NOMEM;
    if (e == 0 && size && out->len - begin != size) {
        if (!bad_fn)
            return JS_ERR_CORRUPT;
        bad.src_off = 4;
        bad.src_len = at - 4;
        bad.out_off = out->len - begin;
        bad.what = "the block is not as long as its head says";
        bad_fn(ctx, &bad);
    }
    return e;
}

int js_cmp_encode(enum js_cmp_kind kind, const uint8_t *in, size_t len, struct js_buf *out) {
    if (len < JS_CMP_RAW_END)
        return JS_ERR_INVAL;
    js_buf_append(out, "cmp", 3);
    js_buf_append_u8(out, (uint8_t)kind);
    js_buf_append_uv(out, len);
    int r = kind == JS_CMP_LZ4 ? js_lz4_encode(in, len - JS_CMP_RAW_END, out)
                               : js_s2_encode(in, len - JS_CMP_RAW_END, out);
    js_buf_append(out, in + len - JS_CMP_RAW_END, JS_CMP_RAW_END);
    return r < 0 ? r : out->failed ? JS_ERR_NOMEM : 0;
}
