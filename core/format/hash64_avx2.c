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

AVX2 static inline uint64_t avx_finish(struct avx_state *s) {
    for (int i = 0; i < 4; i++) {
        /* Lanes 2,3,0,1 with their halves exchanged. */
        const __m256i swap = _mm256_permute4x64_epi64(s->v0, 0x4e);
        mix(s, _mm256_shuffle_epi32(swap, 0xb1));
    }
    __m256i sum = _mm256_add_epi64(_mm256_add_epi64(s->v0, s->v1),
                                   _mm256_add_epi64(s->mul0, s->mul1));
    return (uint64_t)_mm256_extract_epi64(sum, 0);
}

AVX2 uint64_t js_hash64_avx2(const struct js_hash_key *key, const struct js_span *pieces, int n) {
    JS_HASH_RUN(struct avx_state, avx_init, avx_update, avx_rest, avx_finish)
}

#else
typedef int js_hash64_avx2_is_not_built;
#endif
