/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libjetstore: reads and writes directories in the format of the NATS JetStream file store.
 *
 * Caveats first:
 *  - Opening without JS_OPEN_RW opens no file for writing, takes no lock and creates nothing.
 *  - Results are int: 0 (or a count) on success, a negative enum js_err otherwise. Out-parameters
 *    are named ret_... and untouched on failure unless said otherwise.
 *  - The library prints nothing, never exits and keeps no global state. Every handle may be used
 *    from any thread.
 *  - Strings are UTF-8 and NUL terminated; subjects, headers and payloads carry their length.
 *  - Times are nanoseconds since 1970-01-01 UTC (js_time_t), 0 = no time. Sequences start at 1.
 *
 * Ownership words: a *borrowed* pointer is valid until the named event; a *given* one is freed by
 * the caller with the named function.
 */
#ifndef JETSTORE_H
#define JETSTORE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define JS_API __attribute__((visibility("default")))

typedef uint64_t js_seq_t;
typedef int64_t js_time_t;

/* ---- results ------------------------------------------------------------------------------ */

/* code, errno class, text. The names follow the peer's (ErrStoreEOF -> JS_ERR_EOF ...). */
#define JS_ERRORS(X)                                                                               \
    X(JS_ERR_NOMEM, ENOMEM, "out of memory")                                                       \
    X(JS_ERR_INVAL, EINVAL, "invalid argument")                                                    \
    X(JS_ERR_IO, EIO, "input/output error")                                                        \
    X(JS_ERR_NO_SPACE, ENOSPC, "no space left on the device")                                      \
    X(JS_ERR_QUOTA, EDQUOT, "disk quota exceeded")                                                 \
    X(JS_ERR_ACCESS, EACCES, "permission denied")                                                  \
    X(JS_ERR_TOO_MANY_FILES, EMFILE, "too many open files")                                        \
    X(JS_ERR_NO_ENTRY, ENOENT, "no such file or directory")                                        \
    X(JS_ERR_EXISTS, EEXIST, "exists already")                                                     \
    X(JS_ERR_NOT_EMPTY, ENOTEMPTY, "not empty")                                                    \
    X(JS_ERR_NOT_REGULAR, EIO, "not a regular file or directory (link, pipe or device)")           \
    X(JS_ERR_READ_ONLY, EROFS, "opened read-only")                                                 \
    X(JS_ERR_LOCKED, EBUSY, "in use by another writer")                                            \
    X(JS_ERR_NOT_A_STORE, ENOENT, "not a JetStream store")                                         \
    X(JS_ERR_NO_ACCOUNT, ENOENT, "no such account")                                                \
    X(JS_ERR_NO_STREAM, ENOENT, "no such stream")                                                  \
    X(JS_ERR_NO_CONSUMER, ENOENT, "no such consumer")                                              \
    X(JS_ERR_STORE_CLOSED, ESHUTDOWN, "store is closed")                                           \
    X(JS_ERR_MSG_NOT_FOUND, ENOENT, "no message found")                                            \
    X(JS_ERR_DELETED_MSG, ENOENT, "message was deleted")                                           \
    X(JS_ERR_EOF, ENODATA, "past the last message")                                                \
    X(JS_ERR_BAD_MSG, EIO, "message is damaged")                                                   \
    X(JS_ERR_MSG_TOO_LARGE, EFBIG, "message too large")                                            \
    X(JS_ERR_MAX_MSGS, EDQUOT, "maximum messages exceeded")                                        \
    X(JS_ERR_MAX_BYTES, EDQUOT, "maximum bytes exceeded")                                          \
    X(JS_ERR_MAX_MSGS_PER_SUBJECT, EDQUOT, "maximum messages per subject exceeded")                \
    X(JS_ERR_SEQUENCE_MISMATCH, ESTALE, "expected sequence does not match")                        \
    X(JS_ERR_SUBJECT, EINVAL, "malformed subject")                                                 \
    X(JS_ERR_NOT_BOUND, ENOENT, "subject is not bound to the stream")                              \
    X(JS_ERR_CORRUPT, EIO, "damaged data")                                                         \
    X(JS_ERR_TORN, EIO, "data ends early")                                                         \
    X(JS_ERR_UNKNOWN_FORMAT, EPROTO, "unknown format (a newer version?)")                          \
    X(JS_ERR_WRONG_KEY, EKEYREJECTED, "wrong key")                                                 \
    X(JS_ERR_NO_KEY, ENOKEY, "encrypted, and no key was given")                                    \
    X(JS_ERR_TOO_BIG, EFBIG, "larger than any store writes")                                       \
    X(JS_ERR_TOO_MANY_RESULTS, E2BIG, "too many results")                                          \
    X(JS_ERR_UNSUPPORTED, EOPNOTSUPP, "not built yet")                                             \
    X(JS_ERR_WRITE_FAILED, EROFS, "an earlier write or sync failed; reopen the store")             \
    X(JS_ERR_STALE, ESTALE, "changed underneath")                                                  \
    X(JS_ERR_NOT_PERMITTED, EPERM, "the stream's configuration does not allow it")                 \
    X(JS_ERR_WRONG_STREAM, EINVAL, "expected stream does not match")                               \
    X(JS_ERR_WRONG_LAST_SEQ, ESTALE, "expected last sequence does not match")                      \
    X(JS_ERR_WRONG_LAST_MSG_ID, ESTALE, "expected last message id does not match")                 \
    X(JS_ERR_BAD_HEADER, EINVAL, "a header's value is not valid")                                  \
    X(JS_ERR_SNAPSHOT_IN_PROGRESS, EBUSY, "a backup of the stream is running")                     \
    X(JS_ERR_BAD_STATE_ENCODING, EINVAL, "not an encoded stream state")                            \
    X(JS_ERR_NO_ACK_POLICY, EINVAL, "the consumer takes no acknowledgements")                      \
    X(JS_ERR_OLD_UPDATE, ESTALE, "the consumer's state is newer than the update")                  \
    X(JS_ERR_MAX_ACK_PENDING, EAGAIN, "too many messages wait for their acknowledgement")          \
    X(JS_ERR_PAUSED, EAGAIN, "the consumer is paused")                                             \
    X(JS_ERR_AGAIN, EAGAIN, "nothing to deliver now")

