/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crash states: scripted work on a stream is recorded call by call, the disk is rebuilt as a power
 * failure may leave it before each call, and what opens from it is held against what the script had
 * been told by then.
 */
#ifndef TESTS_CRASH_H
#define TESTS_CRASH_H

#include <stdio.h>

#include "tests/support/ramdisk.h"
#include "tests/support/testenv.h"

/* What can be read from a stream. */
struct snap_msg {
    js_seq_t seq;
    uint64_t hash; /* of time, subject, header and payload */
    uint32_t size; /* what it counts for limits of bytes */
};
struct snap {
    struct snap_msg *msgs;
    size_t count;
    js_seq_t first, last;
    js_time_t last_time;
    uint64_t bytes, lost;
};
/* 0 or what the engine returned; why (at least 200 bytes) says what was asked. */
int snap_take(struct js_stream *stream, struct snap *ret_snap, char *why);
void snap_done(struct snap *snap);
const struct snap_msg *snap_find(const struct snap *snap, js_seq_t seq);
/* NULL, or how they differ (static). */
const char *snap_differs(const struct snap *a, const struct snap *b);

/* A step of a script that was acknowledged. */
struct step {
    struct snap after;
    size_t begin, end; /* recorded calls before and after it */
    bool durable;      /* what happened up to here was promised to be on disk */
    bool evicts;       /* limits may have removed messages: they may return with a crash */
    char text[64];
};

/* What a stream is and what is done with it. */
struct theme {
    const char *name;
    const char *config; /* JSON */
    enum js_sync_mode sync;
    uint64_t block_size;
    unsigned flags; /* of opening, besides JS_OPEN_RW */
    unsigned steps;
    const char *ops;  /* letters, see script.c; more often = more likely */
    bool keeps_order; /* what is lost of unsynced messages is lost from the end */
};
extern const struct theme themes[];
extern const size_t num_themes;

struct script {
    const struct theme *theme;
    uint64_t seed;
    struct ramdisk *disk;
    struct testenv te;
    struct js_store *store;
    struct js_stream *stream;
    struct step *steps; /* steps[0]: before anything */
    size_t num_steps;
    uint64_t rng;
    uint64_t stored; /* messages so far; makes them different */
    bool limited;    /* limits may remove messages */
    char why[300];
};

/* Runs it on a recording disk: 0, or -1 with why. */
int script_run(struct script *script, const struct theme *theme, uint64_t seed);
/* The parts of that: makes the disk and the stream on it; opens it; the operation that comes next;
 * doing it. */
int script_begin(struct script *script, const struct theme *theme, uint64_t seed);
int script_reopen(struct script *script);
char script_next_op(struct script *script);
int script_do(struct script *script, char op, struct step *step);
void script_done(struct script *script);
int script_open(const struct theme *theme, struct testenv *te, struct js_store **ret_store,
                struct js_stream **ret_stream, char *why);

/* ---- oracle.c -------------------------------------------------------------------------------- */

/* May a disk that broke before recorded call `at` show this? 0 or -1 with why. */
int oracle_allows(const struct theme *theme, const struct step *steps, size_t num_steps, size_t at,
                  const struct snap *seen, char *why, size_t why_size);

static inline uint64_t crash_next(uint64_t *rng) {
    uint64_t z = *rng += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

#endif
