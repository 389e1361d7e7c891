/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S2 streams: chunks of u8 type, u24 length, data. 0x00: u32 masked CRC, S2 block; 0x01: u32 masked
 * CRC, raw bytes; 0x80-0xfe: skipped; 0xff: identifier; 0x02-0x7f: not defined.
 *
 * Resynchronisation: a chunk whose checksum is wrong still tells where the next one begins, if its
 * own length was right; that is believed when the chunk there proves itself or the stream ends
 * there. Otherwise each following offset is tried until a chunk proves itself by its checksum.
 */
#include "core/format/s2.h"

#include <snappy-c.h>

#include "core/base/bytes.h"

#define MAX_CHUNK (4u << 20)
#define ID_CHUNK 0xff
#define PADDING 0xfe
#define SEEK_INDEX 0x99
#define HEAD 4u

/* ---- CRC-32C ------------------------------------------------------------------------------- */

#define CRC_POLY 0x82f63b78u

static uint32_t crc_byte(uint32_t c) {
    for (int i = 0; i < 8; i++)
        c = c & 1 ? (c >> 1) ^ CRC_POLY : c >> 1;
    return c;
}

static uint32_t crc_plain(uint32_t c, const uint8_t *p, size_t len) {
    for (size_t i = 0; i < len; i++)
        c = (c >> 8) ^ crc_byte((c ^ p[i]) & 0xff);
    return c;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t c, const uint8_t *p,
                                                            size_t len) {
    uint64_t crc = c;

    for (; len >= 8; p += 8, len -= 8)
        crc = __builtin_ia32_crc32di(crc, js_get64(p));
    c = (uint32_t)crc;
    for (; len; p++, len--)
        c = __builtin_ia32_crc32qi(c, *p);
    return c;
}
#endif

uint32_t js_s2_crc(const uint8_t *p, size_t len) {
    uint32_t c = ~0u;

#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        c = crc_sse42(c, p, len);
    else
#endif
        c = crc_plain(c, p, len);
    c = ~c;
    return ((c >> 15) | (c << 17)) + 0xa282ead8u;
}

/* ---- chunks -------------------------------------------------------------------------------- */

struct chunk {
    uint8_t type;
    uint32_t len;        /* of the data behind the head */
    const uint8_t *data;
};

/* False when the head or the data is not complete. */
static bool chunk_at(const uint8_t *in, size_t left, struct chunk *c) {
    if (left < HEAD)
        return false;
    c->type = in[0];
    c->len = js_get32(in) >> 8;
    c->data = in + HEAD;
    return c->len <= left - HEAD;
}

/* How many bytes a data chunk says it gives; 0 if it does not say. */
static uint32_t declared(const struct chunk *c) {
    if (c->len < 4)
        return 0;
    if (c->type == 1)
        return c->len - 4 <= MAX_CHUNK ? c->len - 4 : 0;
    struct js_reader r = js_reader_of(c->data + 4, c->len - 4);
    uint64_t n = js_read_uv(&r);
    return r.bad || n > MAX_CHUNK ? 0 : (uint32_t)n;
}

/* Decodes a data chunk behind out->len. out->len grows by what decoded; 0, CORRUPT or NOMEM. */
static int decode_chunk(const struct chunk *c, struct js_buf *out) {
    uint32_t n = declared(c);
    size_t done = 0;
    int r = 0;

    if (c->len < 4 || (n == 0 && c->len > 5))
        return JS_ERR_CORRUPT;
    if (js_buf_reserve(out, n ? n : 1) < 0)
        return JS_ERR_NOMEM;
    uint8_t *p = out->data + out->len;
    if (c->type == 1) {
        memcpy(p, c->data + 4, n);
        done = n;
    } else {
        struct js_reader rd = js_reader_of(c->data + 4, c->len - 4);
        (void)js_read_uv(&rd);
        r = js_s2_decode_block(rd.p, js_reader_left(&rd), p, n, &done);
    }
    out->len += done;
    if (r == 0 && js_s2_crc(p, done) != js_get32(c->data))
        r = JS_ERR_CORRUPT;
    return r;
}

