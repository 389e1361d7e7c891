/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a stream anew: because index.db spared blocks that are needed now, or because a server
 * changed the directory. What is known stays until the new knowledge is complete: when reading
 * fails, everything is as it was.
 */
#include "core/stream/stream.h"

/* What js_stream_load makes, all but the subjects. */
struct knowledge {
    struct js_stream_config config;
    struct js_block_key *seed;
    struct js_found *found;
    struct js_block **blocks;
    size_t num_found, cap_found, num_blocks, cap_blocks, unread, trimmed;
    uint64_t dropped_found, msgs, bytes, lost, slots_memory;
    js_seq_t first_seq, last_seq;
    js_time_t first_time, last_time;
    enum js_health health;
    bool first_time_stale, has_config, encrypted, verified, stale_firsts, stale_lasts;
};

#define FIELDS(X)                                                                                  \
    X(config)                                                                                      \
    X(seed) X(found) X(blocks) X(num_found) X(cap_found) X(num_blocks) X(cap_blocks) X(unread)     \
        X(trimmed) X(dropped_found) X(msgs) X(bytes) X(lost) X(slots_memory) X(first_seq)          \
            X(first_time_stale) X(last_seq) X(first_time) X(last_time) X(health) X(has_config)     \
                X(encrypted) X(verified) X(stale_firsts) X(stale_lasts)

static void take_out(struct js_stream *s, struct knowledge *k) {
#define TAKE(field) k->field = s->field;
    FIELDS(TAKE)
#undef TAKE
    const struct knowledge none = {0};
#define CLEAR(field) s->field = none.field;
    FIELDS(CLEAR)
#undef CLEAR
}

static void put_back(struct js_stream *s, const struct knowledge *k) {
#define PUT(field) s->field = k->field;
    FIELDS(PUT)
#undef PUT
}

/* The subjects' numbers of messages, while they are counted anew. */
static int save_counts(struct js_stream *s, uint64_t **ret) {
    *ret = js_realloc_array(s->env, NULL, s->subjects.count ? s->subjects.count : 1, sizeof **ret);
    if (!*ret)
        return JS_ERR_NOMEM;
    for (uint32_t id = 0; id < s->subjects.count; id++)
        (*ret)[id] = s->subjects.lines[id].count;
    return 0;
}

static void restore_counts(struct js_stream *s, const uint64_t *counts, uint32_t n) {
    js_subjects_forget_msgs(&s->subjects);
    for (uint32_t id = 0; id < n; id++) {
        s->subjects.lines[id].count = counts[id];
        s->subjects.live += counts[id] != 0;
    }
}

/* What the headers of messages were counted to say: the same messages lie in the same blocks. */
static void keep_counters(const struct js_stream *s, const struct knowledge *old) {
    size_t k = 0;

    for (size_t i = 0; i < s->num_blocks; i++) {
        struct js_block *b = s->blocks[i];
        while (k < old->num_blocks && old->blocks[k]->number < b->number)
            k++;
        if (k == old->num_blocks)
            return;
        const struct js_block *o = old->blocks[k];
        if (o->number != b->number)
            continue;
        b->ttls = o->ttls;
        b->schedules = o->schedules;
        b->uncounted = o->uncounted;
    }
}

int js_stream_reload(struct js_stream *s, bool scan, bool keep_subjects) {
    struct knowledge old, fresh;
    struct js_subjects subjects = s->subjects;
    uint32_t num_subjects = subjects.count;
    uint64_t *counts = NULL;
    int r = keep_subjects ? save_counts(s, &counts) : 0;

    if (r < 0)
        return r;
    js_cache_drop(s->cache, s->identity, 0);
    js_recent_clear(&s->recent, s->env);
    take_out(s, &old);
    if (keep_subjects) {
        /* The spans come back if reading fails. */
        s->subjects.spans = NULL;
        s->subjects.num_spans = 0;
        js_subjects_forget_msgs(&s->subjects);
    } else {
        s->subjects = (struct js_subjects){0};
    }
    r = js_stream_load(s, scan);
    if (r < 0) {
        js_stream_unload(s, keep_subjects);
        put_back(s, &old);
        if (keep_subjects) {
            restore_counts(s, counts, num_subjects);
            s->subjects.spans = subjects.spans;
            s->subjects.num_spans = subjects.num_spans;
        } else {
            s->subjects = subjects;
        }
    } else {
        struct js_subjects new_subjects = s->subjects;
        if (keep_subjects) {
            js_free(s->env, subjects.spans);
            keep_counters(s, &old);
        }
        take_out(s, &fresh);
        put_back(s, &old);
        /* Only the old knowledge goes, and with it the subjects if there are new ones. */
        s->subjects = keep_subjects ? (struct js_subjects){0} : subjects;
        js_stream_unload(s, false);
        s->subjects = new_subjects;
        put_back(s, &fresh);
    }
    js_free(s->env, counts);
    return r;
}
