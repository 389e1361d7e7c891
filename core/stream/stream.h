/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream in memory: its configuration, its blocks with their slots (core/stream/slots.h), its
 * subjects (core/stream/subjects.h) and what was found wrong.
 *
 * Locking: `lock` covers everything below it; readers share it (also while they read a block),
 * appends, removals and refreshes take it alone. Lock order: store, stream, cache. Callbacks of
 * subscribers run without any lock.
 */
#ifndef JS_STREAM_H
#define JS_STREAM_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/block/cache.h"
#include "core/block/scan.h"
#include "core/format/crypto.h"
#include "core/format/index_db.h"
#include "core/format/meta.h"
#include "core/stream/cold.h"
#include "core/stream/files.h"
#include "core/stream/peek.h"
#include "core/stream/readahead.h"
#include "core/stream/subjects.h"

/* A block and what the index knows of it. */
struct js_block {
    uint32_t number;
    uint32_t version; /* grows when the file is replaced; names cached copies */
    bool compressed;
    bool unreadable; /* nothing of it can be decoded (key, format, I/O) */
    bool missing;    /* listed by index.db, but there is no such file */
    bool sealed_plain; /* rolled by us, and not compressed yet as the stream wants it */
    struct js_block_key *key; /* in the vault; NULL: plain */
    struct js_hash_key hash_key;
    uint64_t file_size;
    uint64_t raw_size;   /* decoded */
    uint64_t good_size;  /* decoded bytes up to the end of the last good record */
    uint8_t last_sum[8]; /* of the last good record */
    js_seq_t search_first; /* ascending over the blocks: where sequences of this block begin */
    js_seq_t first_pos;  /* first message, be it removed since; 0 = none */
    js_seq_t pos_last;   /* highest sequence any record of it showed */
    js_time_t pos_last_time;
    js_time_t min_time, max_time; /* over live messages; 0 when none were seen */
    js_time_t reach_time; /* the newest of this block and all before it: ascending */
    /* of live messages; of unread blocks only msgs and bytes are known */
    uint64_t msgs, bytes, payload_bytes, hdr_bytes, subject_bytes;
    uint64_t removals;
    /* Of its tombstones: the largest for messages of earlier blocks (unread: as large as can be), and the
     * largest of all; and the highest sequence of its other records. 0 = none */
    js_seq_t tomb_top, tomb_last, rec_last;
    js_seq_t rec_first; /* no record of a message in the file is older, be it removed since; 0 = none */
    uint32_t ttls, schedules; /* messages with such headers */
    unsigned char uncounted;  /* JS_COUNTED_*: which of the two nobody has counted yet */
    uint64_t compacted_bytes; /* live bytes when it was last rewritten; 0 = never */
    uint64_t counted;       /* bytes of slots, as they are in the stream's slots_memory */
    struct js_slots *slots; /* NULL: cold */
    struct js_cold *cold;   /* NULL: in memory */
    atomic_uint parts;      /* records read by themselves since it left the cache (a hint) */
    atomic_uint last_taken; /* slot read last (a hint) */
    bool odd;               /* damage was seen: its slots cannot be made anew */
    /* what the file looked like, for refresh */
    uint64_t st_ino;
    int64_t st_mtime_ns;
};

#define JS_COUNTED_TTLS      1u
#define JS_COUNTED_SCHEDULES 2u

struct js_found { /* an owned js_problem */
    struct js_problem p;
    char *file;
    char *text;
};

struct js_listener {
    js_change_fn fn;
    void *ctx;
    struct js_listener *next;
};

struct js_text { /* texts that were handed out stay until the stream goes */
    struct js_text *next;
    char s[];
};

/* How many messages of a block match, as long as the block stays as it was. */
struct js_block_count {
    uint32_t number, slots;
    uint64_t removals;
    uint64_t msgs;
};

/* The subjects that a filter lets pass, shared by all who ask with the same filter. The set never
 * changes; when subjects were added, another one takes its place. */
struct js_compiled {
    atomic_uint refs;
    uint32_t generation; /* of the stream's subjects that the set speaks of */
    struct js_id_set set;
    char *key;
    size_t key_len;
    pthread_mutex_t mu;
    struct js_block_count *counts; /* by block index; guarded by mu */
    size_t num_counts;
};

#define JS_KEPT_FILTERS 16

