/* SPDX-License-Identifier: Apache-2.0 */
/* Storing messages. */
#include "core/stream/remove.h"

#include "core/base/limits.h"

/* ---- limits -------------------------------------------------------------------------------- */

/* After storing: old messages leave where the configuration says so (discard old). */
static int enforce_limits(struct js_stream *s, struct js_writer *w, uint32_t sid, bool *ret_gone) {
    const struct js_stream_config *c = &s->config;
    int r = 1;

    while (r > 0 && c->max_msgs_per_subject > 0 && sid != JS_NO_ID &&
           s->subjects.lines[sid].count > (uint64_t)c->max_msgs_per_subject) {
        r = js_remove_oldest(s, w, sid);
        *ret_gone |= r > 0;
    }
    while (r >= 0 && c->discard == 'o' &&
           ((c->max_msgs > 0 && s->msgs > (uint64_t)c->max_msgs) ||
            (c->max_bytes > 0 && s->bytes > (uint64_t)c->max_bytes))) {
        r = js_remove_oldest(s, w, JS_NO_ID);
        if (r == 0)
            break;
        *ret_gone |= r > 0;
    }
    return r < 0 ? r : 0;
}

/* Before storing: what a discard-new stream refuses (engine.md A2.3). */
static int check_discard_new(struct js_stream *s, uint32_t sid, uint32_t len) {
    const struct js_stream_config *c = &s->config;
    bool replaces = false;
    uint32_t old_len = 0;

    if (c->discard != 'n')
        return 0;
    if (c->max_msgs_per_subject > 0 && sid != JS_NO_ID &&
        s->subjects.lines[sid].count >= (uint64_t)c->max_msgs_per_subject) {
        struct js_place at = {0};
        if (c->discard_new_per_subject)
            return JS_ERR_MAX_MSGS_PER_SUBJECT;
        int r = js_stream_first_of(s, sid, &at);
        if (r < 0)
            return r;
        replaces = r > 0;
        if (replaces)
            old_len = js_place_len(&at);
        js_place_done(s, &at);
    }
    if (c->max_msgs > 0 && s->msgs >= (uint64_t)c->max_msgs && !replaces)
        return JS_ERR_MAX_MSGS;
    if (c->max_bytes > 0 && s->bytes + len > (uint64_t)c->max_bytes &&
        !(replaces && old_len >= len))
        return JS_ERR_MAX_BYTES;
    return 0;
}

static bool has_limits(const struct js_stream_config *c) {
    return c->max_msgs > 0 || c->max_bytes > 0 || c->max_msgs_per_subject > 0;
}

static bool covered(const struct js_stream *s, const char *subject, size_t len) {
    for (size_t i = 0; i < s->config.num_subjects; i++)
        if (js_subject_matches(subject, len, s->config.subjects[i],
                               strlen(s->config.subjects[i])))
            return true;
    return false;
}

static int check_msg(struct js_stream *s, const struct js_new_msg *m, uint32_t *ret_len) {
    const struct js_stream_config *c = &s->config;
    uint32_t sid = js_subjects_find(&s->subjects, m->subject, m->subject_len);

    if (sid == JS_NO_ID || s->subjects.lines[sid].count == 0) {
        if (!js_subject_valid(m->subject, m->subject_len))
            return JS_ERR_SUBJECT;
        if (!covered(s, m->subject, m->subject_len))
            return JS_ERR_NOT_BOUND;
    }
    if (m->hdr_len > JS_MAX_HEADER)
        return JS_ERR_MSG_TOO_LARGE;
    if (c->max_msg_size > 0 && m->hdr_len + m->data_len > (uint64_t)c->max_msg_size)
        return JS_ERR_MSG_TOO_LARGE;
    *ret_len = js_record_size(m->subject_len, m->hdr_len, m->data_len);
    if (!*ret_len)
        return JS_ERR_MSG_TOO_LARGE;
    return check_discard_new(s, sid, *ret_len);
}

