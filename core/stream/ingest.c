/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a block's records to the stream's index: which messages live, which were deleted, which are
 * lost (docs/disk-format.md "Rebuilding").
 *
 * A record lives unless it is erased, repeats a sequence, lies below the block's known first
 * sequence, is listed as deleted by what is known besides the records (index.db, N.idx), or a
 * tombstone names it. A gap in the sequences is a deletion, except where damage explains it or a
 * fresh index says that a message was there: then it is lost, keeps its place as a damaged slot,
 * and is reported.
 */
#include <stdio.h>

#include "core/base/limits.h"
#include "core/block/repair.h"
#include "core/format/subject.h"
#include "core/stream/stream.h"

/* Lost sequences that get a slot of their own, per block; more are only counted. */
#define MAX_LOST_SLOTS (1u << 20)

#define JS_AHEAD 32

struct ingest {
    struct js_stream *s;
    struct js_block *b;
    const struct js_scan *scan;
    const struct js_block_prior *prior;
    struct js_tombs *tombs;
    js_seq_t below;   /* highest sequence of earlier blocks */
    js_seq_t highest; /* of this block so far, 0 = none seen */
    js_time_t highest_time;
    js_seq_t tomb_seq; /* the largest tombstone */
    js_time_t tomb_time;
    bool repeats;
    /* damage since the last positional record */
    bool hurt;
    uint64_t hurt_off, hurt_len;
    uint64_t hurt_capacity; /* how many records the damaged stretches could have held */
    js_seq_t hint;
    js_seq_t hurt_tomb; /* the largest tombstone before the first stretch */
    enum js_damage_kind hurt_kind;
    const char *what;
    /* of the next records, by index modulo JS_AHEAD: hashes and probable ids of their subjects */
    uint32_t hashes[JS_AHEAD], ids[JS_AHEAD];
    uint64_t lost_slots;
    uint64_t counted; /* messages that the index had counted */
    size_t damage; /* next entry of scan->damages */
};

struct js_block *js_stream_add_block(struct js_stream *s, uint32_t number) {
    if (s->num_blocks == s->cap_blocks) {
        size_t cap = s->cap_blocks ? s->cap_blocks * 2 : 16;
        struct js_block **p = js_realloc_array(s->env, s->blocks, cap, sizeof *s->blocks);
        if (!p)
            return NULL;
        s->blocks = p;
        s->cap_blocks = cap;
    }
    struct js_block *b = js_calloc(s->env, 1, sizeof *b);
    if (!b)
        return NULL;
    b->number = number;
    b->version = 1;
    b->search_first = s->last_seq + 1;
    js_hash_key_of_block(&b->hash_key, s->name, number);
    b->slots = js_slots_new(s->env);
    if (!b->slots) {
        js_free(s->env, b);
        return NULL;
    }
    if (s->num_blocks)
        b->reach_time = s->blocks[s->num_blocks - 1]->reach_time;
    s->blocks[s->num_blocks++] = b;
    return b;
}

/* Follows the chain's end: where the newest message of the subject stands. */
static void link_chain(struct js_stream *s, struct js_block *b, js_seq_t seq,
                       struct js_subject_line *line) {
    size_t bi;
    struct js_block *lb = b;
    /* Mostly it stands in the same block. */
    if (line->last < js_slot_seq(b->slots, 0))
        lb = js_stream_block_of(s, line->last, &bi);
    if (!lb || !lb->slots)
        return;
    uint32_t prev = js_slots_find(lb->slots, line->last);
    if (prev == JS_NO_SLOT)
        return;
    uint64_t distance = seq - line->last;
    lb->slots->next[prev] = distance < JS_NEXT_FAR ? (uint32_t)distance : JS_NEXT_FAR;
}

