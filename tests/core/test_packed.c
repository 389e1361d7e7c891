/* SPDX-License-Identifier: Apache-2.0 */
/* Single messages of compressed blocks: no more is decoded than holds them. */
#include "core/base/buf.h"
#include "core/format/cmp_part.h"
#include "core/format/s2.h"
#include "tests/core/ported.h"

/* ---- the format --------------------------------------------------------------------------------
 */

#define SIZE 300000u

static uint8_t text[SIZE];

struct file {
    const struct js_buf *bytes;
    size_t read;
};

static ssize_t read_file(void *ctx, uint64_t off, void *buf, size_t len) {
    struct file *f = ctx;

    if (off >= f->bytes->len)
        return 0;
    size_t n = f->bytes->len - off < len ? (size_t)(f->bytes->len - off) : len;
    memcpy(buf, f->bytes->data + off, n);
    f->read += n;
    return (ssize_t)n;
}

/* Compressible, but for the third of five chunks. */
static void make_block(enum js_cmp_kind kind, struct js_buf *out) {
    uint32_t x = 7;

    for (size_t i = 0; i < SIZE; i++) {
        x = x * 1664525 + 1013904223;
        text[i] = i / 65536 == 2 ? (uint8_t)(x >> 24) : (uint8_t)(i % 100 < 90 ? i / 1000 + i % 7 : x >> 29);
    }
    assert_int_equal(js_cmp_encode(kind, text, SIZE, out), 0);
}

static int part(const struct js_buf *bytes, uint64_t off, size_t len, struct js_buf *out,
                uint64_t *ret_begin, size_t *ret_read) {
    struct file file = {.bytes = bytes};
    struct js_cmp_source src = {.read = read_file, .ctx = &file, .len = bytes->len};
    int r = js_cmp_part(&src, off, len, out, ret_begin);

    if (ret_read)
        *ret_read = file.read;
    return r;
}

static void any_part_is_that_of_the_whole(void **state) {
    static const enum js_cmp_kind kinds[] = {JS_CMP_S2, JS_CMP_LZ4};
    struct testenv te;

    (void)state;
    te_init(&te, NULL);
    for (size_t k = 0; k < 2; k++) {
        struct js_buf block = {.env = &te.env}, out = {.env = &te.env};
        make_block(kinds[k], &block);
        for (uint32_t i = 0, off = 0; i < 3000; i++, off = (off * 7919 + 104729) % SIZE) {
            size_t len = i % 50 == 0 ? 70000 : 1 + i % 400, read;
            uint64_t begin = 0;
            out.len = 0;
            int r = part(&block, off, len, &out, &begin, &read);
            if (len > SIZE - 8 - off && off <= SIZE) {
                assert_int_equal(r, JS_ERR_CORRUPT); /* of the end a whole block is asked */
                continue;
            }
            assert_int_equal(r, 0);
            assert_true(begin <= off && off - begin + len <= out.len);
            assert_memory_equal(out.data + (off - begin), text + off, len);
            /* Two chunks that are stored as they are, at most, and the heads. */
            if (len <= 400)
                assert_true(out.len <= 2 * 65536 && read <= 2 * 65536 + 2000);
        }
        js_buf_done(&block);
        js_buf_done(&out);
    }
    assert_int_equal(atomic_load(&te.memory), 0);
}

/* Whatever the bytes are: no more than the file is read, and what is said to be there is there. */
static void damage_is_survived(void **state) {
    static const enum js_cmp_kind kinds[] = {JS_CMP_S2, JS_CMP_LZ4};
    static const uint32_t offs[] = {0, 65530, 140000, 262144, SIZE - 300};
    struct testenv te;

    (void)state;
    te_init(&te, NULL);
    for (size_t k = 0; k < 2; k++) {
        struct js_buf block = {.env = &te.env}, out = {.env = &te.env};
        size_t refused = 0;
        make_block(kinds[k], &block);
        for (size_t i = 0; i < block.len; i = i < 40 ? i + 1 : i + 97) {
            uint8_t was = block.data[i];
            for (unsigned bit = 0; bit < 8; bit++) {
                block.data[i] = (uint8_t)(was ^ 1u << bit);
                for (size_t o = 0; o < 5; o++) {
                    uint64_t begin = 0;
                    out.len = 0;
                    int r = part(&block, offs[o], 200, &out, &begin, NULL);
                    assert_true(r == 0 || r == JS_ERR_CORRUPT);
                    refused += r != 0;
                    if (r == 0)
                        assert_true(begin <= offs[o] && offs[o] - begin + 200 <= out.len);
                }
            }
            block.data[i] = was;
        }
        assert_true(refused > 100);
        for (size_t len = 0; len < block.len; len = len < 100 ? len + 1 : len + 997) {
            struct js_buf cut = {.env = &te.env, .data = block.data, .len = len};
            uint64_t begin = 0;
            out.len = 0;
            (void)part(&cut, 0, 200, &out, &begin, NULL);
            out.len = 0;
            assert_int_equal(part(&cut, SIZE - 300, 200, &out, &begin, NULL), JS_ERR_CORRUPT);
        }
        js_buf_done(&block);
        js_buf_done(&out);
    }
    assert_int_equal(atomic_load(&te.memory), 0);
}

