/* SPDX-License-Identifier: Apache-2.0 */
/* Published vectors of every format, and decoders under damage: each byte flipped, each length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/format/block_idx.h"
#include "core/format/consumer_state.h"
#include "core/format/crypto.h"
#include "core/format/index_db.h"
#include "core/format/meta.h"
#include "core/format/record.h"
#include "core/format/s2.h"
#include "core/format/small_state.h"

#define T INT64_C(1700000000000000000)

static size_t unhex(const char *hex, uint8_t *out) {
    size_t n = 0;
    for (; *hex; hex++) {
        unsigned v;
        if (*hex == ' ')
            continue;
        char pair[3] = {hex[0], hex[1], 0};
        v = (unsigned)strtoul(pair, NULL, 16);
        out[n++] = (uint8_t)v;
        hex++;
    }
    return n;
}

static void assert_hex(const uint8_t *got, size_t len, const char *hex) {
    uint8_t want[1024];
    assert_int_equal(unhex(hex, want), len);
    assert_memory_equal(got, want, len);
}

static void hash_gives_published_digests_by_every_implementation(void **state) {
    static const struct {
        size_t len;
        const char *digest;
    } rows[] = {{0, "536ec222de567a90"},  {1, "78ddcdc7aa43ab7e"},  {2, "623db5b09a56d0b8"},
                {3, "803d468aabef6b5c"},  {4, "da7e009368a405f2"},  {5, "4145a9e468168a2b"},
                {15, "3bf349a4863f7940"}, {16, "32b87ef98934abcf"}, {17, "e2c0c5c8d267fe19"},
                {19, "04c571238e51d975"}, {20, "16ddd341119bad38"}, {31, "685a03cf7c00c79f"},
                {32, "fc80d5ecd964c9a0"}, {33, "fc8131a03cf7902c"}, {47, "081e916bc0ba2613"},
                {48, "344f152b8d1626b9"}, {63, "a03921bfe9eb8eab"}, {64, "ffa6d24c5d2c5475"}};
    uint8_t key[32], msg[64];
    struct js_hash_key k;

    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        msg[i] = (uint8_t)i;
        key[i & 31] = (uint8_t)(i & 31);
    }
    js_hash_key_init(&k, key);
    for (const char *const *impl = js_hash64_impls(); *impl; impl++) {
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            char hex[17];
            /* In one piece, and cut in two at every place. */
            for (size_t cut = 0; cut <= rows[i].len; cut++) {
                struct js_span p[2] = {{msg, cut}, {msg + cut, rows[i].len - cut}};
                js_hash64_hex(js_hash64_by(*impl, &k, p, 2), hex);
                assert_string_equal(hex, rows[i].digest);
            }
        }
    }
}

static void records_are_written_as_servers_do(void **state) {
    struct js_hash_key k;
    uint8_t b[100];

    (void)state;
    js_hash_key_of_block(&k, "ORDERS", 1);
    js_record_encode(b, 1, T + 1, "orders.new", 10, NULL, 0, (const uint8_t *)"hello", 5, &k);
    assert_hex(b, 45,
               "2d000000 0100000000000000 01002a36fe9c9717 0a00 6f72646572732e6e6577 "
               "68656c6c6f df768b773908abf7");
    js_record_encode(b, 2, T + 2, "orders.new", 10, (const uint8_t *)"NATS/1.0\r\nA: 1\r\n\r\n", 18,
                     (const uint8_t *)"hi", 2, &k);
    assert_hex(b, 64,
               "40000080 0200000000000000 02002a36fe9c9717 0a00 6f72646572732e6e6577 12000000 "
               "4e4154532f312e300d0a413a20310d0a0d0a 6869 ddd3b176ba39c518");
    js_record_encode(b, 1 | JS_SEQ_TOMBSTONE, T + 1, NULL, 0, NULL, 0, NULL, 0, &k);
    assert_hex(b, 30, "1e000000 0100000000000040 01002a36fe9c9717 0000 271cf3588357be62");
}

/* Checksums made for two records at once are those that each has alone, with and without headers, of
 * lengths around every bound. */
