/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pthread.h>

#include "tests/fs/view_store.h"

#include "fs/view/view.h"

static const enum jf_format formats[] = {JF_LOG, JF_JSONL, JF_TSV, JF_FULL};
#define NUM_FORMATS 4

struct bytes {
    uint8_t *data;
    size_t len;
};

/* What a view of the scope must show: every message loaded and rendered on its own. */
static struct bytes expected(struct view_store *vs, struct jf_scope *scope, enum jf_format format) {
    struct jf_render render = {.format = format};
    struct js_stream_state state;
    struct bytes all = {.data = malloc(1 << 20)};

    js_stream_get_state(vs->stream, &state);
    for (js_seq_t seq = jf_scope_first(scope); seq <= state.last_seq; seq++) {
        struct js_msg msg;

        if (js_stream_load_msg(vs->stream, seq, &msg) < 0)
            continue;
        if (jf_scope_covers(scope, seq, msg.subject, msg.subject_len))
            all.len += jf_render_emit(&render, &msg, 0, all.data + all.len, (1 << 20) - all.len);
        js_msg_release(&msg);
    }
    assert_true(all.len < 1 << 20);
    return all;
}

static struct jf_scope *root_scope(struct view_store *vs) {
    struct jf_scope *scope;

    assert_int_equal(jf_scope_root(vs->stream, &scope), 0);
    return scope;
}

static struct jf_view *open_view(struct jf_scope *scope, enum jf_format format) {
    struct jf_view_options options = {.render = {.format = format}};
    struct jf_view *view;

    assert_int_equal(jf_view_open(scope, &options, &view), 0);
    return view;
}

static uint64_t size_of(struct jf_view *view) {
    uint64_t size;

    assert_int_equal(jf_view_size(view, &size, NULL), 0);
    return size;
}

static struct jf_view *renewed(struct jf_view *view) {
    struct jf_view *next;

    assert_int_equal(jf_view_current(view, &next), 0);
    return next;
}

/* Reads on to the end in pieces of `piece` bytes, appending to got. */
static void read_on(struct jf_reader *reader, size_t piece, struct bytes *got) {
    ssize_t n;

    while ((n = jf_reader_read(reader, got->data + got->len, piece, got->len)) > 0) {
        assert_true((size_t)n <= piece);
        got->len += (size_t)n;
        assert_true(got->len + piece < 1 << 20);
    }
    assert_int_equal(n, 0);
}

static void expect_same(const struct bytes *got, const struct bytes *want) {
    assert_int_equal(got->len, want->len);
    assert_memory_equal(got->data, want->data, want->len);
}

/* The whole file, read in one go by a new reader, is want; the size is its length. */
static void expect_view(struct jf_view *view, const struct bytes *want, size_t piece) {
    struct bytes got = {.data = malloc(1 << 20)};
    struct jf_reader *reader;

    assert_int_equal(size_of(view), want->len);
    assert_int_equal(jf_reader_open(view, &reader), 0);
    read_on(reader, piece, &got);
    expect_same(&got, want);
    jf_reader_close(reader);
    free(got.data);
}

static int setup(void **state) {
    struct view_store *vs = calloc(1, sizeof *vs);

    view_store_new(vs);
    *state = vs;
    return 0;
}

static int teardown(void **state) {
    view_store_free(*state);
    free(*state);
    return 0;
}

static void test_every_offset_and_length_equals_the_whole(void **state) {
    struct view_store *vs = *state;
    struct jf_scope *scope = root_scope(vs);

    view_store_fill(vs, 7);
    for (size_t f = 0; f < NUM_FORMATS; f++) {
        struct jf_view *view = open_view(scope, formats[f]);
        struct bytes want = expected(vs, scope, formats[f]);
        struct jf_reader *reader;
        uint8_t *buf = malloc(want.len + 1);

        assert_int_equal(jf_reader_open(view, &reader), 0);
        assert_int_equal(size_of(view), want.len);
        for (size_t off = 0; off <= want.len + 1; off++) {

            for (size_t len = 1; off + len <= want.len + 1; len += len < 20 ? 1 : 31) {
                size_t there = off < want.len ? want.len - off : 0;
                ssize_t n = jf_reader_read(reader, buf, len, off);

                assert_int_equal(n, len < there ? len : there);
                assert_memory_equal(buf, want.data + off, (size_t)n);
            }
        }
        jf_reader_close(reader);
        jf_view_unref(view);
        free(want.data);
        free(buf);
    }
    jf_scope_unref(scope);
}