enum js_err {
    JS_OK = 0,
    JS__ERR_FIRST = -1000,
#define JS_X(name, errnum, text) name,
    JS_ERRORS(JS_X)
#undef JS_X
        JS__ERR_LAST
};

/* Text of a code, static. Unknown codes give a generic text. */
JS_API const char *js_err_text(int code);
/* Symbolic name ("JS_ERR_EOF"), static. */
JS_API const char *js_err_name(int code);
/* The errno class of a code (positive); 0 for codes >= 0. */
JS_API int js_err_errno(int code);
/* The code for an errno value (positive), e.g. ENOSPC -> JS_ERR_NO_SPACE. */
JS_API int js_err_from_errno(int errnum);

/* ---- tables given at open: I/O, clock, random, allocator ----------------------------------- */

/*
 * File operations. Every function returns >= 0, or a negative errno value (-ENOENT ...). Names are
 * single path elements below an open directory; dirfd -1 with an absolute or relative path is only
 * used for the source itself. Implementations must not follow symbolic links below the source and
 * must not block on pipes (O_NOFOLLOW | O_NONBLOCK), and are called from any thread.
 */
struct js_io {
    void *ctx;
    int (*open_dir)(void *ctx, int dirfd, const char *name);
    /* flags: O_RDONLY, or O_RDWR with O_CREAT, O_EXCL, O_TRUNC. Fails with -ENOTSUP when the file
     * is not a regular one. mode is used with O_CREAT. */
    int (*open_file)(void *ctx, int dirfd, const char *name, int flags, unsigned mode);
    int (*close)(void *ctx, int fd);
    ssize_t (*pread)(void *ctx, int fd, void *buf, size_t len, uint64_t off);
    ssize_t (*pwrite)(void *ctx, int fd, const void *buf, size_t len, uint64_t off);
    int (*truncate)(void *ctx, int fd, uint64_t len);
    int (*fstat)(void *ctx, int fd, struct stat *ret_st);
    /* does not follow links */
    int (*stat)(void *ctx, int dirfd, const char *name, struct stat *ret_st);
    int (*fsync)(void *ctx, int fd);     /* file or directory, data and metadata */
    int (*fdatasync)(void *ctx, int fd); /* data and what is needed to read it back */
    int (*rename)(void *ctx, int from_dirfd, const char *from, int to_dirfd, const char *to);
    /* two names change places in one step; NULL: not possible here */
    int (*exchange)(void *ctx, int a_dirfd, const char *a, int b_dirfd, const char *b);
    /* a second name for a file; fails with -EEXIST when it is taken */
    int (*link)(void *ctx, int from_dirfd, const char *from, int to_dirfd, const char *to);
    int (*unlink)(void *ctx, int dirfd, const char *name);
    int (*rmdir)(void *ctx, int dirfd, const char *name);
    int (*mkdir)(void *ctx, int dirfd, const char *name, unsigned mode);
    /* Calls fn for each entry except "." and ".."; stops early and returns fn's value if not 0. */
    int (*list)(void *ctx, int dirfd, int (*fn)(void *arg, const char *name), void *arg);
    /* Exclusive advisory lock on an open directory, not waiting: -EWOULDBLOCK when held elsewhere. */
    int (*lock)(void *ctx, int fd);
    /* The absolute path of a source without links, NUL terminated; its length or negative errno. */
    ssize_t (*real_path)(void *ctx, const char *path, char *buf, size_t size);
    /* pid of another process that holds the lock of this open directory, or has a file below it
     * open for writing (a nats-server takes no lock); 0 = none found. */
    int (*holder)(void *ctx, int dirfd);
    /* An unlinked scratch file outside the store, read-write (unpacked backups). */
    int (*open_temp)(void *ctx);
};

