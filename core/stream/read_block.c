/* SPDX-License-Identifier: Apache-2.0 */
/* From a block's number to bytes: whole blocks through the cache, single records of plain blocks by
 * reading a few bytes. */
#include <stdio.h>

#include "core/base/bytes.h"
#include "core/base/file.h"
#include "core/base/limits.h"
#include "core/block/repair.h"
#include "core/format/cmp_part.h"
#include "core/format/s2.h"
#include "core/stream/writer.h"

/* So many single records are read from a block before it is read as a whole, which costs about as much as
 * one of them for every WORTH bytes. */
#define MAX_PARTS 256
#define WORTH     8192
#define IN_ORDER  32 /* one that follows the one before counts as so many */
#define PACKED    (MAX_PARTS / 2) /* one of a compressed block, of which up to 1 MiB is decoded for it */

int js_stream_block_key(struct js_stream *s, uint32_t number, struct js_block_key **ret_key,
                        enum js_scan_verdict *ret_verdict) {
    struct js_buf file = {.env = s->env};
    char path[32], context[300];

    *ret_verdict = JS_SCAN_OK;
    snprintf(path, sizeof path, "msgs/%u.key", number);
    int r = js_files_slurp(&s->files, path, JS_MAX_KEY_FILE, &file);
    if (r == JS_ERR_NO_ENTRY) {
        js_buf_done(&file);
        *ret_key = NULL;
        /* An encrypted stream's block without key file may still be plain (a restored backup):
         * the walk will tell. */
        return 0;
    }
    if (r < 0) {
        js_buf_done(&file);
        *ret_verdict = JS_SCAN_BAD_KEY_FILE;
        return js_is_shortage(r) ? r : 0;
    }
    struct js_block_key *key = js_vault_take(s->vault);
    if (!key) {
        js_buf_done(&file);
        return JS_ERR_NOMEM;
    }
    snprintf(context, sizeof context, "%s:%u", s->name, number);
    r = js_stream_open_key(s, file.data, file.len, context, key);
    js_buf_done(&file);
    if (r == 0) {
        *ret_key = key;
        return 0;
    }
    js_vault_put(s->vault, key);
    *ret_key = NULL;
    if (r == JS_ERR_NO_KEY)
        *ret_verdict = JS_SCAN_NO_KEY;
    else if (r == JS_ERR_WRONG_KEY) /* right for the stream, so this file is damaged */
        *ret_verdict = s->seed ? JS_SCAN_BAD_KEY_FILE : JS_SCAN_WRONG_KEY;
    else if (r == JS_ERR_CORRUPT)
        *ret_verdict = JS_SCAN_BAD_KEY_FILE;
    else
        return r;
    return 0;
}

void js_block_forget_key(struct js_stream *s, struct js_block *b) {
    js_vault_put(s->vault, b->key);
    b->key = NULL;
}

/* Reads a whole extent into scan->raw. */
static int read_raw(struct js_stream *s, uint32_t number, struct js_scan *scan) {
    struct js_extent ext;
    int r = js_files_open_block(&s->files, number, &ext);

    if (r < 0)
        return r;
    scan->file_size = ext.len;
    if (ext.len > JS_MAX_BLOCK_FILE) {
        js_extent_close(s->env, &ext);
        return JS_ERR_TOO_BIG;
    }
    r = js_buf_reserve(&scan->raw, ext.len ? ext.len : 1);
    if (r == 0) {
        ssize_t n = js_file_read(s->env, ext.fd, scan->raw.data, ext.len, ext.off);
        if (n < 0)
            r = (int)n;
        else
            scan->raw.len = (size_t)n;
    }
    js_extent_close(s->env, &ext);
    return r;
}

static bool rule_known(void *ctx, const char *subject, size_t len) {
    return js_stream_knows_subject(ctx, subject, len);
}

