/* SPDX-License-Identifier: Apache-2.0 */
/* State, blocks, subjects and records of a stream, for those who look. */
#include <stdio.h>

#include "core/base/file.h"
#include "core/stream/stream.h"

const char *js_stream_name(const struct js_stream *stream) {
    return stream->name;
}

const char *js_stream_account(const struct js_stream *stream) {
    return stream->account;
}

static int count_name(void *ctx, const char *name) {
    (void)name;
    ++*(uint64_t *)ctx;
    return 0;
}

/* Listing a directory at every question would cost more than the rest of the answer. */
static uint64_t count_consumers(struct js_stream *s) {
    js_time_t now = s->env->clock->monotonic(s->env->clock->ctx);
    js_time_t at = atomic_load_explicit(&s->consumers_at, memory_order_relaxed);
    uint64_t n = 0;

    if (at && now - at < INT64_C(1000000000))
        return atomic_load_explicit(&s->consumers, memory_order_relaxed);
    (void)js_files_list_consumers(&s->files, count_name, &n);
    atomic_store_explicit(&s->consumers, n, memory_order_relaxed);
    atomic_store_explicit(&s->consumers_at, now ? now : 1, memory_order_relaxed);
    return n;
}

void js_stream_get_state(struct js_stream *stream, struct js_stream_state *ret_state) {
    struct js_stream_state st = {0};

    pthread_rwlock_rdlock(&stream->lock);
    st.msgs = stream->msgs;
    st.bytes = stream->bytes;
    st.first_seq = stream->first_seq;
    st.last_seq = stream->last_seq;
    st.first_time = js_stream_first_time(stream);
    st.last_time = stream->last_time;
    st.num_subjects = stream->subjects.live;
    st.num_lost = stream->lost;
    if (st.last_seq >= st.first_seq && st.first_seq && st.msgs + st.num_lost) {
        uint64_t range = st.last_seq - st.first_seq + 1;
        if (range > st.msgs + st.num_lost)
            st.num_deleted = range - st.msgs - st.num_lost;
    }
    st.num_blocks = stream->num_blocks;
    st.removals = stream->removals;
    st.scanned = stream->unread == 0;
    pthread_rwlock_unlock(&stream->lock);
    st.num_consumers = count_consumers(stream);
    *ret_state = st;
}

static void fill_block(const struct js_stream *s, size_t index, struct js_block_info *ret) {
    const struct js_block *b = s->blocks[index];

    *ret = (struct js_block_info){
        .number = b->number,
        .last_time = b->pos_last_time ? b->pos_last_time : b->max_time,
        .msgs = b->msgs,
        .bytes = b->bytes,
        .payload_bytes = b->payload_bytes,
        .subject_bytes = b->subject_bytes,
        .file_bytes = b->file_size,
        .raw_bytes = b->raw_size,
        .compressed = b->compressed,
        .encrypted = b->key != NULL,
        .sealed = index + 1 < s->num_blocks,
        .removals = b->removals,
    };
    js_block_live_range(b, &ret->first_seq, &ret->last_seq);
    if (b->msgs == 0) {
        ret->first_seq = b->pos_last + 1;
        ret->last_seq = b->pos_last;
    }
}

/* Runs of what is not there, except where something is lost. */
int js_stream_deleted(struct js_stream *stream,
                      int (*fn)(void *ctx, js_seq_t first, js_seq_t last), void *ctx) {
    struct js_place at = {0};
    int r = js_stream_lock_scanned(stream);

    if (r < 0)
        return r;
    js_seq_t next = stream->first_seq;
    while (next && next <= stream->last_seq) {
        r = js_stream_slot_from(stream, next, true, &at);
        if (r < 0)
            break;
        js_seq_t there = r == 1 ? js_place_seq(&at) : stream->last_seq + 1;
        r = there > next ? fn(ctx, next, there - 1) : 0;
        if (r != 0)
            break;
        /* Along what is there within the block. */
        uint32_t k = at.slot + 1;
        next = there + 1;
        while (at.slots && there <= stream->last_seq && k < at.slots->count &&
               js_slot_seq(at.slots, k) == next && at.slots->at[k].len != 0) {
            k++;
            next++;
        }
    }
    js_place_done(stream, &at);
    pthread_rwlock_unlock(&stream->lock);
    return r;
}

int js_stream_block(struct js_stream *stream, size_t index, struct js_block_info *ret_info) {
    int r = js_stream_lock_scanned(stream);

    if (r < 0)
        return r;
    if (index < stream->num_blocks)
        fill_block(stream, index, ret_info);
    else
        r = JS_ERR_EOF;
    pthread_rwlock_unlock(&stream->lock);
    return r;
}

