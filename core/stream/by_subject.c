/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about subjects: tokens below a prefix, one subject's state, all that match. */
#include "core/stream/stream.h"

/* The lock for reading, with the order of subjects built. */
static int lock_ordered(struct js_stream *s) {
    pthread_rwlock_rdlock(&s->lock);
    while (!js_subjects_order_ready(&s->subjects)) {
        pthread_rwlock_unlock(&s->lock);
        pthread_rwlock_wrlock(&s->lock);
        int r = js_subjects_build_order(&s->subjects);
        pthread_rwlock_unlock(&s->lock);
        if (r < 0)
            return r;
        pthread_rwlock_rdlock(&s->lock);
    }
    return 0;
}

int js_stream_list_tokens(struct js_stream *stream, const char *prefix, size_t len,
                          uint32_t after_id,
                          int (*fn)(void *ctx, const struct js_token *token), void *ctx) {
    int r = lock_ordered(stream);

    if (r < 0)
        return r;
    r = js_subjects_tokens(&stream->subjects, prefix, len, after_id, fn, ctx);
    pthread_rwlock_unlock(&stream->lock);
    return r;
}

/* First live message of a subject: along the chain from where it began. */
static js_seq_t first_of(const struct js_stream *s, uint32_t sid) {
    js_seq_t seq = s->subjects.lines[sid].first;
    size_t bi;

    for (;;) {
        struct js_block *b = js_stream_block_of(s, seq, &bi);
        uint32_t slot = b ? js_slots_find(&b->slots, seq) : JS_NO_SLOT;
        if (slot == JS_NO_SLOT || b->slots.next[slot] == JS_NEXT_FAR)
            break;
        if (js_slot_live(&b->slots, slot))
            return seq;
        if (b->slots.next[slot] == 0)
            return 0;
        seq += b->slots.next[slot];
    }
    /* A link too far for the chain: look at the ids. */
    uint32_t slot;
    while (js_stream_slot_from(s, seq, false, &bi, &slot)) {
        seq = js_slot_seq(&s->blocks[bi]->slots, slot);
        if (s->blocks[bi]->slots.sid[slot] == sid)
            return seq;
        seq++;
    }
    return 0;
}

/* Last live message: usually the newest ever; else a walk back over the ids. */
static js_seq_t last_of(const struct js_stream *s, uint32_t sid) {
    js_seq_t seq = s->subjects.lines[sid].last;
    size_t bi;
    uint32_t slot;

    while (js_stream_slot_before(s, seq, false, &bi, &slot)) {
        seq = js_slot_seq(&s->blocks[bi]->slots, slot);
        if (s->blocks[bi]->slots.sid[slot] == sid)
            return seq;
        if (seq-- == 0)
            break;
    }
    return 0;
}

static void fill_state(const struct js_stream *s, uint32_t sid, struct js_subject_state *ret) {
    *ret = (struct js_subject_state){.msgs = s->subjects.lines[sid].count,
                                     .first_seq = first_of(s, sid),
                                     .last_seq = last_of(s, sid)};
}

int js_stream_subject(struct js_stream *stream, const char *subject, size_t len,
                      struct js_subject_state *ret_state) {
    int r = JS_ERR_MSG_NOT_FOUND;

    pthread_rwlock_rdlock(&stream->lock);
    uint32_t sid = js_subjects_find(&stream->subjects, subject, len);
    if (sid != JS_NO_ID && stream->subjects.lines[sid].count) {
        fill_state(stream, sid, ret_state);
        r = 0;
    }
    pthread_rwlock_unlock(&stream->lock);
    return r;
}

struct visit {
    struct js_stream *s;
    const struct js_matcher *m;
    int (*fn)(void *ctx, const char *subject, size_t len, const struct js_subject_state *state);
    void *ctx;
};

static int visit_id(void *ctx, uint32_t id) {
    struct visit *v = ctx;
    struct js_subject_state state;

    if (!js_matcher_has(v->m, id))
        return 0;
    const struct js_subject_line *line = &v->s->subjects.lines[id];
    fill_state(v->s, id, &state);
    return v->fn(v->ctx, js_subject_name(line), line->len, &state);
}

int js_stream_subjects(struct js_stream *stream, const struct js_filter *filter,
                       int (*fn)(void *ctx, const char *subject, size_t len,
                                 const struct js_subject_state *state),
                       void *ctx) {
    struct js_matcher m;
    struct visit v = {.s = stream, .m = &m, .fn = fn, .ctx = ctx};

    js_matcher_init(&m, stream, filter);
    int r;
    do {
        r = lock_ordered(stream);
        if (r < 0)
            break;
        r = js_matcher_update(&m, stream, false);
        if (r != 0)
            pthread_rwlock_unlock(&stream->lock);
    } while (r == 1);
    if (r == 0) {
        r = js_subjects_match(&stream->subjects, ">", 1, visit_id, &v);
        pthread_rwlock_unlock(&stream->lock);
    }
    js_matcher_done(&m);
    return r;
}