/* The filters used last. */
struct js_filters {
    pthread_mutex_t mu;
    struct js_compiled *entries[JS_KEPT_FILTERS]; /* newest first */
};

void js_filters_init(struct js_filters *filters);
void js_filters_done(struct js_filters *filters, const struct js_env *env);

/* What consumers want (core/consumer/interest.h). */
struct js_interest {
    char **filters;
    size_t count, cap;
    bool everything, known;
};

struct js_writer; /* core/stream/writer.h */
struct js_dedup;  /* core/stream/rules.h */
struct js_ttl;
struct js_sched;

/* Shared by everyone who waits for a sync; its own lock, never taken with the stream's held. */
struct js_sync_waiter;
struct js_syncer {
    pthread_mutex_t mu;
    pthread_cond_t done; /* away changed */
    bool running;        /* someone syncs, or was told to */
    uint64_t synced; /* writes up to this one are on disk */
    bool away;       /* what was dirty has been taken, and is on its way without the stream's lock */
    int failed;      /* why that went wrong; 0 = it never did */
    struct js_sync_waiter *first, **last; /* in the order in which they came */
    atomic_uint waiting; /* how many those are; changed with mu */
    unsigned served;     /* so many the last sync was for */
    js_time_t took;      /* and so long it took */
};
void js_syncer_init(struct js_syncer *syncer);
void js_syncer_done(struct js_syncer *syncer);

#define JS_LAST_ID 256
struct js_consumer; /* core/consumer/consumer.h */

/* How many removals are remembered one by one. */
#define JS_REMOVED_LOG 256

struct js_stream {
    const struct js_env *env;
    struct js_store *store;
    atomic_int refs;
    char *account;
    char *name;       /* by directory */
    uint64_t identity; /* names its blocks in the cache */
    struct js_cache *cache;
    struct js_vault *vault; /* the store's */
    js_key_fn key_fn, prev_key_fn;
    void *key_ctx;
    struct js_files files;
    bool rw;
    enum js_sync_mode sync_mode;
    unsigned sync_interval; /* seconds */
    unsigned scan_threads;
    uint64_t compact_min; /* bytes */
    bool scan_all;         /* never open by index.db alone */
    uint64_t index_budget; /* bytes for slots */
    uint64_t block_size;   /* of new blocks; 0 = by the configuration */
    bool async;            /* store calls may leave records in the buffer */
    bool no_expire;        /* age and TTLs take nothing out */
    bool lz4;              /* lies in jetfs/, where no server looks: blocks may be LZ4 */
    struct js_recent recent;
    struct js_filters filters;
    struct js_walk walk;
    struct js_peek peek;
    struct js_syncer syncer;
    atomic_bool has_listeners;

    pthread_rwlock_t lock;
    /* guarded by lock: */
    struct js_stream_config config;
    bool has_config;
    struct js_text *config_text;
    struct js_text *old_texts;
    struct js_block_key *seed; /* of meta.key, in the vault; NULL: plain, or no key opens it */
    bool encrypted;
    enum js_health health;
    struct js_found *found;
    size_t num_found, cap_found;
    uint64_t dropped_found; /* beyond the limit of what is kept */
    struct js_subjects subjects;
    struct js_block **blocks; /* ascending number */
    size_t num_blocks, cap_blocks;
    uint64_t msgs, bytes;
    js_seq_t first_seq, last_seq;
    js_time_t first_time, last_time;
    uint64_t lost;      /* damaged slots */
    uint64_t removals;
    struct js_interest interest;
    uint64_t removed_logged; /* single messages that were removed, and which they were */
    js_seq_t removed_log[JS_REMOVED_LOG];
    size_t unread;         /* blocks that only index.db told of */
    bool miscounted;       /* while opening: index.db's totals do not fit the records */
    /* A line->first or line->last may be that of a removed message (hints; relaxed order). */
    atomic_bool stale_firsts, stale_lasts;
    uint64_t slots_memory; /* of the blocks in memory */
    size_t trimmed;        /* blocks before this one were looked at by js_stream_trim */
    uint32_t generation; /* grows when everything was read anew: ids mean other subjects */
    struct js_index_db *index; /* trusted index.db while opening and for verify; may be NULL */
    bool index_fresh;          /* it describes the directory as it is */
    bool index_spoke;          /* it, or one that is only older, was used at opening: so may be what servers
                                  write beside it */
    bool verified;
    struct js_writer *writer;  /* rw only, made at the first write */
    int write_error;           /* sticky: WRITE_FAILED from then on */
    bool unmended;             /* damage was seen after the first write (prepare.c) */
    const char *unwritable;    /* why it must not be written (prepare.c); NULL = nothing known */
    bool sum_staged;           /* meta.sum.tmp is the sum that belongs to meta.inf */
    bool backing_up;           /* block files stay until the backup is over */
    uint64_t last_gen;         /* writes that were counted by writers that are gone */
    bool gone;                 /* deleted */
    bool first_time_stale;     /* first_time is that of a removed message */
    uint32_t min_block;        /* numbers below were given before */
    uint32_t *graves;          /* blocks whose files go after the next sync */
    size_t num_graves, cap_graves;
    js_removed_fn on_removed;
    void *on_removed_ctx;
    struct js_dedup *dedup;    /* NULL: made when needed */
    struct js_ttl *ttl;        /* NULL: made when needed */
    struct js_sched *sched;    /* NULL: made when needed */
    char last_id[JS_LAST_ID];  /* Nats-Msg-Id of the newest message */
    size_t last_id_len;
    bool last_id_known;
    bool expire_looked;        /* expiry ran since opening */
    js_time_t expire_retry;    /* the last try failed: not before; 0 = it did not */
    js_time_t expire_next;     /* when max_age may take something; 0 = look now, INT64_MAX = never */

