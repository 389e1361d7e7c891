/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secure erase: the tombstone is written first, then the record's bytes are replaced by an erased
 * record of the same length with random content, in a new file (a crash leaves the message removed,
 * and either its old bytes or none). Encrypted streams: removed only, as servers do.
 */
#include "core/stream/block_file.h"
#include "core/stream/prepare.h"
#include "core/stream/remove.h"

static int erase(struct js_stream *s, struct js_writer *w, js_seq_t seq, struct js_gone *gone) {
    struct js_place at = {0};
    int r = js_stream_slot_at(s, seq, &at);
    size_t index = at.index;
    bool live = r == 1 && js_slot_live(at.slots, at.slot);

    js_place_done(s, &at);
    if (r != 1)
        return r < 0 ? r : 0;
    if (!live || s->encrypted)
        return js_remove_seq(s, w, seq, gone);
    struct js_block *b = s->blocks[index];
    struct js_rewrite how = {.erase = seq,
                             .compression = b->compressed ? js_stream_compression(s) : 'n'};
    r = js_writer_put_mark(s, w, seq | JS_SEQ_TOMBSTONE,
                           seq == s->last_seq ? s->last_time : b->max_time);
    if (r == 0)
        r = js_writer_sync_locked(s, w);
    /* The tombstone may have begun a new block. */
    if (r == 0 && !js_stream_block_of(s, seq, &index))
        r = JS_ERR_STALE;
    if (r == 0 && w->block == s->blocks[index])
        r = js_writer_release(s, w);
    if (r == 0)
        r = js_block_warm(s, index);
    if (r == JS_NEED_SCAN)
        r = JS_ERR_STALE;
    if (r < 0)
        return r;
    /* The tombstone is on disk: the message is gone whatever becomes of its bytes. */
    r = js_block_rewrite(s, index, &how, NULL);
    js_writer_touched(s, w);
    int t = js_take_out(s, w, index, seq, gone);
    return r < 0 ? r : t;
}

int js_stream_erase_msg(struct js_stream *stream, js_seq_t seq) {
    struct js_gone gone = {0};
    struct js_writer *w;

    pthread_rwlock_wrlock(&stream->lock);
    int r = js_writer_open(stream, &w);
    if (r == 0 && (stream->config.deny_delete || stream->config.sealed))
        r = JS_ERR_NOT_PERMITTED;
    if (r == 0 && (seq == 0 || seq > stream->last_seq))
        r = seq ? JS_ERR_EOF : JS_ERR_MSG_NOT_FOUND;
    if (r == 0)
        r = js_stream_know_all(stream, w);
    if (r == 0)
        r = erase(stream, w, seq, &gone);
    return js_stream_end_removal(stream, r, &gone);
}
