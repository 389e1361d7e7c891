/* SPDX-License-Identifier: Apache-2.0 */
/* Cases that load messages. Figures to check against are those of the same data in the peer. */
#include <stdio.h>
#include <stdlib.h>

#include "bench_data.h"

#define RANDOM_LOADS 200000
#define LAST_LOADS 100000
#define SAMPLES 1000

/* What was loaded is what was stored: some messages all over the stream, byte by byte. */
static void check_sample(struct bench *bench) {
    for (uint64_t k = 0; k < SAMPLES; k++) {
        struct js_msg msg;
        uint64_t i = 1 + bench_mix(k) % bench->n;
        bench_ok("load", js_stream_load_msg(bench->stream, i, &msg));
        bench_check_msg(bench, &msg, i);
        js_msg_release(&msg);
    }
}

static uint64_t load(struct bench *bench, js_seq_t seq) {
    struct js_msg msg;
    bench_ok("load", js_stream_load_msg(bench->stream, seq, &msg));
    uint64_t len = msg.data_len;
    js_msg_release(&msg);
    return len;
}

/* Every message in order, after opening with index.db; then the same again. */
void bench_case_seq(struct bench *bench) {
    static const char *const names[] = {"seq_first", "seq_second"};
    bench_open(bench, 0);
    for (int pass = 0; pass < 2; pass++) {
        uint64_t bytes = 0;
        struct bench_timer timer = bench_start(names[pass]);
        for (js_seq_t seq = 1; seq <= bench->n; seq++)
            bytes += load(bench, seq);
        bench_stop(&timer, bench->n, bytes, bytes);
        bench_check(names[pass], bytes, bench->n * bench->size);
    }
    check_sample(bench);
    bench_close(bench);
}

/* The middle sequence of each block, in scattered order; how many. */
static size_t one_per_block(struct bench *bench, js_seq_t **ret_seqs) {
    struct js_stream_state st;
    js_stream_get_state(bench->stream, &st);
    size_t n = 0;
    js_seq_t *seqs = malloc((st.num_blocks + 1) * 2 * sizeof *seqs);
    bench_ok("blocks", seqs ? 0 : JS_ERR_NOMEM);
    js_seq_t *ordered = seqs + st.num_blocks + 1;
    for (size_t i = 0; i < st.num_blocks; i++) {
        struct js_block_info info;
        bench_ok("block", js_stream_block(bench->stream, i, &info));
        if (info.first_seq <= info.last_seq)
            ordered[n++] = info.first_seq + (info.last_seq - info.first_seq) / 2;
    }
    /* Prime, and no divisor of n: each block once. The peer's takes the same. */
    size_t step = n % 7 ? 7 : n % 11 ? 11 : 1;
    for (size_t k = 0; k < n; k++)
        seqs[k] = ordered[k * step % n];
    *ret_seqs = seqs;
    return n;
}

static void block_first(struct bench *bench, const char *name, const js_seq_t *seqs, size_t n) {
    struct bench_timer timer = bench_start(name);
    uint64_t bytes = 0;
    for (size_t k = 0; k < n; k++)
        bytes += load(bench, seqs[k]);
    bench_stop(&timer, n, bytes, n);
    bench_check(name, bytes, n * bench->size);
    check_sample(bench);
}

/* The first load from each block when every block was read once (and left the cache). */
void bench_case_block_first_known(struct bench *bench) {
    js_seq_t *seqs;
    bench_open_scanned(bench);
    size_t n = one_per_block(bench, &seqs);
    block_first(bench, "block_first_known", seqs, n);
    free(seqs);
    bench_close(bench);
}

/* The same directly after an opening that index.db spared the blocks. */
void bench_case_block_first_index(struct bench *bench) {
    struct js_stream_state st;
    js_seq_t *seqs;
    bench_open_scanned(bench);
    size_t n = one_per_block(bench, &seqs);
    bench_close(bench);
    bench_open(bench, 0);
    js_stream_get_state(bench->stream, &st);
    if (st.scanned)
        fprintf(stderr, "bench_store: note: opening read every block\n");
    block_first(bench, "block_first_index", seqs, n);
    free(seqs);
    bench_close(bench);
}

