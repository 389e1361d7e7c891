/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purging and compacting. What is removed is found through the index; tombstones are written for
 * messages whose block stays, and flushed once. Whole blocks leave without: their files are
 * unlinked after everything that says where the stream stands is on disk (sync.c), oldest first, so
 * that a crash between leaves a stream that was cut at an earlier place.
 */
#include "core/stream/block_file.h"
#include "core/stream/prepare.h"
#include "core/stream/remove.h"


struct seq_list {
    const struct js_env *env;
    js_seq_t *list;
    size_t count, cap;
};

static int add_seq(struct seq_list *l, js_seq_t seq) {
    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 256;
        js_seq_t *p = js_realloc_array(l->env, l->list, cap, sizeof *p);
        if (!p)
            return JS_ERR_NOMEM;
        l->list = p;
        l->cap = cap;
    }
    l->list[l->count++] = seq;
    return 0;
}

static bool is_all(const char *filter, size_t len) {
    return len == 0 || (len == 1 && filter[0] == '>');
}

int js_purge_all(struct js_stream *s, struct js_writer *w, struct js_gone *gone) {
    size_t old = s->num_blocks;
    int r = 0;

    gone->tell = true;
    if (s->last_seq == 0) {
        s->first_seq = 1;
        return 0;
    }
    r = js_graves_reserve(s, old);
    if (r == 0)
        r = js_writer_roll(s, w);
    if (r == 0)
        r = js_writer_put_mark(s, w, s->last_seq | JS_SEQ_TOMBSTONE, s->last_time);
    if (r == 0)
        r = js_writer_flush(s, w);
    if (r < 0)
        return r;
    struct js_block *b = s->blocks[s->num_blocks - 1];
    b->pos_last = s->last_seq;
    b->pos_last_time = s->last_time;
    gone->seq = s->first_seq;
    gone->msgs += s->msgs;
    gone->bytes += s->bytes;
    for (size_t i = 0; i < old; i++)
        (void)js_stream_bury(s, 0); /* there is room for its number */
    js_subjects_forget_msgs(&s->subjects);
    s->msgs = s->bytes = s->lost = 0;
    s->first_seq = s->last_seq + 1;
    s->first_time = 0;
    s->first_time_stale = false;
    s->removals++;
    js_writer_touched(s, w);
    return 0;
}

/* Sequences of the matches below a bound, oldest first, at most max. */
static int collect(struct js_stream *s, const struct js_matcher *m, js_seq_t below, uint64_t max,
                   struct seq_list *l) {
    struct js_place at = {0};
    js_seq_t seq = s->first_seq;
    int r = 1;

    while (r == 1 && l->count < max) {
        r = js_stream_next_match(s, m, seq, &at);
        if (r != 1)
            break;
        js_seq_t found = js_place_seq(&at);
        if (below && found >= below)
            break;
        if (js_slot_live(at.slots, at.slot))
            r = add_seq(l, found) < 0 ? JS_ERR_NOMEM : 1;
        seq = found + 1;
    }
    js_place_done(s, &at);
    return r == JS_NEED_SCAN ? JS_ERR_STALE : r < 0 ? r : 0;
}

int js_purge_matching(struct js_stream *s, struct js_writer *w, const char *filter, size_t len,
                      js_seq_t below, uint64_t keep, struct js_gone *gone) {
    char *text = js_malloc(s->env, len + 1);
    const char *patterns[1] = {text};
    struct js_filter f = {.patterns = patterns, .count = 1};
    struct seq_list l = {.env = s->env};
    struct js_matcher m;
    bool all = is_all(filter, len);

    if (!text)
        return JS_ERR_NOMEM;
    memcpy(text, filter, len);
    text[len] = 0;
    js_matcher_init(&m, s, all ? NULL : &f);
    int r = js_stream_scan_locked(s);
    if (r == 0)
        r = js_matcher_update(&m, s, true);
    if (r == 0)
        r = collect(s, &m, keep ? 0 : below, UINT64_MAX, &l);
    js_matcher_done(&m);
    js_free(s->env, text);
    if (r == 0 && keep) {
        /* The newest keep stay, whatever the bound says. */
        l.count = l.count > keep ? l.count - (size_t)keep : 0;
        while (below && l.count && l.list[l.count - 1] >= below)
            l.count--;
    }
    if (r == 0 && l.count)
        r = js_remove_seqs(s, w, l.list, l.count, true, gone);
    js_free(s->env, l.list);
    return r < 0 ? r : 0;
}

