/* SPDX-License-Identifier: Apache-2.0 */
/* Removing messages. No block is read for it: the index knows what has to be known. */
#include "core/stream/remove.h"

#include "core/base/limits.h"
#include "core/stream/block_file.h"

/* The time for a tombstone. That of the last message is exact: it may become all that tells of it.
 */
static js_time_t tomb_time(const struct js_stream *s, const struct js_block *b, js_seq_t seq) {
    if (seq == s->last_seq || b->max_time == 0 || b->max_time > s->last_time)
        return s->last_time;
    return b->max_time;
}

/* The first message from seq on, be it damaged. No block is read: 0 = none. */
static js_seq_t first_from(const struct js_stream *s, js_seq_t seq) {
    size_t i;

    if (!js_stream_block_of(s, seq, &i))
        i = 0;
    for (; i < s->num_blocks; i++) {
        const struct js_block *b = s->blocks[i];
        if (b->cold) {
            js_seq_t q = b->cold->first > seq ? b->cold->first : seq;
            while (b->msgs && q <= b->cold->upto) {
                if (js_cold_lives(b->cold, q))
                    return q;
                q++;
            }
        } else if (b->slots) {
            for (uint32_t k = js_slots_lower(b->slots, seq); k < b->slots->count; k++)
                if (b->slots->at[k].len != 0)
                    return js_slot_seq(b->slots, k);
        }
    }
    return 0;
}

void js_move_first(struct js_stream *s) {
    js_seq_t first = first_from(s, s->first_seq);

    s->first_seq = first ? first : s->last_seq + 1;
    s->first_time = 0;
    s->first_time_stale = first != 0;
}

/* Nothing to be kept in a block's file? Damage is, and tombstones for earlier blocks are. */
static bool disposable(const struct js_stream *s, const struct js_block *b) {
    if (b->msgs || b->unreadable)
        return false;
    for (uint32_t i = 0; b->odd && b->slots && i < b->slots->count; i++)
        if (b->slots->at[i].len == JS_LEN_DAMAGED)
            return false;
    return b->tomb_top < js_stream_oldest_record(s);
}

int js_graves_reserve(struct js_stream *s, size_t more) {
    size_t cap = s->cap_graves ? s->cap_graves : 16;

    while (cap < s->num_graves + more)
        cap *= 2;
    if (s->graves && cap == s->cap_graves)
        return 0;
    uint32_t *p = js_realloc_array(s->env, s->graves, cap, sizeof *p);
    if (!p)
        return JS_ERR_NOMEM;
    s->graves = p;
    s->cap_graves = cap;
    return 0;
}

int js_stream_bury(struct js_stream *s, size_t index) {
    struct js_block *b = s->blocks[index];
    int r = js_graves_reserve(s, 1);

    if (r < 0)
        return r;
    s->graves[s->num_graves++] = b->number;
    if (s->min_block <= b->number)
        s->min_block = b->number + 1;
    js_cache_drop(s->cache, s->identity, b->number);
    if (b->cold && b->cold->unread && --s->unread == 0) {
        /* Nobody has looked where the messages of the subjects begin and end. */
        atomic_store_explicit(&s->stale_firsts, true, memory_order_relaxed);
        atomic_store_explicit(&s->stale_lasts, true, memory_order_relaxed);
    }
    if (b->slots)
        s->slots_memory -= b->counted;
    js_block_forget_key(s, b);
    js_slots_unref(b->slots, s->env);
    if (b->cold)
        js_cold_forget(s, b->cold);
    js_cold_free(b->cold, s->env);
    js_free(s->env, b);
    memmove(s->blocks + index, s->blocks + index + 1,
            (s->num_blocks - index - 1) * sizeof *s->blocks);
    s->num_blocks--;
    if (s->trimmed > index)
        s->trimmed--;
    return 0;
}

/* May the block's file go? Of one that only index.db told of nobody knows which tombstones it
 * holds: it is read when its last message is gone. */
static bool may_go(struct js_stream *s, size_t index) {
    const struct js_block *b = s->blocks[index];

    if (b->msgs == 0 && b->cold && b->cold->unread && b->tomb_top >= js_stream_oldest_record(s) &&
        js_block_look(s, index) < 0)
        return false; /* it stays; the next look may do */
    return disposable(s, b);
}

