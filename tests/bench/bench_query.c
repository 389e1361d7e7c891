/* SPDX-License-Identifier: Apache-2.0 */
/* Questions that need no payload: 1,000,000 messages over 100,000 subjects. */
#include <stdlib.h>

#include "bench_data.h"

#define MIDDLE (bench->n / 2)

/* A question asked many times; its answer is a count. */
struct question {
    js_seq_t from;
    const char *pattern;          /* NULL: ten filters */
    bool last;
    uint64_t (*ask)(struct bench *bench, const struct question *question, uint64_t i);
};

static struct js_filter filter_of(const struct question *question) {
    static const char *const ten[] = {
        "dev.0.*.temp",  "dev.7.*.temp",  "dev.14.*.temp", "dev.21.*.temp", "dev.28.*.temp",
        "dev.35.*.temp", "dev.42.*.temp", "dev.49.*.temp", "dev.56.*.temp", "dev.63.*.temp",
    };
    if (question->pattern)
        return (struct js_filter){.patterns = &question->pattern, .count = 1};
    return (struct js_filter){.patterns = ten, .count = 10, .any_of = true};
}

static uint64_t pending(struct bench *bench, const struct question *question, uint64_t i) {
    struct js_filter filter = filter_of(question);
    uint64_t n;
    (void)i;
    bench_ok("pending", js_stream_num_pending(bench->stream, question->from, &filter,
                                              question->last, &n, NULL));
    return n;
}

static uint64_t filtered(struct bench *bench, const struct question *question, uint64_t i) {
    struct js_filter filter = filter_of(question);
    struct js_subject_state st;
    (void)i;
    bench_ok("filtered state",
             js_stream_filtered_state(bench->stream, question->from, &filter, &st));
    return st.msgs;
}

static int count_subject(void *ctx, const char *subject, size_t len,
                         const struct js_subject_state *state) {
    (void)subject;
    (void)len;
    *(uint64_t *)ctx += state->msgs > 0;
    return 0;
}

static uint64_t subjects(struct bench *bench, const struct question *question, uint64_t i) {
    struct js_filter filter = filter_of(question);
    uint64_t n = 0;
    (void)i;
    bench_ok("subjects", js_stream_subjects(bench->stream, &filter, count_subject, &n));
    return n;
}

static int count_total(void *ctx, const char *subject, size_t len, uint64_t msgs) {
    (void)subject;
    (void)len;
    *(uint64_t *)ctx += msgs > 0;
    return 0;
}

static uint64_t totals(struct bench *bench, const struct question *question, uint64_t i) {
    struct js_filter filter = filter_of(question);
    uint64_t n = 0;
    (void)i;
    bench_ok("totals", js_stream_subject_totals(bench->stream, &filter, count_total, &n));
    return n;
}

/* from is the upper end here. */
static uint64_t last_seqs(struct bench *bench, const struct question *question, uint64_t i) {
    struct js_filter filter = filter_of(question);
    js_seq_t *seqs;
    size_t n;
    (void)i;
    bench_ok("last", js_stream_last_seqs(bench->stream, &filter, question->from, 0, &seqs, &n));
    js_stream_free_seqs(bench->stream, seqs);
    return n;
}

static uint64_t subject_for_seq(struct bench *bench, const struct question *question, uint64_t i) {
    char subject[BENCH_SUBJECT_SIZE];
    size_t len;
    (void)question;
    bench_ok("subject", js_stream_subject_for_seq(bench->stream, 1 + bench_mix(i) % bench->n,
                                                  subject, sizeof subject, &len));
    return len;
}

/* from is the first time, and the span follows. */
static js_time_t first_time;
static uint64_t time_span;

static uint64_t seq_from_time(struct bench *bench, const struct question *question, uint64_t i) {
    js_time_t t = first_time + (js_time_t)(bench_mix(i) % time_span);
    js_seq_t seq;
    (void)question;
    bench_ok("time", js_stream_seq_from_time(bench->stream, t, &seq));
    return seq;
}

static uint64_t timed(struct bench *bench, const char *name, uint64_t times, uint64_t want,
                      struct question question) {
    uint64_t answer = 0;
    struct bench_timer timer = bench_start(name);
    for (uint64_t i = 0; i < times; i++)
        answer = question.ask(bench, &question, i);
    bench_stop(&timer, times, 0, answer);
    if (want)
        bench_check(name, answer, want);
    return answer;
}

/* The first question after opening with index.db. */
void bench_case_pending_first(struct bench *bench) {
    bench_open(bench, 0);
    timed(bench, "pending_1pct_mid_first", 1, 5027,
          (struct question){MIDDLE, "dev.42.*.temp", false, pending});
    bench_close(bench);
}

void bench_case_subjects_first(struct bench *bench) {
    bench_open(bench, 0);
    timed(bench, "subjects_all_first", 1, 99997, (struct question){1, ">", false, subjects});
    bench_close(bench);
}

/* What a walk over all messages of the data set says. */
static uint64_t count_literal(const struct bench *bench, uint64_t id, uint64_t from) {
    uint64_t n = 0;
    for (uint64_t i = from; i <= bench->n; i++)
        n += bench_subject_id(bench, i) == id;
    return n;
}

