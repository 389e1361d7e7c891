/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libjetstore, the writing half: storing, removing, limits, configuration, backups. Included by
 * core/jetstore.h; see there for the words used. All of this needs a store opened with JS_OPEN_RW.
 *
 * Errors that any of these functions may return: READ_ONLY (not opened for writing, or a stream that
 * cannot be written: js_stream_writable says why), WRITE_FAILED (an earlier write or sync failed),
 * NO_SPACE, IO, ACCESS, TOO_MANY_FILES, NOMEM. An error means that the call changed nothing, unless
 * its comment says otherwise. The order of effects on disk is such that a crash between any two steps
 * leaves a store that opens with everything acknowledged.
 */
#ifndef JETSTORE_WRITE_H
#define JETSTORE_WRITE_H

#ifndef JETSTORE_H
#error "include core/jetstore.h"
#endif

/* ---- storing ------------------------------------------------------------------------------- */

struct js_new_msg {
    const char *subject;
    size_t subject_len;
    const uint8_t *hdr; /* NULL if none; whole header block */
    size_t hdr_len;
    const uint8_t *data;
    size_t data_len;
    js_seq_t ret_seq;   /* given on success */
    js_time_t ret_time;
    bool ret_duplicate; /* Nats-Msg-Id was seen within the window: ret_seq is the first one's */
};
/*
 * Appends messages in order with one write. Returns how many were stored or found to be duplicates
 * (all, or those before the one that failed); when that is less than n, *ret_err is why (untouched
 * otherwise). With JS_SYNC_ALWAYS they are on disk when it returns; concurrent callers share one
 * sync. The rules of the stream layer hold (engine.md A2, issue text "Stream layer rules"): duplicate
 * window, Nats-Expected-* headers, rollup, TTLs, schedules, limits. Errors: SUBJECT, NOT_BOUND,
 * MSG_TOO_LARGE, MAX_*, NOT_PERMITTED (sealed, rollup not allowed), WRONG_STREAM, WRONG_LAST_SEQ,
 * WRONG_LAST_MSG_ID, EXISTS (Nats-Expected-Last-Subject-Sequence: 0, and there is one), BAD_HEADER.
 */
JS_API ssize_t js_stream_store_msgs(struct js_stream *stream, struct js_new_msg *msgs, size_t n,
                                    int *ret_err);
/* One message; ret_seq and ret_time may be NULL. */
JS_API int js_stream_store_msg(struct js_stream *stream, const char *subject, size_t subject_len,
                               const uint8_t *hdr, size_t hdr_len, const uint8_t *data,
                               size_t data_len, js_seq_t *ret_seq, js_time_t *ret_time);
/*
 * Stores with a given sequence (0 = the next; anything but last + 1 is SEQUENCE_MISMATCH) and time
 * (0 = now). No rule of the stream layer applies but limits; check_discard_new: a discard-new stream
 * may refuse it (a follower passes false). engine.md A2 StoreRawMsg.
 */
JS_API int js_stream_store_raw_msg(struct js_stream *stream, struct js_new_msg *msg, js_seq_t seq,
                                   js_time_t time, bool check_discard_new);
/* Uses up a sequence without a message. seq as above. ret_seq may be NULL. LastTime stays, unless
 * there was none or now_is_last (the "no interest" form). */
JS_API int js_stream_skip_msg(struct js_stream *stream, js_seq_t seq, bool now_is_last,
                              js_seq_t *ret_seq);
/* The same for num sequences from seq on, with one record. num 0: nothing happens. */
JS_API int js_stream_skip_msgs(struct js_stream *stream, js_seq_t seq, uint64_t num);
/* Hands everything buffered to the kernel (asynchronous flush); no sync. */
JS_API int js_stream_flush_all_pending(struct js_stream *stream);
/* Begins a new block now. */
JS_API int js_stream_rotate(struct js_stream *stream);
/* Puts everything acknowledged on disk (data, and the directory where needed). After a failure the
 * stream is read-only until reopened (WRITE_FAILED). */
JS_API int js_stream_sync(struct js_stream *stream);

/* ---- removing ------------------------------------------------------------------------------ */

