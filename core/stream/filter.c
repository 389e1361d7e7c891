/* SPDX-License-Identifier: Apache-2.0 */
/* Filters compiled to sets of subject ids, and the few that are kept for the next question. */
#include "core/format/subject.h"
#include "core/stream/stream.h"

void js_filters_init(struct js_filters *filters) {
    *filters = (struct js_filters){0};
    pthread_mutex_init(&filters->mu, NULL);
}

static void unref(struct js_compiled *c, const struct js_env *env) {
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    js_id_set_done(&c->set);
    js_free(env, c->key);
    js_free(env, c->counts);
    pthread_mutex_destroy(&c->mu);
    js_free(env, c);
}

void js_filters_done(struct js_filters *filters, const struct js_env *env) {
    for (size_t i = 0; i < JS_KEPT_FILTERS; i++)
        unref(filters->entries[i], env);
    pthread_mutex_destroy(&filters->mu);
}

/* Everything passes: no pattern, or one of those that count lets everything pass. */
static bool lets_all_pass(const struct js_filter *f) {
    bool any = f->count == 0;

    if (f->subtree)
        return false;
    for (size_t i = 0; i < f->count; i++) {
        bool all = f->patterns[i][0] == 0 || strcmp(f->patterns[i], ">") == 0;
        if (all && (f->any_of || f->count == 1))
            any = true;
    }
    return any;
}

void js_matcher_init(struct js_matcher *m, struct js_stream *stream,
                     const struct js_filter *filter) {
    *m = (struct js_matcher){.env = stream->env, .all = true};
    js_id_set_init(&m->one, stream->env);
    if (!filter)
        return;
    m->filter = *filter;
    if (filter->subtree_len == 0)
        m->filter.subtree = NULL;
    m->all = lets_all_pass(&m->filter);
    if (m->all || m->filter.subtree || filter->count != 1)
        return;
    (void)js_filter_literal_prefix(filter->patterns[0], strlen(filter->patterns[0]), &m->literal);
}