/* Takes out what lies below seq in the one block that holds it. */
static int cut_head(struct js_stream *s, struct js_writer *w, size_t index, js_seq_t seq,
                    struct js_gone *gone) {
    struct js_block *b = s->blocks[index];
    struct seq_list l = {.env = s->env};
    uint64_t freed = 0;
    int r = js_block_warm(s, index);

    if (r != 0)
        return r < 0 ? r : JS_ERR_STALE;
    for (uint32_t k = 0; k < b->slots->count && r == 0; k++) {
        js_seq_t q = js_slot_seq(b->slots, k);
        if (q >= seq)
            break;
        if (b->slots->at[k].len == 0)
            continue;
        freed += js_slot_live(b->slots, k) ? b->slots->at[k].len : 0;
        r = add_seq(&l, q);
    }
    bool newest = index + 1 == s->num_blocks;
    bool rewrite = !s->backing_up && b->raw_size > s->compact_min &&
                   2 * (b->bytes - freed) < b->raw_size && b->bytes > freed;
    /* Its file is replaced; the writer opens the new one. */
    if (r == 0 && rewrite && newest)
        r = js_writer_release(s, w);
    /* The file first: if that fails nothing has changed, and tombstones are not needed. */
    if (r == 0 && rewrite) {
        struct js_rewrite how = {.drop_dead = true,
                                 .below = seq,
                                 .compression = newest ? 'n' : js_stream_compression(s)};
        r = js_block_rewrite(s, index, &how, NULL);
    }
    /* When only the sync failed the new file is there, and what was cut out is not. */
    int t = (r == 0 || (rewrite && s->write_error)) && l.count
                ? js_remove_seqs(s, w, l.list, l.count, !rewrite, gone)
                : 0;
    r = r < 0 ? r : t;
    if (r >= 0 && rewrite)
        b->compacted_bytes = b->bytes;
    js_free(s->env, l.list);
    return r < 0 ? r : 0;
}

static int compact_to(struct js_stream *s, struct js_writer *w, js_seq_t seq,
                      struct js_gone *gone) {
    if (seq <= s->first_seq && !(s->msgs == 0 && seq > s->last_seq))
        return 0;
    if (seq > s->last_seq) {
        int r = js_purge_all(s, w, gone);
        gone->tell = false;
        if (r < 0 || seq - 1 == s->last_seq)
            return r;
        r = js_writer_put_mark(s, w, (seq - 1) | JS_SEQ_TOMBSTONE, s->last_time);
        if (r == 0)
            r = js_writer_settle(s, w);
        if (r < 0)
            return r; /* it ends where it ended */
        struct js_block *b = s->blocks[s->num_blocks - 1];
        b->pos_last = s->last_seq = seq - 1;
        b->search_first = s->first_seq = seq;
        return 0;
    }
    size_t index;
    int r = 0;
    if (!js_stream_block_of(s, seq, &index))
        return 0;
    /* Whole blocks go last: nothing of theirs has to be written, so nothing can go wrong with them.
     */
    uint32_t number = s->blocks[index]->number;
    r = cut_head(s, w, index, seq, gone);
    for (size_t i = 0; i < s->num_blocks && s->blocks[i]->number < number && r == 0; i++)
        r = js_drop_block_msgs(s, i, gone);
    if (r == 0 && s->first_seq < seq)
        s->first_seq = seq;
    js_move_first(s);
    int t = js_retire_empty(s, w);
    return r < 0 ? r : t;
}

int js_compact_to(struct js_stream *s, struct js_writer *w, js_seq_t seq, struct js_gone *gone) {
    int r = compact_to(s, w, seq, gone);

    if (r != JS_ERR_CORRUPT && r != JS_ERR_STALE)
        return r;
    /* index.db was wrong about a block, or one was damaged since. */
    int k = js_stream_know_all(s, w);
    return k < 0 ? k : compact_to(s, w, seq, gone);
}

int js_stream_purge(struct js_stream *stream, uint64_t *ret_n) {
    return js_stream_purge_ex(stream, "", 0, 0, 0, ret_n);
}

