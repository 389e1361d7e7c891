/* SPDX-License-Identifier: Apache-2.0 */
#include "core/block/cache.h"

static struct js_spares *new_spares(const struct js_env *env, uint64_t budget) {
    struct js_spares *sp = js_calloc(env, 1, sizeof *sp);

    if (!sp)
        return NULL;
    sp->env = env;
    sp->max_cap = budget / JS_CACHE_SPARES;
    atomic_init(&sp->refs, 1);
    pthread_mutex_init(&sp->mu, NULL);
    return sp;
}

static void empty_spares(struct js_spares *sp) {
    pthread_mutex_lock(&sp->mu);
    for (size_t i = 0; i < JS_CACHE_SPARES; i++) {
        js_free(sp->env, sp->list[i].data);
        sp->list[i] = (struct js_spare){0};
    }
    pthread_mutex_unlock(&sp->mu);
}

static void unref_spares(struct js_spares *sp) {
    if (!sp || atomic_fetch_sub_explicit(&sp->refs, 1, memory_order_acq_rel) != 1)
        return;
    empty_spares(sp);
    pthread_mutex_destroy(&sp->mu);
    js_free(sp->env, sp);
}

/* A kept buffer of at least size bytes and not much more, or NULL. */
static uint8_t *take_spare(struct js_spares *sp, size_t size, size_t *ret_cap) {
    uint8_t *data = NULL;

    pthread_mutex_lock(&sp->mu);
    for (size_t i = 0; i < JS_CACHE_SPARES && !data; i++) {
        struct js_spare *spare = &sp->list[i];
        if (spare->data && spare->cap >= size && spare->cap / 2 <= size) {
            data = spare->data;
            *ret_cap = spare->cap;
            *spare = (struct js_spare){0};
        }
    }
    pthread_mutex_unlock(&sp->mu);
    return data;
}

/* True if the buffer is kept. */
static bool give_spare(struct js_spares *sp, uint8_t *data, size_t cap) {
    bool kept = false;

    if (cap < JS_CACHE_SPARE_MIN || cap > sp->max_cap)
        return false;
    pthread_mutex_lock(&sp->mu);
    for (size_t i = 0; i < JS_CACHE_SPARES && !kept; i++) {
        if (!sp->list[i].data) {
            sp->list[i] = (struct js_spare){.data = data, .cap = cap};
            kept = true;
        }
    }
    pthread_mutex_unlock(&sp->mu);
    return kept;
}

void js_cache_init(struct js_cache *cache, const struct js_env *env, uint64_t budget) {
    *cache = (struct js_cache){.env = env, .budget = budget};
    pthread_mutex_init(&cache->mu, NULL);
    /* Without memory for it the cache works all the same. */
    cache->spares = new_spares(env, budget);
    js_open_files_init(&cache->files, env);
}

struct js_cached *js_cached_new(const struct js_env *env, struct js_cache *cache, size_t size) {
    struct js_cached *e = js_calloc(env, 1, sizeof *e);

    if (!e)
        return NULL;
    e->env = env;
    atomic_init(&e->refs, 1);
    e->cap = size;
    if (cache && cache->spares && size >= JS_CACHE_SPARE_MIN) {
        e->home = cache->spares;
        atomic_fetch_add_explicit(&e->home->refs, 1, memory_order_relaxed);
        e->data = take_spare(e->home, size, &e->cap);
    }
    if (!e->data)
        e->data = js_malloc(env, size ? size : 1);
    if (!e->data) {
        js_cached_unref(e);
        return NULL;
    }
    return e;
}

int js_cached_add_flags(struct js_cached *e, size_t len) {
    uint32_t bits = (uint32_t)(len >> JS_CHECK_SHIFT) + 1;

    js_free(e->env, (void *)e->checked);
    e->checked_bits = 0;
    e->checked = js_calloc(e->env, bits / 64 + 1, sizeof *e->checked);
    if (!e->checked)
        return JS_ERR_NOMEM;
    e->checked_bits = bits;
    return 0;
}

void js_cached_ref(struct js_cached *e) {
    /* Relaxed: whoever takes a reference already holds one. */
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
}

void js_cached_unref(struct js_cached *e) {
    if (!e)
        return;
    /* Release our reads before the last user frees, acquire theirs before freeing. */
    if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (!e->data || !e->home || !give_spare(e->home, e->data, e->cap))
        js_free(e->env, e->data);
    unref_spares(e->home);
    js_free(e->env, (void *)e->checked);
    js_free(e->env, e);
}

static struct js_cached **bucket_of(struct js_cache *cache, uint64_t owner, uint32_t number) {
    uint64_t h = (owner * 0x9E3779B97F4A7C15ull) ^ (number * 0xBF58476D1CE4E5B9ull);
    return &cache->buckets[(h >> 32) & 1023];
}

/* Takes an entry out of list and table; lock held. The cache's reference goes to the caller. */
static void take_out(struct js_cache *cache, struct js_cached *e) {
    struct js_cached **p = bucket_of(cache, e->owner, e->number);

    while (*p != e)
        p = &(*p)->chain;
    *p = e->chain;
    if (e->prev)
        e->prev->next = e->next;
    else
        cache->newest = e->next;
    if (e->next)
        e->next->prev = e->prev;
    else
        cache->oldest = e->prev;
    e->prev = e->next = e->chain = NULL;
    e->in_cache = false;
    cache->bytes -= e->cap;
}

