/* SPDX-License-Identifier: Apache-2.0 */
/* Consumers as they stand on disk: configuration and state, read anew at each question. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/limits.h"
#include "core/format/consumer_state.h"
#include "core/stream/stream.h"

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

/* A consumer as read: texts and state are owned. */
struct loaded {
    struct js_consumer_info info;
    struct js_buf config;
    struct js_consumer_state state;
    char problem[200];
    struct js_block_key key;
    bool encrypted, has_key;
};

static void done(struct loaded *c) {
    js_wipe(&c->key, sizeof c->key);
    js_buf_done(&c->config);
    js_consumer_state_done(&c->state);
}

/* The first problem stays; the worst verdict counts. */
static void trouble(struct loaded *c, enum js_health verdict, const char *file, const char *text) {
    if (!c->problem[0])
        snprintf(c->problem, sizeof c->problem, "%s: %s", file, text);
    if (c->info.health == JS_HEALTH_OK)
        c->info.health = verdict;
}

static int slurp(struct js_stream *s, const char *name, const char *file, uint64_t max,
                 struct js_buf *out) {
    char path[600];
    snprintf(path, sizeof path, "obs/%s/%s", name, file);
    return js_files_slurp(&s->files, path, max, out);
}

static int load_key(struct js_stream *s, const char *name, struct loaded *c) {
    struct js_buf file = {.env = s->env};
    char context[600];
    int r = slurp(s, name, "meta.key", JS_MAX_KEY_FILE, &file);

    if (r == 0) {
        c->encrypted = true;
        snprintf(context, sizeof context, "%s.%s", s->name, name);
        r = js_stream_open_key(s, file.data, file.len, context, &c->key);
        c->has_key = r == 0;
        if (r == JS_ERR_NO_KEY)
            trouble(c, JS_HEALTH_NO_KEY, "meta.key", "encrypted, and no key was given");
        else if (r == JS_ERR_WRONG_KEY)
            trouble(c, s->has_seed ? JS_HEALTH_DAMAGED : JS_HEALTH_WRONG_KEY, "meta.key",
                    s->has_seed ? "the key that opens the stream does not open it"
                                : "the key does not open this consumer");
        else if (r < 0 && !js_is_shortage(r))
            trouble(c, JS_HEALTH_DAMAGED, "meta.key", js_err_text(r));
    } else if (r != JS_ERR_NO_ENTRY && !js_is_shortage(r)) {
        trouble(c, JS_HEALTH_DAMAGED, "meta.key", js_err_text(r));
    }
    js_buf_done(&file);
    return js_is_shortage(r) ? r : 0;
}

/* Plaintext of a file that may be sealed with the consumer's seed. One nonce in 256 begins as the
 * plain form does: that is only looked for where nothing opens. */
static int open_sealed(const struct loaded *c, const struct js_buf *in, uint8_t plain_first,
                       struct js_buf *out) {
    bool like_plain = in->len && in->data[0] == plain_first;

    if (c->encrypted && !c->has_key && !like_plain)
        return JS_ERR_NO_KEY;
    if (c->encrypted && c->has_key) {
        int r = js_unseal(c->key.cipher, c->key.seed, in->data, in->len, out);
        if (r != JS_ERR_CORRUPT || !like_plain)
            return r;
        out->len = 0;
    }
    js_buf_append(out, in->data, in->len);
    return out->failed ? JS_ERR_NOMEM : 0;
}

static int load_config(struct js_stream *s, const char *name, struct loaded *c) {
    struct js_buf file = {.env = s->env}, sum = {.env = s->env};
    int r = slurp(s, name, "meta.inf", JS_MAX_META_FILE, &file);

    if (r == 0 && file.len == 0)
        r = JS_ERR_TORN;
    if (r == 0)
        r = open_sealed(c, &file, '{', &c->config);
    if (r < 0 && !js_is_shortage(r) && r != JS_ERR_NO_KEY)
        trouble(c, JS_HEALTH_DAMAGED, "meta.inf", js_err_text(r));
    if (r == 0) {
        char key_name[600], want[17];
        snprintf(key_name, sizeof key_name, "%s/%s", s->name, name);
        js_meta_sum(key_name, file.data, file.len, want);
        r = slurp(s, name, "meta.sum", 4096, &sum);
        if (r == JS_ERR_NO_ENTRY)
            trouble(c, JS_HEALTH_DAMAGED, "meta.sum", "missing (servers skip this consumer)");
        else if (r == 0 && (sum.len != 16 || memcmp(sum.data, want, 16) != 0))
            trouble(c, JS_HEALTH_DAMAGED, "meta.sum", "does not match meta.inf");
    } else {
        c->config.len = 0;
    }
    js_buf_done(&file);
    js_buf_done(&sum);
    js_buf_append_u8(&c->config, 0);
    return r == JS_ERR_NOMEM || c->config.failed ? JS_ERR_NOMEM : 0;
}

