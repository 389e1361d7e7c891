/* SPDX-License-Identifier: Apache-2.0 */
/* Ordered reading. An iterator keeps the cache's copy of the block it is in, so that messages of one
 * block cost one lookup each and no copy. */
#include "core/stream/stream.h"

struct js_iter {
    struct js_stream *stream;
    struct js_matcher matcher;
    struct js_filter filter;
    char **patterns; /* owned */
    char *subtree;
    struct js_msg current; /* owner: what the last view borrows */
};

static void free_patterns(struct js_iter *it) {
    const struct js_env *env = it->stream->env;

    for (size_t i = 0; it->patterns && i < it->filter.count; i++)
        js_free(env, it->patterns[i]);
    js_free(env, it->patterns);
    js_free(env, it->subtree);
}

static int copy_filter(struct js_iter *it, const struct js_filter *filter) {
    const struct js_env *env = it->stream->env;

    it->filter.any_of = filter->any_of;
    if (filter->count) {
        it->patterns = js_calloc(env, filter->count, sizeof *it->patterns);
        if (!it->patterns)
            return JS_ERR_NOMEM;
        it->filter.count = filter->count;
        for (size_t i = 0; i < filter->count; i++) {
            it->patterns[i] = js_strdup(env, filter->patterns[i]);
            if (!it->patterns[i])
                return JS_ERR_NOMEM;
        }
        it->filter.patterns = (const char *const *)it->patterns;
    }
    if (filter->subtree && filter->subtree_len) {
        it->subtree = js_strndup(env, filter->subtree, filter->subtree_len);
        if (!it->subtree)
            return JS_ERR_NOMEM;
        it->filter.subtree = it->subtree;
        it->filter.subtree_len = filter->subtree_len;
    }
    return 0;
}

int js_iter_open(struct js_stream *stream, const struct js_filter *filter,
                 struct js_iter **ret_iter) {
    struct js_iter *it = js_calloc(stream->env, 1, sizeof *it);

    if (!it)
        return JS_ERR_NOMEM;
    it->stream = stream;
    if (filter) {
        int r = copy_filter(it, filter);
        if (r < 0) {
            free_patterns(it);
            js_free(stream->env, it);
            return r;
        }
    }
    js_matcher_init(&it->matcher, stream, filter ? &it->filter : NULL);
    js_stream_ref(stream);
    *ret_iter = it;
    return 0;
}

void js_iter_close(struct js_iter *iter) {
    if (!iter)
        return;
    struct js_stream *s = iter->stream;
    js_msg_release(&iter->current);
    js_matcher_done(&iter->matcher);
    free_patterns(iter);
    js_free(s->env, iter);
    js_stream_unref(s);
}

int js_iter_next(struct js_iter *iter, js_seq_t from, struct js_msg *ret_msg) {
    struct js_stream *s = iter->stream;
    struct js_place at = {0};
    struct js_msg msg = {0};

    int r = js_stream_lock_matched(s, &iter->matcher);
    if (r < 0)
        return r;
    r = js_stream_next_match(s, &iter->matcher, from, &at);
    if (r == 0) {
        r = JS_ERR_EOF;
    } else if (r == 1) {
        msg.seq = js_place_seq(&at);
        /* The block of the message before usually holds this one, too. */
        if (iter->current.owner && js_stream_slot_in(s, &at, iter->current.owner, &msg)) {
            js_place_done(s, &at);
            pthread_rwlock_unlock(&s->lock);
            iter->current = msg;
            *ret_msg = msg;
            ret_msg->owner = NULL;
            return 0;
        }
        /* A sparse filter reads records, a dense one whole blocks. */
        bool whole = iter->matcher.all || msg.seq == from || from + 64 > msg.seq;
        r = js_stream_slot_msg(s, &at, whole, &msg);
    }
    js_place_done(s, &at);
    pthread_rwlock_unlock(&s->lock);
    if (r < 0) {
        if (r == JS_ERR_BAD_MSG)
            *ret_msg = (struct js_msg){.seq = msg.seq};
        return r;
    }
    js_msg_release(&iter->current);
    iter->current = msg;
    *ret_msg = msg;
    ret_msg->owner = NULL;
    return 0;
}
