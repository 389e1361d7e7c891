/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/targets.h"

#include <stdlib.h>
#include <string.h>

#include "core/block/scan.h"
#include "core/format/archive.h"
#include "core/format/block_idx.h"
#include "core/format/cmp_part.h"
#include "core/format/consumer_state.h"
#include "core/format/crypto.h"
#include "core/format/index_db.h"
#include "core/format/meta.h"
#include "core/format/s2.h"
#include "core/format/small_state.h"
#include "core/format/zone.h"

#define MAX_OUT (64u << 20)

static void check(int holds) {
    if (!holds)
        abort();
}

static struct js_buf buf_of(const uint8_t *data, size_t size) {
    struct js_buf b = {.env = js_env_default()};

    js_buf_append(&b, data, size);
    return b;
}

struct bytes {
    const uint8_t *data;
    size_t size;
};

static ssize_t read_bytes(void *ctx, uint64_t off, void *buf, size_t len) {
    const struct bytes *b = ctx;

    if (off >= b->size)
        return 0;
    size_t n = b->size - off < len ? (size_t)(b->size - off) : len;
    memcpy(buf, b->data + off, n);
    return (ssize_t)n;
}

/* A part of a compressed block: what is said to be there is. */
static void packed_part(const uint8_t *data, size_t size) {
    struct bytes bytes = {data, size};
    struct js_cmp_source src = {.read = read_bytes, .ctx = &bytes, .len = size};
    struct js_buf out = {.env = js_env_default()};
    uint64_t begin = 0, off = size ? (uint64_t)data[size / 2] << (data[0] & 15) : 0;
    size_t len = size ? 1 + data[size - 1] : 1;

    if (js_cmp_part(&src, off, len, &out, &begin) == 0)
        check(begin <= off && off - begin + len <= out.len);
    js_buf_done(&out);
}

/* A block file: decompressed if it looks so, then walked with resynchronisation. */
static void block(const uint8_t *data, size_t size) {
    struct js_hash_key key;
    struct js_scan scan;

    js_scan_init(&scan, js_env_default());
    js_buf_append(&scan.raw, data, size);
    js_hash_key_of_block(&key, "FUZZ", 1);
    if (js_scan_decode(&scan, NULL) == 0 && scan.verdict == JS_SCAN_OK) {
        check(js_scan_walk(&scan, scan.data.data, scan.data.len, &key, NULL) == 0);
        uint64_t end = 0;
        for (size_t i = 0; i < scan.count; i++) {
            struct js_record rec;
            check(scan.recs[i].off >= end);
            end = (uint64_t)scan.recs[i].off + scan.recs[i].len;
            check(end <= scan.data.len);
            js_scan_view(&scan.recs[i], scan.data.data, &rec);
            check(rec.data + rec.data_len <= scan.data.data + end);
        }
    }
    js_scan_done(&scan);
    packed_part(data, size);
}

/* One record: what parses lies within the bytes. */
static void record(const uint8_t *data, size_t size) {
    struct js_record r;

    if (!js_record_parse(data, size, &r))
        return;
    check(r.len <= size && r.subject + r.subject_len <= data + size);
    check(r.data + r.data_len <= data + size && r.sum + 8 == data + r.len);
    size_t pos = 0, klen, vlen;
    const char *k, *v;
    while (js_hdr_next(r.hdr, r.hdr_len, &pos, &k, &klen, &v, &vlen))
        check((const uint8_t *)v + vlen <= r.hdr + r.hdr_len);
}

static void tolerate(void *ctx, const struct js_s2_bad *bad) {
    (void)ctx;
    (void)bad;
}

static void s2(const uint8_t *data, size_t size) {
    struct js_buf out = {.env = js_env_default()};

    (void)js_s2_decode(data, size, 0, MAX_OUT, &out, tolerate, NULL);
    check(out.len <= MAX_OUT);
    js_buf_done(&out);
    /* What is encoded decodes to the same. */
    struct js_buf packed = {.env = js_env_default()};
    check(js_s2_encode(data, size, &packed) == 0);
    check(js_s2_decode(packed.data, packed.len, size, MAX_OUT, &out, NULL, NULL) == 0);
    check(out.len == size && (size == 0 || memcmp(out.data, data, size) == 0));
    js_buf_done(&packed);
    js_buf_done(&out);
}

static void lz4(const uint8_t *data, size_t size) {
    struct js_buf out = {.env = js_env_default()}, packed = {.env = js_env_default()};

    /* The size that a block's head gives may be anything. */
    uint64_t expect = size > 3 ? (uint64_t)data[size - 1] << (data[size - 2] & 31) : 0;
    (void)js_lz4_decode(data, size, expect, MAX_OUT, &out, tolerate, NULL);
    check(out.len <= MAX_OUT);
    js_buf_done(&out);
    check(js_lz4_encode(data, size, &packed) == 0);
    check(js_lz4_decode(packed.data, packed.len, size, MAX_OUT, &out, NULL, NULL) == 0);
    check(out.len == size && (size == 0 || memcmp(out.data, data, size) == 0));
    js_buf_done(&packed);
    js_buf_done(&out);
}

static void index_db(const uint8_t *data, size_t size) {
    struct js_index_db ix = {0};

    if (js_index_db_decode(js_env_default(), data, size, &ix) == 0) {
        struct js_buf out = {.env = js_env_default()};
        (void)js_index_db_encode(&ix, 4, &out);
        js_buf_done(&out);
    }
    js_index_db_done(&ix);
}

