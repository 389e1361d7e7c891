/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New consumers, changed ones, and their end. A directory is built and taken apart under a name
 * that begins with a dot, which we pass over: no crash leaves half a consumer. What such a crash
 * leaves is cleared when the next one is made or deleted.
 */
#include <errno.h>
#include <stdio.h>

#include "core/base/file.h"
#include "core/base/limits.h"
#include "core/consumer/consumer.h"
#include "core/consumer/interest.h"
#include "core/format/json_fields.h"
#include "core/format/subject.h"
#include "core/stream/meta_write.h"

/* ---- the rules between consumers ---------------------------------------------------------------
 */

struct rules {
    struct js_stream *s;
    const char *name;
    const struct js_consumer_config *config;
    bool is_new;
    size_t count; /* of other consumers */
    char *why;
    size_t why_size;
};

#define FORBID(r, ...) (js_fields_why((r)->why, (r)->why_size, __VA_ARGS__), JS_ERR_NOT_PERMITTED)

static bool overlap(const struct js_consumer_config *a, const struct js_consumer_config *b) {
    for (size_t i = 0; i < a->num_filters; i++)
        for (size_t j = 0; j < b->num_filters; j++)
            if (js_filters_overlap(a->filters[i], strlen(a->filters[i]), b->filters[j],
                                   strlen(b->filters[j])))
                return true;
    return a->num_filters == 0 || b->num_filters == 0;
}

static int beside(struct rules *rules, const char *name) {
    struct js_consumer_loaded l;
    struct js_consumer_config other;
    int r = js_consumer_load(rules->s, name, &l);

    if (r < 0)
        return r == JS_ERR_NO_CONSUMER ? 0 : r;
    r = l.config_error;
    if (r == 0)
        r = js_consumer_config_parse(rules->s->env, (const char *)l.config.data, l.config.len - 1,
                                     &other);
    js_consumer_loaded_done(&l);
    if (js_is_shortage(r))
        return r;
    if (r < 0)
        return FORBID(rules, "the consumer \"%.200s\" cannot be read: its filter may overlap",
                      name);
    if (overlap(rules->config, &other))
        r = FORBID(rules,
                   "on a workqueue stream no two consumers may want the same message: "
                   "\"%.200s\" does already",
                   name);
    js_consumer_config_done(&other);
    return r;
}

static int look_beside(void *ctx, const char *name) {
    struct rules *rules = ctx;

    if (strcmp(name, rules->name) == 0)
        return 0;
    rules->count++;
    return rules->s->config.retention == 'w' ? beside(rules, name) : 0;
}

/* The stream's own limits for consumers. */
static int check_limits(struct rules *rules) {
    json_t *root = NULL, *limits;
    const char *text = js_stream_config_json(rules->s);
    int r = js_fields_load(text, strlen(text), &root, NULL, 0);

    if (r < 0)
        return r == JS_ERR_NOMEM ? r : 0;
    struct js_fields f = {.object = root};
    int64_t max = js_field_int(&f, "max_consumers", -1);
    limits = js_field(&f, "consumer_limits");
    int64_t pending = json_integer_value(json_object_get(limits, "max_ack_pending"));
    if (rules->is_new && max > 0 && rules->count >= (uint64_t)max)
        r = FORBID(rules, "the stream allows %lld consumers", (long long)max);
    if (r == 0 && pending > 0 && rules->config->ack_policy != 'n' &&
        (rules->config->max_ack_pending <= 0 || rules->config->max_ack_pending > pending))
        r = FORBID(rules, "the stream allows a \"max_ack_pending\" of %lld", (long long)pending);
    json_decref(root);
    return r;
}

static int check_rules(struct rules *rules) {
    int r = js_stream_list_consumers(rules->s, look_beside, rules);

    return r < 0 ? r : check_limits(rules);
}

/* ---- directories -------------------------------------------------------------------------------
 */

struct listing {
    const struct js_env *env;
    struct js_buf names; /* NUL separated */
};

static int note_name(void *arg, const char *name) {
    struct listing *l = arg;

    js_buf_append(&l->names, name, strlen(name) + 1);
    return l->names.failed ? JS_ERR_NOMEM : 0;
}

/* Removes a directory of files. Servers take a consumer's directory for one as long as it holds
 * meta.sum: that goes first. */
