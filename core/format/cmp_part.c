/* SPDX-License-Identifier: Apache-2.0 */
#include "core/format/cmp_part.h"

#include "core/base/bytes.h"
#include "core/format/s2_chunk.h"

/* Of a chunk: the head, its checksum, and the longest number there can be. */
#define HEAD_ROOM 32

static int read_at(const struct js_cmp_source *src, uint64_t off, void *buf, size_t len) {
    ssize_t n = src->read(src->ctx, off, buf, len);

    return n < 0 ? (int)n : (size_t)n < len ? JS_ERR_CORRUPT : 0;
}

/* Reads the head at `at` and what follows, as far as there is room in buf; what lies behind the end is 0. */
static int read_head(const struct js_cmp_source *src, uint64_t at, uint8_t buf[HEAD_ROOM]) {
    uint64_t end = src->len - JS_CMP_RAW_END;

    memset(buf, 0, HEAD_ROOM);
    if (at > end || end - at < JS_S2_HEAD)
        return JS_ERR_CORRUPT;
    return read_at(src, at, buf, end - at < 16 ? (size_t)(end - at) : 16);
}

/* One chunk or piece: so many decoded bytes, so many bytes of the file. 0 decoded: nothing of the block. */
typedef int head_fn(const struct js_cmp_source *src, uint64_t at, uint32_t *ret_raw, uint32_t *ret_len);
typedef int decode_fn(const uint8_t *in, size_t len, struct js_buf *out);

static int s2_head(const struct js_cmp_source *src, uint64_t at, uint32_t *ret_raw, uint32_t *ret_len) {
    uint8_t head[HEAD_ROOM];
    struct js_s2_chunk c;
    uint32_t begin;
    int r = read_head(src, at, head);

    if (r < 0)
        return r;
    (void)js_s2_chunk_at(head, sizeof head, &c);
    *ret_len = JS_S2_HEAD + c.len;
    *ret_raw = 0;
    if (js_s2_is_id(&c))
        return 0;
    return js_s2_declared(&c, ret_raw, &begin) && *ret_raw ? 0 : JS_ERR_CORRUPT;
}

static int s2_decode(const uint8_t *in, size_t len, struct js_buf *out) {
    struct js_s2_chunk c;
    uint32_t n = 0;
    int r = js_s2_chunk_at(in, len, &c) ? js_s2_decode_chunk(&c, out, &n) : JS_ERR_CORRUPT;

    if (r == 0)
        out->len += n;
    return r;
}

static int lz4_head(const struct js_cmp_source *src, uint64_t at, uint32_t *ret_raw, uint32_t *ret_len) {
    uint8_t head[HEAD_ROOM];
    int r = read_head(src, at, head);

    return r < 0 ? r : js_lz4_piece(head, ret_raw, ret_len) ? 0 : JS_ERR_CORRUPT;
}

static int lz4_decode(const uint8_t *in, size_t len, struct js_buf *out) {
    return js_lz4_decode(in, len, 0, JS_S2_MAX_CHUNK, out, NULL, NULL);
}

static int parts(const struct js_cmp_source *src, uint64_t at, head_fn *head, decode_fn *decode,
                 uint64_t off, size_t len, struct js_buf *out, uint64_t *ret_begin) {
    struct js_buf in = {.env = out->env};
    uint64_t pos = 0;
    bool begun = false;
    int r = 0;

    while (r == 0 && (pos < off + len || !begun)) {
        uint32_t raw, size;
        r = head(src, at, &raw, &size);
        if (r == 0 && size > src->len - JS_CMP_RAW_END - at)
            r = JS_ERR_CORRUPT;
        if (r == 0 && raw && pos + raw > off) {
            if (!begun)
                *ret_begin = pos;
            begun = true;
            in.len = 0;
            r = js_buf_reserve(&in, size);
            if (r == 0)
                r = read_at(src, at, in.data, size);
            if (r == 0)
                r = decode(in.data, size, out);
        }
        pos += raw;
        at += size;
    }
    js_buf_done(&in);
    return r;
}

int js_cmp_part(const struct js_cmp_source *src, uint64_t off, size_t len, struct js_buf *out,
                uint64_t *ret_begin) {
    uint8_t prefix[JS_CMP_MAX_HEAD];

    if (src->len < JS_CMP_MAX_HEAD + JS_S2_ID_SIZE + JS_CMP_RAW_END)
        return JS_ERR_CORRUPT;
    int r = read_at(src, 0, prefix, sizeof prefix);
    if (r < 0)
        return r;
    struct js_reader rd = js_reader_of(prefix + 4, sizeof prefix - 4);
    uint64_t size = js_read_uv(&rd);
    uint64_t at = (uint64_t)(rd.p - prefix);
    if (memcmp(prefix, "cmp", 3) != 0 || rd.bad || size < JS_CMP_RAW_END || off > size - JS_CMP_RAW_END ||
        len > size - JS_CMP_RAW_END - off)
        return JS_ERR_CORRUPT;
    if (prefix[3] == JS_CMP_LZ4)
        return parts(src, at, lz4_head, lz4_decode, off, len, out, ret_begin);
    if (prefix[3] != JS_CMP_S2)
        return JS_ERR_CORRUPT;
    return parts(src, at, s2_head, s2_decode, off, len, out, ret_begin);
}
