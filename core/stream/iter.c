/* SPDX-License-Identifier: Apache-2.0 */
/* Ordered reading. An iterator keeps the cache's copy of the block it is in, so that messages of
 * one block cost one lookup each and no copy. */
#include "core/stream/readahead.h"
#include "core/stream/stream.h"

/* A scan that took so many whole blocks is worth a thread that reads the next one. */
#define BLOCKS_BEFORE_AHEAD 2
#define SETTLE              3 /* unlike what js_place_at gives */

struct js_iter {
    struct js_stream *stream;
    struct js_matcher matcher;
    struct js_filter filter;
    char **patterns; /* owned */
    char *subtree;
    struct js_msg current;      /* owner: what the last view borrows */
    unsigned blocks;            /* taken whole, one after another */
    bool suspect;               /* what was good before is not: a server may have changed it */
    struct js_readahead *ahead; /* NULL until it pays */
};

static void free_patterns(struct js_iter *it) {
    const struct js_env *env = it->stream->env;

    for (size_t i = 0; it->patterns && i < it->filter.count; i++)
        js_free(env, it->patterns[i]);
    js_free(env, it->patterns);
    js_free(env, it->subtree);
}

static int copy_filter(struct js_iter *it, const struct js_filter *filter) {
    const struct js_env *env = it->stream->env;

    it->filter.any_of = filter->any_of;
    if (filter->count) {
        it->patterns = js_calloc(env, filter->count, sizeof *it->patterns);
        if (!it->patterns)
            return JS_ERR_NOMEM;
        it->filter.count = filter->count;
        for (size_t i = 0; i < filter->count; i++) {
            it->patterns[i] = js_strdup(env, filter->patterns[i]);
            if (!it->patterns[i])
                return JS_ERR_NOMEM;
        }
        it->filter.patterns = (const char *const *)it->patterns;
    }
    if (filter->subtree && filter->subtree_len) {
        it->subtree = js_strndup(env, filter->subtree, filter->subtree_len);
        if (!it->subtree)
            return JS_ERR_NOMEM;
        it->filter.subtree = it->subtree;
        it->filter.subtree_len = filter->subtree_len;
    }
    return 0;
}

int js_iter_open(struct js_stream *stream, const struct js_filter *filter,
                 struct js_iter **ret_iter) {
    struct js_iter *it = js_calloc(stream->env, 1, sizeof *it);

    if (!it)
        return JS_ERR_NOMEM;
    it->stream = stream;
    if (filter) {
        int r = copy_filter(it, filter);
        if (r < 0) {
            free_patterns(it);
            js_free(stream->env, it);
            return r;
        }
    }
    js_matcher_init(&it->matcher, stream, filter ? &it->filter : NULL);
    js_stream_ref(stream);
    *ret_iter = it;
    return 0;
}

void js_iter_close(struct js_iter *iter) {
    if (!iter)
        return;
    struct js_stream *s = iter->stream;
    js_readahead_free(iter->ahead);
    js_msg_release(&iter->current);
    js_matcher_done(&iter->matcher);
    free_patterns(iter);
    js_free(s->env, iter);
    js_stream_unref(s);
}

/* A new block was begun: the one after it is read meanwhile. Without a thread there is no reading
 * ahead, and none when that block is in the cache. lock held. */
static void read_ahead(struct js_iter *iter, size_t block) {
    struct js_stream *s = iter->stream;

    if (++iter->blocks < BLOCKS_BEFORE_AHEAD || block + 1 >= s->num_blocks)
        return;
    const struct js_block *next = s->blocks[block + 1];
    struct js_cached *there = js_cache_get(s->cache, s->identity, next->number, next->version);
    js_cached_unref(there);
    if (there || (!iter->ahead && js_readahead_new(s, &iter->ahead) < 0))
        return;
    js_readahead_want(iter->ahead, next->search_first, iter->matcher.all);
}

/* Takes the first message with sequence >= from; it stays borrowed from iter->current, whose old
 * owner is given to the caller to release. may_settle: SETTLE when another block is needed, which
 * the thread that reads ahead may be reading just now. lock held. */
