/* SPDX-License-Identifier: Apache-2.0 */
/* Single messages: load, stat, last of a subject, by time. */
#include "core/base/bytes.h"
#include "core/stream/stream.h"

/* Why there is no message at seq (docs/semantics.md, "Result kinds"). */
static int absent(const struct js_stream *s, js_seq_t seq) {
    if (seq > s->last_seq)
        return JS_ERR_EOF;
    if (seq < s->first_seq || s->msgs + s->lost == 0)
        return JS_ERR_MSG_NOT_FOUND;
    size_t bi;
    struct js_block *b = js_stream_block_of(s, seq, &bi);
    if (!b || b->first_pos == 0)
        return JS_ERR_MSG_NOT_FOUND;
    /* Inside a block that still has messages on both sides it was deleted. */
    return seq >= b->first_pos && seq <= b->pos_last ? JS_ERR_DELETED_MSG : JS_ERR_MSG_NOT_FOUND;
}

/* The slot of a message that is there (perhaps damaged): 0, the reason why there is none, or what
 * js_place_at gives. */
static int find_slot(struct js_stream *s, js_seq_t seq, struct js_place *at) {
    int r = js_stream_slot_at(s, seq, at);

    if (r == 1)
        return 0;
    return r == 0 ? absent(s, seq) : r;
}

/* Gives the lock back; true when the blocks were read now, because index.db was wrong or others
 * changed them: ask again. */
static bool again(struct js_stream *s, struct js_place *at, int *r, int *tries) {
    /* What was good when it was read is not any more: a server may have erased it. */
    bool suspect = *r == JS_ERR_BAD_MSG && at->slots && js_place_len(at) != JS_LEN_DAMAGED;

    js_place_done(s, at);
    pthread_rwlock_unlock(&s->lock);
    if (*r != JS_NEED_SCAN)
        return *r < 0 && js_stream_reread(s, suspect ? JS_ERR_STALE : *r, tries);
    *r = js_stream_scan(s);
    return *r == 0;
}

static int load(struct js_stream *s, js_seq_t seq, struct js_place *at, struct js_msg *ret_msg) {
    at->peek = true;
    int r = find_slot(s, seq, at);
    if (r == JS_MAY_PEEK) {
        r = js_peek_seq(s, seq, ret_msg);
        if (r != 0)
            return r == 1 ? 0 : r;
        at->peek = false;
        r = find_slot(s, seq, at);
    }
    return r == 0 ? js_stream_slot_msg(s, at, false, ret_msg) : r;
}

int js_stream_load_msg(struct js_stream *stream, js_seq_t seq, struct js_msg *ret_msg) {
    struct js_place at = {.bare = true};
    int r, tries = 0;

    do {
        pthread_rwlock_rdlock(&stream->lock);
        r = load(stream, seq ? seq : stream->first_seq, &at, ret_msg);
    } while (again(stream, &at, &r, &tries));
    return r;
}

/* 1, 0 if nothing matches, or an error; lock held. */
static int find_last(struct js_stream *s, const struct js_matcher *m, struct js_msg *ret_msg) {
    struct js_place at = {.bare = m->all};
    int r;

    if (m->all)
        r = js_stream_slot_at(s, s->last_seq, &at);
    else if (m->set->members == 0)
        r = 0;
    else if (m->set->only == JS_NO_ID)
        r = js_stream_prev_match(s, m, s->last_seq, &at);
    else if (s->unread)
        return js_peek_last(s, m->set->only, ret_msg);
    else
        r = js_stream_last_of(s, m->set->only, &at);
    if (r == 1) {
        r = js_stream_slot_msg(s, &at, false, ret_msg);
        r = r == 0 ? 1 : r;
    }
    js_place_done(s, &at);
    return r;
}

int js_stream_load_last_msg(struct js_stream *stream, const char *subject, size_t len,
                            struct js_msg *ret_msg) {
    struct js_matcher m;
    char pattern[256], *copy = pattern;
    bool all = len == 0 || (len == 1 && *subject == '>');

    /* No subject holds a NUL, and the pattern would end there. */
    if (len && memchr(subject, 0, len))
        return JS_ERR_MSG_NOT_FOUND;
    if (len >= sizeof pattern) {
        copy = js_malloc(stream->env, len + 1);
        if (!copy)
            return JS_ERR_NOMEM;
    }
    memcpy(copy, subject, len);
    copy[len] = 0;
    const char *const patterns[] = {copy};
    struct js_filter filter = {.patterns = patterns, .count = 1};
    js_matcher_init(&m, stream, all ? NULL : &filter);
    int r, tries = 0;
    do {
        r = js_stream_lock_matched_unread(stream, &m);
        if (r == 0) {
            r = find_last(stream, &m, ret_msg);
            pthread_rwlock_unlock(&stream->lock);
        }
        if (r == JS_NEED_SCAN) {
            r = js_stream_lock_matched(stream, &m);
            if (r == 0) {
                r = find_last(stream, &m, ret_msg);
                pthread_rwlock_unlock(&stream->lock);
            }
        }
    } while (js_stream_reread(stream, r, &tries));
    if (r >= 0)
        r = r == 1 ? 0 : JS_ERR_MSG_NOT_FOUND;
    js_matcher_done(&m);
    if (copy != pattern)
        js_free(stream->env, copy);
    return r;
}