static bool is_identifier(const struct chunk *c) {
    return c->type == ID_CHUNK && c->len == 6 &&
           (memcmp(c->data, "S2sTwO", 6) == 0 || memcmp(c->data, "sNaPpY", 6) == 0);
}

/* ---- decoding with resynchronisation ------------------------------------------------------------ */

struct stream {
    const uint8_t *in;
    size_t len;
    struct js_buf *out;
    size_t base; /* out->len at the beginning */
    uint64_t expect, max_out;
    void (*bad_fn)(void *ctx, const struct js_s2_bad *bad);
    void *ctx;
    struct js_buf trial; /* for proving candidates */
    uint64_t budget;     /* bytes that may be decoded for candidates */
};

static bool proves(struct stream *s, size_t at) {
    struct chunk c;

    if (at == s->len)
        return true;
    if (!chunk_at(s->in + at, s->len - at, &c))
        return false;
    if (is_identifier(&c))
        return true;
    if (c.type > 1 || c.len > MAX_CHUNK + 64)
        return false;
    uint64_t cost = (uint64_t)c.len + declared(&c);
    if (cost > s->budget)
        return false;
    s->budget -= cost;
    s->trial.len = 0;
    return decode_chunk(&c, &s->trial) == 0;
}

/* The next offset above at from which the stream goes on. */
static size_t resync(struct stream *s, size_t at) {
    struct chunk c;

    if (chunk_at(s->in + at, s->len - at, &c) && proves(s, at + HEAD + c.len))
        return at + HEAD + c.len;
    for (size_t q = at + 1; q + HEAD <= s->len && s->budget; q++)
        if (proves(s, q))
            return q;
    return s->len;
}

static int pad(struct stream *s, uint64_t n) {
    uint64_t have = s->out->len - s->base;

    if (n > s->max_out - have)
        return JS_ERR_TOO_BIG;
    if (js_buf_reserve(s->out, n ? n : 1) < 0)
        return JS_ERR_NOMEM;
    memset(s->out->data + s->out->len, 0, n);
    s->out->len += n;
    return 0;
}

static void tell(struct stream *s, size_t at, size_t next, uint64_t out_off, const char *what) {
    struct js_s2_bad bad = {.src_off = at,
                            .src_len = next - at,
                            .out_off = out_off,
                            .out_len = s->out->len - s->base - out_off,
                            .what = what};
    s->bad_fn(s->ctx, &bad);
}

/* Deals with a fault at offset at, where a chunk gave `got` bytes; *ret_next is where to go on. */
static int over_fault(struct stream *s, size_t at, uint64_t got, const char *what,
                      size_t *ret_next) {
    struct chunk c;
    uint64_t out_off = s->out->len - s->base - got;
    size_t next = resync(s, at);
    uint64_t want = 0;
    bool whole = chunk_at(s->in + at, s->len - at, &c) && next == at + HEAD + c.len;

    if (whole && c.type <= 1)
        want = declared(&c);
    else if (next == s->len && s->expect > out_off)
        want = s->expect - out_off; /* the last one: what is missing of the whole */
    int r = 0;
    if (want > got && want - got <= s->max_out - (s->out->len - s->base))
        r = pad(s, want - got);
    tell(s, at, next, out_off, what);
    *ret_next = next;
    return r;
}

/* Types that may be skipped but that nobody writes: a damaged type looks like this. */
static bool odd_type(uint8_t type) {
    return type > 1 && type != ID_CHUNK && type != PADDING && type != SEEK_INDEX;
}

/* A chunk of an odd type may be a data chunk: its checksum tells. */
static int odd_chunk(struct stream *s, size_t at, const struct chunk *c, size_t *ret_next) {
    uint64_t before = s->out->len - s->base;

    for (uint8_t type = 0; type <= 1; type++) {
        struct chunk t = {.type = type, .len = c->len, .data = c->data};
        if (declared(&t) == 0 || declared(&t) > s->max_out - before)
            continue;
        int r = decode_chunk(&t, s->out);
        if (r == 0)
            tell(s, at, *ret_next, s->out->len - s->base,
                 "a chunk's type is damaged; its checksum proves the content");
        if (r != JS_ERR_CORRUPT)
            return r;
        s->out->len = s->base + before;
    }
    return over_fault(s, at, 0, "a chunk's type is damaged", ret_next);
}

