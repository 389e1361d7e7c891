/* SPDX-License-Identifier: Apache-2.0 */
/* The next and the previous message that match a filter. */
#include "core/stream/stream.h"

/* Does the message in a slot match? Damaged ones have no subject: they match "all" only. */
static bool slot_matches(const struct js_matcher *m, const struct js_slots *s, uint32_t slot) {
    if (s->len[slot] == 0)
        return false;
    if (s->len[slot] == JS_LEN_DAMAGED)
        return m->all;
    return js_matcher_has(m, s->sid[slot]);
}

/* The next matching slot with sequence >= seq. lock held, matcher up to date. */
bool js_stream_next_match(const struct js_stream *s, const struct js_matcher *m, js_seq_t seq,
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

bool js_stream_prev_match(const struct js_stream *s, const struct js_matcher *m, js_seq_t seq,
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

static int load_directed(struct js_stream *stream, const struct js_filter *filter, js_seq_t start,
                         bool backward, struct js_msg *ret_msg) {
    struct js_matcher m;
    size_t bi;
    uint32_t slot;

    js_matcher_init(&m, stream, filter);
    int r = js_stream_lock_matched(stream, &m);
    if (r == 0) {
        bool found = backward ? js_stream_prev_match(stream, &m, start, &bi, &slot)
                              : js_stream_next_match(stream, &m, start, &bi, &slot);
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
