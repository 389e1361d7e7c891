/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of one subject: along its chain, and by looking for its id where the chain has gaps. */
#include "core/stream/stream.h"

/* Compared in groups, which the compiler turns into vector instructions. */
#define GROUP 32

/* First index >= from of an id in ids[0..n), n if there is none. */
static uint32_t find_id(const uint32_t *ids, uint32_t from, uint32_t n, uint32_t id) {
    uint32_t k = from;

    for (; k + GROUP <= n; k += GROUP) {
        uint32_t any = 0;
        for (unsigned j = 0; j < GROUP; j++)
            any |= ids[k + j] == id ? UINT32_MAX : 0;
        if (any)
            break;
    }
    while (k < n && ids[k] != id)
        k++;
    return k;
}

/* Last index < n, or JS_NO_SLOT. */
static uint32_t find_id_back(const uint32_t *ids, uint32_t n, uint32_t id) {
    uint32_t k = n;

    for (; k >= GROUP; k -= GROUP) {
        uint32_t any = 0;
        for (unsigned j = 1; j <= GROUP; j++)
            any |= ids[k - j] == id ? UINT32_MAX : 0;
        if (any)
            break;
    }
    while (k > 0 && ids[k - 1] != id)
        k--;
    return k ? k - 1 : JS_NO_SLOT;
}

bool js_stream_find_in(struct js_place *at, uint32_t sid, js_seq_t seq, bool last) {
    const struct js_slots *sl = at->slots;
    uint32_t k = last ? sl->count : js_slots_lower(sl, seq);

    for (;;) {
        k = last ? find_id_back(sl->sid, k, sid) : find_id(sl->sid, k, sl->count, sid);
        if (k == JS_NO_SLOT || k >= sl->count)
            return false;
        at->slot = k;
        if (js_slot_live(sl, k))
            return true;
        k += !last;
    }
}

static void put(js_seq_t *p, js_seq_t seq) {
    if (js_line_seq(p) != seq)
        __atomic_store_n(p, seq, __ATOMIC_RELAXED);
}

/* Looks for the id in the messages from seq on. */
static int search(struct js_stream *s, uint32_t sid, js_seq_t seq, struct js_place *at) {
    js_seq_t last = js_line_seq(&s->subjects.lines[sid].last);
    size_t bi = 0;

    (void)js_stream_block_of(s, seq, &bi);
    for (; bi < s->num_blocks && s->blocks[bi]->search_first <= last; bi++) {
        if (s->blocks[bi]->msgs == 0)
            continue;
        int r = js_place_at(s, at, bi);
        if (r != 0)
            return r;
        const struct js_slots *sl = at->slots;
        uint32_t k = js_slots_lower(sl, seq);
        while ((k = find_id(sl->sid, k, sl->count, sid)) < sl->count) {
            if (js_slot_live(sl, k)) {
                at->slot = k;
                return 1;
            }
            k++;
        }
    }
    return 0;
}

/*
 * From a message of the subject along the chain to the first live one, the message itself included
 * if it lives. Where the chain has a gap the rest is searched.
 */
static int follow(struct js_stream *s, uint32_t sid, js_seq_t seq, struct js_place *at) {
    size_t bi;

    while (js_stream_block_of(s, seq, &bi)) {
        int r = js_place_at(s, at, bi);
        if (r != 0)
            return r;
        uint32_t k = js_slots_find(at->slots, seq);
        if (k == JS_NO_SLOT || at->slots->sid[k] != sid)
            break;
        if (js_slot_live(at->slots, k)) {
            at->slot = k;
            return 1;
        }
        uint32_t next = at->slots->next[k];
        if (next == 0 && seq == js_line_seq(&s->subjects.lines[sid].last))
            return 0;
        if (next == 0 || next == JS_NEXT_FAR) {
            seq++;
            break;
        }
        seq += next;
    }
    return search(s, sid, seq, at);
}

int js_stream_first_of(struct js_stream *stream, uint32_t sid, struct js_place *at) {
    struct js_subject_line *line = &stream->subjects.lines[sid];

    if (line->count == 0)
        return 0;
    int r = follow(stream, sid, js_line_seq(&line->first), at);
    if (r == 1)
        put(&line->first, js_place_seq(at));
    return r;
}