    /* How many consumers there are, looked up at most once a second (hints; relaxed order). */
    _Atomic uint64_t consumers;
    _Atomic js_time_t consumers_at; /* monotonic; 0 = never */

    pthread_mutex_t listeners_mu;
    struct js_listener *listeners; /* guarded by listeners_mu */

    pthread_mutex_t retire_mu; /* removing what was acknowledged, making and deleting consumers */
    pthread_mutex_t consumers_mu;
    struct js_consumer *consumers_open; /* guarded by consumers_mu */
    bool consumers_closed;              /* so is this: the stream closes */
};

/* ---- problems.c: lock held for writing ------------------------------------------------------ */

/* Remembers a finding (text by format) and raises the stream's health. Kept findings are limited to
 * 10,000; more are counted. Out of memory is reported as NOMEM. */
int js_stream_report(struct js_stream *stream, const struct js_problem *problem, const char *format,
                     ...) __attribute__((format(printf, 3, 4)));
/* "msgs/<number>.blk" into a buffer of at least 32 bytes. */
const char *js_block_file(char *buf, uint32_t number);
void js_stream_clear_problems(struct js_stream *stream);

/* ---- open.c ---------------------------------------------------------------------------------- */

/* Reads the stream in (all but its identity is zero): what index.db describes is taken from there
 * unless scan is true. */
int js_stream_load(struct js_stream *stream, bool scan);
/* Reads it in again; on failure it stays as it was (reload.c). keep_subjects: their ids stay. lock held
 * for writing. */
int js_stream_reload(struct js_stream *stream, bool scan, bool keep_subjects);
/* js_stream_scan() with the lock held for writing. */
int js_stream_scan_locked(struct js_stream *stream);
/* Takes the lock for reading, with every block read (see js_stream_scan). */
int js_stream_lock_scanned(struct js_stream *stream);
/* Frees what js_stream_load made; subjects may stay (without messages), so that their ids stay. */
void js_stream_unload(struct js_stream *stream, bool keep_subjects);

/* ---- meta_load.c ----------------------------------------------------------------------------- */

/* meta.inf, meta.sum and meta.key; findings are reported. */
/* An update of a configuration that a crash cut between two renames (meta_write.h): is the right sum in the
 * file that was to be renamed? */
bool js_stream_sum_staged(struct js_stream *stream, const char *path, const char want[17]);
int js_stream_load_meta(struct js_stream *stream);
int js_stream_set_config_text(struct js_stream *stream, const char *text, size_t len);
/* Opens a key file's bytes with the current and the previous server key. WRONG_KEY, NO_KEY,
 * CORRUPT. */
int js_stream_open_key(struct js_stream *stream, const uint8_t *file, size_t len,
                       const char *context, struct js_block_key *ret_key);

/* ---- index_load.c ---------------------------------------------------------------------------- */

/* Reads index.db and tests it against the directory (docs/disk-format.md "When index.db is
 * trusted"). Sets stream->index and index_fresh, or leaves them NULL and reports why. numbers: the
 * block numbers on disk, ascending. */
