/* SPDX-License-Identifier: Apache-2.0 */
#include "core/format/record.h"

#include "core/base/bytes.h"
#include "core/base/limits.h"

bool js_record_parse(const uint8_t *p, size_t avail, struct js_record *ret_record) {
    if (avail < JS_MIN_RECORD)
        return false;
    uint32_t word = js_get32(p);
    uint32_t len = word & ~JS_LEN_HAS_HEADERS;
    bool has_hdr = word & JS_LEN_HAS_HEADERS;
    uint32_t slen = js_get16(p + 20);
    uint32_t fixed = JS_MIN_RECORD + (has_hdr ? 4u : 0u);
    uint32_t hlen = 0;

    if (len > JS_MAX_RECORD || len > avail || len < fixed || slen > len - fixed)
        return false;
    uint32_t body = len - fixed - slen;
    const uint8_t *rest = p + JS_RECORD_HEAD + slen;
    if (has_hdr) {
        hlen = js_get32(rest);
        if (hlen > body)
            return false;
        rest += 4;
    }
    uint64_t seq = js_get64(p + 4);
    *ret_record = (struct js_record){
        .len = len,
        .has_hdr = has_hdr,
        .erased = seq & JS_SEQ_ERASED,
        .tombstone = seq & JS_SEQ_TOMBSTONE,
        .seq = seq & JS_SEQ_MASK,
        .time = (js_time_t)js_get64(p + 12),
        .subject = p + JS_RECORD_HEAD,
        .subject_len = slen,
        .hdr = has_hdr ? rest : NULL,
        .hdr_len = hlen,
        .data = rest + hlen,
        .data_len = body - hlen,
        .sum = p + len - 8,
    };
    return true;
}

/* Pieces that are hashed: head without the lengths, subject, then headers and payload. */
static uint64_t digest(const struct js_hash_key *key, const uint8_t *head, const uint8_t *subject,
                       size_t slen, const uint8_t *rest, size_t rest_len) {
    struct js_span pieces[3] = {{head + 4, 16}, {subject, slen}, {rest, rest_len}};
    return js_hash64(key, pieces, 3);
}

/* The same of a record without headers: subject and payload stand together. */
static uint64_t digest_joined(const struct js_hash_key *key, const uint8_t *p, uint32_t len) {
    struct js_span pieces[2] = {{p + 4, 16}, {p + JS_RECORD_HEAD, len - JS_MIN_RECORD}};
    return js_hash64(key, pieces, 2);
}

bool js_record_verify(const struct js_record *r, const struct js_hash_key *key, const uint8_t *p) {
    uint64_t d;

    if (!r->has_hdr)
        d = digest_joined(key, p, r->len);
    else
        d = digest(key, p, r->subject, r->subject_len, r->subject + r->subject_len + 4,
                   r->len - JS_MIN_RECORD - 4 - r->subject_len);
    return d == js_get64(r->sum);
}

/* A record of this length word as a text of js_hash64_two; false if it is none. */
static bool as_text(uint32_t word, const uint8_t *p, struct js_hash_text *ret) {
    *ret = (struct js_hash_text){.head = p + 4,
                                 .body = p + JS_RECORD_HEAD,
                                 .body_len = (word & ~JS_LEN_HAS_HEADERS) - JS_MIN_RECORD};
    return !(word & JS_LEN_HAS_HEADERS) && ret->body_len >= 16;
}

#define JOINED_AT_MOST 1024

/* The length of the headers is no part of the text: around it a short record is put together. */
static bool text_at(const uint8_t *p, uint8_t scratch[JOINED_AT_MOST], struct js_hash_text *ret) {
    uint32_t word = js_get32(p), len = word & ~JS_LEN_HAS_HEADERS;

    if (!(word & JS_LEN_HAS_HEADERS))
        return as_text(word, p, ret);
    size_t slen = js_get16(p + 20), body = len - JS_MIN_RECORD - 4;
    if (body > JOINED_AT_MOST)
        return false;
    memcpy(scratch, p + JS_RECORD_HEAD, slen);
    memcpy(scratch + slen, p + JS_RECORD_HEAD + slen + 4, body - slen);
    *ret = (struct js_hash_text){.head = p + 4, .body = scratch, .body_len = body};
    return body >= 16;
}

