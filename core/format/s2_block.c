/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One S2 block: elements by the two low bits of the tag (m = tag >> 2):
 *
 *   0  literal: m + 1 bytes; m 60..63: the length - 1 stands in 1..4 bytes
 *   1  copy: offset (tag & 0xe0) << 3 | byte, length 4 + (m & 7); offset 0 repeats the last offset:
 *      k = m & 7: 4 + k, or byte + 8 (5), u16 + 260 (6), u24 + 65540 (7)
 *   2  copy: length m + 1, offset u16
 *   3  copy: length m + 1, offset u32
 *
 * Most elements are short. As long as SPARE_IN bytes of input and SPARE_OUT of output are left they
 * are moved in steps of 16 bytes, more than asked for; what is too much is overwritten by the next
 * element. Near the ends, and for long elements, every length is exact.
 */
#include <string.h>

#include "core/base/bytes.h"
#include "core/format/s2_chunk.h"

#define SHORT     64u /* the longest element that is moved in steps */
#define SPARE_IN  (1 + SHORT)
#define SPARE_OUT (SHORT + 16)

struct decoder {
    const uint8_t *in, *in_end;
    uint8_t *out, *begin, *out_end;
    uint32_t last; /* offset of the last copy, 0 = none yet */
};

/* Little-endian number of n bytes. False when the input ends. */
static bool take(struct decoder *d, int n, uint32_t *ret) {
    uint32_t v = 0;

    if (d->in_end - d->in < n)
        return false;
    for (int i = 0; i < n; i++)
        v |= (uint32_t)d->in[i] << (8 * i);
    d->in += n;
    *ret = v;
    return true;
}

static bool literal(struct decoder *d, uint32_t m) {
    uint32_t len = m;

    if (m >= 60 && !take(d, (int)m - 59, &len))
        return false;
    uint64_t n = (uint64_t)len + 1, left = (uint64_t)(d->in_end - d->in);
    if (n > (uint64_t)(d->out_end - d->out))
        return false;
    bool whole = n <= left;
    if (!whole)
        n = left;
    if (n)
        memcpy(d->out, d->in, n);
    d->in += n;
    d->out += n;
    return whole;
}

static bool copy(struct decoder *d, uint32_t offset, uint64_t len) {
    uint8_t *out = d->out;

    if (offset == 0 || offset > (uint64_t)(out - d->begin) || len > (uint64_t)(d->out_end - out))
        return false;
    d->last = offset;
    d->out += len;
    /* What lies between from and out has the period of the offset: it doubles with every step. */
    const uint8_t *from = out - offset;
    for (uint64_t dist = offset; len > dist; dist *= 2) {
        memcpy(out, from, dist);
        out += dist;
        len -= dist;
    }
    memcpy(out, from, len);
    return true;
}

static bool repeat(struct decoder *d, uint32_t k) {
    uint32_t n = 0;
    uint64_t len = 4 + k;

    if (k >= 5) {
        static const uint32_t base[] = {8, 260, 65540};
        if (!take(d, (int)k - 4, &n))
            return false;
        len = (uint64_t)n + base[k - 5];
    }
    return d->last && copy(d, d->last, len);
}

/* One element, every length tested. */
static bool element(struct decoder *d) {
    uint8_t tag = *d->in++;
    uint32_t m = tag >> 2, offset;

    switch (tag & 3) {
    case 0:
        return literal(d, m);
    case 1:
        if (!take(d, 1, &offset))
            return false;
        offset |= (uint32_t)(tag & 0xe0) << 3;
        return offset ? copy(d, offset, 4 + (m & 7)) : repeat(d, m & 7);
    case 2:
        return take(d, 2, &offset) && copy(d, offset, m + 1);
    default:
        return take(d, 4, &offset) && copy(d, offset, m + 1);
    }
}

/* At most SHORT bytes from offset bytes back, with SPARE_OUT bytes of room. */
static inline void short_copy(uint8_t *out, uint32_t offset, uint32_t len) {
    const uint8_t *from = out - offset;

    if (offset >= 16) {
        memcpy(out, from, 16);
        for (uint32_t i = 16; i < len; i += 16)
            memcpy(out + i, from + i, 16);
        return;
    }
    /* Widen the period to eight at least, then step by eight. */
    uint8_t *end = out + len;
    while (out - from < 8 && out < end) {
        uint8_t *to = out;
        uint64_t word = js_get64(from);
        out += out - from;
        js_put64(to, word);
    }
    for (; out < end; out += 8, from += 8)
        js_put64(out, js_get64(from));
}

/* Short elements while there is room to be generous. Stops before the first one that is not. */
static void short_elements(struct decoder *d) {
    const uint8_t *in = d->in;
    uint8_t *out = d->out;
    uint32_t last = d->last;

    while (d->in_end - in >= (ptrdiff_t)SPARE_IN && d->out_end - out >= (ptrdiff_t)SPARE_OUT) {
        uint8_t tag = *in;
        uint32_t m = tag >> 2, offset, len = m + 1, size;

        if ((tag & 3) == 0) {
            if (m >= 60)
                break;
            memcpy(out, in + 1, 16);
            if (len > 16) {
                memcpy(out + 16, in + 17, 16);
                memcpy(out + 32, in + 33, 16);
                memcpy(out + 48, in + 49, 16);
            }
            in += 1 + len;
            out += len;
            continue;
        }
        if ((tag & 3) == 2) {
            offset = js_get16(in + 1);
            size = 3;
        } else if ((tag & 3) == 1) {
            offset = (uint32_t)(tag & 0xe0) << 3 | in[1];
            len = 4 + (m & 7);
            size = 2;
            if (offset == 0) {
                if ((m & 7) >= 5)
                    break; /* a repeat with its own length */
                offset = last;
            }
        } else {
            offset = js_get32(in + 1);
            size = 5;
        }
        if (offset == 0 || offset > (size_t)(out - d->begin))
            break;
        short_copy(out, offset, len);
        last = offset;
        in += size;
        out += len;
    }
    d->in = in;
    d->out = out;
    d->last = last;
}

bool js_s2_elements(const uint8_t *in, size_t len, uint8_t *out, size_t out_len, size_t *ret_used,
                    size_t *ret_done) {
    struct decoder d = {
        .in = in, .in_end = in + len, .out = out, .begin = out, .out_end = out + out_len};
    bool good = true;

    while (good && d.in < d.in_end && d.out < d.out_end) {
        short_elements(&d);
        if (d.in < d.in_end && d.out < d.out_end)
            good = element(&d);
    }
    *ret_used = (size_t)(d.in - in);
    *ret_done = (size_t)(d.out - out);
    return good;
}

int js_s2_decode_block(const uint8_t *in, size_t len, uint8_t *out, size_t out_len,
                       size_t *ret_done) {
    size_t used;
    bool good = js_s2_elements(in, len, out, out_len, &used, ret_done);

    return good && used == len && *ret_done == out_len ? 0 : JS_ERR_CORRUPT;
}
