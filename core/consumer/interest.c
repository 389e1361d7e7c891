/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the consumers of a stream want: a stream with retention by interest keeps only that. The
 * filters are read once, and again after a consumer was made, changed or deleted. One that cannot
 * be read wants everything.
 */
#include "core/consumer/interest.h"

#include "core/consumer/consumer.h"

void js_interest_done(struct js_stream *s) {
    for (size_t i = 0; i < s->interest.count; i++)
        js_free(s->env, s->interest.filters[i]);
    js_free(s->env, s->interest.filters);
    s->interest = (struct js_interest){0};
}

void js_interest_forget(struct js_stream *s) {
    pthread_rwlock_wrlock(&s->lock);
    js_interest_done(s);
    pthread_rwlock_unlock(&s->lock);
}

static int add_filter(struct js_stream *s, const char *filter) {
    struct js_interest *in = &s->interest;

    if (in->count == in->cap) {
        size_t cap = in->cap ? in->cap * 2 : 8;
        char **p = js_realloc_array(s->env, in->filters, cap, sizeof *p);
        if (!p)
            return JS_ERR_NOMEM;
        in->filters = p;
        in->cap = cap;
    }
    in->filters[in->count] = js_strdup(s->env, filter);
    return in->filters[in->count] ? (in->count++, 0) : JS_ERR_NOMEM;
}

/* A value other than 0 ends the listing. */
static int add_consumer(void *ctx, const char *name) {
    struct js_stream *s = ctx;
    struct js_consumer_config config = {.env = s->env};
    struct js_consumer_loaded l;
    int r = js_consumer_load(s, name, &l);

    if (r < 0)
        return r == JS_ERR_NO_CONSUMER ? 0 : r;
    r = l.config_error;
    if (r == 0)
        r = js_consumer_config_parse(s->env, (const char *)l.config.data, l.config.len - 1,
                                     &config);
    js_consumer_loaded_done(&l);
    if (js_is_shortage(r))
        return r;
    if (r < 0 || config.num_filters == 0)
        s->interest.everything = true;
    r = 0;
    for (size_t i = 0; i < config.num_filters && r == 0; i++)
        r = add_filter(s, config.filters[i]);
    js_consumer_config_done(&config);
    return r;
}

int js_interest_wants(struct js_stream *s, const char *subject, size_t len, bool *ret_yes) {
    struct js_interest *in = &s->interest;

    if (!in->known) {
        js_interest_done(s);
        int r = js_stream_list_consumers(s, add_consumer, s);
        if (r < 0) {
            js_interest_done(s);
            return r;
        }
        in->known = true;
    }
    *ret_yes = in->everything;
    for (size_t i = 0; i < in->count && !*ret_yes; i++)
        *ret_yes = js_subject_matches(subject, len, in->filters[i], strlen(in->filters[i]));
    return 0;
}
