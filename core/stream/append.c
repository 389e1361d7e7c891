/* SPDX-License-Identifier: Apache-2.0 */
/* Storing messages: the checks, in the order of the peer's, and the batch. */
#include "core/consumer/interest.h"
#include "core/format/subject.h"
#include "core/stream/limits.h"
#include "core/stream/rules.h"

#include "core/base/limits.h"

bool js_stream_takes(const struct js_stream *s, const char *subject, size_t len) {
    for (size_t i = 0; i < s->config.num_subjects; i++)
        if (js_subject_matches(subject, len, s->config.subjects[i], strlen(s->config.subjects[i])))
            return true;
    return false;
}

/* What does not depend on other messages. *sid_io: the subject's id if it is known. */
static int check_msg(struct js_stream *s, const struct js_new_msg *m, bool raw, uint32_t *sid_io,
                     uint32_t *ret_len) {
    const struct js_stream_config *c = &s->config;
    uint32_t sid = *sid_io;

    if (sid == JS_NO_ID && m->subject_len <= JS_MAX_SUBJECT)
        sid = js_subjects_find(&s->subjects, m->subject, m->subject_len);
    if (sid == JS_NO_ID || s->subjects.lines[sid].count == 0) {
        if (m->subject_len > JS_MAX_SUBJECT ||
            !(raw ? js_subject_storable(m->subject, m->subject_len)
                  : js_subject_valid(m->subject, m->subject_len)))
            return JS_ERR_SUBJECT;
        if (!raw && !js_stream_takes(s, m->subject, m->subject_len))
            return JS_ERR_NOT_BOUND;
    }
    if (m->hdr_len > JS_MAX_HEADER)
        return JS_ERR_MSG_TOO_LARGE;
    /* The bits above mean something else. */
    if (s->last_seq >= JS_SEQ_MASK)
        return JS_ERR_TOO_BIG;
    if (!raw && c->max_msg_size > 0 && m->hdr_len + m->data_len > (uint64_t)c->max_msg_size)
        return JS_ERR_MSG_TOO_LARGE;
    *ret_len = js_record_size(m->subject_len, m->hdr_len, m->data_len);
    *sid_io = sid;
    return *ret_len ? 0 : JS_ERR_MSG_TOO_LARGE;
}

/* A message that no consumer wants uses up its sequence, and that is all. */
static int store_nothing(struct js_stream *s, struct js_writer *w, struct js_new_msg *m,
                         js_time_t now) {
    m->ret_seq = s->last_seq + 1;
    m->ret_time = now;
    return js_writer_skip(s, w, m->ret_seq, true);
}

/* What passed all checks. */
static int put_checked(struct js_stream *s, struct js_writer *w, struct js_new_msg *m, uint32_t sid,
                       js_time_t now, const struct js_verdict *v, struct js_gone *gone) {
    /* Times within a stream ascend even when the clock does not. */
    m->ret_time = now < w->last_stamp ? w->last_stamp : now;
    m->ret_seq = s->last_seq + 1;
    int r = js_writer_put_msg(s, w, m, sid);
    if (r < 0)
        return r;
    w->last_stamp = m->ret_time;
    if (m->hdr_len)
        r = js_rules_stored(s, w, m, v, gone);
    else
        js_rules_stored_plain(s, m);
    if (r == 0)
        r = js_limits_subject(s, w, m, gone);
    if (r < 0 && w->undone) {
        w->undone--; /* this one, which nobody counts yet */
        return r;
    }
    /* The message is stored, whatever became of the old ones. */
    return s->write_error ? r : 0;
}

/* Interest and limits; then it is stored. */
static int store_checked(struct js_stream *s, struct js_writer *w, struct js_new_msg *m,
                         uint32_t sid, uint32_t len, js_time_t now, const struct js_verdict *v,
                         struct js_gone *gone) {
    int r;

    if (s->config.retention == 'i') {
        bool wanted;
        r = js_interest_wants(s, m->subject, m->subject_len, &wanted);
        if (r < 0 || !wanted)
            return r < 0 ? r : store_nothing(s, w, m, now);
    }
    r = js_limits_check(s, sid, len, v->rollup != 0);
    return r < 0 ? r : put_checked(s, w, m, sid, now, v, gone);
}

/* The same with headers or payload that are stored in the place of those given. */
static int store_own(struct js_stream *s, struct js_writer *w, struct js_new_msg *m, uint32_t sid,
                     js_time_t now, const struct js_verdict *v, struct js_gone *gone) {
    const struct js_new_msg given = *m;

    if (v->own.len) {
        m->hdr = v->own.data;
        m->hdr_len = v->own.len;
    }
    if (v->count.len) {
        m->data = v->count.data;
        m->data_len = v->count.len;
    }
    uint32_t len;
    int r = check_msg(s, m, false, &sid, &len); /* these are longer */
    if (r == 0)
        r = store_checked(s, w, m, sid, len, now, v, gone);
    m->hdr = given.hdr;
    m->hdr_len = given.hdr_len;
    m->data = given.data;
    m->data_len = given.data_len;
    return r;
}