/* The same for a subject whose id is known. */
int js_stream_add_known(struct js_stream *s, struct js_block *b, const struct js_record *rec,
                        uint32_t off, uint32_t sid) {
    uint32_t slot;
    struct js_slot v = {.off = off, .len = rec->len, .slen = (uint16_t)rec->subject_len};
    v.hlen = (uint16_t)(rec->hdr_len >= JS_HLEN_FAR ? JS_HLEN_FAR : rec->hdr_len);
    int r = s->unread ? js_subjects_widen(&s->subjects, sid, b->number, b->number) : 0;
    if (r == 0)
        r = js_slots_append(b->slots, s->env, rec->seq, &v, sid, &slot);
    if (r < 0)
        return r;
    struct js_subject_line *line = &s->subjects.lines[sid];
    if (line->count == 0)
        line->first = rec->seq;
    if (line->last)
        link_chain(s, b, rec->seq, line);
    line->last = rec->seq;
    if (line->count++ == 0)
        s->subjects.live++;
    b->msgs++;
    b->bytes += rec->len;
    b->payload_bytes += rec->data_len;
    b->hdr_bytes += rec->hdr_len;
    b->subject_bytes += rec->subject_len;
    if (b->msgs == 1 || rec->time < b->min_time)
        b->min_time = rec->time;
    if (b->msgs == 1 || rec->time > b->max_time)
        b->max_time = rec->time;
    if (rec->time > b->reach_time)
        b->reach_time = rec->time;
    if (b->first_pos == 0)
        b->first_pos = rec->seq;
    if (b->rec_first == 0)
        b->rec_first = rec->seq;
    s->msgs++;
    s->bytes += rec->len;
    return 0;
}

int js_stream_add_slot(struct js_stream *s, struct js_block *b, const struct js_record *rec,
                       uint32_t off) {
    uint32_t sid;
    int r = js_subjects_intern(&s->subjects, (const char *)rec->subject, rec->subject_len, &sid);

    return r < 0 ? r : js_stream_add_known(s, b, rec, off, sid);
}

/* A line points to the message that goes. The first one moves on where its link leads; for the rest
 * it is enough to know that some line is stale. */
static void leave_line(struct js_stream *s, struct js_subject_line *line,
                         const struct js_place *at) {
    js_seq_t seq = js_place_seq(at);
    uint32_t next = at->slots->next[at->slot];

    if (line->count == 0)
        return;
    if (seq == line->last)
        atomic_store_explicit(&s->stale_lasts, true, memory_order_relaxed);
    if (seq != line->first)
        return;
    size_t bi;
    struct js_block *b = at->block;
    if (next != 0 && next != JS_NEXT_FAR) {
        line->first = seq + next;
        if (b->slots->count <= at->slot || line->first > js_slot_seq(b->slots, b->slots->count - 1))
            b = js_stream_block_of(s, line->first, &bi);
        uint32_t slot = b && b->slots ? js_slots_find(b->slots, line->first) : JS_NO_SLOT;
        if (slot != JS_NO_SLOT && js_slot_live(b->slots, slot))
            return;
    }
    atomic_store_explicit(&s->stale_firsts, true, memory_order_relaxed);
}

int js_stream_drop_slot(struct js_stream *s, struct js_block *b, uint32_t slot) {
    struct js_place at = {.block = b, .slots = b->slots, .slot = slot};
    uint32_t len = b->slots->at[slot].len, hdr, payload;

    if (len == JS_LEN_DAMAGED) {
        b->slots->at[slot].len = 0;
        s->lost--;
        return 0;
    }
    int r = js_stream_slot_sizes(s, &at, &hdr, &payload);
    if (r < 0)
        return r;
    b->slots->at[slot].len = 0;
    struct js_subject_line *line = &s->subjects.lines[b->slots->sid[slot]];
    if (--line->count == 0)
        s->subjects.live--;
    leave_line(s, line, &at);
    b->msgs--;
    b->bytes -= len;
    b->payload_bytes -= payload;
    b->hdr_bytes -= hdr;
    b->subject_bytes -= line->len;
    b->removals++;
    s->msgs--;
    s->bytes -= len;
    return 0;
}

int js_tombs_add(struct js_tombs *t, js_seq_t seq, js_time_t time) {
    if (t->count == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 256;
        struct js_tomb *p = js_realloc_array(t->env, t->list, cap, sizeof *t->list);
        if (!p)
            return JS_ERR_NOMEM;
        t->list = p;
        t->cap = cap;
    }
    t->list[t->count++] = (struct js_tomb){.seq = seq, .time = time};
    return 0;
}

