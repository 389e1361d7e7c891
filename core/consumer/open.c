/* SPDX-License-Identifier: Apache-2.0 */
/* Open consumers: the stream's list of them, handles, and the end. */
#include <errno.h>

#include "core/consumer/consumer.h"

static void free_consumer(struct js_consumer *c) {
    const struct js_env *env = c->env;

    if (c->dirfd >= 0)
        env->io->close(env->io->ctx, c->dirfd);
    js_dispatch_done(c);
    js_window_done(&c->w);
    js_consumer_config_done(&c->config);
    js_buf_done(&c->config_text);
    js_vault_put(c->stream->vault, c->key);
    pthread_mutex_destroy(&c->ready_mu);
    pthread_cond_destroy(&c->idle);
    pthread_mutex_destroy(&c->mu);
    js_free(env, c->name);
    js_free(env, c);
}

void js_consumer_put(struct js_consumer *c) {
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        free_consumer(c);
}

void js_consumer_unref(struct js_consumer *c) {
    if (!c)
        return;
    struct js_stream *s = c->stream;
    js_consumer_put(c);
    js_stream_unref(s);
}

const char *js_consumer_name(const struct js_consumer *c) {
    return c->name;
}

const char *js_consumer_type(const struct js_consumer *c) {
    (void)c;
    return "file";
}

int js_consumer_lock(struct js_consumer *c) {
    pthread_mutex_lock(&c->mu);
    if (!c->closed)
        return 0;
    pthread_mutex_unlock(&c->mu);
    return JS_ERR_STORE_CLOSED;
}

/* ---- the list ----------------------------------------------------------------------------------
 */

/* With consumers_mu. */
static struct js_consumer *find(struct js_stream *s, const char *name) {
    struct js_consumer *c = s->consumers_open;

    while (c && strcmp(c->name, name) != 0)
        c = c->next;
    if (c)
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

struct js_consumer *js_consumer_find(struct js_stream *s, const char *name) {
    pthread_mutex_lock(&s->consumers_mu);
    struct js_consumer *c = find(s, name);
    pthread_mutex_unlock(&s->consumers_mu);
    return c;
}

void js_consumer_unlist(struct js_consumer *c) {
    struct js_stream *s = c->stream;
    bool mine = false;

    pthread_mutex_lock(&s->consumers_mu);
    for (struct js_consumer **p = &s->consumers_open; *p && !mine; p = mine ? p : &(*p)->next) {
        if (*p == c) {
            *p = c->next;
            c->next = NULL;
            mine = c->unlisted = true;
            break;
        }
    }
    pthread_mutex_unlock(&s->consumers_mu);
    if (mine)
        js_consumer_put(c);
}

void js_consumers_each(struct js_stream *s, void (*fn)(void *ctx, struct js_consumer *c),
                       void *ctx) {
    struct js_consumer *c, *next;

    pthread_mutex_lock(&s->consumers_mu);
    c = s->consumers_open;
    if (c)
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&s->consumers_mu);
    while (c) {
        fn(ctx, c);
        pthread_mutex_lock(&s->consumers_mu);
        /* What stood behind one that left meanwhile is not known: once more from the beginning. */
        next = c->unlisted ? s->consumers_open : c->next;
        if (next)
            atomic_fetch_add_explicit(&next->refs, 1, memory_order_relaxed);
        pthread_mutex_unlock(&s->consumers_mu);
        js_consumer_put(c);
        c = next;
    }
}

/* ---- opening -----------------------------------------------------------------------------------
 */

static int open_dir(struct js_stream *s, const char *name, int *ret_fd) {
    const struct js_io *io = s->env->io;

    if (s->files.dirfd < 0)
        return JS_ERR_READ_ONLY;
    int obs = io->open_dir(io->ctx, s->files.dirfd, "obs");
    if (obs < 0)
        return obs == -ENOENT ? JS_ERR_NO_CONSUMER : js_err_from_errno(-obs);
    int fd = io->open_dir(io->ctx, obs, name);
    io->close(io->ctx, obs);
    if (fd < 0)
        return fd == -ENOENT ? JS_ERR_NO_CONSUMER : js_err_from_errno(-fd);
    *ret_fd = fd;
    return 0;
}

