/* SPDX-License-Identifier: Apache-2.0 */
/* Lists and sums of messages that match a filter, from the index alone. */
#include "core/stream/stream.h"

static int list_seqs_once(struct js_stream *stream, const struct js_filter *filter, js_seq_t from,
                          bool with_damaged, js_seq_t *buf, size_t max, size_t *ret_n) {
    struct js_place at = {0};
    struct js_matcher m;
    size_t n = 0;

    js_matcher_init(&m, stream, filter);
    int r = js_stream_lock_matched(stream, &m);
    if (r == 0) {
        while (n < max && (r = js_stream_next_match(stream, &m, from, &at)) == 1) {
            from = js_place_seq(&at);
            if (with_damaged || js_place_len(&at) != JS_LEN_DAMAGED)
                buf[n++] = from;
            if (from++ == UINT64_MAX)
                break;
        }
        js_place_done(stream, &at);
        pthread_rwlock_unlock(&stream->lock);
        if (r > 0)
            r = 0;
        *ret_n = n;
    }
    js_matcher_done(&m);
    return r;
}

int js_stream_list_seqs(struct js_stream *stream, const struct js_filter *filter, js_seq_t from,
                        bool with_damaged, js_seq_t *buf, size_t max, size_t *ret_n) {
    int r, tries = 0;

    do
        r = list_seqs_once(stream, filter, from, with_damaged, buf, max, ret_n);
    while (js_stream_reread(stream, r, &tries));
    return r;
}

/* Walks a block of which only a part or some subjects count. */
static int add_block(struct js_stream *s, const struct js_matcher *m, struct js_place *at,
                     js_seq_t from, js_seq_t to, struct js_totals *t) {
    const struct js_slots *sl = at->slots;

    for (at->slot = js_slots_lower(sl, from); at->slot < sl->count; at->slot++) {
        uint32_t hdr, payload, k = at->slot;
        if (js_slot_seq(sl, k) > to)
            break;
        if (!js_matcher_has(m, sl->sid[k]) || !js_slot_live(sl, k))
            continue;
        int r = js_stream_slot_sizes(s, at, &hdr, &payload);
        if (r < 0)
            return r;
        t->msgs++;
        t->bytes += sl->at[k].len;
        t->payload_bytes += payload;
        t->hdr_bytes += hdr;
        t->subject_bytes += s->subjects.lines[sl->sid[k]].len;
        if (t->first_seq == 0)
            t->first_seq = js_slot_seq(sl, k);
        t->last_seq = js_slot_seq(sl, k);
    }
    return 0;
}

static void add_whole(const struct js_stream *s, size_t bi, struct js_totals *t) {
    const struct js_block *b = s->blocks[bi];
    js_seq_t first, last;

    js_block_live_range(b, &first, &last);
    t->msgs += b->msgs;
    t->bytes += b->bytes;
    t->payload_bytes += b->payload_bytes;
    t->hdr_bytes += b->hdr_bytes;
    t->subject_bytes += b->subject_bytes;
    if (t->first_seq == 0)
        t->first_seq = first;
    t->last_seq = last;
}

static bool covers_block(const struct js_block *b, js_seq_t from, js_seq_t to) {
    js_seq_t first, last;

    js_block_live_range(b, &first, &last);
    return first >= from && last <= to;
}

/* One subject: along its chain. */
static int add_subject(struct js_stream *s, const struct js_matcher *m, js_seq_t from, js_seq_t to,
                       struct js_place *at, struct js_totals *t) {
    uint32_t sid = m->set->only;
    int r;

    while ((r = js_stream_next_of(s, sid, from, at)) == 1 && js_place_seq(at) <= to) {
        uint32_t hdr, payload;
        r = js_stream_slot_sizes(s, at, &hdr, &payload);
        if (r < 0)
            break;
        from = js_place_seq(at);
        t->msgs++;
        t->bytes += js_place_len(at);
        t->payload_bytes += payload;
        t->hdr_bytes += hdr;
        t->subject_bytes += s->subjects.lines[sid].len;
        if (t->first_seq == 0)
            t->first_seq = from;
        t->last_seq = from++;
    }
    return r < 0 ? r : 0;
}

static int add_blocks(struct js_stream *s, const struct js_matcher *m, js_seq_t from, js_seq_t to,
                      struct js_place *at, struct js_totals *t) {
    size_t bi = 0;
    int r = 0;

    (void)js_stream_block_of(s, from, &bi);
    for (; bi < s->num_blocks && r == 0; bi++) {
        struct js_block *b = s->blocks[bi];
        if (b->search_first > to)
            break;
        if (b->msgs == 0)
            continue;
        if (m->all && covers_block(b, from, to)) {
            add_whole(s, bi, t);
            continue;
        }
        r = js_place_at(s, at, bi);
        if (r == 0)
            r = add_block(s, m, at, from, to, t);
    }
    return r;
}

static int totals_once(struct js_stream *stream, const struct js_filter *filter, js_seq_t from,
                       js_seq_t to, struct js_totals *ret_totals) {
    struct js_place at = {0};
    struct js_totals t = {0};
    struct js_matcher m;

    if (to == 0)
        to = UINT64_MAX;
    js_matcher_init(&m, stream, filter);
    int r = js_stream_lock_matched(stream, &m);
    if (r == 0) {
        if (!m.all && m.set->only != JS_NO_ID)
            r = add_subject(stream, &m, from, to, &at, &t);
        else if (m.all || m.set->members)
            r = add_blocks(stream, &m, from, to, &at, &t);
        js_place_done(stream, &at);
        pthread_rwlock_unlock(&stream->lock);
    }
    js_matcher_done(&m);
    if (r == 0)
        *ret_totals = t;
    return r;
}

int js_stream_totals(struct js_stream *stream, const struct js_filter *filter, js_seq_t from,
                     js_seq_t to, struct js_totals *ret_totals) {
    int r, tries = 0;

    do
        r = totals_once(stream, filter, from, to, ret_totals);
    while (js_stream_reread(stream, r, &tries));
    return r;
}
