/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the first write to a stream finds and puts in order: torn and damaged blocks, leftovers,
 * full purges that a server did not finish, blocks that nobody can judge.
 */
#include <fcntl.h>

#include "tests/core/ported.h"

#define AT(name) pt_path(name)

static void fill(struct pt *p, const char *name, const void *data, size_t len) {
    assert_int_equal(rd_put(p->disk, AT(name), data, len), 0);
}

/* A new directory of the stream, or one that goes (when it is empty). */
static void directory(struct pt *p, const char *name, bool there) {
    const struct js_io *io = rd_io(p->disk);
    char path[300];

    snprintf(path, sizeof path, "%s", AT(""));
    path[strlen(path) - 1] = 0;
    int fd = io->open_dir(io->ctx, AT_FDCWD, path);
    assert_true(fd >= 0);
    assert_true((there ? io->mkdir(io->ctx, fd, name, 0700) : io->rmdir(io->ctx, fd, name)) >= 0);
    io->close(io->ctx, fd);
}

/* A file becomes another one's copy. */
static void copy(struct pt *p, const char *from, const char *to) {
    struct pt_kept k = pt_keep_file(p, from);
    char name[80];

    snprintf(name, sizeof name, "%s", to);
    pt_put_back(p, name, &k);
}

static void move(struct pt *p, const char *from, const char *to) {
    copy(p, from, to);
    pt_remove_file(p, from);
}

/* A block with its key, if it has one. */
static void move_block(struct pt *p, const char *from, const char *to, bool stays) {
    static const char *const ends[] = {"blk", "key"};
    char a[80], b[80];

    for (size_t i = 0; i < 2; i++) {
        snprintf(a, sizeof a, "%s.%s", from, ends[i]);
        snprintf(b, sizeof b, "%s.%s", to, ends[i]);
        if (i && pt_is_plain(p))
            continue;
        if (stays)
            copy(p, a, b);
        else
            move(p, a, b);
    }
}

static void expect_kept(struct pt *p, uint64_t files) {
    uint64_t n = 99, bytes = 0;

    pt_must(p, js_stream_quarantine(p->stream, &n, &bytes), "quarantine");
    assert_int_equal(n, files);
    assert_int_equal(bytes != 0, files != 0);
}

/* Blocks, with their keys. */
static void expect_kept_blocks(struct pt *p, uint64_t blocks) {
    expect_kept(p, pt_is_plain(p) ? blocks : 2 * blocks);
}

/* The name of a file kept now. */
static const char *kept_name(struct pt *p, const char *name) {
    static char path[100];

    snprintf(path, sizeof path, "quarantine/%s.%lld", name,
             (long long)(atomic_load(&p->te.now) / TE_SECOND));
    return path;
}

/* Cuts a file, or changes one byte of it. */
static void cut(struct pt *p, const char *name, long len) {
    struct pt_kept k = pt_keep_file(p, name);

    k.len = len;
    pt_put_back(p, name, &k);
}

static void spoil(struct pt *p, const char *name, long at) {
    struct pt_kept k = pt_keep_file(p, name);

    k.data[at] ^= 0x55;
    pt_put_back(p, name, &k);
}

/* Of a removed message the index remembers no lengths: its record is copied as it is. */
PORTED(records_of_removed_messages_survive_mending) {
    pt_open(p, "", 0);
    pt_store(p, "foo", "some text");
    pt_store_hdr(p, "foo", "NATS/1.0\r\nA: b\r\n\r\n", "some text");
    pt_store(p, "foo", "some text");
    pt_remove(p, 2);
    pt_close(p);
    struct pt_kept index = pt_keep_file(p, "msgs/index.db");
    pt_reopen(p);
    pt_store(p, "foo", "some text");
    pt_close(p);
    cut(p, "msgs/1.blk", pt_file_size(p, "msgs/1.blk") - 5);
    pt_put_back(p, "msgs/index.db", &index);
    pt_reopen(p);
    pt_store(p, "foo", "more");
    pt_restart_scanned(p);
    assert_int_equal(js_stream_health(p->stream), JS_HEALTH_OK);
    PT_STATE(p, 3, 1, 4);
}

