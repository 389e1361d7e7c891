/* SPDX-License-Identifier: Apache-2.0 */
/* Ported tests: questions about subjects, times and what is pending. */
#include "tests/core/ported.h"

static uint64_t rng_state;

static uint64_t random_below(uint64_t n) {
    rng_state = rng_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (rng_state >> 33) % n;
}

static int next_of(struct pt *p, const char *const *filters, size_t n, js_seq_t from,
                   js_seq_t *ret) {
    struct js_filter f = {.patterns = filters, .count = n, .any_of = true};
    struct js_msg m;
    int r = js_stream_load_next_msg(p->stream, &f, from, &m);

    if (r == 0) {
        *ret = m.seq;
        js_msg_release(&m);
    }
    return r;
}

static int prev_of(struct pt *p, const char *const *filters, size_t n, js_seq_t from,
                   js_seq_t *ret) {
    struct js_filter f = {.patterns = filters, .count = n, .any_of = true};
    struct js_msg m;
    int r = js_stream_load_prev_msg(p->stream, &f, from, &m);

    if (r == 0) {
        *ret = m.seq;
        js_msg_release(&m);
    }
    return r;
}

PORTED(test_store_msg_load_next_msg_multi) {
    const char *all[1000], *wild[] = {"foo.>"}, *three[] = {"foo.0", "foo.500", "foo.999"};
    char names[1000][12];
    js_seq_t seq = 0;

    pt_open(p, "", 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(names[i], sizeof names[i], "foo.%d", i);
        all[i] = names[i];
        pt_store(p, names[i], "ZZZ");
    }
    for (js_seq_t i = 1; i <= 1000; i++) {
        assert_int_equal(next_of(p, wild, 1, i, &seq), 0);
        assert_int_equal(seq, i);
        assert_int_equal(next_of(p, all, 1000, i, &seq), 0);
        assert_int_equal(seq, i);
    }
    assert_int_equal(next_of(p, wild, 1, 1001, &seq), JS_ERR_EOF);
    assert_int_equal(next_of(p, three, 3, 1, &seq), 0);
    assert_int_equal(seq, 1);
    assert_int_equal(next_of(p, three, 3, 2, &seq), 0);
    assert_int_equal(seq, 501);
    assert_int_equal(next_of(p, three, 3, 502, &seq), 0);
    assert_int_equal(seq, 1000);
    assert_int_equal(next_of(p, three, 3, 1001, &seq), JS_ERR_EOF);
}

PORTED(test_store_msg_load_prev_msg_multi) {
    const char *three[] = {"foo.0", "foo.500", "foo.999"};
    char subject[12];
    js_seq_t seq = 1001;
    int found = 0;

    pt_open(p, "", 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(subject, sizeof subject, "foo.%d", i);
        pt_store(p, subject, "ZZZ");
    }
    while (seq > 0 && prev_of(p, three, 3, seq - 1, &seq) == 0)
        found++;
    assert_int_equal(found, 3);
    assert_int_equal(seq, 1);
    assert_int_equal(prev_of(p, three + 1, 2, 500, &seq), JS_ERR_EOF);
}

PORTED(test_store_msg_load_prev_msg) {
    const char *lit[] = {"foo.1"}, *wild[] = {"foo.*"}, *none[] = {"bar"};
    js_seq_t seq = 0;

    pt_open(p, "", 128);
    pt_store(p, "foo.1", "x");
    pt_store(p, "foo.2", "x");
    pt_store(p, "baz", "x");
    pt_store(p, "foo.1", "x");
    assert_int_equal(prev_of(p, NULL, 0, 4, &seq), 0);
    assert_int_equal(seq, 4);
    assert_int_equal(prev_of(p, lit, 1, 3, &seq), 0);
    assert_int_equal(seq, 1);
    assert_int_equal(prev_of(p, wild, 1, 3, &seq), 0);
    assert_int_equal(seq, 2);
    assert_int_equal(prev_of(p, none, 1, 4, &seq), JS_ERR_EOF);
}