static int take_first(struct js_iter *iter, js_seq_t from, bool may_settle, struct js_place *at,
                      struct js_cached **ret_old, struct js_msg *ret_msg) {
    struct js_stream *s = iter->stream;
    struct js_msg msg = {0};
    int r = js_stream_next_match(s, &iter->matcher, from, at);

    if (r != 1)
        return r == 0 ? JS_ERR_EOF : r;
    js_seq_t seq = js_place_seq(at);
    /* The block of the message before usually holds this one, too. */
    if (!iter->current.owner || !js_stream_slot_in(s, at, iter->current.owner, &msg)) {
        if (may_settle && iter->ahead)
            return SETTLE;
        /* A sparse filter reads records, a dense one whole blocks. */
        bool whole = iter->matcher.all || seq == from || from + 64 > seq;
        r = js_stream_slot_msg(s, at, whole, &msg);
        if (r != 0) {
            if (r == JS_ERR_BAD_MSG)
                *ret_msg = (struct js_msg){.seq = seq};
            iter->suspect = r == JS_ERR_BAD_MSG && js_place_len(at) != JS_LEN_DAMAGED;
            return r;
        }
        *ret_old = iter->current.owner;
        if (whole)
            read_ahead(iter, at->index);
    }
    iter->current = msg;
    *ret_msg = msg;
    ret_msg->owner = NULL;
    return 0;
}

/* Further matches of the same block behind *n of them. lock held. */
static void take_more(struct js_iter *iter, struct js_place *at, size_t max_bytes,
                      struct js_msg *msgs, size_t max, size_t *n) {
    struct js_stream *s = iter->stream;
    const struct js_matcher *m = &iter->matcher;
    const struct js_slots *sl = at->slots;
    size_t bytes = msgs[0].data_len + msgs[0].hdr_len;

    while (*n < max && bytes < max_bytes) {
        uint32_t k = at->slot + 1;
        while (k < sl->count && !((m->all || js_matcher_has(m, sl->sid[k])) && sl->at[k].len != 0))
            k++;
        at->slot = k;
        if (k >= sl->count || !js_stream_slot_in(s, at, iter->current.owner, &msgs[*n]))
            return;
        msgs[*n].owner = NULL;
        bytes += msgs[*n].data_len + msgs[*n].hdr_len;
        ++*n;
    }
}

/* One try; ret_n as in js_iter_next_batch. NEED_SCAN: index.db was wrong about the block. */
static int take_batch(struct js_iter *iter, js_seq_t from, size_t max_bytes,
                      struct js_msg *ret_msgs, size_t max, size_t *ret_n) {
    struct js_stream *s = iter->stream;
    struct js_cached *old = NULL;
    struct js_place at = {.bare = iter->matcher.all};

    *ret_n = 0;
    int r = js_stream_lock_walk(s, &iter->matcher);
    if (r < 0)
        return r;
    r = take_first(iter, from, true, &at, &old, ret_msgs);
    if (r == SETTLE) {
        js_place_done(s, &at);
        pthread_rwlock_unlock(&s->lock);
        js_readahead_settle(iter->ahead);
        r = js_stream_lock_walk(s, &iter->matcher);
        if (r < 0)
            return r;
        r = take_first(iter, from, false, &at, &old, ret_msgs);
    }
    if (r == 0) {
        *ret_n = 1;
        take_more(iter, &at, max_bytes, ret_msgs, max, ret_n);
    }
    js_place_done(s, &at);
    pthread_rwlock_unlock(&s->lock);
    js_cached_unref(old);
    return r;
}

int js_iter_next_batch(struct js_iter *iter, js_seq_t from, size_t max_bytes,
                       struct js_msg *ret_msgs, size_t max, size_t *ret_n) {
    int r, tries = 0;

    do {
        iter->suspect = false;
        r = take_batch(iter, from, max_bytes, ret_msgs, max, ret_n);
        if (r == JS_NEED_SCAN) {
            r = js_stream_scan(iter->stream);
            if (r == 0)
                r = take_batch(iter, from, max_bytes, ret_msgs, max, ret_n);
        }
    } while (js_stream_reread(iter->stream, iter->suspect ? JS_ERR_STALE : r, &tries));
    return r;
}

int js_iter_next(struct js_iter *iter, js_seq_t from, struct js_msg *ret_msg) {
    size_t n;

    return js_iter_next_batch(iter, from, 0, ret_msg, 1, &n);
}