static void test_views_over_several_blocks_and_conditions(void **state) {
    struct view_store *vs = *state;
    struct jf_scope *scopes[6];
    struct js_block_info info;

    view_store_fill(vs, 700);
    assert_int_equal(js_stream_block(vs->stream, 1, &info), 0); /* there are several */
    scopes[0] = root_scope(vs);
    assert_int_equal(jf_scope_subtree(scopes[0], "a.b", 3, &scopes[1]), 0);
    assert_int_equal(jf_scope_subject(scopes[1], "a.b", 3, &scopes[2]), 0);
    assert_int_equal(jf_scope_match(scopes[0], "*.*", 3, &scopes[3]), 0);
    assert_int_equal(jf_scope_from(scopes[3], 300, &scopes[4]), 0);
    assert_int_equal(jf_scope_upto(scopes[4], 650, &scopes[5]), 0);
    for (size_t s = 0; s < 6; s++) {
        for (size_t f = 0; f < NUM_FORMATS; f++) {
            struct jf_view *view = open_view(scopes[s], formats[f]);
            struct bytes want = expected(vs, scopes[s], formats[f]);
            struct jf_reader *reader;
            uint8_t buf[300];

            assert_true(want.len > 5000);
            expect_view(view, &want, 4099);
            assert_int_equal(jf_reader_open(view, &reader), 0);
            for (int i = 0; i < 200; i++) {
                size_t off = (size_t)rand() % want.len;
                size_t len = 1 + (size_t)rand() % sizeof buf;
                size_t there = want.len - off;

                assert_int_equal(jf_reader_read(reader, buf, len, off), len < there ? len : there);
                assert_memory_equal(buf, want.data + off, len < there ? len : there);
            }
            jf_reader_close(reader);
            jf_view_unref(view);
            free(want.data);
        }
    }
    for (size_t s = 0; s < 6; s++)
        jf_scope_unref(scopes[s]);
}

static void test_appends_extend_a_view_and_reach_who_reads(void **state) {
    struct view_store *vs = *state;
    struct jf_scope *scope = root_scope(vs);

    for (size_t f = 0; f < NUM_FORMATS; f++) {
        struct jf_view *view = open_view(scope, formats[f]), *same;
        struct bytes got = {.data = malloc(1 << 20)}, want;
        struct jf_reader *reader;
        uint8_t buf[10];

        assert_int_equal(jf_reader_open(view, &reader), 0);
        for (int round = 0; round < 5; round++) {
            view_store_fill(vs, 30);
            want = expected(vs, scope, formats[f]);
            assert_int_equal(size_of(view), want.len);
            read_on(reader, 1000, &got);
            expect_same(&got, &want);
            /* The table grows as well: read at an offset by another way. */
            jf_reader_close(reader);
            assert_int_equal(jf_reader_open(view, &reader), 0);
            assert_int_equal(jf_reader_read(reader, buf, 10, want.len - 10), 10);
            assert_memory_equal(buf, want.data + want.len - 10, 10);
            free(want.data);
        }
        same = renewed(view);
        assert_ptr_equal(same, view);
        assert_false(jf_view_is_stale(view));
        jf_view_unref(same);
        jf_reader_close(reader);
        jf_view_unref(view);
        free(got.data);
    }
    jf_scope_unref(scope);
}

