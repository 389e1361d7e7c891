/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.db, version 1: read by nats-server 2.10 and later, ignored by 2.9. Written when a stream that
 * we changed is closed, so that a server starts without a scan and keeps what only the old index
 * knew: deletions by limits leave no other trace.
 */
#include "core/base/file.h"
#include "core/stream/writer.h"

/* Blocks in which a subject's messages may lie, exactly: one pass over all slots. */
static int fill_subjects(struct js_stream *s, struct js_index_db *ix) {
    uint32_t *place; /* index in ix->subjects by subject id */

    ix->subjects = js_calloc(s->env, s->subjects.live ? s->subjects.live : 1,
                             sizeof *ix->subjects);
    place = js_calloc(s->env, s->subjects.count ? s->subjects.count : 1, sizeof *place);
    if (!ix->subjects || !place) {
        js_free(s->env, place);
        return JS_ERR_NOMEM;
    }
    for (uint32_t id = 0; id < s->subjects.count; id++) {
        const struct js_subject_line *line = &s->subjects.lines[id];
        if (line->count == 0)
            continue;
        place[id] = (uint32_t)ix->num_subjects;
        ix->subjects[ix->num_subjects++] = (struct js_index_subject){
            .name = js_subject_name(line), .len = line->len, .total = line->count};
    }
    struct js_place at = {0};
    int r = 0;
    for (size_t i = 0; i < s->num_blocks && r == 0; i++) {
        if (s->blocks[i]->msgs == 0)
            continue;
        r = js_place_at(s, &at, i);
        for (uint32_t k = 0; r == 0 && k < at.slots->count; k++) {
            if (!js_slot_live(at.slots, k))
                continue;
            struct js_index_subject *su = &ix->subjects[place[at.slots->sid[k]]];
            if (su->first_block == 0)
                su->first_block = at.block->number;
            su->last_block = at.block->number;
        }
    }
    js_place_done(s, &at);
    js_free(s->env, place);
    return r;
}

static int add_gap(struct js_index_block *e, js_seq_t from, js_seq_t to) {
    for (js_seq_t q = from; q < to; q++)
        if (js_seqset_add(&e->deleted, q) < 0)
            return JS_ERR_NOMEM;
    return 0;
}

/* One block's entry: its live range and what is deleted inside it. */
static int fill_block(struct js_stream *s, size_t index, struct js_index_block *e) {
    const struct js_block *b = s->blocks[index];
    struct js_place at = {0};

    e->number = b->number;
    e->bytes = b->bytes;
    js_seqset_init(&e->deleted, s->env);
    if (b->msgs == 0) {
        e->first_seq = s->last_seq + 1;
        e->last_seq = s->last_seq;
        return 0;
    }
    int r = js_place_at(s, &at, index);
    if (r < 0)
        return r;
    const struct js_slots *sl = at.slots;
    uint32_t k = 0;
    while (!js_slot_live(sl, k))
        k++;
    e->first_seq = js_slot_seq(sl, k);
    /* The last record that stands in the block, be it deleted: servers hold the two against each
     * other when they load it, and rebuild the block if they differ. */
    e->last_seq = b->pos_last;
    e->first_time = b->min_time;
    e->last_time = b->pos_last_time ? b->pos_last_time : b->max_time;
    js_seq_t expect = e->first_seq;
    for (; k < sl->count && r == 0; k++) {
        if (!js_slot_live(sl, k))
            continue;
        r = add_gap(e, expect, js_slot_seq(sl, k));
        expect = js_slot_seq(sl, k) + 1;
    }
    if (r == 0 && expect)
        r = add_gap(e, expect, e->last_seq + 1);
    js_place_done(s, &at);
    return r;
}

static int fill_index(struct js_stream *s, struct js_index_db *ix) {
    ix->msgs = s->msgs;
    ix->bytes = s->bytes;
    ix->first_seq = s->first_seq;
    ix->last_seq = s->last_seq;
    ix->first_time = s->first_time;
    ix->last_time = s->last_time;
    ix->blocks = js_calloc(s->env, s->num_blocks, sizeof *ix->blocks);
    if (!ix->blocks)
        return JS_ERR_NOMEM;
    for (size_t i = 0; i < s->num_blocks; i++) {
        const struct js_block *b = s->blocks[i];
        bool last = i + 1 == s->num_blocks;
        if (b->msgs == 0 && !last)
            continue;
        int r = fill_block(s, i, &ix->blocks[ix->num_blocks++]);
        if (r < 0)
            return r;
        if (last) {
            ix->last_block = b->number;
            memcpy(ix->last_sum, b->last_sum, 8);
        }
    }
    return fill_subjects(s, ix);
}

/* The range of a block may hold this many deletions; above it a scan is cheaper than the index. */
#define MAX_INTERIOR (16u << 20)

int js_stream_write_index(struct js_stream *s) {
    struct js_index_db ix = {.env = s->env};
    struct js_buf out = {.env = s->env};
    struct js_hash_key key;

    if (s->num_blocks == 0 || s->files.msgs_fd < 0 || s->unread)
        return 0;
    if (s->health != JS_HEALTH_OK || s->lost ||
        (s->last_seq >= s->first_seq && s->last_seq + 1 - s->first_seq - s->msgs > MAX_INTERIOR))
        return 0;
    int r = fill_index(s, &ix);
    if (r == 0)
        r = js_index_db_encode(&ix, 1, &out);
    if (r == 0) {
        js_hash_key_of_name(&key, s->name, strlen(s->name));
        js_buf_append_u64(&out, js_hash64_one(&key, out.data, out.len));
        r = out.failed ? JS_ERR_NOMEM : 0;
    }
    if (r == 0)
        r = js_file_replace(s->env, s->files.msgs_fd, "index.db", out.data, out.len, true);
    if (r == 0)
        r = js_err_from_errno(-s->env->io->fsync(s->env->io->ctx, s->files.msgs_fd));
    js_buf_done(&out);
    js_index_db_done(&ix);
    return r;
}
