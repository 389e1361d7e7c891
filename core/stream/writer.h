/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writing end of a stream (docs/write-design.md): the block that is appended to, what is not yet
 * in its file, what is not yet on disk, and the sticky error.
 *
 * A record is encoded into the buffer and told to the index at once; who reads it before it is in the
 * file gets it from the buffer. A write that fails is undone: the file is cut back, and the index
 * forgets the buffer's records. If callers were told already that their messages are stored
 * (asynchronous flush) they stay in the buffer, and the write is tried again. If the file cannot be cut
 * back, or if a sync fails, the stream is read-only until it is opened again.
 *
 * A block that is damaged, torn, compressed or not readable is never appended to: a new one is begun
 * behind it.
 *
 * Everything here needs the stream's lock for writing, but js_sync_wait.
 */
#ifndef JS_WRITER_H
#define JS_WRITER_H

#include "core/stream/stream.h"

/* A descriptor that a sync may still need when the writer is done with it. */
struct js_wfile {
    atomic_uint refs;
    int fd;
};

/* A message in the buffer, for undoing. */
struct js_pending_rec {
    js_seq_t seq;
    js_seq_t prev_last; /* of its subject */
    uint32_t sid;
};

/* How things were when the buffer was empty. */
struct js_writer_base {
    uint64_t good_size, raw_size;
    uint8_t last_sum[8];
    js_seq_t first_pos, rec_first, pos_last, tomb_top, tomb_last, rec_last;
    js_time_t pos_last_time, min_time, max_time, reach_time;
    uint64_t block_msgs, block_bytes, payload_bytes, hdr_bytes, subject_bytes;
    uint64_t msgs, bytes;
    js_seq_t first_seq, last_seq;
    js_time_t first_time, last_time, last_stamp;
    bool first_time_stale;
};

struct js_writer {
    struct js_wfile *file; /* of the last block; NULL = not open */
    struct js_block *block; /* the one file belongs to */
    uint64_t length;        /* of the file */
    uint64_t limit;         /* block size at which a new one is begun */
    struct js_buf buf;      /* what may not be in the file; its beginning is at `length` but for: */
    size_t done;            /* so many bytes of buf are in the file */
    size_t flying;          /* so many after those are being written by another thread (flight.c) */
    struct js_flight *flight;
    size_t unsummed;        /* 1 + where in buf a record stands that lacks its checksum; 0 = none */
    struct js_buf cipher;   /* bytes of buf encrypted, while they are written */
    struct js_pending_rec *recs;
    size_t num_recs, cap_recs;
    struct js_writer_base base;
    bool async;      /* the buffer may stay when a call returns */
    bool promised;   /* it holds what callers were told to be stored, or that something is gone */
    bool stuck;      /* and could not be written; to be tried again */
    size_t undone;   /* messages that failed writes took back since the caller set it to 0 */
    js_time_t buffered_since; /* monotonic clock; 0 = nothing buffered */
    uint32_t unsynced_from, unsynced_to; /* earlier blocks whose data may not be on disk; 0 = none */
    bool dirty;      /* data not synced */
    bool dir_dirty;  /* names in msgs/ changed and the directory was not synced */
    bool changed;    /* index.db is out of date */
    bool index_blank; /* and it says nothing any more */
    js_time_t changed_since; /* wall clock */
    js_time_t since; /* wall clock of the oldest write not synced */
    uint64_t gen;    /* counts writes; js_sync_wait waits for one */
    js_time_t last_stamp; /* times given out never go back */
    js_time_t next_pass;  /* wall clock: when blocks are looked at (blocks_pass.c); 0 = not set */
};

/* Opens the writer: prepares the stream at the first call (prepare.c), creates nothing else.
 * READ_ONLY, WRITE_FAILED, and what preparing gives. */
int js_writer_open(struct js_stream *stream, struct js_writer **ret_writer);
void js_writer_free(struct js_stream *stream);
/* Looks at the configuration again. */
void js_writer_reconfigure(struct js_stream *stream);

/* Puts a message into buffer and index; begins a new block (flushing first) if it does not fit. sid: its
 * subject's id, or JS_NO_ID when the subject is not known. m->ret_seq and ret_time say which. */
int js_writer_put_msg(struct js_stream *s, struct js_writer *w, const struct js_new_msg *m,
                      uint32_t sid);
/* Puts a tombstone or a skip record (flag in seq_and_flags); the index is the caller's affair. */
int js_writer_put_mark(struct js_stream *s, struct js_writer *w, uint64_t seq_and_flags,
                       js_time_t time);
