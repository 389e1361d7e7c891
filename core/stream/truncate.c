/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Truncating: everything above a sequence goes, and the stream's end moves back. In an order in
 * which a crash leaves the stream cut at a later place: first what the blocks that go know of older
 * messages (tombstones) is put into the block that stays, and the new end into one of its own if no
 * record that stays shows it; then blocks go, newest first, then the last one is cut.
 */
#include <errno.h>
#include <stdio.h>

#include "core/base/file.h"
#include "core/base/limits.h"
#include "core/stream/block_file.h"
#include "core/stream/prepare.h"
#include "core/stream/remove.h"
#include "core/stream/rules.h"

/* And what is written beside it: all speak of sequences that will be given out anew. */
static int unlink_index(struct js_stream *s) {
    static const char *const names[] = {"thw.db", "sched.db"};
    int r = js_stream_retire_index(s);

    for (size_t i = 0; i < sizeof names / sizeof *names && r == 0; i++)
        r = js_file_unlink(s->env, s->files.msgs_fd, names[i]);
    return r < 0 ? r : js_err_from_errno(-s->env->io->fsync(s->env->io->ctx, s->files.msgs_fd));
}

/* Tombstones of a block for messages of blocks before it: some of those stay, and others go after
 * it. */
static int collect_tombs(struct js_stream *s, const struct js_block *b, struct js_tombs *tombs) {
    struct js_block_key *key = NULL;
    struct js_scan scan;
    js_seq_t oldest = js_stream_oldest_record(s);

    if (b->tomb_last == 0)
        return 0;
    js_scan_init(&scan, s->env);
    int r = js_stream_scan_block(s, b->number, &key, &scan);
    js_vault_put(s->vault, key);
    for (size_t i = 0; i < scan.count && r == 0; i++) {
        js_seq_t t = scan.recs[i].seq & JS_SEQ_MASK;
        if ((scan.recs[i].seq & JS_SEQ_TOMBSTONE) && t < b->search_first && t >= oldest)
            r = js_tombs_add(tombs, t, scan.recs[i].time);
    }
    js_scan_done(&scan);
    return r;
}

/* Unlinks a block now. */
static int drop_block(struct js_stream *s, size_t index) {
    const struct js_io *io = s->env->io;
    char name[24];

    snprintf(name, sizeof name, "%u.blk", s->blocks[index]->number);
    int r = io->unlink(io->ctx, s->files.msgs_fd, name);
    if (r < 0 && r != -ENOENT)
        return js_err_from_errno(-r);
    if (s->blocks[index]->key) {
        snprintf(name, sizeof name, "%u.key", s->blocks[index]->number);
        io->unlink(io->ctx, s->files.msgs_fd, name);
    }
    r = js_stream_bury(s, index);
    if (r == 0)
        s->num_graves--; /* it is gone already */
    return r;
}

/* A block of its own says where the stream ends: in one with messages the records do. */
static int put_end(struct js_stream *s, struct js_writer *w, js_seq_t seq, js_time_t time) {
    int r = js_writer_roll(s, w);

    if (r == 0)
        r = js_writer_put_mark(s, w, seq | JS_SEQ_TOMBSTONE, time);
    if (r == 0)
        r = js_writer_sync_locked(s, w);
    return r;
}

/* Everything goes, and the stream begins anew after seq. */
static int reset(struct js_stream *s, struct js_writer *w, js_seq_t seq, struct js_gone *gone) {
    js_time_t now = s->env->clock->now(s->env->clock->ctx);
    size_t keep = seq != 0;
    /* Files that wait to go are older than what goes at once. */
    int r = js_writer_sync_locked(s, w);

    if (r == 0)
        r = js_writer_release(s, w);
    if (r == 0)
        r = js_graves_reserve(s, s->num_blocks + 1);
    if (r == 0 && s->files.msgs_fd >= 0)
        r = unlink_index(s);
    /* Before anything goes, so that no crash leaves a stream without an end. */
    if (r == 0 && keep)
        r = put_end(s, w, seq, now);
    gone->tell = true;
    /* Oldest first: a tombstone goes after what it took out. */
    while (r == 0 && s->num_blocks > keep) {
        r = js_drop_block_msgs(s, 0, gone);
        js_move_first(s);
        if (r == 0)
            r = drop_block(s, 0);
    }
    if (r < 0)
        return js_stream_fail_writes(s, r);
    js_subjects_forget_msgs(&s->subjects);
    s->msgs = s->bytes = s->lost = 0;
    s->first_seq = seq ? seq + 1 : 0;
    s->last_seq = seq;
    s->first_time = 0;
    s->first_time_stale = false;
    /* Of one that begins with 1 no file could tell it after a restart. */
    s->last_time = seq ? now : 0;
    if (keep) {
        struct js_block *b = s->blocks[0];
        b->pos_last = seq;
        b->pos_last_time = now;
        b->search_first = seq + 1;
    }
    w->last_stamp = now;
    s->removals++;
    w->dir_dirty = true;
    js_writer_touched(s, w);
    return 0;
}