static struct js_consumer *new_consumer(struct js_stream *s, const char *name) {
    struct js_consumer *c = js_calloc(s->env, 1, sizeof *c);

    if (!c)
        return NULL;
    c->env = s->env;
    c->stream = s;
    c->dirfd = -1;
    atomic_init(&c->refs, 1);
    c->w.env = s->env;
    c->config.env = s->env;
    c->config_text.env = s->env;
    pthread_mutex_init(&c->mu, NULL);
    pthread_cond_init(&c->idle, NULL);
    pthread_mutex_init(&c->ready_mu, NULL);
    c->name = js_strdup(s->env, name);
    if (!c->name) {
        js_consumer_put(c);
        return NULL;
    }
    return c;
}

/* Where a state claims more than the stream has, what comes next would be skipped: 2.15 clamps it,
 * too. Not where the stream's end is in doubt. */
static void fit_to_stream(struct js_consumer *c, struct js_consumer_loaded *l) {
    struct js_stream_state st;

    js_stream_get_state(c->stream, &st);
    enum js_health health = js_stream_health(c->stream);
    if (health != JS_HEALTH_OK && health != JS_HEALTH_TORN_TAIL)
        return;
    if (js_window_cut(&c->w, st.last_seq) || l->from_prev)
        js_consumer_changed(c);
}

static int take_over(struct js_consumer *c, struct js_consumer_loaded *l) {
    int r = l->config_error ? l->config_error : l->state_error;

    if (r == 0)
        r = js_consumer_config_parse(c->env, (const char *)l->config.data, l->config.len - 1,
                                     &c->config);
    if (r == 0 && l->encrypted && !l->key)
        r = JS_ERR_NO_KEY;
    if (r < 0)
        return r;
    c->encrypted = l->encrypted;
    c->key = l->key;
    l->key = NULL;
    c->config_text = l->config;
    l->config = (struct js_buf){.env = c->env};
    c->has_file = l->info.has_state && !l->from_prev;
    c->has_prev = l->has_prev;
    c->file_synced = !l->has_prev;
    if (l->info.has_state) {
        r = js_window_take(&c->w, &l->state);
    } else {
        js_seq_t before;
        r = js_consumer_first(c->stream, &c->config, &before);
        if (r == 0)
            c->w.delivered_stream = c->w.floor_stream = before;
    }
    if (r == 0) {
        fit_to_stream(c, l);
        r = js_dispatch_begin(c);
    }
    return r;
}

static int load_open(struct js_stream *s, const char *name, struct js_consumer **ret) {
    struct js_consumer_loaded l;
    struct js_consumer *c;
    int r = js_consumer_load(s, name, &l);

    if (r < 0)
        return r;
    c = new_consumer(s, name);
    r = c ? open_dir(s, name, &c->dirfd) : JS_ERR_NOMEM;
    if (r == 0)
        r = take_over(c, &l);
    js_consumer_loaded_done(&l);
    if (r == 0)
        *ret = c;
    else if (c)
        js_consumer_put(c);
    return r;
}

int js_consumer_bring_in(struct js_stream *s, const char *name, struct js_consumer **ret) {
    struct js_consumer *c, *mine;

    if (!s->rw)
        return JS_ERR_READ_ONLY;
    if (!js_name_valid(name) || name[0] == '.')
        return JS_ERR_NO_CONSUMER;
    *ret = js_consumer_find(s, name);
    if (*ret)
        return 0;
    int r = load_open(s, name, &mine);
    if (r < 0)
        return r;
    pthread_mutex_lock(&s->consumers_mu);
    c = s->consumers_closed ? NULL : find(s, name);
    if (!c && !s->consumers_closed) {
        c = mine;
        mine = NULL;
        c->next = s->consumers_open;
        s->consumers_open = c;
        atomic_store(&s->has_listeners, true);
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&s->consumers_mu);
    /* Another thread was faster. */
    if (mine)
        js_consumer_put(mine);
    if (!c)
        return JS_ERR_STORE_CLOSED;
    *ret = c;
    return 0;
}