static void idx(const uint8_t *data, size_t size) {
    struct js_block_idx x = {0};

    /* Listed twice, a deleted sequence is one member. */
    if (js_block_idx_decode(js_env_default(), data, size, &x) == 0)
        check(x.msgs <= x.last_seq + 1 - x.first_seq - x.deleted.members);
    js_block_idx_done(&x);
}

static void thw(const uint8_t *data, size_t size) {
    struct js_small_head head;

    (void)js_thw_decode(data, size, &head, NULL, NULL);
}

static void sched(const uint8_t *data, size_t size) {
    struct js_small_head head;

    (void)js_sched_decode(data, size, &head, NULL, NULL);
    (void)js_sources_decode(data, size, &head, NULL, NULL);
}

static void zone(const uint8_t *data, size_t size) {
    struct js_zone z;
    int64_t at = -INT64_C(9000000000), next;

    if (js_zone_decode(data, size, &z) != 0)
        return;
    for (int i = 0; i < 100 && js_zone_next_change(&z, at, &next) && next < INT64_C(9000000000); i++) {
        check(next > at);
        (void)js_zone_offset(&z, next);
        at = next;
    }
}

static void consumer_state(const uint8_t *data, size_t size) {
    struct js_consumer_state st = {0};

    if (js_consumer_state_decode(js_env_default(), data, size, &st) != 0)
        return;
    struct js_buf out = {.env = js_env_default()};
    struct js_consumer_state again = {0};
    check(js_consumer_state_encode(&st, 1700000000000000000, &out) == 0);
    check(js_consumer_state_decode(js_env_default(), out.data, out.len, &again) == 0);
    check(again.num_pending == st.num_pending);
    js_consumer_state_done(&again);
    js_consumer_state_done(&st);
    js_buf_done(&out);
}

static void meta(const uint8_t *data, size_t size) {
    struct js_stream_config sc = {.env = js_env_default()};
    struct js_consumer_config cc = {.env = js_env_default()};
    struct js_buf text = {.env = js_env_default()};
    char why[200];

    if (js_stream_config_parse(js_env_default(), (const char *)data, size, &sc, why, sizeof why) == 0)
        (void)js_block_size_of(&sc, false);
    js_stream_config_done(&sc);
    if (js_consumer_config_parse(js_env_default(), (const char *)data, size, &cc) == 0)
        js_consumer_config_done(&cc);
    struct js_buf user = buf_of(data, size);
    js_buf_append_u8(&user, 0);
    (void)js_stream_config_make(js_env_default(), "FUZZ", (const char *)user.data, 1, &text, why,
                                sizeof why);
    js_buf_done(&user);
    js_buf_done(&text);
}

static void key_file(const uint8_t *data, size_t size) {
    static const uint8_t kek[32] = {1};
    struct js_block_key key;
    struct js_buf out = {.env = js_env_default()};

    check(js_key_unwrap(data, size, kek, &key) < 0);
    (void)js_unseal(JS_CIPHER_CHACHA, kek, data, size, &out);
    (void)js_unseal(JS_CIPHER_AES, kek, data, size, &out);
    js_buf_done(&out);
}

struct archive {
    const uint8_t *data;
    size_t size;
};

static ssize_t read_archive(void *ctx, void *buf, size_t len, uint64_t off) {
    const struct archive *a = ctx;

    if (off >= a->size)
        return 0;
    if (len > a->size - off)
        len = a->size - (size_t)off;
    memcpy(buf, a->data + off, len);
    return (ssize_t)len;
}

static int see_member(void *ctx, const char *name, uint64_t off, uint64_t size) {
    const struct archive *a = ctx;

    (void)name;
    check(off <= a->size && size <= a->size - off);
    return 0;
}

static int see_entry(void *ctx, const struct js_arc_entry *e) {
    const struct archive *a = ctx;

    check(e->data_off <= a->size && e->data_size <= a->size - e->data_off);
    return 0;
}

static void backup(const uint8_t *data, size_t size) {
    struct archive a = {data, size};
    struct js_pread src = {.fn = read_archive, .ctx = &a, .size = size};

    (void)js_tar_walk(js_env_default(), &src, see_member, &a);
    (void)js_arc_walk(js_env_default(), &src, see_entry, &a);
}

static void texts(const uint8_t *data, size_t size) {
    struct js_buf text = buf_of(data, size);
    js_time_t t;

    js_buf_append_u8(&text, 0);
    (void)js_time_parse((const char *)text.data, 1700000000000000000, &t);
    if (js_subject_valid((const char *)data, size))
        check(js_filter_valid((const char *)data, size) &&
              js_subject_matches((const char *)data, size, ">", 1));
    (void)js_name_valid((const char *)text.data);
    js_buf_done(&text);
}

static void stream_state(const uint8_t *data, size_t size) {
    struct js_decoded_state st;

    if (js_decode_stream_state(js_env_default(), data, size, &st) == 0)
        js_decoded_state_free(js_env_default(), &st);
}

const struct fuzz_target fuzz_targets[] = {
    {"block", block},       {"record", record}, {"s2", s2},
    {"lz4", lz4},           {"index_db", index_db}, {"idx", idx},
    {"thw", thw},           {"sched", sched},   {"consumer_state", consumer_state},
    {"meta", meta},         {"key_file", key_file}, {"backup", backup},
    {"texts", texts},       {"stream_state", stream_state}, {"zone", zone},
    {NULL, NULL},
};
