/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making and replacing block files. rewrite is the only way in which a file N.blk changes but for
 * appends: the new content is written to N.new, synced, and renamed; the directory is synced. A crash
 * leaves the old file or the new one. What lives is the same before and after, except where the caller
 * asks for less.
 */
#ifndef JS_BLOCK_FILE_H
#define JS_BLOCK_FILE_H

#include "core/stream/stream.h"

struct js_writer;

/* Makes and writes N.key for a new block of an encrypted stream. */
int js_block_key_make(struct js_stream *s, uint32_t number, struct js_block_key **ret_key);
/* Takes that back (key may be NULL: nothing happens). */
void js_block_key_drop(struct js_stream *s, uint32_t number, struct js_block_key *key);

struct js_rewrite {
    bool drop_dead;        /* only live messages stay, and the tombstones that are needed */
    bool cut;              /* nothing above cut_seq stays */
    js_seq_t cut_seq;
    js_seq_t below;        /* nothing older stays: the caller takes it out of the index next; 0 = none */
    js_seq_t erase;        /* this message's record becomes an erased one; 0 = none */
    const struct js_tomb *tombs; /* added at the end */
    size_t num_tombs;
    char compression;      /* 'n', 's' (S2), 'l' (LZ4) */
    bool quarantine;       /* the old file stays as quarantine/N.blk.TIME */
};
/* Rewrites the file of blocks[index]; the writer must not hold it. CORRUPT, and stream->unmended: there is damage
 * in it that nobody knew of; it stays (unless it is kept in quarantine/). *ret_freed (may be NULL): bytes that
 * the file lost. */
int js_block_rewrite(struct js_stream *s, size_t index, const struct js_rewrite *how,
                     int64_t *ret_freed);
/* The form of a block on disk: compressed (unless 'n'), then encrypted with key (NULL: plain). */
int js_block_encode(struct js_stream *s, const struct js_buf *plain, char compression,
                    const struct js_block_key *key, struct js_buf *out);
/* Reads a block that only index.db told of, so that it is known like one that was scanned (its slots are in
 * memory then); nothing happens to others. NO_ENTRY: it is damaged or of another form. */
int js_block_look(struct js_stream *s, size_t index);
/* Rewrites a block that lost more than half of its bytes, if that is much (blocks_pass.c). */
int js_compact_inline(struct js_stream *s, size_t index);
/* Compresses blocks that were rolled since; lock held for writing (blocks_pass.c). */
int js_stream_compress_sealed(struct js_stream *s, struct js_writer *w);
bool js_stream_wants_compression(const struct js_stream *s);
/* Gives every block but the newest the form that the configuration wants, without what is dead. */
int js_stream_recompress_blocks(struct js_stream *stream, uint64_t *ret_freed);
/* Keeps a file of msgs/ under quarantine/ (a second name; the first stays). */
int js_quarantine(struct js_stream *s, const char *name);
/* The compression that blocks of the stream are to have: 'n', 's', 'l'. */
char js_stream_compression(const struct js_stream *s);

#endif