PORTED(test_store_msg_load_prev_msg_multi_full_wildcard_skip) {
    const char *all[] = {">"};
    js_seq_t seq = 11;

    pt_open(p, "", 128);
    pt_store_n(p, 10, "foo", "x");
    for (js_seq_t i = 10; i >= 1; i--) {
        assert_int_equal(prev_of(p, all, 1, seq - 1, &seq), 0);
        assert_int_equal(seq, i);
    }
    pt_remove(p, 1);
    assert_int_equal(prev_of(p, all, 1, 1, &seq), JS_ERR_EOF);
}

PORTED(test_store_load_next_msg_wildcard_start_before_first_match) {
    js_seq_t seq = 0;

    pt_open(p, "", 0);
    for (int i = 0; i < 100; i++) {
        char subject[12];
        snprintf(subject, sizeof subject, "bar.%d", i);
        pt_store(p, subject, "x");
    }
    pt_store(p, "foo.1", "x");
    assert_int_equal(pt_next(p, "foo.*", 1, &seq), 0);
    assert_int_equal(seq, 101);
    assert_int_equal(pt_next(p, "foo.*", 102, &seq), JS_ERR_EOF);
}

static void expect_subject(struct pt *p, uint64_t n, js_seq_t first, js_seq_t last) {
    struct js_subject_state st = {0};
    js_seq_t seq = 0;

    if (n == 0) {
        assert_int_equal(js_stream_subject(p->stream, "foo", 3, &st), JS_ERR_MSG_NOT_FOUND);
        assert_int_equal(pt_load_last(p, "foo", &seq), JS_ERR_MSG_NOT_FOUND);
        return;
    }
    assert_int_equal(js_stream_subject(p->stream, "foo", 3, &st), 0);
    assert_int_equal(st.msgs, n);
    assert_int_equal(st.first_seq, first);
    assert_int_equal(st.last_seq, last);
    assert_int_equal(pt_next(p, "foo", 0, &seq), 0);
    assert_int_equal(seq, first);
    assert_int_equal(pt_load_last(p, "foo", &seq), 0);
    assert_int_equal(seq, last);
}

PORTED(test_store_subject_state_consistency) {
    pt_open(p, "", 0);
    pt_store_n(p, 4, "foo", "");
    expect_subject(p, 4, 1, 4);
    pt_remove(p, 1);
    expect_subject(p, 3, 2, 4);
    pt_remove(p, 4);
    expect_subject(p, 2, 2, 3);
    pt_store(p, "foo", "");
    expect_subject(p, 3, 2, 5);
    pt_remove(p, 3);
    expect_subject(p, 2, 2, 5);
    pt_remove(p, 2);
    expect_subject(p, 1, 5, 5);
    pt_store(p, "foo", "");
    expect_subject(p, 2, 5, 6);
    pt_remove(p, 5);
    pt_remove(p, 6);
    expect_subject(p, 0, 0, 0);
    pt_store(p, "foo", "");
    expect_subject(p, 1, 7, 7);
    pt_same_everywhere(p);
    expect_subject(p, 1, 7, 7);
}

PORTED(test_store_get_seq_from_time_with_interior_deletes_gap) {
    js_time_t time = 0;
    js_seq_t seq = 0;

    pt_open(p, "", 0);
    for (int i = 1; i <= 10; i++) {
        pt_store(p, "foo", "");
        if (i == 2)
            time = pt_state(p).last_time;
        te_advance(&p->te, 1000000);
    }
    for (js_seq_t i = 4; i <= 7; i++)
        pt_remove(p, i);
    assert_int_equal(js_stream_seq_from_time(p->stream, time, &seq), 0);
    assert_int_equal(seq, 2);
}

PORTED(test_store_get_seq_from_time_with_trailing_deletes) {
    js_time_t time = 0;
    js_seq_t seq = 0;

    pt_open(p, "", 0);
    for (int i = 1; i <= 3; i++) {
        pt_store(p, "foo", "");
        if (i == 2)
            time = pt_state(p).last_time;
        te_advance(&p->te, 1000000);
    }
    pt_remove(p, 3);
    assert_int_equal(js_stream_seq_from_time(p->stream, time, &seq), 0);
    assert_int_equal(seq, 2);
}