/* A message that no consumer wants uses up its sequence all the same, and its schedule goes on. */
static int pass_over(struct js_stream *s, struct js_writer *w, struct js_new_msg *m, js_time_t now,
                     struct js_gone *gone) {
    js_seq_t over = 0;
    int r = store_nothing(s, w, m, now);

    if (r == 0)
        r = js_sched_note(s, w->block, m, &over);
    if (r == 0 && over) {
        r = js_remove_seqs(s, w, &over, 1, true, gone);
        r = r > 0 ? 0 : r;
    }
    return r;
}

int js_stream_store_made(struct js_stream *s, struct js_writer *w, struct js_new_msg *m,
                         js_time_t now, const struct js_verdict *v, struct js_gone *gone) {
    uint32_t sid = JS_NO_ID, len;
    bool wanted = true;
    int r = check_msg(s, m, false, &sid, &len);

    if (r == 0 && s->config.retention == 'i')
        r = js_interest_wants(s, m->subject, m->subject_len, &wanted);
    if (r == 0 && !wanted)
        return pass_over(s, w, m, now, gone);
    if (r == 0)
        r = store_checked(s, w, m, sid, len, now, v, gone);
    if (r == 0)
        r = js_writer_settle(s, w);
    if (r == 0 && js_limits_total(s, w, gone) < 0)
        r = s->write_error;
    return r;
}

/* One message of a batch, now at the earliest. */
static int store_one(struct js_stream *s, struct js_writer *w, struct js_new_msg *m, uint32_t sid,
                     js_time_t now, struct js_gone *gone) {
    struct js_verdict v = {0};
    uint32_t len;
    int r = check_msg(s, m, false, &sid, &len);

    m->ret_duplicate = false;
    if (r < 0)
        return r;
    if (m->hdr_len || s->config.allow_msg_counter)
        r = js_rules_check(s, m, now, &v);
    if (r == 0 && v.duplicate) {
        m->ret_duplicate = true;
        m->ret_seq = v.first;
        m->ret_time = v.first_time;
    } else if (r == 0) {
        r = v.own.len || v.count.len ? store_own(s, w, m, sid, now, &v, gone)
                                     : store_checked(s, w, m, sid, len, now, &v, gone);
    }
    js_verdict_done(&v);
    return r;
}

#define AHEAD 16 /* a power of two */

/* Looking up many subjects waits for memory: it is asked for some messages ahead. */
struct lookahead {
    uint32_t hashes[AHEAD * 2];
    size_t next;
};

static uint32_t look_up(const struct js_stream *s, struct lookahead *la,
                        const struct js_new_msg *msgs, size_t n, size_t i) {
    if (i + 2 * AHEAD < n)
        __builtin_prefetch(msgs[i + 2 * AHEAD].subject);
    for (; la->next < n && la->next <= i + AHEAD; la->next++)
        la->hashes[la->next % (AHEAD * 2)] =
            msgs[la->next].subject_len > JS_MAX_SUBJECT
                ? 0
                : js_subjects_ahead(&s->subjects, msgs[la->next].subject,
                                    msgs[la->next].subject_len);
    if (i + AHEAD / 2 < n) {
        uint32_t id = js_subjects_nearer(&s->subjects, la->hashes[(i + AHEAD / 2) % (AHEAD * 2)]);
        (void)id;
    }
    if (msgs[i].subject_len > JS_MAX_SUBJECT)
        return JS_NO_ID;
    return js_subjects_find_hashed(&s->subjects, la->hashes[i % (AHEAD * 2)], msgs[i].subject,
                                   msgs[i].subject_len);
}

/* How many messages stand when the last `undone` stored ones are taken away. */
static size_t without_undone(const struct js_new_msg *msgs, size_t n, size_t undone) {
    while (n && undone) {
        n--;
        undone -= !msgs[n].ret_duplicate;
    }
    return n;
}