int js_stream_open_consumer(struct js_stream *stream, const char *name, struct js_consumer **ret) {
    int r = js_consumer_bring_in(stream, name, ret);

    if (r == 0)
        js_stream_ref(stream);
    return r;
}

/* A consumer that does not open, with a fresh state in the place of the one that cannot be used. */
static int replace_state(struct js_stream *s, const char *name, struct js_consumer **ret) {
    struct js_consumer_loaded l;
    struct js_consumer *c;
    int r = js_consumer_load(s, name, &l);

    if (r < 0)
        return r;
    c = new_consumer(s, name);
    r = c ? open_dir(s, name, &c->dirfd) : JS_ERR_NOMEM;
    /* What a newer version wrote is not ours to replace. */
    if (r == 0 && l.state_error == JS_ERR_UNKNOWN_FORMAT)
        r = l.state_error;
    l.state_error = 0;
    if (r == 0)
        r = take_over(c, &l);
    js_consumer_loaded_done(&l);
    if (r == 0)
        *ret = c;
    else if (c)
        js_consumer_put(c);
    return r;
}

int js_stream_repair_consumer(struct js_stream *s, const char *name, js_seq_t seq) {
    struct js_consumer *c;
    int r = js_consumer_bring_in(s, name, &c);

    if (r == JS_ERR_CORRUPT || r == JS_ERR_TORN)
        r = replace_state(s, name, &c);
    if (r < 0)
        return r;
    if (seq) {
        r = js_consumer_seek(c, seq);
    } else {
        /* Opening made the state fit; now it is written. */
        r = js_consumer_lock(c);
        if (r == 0) {
            r = js_dispatch_drop_gone(c);
            js_consumer_changed(c);
            if (r == 0)
                r = js_consumer_write(c, true);
            pthread_mutex_unlock(&c->mu);
        }
    }
    js_consumer_put(c);
    return r;
}

/* ---- the end -----------------------------------------------------------------------------------
 */

/* mu held: nobody writes, nobody will. */
static void close_locked(struct js_consumer *c) {
    while (c->writing)
        pthread_cond_wait(&c->idle, &c->mu);
    c->closed = true;
    if (c->dirfd >= 0)
        c->env->io->close(c->env->io->ctx, c->dirfd);
    c->dirfd = -1;
}

int js_consumer_stop(struct js_consumer *c) {
    int r = 0;

    pthread_mutex_lock(&c->mu);
    if (!c->closed) {
        /* Clean ones have nothing to put on disk. */
        if (c->written != c->changes || c->synced != c->written)
            r = js_consumer_write(c, true);
        close_locked(c);
    }
    pthread_mutex_unlock(&c->mu);
    js_consumer_unlist(c);
    js_consumer_tell_ready(c);
    return r;
}

int js_consumer_stream_delete(struct js_consumer *c) {
    pthread_mutex_lock(&c->mu);
    close_locked(c);
    pthread_mutex_unlock(&c->mu);
    js_consumer_unlist(c);
    js_consumer_tell_ready(c);
    return 0;
}

int js_consumer_delete(struct js_consumer *c) {
    return js_stream_delete_consumer(c->stream, c->name, true);
}

int js_consumers_stop(struct js_stream *s) {
    int r = 0;

    for (;;) {
        pthread_mutex_lock(&s->consumers_mu);
        s->consumers_closed = true;
        struct js_consumer *c = s->consumers_open;
        if (c)
            atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
        pthread_mutex_unlock(&s->consumers_mu);
        if (!c)
            return r;
        int e = js_consumer_stop(c);
        js_consumer_put(c);
        if (r == 0)
            r = e;
    }
}

/* ---- who waits for messages --------------------------------------------------------------------
 */

void js_consumer_on_ready(struct js_consumer *c, js_ready_fn fn, void *ctx) {
    /* It is called under this mutex, so after return no other one runs or will run. */
    pthread_mutex_lock(&c->ready_mu);
    c->ready = fn;
    c->ready_ctx = ctx;
    pthread_mutex_unlock(&c->ready_mu);
}

void js_consumer_tell_ready(struct js_consumer *c) {
    pthread_mutex_lock(&c->ready_mu);
    if (c->ready)
        c->ready(c->ready_ctx, c);
    pthread_mutex_unlock(&c->ready_mu);
}
