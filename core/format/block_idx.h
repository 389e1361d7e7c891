/* SPDX-License-Identifier: Apache-2.0 */
/* N.idx and N.fss, written beside blocks by nats-server 2.9 (docs/disk-format.md "N.idx"). */
#ifndef JS_BLOCK_IDX_H
#define JS_BLOCK_IDX_H

#include "core/format/seqset.h"

struct js_block_idx {
    uint64_t msgs, bytes;
    js_seq_t first_seq, last_seq;
    js_time_t first_time, last_time;
    uint8_t last_sum[8];
    struct js_seqset deleted;
};

/* Plaintext of N.idx, version 1 or 2. CORRUPT also when the counts do not agree. */
int js_block_idx_decode(const struct js_env *env, const uint8_t *in, size_t len,
                        struct js_block_idx *ret_idx);
void js_block_idx_done(struct js_block_idx *idx);
/* Version 1. */
int js_block_idx_encode(const struct js_block_idx *idx, struct js_buf *out);

/* N.fss: checks the hash with the block's key (core/format/hash64.h) and the structure; 0 or
 * CORRUPT. Its content is a cache that we do not need. */
struct js_hash_key;
int js_block_fss_check(const uint8_t *in, size_t len, const struct js_hash_key *key);

#endif