/* Removes a message by appending a tombstone. 1 removed, 0 was not there any more, or an error:
 * MSG_NOT_FOUND (seq 0), EOF (past the last), NOT_PERMITTED (deny_delete, sealed). */
JS_API int js_stream_remove_msg(struct js_stream *stream, js_seq_t seq);
/* The same, and overwrites the stored record with random bytes (engine.md B7). Encrypted streams:
 * as remove. */
JS_API int js_stream_erase_msg(struct js_stream *stream, js_seq_t seq);
/* Removes all messages; LastSeq and LastTime stay. ret_n (may be NULL): how many there were. */
JS_API int js_stream_purge(struct js_stream *stream, uint64_t *ret_n);
/*
 * Removes what matches the filter ("" or ">" = all) and lies below seq (0 = no bound), but the newest
 * keep of them. seq 1 removes nothing. The exact combinations are those of engine.md A5 PurgeEx.
 * Errors: SUBJECT, NOT_PERMITTED (deny_purge, sealed). When writing fails in the middle the messages whose
 * tombstones are written are gone, and the others are there.
 */
JS_API int js_stream_purge_ex(struct js_stream *stream, const char *filter, size_t filter_len,
                              js_seq_t seq, uint64_t keep, uint64_t *ret_n);
/* Removes everything below seq; 0 purges; beyond the last: First = seq, Last = seq - 1. */
JS_API int js_stream_compact(struct js_stream *stream, js_seq_t seq, uint64_t *ret_n);
/* Removes everything above seq; 0 resets to an empty stream that begins at 1. INVAL above the last
 * sequence. */
JS_API int js_stream_truncate(struct js_stream *stream, js_seq_t seq);

/* A set of deleted sequences as replicas exchange them: a run first..first+num-1, or an explicit
 * ascending list (list != NULL, num entries). Borrowed. */
struct js_delete_block {
    js_seq_t first;
    uint64_t num;
    const js_seq_t *list;
};
/* Removes (as limits do) every listed sequence that is there; what lies beyond the last is ignored. */
JS_API int js_stream_sync_deleted(struct js_stream *stream, const struct js_delete_block *blocks,
                                  size_t n);
/* Rewrites every block but the newest in which less than half is live (engine.md D6), syncs, and
 * writes index.db: the work of the peer's periodic pass. */
JS_API int js_stream_sync_blocks(struct js_stream *stream);
/* Rewrites every block but the newest that holds anything dead. ret_freed (may be NULL): bytes. */
JS_API int js_stream_compact_blocks(struct js_stream *stream, uint64_t *ret_freed);

/*
 * Tells about messages that left the stream (limits, age, rollup, purge ...), after the fact and
 * outside all locks: engine.md A8. seq and subject only when a single message left (else 0 and "").
 */
typedef void (*js_removed_fn)(void *ctx, struct js_stream *stream, uint64_t msgs, uint64_t bytes,
                              js_seq_t seq, const char *subject, size_t subject_len);
/* One callback a stream; NULL takes it back. */
JS_API void js_stream_on_removed(struct js_stream *stream, js_removed_fn fn, void *ctx);

/* ---- configuration ------------------------------------------------------------------------- */

/*
 * Replaces the stream's configuration (JSON as in meta.inf). What may not change: name, storage,
 * retention to or from workqueue, mirror, sealed to false, deny_* to false ... (NOT_PERMITTED);
 * subjects that overlap another stream's (EXISTS); anything malformed (INVAL). ret_why gets a
 * sentence. Limits act at once. meta.inf is replaced atomically before anything else happens.
 */
JS_API int js_stream_update_config(struct js_stream *stream, const char *config_json, char *ret_why,
                                   size_t why_size);
/* Deletes a stream with all it holds (its directory is renamed to a hidden sibling first). */
JS_API int js_store_delete_stream(struct js_store *store, const char *account, const char *name);

/*
 * Another key or cipher for a stream: the store was opened with the new key (and the old one as previous
 * key). cipher NULL: key files are wrapped with the current key; else the stream and its consumers are
 * stored anew with that cipher (or plain) and take the old one's place in one step. Handles of the stream
 * that others hold are of no use afterwards. Refused (CORRUPT) for a stream with damage. ret_changed
 * (may be NULL): key files wrapped anew, or 1.
 */
