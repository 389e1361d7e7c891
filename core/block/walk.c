/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over a decoded block with resynchronisation.
 *
 * After a failure at offset o the next record is looked for first at o + L (the damaged record's
 * own length, if it is plausible), then at every offset from o + 1. A candidate must look like a
 * record head (lengths inside the block, sane flags) before its checksum is computed; the bytes
 * hashed for candidates are counted against a budget, so that hostile bytes cannot make the scan
 * quadratic. When the budget is spent the rest of the block is one damaged stretch.
 */
#include "core/base/bytes.h"
#include "core/base/limits.h"
#include "core/block/repair.h"
#include "core/block/scan.h"

/* Sequences above are no server's: a stream would need centuries. Filters candidates only. */
#define SANE_SEQ (1ull << 56)

struct walker {
    struct js_scan *scan;
    const uint8_t *p;
    size_t len;
    const struct js_hash_key *key;
    const struct js_subject_rule *rule;
    uint64_t budget;
};

static void add_record(struct js_scan *scan, const struct js_record *r, size_t off, bool repaired) {
    if (scan->count == scan->cap) {
        size_t cap = scan->cap ? scan->cap * 2 : 1024;
        struct js_scan_rec *recs = js_realloc_array(scan->env, scan->recs, cap, sizeof *scan->recs);
        if (!recs) {
            scan->failed = true;
            return;
        }
        scan->recs = recs;
        scan->cap = cap;
    }
    uint64_t flags = (r->erased ? JS_SEQ_ERASED : 0) | (r->tombstone ? JS_SEQ_TOMBSTONE : 0);
    scan->recs[scan->count++] = (struct js_scan_rec){
        .seq = r->seq | flags,
        .time = r->time,
        .off = (uint32_t)off,
        .len = r->len,
        .subject_len = (uint16_t)r->subject_len,
        .hdr_len = (uint16_t)(r->hdr_len > UINT16_MAX ? UINT16_MAX : r->hdr_len),
        .has_hdr = r->has_hdr,
        .repaired = repaired,
    };
}

void js_scan_add_damage(struct js_scan *scan, enum js_damage_kind kind, uint64_t off, uint64_t len,
                        js_seq_t hint, const char *what) {
    if (scan->num_damages == scan->cap_damages) {
        size_t cap = scan->cap_damages ? scan->cap_damages * 2 : 16;
        struct js_damage *d =
            js_realloc_array(scan->env, scan->damages, cap, sizeof *scan->damages);
        if (!d) {
            scan->failed = true;
            return;
        }
        scan->damages = d;
        scan->cap_damages = cap;
    }
    scan->damages[scan->num_damages++] = (struct js_damage){
        .kind = kind, .off = off, .len = len, .before = scan->count, .hint = hint, .what = what};
}

/* Could a record stand here? Cheap tests before any hashing. */
static bool plausible(const uint8_t *p, size_t avail, struct js_record *r) {
    if (avail < JS_MIN_RECORD)
        return false;
    uint32_t len = js_get32(p) & ~JS_LEN_HAS_HEADERS;
    if (len < JS_MIN_RECORD || len > avail || len > JS_MAX_RECORD)
        return false;
    uint64_t seq = js_get64(p + 4);
    if ((seq & JS_SEQ_MASK) > SANE_SEQ || (seq >> 62) == 3)
        return false;
    return js_record_parse(p, avail, r);
}

/* Spends budget for hashing n bytes; false when there is none left. */
static bool spend(struct walker *w, uint64_t n) {
    if (w->budget < n) {
        w->budget = 0;
        return false;
    }
    w->budget -= n;
    return true;
}

/* Offset of the next record that proves itself, after a failure at off; w->len if none. */
static size_t resync(struct walker *w, size_t off) {
    struct js_record r;
    size_t avail = w->len - off;

    if (avail >= JS_MIN_RECORD) {
        uint32_t own = js_get32(w->p + off) & ~JS_LEN_HAS_HEADERS;
        if (own >= JS_MIN_RECORD && own < avail) {
            size_t q = off + own;
            if (plausible(w->p + q, w->len - q, &r) && spend(w, r.len) &&
                js_record_verify(&r, w->key, w->p + q))
                return q;
        }
    }
    for (size_t q = off + 1; q + JS_MIN_RECORD <= w->len; q++) {
        if (!plausible(w->p + q, w->len - q, &r))
            continue;
        if (!spend(w, r.len))
            break;
        if (js_record_verify(&r, w->key, w->p + q))
            return q;
    }
    return w->len;
}

static bool all_zero(const uint8_t *p, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (p[i])
            return false;
    return true;
}

/* Verdict on the stretch off..len after which no record follows. */
static void end_stretch(struct walker *w, size_t off, js_seq_t hint) {
    size_t left = w->len - off;

    /* Zeros in a compressed block stand for a chunk that was lost. */
    if (!w->scan->compressed && all_zero(w->p + off, left)) {
        js_scan_add_damage(w->scan, JS_DAMAGE_ZEROS, off, left, 0, "zeros after the last record");
        return;
    }
    uint32_t own = left >= 4 ? js_get32(w->p + off) & ~JS_LEN_HAS_HEADERS : 0;
    if (left < JS_RECORD_HEAD || (own > left && own <= JS_MAX_RECORD)) {
        js_scan_add_damage(w->scan, JS_DAMAGE_TAIL, off, left, hint,
                           "the last record was not written to its end");
        return;
    }
    js_scan_add_damage(w->scan, JS_DAMAGE_RECORD, off, left, hint,
                       "no valid record up to the end of the block");
}

