/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subjects of a stream: each is interned once and known by a u32 id that never changes while
 * the stream is open. Per subject one 64-byte line holds count, first and last sequence. An order
 * over the names ('.' lowest, js_subject_cmp) answers wildcards and ordered listings without
 * visiting subtrees that cannot match; it is extended lazily (new ids are sorted and merged when
 * the order is next needed), so interning costs one hash probe.
 *
 * Not locked: the stream's lock covers it. Functions that may build the order take a non-const
 * pointer and need the lock for writing (js_subjects_order_ready tells whether a build is due).
 */
#ifndef JS_SUBJECTS_H
#define JS_SUBJECTS_H

#include "core/jetstore.h"

/* 64 bytes: one cache line. Short names stand in the line, longer ones in the arena. */
struct js_subject_line {
    uint32_t tag; /* hash of the name, for probing */
    uint32_t len;
    uint64_t count; /* live messages */
    js_seq_t first; /* of the chain; may be a removed message: lower bound */
    js_seq_t last;  /* newest message ever appended with this subject; may be removed */
    union {
        char text[32];
        const char *ptr;
    } name;
};

/* Numbers of the first and the last block that may hold messages of a subject. */
struct js_subject_span {
    uint32_t first, last;
    bool guessed; /* index.db has one number for both, and it may be either's or an older one */
};

struct js_subjects {
    const struct js_env *env;
    struct js_subject_line *lines; /* by id; aligned to cache lines */
    void *lines_mem;
    uint32_t count;
    uint32_t cap;
    uint32_t live; /* subjects with count > 0 */
    uint64_t *table; /* hash << 32 | id + 1, 0 = free; groups of 8 slots, one cache line each */
    void *table_mem;
    uint32_t num_groups; /* a power of two, or 0 */
    uint32_t run_limit;  /* groups a probe may visit before the table is seeded anew */
    uint64_t seed;
    uint32_t *order; /* ids sorted by name, the first `ordered` ids only */
    uint32_t ordered;
    struct js_subjects_arena *arena;
    uint64_t arena_bytes;
    /* Kept while blocks are unread (core/stream/unread.h): by id, what index.db says, widened by what
     * was appended since. Removals leave them as they are. */
    struct js_subject_span *spans;
    uint32_t num_spans;
};

void js_subjects_init(struct js_subjects *subjects, const struct js_env *env);
void js_subjects_done(struct js_subjects *subjects);
/* Memory held, bytes. */
uint64_t js_subjects_memory(const struct js_subjects *subjects);

/* Finds or adds a name (any bytes, length up to 65535). 0 or NOMEM. */
int js_subjects_intern(struct js_subjects *subjects, const char *name, size_t len,
                       uint32_t *ret_id);
/* Makes room in the table for so many more names. NOMEM. */
int js_subjects_reserve(struct js_subjects *subjects, size_t more);
/* Keeps the names and forgets their messages and spans. */
void js_subjects_forget_msgs(struct js_subjects *subjects);
/* Widens the span of a subject by a block (a span of 0..0 is empty). NOMEM. */
int js_subjects_widen(struct js_subjects *subjects, uint32_t id, uint32_t first, uint32_t last);
/* The span of a subject, or NULL when nothing is kept. */
static inline const struct js_subject_span *js_subjects_span(const struct js_subjects *subjects,
                                                             uint32_t id) {
    return id < subjects->num_spans ? &subjects->spans[id] : NULL;
}
/* The id, or JS_NO_ID. */
uint32_t js_subjects_find(const struct js_subjects *subjects, const char *name, size_t len);
/*
 * Looking up many names: the memory that a lookup touches is asked for while others are looked up.
 * First js_subjects_ahead() for a name some places ahead, which gives its hash; a few places later
 * js_subjects_nearer() with the hash; then js_subjects_find_hashed(). A hash from before the table was
 * seeded anew finds nothing: who gets JS_NO_ID asks js_subjects_intern or js_subjects_find.
 */
uint32_t js_subjects_ahead(const struct js_subjects *subjects, const char *name, size_t len);
/* Returns the id that the name probably has, or JS_NO_ID. */
uint32_t js_subjects_nearer(const struct js_subjects *subjects, uint32_t hash);
/* Is there a name with this hash? One that is not among them passes once in 2^32 times. */
bool js_subjects_likely(const struct js_subjects *subjects, uint32_t hash);
uint32_t js_subjects_find_hashed(const struct js_subjects *subjects, uint32_t hash,
                                 const char *name, size_t len);

static inline const char *js_subject_name(const struct js_subject_line *line) {
    return line->len <= sizeof line->name.text ? line->name.text : line->name.ptr;
}

bool js_subjects_order_ready(const struct js_subjects *subjects);
/* Sorts and merges what is new. NOMEM. */
int js_subjects_build_order(struct js_subjects *subjects);

/* ---- the following need the order built --------------------------------------------------- */

/* Calls fn(id) for every subject with count > 0 that matches the filter, in name order. Only
 * ranges that can match are visited (literal prefix by binary search, '*' by skipping from child
 * to child). fn's value other than 0 stops and is returned. */
int js_subjects_match(const struct js_subjects *subjects, const char *filter, size_t len,
                      int (*fn)(void *ctx, uint32_t id), void *ctx);

/* Child tokens of a prefix with live messages at or below (js_stream_list_tokens). */
int js_subjects_tokens(const struct js_subjects *subjects, const char *prefix, size_t len,
                       uint32_t after_id, int (*fn)(void *ctx, const struct js_token *token),
                       void *ctx);

/* As js_subjects_match, for every subject, those without live messages too. */
int js_subjects_match_all(const struct js_subjects *subjects, const char *filter, size_t len,
                          int (*fn)(void *ctx, uint32_t id), void *ctx);

/* ---- sets of subject ids ------------------------------------------------------------------- */

/* Which subjects match a js_filter: a bitmap over ids, extended when new ids appear. */
struct js_id_set {
    const struct js_env *env;
    uint64_t *bits;
    uint32_t upto;    /* ids below are decided */
    uint32_t members; /* live or not */
    uint32_t only;    /* the one member if members == 1 */
    uint32_t cap_words;
};

void js_id_set_init(struct js_id_set *set, const struct js_env *env);
void js_id_set_done(struct js_id_set *set);
/* Makes an empty set equal to another one. NOMEM. */
int js_id_set_copy(struct js_id_set *set, const struct js_id_set *from);
/* Decides the ids from set->upto on: by the order (if it is built) when many are new and the filter
 * narrows, else by matching each new name. The filter must be the same at every call. A filter that
 * lets everything pass (NULL, or no patterns and no subtree) is the caller's affair. NOMEM. */
int js_id_set_update(struct js_id_set *set, const struct js_subjects *subjects,
                     const struct js_filter *filter);

static inline bool js_id_set_has(const struct js_id_set *set, uint32_t id) {
    return id < set->upto && (set->bits[id >> 6] >> (id & 63) & 1);
}

#endif
