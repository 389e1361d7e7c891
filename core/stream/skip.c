/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences without messages. One record stands for a run of them: readers fill the gap before it. */
#include "core/base/limits.h"
#include "core/stream/remove.h"

static int skip_at(struct js_stream *s, struct js_writer *w, js_seq_t last, js_time_t time) {
    int r = js_writer_put_mark(s, w, last | JS_SEQ_ERASED, time);

    if (r < 0)
        return r;
    struct js_block *b = w->block;
    bool empty = s->msgs == 0 && s->lost == 0;
    b->pos_last = last;
    b->rec_last = last;
    b->pos_last_time = time;
    s->last_seq = last;
    s->last_time = time;
    if (empty) {
        s->first_seq = last + 1;
        s->first_time = 0;
        s->first_time_stale = false;
    }
    s->removals++;
    return js_writer_settle(s, w);
}

int js_writer_skip(struct js_stream *s, struct js_writer *w, js_seq_t last, bool now_is_last) {
    js_time_t now = s->env->clock->now(s->env->clock->ctx);

    return skip_at(s, w, last, now_is_last || s->last_time == 0 ? now : s->last_time);
}

int js_stream_end_at(struct js_stream *stream, js_seq_t last, js_time_t time) {
    struct js_writer *w;

    pthread_rwlock_wrlock(&stream->lock);
    int r = js_writer_open(stream, &w);
    if (r == 0 && last > stream->last_seq)
        r = skip_at(stream, w, last, time);
    return js_stream_end_write(stream, r);
}

int js_stream_skip_msg(struct js_stream *stream, js_seq_t seq, bool now_is_last,
                       js_seq_t *ret_seq) {
    struct js_writer *w;

    pthread_rwlock_wrlock(&stream->lock);
    int r = js_writer_open(stream, &w);
    js_seq_t next = stream->last_seq + 1;
    if (r == 0 && seq != 0 && seq != next)
        r = JS_ERR_SEQUENCE_MISMATCH;
    if (r == 0)
        r = js_writer_skip(stream, w, next, now_is_last);
    r = js_stream_end_write(stream, r);
    if (r == 0 && ret_seq)
        *ret_seq = next;
    return r;
}

int js_stream_skip_msgs(struct js_stream *stream, js_seq_t seq, uint64_t num) {
    struct js_writer *w;

    if (num == 0)
        return 0;
    pthread_rwlock_wrlock(&stream->lock);
    int r = js_writer_open(stream, &w);
    js_seq_t next = stream->last_seq + 1;
    if (r == 0 && seq != 0 && seq != next)
        r = JS_ERR_SEQUENCE_MISMATCH;
    if (r == 0 && (num > JS_SEQ_MASK || next > JS_SEQ_MASK - num))
        r = JS_ERR_INVAL;
    if (r == 0)
        r = js_writer_skip(stream, w, next + num - 1, false);
    return js_stream_end_write(stream, r);
}