static bool known_deleted(const struct js_block_prior *p, js_seq_t seq) {
    if (seq < p->first)
        return true;
    return p->deleted && js_seqset_has(p->deleted, seq);
}

/* Gives a lost sequence its slot. */
static int add_lost(struct ingest *in, js_seq_t seq) {
    struct js_slot v = {.off = (uint32_t)in->hurt_off, .len = JS_LEN_DAMAGED};
    uint32_t slot;

    if (in->lost_slots >= MAX_LOST_SLOTS)
        return 0;
    in->lost_slots++;
    in->s->lost++;
    in->b->odd = true;
    if (in->b->first_pos == 0)
        in->b->first_pos = seq;
    return js_slots_append(in->b->slots, in->s->env, seq, &v, JS_NO_ID, &slot);
}

/* Marks what is lost among lo..hi; counts into *ret_lost with first and last. */
static int mark_lost(struct ingest *in, js_seq_t lo, js_seq_t hi, uint64_t limit,
                     struct js_problem *p) {
    for (js_seq_t q = lo; q <= hi && p->lost < limit; q++) {
        if (known_deleted(in->prior, q)) {
            /* Below the block's first sequence everything is deleted: no walk over it. */
            if (q < in->prior->first)
                q = in->prior->first - 1;
            continue;
        }
        int r = add_lost(in, q);
        if (r < 0)
            return r;
        if (p->lost++ == 0)
            p->seq_first = q;
        p->seq_last = q;
        if (in->lost_slots >= MAX_LOST_SLOTS)
            break;
    }
    return 0;
}

/* How many of lo..hi are not known to be deleted, stopping at max + 1. */
static uint64_t count_open(const struct js_block_prior *prior, js_seq_t lo, js_seq_t hi,
                           uint64_t max) {
    uint64_t n = 0;

    if (lo < prior->first)
        lo = prior->first;
    for (js_seq_t q = lo; q <= hi && n <= max; q++)
        n += !known_deleted(prior, q);
    return n;
}

static enum js_health verdict_of(const struct ingest *in, bool at_end) {
    if (!at_end || !in->prior->newest)
        return JS_HEALTH_DAMAGED;
    if (in->hurt ? in->hurt_kind == JS_DAMAGE_TAIL || in->hurt_kind == JS_DAMAGE_ZEROS
                 : in->prior->gaps_only)
        return JS_HEALTH_TORN_TAIL;
    return JS_HEALTH_DAMAGED;
}

/*
 * Settles the gap before sequence `next` (at_end: before the next block's first, 0 if unknown).
 */
static int settle_gap(struct ingest *in, js_seq_t next, bool at_end) {
    const struct js_block_prior *prior = in->prior;
    char file[32];
    js_seq_t lo = (in->highest > in->below ? in->highest : in->below) + 1;
    js_seq_t hi = next ? next - 1 : 0;
    struct js_problem p = {
        .verdict = verdict_of(in, at_end),
        .file = js_block_file(file, in->b->number),
        .offset = in->hurt_off,
        .length = in->hurt_len,
    };
    int r = 0;

    if (prior->fresh) {
        js_seq_t top = prior->upto;
        if (at_end ? (next == 0 || hi > top) : hi > top)
            hi = top;
        if (lo <= hi)
            r = mark_lost(in, lo, hi, UINT64_MAX, &p);
    } else if (in->hurt && p.verdict != JS_HEALTH_TORN_TAIL) {
        /* What was removed before the stretch began had been given out. */
        if (lo <= in->hurt_tomb)
            lo = in->hurt_tomb + 1;
        if (at_end && next == 0 && prior->upto > lo)
            hi = prior->upto;
        uint64_t open = hi >= lo ? count_open(prior, lo, hi, in->hurt_capacity) : 0;
        if (open && open <= in->hurt_capacity) {
            r = mark_lost(in, lo, hi, open, &p);
        } else if (in->hint >= lo && (next == 0 || in->hint <= hi) &&
                   in->hint - lo <= in->hurt_capacity && !known_deleted(prior, in->hint)) {
            /* Too many for the stretch: the head shows one; nothing proves the others. */
            r = mark_lost(in, in->hint, in->hint, 1, &p);
        }
    }
    if (r < 0 || (!in->hurt && p.lost == 0))
        return r;
    if (in->hurt && in->hurt_kind == JS_DAMAGE_ZEROS && p.lost == 0) {
        r = js_stream_report(in->s, &p, "%s; no message is concerned", in->what);
    } else if (in->hurt) {
        r = js_stream_report(in->s, &p, "%s", in->what);
    } else {
        p.offset = 0;
        r = js_stream_report(in->s, &p, "index.db counts messages here that are not in the block");
    }
    in->hurt = false;
    in->hurt_len = in->hurt_capacity = 0;
    in->hint = 0;
    return r;
}

