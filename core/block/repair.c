/* SPDX-License-Identifier: Apache-2.0 */
#include "core/block/repair.h"

#include "core/base/bytes.h"
#include "core/base/limits.h"
#include "core/format/subject.h"

static const char hdr_magic[] = "NATS/1.0";
#define HDR_MAGIC_LEN (sizeof hdr_magic - 1)

bool js_header_form(const uint8_t *hdr, size_t len, size_t max, size_t *ret_len) {
    *ret_len = 0;
    if (max < HDR_MAGIC_LEN + 4 || memcmp(hdr, hdr_magic, HDR_MAGIC_LEN) != 0)
        return false;
    const uint8_t *end = memmem(hdr, max, "\r\n\r\n", 4);
    if (!end)
        return false;
    size_t want = (size_t)(end - hdr) + 4;
    if (want == len)
        return true;
    *ret_len = want;
    return false;
}

/* The record at p with these lengths taken for granted, if they fit and the checksum agrees. */
static bool try_split(const uint8_t *p, uint32_t len, bool has_hdr, uint32_t slen,
                      const struct js_hash_key *key, struct js_record *ret) {
    uint32_t fixed = JS_MIN_RECORD + (has_hdr ? 4u : 0u);

    if (len < fixed || slen > len - fixed)
        return false;
    uint64_t seq = js_get64(p + 4);
    struct js_record r = {
        .len = len,
        .has_hdr = has_hdr,
        .erased = seq & JS_SEQ_ERASED,
        .tombstone = seq & JS_SEQ_TOMBSTONE,
        .seq = seq & JS_SEQ_MASK,
        .time = (js_time_t)js_get64(p + 12),
        .subject = p + JS_RECORD_HEAD,
        .subject_len = slen,
        .sum = p + len - 8,
    };
    const uint8_t *rest = r.subject + slen;
    if (has_hdr) {
        uint32_t body = len - fixed - slen;
        uint32_t hlen = js_get32(rest);
        size_t form;
        r.hdr = rest + 4;
        /* The header length is not hashed: its form decides. */
        if (!js_header_form(r.hdr, hlen <= body ? hlen : 0, body, &form) && form)
            hlen = (uint32_t)form;
        if (hlen == 0 || hlen > body)
            return false;
        r.hdr_len = hlen;
        r.data = r.hdr + hlen;
        r.data_len = body - hlen;
    } else {
        r.data = rest;
        r.data_len = len - fixed - slen;
    }
    if (!js_record_verify(&r, key, p))
        return false;
    *ret = r;
    return true;
}

/* What is stored may be anything that a server stores; another length has to give a proper subject. */
static bool subject_fits(const struct js_record *r, const struct js_subject_rule *rule, bool stored) {
    const char *subject = (const char *)r->subject;
    bool good = stored ? js_subject_storable(subject, r->subject_len)
                       : js_subject_valid(subject, r->subject_len);

    if (r->erased || r->tombstone)
        return r->subject_len == 0 || good;
    if (!good)
        return false;
    return !rule || !rule->known ||
           rule->known(rule->ctx, (const char *)r->subject, r->subject_len);
}

/* Candidates for the subject length: as stored, then with one bit changed. */
static uint32_t subject_candidate(uint32_t stored, int i) {
    return i == 0 ? stored : stored ^ (1u << (i - 1));
}

static bool try_length(const uint8_t *p, uint32_t len, bool has_hdr, const struct js_hash_key *key,
                       const struct js_subject_rule *rule, struct js_record *ret) {
    uint32_t stored = js_get16(p + 20);
    struct js_record r, found;
    int fits = 0;

    for (int i = 0; i <= 16; i++) {
        uint32_t slen = subject_candidate(stored, i);
        if (!try_split(p, len, has_hdr, slen, key, &r))
            continue;
        if (!subject_fits(&r, rule, i == 0))
            continue;
        if (i == 0) {
            *ret = r;
            return true;
        }
        found = r;
        fits++;
    }
    /* More than one split fits: the subject is not known, the record stays damaged. */
    if (fits != 1)
        return false;
    *ret = found;
    return true;
}

bool js_record_repair(const uint8_t *p, size_t avail, size_t next, const struct js_hash_key *key,
                      const struct js_subject_rule *rule, struct js_record *ret_rec) {
    if (avail < JS_MIN_RECORD)
        return false;
    uint32_t word = js_get32(p);
    bool flag = word & JS_LEN_HAS_HEADERS;
    uint32_t stored = word & ~JS_LEN_HAS_HEADERS;
    size_t lengths[34];
    int n = 0;

    if (next)
        lengths[n++] = next;
    lengths[n++] = stored;
    for (int bit = 0; bit < 26; bit++)
        lengths[n++] = stored ^ (1u << bit);
    for (int i = 0; i < n; i++) {
        /* Another length than the distance to the next record would leave a stretch of nothing. */
        if (lengths[i] < JS_MIN_RECORD || lengths[i] > avail || lengths[i] > JS_MAX_RECORD)
            continue;
        if (i > 0 && next && lengths[i] != next)
            continue;
        if (i > 0 && !next && lengths[i] != avail && lengths[i] != stored)
            continue;
        if (try_length(p, (uint32_t)lengths[i], flag, key, rule, ret_rec) ||
            try_length(p, (uint32_t)lengths[i], !flag, key, rule, ret_rec))
            return true;
    }
    return false;
}

bool js_record_resplit(const uint8_t *p, const struct js_record *rec,
                       const struct js_hash_key *key, const struct js_subject_rule *rule,
                       struct js_record *ret_rec) {
    struct js_record r, found;
    int fits = 0;
    bool mine = js_subject_storable((const char *)rec->subject, rec->subject_len);

    for (int i = 1; i <= 16; i++) {
        uint32_t slen = subject_candidate(rec->subject_len, i);
        if (try_split(p, rec->len, rec->has_hdr, slen, key, &r) && subject_fits(&r, rule, false)) {
            found = r;
            fits++;
        }
    }
    /* An unknown but well-formed subject is only doubted when the stream knows the alternative. */
    if (fits != 1 || (mine && (!rule || !rule->known)))
        return false;
    *ret_rec = found;
    return true;
}