ssize_t js_stream_store_msgs(struct js_stream *stream, struct js_new_msg *msgs, size_t n,
                             int *ret_err) {
    struct js_gone gone = {0};
    struct js_writer *w;
    size_t done = 0;

    pthread_rwlock_wrlock(&stream->lock);
    js_seq_t first = stream->last_seq + 1;
    int r = js_writer_open(stream, &w);
    if (r == 0 && stream->config.sealed)
        r = JS_ERR_NOT_PERMITTED;
    if (r == 0) {
        js_time_t now = stream->env->clock->now(stream->env->clock->ctx);
        w->undone = 0;
        first = stream->last_seq + 1;
        struct lookahead la = {.next = 0};
        while (done < n && r == 0) {
            uint32_t sid = n > 1 ? look_up(stream, &la, msgs, n, done) : JS_NO_ID;
            r = store_one(stream, w, &msgs[done], sid, now, &gone);
            done += r == 0;
        }
        int f = js_writer_settle(stream, w);
        /* Not undone is what is to be tried again: nobody knows yet. */
        done = f < 0 && !w->undone ? 0 : without_undone(msgs, done, w->undone);
        if (r == 0 || done < n)
            r = f < 0 ? f : r;
        if (f == 0 && js_limits_total(stream, w, &gone) < 0 && stream->write_error)
            r = stream->write_error;
    }
    js_seq_t last = stream->last_seq;
    bool listeners = atomic_load_explicit(&stream->has_listeners, memory_order_relaxed);
    js_removed_fn fn = stream->on_removed;
    void *ctx = stream->on_removed_ctx;
    int e = js_stream_end_write(stream, 0);
    if (e < 0) {
        /* Not on disk: nothing of this call is acknowledged. */
        done = 0;
        r = e;
    }
    if (listeners && (last >= first || gone.msgs))
        js_stream_notify(stream, first, last >= first ? last - first + 1 : 0);
    if (fn && gone.msgs)
        fn(ctx, stream, gone.msgs, gone.bytes, gone.msgs == 1 ? gone.seq : 0, "", 0);
    if (r < 0 && done < n)
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
    return 0;
}

/* Stored as given; TTLs count, the other rules do not. */
static int store_raw(struct js_stream *s, struct js_writer *w, struct js_new_msg *m, js_seq_t seq,
                     js_time_t time, bool check, struct js_gone *gone) {
    struct js_verdict v = {0};
    uint32_t sid = JS_NO_ID, len;
    int r = check_msg(s, m, true, &sid, &len);

    if (r == 0 && seq != 0 && seq != s->last_seq + 1)
        r = JS_ERR_SEQUENCE_MISMATCH;
    if (r == 0 && check)
        r = js_limits_check(s, sid, len, false);
    if (r < 0)
        return r;
    const char *text;
    size_t n;
    if (s->config.allow_msg_ttl && m->hdr_len &&
        js_hdr_get(m->hdr, m->hdr_len, "Nats-TTL", &text, &n))
        (void)js_ttl_parse(text, n, &v.ttl);
    if (m->hdr_len && js_hdr_get(m->hdr, m->hdr_len, "Nats-Msg-Id", &text, &n)) {
        v.id = text;
        v.id_len = n;
    }
    m->ret_duplicate = false;
    m->ret_seq = s->last_seq + 1;
    m->ret_time = time ? time : s->env->clock->now(s->env->clock->ctx);
    r = js_writer_put_msg(s, w, m, sid);
    if (r < 0)
        return r;
    if (m->ret_time > w->last_stamp)
        w->last_stamp = m->ret_time;
    r = js_rules_stored(s, w, m, &v, gone);
    if (r == 0)
        r = js_limits_subject(s, w, m, gone);
    return s->write_error || w->undone ? r : 0;
}

int js_stream_store_raw_msg(struct js_stream *stream, struct js_new_msg *msg, js_seq_t seq,
                            js_time_t time, bool check_discard_new) {
    struct js_gone gone = {0};
    struct js_writer *w;

    pthread_rwlock_wrlock(&stream->lock);
    int r = js_writer_open(stream, &w);
    if (r == 0)
        w->undone = 0;
    if (r == 0)
        r = store_raw(stream, w, msg, seq, time, check_discard_new, &gone);
    if (r == 0)
        r = js_writer_settle(stream, w);
    if (r == 0 && js_limits_total(stream, w, &gone) < 0 && stream->write_error)
        r = stream->write_error;
    bool listeners = atomic_load_explicit(&stream->has_listeners, memory_order_relaxed);
    bool stored = r == 0;
    r = js_stream_end_removal(stream, r, &gone);
    if (listeners && stored)
        js_stream_notify(stream, msg->ret_seq, 1);
    return r < 0 ? r : 0;
}

int js_stream_rotate(struct js_stream *stream) {
    struct js_writer *w;

    pthread_rwlock_wrlock(&stream->lock);
    int r = js_writer_open(stream, &w);
    if (r == 0)
        r = js_writer_roll(stream, w);
    if (r == 0)
        js_writer_touched(stream, w);
    return js_stream_end_write(stream, r);
}
