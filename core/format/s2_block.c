/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One S2 block: elements by the two low bits of the tag (m = tag >> 2):
 *
 *   0  literal: m + 1 bytes; m 60..63: the length - 1 stands in 1..4 bytes
 *   1  copy: offset (tag & 0xe0) << 3 | byte, length 4 + (m & 7); offset 0 repeats the last offset:
 *      k = m & 7: 4 + k, or byte + 8 (5), u16 + 260 (6), u24 + 65540 (7)
 *   2  copy: length m + 1, offset u16
 *   3  copy: length m + 1, offset u32
 */
#include <string.h>

#include "core/base/bytes.h"
#include "core/format/s2.h"

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
    uint64_t n = (uint64_t)len + 1;
    if (n > (uint64_t)(d->in_end - d->in) || n > (uint64_t)(d->out_end - d->out))
        return false;
    memcpy(d->out, d->in, n);
    d->in += n;
    d->out += n;
    return true;
}

static bool copy(struct decoder *d, uint32_t offset, uint64_t len) {
    uint8_t *out = d->out;

    if (offset == 0 || offset > (uint64_t)(out - d->begin) || len > (uint64_t)(d->out_end - out))
        return false;
    d->last = offset;
    const uint8_t *from = out - offset;
    if (offset >= len) {
        memcpy(out, from, len);
    } else if (offset >= 8) {
        /* Overlapping, but never within eight bytes. */
        uint64_t i = 0;
        for (; i + 8 <= len; i += 8)
            memcpy(out + i, from + i, 8);
        for (; i < len; i++)
            out[i] = from[i];
    } else {
        for (uint64_t i = 0; i < len; i++)
            out[i] = from[i];
    }
    d->out += len;
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

int js_s2_decode_block(const uint8_t *in, size_t len, uint8_t *out, size_t out_len,
                       size_t *ret_done) {
    struct decoder d = {
        .in = in, .in_end = in + len, .out = out, .begin = out, .out_end = out + out_len};
    bool good = true;

    while (good && d.in < d.in_end)
        good = element(&d);
    *ret_done = (size_t)(d.out - out);
    return good && d.out == d.out_end ? 0 : JS_ERR_CORRUPT;
}