int js_stream_scan_block(struct js_stream *s, uint32_t number, struct js_block_key **ret_key,
                         struct js_scan *scan) {
    struct js_subject_rule rule = {.known = rule_known, .ctx = s};
    struct js_hash_key hash_key;

    js_scan_reset(scan);
    scan->number = number;
    *ret_key = NULL;
    int r = js_stream_block_key(s, number, ret_key, &scan->verdict);
    if (r < 0)
        return r;
    r = read_raw(s, number, scan);
    /* These say nothing about the block. */
    if (js_is_shortage(r))
        return r;
    if (r == JS_ERR_TOO_BIG) {
        scan->verdict = JS_SCAN_UNKNOWN;
        return 0;
    }
    if (r < 0) {
        scan->verdict = r == JS_ERR_NO_ENTRY ? JS_SCAN_MISSING : JS_SCAN_UNREADABLE;
        scan->error = r;
        return 0;
    }
    if (scan->verdict != JS_SCAN_OK)
        return 0;
    r = js_scan_decode(scan, *ret_key);
    if (r < 0 || scan->verdict != JS_SCAN_OK)
        return r;
    js_hash_key_of_block(&hash_key, s->name, number);
    r = js_scan_walk(scan, scan->data.data, scan->data.len, &hash_key, &rule);
    if (r == 0 && s->encrypted && !*ret_key && scan->count == 0 && scan->data.len)
        scan->verdict = JS_SCAN_NO_KEY; /* not plain after all */
    return r;
}

/* Decodes into a cache entry, faults tolerated (they were reported when the block was scanned). */
static void ignore_bad(void *ctx, const struct js_s2_bad *bad) {
    (void)ctx;
    (void)bad;
}

static int decompress_entry(struct js_stream *s, const struct js_block *b, struct js_cached *e) {
    struct js_buf out = {.env = s->env};

    int r = js_buf_reserve(&out, b->raw_size ? b->raw_size : 1);
    if (r == 0)
        r = js_cmp_decode(e->data, e->len, JS_MAX_BLOCK_FILE, &out, ignore_bad, NULL);
    if (r == JS_ERR_NOMEM || out.failed) {
        js_buf_done(&out);
        return JS_ERR_NOMEM;
    }
    js_free(s->env, e->data);
    e->data = out.data;
    e->len = out.len;
    e->cap = out.cap;
    return 0;
}

/* Small enough for what was read to stay near until it is looked at. */
#define PIECE ((size_t)256 << 10)

/* Reads what is left of the file, decrypted, from e->len on; fn (may be NULL) sees the bytes of a plain
 * block as they come. *ret_plain false: compressed, fn saw nothing. */
static int read_pieces(struct js_stream *s, const struct js_block *b, struct js_extent *ext,
                       struct js_cached *e, js_piece_fn *fn, void *ctx, bool *ret_plain) {
    bool plain = true;

    for (;;) {
        size_t want = ext->len - e->len < PIECE ? ext->len - e->len : PIECE;
        ssize_t n = js_file_read(s->env, ext->fd, e->data + e->len, want, ext->off + e->len);
        if (n < 0)
            return (int)n;
        int r = b->key ? js_block_xor(b->key, e->len, e->data + e->len, (size_t)n) : 0;
        if (r < 0)
            return r;
        if (e->len == 0)
            plain = !js_cmp_is(e->data, (size_t)n);
        e->len += (size_t)n;
        bool last = (size_t)n < want || e->len == ext->len;
        if (plain && fn)
            fn(ctx, e, e->len, last);
        if (last)
            break;
    }
    *ret_plain = plain;
    return 0;
}

