/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HighwayHash-64 (format.md 2.4), keyed, over one or more pieces without joining them. The fastest
 * implementation for this CPU is chosen at run time; all give the same digest.
 */
#ifndef JS_HASH64_H
#define JS_HASH64_H

#include <stddef.h>
#include <stdint.h>

struct js_span {
    const uint8_t *p;
    size_t len;
};

/* A key, prepared once and used for many digests (4 lanes each of v0, v1, mul0, mul1). */
struct js_hash_key {
    uint64_t v0[4], v1[4], mul0[4], mul1[4];
};

void js_hash_key_init(struct js_hash_key *ret_key, const uint8_t key[32]);
/* Key = SHA-256 of a name (format.md 1.1). */
void js_hash_key_of_name(struct js_hash_key *ret_key, const char *name, size_t len);
/* "<stream>-<number>": the key of a block's records. */
void js_hash_key_of_block(struct js_hash_key *ret_key, const char *stream, uint32_t number);

/* The digest; stored on disk as 8 bytes little-endian. */
uint64_t js_hash64(const struct js_hash_key *key, const struct js_span *pieces, int n);

static inline uint64_t js_hash64_one(const struct js_hash_key *key, const void *p, size_t len) {
    struct js_span s = {.p = p, .len = len};
    return js_hash64(key, &s, 1);
}

/* A text in two pieces: 16 bytes, and at least 16 more. */
struct js_hash_text {
    const uint8_t *head, *body;
    size_t body_len;
};
/* The digests of two texts, whose computations run side by side where the CPU can do that: one alone
 * mostly waits for its own results. */
void js_hash64_two(const struct js_hash_key *key, const struct js_hash_text text[2],
                   uint64_t ret_digests[2]);

/* For tests: names of the implementations this CPU can run ("avx2", "sse41", "portable", the one in
 * use first), and a digest by one of them. */
const char *const *js_hash64_impls(void); /* NULL-terminated */
uint64_t js_hash64_by(const char *impl, const struct js_hash_key *key,
                      const struct js_span *pieces, int n);

/* 16 lower-case hex digits of the digest's bytes as stored, NUL terminated (meta.sum). */
void js_hash64_hex(uint64_t digest, char ret_hex[17]);

#endif