struct js_clock {
    void *ctx;
    js_time_t (*now)(void *ctx);       /* wall clock */
    js_time_t (*monotonic)(void *ctx); /* never goes back; any origin */
    void (*wait)(void *ctx, js_time_t ns); /* about so long; NULL: what another program is in the middle of
                                            * writing is taken as it is */
};

struct js_rand {
    void *ctx;
    int (*fill)(void *ctx, void *buf, size_t len); /* 0 or negative errno */
};

struct js_alloc {
    void *ctx;
    void *(*realloc)(void *ctx, void *p, size_t size); /* p NULL: new; NULL on failure */
    void (*free)(void *ctx, void *p);
    /* Keeps whole pages of what was allocated out of the swap and out of core dumps: 0 or a negative
     * errno, after which they are used all the same. NULL: not possible here. Keys lie in such
     * pages alone. */
    int (*lock)(void *ctx, void *pages, size_t len);
    /* Undoes lock, also one that failed, before the pages are freed. NULL when lock is. */
    void (*unlock)(void *ctx, void *pages, size_t len);
};

struct js_env {
    const struct js_io *io;
    const struct js_clock *clock;
    const struct js_rand *rand;
    const struct js_alloc *alloc;
};

/* The real tables (POSIX, CLOCK_REALTIME, getrandom, malloc); static. */
JS_API const struct js_env *js_env_default(void);

/* ---- keys ---------------------------------------------------------------------------------- */

/*
 * Gives the 32-byte key encryption key for an account and a context string ("STREAM", "STREAM:N",
 * "STREAM.CONSUMER"). Returns 0 or a negative js_err. May be called from any thread.
 */
typedef int (*js_key_fn)(void *ctx, const char *account, const char *context, uint8_t ret_kek[32]);

/* HMAC-SHA-256(server_key, account || context): what nats-server uses. */
JS_API int js_kek_derive(const void *server_key, size_t len, const char *account,
                         const char *context, uint8_t ret_kek[32]);

/* ---- opening a store ----------------------------------------------------------------------- */

enum js_open_flags {
    JS_OPEN_RW = 1,     /* lock streams that are written, allow writing */
    JS_OPEN_CREATE = 2, /* with RW: a missing or empty directory becomes a new store */
    JS_OPEN_SCAN = 4,   /* read every block when a stream opens, even if index.db spares it */
    JS_OPEN_KEEP = 8,   /* blocks that were read in order to their end stay in the cache while there is
                         * room; else their memory serves for the next block (who reads a stream once
                         * is faster so) */
    JS_OPEN_ASYNC = 16, /* a store call returns once the message is buffered; the buffer goes to the
                         * kernel when it is large, after a few milliseconds (js_store_run_due), and
                         * at every flush, sync and close. Streams with persist_mode async always do */
};

enum js_sync_mode { JS_SYNC_CLOSE, JS_SYNC_ALWAYS, JS_SYNC_INTERVAL, JS_SYNC_OS };

enum js_source_kind {
    JS_SOURCE_STORE,     /* holds jetstream/ */
    JS_SOURCE_JETSTREAM, /* the jetstream/ directory */
    JS_SOURCE_ACCOUNT,   /* one account's directory: holds streams/ */
    JS_SOURCE_STREAM,    /* one stream's directory */
    JS_SOURCE_BACKUP,    /* archive or directory made by `nats stream backup` */
};

/* How new streams are encrypted. */
enum js_new_cipher { JS_CIPHER_NEW_NONE, JS_CIPHER_NEW_CHACHA, JS_CIPHER_NEW_AES };