/* Time of the record in a slot, by reading its head alone. */
static int slot_time(struct js_stream *s, const struct js_place *at, js_time_t *ret_time) {
    struct js_cached *e;
    const uint8_t *p;
    int r = js_stream_slot_bytes(s, at, JS_RECORD_HEAD, false, &e, &p);

    if (r < 0)
        return r;
    *ret_time = (js_time_t)js_get64(p + 12);
    js_cached_unref(e);
    return 0;
}

static int fill_stat(struct js_stream *s, const struct js_place *at, struct js_msg_stat *ret_stat) {
    struct js_msg_stat st = {.seq = js_place_seq(at),
                             .block = at->block->number,
                             .subject_id = JS_NO_ID,
                             .damaged = js_place_len(at) == JS_LEN_DAMAGED};

    if (!st.damaged) {
        uint32_t hdr, payload;
        int r = js_stream_slot_sizes(s, at, &hdr, &payload);
        if (r == 0)
            r = slot_time(s, at, &st.time);
        if (r < 0)
            return r;
        st.hdr_len = hdr;
        st.data_len = payload;
        st.record_len = js_place_len(at);
        st.subject_id = at->slots->sid[at->slot];
        st.subject_len = s->subjects.lines[st.subject_id].len;
    }
    *ret_stat = st;
    return 0;
}

int js_stream_stat_msg(struct js_stream *stream, js_seq_t seq, struct js_msg_stat *ret_stat) {
    struct js_place at = {0};
    int r, tries = 0;

    do {
        pthread_rwlock_rdlock(&stream->lock);
        r = find_slot(stream, seq, &at);
        if (r == 0)
            r = fill_stat(stream, &at, ret_stat);
    } while (again(stream, &at, &r, &tries));
    return r;
}

int js_stream_subject_for_seq(struct js_stream *stream, js_seq_t seq, char *buf, size_t size,
                              size_t *ret_len) {
    struct js_place at = {0};
    int r, tries = 0;

    do {
        pthread_rwlock_rdlock(&stream->lock);
        r = js_stream_slot_at(stream, seq, &at);
        if (r == 1 && js_place_len(&at) != JS_LEN_DAMAGED) {
            const struct js_subject_line *line = &stream->subjects.lines[at.slots->sid[at.slot]];
            memcpy(buf, js_subject_name(line), line->len < size ? line->len : size);
            *ret_len = line->len;
            r = 0;
        } else if (r == 0 || r == 1) {
            r = JS_ERR_MSG_NOT_FOUND;
        }
    } while (again(stream, &at, &r, &tries));
    return r;
}

/* First live slot of the block with time >= t, supposing that times ascend; where they do not the
 * search still ends, at some message near. The block's slot count if there is none. */
static int search_block(struct js_stream *s, struct js_place *at, js_time_t t) {
    uint32_t lo = 0, hi = at->slots->count;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        js_time_t time;
        at->slot = mid;
        while (at->slot < hi && !js_slot_live(at->slots, at->slot))
            at->slot++;
        if (at->slot == hi) {
            hi = mid;
            continue;
        }
        int r = slot_time(s, at, &time);
        if (r < 0)
            return r;
        if (time < t)
            lo = at->slot + 1;
        else
            hi = mid;
    }
    while (lo < at->slots->count && !js_slot_live(at->slots, lo))
        lo++;
    at->slot = lo;
    return 0;
}

/* First block that holds a message with time >= t, or held one. */
static size_t block_by_time(const struct js_stream *s, js_time_t t) {
    size_t lo = 0, hi = s->num_blocks;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->blocks[mid]->reach_time < t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static int find_from_time(struct js_stream *stream, js_time_t t, js_seq_t *ret_seq) {
    struct js_place at = {0};
    int r = js_stream_lock_scanned(stream);

    if (r < 0)
        return r;
    js_seq_t found = stream->last_seq + 1;
    for (size_t i = block_by_time(stream, t); i < stream->num_blocks && r == 0; i++) {
        const struct js_block *b = stream->blocks[i];
        if (b->msgs == 0 || b->max_time < t)
            continue;
        r = js_place_at(stream, &at, i);
        if (r == 0)
            r = search_block(stream, &at, t);
        if (r == 0 && at.slot < at.slots->count) {
            found = js_place_seq(&at);
            break;
        }
    }
    js_place_done(stream, &at);
    pthread_rwlock_unlock(&stream->lock);
    if (r == 0)
        *ret_seq = found;
    return r;
}

int js_stream_seq_from_time(struct js_stream *stream, js_time_t t, js_seq_t *ret_seq) {
    int r, tries = 0;

    do
        r = find_from_time(stream, t, ret_seq);
    while (js_stream_reread(stream, r, &tries));
    return r;
}
