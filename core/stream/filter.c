/* SPDX-License-Identifier: Apache-2.0 */
/* Filters compiled to sets of subject ids. */
#include "core/stream/stream.h"

void js_matcher_init(struct js_matcher *m, struct js_stream *stream,
                     const struct js_filter *filter) {
    *m = (struct js_matcher){.all = true};
    js_id_set_init(&m->set, stream->env);
    m->generation = stream->generation;
    if (!filter)
        return;
    m->filter = *filter;
    if (filter->subtree_len == 0)
        m->filter.subtree = NULL;
    if (m->filter.subtree || filter->count)
        m->all = false;
    /* ">" alone is everything. */
    if (!m->filter.subtree && filter->count == 1 && strcmp(filter->patterns[0], ">") == 0)
        m->all = true;
}

void js_matcher_done(struct js_matcher *m) {
    js_id_set_done(&m->set);
}

int js_matcher_update(struct js_matcher *m, struct js_stream *stream, bool can_build) {
    if (m->generation != stream->generation) {
        js_id_set_done(&m->set);
        js_id_set_init(&m->set, stream->env);
        m->generation = stream->generation;
    }
    if (m->all || m->set.upto == stream->subjects.count)
        return 0;
    /* Few new names are matched one by one; many are found through the order. */
    uint32_t fresh = stream->subjects.count - m->set.upto;
    if (fresh > 256 && !js_subjects_order_ready(&stream->subjects)) {
        if (!can_build)
            return 1;
        int r = js_subjects_build_order(&stream->subjects);
        if (r < 0)
            return r;
    }
    int r = js_id_set_update(&m->set, &stream->subjects, &m->filter);
    return r < 0 ? r : 0;
}

int js_stream_lock_matched(struct js_stream *stream, struct js_matcher *m) {
    pthread_rwlock_rdlock(&stream->lock);
    int r = js_matcher_update(m, stream, false);
    while (r == 1) {
        pthread_rwlock_unlock(&stream->lock);
        pthread_rwlock_wrlock(&stream->lock);
        r = js_matcher_update(m, stream, true);
        pthread_rwlock_unlock(&stream->lock);
        if (r < 0)
            return r;
        pthread_rwlock_rdlock(&stream->lock);
        r = js_matcher_update(m, stream, false);
    }
    if (r < 0)
        pthread_rwlock_unlock(&stream->lock);
    return r;
}