static int decode_entry(struct js_stream *s, struct js_block *b, struct js_extent *ext,
                        js_piece_fn *fn, void *ctx, struct js_cached **ret) {
    const uint8_t *more = NULL;
    size_t num_more = 0;
    bool pending = js_writer_pending(s, b, ext->len, &more, &num_more);
    struct js_cached *e = js_cached_new(s->env, s->cache, ext->len + num_more);
    bool plain = true;

    if (!e)
        return JS_ERR_NOMEM;
    int r = js_cached_add_flags(e, ext->len + num_more);
    if (r == 0)
        r = read_pieces(s, b, ext, e, fn, ctx, &plain);
    if (r == 0 && pending && plain && e->len == ext->len) {
        /* What the writer has not put into the file yet. */
        memcpy(e->data + e->len, more, num_more);
        e->len += num_more;
        if (fn)
            fn(ctx, e, e->len, true);
    }
    if (r == 0 && !plain) {
        r = decompress_entry(s, b, e);
        if (r == 0)
            r = js_cached_add_flags(e, e->len);
        if (r == 0 && fn)
            fn(ctx, e, e->len, true);
    }
    if (r < 0) {
        js_cached_unref(e);
        return r;
    }
    /* Of a block that only index.db told of this is the first look (core/stream/cold.c). */
    if (b->cold && b->cold->unread && !b->cold->prepared)
        b->compressed = !plain;
    *ret = e;
    return 0;
}

int js_stream_block_bytes(struct js_stream *s, struct js_block *b, struct js_cached **ret_bytes) {
    return js_stream_block_pieces(s, b, NULL, NULL, ret_bytes);
}

int js_stream_block_pieces(struct js_stream *s, struct js_block *b, js_piece_fn *fn, void *ctx,
                           struct js_cached **ret_bytes) {
    struct js_cached *e = js_cache_get(s->cache, s->identity, b->number, b->version);
    struct js_extent ext;

    /* A copy from before the latest appends lacks their bytes. */
    if (e && (e->len >= b->good_size || b->compressed)) {
        if (fn)
            fn(ctx, e, e->len, true);
        *ret_bytes = e;
        return 0;
    }
    js_cached_unref(e);
    if (b->unreadable)
        return JS_ERR_BAD_MSG;
    if (!s->cache->keep_walked)
        js_cache_retire(s->cache, s->identity);
    int r = js_files_open_block(&s->files, b->number, &ext);
    if (r < 0)
        return r == JS_ERR_NO_ENTRY ? JS_ERR_STALE : r;
    /* What is being written behind that is in the writer's buffer. */
    if (s->writer && s->writer->block == b && ext.len > s->writer->length)
        ext.len = s->writer->length;
    if (ext.len > JS_MAX_BLOCK_FILE)
        r = JS_ERR_TOO_BIG;
    else
        r = decode_entry(s, b, &ext, fn, ctx, &e);
    js_extent_close(s->env, &ext);
    if (r < 0)
        return r;
    e->owner = s->identity;
    e->number = b->number;
    e->version = b->version;
    js_cache_put(s->cache, e);
    *ret_bytes = e;
    return 0;
}

/* Reads bytes of a file that is open already, or stays open for the next time. */
static ssize_t read_part(struct js_stream *s, const struct js_block *b, uint64_t off, void *buf,
                         size_t len) {
    struct js_open_files *files = &s->cache->files;
    struct js_open_file *f = js_open_files_get(files, s->identity, b->number, off + len);
    struct js_extent ext = {.fd = -1};
    ssize_t n;

    if (!f) {
        int r = js_files_open_block(&s->files, b->number, &ext);
        if (r < 0)
            return r == JS_ERR_NO_ENTRY ? JS_ERR_STALE : r;
        if (off + len > ext.len) {
            js_extent_close(s->env, &ext);
            return JS_ERR_BAD_MSG;
        }
        if (ext.close_fd)
            f = js_open_files_put(files, s->identity, b->number, ext.fd, ext.len);
    }
    n = js_file_read(s->env, f ? f->fd : ext.fd, buf, len, ext.off + off);
    if (f)
        js_open_files_release(files, f);
    else
        js_extent_close(s->env, &ext);
    return n >= 0 && (size_t)n < len ? (ssize_t)JS_ERR_BAD_MSG : n;
}

