/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many messages are still to come. The number is kept: a delivery takes one away, and only what
 * was stored since is counted. The stream remembers which messages left it last (a short ring):
 * those that were delivered before do not matter, which is what acknowledgements remove from a work
 * queue. Anything else that left is counted anew.
 */
#include "core/consumer/consumer.h"

struct js_filter js_consumer_filter(const struct js_consumer_config *config) {
    return (struct js_filter){.patterns = (const char *const *)config->filters,
                              .count = config->num_filters,
                              .any_of = true};
}

static int count_from(struct js_consumer *c, js_seq_t from, uint64_t *ret_n, js_seq_t *ret_upto) {
    struct js_filter filter = js_consumer_filter(&c->config);

    return js_stream_num_pending(c->stream, from, &filter, false, ret_n, ret_upto);
}

struct marks {
    uint64_t removals, logged;
    uint32_t generation;
    js_seq_t last;
    bool same;  /* nothing left that has not been delivered */
    bool taken; /* something left that is pending */
};

static struct marks look(struct js_consumer *c) {
    struct js_stream *s = c->stream;
    const struct js_dispatch *d = &c->d;
    struct marks m;

    pthread_rwlock_rdlock(&s->lock);
    m = (struct marks){.removals = s->removals,
                       .logged = s->removed_logged,
                       .generation = s->generation,
                       .last = s->last_seq};
    uint64_t left = m.removals - d->removals, logged = m.logged - d->logged;
    m.same =
        d->known && m.generation == d->generation && left == logged && logged <= JS_REMOVED_LOG;
    for (uint64_t i = d->logged; m.same && i != m.logged; i++) {
        js_seq_t seq = s->removed_log[i % JS_REMOVED_LOG];
        m.same = seq < d->next;
        m.taken |= js_window_find(&c->w, seq) != JS_NO_ENTRY;
    }
    pthread_rwlock_unlock(&s->lock);
    return m;
}

/* What of the list of last messages is still there. */
static uint64_t count_lasts(struct js_consumer *c) {
    struct js_msg_stat st;
    uint64_t n = 0;

    for (size_t i = c->d.at_last; i < c->d.num_lasts; i++)
        n += js_stream_stat_msg(c->stream, c->d.lasts[i], &st) == 0;
    return n;
}

int js_dispatch_count(struct js_consumer *c) {
    struct js_dispatch *d = &c->d;
    struct marks m = look(c);
    bool lasts = d->at_last < d->num_lasts;
    uint64_t n = 0;
    js_seq_t upto = d->counted;
    int r = 0;

    d->lost_some |= m.taken || (d->known && !m.same);
    if (!m.same) {
        r = count_from(c, lasts ? d->resume : d->next, &n, &upto);
        if (r < 0)
            return r;
        d->pending = n + (lasts ? count_lasts(c) : 0);
        d->counted = upto;
    } else if (m.last > d->counted) {
        r = count_from(c, d->counted + 1, &n, &upto);
        if (r < 0)
            return r;
        d->pending += n;
        d->counted = upto;
    }
    d->known = true;
    d->removals = m.removals;
    d->logged = m.logged;
    d->generation = m.generation;
    return 0;
}

void js_dispatch_took(struct js_consumer *c, js_seq_t seq) {
    struct js_dispatch *d = &c->d;

    if (seq > d->counted)
        d->known = false; /* stored after counting */
    else if (d->pending)
        d->pending--;
}