/* Damaged while the stream is in use: what is made of its good records does not take the file's
 * place unless it is kept. */
PORTED(damage_that_nobody_has_seen_is_not_compacted_away) {
    for (int reopened = 0; reopened < 2; reopened++) {
        pt_open(p, "", 1000);
        for (int i = 0; i < 60; i++)
            pt_store(p, "foo", "some text");
        for (js_seq_t seq = 1; seq <= 12; seq++)
            pt_remove(p, seq);
        if (reopened)
            pt_restart(p);
        else
            pt_must(p, js_stream_sync_blocks(p->stream), "sync_blocks");
        pt_remove(p, 13);
        spoil(p, "msgs/1.blk", pt_file_size(p, "msgs/1.blk") - 20);
        struct pt_kept damaged = pt_keep_file(p, "msgs/1.blk");
        pt_must(p, js_stream_compact_blocks(p->stream, NULL), "compact_blocks");
        pt_store(p, "foo", "more");
        expect_kept_blocks(p, 1);
        struct pt_kept kept = pt_keep_file(p, kept_name(p, "1.blk"));
        assert_int_equal(kept.len, damaged.len);
        assert_memory_equal(kept.data, damaged.data, (size_t)kept.len);
        free(kept.data);
        free(damaged.data);
        struct js_stream_state st = pt_state(p);
        assert_true(st.msgs < 48 && st.msgs > 20 && st.last_seq == 61);
        pt_same_everywhere(p);
        pt_begin_anew(p);
    }
}

/* A wrong index.db is written anew: limits leave nothing else that tells what they took. */
PORTED(a_damaged_index_is_replaced) {
    for (int cut_short = 0; cut_short < 2; cut_short++) {
        pt_open(p, "\"max_msgs\":3", 0);
        pt_store_n(p, 5, "foo", "some text");
        PT_STATE(p, 3, 3, 5);
        pt_close(p);
        if (cut_short)
            cut(p, "msgs/index.db", 20);
        else
            spoil(p, "msgs/index.db", pt_file_size(p, "msgs/index.db") - 10);
        pt_reopen(p);
        PT_STATE(p, 3, 3, 5);
        pt_remove(p, 4);
        pt_restart(p);
        assert_int_equal(js_stream_health(p->stream), JS_HEALTH_OK);
        PT_STATE(p, 2, 3, 5);
        pt_begin_anew(p);
    }
}

/* Limits and duplicates ask for blocks that index.db had spared, and one of them is not what it
 * was. */
PORTED(storing_meets_damage_that_nobody_has_seen) {
    static const char *const configs[] = {
        "\"max_msgs\":100",
        "\"max_msgs_per_subject\":100",
        "\"max_msgs_per_subject\":100,\"discard\":\"new\",\"max_msgs\":100",
        "\"max_bytes\":7700",
        "\"duplicate_window\":60000000000",
    };

    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        for (int odd = 0; odd < 2; odd++) {
            pt_open(p, configs[i], 1000);
            for (int k = 0; k < 100; k++) {
                char hdr[60];
                snprintf(hdr, sizeof hdr, "NATS/1.0\r\nNats-Msg-Id: %04d\r\n\r\n", k);
                pt_store_hdr(p, "foo", hdr, "some text");
            }
            pt_close(p);
            /* What the message is about which it is asked, or another one. */
            spoil(p, "msgs/1.blk", odd ? 50 : pt_file_size(p, "msgs/1.blk") - 20);
            pt_reopen(p);
            js_seq_t seq = pt_store_hdr(p, "foo", "NATS/1.0\r\nNats-Msg-Id: new\r\n\r\n", "more");
            assert_int_equal(seq, 101);
            seq = pt_store_hdr(p, "foo", "NATS/1.0\r\nNats-Msg-Id: newer\r\n\r\n", "more");
            assert_int_equal(seq, 102);
            /* In a compressed block the byte may be one that costs nothing. */
            uint64_t most = strcmp(p->perm->compression, "none") == 0 ? 101 : 102;
            assert_true(pt_state(p).msgs <= most && pt_state(p).msgs > 80);
            pt_same_everywhere(p);
            pt_begin_anew(p);
        }
    }
}