static uint64_t count_distinct(const struct bench *bench, uint64_t from, uint64_t to,
                               uint64_t upto) {
    static uint8_t seen[1000];
    uint64_t n = 0;
    for (uint64_t i = 1; i <= upto; i++) {
        uint64_t id = bench_subject_id(bench, i);
        if (id < from || id >= to)
            continue;
        n += !seen[id - from];
        seen[id - from] = 1;
    }
    for (uint64_t id = 0; id < to - from; id++)
        seen[id] = 0;
    return n;
}

/* Answers that the loop above gave but the last of must fit the data. */
static void check_subjects(struct bench *bench) {
    for (uint64_t i = 0; i < 1000; i++) {
        char subject[BENCH_SUBJECT_SIZE];
        struct js_msg msg;
        js_seq_t seq = 1 + bench_mix(i) % bench->n;
        size_t len;
        bench_ok("subject", js_stream_subject_for_seq(bench->stream, seq, subject, sizeof subject,
                                                      &len));
        bench_ok("load", js_stream_load_msg(bench->stream, seq, &msg));
        msg.subject = subject;
        msg.subject_len = len;
        bench_check_msg(bench, &msg, seq);
        js_msg_release(&msg);
    }
}

static void check_times(struct bench *bench) {
    for (uint64_t i = 0; i < 1000; i++) {
        js_time_t t = first_time + (js_time_t)(bench_mix(i) % time_span);
        struct js_msg_stat at, before;
        js_seq_t seq;
        bench_ok("time", js_stream_seq_from_time(bench->stream, t, &seq));
        bench_ok("stat", js_stream_stat_msg(bench->stream, seq, &at));
        bench_check("a time from which the sequence counts", at.time >= t, 1);
        if (seq > 1) {
            bench_ok("stat", js_stream_stat_msg(bench->stream, seq - 1, &before));
            bench_check("no earlier message at that time", before.time < t, 1);
        }
    }
}

void bench_case_query(struct bench *bench) {
    static const char wc1[] = "dev.42.*.temp", wc01[] = "dev.*.123.temp", lit[] = "dev.42.123.temp";
    struct js_stream_state st;
    uint64_t one = count_distinct(bench, 42000, 43000, bench->n);
    uint64_t one_upto = count_distinct(bench, 42000, 43000, MIDDLE);
    uint64_t literal_mid = count_literal(bench, 42123, MIDDLE);

    bench_open(bench, 0);
    timed(bench, "pending_warm_up", 1, 5027, (struct question){MIDDLE, wc1, false, pending});
    timed(bench, "pending_all", 1000, bench->n, (struct question){1, ">", false, pending});
    timed(bench, "pending_all_mid", 1000, bench->n - MIDDLE + 1,
          (struct question){MIDDLE, ">", false, pending});
    timed(bench, "pending_literal_mid", 1000, literal_mid,
          (struct question){MIDDLE, lit, false, pending});
    timed(bench, "pending_1pct", 20, 10052, (struct question){1, wc1, false, pending});
    timed(bench, "pending_1pct_mid", 20, 5027, (struct question){MIDDLE, wc1, false, pending});
    timed(bench, "pending_01pct", 20, 966, (struct question){1, wc01, false, pending});
    timed(bench, "pending_01pct_mid", 20, 486, (struct question){MIDDLE, wc01, false, pending});
    timed(bench, "pending_last_all", 5, 99997, (struct question){1, ">", true, pending});
    timed(bench, "pending_last_1pct_mid", 5, 993, (struct question){MIDDLE, wc1, true, pending});
    timed(bench, "pending_multi10_mid", 5, 50009, (struct question){MIDDLE, NULL, false, pending});
    timed(bench, "filtered_1pct", 20, 10052, (struct question){1, wc1, false, filtered});
    timed(bench, "filtered_1pct_mid", 20, 5027, (struct question){MIDDLE, wc1, false, filtered});
    timed(bench, "subjects_all", 3, 99997, (struct question){1, ">", false, subjects});
    timed(bench, "subjects_1pct", 5, one, (struct question){1, wc1, false, subjects});
    timed(bench, "totals_all", 5, 99997, (struct question){1, ">", false, totals});
    timed(bench, "last_seqs_all", 3, 99997, (struct question){0, ">", false, last_seqs});
    timed(bench, "last_seqs_1pct", 5, one, (struct question){0, wc1, false, last_seqs});
    timed(bench, "last_seqs_1pct_upto", 5, one_upto, (struct question){MIDDLE, wc1, false, last_seqs});
    timed(bench, "subject_for_seq", 100000, 0, (struct question){0, NULL, false, subject_for_seq});
    check_subjects(bench);
    js_stream_get_state(bench->stream, &st);
    first_time = st.first_time;
    time_span = (uint64_t)(st.last_time - st.first_time);
    bench_check("the messages have times", time_span > 0, 1);
    timed(bench, "seq_from_time", 10000, 0, (struct question){0, NULL, false, seq_from_time});
    check_times(bench);
    bench_close(bench);
}
