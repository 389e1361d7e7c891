/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream/block_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "core/base/file.h"
#include "core/base/limits.h"
#include "core/block/scan.h"
#include "core/format/s2.h"
#include "core/stream/meta_write.h"
#include "core/stream/writer.h"

/* ---- keys --------------------------------------------------------------------------------------
 */

int js_block_key_make(struct js_stream *s, uint32_t number, struct js_block_key **ret_key) {
    char name[24], context[300];

    if (!s->seed)
        return JS_ERR_NO_KEY;
    struct js_block_key *key = js_vault_take(s->vault);
    if (!key)
        return JS_ERR_NOMEM;
    snprintf(name, sizeof name, "%u.key", number);
    snprintf(context, sizeof context, "%s:%u", s->name, number);
    int r = js_key_file_make(s->env, s->files.msgs_fd, name, s->key_fn, s->key_ctx, s->account,
                             context, s->seed->cipher, key);
    if (r < 0) {
        js_vault_put(s->vault, key);
        return r;
    }
    *ret_key = key;
    return 0;
}

void js_block_key_drop(struct js_stream *s, uint32_t number, struct js_block_key *key) {
    char name[24];

    if (!key)
        return;
    snprintf(name, sizeof name, "%u.key", number);
    s->env->io->unlink(s->env->io->ctx, s->files.msgs_fd, name);
    js_vault_put(s->vault, key);
}

char js_stream_compression(const struct js_stream *s) {
    /* Never where a server would look. */
    return s->config.compression == 'l' && !s->lz4 ? 'n' : s->config.compression;
}

int js_block_encode(struct js_stream *s, const struct js_buf *plain, char compression,
                    const struct js_block_key *key, struct js_buf *out) {
    int r = 0;

    (void)s;
    out->len = 0;
    if (compression != 'n' && plain->len >= JS_MIN_RECORD)
        r = js_cmp_encode(compression == 'l' ? JS_CMP_LZ4 : JS_CMP_S2, plain->data, plain->len,
                          out);
    else
        js_buf_append(out, plain->data, plain->len);
    if (out->failed)
        r = JS_ERR_NOMEM;
    if (r == 0 && key)
        r = js_block_xor(key, 0, out->data, out->len);
    return r;
}

/* ---- quarantine --------------------------------------------------------------------------------
 */

int js_quarantine(struct js_stream *s, const char *name) {
    const struct js_io *io = s->env->io;
    char kept[96];
    int r = io->mkdir(io->ctx, s->files.dirfd, "quarantine", 0700);

    if (r < 0 && r != -EEXIST)
        return js_err_from_errno(-r);
    int fd = io->open_dir(io->ctx, s->files.dirfd, "quarantine");
    if (fd < 0)
        return js_err_from_errno(-fd);
    long long now = (long long)(s->env->clock->now(s->env->clock->ctx) / 1000000000);
    r = -EEXIST;
    for (unsigned k = 0; k < 1000 && r == -EEXIST; k++) {
        if (k)
            snprintf(kept, sizeof kept, "%s.%lld.%u", name, now, k);
        else
            snprintf(kept, sizeof kept, "%s.%lld", name, now);
        r = io->link(io->ctx, s->files.msgs_fd, name, fd, kept);
    }
    if (r >= 0)
        r = io->fsync(io->ctx, fd);
    io->close(io->ctx, fd);
    if (r >= 0)
        r = io->fsync(io->ctx, s->files.dirfd);
    return r < 0 ? js_err_from_errno(-r) : 0;
}

/* ---- rewriting ---------------------------------------------------------------------------------
 */

struct rewrite {
    struct js_stream *s;
    struct js_block *b;
    const struct js_rewrite *how;
    struct js_scan scan;
    struct js_buf plain;
    js_seq_t tomb_top, tomb_last, rec_last, rec_first;
    js_seq_t oldest; /* tombstones for older messages are of no use */
    uint32_t *offs;  /* new offset by slot; b->slots only */
    uint64_t lived;  /* messages that were found */
    uint64_t far;    /* header bytes beyond what slots of messages that leave can say */
    uint8_t last_sum[8];
};

static bool still_lives(const struct rewrite *rw, js_seq_t seq, uint32_t *ret_slot) {
    const struct js_block *b = rw->b;

    *ret_slot = JS_NO_SLOT;
    if (!b->slots)
        return js_cold_lives(b->cold, seq);
    *ret_slot = js_slots_find(b->slots, seq);
    return *ret_slot != JS_NO_SLOT && js_slot_live(b->slots, *ret_slot);
}

