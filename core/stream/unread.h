/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening by index.db: the blocks that it describes become cold blocks that nobody has read
 * (core/stream/cold.h), its subjects get their numbers of messages, and only what came later is read
 * from blocks. When the index turns out not to fit, everything is read (JS_NEED_SCAN).
 */
#ifndef JS_UNREAD_H
#define JS_UNREAD_H

#include "core/stream/stream.h"

/* How the index is used for this opening. */
struct index_use {
    bool speaks;     /* its deletions hold for the blocks that it lists */
    size_t upto_rec; /* in its last block: records before this one */
    bool cut;        /* the last block ends before what the index knew */
    js_seq_t floor;  /* LastSeq never goes below */
    js_time_t floor_time;
};

/* The entry of a block, or NULL. */
const struct js_index_block *js_index_entry(const struct js_index_db *index, uint32_t number);

/*
 * Adds the blocks among numbers (ascending, those on disk) that a trusted index describes: all up
 * to its last one if it is fresh, else all before that. *ret_taken of the numbers are dealt with; 0
 * when the index cannot serve for this. NEED_SCAN, NOMEM.
 */
int js_unread_add(struct js_stream *stream, const uint32_t *numbers, size_t count,
                  size_t *ret_taken);
/* After the rest was read: does it agree with the index? NEED_SCAN if not. */
int js_unread_check(struct js_stream *stream);
/* True if the index's first message is still the first one. */
bool js_unread_knows_first(const struct js_stream *stream);

#endif