int js_stream_load_index(struct js_stream *stream, const uint32_t *numbers, size_t count);
void js_stream_drop_index(struct js_stream *stream);
/* Live messages of a block according to its entry (unread.c). */
uint64_t js_index_msgs(const struct js_index_block *entry);

/* ---- read_block.c ---------------------------------------------------------------------------- */

/* Loads N.key if there is one (or the stream is encrypted) into *ret_key (NULL: plain), which is
 * given back to the stream's vault. Gives the scan verdict for keys that are missing or wrong. */
int js_stream_block_key(struct js_stream *stream, uint32_t number, struct js_block_key **ret_key,
                        enum js_scan_verdict *ret_verdict);
/* Wipes and frees the block's key. */
void js_block_forget_key(struct js_stream *stream, struct js_block *block);
/* Reads, decodes and walks a block into scan (reset by it). The key as above. */
int js_stream_scan_block(struct js_stream *stream, uint32_t number, struct js_block_key **ret_key,
                         struct js_scan *scan);
/* Decoded bytes of a block through the cache, one reference. lock held. */
int js_stream_block_bytes(struct js_stream *stream, struct js_block *block,
                          struct js_cached **ret_bytes);
/* The same; fn sees the entry's bytes before upto, once or as they are read: all of them once last is
 * true. It may set flags of what it verified. */
typedef void js_piece_fn(void *ctx, struct js_cached *entry, size_t upto, bool last);
int js_stream_block_pieces(struct js_stream *stream, struct js_block *block, js_piece_fn *fn, void *ctx,
                           struct js_cached **ret_bytes);
/* The same for the block of a place, which is about to be read in order: what lives in it is verified. */
int js_stream_block_verified(struct js_stream *stream, const struct js_place *at,
                             struct js_cached **ret_bytes);
/* Decoded bytes off..off+len of a block: from the cache, or a few bytes of a plain file. The entry
 * given holds them from *ret_at on. */
int js_stream_block_part(struct js_stream *stream, struct js_block *block, uint64_t off, size_t len,
                         struct js_cached **ret_bytes, const uint8_t **ret_at);
/* The same, without cache, of a block whose file is known to be not compressed, and of this key (NULL: none);
 * reads nothing of block that other readers may be finding out. */
int js_stream_plain_part(struct js_stream *stream, struct js_block *block,
                         const struct js_block_key *key, uint64_t off, size_t len,
                         struct js_cached **ret_bytes, const uint8_t **ret_at);
/* The first len bytes of the record in a slot: from the cached block, or read by themselves. After a
 * few of those (or if asked) the whole block is read. One reference in *ret_entry. lock held. */
int js_stream_slot_bytes(struct js_stream *stream, const struct js_place *at, size_t len,
                         bool whole_block, struct js_cached **ret_entry, const uint8_t **ret_at);
/* The message in a slot; hash verified. One reference in ret_msg->owner. JS_NEED_SCAN: its subject is not what
 * index.db lists (bare slots alone). lock held. */
int js_stream_slot_msg(struct js_stream *stream, const struct js_place *at, bool whole_block,
                       struct js_msg *ret_msg);
/* The same from a cached block that the caller holds (no reference is taken; ret_msg borrows it).
 * False when it is not in there or not provable from it. */
bool js_stream_slot_in(struct js_stream *stream, const struct js_place *at,
                       struct js_cached *entry, struct js_msg *ret_msg);
/* Verifies a live slot's record in a cached copy of its block, so that reading it costs less. What
 * fails is found again, and told, by who reads it. */
void js_stream_slot_check(const struct js_stream *stream, const struct js_place *at,
                          struct js_cached *entry);
/* Header and payload length of a slot, from the index (from the record in the rare case that the
 * header is too long for it). */
int js_stream_slot_sizes(struct js_stream *stream, const struct js_place *at, uint32_t *ret_hdr,
                         uint32_t *ret_payload);

/* ---- ingest.c: lock held for writing ----------------------------------------------------------- */

/* Tombstones seen so far; applied once all blocks are in. */
struct js_tombs {
    const struct js_env *env;
    struct js_tomb {
        js_seq_t seq;
        js_time_t time;
    } *list;
    size_t count, cap;
};

