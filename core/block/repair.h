/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records whose length fields are damaged. The checksum covers sequence, time, subject, headers and
 * payload as one run of bytes, but none of the three length fields. So a wrong length is found by
 * trying others: those that differ by one bit, and the distance to the next good record. The
 * checksum proves the content; the split into subject, headers and payload is then judged by form
 * (subject rules, the stream's own subjects, "NATS/1.0 ... CRLF CRLF").
 */
#ifndef JS_REPAIR_H
#define JS_REPAIR_H

#include "core/block/scan.h"

/*
 * Tries to make sense of the bytes at p although js_record_parse or js_record_verify failed.
 * avail: bytes up to the end of the block; next: distance to the next good record (0 = none known).
 * Returns true with ret_rec filled (lengths repaired, content proved by the checksum).
 */
bool js_record_repair(const uint8_t *p, size_t avail, size_t next, const struct js_hash_key *key,
                      const struct js_subject_rule *rule, struct js_record *ret_rec);

/*
 * A record whose checksum is right but whose subject is not one the stream knows: looks for another
 * split. Returns true and the better split when exactly one other subject length fits.
 */
bool js_record_resplit(const uint8_t *p, const struct js_record *rec,
                       const struct js_hash_key *key, const struct js_subject_rule *rule,
                       struct js_record *ret_rec);

/* Header blocks: true if the form is right; else *ret_len is the length that the form suggests
 * within max bytes, 0 if none. */
bool js_header_form(const uint8_t *hdr, size_t len, size_t max, size_t *ret_len);

#endif
