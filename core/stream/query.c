/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many messages match from a sequence on, and the newest of each subject (engine.md A4),
 * without touching a block. From the first message on the subjects' totals tell; from the middle
 * the ids of the messages are counted, whole blocks once for each kept filter.
 */
#include <stdlib.h>

#include "core/stream/stream.h"

/* ---- members of a set --------------------------------------------------------------------------
 */

/* Next live subject of the matcher with id >= *id; false at the end. */
static bool next_member(const struct js_stream *s, const struct js_matcher *m, uint32_t *id) {
    const struct js_subjects *su = &s->subjects;

    if (!m->all && m->set->only != JS_NO_ID) {
        if (*id > m->set->only || su->lines[m->set->only].count == 0)
            return false;
        *id = m->set->only;
        return true;
    }
    for (; *id < su->count; ++*id) {
        if (!m->all) {
            if (*id >= m->set->upto)
                return false;
            uint64_t word = m->set->bits[*id >> 6] >> (*id & 63);
            if (word == 0) {
                *id |= 63;
                continue;
            }
            *id += (uint32_t)__builtin_ctzll(word);
        }
        if (su->lines[*id].count)
            return true;
    }
    return false;
}

static uint64_t sum_totals(const struct js_stream *s, const struct js_matcher *m) {
    uint64_t n = 0;

    if (m->all)
        return s->msgs;
    for (uint32_t id = 0; next_member(s, m, &id); id++)
        n += s->subjects.lines[id].count;
    return n;
}

static uint64_t count_subjects(const struct js_stream *s, const struct js_matcher *m) {
    uint64_t n = 0;

    if (m->all)
        return s->subjects.live;
    for (uint32_t id = 0; next_member(s, m, &id); id++)
        n++;
    return n;
}

/* ---- counting from the middle ------------------------------------------------------------------
 */

/* live: how many of all the slots live. */
static uint64_t count_slots(const struct js_matcher *m, const struct js_slots *sl, uint32_t k,
                            uint64_t live) {
    uint64_t n = 0;

    if (m->all && k < sl->count && live == sl->count)
        return sl->count - k;
    if (m->all) {
        for (; k < sl->count; k++)
            n += js_slot_live(sl, k);
        return n;
    }
    if (m->set->only != JS_NO_ID) {
        for (; k < sl->count; k++)
            n += sl->sid[k] == m->set->only && js_slot_live(sl, k);
        return n;
    }
    const uint64_t *bits = m->set->bits;
    uint32_t upto = m->set->upto;
    for (; k < sl->count; k++) {
        uint32_t sid = sl->sid[k];
        if (sid < upto && (bits[sid >> 6] >> (sid & 63) & 1))
            n += js_slot_live(sl, k);
    }
    return n;
}

static int count_whole(struct js_stream *s, const struct js_matcher *m, size_t bi,
                       struct js_place *at, uint64_t *n) {
    int r = js_place_at(s, at, bi);

    if (r == 0)
        *n += count_slots(m, at->slots, 0, at->block->msgs);
    return r;
}

/* A whole block, through what the filter remembers of it. */
static int count_kept(struct js_stream *s, const struct js_matcher *m, size_t bi,
                      struct js_place *at, uint64_t *n) {
    const struct js_block *b = s->blocks[bi];
    struct js_compiled *c = m->compiled;
    uint32_t slots = b->slots ? b->slots->count : 0;

    if (bi >= c->num_counts) {
        size_t num = s->num_blocks + s->num_blocks / 4 + 8;
        struct js_block_count *p = js_realloc_array(s->env, c->counts, num, sizeof *p);
        if (!p)
            return count_whole(s, m, bi, at, n);
        memset(p + c->num_counts, 0, (num - c->num_counts) * sizeof *p);
        c->counts = p;
        c->num_counts = num;
    }
    struct js_block_count *e = &c->counts[bi];
    if (e->number != b->number || e->slots != slots || e->removals != b->removals) {
        *e = (struct js_block_count){0};
        int r = count_whole(s, m, bi, at, &e->msgs);
        if (r != 0)
            return r;
        e->number = b->number;
        e->slots = slots;
        e->removals = b->removals;
    }
    *n += e->msgs;
    return 0;
}