struct totals {
    uint64_t want[64], got[64];
};

static int add_total(void *ctx, const char *subject, size_t len, uint64_t msgs) {
    struct totals *t = ctx;
    int f = -1, b = -1;
    char text[16] = "";

    assert_true(len < sizeof text);
    memcpy(text, subject, len);
    assert_int_equal(sscanf(text, "f%d.b%d", &f, &b), 2);
    t->got[f * 8 + b] += msgs;
    return 0;
}

PORTED(test_file_store_subjects_totals) {
    struct totals t = {0};
    char subject[16];

    pt_open(p, "", 0);
    rng_state = 3;
    for (int i = 0; i < 2000; i++) {
        uint64_t f = random_below(8), b = random_below(8);
        snprintf(subject, sizeof subject, "f%d.b%d", (int)f, (int)b);
        pt_store(p, subject, "x");
        t.want[f * 8 + b]++;
    }
    static const char *const filters[] = {"f3.b5", "f2.*", "*.*", "*.b1"};
    for (size_t i = 0; i < 4; i++) {
        struct js_filter f = {.patterns = &filters[i], .count = 1};
        memset(t.got, 0, sizeof t.got);
        assert_int_equal(js_stream_subject_totals(p->stream, &f, add_total, &t), 0);
        for (int k = 0; k < 64; k++) {
            bool matches = i == 0   ? k == 3 * 8 + 5
                           : i == 1 ? k / 8 == 2
                           : i == 2 ? true
                                    : k % 8 == 1;
            assert_int_equal(t.got[k], matches ? t.want[k] : 0);
        }
    }
}

PORTED(test_file_store_num_pending_large_num_blks) {
    pt_open(p, "", 128);
    for (int i = 0; i < 2000; i++)
        pt_store_size(p, "zzz", 100);
    assert_int_equal(pt_num_block_files(p), 2000);
    assert_int_equal(pt_pending(p, 800, "zzz", false), 1201);
    assert_int_equal(pt_pending(p, 1200, "zzz", false), 801);
    for (js_seq_t i = 1; i <= 2000; i += 20)
        pt_remove(p, i);
    assert_int_equal(pt_pending(p, 800, "zzz", false), 1201 - 60);
    assert_int_equal(pt_pending(p, 1200, "zzz", false), 801 - 40);
}

PORTED(test_file_store_num_pending_multi) {
    static char names[2000][24];
    const char *filters[1000];
    uint64_t want = 0;
    static bool listed[2000];
    static uint16_t of[10001];

    pt_open(p, "", 16 << 10);
    rng_state = 5;
    memset(listed, 0, sizeof listed);
    for (int i = 0; i < 2000; i++)
        snprintf(names[i], sizeof names[i], "ev.%x", i * 7919);
    for (int i = 1; i <= 10000; i++) {
        of[i] = (uint16_t)random_below(2000);
        pt_store(p, names[of[i]], "x");
    }
    for (int i = 0; i < 1000; i++) {
        filters[i] = names[i * 2];
        listed[i * 2] = true;
    }
    js_seq_t start = 1 + random_below(10000);
    for (js_seq_t i = start; i <= 10000; i++)
        want += listed[of[i]];
    struct js_filter f = {.patterns = filters, .count = 1000, .any_of = true};
    uint64_t got = 0;
    js_seq_t through = 0;
    assert_int_equal(js_stream_num_pending(p->stream, start, &f, false, &got, &through), 0);
    assert_int_equal(got, want);
    assert_int_equal(through, 10000);
}