static int add_record(struct rewrite *rw, const struct js_scan_rec *sr) {
    const struct js_rewrite *how = rw->how;
    js_seq_t seq = sr->seq & JS_SEQ_MASK;
    struct js_record rec;
    uint32_t slot = JS_NO_SLOT;
    bool lives = !(sr->seq & (JS_SEQ_TOMBSTONE | JS_SEQ_ERASED)) && still_lives(rw, seq, &slot);

    rw->lived += lives;
    /* That of a dead one knows nothing of its record. */
    if (!lives)
        slot = JS_NO_SLOT;
    js_scan_view(sr, rw->scan.data.data, &rec);
    /* Its sizes are asked for when it leaves the sums, and its record will be gone. */
    if (slot != JS_NO_SLOT && rw->offs && (seq == how->erase || seq < how->below)) {
        rw->offs[slot] = JS_OFF_GONE;
        if (rec.hdr_len > JS_HLEN_FAR)
            rw->far += rec.hdr_len - JS_HLEN_FAR;
    }
    if (how->cut && seq > how->cut_seq)
        return 0;
    if (sr->seq & JS_SEQ_TOMBSTONE) {
        /* The record it names is lost; its sequence may be given out again. */
        if (how->quarantine && seq > rw->s->last_seq)
            return 0;
        if (how->drop_dead && !(seq >= rw->oldest && seq < rw->b->search_first) &&
            seq != rw->s->last_seq)
            return 0;
        if (seq < rw->b->search_first && seq > rw->tomb_top)
            rw->tomb_top = seq;
        if (seq > rw->tomb_last)
            rw->tomb_last = seq;
    } else if (!lives || seq < how->below) {
        if (how->drop_dead && seq != rw->s->last_seq)
            return 0;
    }
    uint32_t off = (uint32_t)rw->plain.len;
    if (js_buf_reserve(&rw->plain, sr->len) < 0)
        return JS_ERR_NOMEM;
    uint8_t *p = rw->plain.data + off;
    if (how->erase && seq == how->erase && !(sr->seq & JS_SEQ_TOMBSTONE)) {
        struct js_buf fill = {.env = rw->s->env};
        uint32_t n = sr->len - JS_MIN_RECORD;
        if (js_buf_reserve(&fill, n + 1) < 0)
            return JS_ERR_NOMEM;
        int r = rw->s->env->rand->fill(rw->s->env->rand->ctx, fill.data, n);
        if (r >= 0)
            js_record_encode(p, seq | JS_SEQ_ERASED, rec.time, "", 0, NULL, 0, fill.data, n,
                             &rw->b->hash_key);
        js_buf_done(&fill);
        if (r < 0)
            return JS_ERR_IO;
        slot = JS_NO_SLOT;
    } else if (sr->repaired || (slot != JS_NO_SLOT && rw->b->odd)) {
        /* With the lengths that were found to be right. */
        if (slot != JS_NO_SLOT && rw->b->slots->at[slot].slen != rec.subject_len) {
            int32_t d = (int32_t)rw->b->slots->at[slot].slen - (int32_t)rec.subject_len;
            rec.subject_len = (uint32_t)((int32_t)rec.subject_len + d);
            if (!rec.hdr_len) {
                rec.data += d;
                rec.data_len = (uint32_t)((int32_t)rec.data_len - d);
            }
        }
        js_record_encode(p, sr->seq, rec.time, (const char *)rec.subject, rec.subject_len, rec.hdr,
                         rec.hdr_len, rec.data, rec.data_len, &rw->b->hash_key);
    } else {
        memcpy(p, rw->scan.data.data + sr->off, sr->len);
    }
    rw->plain.len += sr->len;
    memcpy(rw->last_sum, p + sr->len - 8, 8);
    if (!(sr->seq & JS_SEQ_TOMBSTONE) && seq > rw->rec_last)
        rw->rec_last = seq;
    if (!(sr->seq & JS_SEQ_TOMBSTONE) && rw->rec_first == 0)
        rw->rec_first = seq;
    if (slot != JS_NO_SLOT && rw->offs && rw->offs[slot] != JS_OFF_GONE)
        rw->offs[slot] = off;
    return 0;
}

static int add_tombs(struct rewrite *rw) {
    for (size_t i = 0; i < rw->how->num_tombs; i++) {
        const struct js_tomb *t = &rw->how->tombs[i];
        if (js_buf_reserve(&rw->plain, JS_MIN_RECORD) < 0)
            return JS_ERR_NOMEM;
        uint8_t *p = rw->plain.data + rw->plain.len;
        js_record_encode(p, t->seq | JS_SEQ_TOMBSTONE, t->time, "", 0, NULL, 0, NULL, 0,
                         &rw->b->hash_key);
        rw->plain.len += JS_MIN_RECORD;
        memcpy(rw->last_sum, p + JS_MIN_RECORD - 8, 8);
        if (t->seq < rw->b->search_first && t->seq > rw->tomb_top)
            rw->tomb_top = t->seq;
        if (t->seq > rw->tomb_last)
            rw->tomb_last = t->seq;
    }
    return 0;
}