JS_API int js_store_rekey(struct js_store *store, const char *account, const char *name,
                          const enum js_new_cipher *cipher, uint64_t *ret_changed);
/* Another compression ("none", "s2", "lz4") for a stream and its blocks. LZ4 streams lie in jetfs/
 * beside streams/, where servers do not look. ret_freed (may be NULL): bytes. */
JS_API int js_store_recompress(struct js_store *store, const char *account, const char *name,
                               const char *compression, uint64_t *ret_freed, char *ret_why,
                               size_t why_size);

/* ---- replicated state, backups ------------------------------------------------------------- */

/* engine.md A0.4 version 1: appended to a buffer given by the caller's function, in pieces. */
typedef int (*js_sink_fn)(void *ctx, const void *data, size_t len);
JS_API int js_stream_encoded_state(struct js_stream *stream, uint64_t failed, js_sink_fn sink,
                                   void *ctx);
struct js_decoded_state {
    uint64_t msgs, bytes, failed, num_deleted;
    js_seq_t first_seq, last_seq;
    struct js_delete_block *deleted; /* freed with js_decoded_state_free */
    size_t num_blocks;
};
/* BAD_STATE_ENCODING (magic, version), CORRUPT. */
JS_API int js_decode_stream_state(const struct js_env *env, const uint8_t *data, size_t len,
                                  struct js_decoded_state *ret_state);
JS_API void js_decoded_state_free(const struct js_env *env, struct js_decoded_state *state);

enum js_backup_flags {
    JS_BACKUP_CONSUMERS = 1, /* with consumers */
    JS_BACKUP_CHECK = 2,     /* verify every message first; BAD_MSG if one is damaged */
};
/*
 * Writes the server's own backup archive, version 1 (tar in S2 framing, format.md 9.2): blocks
 * decrypted and decompressed. Works on any stream, read-only stores too; messages may be stored and
 * removed meanwhile. sink is called in order; a negative value from it ends the backup and is
 * returned. SNAPSHOT_IN_PROGRESS when one runs already.
 */
JS_API int js_stream_backup(struct js_stream *stream, unsigned flags, js_sink_fn sink, void *ctx);
/*
 * Makes a stream from a backup (file or directory as made by `nats stream backup` or
 * js_stream_backup; tar or NATSARC1). new_name NULL: the name it had. Damaged messages are left out, and
 * ret_why tells how many; otherwise it is as in js_store_open. ret_name (may be NULL, name_size bytes) gets
 * the name. EXISTS when there is such a stream; CORRUPT, BAD_MSG, IO and the like when the configuration, a
 * block or a consumer cannot be read; then nothing is made.
 */
JS_API int js_store_restore(struct js_store *store, const char *account, const char *backup_path,
                            const char *new_name, char *ret_name, size_t name_size, char *ret_why,
                            size_t why_size);

/* ---- work that time makes due -------------------------------------------------------------- */

/* Periodic sync, buffered writes, max_age, TTLs, schedules, compaction, index.db, ack waits of
 * consumers. next_deadline: wall clock time or 0 = none. */
JS_API js_time_t js_store_next_deadline(struct js_store *store);
JS_API int js_store_run_due(struct js_store *store, js_time_t now);
/* The same by a thread of the store's own until it is closed, for programs without a loop to do it in. A
 * second call changes nothing. READ_ONLY, NOMEM. */
JS_API int js_store_run_in_background(struct js_store *store);
/* The first error that this thread met, or 0; js_store_close returns it, too. After a failed sync the stream
 * refuses writes besides. */
JS_API int js_store_background_error(struct js_store *store);

/*
 * Tells about changes, after they happened, outside all locks: appended messages first..first+n-1
 * (n 0 if only removals or a reload happened). The callback must not call js_stream_unsubscribe.
 */
typedef void (*js_change_fn)(void *ctx, struct js_stream *stream, js_seq_t first, uint64_t n);
JS_API int js_stream_subscribe(struct js_stream *stream, js_change_fn fn, void *ctx);
JS_API void js_stream_unsubscribe(struct js_stream *stream, js_change_fn fn, void *ctx);

#endif
