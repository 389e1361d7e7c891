/* SPDX-License-Identifier: Apache-2.0 */
/*
 * N.idx: u8 22, u8 version, uv messages, uv bytes, uv first seq, sv first time, uv last seq,
 * sv last time, uv deleted D, 8 bytes checksum of the block's last record, then D times uv
 * (sequence - first), or a sequence set in version 2. Bit 63 of sequences is masked off.
 *
 * N.fss: u8 22, u8 1, uv count, count times { uv length, subject, uv messages, uv first, uv last },
 * 8 bytes hash of all before, 8 bytes checksum of the block's last record.
 */
#include "core/format/block_idx.h"

#include <stdlib.h>

#include "core/base/limits.h"
#include "core/format/hash64.h"

#define MAGIC 22
#define SEQ_BITS (~(1ull << 63))
#define MAX_DELETED (1u << 20) /* more records than the largest block of 2.9 holds */

static int cmp_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void js_block_idx_done(struct js_block_idx *idx) {
    js_seqset_done(&idx->deleted);
}

/* *ret_listed: how many of the count there are. */
static int read_deleted(struct js_reader *r, uint8_t version, uint64_t count,
                        struct js_block_idx *idx, uint64_t *ret_listed) {
    *ret_listed = count;
    if (version == 2)
        return count ? js_seqset_decode(r, &idx->deleted) : 0;
    if (count > MAX_DELETED)
        return JS_ERR_CORRUPT;
    if (count > js_reader_left(r))
        count = js_reader_left(r);
    /* The order in the file is a map's; sorted, each member is appended to the set. */
    const struct js_env *env = idx->deleted.env;
    uint64_t *seqs = js_calloc(env, count ? count : 1, sizeof *seqs);
    int e = seqs ? 0 : JS_ERR_NOMEM;
    for (uint64_t i = 0; i < count && e == 0; i++) {
        if (r->p == r->end) {
            count = i; /* counted, but not listed */
            break;
        }
        seqs[i] = (js_read_uv(r) + idx->first_seq) & SEQ_BITS;
        if (r->bad)
            e = JS_ERR_CORRUPT;
    }
    if (e == 0 && count)
        qsort(seqs, count, sizeof *seqs, cmp_u64);
    for (uint64_t i = 0; i < count && e == 0; i++) {
        e = js_seqset_add(&idx->deleted, seqs[i]);
        e = e < 0 ? e : 0;
    }
    js_free(env, seqs);
    *ret_listed = count;
    return e;
}

/* Can there be so many messages? */
static bool is_possible(const struct js_block_idx *idx) {
    if (idx->last_seq < idx->first_seq)
        return false;
    uint64_t range = idx->last_seq - idx->first_seq + 1;
    return idx->deleted.members <= range && idx->msgs <= range - idx->deleted.members;
}

int js_block_idx_decode(const struct js_env *env, const uint8_t *in, size_t len,
                        struct js_block_idx *ret_idx) {
    struct js_block_idx idx = {0};
    struct js_reader r = js_reader_of(in, len);
    uint8_t magic = js_read_u8(&r), version = js_read_u8(&r);

    if (r.bad || magic != MAGIC || (version != 1 && version != 2))
        return JS_ERR_CORRUPT;
    js_seqset_init(&idx.deleted, env);
    idx.msgs = js_read_uv(&r);
    idx.bytes = js_read_uv(&r);
    idx.first_seq = js_read_uv(&r) & SEQ_BITS;
    idx.first_time = js_read_sv(&r);
    idx.last_seq = js_read_uv(&r) & SEQ_BITS;
    idx.last_time = js_read_sv(&r);
    uint64_t deleted = js_read_uv(&r);
    const uint8_t *sum = js_read_bytes(&r, 8);
    /* 2.9 counts deletions twice when a purge passes over them within a block: then its list is shorter
     * than it says, and the count of messages is not what the rest makes. */
    bool adds_up = idx.msgs == idx.last_seq - idx.first_seq + 1 - deleted;
    uint64_t listed;
    if (!sum)
        return JS_ERR_CORRUPT;
    memcpy(idx.last_sum, sum, 8);
    int e = read_deleted(&r, version, deleted, &idx, &listed);
    if (e == 0 && (adds_up != (listed == deleted) || (!adds_up && !is_possible(&idx))))
        e = JS_ERR_CORRUPT;
    if (e < 0) {
        js_block_idx_done(&idx);
        return e;
    }
    *ret_idx = idx;
    return 0;
}

int js_block_idx_encode(const struct js_block_idx *idx, struct js_buf *out) {
    uint64_t seq = idx->first_seq;

    js_buf_append_u8(out, MAGIC);
    js_buf_append_u8(out, 1);
    js_buf_append_uv(out, idx->msgs);
    js_buf_append_uv(out, idx->bytes);
    js_buf_append_uv(out, idx->first_seq);
    js_buf_append_sv(out, idx->first_time);
    js_buf_append_uv(out, idx->last_seq);
    js_buf_append_sv(out, idx->last_time);
    js_buf_append_uv(out, idx->deleted.members);
    js_buf_append(out, idx->last_sum, 8);
    while (js_seqset_next(&idx->deleted, seq, &seq))
        js_buf_append_uv(out, seq++ - idx->first_seq);
    return out->failed ? JS_ERR_NOMEM : 0;
}

int js_block_fss_check(const uint8_t *in, size_t len, const struct js_hash_key *key) {
    if (len < 2 + 1 + 16)
        return JS_ERR_CORRUPT;
    if (js_hash64_one(key, in, len - 16) != js_get64(in + len - 16))
        return JS_ERR_CORRUPT;
    struct js_reader r = js_reader_of(in, len - 16);
    if (js_read_u8(&r) != MAGIC || js_read_u8(&r) != 1)
        return JS_ERR_CORRUPT;
    for (uint64_t n = js_read_uv(&r); n && !r.bad; n--) {
        js_read_bytes(&r, js_read_uv(&r));
        js_read_uv(&r);
        js_read_uv(&r);
        js_read_uv(&r);
    }
    return r.bad ? JS_ERR_CORRUPT : 0;
}