struct js_store_options {
    unsigned flags;          /* enum js_open_flags */
    js_key_fn key;           /* NULL: no key */
    js_key_fn prev_key;      /* NULL: none; tried after key */
    void *key_ctx;           /* borrowed until the store is closed */
    const char *account;     /* account name to assume when SOURCE does not show it; may be NULL */
    uint64_t cache_bytes;    /* block cache budget; 0 = 256 MiB */
    enum js_sync_mode sync;  /* when writes reach the disk */
    unsigned sync_interval;  /* seconds, for JS_SYNC_INTERVAL; 0 = 120 */
    unsigned scan_threads;   /* to read blocks, write buffers and compress backups: 0 = one per core,
                              * at most 8; 1 = the caller's alone */
    uint64_t index_bytes;    /* memory for what is known per message, a stream; 0 = 1 GiB. Above it
                              * blocks are looked at again when they are asked for */
    enum js_new_cipher cipher; /* of streams that are created; needs a key */
    bool no_expire;          /* max_age and TTLs take nothing out */
    uint64_t block_size;     /* where new blocks are begun; 0 = what the stream's limits suggest, as
                              * servers do */
    uint64_t compact_min;    /* when messages leave a block it is rewritten if it is larger than this and
                              * mostly dead; 0 = 2 MiB, as servers do */
};

struct js_store;
struct js_stream;

/*
 * Opens SOURCE. options may be NULL (read-only). On failure a sentence for the user (without path,
 * without newline) is put into ret_why (may be NULL; why_size bytes). Streams are opened when
 * they are first asked for, so one damaged stream does not fail the store.
 * Errors: NOT_A_STORE, NO_ENTRY, ACCESS, CORRUPT (backup), UNSUPPORTED, ...
 */
JS_API int js_store_open(const struct js_env *env, const char *source,
                         const struct js_store_options *options, struct js_store **ret_store,
                         char *ret_why, size_t why_size);
/* Writes what is pending, syncs, unlocks and frees. NULL is fine. First error is returned; the
 * handle is gone in any case. Streams still referenced are closed. */
JS_API int js_store_close(struct js_store *store);
JS_API enum js_source_kind js_store_kind(const struct js_store *store);
JS_API bool js_store_writable(const struct js_store *store);

/* Enumerations call fn per name in byte order; a value other than 0 stops and is returned. */
typedef int (*js_name_fn)(void *ctx, const char *name);
JS_API int js_store_list_accounts(struct js_store *store, js_name_fn fn, void *ctx);
JS_API int js_store_list_streams(struct js_store *store, const char *account, js_name_fn fn,
                                 void *ctx);

/*
 * Opens (first time) or finds a stream and takes a reference. A damaged, encrypted or unknown
 * stream opens too: js_stream_health() says what is wrong, and all that can be proved is readable.
 * Errors: NO_ACCOUNT, NO_STREAM, LOCKED (rw: holder in js_store_lock_holder), NOMEM, IO.
 */
JS_API int js_store_get_stream(struct js_store *store, const char *account, const char *name,
                               struct js_stream **ret_stream);
JS_API void js_stream_unref(struct js_stream *stream);
JS_API struct js_stream *js_stream_ref(struct js_stream *stream);

/* pid of the process that holds a stream's lock or has its files open (nats-server); 0 = unknown. */
JS_API int js_store_lock_holder(struct js_store *store, const char *account, const char *name);

/*
 * Creates a stream (rw). config_json: a stream configuration as in meta.inf, or NULL for subjects
 * NAME and NAME.>, file storage, limits retention. ret_why as in js_store_open.
 * Errors: EXISTS, INVAL, READ_ONLY, ...
 */
JS_API int js_store_create_stream(struct js_store *store, const char *account, const char *name,
                                  const char *config_json, char *ret_why, size_t why_size);
/* Removes an empty stream's directory (rw). NOT_EMPTY when it holds messages or consumers. */
JS_API int js_store_remove_empty_stream(struct js_store *store, const char *account,
                                        const char *name);

/* True if text can be a stream or consumer name. */
JS_API bool js_name_valid(const char *name);

/* ---- health -------------------------------------------------------------------------------- */

enum js_health {
    JS_HEALTH_OK,
    JS_HEALTH_TORN_TAIL,      /* the end of the newest block is missing: normal after a crash */
    JS_HEALTH_DAMAGED,        /* bytes changed or are missing where later data is valid */
    JS_HEALTH_UNKNOWN_FORMAT, /* not what any known version writes; left alone */
    JS_HEALTH_WRONG_KEY,
    JS_HEALTH_NO_KEY,
};
/* "ok", "torn_tail", "damaged", "unknown_format", "wrong_key", "no_key" */
JS_API const char *js_health_name(enum js_health health);