static int one_chunk(struct stream *s, size_t at, size_t *ret_next) {
    struct chunk c;
    uint64_t before = s->out->len - s->base;

    if (!chunk_at(s->in + at, s->len - at, &c)) {
        if (!s->bad_fn)
            return s->len - at < HEAD || (js_get32(s->in + at) >> 8) > s->len - at - HEAD
                       ? JS_ERR_TORN
                       : JS_ERR_CORRUPT;
        return over_fault(s, at, 0, "a chunk's head is damaged", ret_next);
    }
    *ret_next = at + HEAD + c.len;
    if (s->bad_fn && odd_type(c.type))
        return odd_chunk(s, at, &c, ret_next);
    if (c.type == ID_CHUNK) {
        if (is_identifier(&c))
            return 0;
        return s->bad_fn ? over_fault(s, at, 0, "a stream identifier is damaged", ret_next)
                         : JS_ERR_CORRUPT;
    }
    if (c.type > 1)
        return c.type >= 0x80 ? 0 : JS_ERR_CORRUPT;
    if (declared(&c) > s->max_out - before)
        return JS_ERR_TOO_BIG;
    int r = decode_chunk(&c, s->out);
    if (r != JS_ERR_CORRUPT)
        return r;
    if (!s->bad_fn)
        return r;
    return over_fault(s, at, s->out->len - s->base - before, "a chunk's checksum is wrong",
                      ret_next);
}

int js_s2_decode(const uint8_t *in, size_t len, uint64_t expect, uint64_t max_out,
                 struct js_buf *out, void (*bad_fn)(void *ctx, const struct js_s2_bad *bad),
                 void *ctx) {
    struct stream s = {.in = in,
                       .len = len,
                       .out = out,
                       .base = out->len,
                       .expect = expect < max_out ? expect : max_out,
                       .max_out = max_out,
                       .bad_fn = bad_fn,
                       .ctx = ctx,
                       .trial.env = out->env,
                       .budget = (64u << 20) + 16 * (uint64_t)len};
    size_t at = 0;
    int r = 0;

    while (at < len && r == 0)
        r = one_chunk(&s, at, &at);
    js_buf_done(&s.trial);
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
                      struct js_buf *in, struct chunk *c) {
    in->len = 0;
    if (js_buf_reserve(in, HEAD) < 0)
        return JS_ERR_NOMEM;
    ssize_t n = fill(read_fn, ctx, in->data, HEAD);
    if (n <= 0)
        return (int)n;
    if (n < (ssize_t)HEAD)
        return JS_ERR_TORN;
    uint32_t len = js_get32(in->data) >> 8;
    in->len = HEAD;
    if (js_buf_reserve(in, len ? len : 1) < 0)
        return JS_ERR_NOMEM;
    n = fill(read_fn, ctx, in->data + HEAD, len);
    if (n < 0)
        return (int)n;
    if ((size_t)n < len)
        return JS_ERR_TORN;
    (void)chunk_at(in->data, HEAD + len, c);
    return c->type > 1 && c->type < 0x80 ? JS_ERR_CORRUPT : 1;
}

int js_s2_decode_stream(const struct js_env *env,
                        ssize_t (*read_fn)(void *ctx, void *buf, size_t len), void *read_ctx,
                        int (*sink_fn)(void *ctx, const uint8_t *data, size_t len),
                        void *sink_ctx, uint64_t max_out) {
    struct js_buf in = {.env = env}, out = {.env = env};
    struct chunk c;
    uint64_t total = 0;
    bool first = true;
    int r;

    while ((r = next_chunk(read_fn, read_ctx, &in, &c)) == 1) {
        r = 0;
        if (first && !is_identifier(&c))
            r = JS_ERR_CORRUPT;
        first = false;
        if (r == 0 && c.type == ID_CHUNK && !is_identifier(&c))
            r = JS_ERR_CORRUPT;
        if (r == 0 && c.type <= 1) {
            out.len = 0;
            r = decode_chunk(&c, &out);
            total += out.len;
            if (r == 0 && total > max_out)
                r = JS_ERR_TOO_BIG;
            if (r == 0)
                r = sink_fn(sink_ctx, out.data, out.len);
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
