/* SPDX-License-Identifier: Apache-2.0 */
/* From a sequence to its block and slot. search_first ascends over the blocks, also over those
 * without messages, so one binary search is enough. */
#include "core/stream/stream.h"

/* Index of the last block with search_first <= seq; num_blocks if none. */
static size_t block_index(const struct js_stream *s, js_seq_t seq) {
    size_t lo = 0, hi = s->num_blocks;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->blocks[mid]->search_first <= seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? lo - 1 : s->num_blocks;
}

js_seq_t js_stream_oldest_record(const struct js_stream *s) {
    for (size_t i = 0; i < s->num_blocks; i++) {
        const struct js_block *b = s->blocks[i];
        /* Nobody has looked, or could. */
        if (b->unreadable || b->odd || (b->cold && b->cold->unread))
            return b->search_first;
        if (b->rec_first)
            return b->rec_first < s->first_seq ? b->rec_first : s->first_seq;
    }
    return s->first_seq;
}

struct js_block *js_stream_block_of(const struct js_stream *stream, js_seq_t seq,
                                    size_t *ret_index) {
    size_t i = block_index(stream, seq);

    if (i == stream->num_blocks)
        return NULL;
    *ret_index = i;
    return stream->blocks[i];
}

static bool wanted(const struct js_slots *s, uint32_t slot, bool with_damaged) {
    return s->at[slot].len != 0 && (with_damaged || s->at[slot].len != JS_LEN_DAMAGED);
}

/* Nothing to be found in it, not even damage. */
static bool is_empty(const struct js_block *b, bool with_damaged) {
    if (b->msgs)
        return false;
    return !with_damaged || !b->slots || b->slots->count == 0;
}

int js_stream_slot_from(struct js_stream *stream, js_seq_t seq, bool with_damaged,
                        struct js_place *at) {
    size_t i = block_index(stream, seq);

    if (i == stream->num_blocks)
        i = 0;
    for (; i < stream->num_blocks; i++) {
        if (is_empty(stream->blocks[i], with_damaged))
            continue;
        int r = js_place_at(stream, at, i);
        if (r != 0)
            return r;
        for (uint32_t k = js_slots_lower(at->slots, seq); k < at->slots->count; k++) {
            if (wanted(at->slots, k, with_damaged)) {
                at->slot = k;
                return 1;
            }
        }
    }
    return 0;
}

int js_stream_slot_before(struct js_stream *stream, js_seq_t seq, bool with_damaged,
                          struct js_place *at) {
    size_t i = block_index(stream, seq);

    if (i == stream->num_blocks)
        return 0;
    for (i++; i-- > 0;) {
        if (is_empty(stream->blocks[i], with_damaged))
            continue;
        int r = js_place_at(stream, at, i);
        if (r != 0)
            return r;
        uint32_t k = js_slots_lower(at->slots, seq);
        if (k < at->slots->count && js_slot_seq(at->slots, k) == seq)
            k++;
        while (k-- > 0) {
            if (wanted(at->slots, k, with_damaged)) {
                at->slot = k;
                return 1;
            }
        }
    }
    return 0;
}

int js_stream_slot_at(struct js_stream *stream, js_seq_t seq, struct js_place *at) {
    size_t i = block_index(stream, seq);

    if (i == stream->num_blocks)
        return 0;
    const struct js_cold *cold = stream->blocks[i]->cold;
    /* What is known to be gone needs no slots. */
    if (cold && (seq < cold->first || seq > cold->upto || js_seqset_has(&cold->deleted, seq)))
        return 0;
    int r = js_place_at(stream, at, i);
    if (r != 0)
        return r;
    at->slot = js_slots_find(at->slots, seq);
    return at->slot != JS_NO_SLOT && at->slots->at[at->slot].len != 0;
}
