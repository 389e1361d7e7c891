/* SPDX-License-Identifier: Apache-2.0 */
/* Consumers as they stand on disk: configuration and state, read anew at each question. */
#include <stdio.h>
#include <stdlib.h>

#include "core/consumer/consumer.h"

struct names {
    const struct js_env *env;
    char **list;
    size_t count, cap;
};

static int add_name(void *ctx, const char *name) {
    struct names *n = ctx;

    if (name[0] == '.' || !js_name_valid(name))
        return 0;
    if (n->count == n->cap) {
        size_t cap = n->cap ? n->cap * 2 : 16;
        char **p = js_realloc_array(n->env, n->list, cap, sizeof *p);
        if (!p)
            return JS_ERR_NOMEM;
        n->list = p;
        n->cap = cap;
    }
    n->list[n->count] = js_strdup(n->env, name);
    return n->list[n->count++] ? 0 : JS_ERR_NOMEM;
}

static int cmp_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int js_stream_list_consumers(struct js_stream *stream, js_name_fn fn, void *ctx) {
    struct names n = {.env = stream->env};
    int r = js_files_list_consumers(&stream->files, add_name, &n);

    if (r == 0 && n.count)
        qsort(n.list, n.count, sizeof *n.list, cmp_name);
    for (size_t i = 0; i < n.count && r == 0; i++)
        r = fn(ctx, n.list[i]);
    for (size_t i = 0; i < n.count; i++)
        js_free(stream->env, n.list[i]);
    js_free(stream->env, n.list);
    return r;
}

/* Messages above what was delivered that the consumer's filters select. */
static int count_pending(struct js_stream *s, const struct js_consumer_loaded *c, uint64_t *ret) {
    struct js_consumer_config config;
    int r =
        js_consumer_config_parse(s->env, (const char *)c->config.data, c->config.len - 1, &config);

    *ret = 0;
    if (r < 0)
        return r == JS_ERR_NOMEM ? r : 0;
    struct js_filter filter = {.patterns = (const char *const *)config.filters,
                               .count = config.num_filters,
                               .any_of = true};
    js_seq_t from = c->state.delivered_stream + 1;
    if (from < config.opt_start_seq)
        from = config.opt_start_seq;
    r = js_stream_num_pending(s, from, &filter, false, ret, NULL);
    js_consumer_config_done(&config);
    return r;
}

/* An open consumer knows more than its file says. */
static int look_live(struct js_stream *s, const char *name, struct js_consumer_loaded *l,
                     bool *ret_live) {
    struct js_consumer_state st;
    struct js_consumer *c = js_consumer_find(s, name);

    *ret_live = false;
    if (!c)
        return 0;
    int r = js_consumer_lock(c);
    if (r == 0) {
        r = js_window_copy(&c->w, &st);
        if (r == 0)
            r = js_dispatch_count(c);
        else
            st = (struct js_consumer_state){.env = s->env};
        l->info.num_pending = c->d.pending;
        pthread_mutex_unlock(&c->mu);
        js_consumer_state_done(&l->state);
        l->state = st;
        l->info.has_state = true;
        *ret_live = r == 0;
    }
    js_consumer_put(c);
    return r == JS_ERR_STORE_CLOSED ? 0 : r;
}

/* Where the state cannot be right: past the stream's end, or pending messages that are not there.
 */
static void cross_check(struct js_stream *s, struct js_consumer_loaded *l) {
    struct js_stream_state st;
    struct js_msg_stat msg;
    uint64_t gone = 0;
    char text[160];

    js_stream_get_state(s, &st);
    if (l->info.has_state && l->state.delivered_stream > st.last_seq) {
        bool floor = l->state.floor_stream > st.last_seq;
        js_consumer_trouble(l, JS_HEALTH_DAMAGED, "o.dat",
                            floor ? "has acknowledged messages past the stream's last sequence"
                                  : "has delivered messages past the stream's last sequence");
    }
    for (size_t i = 0; i < l->state.num_pending; i++)
        gone += js_stream_stat_msg(s, l->state.pending[i].stream_seq, &msg) < 0 || msg.damaged;
    l->info.num_gone = gone;
    /* Removed ones are dropped when their time comes; lost ones are a finding. */
    if (gone == 0 || st.num_lost == 0)
        return;
    snprintf(text, sizeof text, "%llu pending messages are lost or deleted",
             (unsigned long long)gone);
    js_consumer_trouble(l, JS_HEALTH_DAMAGED, "o.dat", text);
}

int js_consumer_get(struct js_stream *stream, const char *name,
                    int (*fn)(void *ctx, const struct js_consumer_info *info), void *ctx) {
    struct js_consumer_loaded l;
    bool live;
    int r = js_consumer_load(stream, name, &l);

    if (r < 0)
        return r;
    struct js_consumer_info *info = &l.info;
    info->config_json = (const char *)l.config.data;
    r = look_live(stream, name, &l, &live);
    if (r == 0 && !live)
        r = count_pending(stream, &l, &info->num_pending);
    info->delivered_consumer = l.state.delivered_consumer;
    info->delivered_stream = l.state.delivered_stream;
    info->ack_floor_consumer = l.state.floor_consumer;
    info->ack_floor_stream = l.state.floor_stream;
    info->num_ack_pending = l.state.num_pending;
    info->num_redelivered = l.state.num_redelivered;
    if (r == 0)
        cross_check(stream, &l);
    info->problem = l.problem;
    if (r == 0)
        r = fn(ctx, info);
    js_consumer_loaded_done(&l);
    return r;
}

int js_consumer_pending(struct js_stream *stream, const char *name, js_seq_t from,
                        struct js_pending *buf, size_t max, size_t *ret_n) {
    struct js_consumer_loaded l;
    size_t n = 0;
    bool live;
    int r = js_consumer_load(stream, name, &l);

    if (r < 0)
        return r;
    r = look_live(stream, name, &l, &live);
    for (size_t i = 0; r == 0 && i < l.state.num_pending && n < max; i++)
        if (l.state.pending[i].stream_seq >= from)
            buf[n++] = l.state.pending[i];
    js_consumer_loaded_done(&l);
    if (r == 0)
        *ret_n = n;
    return r;
}
