/* SPDX-License-Identifier: Apache-2.0 */
/* index.db: a stream's state as nats-server 2.10+ writes it (docs/disk-format.md "index.db"). */
#ifndef JS_INDEX_DB_H
#define JS_INDEX_DB_H

#include "core/format/seqset.h"

struct js_index_block {
    uint32_t number;
    uint64_t bytes;
    js_seq_t first_seq, last_seq;
    js_time_t first_time, last_time; /* 0 = none */
    uint64_t ttls, schedules;
    struct js_seqset deleted;
};

struct js_index_subject {
    const char *name; /* borrowed from the index */
    uint32_t len;
    uint64_t total;
    uint32_t first_block, last_block;
};

struct js_index_db {
    const struct js_env *env;
    uint8_t version;
    uint64_t msgs, bytes;
    js_seq_t first_seq, last_seq;
    js_time_t first_time, last_time;
    struct js_index_subject *subjects;
    size_t num_subjects;
    struct js_index_block *blocks;
    size_t num_blocks;
    uint32_t last_block;
    uint8_t last_sum[8];
    uint8_t *text; /* owns the subjects' bytes */
};

/*
 * Decodes the plaintext of index.db (without the trailing hash). Every count is checked against the
 * bytes left before memory is taken. Errors: UNKNOWN_FORMAT (magic or a version above 4), CORRUPT,
 * NOMEM. js_index_db_done() frees what ret_index owns, also a zeroed one.
 */
int js_index_db_decode(const struct js_env *env, const uint8_t *in, size_t len,
                       struct js_index_db *ret_index);
/* Plaintext of version 1, 2, 3 or 4 (no hash). */
int js_index_db_encode(const struct js_index_db *index, uint8_t version, struct js_buf *out);
void js_index_db_done(struct js_index_db *index);

#endif