/* Do the records of the newest block show where the stream ends? index.db may say so and go. */
static bool shows_end(const struct js_stream *s) {
    const struct js_block *b = s->blocks[s->num_blocks - 1];

    return !(b->cold && b->cold->unread) &&
           (b->rec_last >= s->last_seq || b->tomb_last >= s->last_seq);
}

int js_retire_empty(struct js_stream *s, struct js_writer *w) {
    /* The newest block stays: it is appended to, and shows where the stream stands. */
    for (size_t i = 0; i + 1 < s->num_blocks;) {
        struct js_block *b = s->blocks[i];
        if (!may_go(s, i)) {
            i++;
            continue;
        }
        if (b->pos_last >= s->last_seq && !shows_end(s)) {
            /* Only this block tells where the sequences stand. */
            int r = js_writer_put_mark(s, w, s->last_seq | JS_SEQ_TOMBSTONE, s->last_time);
            if (r < 0)
                return r;
            s->blocks[s->num_blocks - 1]->tomb_last = s->last_seq;
        }
        int r = js_stream_bury(s, i);
        if (r < 0)
            return r;
        js_writer_touched(s, w);
    }
    return 0;
}

/* The same for one block; i is right after its last message left. */
static int retire_block(struct js_stream *s, struct js_writer *w, size_t index) {
    int r = index + 1 < s->num_blocks && may_go(s, index) ? js_retire_empty(s, w) : 0;

    /* The message is gone all the same, and what is empty goes with the next pass. */
    return s->write_error ? r : 0;
}

static int take_out(struct js_stream *s, struct js_writer *w, size_t index, js_seq_t seq,
                    struct js_gone *gone) {
    struct js_block *b = s->blocks[index];
    uint64_t msgs = s->msgs, bytes = s->bytes;
    int r = 0;

    if (b->slots) {
        uint32_t slot = js_slots_find(b->slots, seq);
        if (slot == JS_NO_SLOT || b->slots->at[slot].len == 0)
            return 0;
        r = js_stream_drop_slot(s, b, slot);
    } else {
        r = js_cold_remove(s, index, seq);
    }
    if (r != 0)
        return r < 0 ? r : JS_ERR_STALE;
    s->removals++;
    s->removed_log[s->removed_logged++ % JS_REMOVED_LOG] = seq;
    js_writer_outdated(s, w);
    if (w->buf.len)
        w->promised = true; /* what left cannot be brought back */
    if (gone->msgs == 0)
        gone->seq = seq;
    gone->msgs += msgs - s->msgs;
    gone->bytes += bytes - s->bytes;
    if (seq == s->first_seq)
        js_move_first(s);
    if (b->msgs == 0)
        r = retire_block(s, w, index);
    return r < 0 ? r : 1;
}

int js_take_out(struct js_stream *s, struct js_writer *w, size_t index, js_seq_t seq,
                struct js_gone *gone) {
    int r = take_out(s, w, index, seq, gone);

    if (r != JS_ERR_STALE || !s->unread)
        return r;
    /* index.db was wrong about a block. */
    r = js_stream_scan_locked(s);
    if (r == 0 && js_stream_block_of(s, seq, &index))
        r = take_out(s, w, index, seq, gone);
    return r;
}

/* Where a live or damaged message stands: 1, 0, or an error. */
static int locate(struct js_stream *s, js_seq_t seq, size_t *ret_index) {
    struct js_place at = {0};
    int r = js_stream_slot_at(s, seq, &at);

    if (r == JS_NEED_SCAN) {
        js_place_done(s, &at);
        r = js_stream_scan_locked(s);
        if (r == 0)
            r = js_stream_slot_at(s, seq, &at);
    }
    if (r == 1)
        *ret_index = at.index;
    js_place_done(s, &at);
    return r == JS_NEED_SCAN ? JS_ERR_STALE : r;
}

int js_remove_seq(struct js_stream *s, struct js_writer *w, js_seq_t seq, struct js_gone *gone) {
    return js_remove_seqs(s, w, &seq, 1, true, gone);
}

/* Appends the tombstones. *ret_placed: the first so many messages are as good as removed, whatever
 * comes back. */