PORTED(test_file_store_num_pending_last_by_subject) {
    static char names[100][16];
    static js_seq_t last[100];

    pt_open(p, "", 1024);
    rng_state = 9;
    memset(last, 0, sizeof last);
    for (int i = 0; i < 100; i++)
        snprintf(names[i], sizeof names[i], "foo.%d.%d", i % 3, i);
    for (js_seq_t i = 1; i <= 3000; i++) {
        uint64_t k = random_below(100);
        pt_store(p, names[k], "x");
        last[k] = i;
    }
    assert_int_equal(pt_pending(p, 0, "", true), 100);
    static const char *const filters[] = {"foo.*.*", "foo.1.*", "foo.2.>", ">", "foo.0.3"};
    for (js_seq_t start = 1; start <= 3000; start += 97)
        for (size_t i = 0; i < 5; i++) {
            uint64_t want = 0;
            for (int k = 0; k < 100; k++)
                want += last[k] >= start && js_subject_matches(names[k], strlen(names[k]),
                                                               filters[i], strlen(filters[i]));
            assert_int_equal(pt_pending(p, start, filters[i], true), want);
        }
}

PORTED(test_store_num_pending_last_per_subject_exclude_overcount) {
    pt_open(p, "", 0);
    pt_store_n(p, 10, "A", "x");
    pt_store_n(p, 5, "B", "x");
    pt_store_n(p, 5, "C", "x");
    assert_int_equal(pt_pending(p, 13, "", true), 2);
    assert_int_equal(pt_pending(p, 13, "*", true), 2);
    const char *two[] = {"A", "B"};
    struct js_filter f = {.patterns = two, .count = 2, .any_of = true};
    uint64_t n = 0;
    assert_int_equal(js_stream_num_pending(p->stream, 13, &f, true, &n, NULL), 0);
    assert_int_equal(n, 1);
}

static void expect_last(struct pt *p, const char *const *filters, size_t n, js_seq_t upto,
                        const char *want) {
    struct js_filter f = {.patterns = filters, .count = n, .any_of = true};
    js_seq_t *seqs = NULL;
    size_t num = 0, len = 0;
    char text[200] = "";

    assert_int_equal(js_stream_last_seqs(p->stream, &f, upto, 0, &seqs, &num), 0);
    for (size_t i = 0; i < num; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%llu", i ? "," : "",
                                (unsigned long long)seqs[i]);
    assert_string_equal(text, want);
    js_stream_free_seqs(p->stream, seqs);
}

PORTED(test_file_store_multi_last_seqs) {
    const char *wild[] = {"foo.*"}, *list[] = {"foo.foo", "foo.baz"}, *one[] = {"foo.bar"},
               *overlap[] = {"foo.*", "foo.bar"}, *all[] = {">"};

    pt_open(p, "", 256);
    for (int i = 0; i < 33; i++) {
        pt_store(p, "foo.foo", "ok");
        pt_store(p, "foo.bar", "ok");
        pt_store(p, "foo.baz", "ok");
    }
    for (int i = 0; i < 33; i++) {
        pt_store(p, "bar.foo", "ok");
        pt_store(p, "bar.bar", "ok");
        pt_store(p, "bar.baz", "ok");
    }
    expect_last(p, wild, 1, 3, "1,2,3");
    expect_last(p, wild, 1, 0, "97,98,99");
    expect_last(p, list, 2, 0, "97,99");
    expect_last(p, list, 2, 90, "88,90");
    expect_last(p, one, 1, 0, "98");
    expect_last(p, one, 1, 1, "");
    expect_last(p, overlap, 2, 0, "97,98,99");
    expect_last(p, all, 1, 0, "97,98,99,196,197,198");
    expect_last(p, all, 1, 99, "97,98,99");
}

PORTED(test_file_store_multi_last_seqs_max_allowed) {
    struct js_filter f = {.patterns = (const char *const[]){"foo.*"}, .count = 1};
    js_seq_t *seqs = NULL;
    size_t n = 0;
    char subject[16];

    pt_open(p, "", 0);
    for (int i = 1; i <= 100; i++) {
        snprintf(subject, sizeof subject, "foo.%d", i);
        pt_store(p, subject, "x");
    }
    assert_int_equal(js_stream_last_seqs(p->stream, &f, 0, 100, &seqs, &n), 0);
    js_stream_free_seqs(p->stream, seqs);
    seqs = NULL;
    assert_int_equal(js_stream_last_seqs(p->stream, &f, 0, 10, &seqs, &n), JS_ERR_TOO_MANY_RESULTS);
    assert_null(seqs);
}

