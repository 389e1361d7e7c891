/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scopes: conditions on messages, composed by copying. Patterns are kept sorted and without
 * duplicates, so that the order in which directories were entered does not change the key.
 */
#include "fs/view/scope.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct jf_scope {
    atomic_uint refs;
    struct js_stream *stream;
    js_seq_t from, upto;
    bool is_void;
    bool is_block;
    uint32_t block;
    char *prefix; /* subtree, "" = none */
    char *patterns[JF_SCOPE_MAX_PATTERNS];
    struct js_filter filter;
    char *key;
};

static void scope_free(struct jf_scope *scope) {
    for (size_t i = 0; i < scope->filter.count; i++)
        free(scope->patterns[i]);
    free(scope->prefix);
    free(scope->key);
    js_stream_unref(scope->stream);
    free(scope);
}

/* A copy that can still be changed; its key is not made yet. */
static struct jf_scope *scope_copy(const struct jf_scope *old) {
    struct jf_scope *scope = calloc(1, sizeof *scope);

    if (!scope)
        return NULL;
    atomic_init(&scope->refs, 1);
    scope->stream = js_stream_ref(old->stream);
    scope->from = old->from;
    scope->upto = old->upto;
    scope->is_void = old->is_void;
    scope->is_block = old->is_block;
    scope->block = old->block;
    scope->prefix = strdup(old->prefix);
    if (!scope->prefix)
        goto fail;
    while (scope->filter.count < old->filter.count) {
        char *text = strdup(old->patterns[scope->filter.count]);

        if (!text)
            goto fail;
        scope->patterns[scope->filter.count++] = text;
    }
    return scope;
fail:
    scope_free(scope);
    return NULL;
}

static int make_key(struct jf_scope *scope) {
    size_t size;
    FILE *f = open_memstream(&scope->key, &size);
    bool failed;

    if (!f)
        return JS_ERR_NOMEM;
    fprintf(f, "account=%s\nstream=%s\nfrom=%llu\n", js_stream_account(scope->stream),
            js_stream_name(scope->stream), (unsigned long long)scope->from);
    if (scope->is_void) {
        fputs("void\n", f);
    } else {
        if (scope->upto)
            fprintf(f, "upto=%llu\n", (unsigned long long)scope->upto);
        if (scope->is_block)
            fprintf(f, "block=%u\n", scope->block);
        if (scope->prefix[0])
            fprintf(f, "subtree=%s\n", scope->prefix);
        for (size_t i = 0; i < scope->filter.count; i++)
            fprintf(f, "match=%s\n", scope->patterns[i]);
    }
    failed = ferror(f) != 0;
    if (fclose(f) != 0)
        failed = true;
    return failed ? JS_ERR_NOMEM : 0;
}

/* Takes a changed copy, completes it and gives it out. */
static int finish(struct jf_scope *scope, struct jf_scope **ret_scope) {
    int rc;

    scope->filter.patterns = (const char *const *)scope->patterns;
    scope->filter.subtree = scope->prefix[0] ? scope->prefix : NULL;
    scope->filter.subtree_len = strlen(scope->prefix);
    if (scope->upto && scope->upto < scope->from)
        scope->is_void = true;
    rc = make_key(scope);
    if (rc < 0) {
        scope_free(scope);
        return rc;
    }
    *ret_scope = scope;
    return 0;
}

int jf_scope_root(struct js_stream *stream, struct jf_scope **ret_scope) {
    static char empty[1];
    struct jf_scope pattern = {.stream = stream, .from = 1, .prefix = empty};
    struct jf_scope *scope = scope_copy(&pattern);

    return scope ? finish(scope, ret_scope) : JS_ERR_NOMEM;
}

int jf_scope_from(struct jf_scope *old, js_seq_t seq, struct jf_scope **ret_scope) {
    struct jf_scope *scope = scope_copy(old);

    if (!scope)
        return JS_ERR_NOMEM;
    if (seq > scope->from)
        scope->from = seq;
    return finish(scope, ret_scope);
}