/* Takes note of the damage that stands before record i. */
static int note_damage(struct ingest *in, size_t i) {
    char file[32];

    for (; in->damage < in->scan->num_damages && in->scan->damages[in->damage].before <= i;
         in->damage++) {
        const struct js_damage *d = &in->scan->damages[in->damage];
        if (d->kind == JS_DAMAGE_LENGTH || d->kind == JS_DAMAGE_CHUNK) {
            struct js_problem p = {.verdict = JS_HEALTH_DAMAGED,
                                   .file = js_block_file(file, in->b->number),
                                   .offset = d->off,
                                   .length = d->len,
                                   .seq_first =
                                       d->kind == JS_DAMAGE_LENGTH ? d->hint & JS_SEQ_MASK : 0};
            p.seq_last = p.seq_first;
            int r = js_stream_report(in->s, &p, "%s", d->what);
            if (r < 0)
                return r;
            continue;
        }
        if (!in->hurt) {
            in->hurt_off = d->off;
            in->hurt_tomb = in->tomb_seq;
            in->hint = d->hint;
            in->hurt_kind = d->kind;
            in->what = d->what;
        }
        in->hurt = true;
        in->hurt_len = d->off + d->len - in->hurt_off;
        in->hurt_capacity += d->kind == JS_DAMAGE_ZEROS ? 0 : d->len / JS_MIN_RECORD + 1;
    }
    return 0;
}

/* A subject seen for the first time is held against the rules; a wrong length shows here. Returns
 * 1 if the record is good (perhaps split anew), 0 if it is damaged. */
static int check_subject(struct ingest *in, const struct js_scan_rec *sr, struct js_record *rec) {
    struct js_stream *s = in->s;
    const char *subject = (const char *)rec->subject;

    bool valid = js_subject_storable(subject, rec->subject_len) ||
                 (rec->subject_len == 0 && s->config.num_subjects == 0);
    /* The configuration proves nothing against a subject: it may have had others when the message came. */
    if (valid && (!js_stream_lists_subjects(s) ||
                  js_stream_knows_subject(s, subject, rec->subject_len)))
        return 1;
    struct js_subject_rule rule = {0};
    struct js_record better;
    char file[32];
    rule.known = (bool (*)(void *, const char *, size_t))js_stream_knows_subject;
    rule.ctx = s;
    struct js_problem p = {.verdict = JS_HEALTH_DAMAGED,
                           .file = js_block_file(file, in->b->number),
                           .offset = sr->off,
                           .length = sr->len,
                           .seq_first = rec->seq,
                           .seq_last = rec->seq};
    if (js_record_resplit(in->scan->data.data + sr->off, rec, &in->b->hash_key, &rule, &better)) {
        *rec = better;
        in->b->odd = true;
        int r = js_stream_report(s, &p,
                                 "the subject length is damaged; the stream's subjects "
                                 "show the right one");
        return r < 0 ? r : 1;
    }
    if (valid)
        return 1;
    p.lost = 1;
    int r = js_stream_report(s, &p, "the subject is not one that any server stores");
    return r < 0 ? r : 0;
}