static void test_removal_leaves_holders_whole_messages_and_gives_a_new_epoch(void **state) {
    struct view_store *vs = *state;
    struct jf_scope *scope = root_scope(vs), *rest;

    view_store_fill(vs, 700);
    for (size_t f = 0; f < NUM_FORMATS; f++) {
        struct jf_view *view = open_view(scope, formats[f]), *next;
        struct bytes before = expected(vs, scope, formats[f]), after;
        struct bytes got = {.data = malloc(1 << 20)}, tail;
        struct js_msg msg;
        struct jf_reader *reader;
        struct jf_render render = {.format = formats[f]};
        js_seq_t gone = 101 + 10 * f;
        uint64_t first_part = 0, length = 0;

        assert_int_equal(size_of(view), before.len);
        for (js_seq_t seq = 1; seq <= gone; seq++) {
            if (js_stream_load_msg(vs->stream, seq, &msg) < 0)
                continue; /* by an earlier round */
            length = jf_render_length(&render, &msg);
            js_msg_release(&msg);
            first_part += length;
        }
        /* The reader stands in the middle of the message that goes now. */
        assert_int_equal(jf_reader_open(view, &reader), 0);
        got.len = first_part - length / 2;
        assert_int_equal(jf_reader_read(reader, got.data, got.len, 0), got.len);
        assert_int_equal(js_stream_remove_msg(vs->stream, gone), 1);
        assert_int_equal(js_stream_remove_msg(vs->stream, gone + 2), 1);
        assert_int_equal(js_stream_remove_msg(vs->stream, 600 + f), 1);
        read_on(reader, 777, &got);
        assert_int_equal(jf_scope_from(scope, gone + 1, &rest), 0);
        tail = expected(vs, rest, formats[f]);
        assert_int_equal(got.len, first_part + tail.len);
        assert_memory_equal(got.data, before.data, first_part);
        assert_memory_equal(got.data + first_part, tail.data, tail.len);
        /* Who holds the old epoch sees no smaller file. */
        assert_int_equal(size_of(view), before.len);
        assert_true(jf_view_is_stale(view));
        next = renewed(view);
        assert_ptr_not_equal(next, view);
        assert_int_equal(jf_view_epoch(next), jf_view_epoch(view) + 1);
        after = expected(vs, scope, formats[f]);
        expect_view(next, &after, 5000);
        jf_reader_close(reader);
        assert_int_equal(jf_reader_open(next, &reader), 0);
        assert_int_equal(jf_reader_read(reader, got.data, 50, after.len - 60), 50);
        assert_memory_equal(got.data, after.data + after.len - 60, 50);
        jf_reader_close(reader);
        jf_scope_unref(rest);
        jf_view_unref(next);
        jf_view_unref(view);
        free(before.data);
        free(after.data);
        free(tail.data);
        free(got.data);
    }
    jf_scope_unref(scope);
}

static void test_offsets_behind_the_next_mark_hold_still(void **state) {
    struct view_store *vs = *state;
    struct jf_scope *scope = root_scope(vs);

    view_store_fill(vs, 700);
    for (size_t f = 0; f < NUM_FORMATS; f++) {
        struct jf_view *view = open_view(scope, formats[f]);
        struct bytes before = expected(vs, scope, formats[f]);
        struct jf_reader *reader;
        uint8_t *buf = malloc(before.len);
        ssize_t n;

        (void)size_of(view);
        assert_int_equal(jf_reader_open(view, &reader), 0);
        /* Makes the table and the marks of the first block. */
        assert_int_equal(jf_reader_read(reader, buf, 1, 1), 1);
        assert_int_equal(js_stream_remove_msg(vs->stream, 10 + f), 1);
        n = jf_reader_read(reader, buf, 5000, before.len - 5000);
        assert_int_equal(n, 5000);
        assert_memory_equal(buf, before.data + before.len - 5000, 5000);
        /* In the hole: whole messages follow, no NUL and no end of file. */
        view_store_fill(vs, 1);
        assert_int_equal(jf_reader_read(reader, buf, 1, 300), 1);
        jf_reader_close(reader);
        jf_view_unref(view);
        free(before.data);
        free(buf);
    }
    jf_scope_unref(scope);
}