/* ---- the engine --------------------------------------------------------------------------------
 */

#define MANY 2500
#define LEN  1000

static size_t data_of(js_seq_t seq, uint8_t *data) {
    for (size_t i = 0; i < LEN; i++)
        data[i] = (uint8_t)("message "[i % 8] + (i % 50 == 0 ? seq % 64 : 0));
    return LEN;
}

static int check(struct pt *p, js_seq_t seq) {
    uint8_t want[LEN];
    struct js_msg m;
    int r = js_stream_load_msg(p->stream, seq, &m);

    if (r < 0)
        return r;
    bool same = m.data_len == data_of(seq, want) && memcmp(m.data, want, LEN) == 0;
    js_msg_release(&m);
    return same ? 0 : 1;
}

static void fill(struct pt *p) {
    uint8_t data[LEN];
    uint64_t freed;

    pt_open(p, "", 1 << 20);
    for (js_seq_t seq = 1; seq <= MANY; seq++)
        pt_must(p, js_stream_store_msg(p->stream, "foo", 3, NULL, 0, data, data_of(seq, data), NULL, NULL),
                "store");
    pt_must(p, js_stream_compact_blocks(p->stream, &freed), "compact_blocks");
}

/* Here and there, in order, backwards; opened with and without index.db. */
PORTED(messages_of_compressed_blocks_are_right) {
    fill(p);
    for (int pass = 0; pass < 3; pass++) {
        if (pass == 1)
            pt_restart(p);
        else if (pass == 2)
            pt_restart_scanned(p);
        for (js_seq_t i = 0, seq = 1; i < 40; i++, seq = (seq * 7919 + 1) % MANY + 1)
            assert_int_equal(check(p, seq), 0);
        for (js_seq_t seq = MANY; seq > 0; seq--)
            assert_int_equal(check(p, seq), 0);
        for (js_seq_t seq = 1; seq <= MANY; seq++)
            assert_int_equal(check(p, seq), 0);
    }
}

/* Bytes that change while the stream is open cost what they are part of, also when they say where what
 * follows stands. */
PORTED(damage_costs_its_chunk_alone) {
    if (!pt_is_plain(p) && strcmp(p->perm->cipher, "none") != 0)
        return;
    if (strcmp(p->perm->compression, "none") == 0)
        return;
    fill(p);
    pt_restart_scanned(p);
    struct pt_kept kept = pt_keep_file(p, "msgs/1.blk");
    assert_true(kept.len > 20000);
    size_t wrong = 0, fine = 0;
    for (long at = 14; at < kept.len; at += kept.len / 60) {
        uint8_t *bytes = malloc((size_t)kept.len);
        assert_non_null(bytes);
        memcpy(bytes, kept.data, (size_t)kept.len);
        bytes[at] ^= 0x10;
        assert_int_equal(rd_put(p->disk, pt_path("msgs/1.blk"), bytes, (size_t)kept.len), 0);
        free(bytes);
        size_t bad = 0;
        for (js_seq_t seq = 5; seq < 900; seq += 111) {
            int r = check(p, seq);
            assert_int_not_equal(r, 1);
            bad += r < 0;
        }
        wrong += bad != 0;
        fine += bad == 0;
        /* 900 messages lie in 15 chunks; those looked at, in nine different ones. */
        if (bad > 1)
            fail_msg("%s %s: byte %ld of %ld: %zu", p->perm->cipher, p->perm->compression, at, kept.len, bad);
        pt_must(p, rd_put(p->disk, pt_path("msgs/1.blk"), kept.data, (size_t)kept.len), "put");
        pt_restart_scanned(p);
    }
    assert_true(wrong > 3 && fine > 3);
    pt_put_back(p, "msgs/1.blk", &kept);
    for (js_seq_t seq = 1; seq <= MANY; seq++)
        assert_int_equal(check(p, seq), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_part_is_that_of_the_whole),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(messages_of_compressed_blocks_are_right),
        cmocka_unit_test(damage_costs_its_chunk_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