/* What is known about a block besides its records. */
struct js_block_prior {
    js_seq_t first;                  /* sequences below are deleted; 0 = unknown */
    const struct js_seqset *deleted; /* may be NULL */
    js_seq_t upto;                   /* the index speaks for sequences up to here; 0 = nothing */
    size_t upto_rec;                 /* fresh for records before this one (SIZE_MAX: all) */
    js_seq_t last;                   /* position known (N.idx, index.db), 0 = unknown */
    js_time_t last_time;
    bool fresh;                      /* what is missing in first..upto is lost, not deleted */
    bool gaps_only;                  /* deleted explains gaps, but no record that is there */
    bool newest;                     /* the last block: its end may be torn */
    bool counted;                    /* what the index speaks of was counted for the subjects: */
    uint64_t msgs;                   /* so many messages */
};

/* Adds a scanned block at the end of the stream. */
int js_stream_ingest(struct js_stream *stream, struct js_scan *scan, struct js_block_key *key,
                     const struct js_block_prior *prior, js_seq_t next_first,
                     struct js_tombs *tombs);
/* Adds one live message to a block's slots, the subjects and all sums. */
int js_stream_add_slot(struct js_stream *stream, struct js_block *block,
                       const struct js_record *rec, uint32_t off);
/* The same for a subject whose id is known; of the record only lengths, sequence and time count. */
int js_stream_add_known(struct js_stream *stream, struct js_block *block,
                        const struct js_record *rec, uint32_t off, uint32_t sid);
int js_tombs_add(struct js_tombs *tombs, js_seq_t seq, js_time_t time);
static inline void js_block_note_tomb(struct js_block *b, js_seq_t seq) {
    if (seq < b->search_first && seq > b->tomb_top)
        b->tomb_top = seq;
    if (seq > b->tomb_last)
        b->tomb_last = seq;
}
/* Takes a block off the list; its file is unlinked after the next sync (remove.c). */
int js_stream_bury(struct js_stream *stream, size_t index);
/* Time of the first message, looked up if need be; lock held. */
js_time_t js_stream_first_time(struct js_stream *stream);
/* Takes the message in a slot out of the sums (slot stays, chain stays); a damaged one, too. The
 * block is in memory. */
int js_stream_drop_slot(struct js_stream *stream, struct js_block *block, uint32_t slot);
int js_stream_apply_tombs(struct js_stream *stream, struct js_tombs *tombs);
/* First live (or damaged) sequence and its time; first = last + 1 when there is none. */
int js_stream_find_first(struct js_stream *stream);
struct js_block *js_stream_add_block(struct js_stream *stream, uint32_t number);

/* ---- limits.c: lock held for writing ----------------------------------------------------------- */

/* Takes out what the configured limits had removed before the stream was closed badly: such
 * removals leave no record, only index.db knows them, and it is missing or old. max_age is left
 * alone: looking at an old store does not make it older. */
int js_stream_limit_loaded(struct js_stream *stream);
/* True if js_stream_limit_loaded would take something out. */
bool js_stream_over_limits(const struct js_stream *stream);
/* The same without a look at every subject. */
bool js_stream_over_totals(const struct js_stream *stream);

/* ---- refresh.c: lock held for writing ---------------------------------------------------------- */

/* 1 if the directory is as it was when it was read, 0 if not (a server works in it). */
int js_stream_is_same(struct js_stream *stream);
/* After a question that ended with r: true when a block's file was found gone (STALE) because somebody
 * else changed the directory, and the stream has been read anew: ask again. tries begins with 0 and
 * bounds how often. No lock is held. */
bool js_stream_reread(struct js_stream *stream, int r, int *tries);
/* So often a directory that changes meanwhile is read again. */
#define JS_REREADS 8

/* ---- find.c: lock held --------------------------------------------------------------------- */

/* The block whose range holds seq (it may not hold a message), or NULL. */
/* No file holds the record of an older message, be it removed since (lock held). Tombstones from there on
 * must stay: without index.db they alone tell that what they name is gone. */
js_seq_t js_stream_oldest_record(const struct js_stream *stream);
struct js_block *js_stream_block_of(const struct js_stream *stream, js_seq_t seq, size_t *ret_index);
/* First slot (live, or damaged if asked) with sequence >= seq: 1, 0 at the end, or what js_place_at
 * gives. */
int js_stream_slot_from(struct js_stream *stream, js_seq_t seq, bool with_damaged,
                        struct js_place *at);
/* Last one with sequence <= seq. */
int js_stream_slot_before(struct js_stream *stream, js_seq_t seq, bool with_damaged,
                          struct js_place *at);