PORTED(test_file_store_all_last_seqs) {
    static const char *const subjects[] = {"A", "B", "C", "D", "E", "F"};
    js_seq_t *seqs = NULL, want[6];
    size_t n = 0;

    pt_open(p, "\"max_msgs_per_subject\":50", 1024);
    rng_state = 11;
    for (int i = 0; i < 1000; i++)
        pt_store(p, subjects[random_below(6)], "data");
    for (int i = 0; i < 6; i++)
        assert_int_equal(pt_load_last(p, subjects[i], &want[i]), 0);
    for (int i = 0; i < 6; i++)
        for (int k = i + 1; k < 6; k++)
            if (want[k] < want[i]) {
                js_seq_t t = want[i];
                want[i] = want[k];
                want[k] = t;
            }
    assert_int_equal(js_stream_last_seqs(p->stream, NULL, 0, 0, &seqs, &n), 0);
    assert_int_equal(n, 6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(seqs[i], want[i]);
    js_stream_free_seqs(p->stream, seqs);
}

PORTED(test_file_store_multi_last_seqs_and_load_last_msg_with_lazy_subject_state) {
    const char *foo[] = {"foo"};
    js_seq_t seq = 0;

    pt_open(p, "", 0);
    pt_store_n(p, 3, "foo", "x");
    pt_remove(p, 3);
    expect_last(p, foo, 1, 0, "2");
    pt_remove(p, 2);
    assert_int_equal(pt_load_last(p, "foo", &seq), 0);
    assert_int_equal(seq, 1);
}

struct seen {
    js_seq_t seqs[10];
    size_t remaining[10], n, stop_after;
};

static int see(void *ctx, const struct js_msg *msg, size_t remaining) {
    struct seen *s = ctx;

    assert_true(s->n < 10);
    s->seqs[s->n] = msg->seq;
    s->remaining[s->n++] = remaining;
    return s->n == s->stop_after;
}

PORTED(test_store_multi_last_msgs) {
    struct js_filter f = {.patterns = (const char *const[]){"foo.*"}, .count = 1};
    struct js_filter none = {.patterns = (const char *const[]){"baz"}, .count = 1};
    struct seen s = {0};
    size_t total = 0;

    pt_open(p, "", 0);
    pt_store(p, "foo.1", "x");
    pt_store(p, "foo.2", "x");
    pt_store(p, "bar", "x");
    pt_store(p, "foo.1", "x");
    pt_store(p, "foo.3", "x");
    assert_int_equal(js_stream_last_msgs(p->stream, &f, 0, 0, 0, see, &s, &total), 0);
    assert_int_equal(total, 3);
    assert_int_equal(s.n, 3);
    assert_int_equal(s.seqs[0], 2);
    assert_int_equal(s.seqs[1], 4);
    assert_int_equal(s.seqs[2], 5);
    assert_int_equal(s.remaining[0], 2);
    assert_int_equal(s.remaining[2], 0);
    s = (struct seen){0};
    assert_int_equal(js_stream_last_msgs(p->stream, &f, 4, 0, 0, see, &s, &total), 0);
    assert_int_equal(s.n, 2);
    assert_int_equal(total, 3);
    s = (struct seen){0};
    assert_int_equal(js_stream_last_msgs(p->stream, &f, 0, 3, 0, see, &s, &total), 0);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.seqs[0], 1);
    s = (struct seen){.stop_after = 1};
    assert_int_equal(js_stream_last_msgs(p->stream, &f, 0, 0, 0, see, &s, &total), 0);
    assert_int_equal(s.n, 1);
    s = (struct seen){0};
    assert_int_equal(js_stream_last_msgs(p->stream, &f, 0, 0, 2, see, &s, &total),
                     JS_ERR_TOO_MANY_RESULTS);
    assert_int_equal(s.n, 0);
    assert_int_equal(js_stream_last_msgs(p->stream, &none, 0, 0, 0, see, &s, &total), 0);
    assert_int_equal(s.n, 0);
}

