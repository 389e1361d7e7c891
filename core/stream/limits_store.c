/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits while storing. What they remove leaves no tombstone, as with servers: index.db knows, and who
 * opens the stream without it applies the limits again (limits.c).
 */
#include "core/stream/limits.h"

int js_limits_check(struct js_stream *s, uint32_t sid, uint32_t len, bool rollup) {
    const struct js_stream_config *c = &s->config;
    bool replaces = false;
    uint32_t old_len = 0;

    if (c->discard != 'n')
        return 0;
    if (c->max_msgs_per_subject > 0 && sid != JS_NO_ID &&
        s->subjects.lines[sid].count >= (uint64_t)c->max_msgs_per_subject) {
        struct js_place at = {0};
        if (c->discard_new_per_subject && !rollup)
            return JS_ERR_MAX_MSGS_PER_SUBJECT;
        int r = js_stream_first_of(s, sid, &at);
        if (r == JS_NEED_SCAN) {
            /* index.db was wrong about a block. */
            js_place_done(s, &at);
            r = js_stream_scan_locked(s);
            if (r == 0)
                r = js_stream_first_of(s, sid, &at);
        }
        if (r == 1) {
            replaces = true;
            old_len = js_place_len(&at);
        }
        js_place_done(s, &at);
        if (r < 0 || r == JS_NEED_SCAN)
            return r < 0 ? r : JS_ERR_STALE;
    }
    if (c->max_msgs > 0 && s->msgs >= (uint64_t)c->max_msgs && !replaces)
        return JS_ERR_MAX_MSGS;
    if (c->max_bytes > 0 && s->bytes + len > (uint64_t)c->max_bytes &&
        !(replaces && old_len >= len))
        return JS_ERR_MAX_BYTES;
    return 0;
}

int js_limits_subject(struct js_stream *s, struct js_writer *w, const struct js_new_msg *m,
                      struct js_gone *gone) {
    int64_t max = s->config.max_msgs_per_subject;
    int r = 1;

    if (max <= 0)
        return 0;
    uint32_t sid = js_subjects_find(&s->subjects, m->subject, m->subject_len);
    if (sid == JS_NO_ID || s->subjects.lines[sid].count <= (uint64_t)max)
        return 0;
    /* What leaves cannot come back, so the new one has to be in the file. */
    int f = js_writer_settle(s, w);
    if (f < 0)
        return f;
    while (r > 0 && s->subjects.lines[sid].count > (uint64_t)max)
        r = js_remove_oldest(s, w, sid, gone);
    return r < 0 ? r : 0;
}

static bool over(const struct js_stream *s) {
    const struct js_stream_config *c = &s->config;

    return (c->max_msgs > 0 && s->msgs > (uint64_t)c->max_msgs) ||
           (c->max_bytes > 0 && s->bytes > (uint64_t)c->max_bytes);
}

int js_limits_total(struct js_stream *s, struct js_writer *w, struct js_gone *gone) {
    int r = 1;

    /* A discard-new stream is never trimmed from the front. */
    while (r > 0 && s->config.discard == 'o' && over(s) && s->msgs > 0)
        r = js_remove_oldest(s, w, JS_NO_ID, gone);
    return r < 0 ? r : 0;
}

int js_limits_all(struct js_stream *s, struct js_writer *w, struct js_gone *gone) {
    int64_t max = s->config.max_msgs_per_subject;
    int r = js_writer_flush(s, w);

    if (r == 0 && max > 0 && s->unread)
        r = js_stream_scan_locked(s);
    for (uint32_t id = 0; id < s->subjects.count && r >= 0 && max > 0; id++) {
        r = 1;
        while (r > 0 && s->subjects.lines[id].count > (uint64_t)max)
            r = js_remove_oldest(s, w, id, gone);
    }
    return r < 0 ? r : js_limits_total(s, w, gone);
}
