/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Epochs of a view. A view is measured when its size is first asked for, and then only extended:
 * everything up to `covered` is counted.
 *
 *   - LOG and TSV are sums over the index: one call gives the size. Their table of parts is
 *     made when somebody reads at an offset of his own choice.
 *   - JSONL is rendered to be measured, block by block; the parts remember the result, and a new
 *     epoch takes over the parts of all blocks from which nothing was removed.
 *
 * Whether an epoch is over: messages of the range from..covered can only go, never come, so the
 * same number of them means the very same messages. The stream's counter of removals is looked at
 * first; it tells in most cases that there is nothing to count.
 */
#include <stdlib.h>

#include "fs/view/epoch.h"
#include "fs/view/lengths.h"

/* Where the stream (or the segment's block) stands. */
struct standing {
    js_seq_t first, last;
    uint64_t removals;
};

static struct standing look(const struct jf_scope *scope) {
    struct standing now = {.first = jf_scope_first(scope)};
    js_seq_t upto = jf_scope_last(scope);
    uint32_t number;

    if (jf_scope_is_block(scope, &number)) {
        struct js_block_info info;

        if (js_stream_block_by_number(jf_scope_stream(scope), number, &info) < 0)
            return (struct standing){.first = now.first, .removals = UINT64_MAX};
        if (info.first_seq > now.first)
            now.first = info.first_seq;
        now.last = info.last_seq;
        now.removals = info.removals;
    } else {
        struct js_stream_state state;

        js_stream_get_state(jf_scope_stream(scope), &state);
        now.last = state.last_seq;
        now.removals = state.removals;
    }
    if (upto && upto < now.last)
        now.last = upto;
    return now;
}

js_seq_t jf_view_limit(const struct jf_view *view) {
    js_seq_t upto = jf_scope_last(view->scope);

    if (jf_scope_is_block(view->scope, NULL))
        return look(view->scope).last;
    return upto ? upto : UINT64_MAX;
}

/* TSV lines have a fixed part only while sequences keep to their width. */
static bool measured_by_content(const struct jf_scope *scope, enum jf_format format) {
    struct js_stream_state state;

    if (format == JF_LOG || format == JF_RAW)
        return false;
    if (format != JF_TSV)
        return true;
    js_stream_get_state(jf_scope_stream(scope), &state);
    return state.last_seq > JF_TSV_MAX_SEQ / 2;
}

static struct jf_view *new_view(struct jf_scope *scope, const struct jf_view_options *options,
                                uint64_t epoch) {
    struct jf_view *view = calloc(1, sizeof *view);

    if (!view)
        return NULL;
    atomic_init(&view->refs, 1);
    atomic_init(&view->damaged, 0);
    view->scope = jf_scope_ref(scope);
    view->options = *options;
    view->epoch = epoch;
    view->from = look(scope).first;
    view->by_content = measured_by_content(scope, options->render.format);
    pthread_mutex_init(&view->lock, NULL);
    return view;
}

int jf_view_open(struct jf_scope *scope, const struct jf_view_options *options,
                 struct jf_view **ret_view) {
    struct jf_view *view = new_view(scope, options, 1);

    if (!view)
        return JS_ERR_NOMEM;
    *ret_view = view;
    return 0;
}

struct jf_view *jf_view_ref(struct jf_view *view) {
    atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
    return view;
}

void jf_view_unref(struct jf_view *view) {
    if (!view || atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel) != 1)
        return;
    jf_parts_done(&view->parts);
    pthread_mutex_destroy(&view->lock);
    jf_scope_unref(view->scope);
    free(view);
}

void jf_view_note_damage(struct jf_view *view, js_seq_t seq) {
    atomic_fetch_add_explicit(&view->damaged, 1, memory_order_relaxed);
    if (view->options.damage)
        view->options.damage(view->options.damage_ctx, jf_scope_stream(view->scope), seq);
}

static void note_damage(void *ctx, js_seq_t seq) {
    jf_view_note_damage(ctx, seq);
}

static int totals(const struct jf_view *view, js_seq_t from, js_seq_t to,
                  struct js_totals *ret_totals) {
    if (from > to) {
        *ret_totals = (struct js_totals){0};
        return 0;
    }
    return js_stream_totals(jf_scope_stream(view->scope), jf_scope_filter(view->scope), from, to,
                            ret_totals);
}

/* Rendered length of what was summed up; not for formats measured by content. */
static uint64_t summed_length(const struct jf_view *view, const struct js_totals *t) {
    switch (view->options.render.format) {
    case JF_TSV:
        return t->msgs * JF_TSV_FIXED + t->subject_bytes;
    case JF_RAW:
        return t->payload_bytes;
    default:
        return t->payload_bytes + t->msgs;
    }
}