/* index.db is right, and a block is not what it was. */
PORTED(compacting_over_damage_that_nobody_has_seen) {
    pt_open(p, "", 1000);
    for (int i = 0; i < 100; i++)
        pt_store(p, "foo", "some text");
    pt_close(p);
    spoil(p, "msgs/1.blk", pt_file_size(p, "msgs/1.blk") - 20);
    spoil(p, "msgs/2.blk", pt_file_size(p, "msgs/2.blk") - 20);
    pt_reopen(p);
    pt_compact(p, 90);
    PT_STATE(p, 11, 90, 100);
    expect_kept_blocks(p, 2);
    pt_same_everywhere(p);
}

PORTED(a_torn_end_is_kept_and_the_rest_goes_on) {
    pt_open(p, "", 0);
    pt_store_n(p, 3, "foo", "some text");
    pt_close(p);
    long len = pt_file_size(p, "msgs/1.blk");
    cut(p, "msgs/1.blk", len - 5);
    pt_reopen(p);
    expect_kept(p, 0);
    assert_int_equal(pt_store(p, "foo", "next"), 4);
    expect_kept_blocks(p, 1);
    assert_int_equal(pt_file_size(p, kept_name(p, "1.blk")), len - 5);
    pt_expect_msg(p, 2, "foo", "some text");
    assert_true(pt_load(p, 3) < 0);
    pt_expect_msg(p, 4, "foo", "next");
    PT_STATE(p, 3, 1, 4);
    /* index.db was written anew: it does not count what is lost. */
    pt_restart(p);
    assert_int_equal(js_stream_scan(p->stream), 0);
    assert_int_equal(js_stream_health(p->stream), JS_HEALTH_OK);
    pt_same_everywhere(p);
    /* Once. */
    pt_store(p, "foo", "more");
    expect_kept_blocks(p, 1);
}

PORTED(a_damaged_block_is_kept_whole) {
    pt_open(p, "", 256);
    for (int i = 0; i < 20; i++)
        pt_store(p, "foo", "a text of some length");
    pt_close(p);
    long len = pt_file_size(p, "msgs/2.blk"), middle = len / 2;
    spoil(p, "msgs/2.blk", middle);
    pt_restart_scanned(p);
    assert_int_equal(js_stream_health(p->stream), JS_HEALTH_DAMAGED);
    uint64_t msgs = pt_state(p).msgs;
    assert_int_equal(pt_store(p, "foo", "next"), 21);
    expect_kept_blocks(p, 1);
    assert_int_equal(pt_file_size(p, kept_name(p, "2.blk")), len);
    assert_int_equal(pt_state(p).msgs, msgs + 1);
    assert_int_equal(js_stream_health(p->stream), JS_HEALTH_OK);
    pt_same_everywhere(p);
    expect_kept_blocks(p, 1);
}

PORTED(leftovers_go_and_those_of_others_are_kept) {
    pt_open(p, "", 0);
    pt_store(p, "foo", "x");
    pt_close(p);
    fill(p, "msgs/1.new", "half", 4);
    fill(p, "msgs/7.new", "half", 4);
    fill(p, "msgs/1.blk.tmp", "half", 4);
    fill(p, "msgs/index.db.tmp", "half", 4);
    pt_reopen(p);
    assert_true(pt_has_file(p, "msgs/7.new"));
    assert_int_equal(pt_store(p, "foo", "y"), 2);
    assert_false(pt_has_file(p, "msgs/1.new"));
    assert_false(pt_has_file(p, "msgs/7.new"));
    assert_false(pt_has_file(p, "msgs/1.blk.tmp"));
    assert_false(pt_has_file(p, "msgs/index.db.tmp"));
    assert_true(pt_has_file(p, kept_name(p, "1.blk.tmp")));
    expect_kept(p, 1);
    pt_expect_msg(p, 1, "foo", "x");
    pt_same_everywhere(p);
}