/* The index's total of the subject holds this message already, and it will be counted now. */
static void uncount(struct ingest *in, const struct js_record *rec) {
    struct js_subjects *subjects = &in->s->subjects;
    uint32_t sid = js_subjects_find(subjects, (const char *)rec->subject, rec->subject_len);

    if (sid == JS_NO_ID || subjects->lines[sid].count == 0)
        in->s->miscounted = true;
    else if (--subjects->lines[sid].count == 0)
        subjects->live--;
    in->counted++;
}

static int take_message(struct ingest *in, size_t i, const struct js_scan_rec *sr) {
    struct js_record rec;
    bool spoken = i < in->prior->upto_rec && in->prior->upto;

    js_scan_view(sr, in->scan->data.data, &rec);
    bool dead = rec.seq < in->prior->first ||
                (spoken && (rec.seq > in->prior->upto || known_deleted(in->prior, rec.seq))) ||
                (!in->prior->upto && known_deleted(in->prior, rec.seq));
    if (dead && !in->prior->gaps_only)
        return 0;
    if (in->prior->counted && spoken)
        uncount(in, &rec);
    /* Most subjects were met before: one look into the table then does for all. */
    uint32_t sid = js_subjects_find_hashed(&in->s->subjects, in->hashes[i % JS_AHEAD],
                                           (const char *)rec.subject, rec.subject_len);
    if (sid != JS_NO_ID)
        return js_stream_add_known(in->s, in->b, &rec, sr->off, sid);
    int r = check_subject(in, sr, &rec);
    if (r < 0)
        return r;
    if (r == 0) {
        in->hurt_off = sr->off;
        return add_lost(in, rec.seq);
    }
    return js_stream_add_slot(in->s, in->b, &rec, sr->off);
}

static int take_record(struct ingest *in, size_t i) {
    const struct js_scan_rec *sr = &in->scan->recs[i];
    js_seq_t seq = sr->seq & JS_SEQ_MASK;
    int r;

    if (sr->seq & JS_SEQ_TOMBSTONE) {
        if (seq >= in->tomb_seq) {
            in->tomb_seq = seq;
            in->tomb_time = sr->time == JS_TIME_ZERO ? 0 : sr->time;
        }
        js_block_note_tomb(in->b, seq);
        /* A fresh index already knows; what it speaks for needs no tombstones, unless its deletions say nothing
         * about records that are there. */
        if (in->prior->upto && i < in->prior->upto_rec && !in->prior->gaps_only)
            return 0;
        return js_tombs_add(in->tombs, seq, sr->time);
    }
    if (seq == 0 || seq <= in->highest)
        return 0;
    if (seq > in->b->rec_last)
        in->b->rec_last = seq;
    if (in->b->rec_first == 0)
        in->b->rec_first = seq;
    if (seq <= in->below) {
        in->repeats = in->repeats || !(sr->seq & JS_SEQ_ERASED);
        return 0;
    }
    if (in->hurt || (in->prior->fresh && seq > in->highest + 1)) {
        r = settle_gap(in, seq, false);
        if (r < 0)
            return r;
    }
    in->highest = seq;
    in->highest_time = sr->time == JS_TIME_ZERO ? 0 : sr->time;
    if (sr->seq & JS_SEQ_ERASED)
        return 0;
    return take_message(in, i, sr);
}

/* Where the block leaves the stream's position. */
static void set_position(struct ingest *in) {
    struct js_block *b = in->b;
    const struct js_block_prior *prior = in->prior;

    b->pos_last = in->highest;
    b->pos_last_time = in->highest_time;
    if (prior->last > b->pos_last || (prior->last == b->pos_last && !b->pos_last_time)) {
        b->pos_last = prior->last;
        b->pos_last_time = prior->last_time;
    }
    /* What was removed had been given out, also when its record is lost. */
    if (in->tomb_seq > b->pos_last) {
        b->pos_last = in->tomb_seq;
        b->pos_last_time = in->tomb_time;
    }
    /* An index tells no time of an empty block. */
    if (b->pos_last_time == 0 && b->pos_last == in->tomb_seq)
        b->pos_last_time = in->tomb_time;
    if (b->slots->count) {
        js_seq_t top = js_slot_seq(b->slots, b->slots->count - 1);
        if (top > b->pos_last)
            b->pos_last = top;
    }
    /* A leftover that the index does not list has no say. */
    if (prior->first == UINT64_MAX)
        return;
    if (b->pos_last >= in->s->last_seq && b->pos_last > 0) {
        in->s->last_seq = b->pos_last;
        if (b->pos_last_time)
            in->s->last_time = b->pos_last_time;
    }
}

