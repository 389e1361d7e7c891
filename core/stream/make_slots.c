/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots of a cold block, from its bytes. The bytes are taken piece by piece as they are read, a few
 * records at a time, so that each step finds in the nearest cache what the one before touched, and
 * the memory that lookups of subjects need arrives while checksums are computed.
 */
#include "core/base/limits.h"
#include "core/stream/stream.h"

#define BATCH 32

struct maker {
    struct js_stream *s;
    struct js_block *b;
    struct js_cached *entry;
    struct js_slots *slots;
    uint32_t *tails;
    uint32_t mask;
    int error;
    size_t off; /* what lies before is done */
    js_seq_t highest;
    uint64_t msgs, size;
    /* One batch is added while the memory that the next one needs is on its way. */
    struct batch {
        struct js_record recs[BATCH];
        const uint8_t *at[BATCH];
        uint32_t hashes[BATCH];
        size_t n;
    } batches[2], *next, *ready;
};

/*
 * Room for what the block should hold, once it is known how long it is. The tails tell in which slot of
 * the block a subject was met last: a slot by the low bits of the subject's id. They are not cleared
 * and not exact: what stands there counts if that slot is of that subject, and a link that is lost to
 * another subject's leaves a gap in the chain.
 */
static int make_room(struct maker *m, const struct js_cached *entry) {
    struct js_recent *recent = &m->s->recent;
    size_t size = 64;

    if (m->b->msgs > entry->cap / JS_MIN_RECORD)
        return JS_ERR_CORRUPT;
    if (m->slots->bare)
        return js_slots_reserve(m->slots, m->s->env, m->b->msgs);
    while (size < m->b->msgs * 2)
        size *= 2;
    if (size > recent->num_tails) {
        js_free(m->s->env, recent->tails);
        recent->num_tails = 0;
        recent->tails = js_calloc(m->s->env, size, sizeof *recent->tails);
        if (!recent->tails)
            return JS_ERR_NOMEM;
        recent->num_tails = size;
    }
    m->tails = recent->tails;
    m->mask = (uint32_t)(recent->num_tails - 1);
    return js_slots_reserve(m->slots, m->s->env, m->b->msgs);
}

/* Finds the records of the next batch among the bytes before upto, and asks for the memory that
 * looking up their subjects touches. */
static void split(struct maker *m, size_t upto, bool last) {
    const uint8_t *bytes = m->entry->data;
    struct batch *b = m->next;

    for (b->n = 0; b->n < BATCH && m->off < upto; b->n++) {
        struct js_record *r = &b->recs[b->n];
        const uint8_t *p = bytes + m->off;
        if (!js_record_parse(p, upto - m->off, r)) {
            /* It may go on in the next piece. */
            if (last)
                m->error = JS_ERR_CORRUPT;
            return;
        }
        b->at[b->n] = p;
        b->hashes[b->n] =
            js_subjects_ahead(&m->s->subjects, (const char *)r->subject, r->subject_len);
        m->off += r->len;
    }
}

/* Adds a record if it is a live message. */
static int add(struct maker *m, const struct js_record *r, const uint8_t *p, uint32_t hash) {
    struct js_slot v = {.off = (uint32_t)(p - m->entry->data),
                        .len = r->len,
                        .slen = (uint16_t)r->subject_len};
    struct js_slots *sl = m->slots;
    uint32_t slot;

    if (r->tombstone || r->seq == 0 || r->seq <= m->highest)
        return 0;
    m->highest = r->seq;
    if (r->erased || !js_cold_lives(m->b->cold, r->seq))
        return 0;
    uint32_t sid = sl->bare ? JS_NO_ID
                            : js_subjects_find_hashed(&m->s->subjects, hash,
                                                      (const char *)r->subject, r->subject_len);
    if ((sid == JS_NO_ID && !sl->bare) || m->msgs == m->b->msgs)
        return JS_ERR_CORRUPT;
    v.hlen = (uint16_t)(r->hdr_len >= JS_HLEN_FAR ? JS_HLEN_FAR : r->hdr_len);
    int e = js_slots_append(sl, m->s->env, r->seq, &v, sid, &slot);
    if (e < 0)
        return e;
    if (!sl->bare) {
        uint32_t *tail = &m->tails[sid & m->mask], before = *tail;
        if (before < slot && sl->sid[before] == sid)
            sl->next[before] = (uint32_t)(r->seq - js_slot_seq(sl, before));
        *tail = slot;
    }
    m->msgs++;
    m->size += r->len;
    return 0;
}

