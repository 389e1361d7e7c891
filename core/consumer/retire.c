/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that leave the stream because consumers are done with them. From a work queue whoever
 * acknowledges removes; from a stream with retention by interest the last of the consumers that
 * want the message. A consumer that cannot be read wants everything.
 */
#include "core/base/limits.h"
#include "core/consumer/consumer.h"
#include "core/stream/remove.h"

bool js_stream_retires(struct js_stream *s) {
    pthread_rwlock_rdlock(&s->lock);
    bool yes = s->has_config && s->config.retention != 'l';
    pthread_rwlock_unlock(&s->lock);
    return yes;
}

static char retention(struct js_stream *s) {
    pthread_rwlock_rdlock(&s->lock);
    char kind = s->config.retention;
    pthread_rwlock_unlock(&s->lock);
    return kind;
}

static bool selects(const struct js_consumer_config *config, const char *subject, size_t len) {
    bool yes = config->num_filters == 0;

    for (size_t i = 0; i < config->num_filters && !yes; i++)
        yes = js_subject_matches(subject, len, config->filters[i], strlen(config->filters[i]));
    return yes;
}

/* All consumers of a stream but one. */
struct js_others {
    struct js_stream *s;
    const char *but;
    struct js_consumer **list;
    size_t count, cap;
    bool unknown; /* one of them cannot be read */
};

static void put_others(struct js_others *o) {
    for (size_t i = 0; i < o->count; i++)
        js_consumer_put(o->list[i]);
    js_free(o->s->env, o->list);
}

static int add_other(void *ctx, const char *name) {
    struct js_others *o = ctx;

    if (o->but && strcmp(name, o->but) == 0)
        return 0;
    if (o->count == o->cap) {
        size_t cap = o->cap ? o->cap * 2 : 8;
        struct js_consumer **p = js_realloc_array(o->s->env, o->list, cap, sizeof *p);
        if (!p)
            return JS_ERR_NOMEM;
        o->list = p;
        o->cap = cap;
    }
    int r = js_consumer_bring_in(o->s, name, &o->list[o->count]);
    if (js_is_shortage(r))
        return r;
    if (r < 0)
        o->unknown = true;
    else
        o->count++;
    return 0;
}

static bool needs(struct js_consumer *c, js_seq_t seq, const char *subject, size_t len) {
    bool yes = true;

    pthread_mutex_lock(&c->mu);
    if (!selects(&c->config, subject, len) || seq <= c->w.floor_stream)
        yes = false;
    else if (seq <= c->w.delivered_stream && c->config.ack_policy == 'e')
        yes = js_window_find(&c->w, seq) != JS_NO_ENTRY;
    pthread_mutex_unlock(&c->mu);
    return yes;
}

static int is_needed(const struct js_others *o, js_seq_t seq, bool *ret_yes) {
    char subject[JS_MAX_SUBJECT];
    size_t len;
    int r = 0;

    *ret_yes = o->unknown;
    if (!o->unknown)
        r = js_stream_subject_for_seq(o->s, seq, subject, sizeof subject, &len);
    for (size_t i = 0; r == 0 && i < o->count && !*ret_yes; i++)
        *ret_yes = needs(o->list[i], seq, subject, len);
    return r == JS_ERR_MSG_NOT_FOUND ? 0 : r;
}

/* What is gone already is as good as removed. */
static int take_out(struct js_stream *s, js_seq_t seq) {
    int r = js_stream_remove_acked(s, seq);

    return r > 0 || r == JS_ERR_EOF || r == JS_ERR_MSG_NOT_FOUND ? 0 : r;
}

int js_consumer_retire(struct js_consumer *c, const js_seq_t *seqs, size_t n, bool *ret_kept) {
    struct js_others o = {.s = c->stream, .but = c->name};
    bool ask = retention(c->stream) == 'i';
    int r = ask ? js_stream_list_consumers(c->stream, add_other, &o) : 0;

    *ret_kept = false;
    for (size_t i = 0; i < n && r == 0; i++) {
        bool keep = false;
        if (ask)
            r = is_needed(&o, seqs[i], &keep);
        if (r == 0 && !keep)
            r = take_out(c->stream, seqs[i]);
        *ret_kept |= keep;
    }
    put_others(&o);
    return r;
}

#define BATCH 256

int js_stream_retire_unwanted(struct js_stream *s, const struct js_consumer_config *config) {
    struct js_others o = {.s = s};
    struct js_filter filter = js_consumer_filter(config);
    js_seq_t seqs[BATCH], from = 1;
    size_t n = BATCH;
    int r = js_stream_list_consumers(s, add_other, &o);

    while (r == 0 && n == BATCH) {
        r = js_stream_list_seqs(s, &filter, from, false, seqs, BATCH, &n);
        for (size_t i = 0; i < n && r == 0; i++) {
            bool keep;
            r = is_needed(&o, seqs[i], &keep);
            if (r == 0 && !keep)
                r = take_out(s, seqs[i]);
            from = seqs[i] + 1;
        }
    }
    put_others(&o);
    return r;
}
