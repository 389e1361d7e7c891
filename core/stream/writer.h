/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writing end of a stream: the block that is appended to, what is not yet on disk, and the
 * sticky error. Records are encoded into one buffer and written with one call per batch; the index
 * learns of them only after the write succeeded. A write that fails is undone by cutting the file
 * back to where it was (only what this call added); if that fails too, or a sync fails, the stream
 * is read-only until it is opened again.
 *
 * A block that is damaged, torn, compressed or not readable is never appended to: a new one is
 * begun behind it.
 */
#ifndef JS_WRITER_H
#define JS_WRITER_H

#include "core/stream/stream.h"

/* A record in the buffer that the index does not know yet. */
struct js_pending_rec {
    uint32_t off;     /* in the block */
    uint32_t buf_off; /* in the buffer */
    size_t msg;       /* index in the caller's array; SIZE_MAX for tombstones */
};

struct js_writer {
    int fd;                 /* of the last block; -1 = not open */
    struct js_block *block; /* the one fd belongs to */
    uint64_t length;        /* of the file */
    uint64_t limit;         /* block size at which a new one is begun */
    struct js_buf buf;
    struct js_pending_rec *recs;
    size_t num_recs, cap_recs;
    bool dirty;      /* data not synced */
    bool dir_dirty;  /* a block was created and msgs/ not synced */
    bool changed;    /* index.db is out of date */
    js_time_t since; /* wall clock of the oldest write not synced */
    js_time_t last_stamp; /* times given out never go back */
};

/* Opens the writer (lock held for writing): locks nothing, creates nothing yet. READ_ONLY,
 * WRITE_FAILED, UNSUPPORTED. */
int js_writer_open(struct js_stream *stream, struct js_writer **ret_writer);
void js_writer_free(struct js_stream *stream);

/* True if a record of this size must wait for the buffer to be written (full, or the block ends). */
bool js_writer_full(const struct js_writer *w, uint32_t need);
/* Puts a record into the buffer, beginning a new block if it does not fit (js_writer_full() was
 * asked before). */
int js_writer_put(struct js_stream *stream, struct js_writer *w, uint64_t seq_and_flags,
                  js_time_t time, const struct js_new_msg *msg, size_t index);
/* Writes the buffer and tells the index. *ret_done counts the caller's messages that are stored
 * now (added to it). */
int js_writer_flush(struct js_stream *stream, struct js_writer *w, const struct js_new_msg *msgs,
                    size_t *ret_done);
/* Syncs data and directory. WRITE_FAILED is sticky. */
int js_writer_sync(struct js_stream *stream, struct js_writer *w);
/* Makes the stream read-only until reopened; returns err. */
int js_stream_fail_writes(struct js_stream *stream, int err);

/* ---- append.c ---------------------------------------------------------------------------------- */

/* Syncs, writes index.db if it is out of date, and lets go of the block. First error. */
int js_stream_finish(struct js_stream *stream);
/* When a sync becomes due (wall clock), 0 = none. */
js_time_t js_stream_deadline(struct js_stream *stream);

/* ---- index_write.c ------------------------------------------------------------------------------ */

/* Writes index.db (version 1) for the state as it is, atomically. lock held. A stream with damage
 * gets none: the index would turn what is lost into deletions. */
int js_stream_write_index(struct js_stream *stream);

#endif