static void two_records_at_once_are_those_of_each(void **state) {
    static const size_t hdrs[] = {0, 1, 12, 13, 900, 3000}, lens[] = {0, 1, 5, 6, 31, 32, 33, 128, 1100};
    enum { KINDS = sizeof hdrs / sizeof *hdrs * (sizeof lens / sizeof *lens), ROOM = 5000 };
    static uint8_t alone[KINDS][ROOM], both[2][ROOM], text[4096];
    struct js_hash_key k;

    (void)state;
    js_hash_key_of_block(&k, "ORDERS", 1);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 37 + i / 256);
    for (size_t i = 0; i < KINDS; i++)
        js_record_encode(alone[i], i + 1, T, "a.b", i % 4, text, hdrs[i % 6], text + 7, lens[i / 6], &k);
    for (size_t i = 0; i < KINDS; i++)
        for (size_t j = 0; j < KINDS; j++) {
            js_record_lay_out(both[0], i + 1, T, "a.b", i % 4, text, hdrs[i % 6], text + 7, lens[i / 6]);
            js_record_lay_out(both[1], j + 1, T, "a.b", j % 4, text, hdrs[j % 6], text + 7, lens[j / 6]);
            js_record_sum_two(both[0], both[1], &k);
            assert_memory_equal(both[0], alone[i], js_record_size(i % 4, hdrs[i % 6], lens[i / 6]));
            assert_memory_equal(both[1], alone[j], js_record_size(j % 4, hdrs[j % 6], lens[j / 6]));
        }
}

static void every_flipped_bit_of_a_record_is_noticed_but_in_its_lengths(void **state) {
    struct js_hash_key k;
    struct js_record r;
    uint8_t b[64];

    (void)state;
    js_hash_key_of_block(&k, "ORDERS", 1);
    js_record_encode(b, 2, T + 2, "orders.new", 10, (const uint8_t *)"NATS/1.0\r\nA: 1\r\n\r\n", 18,
                     (const uint8_t *)"hi", 2, &k);
    for (size_t i = 0; i < sizeof b * 8; i++) {
        size_t at = i / 8;
        b[at] ^= (uint8_t)(1u << (i & 7));
        bool good = js_record_parse(b, sizeof b, &r) && js_record_verify(&r, &k, b);
        bool in_hdr_length = at >= 32 && at < 36;
        if (!in_hdr_length)
            assert_false(good);
        b[at] ^= (uint8_t)(1u << (i & 7));
    }
    for (size_t len = 0; len < sizeof b; len++)
        assert_false(js_record_parse(b, len, &r));
}

static void meta_sums_are_the_servers(void **state) {
    static const char text[] =
        "{\"name\":\"ORDERS\",\"subjects\":[\"orders.\\u003e\"],\"storage\":\"file\"}";
    char sum[17];

    (void)state;
    js_meta_sum("ORDERS", (const uint8_t *)text, sizeof text - 1, sum);
    assert_string_equal(sum, "bb211a88add0546a");
}

static const char index_v1[] =
    "0b01 0255 018280d0e2c6bfce972f 058a80d0e2c6bfce972f 01 0a6f72646572732e6e6577 020101 01"
    "01550100050803 1602 01000000 03000000 0000000000000000 1c00000000000000";

/* The index of version 1 as text: head, 31 empty words, height, last block, checksum. */
static size_t make_index(uint8_t *out) {
    size_t n = unhex(index_v1, out);
    memset(out + n, 0, 31 * 8);
    n += 31 * 8;
    return n + unhex("0100 01 680751566d09ec74", out + n);
}

