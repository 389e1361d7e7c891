/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoded blocks, shared by all streams of a store: reference counted, least recently used ones
 * are dropped above the budget, and ones idle for js_cache_expire (10 s, as the peer's) when
 * js_cache_expire_idle() runs. An entry in use is never dropped; it leaves the cache and is freed
 * by its last user.
 */
#ifndef JS_CACHE_H
#define JS_CACHE_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/base/mem.h"

#define JS_CACHE_EXPIRE (INT64_C(10) * 1000000000)

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
    js_time_t used; /* guarded by the cache's lock */
    struct js_cached *prev, *next, *chain; /* guarded by the cache's lock */
    bool in_cache;
};

struct js_cache {
    const struct js_env *env;
    pthread_mutex_t mu;
    uint64_t budget;
    uint64_t bytes;
    struct js_cached *newest, *oldest;
    struct js_cached *buckets[1024];
    uint64_t hits, misses, loads;
};

void js_cache_init(struct js_cache *cache, const struct js_env *env, uint64_t budget);
void js_cache_done(struct js_cache *cache);

#define JS_CHECK_SHIFT 4

/* A new entry with room for size bytes, without flags; one reference. NULL: no memory. */
struct js_cached *js_cached_new(const struct js_env *env, size_t size);
/* Gives it flags for what lies in data..data + len. NOMEM. */
int js_cached_add_flags(struct js_cached *entry);
void js_cached_ref(struct js_cached *entry);
void js_cached_unref(struct js_cached *entry);

/* Finds (owner, number, version) and takes a reference, or NULL. */
struct js_cached *js_cache_get(struct js_cache *cache, uint64_t owner, uint32_t number,
                               uint32_t version);
/* Puts an entry in (the cache takes a reference of its own); older versions leave. */
void js_cache_put(struct js_cache *cache, struct js_cached *entry);
/* Drops what belongs to owner (number 0: all of it). */
void js_cache_drop(struct js_cache *cache, uint64_t owner, uint32_t number);
/* Drops entries not used since JS_CACHE_EXPIRE. */
void js_cache_expire_idle(struct js_cache *cache, js_time_t now);

#endif
