/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream/unread.h"

const struct js_index_block *js_index_entry(const struct js_index_db *ix, uint32_t number) {
    size_t lo = 0, hi = ix->num_blocks;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (ix->blocks[mid].number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < ix->num_blocks && ix->blocks[lo].number == number ? &ix->blocks[lo] : NULL;
}

/* Members of a block's deleted set between its first and last sequence; 2.10 may list others. */
static uint64_t deleted_inside(const struct js_index_block *b) {
    uint64_t outside = 0, seq = 0;

    while (js_seqset_next(&b->deleted, seq, &seq) && seq < b->first_seq) {
        outside++;
        seq++;
    }
    seq = b->last_seq;
    while (seq++ < UINT64_MAX && js_seqset_next(&b->deleted, seq, &seq))
        outside++;
    return b->deleted.members - outside;
}

uint64_t js_index_msgs(const struct js_index_block *b) {
    if (b->last_seq + 1 < b->first_seq)
        return 0;
    uint64_t range = b->last_seq + 1 - b->first_seq;
    uint64_t deleted = deleted_inside(b);
    return range > deleted ? range - deleted : 0;
}

/* The subjects' totals must be those of the messages: a stream without configured subjects may
 * have an index that lists none. */
static bool subjects_agree(const struct js_index_db *ix) {
    uint64_t sum = 0;

    for (size_t i = 0; i < ix->num_subjects; i++) {
        if (ix->subjects[i].total == 0 || ix->subjects[i].total > ix->msgs)
            return false;
        sum += ix->subjects[i].total;
    }
    return sum == ix->msgs;
}

#define AHEAD 8

static int add_subjects(struct js_stream *s) {
    const struct js_index_db *ix = s->index;
    int r = js_subjects_reserve(&s->subjects, ix->num_subjects);

    for (size_t i = 0; i < ix->num_subjects && r == 0; i++) {
        const struct js_index_subject *is = &ix->subjects[i];
        uint32_t id;
        if (i + AHEAD < ix->num_subjects)
            (void)js_subjects_ahead(&s->subjects, is[AHEAD].name, is[AHEAD].len);
        r = js_subjects_intern(&s->subjects, is->name, is->len, &id);
        if (r < 0)
            break;
        struct js_subject_line *line = &s->subjects.lines[id];
        if (line->count)
            return JS_NEED_SCAN; /* listed twice */
        line->count = is->total;
        s->subjects.live++;
        r = js_subjects_widen(&s->subjects, id, is->first_block, is->last_block);
        if (r == 0)
            s->subjects.spans[id].guessed = is->total == 1 && ix->version < 4;
    }
    return r;
}

/* A block in its place; e NULL: a leftover of which nothing counts. */
static int add_block(struct js_stream *s, uint32_t number, struct js_index_block *e) {
    struct js_block *b = js_stream_add_block(s, number);
    struct js_cold *cold = b ? js_calloc(s->env, 1, sizeof *cold) : NULL;

    if (!cold)
        return JS_ERR_NOMEM;
    js_slots_unref(b->slots, s->env);
    b->slots = NULL;
    b->cold = cold;
    s->unread++;
    cold->unread = true;
    cold->first = 1;
    b->tomb_top = b->search_first - 1; /* nobody has looked */
    js_seqset_init(&cold->deleted, s->env);
    if (!e)
        return 0;
    if (number == s->index->last_block)
        memcpy(b->last_sum, s->index->last_sum, 8);
    /* What lies between may be in blocks that the index does not list, for they hold tombstones alone. */
    if (s->num_blocks > 1 && e->first_seq > b->search_first) {
        b->search_first = e->first_seq;
        b->tomb_top = b->search_first - 1;
    }
    cold->first = e->first_seq;
    cold->upto = e->last_seq;
    js_seqset_done(&cold->deleted);
    cold->deleted = e->deleted;
    js_seqset_init(&e->deleted, s->env);
    b->pos_last = e->last_seq;
    b->pos_last_time = e->last_time;
    b->ttls = e->ttls > UINT32_MAX ? UINT32_MAX : (uint32_t)e->ttls;
    b->schedules = e->schedules > UINT32_MAX ? UINT32_MAX : (uint32_t)e->schedules;
    b->uncounted = (s->index->version < 2 ? JS_COUNTED_TTLS : 0) |
                   (s->index->version < 3 ? JS_COUNTED_SCHEDULES : 0);
    b->msgs = js_index_msgs(&(struct js_index_block){
        .first_seq = e->first_seq, .last_seq = e->last_seq, .deleted = cold->deleted});
    b->bytes = e->bytes;
    s->msgs += b->msgs;
    s->bytes += b->bytes;
    if (b->msgs) {
        b->first_pos = e->first_seq;
        b->min_time = e->first_time;
        b->max_time = e->last_time;
        if (b->max_time > b->reach_time)
            b->reach_time = b->max_time;
    }
    if (e->last_seq >= s->last_seq) {
        s->last_seq = e->last_seq;
        if (e->last_time)
            s->last_time = e->last_time;
    }
    return 0;
}

/* What the newest block's file looks like: js_stream_is_same compares. */
static int look_at_last(struct js_stream *s) {
    struct js_block *b = s->blocks[s->num_blocks - 1];
    char path[32];
    struct stat st;

    int r = js_files_stat(&s->files, js_block_file(path, b->number), &st);
    if (r == 0)
        b->file_size = (uint64_t)st.st_size;
    return js_is_shortage(r) ? r : 0;
}

int js_unread_add(struct js_stream *s, const uint32_t *numbers, size_t count, size_t *ret_taken) {
    struct js_index_db *ix = s->index;
    size_t described = 0, taken = 0;

    *ret_taken = 0;
    while (taken < count && (numbers[taken] < ix->last_block ||
                             (s->index_fresh && numbers[taken] == ix->last_block))) {
        described += js_index_entry(ix, numbers[taken]) != NULL;
        taken++;
    }
    /* A block that is gone, or numbers that do not fit: the long way tells what is lost. */
    if (taken == 0 || described != ix->num_blocks - (s->index_fresh ? 0 : 1) || !subjects_agree(ix))
        return 0;
    int r = add_subjects(s);
    for (size_t i = 0; i < taken && r == 0; i++)
        r = add_block(s, numbers[i], (struct js_index_block *)js_index_entry(ix, numbers[i]));
    if (r == 0)
        r = look_at_last(s);
    *ret_taken = taken;
    return r;
}

int js_unread_check(struct js_stream *s) {
    /* Lost messages are still counted for their subjects, and limits are for whole streams. */
    if (s->lost || s->miscounted || (!s->index_fresh && js_stream_over_limits(s)))
        return JS_NEED_SCAN;
    return 0;
}

bool js_unread_knows_first(const struct js_stream *s) {
    if (!s->unread || !s->index)
        return false;
    for (size_t i = 0; i < s->num_blocks; i++) {
        const struct js_block *b = s->blocks[i];
        if (b->msgs == 0)
            continue;
        return b->cold && s->index->first_seq >= b->cold->first &&
               s->index->first_seq <= b->cold->upto &&
               !js_seqset_has(&b->cold->deleted, s->index->first_seq);
    }
    return false;
}
