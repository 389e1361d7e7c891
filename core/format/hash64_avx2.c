/* SPDX-License-Identifier: Apache-2.0 */
/* HighwayHash-64 with AVX2: the four lanes of each state vector in one register. Compiled for the
 * target by attribute and only called when the CPU has it. */
#if defined(__x86_64__)

#include <immintrin.h>

#include "core/format/hash64_body.h"

#define AVX2 __attribute__((target("avx2")))

struct avx_state {
    __m256i v0, v1, mul0, mul1;
};

AVX2 static inline void avx_init(struct avx_state *s, const struct js_hash_key *key) {
    s->v0 = _mm256_loadu_si256((const __m256i *)key->v0);
    s->v1 = _mm256_loadu_si256((const __m256i *)key->v1);
    s->mul0 = _mm256_loadu_si256((const __m256i *)key->mul0);
    s->mul1 = _mm256_loadu_si256((const __m256i *)key->mul1);
}

AVX2 static inline __m256i zipper(__m256i v) {
    const __m256i order =
        _mm256_set_epi64x(0x070806090d0a040bll, 0x000f010e05020c03ll, 0x070806090d0a040bll,
                          0x000f010e05020c03ll);
    return _mm256_shuffle_epi8(v, order);
}

AVX2 static inline void mix(struct avx_state *s, __m256i lanes) {
    s->v1 = _mm256_add_epi64(s->v1, _mm256_add_epi64(s->mul0, lanes));
    s->mul0 = _mm256_xor_si256(s->mul0, _mm256_mul_epu32(s->v1, _mm256_srli_epi64(s->v0, 32)));
    s->v0 = _mm256_add_epi64(s->v0, s->mul1);
    s->mul1 = _mm256_xor_si256(s->mul1, _mm256_mul_epu32(s->v0, _mm256_srli_epi64(s->v1, 32)));
    s->v0 = _mm256_add_epi64(s->v0, zipper(s->v1));
    s->v1 = _mm256_add_epi64(s->v1, zipper(s->v0));
}

AVX2 static inline void avx_update(struct avx_state *s, const uint8_t *packet) {
    mix(s, _mm256_loadu_si256((const __m256i *)packet));
}

AVX2 static inline void avx_rest(struct avx_state *s, size_t n) {
    const __m256i size = _mm256_set1_epi32((int)n);
    const __m128i left = _mm_cvtsi32_si128((int)n), right = _mm_cvtsi32_si128(32 - (int)n);

    s->v0 = _mm256_add_epi64(s->v0, size);
    s->v1 = _mm256_or_si256(_mm256_sll_epi32(s->v1, left), _mm256_srl_epi32(s->v1, right));
}

AVX2 static inline uint64_t sum_of(const struct avx_state *s) {
    __m256i sum = _mm256_add_epi64(_mm256_add_epi64(s->v0, s->v1),
                                   _mm256_add_epi64(s->mul0, s->mul1));
    return (uint64_t)_mm256_extract_epi64(sum, 0);
}

/* Lanes 2,3,0,1 with their halves exchanged. */
AVX2 static inline void permute(struct avx_state *s) {
    mix(s, _mm256_shuffle_epi32(_mm256_permute4x64_epi64(s->v0, 0x4e), 0xb1));
}

AVX2 static inline uint64_t avx_finish(struct avx_state *s) {
    for (int i = 0; i < 4; i++)
        permute(s);
    return sum_of(s);
}

AVX2 uint64_t js_hash64_avx2(const struct js_hash_key *key, const struct js_span *pieces, int n) {
    JS_HASH_RUN(struct avx_state, avx_init, avx_update, avx_rest, avx_finish)
}

/* ---- two at once ------------------------------------------------------------------------------- */

/* The packet of the last n bytes (1..31) at p, as js_hash_pack_rest makes it. */
AVX2 static inline __m256i load_rest(const uint8_t *p, size_t n) {
    const __m128i lanes = _mm_set_epi32(3, 2, 1, 0);
    const __m128i words = _mm_cmpgt_epi32(_mm_set1_epi32((int)(n & 15) / 4), lanes);
    const uint8_t *last = p + (n & ~(size_t)3);
    __m128i low, high;

    if (n & 16) {
        uint32_t tail;
        memcpy(&tail, p + n - 4, 4);
        low = _mm_loadu_si128((const __m128i *)p);
        high = _mm_maskload_epi32((const int *)(const void *)(p + 16), words);
        high = _mm_insert_epi32(high, (int)tail, 3);
    } else {
        uint32_t tail = 0;
        low = _mm_maskload_epi32((const int *)(const void *)p, words);
        if (n & 3)
            tail = last[0] | (uint32_t)last[(n & 3) >> 1] << 8 | (uint32_t)last[(n & 3) - 1] << 16;
        high = _mm_cvtsi32_si128((int)tail);
    }
    return _mm256_set_m128i(high, low);
}

/* What is left of a text behind its whole packets. */
AVX2 static inline void take_rest(struct avx_state *s, const uint8_t *p, size_t n) {
    for (; n >= 32; p += 32, n -= 32)
        avx_update(s, p);
    if (n == 0)
        return;
    avx_rest(s, n);
    mix(s, load_rest(p, n));
}

AVX2 static inline __m256i first_packet(const struct js_hash_text *t) {
    return _mm256_set_m128i(_mm_loadu_si128((const __m128i *)t->body),
                            _mm_loadu_si128((const __m128i *)t->head));
}

AVX2 void js_hash64_two_avx2(const struct js_hash_key *key, const struct js_hash_text text[2],
                             uint64_t ret_digests[2]) {
    struct avx_state a, b;
    const uint8_t *p = text[0].body + 16, *q = text[1].body + 16;
    size_t n = text[0].body_len - 16, m = text[1].body_len - 16;

    avx_init(&a, key);
    b = a;
    mix(&a, first_packet(&text[0]));
    mix(&b, first_packet(&text[1]));
    for (; n >= 32 && m >= 32; p += 32, q += 32, n -= 32, m -= 32) {
        avx_update(&a, p);
        avx_update(&b, q);
    }
    take_rest(&a, p, n);
    take_rest(&b, q, m);
    for (int i = 0; i < 4; i++) {
        permute(&a);
        permute(&b);
    }
    ret_digests[0] = sum_of(&a);
    ret_digests[1] = sum_of(&b);
}

#else
typedef int js_hash64_avx2_is_not_built;
#endif