int jf_scope_upto(struct jf_scope *old, js_seq_t seq, struct jf_scope **ret_scope) {
    struct jf_scope *scope = scope_copy(old);

    if (!scope)
        return JS_ERR_NOMEM;
    if (seq && (!scope->upto || seq < scope->upto))
        scope->upto = seq;
    return finish(scope, ret_scope);
}

int jf_scope_since(struct jf_scope *scope, js_time_t time, struct jf_scope **ret_scope) {
    js_seq_t seq;
    int rc = js_stream_seq_from_time(scope->stream, time, &seq);

    return rc < 0 ? rc : jf_scope_from(scope, seq, ret_scope);
}

static int count_from(struct jf_scope *scope, js_seq_t from, js_seq_t last, uint64_t *ret_msgs) {
    struct js_totals totals;
    int rc = js_stream_totals(scope->stream, jf_scope_filter(scope), from, last, &totals);

    if (rc < 0)
        return rc;
    *ret_msgs = totals.msgs;
    return 0;
}

/*
 * The largest sequence from which n messages of the scope follow. Windows at the end are doubled
 * until one holds enough, so that the cost follows n and not the length of the stream.
 */
static int tail_start(struct jf_scope *scope, uint64_t n, js_seq_t last, js_seq_t *ret_seq) {
    js_seq_t low = scope->from, high = last + 1; /* from high on there are too few */
    uint64_t window = n, msgs;
    int rc;

    while (high > low) {
        js_seq_t at = last - low >= window ? last - window + 1 : low;

        rc = count_from(scope, at, last, &msgs);
        if (rc < 0)
            return rc;
        if (msgs >= n || at == low) {
            low = at;
            break;
        }
        high = at;
        window = window > UINT64_MAX / 2 ? UINT64_MAX : window * 2;
    }
    while (high - low > 1) {
        js_seq_t mid = low + (high - low) / 2;

        rc = count_from(scope, mid, last, &msgs);
        if (rc < 0)
            return rc;
        if (msgs >= n)
            low = mid;
        else
            high = mid;
    }
    *ret_seq = low;
    return 0;
}

int jf_scope_tail(struct jf_scope *scope, uint64_t n, struct jf_scope **ret_scope) {
    struct js_stream_state state;
    js_seq_t last, from;
    int rc;

    js_stream_get_state(scope->stream, &state);
    last = state.last_seq;
    if (scope->upto && scope->upto < last)
        last = scope->upto;
    from = last + 1;
    if (n > 0 && !scope->is_void && last >= scope->from) {
        rc = tail_start(scope, n, last, &from);
        if (rc < 0)
            return rc;
    }
    return jf_scope_from(scope, from, ret_scope);
}

static int add_pattern(struct jf_scope *old, const char *text, size_t len,
                       struct jf_scope **ret_scope) {
    struct jf_scope *scope = scope_copy(old);
    char *copy;
    size_t i, n;

    if (!scope)
        return JS_ERR_NOMEM;
    if (len == 1 && text[0] == '>')
        return finish(scope, ret_scope);
    copy = strndup(text, len);
    if (!copy) {
        scope_free(scope);
        return JS_ERR_NOMEM;
    }
    n = scope->filter.count;
    for (i = 0; i < n && strcmp(scope->patterns[i], copy) < 0; i++)
        ;
    if (i < n && strcmp(scope->patterns[i], copy) == 0) {
        free(copy);
        return finish(scope, ret_scope);
    }
    if (n == JF_SCOPE_MAX_PATTERNS) {
        free(copy);
        scope_free(scope);
        return JS_ERR_TOO_MANY_RESULTS;
    }
    memmove(scope->patterns + i + 1, scope->patterns + i, (n - i) * sizeof *scope->patterns);
    scope->patterns[i] = copy;
    scope->filter.count++;
    return finish(scope, ret_scope);
}