static int clear_dir(const struct js_env *env, int parent, const char *name) {
    const struct js_io *io = env->io;
    struct listing l = {.env = env, .names = {.env = env}};
    int fd = io->open_dir(io->ctx, parent, name);

    if (fd < 0)
        return fd == -ENOENT ? 0 : js_err_from_errno(-fd);
    io->unlink(io->ctx, fd, "meta.sum");
    int r = js_io_result(io->list(io->ctx, fd, note_name, &l));
    for (size_t at = 0; r == 0 && at < l.names.len;) {
        const char *file = (const char *)l.names.data + at;
        int u = io->unlink(io->ctx, fd, file);
        if (u < 0 && u != -ENOENT)
            r = js_err_from_errno(-u);
        at += strlen(file) + 1;
    }
    io->close(io->ctx, fd);
    js_buf_done(&l.names);
    return r < 0 ? r : js_err_from_errno(-io->rmdir(io->ctx, parent, name));
}

static int keep_if_left(void *arg, const char *name) {
    size_t len = strlen(name);

    if (name[0] != '.' || ((len < 5 || strcmp(name + len - 4, ".new") != 0) &&
                           (len < 6 || strcmp(name + len - 5, ".gone") != 0)))
        return 0;
    return note_name(arg, name);
}

/* What crashes left of consumers that were made or deleted. Servers warn of such directories, and
 * leave them alone. Nothing depends on it, so what cannot be removed stays. */
static int sweep(const struct js_env *env, int obs) {
    struct listing l = {.env = env, .names = {.env = env}};
    int r = js_io_result(env->io->list(env->io->ctx, obs, keep_if_left, &l));

    for (size_t at = 0; r == 0 && at < l.names.len;) {
        const char *name = (const char *)l.names.data + at;
        (void)clear_dir(env, obs, name);
        at += strlen(name) + 1;
    }
    js_buf_done(&l.names);
    return r;
}

/* obs/, made if it is missing. */
static int open_obs(struct js_stream *s, bool create, int *ret_fd) {
    const struct js_io *io = s->env->io;

    if (s->files.dirfd < 0)
        return JS_ERR_READ_ONLY;
    int fd = io->open_dir(io->ctx, s->files.dirfd, "obs");
    if (fd == -ENOENT && create) {
        int r = io->mkdir(io->ctx, s->files.dirfd, "obs", 0700);
        if (r == 0)
            r = io->fsync(io->ctx, s->files.dirfd);
        fd = r < 0 && r != -EEXIST ? r : io->open_dir(io->ctx, s->files.dirfd, "obs");
    }
    if (fd < 0)
        return js_err_from_errno(-fd);
    *ret_fd = fd;
    return 0;
}

/* ---- creating ----------------------------------------------------------------------------------
 */

/* A key of its own, wrapped for meta.key. */
static int make_key(struct js_stream *s, int fd, const char *name, struct js_block_key *key) {
    char context[600];

    pthread_rwlock_rdlock(&s->lock);
    enum js_cipher cipher = s->seed ? s->seed->cipher : JS_CIPHER_NONE;
    pthread_rwlock_unlock(&s->lock);
    if (cipher == JS_CIPHER_NONE)
        return JS_ERR_NO_KEY;
    snprintf(context, sizeof context, "%s.%s", s->name, name);
    return js_key_file_make(s->env, fd, "meta.key", s->key_fn, s->key_ctx, s->account, context,
                            cipher, key);
}

static int first_state(struct js_stream *s, int fd, const struct js_consumer_config *config,
                       const struct js_block_key *key) {
    struct js_consumer_state st = {.env = s->env};
    struct js_buf plain = {.env = s->env}, sealed = {.env = s->env};
    js_seq_t before;
    int r = js_consumer_first(s, config, &before);

    st.delivered_stream = st.floor_stream = before;
    if (r == 0)
        r = js_consumer_state_encode(&st, s->env->clock->now(s->env->clock->ctx), &plain);
    if (r == 0 && key)
        r = js_seal(s->env, key->cipher, key->seed, plain.data, plain.len, &sealed);
    const struct js_buf *out = key ? &sealed : &plain;
    if (r == 0)
        r = js_file_replace(s->env, fd, "o.dat", out->data, out->len, true);
    js_buf_done(&plain);
    js_buf_done(&sealed);
    return r;
}

static int fill_dir(struct js_stream *s, int fd, const char *name,
                    const struct js_consumer_config *config, const struct js_buf *text) {
    struct js_block_key key;
    struct js_block_key *k = s->encrypted ? &key : NULL;
    int r = k ? make_key(s, fd, name, &key) : 0;

    if (r == 0)
        r = first_state(s, fd, config, k);
    if (r == 0)
        r = js_consumer_write_meta(s, fd, name, k, text->data, text->len);
    if (k)
        js_wipe(&key, sizeof key);
    return r;
}