static void index_db_decodes_and_encodes_to_the_same_bytes(void **state) {
    uint8_t in[512];
    size_t len = make_index(in);
    struct js_index_db ix;
    struct js_buf out = {.env = js_env_default()};
    struct js_hash_key k;
    char hex[17];

    (void)state;
    assert_int_equal(js_index_db_decode(js_env_default(), in, len, &ix), 0);
    assert_int_equal(ix.msgs, 2);
    assert_int_equal(ix.last_seq, 5);
    assert_int_equal(ix.first_time, T + 1);
    assert_int_equal(ix.blocks[0].deleted.members, 3);
    assert_true(js_seqset_has(&ix.blocks[0].deleted, 4));
    assert_false(js_seqset_has(&ix.blocks[0].deleted, 5));
    assert_int_equal(js_index_db_encode(&ix, 1, &out), 0);
    assert_int_equal(out.len, len);
    assert_memory_equal(out.data, in, len);
    js_hash_key_of_name(&k, "ORDERS", 6);
    js_hash64_hex(js_hash64_one(&k, out.data, out.len), hex);
    assert_string_equal(hex, "b8c3da132419dba1");
    out.len = 0;
    assert_int_equal(js_index_db_encode(&ix, 4, &out), 0);
    js_hash64_hex(js_hash64_one(&k, out.data, out.len), hex);
    assert_string_equal(hex, "289fd0690b5388f9");
    js_buf_done(&out);
    js_index_db_done(&ix);
}

static void o_dat_decodes_and_encodes_to_the_same_bytes(void **state) {
    uint8_t in[64];
    size_t len = unhex("1602 02 02 05 06 02 8ac49fd50c 02020a 040304 010202", in);
    struct js_consumer_state st;
    struct js_buf out = {.env = js_env_default()};

    (void)state;
    assert_int_equal(js_consumer_state_decode(js_env_default(), in, len, &st), 0);
    assert_int_equal(st.delivered_stream, 6);
    assert_int_equal(st.num_pending, 2);
    assert_int_equal(st.pending[0].stream_seq, 4);
    assert_int_equal(st.pending[0].redelivered, 2);
    assert_int_equal(st.pending[1].delivered, INT64_C(1700000003) * 1000000000);
    assert_int_equal(js_consumer_state_encode(&st, INT64_C(1700000005) * 1000000000, &out), 0);
    assert_int_equal(out.len, len);
    assert_memory_equal(out.data, in, len);
    js_buf_done(&out);
    js_consumer_state_done(&st);
}

static void n_idx_decodes(void **state) {
    uint8_t in[64];
    size_t len = unhex("1601 16 f20c 03 f2cda692d9e4d7ea31 1e aeb1e296d9e4d7ea31 06 "
                       "433c7ae78f1a9255 1b 02 03 04 0c 1a",
                       in);
    struct js_block_idx idx;

    (void)state;
    assert_int_equal(js_block_idx_decode(js_env_default(), in, len, &idx), 0);
    assert_int_equal(idx.msgs, 22);
    assert_int_equal(idx.first_seq, 3);
    assert_true(js_seqset_has(&idx.deleted, 30));
    assert_true(js_seqset_has(&idx.deleted, 5));
    assert_int_equal(idx.deleted.members, 6);
    js_block_idx_done(&idx);
    /* Cut off it is of no use: which messages were deleted is not known. */
    assert_int_equal(js_block_idx_decode(js_env_default(), in, len - 1, &idx), JS_ERR_CORRUPT);
    /* As a server wrote it that counted some twice: what it lists counts. */
    len = unhex("1601 15 f20c 03 f2cda692d9e4d7ea31 1e aeb1e296d9e4d7ea31 09 "
                "433c7ae78f1a9255 1b 02 03 04 0c 1a",
                in);
    assert_int_equal(js_block_idx_decode(js_env_default(), in, len, &idx), 0);
    assert_int_equal(idx.deleted.members, 6);
    js_block_idx_done(&idx);
    /* One that lists all that it counts has to add up. */
    in[2] = 0x15;
    in[25] = 6;
    assert_int_equal(js_block_idx_decode(js_env_default(), in, len, &idx), JS_ERR_CORRUPT);
}

/* A decoder must end, with success or a documented error, whatever is changed. */
static void decode_all(const uint8_t *p, size_t len) {
    struct js_index_db ix;
    struct js_consumer_state st;
    struct js_block_idx idx;
    struct js_small_head head;

    if (js_index_db_decode(js_env_default(), p, len, &ix) == 0)
        js_index_db_done(&ix);
    if (js_consumer_state_decode(js_env_default(), p, len, &st) == 0)
        js_consumer_state_done(&st);
    if (js_block_idx_decode(js_env_default(), p, len, &idx) == 0)
        js_block_idx_done(&idx);
    (void)js_thw_decode(p, len, &head, NULL, NULL);
    (void)js_sched_decode(p, len, &head, NULL, NULL);
    (void)js_sources_decode(p, len, &head, NULL, NULL);
}

