/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S2 streams: chunks of u8 type, u24 length, data. 0x00: u32 masked CRC, S2 block; 0x01: u32 masked
 * CRC, raw bytes; 0x80-0xfe: skipped; 0xff: identifier; 0x02-0x7f: not defined. What is done about
 * damage stands in s2_repair.c.
 */
#include "core/format/s2.h"

#include <snappy-c.h>

#include "core/base/bytes.h"
#include "core/format/s2_chunk.h"

#define MAX_SIZE_BYTES 5 /* of the decoded size in front of an S2 block */

/* ---- chunks -------------------------------------------------------------------------------- */

bool js_s2_chunk_at(const uint8_t *in, size_t left, struct js_s2_chunk *ret) {
    if (left < JS_S2_HEAD)
        return false;
    ret->type = in[0];
    ret->len = js_get32(in) >> 8;
    ret->data = in + JS_S2_HEAD;
    return ret->len <= left - JS_S2_HEAD;
}

bool js_s2_declared(const struct js_s2_chunk *c, uint32_t *ret_size, uint32_t *ret_begin) {
    if (c->type > JS_S2_RAW || c->len < JS_S2_CRC)
        return false;
    if (c->type == JS_S2_RAW) {
        *ret_size = c->len - JS_S2_CRC;
        *ret_begin = JS_S2_CRC;
        return *ret_size <= JS_S2_MAX_CHUNK;
    }
    struct js_reader r = js_reader_of(c->data + JS_S2_CRC, c->len - JS_S2_CRC);
    uint64_t n = js_read_uv(&r);
    *ret_begin = (uint32_t)(r.p - c->data);
    *ret_size = (uint32_t)n;
    return !r.bad && n <= JS_S2_MAX_CHUNK && *ret_begin <= JS_S2_CRC + MAX_SIZE_BYTES &&
           (n == 0) == (*ret_begin == c->len);
}

int js_s2_decode_chunk(const struct js_s2_chunk *c, struct js_buf *out, uint32_t *ret_size) {
    uint32_t n, begin;
    size_t done = 0;

    if (!js_s2_declared(c, &n, &begin))
        return JS_ERR_CORRUPT;
    const uint8_t *content = c->data + begin;
    /* Bytes stored as they are need no room before they are known to be right. */
    if (c->type == JS_S2_RAW && js_s2_crc(content, n) != js_get32(c->data))
        return JS_ERR_CORRUPT;
    if (js_buf_reserve(out, n ? n : 1) < 0)
        return JS_ERR_NOMEM;
    uint8_t *p = out->data + out->len;
    *ret_size = n;
    if (c->type == JS_S2_RAW) {
        memcpy(p, content, n);
        return 0;
    }
    if (js_s2_decode_block(content, c->len - begin, p, n, &done) < 0)
        return JS_ERR_CORRUPT;
    return js_s2_crc(p, n) == js_get32(c->data) ? 0 : JS_ERR_CORRUPT;
}

bool js_s2_is_id(const struct js_s2_chunk *c) {
    return c->type == JS_S2_ID && c->len == JS_S2_ID_SIZE - JS_S2_HEAD &&
           (memcmp(c->data, "S2sTwO", 6) == 0 || memcmp(c->data, "sNaPpY", 6) == 0);
}

static bool reserved(uint8_t type) {
    return type > JS_S2_RAW && type < JS_S2_SKIP;
}

/* Chunks that may be passed over hold nothing; one whose checksum proves it to be data has a
 * damaged type. 1, 0, or NOMEM. */
static int hides_data(const struct js_s2_chunk *c, struct js_buf *out) {
    struct js_s2_chunk t = *c;
    uint32_t n;

    for (t.type = JS_S2_PACKED; t.type <= JS_S2_RAW; t.type++) {
        int r = js_s2_decode_chunk(&t, out, &n);
        if (r == 0 && n)
            return 1;
        if (r == JS_ERR_NOMEM)
            return r;
    }
    return 0;
}

/* ---- a stream in memory -------------------------------------------------------------------- */

static int one_chunk(struct js_s2_stream *s, size_t at, size_t *ret_next) {
    struct js_s2_chunk c;
    uint64_t room = s->max_out - (s->out->len - s->base);
    uint32_t n = 0;
    int r = 0;

    bool whole = js_s2_chunk_at(s->in + at, s->len - at, &c);
    if (!whole && !s->bad_fn)
        return JS_ERR_TORN;
    bool id = whole && js_s2_is_id(&c);
    if (!s->begun) {
        s->begun = true;
        if (!id)
            return s->bad_fn ? js_s2_over_begin(s, ret_next) : JS_ERR_CORRUPT;
    }
    if (!whole)
        return js_s2_over_fault(s, at, ret_next);
    *ret_next = at + JS_S2_HEAD + c.len;
    if (id)
        return 0;
    if (c.type <= JS_S2_RAW) {
        r = js_s2_decode_chunk(&c, s->out, &n);
        if (r == 0 && n > room)
            return JS_ERR_TOO_BIG;
        if (r == 0) {
            s->out->len += n;
            js_s2_note_size(s, n);
        }
    } else if (c.type == JS_S2_ID || reserved(c.type)) {
        r = JS_ERR_CORRUPT;
    } else {
        /* Nobody writes types but these two: another is told of, though it costs nothing. */
        r = hides_data(&c, s->out);
        if (r > 0 || (r == 0 && s->bad_fn && c.type != JS_S2_PADDING && c.type != JS_S2_SEEK_INDEX))
            r = JS_ERR_CORRUPT;
    }
    if (r == JS_ERR_CORRUPT && s->bad_fn)
        r = js_s2_over_fault(s, at, ret_next);
    return r;
}