/* Takes what lies above seq in a block out of the index. */
static int drop_tail(struct js_stream *s, size_t index, js_seq_t seq, struct js_gone *gone) {
    struct js_block *b = s->blocks[index];
    uint64_t msgs = s->msgs, bytes = s->bytes;
    int r = js_block_warm(s, index);

    if (r != 0)
        return r < 0 ? r : JS_ERR_STALE;
    uint32_t k = js_slots_lower(b->slots, seq + 1);
    for (uint32_t i = k; i < b->slots->count && r == 0; i++)
        if (b->slots->at[i].len != 0)
            r = js_stream_drop_slot(s, b, i);
    b->slots->count = k;
    atomic_store_explicit(&s->stale_lasts, true, memory_order_relaxed);
    gone->msgs += msgs - s->msgs;
    gone->bytes += bytes - s->bytes;
    return r;
}

/* The time of the message at seq, or the newest before it. */
static int time_at(struct js_stream *s, js_seq_t seq, js_time_t *ret_time) {
    struct js_place at = {0};
    struct js_msg msg;
    int r = js_stream_slot_before(s, seq, false, &at);

    *ret_time = s->last_time;
    if (r == 1) {
        r = js_stream_slot_msg(s, &at, false, &msg);
        if (r == 0) {
            *ret_time = msg.time;
            js_msg_release(&msg);
        }
    }
    js_place_done(s, &at);
    return r == JS_NEED_SCAN ? JS_ERR_STALE : r == JS_ERR_BAD_MSG || r > 0 ? 0 : r;
}

static int truncate_to(struct js_stream *s, struct js_writer *w, js_seq_t seq,
                       struct js_gone *gone) {
    struct js_tombs tombs = {.env = s->env};
    struct js_place at = {0};
    size_t index;
    int r = js_writer_sync_locked(s, w);

    if (r == 0)
        r = js_writer_release(s, w);
    if (r == 0)
        r = js_graves_reserve(s, s->num_blocks);
    if (r == 0)
        r = unlink_index(s);
    if (r < 0 || !js_stream_block_of(s, seq, &index))
        return r < 0 ? r : JS_ERR_CORRUPT;
    int there = js_stream_slot_at(s, seq, &at);
    js_place_done(s, &at);
    js_time_t cut_time;
    r = time_at(s, seq, &cut_time);
    for (size_t i = index; i < s->num_blocks && r == 0; i++)
        if (i > index || s->blocks[i]->tomb_last)
            r = i > index ? collect_tombs(s, s->blocks[i], &tombs) : 0;
    if (r == 0 && tombs.count) {
        struct js_rewrite keep = {
            .tombs = tombs.list, .num_tombs = tombs.count, .compression = 'n'};
        r = js_block_rewrite(s, index, &keep, NULL);
    }
    /* Before anything goes, so that a crash leaves the longer stream. */
    size_t ends = there != 1;
    if (r == 0 && ends)
        r = put_end(s, w, seq, cut_time);
    gone->tell = true;
    for (size_t i = index + 1; i < s->num_blocks && r == 0; i++)
        r = js_drop_block_msgs(s, i, gone);
    while (r == 0 && s->num_blocks > index + 1 + ends)
        r = drop_block(s, s->num_blocks - 1 - ends);
    if (r == 0)
        r = js_err_from_errno(-s->env->io->fsync(s->env->io->ctx, s->files.msgs_fd));
    if (r == 0)
        r = drop_tail(s, index, seq, gone);
    if (r == 0) {
        struct js_rewrite cut = {.cut = true, .cut_seq = seq, .compression = 'n'};
        struct js_block *b = s->blocks[index];
        s->last_seq = seq;
        r = js_block_rewrite(s, index, &cut, NULL);
        b->pos_last = seq;
        b->pos_last_time = cut_time;
        if (b->max_time > cut_time)
            b->max_time = b->reach_time = cut_time;
        if (r == 0 && ends) {
            b = s->blocks[index + 1];
            b->pos_last = seq;
            b->pos_last_time = cut_time;
            b->search_first = seq + 1;
        }
    }
    js_free(s->env, tombs.list);
    if (r < 0)
        return js_stream_fail_writes(s, r);
    s->last_time = cut_time;
    w->last_stamp = cut_time;
    s->removals++;
    js_writer_touched(s, w);
    if (s->first_seq > seq + 1)
        s->first_seq = seq + 1;
    js_move_first(s);
    return 0;
}

int js_stream_truncate(struct js_stream *stream, js_seq_t seq) {
    struct js_gone gone = {0};
    struct js_writer *w;

    pthread_rwlock_wrlock(&stream->lock);
    int r = js_writer_open(stream, &w);
    if (r == 0 && stream->config.sealed)
        r = JS_ERR_NOT_PERMITTED;
    if (r == 0 && seq > stream->last_seq)
        r = JS_ERR_INVAL;
    if (r == 0 && seq < stream->last_seq) {
        r = js_stream_know_all(stream, w);
        /* Nothing of it is there: an empty stream at that place. */
        if (r == 0 && (seq == 0 || stream->msgs == 0 || seq < stream->first_seq))
            r = reset(stream, w, seq, &gone);
        else if (r == 0)
            r = truncate_to(stream, w, seq, &gone);
        js_rules_reset(stream);
    }
    return js_stream_end_removal(stream, r, &gone);
}
