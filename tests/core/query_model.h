/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream as plain arrays, and every question of core/jetstore.h answered by looking at all of
 * them: what the engine's answers are held against.
 */
#ifndef TESTS_QUERY_MODEL_H
#define TESTS_QUERY_MODEL_H

#include "core/jetstore.h"

#define QM_MAX_SUBJECTS 512
#define QM_SUBJECT_SIZE 64
#define QM_PATTERNS 4

/* ---- random numbers (splitmix64) ------------------------------------------------------------ */

struct qm_rng {
    uint64_t state;
};
uint64_t qm_next(struct qm_rng *rng);
/* 0 .. n - 1; n > 0 */
uint64_t qm_below(struct qm_rng *rng, uint64_t n);
/* True once in n. */
bool qm_once_in(struct qm_rng *rng, uint64_t n);
/* The seed of this run: JETFS_TEST_SEED, else a fixed one. */
uint64_t qm_seed(void);

/* ---- the model ------------------------------------------------------------------------------ */

enum qm_kind {
    QM_LIVE,
    QM_DAMAGED, /* was live; its record does not prove itself */
    QM_GONE,    /* deleted, erased or a skip record */
};

struct qm_msg {
    js_seq_t seq;
    js_time_t time;
    uint32_t block; /* N of N.blk */
    uint32_t sid;   /* index of the subject */
    bool has_hdr;
    uint32_t data_len;
    enum qm_kind kind;
};

struct qm {
    char subjects[QM_MAX_SUBJECTS][QM_SUBJECT_SIZE];
    uint32_t num_subjects;
    struct qm_msg *msgs; /* every record that stands in a block, ascending */
    size_t count, cap;
    js_seq_t first; /* of the live ones; last + 1 if none */
    js_seq_t last;  /* the stream's last sequence */
    /* Blocks are only described by index.db so far: numbers may count damaged messages still. */
    bool fuzzy;
    bool damage; /* there are damaged messages */
    bool blocks_unknown; /* which block a message is in was not followed */
    bool gone_unknown;   /* deleted records may have left the files */
    char why[512];       /* what did not agree */
};

void qm_init(struct qm *m);
void qm_done(struct qm *m);
/* Fills the table of subjects with n names of 1 to 5 tokens. */
void qm_make_subjects(struct qm *m, struct qm_rng *rng, uint32_t n);
/* Adds a record behind the others. */
struct qm_msg *qm_add(struct qm *m, const struct qm_msg *msg);
/* The record with this sequence; NULL if there is none. */
struct qm_msg *qm_find(const struct qm *m, js_seq_t seq);
/* Index of the first record with sequence >= seq. */
size_t qm_lower(const struct qm *m, js_seq_t seq);
/* Sets first from the messages. */
void qm_settle(struct qm *m);
/* What load_msg says of a sequence that is not live: a result code, or 0 when the record is live.
 * *ret_either is set when DELETED_MSG and MSG_NOT_FOUND are both right. */
int qm_absent(const struct qm *m, js_seq_t seq, bool *ret_either);

/* Header block (into a buffer of 64 bytes) and payload of a message; lengths of the header block
 * and of the whole record. */
size_t qm_hdr(const struct qm_msg *msg, char *buf);
void qm_data(const struct qm_msg *msg, uint8_t *buf);
uint32_t qm_record_len(const struct qm *m, const struct qm_msg *msg);

/* ---- filters -------------------------------------------------------------------------------- */

struct qm_filter {
    struct js_filter f;
    const struct js_filter *given; /* &f or NULL */
    const char *list[QM_PATTERNS];
    char patterns[QM_PATTERNS][QM_SUBJECT_SIZE + 8];
    char subtree[QM_SUBJECT_SIZE];
    bool all;        /* by its form: NULL, no patterns, or ">" alone */
    bool everything; /* it matches every subject, in whatever form */
    bool match[QM_MAX_SUBJECTS];
};
void qm_random_filter(const struct qm *m, struct qm_rng *rng, struct qm_filter *ret_filter);
/* One pattern: literal, with wildcards, or of no subject. */
void qm_random_pattern(const struct qm *m, struct qm_rng *rng, char *buf);
/* NATS subject matching, written down once more. */
bool qm_matches(const char *subject, const char *pattern);
/* Does the message match? Damaged ones have no subject: they match what is "all" by its form. */
static inline bool qm_live_match(const struct qm_filter *f, const struct qm_msg *msg) {
    return msg->kind == QM_LIVE && f->match[msg->sid];
}

/* ---- questions (query_ops.c) ---------------------------------------------------------------- */

/*
 * Asks one random question. 0: the answer agrees with the model; 1: it does not (m->why tells);
 * negative: the call failed for a reason that has nothing to do with the stream's content
 * (JS_ERR_NOMEM, JS_ERR_IO ...). The same generator state asks the same question.
 */
int qm_ask(struct qm *m, struct js_stream *stream, struct qm_rng *rng);
/* Every message, subject and count once. Results as above. */
int qm_ask_all(struct qm *m, struct js_stream *stream);

#endif
