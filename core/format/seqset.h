/* SPDX-License-Identifier: Apache-2.0 */
/* Set of sequences (deleted ones), and its encoding in index.db (docs/disk-format.md "Sequence
 * sets"). Memory is bounded by members, not by the range. */
#ifndef JS_SEQSET_H
#define JS_SEQSET_H

#include "core/base/buf.h"
#include "core/base/bytes.h"
#include "core/jetstore.h"

struct js_seqset_node {
    uint64_t base; /* multiple of 2048 */
    uint64_t bits[32];
};

/* Sorted array of nodes; appending at the end is O(1), in the middle O(nodes). */
struct js_seqset {
    const struct js_env *env;
    struct js_seqset_node *nodes;
    size_t count;
    size_t cap;
    uint64_t members;
};

void js_seqset_init(struct js_seqset *set, const struct js_env *env);
void js_seqset_done(struct js_seqset *set);
/* 1 added, 0 was there, or JS_ERR_NOMEM. */
int js_seqset_add(struct js_seqset *set, uint64_t seq);
/* True if it was there. */
bool js_seqset_remove(struct js_seqset *set, uint64_t seq);
bool js_seqset_has(const struct js_seqset *set, uint64_t seq);
/* Smallest member >= seq; false if none. */
bool js_seqset_next(const struct js_seqset *set, uint64_t seq, uint64_t *ret_seq);
/* Reads versions 1 and 2; node counts are checked against what is left to read. CORRUPT. */
int js_seqset_decode(struct js_reader *r, struct js_seqset *ret_set);
/* Version 2, a balanced tree in pre-order. */
void js_seqset_encode(const struct js_seqset *set, struct js_buf *out);

#endif
