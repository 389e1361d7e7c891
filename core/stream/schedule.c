/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream/schedule.h"

#include <stdio.h>

#include "core/base/file.h"
#include "core/base/limits.h"
#include "core/format/small_state.h"
#include "core/stream/limits.h"

#define SECOND INT64_C(1000000000)

struct entry {
    char *subject;
    uint32_t len;
    js_seq_t seq;
    js_time_t next;
};

struct js_sched {
    struct entry *list;
    size_t count, cap;
    js_time_t soonest; /* 0 = none */
};

static void find_soonest(struct js_sched *sc) {
    sc->soonest = 0;
    for (size_t i = 0; i < sc->count; i++)
        if (!sc->soonest || sc->list[i].next < sc->soonest)
            sc->soonest = sc->list[i].next;
}

static size_t find(const struct js_sched *sc, const char *subject, size_t len) {
    size_t i = 0;

    while (i < sc->count &&
           !(sc->list[i].len == len && memcmp(sc->list[i].subject, subject, len) == 0))
        i++;
    return i;
}

static void drop(struct js_stream *s, size_t i) {
    struct js_sched *sc = s->sched;

    js_free(s->env, sc->list[i].subject);
    sc->list[i] = sc->list[--sc->count];
    find_soonest(sc);
}

static int set(struct js_stream *s, const char *subject, size_t len, js_seq_t seq, js_time_t next) {
    struct js_sched *sc = s->sched;
    size_t i = find(sc, subject, len);

    if (i == sc->count) {
        if (sc->count == sc->cap) {
            size_t cap = sc->cap ? sc->cap * 2 : 16;
            struct entry *p = js_realloc_array(s->env, sc->list, cap, sizeof *p);
            if (!p)
                return JS_ERR_NOMEM;
            sc->list = p;
            sc->cap = cap;
        }
        char *copy = js_malloc(s->env, len + 1);
        if (!copy)
            return JS_ERR_NOMEM;
        memcpy(copy, subject, len);
        copy[len] = 0;
        sc->list[sc->count++] = (struct entry){.subject = copy, .len = (uint32_t)len};
    }
    sc->list[i].seq = seq;
    sc->list[i].next = next;
    find_soonest(sc);
    return 0;
}

js_time_t js_schedule_soonest(const struct js_stream *s) {
    return s->sched ? s->sched->soonest : 0;
}

void js_schedule_free(struct js_stream *s) {
    if (!s->sched)
        return;
    for (size_t i = 0; i < s->sched->count; i++)
        js_free(s->env, s->sched->list[i].subject);
    js_free(s->env, s->sched->list);
    js_free(s->env, s->sched);
    s->sched = NULL;
}

/* ---- publishing -------------------------------------------------------------------------------- */

static int check_target(struct js_stream *s, const struct js_new_msg *m, const char *target,
                        size_t len) {
    bool own = len == m->subject_len && memcmp(target, m->subject, len) == 0;

    if (own || !js_subject_valid(target, len))
        return JS_ERR_BAD_HEADER;
    for (size_t i = 0; i < s->config.num_subjects; i++)
        if (js_subject_matches(target, len, s->config.subjects[i], strlen(s->config.subjects[i])))
            return 0;
    return JS_ERR_BAD_HEADER;
}

int js_schedule_check(struct js_stream *s, const struct js_new_msg *m, js_time_t now,
                      js_time_t *ret_next) {
    const char *text, *v;
    size_t len, n;
    int64_t ttl;
    bool once;

    if (!js_hdr_get(m->hdr, m->hdr_len, "Nats-Schedule", &text, &len))
        return JS_ERR_BAD_HEADER;
    if (!s->config.allow_msg_schedules)
        return JS_ERR_NOT_PERMITTED;
    if (js_schedule_next(text, len, now, ret_next, &once) < 0 ||
        !js_hdr_get(m->hdr, m->hdr_len, "Nats-Schedule-Target", &v, &n) ||
        check_target(s, m, v, n) < 0)
        return JS_ERR_BAD_HEADER;
    if (js_hdr_get(m->hdr, m->hdr_len, "Nats-Schedule-TTL", &v, &n) &&
        (!s->config.allow_msg_ttl || js_ttl_parse(v, n, &ttl) < 0))
        return JS_ERR_BAD_HEADER;
    if (js_hdr_get(m->hdr, m->hdr_len, "Nats-Schedule-Source", &v, &n) && !js_subject_valid(v, n))
        return JS_ERR_BAD_HEADER;
    if (js_hdr_get(m->hdr, m->hdr_len, "Nats-Schedule-Time-Zone", &v, &n) &&
        !(n == 3 && memcmp(v, "UTC", 3) == 0))
        return JS_ERR_UNSUPPORTED;
    s->sched_hdr.env = s->env;
    s->sched_hdr.len = 0;
    s->sched_hdr.failed = false;
    /* The last two bytes are the empty line. */
    if (m->hdr_len < 2 || memcmp(m->hdr + m->hdr_len - 2, "\r\n", 2) != 0)
        return JS_ERR_BAD_HEADER;
    js_buf_append(&s->sched_hdr, m->hdr, m->hdr_len - 2);
    if (!js_hdr_get(m->hdr, m->hdr_len, "Nats-Rollup", &v, &n))
        js_buf_append(&s->sched_hdr, "Nats-Rollup: sub\r\n", 18);
    js_buf_append(&s->sched_hdr, "\r\n", 2);
    return s->sched_hdr.failed ? JS_ERR_NOMEM : 0;
}