/* lock held */
static size_t index_of_number(const struct js_stream *s, uint32_t number) {
    size_t lo = 0, hi = s->num_blocks;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->blocks[mid]->number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < s->num_blocks && s->blocks[lo]->number == number ? lo : s->num_blocks;
}

int js_stream_block_by_number(struct js_stream *stream, uint32_t number,
                              struct js_block_info *ret_info) {
    int r = js_stream_lock_scanned(stream);

    if (r < 0)
        return r;
    size_t i = index_of_number(stream, number);
    if (i < stream->num_blocks)
        fill_block(stream, i, ret_info);
    else
        r = JS_ERR_EOF;
    pthread_rwlock_unlock(&stream->lock);
    return r;
}

ssize_t js_stream_read_block_file(struct js_stream *stream, uint32_t number, void *buf, size_t len,
                                  uint64_t off) {
    struct js_extent ext;

    int r = js_files_open_block(&stream->files, number, &ext);
    if (r < 0)
        return r;
    ssize_t n = 0;
    if (off < ext.len) {
        if (len > ext.len - off)
            len = (size_t)(ext.len - off);
        n = js_file_read(stream->env, ext.fd, buf, len, ext.off + off);
    }
    js_extent_close(stream->env, &ext);
    return n;
}

/* ---- records ------------------------------------------------------------------------------- */

struct walk {
    struct js_stream *s;
    int (*fn)(void *ctx, const struct js_record_info *record);
    void *ctx;
    struct js_place at;
};

static int emit_damage(const struct walk *w, const struct js_scan *scan, size_t *next,
                       size_t before) {
    int r = 0;

    for (; *next < scan->num_damages && scan->damages[*next].before <= before && r == 0; ++*next) {
        const struct js_damage *d = &scan->damages[*next];
        if (d->kind == JS_DAMAGE_LENGTH)
            continue;
        struct js_record_info info = {.block = scan->number,
                                      .offset = d->off,
                                      .length = d->len,
                                      .kind = JS_RECORD_DAMAGE};
        r = w->fn(w->ctx, &info);
    }
    return r;
}

static int emit_record(struct walk *w, const struct js_scan *scan, size_t i) {
    struct js_record rec;
    struct js_record_info info = {.block = scan->number};

    js_scan_view(&scan->recs[i], scan->data.data, &rec);
    info.offset = scan->recs[i].off;
    info.length = rec.len;
    info.msg = (struct js_msg){.seq = rec.seq, .time = rec.time};
    memcpy(info.checksum, rec.sum, 8);
    if (rec.tombstone) {
        info.kind = JS_RECORD_TOMBSTONE;
    } else if (rec.erased) {
        info.kind = rec.len == 30 ? JS_RECORD_SKIP : JS_RECORD_ERASED;
    } else {
        info.kind = JS_RECORD_MSG;
        info.msg.subject = (const char *)rec.subject;
        info.msg.subject_len = rec.subject_len;
        info.msg.hdr = rec.hdr;
        info.msg.hdr_len = rec.hdr_len;
        info.msg.data = rec.data;
        info.msg.data_len = rec.data_len;
        int r = js_stream_slot_at(w->s, rec.seq, &w->at);
        if (r < 0)
            return r;
        info.live = r == 1 && js_place_len(&w->at) != JS_LEN_DAMAGED &&
                    w->at.block->number == scan->number &&
                    w->at.slots->at[w->at.slot].off == info.offset;
    }
    return w->fn(w->ctx, &info);
}

static int walk_block(struct walk *w, struct js_scan *scan) {
    size_t next_damage = 0;
    int r = 0;

    for (size_t i = 0; i < scan->count && r == 0; i++) {
        r = emit_damage(w, scan, &next_damage, i);
        if (r == 0)
            r = emit_record(w, scan, i);
    }
    return r ? r : emit_damage(w, scan, &next_damage, scan->count);
}

int js_stream_walk_records(struct js_stream *stream,
                           int (*fn)(void *ctx, const struct js_record_info *record), void *ctx) {
    struct walk w = {.s = stream, .fn = fn, .ctx = ctx};
    struct js_scan scan;
    int r = 0;

    r = js_stream_lock_scanned(stream);
    if (r < 0)
        return r;
    js_scan_init(&scan, stream->env);
    for (size_t i = 0; i < stream->num_blocks && r == 0; i++) {
        struct js_block_key *key = NULL;
        r = js_stream_scan_block(stream, stream->blocks[i]->number, &key, &scan);
        js_vault_put(stream->vault, key);
        if (r == 0 && scan.verdict == JS_SCAN_OK)
            r = walk_block(&w, &scan);
    }
    js_place_done(stream, &w.at);
    pthread_rwlock_unlock(&stream->lock);
    js_scan_done(&scan);
    return r;
}
