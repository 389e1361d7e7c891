/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC-32C (Castagnoli, reflected), as chunks of S2 streams store it. Both ways take eight bytes a
 * step: the CPU's instruction where there is one, else eight tables of 256 entries, which are made
 * at first use.
 */
#include <pthread.h>

#include "core/base/bytes.h"
#include "core/format/s2_chunk.h"

#define POLYNOMIAL 0x82f63b78u

static uint32_t table[8][256];
static pthread_once_t table_made = PTHREAD_ONCE_INIT;

/* table[k][b]: what byte b gives when k zero bytes follow it. */
static void make_table(void) {
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t c = b;
        for (int i = 0; i < 8; i++)
            c = c & 1 ? (c >> 1) ^ POLYNOMIAL : c >> 1;
        table[0][b] = c;
    }
    for (int k = 1; k < 8; k++)
        for (uint32_t b = 0; b < 256; b++)
            table[k][b] = (table[k - 1][b] >> 8) ^ table[0][table[k - 1][b] & 0xff];
}

uint32_t js_crc32c_portable(uint32_t c, const uint8_t *p, size_t len) {
    (void)pthread_once(&table_made, make_table);
    for (; len >= 8; p += 8, len -= 8) {
        uint32_t a = js_get32(p) ^ c, b = js_get32(p + 4);
        c = table[7][a & 0xff] ^ table[6][(a >> 8) & 0xff] ^ table[5][(a >> 16) & 0xff] ^
            table[4][a >> 24] ^ table[3][b & 0xff] ^ table[2][(b >> 8) & 0xff] ^
            table[1][(b >> 16) & 0xff] ^ table[0][b >> 24];
    }
    for (; len; p++, len--)
        c = (c >> 8) ^ table[0][(c ^ *p) & 0xff];
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

__attribute__((target("sse4.2"))) static size_t until_sse42(uint32_t *c, uint32_t want,
                                                            const uint8_t *p, size_t len) {
    for (size_t i = 0; i < len; i++) {
        *c = __builtin_ia32_crc32qi(*c, p[i]);
        if (*c == want)
            return i + 1;
    }
    return 0;
}
#endif

size_t js_crc32c_until(uint32_t *c, uint32_t want, const uint8_t *p, size_t len) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return until_sse42(c, want, p, len);
#endif
    (void)pthread_once(&table_made, make_table);
    for (size_t i = 0; i < len; i++) {
        *c = (*c >> 8) ^ table[0][(*c ^ p[i]) & 0xff];
        if (*c == want)
            return i + 1;
    }
    return 0;
}

uint32_t js_crc32c(uint32_t c, const uint8_t *p, size_t len) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return crc_sse42(c, p, len);
#endif
    return js_crc32c_portable(c, p, len);
}

uint32_t js_s2_mask(uint32_t crc) {
    crc = ~crc;
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

uint32_t js_s2_unmask(uint32_t masked) {
    masked -= 0xa282ead8u;
    return ~((masked << 15) | (masked >> 17));
}

uint32_t js_s2_crc(const uint8_t *p, size_t len) {
    return js_s2_mask(js_crc32c(~0u, p, len));
}

uint32_t js_s2_crc_portable(const uint8_t *p, size_t len) {
    return js_s2_mask(js_crc32c_portable(~0u, p, len));
}