static void decoders_survive_every_flip_and_every_length(void **state) {
    static const char *const samples[] = {
        index_v1, "1602 02 02 05 06 02 8ac49fd50c 02020a 040304 010202",
        "1601 16 f20c 03 f2cda692d9e4d7ea31 1e aeb1e296d9e4d7ea31 06 433c7ae78f1a9255 1b020304",
        "01 0100000000000000 0700000000000000 c0b8bef9fdacd2aa32 06",
        "01 0200000000000000 0600000000000000 0900 73636865642e6f6e65 8080989085ffe2fe70 01"};

    (void)state;
    for (size_t s = 0; s < sizeof samples / sizeof samples[0]; s++) {
        uint8_t b[512];
        size_t len = s == 0 ? make_index(b) : unhex(samples[s], b);
        for (size_t n = 0; n <= len; n++) {
            uint8_t *exact = malloc(n ? n : 1); /* so that a read past the end is seen */
            memcpy(exact, b, n);
            decode_all(exact, n);
            for (unsigned bit = 0; n == len && bit < 8 * n; bit++) {
                exact[bit / 8] ^= (uint8_t)(1u << (bit & 7));
                decode_all(exact, n);
                exact[bit / 8] ^= (uint8_t)(1u << (bit & 7));
            }
            free(exact);
        }
    }
}

static void keys_and_sealed_files_are_the_servers(void **state) {
    static const char chacha_key[] =
        "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7cb90d036c126259dfaa3d4bb0f226acd837166cf"
        "c1bb43945d822ec671b1475eeb11ef6be31a663931dace01b18e363c";
    static const char aes_key[] =
        "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf666901d8cc059cd2d03abc95c9ef8a7f5c4a41a86261b796a3f7cad9"
        "66d0eb435eb0e2800ce70528cec02dae2d873be4";
    static const char *const streams[] = {
        "b96b2a5ead2592949dd2605ebb50041c50b7af0dfcefada6aadd29609c54b6c7562d5199bb7ecde92fc7d14f"
        "886b6e6d89d86538f2536581177e0917b1168b30",
        "dc9f01fd76b87c0d0f4be8850b0bece0e1d1eb117c419528ec8af88a6730d39f99ebe4a2e867990a75ae0080"
        "adef8371cf223d4bdfa104da6be97ac810436c43"};
    uint8_t kek[32], file[80], out[80];
    struct js_block_key key;

    (void)state;
    assert_int_equal(js_kek_derive("k3y", 3, "$G", "ORDERS", kek), 0);
    assert_hex(kek, 32, "3b1a920363981226b771e1823e9eaa55349f24c32c364a31499aa981695e7ab9");
    assert_int_equal(js_kek_derive("k3y", 3, "$G", "ORDERS:1", kek), 0);
    for (int i = 0; i < 2; i++) {
        size_t len = unhex(i == 0 ? chacha_key : aes_key, file);
        assert_int_equal(js_key_unwrap(file, len, kek, &key), 0);
        for (unsigned k = 0; k < 32; k++)
            assert_int_equal(key.seed[k], k);
        assert_int_equal(js_key_wrap(&key, kek, out), len);
        assert_memory_equal(out, file, len);
        /* The key stream from every offset. */
        uint8_t want[64];
        unhex(streams[i], want);
        for (size_t off = 0; off < 64; off++) {
            uint8_t zero[64] = {0};
            assert_int_equal(js_block_xor(&key, off, zero, 64 - off), 0);
            assert_memory_equal(zero, want + off, 64 - off);
        }
        for (size_t bit = 0; bit < len * 8; bit++) {
            struct js_block_key other;
            file[bit / 8] ^= (uint8_t)(1u << (bit & 7));
            assert_int_equal(js_key_unwrap(file, len, kek, &other), JS_ERR_WRONG_KEY);
            file[bit / 8] ^= (uint8_t)(1u << (bit & 7));
        }
        assert_int_equal(js_key_unwrap(file, len - 1, kek, &key), JS_ERR_CORRUPT);
    }
}