static int open_lengths(struct jf_view *view, js_seq_t from, struct jf_lengths *ret_lengths) {
    int rc =
        jf_lengths_open(ret_lengths, jf_scope_stream(view->scope), jf_scope_filter(view->scope),
                        &view->options.render, view->by_content, from);

    if (rc < 0)
        return rc;
    ret_lengths->damage = note_damage;
    ret_lengths->damage_ctx = view;
    return 0;
}

/* ---- parts -------------------------------------------------------------------------------- */

/* Sets the marks of the part that are still missing. lock held. */
static int walk(struct jf_view *view, struct jf_part *part) {
    struct jf_lengths lengths;
    uint64_t length;
    js_seq_t seq;
    int rc;

    if (part->walked == part->last)
        return 0;
    rc = open_lengths(view, part->walked ? part->walked + 1 : part->first, &lengths);
    if (rc < 0)
        return rc;
    while ((rc = jf_lengths_next(&lengths, part->last, &seq, &length)) > 0) {
        if (part->walked_msgs % JF_VIEW_MARK == 0) {
            rc = jf_part_add_mark(part, seq, part->walked_len);
            if (rc < 0)
                break;
        }
        part->walked = seq;
        part->walked_len += length;
        part->walked_msgs++;
    }
    jf_lengths_close(&lengths);
    if (rc == 0)
        part->walked = part->last;
    return rc;
}

/* Adds the messages first..last of one block to the end of the table. lock held. */
static int grow(struct jf_view *view, uint32_t block, uint64_t removals, js_seq_t first,
                js_seq_t last) {
    struct jf_parts *parts = &view->parts;
    struct jf_part *part = parts->n ? &parts->list[parts->n - 1] : NULL;
    struct js_totals t;
    int rc = 0;

    if (!view->by_content)
        rc = totals(view, first, last, &t);
    if (rc < 0)
        return rc;
    if (!part || part->block != block) {
        part = jf_parts_push(parts);
        if (!part)
            return JS_ERR_NOMEM;
        part->block = block;
        part->removals = removals;
        part->first = first;
    } else if (part->walked == part->last && part->walked_len != part->len) {
        /* Messages went before they were walked: what follows keeps its place all the same. */
        part->walked_len = part->len;
        part->walked_msgs = 0;
    }
    part->last = last;
    if (!view->by_content) {
        part->len += summed_length(view, &t);
        return 0;
    }
    rc = walk(view, part);
    part->len = part->walked_len;
    return rc;
}

static bool is_gone(int rc) {
    return rc == JS_ERR_MSG_NOT_FOUND || rc == JS_ERR_DELETED_MSG || rc == JS_ERR_EOF;
}

/* Takes the next block with messages of the view into the table. old: a table of an earlier epoch,
 * whose part is taken over if nothing left its block; NULL = none. lock held. */
static int add_part(struct jf_view *view, js_seq_t limit, const struct jf_parts *old) {
    struct js_stream *stream = jf_scope_stream(view->scope);
    struct jf_parts *parts = &view->parts;
    const struct jf_part *known = NULL;
    struct js_msg_stat stat;
    struct js_block_info info;
    js_seq_t seq, last;
    size_t n;
    int rc = js_stream_list_seqs(stream, jf_scope_filter(view->scope), parts->mapped + 1, false,
                                 &seq, 1, &n);

    if (rc < 0)
        return rc;
    if (n == 0 || seq > limit) {
        parts->mapped = limit;
        return 0;
    }
    rc = js_stream_stat_msg(stream, seq, &stat);
    if (rc == 0)
        rc = js_stream_block_by_number(stream, stat.block, &info);
    if (rc < 0 && !is_gone(rc))
        return rc;
    if (rc < 0 || info.last_seq < seq) { /* removed between these calls */
        parts->mapped = seq;
        return 0;
    }
    last = info.last_seq < limit ? info.last_seq : limit;
    if (old)
        known = jf_parts_of_block(old, stat.block);
    if (known && known->removals == info.removals && known->first == seq && known->last <= last &&
        !(parts->n && parts->list[parts->n - 1].block == stat.block)) {
        last = known->last;
        rc = jf_parts_push_copy(parts, known);
    } else {
        rc = grow(view, stat.block, info.removals, seq, last);
    }
    if (rc == 0)
        parts->mapped = last;
    return rc;
}

static int add_parts(struct jf_view *view, js_seq_t limit, const struct jf_parts *old) {
    int rc = 0;

    while (rc == 0 && view->parts.mapped < limit)
        rc = add_part(view, limit, old);
    return rc;
}

/* ---- measuring ---------------------------------------------------------------------------- */

/* Looks for appended messages and counts them. old: parts of the epoch before, or NULL. lock held.
 */