/* The slot of exactly this sequence, live or damaged: 1, 0 if there is none, or as above. */
int js_stream_slot_at(struct js_stream *stream, js_seq_t seq, struct js_place *at);
/* ---- by_subject.c: lock held, every block read ---------------------------------------------- */

/* Oldest and newest live message of a subject: 1, 0 if there is none, or an error. */
int js_stream_first_of(struct js_stream *stream, uint32_t sid, struct js_place *at);
int js_stream_last_of(struct js_stream *stream, uint32_t sid, struct js_place *at);
/* Moves to the first live message of a subject with sequence >= seq (or the last one) in the place's
 * block, read or not; false if there is none. */
bool js_stream_find_in(struct js_place *at, uint32_t sid, js_seq_t seq, bool last);
/* First live message of a subject with sequence >= seq. */
int js_stream_next_of(struct js_stream *stream, uint32_t sid, js_seq_t seq, struct js_place *at);
/* Makes line->last exact for the subjects of a matcher: many stale ones cost one pass over the
 * messages, not a search each. */
struct js_matcher;
int js_stream_settle(struct js_stream *stream, const struct js_matcher *m, struct js_place *at);

/* first and last of a line are corrected by readers, too; what they store is right at any time. */
static inline js_seq_t js_line_seq(const js_seq_t *p) {
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline js_seq_t js_place_seq(const struct js_place *at) {
    return js_slot_seq(at->slots, at->slot);
}
static inline uint32_t js_place_len(const struct js_place *at) {
    return at->slots->at[at->slot].len;
}
/* Whether a trusted index tells which subjects there are. */
bool js_stream_lists_subjects(const struct js_stream *stream);
/* True if a trusted index or the configuration knows this subject. */
bool js_stream_knows_subject(struct js_stream *stream, const char *subject, size_t len);

/* ---- filter.c ------------------------------------------------------------------------------ */

/* A filter in use: all, one literal subject, or a compiled set. */
struct js_matcher {
    const struct js_env *env;
    bool all;
    bool literal;
    const struct js_id_set *set; /* NULL: all */
    struct js_compiled *compiled; /* one reference; NULL: literal or all */
    struct js_id_set one;         /* literal */
    struct js_filter filter;      /* borrowed patterns */
};
void js_matcher_init(struct js_matcher *m, struct js_stream *stream,
                     const struct js_filter *filter);
void js_matcher_done(struct js_matcher *m);
/* Makes the matcher decide about all subjects there are; lock held. Needs it for writing when the
 * order of subjects has to be built: returns 1 if so and nothing was done. */
int js_matcher_update(struct js_matcher *m, struct js_stream *stream, bool can_build);
static inline bool js_matcher_has(const struct js_matcher *m, uint32_t sid) {
    if (m->all)
        return true;
    return m->set->only != JS_NO_ID ? sid == m->set->only : js_id_set_has(m->set, sid);
}
/* Takes the read lock, with every block read and the matcher up to date. */
int js_stream_lock_matched(struct js_stream *stream, struct js_matcher *m);
/* The same, but blocks that only index.db told of stay unread. */
int js_stream_lock_matched_unread(struct js_stream *stream, struct js_matcher *m);

/* ---- match.c ----------------------------------------------------------------------------------- */

/* The same for a walk over messages: it needs no block but those that it comes to, unless the filter
 * is that of one subject, whose chain needs all. */
int js_stream_lock_walk(struct js_stream *stream, struct js_matcher *m);

/* ---- match.c: lock held, matcher up to date ----------------------------------------------------- */

/* The next matching slot with sequence >= seq (damaged ones match "all" only): 1, 0 at the end, or
 * what js_place_at gives. */
int js_stream_next_match(struct js_stream *s, const struct js_matcher *m, js_seq_t seq,
                         struct js_place *at);
/* The last one with sequence <= seq. */
int js_stream_prev_match(struct js_stream *s, const struct js_matcher *m, js_seq_t seq,
                         struct js_place *at);

/* ---- notify.c -------------------------------------------------------------------------------- */
void js_stream_notify(struct js_stream *stream, js_seq_t first, uint64_t n);

/* ---- store side (core/store/store.h) --------------------------------------------------------- */
struct js_stream *js_stream_new(struct js_store *store, const struct js_env *env,
                                const char *account, const char *name);
void js_stream_free(struct js_stream *stream);

#endif