/* Are there files of blocks that are known to be gone? */
bool js_graves_pending(struct js_stream *s);
/* Writes the buffer to the file. */
int js_writer_flush(struct js_stream *s, struct js_writer *w);
/* At the end of a call that stored something: flushes unless the stream does so asynchronously. */
int js_writer_settle(struct js_stream *s, struct js_writer *w);
/* Begins a new block now. */
int js_writer_roll(struct js_stream *s, struct js_writer *w);
/* Flushes and lets go of the newest block's descriptor, so that its file may be replaced. */
int js_writer_release(struct js_stream *s, struct js_writer *w);
/* The newest block is gone from the list (its file, too): nothing to append to. */
void js_writer_forget_block(struct js_stream *s, struct js_writer *w);
/* index.db does not say any more what there is. */
void js_writer_outdated(struct js_stream *s, struct js_writer *w);
/* Something on disk changed: it is to be synced, and index.db to be written. */
void js_writer_touched(struct js_stream *s, struct js_writer *w);
/* Makes the stream read-only until reopened; returns err. */
int js_stream_fail_writes(struct js_stream *stream, int err);
/* Sees to it that all records of the buffer have their checksums; before anybody else may see them. */
void js_writer_sum(struct js_writer *w);
/* Bytes that are not known to be in the file. */
static inline size_t js_writer_buffered(const struct js_writer *w) {
    return w->buf.len - w->done;
}
/* The first n bytes of those are in the file. */
void js_writer_wrote(struct js_stream *s, struct js_writer *w, size_t n);
/* Writing them failed: whatever came into the file is cut off again. Returns err. */
int js_writer_cut_back(struct js_stream *s, struct js_writer *w, int err);
/* Copies bytes of the newest block that are not in its file yet. False: they are in the file. */
bool js_writer_pending(const struct js_stream *s, const struct js_block *b, uint64_t off,
                       const uint8_t **ret_at, size_t *ret_len);

/* ---- sync.c ------------------------------------------------------------------------------------ */

/* Waits until everything written up to gen (of the writer) is on disk; the stream's lock is not held.
 * WRITE_FAILED and the like when a sync failed. */
int js_sync_wait(struct js_stream *stream, uint64_t gen);
/* Waits for a sync that another thread is at, with the lock held for writing. Its error: then nothing more is
 * written. */
int js_writer_await_sync(struct js_stream *s);
/* Syncs with the lock held for writing (before something that depends on it). */
int js_writer_sync_locked(struct js_stream *s, struct js_writer *w);
/* At the end of a writing call, lock held on entry and released: settles, and syncs if the mode says so.
 * r is what the call came to; the first error is returned. */
int js_stream_end_write(struct js_stream *stream, int r);
/* Syncs, writes index.db if it is out of date, and lets go of the block. First error. */
int js_stream_finish(struct js_stream *stream);
/* When a sync or a flush becomes due (wall clock), 0 = none, and doing what is due. */
js_time_t js_stream_sync_deadline(struct js_stream *stream);
int js_stream_sync_due(struct js_stream *stream, js_time_t now);

/* ---- index_write.c ------------------------------------------------------------------------------ */

/* Writes index.db for the state as it is, atomically. lock held for writing. A stream with damage
 * gets none: the index would turn what is lost into deletions. */
int js_stream_write_index(struct js_stream *stream);
/* Appends the bytes of an index.db to out, sealed with the stream's seed (NULL: plain). */
int js_index_seal(const struct js_env *env, const char *name, const struct js_block_key *seed,
                  const struct js_index_db *ix, uint8_t version, struct js_buf *out);
/* index.db must not be believed from now on: before something goes that it speaks of. It is removed; that of
 * an encrypted stream gives way to one that knows nothing (core/store/fill.c). */
int js_stream_retire_index(struct js_stream *stream);
/* An index.db that knows of no message: everybody finds it old and reads the blocks. */
int js_index_write_blank(const struct js_env *env, int msgs_fd, const char *name,
                         const struct js_block_key *seed);
/* The bytes of a plain index.db for a backup; none (0 bytes) when there is no block. */
int js_stream_encode_index(struct js_stream *s, struct js_buf *out);

/* ---- skip.c ------------------------------------------------------------------------------------- */

/* Uses up the sequences to `last` with one record, and writes the buffer. now_is_last: LastTime
 * becomes now. */
int js_writer_skip(struct js_stream *stream, struct js_writer *w, js_seq_t last, bool now_is_last);
/* Uses them up as another stream did: LastTime is `time` (a copy ends as its original). Takes the lock. */
int js_stream_end_at(struct js_stream *stream, js_seq_t last, js_time_t time);

#endif