/* Stores what fits into the buffer; with limits each message is settled before the next. */
static int store_one(struct js_stream *s, struct js_writer *w, struct js_new_msg *msgs, size_t i,
                     js_seq_t *next_seq, js_time_t now, size_t *done, bool *gone) {
    struct js_new_msg *m = &msgs[i];
    uint32_t len;
    int r = check_msg(s, m, &len);

    if (r == 0 && js_writer_full(w, len))
        r = js_writer_flush(s, w, msgs, done);
    if (r < 0)
        return r;
    /* Times within a stream ascend even when the clock does not. */
    if (now < w->last_stamp)
        now = w->last_stamp;
    r = js_writer_put(s, w, *next_seq, now, m, i);
    if (r < 0)
        return r;
    w->last_stamp = now;
    m->ret_seq = (*next_seq)++;
    m->ret_time = now;
    if (!has_limits(&s->config))
        return 0;
    r = js_writer_flush(s, w, msgs, done);
    if (r < 0)
        return r;
    return enforce_limits(s, w, js_subjects_find(&s->subjects, m->subject, m->subject_len), gone);
}

ssize_t js_stream_store_msgs(struct js_stream *stream, struct js_new_msg *msgs, size_t n,
                             int *ret_err) {
    struct js_writer *w;
    size_t done = 0;
    bool gone = false;

    pthread_rwlock_wrlock(&stream->lock);
    js_seq_t first = stream->last_seq + 1, next = first;
    int r = js_writer_open(stream, &w);
    if (r == 0) {
        js_time_t now = stream->env->clock->now(stream->env->clock->ctx);
        for (size_t i = 0; i < n && r == 0; i++)
            r = store_one(stream, w, msgs, i, &next, now, &done, &gone);
        int f = js_writer_flush(stream, w, msgs, &done);
        if (r == 0)
            r = f;
        if (done && stream->sync_mode == JS_SYNC_ALWAYS) {
            f = js_writer_sync(stream, w);
            if (f < 0) {
                /* Not on disk: nothing of this call is acknowledged. */
                done = 0;
                r = f;
            }
        }
    }
    js_seq_t last = stream->last_seq;
    pthread_rwlock_unlock(&stream->lock);
    if (last >= first || gone)
        js_stream_notify(stream, first, last >= first ? last - first + 1 : 0);
    if (r < 0)
        *ret_err = r;
    return (ssize_t)done;
}

int js_stream_store_msg(struct js_stream *stream, const char *subject, size_t subject_len,
                        const uint8_t *hdr, size_t hdr_len, const uint8_t *data, size_t data_len,
                        js_seq_t *ret_seq, js_time_t *ret_time) {
    struct js_new_msg m = {.subject = subject,
                           .subject_len = subject_len,
                           .hdr = hdr,
                           .hdr_len = hdr_len,
                           .data = data,
                           .data_len = data_len};
    int err = 0;

    if (js_stream_store_msgs(stream, &m, 1, &err) != 1)
        return err < 0 ? err : JS_ERR_IO;
    if (ret_seq)
        *ret_seq = m.ret_seq;
    if (ret_time)
        *ret_time = m.ret_time;
    return err;
}

int js_stream_sync(struct js_stream *stream) {
    int r = 0;

    pthread_rwlock_wrlock(&stream->lock);
    if (stream->write_error)
        r = JS_ERR_WRITE_FAILED;
    else if (stream->writer)
        r = js_writer_sync(stream, stream->writer);
    pthread_rwlock_unlock(&stream->lock);
    return r;
}

js_time_t js_stream_deadline(struct js_stream *stream) {
    js_time_t due = 0;

    pthread_rwlock_rdlock(&stream->lock);
    struct js_writer *w = stream->writer;
    if (w && w->dirty && !stream->write_error) {
        if (stream->sync_mode == JS_SYNC_CLOSE)
            due = w->since + INT64_C(1000000000);
        else if (stream->sync_mode == JS_SYNC_INTERVAL)
            due = w->since + (js_time_t)stream->sync_interval * 1000000000;
    }
    pthread_rwlock_unlock(&stream->lock);
    return due;
}

int js_stream_finish(struct js_stream *stream) {
    int r = 0;

    pthread_rwlock_wrlock(&stream->lock);
    struct js_writer *w = stream->writer;
    if (w) {
        r = stream->write_error ? JS_ERR_WRITE_FAILED : js_writer_sync(stream, w);
        if (r == 0 && w->changed)
            r = js_stream_write_index(stream);
        js_writer_free(stream);
    }
    pthread_rwlock_unlock(&stream->lock);
    return r;
}
