/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/node/consumer.h"
#include "fs/session/notify.h"
#include "fs/session/park.h"

#define REFRESH_NS 250000000LL

struct jf_streams {
    pthread_mutex_t lock;    /* the table */
    pthread_mutex_t opening; /* one stream is opened at a time */
    struct jf_stream **slots;
    size_t count;
    size_t cap;
};

struct jf_streams *jf_streams_new(void) {
    struct jf_streams *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    pthread_mutex_init(&t->opening, NULL);
    return t;
}

static void on_change(void *ctx, struct js_stream *stream, js_seq_t first, uint64_t n) {
    struct jf_stream *s = ctx;

    (void)stream;
    (void)first;
    (void)n;
    jf_notify_stream(s);
    jf_waitq_wake(s->waitq);
}

static void free_stream(struct jf_stream *s) {
    jf_consumers_free(s);
    pthread_mutex_destroy(&s->consumers_lock);
    jf_scope_unref(s->scope);
    if (s->stream)
        js_stream_unref(s->stream);
    jf_waitq_free(s->waitq);
    free(s->tag);
    free(s);
}

void jf_streams_free(struct jf_fs *fs) {
    struct jf_streams *t = fs->streams;

    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++) {
        js_stream_unsubscribe(t->slots[i]->stream, on_change, t->slots[i]);
        free_stream(t->slots[i]);
    }
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->opening);
    free(t->slots);
    free(t);
    fs->streams = NULL;
}

/* With the table's lock. incarnations: how many streams of that name there were. */
static struct jf_stream *find(struct jf_streams *t, const char *account, const char *name,
                              unsigned *ret_incarnations) {
    struct jf_stream *found = NULL;

    *ret_incarnations = 0;
    for (size_t i = 0; i < t->count; i++) {
        struct jf_stream *s = t->slots[i];
        if (strcmp(s->name, name) != 0 || strcmp(s->account, account) != 0)
            continue;
        ++*ret_incarnations;
        if (!atomic_load(&s->gone))
            found = s;
    }
    return found;
}

struct jf_stream *jf_stream_peek(struct jf_fs *fs, const char *account, const char *name) {
    unsigned n;

    pthread_mutex_lock(&fs->streams->lock);
    struct jf_stream *s = find(fs->streams, account, name, &n);
    pthread_mutex_unlock(&fs->streams->lock);
    return s;
}

static int add(struct jf_streams *t, struct jf_stream *s) {
    if (t->count == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 16;
        struct jf_stream **slots = realloc(t->slots, cap * sizeof(*slots));
        if (!slots)
            return JS_ERR_NOMEM;
        t->slots = slots;
        t->cap = cap;
    }
    s->slot = (uint32_t)t->count;
    t->slots[t->count++] = s;
    return 0;
}

static int make(struct jf_fs *fs, const char *account, const char *name, unsigned incarnation,
                struct jf_stream **ret_stream) {
    struct jf_stream *s = calloc(1, sizeof(*s));
    int r = JS_ERR_NOMEM;

    if (!s)
        return r;
    s->fs = fs;
    pthread_mutex_init(&s->consumers_lock, NULL);
    s->waitq = jf_waitq_new(fs);
    size_t size = strlen(account) + strlen(name) + 16;
    s->tag = malloc(size);
    if (!s->waitq || !s->tag)
        goto fail;
    if (incarnation)
        snprintf(s->tag, size, "%s/%s#%u", account, name, incarnation);
    else
        snprintf(s->tag, size, "%s/%s", account, name);
    r = js_store_get_stream(fs->store, account, name, &s->stream);
    if (r < 0)
        goto fail;
    /* The tag holds the names for as long as the mount lasts. */
    s->account = js_stream_account(s->stream);
    s->name = js_stream_name(s->stream);
    r = jf_scope_root(s->stream, &s->scope);
    if (r < 0)
        goto fail;
    r = js_stream_subscribe(s->stream, on_change, s);
    if (r < 0)
        goto fail;
    *ret_stream = s;
    return 0;
fail:
    free_stream(s);
    return r;
}

int jf_stream_get(struct jf_fs *fs, const char *account, const char *name,
                  struct jf_stream **ret_stream) {
    struct jf_streams *t = fs->streams;
    unsigned incarnation;

    pthread_mutex_lock(&t->opening);
    pthread_mutex_lock(&t->lock);
    struct jf_stream *s = find(t, account, name, &incarnation);
    pthread_mutex_unlock(&t->lock);
    int r = 0;
    if (!s) {
        r = make(fs, account, name, incarnation, &s);
        if (r == 0) {
            pthread_mutex_lock(&t->lock);
            r = add(t, s);
            pthread_mutex_unlock(&t->lock);
            if (r < 0) {
                js_stream_unsubscribe(s->stream, on_change, s);
                free_stream(s);
            }
        }
    }
    pthread_mutex_unlock(&t->opening);
    if (r < 0)
        return r;
    *ret_stream = s;
    return 0;
}

struct jf_stream *jf_stream_of_slot(struct jf_fs *fs, uint32_t slot) {
    struct jf_streams *t = fs->streams;

    pthread_mutex_lock(&t->lock);
    struct jf_stream *s = slot < t->count ? t->slots[slot] : NULL;
    pthread_mutex_unlock(&t->lock);
    return s;
}

void jf_stream_gone(struct jf_stream *stream) {
    atomic_store(&stream->gone, true);
    jf_waitq_wake(stream->waitq);
}

void jf_stream_touch(struct jf_stream *stream) {
    struct jf_fs *fs = stream->fs;

    if (fs->options.rw)
        return;
    js_time_t now = fs->env->clock->monotonic(fs->env->clock->ctx);
    long long last = atomic_load(&stream->refreshed);
    if (last && now - last < REFRESH_NS)
        return;
    /* One thread looks; the others go on with what is known. */
    if (!atomic_compare_exchange_strong(&stream->refreshed, &last, now))
        return;
    int r = js_stream_refresh(stream->stream);
    if (r == JS_ERR_NO_STREAM || r == JS_ERR_NO_ENTRY)
        jf_stream_gone(stream);
    else if (r < 0)
        jf_log_add(fs->log, "%s: looking for changes: %s", stream->tag, js_err_text(r));
}

void jf_streams_each(struct jf_fs *fs, void (*fn)(void *ctx, struct jf_stream *stream), void *ctx) {
    struct jf_stream *s;

    for (uint32_t i = 0; (s = jf_stream_of_slot(fs, i)) != NULL; i++)
        fn(ctx, s);
}

static void touch_watched(void *ctx, struct jf_stream *stream) {
    (void)ctx;
    if (atomic_load(&stream->watchers) && !atomic_load(&stream->gone))
        jf_stream_touch(stream);
}

void jf_streams_tick(struct jf_fs *fs) {
    jf_streams_each(fs, touch_watched, NULL);
}

void jf_stream_watch(struct jf_stream *stream) {
    atomic_fetch_add(&stream->watchers, 1);
}

void jf_stream_unwatch(struct jf_stream *stream) {
    atomic_fetch_sub(&stream->watchers, 1);
}