static int count_blocks(struct js_stream *s, const struct js_matcher *m, js_seq_t start,
                        struct js_place *at, uint64_t *n) {
    size_t bi = 0;
    int r = 0;

    if (!js_stream_block_of(s, start, &bi))
        bi = 0;
    /* The block in which start lies counts in part. */
    if (bi < s->num_blocks && s->blocks[bi]->msgs) {
        r = js_place_at(s, at, bi);
        if (r == 0)
            *n += count_slots(m, at->slots, js_slots_lower(at->slots, start), s->blocks[bi]->msgs);
    }
    if (m->compiled)
        pthread_mutex_lock(&m->compiled->mu);
    for (bi++; bi < s->num_blocks && r == 0; bi++) {
        const struct js_block *b = s->blocks[bi];
        if (b->msgs == 0)
            continue;
        if (m->all)
            *n += b->msgs;
        else if (m->compiled)
            r = count_kept(s, m, bi, at, n);
        else
            r = count_whole(s, m, bi, at, n);
    }
    if (m->compiled)
        pthread_mutex_unlock(&m->compiled->mu);
    return r;
}

/* A subject with few messages is counted along its chain. */
#define FEW 256

static int count_from(struct js_stream *s, const struct js_matcher *m, js_seq_t start,
                      struct js_place *at, uint64_t *n) {
    uint32_t only = m->all ? JS_NO_ID : m->set->only;
    int r = 0;

    *n = 0;
    if (!m->all && m->set->members == 0)
        return 0;
    /* A subject that has all the messages there are is as good as everything. */
    struct js_matcher all = {.all = true};
    if (only != JS_NO_ID && s->subjects.lines[only].count == s->msgs && s->lost == 0)
        return count_blocks(s, &all, start, at, n);
    if (only == JS_NO_ID || s->subjects.lines[only].count > FEW)
        return count_blocks(s, m, start, at, n);
    while ((r = js_stream_next_of(s, only, start, at)) == 1) {
        start = js_place_seq(at) + 1;
        ++*n;
    }
    return r;
}

static int count_lasts(struct js_stream *s, const struct js_matcher *m, js_seq_t start,
                       struct js_place *at, uint64_t *n) {
    int r = js_stream_settle(s, m, at);

    *n = 0;
    for (uint32_t id = 0; r == 0 && next_member(s, m, &id); id++)
        *n += js_line_seq(&s->subjects.lines[id].last) >= start;
    return r;
}

/* Needs no more than the totals? */
static bool from_first(const struct js_stream *s, js_seq_t start) {
    return start <= s->first_seq || s->msgs == 0 || start > s->last_seq;
}

/* The lock for reading, with every block read if the question needs that. */
static int lock_for(struct js_stream *s, struct js_matcher *m, js_seq_t start) {
    int r = js_stream_lock_matched_unread(s, m);

    if (r < 0 || s->unread == 0 || from_first(s, start))
        return r;
    pthread_rwlock_unlock(&s->lock);
    return js_stream_lock_matched(s, m);
}

static int num_pending_once(struct js_stream *stream, js_seq_t start,
                            const struct js_filter *filter, bool last_per_subject,
                            uint64_t *ret_num, js_seq_t *ret_valid_through) {
    struct js_place at = {0};
    struct js_matcher m;
    uint64_t n = 0;

    js_matcher_init(&m, stream, filter);
    int r = lock_for(stream, &m, start);
    if (r == 0) {
        if (stream->msgs == 0 || start > stream->last_seq)
            n = 0;
        else if (start <= stream->first_seq)
            n = last_per_subject ? count_subjects(stream, &m) : sum_totals(stream, &m);
        else if (last_per_subject)
            r = count_lasts(stream, &m, start, &at, &n);
        else
            r = count_from(stream, &m, start, &at, &n);
        if (r == 0) {
            *ret_num = n;
            if (ret_valid_through)
                *ret_valid_through = stream->last_seq;
        }
        js_place_done(stream, &at);
        pthread_rwlock_unlock(&stream->lock);
    }
    js_matcher_done(&m);
    return r;
}

int js_stream_num_pending(struct js_stream *stream, js_seq_t start, const struct js_filter *filter,
                          bool last_per_subject, uint64_t *ret_num, js_seq_t *ret_valid_through) {
    int r, tries = 0;

    do
        r = num_pending_once(stream, start, filter, last_per_subject, ret_num, ret_valid_through);
    while (js_stream_reread(stream, r, &tries));
    return r;
}

