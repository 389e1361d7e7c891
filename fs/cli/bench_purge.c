/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs bench purge|compact|truncate`: many messages taken out by one call. Each case has a store of
 * its own. */
#include <stdio.h>

#include "fs/cli/bench.h"

/* A new store with all messages, opened for writing with every block known. */
static int begin(struct jf_bench *bench) {
    int r = jf_bench_prepare(bench, false);

    if (r == 0)
        r = jf_bench_open(bench, JS_OPEN_RW | (bench->in_place ? 0 : JS_OPEN_ASYNC));
    if (r)
        return r;
    r = js_stream_scan(bench->stream); /* opening is not what is measured */
    if (r < 0)
        return jf_bench_close(bench, r);
    jf_bench_start(bench);
    return 0;
}

/* ops: one call, or what it took out. */
static int end(struct jf_bench *bench, const char *name, uint64_t ops, uint64_t left, int r) {
    struct js_stream_state st;

    if (r == 0)
        r = js_stream_flush_all_pending(bench->stream);
    if (r == 0)
        r = jf_bench_stop(bench, name, ops, 0);
    if (r == 0) {
        js_stream_get_state(bench->stream, &st);
        r = jf_bench_expect(bench, name, st.msgs, left);
    }
    return jf_bench_close(bench, r);
}

/* Messages whose subject's number lies in from..to - 1. */
static uint64_t count_ids(const struct jf_bench *bench, uint64_t from, uint64_t to) {
    uint64_t n = 0;

    for (uint64_t i = 1; i <= bench->msgs; i++) {
        uint64_t id = jf_bench_subject_id(bench->subjects, i);
        n += id >= from && id < to;
    }
    return n;
}

static int purge_filter(struct jf_bench *bench, const char *name, const char *filter, uint64_t want) {
    uint64_t n = 0;
    int r = begin(bench);

    if (r)
        return r;
    r = js_stream_purge_ex(bench->stream, filter, filter ? __builtin_strlen(filter) : 0, 0, 0, &n);
    if (r == 0)
        r = jf_bench_expect(bench, name, n, want);
    return end(bench, name, 1, bench->msgs - want, r);
}

int jf_bench_run_purge(struct jf_bench *bench) {
    uint64_t id = bench->subjects / 2, group = id / 1000 * 1000;
    char wildcard[JF_BENCH_SUBJECT_SIZE];
    int r = purge_filter(bench, "purge_all", ">", bench->msgs);

    if (r || bench->subjects == 1)
        return r;
    snprintf(wildcard, sizeof wildcard, "dev.%llu.*.temp", (unsigned long long)(group / 1000));
    r = purge_filter(bench, "purge_wildcard", wildcard, count_ids(bench, group, group + 1000));
    if (r == 0)
        r = purge_filter(bench, "purge_subject", bench->names[id], count_ids(bench, id, id + 1));
    return r;
}

int jf_bench_run_compact(struct jf_bench *bench) {
    uint64_t half = bench->msgs / 2, n = 0;
    int r = begin(bench);

    if (r)
        return r;
    r = js_stream_compact(bench->stream, half + 1, &n);
    if (r == 0)
        r = jf_bench_expect(bench, "compacted", n, half);
    return end(bench, "compact_half", 1, bench->msgs - half, r);
}

int jf_bench_run_truncate(struct jf_bench *bench) {
    uint64_t half = bench->msgs / 2;
    int r = begin(bench);

    if (r)
        return r;
    r = js_stream_truncate(bench->stream, half);
    return end(bench, "truncate_half", 1, half, r);
}