/* The stream-level sentence for a block that could not be read at all. */
static int report_unreadable(struct js_stream *s, const struct js_scan *scan,
                             struct js_problem *p) {
    char key_file[32], file[32];

    p->file = js_block_file(file, scan->number);
    p->verdict = JS_HEALTH_DAMAGED;
    snprintf(key_file, sizeof key_file, "msgs/%u.key", scan->number);
    switch (scan->verdict) {
    case JS_SCAN_NO_KEY:
        p->verdict = s->key_fn ? JS_HEALTH_DAMAGED : JS_HEALTH_NO_KEY;
        if (!s->key_fn)
            return js_stream_report(s, p, "encrypted, and no key was given");
        p->file = key_file;
        return js_stream_report(s, p, "the block is encrypted and its key file is missing");
    case JS_SCAN_WRONG_KEY:
        p->verdict = JS_HEALTH_WRONG_KEY;
        return js_stream_report(s, p, "the key does not open this block");
    case JS_SCAN_BAD_KEY_FILE:
        p->file = key_file;
        return js_stream_report(s, p, "the block's key file is damaged");
    case JS_SCAN_UNKNOWN:
        p->verdict = JS_HEALTH_UNKNOWN_FORMAT;
        return js_stream_report(s, p, "no known form of a block; left alone");
    case JS_SCAN_MISSING:
        return js_stream_report(s, p, "the block file is missing");
    default:
        return js_stream_report(s, p, "cannot be read: %s", js_err_text(scan->error));
    }
}

static int ingest_unreadable(struct ingest *in, js_seq_t next_first) {
    struct js_problem p = {0};
    int r = 0;

    (void)next_first;
    in->b->unreadable = true;
    in->b->missing = in->scan->verdict == JS_SCAN_MISSING;
    if (in->prior->upto && in->prior->first <= in->prior->upto &&
        (in->prior->fresh || in->scan->verdict != JS_SCAN_MISSING)) {
        js_seq_t lo = in->prior->first > in->below ? in->prior->first : in->below + 1;
        if (lo <= in->prior->upto)
            r = mark_lost(in, lo, in->prior->upto, UINT64_MAX, &p);
    }
    if (r == 0)
        r = report_unreadable(in->s, in->scan, &p);
    set_position(in);
    return r;
}

/* Asks for the memory that record i will touch: the place of its subject in the table ... */
static void look_ahead(struct ingest *in, size_t i) {
    const struct js_scan_rec *sr = &in->scan->recs[i];
    const char *name = (const char *)in->scan->data.data + sr->off + JS_RECORD_HEAD;

    in->hashes[i % JS_AHEAD] = js_subjects_ahead(&in->s->subjects, name, sr->subject_len);
}

/* ... then its line, then the link of the message before it. */
static void look_nearer(struct ingest *in, size_t i) {
    const struct js_subjects *su = &in->s->subjects;
    size_t line = i + JS_AHEAD / 2, link = i + JS_AHEAD / 4, bi;

    if (line < in->scan->count)
        in->ids[line % JS_AHEAD] = js_subjects_nearer(su, in->hashes[line % JS_AHEAD]);
    if (link >= in->scan->count || i < JS_AHEAD)
        return;
    uint32_t id = in->ids[link % JS_AHEAD];
    if (id >= su->count)
        return;
    js_seq_t last = su->lines[id].last;
    struct js_block *b = in->b;
    if (b->slots->count == 0 || last < js_slot_seq(b->slots, 0))
        b = js_stream_block_of(in->s, last, &bi);
    if (!b || !b->slots || b->slots->sparse || last < b->slots->base ||
        last - b->slots->base >= b->slots->count)
        return;
    __builtin_prefetch(&b->slots->next[last - b->slots->base], 1);
    __builtin_prefetch(&b->slots->at[last - b->slots->base].len);
}