int js_schedule_stored(struct js_stream *s, struct js_writer *w, const struct js_new_msg *m,
                       js_time_t next) {
    const char *v;
    size_t n;

    if (!s->sched)
        return 0;
    if (next) {
        w->block->schedules++;
        return set(s, m->subject, m->subject_len, m->ret_seq, next);
    }
    /* What a schedule made for its own subject does not end it. */
    if (m->hdr_len && js_hdr_get(m->hdr, m->hdr_len, "Nats-Scheduler", &v, &n) &&
        n == m->subject_len && memcmp(v, m->subject, n) == 0)
        return 0;
    size_t i = find(s->sched, m->subject, m->subject_len);
    if (i < s->sched->count)
        drop(s, i);
    return 0;
}

/* ---- loading ------------------------------------------------------------------------------------ */

static int take_entry(void *ctx, const char *subject, size_t slen, js_time_t next, js_seq_t seq) {
    struct js_stream *s = ctx;

    if (seq < s->first_seq || seq > s->last_seq)
        return 0;
    return set(s, subject, slen, seq, next);
}

/* What a stored message says of schedules. */
static int see_msg(struct js_stream *s, const struct js_place *at, const struct js_msg *msg) {
    const char *v, *subject;
    size_t n, slen;
    js_time_t next;
    bool once;

    if (js_hdr_get(msg->hdr, msg->hdr_len, "Nats-Schedule", &v, &n)) {
        at->block->schedules++;
        if (js_schedule_next(v, n, msg->time, &next, &once) < 0)
            return 0;
        return set(s, msg->subject, msg->subject_len, msg->seq, next);
    }
    if (js_hdr_get(msg->hdr, msg->hdr_len, "Nats-Scheduler", &subject, &slen) &&
        js_hdr_get(msg->hdr, msg->hdr_len, "Nats-Schedule-Next", &v, &n)) {
        char text[64];
        size_t i = find(s->sched, subject, slen);
        if (i == s->sched->count)
            return 0;
        if (n == 5 && memcmp(v, "purge", 5) == 0) {
            drop(s, i);
        } else if (n < sizeof text) {
            memcpy(text, v, n);
            text[n] = 0;
            if (js_time_parse(text, 0, &next) == 0)
                return set(s, subject, slen, s->sched->list[i].seq, next);
        }
        return 0;
    }
    size_t i = find(s->sched, msg->subject, msg->subject_len);
    if (i < s->sched->count)
        drop(s, i);
    return 0;
}

static int scan_headers(struct js_stream *s, js_seq_t seq) {
    struct js_place at = {0};
    int r;

    while ((r = js_stream_slot_from(s, seq, false, &at)) == 1) {
        struct js_msg msg;
        seq = js_place_seq(&at) + 1;
        int e = js_stream_slot_msg(s, &at, true, &msg);
        if (e == JS_ERR_BAD_MSG)
            continue;
        if (e == 0) {
            e = see_msg(s, &at, &msg);
            js_msg_release(&msg);
        }
        if (e < 0) {
            r = e;
            break;
        }
    }
    js_place_done(s, &at);
    return r < 0 ? r : 0;
}