int jf_scope_match(struct jf_scope *scope, const char *filter, size_t len,
                   struct jf_scope **ret_scope) {
    if (!js_filter_valid(filter, len))
        return JS_ERR_INVAL;
    return add_pattern(scope, filter, len, ret_scope);
}

int jf_scope_subject(struct jf_scope *scope, const char *subject, size_t len,
                     struct jf_scope **ret_scope) {
    if (!js_subject_valid(subject, len))
        return JS_ERR_INVAL;
    return add_pattern(scope, subject, len, ret_scope);
}

/* True if subject is prefix or lies below it. */
static bool lies_below(const char *subject, size_t len, const char *prefix, size_t prefix_len) {
    return len >= prefix_len && memcmp(subject, prefix, prefix_len) == 0 &&
           (len == prefix_len || subject[prefix_len] == '.');
}

int jf_scope_subtree(struct jf_scope *old, const char *prefix, size_t len,
                     struct jf_scope **ret_scope) {
    struct jf_scope *scope;
    size_t old_len = strlen(old->prefix);
    char *copy;

    if (len > 0 && !js_subject_valid(prefix, len))
        return JS_ERR_INVAL;
    scope = scope_copy(old);
    if (!scope)
        return JS_ERR_NOMEM;
    if (len == 0 || lies_below(old->prefix, old_len, prefix, len))
        return finish(scope, ret_scope);
    if (old_len > 0 && !lies_below(prefix, len, old->prefix, old_len))
        scope->is_void = true;
    copy = strndup(prefix, len);
    if (!copy) {
        scope_free(scope);
        return JS_ERR_NOMEM;
    }
    free(scope->prefix);
    scope->prefix = copy;
    return finish(scope, ret_scope);
}

int jf_scope_block(struct jf_scope *old, uint32_t number, struct jf_scope **ret_scope) {
    struct jf_scope *scope = scope_copy(old);

    if (!scope)
        return JS_ERR_NOMEM;
    if (scope->is_block && scope->block != number)
        scope->is_void = true;
    scope->is_block = true;
    scope->block = number;
    return finish(scope, ret_scope);
}

struct jf_scope *jf_scope_ref(struct jf_scope *scope) {
    atomic_fetch_add_explicit(&scope->refs, 1, memory_order_relaxed);
    return scope;
}

void jf_scope_unref(struct jf_scope *scope) {
    if (scope && atomic_fetch_sub_explicit(&scope->refs, 1, memory_order_acq_rel) == 1)
        scope_free(scope);
}

struct js_stream *jf_scope_stream(const struct jf_scope *scope) {
    return scope->stream;
}

const char *jf_scope_key(const struct jf_scope *scope) {
    return scope->key;
}

const struct js_filter *jf_scope_filter(const struct jf_scope *scope) {
    return scope->filter.count || scope->filter.subtree ? &scope->filter : NULL;
}

js_seq_t jf_scope_first(const struct jf_scope *scope) {
    return scope->from;
}

js_seq_t jf_scope_last(const struct jf_scope *scope) {
    return scope->upto;
}

bool jf_scope_is_block(const struct jf_scope *scope, uint32_t *ret_number) {
    if (scope->is_block && ret_number)
        *ret_number = scope->block;
    return scope->is_block;
}

bool jf_scope_is_void(const struct jf_scope *scope) {
    return scope->is_void;
}

const char *jf_scope_prefix(const struct jf_scope *scope) {
    return scope->prefix;
}

bool jf_scope_covers(const struct jf_scope *scope, js_seq_t seq, const char *subject, size_t len) {
    size_t prefix_len = strlen(scope->prefix);

    if (scope->is_void || seq < scope->from || (scope->upto && seq > scope->upto))
        return false;
    if (prefix_len > 0 && !lies_below(subject, len, scope->prefix, prefix_len))
        return false;
    for (size_t i = 0; i < scope->filter.count; i++)
        if (!js_subject_matches(subject, len, scope->patterns[i], strlen(scope->patterns[i])))
            return false;
    return true;
}
