/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoded blocks, shared by all streams of a store: reference counted; above the budget those go
 * that were not used since the last look (a clock, so that a use only sets a flag), and ones idle
 * for JS_CACHE_EXPIRE (10 s, as the peer's) when js_cache_expire_idle() runs. An entry in use is
 * never freed; it leaves the cache and is freed by its last user. A few buffers of what was freed
 * are kept for the next block: fresh memory costs more than reading into old one.
 */
#ifndef JS_CACHE_H
#define JS_CACHE_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/base/mem.h"
#include "core/block/open_files.h"

#define JS_CACHE_EXPIRE (INT64_C(10) * 1000000000)

#define JS_CACHE_SPARES 4
#define JS_CACHE_SPARE_MIN (UINT64_C(256) << 10) /* smaller buffers are not worth keeping */

struct js_spares;

/* Decoded bytes of one block, or one record read by itself (then not in the cache). */
struct js_cached {
    const struct js_env *env;
    atomic_uint refs;
    uint64_t owner;  /* identity of the stream */
    uint32_t number; /* of the block */
    uint32_t version; /* of the block when it was read */
    uint8_t *data;
    size_t len;
    size_t cap;
    _Atomic uint64_t *checked; /* bit per 16 bytes: the record that begins there was verified */
    uint32_t checked_bits;     /* 0: checked is NULL */
    struct js_spares *home; /* gets the buffer back; NULL: nobody */
    atomic_bool touched;   /* used since the last look */
    atomic_bool walked;    /* read in order to its end: the first to go */
    js_time_t used;        /* guarded by the cache's lock */
    struct js_cached *prev, *next, *chain; /* guarded by the cache's lock */
    bool in_cache;
};

/* Freed buffers. An entry may outlive its cache: whoever is last frees this. */
struct js_spares {
    const struct js_env *env;
    atomic_uint refs;
    uint64_t max_cap; /* larger ones are not kept */
    pthread_mutex_t mu;
    struct js_spare {
        uint8_t *data;
        size_t cap;
    } list[JS_CACHE_SPARES];
};

struct js_cache {
    const struct js_env *env;
    pthread_mutex_t mu;
    uint64_t budget;
    bool keep_walked; /* what was read in order to its end stays while there is room */
    uint64_t bytes;
    struct js_cached *newest, *oldest;
    struct js_cached *buckets[1024];
    uint64_t hits, misses, loads;
    struct js_spares *spares; /* NULL: none are kept */
    struct js_open_files files; /* for what is read past the cache */
};

void js_cache_init(struct js_cache *cache, const struct js_env *env, uint64_t budget);
void js_cache_done(struct js_cache *cache);

#define JS_CHECK_SHIFT 4

/* A new entry with room for size bytes, without flags; one reference. NULL: no memory. cache (may be
 * NULL) lends a spare buffer and gets it back. */
struct js_cached *js_cached_new(const struct js_env *env, struct js_cache *cache, size_t size);
/* Gives it flags for what lies in data..data + len, all unset. NOMEM. */
int js_cached_add_flags(struct js_cached *entry, size_t len);
/* Was the record at this offset of the decoded bytes verified? The flags are hints: they may be set
 * late, never wrongly. A record is at least 30 bytes long, so no two begin in the same 16. */
static inline bool js_cached_is_checked(const struct js_cached *e, uint32_t off) {
    uint32_t bit = off >> JS_CHECK_SHIFT;
    return bit < e->checked_bits &&
           (atomic_load_explicit(&e->checked[bit >> 6], memory_order_relaxed) >> (bit & 63) & 1);
}
static inline void js_cached_set_checked(struct js_cached *e, uint32_t off) {
    uint32_t bit = off >> JS_CHECK_SHIFT;
    if (bit < e->checked_bits)
        atomic_fetch_or_explicit(&e->checked[bit >> 6], UINT64_C(1) << (bit & 63),
                                 memory_order_relaxed);
}
/* The same for many records in ascending order: a flag costs little until the next word begins. Zero
 * it first; js_flags_end() sets what is left. */
struct js_flags {
    uint32_t word;
    uint64_t bits;
};
static inline void js_flags_end(struct js_flags *f, struct js_cached *e) {
    if (f->bits)
        atomic_fetch_or_explicit(&e->checked[f->word], f->bits, memory_order_relaxed);
    f->bits = 0;
}
static inline void js_flags_set(struct js_flags *f, struct js_cached *e, uint32_t off) {
    uint32_t bit = off >> JS_CHECK_SHIFT;
    if (bit >= e->checked_bits)
        return;
    if (bit >> 6 != f->word) {
        js_flags_end(f, e);
        f->word = bit >> 6;
    }
    f->bits |= UINT64_C(1) << (bit & 63);
}
void js_cached_ref(struct js_cached *entry);
void js_cached_unref(struct js_cached *entry);

/* Finds (owner, number, version) and takes a reference, or NULL. */
struct js_cached *js_cache_get(struct js_cache *cache, uint64_t owner, uint32_t number,
                               uint32_t version);
/* Puts an entry in (the cache takes a reference of its own); older versions leave. */
void js_cache_put(struct js_cache *cache, struct js_cached *entry);
/* Drops the entries of owner that were walked through: their buffers serve for what comes next. */
void js_cache_retire(struct js_cache *cache, uint64_t owner);
/* Drops what belongs to owner (number 0: all of it), its open files, too. */
void js_cache_drop(struct js_cache *cache, uint64_t owner, uint32_t number);
/* Drops entries not used since JS_CACHE_EXPIRE. */
void js_cache_expire_idle(struct js_cache *cache, js_time_t now);

#endif