static void sealed_files_open_again_and_notice_changes(void **state) {
    static const enum js_cipher ciphers[] = {JS_CIPHER_CHACHA, JS_CIPHER_AES};
    uint8_t seed[32] = {7};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct js_buf sealed = {.env = js_env_default()}, plain = {.env = js_env_default()};
        assert_int_equal(
            js_seal(js_env_default(), ciphers[i], seed, (const uint8_t *)"{}", 2, &sealed), 0);
        assert_int_equal(js_unseal(ciphers[i], seed, sealed.data, sealed.len, &plain), 0);
        assert_int_equal(plain.len, 2);
        assert_memory_equal(plain.data, "{}", 2);
        sealed.data[sealed.len / 2] ^= 1;
        assert_int_equal(js_unseal(ciphers[i], seed, sealed.data, sealed.len, &plain),
                         JS_ERR_CORRUPT);
        js_buf_done(&sealed);
        js_buf_done(&plain);
    }
}

/* ---- S2 -------------------------------------------------------------------------------------- */

static void s2_elements_decode(void **state) {
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"04 61 62", "ab"},                        /* literal of two */
        {"00 61 01 01 00", NULL},                  /* a literal without its byte */
        {"0c 61626364 01 04", "abcdabcd"},         /* copy1: offset 4, length 4 */
        {"0c 61626364 0e 0400", "abcdabcd"},       /* copy2 */
        {"0c 61626364 0f 04000000", "abcdabcd"},   /* copy4 */
        {"00 61 01 01 01 00", "aaaaaaaaa"},        /* copy1, then a repeat of 4 */
        {"00 61 01 01 15 00 00", "aaaaaaaaaaaaa"}, /* repeat, length 8 + 0 */
        {"01 00", NULL},                           /* a repeat before any copy */
        {"00 61 01 02", NULL},                     /* offset before the beginning */
        {"f0", NULL},                              /* length missing */
    };

    (void)state;
    assert_int_equal(js_s2_crc((const uint8_t *)"abc", 3), 0x21f1576e);
    assert_int_equal(js_s2_crc((const uint8_t *)"", 0), 0xa282ead8);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t in[64], out[64];
        size_t done, len = unhex(rows[i].in, in);
        size_t want = rows[i].out ? strlen(rows[i].out) : 60;
        int r = js_s2_decode_block(in, len, out, want, &done);
        if (rows[i].out) {
            assert_int_equal(r, 0);
            assert_memory_equal(out, rows[i].out, want);
        } else {
            assert_int_equal(r, JS_ERR_CORRUPT);
        }
    }
}

static unsigned faults;

static void count_fault(void *ctx, const struct js_s2_bad *bad) {
    (void)ctx;
    (void)bad;
    faults++;
}

static void a_damaged_chunk_costs_itself_alone(void **state) {
    enum { SIZE = 3 * 65536 };
    uint8_t *text = malloc(SIZE);
    struct js_buf packed = {.env = js_env_default()}, out = {.env = js_env_default()};

    (void)state;
    for (unsigned i = 0; i < SIZE; i++)
        text[i] = (uint8_t)("abcdefgh"[i % 8] + (i / 9973) % 7);
    assert_int_equal(js_s2_encode(text, SIZE, &packed), 0);
    assert_int_equal(js_s2_decode(packed.data, packed.len, SIZE, 1u << 22, &out, NULL, NULL), 0);
    assert_int_equal(out.len, SIZE);
    assert_memory_equal(out.data, text, SIZE);
    for (size_t at = 10; at < packed.len; at += packed.len / 400 + 1) {
        out.len = 0;
        faults = 0;
        packed.data[at] ^= 0x20;
        assert_int_equal(
            js_s2_decode(packed.data, packed.len, SIZE, 1u << 22, &out, count_fault, NULL), 0);
        /* A copy may point elsewhere and yet give the same bytes: then nothing was damaged. */
        assert_true(faults > 0 || (out.len == SIZE && memcmp(out.data, text, SIZE) == 0));
        unsigned wrong = 0;
        for (unsigned c = 0; out.len == SIZE && c < 3; c++)
            wrong += memcmp(out.data + c * 65536, text + c * 65536, 65536) != 0;
        assert_true(wrong <= 1);
        packed.data[at] ^= 0x20;
    }
    for (size_t len = 0; len < packed.len; len += packed.len / 300 + 1) {
        uint8_t *exact = malloc(len ? len : 1);
        memcpy(exact, packed.data, len);
        out.len = 0;
        (void)js_s2_decode(exact, len, SIZE, 1u << 22, &out, count_fault, NULL);
        free(exact);
    }
    /* Never more than what was allowed. */
    out.len = 0;
    assert_int_equal(js_s2_decode(packed.data, packed.len, SIZE, 100000, &out, NULL, NULL),
                     JS_ERR_TOO_BIG);
    js_buf_done(&packed);
    js_buf_done(&out);
    free(text);
}