static int load_state(struct js_stream *s, const char *name, struct loaded *c) {
    struct js_buf file = {.env = s->env}, plain = {.env = s->env};
    int r = slurp(s, name, "o.dat", JS_MAX_STATE_FILE, &file);

    if (r == JS_ERR_NO_ENTRY) {
        r = 0; /* nothing delivered yet */
        goto out;
    }
    if (r == 0 && file.len == 0)
        r = JS_ERR_TORN;
    if (r == 0)
        r = open_sealed(c, &file, 22, &plain);
    if (r == 0)
        r = js_consumer_state_decode(s->env, plain.data, plain.len, &c->state);
    if (r == 0) {
        c->info.has_state = true;
    } else if (!js_is_shortage(r) && r != JS_ERR_NO_KEY) {
        trouble(c, r == JS_ERR_UNKNOWN_FORMAT ? JS_HEALTH_UNKNOWN_FORMAT : JS_HEALTH_DAMAGED,
                "o.dat", r == JS_ERR_TORN ? "empty or cut off" : js_err_text(r));
    }
out:
    js_buf_done(&file);
    js_buf_done(&plain);
    return js_is_shortage(r) ? r : 0;
}

/* Messages above what was delivered that the consumer's filters select. */
static int count_pending(struct js_stream *s, const struct loaded *c, uint64_t *ret) {
    struct js_consumer_config config;
    int r = js_consumer_config_parse(s->env, (const char *)c->config.data, c->config.len - 1,
                                     &config);

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

static int load(struct js_stream *s, const char *name, struct loaded *c) {
    char path[600];
    struct stat st;

    if (!js_name_valid(name) || name[0] == '.')
        return JS_ERR_NO_CONSUMER;
    snprintf(path, sizeof path, "obs/%s", name);
    int r = js_files_stat(&s->files, path, &st);
    if (r < 0)
        return r == JS_ERR_NO_ENTRY ? JS_ERR_NO_CONSUMER : r;
    if (!S_ISDIR(st.st_mode))
        return JS_ERR_NO_CONSUMER;
    *c = (struct loaded){.config.env = s->env, .state.env = s->env};
    c->info.name = name;
    r = load_key(s, name, c);
    if (r == 0)
        r = load_config(s, name, c);
    if (r == 0)
        r = load_state(s, name, c);
    if (r < 0)
        done(c);
    return r;
}

int js_consumer_get(struct js_stream *stream, const char *name,
                    int (*fn)(void *ctx, const struct js_consumer_info *info), void *ctx) {
    struct loaded c;
    int r = load(stream, name, &c);

    if (r < 0)
        return r;
    struct js_consumer_info *info = &c.info;
    info->config_json = (const char *)c.config.data;
    info->delivered_consumer = c.state.delivered_consumer;
    info->delivered_stream = c.state.delivered_stream;
    info->ack_floor_consumer = c.state.floor_consumer;
    info->ack_floor_stream = c.state.floor_stream;
    info->num_ack_pending = c.state.num_pending;
    info->num_redelivered = c.state.num_redelivered;
    r = count_pending(stream, &c, &info->num_pending);
    struct js_stream_state st;
    js_stream_get_state(stream, &st);
    if (r == 0 && info->has_state && c.state.delivered_stream > st.last_seq)
        trouble(&c, JS_HEALTH_DAMAGED, "o.dat",
                "has delivered messages past the stream's last sequence");
    info->problem = c.problem;
    if (r == 0)
        r = fn(ctx, info);
    done(&c);
    return r;
}

int js_consumer_pending(struct js_stream *stream, const char *name, js_seq_t from,
                        struct js_pending *buf, size_t max, size_t *ret_n) {
    struct loaded c;
    size_t n = 0;
    int r = load(stream, name, &c);

    if (r < 0)
        return r;
    for (size_t i = 0; i < c.state.num_pending && n < max; i++)
        if (c.state.pending[i].stream_seq >= from)
            buf[n++] = c.state.pending[i];
    done(&c);
    *ret_n = n;
    return 0;
}
