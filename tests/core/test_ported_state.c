/* SPDX-License-Identifier: Apache-2.0 */
/* Ported tests: what replicas exchange, and backups. */
#include "tests/core/ported.h"

PORTED(test_file_store_remove_msgs_in_range) {
    struct js_delete_block b = {.first = 1, .num = 4};

    pt_open(p, "", 4 * 33);
    pt_store_n(p, 20, "foo", "");
    assert_int_equal(js_stream_sync_deleted(p->stream, &b, 1), 0);
    PT_STATE(p, 16, 5, 20);
    b = (struct js_delete_block){.first = 9, .num = 4};
    assert_int_equal(js_stream_sync_deleted(p->stream, &b, 1), 0);
    PT_STATE(p, 12, 5, 20);
    assert_string_equal(pt_deleted(p), "9-12");
    /* Cutting blocks, and beyond the last. */
    b = (struct js_delete_block){.first = 7, .num = 8};
    assert_int_equal(js_stream_sync_deleted(p->stream, &b, 1), 0);
    assert_string_equal(pt_deleted(p), "7-14");
    b = (struct js_delete_block){.first = 19, .num = 100};
    assert_int_equal(js_stream_sync_deleted(p->stream, &b, 1), 0);
    PT_STATE(p, 6, 5, 20);
    b = (struct js_delete_block){.first = 1, .num = 100};
    assert_int_equal(js_stream_sync_deleted(p->stream, &b, 1), 0);
    PT_STATE(p, 0, 21, 20);
    pt_restart(p);
    PT_STATE(p, 0, 21, 20);
}

/* ---- the set of deleted messages as replicas exchange it ---------------------------------------
 */

struct encoded {
    uint8_t data[8192];
    size_t len;
};

static int take_encoded(void *ctx, const void *data, size_t len) {
    struct encoded *e = ctx;

    assert_true(e->len + len <= sizeof e->data);
    memcpy(e->data + e->len, data, len);
    e->len += len;
    return 0;
}

/* What the encoded state says is deleted, as text like pt_deleted(). */
static void expect_encoded(struct pt *p) {
    static struct encoded e;
    struct js_decoded_state st = {0};
    struct js_stream_state now = pt_state(p);
    uint64_t deleted = 0;

    e.len = 0;
    assert_int_equal(js_stream_encoded_state(p->stream, 0, take_encoded, &e), 0);
    assert_int_equal(js_decode_stream_state(&p->te.env, e.data, e.len, &st), 0);
    assert_int_equal(st.msgs, now.msgs);
    assert_int_equal(st.bytes, now.bytes);
    assert_int_equal(st.first_seq, now.first_seq);
    assert_int_equal(st.last_seq, now.last_seq);
    for (size_t i = 0; i < st.num_blocks; i++) {
        const struct js_delete_block *b = &st.deleted[i];
        for (uint64_t k = 0; k < b->num; k++) {
            js_seq_t seq = b->list ? b->list[k] : b->first + k;
            deleted++;
            assert_true(seq > now.first_seq && seq <= now.last_seq);
            assert_int_not_equal(pt_load(p, seq), 0);
        }
    }
    assert_int_equal(deleted, now.num_deleted);
    js_decoded_state_free(&p->te.env, &st);
}

PORTED(test_file_store_delete_range_two_gaps) {
    pt_open(p, "", 10 * 33);
    pt_store_n(p, 100, "foo", "");
    for (js_seq_t i = 11; i <= 20; i++)
        pt_remove(p, i);
    for (js_seq_t i = 41; i <= 60; i++)
        pt_remove(p, i);
    assert_string_equal(pt_deleted(p), "11-20,41-60");
    expect_encoded(p);
    pt_same_everywhere(p);
    expect_encoded(p);
}

PORTED(test_file_store_delete_blocks_with_single_message_blocks) {
    pt_open(p, "", 33);
    pt_store_n(p, 10, "foo", "");
    static const js_seq_t script[] = {3, 4, 6, 5, 9, 1, 2};
    for (size_t i = 0; i < sizeof script / sizeof *script; i++) {
        pt_remove(p, script[i]);
        expect_encoded(p);
    }
    pt_same_everywhere(p);
}