int js_stream_last_of(struct js_stream *stream, uint32_t sid, struct js_place *at) {
    struct js_subject_line *line = &stream->subjects.lines[sid];
    js_seq_t last = js_line_seq(&line->last);
    size_t bi;

    if (line->count == 0 || !js_stream_block_of(stream, last, &bi))
        return 0;
    /* As long as nothing was removed that a line points to, it need not be searched for. */
    if (!atomic_load_explicit(&stream->stale_lasts, memory_order_relaxed)) {
        int r = js_place_at(stream, at, bi);
        if (r != 0)
            return r;
        at->slot = js_slots_find(at->slots, last);
        if (at->slot != JS_NO_SLOT && js_slot_live(at->slots, at->slot))
            return 1;
    }
    for (bi++; bi-- > 0;) {
        if (stream->blocks[bi]->msgs == 0)
            continue;
        int r = js_place_at(stream, at, bi);
        if (r != 0)
            return r;
        const struct js_slots *sl = at->slots;
        uint32_t k = js_slots_lower(sl, last);
        if (k < sl->count && js_slot_seq(sl, k) == last)
            k++;
        while ((k = find_id_back(sl->sid, k, sid)) != JS_NO_SLOT) {
            if (js_slot_live(sl, k)) {
                at->slot = k;
                put(&line->last, js_place_seq(at));
                return 1;
            }
        }
    }
    return 0;
}

int js_stream_next_of(struct js_stream *stream, uint32_t sid, js_seq_t seq, struct js_place *at) {
    const struct js_subject_line *line = &stream->subjects.lines[sid];
    size_t bi;

    if (line->count == 0 || seq > js_line_seq(&line->last))
        return 0;
    if (seq <= js_line_seq(&line->first))
        return js_stream_first_of(stream, sid, at);
    /* Who goes on behind a message of the subject has its link. */
    if (js_stream_block_of(stream, seq - 1, &bi) && stream->blocks[bi]->msgs) {
        int r = js_place_at(stream, at, bi);
        if (r != 0)
            return r;
        uint32_t k = js_slots_find(at->slots, seq - 1);
        if (k != JS_NO_SLOT && at->slots->sid[k] == sid) {
            uint32_t next = at->slots->next[k];
            if (next != 0 && next != JS_NEXT_FAR)
                return follow(stream, sid, seq - 1 + next, at);
        }
    }
    return search(stream, sid, seq, at);
}

/* Corrects line->last of every subject. */
static int settle_all(struct js_stream *s) {
    size_t words = (size_t)s->subjects.count / 64 + 1;
    uint64_t *seen = js_calloc(s->env, words, sizeof *seen);
    uint32_t left = s->subjects.live;
    struct js_place at = {0};
    int r = seen ? 0 : JS_ERR_NOMEM;

    for (size_t bi = s->num_blocks; bi-- > 0 && left && r == 0;) {
        if (s->blocks[bi]->msgs == 0)
            continue;
        r = js_place_at(s, &at, bi);
        for (uint32_t k = r == 0 ? at.slots->count : 0; k-- > 0 && left;) {
            uint32_t sid = at.slots->sid[k];
            if (!js_slot_live(at.slots, k) || (seen[sid >> 6] >> (sid & 63) & 1))
                continue;
            seen[sid >> 6] |= 1ull << (sid & 63);
            put(&s->subjects.lines[sid].last, js_slot_seq(at.slots, k));
            left--;
        }
    }
    js_place_done(s, &at);
    js_free(s->env, seen);
    if (r == 0)
        atomic_store_explicit(&s->stale_lasts, false, memory_order_relaxed);
    return r;
}

int js_stream_settle(struct js_stream *s, const struct js_matcher *m, struct js_place *at) {
    if (!atomic_load_explicit(&s->stale_lasts, memory_order_relaxed))
        return 0;
    if (m->all || m->set->only == JS_NO_ID)
        return settle_all(s);
    int r = js_stream_last_of(s, m->set->only, at);
    return r < 0 ? r : 0;
}