static void test_removal_outside_the_scope_keeps_the_epoch(void **state) {
    struct view_store *vs = *state;
    struct jf_scope *scope = root_scope(vs), *own;
    struct jf_view *view, *same;

    view_store_fill(vs, 40);
    assert_int_equal(jf_scope_subject(scope, "k.1", 3, &own), 0);
    for (size_t f = 0; f < NUM_FORMATS; f++) {
        view = open_view(own, formats[f]);
        (void)size_of(view);
        assert_int_equal(js_stream_remove_msg(vs->stream, 4 + 4 * f), 1); /* a.b.c */
        same = renewed(view);
        assert_ptr_equal(same, view);
        jf_view_unref(same);
        assert_int_equal(js_stream_remove_msg(vs->stream, 3 + 4 * f), 1); /* k.1 */
        same = renewed(view);
        assert_ptr_not_equal(same, view);
        jf_view_unref(same);
        jf_view_unref(view);
    }
    jf_scope_unref(own);
    jf_scope_unref(scope);
}

static void test_segments_together_are_the_whole(void **state) {
    struct view_store *vs = *state;
    struct jf_scope *scope = root_scope(vs), *segment;
    struct js_block_info info;

    view_store_fill(vs, 700);
    for (size_t f = 0; f < NUM_FORMATS; f++) {
        struct bytes want = expected(vs, scope, formats[f]);
        struct bytes got = {.data = malloc(1 << 20)};
        struct jf_view *first = NULL, *view, *same;

        for (size_t i = 0; js_stream_block(vs->stream, i, &info) == 0; i++) {
            struct bytes part = {.data = malloc(1 << 20)};
            struct jf_reader *reader;

            assert_int_equal(jf_scope_block(scope, info.number, &segment), 0);
            view = open_view(segment, formats[f]);
            assert_int_equal(jf_reader_open(view, &reader), 0);
            read_on(reader, 3000, &part);
            assert_int_equal(size_of(view), part.len);
            memcpy(got.data + got.len, part.data, part.len);
            got.len += part.len;
            free(part.data);
            jf_reader_close(reader);
            jf_scope_unref(segment);
            if (!first)
                first = view;
            else
                jf_view_unref(view);
        }
        expect_same(&got, &want);
        /* Another block's removal is none of its business; its own is. */
        assert_int_equal(js_stream_remove_msg(vs->stream, 690 + f), 1);
        same = renewed(first);
        assert_ptr_equal(same, first);
        jf_view_unref(same);
        assert_int_equal(js_stream_remove_msg(vs->stream, 5 + f), 1);
        assert_true(jf_view_is_stale(first));
        jf_view_unref(first);
        free(want.data);
        free(got.data);
    }
    jf_scope_unref(scope);
}

static void count_damage(void *ctx, struct js_stream *stream, js_seq_t seq) {
    js_seq_t *last = ctx;

    (void)stream;
    *last = seq;
}

static void test_damaged_messages_are_left_out_and_told(void **state) {
    struct view_store *vs = *state;
    char path[128], *at;
    uint8_t raw[8192];
    struct jf_scope *scope;
    ssize_t n;
    int fd;

    view_store_fill(vs, 30);
    assert_int_equal(js_stream_sync(vs->stream), 0);
    snprintf(path, sizeof path, "%s/jetstream/$G/streams/S/msgs/1.blk", vs->dir);
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    n = pread(fd, raw, sizeof raw, 0);
    at = memmem(raw, (size_t)n, "12\n", 3); /* the beginning of message 12's payload */
    assert_non_null(at);
    assert_int_equal(pwrite(fd, "X", 1, at - (char *)raw + 5), 1);
    close(fd);
    js_stream_unref(vs->stream);
    assert_int_equal(js_store_close(vs->store), 0);
    snprintf(path, sizeof path, "%s/jetstream/$G/streams/S/msgs/index.db", vs->dir);
    unlink(path);
    view_store_open(vs);
    assert_int_equal(js_store_get_stream(vs->store, "$G", "S", &vs->stream), 0);
    scope = root_scope(vs);
    for (size_t f = 0; f < NUM_FORMATS; f++) {
        js_seq_t told = 0;
        struct jf_view_options options = {
            .render = {.format = formats[f]}, .damage = count_damage, .damage_ctx = &told};
        struct bytes want = expected(vs, scope, formats[f]);
        struct jf_view *view;

        assert_int_equal(jf_view_open(scope, &options, &view), 0);
        expect_view(view, &want, 100);
        assert_int_equal(told, 12);
        assert_true(jf_view_damaged(view) > 0);
        jf_view_unref(view);
        free(want.data);
    }
    jf_scope_unref(scope);
}