static int block_part(struct js_stream *s, struct js_block *b, const struct js_block_key *key,
                      uint64_t off, size_t len, struct js_cached **ret_bytes,
                      const uint8_t **ret_at) {
    struct js_cached *e = js_cached_new(s->env, NULL, len);
    const uint8_t *buffered;
    size_t left;
    ssize_t n = (ssize_t)len;

    if (!e)
        return JS_ERR_NOMEM;
    if (js_writer_pending(s, b, off, &buffered, &left)) {
        if (left < len)
            n = JS_ERR_BAD_MSG;
        else
            memcpy(e->data, buffered, len);
    } else {
        n = read_part(s, b, off, e->data, len);
        if (n >= 0 && key)
            n = js_block_xor(key, off, e->data, len);
    }
    if (n < 0) {
        js_cached_unref(e);
        return (int)n;
    }
    e->len = len;
    *ret_bytes = e;
    *ret_at = e->data;
    return 0;
}

struct packed {
    struct js_stream *s;
    const struct js_block *b;
};

static ssize_t read_packed(void *ctx, uint64_t off, void *buf, size_t len) {
    const struct packed *p = ctx;
    ssize_t n = read_part(p->s, p->b, off, buf, len);

    if (n >= 0 && p->b->key) {
        int r = js_block_xor(p->b->key, off, buf, len);
        n = r < 0 ? r : n;
    }
    return n;
}

/* Of a compressed block as little as holds these bytes. JS_ERR_CORRUPT: the whole block is needed. */
static int packed_part(struct js_stream *s, struct js_block *b, uint64_t off, size_t len,
                       struct js_cached **ret_bytes, const uint8_t **ret_at) {
    struct packed packed = {.s = s, .b = b};
    struct js_cmp_source src = {.read = read_packed, .ctx = &packed, .len = b->file_size};
    struct js_buf out = {.env = s->env};
    uint64_t begin = 0;
    int r = js_cmp_part(&src, off, len, &out, &begin);
    struct js_cached *e = r == 0 ? js_cached_new(s->env, NULL, len) : NULL;

    if (e) {
        memcpy(e->data, out.data + (off - begin), len);
        e->len = len;
        *ret_bytes = e;
        *ret_at = e->data;
    } else if (r == 0) {
        r = JS_ERR_NOMEM;
    }
    js_buf_done(&out);
    return r == 0 || js_is_shortage(r) ? r : JS_ERR_CORRUPT;
}

int js_stream_block_part(struct js_stream *s, struct js_block *b, uint64_t off, size_t len,
                         struct js_cached **ret_bytes, const uint8_t **ret_at) {
    struct js_cached *e;

    if (b->unreadable)
        return JS_ERR_BAD_MSG;
    if (b->compressed) {
        /* Where something was mended the block is not what its chunks make. */
        int r = b->odd || !b->file_size ? JS_ERR_CORRUPT
                                        : packed_part(s, b, off, len, ret_bytes, ret_at);
        if (r != JS_ERR_CORRUPT)
            return r;
        r = js_stream_block_bytes(s, b, &e);
        if (r < 0)
            return r;
        if (off > e->len || len > e->len - off) {
            js_cached_unref(e);
            return JS_ERR_BAD_MSG;
        }
        *ret_bytes = e;
        *ret_at = e->data + off;
        return 0;
    }
    return block_part(s, b, b->key, off, len, ret_bytes, ret_at);
}

int js_stream_plain_part(struct js_stream *s, struct js_block *b, const struct js_block_key *key,
                         uint64_t off, size_t len, struct js_cached **ret_bytes,
                         const uint8_t **ret_at) {
    return block_part(s, b, key, off, len, ret_bytes, ret_at);
}

