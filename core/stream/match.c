/* SPDX-License-Identifier: Apache-2.0 */
/* The next and the previous message that match a filter. One subject is followed along its chain;
 * several are looked for by walking over the ids of the messages. */
#include "core/stream/stream.h"

/* Does the message in a slot match? Damaged ones have no subject: they match "all" only. */
static bool slot_matches(const struct js_matcher *m, const struct js_slots *s, uint32_t slot) {
    return js_matcher_has(m, s->sid[slot]) && js_slot_live(s, slot);
}

/* First slot >= k that matches; count if none. */
static uint32_t scan_forward(const struct js_matcher *m, const struct js_slots *s, uint32_t k) {
    const uint64_t *bits = m->set->bits;
    uint32_t upto = m->set->upto;

    for (; k < s->count; k++) {
        uint32_t sid = s->sid[k];
        if (sid < upto && (bits[sid >> 6] >> (sid & 63) & 1) && js_slot_live(s, k))
            return k;
    }
    return k;
}

int js_stream_next_match(struct js_stream *s, const struct js_matcher *m, js_seq_t seq,
                         struct js_place *at) {
    size_t bi = 0;

    if (m->all)
        return js_stream_slot_from(s, seq, true, at);
    if (m->set->members == 0)
        return 0;
    if (m->set->only != JS_NO_ID)
        return js_stream_next_of(s, m->set->only, seq, at);
    (void)js_stream_block_of(s, seq, &bi);
    for (size_t begin = bi; bi < s->num_blocks; bi++) {
        if (s->blocks[bi]->msgs == 0)
            continue;
        int r = js_place_at(s, at, bi);
        if (r != 0)
            return r;
        if (bi > begin)
            js_walk_over(s, begin, bi);
        at->slot = scan_forward(m, at->slots, js_slots_lower(at->slots, seq));
        if (at->slot < at->slots->count)
            return 1;
    }
    return 0;
}

int js_stream_prev_match(struct js_stream *s, const struct js_matcher *m, js_seq_t seq,
                         struct js_place *at) {
    size_t bi;

    if (m->all)
        return js_stream_slot_before(s, seq, true, at);
    if (m->set->members == 0 || !js_stream_block_of(s, seq, &bi))
        return 0;
    for (bi++; bi-- > 0;) {
        if (s->blocks[bi]->msgs == 0)
            continue;
        int r = js_place_at(s, at, bi);
        if (r != 0)
            return r;
        uint32_t k = js_slots_lower(at->slots, seq);
        if (k < at->slots->count && js_slot_seq(at->slots, k) == seq)
            k++;
        while (k-- > 0) {
            if (slot_matches(m, at->slots, k)) {
                at->slot = k;
                return 1;
            }
        }
    }
    return 0;
}

int js_stream_lock_walk(struct js_stream *s, struct js_matcher *m) {
    int r = js_stream_lock_matched_unread(s, m);

    if (r < 0 || m->all || m->set->only == JS_NO_ID || s->unread == 0)
        return r;
    pthread_rwlock_unlock(&s->lock);
    return js_stream_lock_matched(s, m);
}

/* About how many messages of a block match: as many as of the subjects. */
static uint32_t expected(const struct js_stream *s, const struct js_matcher *m, const struct js_block *b) {
    if (m->all || m->set->only != JS_NO_ID || s->subjects.live == 0)
        return 0;
    uint64_t n = b->msgs * m->set->members / s->subjects.live + 1;
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* One try; NEED_SCAN: index.db was wrong about a block. */
static int try_load(struct js_stream *stream, struct js_matcher *m, js_seq_t start, bool backward,
                    struct js_msg *ret_msg) {
    struct js_place at = {.bare = m->all};
    int r = backward ? js_stream_lock_walk(stream, m) : js_stream_lock_matched_unread(stream, m);

    if (r < 0)
        return r;
    if (!m->all && m->set->only != JS_NO_ID && stream->unread) {
        r = js_peek_next(stream, m->set->only, start, ret_msg);
        pthread_rwlock_unlock(&stream->lock);
        return r == 1 ? 0 : r == 0 ? JS_ERR_EOF : r;
    }
    r = backward ? js_stream_prev_match(stream, m, start, &at)
                 : js_stream_next_match(stream, m, start, &at);
    if (r == 0) {
        r = JS_ERR_EOF;
    } else if (r == 1) {
        at.expected = expected(stream, m, at.block);
        r = js_stream_slot_msg(stream, &at, false, ret_msg);
        if (r == JS_ERR_BAD_MSG)
            *ret_msg = (struct js_msg){.seq = js_place_seq(&at)};
    }
    js_place_done(stream, &at);
    pthread_rwlock_unlock(&stream->lock);
    return r;
}

static int load_directed(struct js_stream *stream, const struct js_filter *filter, js_seq_t start,
                         bool backward, struct js_msg *ret_msg) {
    struct js_matcher m;
    int r, tries = 0;

    js_matcher_init(&m, stream, filter);
    do {
        r = try_load(stream, &m, start, backward, ret_msg);
        if (r == JS_NEED_SCAN) {
            r = js_stream_scan(stream);
            if (r == 0)
                r = try_load(stream, &m, start, backward, ret_msg);
        }
    } while (js_stream_reread(stream, r, &tries));
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
