/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.db, in the oldest version that can say what there is to say: 1 is read by nats-server 2.10
 * and later, and ignored by 2.9. Written when a stream that we changed is closed, so that a server
 * starts without a scan and keeps what only the old index knew: deletions by limits leave no other
 * trace.
 */
#include "core/base/file.h"
#include "core/stream/rules.h"

/* The subjects with their totals; *ret_place: by id, the index in ix->subjects. */
static int list_subjects(struct js_stream *s, struct js_index_db *ix, uint32_t **ret_place) {
    uint32_t *place;

    ix->subjects = js_calloc(s->env, s->subjects.live ? s->subjects.live : 1, sizeof *ix->subjects);
    place = js_calloc(s->env, s->subjects.count ? s->subjects.count : 1, sizeof *place);
    *ret_place = place;
    if (!ix->subjects || !place)
        return JS_ERR_NOMEM;
    for (uint32_t id = 0; id < s->subjects.count; id++) {
        const struct js_subject_line *line = &s->subjects.lines[id];
        const struct js_subject_span *span = js_subjects_span(&s->subjects, id);
        if (line->count == 0)
            continue;
        place[id] = (uint32_t)ix->num_subjects;
        ix->subjects[ix->num_subjects++] =
            (struct js_index_subject){.name = js_subject_name(line),
                                      .len = line->len,
                                      .total = line->count,
                                      .first_block = s->unread && span ? span->first : 0,
                                      .last_block = s->unread && span ? span->last : 0};
    }
    return 0;
}

/* Blocks in which a subject's messages may lie: those of unread blocks are known from the index
 * that was read, the others by one pass over all slots. */