/* As servers since 2.14 purge: block 2 with the tombstone is in the staged directory. */
static void stage_purge(struct pt *p, bool empty) {
    pt_open(p, "", 0);
    pt_store_n(p, 5, "foo", "x");
    pt_close(p);
    move_block(p, "msgs/1", "before", true);
    pt_reopen(p);
    pt_must(p, js_stream_purge(p->stream, NULL), "purge");
    pt_close(p);
    assert_false(pt_has_file(p, "msgs/1.blk"));
    move_block(p, "before", "msgs/1", false);
    pt_remove_file(p, "msgs/index.db");
    directory(p, "__new_msgs__", true);
    if (!empty)
        move_block(p, "msgs/2", "__new_msgs__/2", false);
    else if (!pt_is_plain(p))
        move(p, "msgs/2.key", "__new_msgs__/2.key"); /* as far as it came */
}

PORTED(a_staged_purge_is_finished) {
    stage_purge(p, false);
    pt_reopen(p);
    PT_STATE(p, 0, 6, 5);
    assert_int_equal(pt_store(p, "foo", "y"), 6);
    assert_false(pt_has_file(p, "__new_msgs__/2.blk"));
    assert_false(pt_has_file(p, "msgs/1.blk"));
    assert_true(pt_has_file(p, "msgs/2.blk"));
    expect_kept_blocks(p, 1);
    PT_STATE(p, 1, 6, 6);
    pt_same_everywhere(p);
}

PORTED(a_staged_purge_without_block_is_taken_back) {
    stage_purge(p, true);
    pt_reopen(p);
    js_seq_t seq = pt_store(p, "foo", "y");
    assert_int_equal(seq, 6);
    directory(p, "__new_msgs__", true); /* it was gone */
    directory(p, "__new_msgs__", false);
    assert_true(pt_has_file(p, "msgs/2.blk"));
    pt_expect_msg(p, 1, "foo", "x");
    pt_expect_msg(p, 6, "foo", "y");
    pt_same_everywhere(p);
}

PORTED(an_old_purge_between_its_directories_is_taken_back) {
    for (int empty = 0; empty < 3; empty++) {
        pt_open(p, "", 0);
        pt_store_n(p, 5, "foo", "x");
        pt_close(p);
        directory(p, "__msgs__", true);
        move_block(p, "msgs/1", "__msgs__/1", false);
        pt_remove_file(p, "msgs/index.db");
        if (empty == 0)
            directory(p, "msgs", false);
        if (empty == 2)
            fill(p, "msgs/1.blk", "", 0);
        pt_reopen(p);
        assert_int_equal(pt_store(p, "foo", "y"), 6);
        assert_false(pt_has_file(p, "__msgs__/1.blk"));
        PT_STATE(p, 6, 1, 6);
        pt_expect_msg(p, 1, "foo", "x");
        pt_same_everywhere(p);
        pt_begin_anew(p);
    }
}

PORTED(what_an_old_purge_left_is_kept) {
    stage_purge(p, false);
    directory(p, "__msgs__", true);
    move_block(p, "msgs/1", "__msgs__/1", false);
    move_block(p, "__new_msgs__/2", "msgs/2", false);
    pt_reopen(p);
    PT_STATE(p, 0, 6, 5);
    assert_int_equal(pt_store(p, "foo", "y"), 6);
    assert_false(pt_has_file(p, "__msgs__/1.blk"));
    PT_STATE(p, 1, 6, 6);
    expect_kept_blocks(p, 1);
    pt_same_everywhere(p);
}

