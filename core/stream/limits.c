/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits at opening. A server that removes a message because of max_msgs, max_bytes or
 * max_msgs_per_subject writes nothing to the blocks; index.db alone tells. Without a fresh index the
 * messages seem to be back, and every server takes them out again when it opens the stream. So do
 * we, in memory: the files are not touched, and `dump --format records` still shows them.
 */
#include "core/stream/stream.h"

/* Oldest first, while the stream is above max_msgs or max_bytes. */
static int limit_total(struct js_stream *s) {
    const struct js_stream_config *c = &s->config;

    for (size_t i = 0; i < s->num_blocks; i++) {
        struct js_block *b = s->blocks[i];
        int w = js_block_warm(s, i);
        if (w != 0)
            return w;
        for (uint32_t k = 0; k < b->slots->count; k++) {
            bool over = (c->max_msgs > 0 && s->msgs > (uint64_t)c->max_msgs) ||
                        (c->max_bytes > 0 && s->bytes > (uint64_t)c->max_bytes);
            if (!over)
                return 0;
            if (!js_slot_live(b->slots, k))
                continue;
            int r = js_stream_drop_slot(s, b, k);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* One pass from the front: what a subject has too many of goes. */
static int limit_subjects(struct js_stream *s) {
    uint64_t max = (uint64_t)s->config.max_msgs_per_subject;
    bool over = false;

    for (uint32_t id = 0; id < s->subjects.count && !over; id++)
        over = s->subjects.lines[id].count > max;
    if (!over)
        return 0;
    for (size_t i = 0; i < s->num_blocks; i++) {
        struct js_block *b = s->blocks[i];
        int w = js_block_warm(s, i);
        if (w != 0)
            return w;
        for (uint32_t k = 0; k < b->slots->count; k++) {
            if (!js_slot_live(b->slots, k) || s->subjects.lines[b->slots->sid[k]].count <= max)
                continue;
            int r = js_stream_drop_slot(s, b, k);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

bool js_stream_over_totals(const struct js_stream *s) {
    const struct js_stream_config *c = &s->config;

    return s->has_config && c->discard == 'o' &&
           ((c->max_msgs > 0 && s->msgs > (uint64_t)c->max_msgs) ||
            (c->max_bytes > 0 && s->bytes > (uint64_t)c->max_bytes));
}

bool js_stream_over_limits(const struct js_stream *s) {
    const struct js_stream_config *c = &s->config;

    if (!s->has_config)
        return false;
    if (js_stream_over_totals(s))
        return true;
    for (uint32_t id = 0; c->max_msgs_per_subject > 0 && id < s->subjects.count; id++)
        if (s->subjects.lines[id].count > (uint64_t)c->max_msgs_per_subject)
            return true;
    return false;
}

int js_stream_limit_loaded(struct js_stream *s) {
    const struct js_stream_config *c = &s->config;
    int r = 0;

    if (!s->has_config)
        return 0;
    /* A discard-new stream is never trimmed from the front. */
    if (c->discard == 'o' && (c->max_msgs > 0 || c->max_bytes > 0))
        r = limit_total(s);
    if (r == 0 && c->max_msgs_per_subject > 0)
        r = limit_subjects(s);
    return r;
}
