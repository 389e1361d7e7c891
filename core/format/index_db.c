/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.db, plaintext:
 *
 *   u8 11, u8 version
 *   uv messages, uv bytes, uv first seq, sv first time, uv last seq, sv last time
 *   uv subjects: { uv length, name, uv total, uv first block, [uv last block] }
 *   uv blocks:   { uv N, uv bytes, uv first seq, sv first time - base, uv last seq,
 *                  sv last time - base, uv deleted, [uv ttls], [uv schedules], [sequence set] }
 *   uv last block, 8 bytes: checksum of its last record
 *
 * base is the stream's first time. The last block of a subject is there when total > 1, in version
 * 4 always; ttls from version 2 on, schedules from version 3 on.
 */
#include "core/format/index_db.h"

#include "core/base/limits.h"
#include "core/format/record.h"

#define MAGIC 11
#define NEWEST 4

void js_index_db_done(struct js_index_db *ix) {
    if (!ix->env)
        return;
    for (size_t i = 0; ix->blocks && i < ix->num_blocks; i++)
        js_seqset_done(&ix->blocks[i].deleted);
    js_free(ix->env, ix->blocks);
    js_free(ix->env, ix->subjects);
    js_free(ix->env, ix->text);
    *ix = (struct js_index_db){0};
}

static int read_subjects(struct js_reader *r, struct js_index_db *ix) {
    uint64_t n = js_read_uv(r);

    /* Each takes at least four bytes. */
    if (r->bad || n > js_reader_left(r) / 4)
        return JS_ERR_CORRUPT;
    ix->subjects = js_calloc(ix->env, n ? n : 1, sizeof *ix->subjects);
    if (!ix->subjects)
        return JS_ERR_NOMEM;
    for (; ix->num_subjects < n; ix->num_subjects++) {
        struct js_index_subject *s = &ix->subjects[ix->num_subjects];
        uint64_t len = js_read_uv(r);
        const uint8_t *name = js_read_bytes(r, len);
        s->name = (const char *)name;
        s->len = (uint32_t)len;
        s->total = js_read_uv(r);
        uint64_t first = js_read_uv(r), last = first;
        if (ix->version >= 4 || s->total > 1)
            last = js_read_uv(r);
        if (r->bad || len > JS_MAX_SUBJECT || first > UINT32_MAX || last > UINT32_MAX)
            return JS_ERR_CORRUPT;
        s->first_block = (uint32_t)first;
        s->last_block = (uint32_t)last;
    }
    return 0;
}

/* Times are stored relative to the base; "none" as minus the base. */
static js_time_t based(int64_t delta, js_time_t base) {
    return (js_time_t)((uint64_t)delta + (uint64_t)base);
}

static int read_block(struct js_reader *r, struct js_index_db *ix, struct js_index_block *b) {
    uint64_t number = js_read_uv(r);

    js_seqset_init(&b->deleted, ix->env);
    b->bytes = js_read_uv(r);
    b->first_seq = js_read_uv(r);
    b->first_time = based(js_read_sv(r), ix->first_time);
    b->last_seq = js_read_uv(r);
    b->last_time = based(js_read_sv(r), ix->first_time);
    uint64_t deleted = js_read_uv(r);
    if (ix->version >= 2)
        b->ttls = js_read_uv(r);
    if (ix->version >= 3)
        b->schedules = js_read_uv(r);
    if (r->bad || number == 0 || number > UINT32_MAX || b->last_seq > JS_SEQ_MASK)
        return JS_ERR_CORRUPT;
    b->number = (uint32_t)number;
    if (!deleted)
        return 0;
    int e = js_seqset_decode(r, &b->deleted);
    return e < 0 ? e : b->deleted.members == deleted ? 0 : JS_ERR_CORRUPT;
}

static int read_blocks(struct js_reader *r, struct js_index_db *ix) {
    uint64_t n = js_read_uv(r);

    if (r->bad || n > js_reader_left(r) / 7)
        return JS_ERR_CORRUPT;
    ix->blocks = js_calloc(ix->env, n ? n : 1, sizeof *ix->blocks);
    if (!ix->blocks)
        return JS_ERR_NOMEM;
    while (ix->num_blocks < n) {
        int e = read_block(r, ix, &ix->blocks[ix->num_blocks++]);
        if (e < 0)
            return e;
    }
    return 0;
}

