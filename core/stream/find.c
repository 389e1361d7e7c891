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

struct js_block *js_stream_block_of(const struct js_stream *stream, js_seq_t seq,
                                    size_t *ret_index) {
    size_t i = block_index(stream, seq);

    if (i == stream->num_blocks)
        return NULL;
    *ret_index = i;
    return stream->blocks[i];
}

static bool wanted(const struct js_slots *s, uint32_t slot, bool with_damaged) {
    return s->len[slot] != 0 && (with_damaged || s->len[slot] != JS_LEN_DAMAGED);
}

bool js_stream_slot_from(const struct js_stream *stream, js_seq_t seq, bool with_damaged,
                         size_t *ret_block, uint32_t *ret_slot) {
    size_t i = block_index(stream, seq);

    if (i == stream->num_blocks)
        i = 0;
    for (; i < stream->num_blocks; i++) {
        const struct js_block *b = stream->blocks[i];
        if (b->msgs == 0 && (!with_damaged || b->slots.count == 0))
            continue;
        const struct js_slots *s = &b->slots;
        for (uint32_t k = js_slots_lower(s, seq); k < s->count; k++) {
            if (wanted(s, k, with_damaged)) {
                *ret_block = i;
                *ret_slot = k;
                return true;
            }
        }
    }
    return false;
}

bool js_stream_slot_before(const struct js_stream *stream, js_seq_t seq, bool with_damaged,
                           size_t *ret_block, uint32_t *ret_slot) {
    size_t i = block_index(stream, seq);

    if (i == stream->num_blocks)
        return false;
    for (i++; i-- > 0;) {
        const struct js_slots *s = &stream->blocks[i]->slots;
        uint32_t k = js_slots_lower(s, seq);
        if (k < s->count && js_slot_seq(s, k) == seq)
            k++;
        while (k-- > 0) {
            if (wanted(s, k, with_damaged)) {
                *ret_block = i;
                *ret_slot = k;
                return true;
            }
        }
    }
    return false;
}
