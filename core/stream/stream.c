/* SPDX-License-Identifier: Apache-2.0 */
/* Birth and death of a stream's handle. */
#include "core/stream/stream.h"

#include "core/consumer/consumer.h"
#include "core/consumer/interest.h"
#include "core/stream/rules.h"

struct js_stream *js_stream_new(struct js_store *store, const struct js_env *env,
                                const char *account, const char *name) {
    struct js_stream *s = js_calloc(env, 1, sizeof *s);
    pthread_rwlockattr_t attr;

    if (!s)
        return NULL;
    s->env = env;
    s->store = store;
    s->files = (struct js_files){.env = env, .dirfd = -1, .msgs_fd = -1};
    atomic_init(&s->refs, 1);
    s->account = js_strdup(env, account);
    s->name = js_strdup(env, name);
    /* A flood of readers must not starve an append. */
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&s->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    pthread_mutex_init(&s->listeners_mu, NULL);
    pthread_mutex_init(&s->retire_mu, NULL);
    pthread_mutex_init(&s->consumers_mu, NULL);
    js_recent_init(&s->recent);
    js_filters_init(&s->filters);
    js_walk_init(&s->walk);
    js_peek_init(&s->peek);
    js_syncer_init(&s->syncer);
    if (!s->account || !s->name) {
        js_stream_free(s);
        return NULL;
    }
    return s;
}

static void free_texts(const struct js_env *env, struct js_text *t) {
    while (t) {
        struct js_text *next = t->next;
        js_free(env, t);
        t = next;
    }
}

void js_stream_free(struct js_stream *s) {
    js_consumers_stop(s);
    js_interest_done(s);
    js_walk_done(&s->walk);
    js_writer_free(s);
    if (s->cache)
        js_stream_unload(s, false);
    js_recent_done(&s->recent, s->env);
    js_filters_done(&s->filters, s->env);
    js_peek_done(&s->peek, s->env);
    js_rules_done(s);
    js_syncer_done(&s->syncer);
    js_free(s->env, s->graves);
    js_files_close(&s->files);
    free_texts(s->env, s->config_text);
    free_texts(s->env, s->old_texts);
    while (s->listeners) {
        struct js_listener *l = s->listeners;
        s->listeners = l->next;
        js_free(s->env, l);
    }
    pthread_mutex_destroy(&s->consumers_mu);
    pthread_mutex_destroy(&s->retire_mu);
    pthread_mutex_destroy(&s->listeners_mu);
    pthread_rwlock_destroy(&s->lock);
    js_free(s->env, s->account);
    js_free(s->env, s->name);
    js_free(s->env, s);
}

struct js_stream *js_stream_ref(struct js_stream *stream) {
    /* Relaxed: whoever takes a reference already holds one. */
    atomic_fetch_add_explicit(&stream->refs, 1, memory_order_relaxed);
    return stream;
}

void js_stream_unref(struct js_stream *stream) {
    if (!stream)
        return;
    if (atomic_fetch_sub_explicit(&stream->refs, 1, memory_order_acq_rel) == 1)
        js_stream_free(stream);
}
