/* SPDX-License-Identifier: Apache-2.0 */
/* Ordered reading. An iterator keeps the cache's copy of the block it is in, so that messages of one
 * block cost one lookup each and no copy. */
#include "core/stream/stream.h"

struct js_iter {
    struct js_stream *stream;
    struct js_matcher matcher;
    struct js_filter filter;
    char **patterns; /* owned */
    char *subtree;
    struct js_msg current; /* owner: what the last view borrows */
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
    js_msg_release(&iter->current);
    js_matcher_done(&iter->matcher);
    free_patterns(iter);
    js_free(s->env, iter);
    js_stream_unref(s);
}

/* Does the message in a slot match? Damaged ones have no subject: they match "all" only. */
static bool slot_matches(const struct js_matcher *m, const struct js_slots *s, uint32_t slot) {
    if (s->len[slot] == 0)
        return false;
    if (s->len[slot] == JS_LEN_DAMAGED)
        return m->all;
    return js_matcher_has(m, s->sid[slot]);
}

/* The next matching slot with sequence >= seq. lock held, matcher up to date. */
static bool next_match(const struct js_stream *s, const struct js_matcher *m, js_seq_t seq,
                       size_t *ret_block, uint32_t *ret_slot) {
    size_t bi = 0;

    if (!m->all && m->set.members == 0)
        return false;
    (void)js_stream_block_of(s, seq, &bi);
    for (; bi < s->num_blocks; bi++) {
        const struct js_slots *sl = &s->blocks[bi]->slots;
        for (uint32_t k = js_slots_lower(sl, seq); k < sl->count; k++) {
            if (slot_matches(m, sl, k)) {
                *ret_block = bi;
                *ret_slot = k;
                return true;
            }
        }
    }
    return false;
}

static bool prev_match(const struct js_stream *s, const struct js_matcher *m, js_seq_t seq,
                       size_t *ret_block, uint32_t *ret_slot) {
    size_t bi;

    while (js_stream_slot_before(s, seq, true, &bi, ret_slot)) {
        if (slot_matches(m, &s->blocks[bi]->slots, *ret_slot)) {
            *ret_block = bi;
            return true;
        }
        seq = js_slot_seq(&s->blocks[bi]->slots, *ret_slot);
        if (seq-- == 0)
            break;
    }
    return false;
}

int js_iter_next(struct js_iter *iter, js_seq_t from, struct js_msg *ret_msg) {
    struct js_stream *s = iter->stream;
    struct js_msg msg = {0};
    size_t bi;
    uint32_t slot;

    int r = js_stream_lock_matched(s, &iter->matcher);
    if (r < 0)
        return r;
    if (!next_match(s, &iter->matcher, from, &bi, &slot)) {
        r = JS_ERR_EOF;
    } else {
        struct js_block *b = s->blocks[bi];
        msg.seq = js_slot_seq(&b->slots, slot);
        /* The block of the message before usually holds this one, too. */
        if (iter->current.owner && js_stream_slot_in(s, b, slot, iter->current.owner, &msg)) {
            pthread_rwlock_unlock(&s->lock);
            iter->current = msg;
            *ret_msg = msg;
            ret_msg->owner = NULL;
            return 0;
        }
        /* A sparse filter reads records, a dense one whole blocks. */
        bool whole = iter->matcher.all || msg.seq == from || from + 64 > msg.seq;
        r = js_stream_slot_msg(s, b, slot, whole, &msg);
    }
    pthread_rwlock_unlock(&s->lock);
    if (r < 0) {
        if (r == JS_ERR_BAD_MSG)
            *ret_msg = (struct js_msg){.seq = msg.seq};
        return r;
    }
    js_msg_release(&iter->current);
    iter->current = msg;
    *ret_msg = msg;
    ret_msg->owner = NULL;
    return 0;
}

static int load_directed(struct js_stream *stream, const struct js_filter *filter, js_seq_t start,
                         bool backward, struct js_msg *ret_msg) {
    struct js_matcher m;
    size_t bi;
    uint32_t slot;

    js_matcher_init(&m, stream, filter);
    int r = js_stream_lock_matched(stream, &m);
    if (r == 0) {
        bool found = backward ? prev_match(stream, &m, start, &bi, &slot)
                              : next_match(stream, &m, start, &bi, &slot);
        if (!found) {
            r = JS_ERR_EOF;
        } else {
            struct js_block *b = stream->blocks[bi];
            r = js_stream_slot_msg(stream, b, slot, false, ret_msg);
            if (r == JS_ERR_BAD_MSG)
                *ret_msg = (struct js_msg){.seq = js_slot_seq(&b->slots, slot)};
        }
        pthread_rwlock_unlock(&stream->lock);
    }
    js_matcher_done(&m);
    return r;
}