/* Nothing of a stream that cannot be judged changes. */
static void expect_untouched(struct pt *p, const char *reason) {
    uint64_t before = rd_hash(p->disk, "/s");
    char why[200];

    pt_reopen(p);
    assert_int_equal(pt_try(p, "foo", "x"), JS_ERR_READ_ONLY);
    assert_int_equal(js_stream_remove_msg(p->stream, 1), JS_ERR_READ_ONLY);
    assert_int_equal(js_stream_purge(p->stream, NULL), JS_ERR_READ_ONLY);
    assert_int_equal(js_stream_compact(p->stream, 2, NULL), JS_ERR_READ_ONLY);
    assert_int_equal(js_stream_truncate(p->stream, 1), JS_ERR_READ_ONLY);
    assert_int_equal(js_stream_sync_blocks(p->stream), JS_ERR_READ_ONLY);
    assert_int_equal(js_stream_writable(p->stream, why, sizeof why), 0);
    if (!strstr(why, reason))
        fail_msg("\"%s\" does not say \"%s\"", why, reason);
    pt_close(p);
    assert_int_equal(rd_hash(p->disk, "/s"), before);
}

PORTED(a_block_of_an_unknown_form_makes_the_stream_read_only) {
    /* Of an encrypted block nobody can tell. */
    if (!pt_is_plain(p))
        return;
    pt_open(p, "", 256);
    for (int i = 0; i < 20; i++)
        pt_store(p, "foo", "a text of some length");
    pt_close(p);
    /* A compressed block by an algorithm that does not exist. */
    fill(p, "msgs/2.blk", "cmp\x7f\x00\x00\x00\x00 and so on, whatever it may be", 37);
    pt_remove_file(p, "msgs/index.db");
    expect_untouched(p, "unknown form");
}

PORTED(sequences_that_only_the_index_knew_stay_used) {
    pt_open(p, "", 200);
    pt_store_n(p, 9, "foo", "some text");
    pt_close(p);
    js_time_t last_time = 0;
    size_t blocks = pt_num_block_files(p);
    assert_true(blocks >= 2);
    char name[32];
    snprintf(name, sizeof name, "msgs/%zu.blk", blocks);
    pt_remove_file(p, name);
    pt_reopen(p);
    last_time = pt_state(p).last_time;
    assert_int_equal(pt_state(p).last_seq, 9);
    uint64_t msgs = pt_state(p).msgs;
    assert_int_equal(pt_store(p, "foo", "next"), 10);
    assert_int_equal(pt_state(p).msgs, msgs + 1);
    pt_remove(p, 10);
    assert_int_equal(pt_state(p).last_seq, 10);
    assert_true(pt_state(p).last_time >= last_time);
    pt_restart_without_index(p);
    assert_int_equal(pt_state(p).last_seq, 10);
    assert_int_equal(pt_store(p, "foo", "next"), 11);
}

PORTED(an_empty_block_file_at_the_end_costs_nothing) {
    pt_open(p, "", 0);
    pt_store_n(p, 4, "foo", "x");
    pt_close(p);
    fill(p, "msgs/2.blk", "", 0);
    pt_reopen(p);
    PT_STATE(p, 4, 1, 4);
    assert_int_equal(pt_store(p, "foo", "x"), 5);
    expect_kept(p, 0);
    pt_same_everywhere(p);
}

/* ---- what only looks wrong ----------------------------------------------------------------------- */

/* As a server stores it whose clients are sloppy. */
static void store_raw(struct pt *p, const char *subject, size_t len, const char *hdr,
                      const char *text) {
    struct js_new_msg m = {.subject = subject,
                           .subject_len = len,
                           .hdr = (const uint8_t *)hdr,
                           .hdr_len = strlen(hdr),
                           .data = (const uint8_t *)text,
                           .data_len = strlen(text)};

    pt_must(p, js_stream_store_raw_msg(p->stream, &m, 0, 0, false), "store_raw_msg");
}