static int make_dir(struct js_stream *s, const char *name, const struct js_consumer_config *config,
                    const struct js_buf *text) {
    const struct js_io *io = s->env->io;
    char tmp[JS_MAX_NAME + 1];
    struct stat st;
    int obs, r = open_obs(s, true, &obs);

    js_name_hidden(tmp, name, ".new");
    if (r < 0)
        return r;
    if (io->stat(io->ctx, obs, name, &st) == 0)
        r = JS_ERR_EXISTS;
    if (r == 0)
        r = sweep(s->env, obs);
    bool made = false;
    if (r == 0) {
        r = js_err_from_errno(-io->mkdir(io->ctx, obs, tmp, 0700));
        made = r == 0;
    }
    int fd = r == 0 ? io->open_dir(io->ctx, obs, tmp) : -1;
    if (r == 0)
        r = fd < 0 ? js_err_from_errno(-fd) : fill_dir(s, fd, name, config, text);
    if (fd >= 0)
        io->close(io->ctx, fd);
    if (r == 0)
        r = js_err_from_errno(-io->rename(io->ctx, obs, tmp, obs, name));
    if (r < 0 && made)
        clear_dir(s->env, obs, tmp);
    if (r == 0)
        r = js_err_from_errno(-io->fsync(io->ctx, obs));
    io->close(io->ctx, obs);
    return r;
}

static char retention_of(struct js_stream *s, bool *ret_known) {
    pthread_rwlock_rdlock(&s->lock);
    char kind = s->config.retention;
    *ret_known = s->has_config;
    pthread_rwlock_unlock(&s->lock);
    return kind;
}

static int create(struct js_stream *s, const char *name, const struct js_buf *text, bool check,
                  char *why, size_t why_size) {
    struct js_consumer_config config;
    int r = js_consumer_config_parse(s->env, (const char *)text->data, text->len, &config);

    if (r < 0)
        return r;
    struct rules rules = {
        .s = s, .name = name, .config = &config, .is_new = true, .why = why, .why_size = why_size};
    pthread_mutex_lock(&s->retire_mu);
    r = check ? check_rules(&rules) : 0;
    if (r == 0)
        r = make_dir(s, name, &config, text);
    js_interest_forget(s);
    atomic_store_explicit(&s->consumers_at, 0, memory_order_relaxed);
    pthread_mutex_unlock(&s->retire_mu);
    js_consumer_config_done(&config);
    return r;
}

int js_stream_create_consumer(struct js_stream *s, const char *name, const char *config_json,
                              char *ret_why, size_t why_size) {
    struct js_buf text = {.env = s->env};
    bool known;
    char kind = retention_of(s, &known);

    if (ret_why && why_size)
        ret_why[0] = 0;
    int r = !s->rw ? JS_ERR_READ_ONLY : !known ? JS_ERR_CORRUPT : 0;
    if (r == 0)
        r = js_consumer_config_make(s->env, name, config_json,
                                    s->env->clock->now(s->env->clock->ctx), kind, &text, ret_why,
                                    why_size);
    if (r == 0)
        r = create(s, name, &text, true, ret_why, why_size);
    js_buf_done(&text);
    if (r < 0 && ret_why && why_size && !ret_why[0])
        js_fields_why(ret_why, why_size, "%s", js_err_text(r));
    return r;
}

int js_stream_copy_consumer(struct js_stream *s, const char *name, const char *config_json) {
    struct js_buf text = {.env = s->env};

    js_buf_append(&text, config_json, strlen(config_json));
    int r = text.failed ? JS_ERR_NOMEM : create(s, name, &text, false, NULL, 0);
    js_buf_done(&text);
    return r;
}

/* ---- changing ----------------------------------------------------------------------------------
 */

static int swap_config(struct js_consumer *c, struct js_buf *text,
                       struct js_consumer_config *config) {
    int r = js_consumer_lock(c);

    if (r < 0)
        return r;
    /* The state's writer and this one use names of their own. */
    r = js_consumer_write_meta(c->stream, c->dirfd, c->name, c->encrypted ? c->key : NULL,
                               text->data, text->len);
    js_buf_append_u8(text, 0);
    if (r == 0 && text->failed)
        r = JS_ERR_NOMEM;
    if (r == 0) {
        struct js_consumer_config old = c->config;
        struct js_buf old_text = c->config_text;
        c->config = *config;
        c->config_text = *text;
        *config = old;
        *text = old_text;
        js_dispatch_done(c);
        r = js_dispatch_begin(c);
    }
    pthread_mutex_unlock(&c->mu);
    js_interest_forget(c->stream);
    js_consumer_tell_ready(c);
    return r;
}

static int copy_config(void *ctx, const void *data, size_t len) {
    struct js_buf *out = ctx;

    js_buf_append(out, data, len);
    js_buf_append_u8(out, 0);
    return out->failed ? JS_ERR_NOMEM : 0;
}

