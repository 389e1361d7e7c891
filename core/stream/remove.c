/* SPDX-License-Identifier: Apache-2.0 */
/* Removing messages. */
#include "core/stream/remove.h"

#include "core/base/limits.h"

/* Takes what a removal says out of the index; the tombstone is in the file by then. */
static int forget_msg(struct js_stream *s, struct js_block *b, uint32_t slot) {
    js_seq_t seq = js_slot_seq(b->slots, slot);
    int r = js_stream_drop_slot(s, b, slot);

    if (r < 0)
        return r;
    s->removals++;
    if (seq == s->first_seq)
        r = js_stream_find_first(s);
    return r;
}

/* Time of the message in a slot, for its tombstone; 0 if it cannot be read. */
static js_time_t time_of(struct js_stream *s, struct js_block *b, uint32_t slot) {
    struct js_place at = {.block = b, .slots = b->slots, .slot = slot};
    struct js_msg msg;

    if (b->slots->at[slot].len == JS_LEN_DAMAGED || js_stream_slot_msg(s, &at, false, &msg) < 0)
        return 0;
    js_time_t t = msg.time;
    js_msg_release(&msg);
    return t;
}

/* Writes the tombstone, then forgets the message. */
static int remove_slot(struct js_stream *s, struct js_writer *w, struct js_block *b,
                       uint32_t slot) {
    size_t done = 0;
    js_seq_t seq = js_slot_seq(b->slots, slot);
    int r = 0;

    if (js_writer_full(w, JS_MIN_RECORD))
        r = js_writer_flush(s, w, NULL, &done);
    if (r == 0)
        r = js_writer_put(s, w, seq | JS_SEQ_TOMBSTONE, time_of(s, b, slot), NULL, SIZE_MAX);
    if (r == 0)
        r = js_writer_flush(s, w, NULL, &done);
    return r < 0 ? r : forget_msg(s, b, slot);
}

/* user: what the configuration denies to users holds. */
static int remove_one(struct js_stream *stream, js_seq_t seq, bool user) {
    struct js_writer *w;
    bool removed = false;
    size_t bi;

    pthread_rwlock_wrlock(&stream->lock);
    int r = js_writer_open(stream, &w);
    if (r == 0 && user && stream->config.deny_delete)
        r = JS_ERR_NOT_PERMITTED;
    if (r == 0 && (seq == 0 || seq > stream->last_seq))
        r = seq ? JS_ERR_EOF : JS_ERR_MSG_NOT_FOUND;
    if (r == 0) {
        struct js_block *b = js_stream_block_of(stream, seq, &bi);
        r = b ? js_block_warm(stream, bi) : 0;
        uint32_t slot = b && r == 0 ? js_slots_find(b->slots, seq) : JS_NO_SLOT;
        if (slot != JS_NO_SLOT && b->slots->at[slot].len != 0) {
            r = remove_slot(stream, w, b, slot);
            removed = r == 0;
        }
        if (r == 0 && removed && stream->sync_mode == JS_SYNC_ALWAYS)
            r = js_writer_sync(stream, w);
    }
    pthread_rwlock_unlock(&stream->lock);
    if (removed)
        js_stream_notify(stream, 0, 0);
    return r < 0 ? r : removed;
}

int js_stream_remove_msg(struct js_stream *stream, js_seq_t seq) {
    return remove_one(stream, seq, true);
}

int js_stream_remove_acked(struct js_stream *stream, js_seq_t seq) {
    return remove_one(stream, seq, false);
}

int js_remove_oldest(struct js_stream *s, struct js_writer *w, uint32_t sid) {
    struct js_place at = {0};
    int r = sid == JS_NO_ID ? js_stream_slot_from(s, s->first_seq, false, &at)
                            : js_stream_first_of(s, sid, &at);

    size_t bi = at.index;
    js_seq_t seq = r > 0 ? js_place_seq(&at) : 0;
    js_place_done(s, &at);
    if (r <= 0)
        return r;
    r = js_block_warm(s, bi);
    if (r < 0)
        return r;
    struct js_block *b = s->blocks[bi];
    r = remove_slot(s, w, b, js_slots_find(b->slots, seq));
    return r < 0 ? r : 1;
}