static int fill_subjects(struct js_stream *s, struct js_index_db *ix) {
    struct js_place at = {0};
    uint32_t *place;
    int r = list_subjects(s, ix, &place);

    for (size_t i = 0; i < s->num_blocks && r == 0 && !s->unread; i++) {
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

/* The entry of a block whose slots are not in memory. */
static int fill_cold(const struct js_block *b, struct js_index_block *e) {
    const struct js_cold *c = b->cold;
    js_seq_t seq;
    int r = 0;

    e->first_seq = c->first;
    while (e->first_seq <= c->upto && js_seqset_has(&c->deleted, e->first_seq))
        e->first_seq++;
    e->last_seq = b->pos_last > c->upto ? b->pos_last : c->upto;
    e->first_time = b->min_time;
    e->last_time = b->pos_last_time ? b->pos_last_time : b->max_time;
    for (seq = e->first_seq; r >= 0 && js_seqset_next(&c->deleted, seq, &seq) && seq <= e->last_seq;
         seq++)
        r = js_seqset_add(&e->deleted, seq);
    return r < 0 ? r : add_gap(e, c->upto + 1, e->last_seq + 1);
}

/* One block's entry: its live range and what is deleted inside it. */
static int fill_block(struct js_stream *s, size_t index, struct js_index_block *e) {
    const struct js_block *b = s->blocks[index];
    struct js_place at = {0};

    e->number = b->number;
    e->bytes = b->bytes;
    /* Servers look for TTLs and schedules where there may be some. */
    e->ttls = b->uncounted & JS_COUNTED_TTLS ? b->msgs : b->ttls;
    e->schedules = b->uncounted & JS_COUNTED_SCHEDULES ? b->msgs : b->schedules;
    js_seqset_init(&e->deleted, s->env);
    if (b->msgs == 0) {
        e->first_seq = s->last_seq + 1;
        e->last_seq = s->last_seq;
        return 0;
    }
    if (b->cold)
        return fill_cold(b, e);
    int r = js_place_at(s, &at, index);
    if (r != 0)
        return r < 0 ? r : JS_ERR_STALE;
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
    ix->first_time = js_stream_first_time(s);
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

/* So many deletions inside of blocks (those between blocks are not listed); above it a scan is
 * cheaper than the index. */
#define MAX_INTERIOR (16u << 20)

static bool lists_too_much(const struct js_stream *s) {
    uint64_t n = 0;

    for (size_t i = 0; i < s->num_blocks && n <= MAX_INTERIOR; i++) {
        const struct js_block *b = s->blocks[i];
        js_seq_t first = b->cold ? b->cold->first : b->first_pos;
        js_seq_t last = b->cold && b->cold->upto > b->pos_last ? b->cold->upto : b->pos_last;
        if (b->msgs && last >= first && last - first + 1 > b->msgs)
            n += last - first + 1 - b->msgs;
    }
    return n > MAX_INTERIOR;
}

/* 1 is read by every server; counters need 2 (2.11), schedules 3 (2.12). */
static uint8_t version_for(const struct js_stream *s) {
    if (s->config.allow_msg_schedules)
        return 3;
    return s->config.allow_msg_ttl ? 2 : 1;
}

int js_index_seal(const struct js_env *env, const char *name, const struct js_block_key *seed,
                  const struct js_index_db *ix, uint8_t version, struct js_buf *out) {
    struct js_buf plain = {.env = env};
    struct js_hash_key key;
    int r = js_index_db_encode(ix, version, seed ? &plain : out);

    if (r == 0 && seed)
        r = plain.failed ? JS_ERR_NOMEM
                         : js_seal(env, seed->cipher, seed->seed, plain.data, plain.len, out);
    if (plain.data)
        js_wipe(plain.data, plain.len);
    js_buf_done(&plain);
    if (r == 0) {
        js_hash_key_of_name(&key, name, strlen(name));
        js_buf_append_u64(out, js_hash64_one(&key, out->data, out->len));
        r = out->failed ? JS_ERR_NOMEM : 0;
    }
    return r;
}

int js_index_write_blank(const struct js_env *env, int msgs_fd, const char *name,
                         const struct js_block_key *seed) {
    struct js_index_block first = {.number = 1, .first_seq = 1};
    struct js_index_db ix = {.env = env, .blocks = &first, .num_blocks = 1, .last_block = 1};
    struct js_buf out = {.env = env};

    js_seqset_init(&first.deleted, env);
    /* One that is empty has zeros there: it is not to be taken for what this speaks of. */
    memset(ix.last_sum, 0xff, sizeof ix.last_sum);
    int r = js_index_seal(env, name, seed, &ix, 1, &out);
    if (r == 0)
        r = js_file_replace(env, msgs_fd, "index.db", out.data, out.len, true);
    js_buf_done(&out);
    return r;
}

int js_stream_retire_index(struct js_stream *s) {
    if (s->writer && s->writer->index_blank)
        return 0;
    bool blank = s->encrypted && s->seed &&
                 js_index_write_blank(s->env, s->files.msgs_fd, s->name, s->seed) == 0;
    if (s->writer)
        s->writer->index_blank = blank;
    /* Where there is no room for it, it goes. */
    if (blank)
        return 0;
    return js_file_unlink(s->env, s->files.msgs_fd, "index.db");
}

int js_stream_encode_index(struct js_stream *s, struct js_buf *out) {
    struct js_index_db ix = {.env = s->env};
    int r = 0;

    if (s->num_blocks == 0 || s->lost || lists_too_much(s))
        return 0;
    r = fill_index(s, &ix);
    if (r == 0)
        r = js_index_seal(s->env, s->name, NULL, &ix, version_for(s), out);
    js_index_db_done(&ix);
    return r;
}

/* Damage in a block: an index would hide it. That of index.db itself or of other files is no
 * reason. */
static bool has_damaged_blocks(const struct js_stream *s) {
    for (size_t i = 0; i < s->num_blocks; i++)
        if (s->blocks[i]->odd || s->blocks[i]->unreadable || s->blocks[i]->missing)
            return true;
    return s->lost != 0;
}

int js_stream_write_index(struct js_stream *s) {
    struct js_index_db ix = {.env = s->env};
    struct js_buf out = {.env = s->env};

    if (s->num_blocks == 0 || s->files.msgs_fd < 0)
        return 0;
    if (has_damaged_blocks(s) || lists_too_much(s)) {
        /* That may change; it is no reason to ask all the time. */
        if (s->writer)
            s->writer->changed_since = s->env->clock->now(s->env->clock->ctx);
        return 0;
    }
    /* It speaks of what is in the files, and files that it does not list are gone. */
    int r = s->writer ? js_writer_flush(s, s->writer) : 0;
    if (r == 0 && s->writer && s->num_graves)
        r = js_writer_sync_locked(s, s->writer);
    if (r == 0)
        r = fill_index(s, &ix);
    /* meta.key may have been lost since the stream was opened. */
    if (r == 0 && s->encrypted && !s->seed)
        r = JS_ERR_NO_KEY;
    if (r == 0)
        r = js_index_seal(s->env, s->name, s->encrypted ? s->seed : NULL, &ix, version_for(s),
                          &out);
    if (r == 0)
        r = js_file_replace(s->env, s->files.msgs_fd, "index.db", out.data, out.len, true);
    if (r == 0 && s->writer)
        s->writer->index_blank = false;
    if (r == 0)
        r = js_ttl_write(s);
    if (r == 0)
        r = js_sched_write(s);
    if (r == 0)
        r = js_err_from_errno(-s->env->io->fsync(s->env->io->ctx, s->files.msgs_fd));
    js_buf_done(&out);
    js_index_db_done(&ix);
    if (r == 0 && s->writer)
        s->writer->changed = false;
    return r;
}