static int put_tombs(struct js_stream *s, struct js_writer *w, const js_seq_t *seqs, size_t n,
                     size_t *ret_placed) {
    size_t in_file = 0;
    int r = 0;

    for (size_t i = 0; i <= n && r == 0; i++) {
        uint64_t gen = w->gen;
        size_t index;
        const struct js_block *b = i < n ? js_stream_block_of(s, seqs[i], &index) : NULL;
        if (b)
            r = js_writer_put_mark(s, w, seqs[i] | JS_SEQ_TOMBSTONE, tomb_time(s, b, seqs[i]));
        else if (i == n)
            r = js_writer_settle(s, w);
        if (w->gen != gen)
            in_file = i;
        /* A write that failed takes everything out of the buffer, or leaves it there to be tried
         * again. */
        *ret_placed = r == 0 || w->buf.len ? i : in_file;
    }
    return r;
}

/* Takes messages out of one block in memory: those of the list that lie in it. Returns how many
 * entries it looked at, or an error. */
static ssize_t take_out_run(struct js_stream *s, struct js_writer *w, size_t index,
                            const js_seq_t *seqs, size_t n, struct js_gone *gone, size_t *done) {
    struct js_block *b = s->blocks[index];
    js_seq_t end = index + 1 < s->num_blocks ? s->blocks[index + 1]->search_first : UINT64_MAX;
    uint64_t msgs = s->msgs, bytes = s->bytes;
    bool first = false;
    size_t i = 0, before = *done;
    int r = 0;

    for (; i < n && seqs[i] < end && (i == 0 || seqs[i] > seqs[i - 1]); i++) {
        uint32_t slot = js_slots_find(b->slots, seqs[i]);
        if (slot == JS_NO_SLOT || b->slots->at[slot].len == 0)
            continue;
        r = js_stream_drop_slot(s, b, slot);
        if (r != 0)
            break;
        s->removals++;
        s->removed_log[s->removed_logged++ % JS_REMOVED_LOG] = seqs[i];
        if (gone->msgs == 0 && *done == 0)
            gone->seq = seqs[i];
        first |= seqs[i] == s->first_seq;
        ++*done;
    }
    if (*done != before) {
        js_writer_outdated(s, w);
        if (w->buf.len)
            w->promised = true;
    }
    gone->msgs += msgs - s->msgs;
    gone->bytes += bytes - s->bytes;
    if (first)
        js_move_first(s);
    if (r == 0 && b->msgs == 0)
        r = retire_block(s, w, index);
    return r < 0 ? r : (ssize_t)(i ? i : 1);
}

/* Returns 0 or an error; *done: how many were there. */
static int take_out_all(struct js_stream *s, struct js_writer *w, const js_seq_t *seqs, size_t n,
                        struct js_gone *gone, size_t *done) {
    for (size_t i = 0; i < n;) {
        size_t index;
        /* Each look anew: blocks leave the list. */
        if (!js_stream_block_of(s, seqs[i], &index)) {
            i++;
        } else if (s->blocks[index]->slots) {
            ssize_t k = take_out_run(s, w, index, seqs + i, n - i, gone, done);
            if (k < 0)
                return (int)k;
            i += (size_t)k;
        } else {
            int r = js_take_out(s, w, index, seqs[i++], gone);
            if (r < 0)
                return r;
            *done += r == 1;
        }
    }
    return 0;
}

int js_remove_seqs(struct js_stream *s, struct js_writer *w, const js_seq_t *seqs, size_t n,
                   bool tombstones, struct js_gone *gone) {
    size_t index, done = 0, placed = n;
    int r = 0;

    if (tombstones) {
        /* A single one may not be there; of many the caller knows. */
        if (n == 1)
            r = locate(s, seqs[0], &index);
        if (n == 1 && r <= 0)
            return r;
        r = put_tombs(s, w, seqs, n, &placed);
    }
    int t = take_out_all(s, w, seqs, placed, gone, &done);
    if (r == 0)
        r = t;
    /* Little by little blocks become mostly dead. */
    if (r == 0 && n == 1 && done && js_stream_block_of(s, seqs[0], &index)) {
        int c = js_compact_inline(s, index);
        if (c < 0 && s->write_error)
            r = c;
    }
    return r < 0 ? r : done > 0;
}

