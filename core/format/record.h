/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record of a message block (docs/disk-format.md "Records").
 *
 *   0  u32 total length L; bit 31: has headers
 *   4  u64 sequence; bit 63: erased or skip, bit 62: tombstone
 *  12  i64 time
 *  20  u16 subject length S
 *  22  subject, [u32 header length H, header block,] payload
 * L-8  HighwayHash-64 over bytes 4..19, subject, headers, payload
 *
 * The three length fields are not hashed.
 */
#ifndef JS_RECORD_H
#define JS_RECORD_H

#include "core/format/hash64.h"
#include "core/jetstore.h"

#define JS_RECORD_HEAD 22u
#define JS_SEQ_ERASED (1ull << 63)
#define JS_SEQ_TOMBSTONE (1ull << 62)
#define JS_SEQ_MASK (JS_SEQ_TOMBSTONE - 1)
#define JS_LEN_HAS_HEADERS (1u << 31)
#define JS_TIME_ZERO INT64_C(-6795364578871345152) /* Go's zero time: no time */

struct js_record {
    uint32_t len;  /* L without the flag */
    bool has_hdr;
    bool erased;   /* bit 63 */
    bool tombstone; /* bit 62 */
    js_seq_t seq;  /* without flags */
    js_time_t time;
    const uint8_t *subject; /* borrowed from the block */
    uint32_t subject_len;
    const uint8_t *hdr;
    uint32_t hdr_len;
    const uint8_t *data;
    uint32_t data_len;
    const uint8_t *sum; /* the 8 stored bytes */
};

/* Lengths only: true if a record could stand at p with avail bytes left (format.md 2.1). */
bool js_record_parse(const uint8_t *p, size_t avail, struct js_record *ret_record);
/* True if the stored checksum is that of the record. */
bool js_record_verify(const struct js_record *record, const struct js_hash_key *key,
                      const uint8_t *p);
/* The same for n records at ps[i]: true if all are right. */
bool js_records_verify(const struct js_record *records, const uint8_t *const *ps, size_t n,
                       const struct js_hash_key *key);
/* Total length on disk of a message with these parts; 0 if above the limit. */
uint32_t js_record_size(size_t subject_len, size_t hdr_len, size_t data_len);
/* Writes a record of js_record_size() bytes to p, but for its checksum. seq carries its flag bits. */
void js_record_lay_out(uint8_t *p, uint64_t seq_and_flags, js_time_t time, const char *subject,
                       size_t subject_len, const uint8_t *hdr, size_t hdr_len, const uint8_t *data,
                       size_t data_len);
/* Puts the checksum into a record that was laid out; into two, which takes hardly longer. */
void js_record_sum(uint8_t *p, const struct js_hash_key *key);
void js_record_sum_two(uint8_t *p, uint8_t *q, const struct js_hash_key *key);
/* All of it. */
void js_record_encode(uint8_t *p, uint64_t seq_and_flags, js_time_t time, const char *subject,
                      size_t subject_len, const uint8_t *hdr, size_t hdr_len,
                      const uint8_t *data, size_t data_len, const struct js_hash_key *key);

#endif