struct js_problem {
    enum js_health verdict;
    const char *file;   /* relative to the stream's directory, e.g. "msgs/3.blk" */
    uint64_t offset;    /* in the decoded file; 0 if the whole file is meant */
    uint64_t length;    /* bytes; 0 if the whole file is meant */
    js_seq_t seq_first; /* sequences concerned; 0 = none or not known */
    js_seq_t seq_last;
    uint64_t lost;      /* messages that cannot be read because of this */
    const char *text;   /* one sentence */
};
/*
 * Reads every block that opening was spared because index.db describes it (opening reads the blocks
 * that it does not describe, and the newest one). Most questions do that by themselves when they
 * need it; who asks for the stream's health calls this first. Cheap when nothing is left to read.
 */
JS_API int js_stream_scan(struct js_stream *stream);
/* Worst verdict of what was read so far; JS_HEALTH_OK if there is nothing to report. */
JS_API enum js_health js_stream_health(struct js_stream *stream);
/* Calls fn for each finding of opening, reading and (if run) verifying. Strings are borrowed until
 * fn returns. A value other than 0 stops and is returned. Here and wherever a function of a stream
 * takes a callback, the callback must not call functions of the same stream. */
JS_API int js_stream_problems(struct js_stream *stream,
                              int (*fn)(void *ctx, const struct js_problem *problem), void *ctx);
/* Reads every file of the stream that a server would read and cross-checks blocks, index.db and
 * consumers; findings are added to js_stream_problems. 0, or an operational error. */
JS_API int js_stream_verify(struct js_stream *stream);

/* ---- a stream's state ---------------------------------------------------------------------- */

struct js_stream_state {
    uint64_t msgs;        /* live, readable messages */
    uint64_t bytes;       /* sum of their record lengths, as the server counts */
    js_seq_t first_seq;
    js_seq_t last_seq;
    js_time_t first_time; /* 0 = none */
    js_time_t last_time;
    uint64_t num_subjects;
    uint64_t num_deleted; /* within first..last */
    uint64_t num_lost;    /* messages known to have been there and damaged */
    uint64_t num_blocks;
    uint64_t num_consumers;
    uint64_t removals;    /* grows with every removal (by us or seen by refresh) */
    bool scanned;         /* every block was read; before that the numbers are those of index.db */
};
/* Reads no block. */
JS_API void js_stream_get_state(struct js_stream *stream, struct js_stream_state *ret_state);

/* Names; borrowed until the stream is unreferenced. account is "" when not known. */
JS_API const char *js_stream_name(const struct js_stream *stream);
JS_API const char *js_stream_account(const struct js_stream *stream);
/* The configuration (JSON text of meta.inf, decrypted), or "" when the meta is damaged or locked.
 * Borrowed until the stream is unreferenced (an update keeps old texts). */
JS_API const char *js_stream_config_json(struct js_stream *stream);
/* True if the stream's configured subjects cover this literal subject. */
JS_API bool js_stream_covers(struct js_stream *stream, const char *subject, size_t len);
/* 1 when the stream can be written (rw, its key known, nothing in its configuration that is not built), else 0; ret_why (may be
 * NULL) gets a sentence. */
JS_API int js_stream_writable(struct js_stream *stream, char *ret_why, size_t why_size);
/* What the first write found damaged or torn and put aside: files in the stream's quarantine/, and their
 * bytes. */
JS_API int js_stream_quarantine(struct js_stream *stream, uint64_t *ret_files, uint64_t *ret_bytes);
/* cipher and compression found: "none", "chacha", "aes"; static. */
JS_API const char *js_stream_cipher(struct js_stream *stream);

/* Looks for what another process appended or removed (read-only opens of a live directory). Cheap
 * when nothing changed. Returns 1 if something changed, 0 if not, or an error. */
JS_API int js_stream_refresh(struct js_stream *stream);

/* ---- messages ------------------------------------------------------------------------------ */

struct js_msg {
    js_seq_t seq;
    js_time_t time;
    const char *subject; /* not NUL terminated */
    size_t subject_len;
    const uint8_t *hdr; /* whole header block incl. NATS/1.0 line; NULL if none */
    size_t hdr_len;
    const uint8_t *data;
    size_t data_len;
    void *owner; /* private: what keeps the memory alive */
};

struct js_msg_stat {
    js_seq_t seq;
    js_time_t time;
    size_t subject_len;
    size_t hdr_len;
    size_t data_len;
    uint32_t record_len; /* bytes on disk, decoded */
    uint32_t block;      /* N of N.blk */
    uint32_t subject_id; /* stable while the stream is open */
    bool damaged;        /* known to be there, not readable; only seq and block are valid */
};