/* Two at once give what each gives alone, for all lengths around the packets' edges. */
static void two_hashes_at_once_are_those_of_each(void **state) {
    (void)state;
    struct js_hash_key k;
    uint8_t bytes[2][400];
    js_hash_key_of_name(&k, "two", 3);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i / 400][i % 400] = (uint8_t)(i * 167 + i / 251);
    for (size_t a = 16; a < 200; a++) {
        for (size_t b = a % 7 + 16; b < 330; b += 7) {
            struct js_hash_text text[2] = {{bytes[0], bytes[0] + 23, a}, {bytes[1], bytes[1] + 16, b}};
            uint64_t both[2];
            js_hash64_two(&k, text, both);
            for (int i = 0; i < 2; i++) {
                struct js_span one[2] = {{text[i].head, 16}, {text[i].body, text[i].body_len}};
                assert_int_equal(both[i], js_hash64_by("portable", &k, one, 2));
            }
        }
    }
}

/* Many records verified together: right only if each is. */
static void records_verified_together_fail_if_one_does(void **state) {
    (void)state;
    struct js_hash_key k;
    struct js_record r[9];
    const uint8_t *ps[9];
    uint8_t block[9 * 200], data[64];
    size_t off = 0;
    js_hash_key_of_name(&k, "many", 4);
    memset(data, 'd', sizeof data);
    for (size_t i = 0; i < 9; i++) {
        /* Short ones, long ones, one with headers. */
        size_t len = i % 3 == 0 ? i : 20 + i;
        const char *hdr = "NATS/1.0\r\n\r\n";
        js_record_encode(block + off, i + 1, 7, "a.b", 3, (const uint8_t *)hdr, i == 4 ? 12 : 0, data,
                         len, &k);
        assert_true(js_record_parse(block + off, sizeof block - off, &r[i]));
        ps[i] = block + off;
        off += r[i].len;
    }
    for (size_t n = 0; n <= 9; n++)
        assert_true(js_records_verify(r, ps, n, &k));
    for (size_t i = 0; i < 9; i++) {
        block[ps[i] - block + 13] ^= 4;
        assert_false(js_records_verify(r, ps, 9, &k));
        assert_true(js_records_verify(r, ps, i, &k));
        block[ps[i] - block + 13] ^= 4;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_hashes_at_once_are_those_of_each),
        cmocka_unit_test(records_verified_together_fail_if_one_does),
        cmocka_unit_test(hash_gives_published_digests_by_every_implementation),
        cmocka_unit_test(records_are_written_as_servers_do),
        cmocka_unit_test(two_records_at_once_are_those_of_each),
        cmocka_unit_test(every_flipped_bit_of_a_record_is_noticed_but_in_its_lengths),
        cmocka_unit_test(meta_sums_are_the_servers),
        cmocka_unit_test(index_db_decodes_and_encodes_to_the_same_bytes),
        cmocka_unit_test(o_dat_decodes_and_encodes_to_the_same_bytes),
        cmocka_unit_test(n_idx_decodes),
        cmocka_unit_test(decoders_survive_every_flip_and_every_length),
        cmocka_unit_test(keys_and_sealed_files_are_the_servers),
        cmocka_unit_test(sealed_files_open_again_and_notice_changes),
        cmocka_unit_test(s2_elements_decode),
        cmocka_unit_test(a_damaged_chunk_costs_itself_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