PORTED(test_file_store_delete_blocks) {
    pt_open(p, "", 4 * 33);
    pt_store_n(p, 20, "foo", "");
    static const js_seq_t script[] = {2, 3, 9, 10, 11, 12, 5, 8, 17, 18, 1, 16, 19, 6, 7};
    for (size_t i = 0; i < sizeof script / sizeof *script; i++) {
        pt_remove(p, script[i]);
        expect_encoded(p);
    }
    pt_same_everywhere(p);
    expect_encoded(p);
}

PORTED(test_file_store_delete_blocks_with_many_empty_blocks) {
    pt_open(p, "", 2 * 33);
    pt_store_n(p, 20, "foo", "");
    for (js_seq_t i = 3; i <= 14; i++) {
        pt_remove(p, i);
        expect_encoded(p);
    }
    pt_remove(p, 2);
    assert_string_equal(pt_deleted(p), "2-14");
    assert_int_equal(js_stream_compact_blocks(p->stream, NULL), 0);
    expect_encoded(p);
    pt_same_everywhere(p);
}

/* ---- backups -----------------------------------------------------------------------------------
 */

struct archive {
    uint8_t *data;
    size_t len, cap;
};

static int take_archive(void *ctx, const void *data, size_t len) {
    struct archive *a = ctx;

    if (a->len + len > a->cap) {
        a->cap = (a->len + len) * 2;
        a->data = realloc(a->data, a->cap);
        assert_non_null(a->data);
    }
    memcpy(a->data + a->len, data, len);
    a->len += len;
    return 0;
}

static void expect_backup(struct pt *p) {
    struct archive a = {0};
    struct js_stream *r;
    struct js_stream_state want = pt_state(p), got;
    char name[64], why[200] = "";

    assert_int_equal(js_stream_backup(p->stream, JS_BACKUP_CHECK, take_archive, &a), 0);
    assert_int_equal(rd_put(p->disk, "/backup", a.data, a.len), 0);
    free(a.data);
    int r0 = js_store_restore(p->store, "B", "/backup", "R", name, sizeof name, why, sizeof why);
    if (r0 < 0)
        fail_msg("restore: %s %s", js_err_name(r0), why);
    assert_int_equal(js_store_get_stream(p->store, "B", "R", &r), 0);
    js_stream_get_state(r, &got);
    assert_int_equal(got.msgs, want.msgs);
    assert_int_equal(got.bytes, want.bytes);
    assert_int_equal(got.first_seq, want.first_seq);
    assert_int_equal(got.last_seq, want.last_seq);
    assert_int_equal(got.num_deleted, want.num_deleted);
    assert_int_equal(got.last_time, want.last_time);
    js_stream_unref(r);
    assert_int_equal(js_store_delete_stream(p->store, "B", "R"), 0);
}

PORTED(test_file_store_snapshot) {
    pt_open(p, "\"subjects\":[\"foo\"]", 1024);
    pt_store_n(p, 100, "foo", "Hello World");
    expect_backup(p);
    for (js_seq_t i = 1; i <= 20; i++)
        pt_remove(p, i);
    expect_backup(p);
    for (js_seq_t i = 25; i <= 90; i += 1 + i % 3)
        pt_remove(p, i);
    expect_backup(p);
    assert_int_equal(js_stream_compact_blocks(p->stream, NULL), 0);
    expect_backup(p);
    /* SnapshotWithDeletedLastSeq: the deleted tail is kept. */
    pt_remove(p, 100);
    expect_backup(p);
    pt_purge(p);
    expect_backup(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_store_remove_msgs_in_range),
        cmocka_unit_test(test_file_store_delete_range_two_gaps),
        cmocka_unit_test(test_file_store_delete_blocks_with_single_message_blocks),
        cmocka_unit_test(test_file_store_delete_blocks),
        cmocka_unit_test(test_file_store_delete_blocks_with_many_empty_blocks),
        cmocka_unit_test(test_file_store_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