void bench_case_random(struct bench *bench) {
    static const char *const names[] = {"random_fresh", "random_warm"};
    bench_open(bench, 0);
    for (uint64_t pass = 0; pass < 2; pass++) {
        uint64_t bytes = 0;
        struct bench_timer timer = bench_start(names[pass]);
        for (uint64_t i = 0; i < RANDOM_LOADS; i++)
            bytes += load(bench, 1 + bench_mix(i + pass * RANDOM_LOADS) % bench->n);
        bench_stop(&timer, RANDOM_LOADS, bytes, RANDOM_LOADS);
        bench_check(names[pass], bytes, RANDOM_LOADS * bench->size);
    }
    check_sample(bench);
    bench_close(bench);
}

/* All through an iterator. */
void bench_case_iter(struct bench *bench) {
    struct js_iter *iter;
    struct js_msg msg;
    uint64_t n = 0, bytes = 0;
    int r;
    bench_open(bench, 0);
    struct bench_timer timer = bench_start("iter_all");
    bench_ok("iterator", js_iter_open(bench->stream, NULL, &iter));
    for (js_seq_t from = 1; (r = js_iter_next(iter, from, &msg)) == 0; from = msg.seq + 1) {
        n++;
        bytes += msg.data_len;
    }
    bench_stop(&timer, n, bytes, n);
    bench_ok("next", r == JS_ERR_EOF ? 0 : r);
    js_iter_close(iter);
    bench_check("messages", n, bench->n);
    bench_check("bytes", bytes, bench->n * bench->size);
    check_sample(bench);
    bench_close(bench);
}

/* Walks the matches of patterns from the front by load_next; how many. */
static uint64_t walk(struct bench *bench, const struct js_filter *filter, uint64_t *bytes) {
    struct js_msg msg;
    uint64_t n = 0;
    int r;
    for (js_seq_t from = 1;
         (r = js_stream_load_next_msg(bench->stream, filter, from, &msg)) == 0;
         from = msg.seq + 1) {
        n++;
        *bytes += msg.data_len;
        js_msg_release(&msg);
    }
    bench_ok("next", r == JS_ERR_EOF ? 0 : r);
    return n;
}

/* Every match found must be of this subject family, and all of them must have been found. */
static uint64_t count_ids(const struct bench *bench, uint64_t from, uint64_t to) {
    uint64_t n = 0;
    for (uint64_t i = 1; i <= bench->n; i++) {
        uint64_t id = bench_subject_id(bench, i);
        n += id >= from && id < to;
    }
    return n;
}

static void timed_walk(struct bench *bench, const char *name, const char *pattern, uint64_t want) {
    struct js_filter filter = {.patterns = &pattern, .count = 1};
    uint64_t bytes = 0;
    struct bench_timer timer = bench_start(name);
    uint64_t n = walk(bench, &filter, &bytes);
    bench_stop(&timer, n, bytes, n);
    bench_check(name, n, want);
    bench_check(name, bytes, n * bench->size);
}

void bench_case_next(struct bench *bench) {
    bench_open(bench, 0);
    timed_walk(bench, "next_all", ">", bench->n);
    check_sample(bench);
    bench_close(bench);
}

void bench_case_prev(struct bench *bench) {
    struct js_msg msg;
    uint64_t n = 0, bytes = 0;
    int r = 0;
    bench_open(bench, 0);
    struct bench_timer timer = bench_start("prev_all");
    for (js_seq_t from = bench->n; from > 0; from = msg.seq - 1) {
        r = js_stream_load_prev_msg(bench->stream, NULL, from, &msg);
        if (r < 0)
            break;
        n++;
        bytes += msg.data_len;
        js_msg_release(&msg);
    }
    bench_stop(&timer, n, bytes, n);
    bench_ok("previous", r);
    bench_check("messages", n, bench->n);
    bench_check("bytes", bytes, bench->n * bench->size);
    bench_close(bench);
}