static int find_oldest(struct js_stream *s, uint32_t sid, struct js_place *at) {
    return sid == JS_NO_ID ? js_stream_slot_from(s, s->first_seq, false, at)
                           : js_stream_first_of(s, sid, at);
}

int js_remove_oldest(struct js_stream *s, struct js_writer *w, uint32_t sid, struct js_gone *gone) {
    struct js_place at = {0};
    int r = find_oldest(s, sid, &at);

    if (r == JS_NEED_SCAN) {
        js_place_done(s, &at);
        r = js_stream_scan_locked(s);
        if (r == 0)
            r = find_oldest(s, sid, &at);
    }
    size_t index = at.index;
    js_seq_t seq = r == 1 ? js_place_seq(&at) : 0;

    js_place_done(s, &at);
    if (r == JS_NEED_SCAN)
        return JS_ERR_STALE;
    return r <= 0 ? r : js_take_out(s, w, index, seq, gone);
}

#define AHEAD 16

int js_drop_block_msgs(struct js_stream *s, size_t index, struct js_gone *gone) {
    struct js_block *b = s->blocks[index];

    if (b->msgs == 0)
        return 0;
    int r = js_block_warm(s, index);
    if (r != 0)
        return r < 0 ? r : JS_ERR_STALE;
    struct js_slots *sl = b->slots;
    uint64_t left = 0;
    for (uint32_t k = 0; k < sl->count; k++) {
        if (k + AHEAD < sl->count && sl->sid[k + AHEAD] != JS_NO_ID)
            __builtin_prefetch(&s->subjects.lines[sl->sid[k + AHEAD]], 1);
        if (!js_slot_live(sl, k))
            continue;
        sl->at[k].len = 0;
        struct js_subject_line *line = &s->subjects.lines[sl->sid[k]];
        s->subjects.live -= --line->count == 0;
        left++;
    }
    atomic_store_explicit(&s->stale_firsts, true, memory_order_relaxed);
    atomic_store_explicit(&s->stale_lasts, true, memory_order_relaxed);
    if (gone->msgs == 0 && left == 1)
        gone->seq = b->first_pos;
    gone->msgs += left;
    gone->bytes += b->bytes;
    s->msgs -= left;
    s->bytes -= b->bytes;
    b->msgs = b->bytes = b->payload_bytes = b->hdr_bytes = b->subject_bytes = 0;
    b->removals++;
    s->removals++;
    if (s->writer)
        js_writer_outdated(s, s->writer);
    return 0;
}

int js_stream_end_removal(struct js_stream *s, int r, struct js_gone *gone) {
    js_removed_fn fn = s->on_removed;
    void *ctx = s->on_removed_ctx;

    r = js_stream_end_write(s, r);
    if (gone->msgs || gone->tell)
        js_stream_notify(s, 0, 0);
    if (fn && (gone->msgs || gone->tell))
        fn(ctx, s, gone->msgs, gone->bytes, gone->msgs == 1 ? gone->seq : 0, "", 0);
    return r;
}

void js_stream_on_removed(struct js_stream *stream, js_removed_fn fn, void *ctx) {
    pthread_rwlock_wrlock(&stream->lock);
    stream->on_removed = fn;
    stream->on_removed_ctx = ctx;
    pthread_rwlock_unlock(&stream->lock);
}

/* user: what the configuration denies to users holds. */
static int remove_one(struct js_stream *stream, js_seq_t seq, bool user) {
    struct js_gone gone = {0};
    struct js_writer *w;

    pthread_rwlock_wrlock(&stream->lock);
    int r = js_writer_open(stream, &w);
    if (r == 0 && user && (stream->config.deny_delete || stream->config.sealed))
        r = JS_ERR_NOT_PERMITTED;
    if (r == 0 && (seq == 0 || seq > stream->last_seq))
        r = seq ? JS_ERR_EOF : JS_ERR_MSG_NOT_FOUND;
    if (r == 0)
        r = js_remove_seq(stream, w, seq, &gone);
    return js_stream_end_removal(stream, r, &gone);
}

int js_stream_remove_msg(struct js_stream *stream, js_seq_t seq) {
    return remove_one(stream, seq, true);
}

int js_stream_remove_acked(struct js_stream *stream, js_seq_t seq) {
    return remove_one(stream, seq, false);
}