/*
 * Reads. The view in ret_msg stays valid until js_msg_release, whatever happens to the stream.
 * seq 0 means the first. Errors (engine.md A3): MSG_NOT_FOUND, DELETED_MSG (interior), EOF (past
 * the last), BAD_MSG (checksum), IO.
 */
JS_API int js_stream_load_msg(struct js_stream *stream, js_seq_t seq, struct js_msg *ret_msg);
JS_API void js_msg_release(struct js_msg *msg);
/* Newest message that matches a subject or a filter with wildcards; "" and ">" mean the message at
 * the last sequence alone. MSG_NOT_FOUND, BAD_MSG, IO. */
JS_API int js_stream_load_last_msg(struct js_stream *stream, const char *subject, size_t len,
                                   struct js_msg *ret_msg);
/* Facts about a message without reading its payload (damaged ones included). */
JS_API int js_stream_stat_msg(struct js_stream *stream, js_seq_t seq, struct js_msg_stat *ret_stat);
/* Copies a damaged message's verdict sentence; MSG_NOT_FOUND if it is not damaged. */
JS_API int js_stream_damage(struct js_stream *stream, js_seq_t seq, char *ret_text, size_t size);

/* Smallest live sequence with time >= t; last_seq + 1 if none. */
JS_API int js_stream_seq_from_time(struct js_stream *stream, js_time_t t, js_seq_t *ret_seq);

/*
 * Which messages: all patterns (NATS subject filters, may hold wildcards) must match; any_of says
 * one is enough. count 0 = everything. In addition, if subtree is not NULL, the subject must be
 * exactly subtree (a literal) or lie below it ("subtree."...). Borrowed for the call.
 */
struct js_filter {
    const char *const *patterns;
    size_t count;
    bool any_of;
    const char *subtree; /* not NUL terminated; NULL or length 0 = no restriction */
    size_t subtree_len;
};

/* Sequences of live (and damaged, if asked) messages >= from that match, ascending, into buf.
 * ret_n < max only at the end. */
JS_API int js_stream_list_seqs(struct js_stream *stream, const struct js_filter *filter,
                               js_seq_t from, bool with_damaged, js_seq_t *buf, size_t max,
                               size_t *ret_n);

/*
 * First match with sequence >= start, or last match with sequence <= start (engine.md A3); several
 * patterns with any_of are the "multi" forms. 0, or EOF when there is none. A damaged message that
 * matches gives BAD_MSG with ret_msg->seq set, so that the caller can go on. Compiled filters are
 * remembered, so asking again with the same filter costs no matching.
 */
JS_API int js_stream_load_next_msg(struct js_stream *stream, const struct js_filter *filter,
                                   js_seq_t start, struct js_msg *ret_msg);
JS_API int js_stream_load_prev_msg(struct js_stream *stream, const struct js_filter *filter,
                                   js_seq_t start, struct js_msg *ret_msg);

struct js_totals {
    uint64_t msgs;
    uint64_t bytes;         /* record lengths */
    uint64_t payload_bytes;
    uint64_t hdr_bytes;
    uint64_t subject_bytes;
    js_seq_t first_seq; /* 0 = no match */
    js_seq_t last_seq;
};
/* Sums over live matches in from..to (to 0 = last). Reads no block. */
JS_API int js_stream_totals(struct js_stream *stream, const struct js_filter *filter,
                            js_seq_t from, js_seq_t to, struct js_totals *ret_totals);

/*
 * How many live matches there are from start on (engine.md A4). last_per_subject: only subjects
 * whose newest message has a sequence >= start, each counted once. ret_valid_through (may be NULL)
 * gets the last sequence that was considered. Reads no block.
 */
JS_API int js_stream_num_pending(struct js_stream *stream, js_seq_t start,
                                 const struct js_filter *filter, bool last_per_subject,
                                 uint64_t *ret_num, js_seq_t *ret_valid_through);
struct js_subject_state {
    uint64_t msgs;
    js_seq_t first_seq;
    js_seq_t last_seq;
};
/*
 * Number, first and last of the live matches from start on. Start past the end: 0 messages, the
 * stream's first and last; everything from the first on: the stream's numbers; no match: zeros.
 */
JS_API int js_stream_filtered_state(struct js_stream *stream, js_seq_t start,
                                    const struct js_filter *filter,
                                    struct js_subject_state *ret_state);
/*
 * The newest live sequence <= upto (0: of all) of every subject that matches, ascending, without
 * repeats. filter NULL: of every subject. upto outside the stream's range gives none. max > 0 and
 * more results: TOO_MANY_RESULTS. *ret_seqs is freed with js_stream_free_seqs() (NULL when none).
 */