/* Handles a failure at off; returns where to go on. */
static size_t over_damage(struct walker *w, size_t off) {
    struct js_record r;
    js_seq_t hint = 0;
    size_t avail = w->len - off;

    if (avail >= JS_RECORD_HEAD) {
        uint64_t seq = js_get64(w->p + off + 4);
        if ((seq & JS_SEQ_MASK) <= SANE_SEQ && (seq >> 62) == 0)
            hint = seq;
    }
    size_t q = resync(w, off);
    if (js_record_repair(w->p + off, avail, q < w->len ? q - off : 0, w->key, w->rule, &r)) {
        js_scan_add_damage(w->scan, JS_DAMAGE_LENGTH, off, r.len, r.seq,
                           "a length field is damaged; the content is proved by its checksum");
        add_record(w->scan, &r, off, true);
        return off + r.len;
    }
    if (q >= w->len)
        end_stretch(w, off, hint);
    else
        js_scan_add_damage(w->scan, JS_DAMAGE_RECORD, off, q - off, hint,
                           "checksum or lengths of the record are wrong");
    return q;
}

bool js_scan_fix_header(struct js_record *r, bool doubt) {
    size_t form;
    uint32_t body = r->hdr_len + r->data_len;

    if (!r->has_hdr || js_header_form(r->hdr, r->hdr_len, body, &form) || !form)
        return false;
    /* A client may have sent a sloppy header block: only a single flipped bit counts as damage, and not
     * where the block as it is ends like one, unless a chunk of the block failed: then any number of
     * bytes may be wrong. */
    bool closed = r->hdr_len >= 4 && memcmp(r->hdr + r->hdr_len - 4, "\r\n\r\n", 4) == 0;
    if (!doubt && (closed || __builtin_popcountll((uint64_t)form ^ r->hdr_len) != 1))
        return false;
    r->data = r->hdr + form;
    r->hdr_len = (uint32_t)form;
    r->data_len = body - r->hdr_len;
    return true;
}

/* Does the record behind r, if one stands there, prove itself together with r? */
static bool verify_two(const struct walker *w, const struct js_record *r, size_t off,
                       struct js_record *ret_next) {
    struct js_record two[2] = {*r};
    const uint8_t *ps[2] = {w->p + off, w->p + off + r->len};

    if (!js_record_parse(ps[1], w->len - off - r->len, &two[1]) ||
        !js_records_verify(two, ps, 2, w->key))
        return false;
    *ret_next = two[1];
    return true;
}

static void take_record(struct walker *w, struct js_record *r, size_t off, bool doubt) {
    bool fixed = js_scan_fix_header(r, doubt);

    if (fixed)
        js_scan_add_damage(w->scan, JS_DAMAGE_LENGTH, off, r->len, r->seq,
                           "the header length is damaged; the header's own form gives it");
    add_record(w->scan, r, off, fixed);
}

int js_scan_walk(struct js_scan *scan, const uint8_t *p, size_t len, const struct js_hash_key *key,
                 const struct js_subject_rule *rule) {
    struct walker w = {.scan = scan, .p = p, .len = len, .key = key, .rule = rule};
    struct js_record r, next;
    size_t off = 0;
    bool doubt = scan->num_damages > 0; /* of chunks: nothing was walked yet */

    w.budget = (64u << 20) + 16 * (uint64_t)len;
    while (off < len && !scan->failed) {
        bool parsed = js_record_parse(p + off, len - off, &r);
        bool two = parsed && verify_two(&w, &r, off, &next);
        if (!two && (!parsed || !js_record_verify(&r, key, p + off))) {
            off = over_damage(&w, off);
            continue;
        }
        size_t length = r.len;
        take_record(&w, &r, off, doubt);
        off += length;
        if (two) {
            length = next.len;
            take_record(&w, &next, off, doubt);
            off += length;
        }
    }
    return scan->failed ? JS_ERR_NOMEM : 0;
}

void js_scan_view(const struct js_scan_rec *rec, const uint8_t *block, struct js_record *ret_rec) {
    const uint8_t *p = block + rec->off;
    uint32_t fixed = JS_MIN_RECORD + (rec->has_hdr ? 4u : 0u);
    const uint8_t *rest = p + JS_RECORD_HEAD + rec->subject_len;
    uint32_t hlen = 0;

    if (rec->has_hdr) {
        hlen = rec->hdr_len == UINT16_MAX ? js_get32(rest) : rec->hdr_len;
        rest += 4;
    }
    uint32_t body = rec->len - fixed - rec->subject_len;
    if (hlen > body)
        hlen = body;
    *ret_rec = (struct js_record){
        .len = rec->len,
        .has_hdr = rec->has_hdr,
        .erased = rec->seq & JS_SEQ_ERASED,
        .tombstone = rec->seq & JS_SEQ_TOMBSTONE,
        .seq = rec->seq & JS_SEQ_MASK,
        .time = rec->time,
        .subject = p + JS_RECORD_HEAD,
        .subject_len = rec->subject_len,
        .hdr = hlen ? rest : NULL,
        .hdr_len = hlen,
        .data = rest + hlen,
        .data_len = body - hlen,
        .sum = p + rec->len - 8,
    };
}