int js_schedule_load(struct js_stream *s) {
    struct js_buf file = {.env = s->env};
    struct js_small_head head = {0};

    if (s->sched || !s->config.allow_msg_schedules)
        return 0;
    s->sched = js_calloc(s->env, 1, sizeof *s->sched);
    if (!s->sched)
        return JS_ERR_NOMEM;
    int r = js_stream_scan_locked(s);
    if (r == 0)
        r = js_files_slurp(&s->files, "msgs/sched.db", JS_MAX_STATE_FILE, &file);
    if (r == 0)
        r = js_sched_decode(file.data, file.len, &head, take_entry, s);
    if (r == JS_ERR_NO_ENTRY || r == JS_ERR_CORRUPT || r == JS_ERR_UNKNOWN_FORMAT)
        r = 0;
    js_buf_done(&file);
    /* Counters of blocks are needed with it, so headers are looked at in any case; what sched.db says of
     * later times stays where the messages say no more. */
    struct js_sched *known = s->sched;
    s->sched = js_calloc(s->env, 1, sizeof *s->sched);
    if (!s->sched)
        r = JS_ERR_NOMEM;
    for (size_t i = 0; i < s->num_blocks; i++)
        s->blocks[i]->schedules = 0;
    if (r == 0)
        r = scan_headers(s, s->first_seq);
    for (size_t i = 0; r == 0 && head.stamp && i < known->count; i++) {
        const struct entry *e = &known->list[i];
        size_t at = find(s->sched, e->subject, e->len);
        if (at < s->sched->count && s->sched->list[at].seq == e->seq &&
            e->next > s->sched->list[at].next)
            r = set(s, e->subject, e->len, e->seq, e->next);
    }
    struct js_sched *made = s->sched;
    s->sched = known;
    js_schedule_free(s);
    s->sched = made;
    if (r < 0)
        js_schedule_free(s);
    return r;
}

int js_schedule_write(struct js_stream *s) {
    struct js_buf out = {.env = s->env};
    const struct js_sched *sc = s->sched;

    if (!sc || s->files.msgs_fd < 0)
        return 0;
    js_buf_append_u8(&out, 1);
    js_buf_append_u64(&out, sc->count);
    js_buf_append_u64(&out, s->last_seq + 1);
    for (size_t i = 0; i < sc->count; i++) {
        js_buf_append_u16(&out, (uint16_t)sc->list[i].len);
        js_buf_append(&out, sc->list[i].subject, sc->list[i].len);
        js_buf_append_sv(&out, sc->list[i].next);
        js_buf_append_uv(&out, sc->list[i].seq);
    }
    int r = out.failed ? JS_ERR_NOMEM
                       : js_file_replace(s->env, s->files.msgs_fd, "sched.db", out.data, out.len, true);
    js_buf_done(&out);
    return r;
}

/* ---- firing -------------------------------------------------------------------------------------- */

/* Headers of a made message: those of the schedule that are not about schedules, then ours. */
static int make_headers(const struct js_msg *msg, const char *next, struct js_buf *out) {
    const char *k, *v;
    size_t pos = 0, klen, vlen;

    js_buf_append(out, "NATS/1.0\r\n", 10);
    while (js_hdr_next(msg->hdr, msg->hdr_len, &pos, &k, &klen, &v, &vlen)) {
        if ((klen >= 13 && memcmp(k, "Nats-Schedule", 13) == 0) ||
            (klen == 11 && memcmp(k, "Nats-Rollup", 11) == 0) ||
            (klen >= 13 && memcmp(k, "Nats-Expected", 13) == 0) ||
            (klen == 11 && memcmp(k, "Nats-Msg-Id", 11) == 0) ||
            (klen == 8 && memcmp(k, "Nats-TTL", 8) == 0))
            continue;
        js_buf_append(out, k, klen);
        js_buf_append(out, ": ", 2);
        js_buf_append(out, v, vlen);
        js_buf_append(out, "\r\n", 2);
    }
    js_buf_append(out, "Nats-Scheduler: ", 16);
    js_buf_append(out, msg->subject, msg->subject_len);
    js_buf_append(out, "\r\nNats-Schedule-Next: ", 22);
    js_buf_append(out, next, strlen(next));
    js_buf_append(out, "\r\n", 2);
    if (js_hdr_get(msg->hdr, msg->hdr_len, "Nats-Schedule-TTL", &v, &vlen)) {
        js_buf_append(out, "Nats-TTL: ", 10);
        js_buf_append(out, v, vlen);
        js_buf_append(out, "\r\n", 2);
    }
    js_buf_append(out, "\r\n", 2);
    return out->failed ? JS_ERR_NOMEM : 0;
}

