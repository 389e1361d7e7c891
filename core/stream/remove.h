/* SPDX-License-Identifier: Apache-2.0 */
/* Taking messages out of a stream; lock held for writing (docs/write-design.md "Removal"). */
#ifndef JS_REMOVE_H
#define JS_REMOVE_H

#include "core/stream/writer.h"

/* What left the stream during one call, for the callback after it. */
struct js_gone {
    uint64_t msgs, bytes;
    js_seq_t seq; /* of the only one */
    bool tell;    /* even if nothing left */
};

/* Takes the message in a slot out of the index; its tombstone, if it needs one, is in the buffer. */
int js_take_out(struct js_stream *s, struct js_writer *w, size_t index, js_seq_t seq,
                struct js_gone *gone);
/* Removes the oldest live message of a subject, or of the stream (JS_NO_ID), because of a limit. 1,
 * or 0 if there is none. */
int js_remove_oldest(struct js_stream *s, struct js_writer *w, uint32_t sid, struct js_gone *gone);
/* Tombstone and removal of one live message at seq: 1, 0 if it is not there. */
int js_remove_seq(struct js_stream *s, struct js_writer *w, js_seq_t seq, struct js_gone *gone);
/* The same for many, ascending: all tombstones first. tombstones false: as limits remove. An error: those
 * whose tombstone is written are gone, the others are there. */
int js_remove_seqs(struct js_stream *s, struct js_writer *w, const js_seq_t *seqs, size_t n,
                   bool tombstones, struct js_gone *gone);
/* Takes all messages of a block out at once (it stays in the list, empty). */
int js_drop_block_msgs(struct js_stream *s, size_t index, struct js_gone *gone);
/* A stream that is empty ends as servers leave one: with a single record, which tells where its sequences
 * stand. Without index.db 2.10 believes the lowest tombstone of the last block. */
int js_tidy_empty(struct js_stream *s, struct js_writer *w);
/* Lets empty blocks go that nothing needs; their files are unlinked at the next sync. */
int js_retire_empty(struct js_stream *s, struct js_writer *w);
/* Makes js_stream_bury() sure to succeed so many times. */
int js_graves_reserve(struct js_stream *s, size_t more);
/* FirstSeq after removals. */
void js_move_first(struct js_stream *s);
/* Ends a writing call like js_stream_end_write, then tells what left. */
int js_stream_end_removal(struct js_stream *s, int r, struct js_gone *gone);

/* ---- purge.c ----------------------------------------------------------------------------------- */

int js_purge_all(struct js_stream *s, struct js_writer *w, struct js_gone *gone);
int js_purge_matching(struct js_stream *s, struct js_writer *w, const char *filter, size_t len,
                      js_seq_t below, uint64_t keep, struct js_gone *gone);
int js_compact_to(struct js_stream *s, struct js_writer *w, js_seq_t seq, struct js_gone *gone);

/* js_stream_remove_msg() for messages that consumers are done with: deny_delete does not matter. Takes
 * the lock itself. */
int js_stream_remove_acked(struct js_stream *stream, js_seq_t seq);

#endif