/* Splits the record at p by what the index knows (lengths that were repaired at the scan). */
static bool view_slot(const struct js_place *at, const uint8_t *p, struct js_record *ret) {
    const struct js_slot *slot = &at->slots->at[at->slot];
    uint32_t hlen = slot->hlen, len = slot->len, slen = slot->slen;
    uint32_t fixed = JS_MIN_RECORD + (hlen ? 4 : 0);

    if (len < fixed || slen > len - fixed)
        return false;
    /* A server erases in place: what it writes over a record has the same length and a checksum. */
    if (js_get64(p + 4) & ~JS_SEQ_MASK)
        return false;
    uint32_t body = len - fixed - slen;
    const uint8_t *rest = p + JS_RECORD_HEAD + slen;
    if (hlen) {
        if (hlen == JS_HLEN_FAR)
            hlen = js_get32(rest);
        rest += 4;
        if (hlen > body)
            return false;
    }
    *ret = (struct js_record){
        .len = len,
        .has_hdr = hlen != 0,
        .seq = js_get64(p + 4) & JS_SEQ_MASK,
        .time = (js_time_t)js_get64(p + 12),
        .subject = p + JS_RECORD_HEAD,
        .subject_len = slen,
        .hdr = hlen ? rest : NULL,
        .hdr_len = hlen,
        .data = rest + hlen,
        .data_len = body - hlen,
        .sum = p + len - 8,
    };
    return true;
}

/* No checksum covers where a record's subject ends, and bare slots were made without a look at it: what is
 * served must be one of those that index.db lists. */
static bool knows_subject(const struct js_stream *s, const struct js_place *at,
                          const struct js_record *rec) {
    if (!at->slots->bare)
        return true;
    return js_subjects_likely(&s->subjects,
                              js_subjects_ahead(&s->subjects, (const char *)rec->subject,
                                                rec->subject_len));
}

/* Verifies live records as their bytes come. */
struct check {
    const struct js_stream *s;
    struct js_place at; /* slots before its slot are done */
};

#define CHECKED_AT_ONCE 32

/* Which of n records have a subject that is known, as knows_subject says: the table's memory is asked for
 * before it is needed. */
static void know_subjects(const struct check *c, const struct js_record *recs, size_t n, bool *ret) {
    const struct js_subjects *su = &c->s->subjects;
    uint32_t hashes[CHECKED_AT_ONCE];

    for (size_t i = 0; i < n; i++)
        ret[i] = true;
    if (!c->at.slots->bare)
        return;
    for (size_t i = 0; i < n; i++)
        hashes[i] = js_subjects_ahead(su, (const char *)recs[i].subject, recs[i].subject_len);
    for (size_t i = 0; i < n; i++)
        ret[i] = js_subjects_likely(su, hashes[i]);
}

static void check_piece(void *ctx, struct js_cached *e, size_t upto, bool last) {
    struct js_place *at = &((struct check *)ctx)->at;
    bool known[CHECKED_AT_ONCE];
    const struct js_slots *sl = at->slots;
    struct js_record recs[CHECKED_AT_ONCE];
    const uint8_t *ps[CHECKED_AT_ONCE];
    bool more = true;

    (void)last;
    while (more) {
        size_t n = 0;
        for (more = false; at->slot < sl->count && !more; at->slot++) {
            const struct js_slot *slot = &sl->at[at->slot];
            if (!js_slot_live(sl, at->slot) || js_cached_is_checked(e, slot->off))
                continue;
            if (slot->off > upto || slot->len > upto - slot->off)
                break;
            ps[n] = e->data + slot->off;
            if (view_slot(at, ps[n], &recs[n]) && recs[n].seq == js_place_seq(at))
                more = ++n == CHECKED_AT_ONCE;
        }
        bool good = js_records_verify(recs, ps, n, &at->block->hash_key);
        struct js_flags flags = {0};
        know_subjects(ctx, recs, n, known);
        for (size_t i = 0; i < n; i++)
            if (known[i] && (good || js_record_verify(&recs[i], &at->block->hash_key, ps[i])))
                js_flags_set(&flags, e, (uint32_t)(ps[i] - e->data));
        js_flags_end(&flags, e);
    }
}

int js_stream_block_verified(struct js_stream *s, const struct js_place *at,
                             struct js_cached **ret_bytes) {
    struct check c = {.s = s, .at = {.block = at->block, .slots = at->slots, .index = at->index}};

    pthread_mutex_lock(&s->walk.loading);
    int r = js_stream_block_pieces(s, at->block, check_piece, &c, ret_bytes);
    pthread_mutex_unlock(&s->walk.loading);
    return r;
}

