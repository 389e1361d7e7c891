/* SPDX-License-Identifier: Apache-2.0 */
/* The data set of the benchmarks, the same as in peer/file_store_test.go, and how they measure. */
#ifndef BENCH_DATA_H
#define BENCH_DATA_H

#include <stdint.h>

#include "core/jetstore.h"

#define BENCH_SUBJECT_SIZE 48

/* What the command line says. */
struct bench {
    const char *dir;
    uint64_t n;        /* messages */
    uint64_t size;     /* bytes of payload */
    uint64_t subjects; /* 1: "bench.one"; else dev.<id/1000>.<id%1000>.temp */
    uint64_t hdr;      /* bytes of header; 0 = none, else >= 24 */
    uint64_t batch;    /* messages a call when storing */
    uint64_t expect;   /* messages that opening must find; 0 = n */
    bool random_table;
    bool async; /* stored messages wait in a buffer */
    struct js_store *store;
    struct js_stream *stream;
};

/* splitmix64 of x. */
uint64_t bench_mix(uint64_t x);
/* Number of the subject of message i (from 1). */
uint64_t bench_subject_id(const struct bench *bench, uint64_t i);
/* Writes subject number id, at most BENCH_SUBJECT_SIZE bytes with the NUL; its length. */
size_t bench_subject(const struct bench *bench, uint64_t id, char *ret_subject);
/* Payload of message i; static. */
const uint8_t *bench_payload(const struct bench *bench, uint64_t i);
/* The header of bench->hdr bytes, NULL if none; static. */
const uint8_t *bench_header(const struct bench *bench);

/* Opens bench->dir (an account's or a lone stream) and its stream BENCH, timing nothing; flags:
 * enum js_open_flags. Ends the program on failure. */
void bench_open(struct bench *bench, unsigned flags);
void bench_close(struct bench *bench);
/* Opens with the state known and, if scan, every block known as well. */
void bench_open_scanned(struct bench *bench);

struct bench_timer {
    const char *name;
    js_time_t start;
};
/* Gives unused memory back, lets the peak of resident memory begin anew, and takes the time. */
struct bench_timer bench_start(const char *name);
/* Prints one line of JSON: case, ops, ns_per_op, mb_per_s, peak_rss_mib, result. */
void bench_stop(const struct bench_timer *timer, uint64_t ops, uint64_t bytes, uint64_t result);

/* Ends the program with a sentence on standard error if r is an error. */
void bench_ok(const char *what, int r);
/* Ends the program if the counts differ: a wrong answer is no result. */
void bench_check(const char *what, uint64_t got, uint64_t want);
/* Ends the program if a loaded message is not message i of the data set, byte by byte. */
void bench_check_msg(const struct bench *bench, const struct js_msg *msg, uint64_t i);

/* Cases (what they do stands beside them); each runs in a process of its own. */
void bench_case_seq(struct bench *bench);
void bench_case_block_first_known(struct bench *bench);
void bench_case_block_first_index(struct bench *bench);
void bench_case_random(struct bench *bench);
void bench_case_iter(struct bench *bench);
void bench_case_next(struct bench *bench);
void bench_case_prev(struct bench *bench);
void bench_case_literal(struct bench *bench);
void bench_case_wildcard(struct bench *bench);
void bench_case_multi10(struct bench *bench);
void bench_case_last(struct bench *bench);
void bench_case_pending_first(struct bench *bench);
void bench_case_subjects_first(struct bench *bench);
void bench_case_query(struct bench *bench);

#endif