/* Subjects with about ten messages each, a million messages apart from each other. */
void bench_case_literal(struct bench *bench) {
    char subjects[100][BENCH_SUBJECT_SIZE];
    uint64_t n = 0, bytes = 0;
    for (uint64_t k = 0; k < 100; k++)
        bench_subject(bench, (k * 997 + 13) % bench->subjects, subjects[k]);
    bench_open(bench, 0);
    timed_walk(bench, "literal_cold", "dev.42.123.temp", 3);
    /* What follows asks of a stream that was read, as it is after a few such questions. */
    bench_ok("scan", js_stream_scan(bench->stream));
    struct bench_timer timer = bench_start("literal_100");
    for (uint64_t k = 0; k < 100; k++) {
        const char *pattern = subjects[k];
        n += walk(bench, &(struct js_filter){.patterns = &pattern, .count = 1}, &bytes);
    }
    bench_stop(&timer, n, bytes, n);
    bench_check("literal_100", n, 1019);
    bench_close(bench);
}

void bench_case_wildcard(struct bench *bench) {
    uint64_t other = count_ids(bench, 43000, 44000);
    bench_open(bench, 0);
    timed_walk(bench, "wildcard_1pct_cold", "dev.42.*.temp", 10052);
    timed_walk(bench, "wildcard_1pct_warm", "dev.43.*.temp", other);
    timed_walk(bench, "wildcard_01pct", "dev.*.123.temp", 966);
    bench_close(bench);
}

void bench_case_multi10(struct bench *bench) {
    static const char *const patterns[] = {
        "dev.0.*.temp",  "dev.7.*.temp",  "dev.14.*.temp", "dev.21.*.temp", "dev.28.*.temp",
        "dev.35.*.temp", "dev.42.*.temp", "dev.49.*.temp", "dev.56.*.temp", "dev.63.*.temp",
    };
    struct js_filter filter = {.patterns = patterns, .count = 10, .any_of = true};
    uint64_t bytes = 0;
    bench_open(bench, 0);
    struct bench_timer timer = bench_start("multi10");
    uint64_t n = walk(bench, &filter, &bytes);
    bench_stop(&timer, n, bytes, n);
    bench_check("multi10", n, 100287);
    bench_check("multi10", bytes, n * bench->size);
    bench_close(bench);
}

/* The newest message of random subjects; afterwards each subject's answer is checked. */
void bench_case_last(struct bench *bench) {
    static const char *const names[] = {"last_cold", "last_warm"};
    char (*subjects)[BENCH_SUBJECT_SIZE] = malloc(bench->subjects * sizeof *subjects);
    size_t *lens = malloc(bench->subjects * sizeof *lens);
    js_seq_t *last = calloc(bench->subjects, sizeof *last);
    struct js_msg msg;

    bench_ok("subjects", subjects && lens && last ? 0 : JS_ERR_NOMEM);
    for (uint64_t id = 0; id < bench->subjects; id++)
        lens[id] = bench_subject(bench, id, subjects[id]);
    for (uint64_t i = 1; i <= bench->n; i++)
        last[bench_subject_id(bench, i)] = i;
    bench_open(bench, 0);
    for (uint64_t pass = 0; pass < 2; pass++) {
        uint64_t sum = 0, want = 0, found = 0;
        struct bench_timer timer = bench_start(names[pass]);
        for (uint64_t i = 0; i < LAST_LOADS; i++) {
            uint64_t id = bench_mix(i + pass * LAST_LOADS) % bench->subjects;
            int r = js_stream_load_last_msg(bench->stream, subjects[id], lens[id], &msg);
            if (r == JS_ERR_MSG_NOT_FOUND)
                continue;
            bench_ok("last", r);
            found++;
            sum += msg.seq;
            js_msg_release(&msg);
        }
        bench_stop(&timer, LAST_LOADS, found * bench->size, found);
        for (uint64_t i = 0; i < LAST_LOADS; i++)
            want += last[bench_mix(i + pass * LAST_LOADS) % bench->subjects];
        bench_check("sum of the sequences", sum, want);
    }
    bench_close(bench);
    free(subjects);
    free(lens);
    free(last);
}
