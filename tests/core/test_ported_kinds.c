/* SPDX-License-Identifier: Apache-2.0 */
/* Ported tests that are about ciphers and compression themselves. */
#include "tests/core/ported.h"

static bool compresses(const struct pt *p) {
    return strcmp(p->perm->compression, "none") != 0;
}

/* Does the file begin as compressed ones do? Of encrypted ones nobody can tell. */
static void expect_compressed(struct pt *p, const char *name, bool want) {
    struct pt_kept k;

    if (!pt_is_plain(p))
        return;
    k = pt_keep_file(p, name);
    assert_true(k.len > 3);
    assert_int_equal(memcmp(k.data, "cmp", 3) == 0, want);
    free(k.data);
}

PORTED(test_file_store_encrypted) {
    pt_open(p, "", 256);
    for (int i = 0; i < 50; i++)
        pt_store(p, "foo", "aes ftw");
    assert_int_equal(pt_has_file(p, "meta.key"), !pt_is_plain(p));
    assert_int_equal(pt_has_file(p, "msgs/1.key"), !pt_is_plain(p));
    pt_restart(p);
    PT_STATE(p, 50, 1, 50);
    for (js_seq_t i = 1; i <= 50; i++)
        pt_expect_msg(p, i, "foo", "aes ftw");
    assert_string_equal(js_stream_cipher(p->stream), p->perm->cipher);
    pt_same_everywhere(p);
}

PORTED(test_file_store_restore_encrypted_with_no_key_func_fails) {
    struct js_store_options options = {.flags = JS_OPEN_RW};
    struct js_stream_state st;
    char why[200] = "";
    js_seq_t seq;

    if (pt_is_plain(p))
        return;
    pt_open(p, "", 256);
    pt_store_n(p, 30, "foo", "secret");
    pt_close(p);
    uint64_t before = rd_hash(p->disk, "/s");
    pt_must(p, js_store_open(&p->te.env, "/s", &options, &p->store, why, sizeof why), "open");
    pt_must(p, js_store_get_stream(p->store, pt_account(), "S", &p->stream), "get_stream");
    assert_int_equal(js_stream_health(p->stream), JS_HEALTH_NO_KEY);
    js_stream_get_state(p->stream, &st);
    assert_int_equal(st.msgs, 0);
    assert_true(js_stream_store_msg(p->stream, "foo", 3, NULL, 0, (const uint8_t *)"x", 1, &seq,
                                    NULL) < 0);
    pt_close(p);
    assert_int_equal(rd_hash(p->disk, "/s"), before);
    pt_reopen(p);
    PT_STATE(p, 30, 1, 30);
}

/* The cut block is the newest then, and that is never compressed. */
PORTED(test_file_store_compression_after_truncate) {
    for (int variant = 0; variant < 3; variant++) {
        pt_open(p, "", 256);
        for (int i = 0; i < 20; i++)
            pt_store(p, "foo", "some text that is long enough to be compressed, to be compressed");
        pt_must(p, js_stream_sync_blocks(p->stream), "sync");
        expect_compressed(p, "msgs/1.blk", compresses(p));
        expect_compressed(p, "msgs/2.blk", compresses(p));
        if (variant == 1)
            pt_remove(p, 4);
        if (variant == 2)
            pt_erase(p, 4);
        pt_must(p, js_stream_truncate(p->stream, 5), "truncate");
        PT_STATE(p, variant ? 4 : 5, 1, 5);
        char newest[32];
        snprintf(newest, sizeof newest, "msgs/%zu.blk", pt_num_block_files(p));
        assert_string_not_equal(newest, "msgs/1.blk");
        expect_compressed(p, "msgs/1.blk", compresses(p));
        expect_compressed(p, newest, false);
        pt_restart(p);
        assert_int_equal(pt_store(p, "foo", "after the cut"), 6);
        pt_expect_msg(p, 6, "foo", "after the cut");
        pt_same_everywhere(p);
        pt_expect_msg(p, 5, "foo",
                      "some text that is long enough to be compressed, to be compressed");
        pt_begin_anew(p);
    }
}

PORTED(test_file_store_compact_head_reclaim_recompressed_block) {
    pt_open(p, "", 4 << 20);
    for (int i = 0; i < 50; i++)
        pt_store_size(p, "foo", 100 << 10);
    pt_must(p, js_stream_sync_blocks(p->stream), "sync");
    assert_true(pt_num_block_files(p) > 1);
    long before = pt_file_size(p, "msgs/1.blk");
    assert_int_equal(pt_compact(p, 35), 34);
    assert_true(pt_file_size(p, "msgs/1.blk") < before);
    expect_compressed(p, "msgs/1.blk", compresses(p));
    for (js_seq_t i = 35; i <= 50; i++)
        assert_int_equal(pt_load(p, i), 0);
    PT_STATE(p, 16, 35, 50);
    pt_same_everywhere(p);
    for (js_seq_t i = 35; i <= 50; i++)
        assert_int_equal(pt_load(p, i), 0);
}

/* A stream that was read through the cache in its old form is converted, and goes on in the new one. */
PORTED(test_file_store_convert_to_encrypted_does_not_resurrect_xored_cache) {
    const enum js_new_cipher none = JS_CIPHER_NEW_NONE;
    const enum js_new_cipher cipher =
        strcmp(p->perm->cipher, "aes") == 0 ? JS_CIPHER_NEW_AES : JS_CIPHER_NEW_CHACHA;

    if (pt_is_plain(p))
        return;
    pt_open(p, "", 512);
    for (int i = 0; i < 20; i++)
        pt_store(p, "foo", "hello");
    for (int to_plain = 1; to_plain >= 0; to_plain--) {
        for (js_seq_t i = 1; i <= 20; i++)
            pt_expect_msg(p, i, "foo", "hello");
        js_stream_unref(p->stream);
        pt_must(p, js_store_rekey(p->store, pt_account(), "S", to_plain ? &none : &cipher, NULL),
                "rekey");
        pt_must(p, js_store_get_stream(p->store, pt_account(), "S", &p->stream), "get_stream");
        assert_string_equal(js_stream_cipher(p->stream), to_plain ? "none" : p->perm->cipher);
        pt_store(p, "foo", "one more");
        PT_STATE(p, to_plain ? 21 : 22, 1, to_plain ? 21 : 22);
    }
    for (js_seq_t i = 1; i <= 20; i++)
        pt_expect_msg(p, i, "foo", "hello");
    pt_expect_msg(p, 22, "foo", "one more");
    pt_same_everywhere(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_store_encrypted),
        cmocka_unit_test(test_file_store_restore_encrypted_with_no_key_func_fails),
        cmocka_unit_test(test_file_store_compression_after_truncate),
        cmocka_unit_test(test_file_store_compact_head_reclaim_recompressed_block),
        cmocka_unit_test(test_file_store_convert_to_encrypted_does_not_resurrect_xored_cache),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
