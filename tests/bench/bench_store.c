/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures the library, one case a process; bench.py starts it and knows the cases.
 *
 * usage: bench_store CASE DIR [n=1000000] [size=128] [subjects=1] [hdr=0] [batch=1024] [expect=n]
 *                             [table=text|random] [flush=async]
 *
 * "fill" writes stream BENCH of account $G into a new store; "append" adds n messages to it; "open"
 * times opening. The others read. Every result is one line of JSON on standard output; a wrong
 * count or message ends the program with status 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_data.h"

#define MAX_BATCH 1024

/* Subjects by number: making them is not part of what is measured. */
static char (*names)[BENCH_SUBJECT_SIZE];
static size_t *name_lens;

static void make_names(const struct bench *bench) {
    names = calloc(bench->subjects, sizeof *names);
    name_lens = calloc(bench->subjects, sizeof *name_lens);
    bench_ok("subjects", names && name_lens ? 0 : JS_ERR_NOMEM);
    for (uint64_t id = 0; id < bench->subjects; id++)
        name_lens[id] = bench_subject(bench, id, names[id]);
}

static void free_names(void) {
    free(names);
    free(name_lens);
}

static void store(struct bench *bench, uint64_t n) {
    static struct js_new_msg msgs[MAX_BATCH];
    const uint8_t *hdr = bench_header(bench);

    for (uint64_t i = 1; i <= n;) {
        size_t k = 0;
        int err = 0;
        for (; k < bench->batch && i <= n; k++, i++) {
            uint64_t id = bench_subject_id(bench, i);
            msgs[k] = (struct js_new_msg){.subject = names[id],
                                          .subject_len = name_lens[id],
                                          .hdr = hdr,
                                          .hdr_len = (size_t)bench->hdr,
                                          .data = bench_payload(bench, i),
                                          .data_len = (size_t)bench->size};
        }
        if (js_stream_store_msgs(bench->stream, msgs, k, &err) != (ssize_t)k)
            bench_ok("store", err ? err : JS_ERR_IO);
    }
}

static void fill(struct bench *bench) {
    struct js_store_options options = {.flags = JS_OPEN_RW | JS_OPEN_CREATE, .sync = JS_SYNC_OS};
    if (bench->async)
        options.flags |= JS_OPEN_ASYNC;
    char why[256] = "";
    int r = js_store_open(js_env_default(), bench->dir, &options, &bench->store, why, sizeof why);
    bench_ok(why, r);
    r = js_store_create_stream(bench->store, "$G", "BENCH",
                               "{\"subjects\":[\"bench.>\",\"dev.>\"]}", why, sizeof why);
    bench_ok(why, r);
    bench_ok("stream", js_store_get_stream(bench->store, "$G", "BENCH", &bench->stream));
    bench_payload(bench, 1); /* the table is not part of what is measured */
    make_names(bench);
    struct bench_timer timer = bench_start("store");
    store(bench, bench->n);
    bench_stop(&timer, bench->n, bench->n * bench->size, bench->n);
    bench_close(bench);
    free_names();
}

static void append(struct bench *bench) {
    bench_open(bench, JS_OPEN_RW);
    make_names(bench);
    store(bench, bench->n);
    bench_close(bench);
    free_names();
}

/* How many subjects n messages have. */
static uint64_t count_subjects(const struct bench *bench) {
    uint64_t count = 0;
    uint8_t *seen = calloc(bench->subjects, 1);
    bench_ok("subjects", seen ? 0 : JS_ERR_NOMEM);
    for (uint64_t i = 1; i <= bench->n; i++) {
        uint64_t id = bench_subject_id(bench, i);
        count += !seen[id];
        seen[id] = 1;
    }
    free(seen);
    return count;
}

static void open_only(struct bench *bench) {
    struct js_stream_state st;
    uint64_t subjects = count_subjects(bench);
    struct bench_timer timer = bench_start("open");
    bench_open(bench, 0);
    js_stream_get_state(bench->stream, &st);
    bench_stop(&timer, 1, 0, st.msgs);
    bench_check("messages", st.msgs, bench->expect);
    bench_check("last sequence", st.last_seq, bench->expect);
    bench_check("subjects", st.num_subjects, subjects);
    bench_close(bench);
}

static const struct {
    const char *name;
    void (*run)(struct bench *bench);
} cases[] = {
    {"fill", fill},
    {"append", append},
    {"open", open_only},
    {"seq", bench_case_seq},
    {"block_first_known", bench_case_block_first_known},
    {"block_first_index", bench_case_block_first_index},
    {"random", bench_case_random},
    {"iter", bench_case_iter},
    {"next", bench_case_next},
    {"prev", bench_case_prev},
    {"literal", bench_case_literal},
    {"wildcard", bench_case_wildcard},
    {"multi10", bench_case_multi10},
    {"last", bench_case_last},
    {"pending_first", bench_case_pending_first},
    {"subjects_first", bench_case_subjects_first},
    {"query", bench_case_query},
};

static bool option(struct bench *bench, const char *arg) {
    struct {
        const char *name;
        uint64_t *value;
    } numbers[] = {{"n=", &bench->n},         {"size=", &bench->size},   {"hdr=", &bench->hdr},
                   {"batch=", &bench->batch}, {"expect=", &bench->expect},
                   {"subjects=", &bench->subjects}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        size_t len = strlen(numbers[i].name);
        if (strncmp(arg, numbers[i].name, len) == 0) {
            *numbers[i].value = strtoull(arg + len, NULL, 10);
            return true;
        }
    }
    if (strcmp(arg, "flush=async") == 0)
        return bench->async = true;
    bench->random_table = strcmp(arg, "table=random") == 0;
    return bench->random_table || strcmp(arg, "table=text") == 0;
}

int main(int argc, char **argv) {
    struct bench bench = {.n = 1000000, .size = 128, .subjects = 1, .batch = MAX_BATCH};
    bool good = argc >= 3;
    for (int i = 3; i < argc && good; i++)
        good = option(&bench, argv[i]);
    good = good && bench.n && bench.subjects && bench.batch && bench.batch <= MAX_BATCH &&
           bench.size <= 262144 && (bench.hdr == 0 || (bench.hdr >= 24 && bench.hdr <= 4096));
    if (bench.expect == 0)
        bench.expect = bench.n;
    for (size_t i = 0; good && i < sizeof cases / sizeof *cases; i++)
        if (strcmp(argv[1], cases[i].name) == 0) {
            bench.dir = argv[2];
            cases[i].run(&bench);
            return 0;
        }
    fprintf(stderr, "usage: bench_store CASE DIR [NAME=VALUE]... (see bench_store.c)\n");
    return 2;
}
