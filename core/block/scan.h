/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking a block apart into its records, damage included.
 *
 * A block is walked record by record. Where a record fails (length, checksum), the walk looks for
 * the next place at which a record proves itself by its checksum; what lies between is one damaged
 * stretch. Nothing after a damaged record is given up. A record whose length fields alone are
 * damaged is repaired, because the checksum does not cover them and so still proves the content
 * (core/block/repair.h).
 */
#ifndef JS_SCAN_H
#define JS_SCAN_H

#include "core/format/crypto.h"
#include "core/format/record.h"

/* One record; positions are in the decoded block. */
struct js_scan_rec {
    uint64_t seq; /* with its flag bits */
    js_time_t time;
    uint32_t off;
    uint32_t len; /* L without the flag */
    uint16_t subject_len;
    uint16_t hdr_len;   /* 0 = none; 65535 = look at the record */
    bool has_hdr;
    bool repaired;      /* a length field was damaged; see the damage list */
};

enum js_damage_kind {
    JS_DAMAGE_RECORD,  /* a stretch that holds no provable record, valid data follows */
    JS_DAMAGE_TAIL,    /* the last stretch: begins like a record that was not written to its end */
    JS_DAMAGE_ZEROS,   /* the last stretch: zeros only */
    JS_DAMAGE_LENGTH,  /* a length field was wrong; the record is repaired and kept */
    JS_DAMAGE_CHUNK,   /* a chunk of a compressed block failed; what can be proved is kept */
};

struct js_damage {
    enum js_damage_kind kind;
    uint64_t off;
    uint64_t len;
    size_t before;    /* index of the record that follows it (== count: none) */
    js_seq_t hint;    /* sequence that the damaged head shows, 0 = none; not proved */
    const char *what; /* static sentence */
};

enum js_scan_verdict {
    JS_SCAN_OK,         /* decoded and walked (perhaps with damage) */
    JS_SCAN_MISSING,    /* no such file */
    JS_SCAN_UNREADABLE, /* operational error in error */
    JS_SCAN_NO_KEY,     /* encrypted, key file missing or no server key */
    JS_SCAN_WRONG_KEY,
    JS_SCAN_BAD_KEY_FILE,
    JS_SCAN_UNKNOWN,    /* a format we do not know */
};

struct js_scan {
    const struct js_env *env;
    uint32_t number;
    enum js_scan_verdict verdict;
    int error;
    struct js_buf data; /* decoded bytes; recycled between blocks */
    struct js_buf raw;  /* scratch for what is on disk */
    struct js_scan_rec *recs;
    size_t count, cap;
    struct js_damage *damages;
    size_t num_damages, cap_damages;
    uint64_t file_size;
    uint8_t last_sum[8]; /* last 8 bytes before decompression, zero if shorter */
    bool compressed;
    bool encrypted;
    bool failed; /* out of memory while walking */
};

void js_scan_init(struct js_scan *scan, const struct js_env *env);
void js_scan_reset(struct js_scan *scan); /* keeps memory */
void js_scan_done(struct js_scan *scan);

/* What a stream expects of subjects; repair uses it to choose between lengths. */
struct js_subject_rule {
    bool (*known)(void *ctx, const char *subject, size_t len);
    void *ctx;
};

/* Walks decoded bytes; fills recs and damages. NOMEM. */
int js_scan_walk(struct js_scan *scan, const uint8_t *p, size_t len,
                 const struct js_hash_key *key, const struct js_subject_rule *rule);

/* The header length is not hashed either: a form of the header that fits better wins. True if it did.
 * doubt: any number of bits may be wrong. */
bool js_scan_fix_header(struct js_record *record, bool doubt);

/* Adds a damage; out of memory sets scan->failed. */
void js_scan_add_damage(struct js_scan *scan, enum js_damage_kind kind, uint64_t off, uint64_t len,
                        js_seq_t hint, const char *what);

/* Decodes scan->raw (decrypt in place with key if not NULL, decompress) into scan->data. Sets
 * verdict, compressed, encrypted, last_sum. NOMEM, or 0 with the verdict. */
int js_scan_decode(struct js_scan *scan, const struct js_block_key *key);

/* The record at p as the scan understood it (with repaired lengths). */
void js_scan_view(const struct js_scan_rec *rec, const uint8_t *block, struct js_record *ret_rec);

#endif
