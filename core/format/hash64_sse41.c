/* SPDX-License-Identifier: Apache-2.0 */
/* HighwayHash-64 with SSE4.1: the four lanes of each state vector in two registers. Compiled for
 * the target by attribute and only called when the CPU has it. */
#if defined(__x86_64__)

#include <smmintrin.h>

#include "core/format/hash64_body.h"

#define SSE41 __attribute__((target("sse4.1")))

/* Lanes 0, 1 and lanes 2, 3. */
struct sse_pair {
    __m128i lo, hi;
};

struct sse_state {
    struct sse_pair v0, v1, mul0, mul1;
};

SSE41 static inline struct sse_pair load(const void *p) {
    const __m128i *words = p;
    struct sse_pair pair = {_mm_loadu_si128(words), _mm_loadu_si128(words + 1)};
    return pair;
}

SSE41 static inline void sse_init(struct sse_state *s, const struct js_hash_key *key) {
    s->v0 = load(key->v0);
    s->v1 = load(key->v1);
    s->mul0 = load(key->mul0);
    s->mul1 = load(key->mul1);
}

SSE41 static inline __m128i zipper(__m128i v) {
    return _mm_shuffle_epi8(v, _mm_set_epi64x(0x070806090d0a040bll, 0x000f010e05020c03ll));
}

/* One half: no lane meets one of the other half but in sse_finish. */
SSE41 static inline void mix(__m128i *v0, __m128i *v1, __m128i *mul0, __m128i *mul1,
                             __m128i lanes) {
    *v1 = _mm_add_epi64(*v1, _mm_add_epi64(*mul0, lanes));
    *mul0 = _mm_xor_si128(*mul0, _mm_mul_epu32(*v1, _mm_srli_epi64(*v0, 32)));
    *v0 = _mm_add_epi64(*v0, *mul1);
    *mul1 = _mm_xor_si128(*mul1, _mm_mul_epu32(*v0, _mm_srli_epi64(*v1, 32)));
    *v0 = _mm_add_epi64(*v0, zipper(*v1));
    *v1 = _mm_add_epi64(*v1, zipper(*v0));
}

SSE41 static inline void mix_both(struct sse_state *s, __m128i lo, __m128i hi) {
    mix(&s->v0.lo, &s->v1.lo, &s->mul0.lo, &s->mul1.lo, lo);
    mix(&s->v0.hi, &s->v1.hi, &s->mul0.hi, &s->mul1.hi, hi);
}

SSE41 static inline void sse_update(struct sse_state *s, const uint8_t *packet) {
    const struct sse_pair lanes = load(packet);
    mix_both(s, lanes.lo, lanes.hi);
}

SSE41 static inline __m128i rotate(__m128i v, __m128i left, __m128i right) {
    return _mm_or_si128(_mm_sll_epi32(v, left), _mm_srl_epi32(v, right));
}

SSE41 static inline void sse_rest(struct sse_state *s, size_t n) {
    const __m128i size = _mm_set1_epi32((int)n);
    const __m128i left = _mm_cvtsi32_si128((int)n), right = _mm_cvtsi32_si128(32 - (int)n);

    s->v0.lo = _mm_add_epi64(s->v0.lo, size);
    s->v0.hi = _mm_add_epi64(s->v0.hi, size);
    s->v1.lo = rotate(s->v1.lo, left, right);
    s->v1.hi = rotate(s->v1.hi, left, right);
}

SSE41 static inline uint64_t sse_finish(struct sse_state *s) {
    for (int i = 0; i < 4; i++) {
        /* Lanes 2,3,0,1 with their halves exchanged. */
        const __m128i lo = _mm_shuffle_epi32(s->v0.hi, 0xb1);
        mix_both(s, lo, _mm_shuffle_epi32(s->v0.lo, 0xb1));
    }
    const __m128i sum = _mm_add_epi64(_mm_add_epi64(s->v0.lo, s->v1.lo),
                                      _mm_add_epi64(s->mul0.lo, s->mul1.lo));
    return (uint64_t)_mm_cvtsi128_si64(sum);
}

SSE41 uint64_t js_hash64_sse41(const struct js_hash_key *key, const struct js_span *pieces, int n) {
    JS_HASH_RUN(struct sse_state, sse_init, sse_update, sse_rest, sse_finish)
}

#else
typedef int js_hash64_sse41_is_not_built;
#endif