/* First and last live match >= start. */
static int find_ends(struct js_stream *s, const struct js_matcher *m, js_seq_t start,
                     struct js_place *at, struct js_subject_state *st) {
    int r;

    if (!m->all && m->set->only != JS_NO_ID) {
        r = js_stream_next_of(s, m->set->only, start, at);
        if (r == 1) {
            st->first_seq = js_place_seq(at);
            r = js_stream_last_of(s, m->set->only, at);
        }
    } else {
        r = m->all ? js_stream_slot_from(s, start, false, at)
                   : js_stream_next_match(s, m, start, at);
        if (r == 1) {
            st->first_seq = js_place_seq(at);
            r = m->all ? js_stream_slot_before(s, s->last_seq, false, at)
                       : js_stream_prev_match(s, m, s->last_seq, at);
        }
    }
    if (r == 1)
        st->last_seq = js_place_seq(at);
    return r < 0 ? r : 0;
}

static int filtered_state_once(struct js_stream *stream, js_seq_t start,
                               const struct js_filter *filter, struct js_subject_state *ret_state) {
    struct js_subject_state st = {0};
    struct js_place at = {0};
    struct js_matcher m;

    js_matcher_init(&m, stream, filter);
    int r = js_stream_lock_matched_unread(stream, &m);
    if (r == 0 && stream->unread && !(m.all && from_first(stream, start))) {
        pthread_rwlock_unlock(&stream->lock);
        r = js_stream_lock_matched(stream, &m);
    }
    if (r == 0) {
        if (start < stream->first_seq)
            start = stream->first_seq;
        if (start > stream->last_seq || (m.all && start == stream->first_seq)) {
            st.first_seq = stream->first_seq;
            st.last_seq = stream->last_seq;
            st.msgs = start > stream->last_seq ? 0 : stream->msgs;
        } else {
            if (start == stream->first_seq)
                st.msgs = sum_totals(stream, &m);
            else
                r = count_from(stream, &m, start, &at, &st.msgs);
            if (r == 0 && st.msgs)
                r = find_ends(stream, &m, start, &at, &st);
        }
        js_place_done(stream, &at);
        pthread_rwlock_unlock(&stream->lock);
    }
    js_matcher_done(&m);
    if (r == 0)
        *ret_state = st;
    return r;
}

int js_stream_filtered_state(struct js_stream *stream, js_seq_t start,
                             const struct js_filter *filter, struct js_subject_state *ret_state) {
    int r, tries = 0;

    do
        r = filtered_state_once(stream, start, filter, ret_state);
    while (js_stream_reread(stream, r, &tries));
    return r;
}

/* ---- the newest of each subject ----------------------------------------------------------------
 */

struct seqs {
    const struct js_env *env;
    js_seq_t *list;
    size_t n, cap, max;
};

static int add_seq(struct seqs *q, js_seq_t seq) {
    if (q->max && q->n == q->max)
        return JS_ERR_TOO_MANY_RESULTS;
    if (q->n == q->cap) {
        size_t cap = q->cap ? q->cap * 2 : 256;
        js_seq_t *p = js_realloc_array(q->env, q->list, cap, sizeof *p);
        if (!p)
            return JS_ERR_NOMEM;
        q->list = p;
        q->cap = cap;
    }
    q->list[q->n++] = seq;
    return 0;
}

static int cmp_seq(const void *a, const void *b) {
    js_seq_t x = *(const js_seq_t *)a, y = *(const js_seq_t *)b;
    return (x > y) - (x < y);
}

/* Sorts unlike sequences of lo..hi: through a bitmap where that costs less than comparing. */
static void sort_seqs(const struct seqs *q, js_seq_t lo, js_seq_t hi) {
    uint64_t words = (hi - lo) / 64 + 1;
    uint64_t *bits = NULL;

    if (q->n > 64 && words / 8 <= q->n)
        bits = js_calloc(q->env, (size_t)words, sizeof *bits);
    if (!bits) {
        if (q->n)
            qsort(q->list, q->n, sizeof *q->list, cmp_seq);
        return;
    }
    for (size_t i = 0; i < q->n; i++)
        bits[(q->list[i] - lo) / 64] |= 1ull << ((q->list[i] - lo) & 63);
    size_t n = 0;
    for (uint64_t w = 0; w < words; w++)
        for (uint64_t word = bits[w]; word; word &= word - 1)
            q->list[n++] = lo + w * 64 + (uint64_t)__builtin_ctzll(word);
    js_free(q->env, bits);
}