/* Blocks that an index does not list have no say in where the next one begins, but their sequences are
 * not this block's. */
static void raise_first(struct ingest *in) {
    js_seq_t first = 0;

    if (in->s->num_blocks < 2 || in->scan->num_damages)
        return;
    for (size_t i = 0; i < in->scan->count && !first; i++)
        if (!(in->scan->recs[i].seq & JS_SEQ_TOMBSTONE)) {
            first = in->scan->recs[i].seq;
            break;
        }
    if (first & JS_SEQ_ERASED || first <= in->b->search_first)
        return;
    if (in->prior->first && in->prior->first < first)
        first = in->prior->first;
    if (first > in->b->search_first)
        in->b->search_first = first;
}

int js_stream_ingest(struct js_stream *s, struct js_scan *scan, struct js_block_key *key,
                     const struct js_block_prior *prior, js_seq_t next_first,
                     struct js_tombs *tombs) {
    struct ingest in = {.s = s, .scan = scan, .prior = prior, .tombs = tombs, .below = s->last_seq};
    char file[32];

    in.b = js_stream_add_block(s, scan->number);
    if (!in.b) {
        js_vault_put(s->vault, key);
        return JS_ERR_NOMEM;
    }
    in.b->key = key;
    in.b->compressed = scan->compressed;
    in.b->file_size = scan->file_size;
    in.b->raw_size = scan->data.len;
    in.b->odd = scan->num_damages || scan->verdict != JS_SCAN_OK;
    in.b->uncounted = JS_COUNTED_TTLS | JS_COUNTED_SCHEDULES;
    if (scan->verdict != JS_SCAN_OK)
        return ingest_unreadable(&in, next_first);
    raise_first(&in);
    int room = js_slots_reserve(in.b->slots, s->env, scan->count);
    if (room < 0)
        return room;
    for (size_t i = 0; i < JS_AHEAD && i < scan->count; i++)
        look_ahead(&in, i);
    for (size_t i = 0; i < scan->count; i++) {
        look_nearer(&in, i);
        int r = note_damage(&in, i);
        if (r == 0)
            r = take_record(&in, i);
        if (r < 0)
            return r;
        if (i + JS_AHEAD < scan->count)
            look_ahead(&in, i + JS_AHEAD);
    }
    if (scan->count) {
        const struct js_scan_rec *last = &scan->recs[scan->count - 1];
        in.b->good_size = (uint64_t)last->off + last->len;
        memcpy(in.b->last_sum, scan->data.data + in.b->good_size - 8, 8);
    }
    if (prior->counted && in.counted != prior->msgs)
        s->miscounted = true;
    int r = note_damage(&in, scan->count);
    if (r == 0 && (in.hurt || prior->fresh))
        r = settle_gap(&in, next_first, true);
    if (r == 0 && in.repeats) {
        struct js_problem p = {.verdict = JS_HEALTH_DAMAGED,
                               .file = js_block_file(file, in.b->number)};
        r = js_stream_report(s, &p,
                             "repeats sequences of earlier blocks (a foreign or old block?)");
    }
    set_position(&in);
    return r;
}

int js_stream_apply_tombs(struct js_stream *s, struct js_tombs *tombs) {
    for (size_t i = 0; i < tombs->count; i++) {
        size_t bi;
        js_seq_t seq = tombs->list[i].seq;
        struct js_block *b = js_stream_block_of(s, seq, &bi);
        if (!b)
            continue;
        if (b->cold) {
            int r = js_cold_remove(s, bi, seq);
            if (r != 0)
                return r;
            continue;
        }
        uint32_t slot = js_slots_find(b->slots, seq);
        if (slot == JS_NO_SLOT || b->slots->at[slot].len == 0)
            continue;
        int r = js_stream_drop_slot(s, b, slot);
        if (r < 0)
            return r;
    }
    return 0;
}
