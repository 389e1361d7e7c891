/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream/readahead.h"

#include "core/stream/stream.h"

/* Verified under one hold of the lock, so that who appends does not wait for a whole block. */
#define PIECE_BYTES (256u * 1024)

struct js_readahead {
    struct js_stream *stream;
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t changed;
    atomic_bool stop; /* written with mu */
    /* guarded by mu: */
    js_seq_t wanted; /* 0 = nothing */
    bool bare;       /* slots of what is wanted may be bare */
    bool loading;    /* what was asked for last is not in the cache yet */
};

static void loaded(struct js_readahead *ahead) {
    pthread_mutex_lock(&ahead->mu);
    ahead->loading = ahead->wanted != 0;
    pthread_cond_broadcast(&ahead->changed);
    pthread_mutex_unlock(&ahead->mu);
}

/* Takes the bytes of the block with the first message >= seq through the cache. A cache that cannot
 * hold what is read, what comes next and some more would lose it. lock held. */
static void load(struct js_stream *s, js_seq_t seq, bool bare, struct js_cached **ret_entry) {
    struct js_place at = {.bare = bare};

    if (js_stream_slot_from(s, seq, true, &at) == 1 &&
        at.block->raw_size <= s->cache->budget / 4)
        (void)js_stream_block_verified(s, &at, ret_entry);
    js_place_done(s, &at);
}

/* Verifies messages of the entry's block from seq on. Returns where to go on, 0 when done. */
static js_seq_t verify_piece(struct js_stream *s, js_seq_t seq, bool bare,
                             struct js_cached *entry) {
    struct js_place at = {.bare = bare};
    size_t bytes = 0;

    if (js_stream_slot_from(s, seq, true, &at) != 1 || at.block->number != entry->number ||
        at.block->version != entry->version) {
        js_place_done(s, &at);
        return 0;
    }
    for (; at.slot < at.slots->count && bytes < PIECE_BYTES; at.slot++) {
        if (!js_slot_live(at.slots, at.slot))
            continue;
        js_stream_slot_check(s, &at, entry);
        bytes += js_place_len(&at);
    }
    seq = at.slot < at.slots->count ? js_place_seq(&at) : 0;
    js_place_done(s, &at);
    return seq;
}

static void read_block(struct js_readahead *ahead, js_seq_t seq, bool bare) {
    struct js_stream *s = ahead->stream;
    struct js_cached *entry = NULL;
    bool told = false;

    while (seq && !atomic_load(&ahead->stop)) {
        pthread_rwlock_rdlock(&s->lock);
        if (!entry)
            load(s, seq, bare, &entry);
        if (!told)
            loaded(ahead);
        told = true;
        seq = entry ? verify_piece(s, seq, bare, entry) : 0;
        pthread_rwlock_unlock(&s->lock);
    }
    if (!told)
        loaded(ahead);
    js_cached_unref(entry);
}

static void *work(void *arg) {
    struct js_readahead *ahead = arg;

    pthread_mutex_lock(&ahead->mu);
    while (!atomic_load(&ahead->stop)) {
        js_seq_t seq = ahead->wanted;
        bool bare = ahead->bare;
        if (!seq) {
            pthread_cond_wait(&ahead->changed, &ahead->mu);
            continue;
        }
        ahead->wanted = 0;
        pthread_mutex_unlock(&ahead->mu);
        read_block(ahead, seq, bare);
        pthread_mutex_lock(&ahead->mu);
    }
    pthread_mutex_unlock(&ahead->mu);
    return NULL;
}

int js_readahead_new(struct js_stream *stream, struct js_readahead **ret_ahead) {
    struct js_readahead *ahead = js_calloc(stream->env, 1, sizeof *ahead);

    if (!ahead)
        return JS_ERR_NOMEM;
    ahead->stream = stream;
    atomic_init(&ahead->stop, false);
    pthread_mutex_init(&ahead->mu, NULL);
    pthread_cond_init(&ahead->changed, NULL);
    if (pthread_create(&ahead->thread, NULL, work, ahead) != 0) {
        pthread_cond_destroy(&ahead->changed);
        pthread_mutex_destroy(&ahead->mu);
        js_free(stream->env, ahead);
        return JS_ERR_NOMEM;
    }
    *ret_ahead = ahead;
    return 0;
}

void js_readahead_want(struct js_readahead *ahead, js_seq_t seq, bool bare) {
    pthread_mutex_lock(&ahead->mu);
    ahead->wanted = seq;
    ahead->bare = bare;
    ahead->loading = true;
    pthread_cond_broadcast(&ahead->changed);
    pthread_mutex_unlock(&ahead->mu);
}

void js_readahead_settle(struct js_readahead *ahead) {
    pthread_mutex_lock(&ahead->mu);
    while (ahead->loading)
        pthread_cond_wait(&ahead->changed, &ahead->mu);
    pthread_mutex_unlock(&ahead->mu);
}

void js_readahead_free(struct js_readahead *ahead) {
    if (!ahead)
        return;
    pthread_mutex_lock(&ahead->mu);
    atomic_store(&ahead->stop, true);
    pthread_cond_broadcast(&ahead->changed);
    pthread_mutex_unlock(&ahead->mu);
    pthread_join(ahead->thread, NULL);
    pthread_cond_destroy(&ahead->changed);
    pthread_mutex_destroy(&ahead->mu);
    js_free(ahead->stream->env, ahead);
}

/* ---- for single loads ------------------------------------------------------------------------- */

void js_walk_init(struct js_walk *walk) {
    *walk = (struct js_walk){0};
    pthread_mutex_init(&walk->mu, NULL);
    pthread_mutex_init(&walk->loading, NULL);
}

void js_walk_done(struct js_walk *walk) {
    js_readahead_free(walk->ahead);
    pthread_mutex_destroy(&walk->mu);
    pthread_mutex_destroy(&walk->loading);
}

void js_walk_on(struct js_stream *s, size_t block, enum js_walk_at where, bool bare) {
    /* At the end of a block the next one is needed at once, by who calls. */
    static const int steps[] = {[JS_WALK_BEGUN] = 1,
                                [JS_WALK_BEGUN_BACK] = -1,
                                [JS_WALK_ENDED] = 2,
                                [JS_WALK_ENDED_BACK] = -2};
    struct js_walk *walk = &s->walk;
    size_t want = block + (size_t)steps[where];

    if (want >= s->num_blocks) /* below 0, too */
        return;
    const struct js_block *b = s->blocks[want];
    struct js_cached *there = js_cache_get(s->cache, s->identity, b->number, b->version);
    js_cached_unref(there);
    if (there)
        return;
    pthread_mutex_lock(&walk->mu);
    if (walk->ahead ? walk->asked != want : js_readahead_new(s, &walk->ahead) == 0) {
        walk->asked = want;
        js_readahead_want(walk->ahead, b->search_first, bare);
    }
    pthread_mutex_unlock(&walk->mu);
}

void js_walk_over(struct js_stream *s, size_t from, size_t to) {
    const struct js_block *b = s->blocks[from];
    struct js_cached *e = js_cache_get(s->cache, s->identity, b->number, b->version);

    /* Its memory may serve for another one. */
    if (e)
        atomic_store_explicit(&e->walked, true, memory_order_relaxed);
    js_cached_unref(e);
    /* Slots of the next one are made meanwhile, if there are none. */
    b = to + 1 < s->num_blocks ? s->blocks[to + 1] : NULL;
    if (s->unread && to == from + 1 && b && b->cold &&
        !atomic_load_explicit(&b->cold->kept, memory_order_acquire))
        js_walk_on(s, to, JS_WALK_BEGUN, false);
}