static void add_ready(struct maker *m) {
    const struct batch *b = m->ready;
    struct js_flags flags = {0};
    struct js_record fixed;

    for (size_t i = 0; i < b->n && m->error == 0; i++) {
        /* A scan would tell of a header's length that does not fit. */
        if (b->recs[i].has_hdr)
            fixed = b->recs[i];
        if (b->recs[i].has_hdr && js_scan_fix_header(&fixed, false))
            m->error = JS_ERR_CORRUPT;
        else
            m->error = add(m, &b->recs[i], b->at[i], b->hashes[i]);
        /* What is bare was not looked up (read_block.c, knows_subject). */
        if (!m->slots->bare || js_subjects_likely(&m->s->subjects, b->hashes[i]))
            js_flags_set(&flags, m->entry, (uint32_t)(b->at[i] - m->entry->data));
    }
    js_flags_end(&flags, m->entry);
}

/* In a cached block they may all have been looked at before. */
static bool were_verified(const struct maker *m, const struct batch *b) {
    size_t n = 0;

    while (n < b->n && js_cached_is_checked(m->entry, (uint32_t)(b->at[n] - m->entry->data)))
        n++;
    return n == b->n;
}

/* Verifies what was split, asks for the lines of its subjects, and adds the batch before. */
static void take_batch(struct maker *m) {
    struct batch *b = m->next;

    if (!were_verified(m, b) && !js_records_verify(b->recs, b->at, b->n, &m->b->hash_key)) {
        m->error = JS_ERR_CORRUPT;
        return;
    }
    for (size_t i = 0; i < b->n && !m->slots->bare; i++) {
        uint32_t id = js_subjects_nearer(&m->s->subjects, b->hashes[i]);
        __builtin_prefetch(&m->tails[id & m->mask], 1);
    }
    add_ready(m);
    m->next = m->ready;
    m->ready = b;
}

/* More of the block's bytes are there. */
static void take_piece(void *ctx, struct js_cached *entry, size_t upto, bool last) {
    struct maker *m = ctx;

    if (!m->entry)
        m->error = make_room(m, entry);
    m->entry = entry;
    if (m->error)
        return;
    size_t n;
    do {
        split(m, upto, last);
        n = m->next->n;
        if (n && m->error == 0)
            take_batch(m);
    } while (n == BATCH && m->error == 0);
    if (last && m->error == 0)
        add_ready(m);
}

/* The bytes of a cold block; of an unread one first the key. CORRUPT for all that is wrong with it. */
static int get_bytes(struct maker *m, struct js_cached **ret) {
    struct js_stream *s = m->s;
    struct js_block *b = m->b;
    enum js_scan_verdict verdict = JS_SCAN_OK;
    int r = 0;

    if (b->cold->unread && !b->cold->prepared)
        r = js_stream_block_key(s, b->number, &b->key, &verdict);
    if (r == 0 && verdict == JS_SCAN_OK)
        r = js_stream_block_pieces(s, b, take_piece, m, ret);
    if (r == 0 && verdict == JS_SCAN_OK)
        b->cold->prepared = true;
    else if (b->cold->unread && !b->cold->prepared)
        js_block_forget_key(s, b);
    if (js_is_shortage(r) || (r == JS_ERR_IO && !b->cold->unread))
        return r;
    return r < 0 || verdict != JS_SCAN_OK ? JS_ERR_CORRUPT : 0;
}

int js_make_slots(struct js_stream *s, struct js_block *b, bool bare, struct js_slots **ret_slots) {
    struct maker m = {.s = s, .b = b, .next = &m.batches[0], .ready = &m.batches[1]};
    struct js_cached *entry = NULL;

    m.slots = js_slots_new(s->env);
    if (!m.slots)
        return JS_ERR_NOMEM;
    m.slots->bare = bare;
    int r = get_bytes(&m, &entry);
    if (r == 0)
        r = m.error;
    if (r == 0 && (m.msgs != b->msgs || m.size != b->bytes))
        r = JS_ERR_CORRUPT;
    js_cached_unref(entry);
    if (r < 0)
        js_slots_unref(m.slots, s->env);
    else
        *ret_slots = m.slots;
    return r;
}
