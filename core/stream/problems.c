/* SPDX-License-Identifier: Apache-2.0 */
/* What was found wrong with a stream, and its health. */
#include <stdio.h>

#include "core/stream/stream.h"

#define MAX_FOUND 10000

const char *js_block_file(char *buf, uint32_t number) {
    snprintf(buf, 32, "msgs/%u.blk", number);
    return buf;
}

/* How bad a verdict is when several hold. */
static int rank_of(enum js_health h) {
    switch (h) {
    case JS_HEALTH_OK:
        return 0;
    case JS_HEALTH_TORN_TAIL:
        return 1;
    case JS_HEALTH_DAMAGED:
        return 2;
    case JS_HEALTH_UNKNOWN_FORMAT:
        return 3;
    case JS_HEALTH_WRONG_KEY:
        return 4;
    case JS_HEALTH_NO_KEY:
        return 5;
    }
    return 2;
}

int js_stream_report(struct js_stream *stream, const struct js_problem *problem, const char *format,
                     ...) {
    char text[512];
    va_list ap;

    if (rank_of(problem->verdict) > rank_of(stream->health))
        stream->health = problem->verdict;
    if (stream->num_found >= MAX_FOUND) {
        stream->dropped_found++;
        return 0;
    }
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (stream->num_found == stream->cap_found) {
        size_t cap = stream->cap_found ? stream->cap_found * 2 : 8;
        struct js_found *p =
            js_realloc_array(stream->env, stream->found, cap, sizeof *stream->found);
        if (!p)
            return JS_ERR_NOMEM;
        stream->found = p;
        stream->cap_found = cap;
    }
    struct js_found f = {.p = *problem};
    f.file = js_strdup(stream->env, problem->file ? problem->file : "");
    f.text = js_strdup(stream->env, text);
    if (!f.file || !f.text) {
        js_free(stream->env, f.file);
        js_free(stream->env, f.text);
        return JS_ERR_NOMEM;
    }
    f.p.file = f.file;
    f.p.text = f.text;
    stream->found[stream->num_found++] = f;
    return 0;
}

void js_stream_clear_problems(struct js_stream *stream) {
    for (size_t i = 0; i < stream->num_found; i++) {
        js_free(stream->env, stream->found[i].file);
        js_free(stream->env, stream->found[i].text);
    }
    js_free(stream->env, stream->found);
    stream->found = NULL;
    stream->num_found = stream->cap_found = 0;
    stream->dropped_found = 0;
    stream->health = JS_HEALTH_OK;
}

enum js_health js_stream_health(struct js_stream *stream) {
    pthread_rwlock_rdlock(&stream->lock);
    enum js_health h = stream->health;
    pthread_rwlock_unlock(&stream->lock);
    return h;
}

int js_stream_problems(struct js_stream *stream,
                       int (*fn)(void *ctx, const struct js_problem *problem), void *ctx) {
    int r = 0;

    pthread_rwlock_rdlock(&stream->lock);
    for (size_t i = 0; i < stream->num_found && r == 0; i++)
        r = fn(ctx, &stream->found[i].p);
    if (r == 0 && stream->dropped_found) {
        char text[80];
        snprintf(text, sizeof text, "%llu more findings are not listed",
                 (unsigned long long)stream->dropped_found);
        struct js_problem p = {.verdict = stream->health, .file = "", .text = text};
        r = fn(ctx, &p);
    }
    pthread_rwlock_unlock(&stream->lock);
    return r;
}

int js_stream_damage(struct js_stream *stream, js_seq_t seq, char *ret_text, size_t size) {
    struct js_place at = {0};
    int r = js_stream_lock_scanned(stream);

    if (r < 0)
        return r;
    r = js_stream_slot_at(stream, seq, &at);
    if (r == 1 && js_place_len(&at) == JS_LEN_DAMAGED) {
        snprintf(ret_text, size, "damaged: msgs/%u.blk offset %u", at.block->number,
                 at.slots->at[at.slot].off);
        for (size_t i = 0; i < stream->num_found; i++) {
            const struct js_problem *p = &stream->found[i].p;
            if (seq >= p->seq_first && seq <= p->seq_last) {
                snprintf(ret_text, size, "%s: %s offset %llu length %llu: %s",
                         js_health_name(p->verdict), p->file, (unsigned long long)p->offset,
                         (unsigned long long)p->length, p->text);
                break;
            }
        }
        r = 0;
    } else if (r >= 0) {
        r = JS_ERR_MSG_NOT_FOUND;
    }
    js_place_done(stream, &at);
    pthread_rwlock_unlock(&stream->lock);
    return r;
}