void js_matcher_done(struct js_matcher *m) {
    unref(m->compiled, m->env);
    m->compiled = NULL;
    m->set = NULL;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* What tells filters apart: kind, subtree and patterns, NUL terminated each. */
static int make_key(const struct js_env *env, const struct js_filter *f, struct js_buf *key) {
    key->env = env;
    js_buf_append_u8(key, f->any_of);
    if (f->subtree)
        js_buf_append(key, f->subtree, f->subtree_len);
    js_buf_append_u8(key, 0);
    for (size_t i = 0; i < f->count; i++)
        js_buf_append(key, f->patterns[i], strlen(f->patterns[i]) + 1);
    return key->failed ? JS_ERR_NOMEM : 0;
}

static bool has_key(const struct js_compiled *c, const struct js_buf *key) {
    return c->key_len == key->len && memcmp(c->key, key->data, key->len) == 0;
}

/* The kept one of this key, one reference, or NULL. */
static struct js_compiled *find_kept(struct js_filters *filters, const struct js_buf *key) {
    struct js_compiled *found = NULL;

    pthread_mutex_lock(&filters->mu);
    for (size_t i = 0; i < JS_KEPT_FILTERS && filters->entries[i] && !found; i++) {
        struct js_compiled *c = filters->entries[i];
        if (!has_key(c, key))
            continue;
        memmove(filters->entries + 1, filters->entries, i * sizeof filters->entries[0]);
        filters->entries[0] = found = c;
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&filters->mu);
    return found;
}

/* Keeps a compiled filter in the place of an older one with its key. */
static void keep(struct js_filters *filters, const struct js_env *env, struct js_compiled *c) {
    struct js_buf key = {.data = (uint8_t *)c->key, .len = c->key_len};
    size_t i = 0;

    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    pthread_mutex_lock(&filters->mu);
    while (i + 1 < JS_KEPT_FILTERS && filters->entries[i] && !has_key(filters->entries[i], &key))
        i++;
    struct js_compiled *gone = filters->entries[i];
    memmove(filters->entries + 1, filters->entries, i * sizeof filters->entries[0]);
    filters->entries[0] = c;
    pthread_mutex_unlock(&filters->mu);
    unref(gone, env);
}

/* ---- compiling ------------------------------------------------------------------------------- */

static bool is_current(const struct js_compiled *c, const struct js_stream *s) {
    return c && c->generation == s->generation && c->set.upto == s->subjects.count;
}

static struct js_compiled *new_compiled(const struct js_env *env, const struct js_buf *key) {
    struct js_compiled *c = js_calloc(env, 1, sizeof *c);

    if (!c)
        return NULL;
    atomic_init(&c->refs, 1);
    pthread_mutex_init(&c->mu, NULL);
    js_id_set_init(&c->set, env);
    c->key = js_malloc(env, key->len);
    if (!c->key) {
        unref(c, env);
        return NULL;
    }
    memcpy(c->key, key->data, key->len);
    c->key_len = key->len;
    return c;
}

/* Decides about all subjects; what old (may be NULL) decided is taken over. */
static int compile(struct js_stream *s, const struct js_filter *filter, const struct js_buf *key,
                   const struct js_compiled *old, struct js_compiled **ret) {
    struct js_compiled *c = new_compiled(s->env, key);
    int r = 0;

    if (!c)
        return JS_ERR_NOMEM;
    c->generation = s->generation;
    if (old && old->generation == s->generation)
        r = js_id_set_copy(&c->set, &old->set);
    if (r == 0)
        r = js_id_set_update(&c->set, &s->subjects, filter);
    if (r < 0) {
        unref(c, s->env);
        return r;
    }
    *ret = c;
    return 0;
}

static int update_compiled(struct js_matcher *m, struct js_stream *s, bool can_build) {
    struct js_buf key = {0};
    struct js_compiled *c;
    int r = make_key(s->env, &m->filter, &key);

    if (r < 0)
        goto out;
    c = find_kept(&s->filters, &key);
    if (!is_current(c, s)) {
        uint32_t known = c && c->generation == s->generation ? c->set.upto : 0;
        /* Few new names are matched one by one; many are found through the order. */
        if (s->subjects.count - known > 256 && !js_subjects_order_ready(&s->subjects)) {
            r = can_build ? js_subjects_build_order(&s->subjects) : 1;
            if (r != 0) {
                unref(c, s->env);
                goto out;
            }
        }
        struct js_compiled *fresh;
        r = compile(s, &m->filter, &key, c, &fresh);
        unref(c, s->env);
        if (r < 0)
            goto out;
        c = fresh;
        keep(&s->filters, s->env, c);
    }
    unref(m->compiled, s->env);
    m->compiled = c;
    m->set = &c->set;
out:
    js_buf_done(&key);
    return r;
}

int js_matcher_update(struct js_matcher *m, struct js_stream *s, bool can_build) {
    if (m->all)
        return 0;
    if (m->literal) {
        const char *subject = m->filter.patterns[0];
        m->one.only = js_subjects_find(&s->subjects, subject, strlen(subject));
        m->one.members = m->one.only != JS_NO_ID;
        m->set = &m->one;
        return 0;
    }
    return is_current(m->compiled, s) ? 0 : update_compiled(m, s, can_build);
}

static int lock_matched(struct js_stream *s, struct js_matcher *m, int (*lock)(struct js_stream *)) {
    int r = lock(s);

    if (r < 0)
        return r;
    r = js_matcher_update(m, s, false);
    while (r == 1) {
        pthread_rwlock_unlock(&s->lock);
        pthread_rwlock_wrlock(&s->lock);
        r = js_matcher_update(m, s, true);
        pthread_rwlock_unlock(&s->lock);
        if (r < 0)
            return r;
        r = lock(s);
        if (r < 0)
            return r;
        r = js_matcher_update(m, s, false);
    }
    if (r < 0)
        pthread_rwlock_unlock(&s->lock);
    return r;
}

static int lock_plain(struct js_stream *s) {
    pthread_rwlock_rdlock(&s->lock);
    return 0;
}

int js_stream_lock_matched(struct js_stream *stream, struct js_matcher *m) {
    return lock_matched(stream, m, js_stream_lock_scanned);
}

int js_stream_lock_matched_unread(struct js_stream *stream, struct js_matcher *m) {
    return lock_matched(stream, m, lock_plain);
}