int js_s2_decode(const uint8_t *in, size_t len, uint64_t expect, uint64_t max_out,
                 struct js_buf *out, void (*bad_fn)(void *ctx, const struct js_s2_bad *bad),
                 void *ctx) {
    struct js_s2_stream s = {.in = in,
                             .len = len,
                             .out = out,
                             .base = out->len,
                             .expect = expect < max_out ? expect : max_out,
                             .max_out = max_out,
                             .bad_fn = bad_fn,
                             .ctx = ctx,
                             .budget = (64u << 20) + 16 * (uint64_t)len};
    size_t at = 0;
    int r = 0;

    /* Room at once for what is promised, if the input is large enough for the promise. */
    if (s.expect && s.expect / 32 <= len)
        r = js_buf_reserve(out, s.expect);
    while (at < len && r == 0)
        r = one_chunk(&s, at, &at);
    return r;
}

/* ---- streaming ----------------------------------------------------------------------------- */

static ssize_t fill(ssize_t (*read_fn)(void *ctx, void *buf, size_t len), void *ctx, uint8_t *p,
                    size_t len) {
    size_t done = 0;

    while (done < len) {
        ssize_t n = read_fn(ctx, p + done, len - done);
        if (n < 0)
            return n;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* Reads one chunk whole into in. 1 read, 0 at the end, or an error. */
static int next_chunk(ssize_t (*read_fn)(void *ctx, void *buf, size_t len), void *ctx,
                      struct js_buf *in, struct js_s2_chunk *c) {
    in->len = 0;
    if (js_buf_reserve(in, JS_S2_HEAD) < 0)
        return JS_ERR_NOMEM;
    ssize_t n = fill(read_fn, ctx, in->data, JS_S2_HEAD);
    if (n <= 0)
        return (int)n;
    if (n < (ssize_t)JS_S2_HEAD)
        return JS_ERR_TORN;
    uint32_t len = js_get32(in->data) >> 8;
    in->len = JS_S2_HEAD;
    if (js_buf_reserve(in, len ? len : 1) < 0)
        return JS_ERR_NOMEM;
    n = fill(read_fn, ctx, in->data + JS_S2_HEAD, len);
    if (n < 0)
        return (int)n;
    if ((size_t)n < len)
        return JS_ERR_TORN;
    (void)js_s2_chunk_at(in->data, JS_S2_HEAD + len, c);
    return reserved(c->type) ? JS_ERR_CORRUPT : 1;
}

int js_s2_decode_stream(const struct js_env *env,
                        ssize_t (*read_fn)(void *ctx, void *buf, size_t len), void *read_ctx,
                        int (*sink_fn)(void *ctx, const uint8_t *data, size_t len),
                        void *sink_ctx, uint64_t max_out) {
    struct js_buf in = {.env = env}, out = {.env = env};
    struct js_s2_chunk c;
    uint64_t total = 0;
    bool first = true;
    int r;

    while ((r = next_chunk(read_fn, read_ctx, &in, &c)) == 1) {
        r = 0;
        if (first && !js_s2_is_id(&c))
            r = JS_ERR_CORRUPT;
        first = false;
        if (r == 0 && c.type == JS_S2_ID && !js_s2_is_id(&c))
            r = JS_ERR_CORRUPT;
        if (r == 0 && c.type <= JS_S2_RAW) {
            uint32_t n = 0;
            r = js_s2_decode_chunk(&c, &out, &n);
            total += n;
            if (r == 0 && total > max_out)
                r = JS_ERR_TOO_BIG;
            if (r == 0)
                r = sink_fn(sink_ctx, out.data, n);
        } else if (r == 0 && c.type != JS_S2_ID && hides_data(&c, &out) > 0) {
            r = JS_ERR_CORRUPT;
        }
        if (r != 0)
            break;
    }
    js_buf_done(&in);
    js_buf_done(&out);
    return r;
}

/* ---- encoding ------------------------------------------------------------------------------ */

static void chunk_head(uint8_t *p, uint8_t type, size_t len) {
    js_put32(p, (uint32_t)(len << 8) | type);
}

int js_s2_encode(const uint8_t *in, size_t len, struct js_buf *out) {
    static const uint8_t id[10] = {0xff, 6, 0, 0, 's', 'N', 'a', 'P', 'p', 'Y'};

    js_buf_append(out, id, sizeof id);
    while (len && !out->failed) {
        size_t n = len < 65536 ? len : 65536;
        size_t room = snappy_max_compressed_length(n);
        if (js_buf_reserve(out, 8 + room) < 0)
            break;
        uint8_t *p = out->data + out->len;
        size_t packed = room;
        uint8_t type = 0;
        if (snappy_compress((const char *)in, n, (char *)p + 8, &packed) != SNAPPY_OK ||
            packed >= n) {
            memcpy(p + 8, in, n);
            packed = n;
            type = 1;
        }
        chunk_head(p, type, packed + 4);
        js_put32(p + 4, js_s2_crc(in, n));
        out->len += 8 + packed;
        in += n;
        len -= n;
    }
    return out->failed ? JS_ERR_NOMEM : 0;
}
