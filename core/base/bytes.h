/* SPDX-License-Identifier: Apache-2.0 */
/* Little-endian loads and stores, and a bounded reader: the only way bytes from disk are taken
 * apart. */
#ifndef JS_BYTES_H
#define JS_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "big-endian machines are not supported yet"
#endif

static inline uint16_t js_get16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

static inline uint32_t js_get32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static inline uint64_t js_get64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static inline void js_put16(uint8_t *p, uint16_t v) {
    memcpy(p, &v, 2);
}

static inline void js_put32(uint8_t *p, uint32_t v) {
    memcpy(p, &v, 4);
}

static inline void js_put64(uint8_t *p, uint64_t v) {
    memcpy(p, &v, 8);
}

/* A bounded reader. Once anything is missing, bad is set and every later read gives 0. */
struct js_reader {
    const uint8_t *p;
    const uint8_t *end;
    bool bad;
};

static inline struct js_reader js_reader_of(const void *data, size_t len) {
    const uint8_t *p = data;
    return (struct js_reader){.p = p, .end = p ? p + len : p, .bad = false};
}

static inline size_t js_reader_left(const struct js_reader *r) {
    return (size_t)(r->end - r->p);
}

/* Borrows n bytes, or NULL (and bad) when there are fewer. */
static inline const uint8_t *js_read_bytes(struct js_reader *r, uint64_t n) {
    if (r->bad || n > (uint64_t)(r->end - r->p)) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += n;
    return p;
}

static inline uint8_t js_read_u8(struct js_reader *r) {
    const uint8_t *p = js_read_bytes(r, 1);
    return p ? *p : 0;
}

static inline uint16_t js_read_u16(struct js_reader *r) {
    const uint8_t *p = js_read_bytes(r, 2);
    return p ? js_get16(p) : 0;
}

static inline uint32_t js_read_u32(struct js_reader *r) {
    const uint8_t *p = js_read_bytes(r, 4);
    return p ? js_get32(p) : 0;
}

static inline uint64_t js_read_u64(struct js_reader *r) {
    const uint8_t *p = js_read_bytes(r, 8);
    return p ? js_get64(p) : 0;
}

/* Unsigned LEB128, at most 10 bytes, no bits above 64. */
static inline uint64_t js_read_uv(struct js_reader *r) {
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t b = js_read_u8(r);
        if (r->bad)
            return 0;
        if (shift == 63 && b > 1)
            break;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return v;
    }
    r->bad = true;
    return 0;
}

/* Zig-zag signed LEB128. */
static inline int64_t js_read_sv(struct js_reader *r) {
    uint64_t u = js_read_uv(r);
    return (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
}

/* Writers give the number of bytes put at p (at most 10). */
static inline size_t js_put_uv(uint8_t *p, uint64_t v) {
    size_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

static inline size_t js_put_sv(uint8_t *p, int64_t v) {
    return js_put_uv(p, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

#endif
