/* SPDX-License-Identifier: Apache-2.0 */
/* Single messages: load, stat, last of a subject, by time. */
#include "core/base/bytes.h"
#include "core/stream/stream.h"

/* Why there is no message at seq (docs/semantics.md, "Result kinds"). */
static int absent(const struct js_stream *s, js_seq_t seq) {
    if (seq > s->last_seq)
        return JS_ERR_EOF;
    if (seq < s->first_seq || s->msgs + s->lost == 0)
        return JS_ERR_MSG_NOT_FOUND;
    size_t bi;
    struct js_block *b = js_stream_block_of(s, seq, &bi);
    if (!b || b->slots.count == 0)
        return JS_ERR_MSG_NOT_FOUND;
    /* Inside a block that still has messages on both sides it was deleted. */
    js_seq_t first = js_slot_seq(&b->slots, 0);
    return seq >= first && seq <= b->pos_last ? JS_ERR_DELETED_MSG : JS_ERR_MSG_NOT_FOUND;
}

/* The slot of a message that is there (perhaps damaged). */
static int find_slot(struct js_stream *s, js_seq_t seq, struct js_block **ret_block,
                     uint32_t *ret_slot) {
    size_t bi;
    struct js_block *b = js_stream_block_of(s, seq, &bi);
    uint32_t slot = b ? js_slots_find(&b->slots, seq) : JS_NO_SLOT;

    if (slot == JS_NO_SLOT || b->slots.len[slot] == 0)
        return absent(s, seq);
    *ret_block = b;
    *ret_slot = slot;
    return 0;
}

int js_stream_load_msg(struct js_stream *stream, js_seq_t seq, struct js_msg *ret_msg) {
    struct js_block *b;
    uint32_t slot;

    pthread_rwlock_rdlock(&stream->lock);
    int r = find_slot(stream, seq ? seq : stream->first_seq, &b, &slot);
    if (r == 0)
        r = js_stream_slot_msg(stream, b, slot, false, ret_msg);
    pthread_rwlock_unlock(&stream->lock);
    return r;
}

int js_stream_load_last_msg(struct js_stream *stream, const char *subject, size_t len,
                            struct js_msg *ret_msg) {
    struct js_subject_state state;
    int r = js_stream_subject(stream, subject, len, &state);

    if (r < 0)
        return r;
    return js_stream_load_msg(stream, state.last_seq, ret_msg);
}

/* Time of the record in a slot, by reading its head alone. */
static int slot_time(struct js_stream *s, struct js_block *b, uint32_t slot, js_time_t *ret_time) {
    struct js_cached *e = js_cache_get(s->cache, s->identity, b->number, b->version);
    const uint8_t *p;
    uint32_t off = b->slots.off[slot];

    if (e && off <= e->len && e->len - off >= JS_RECORD_HEAD) {
        p = e->data + off;
    } else {
        js_cached_unref(e);
        int r = js_stream_block_part(s, b, off, JS_RECORD_HEAD, &e, &p);
        if (r < 0)
            return r;
    }
    *ret_time = (js_time_t)js_get64(p + 12);
    js_cached_unref(e);
    return 0;
}

int js_stream_stat_msg(struct js_stream *stream, js_seq_t seq, struct js_msg_stat *ret_stat) {
    struct js_block *b;
    uint32_t slot;

    pthread_rwlock_rdlock(&stream->lock);
    int r = find_slot(stream, seq, &b, &slot);
    if (r < 0)
        goto out;
    struct js_msg_stat st = {.seq = seq, .block = b->number, .subject_id = JS_NO_ID};
    if (b->slots.len[slot] == JS_LEN_DAMAGED) {
        st.damaged = true;
    } else {
        uint32_t hdr, payload;
        r = js_stream_slot_sizes(stream, b, slot, &hdr, &payload);
        if (r == 0)
            r = slot_time(stream, b, slot, &st.time);
        if (r < 0)
            goto out;
        st.hdr_len = hdr;
        st.data_len = payload;
        st.record_len = b->slots.len[slot];
        st.subject_id = b->slots.sid[slot];
        st.subject_len = stream->subjects.lines[st.subject_id].len;
    }
    *ret_stat = st;
out:
    pthread_rwlock_unlock(&stream->lock);
    return r;
}

/* First slot of the block with time >= t, supposing that times ascend; where they do not the
 * search still ends, at some message near. */
static int search_block(struct js_stream *s, struct js_block *b, js_time_t t, uint32_t *ret_slot) {
    uint32_t lo = 0, hi = b->slots.count;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2, k = mid;
        js_time_t at;
        while (k < hi && !js_slot_live(&b->slots, k))
            k++;
        if (k == hi) {
            hi = mid;
            continue;
        }
        int r = slot_time(s, b, k, &at);
        if (r < 0)
            return r;
        if (at < t)
            lo = k + 1;
        else
            hi = mid;
    }
    while (lo < b->slots.count && !js_slot_live(&b->slots, lo))
        lo++;
    *ret_slot = lo;
    return 0;
}

int js_stream_seq_from_time(struct js_stream *stream, js_time_t t, js_seq_t *ret_seq) {
    int r = 0;

    pthread_rwlock_rdlock(&stream->lock);
    js_seq_t found = stream->last_seq + 1;
    for (size_t i = 0; i < stream->num_blocks; i++) {
        struct js_block *b = stream->blocks[i];
        uint32_t slot;
        if (b->msgs == 0 || b->max_time < t)
            continue;
        r = search_block(stream, b, t, &slot);
        if (r == 0 && slot < b->slots.count)
            found = js_slot_seq(&b->slots, slot);
        if (r < 0 || slot < b->slots.count)
            break;
    }
    pthread_rwlock_unlock(&stream->lock);
    if (r == 0)
        *ret_seq = found;
    return r;
}