static int extend(struct jf_view *view, const struct jf_parts *old) {
    struct standing now;
    struct js_totals t;
    struct js_msg_stat stat;
    int rc;

    if (jf_scope_is_void(view->scope))
        return 0;
    now = look(view->scope);
    if (!view->known) {
        view->removals = now.removals;
        view->covered = view->parts.mapped = view->from - 1;
        view->known = true;
    }
    if (now.last <= view->covered)
        return 0;
    rc = totals(view, view->covered + 1, now.last, &t);
    if (rc < 0)
        return rc;
    if (view->by_content) {
        rc = add_parts(view, now.last, old);
        if (rc < 0)
            return rc;
        view->size = jf_parts_end(&view->parts);
    } else {
        view->size += summed_length(view, &t);
    }
    view->msgs += t.msgs;
    view->covered = now.last;
    if (t.msgs && js_stream_stat_msg(jf_scope_stream(view->scope), t.last_seq, &stat) == 0)
        view->time = stat.time;
    return 0;
}

int jf_view_size(struct jf_view *view, uint64_t *ret_size, js_time_t *ret_time) {
    int rc;

    pthread_mutex_lock(&view->lock);
    rc = extend(view, NULL);
    if (rc == 0) {
        *ret_size = view->size;
        if (ret_time)
            *ret_time = view->time;
    }
    pthread_mutex_unlock(&view->lock);
    return rc;
}

/* lock held */
static bool is_stale(struct jf_view *view) {
    struct standing now;
    struct js_totals t;

    if (!view->known)
        return false;
    now = look(view->scope);
    if (now.removals == view->removals)
        return false;
    if (totals(view, view->from, view->covered, &t) < 0 || t.msgs != view->msgs)
        return true;
    view->removals = now.removals;
    return false;
}

bool jf_view_is_stale(struct jf_view *view) {
    bool stale;

    pthread_mutex_lock(&view->lock);
    stale = is_stale(view);
    pthread_mutex_unlock(&view->lock);
    return stale;
}

int jf_view_current(struct jf_view *view, struct jf_view **ret_view) {
    struct jf_view *next;
    int rc = 0;

    pthread_mutex_lock(&view->lock);
    if (!is_stale(view)) {
        pthread_mutex_unlock(&view->lock);
        *ret_view = jf_view_ref(view);
        return 0;
    }
    next = new_view(view->scope, &view->options, view->epoch + 1);
    if (!next)
        rc = JS_ERR_NOMEM;
    else if (next->by_content)
        rc = extend(next, &view->parts);
    pthread_mutex_unlock(&view->lock);
    if (rc < 0) {
        jf_view_unref(next);
        return rc;
    }
    *ret_view = next;
    return 0;
}

uint64_t jf_view_epoch(const struct jf_view *view) {
    return view->epoch;
}

struct jf_scope *jf_view_scope(const struct jf_view *view) {
    return view->scope;
}

enum jf_format jf_view_format(const struct jf_view *view) {
    return view->options.render.format;
}

uint64_t jf_view_damaged(struct jf_view *view) {
    return atomic_load_explicit(&view->damaged, memory_order_relaxed);
}

/* ---- offsets ------------------------------------------------------------------------------ */

/* Goes from the mark before the offset (within the part) to its message. lock held. */
static int map_in_part(struct jf_view *view, struct jf_part *part, uint64_t off, js_seq_t *ret_seq,
                       uint64_t *ret_byte) {
    const struct jf_mark *mark;
    struct jf_lengths lengths;
    uint64_t pos, length;
    js_seq_t bound, seq;
    int rc = walk(view, part);

    if (rc < 0)
        return rc;
    mark = jf_part_find_mark(part, off);
    /* What was removed since leaves a hole before the next mark: it maps to what follows. */
    *ret_seq = part->last + 1;
    *ret_byte = 0;
    if (!mark)
        return 1;
    bound = mark + 1 < part->marks + part->num_marks ? mark[1].seq : part->last + 1;
    *ret_seq = bound;
    rc = open_lengths(view, mark->seq, &lengths);
    if (rc < 0)
        return rc;
    pos = mark->off;
    while ((rc = jf_lengths_next(&lengths, bound - 1, &seq, &length)) > 0) {
        if (off < pos + length) {
            *ret_seq = seq;
            *ret_byte = off - pos;
            break;
        }
        pos += length;
    }
    jf_lengths_close(&lengths);
    return rc < 0 ? rc : 1;
}

int jf_view_map(struct jf_view *view, uint64_t off, js_seq_t *ret_seq, uint64_t *ret_byte) {
    size_t i;
    int rc = 0;

    pthread_mutex_lock(&view->lock);
    if (!view->known || off >= view->size)
        rc = extend(view, NULL);
    if (rc == 0)
        rc = add_parts(view, view->covered, NULL);
    if (rc == 0) {
        i = jf_parts_find(&view->parts, off);
        if (i < view->parts.n) {
            struct jf_part *part = &view->parts.list[i];

            rc = map_in_part(view, part, off - part->off, ret_seq, ret_byte);
        }
    }
    pthread_mutex_unlock(&view->lock);
    return rc;
}
