/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `jetfs bench`: what a workload's file needs. A workload is a function that does one run: it makes or
 * opens the store, and puts jf_bench_start() and jf_bench_stop() around what is measured. It may
 * measure several cases. Counts are checked: a wrong one is a failure, never a result.
 *
 * Results of these functions: 0, a negative js_err, or JF_BENCH_TOLD when the user was told already.
 */
#ifndef JF_CLI_BENCH_H
#define JF_CLI_BENCH_H

#include "fs/cli/bench_data.h"
#include "fs/cli/cli.h"

#define JF_BENCH_TOLD 1

struct jf_bench_case; /* what was measured of one case so far */

struct jf_bench {
    const struct jf_call *call;
    /* as asked for */
    uint64_t msgs;
    uint64_t subjects;
    uint64_t size;
    uint64_t hdr;
    uint64_t batch; /* messages a call when storing */
    uint64_t runs;
    uint64_t max_msgs;      /* limit of the stream, 0 = none */
    uint64_t max_per_subject;
    uint64_t window; /* of consumers: messages in flight */
    bool size_given;
    enum js_new_cipher cipher;
    uint64_t max_age; /* limit of the stream, seconds; 0 = none */
    bool noise;
    bool in_place;           /* what a call stored is written when it returns */
    enum js_sync_mode sync;  /* JS_SYNC_OS, or JS_SYNC_ALWAYS with --sync */
    const char *compression; /* "none" or "s2" */
    /* of this run */
    unsigned run;    /* from 0 */
    char dir[4096];  /* of the store; a new one is made in it when it is empty */
    struct js_store *store;
    struct js_stream *stream;
    char (*names)[JF_BENCH_SUBJECT_SIZE]; /* subjects by number */
    uint32_t *name_lens;
    struct jf_bench_case *cases;
    size_t ncases;
    js_time_t started;
};

struct jf_bench_workload {
    const char *name;
    const char *summary;
    int (*run)(struct jf_bench *bench);
};

/* ---- bench.c ------------------------------------------------------------------------------ */

/* Memory peak and clock begin. */
void jf_bench_start(struct jf_bench *bench);
/* The clock stops: so many operations and bytes of payload since jf_bench_start, for this case. */
int jf_bench_stop(struct jf_bench *bench, const char *name, uint64_t ops, uint64_t bytes);
/* 0 if the counts agree; else tells and returns JF_BENCH_TOLD. */
int jf_bench_expect(const struct jf_bench *bench, const char *what, uint64_t got, uint64_t want);

/* ---- bench_store.c ------------------------------------------------------------------------ */

/* Makes a new store in bench->dir (what was there goes) with the stream BENCH, empty and open. */
int jf_bench_create(struct jf_bench *bench);
/* Stores messages from..to of the data set, bench->batch a call, and hands them to the kernel. */
int jf_bench_fill(struct jf_bench *bench, uint64_t from, uint64_t to);
/* A new store with all messages, closed; done once for all runs if once is true. */
int jf_bench_prepare(struct jf_bench *bench, bool once);
/* Opens the store and its stream. flags: enum js_open_flags. */
int jf_bench_open(struct jf_bench *bench, unsigned flags);
/* Closes them; returns r, or the error of closing if r is 0. */
int jf_bench_close(struct jf_bench *bench, int r);

int jf_bench_run_store(struct jf_bench *bench);
int jf_bench_run_read(struct jf_bench *bench);
int jf_bench_run_remove(struct jf_bench *bench);
int jf_bench_run_recover(struct jf_bench *bench);
int jf_bench_run_purge(struct jf_bench *bench);
int jf_bench_run_compact(struct jf_bench *bench);
int jf_bench_run_truncate(struct jf_bench *bench);
int jf_bench_run_sync(struct jf_bench *bench);
int jf_bench_run_expire(struct jf_bench *bench);
int jf_bench_run_backup(struct jf_bench *bench);
int jf_bench_run_consumer(struct jf_bench *bench);

#endif