static void push_newest(struct js_cache *cache, struct js_cached *e) {
    e->prev = NULL;
    e->next = cache->newest;
    if (cache->newest)
        cache->newest->prev = e;
    else
        cache->oldest = e;
    cache->newest = e;
}

struct js_cached *js_cache_get(struct js_cache *cache, uint64_t owner, uint32_t number,
                               uint32_t version) {
    pthread_mutex_lock(&cache->mu);
    struct js_cached *e = *bucket_of(cache, owner, number);
    while (e && !(e->owner == owner && e->number == number && e->version == version))
        e = e->chain;
    if (e) {
        cache->hits++;
        js_cached_ref(e);
        if (!atomic_load_explicit(&e->touched, memory_order_relaxed))
            atomic_store_explicit(&e->touched, true, memory_order_relaxed);
    } else {
        cache->misses++;
    }
    pthread_mutex_unlock(&cache->mu);
    return e;
}

static void make_newest(struct js_cache *cache, struct js_cached *e) {
    if (e == cache->newest)
        return;
    e->prev->next = e->next;
    if (e->next)
        e->next->prev = e->prev;
    else
        cache->oldest = e->prev;
    push_newest(cache, e);
}

/* Takes out what was walked through, as long as the budget is passed; the newest stays. */
static struct js_cached *evict_walked(struct js_cache *cache) {
    struct js_cached *gone = NULL;

    for (struct js_cached *e = cache->oldest, *prev; e && cache->bytes > cache->budget; e = prev) {
        prev = e->prev;
        if (e == cache->newest || !atomic_load_explicit(&e->walked, memory_order_relaxed))
            continue;
        take_out(cache, e);
        e->next = gone;
        gone = e;
    }
    return gone;
}

/* Unlinks entries until the budget holds: first those that were walked through, then from the old
 * end, passing over each one that was used once; returns them chained by next. The newest stays. */
static struct js_cached *evict(struct js_cache *cache) {
    const struct js_cached *keep = cache->newest;
    struct js_cached *gone = evict_walked(cache);

    while (cache->bytes > cache->budget && cache->oldest && cache->oldest != cache->newest) {
        struct js_cached *e = cache->oldest;
        if (e == keep || atomic_exchange_explicit(&e->touched, false, memory_order_relaxed)) {
            make_newest(cache, e);
            continue;
        }
        take_out(cache, e);
        e->next = gone;
        gone = e;
    }
    return gone;
}

static void release_chain(struct js_cached *gone) {
    while (gone) {
        struct js_cached *next = gone->next;
        gone->next = NULL;
        js_cached_unref(gone);
        gone = next;
    }
}

void js_cache_put(struct js_cache *cache, struct js_cached *entry) {
    struct js_cached *gone, *old;

    pthread_mutex_lock(&cache->mu);
    old = *bucket_of(cache, entry->owner, entry->number);
    while (old && !(old->owner == entry->owner && old->number == entry->number))
        old = old->chain;
    if (old)
        take_out(cache, old);
    js_cached_ref(entry);
    struct js_cached **b = bucket_of(cache, entry->owner, entry->number);
    entry->chain = *b;
    *b = entry;
    entry->in_cache = true;
    entry->used = cache->env->clock->monotonic(cache->env->clock->ctx);
    push_newest(cache, entry);
    cache->bytes += entry->cap;
    cache->loads++;
    gone = evict(cache);
    pthread_mutex_unlock(&cache->mu);
    js_cached_unref(old);
    release_chain(gone);
}

void js_cache_retire(struct js_cache *cache, uint64_t owner) {
    struct js_cached *gone = NULL;

    pthread_mutex_lock(&cache->mu);
    for (struct js_cached *e = cache->newest, *next; e; e = next) {
        next = e->next;
        if (e->owner != owner || !atomic_load_explicit(&e->walked, memory_order_relaxed))
            continue;
        take_out(cache, e);
        e->next = gone;
        gone = e;
    }
    pthread_mutex_unlock(&cache->mu);
    release_chain(gone);
}

void js_cache_drop(struct js_cache *cache, uint64_t owner, uint32_t number) {
    struct js_cached *gone = NULL;

    pthread_mutex_lock(&cache->mu);
    for (struct js_cached *e = cache->newest, *next; e; e = next) {
        next = e->next;
        if (e->owner != owner || (number && e->number != number))
            continue;
        take_out(cache, e);
        e->next = gone;
        gone = e;
    }
    pthread_mutex_unlock(&cache->mu);
    release_chain(gone);
    js_open_files_drop(&cache->files, owner);
}

void js_cache_expire_idle(struct js_cache *cache, js_time_t now) {
    struct js_cached *gone = NULL;

    pthread_mutex_lock(&cache->mu);
    for (struct js_cached *e = cache->newest, *next; e; e = next) {
        next = e->next;
        if (atomic_exchange_explicit(&e->touched, false, memory_order_relaxed))
            e->used = now;
        if (now - e->used <= JS_CACHE_EXPIRE)
            continue;
        take_out(cache, e);
        e->next = gone;
        gone = e;
    }
    bool idle = cache->newest == NULL;
    pthread_mutex_unlock(&cache->mu);
    release_chain(gone);
    if (idle && cache->spares)
        empty_spares(cache->spares);
    if (idle)
        js_open_files_drop(&cache->files, 0);
}

void js_cache_done(struct js_cache *cache) {
    while (cache->oldest) {
        struct js_cached *e = cache->oldest;
        take_out(cache, e);
        js_cached_unref(e);
    }
    unref_spares(cache->spares);
    js_open_files_done(&cache->files);
    pthread_mutex_destroy(&cache->mu);
}