/* So many messages of a block in order are the beginning of a walk. */
#define WALK_BEGINS 64

/* Remembers how the block is read: who comes to its end step by step is done with it. Going forward or
 * backward through it, the blocks that follow will be needed. */
static enum js_walk_at note_walk(const struct js_place *at, struct js_cached *e) {
    struct js_block *b = at->block;
    uint32_t slot = at->slot, count = at->slots->count;
    uint32_t last = atomic_load_explicit(&b->last_taken, memory_order_relaxed);

    if (!e->checked || last == slot)
        return JS_WALK_INSIDE;
    atomic_store_explicit(&b->last_taken, slot, memory_order_relaxed);
    if (last + 1 == slot) {
        if (slot == WALK_BEGINS)
            return JS_WALK_BEGUN;
        if (slot + 1 < count)
            return JS_WALK_INSIDE;
    } else if (last == slot + 1) {
        if (count - slot == WALK_BEGINS)
            return JS_WALK_BEGUN_BACK;
        if (slot > 0)
            return JS_WALK_INSIDE;
    } else {
        return JS_WALK_INSIDE;
    }
    atomic_store_explicit(&e->walked, true, memory_order_relaxed);
    return slot ? JS_WALK_ENDED : JS_WALK_ENDED_BACK;
}

/* The message at p in an entry; hash and subject are verified once while the entry lives. The reference that
 * the message owns is the caller's. JS_NEED_SCAN: index.db does not know the subject. */
static int take_view(const struct js_stream *s, const struct js_place *at, struct js_cached *e, const uint8_t *p,
                     struct js_msg *ret_msg, enum js_walk_at *ret_walk) {
    struct js_record rec;
    uint32_t off = at->slots->at[at->slot].off;

    if (!view_slot(at, p, &rec) || rec.seq != js_place_seq(at))
        return JS_ERR_BAD_MSG;
    if (!js_cached_is_checked(e, off)) {
        if (!js_record_verify(&rec, &at->block->hash_key, p))
            return JS_ERR_BAD_MSG;
        if (!knows_subject(s, at, &rec))
            return JS_NEED_SCAN;
        js_cached_set_checked(e, off);
    }
    *ret_walk = note_walk(at, e);
    *ret_msg = (struct js_msg){
        .seq = rec.seq,
        .time = rec.time,
        .subject = (const char *)rec.subject,
        .subject_len = rec.subject_len,
        .hdr = rec.hdr,
        .hdr_len = rec.hdr_len,
        .data = rec.data,
        .data_len = rec.data_len,
        .owner = e,
    };
    return 0;
}

/* How many may be read one by one. */
static unsigned max_parts(const struct js_place *at) {
    const struct js_block *b = at->block;
    /* Of an unread block only the messages are known. */
    uint64_t worth = (b->raw_size > b->bytes ? b->raw_size : b->bytes) / WORTH;

    if (!at->expected || b->compressed)
        return MAX_PARTS;
    return at->expected > worth ? 0 : (unsigned)(4 * worth);
}

int js_stream_slot_bytes(struct js_stream *s, const struct js_place *at, size_t len,
                         bool whole_block, struct js_cached **ret_entry, const uint8_t **ret_at) {
    struct js_block *b = at->block;
    uint32_t off = at->slots->at[at->slot].off;
    struct js_cached *e = js_cache_get(s->cache, s->identity, b->number, b->version);

    if (e && off <= e->len && len <= e->len - off) {
        *ret_entry = e;
        *ret_at = e->data + off;
        return 0;
    }
    js_cached_unref(e);
    uint32_t last = atomic_exchange_explicit(&b->last_taken, at->slot, memory_order_relaxed);
    bool near = last + 1 == at->slot || last == at->slot + 1;
    if (!whole_block && !(b->compressed && near)) {
        unsigned step = b->compressed ? PACKED : near ? IN_ORDER : 1;
        if (atomic_fetch_add_explicit(&b->parts, step, memory_order_relaxed) < max_parts(at))
            return js_stream_block_part(s, b, off, len, ret_entry, ret_at);
    }
    atomic_store_explicit(&b->parts, 0, memory_order_relaxed);
    int r = whole_block || near ? js_stream_block_verified(s, at, &e)
                                : js_stream_block_bytes(s, b, &e);
    if (r < 0)
        return r;
    if (off > e->len || len > e->len - off) {
        js_cached_unref(e);
        return JS_ERR_BAD_MSG;
    }
    *ret_entry = e;
    *ret_at = e->data + off;
    return 0;
}

