/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs bench read`: the stream is stored once; each run opens it anew for each group of cases. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cli/bench.h"

#define RANDOM_LOADS 200000

/* Message i of the data set? Subject, sizes, and the payload's ends. */
static int check_msg(const struct jf_bench *bench, const struct js_msg *msg, uint64_t i) {
    uint64_t id = jf_bench_subject_id(bench->subjects, i);
    const uint8_t *data = jf_bench_payload(bench->noise, i);
    bool same = msg->seq == i && msg->subject_len == bench->name_lens[id] &&
                memcmp(msg->subject, bench->names[id], msg->subject_len) == 0 &&
                msg->hdr_len == bench->hdr && msg->data_len == bench->size &&
                memcmp(msg->data, data, msg->data_len) == 0;

    return same ? 0 : jf_bench_expect(bench, "message other than stored, sequence", i, 0);
}

/* Every thousandth message, byte by byte. */
static int check_some(const struct jf_bench *bench) {
    struct js_msg msg;
    int r = 0;

    for (uint64_t i = 1; i <= bench->msgs && r == 0; i += 1 + bench->msgs / 1000) {
        r = js_stream_load_msg(bench->stream, i, &msg);
        if (r < 0)
            break;
        r = check_msg(bench, &msg, i);
        js_msg_release(&msg);
    }
    return r;
}

/* Loads n messages, in order or at random. */
static int load(struct jf_bench *bench, const char *name, uint64_t n, bool at_random) {
    struct js_msg msg;
    uint64_t bytes = 0;
    int r = 0;

    jf_bench_start(bench);
    for (uint64_t i = 1; i <= n && r == 0; i++) {
        r = js_stream_load_msg(bench->stream,
                               at_random ? 1 + jf_bench_mix(i) % bench->msgs : i, &msg);
        if (r < 0)
            break;
        bytes += msg.data_len;
        js_msg_release(&msg);
    }
    if (r == 0)
        r = jf_bench_stop(bench, name, n, bytes);
    return r ? r : jf_bench_expect(bench, name, bytes, n * bench->size);
}

static int in_order(struct jf_bench *bench) {
    int r = jf_bench_open(bench, 0);

    if (r)
        return r;
    r = load(bench, "sequence_first", bench->msgs, false);
    if (r == 0)
        r = load(bench, "sequence_again", bench->msgs, false);
    if (r == 0)
        r = check_some(bench);
    return jf_bench_close(bench, r);
}

static int at_random(struct jf_bench *bench) {
    int r = jf_bench_open(bench, 0);

    if (r)
        return r;
    r = load(bench, "random_first", RANDOM_LOADS, true);
    if (r == 0)
        r = load(bench, "random_again", RANDOM_LOADS, true);
    return jf_bench_close(bench, r);
}

/* Walks over the matches of a pattern with load next; want: how many there are. */
static int walk(struct jf_bench *bench, const char *name, const char *pattern, uint64_t want) {
    struct js_filter filter = {.patterns = &pattern, .count = 1};
    struct js_msg msg;
    uint64_t n = 0, bytes = 0;
    js_seq_t from = 1;
    int r;

    jf_bench_start(bench);
    while ((r = js_stream_load_next_msg(bench->stream, &filter, from, &msg)) == 0) {
        n++;
        bytes += msg.data_len;
        from = msg.seq + 1;
        js_msg_release(&msg);
    }
    r = r == JS_ERR_EOF ? jf_bench_stop(bench, name, n, bytes) : r;
    return r ? r : jf_bench_expect(bench, name, n, want);
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

static int newest(struct jf_bench *bench) {
    struct js_msg msg;
    uint64_t found = 0, want = 0;
    int r = 0;
    uint8_t *seen = calloc(bench->subjects, 1);

    if (!seen)
        return JS_ERR_NOMEM;
    for (uint64_t i = 1; i <= bench->msgs; i++)
        seen[jf_bench_subject_id(bench->subjects, i)] = 1;
    jf_bench_start(bench);
    for (uint64_t i = 0; i < RANDOM_LOADS && r == 0; i++) {
        uint64_t id = jf_bench_mix(i) % bench->subjects;
        want += seen[id];
        r = js_stream_load_last_msg(bench->stream, bench->names[id], bench->name_lens[id], &msg);
        if (r == 0) {
            found++;
            js_msg_release(&msg);
        } else if (r == JS_ERR_MSG_NOT_FOUND) {
            r = 0;
        }
    }
    free(seen);
    if (r == 0)
        r = jf_bench_stop(bench, "last_by_subject", RANDOM_LOADS, found * bench->size);
    return r ? r : jf_bench_expect(bench, "last_by_subject", found, want);
}

static int pending(struct jf_bench *bench, const char *pattern) {
    struct js_filter filter = {.patterns = &pattern, .count = 1};
    uint64_t n = 0, asked = 1000;
    int r = 0;

    jf_bench_start(bench);
    for (uint64_t i = 0; i < asked && r == 0; i++)
        r = js_stream_num_pending(bench->stream, bench->msgs / 2, &filter, false, &n, NULL);
    return r ? r : jf_bench_stop(bench, "pending_wildcard", asked, 0);
}

static int by_subject(struct jf_bench *bench) {
    uint64_t id = bench->subjects / 2, group = id / 1000;
    char wildcard[JF_BENCH_SUBJECT_SIZE];
    int r = jf_bench_open(bench, 0);

    if (r)
        return r;
    snprintf(wildcard, sizeof wildcard, "dev.%llu.*.temp", (unsigned long long)group);
    r = walk(bench, "next_wildcard_first", wildcard,
             count_ids(bench, group * 1000, group * 1000 + 1000));
    if (r == 0)
        r = walk(bench, "next_wildcard_again", wildcard,
                 count_ids(bench, group * 1000, group * 1000 + 1000));
    if (r == 0)
        r = walk(bench, "next_literal_first", bench->names[id], count_ids(bench, id, id + 1));
    if (r == 0)
        r = walk(bench, "next_literal_again", bench->names[id], count_ids(bench, id, id + 1));
    if (r == 0)
        r = newest(bench);
    if (r == 0)
        r = pending(bench, wildcard);
    return jf_bench_close(bench, r);
}

int jf_bench_run_read(struct jf_bench *bench) {
    int r = jf_bench_prepare(bench, true);

    if (r == 0)
        r = in_order(bench);
    if (r == 0)
        r = at_random(bench);
    if (r == 0)
        r = jf_bench_open(bench, 0);
    if (r == 0)
        r = jf_bench_close(bench, walk(bench, "next_all", ">", bench->msgs));
    if (r == 0 && bench->subjects > 1)
        r = by_subject(bench);
    return r;
}