static void expect_raw(struct pt *p, js_seq_t seq, const char *subject, size_t len, const char *hdr,
                       const char *text) {
    struct js_msg m;

    pt_must(p, js_stream_load_msg(p->stream, seq, &m), "load_msg");
    assert_int_equal(m.subject_len, len);
    assert_memory_equal(m.subject, subject, len);
    assert_int_equal(m.hdr_len, strlen(hdr));
    if (m.hdr_len)
        assert_memory_equal(m.hdr, hdr, m.hdr_len);
    assert_int_equal(m.data_len, strlen(text));
    assert_memory_equal(m.data, text, m.data_len);
    js_msg_release(&m);
}

/* Servers take any subject that a client publishes to without blanks in it, a literal wildcard too, and
 * any header block. */
PORTED(what_servers_store_is_no_damage) {
    static const struct {
        const char *subject;
        size_t len;
        const char *hdr;
    } msgs[] = {
        {"o.*", 3, ""},     {"o.>", 3, ""},        {"o.*.x", 5, ""},
        {"o.>.y", 5, ""},   {"o.a\0b", 5, ""},     {"o.a\fb", 5, ""},
        {"o.h", 3, "NATS/1.0\r\nA: 1\r\n\r\nB: 2\r\n\r\n"},
    };
    size_t n = sizeof msgs / sizeof *msgs;

    pt_open(p, "\"subjects\":[\"o.>\"]", 0);
    for (size_t i = 0; i < n; i++)
        store_raw(p, msgs[i].subject, msgs[i].len, msgs[i].hdr, "data");
    for (int restart = 0; restart < 4; restart++) {
        if (restart % 2)
            pt_restart_without_index(p);
        else
            pt_restart(p);
        assert_int_equal(js_stream_health(p->stream), JS_HEALTH_OK);
        for (size_t i = 0; i < n; i++)
            expect_raw(p, i + 1, msgs[i].subject, msgs[i].len, msgs[i].hdr, "data");
        pt_store(p, "o.more", "data");
        expect_kept(p, 0);
    }
}

/* When the configuration's subjects were changed, those of older messages are right all the same. */
PORTED(subjects_of_an_earlier_configuration_stay) {
    pt_open(p, "\"subjects\":[\"orders.*.*\"]", 0);
    pt_store(p, "orders.eu.1", "text");
    assert_int_equal(pt_update(p, "\"subjects\":[\"orders.*\"]"), 0);
    pt_store(p, "orders.eu", "text");
    for (int i = 0; i < 2; i++) {
        pt_restart_without_index(p);
        assert_int_equal(js_stream_health(p->stream), JS_HEALTH_OK);
        pt_expect_msg(p, 1, "orders.eu.1", "text");
        pt_store(p, "orders.eu", "more");
        expect_kept(p, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_servers_store_is_no_damage),
        cmocka_unit_test(subjects_of_an_earlier_configuration_stay),
        cmocka_unit_test(records_of_removed_messages_survive_mending),
        cmocka_unit_test(damage_that_nobody_has_seen_is_not_compacted_away),
        cmocka_unit_test(a_damaged_index_is_replaced),
        cmocka_unit_test(storing_meets_damage_that_nobody_has_seen),
        cmocka_unit_test(compacting_over_damage_that_nobody_has_seen),
        cmocka_unit_test(a_torn_end_is_kept_and_the_rest_goes_on),
        cmocka_unit_test(a_damaged_block_is_kept_whole),
        cmocka_unit_test(leftovers_go_and_those_of_others_are_kept),
        cmocka_unit_test(a_staged_purge_is_finished),
        cmocka_unit_test(a_staged_purge_without_block_is_taken_back),
        cmocka_unit_test(an_old_purge_between_its_directories_is_taken_back),
        cmocka_unit_test(what_an_old_purge_left_is_kept),
        cmocka_unit_test(a_block_of_an_unknown_form_makes_the_stream_read_only),
        cmocka_unit_test(sequences_that_only_the_index_knew_stay_used),
        cmocka_unit_test(an_empty_block_file_at_the_end_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