PORTED(test_file_store_load_last_wildcard) {
    js_seq_t seq = 0;

    pt_open(p, "", 512);
    pt_store(p, "foo.22.baz", "x");
    pt_store(p, "foo.22.bar", "x");
    for (int i = 0; i < 1000; i++)
        pt_store(p, "foo.11.foo", "x");
    assert_int_equal(pt_load_last(p, "foo.*.bar", &seq), 0);
    assert_int_equal(seq, 2);
    pt_restart(p);
    assert_int_equal(pt_load_last(p, "foo.*.bar", &seq), 0);
    assert_int_equal(seq, 2);
}

PORTED(test_file_store_load_last_wildcard_with_presence_multiple_blocks) {
    js_seq_t seq = 0;

    pt_open(p, "", 64);
    pt_store(p, "foo.22.bar", "hello");
    pt_store(p, "foo.11.bar", "hello");
    pt_store(p, "foo.22.bar", "hello");
    pt_store(p, "foo.11.bar", "hello");
    assert_true(pt_num_block_files(p) >= 3);
    assert_int_equal(pt_load_last(p, "foo.*.bar", &seq), 0);
    assert_int_equal(seq, 4);
}

/* The three tests about first blocks that index.db remembers too low. */
static void stale_first_block(struct pt *p, const char *filter, js_seq_t want_first, bool restart) {
    pt_open(p, "", 512);
    pt_store(p, "foo.22.baz", "x");
    pt_store(p, "foo.22.bar", "x");
    for (int i = 0; i < 1000; i++)
        pt_store(p, "foo.11.foo", "x");
    pt_store(p, "foo.22.bar", "x");
    pt_store(p, "foo.22.baz", "x");
    pt_remove(p, 1);
    pt_remove(p, 2);
    if (restart)
        pt_restart(p);
    struct js_subject_state st = pt_filtered(p, 1, filter);
    assert_int_equal(st.first_seq, want_first);
    assert_int_equal(st.last_seq, strchr(filter, '*') ? 1004 : want_first);
    assert_int_equal(st.msgs, strchr(filter, '*') ? 2 : 1);
    js_seq_t seq = 0;
    assert_int_equal(pt_next(p, filter, 1, &seq), 0);
    assert_int_equal(seq, want_first);
}

PORTED(test_file_store_filtered_pending_psim_first_block_update) {
    stale_first_block(p, "foo.22.bar", 1003, false);
    pt_begin_anew(p);
    stale_first_block(p, "foo.22.baz", 1004, true);
}

PORTED(test_file_store_wildcard_filtered_pending_psim_first_block_update) {
    stale_first_block(p, "foo.22.*", 1003, false);
    pt_begin_anew(p);
    stale_first_block(p, "foo.22.*", 1003, true);
}

PORTED(test_file_store_filtered_pending_psim_first_block_update_next_block) {
    pt_open(p, "", 128);
    for (int i = 0; i < 20; i++)
        pt_store(p, i % 2 ? "foo.11.bar" : "foo.22.bar", "x");
    pt_remove(p, 1);
    pt_remove(p, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pt_filtered(p, 1, "foo.22.bar").first_seq, 3);
        assert_int_equal(pt_filtered(p, 1, "foo.11.bar").first_seq, 4);
        assert_int_equal(pt_filtered(p, 1, "foo.*.bar").msgs, 18);
        pt_restart(p);
    }
}

PORTED(test_file_store_check_skip_first_block_bug) {
    js_seq_t seq = 0;

    pt_open(p, "", 128);
    for (int i = 0; i < 4; i++) {
        pt_store(p, "foo.BB.bar", "hello");
        pt_store(p, "foo.AA.bar", "hello");
    }
    for (int i = 0; i < 5; i++)
        pt_store(p, "foo.CC.bar", "hello");
    for (js_seq_t i = 1; i <= 6; i++)
        pt_remove(p, i);
    pt_restart(p);
    assert_int_equal(pt_next(p, "foo.BB.bar", 4, &seq), 0);
    assert_int_equal(seq, 7);
    assert_int_equal(pt_next(p, "foo.BB.bar", 8, &seq), JS_ERR_EOF);
}