struct appender {
    struct view_store *vs;
    bool done;
};

static void *append_slowly(void *arg) {
    struct appender *appender = arg;

    for (int i = 0; i < 60; i++) {
        view_store_fill(appender->vs, 10);
        usleep(300);
    }
    __atomic_store_n(&appender->done, true, __ATOMIC_RELEASE);
    return NULL;
}

static void test_reading_while_appending_loses_and_tears_nothing(void **state) {
    struct view_store *vs = *state;
    struct jf_scope *scope = root_scope(vs);
    struct jf_view *view = open_view(scope, JF_JSONL);
    struct appender appender = {.vs = vs};
    struct bytes got = {.data = malloc(1 << 20)}, want;
    struct jf_reader *reader;
    pthread_t thread;
    bool done;

    assert_int_equal(jf_reader_open(view, &reader), 0);
    assert_int_equal(pthread_create(&thread, NULL, append_slowly, &appender), 0);
    do {
        done = __atomic_load_n(&appender.done, __ATOMIC_ACQUIRE);
        read_on(reader, 333, &got);
        (void)size_of(view);
    } while (!done);
    pthread_join(thread, NULL);
    want = expected(vs, scope, JF_JSONL);
    expect_same(&got, &want);
    assert_int_equal(size_of(view), want.len);
    jf_reader_close(reader);
    jf_view_unref(view);
    jf_scope_unref(scope);
    free(got.data);
    free(want.data);
}

static void test_follower_starts_where_it_is_put(void **state) {
    struct view_store *vs = *state;
    struct jf_scope *scope = root_scope(vs);
    struct jf_view *view = open_view(scope, JF_RAW);
    struct jf_reader *reader;
    uint8_t buf[512];

    view_store_fill(vs, 5);
    assert_int_equal(jf_reader_open(view, &reader), 0);
    jf_reader_skip_to(reader, 6);
    assert_int_equal(jf_reader_next(reader, buf, sizeof buf), 0);
    view_store_fill(vs, 1);
    assert_int_equal(jf_reader_next(reader, buf, 2), 2);
    assert_memory_equal(buf, "6\n", 2);
    assert_int_equal(jf_reader_next(reader, buf, sizeof buf), 6 * 37 % 200 - 2);
    assert_int_equal(jf_reader_next(reader, buf, sizeof buf), 0);
    jf_reader_close(reader);
    jf_view_unref(view);
    jf_scope_unref(scope);
}

int main(void) {
#define VIEW_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        VIEW_TEST(test_every_offset_and_length_equals_the_whole),
        VIEW_TEST(test_views_over_several_blocks_and_conditions),
        VIEW_TEST(test_appends_extend_a_view_and_reach_who_reads),
        VIEW_TEST(test_removal_leaves_holders_whole_messages_and_gives_a_new_epoch),
        VIEW_TEST(test_offsets_behind_the_next_mark_hold_still),
        VIEW_TEST(test_removal_outside_the_scope_keeps_the_epoch),
        VIEW_TEST(test_segments_together_are_the_whole),
        VIEW_TEST(test_damaged_messages_are_left_out_and_told),
        VIEW_TEST(test_reading_while_appending_loses_and_tears_nothing),
        VIEW_TEST(test_follower_starts_where_it_is_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
