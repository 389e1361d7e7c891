/* SPDX-License-Identifier: Apache-2.0 */
#include "core/format/hash64.h"

#include <sodium.h>
#include <stdio.h>

#include "core/format/hash64_body.h"

static const uint64_t init_mul0[4] = {0xdbe6d5d5fe4cce2full, 0xa4093822299f31d0ull,
                                      0x13198a2e03707344ull, 0x243f6a8885a308d3ull};
static const uint64_t init_mul1[4] = {0x3bd39e10cb0ef593ull, 0xc0acf169b5f18a8cull,
                                      0xbe5466cf34e90c6cull, 0x452821e638d01377ull};

void js_hash_key_init(struct js_hash_key *ret_key, const uint8_t key[32]) {
    for (int i = 0; i < 4; i++) {
        uint64_t k;
        memcpy(&k, key + 8 * i, 8);
        ret_key->mul0[i] = init_mul0[i];
        ret_key->mul1[i] = init_mul1[i];
        ret_key->v0[i] = init_mul0[i] ^ k;
        ret_key->v1[i] = init_mul1[i] ^ ((k >> 32) | (k << 32));
    }
}

void js_hash_key_of_name(struct js_hash_key *ret_key, const char *name, size_t len) {
    uint8_t key[32];

    crypto_hash_sha256(key, (const unsigned char *)name, len);
    js_hash_key_init(ret_key, key);
}

void js_hash_key_of_block(struct js_hash_key *ret_key, const char *stream, uint32_t number) {
    char name[300];
    int n = snprintf(name, sizeof name, "%s-%u", stream, number);

    js_hash_key_of_name(ret_key, name, n < (int)sizeof name ? (size_t)n : sizeof name - 1);
}

/* ---- portable ------------------------------------------------------------------------------ */

static inline uint64_t zipper0(uint64_t v1, uint64_t v0) {
    return (((v0 & 0xff000000ull) | (v1 & 0xff00000000ull)) >> 24) |
           (((v0 & 0xff0000000000ull) | (v1 & 0xff000000000000ull)) >> 16) | (v0 & 0xff0000ull) |
           ((v0 & 0xff00ull) << 32) | ((v1 & 0xff00000000000000ull) >> 8) | (v0 << 56);
}

static inline uint64_t zipper1(uint64_t v1, uint64_t v0) {
    return (((v1 & 0xff000000ull) | (v0 & 0xff00000000ull)) >> 24) | (v1 & 0xff0000ull) |
           ((v1 & 0xff0000000000ull) >> 16) | ((v1 & 0xff00ull) << 24) |
           ((v0 & 0xff000000000000ull) >> 8) | ((v1 & 0xffull) << 48) |
           (v0 & 0xff00000000000000ull);
}

static void update_lanes(struct js_hash_key *s, const uint64_t lanes[4]) {
    for (int i = 0; i < 4; i++) {
        s->v1[i] += s->mul0[i] + lanes[i];
        s->mul0[i] ^= (s->v1[i] & 0xffffffff) * (s->v0[i] >> 32);
        s->v0[i] += s->mul1[i];
        s->mul1[i] ^= (s->v0[i] & 0xffffffff) * (s->v1[i] >> 32);
    }
    for (int i = 0; i < 4; i += 2) {
        s->v0[i] += zipper0(s->v1[i + 1], s->v1[i]);
        s->v0[i + 1] += zipper1(s->v1[i + 1], s->v1[i]);
    }
    for (int i = 0; i < 4; i += 2) {
        s->v1[i] += zipper0(s->v0[i + 1], s->v0[i]);
        s->v1[i + 1] += zipper1(s->v0[i + 1], s->v0[i]);
    }
}

static void portable_init(struct js_hash_key *s, const struct js_hash_key *key) {
    *s = *key;
}

static void portable_update(struct js_hash_key *s, const uint8_t *packet) {
    uint64_t lanes[4];
    memcpy(lanes, packet, 32);
    update_lanes(s, lanes);
}

/* Mixes the length of the rest in, before its packet. */
static void portable_rest(struct js_hash_key *s, size_t n) {
    for (int i = 0; i < 4; i++) {
        uint32_t half0 = (uint32_t)s->v1[i], half1 = (uint32_t)(s->v1[i] >> 32);
        s->v0[i] += ((uint64_t)n << 32) + n;
        half0 = (half0 << n) | (half0 >> (32 - n));
        half1 = (half1 << n) | (half1 >> (32 - n));
        s->v1[i] = half0 | ((uint64_t)half1 << 32);
    }
}

static uint64_t portable_finish(struct js_hash_key *s) {
    for (int round = 0; round < 4; round++) {
        uint64_t p[4];
        for (int i = 0; i < 4; i++) {
            uint64_t v = s->v0[(i + 2) & 3];
            p[i] = (v >> 32) | (v << 32);
        }
        update_lanes(s, p);
    }
    return s->v0[0] + s->v1[0] + s->mul0[0] + s->mul1[0];
}

uint64_t js_hash64_portable(const struct js_hash_key *key, const struct js_span *pieces, int n) {
    JS_HASH_RUN(struct js_hash_key, portable_init, portable_update, portable_rest, portable_finish)
}

/* ---- choice -------------------------------------------------------------------------------- */

/* Those that this CPU can run are asked for anew each time: it reads a table that the C runtime
 * filled at start. */
#if defined(__x86_64__)
#define HAS_SSE41 __builtin_cpu_supports("sse4.1")
#define HAS_AVX2  __builtin_cpu_supports("avx2")
#endif

uint64_t js_hash64(const struct js_hash_key *key, const struct js_span *pieces, int n) {
#if defined(__x86_64__)
    if (__builtin_expect(HAS_AVX2, 1))
        return js_hash64_avx2(key, pieces, n);
    if (HAS_SSE41)
        return js_hash64_sse41(key, pieces, n);
#endif
    return js_hash64_portable(key, pieces, n);
}

void js_hash64_two(const struct js_hash_key *key, const struct js_hash_text text[2],
                   uint64_t ret_digests[2]) {
#if defined(__x86_64__)
    if (__builtin_expect(HAS_AVX2, 1)) {
        js_hash64_two_avx2(key, text, ret_digests);
        return;
    }
#endif
    for (int i = 0; i < 2; i++) {
        struct js_span pieces[2] = {{text[i].head, 16}, {text[i].body, text[i].body_len}};
        ret_digests[i] = js_hash64(key, pieces, 2);
    }
}

const char *const *js_hash64_impls(void) {
    /* Each level has those before it. */
    static const char *const best_first[] = {"avx2", "sse41", "portable", NULL};

#if defined(__x86_64__)
    if (HAS_AVX2)
        return best_first;
    if (HAS_SSE41)
        return best_first + 1;
#endif
    return best_first + 2;
}

uint64_t js_hash64_by(const char *impl, const struct js_hash_key *key,
                      const struct js_span *pieces, int n) {
#if defined(__x86_64__)
    if (strcmp(impl, "avx2") == 0)
        return js_hash64_avx2(key, pieces, n);
    if (strcmp(impl, "sse41") == 0)
        return js_hash64_sse41(key, pieces, n);
#endif
    (void)impl;
    return js_hash64_portable(key, pieces, n);
}

void js_hash64_hex(uint64_t digest, char ret_hex[17]) {
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < 8; i++) {
        unsigned b = (unsigned)(digest >> (8 * i)) & 0xff;
        ret_hex[2 * i] = digits[b >> 4];
        ret_hex[2 * i + 1] = digits[b & 15];
    }
    ret_hex[16] = 0;
}