JS_API int js_stream_last_seqs(struct js_stream *stream, const struct js_filter *filter,
                               js_seq_t upto, size_t max, js_seq_t **ret_seqs, size_t *ret_n);
JS_API void js_stream_free_seqs(struct js_stream *stream, js_seq_t *seqs);
/*
 * The same set as messages, ascending, those below from left out (they still count). fn gets a
 * view that is borrowed until it returns and how many follow; a value other than 0 stops (and is
 * not an error). ret_total (may be NULL): how many there are in all. Unlike other callbacks this one
 * may call functions of the stream.
 */
JS_API int js_stream_last_msgs(struct js_stream *stream, const struct js_filter *filter,
                               js_seq_t from, js_seq_t upto, size_t max,
                               int (*fn)(void *ctx, const struct js_msg *msg, size_t remaining),
                               void *ctx, size_t *ret_total);
/* Copies the subject of a live message (at most size bytes); *ret_len gets its length. Reads no
 * payload. MSG_NOT_FOUND (deleted, damaged or outside). */
JS_API int js_stream_subject_for_seq(struct js_stream *stream, js_seq_t seq, char *buf, size_t size,
                                     size_t *ret_len);
/* Calls fn for each run of deleted sequences within first..last, ascending; damaged messages are
 * not deleted. A value other than 0 stops and is returned. */
JS_API int js_stream_deleted(struct js_stream *stream,
                             int (*fn)(void *ctx, js_seq_t first, js_seq_t last), void *ctx);

/*
 * Ordered reading of many messages. An iterator holds the current block and a compiled filter;
 * one iterator is used by one thread at a time. The view given by js_iter_next is borrowed until
 * the next call on the iterator (no js_msg_release).
 */
struct js_iter;
JS_API int js_iter_open(struct js_stream *stream, const struct js_filter *filter,
                        struct js_iter **ret_iter);
JS_API void js_iter_close(struct js_iter *iter);
/* First match with sequence >= from: 0, EOF, or BAD_MSG (ret_msg->seq set; go on at seq + 1). */
JS_API int js_iter_next(struct js_iter *iter, js_seq_t from, struct js_msg *ret_msg);
/*
 * The same for many: consecutive matches of one block into ret_msgs (room for max >= 1), until they
 * are max or their headers and payloads reach max_bytes; *ret_n gets how many, at least 1 if 0 is
 * returned. A batch ends before a damaged message; BAD_MSG when the first one is (ret_msgs[0].seq
 * set, *ret_n 0). A long scan reads the next block in a second thread of its own meanwhile.
 */
JS_API int js_iter_next_batch(struct js_iter *iter, js_seq_t from, size_t max_bytes,
                              struct js_msg *ret_msgs, size_t max, size_t *ret_n);

/* ---- subjects ------------------------------------------------------------------------------ */

struct js_token {
    const char *name; /* borrowed until the callback returns; not NUL terminated */
    size_t len;
    uint32_t id;   /* of a subject below or at this token: position for going on */
    bool exact;    /* live messages with exactly prefix.token */
    bool children; /* live subjects below prefix.token */
};
/* Child tokens of a subject prefix ("" = root) in byte order, those with live messages only;
 * after_id: JS_NO_ID to begin, else the id of the last one taken. */
#define JS_NO_ID UINT32_MAX
JS_API int js_stream_list_tokens(struct js_stream *stream, const char *prefix, size_t len,
                                 uint32_t after_id,
                                 int (*fn)(void *ctx, const struct js_token *token), void *ctx);
/* Live messages of exactly this subject: count, first, last. MSG_NOT_FOUND if none. */
JS_API int js_stream_subject(struct js_stream *stream, const char *subject, size_t len,
                             struct js_subject_state *ret_state);
/* Calls fn for every live subject that matches, in token order: '.' sorts before everything else, so
 * that a subject is followed by what lies below it. */
JS_API int js_stream_subjects(struct js_stream *stream, const struct js_filter *filter,
                              int (*fn)(void *ctx, const char *subject, size_t len,
                                        const struct js_subject_state *state),
                              void *ctx);
/* Calls fn with the number of live messages of every live subject that matches, in token order. With
 * index.db no block is read. */
JS_API int js_stream_subject_totals(struct js_stream *stream, const struct js_filter *filter,
                                    int (*fn)(void *ctx, const char *subject, size_t len,
                                              uint64_t msgs),
                                    void *ctx);

/* Literal subject: no empty token, no space, tab, CR, LF, FF or NUL, no token "*" or ">". */
JS_API bool js_subject_valid(const char *subject, size_t len);
/* Subject filter: as above, wildcards allowed. */
JS_API bool js_filter_valid(const char *filter, size_t len);
JS_API bool js_subject_matches(const char *subject, size_t slen, const char *filter, size_t flen);