static int decode(struct js_reader *r, struct js_index_db *ix) {
    ix->msgs = js_read_uv(r);
    ix->bytes = js_read_uv(r);
    ix->first_seq = js_read_uv(r);
    ix->first_time = js_read_sv(r);
    ix->last_seq = js_read_uv(r);
    ix->last_time = js_read_sv(r);
    int e = read_subjects(r, ix);
    if (e == 0)
        e = read_blocks(r, ix);
    if (e < 0)
        return e;
    uint64_t last = js_read_uv(r);
    const uint8_t *sum = js_read_bytes(r, 8);
    if (!sum || last > UINT32_MAX || ix->last_seq > JS_SEQ_MASK)
        return JS_ERR_CORRUPT;
    ix->last_block = (uint32_t)last;
    memcpy(ix->last_sum, sum, 8);
    return 0;
}

int js_index_db_decode(const struct js_env *env, const uint8_t *in, size_t len,
                       struct js_index_db *ret_index) {
    if (len < 2)
        return JS_ERR_CORRUPT;
    if (in[0] != MAGIC || in[1] < 1 || in[1] > NEWEST)
        return JS_ERR_UNKNOWN_FORMAT;
    struct js_index_db ix = {.env = env, .version = in[1]};
    /* Names stay where they are, in a copy that the index owns. */
    ix.text = js_malloc(env, len);
    if (!ix.text)
        return JS_ERR_NOMEM;
    memcpy(ix.text, in, len);
    struct js_reader r = js_reader_of(ix.text + 2, len - 2);
    int e = decode(&r, &ix);
    if (e < 0) {
        js_index_db_done(&ix);
        return e;
    }
    *ret_index = ix;
    return 0;
}

static void write_block(const struct js_index_db *ix, const struct js_index_block *b,
                        uint8_t version, struct js_buf *out) {
    uint64_t base = (uint64_t)ix->first_time;

    js_buf_append_uv(out, b->number);
    js_buf_append_uv(out, b->bytes);
    js_buf_append_uv(out, b->first_seq);
    js_buf_append_sv(out, (int64_t)((uint64_t)b->first_time - base));
    js_buf_append_uv(out, b->last_seq);
    js_buf_append_sv(out, (int64_t)((uint64_t)b->last_time - base));
    js_buf_append_uv(out, b->deleted.members);
    if (version >= 2)
        js_buf_append_uv(out, b->ttls);
    if (version >= 3)
        js_buf_append_uv(out, b->schedules);
    if (b->deleted.members)
        js_seqset_encode(&b->deleted, out);
}

int js_index_db_encode(const struct js_index_db *ix, uint8_t version, struct js_buf *out) {
    js_buf_append_u8(out, MAGIC);
    js_buf_append_u8(out, version);
    js_buf_append_uv(out, ix->msgs);
    js_buf_append_uv(out, ix->bytes);
    js_buf_append_uv(out, ix->first_seq);
    js_buf_append_sv(out, ix->first_time);
    js_buf_append_uv(out, ix->last_seq);
    js_buf_append_sv(out, ix->last_time);
    js_buf_append_uv(out, ix->num_subjects);
    for (size_t i = 0; i < ix->num_subjects; i++) {
        const struct js_index_subject *s = &ix->subjects[i];
        js_buf_append_uv(out, s->len);
        js_buf_append(out, s->name, s->len);
        js_buf_append_uv(out, s->total);
        js_buf_append_uv(out, s->first_block);
        if (version >= 4 || s->total > 1)
            js_buf_append_uv(out, s->last_block);
    }
    js_buf_append_uv(out, ix->num_blocks);
    for (size_t i = 0; i < ix->num_blocks; i++)
        write_block(ix, &ix->blocks[i], version, out);
    js_buf_append_uv(out, ix->last_block);
    js_buf_append(out, ix->last_sum, 8);
    return out->failed ? JS_ERR_NOMEM : 0;
}