int js_stream_load_next_msg(struct js_stream *stream, const struct js_filter *filter,
                            js_seq_t start, struct js_msg *ret_msg) {
    return load_directed(stream, filter, start, false, ret_msg);
}

int js_stream_load_prev_msg(struct js_stream *stream, const struct js_filter *filter,
                            js_seq_t start, struct js_msg *ret_msg) {
    return load_directed(stream, filter, start, true, ret_msg);
}

int js_stream_list_seqs(struct js_stream *stream, const struct js_filter *filter, js_seq_t from,
                        bool with_damaged, js_seq_t *buf, size_t max, size_t *ret_n) {
    struct js_matcher m;
    size_t bi, n = 0;
    uint32_t slot;

    js_matcher_init(&m, stream, filter);
    int r = js_stream_lock_matched(stream, &m);
    if (r == 0) {
        while (n < max && next_match(stream, &m, from, &bi, &slot)) {
            const struct js_slots *sl = &stream->blocks[bi]->slots;
            from = js_slot_seq(sl, slot);
            if (with_damaged || sl->len[slot] != JS_LEN_DAMAGED)
                buf[n++] = from;
            if (from++ == UINT64_MAX)
                break;
        }
        pthread_rwlock_unlock(&stream->lock);
        *ret_n = n;
    }
    js_matcher_done(&m);
    return r;
}

/* Adds a whole block's sums, or walks it when only a part or some subjects count. */
static int add_block(struct js_stream *s, const struct js_matcher *m, struct js_block *b,
                     js_seq_t from, js_seq_t to, struct js_totals *t) {
    const struct js_slots *sl = &b->slots;

    if (b->msgs == 0)
        return 0;
    for (uint32_t k = js_slots_lower(sl, from); k < sl->count; k++) {
        uint32_t hdr, payload;
        if (js_slot_seq(sl, k) > to)
            break;
        if (!js_slot_live(sl, k) || !js_matcher_has(m, sl->sid[k]))
            continue;
        int r = js_stream_slot_sizes(s, b, k, &hdr, &payload);
        if (r < 0)
            return r;
        t->msgs++;
        t->bytes += sl->len[k];
        t->payload_bytes += payload;
        t->hdr_bytes += hdr;
        t->subject_bytes += s->subjects.lines[sl->sid[k]].len;
        if (t->first_seq == 0)
            t->first_seq = js_slot_seq(sl, k);
        t->last_seq = js_slot_seq(sl, k);
    }
    return 0;
}

static bool covers_block(const struct js_block *b, js_seq_t from, js_seq_t to) {
    const struct js_slots *sl = &b->slots;
    return sl->count && js_slot_seq(sl, 0) >= from && js_slot_seq(sl, sl->count - 1) <= to;
}

static void add_whole(const struct js_block *b, struct js_totals *t) {
    const struct js_slots *sl = &b->slots;
    uint32_t k = 0, z = sl->count;

    if (b->msgs == 0)
        return;
    while (!js_slot_live(sl, k))
        k++;
    while (!js_slot_live(sl, z - 1))
        z--;
    t->msgs += b->msgs;
    t->bytes += b->bytes;
    t->payload_bytes += b->payload_bytes;
    t->hdr_bytes += b->hdr_bytes;
    t->subject_bytes += b->subject_bytes;
    if (t->first_seq == 0)
        t->first_seq = js_slot_seq(sl, k);
    t->last_seq = js_slot_seq(sl, z - 1);
}

int js_stream_totals(struct js_stream *stream, const struct js_filter *filter, js_seq_t from,
                     js_seq_t to, struct js_totals *ret_totals) {
    struct js_totals t = {0};
    struct js_matcher m;

    if (to == 0)
        to = UINT64_MAX;
    js_matcher_init(&m, stream, filter);
    int r = js_stream_lock_matched(stream, &m);
    if (r == 0) {
        size_t bi = 0;
        (void)js_stream_block_of(stream, from, &bi);
        for (; bi < stream->num_blocks && r == 0; bi++) {
            struct js_block *b = stream->blocks[bi];
            if (b->search_first > to)
                break;
            if (m.all && covers_block(b, from, to))
                add_whole(b, &t);
            else if (m.all || m.set.members)
                r = add_block(stream, &m, b, from, to, &t);
        }
        pthread_rwlock_unlock(&stream->lock);
    }
    js_matcher_done(&m);
    if (r == 0)
        *ret_totals = t;
    return r;
}