/* Writes N.new, and puts it in the place of N.blk. *ret_replaced: from then on there is no way
 * back. */
static int replace_file(struct js_stream *s, const struct js_block *b, const struct js_buf *bytes,
                        bool quarantine, bool *ret_replaced) {
    const struct js_io *io = s->env->io;
    char tmp[24], name[24];

    snprintf(tmp, sizeof tmp, "%u.new", b->number);
    snprintf(name, sizeof name, "%u.blk", b->number);
    *ret_replaced = false;
    int fd = io->open_file(io->ctx, s->files.msgs_fd, tmp, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return js_err_from_errno(-fd);
    int r = js_file_write(s->env, fd, bytes->data, bytes->len, 0, NULL);
    if (r == 0)
        r = js_err_from_errno(-io->fsync(io->ctx, fd));
    int c = io->close(io->ctx, fd);
    if (r == 0 && c < 0)
        r = js_err_from_errno(-c);
    if (r == 0 && quarantine)
        r = js_quarantine(s, name);
    /* What is kept can be read only with its key. */
    if (r == 0 && quarantine && b->key) {
        char key[24];
        snprintf(key, sizeof key, "%u.key", b->number);
        r = js_quarantine(s, key);
        if (r == JS_ERR_NO_ENTRY)
            r = 0;
    }
    if (r == 0)
        r = js_err_from_errno(-io->rename(io->ctx, s->files.msgs_fd, tmp, s->files.msgs_fd, name));
    if (r < 0) {
        io->unlink(io->ctx, s->files.msgs_fd, tmp);
        return r;
    }
    *ret_replaced = true;
    r = io->fsync(io->ctx, s->files.msgs_fd);
    return r < 0 ? js_err_from_errno(-r) : 0;
}

/* The block is the new file from now on. */
static void adopt(struct rewrite *rw, uint64_t file_size, char compression) {
    struct js_stream *s = rw->s;
    struct js_block *b = rw->b;

    b->version++;
    b->compressed = compression != 'n' && rw->plain.len >= JS_MIN_RECORD;
    b->file_size = file_size;
    b->raw_size = b->good_size = rw->plain.len;
    memcpy(b->last_sum, rw->last_sum, 8);
    b->tomb_top = rw->tomb_top;
    b->tomb_last = rw->tomb_last;
    b->rec_last = rw->rec_last;
    b->rec_first = rw->rec_first;
    b->compacted_bytes = b->bytes;
    for (uint32_t k = 0; b->slots && k < b->slots->count; k++)
        if (js_slot_live(b->slots, k))
            b->slots->at[k].off = rw->offs[k];
    b->hdr_bytes -= rw->far;
    b->payload_bytes += rw->far;
    if (b->cold)
        js_cold_forget(s, b->cold);
    js_recent_clear(&s->recent, s->env);
    js_cache_drop(s->cache, s->identity, b->number);
}

int js_block_rewrite(struct js_stream *s, size_t index, const struct js_rewrite *how,
                     int64_t *ret_freed) {
    struct rewrite rw = {.s = s, .b = s->blocks[index], .how = how, .plain = {.env = s->env}};
    struct js_buf out = {.env = s->env};
    struct js_block_key *key = NULL;
    uint64_t old_size = rw.b->file_size;
    bool replaced = false;

    js_scan_init(&rw.scan, s->env);
    /* What is dead here may be all that shows the end of the sequences until newer blocks are on
     * disk. */
    int r = how->drop_dead && s->writer && index + 1 < s->num_blocks
                ? js_writer_sync_locked(s, s->writer)
                : 0;
    /* Files that are about to go may still be there after a crash. */
    rw.oldest = js_graves_pending(s) ? 0 : js_stream_oldest_record(s);
    if (r == 0)
        r = js_stream_scan_block(s, rw.b->number, &key, &rw.scan);
    if (r == 0 && rw.scan.verdict != JS_SCAN_OK)
        r = rw.scan.verdict == JS_SCAN_UNREADABLE ? rw.scan.error : JS_ERR_CORRUPT;
    if (r == 0 && rw.b->slots) {
        rw.offs = js_calloc(s->env, rw.b->slots->count + 1, sizeof *rw.offs);
        r = rw.offs ? 0 : JS_ERR_NOMEM;
    }
    if (r == 0)
        r = js_buf_reserve(&rw.plain, rw.scan.data.len + how->num_tombs * JS_MIN_RECORD + 1);
    for (size_t i = 0; i < rw.scan.count && r == 0; i++)
        r = add_record(&rw, &rw.scan.recs[i]);
    /* It is not what was read last: as it is it may still be worth something. */
    if (r == 0 && !how->quarantine && (rw.scan.num_damages || rw.lived < rw.b->msgs)) {
        s->unmended = true;
        r = JS_ERR_CORRUPT;
    }
    if (r == 0)
        r = add_tombs(&rw);
    if (r == 0)
        r = js_block_encode(s, &rw.plain, how->compression, key, &out);
    /* An index from before what is dead now was removed would take it for lost. So would one that
     * is up to date what is about to leave. */
    if (r == 0 && how->drop_dead && s->writer && (s->writer->changed || how->below))
        r = js_stream_retire_index(s);
    if (r == 0)
        r = replace_file(s, rw.b, &out, how->quarantine, &replaced);
    if (replaced) {
        adopt(&rw, out.len, how->compression);
        if (ret_freed)
            *ret_freed = (int64_t)old_size - (int64_t)out.len;
        if (r < 0)
            js_stream_fail_writes(s, r);
    }
    js_vault_put(s->vault, key);
    js_free(s->env, rw.offs);
    js_scan_done(&rw.scan);
    js_buf_done(&rw.plain);
    js_buf_done(&out);
    return r;
}

/* ---- blocks that were not read --------------------------------------------------------------- */

/* Sums that index.db does not tell. */
static void sum_slots(struct js_block *b) {
    const struct js_slots *sl = b->slots;

    b->payload_bytes = b->hdr_bytes = b->subject_bytes = 0;
    for (uint32_t k = 0; k < sl->count; k++) {
        const struct js_slot *at = &sl->at[k];
        if (!js_slot_live(sl, k))
            continue;
        b->hdr_bytes += at->hlen;
        b->subject_bytes += at->slen;
        b->payload_bytes += at->len - JS_MIN_RECORD - at->slen - (at->hlen ? at->hlen + 4u : 0);
    }
}

/* Its sequences begin with its first record, or (of tombstones alone) where the next block's do: so
 * all tombstones before that are known to be for earlier blocks. */
static void raise_first(struct js_stream *s, size_t index, const struct js_scan *scan) {
    js_seq_t next =
        index + 1 < s->num_blocks ? s->blocks[index + 1]->search_first : s->last_seq + 1;
    js_seq_t first = next;

    for (size_t i = 0; i < scan->count; i++)
        if (!(scan->recs[i].seq & JS_SEQ_TOMBSTONE)) {
            first = scan->recs[i].seq & JS_SEQ_ERASED ? 0 : scan->recs[i].seq;
            break;
        }
    if (index && first > s->blocks[index]->search_first && first <= next)
        s->blocks[index]->search_first = first;
}

int js_block_look(struct js_stream *s, size_t index) {
    struct js_block *b = s->blocks[index];
    struct js_block_key *key = NULL;
    struct js_scan scan;

    if (!b->cold || !b->cold->unread)
        return 0;
    js_scan_init(&scan, s->env);
    int r = js_stream_scan_block(s, b->number, &key, &scan);
    if (r == 0 && (scan.verdict != JS_SCAN_OK || scan.num_damages))
        r = JS_ERR_NO_ENTRY;
    if (r == 0) {
        r = js_block_warm(s, index);
        r = r == JS_NEED_SCAN ? JS_ERR_NO_ENTRY : r;
    }
    if (r == 0) {
        sum_slots(b);
        b->compressed = scan.compressed;
        b->file_size = scan.file_size;
        b->raw_size = b->good_size = scan.data.len;
        b->tomb_top = b->tomb_last = b->rec_last = b->rec_first = 0;
        raise_first(s, index, &scan);
        for (size_t i = 0; i < scan.count; i++) {
            js_seq_t seq = scan.recs[i].seq & JS_SEQ_MASK;
            if (scan.recs[i].seq & JS_SEQ_TOMBSTONE)
                js_block_note_tomb(b, seq);
            else if (seq > b->rec_last)
                b->rec_last = seq;
            if (!(scan.recs[i].seq & JS_SEQ_TOMBSTONE) && b->rec_first == 0)
                b->rec_first = seq;
        }
        memset(b->last_sum, 0, 8);
        if (scan.count)
            memcpy(b->last_sum, scan.data.data + scan.data.len - 8, 8);
        if (!b->key) {
            b->key = key;
            key = NULL;
        }
    }
    js_vault_put(s->vault, key);
    js_scan_done(&scan);
    return r;
}