/* The payload: the schedule's own, or the newest message of Nats-Schedule-Source. 1, 0: nothing there. */
static int find_payload(struct js_stream *s, const struct js_msg *msg, struct js_msg *source) {
    struct js_place at = {0};
    const char *v;
    size_t n;

    if (!js_hdr_get(msg->hdr, msg->hdr_len, "Nats-Schedule-Source", &v, &n))
        return 1;
    uint32_t sid = js_subjects_find(&s->subjects, v, n);
    int r = sid == JS_NO_ID ? 0 : js_stream_last_of(s, sid, &at);
    if (r == 1)
        r = js_stream_slot_msg(s, &at, false, source) == 0;
    js_place_done(s, &at);
    return r;
}

static int store_made(struct js_stream *s, struct js_writer *w, const struct js_msg *msg,
                      const char *next, js_time_t now, struct js_gone *gone) {
    struct js_buf hdr = {.env = s->env};
    struct js_msg source = {0};
    struct js_verdict v = {0};
    const char *target, *ttl;
    size_t len, n;

    if (!js_hdr_get(msg->hdr, msg->hdr_len, "Nats-Schedule-Target", &target, &len))
        return 0;
    int r = find_payload(s, msg, &source);
    if (r <= 0)
        return r;
    const struct js_msg *from = source.owner ? &source : msg;
    r = make_headers(msg, next, &hdr);
    struct js_new_msg m = {.subject = target,
                           .subject_len = len,
                           .hdr = hdr.data,
                           .hdr_len = hdr.len,
                           .data = from->data,
                           .data_len = from->data_len,
                           .ret_seq = s->last_seq + 1,
                           .ret_time = now < w->last_stamp ? w->last_stamp : now};
    if (js_hdr_get(msg->hdr, msg->hdr_len, "Nats-Schedule-TTL", &ttl, &n))
        (void)js_ttl_parse(ttl, n, &v.ttl);
    if (r == 0)
        r = js_writer_put_msg(s, w, &m, js_subjects_find(&s->subjects, target, len));
    if (r == 0) {
        w->last_stamp = m.ret_time;
        r = js_rules_stored(s, w, &m, &v, gone);
    }
    if (source.owner)
        js_msg_release(&source);
    js_buf_done(&hdr);
    return r;
}

static int fire(struct js_stream *s, struct js_writer *w, size_t i, js_time_t now,
                struct js_gone *gone) {
    struct entry *e = &s->sched->list[i];
    js_seq_t seq = e->seq;
    js_time_t due = e->next, next = 0;
    struct js_place at = {0};
    struct js_msg msg;
    char text[40] = "purge";
    const char *v;
    size_t n;
    bool once = true;

    int r = js_stream_slot_at(s, seq, &at);
    if (r == 1)
        r = js_stream_slot_msg(s, &at, false, &msg);
    else if (r == 0)
        r = JS_ERR_BAD_MSG;
    js_place_done(s, &at);
    if (r == JS_ERR_BAD_MSG || r == JS_NEED_SCAN) {
        drop(s, i); /* the message is gone, and the schedule with it */
        return 0;
    }
    if (r < 0)
        return r;
    if (js_hdr_get(msg.hdr, msg.hdr_len, "Nats-Schedule", &v, &n)) {
        /* Times that passed meanwhile are not made up for. */
        js_time_t after = due;
        do {
            if (js_schedule_next(v, n, after, &next, &once) < 0)
                once = true;
            after = next > now || once ? after : next > due + SECOND * 3600 ? now - SECOND : next;
        } while (!once && next <= now);
    }
    if (!once)
        js_time_format(next, text, sizeof text);
    r = store_made(s, w, &msg, text, now, gone);
    if (r == 0)
        r = js_limits_total(s, w, gone);
    i = find(s->sched, msg.subject, msg.subject_len);
    if (r == 0 && i < s->sched->count && s->sched->list[i].seq == seq) {
        if (once) {
            drop(s, i);
            r = js_remove_seq(s, w, seq, gone);
        } else {
            s->sched->list[i].next = next;
            find_soonest(s->sched);
        }
    }
    js_msg_release(&msg);
    return r < 0 ? r : 0;
}

int js_schedule_run(struct js_stream *s, struct js_writer *w, js_time_t now,
                    struct js_gone *gone) {
    int r = js_schedule_load(s);

    while (r == 0 && s->sched && s->sched->soonest && s->sched->soonest <= now) {
        /* The one that is due longest, of several the one stored first. */
        const struct entry *l = s->sched->list;
        size_t i = 0;
        for (size_t k = 1; k < s->sched->count; k++)
            if (l[k].next < l[i].next || (l[k].next == l[i].next && l[k].seq < l[i].seq))
                i = k;
        r = fire(s, w, i, now, gone);
    }
    return r;
}