/* A length that was repaired is the record's, not the one that stands there. */
static bool text_of(const struct js_record *r, const uint8_t *p, struct js_hash_text *ret) {
    return as_text(r->len | (r->has_hdr ? JS_LEN_HAS_HEADERS : 0), p, ret);
}

bool js_records_verify(const struct js_record *records, const uint8_t *const *ps, size_t n,
                       const struct js_hash_key *key) {
    bool good = true;
    size_t i = 0;

    for (; i + 1 < n && good; i += 2) {
        struct js_hash_text text[2];
        uint64_t d[2];
        if (!text_of(&records[i], ps[i], &text[0]) || !text_of(&records[i + 1], ps[i + 1], &text[1])) {
            good = js_record_verify(&records[i], key, ps[i]) &&
                   js_record_verify(&records[i + 1], key, ps[i + 1]);
            continue;
        }
        js_hash64_two(key, text, d);
        good = d[0] == js_get64(records[i].sum) && d[1] == js_get64(records[i + 1].sum);
    }
    return good && (i == n || js_record_verify(&records[i], key, ps[i]));
}

uint32_t js_record_size(size_t subject_len, size_t hdr_len, size_t data_len) {
    if (subject_len > JS_MAX_SUBJECT || hdr_len > JS_MAX_RECORD || data_len > JS_MAX_RECORD)
        return 0;
    size_t n = JS_MIN_RECORD + subject_len + data_len + (hdr_len ? hdr_len + 4 : 0);
    return n > JS_MAX_RECORD ? 0 : (uint32_t)n;
}

void js_record_lay_out(uint8_t *p, uint64_t seq_and_flags, js_time_t time, const char *subject,
                       size_t subject_len, const uint8_t *hdr, size_t hdr_len, const uint8_t *data,
                       size_t data_len) {
    uint32_t len = js_record_size(subject_len, hdr_len, data_len);
    uint8_t *q = p + JS_RECORD_HEAD;

    js_put32(p, len | (hdr_len ? JS_LEN_HAS_HEADERS : 0));
    js_put64(p + 4, seq_and_flags);
    js_put64(p + 12, (uint64_t)time);
    js_put16(p + 20, (uint16_t)subject_len);
    if (subject_len)
        memcpy(q, subject, subject_len);
    q += subject_len;
    if (hdr_len) {
        js_put32(q, (uint32_t)hdr_len);
        memcpy(q + 4, hdr, hdr_len);
        q += 4 + hdr_len;
    }
    if (data_len)
        memcpy(q, data, data_len);
}

void js_record_sum(uint8_t *p, const struct js_hash_key *key) {
    uint32_t word = js_get32(p), len = word & ~JS_LEN_HAS_HEADERS;
    size_t slen = js_get16(p + 20);
    const uint8_t *rest = p + JS_RECORD_HEAD + slen + 4;

    js_put64(p + len - 8, word & JS_LEN_HAS_HEADERS
                              ? digest(key, p, p + JS_RECORD_HEAD, slen, rest,
                                       (size_t)(p + len - 8 - rest))
                              : digest_joined(key, p, len));
}

void js_record_sum_two(uint8_t *p, uint8_t *q, const struct js_hash_key *key) {
    uint8_t scratch[2][JOINED_AT_MOST];
    struct js_hash_text text[2];
    uint64_t d[2];

    if (!text_at(p, scratch[0], &text[0]) || !text_at(q, scratch[1], &text[1])) {
        js_record_sum(p, key);
        js_record_sum(q, key);
        return;
    }
    js_hash64_two(key, text, d);
    js_put64(p + (js_get32(p) & ~JS_LEN_HAS_HEADERS) - 8, d[0]);
    js_put64(q + (js_get32(q) & ~JS_LEN_HAS_HEADERS) - 8, d[1]);
}

void js_record_encode(uint8_t *p, uint64_t seq_and_flags, js_time_t time, const char *subject,
                      size_t subject_len, const uint8_t *hdr, size_t hdr_len,
                      const uint8_t *data, size_t data_len, const struct js_hash_key *key) {
    js_record_lay_out(p, seq_and_flags, time, subject, subject_len, hdr, hdr_len, data, data_len);
    js_record_sum(p, key);
}