/* The newest <= upto of the subjects marked in wanted, of which there are left: one walk back. */
static int walk_back(struct js_stream *s, js_seq_t upto, uint64_t *wanted, size_t left,
                     struct js_place *at, struct seqs *q) {
    size_t bi;

    if (left == 0 || !js_stream_block_of(s, upto, &bi))
        return 0;
    for (bi++; bi-- > 0 && left;) {
        if (s->blocks[bi]->msgs == 0)
            continue;
        int r = js_place_at(s, at, bi);
        if (r != 0)
            return r;
        const struct js_slots *sl = at->slots;
        uint32_t k = js_slots_lower(sl, upto);
        if (k < sl->count && js_slot_seq(sl, k) == upto)
            k++;
        while (k-- > 0 && left) {
            uint32_t sid = sl->sid[k];
            if (sid == JS_NO_ID || !(wanted[sid >> 6] >> (sid & 63) & 1) || !js_slot_live(sl, k))
                continue;
            wanted[sid >> 6] &= ~(1ull << (sid & 63));
            left--;
            r = add_seq(q, js_slot_seq(sl, k));
            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* lock held, every block read */
static int collect(struct js_stream *s, const struct js_matcher *m, js_seq_t upto,
                   struct js_place *at, struct seqs *q) {
    uint64_t *wanted = NULL;
    size_t left = 0;
    int r = js_stream_settle(s, m, at);

    for (uint32_t id = 0; r == 0 && next_member(s, m, &id); id++) {
        const struct js_subject_line *line = &s->subjects.lines[id];
        js_seq_t last = js_line_seq(&line->last);
        if (last <= upto) {
            r = add_seq(q, last);
            continue;
        }
        if (js_line_seq(&line->first) > upto)
            continue;
        if (!wanted)
            wanted = js_calloc(s->env, (size_t)s->subjects.count / 64 + 1, sizeof *wanted);
        if (!wanted)
            return JS_ERR_NOMEM;
        wanted[id >> 6] |= 1ull << (id & 63);
        left++;
    }
    if (r == 0)
        r = walk_back(s, upto, wanted, left, at, q);
    js_free(s->env, wanted);
    return r;
}

static int last_seqs_once(struct js_stream *stream, const struct js_filter *filter, js_seq_t upto,
                          size_t max, js_seq_t **ret_seqs, size_t *ret_n) {
    struct seqs q = {.env = stream->env, .max = max};
    struct js_place at = {0};
    struct js_matcher m;

    js_matcher_init(&m, stream, filter);
    int r = js_stream_lock_matched(stream, &m);
    if (r == 0) {
        if (upto == 0)
            upto = stream->last_seq;
        if (stream->msgs && upto >= stream->first_seq && upto <= stream->last_seq)
            r = collect(stream, &m, upto, &at, &q);
        if (r == 0)
            sort_seqs(&q, stream->first_seq, stream->last_seq);
        js_place_done(stream, &at);
        pthread_rwlock_unlock(&stream->lock);
    }
    js_matcher_done(&m);
    if (r < 0) {
        js_free(stream->env, q.list);
        return r;
    }
    *ret_seqs = q.list;
    *ret_n = q.n;
    return 0;
}

int js_stream_last_seqs(struct js_stream *stream, const struct js_filter *filter, js_seq_t upto,
                        size_t max, js_seq_t **ret_seqs, size_t *ret_n) {
    int r, tries = 0;

    do
        r = last_seqs_once(stream, filter, upto, max, ret_seqs, ret_n);
    while (js_stream_reread(stream, r, &tries));
    return r;
}

void js_stream_free_seqs(struct js_stream *stream, js_seq_t *seqs) {
    js_free(stream->env, seqs);
}

int js_stream_last_msgs(struct js_stream *stream, const struct js_filter *filter, js_seq_t from,
                        js_seq_t upto, size_t max,
                        int (*fn)(void *ctx, const struct js_msg *msg, size_t remaining), void *ctx,
                        size_t *ret_total) {
    js_seq_t *seqs;
    size_t n, i = 0;
    int r = js_stream_last_seqs(stream, filter, upto, max, &seqs, &n);

    if (r < 0)
        return r;
    while (i < n && seqs[i] < from)
        i++;
    for (; i < n; i++) {
        struct js_msg msg;
        r = js_stream_load_msg(stream, seqs[i], &msg);
        /* Removed since it was listed. */
        if (r == JS_ERR_MSG_NOT_FOUND || r == JS_ERR_DELETED_MSG || r == JS_ERR_EOF) {
            r = 0;
            continue;
        }
        if (r < 0)
            break;
        int stop = fn(ctx, &msg, n - i - 1);
        js_msg_release(&msg);
        if (stop)
            break;
    }
    js_stream_free_seqs(stream, seqs);
    if (r == 0 && ret_total)
        *ret_total = n;
    return r;
}
