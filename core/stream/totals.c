/* SPDX-License-Identifier: Apache-2.0 */
/* Lists and sums of messages that match a filter, from the index alone. */
#include "core/stream/stream.h"

int js_stream_list_seqs(struct js_stream *stream, const struct js_filter *filter, js_seq_t from,
                        bool with_damaged, js_seq_t *buf, size_t max, size_t *ret_n) {
    struct js_matcher m;
    size_t bi, n = 0;
    uint32_t slot;

    js_matcher_init(&m, stream, filter);
    int r = js_stream_lock_matched(stream, &m);
    if (r == 0) {
        while (n < max && js_stream_next_match(stream, &m, from, &bi, &slot)) {
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