int js_stream_slot_msg(struct js_stream *s, const struct js_place *at, bool whole_block,
                       struct js_msg *ret_msg) {
    enum js_walk_at walk;
    struct js_cached *e;
    const uint8_t *p;
    uint32_t len = js_place_len(at);

    if (len == JS_LEN_DAMAGED)
        return JS_ERR_BAD_MSG;
    int r = js_stream_slot_bytes(s, at, len, whole_block, &e, &p);
    if (r < 0)
        return r;
    r = take_view(s, at, e, p, ret_msg, &walk);
    /* A part of a compressed block stands where the heads before it say, and nothing proves those. */
    if (r == JS_ERR_BAD_MSG && at->block->compressed && !e->checked) {
        js_cached_unref(e);
        r = js_stream_slot_bytes(s, at, len, true, &e, &p);
        if (r < 0)
            return r;
        r = take_view(s, at, e, p, ret_msg, &walk);
    }
    if (r != 0) {
        js_cached_unref(e);
        return r;
    }
    /* Iterators look ahead by themselves. */
    if (walk != JS_WALK_INSIDE && !whole_block)
        js_walk_on(s, at->index, walk, at->bare);
    return 0;
}

bool js_stream_slot_in(struct js_stream *s, const struct js_place *at, struct js_cached *e,
                       struct js_msg *ret_msg) {
    const struct js_block *b = at->block;
    uint32_t off = at->slots->at[at->slot].off, len = at->slots->at[at->slot].len;
    enum js_walk_at walk;

    if (e->number != b->number || e->version != b->version || e->owner != s->identity ||
        len == JS_LEN_DAMAGED || off > e->len || len > e->len - off)
        return false;
    return take_view(s, at, e, e->data + off, ret_msg, &walk) == 0;
}

void js_stream_slot_check(const struct js_stream *s, const struct js_place *at,
                          struct js_cached *e) {
    uint32_t off = at->slots->at[at->slot].off, len = js_place_len(at);
    struct js_record rec;

    if (len == JS_LEN_DAMAGED || off > e->len || len > e->len - off || js_cached_is_checked(e, off))
        return;
    if (view_slot(at, e->data + off, &rec) && rec.seq == js_place_seq(at) &&
        js_record_verify(&rec, &at->block->hash_key, e->data + off) && knows_subject(s, at, &rec))
        js_cached_set_checked(e, off);
}

int js_stream_slot_sizes(struct js_stream *s, const struct js_place *at, uint32_t *ret_hdr,
                         uint32_t *ret_payload) {
    const struct js_slot *slot = &at->slots->at[at->slot];
    uint32_t hlen = slot->hlen;

    if (hlen == JS_HLEN_FAR && slot->off != JS_OFF_GONE) {
        struct js_msg msg;
        int r = js_stream_slot_msg(s, at, false, &msg);
        if (r < 0)
            return r;
        hlen = (uint32_t)msg.hdr_len;
        js_msg_release(&msg);
    }
    *ret_hdr = hlen;
    *ret_payload = slot->len - JS_MIN_RECORD - slot->slen - (hlen ? hlen + 4 : 0);
    return 0;
}

void js_msg_release(struct js_msg *msg) {
    js_cached_unref(msg->owner);
    msg->owner = NULL;
}