PORTED(test_file_store_state_with_blk_first_deleted) {
    pt_open(p, "", 4096);
    pt_store_n(p, 500, "foo", "Hello World");
    struct js_block_info b;
    assert_int_equal(js_stream_block(p->stream, 1, &b), 0);
    for (js_seq_t i = 0; i < 10; i++)
        pt_remove(p, b.first_seq + i);
    assert_int_equal(pt_state(p).num_deleted, 10);
    pt_same_everywhere(p);
}

/* ---- where the peer is wrong or odd (docs/hazards.md) ------------------------------------------
 */

PORTED(impossible_subjects_are_refused) {
    size_t len = 70000;
    char *subject = malloc(len);

    assert_non_null(subject);
    memset(subject, 'a', len);
    pt_open(p, "", 0);
    for (size_t n = 65536; n <= len; n += len - 65536)
        assert_true(js_stream_store_msg(p->stream, subject, n, NULL, 0, NULL, 0, NULL, NULL) < 0);
    PT_STATE(p, 0, 0, 0);
    assert_int_equal(pt_try(p, "a..b", "x"), JS_ERR_SUBJECT);
    assert_int_equal(pt_try(p, "a.*", "x"), JS_ERR_SUBJECT);
    free(subject);
}

PORTED(the_newest_message_of_all) {
    js_seq_t seq = 0;

    pt_open(p, "", 0);
    pt_store_n(p, 3, "foo", "x");
    assert_int_equal(pt_load_last(p, "", &seq), 0);
    assert_int_equal(seq, 3);
    pt_remove(p, 3);
    assert_int_equal(pt_load_last(p, "", &seq), JS_ERR_MSG_NOT_FOUND);
    assert_int_equal(pt_load_last(p, "foo", &seq), 0);
    assert_int_equal(seq, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_msg_load_next_msg_multi),
        cmocka_unit_test(test_store_msg_load_prev_msg_multi),
        cmocka_unit_test(test_store_msg_load_prev_msg),
        cmocka_unit_test(test_store_msg_load_prev_msg_multi_full_wildcard_skip),
        cmocka_unit_test(test_store_load_next_msg_wildcard_start_before_first_match),
        cmocka_unit_test(test_store_subject_state_consistency),
        cmocka_unit_test(test_store_get_seq_from_time_with_interior_deletes_gap),
        cmocka_unit_test(test_store_get_seq_from_time_with_trailing_deletes),
        cmocka_unit_test(test_file_store_subjects_totals),
        cmocka_unit_test(test_file_store_num_pending_large_num_blks),
        cmocka_unit_test(test_file_store_num_pending_multi),
        cmocka_unit_test(test_file_store_num_pending_last_by_subject),
        cmocka_unit_test(test_store_num_pending_last_per_subject_exclude_overcount),
        cmocka_unit_test(test_file_store_multi_last_seqs),
        cmocka_unit_test(test_file_store_multi_last_seqs_max_allowed),
        cmocka_unit_test(test_file_store_all_last_seqs),
        cmocka_unit_test(test_file_store_multi_last_seqs_and_load_last_msg_with_lazy_subject_state),
        cmocka_unit_test(test_store_multi_last_msgs),
        cmocka_unit_test(test_file_store_load_last_wildcard),
        cmocka_unit_test(test_file_store_load_last_wildcard_with_presence_multiple_blocks),
        cmocka_unit_test(test_file_store_filtered_pending_psim_first_block_update),
        cmocka_unit_test(test_file_store_wildcard_filtered_pending_psim_first_block_update),
        cmocka_unit_test(test_file_store_filtered_pending_psim_first_block_update_next_block),
        cmocka_unit_test(test_file_store_check_skip_first_block_bug),
        cmocka_unit_test(test_file_store_state_with_blk_first_deleted),
        cmocka_unit_test(impossible_subjects_are_refused),
        cmocka_unit_test(the_newest_message_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
