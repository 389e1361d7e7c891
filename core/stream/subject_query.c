/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about subjects: tokens below a prefix, one subject's state, all that match. */
#include "core/stream/stream.h"

/* The lock for reading with the order of subjects built and the matcher (may be NULL) up to date;
 * scanned: every block was read, too. */
static int lock_ordered(struct js_stream *s, struct js_matcher *m, bool scanned) {
    for (;;) {
        int r = 0;
        if (m)
            r = scanned ? js_stream_lock_matched(s, m) : js_stream_lock_matched_unread(s, m);
        else if (scanned)
            r = js_stream_lock_scanned(s);
        else
            pthread_rwlock_rdlock(&s->lock);
        if (r < 0 || js_subjects_order_ready(&s->subjects))
            return r;
        pthread_rwlock_unlock(&s->lock);
        pthread_rwlock_wrlock(&s->lock);
        r = js_subjects_build_order(&s->subjects);
        pthread_rwlock_unlock(&s->lock);
        if (r < 0)
            return r;
    }
}

int js_stream_list_tokens(struct js_stream *stream, const char *prefix, size_t len,
                          uint32_t after_id, int (*fn)(void *ctx, const struct js_token *token),
                          void *ctx) {
    int r = lock_ordered(stream, NULL, false);

    if (r < 0)
        return r;
    r = js_subjects_tokens(&stream->subjects, prefix, len, after_id, fn, ctx);
    pthread_rwlock_unlock(&stream->lock);
    return r;
}

/* Count, first and last of a live subject. Stale lines are corrected on the way. */
static int fill_state(struct js_stream *s, uint32_t sid, struct js_place *at,
                      struct js_subject_state *ret) {
    const struct js_subject_line *line = &s->subjects.lines[sid];
    int r = 0;

    *ret = (struct js_subject_state){.msgs = line->count};
    if (atomic_load_explicit(&s->stale_firsts, memory_order_relaxed))
        r = js_stream_first_of(s, sid, at);
    if (r >= 0 && atomic_load_explicit(&s->stale_lasts, memory_order_relaxed))
        r = js_stream_last_of(s, sid, at);
    ret->first_seq = js_line_seq(&line->first);
    ret->last_seq = js_line_seq(&line->last);
    return r < 0 ? r : 0;
}

static int subject_once(struct js_stream *stream, const char *subject, size_t len,
                        struct js_subject_state *ret_state) {
    struct js_place at = {0};
    int r = js_stream_lock_scanned(stream);

    if (r < 0)
        return r;
    uint32_t sid = js_subjects_find(&stream->subjects, subject, len);
    if (sid != JS_NO_ID && stream->subjects.lines[sid].count)
        r = fill_state(stream, sid, &at, ret_state);
    else
        r = JS_ERR_MSG_NOT_FOUND;
    js_place_done(stream, &at);
    pthread_rwlock_unlock(&stream->lock);
    return r;
}

int js_stream_subject(struct js_stream *stream, const char *subject, size_t len,
                      struct js_subject_state *ret_state) {
    int r, tries = 0;

    do
        r = subject_once(stream, subject, len, ret_state);
    while (js_stream_reread(stream, r, &tries));
    return r;
}

struct visit {
    struct js_stream *s;
    const struct js_matcher *m;
    struct js_place at;
    int (*fn)(void *ctx, const char *subject, size_t len, const struct js_subject_state *state);
    int (*total)(void *ctx, const char *subject, size_t len, uint64_t msgs);
    void *ctx;
};

static int visit_id(void *ctx, uint32_t id) {
    struct visit *v = ctx;
    struct js_subject_state state;

    if (!js_matcher_has(v->m, id))
        return 0;
    const struct js_subject_line *line = &v->s->subjects.lines[id];
    if (v->total)
        return v->total(v->ctx, js_subject_name(line), line->len, line->count);
    int r = fill_state(v->s, id, &v->at, &state);
    return r < 0 ? r : v->fn(v->ctx, js_subject_name(line), line->len, &state);
}

static int visit_all(struct js_stream *s, const struct js_filter *filter, struct visit *v) {
    struct js_matcher m;

    js_matcher_init(&m, s, filter);
    v->s = s;
    v->m = &m;
    int r = lock_ordered(s, &m, v->fn != NULL);
    if (r == 0) {
        /* One pattern narrows the walk; more are told apart by the set. */
        bool one = filter && filter->count == 1 && !m.all && !m.filter.subtree;
        const char *pattern = one ? filter->patterns[0] : ">";
        if (v->fn)
            r = js_stream_settle(s, &m, &v->at);
        if (r == 0)
            r = js_subjects_match(&s->subjects, pattern, strlen(pattern), visit_id, v);
        js_place_done(s, &v->at);
        pthread_rwlock_unlock(&s->lock);
    }
    js_matcher_done(&m);
    return r;
}

int js_stream_subjects(struct js_stream *stream, const struct js_filter *filter,
                       int (*fn)(void *ctx, const char *subject, size_t len,
                                 const struct js_subject_state *state),
                       void *ctx) {
    struct visit v = {.fn = fn, .ctx = ctx};
    return visit_all(stream, filter, &v);
}

int js_stream_subject_totals(struct js_stream *stream, const struct js_filter *filter,
                             int (*fn)(void *ctx, const char *subject, size_t len, uint64_t msgs),
                             void *ctx) {
    struct visit v = {.total = fn, .ctx = ctx};
    return visit_all(stream, filter, &v);
}