int js_consumer_update_config(struct js_consumer *c, const char *config_json, char *ret_why,
                              size_t why_size) {
    struct js_stream *s = c->stream;
    struct js_consumer_config config = {.env = s->env};
    struct js_buf old = {.env = s->env}, text = {.env = s->env};
    bool known;
    char kind = retention_of(s, &known);

    if (ret_why && why_size)
        ret_why[0] = 0;
    pthread_mutex_lock(&s->retire_mu);
    int r = js_consumer_get_config(c, copy_config, &old);
    if (r == 0)
        r = js_consumer_config_make(s->env, c->name, config_json, c->config.created, kind, &text,
                                    ret_why, why_size);
    if (r == 0)
        r = js_consumer_config_parse(s->env, (const char *)text.data, text.len, &config);
    if (r == 0) {
        js_buf_append_u8(&text, 0);
        r = text.failed ? JS_ERR_NOMEM
                        : js_consumer_config_may_follow((const char *)old.data,
                                                        (const char *)text.data, ret_why, why_size);
        text.len--;
    }
    struct rules rules = {
        .s = s, .name = c->name, .config = &config, .why = ret_why, .why_size = why_size};
    if (r == 0)
        r = check_rules(&rules);
    if (r == 0)
        r = swap_config(c, &text, &config);
    pthread_mutex_unlock(&s->retire_mu);
    js_consumer_config_done(&config);
    js_buf_done(&text);
    js_buf_done(&old);
    if (r < 0 && ret_why && why_size && !ret_why[0])
        js_fields_why(ret_why, why_size, "%s", js_err_text(r));
    return r;
}

/* ---- deleting ----------------------------------------------------------------------------------
 */

static int remove_dir(struct js_stream *s, const char *name) {
    const struct js_io *io = s->env->io;
    char gone[JS_MAX_NAME + 1];
    int obs, r = open_obs(s, false, &obs);

    js_name_hidden(gone, name, ".gone");
    if (r < 0)
        return r == JS_ERR_NO_ENTRY ? JS_ERR_NO_CONSUMER : r;
    r = sweep(s->env, obs);
    if (r == 0) {
        int n = io->rename(io->ctx, obs, name, obs, gone);
        r = n == -ENOENT ? JS_ERR_NO_CONSUMER : js_err_from_errno(-n);
    }
    if (r == 0)
        r = clear_dir(s->env, obs, gone);
    if (r == 0)
        r = js_err_from_errno(-io->fsync(io->ctx, obs));
    io->close(io->ctx, obs);
    return r;
}

/* What the consumer selects, "everything" if that cannot be read. */
static int config_of(struct js_stream *s, const char *name, struct js_consumer_config *ret) {
    struct js_consumer_loaded l;
    int r = js_consumer_load(s, name, &l);

    if (r < 0)
        return r;
    *ret = (struct js_consumer_config){.env = s->env};
    r = l.config_error;
    if (r == 0)
        r = js_consumer_config_parse(s->env, (const char *)l.config.data, l.config.len - 1, ret);
    js_consumer_loaded_done(&l);
    return js_is_shortage(r) ? r : 0;
}

static int busy(struct js_stream *s, const char *name) {
    struct js_pending p;
    struct js_consumer *c;
    size_t n = 0;
    int r = js_consumer_bring_in(s, name, &c);

    if (r < 0) /* what cannot be opened has nothing in flight */
        return js_is_shortage(r) ? r : 0;
    r = js_consumer_inflight(c, 0, &p, 1, &n);
    js_consumer_put(c);
    return r < 0 ? r : n ? JS_ERR_LOCKED : 0;
}

static int delete_locked(struct js_stream *s, const char *name, bool force) {
    struct js_consumer_config config;
    bool known;
    int r = config_of(s, name, &config);

    if (r < 0)
        return r;
    if (!force)
        r = busy(s, name);
    if (r == 0) {
        /* Nobody writes its state any more, so nothing appears in the directory while it goes. */
        struct js_consumer *c = js_consumer_find(s, name);
        if (c) {
            js_consumer_stream_delete(c);
            js_consumer_put(c);
        }
        r = remove_dir(s, name);
        js_interest_forget(s);
    }
    atomic_store_explicit(&s->consumers_at, 0, memory_order_relaxed);
    if (r == 0 && retention_of(s, &known) == 'i' && known)
        r = js_stream_retire_unwanted(s, &config);
    js_consumer_config_done(&config);
    return r;
}

int js_stream_delete_consumer(struct js_stream *s, const char *name, bool force) {
    if (!s->rw)
        return JS_ERR_READ_ONLY;
    pthread_mutex_lock(&s->retire_mu);
    int r = delete_locked(s, name, force);
    pthread_mutex_unlock(&s->retire_mu);
    return r;
}