int js_stream_purge_ex(struct js_stream *stream, const char *filter, size_t len, js_seq_t seq,
                       uint64_t keep, uint64_t *ret_n) {
    struct js_gone gone = {0};
    struct js_writer *w;
    bool all = is_all(filter, len);

    if (!all && !js_filter_valid(filter, len))
        return JS_ERR_SUBJECT;
    if (all && seq > JS_SEQ_MASK)
        return JS_ERR_INVAL; /* no record can say that the sequences ended there */
    pthread_rwlock_wrlock(&stream->lock);
    int r = js_writer_open(stream, &w);
    if (r == 0 && (stream->config.deny_purge || stream->config.sealed))
        r = JS_ERR_NOT_PERMITTED;
    if (r == 0 && seq != 1) {
        if (all && seq == 0 && keep == 0)
            r = js_purge_all(stream, w, &gone);
        else if (all && seq > 1)
            r = js_compact_to(stream, w, seq, &gone);
        else
            r = js_purge_matching(stream, w, filter, len, seq, keep, &gone);
    }
    r = js_stream_end_removal(stream, r, &gone);
    if (r >= 0 && ret_n)
        *ret_n = gone.msgs;
    return r < 0 ? r : 0;
}

int js_stream_compact(struct js_stream *stream, js_seq_t seq, uint64_t *ret_n) {
    struct js_gone gone = {0};
    struct js_writer *w;

    if (seq > JS_SEQ_MASK)
        return JS_ERR_INVAL;
    pthread_rwlock_wrlock(&stream->lock);
    int r = js_writer_open(stream, &w);
    if (r == 0 && stream->config.sealed)
        r = JS_ERR_NOT_PERMITTED;
    if (r == 0)
        r = seq == 0 ? js_purge_all(stream, w, &gone) : js_compact_to(stream, w, seq, &gone);
    r = js_stream_end_removal(stream, r, &gone);
    if (r >= 0 && ret_n)
        *ret_n = gone.msgs;
    return r < 0 ? r : 0;
}

/* What lives of a deleted set, ascending within it. NEED_SCAN, NOMEM, IO. */
static int collect_deleted(struct js_stream *s, const struct js_delete_block *d,
                           struct seq_list *l) {
    struct js_place at = {0};
    js_seq_t seq = d->first, last = d->num ? d->first + (d->num - 1) : 0;
    int r = 1;

    if (d->list) {
        for (uint64_t k = 0; k < d->num && (r == 0 || r == 1); k++) {
            r = js_stream_slot_at(s, d->list[k], &at);
            if (r == 1)
                r = add_seq(l, d->list[k]);
        }
    } else {
        /* A run: what lives in it, one after the other. */
        while (r == 1 && seq && seq <= last) {
            r = js_stream_slot_from(s, seq, false, &at);
            if (r != 1 || js_place_seq(&at) > last)
                break;
            r = add_seq(l, js_place_seq(&at)) < 0 ? JS_ERR_NOMEM : 1;
            seq = js_place_seq(&at) + 1;
        }
    }
    js_place_done(s, &at);
    return r == 1 ? 0 : r;
}

static int collect_all_deleted(struct js_stream *s, const struct js_delete_block *blocks, size_t n,
                               struct seq_list *l) {
    int r = 0;

    l->count = 0;
    for (size_t i = 0; i < n && r == 0; i++)
        r = collect_deleted(s, &blocks[i], l);
    return r;
}

int js_stream_sync_deleted(struct js_stream *stream, const struct js_delete_block *blocks,
                           size_t n) {
    struct js_gone gone = {0};
    struct js_writer *w;

    pthread_rwlock_wrlock(&stream->lock);
    struct seq_list l = {.env = stream->env};
    int r = js_writer_open(stream, &w);
    if (r == 0)
        r = collect_all_deleted(stream, blocks, n, &l);
    if (r == JS_NEED_SCAN) {
        /* index.db was wrong about a block. */
        r = js_stream_scan_locked(stream);
        if (r == 0)
            r = collect_all_deleted(stream, blocks, n, &l);
        if (r == JS_NEED_SCAN)
            r = JS_ERR_STALE;
    }
    if (r == 0 && l.count)
        r = js_remove_seqs(stream, w, l.list, l.count, false, &gone);
    js_free(stream->env, l.list);
    r = js_stream_end_removal(stream, r, &gone);
    return r < 0 ? r : 0;
}