/* ---- blocks and records -------------------------------------------------------------------- */

struct js_block_info {
    uint32_t number;    /* N of N.blk */
    js_seq_t first_seq; /* live; first > last: none */
    js_seq_t last_seq;
    js_time_t last_time;
    uint64_t msgs;
    uint64_t bytes;
    uint64_t payload_bytes;
    uint64_t subject_bytes;
    uint64_t file_bytes;  /* on disk */
    uint64_t raw_bytes;   /* decoded */
    bool compressed;
    bool encrypted;
    bool sealed;          /* not the block that is appended to */
    uint64_t removals;    /* grows when something in this block is removed */
};
/* index counts from 0 in ascending N. EOF past the end. */
JS_API int js_stream_block(struct js_stream *stream, size_t index, struct js_block_info *ret_info);
/* By number N. */
JS_API int js_stream_block_by_number(struct js_stream *stream, uint32_t number,
                                     struct js_block_info *ret_info);
/* Reads bytes of N.blk as they are on disk. Returns the count, 0 at the end. */
JS_API ssize_t js_stream_read_block_file(struct js_stream *stream, uint32_t number, void *buf,
                                         size_t len, uint64_t off);

enum js_record_kind { JS_RECORD_MSG, JS_RECORD_ERASED, JS_RECORD_SKIP, JS_RECORD_TOMBSTONE,
                      JS_RECORD_DAMAGE };
struct js_record_info {
    uint32_t block;
    uint64_t offset; /* in the decoded block */
    uint64_t length; /* record or damaged stretch */
    enum js_record_kind kind;
    struct js_msg msg;    /* of messages; seq and time of the others */
    uint8_t checksum[8];
    bool live;            /* a message that the stream still counts */
};
/* Every record of every block in file order, damage included. Views are borrowed until fn returns. */
JS_API int js_stream_walk_records(struct js_stream *stream,
                                  int (*fn)(void *ctx, const struct js_record_info *record),
                                  void *ctx);

/* ---- consumers ----------------------------------------------------------------------------- */

struct js_consumer_info {
    const char *name;
    const char *config_json; /* text of meta.inf, "" if unreadable */
    enum js_health health;
    const char *problem;     /* sentence, "" if ok */
    bool has_state;          /* o.dat was there and readable */
    uint64_t delivered_consumer, delivered_stream;
    uint64_t ack_floor_consumer, ack_floor_stream;
    uint64_t num_ack_pending, num_redelivered, num_pending;
    uint64_t num_gone; /* pending, but deleted or lost in the stream */
};
struct js_pending {
    js_seq_t stream_seq;
    uint64_t consumer_seq;
    js_time_t delivered; /* ns, second precision */
    uint64_t redelivered; /* deliveries beyond the first */
};
/* Names in byte order. */
JS_API int js_stream_list_consumers(struct js_stream *stream, js_name_fn fn, void *ctx);
/* fn gets a borrowed view, valid until it returns. */
JS_API int js_consumer_get(struct js_stream *stream, const char *name,
                           int (*fn)(void *ctx, const struct js_consumer_info *info), void *ctx);
/* Delivered, not acknowledged, ascending stream sequence >= from; ret_n < max only at the end. */
JS_API int js_consumer_pending(struct js_stream *stream, const char *name, js_seq_t from,
                               struct js_pending *buf, size_t max, size_t *ret_n);

/* ---- times and headers --------------------------------------------------------------------- */

/* RFC 3339 with nanoseconds and Z, e.g. "2026-07-14T13:00:00.000000001Z"; buf >= 40 bytes. */
JS_API void js_time_format(js_time_t t, char *buf, size_t size);
/* Always nine digits of fraction (fixed width, 30 characters). */
JS_API void js_time_format_fixed(js_time_t t, char *buf, size_t size);
/* RFC 3339, a date, unix seconds (fraction allowed), or relative to now ("-1h", "-15m", "-7d",
 * "-1h30m"). INVAL. */
JS_API int js_time_parse(const char *text, js_time_t now, js_time_t *ret_time);

/* Walks the header lines of a header block; key and value are borrowed from it. Returns false at
 * the end. *pos starts at 0. */
JS_API bool js_hdr_next(const uint8_t *hdr, size_t hdr_len, size_t *pos, const char **ret_key,
                        size_t *ret_key_len, const char **ret_value, size_t *ret_value_len);

JS_API const char *js_version(void);

#include "jetstore_write.h"

#include "jetstore_consumer.h"

#ifdef __cplusplus
}
#endif
#endif
