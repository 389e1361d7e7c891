/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shape of HighwayHash-64 that all implementations share: whole packets of 32 bytes are taken
 * where they lie, only those that straddle pieces are gathered. Included once per implementation,
 * which gives the type of its state and INIT(state, key), UPDATE(state, packet), REST(state,
 * length) and FINISH(state).
 */
#ifndef JS_HASH64_BODY_H
#define JS_HASH64_BODY_H

#include <string.h>

#include "core/format/hash64.h"

/* Packs the last 1..31 bytes as the reference does: whole words first, then three spread bytes. */
static inline void js_hash_pack_rest(const uint8_t *rest, size_t n, uint8_t packet[32]) {
    size_t mod4 = n & 3, whole = n & ~(size_t)3;

    memset(packet, 0, 32);
    memcpy(packet, rest, whole);
    if (n & 16) {
        for (int i = 0; i < 4; i++)
            packet[28 + i] = rest[whole + (size_t)i + mod4 - 4];
    } else if (mod4) {
        packet[16] = rest[whole];
        packet[17] = rest[whole + (mod4 >> 1)];
        packet[18] = rest[whole + mod4 - 1];
    }
}

#define JS_HASH_RUN(STATE, INIT, UPDATE, REST, FINISH)                                             \
    STATE st;                                                                                      \
    uint8_t gather[32];                                                                            \
    size_t held = 0;                                                                               \
    INIT(&st, key);                                                                                \
    for (int i = 0; i < n; i++) {                                                                  \
        const uint8_t *p = pieces[i].p;                                                            \
        size_t len = pieces[i].len;                                                                \
        if (held) {                                                                                \
            size_t take = 32 - held < len ? 32 - held : len;                                       \
            if (take)                                                                              \
                memcpy(gather + held, p, take);                                                    \
            held += take;                                                                          \
            p += take;                                                                             \
            len -= take;                                                                           \
            if (held < 32)                                                                         \
                continue;                                                                          \
            UPDATE(&st, gather);                                                                   \
            held = 0;                                                                              \
        }                                                                                          \
        for (; len >= 32; p += 32, len -= 32)                                                      \
            UPDATE(&st, p);                                                                        \
        if (len)                                                                                   \
            memcpy(gather, p, len);                                                                \
        held = len;                                                                                \
    }                                                                                              \
    if (held) {                                                                                    \
        uint8_t packet[32];                                                                        \
        js_hash_pack_rest(gather, held, packet);                                                   \
        REST(&st, held);                                                                           \
        UPDATE(&st, packet);                                                                       \
    }                                                                                              \
    return FINISH(&st);

typedef uint64_t js_hash_impl(const struct js_hash_key *key, const struct js_span *pieces, int n);
js_hash_impl js_hash64_portable;
js_hash_impl js_hash64_sse41;
js_hash_impl js_hash64_avx2;
void js_hash64_two_avx2(const struct js_hash_key *key, const struct js_hash_text text[2],
                        uint64_t ret_digests[2]);

#endif
