/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers that a publisher gives to the stream: expected positions, duplicates, rollup, TTL. Names are
 * compared exactly, as servers do. A message that is refused changes nothing.
 */
#include "core/stream/schedule.h"

#include <stdlib.h>

bool js_hdr_get(const uint8_t *hdr, size_t hdr_len, const char *name, const char **ret_value,
                size_t *ret_len) {
    size_t pos = 0, klen, want = strlen(name);
    const char *key;

    while (js_hdr_next(hdr, hdr_len, &pos, &key, &klen, ret_value, ret_len))
        if (klen == want && memcmp(key, name, want) == 0)
            return true;
    return false;
}

static bool parse_u64(const char *text, size_t len, uint64_t *ret) {
    uint64_t v = 0;

    if (len == 0 || len > 20)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(text[i] - '0'), &v))
            return false;
    }
    *ret = v;
    return true;
}

/* The newest sequence of a subject or filter; 0 if there is none. */
static int newest_of(struct js_stream *s, const char *subject, size_t len, js_seq_t *ret) {
    struct js_place at = {0};
    uint32_t sid = js_subjects_find(&s->subjects, subject, len);
    int r = 0;

    *ret = 0;
    if (sid != JS_NO_ID) {
        if (s->unread)
            r = js_stream_scan_locked(s);
        if (r == 0)
            r = js_stream_last_of(s, sid, &at);
        if (r == 1)
            *ret = js_place_seq(&at);
        js_place_done(s, &at);
        return r < 0 ? r : 0;
    }
    if (!memchr(subject, '*', len) && !memchr(subject, '>', len))
        return 0;
    char *text = js_malloc(s->env, len + 1);
    const char *patterns[1] = {text};
    struct js_filter f = {.patterns = patterns, .count = 1};
    struct js_matcher m;
    if (!text)
        return JS_ERR_NOMEM;
    memcpy(text, subject, len);
    text[len] = 0;
    js_matcher_init(&m, s, &f);
    if (s->unread)
        r = js_stream_scan_locked(s);
    if (r == 0)
        r = js_matcher_update(&m, s, true);
    if (r == 0)
        r = js_stream_prev_match(s, &m, s->last_seq, &at);
    if (r == 1)
        *ret = js_place_seq(&at);
    js_place_done(s, &at);
    js_matcher_done(&m);
    js_free(s->env, text);
    return r < 0 ? r : 0;
}

#define PREFIX "Nats-"

/* What was found among the headers. */
struct found {
    const char *stream, *last_seq, *last_subj, *filter, *last_id, *rollup, *ttl;
    size_t stream_len, last_seq_len, last_subj_len, filter_len, last_id_len, rollup_len, ttl_len;
    bool schedule, batch, incr;
};

static void find_headers(const struct js_new_msg *m, struct js_verdict *v, struct found *f) {
    struct {
        const char *name;
        const char **value;
        size_t *len;
    } known[] = {
        {"Nats-Msg-Id", &v->id, &v->id_len},
        {"Nats-Expected-Stream", &f->stream, &f->stream_len},
        {"Nats-Expected-Last-Sequence", &f->last_seq, &f->last_seq_len},
        {"Nats-Expected-Last-Subject-Sequence", &f->last_subj, &f->last_subj_len},
        {"Nats-Expected-Last-Subject-Sequence-Subject", &f->filter, &f->filter_len},
        {"Nats-Expected-Last-Msg-Id", &f->last_id, &f->last_id_len},
        {"Nats-Rollup", &f->rollup, &f->rollup_len},
        {"Nats-TTL", &f->ttl, &f->ttl_len},
    };
    const char *key, *value;
    size_t pos = 0, klen, vlen;

    while (js_hdr_next(m->hdr, m->hdr_len, &pos, &key, &klen, &value, &vlen)) {
        if (klen < sizeof PREFIX || memcmp(key, PREFIX, sizeof PREFIX - 1) != 0)
            continue;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            if (!*known[i].value && strlen(known[i].name) == klen &&
                memcmp(known[i].name, key, klen) == 0) {
                *known[i].value = value;
                *known[i].len = vlen;
            }
        }
        f->schedule |= klen == 13 && memcmp(key, "Nats-Schedule", 13) == 0;
        f->batch |= klen == 13 && memcmp(key, "Nats-Batch-Id", 13) == 0;
        f->incr |= klen == 9 && memcmp(key, "Nats-Incr", 9) == 0;
    }
}

static int check_expected(struct js_stream *s, const struct js_new_msg *m, const struct found *f) {
    uint64_t want;
    js_seq_t have;

    if (f->stream && (f->stream_len != strlen(s->name) ||
                      memcmp(f->stream, s->name, f->stream_len) != 0))
        return JS_ERR_WRONG_STREAM;
    if (f->last_seq) {
        if (!parse_u64(f->last_seq, f->last_seq_len, &want))
            return JS_ERR_BAD_HEADER;
        if (want != s->last_seq)
            return JS_ERR_WRONG_LAST_SEQ;
    }
    if (f->last_subj) {
        const char *subject = f->filter ? f->filter : m->subject;
        size_t len = f->filter ? f->filter_len : m->subject_len;
        if (!parse_u64(f->last_subj, f->last_subj_len, &want))
            return JS_ERR_BAD_HEADER;
        int r = newest_of(s, subject, len, &have);
        if (r < 0)
            return r;
        /* "There is none yet" is what creating only asks. */
        if (want != have)
            return want == 0 ? JS_ERR_EXISTS : JS_ERR_WRONG_LAST_SEQ;
    }
    if (f->last_id && f->last_id_len) {
        const char *id;
        size_t len;
        int r = js_dedup_last(s, &id, &len);
        if (r < 0)
            return r;
        if (len != f->last_id_len || memcmp(id, f->last_id, len) != 0)
            return JS_ERR_WRONG_LAST_MSG_ID;
    }
    return 0;
}

int js_rules_check(struct js_stream *s, const struct js_new_msg *m, js_time_t now,
                   struct js_verdict *v) {
    const struct js_stream_config *c = &s->config;
    struct found f = {0};
    int r = 0;

    *v = (struct js_verdict){0};
    find_headers(m, v, &f);
    if (f.batch || f.incr)
        return JS_ERR_UNSUPPORTED;
    if (v->id && v->id_len && c->duplicate_window > 0) {
        r = js_dedup_find(s, v->id, v->id_len, now, &v->first, &v->first_time);
        if (r != 0) {
            v->duplicate = r == 1;
            return r < 0 ? r : 0;
        }
    }
    if (f.rollup) {
        if (!c->allow_rollup_hdrs || c->deny_purge)
            return JS_ERR_NOT_PERMITTED;
        if (f.rollup_len == 3 && memcmp(f.rollup, "sub", 3) == 0)
            v->rollup = 's';
        else if (f.rollup_len == 3 && memcmp(f.rollup, "all", 3) == 0)
            v->rollup = 'a';
        else
            return JS_ERR_BAD_HEADER;
    }
    if (f.ttl) {
        if (js_ttl_parse(f.ttl, f.ttl_len, &v->ttl) < 0)
            return JS_ERR_BAD_HEADER;
        if (!c->allow_msg_ttl)
            return JS_ERR_NOT_PERMITTED;
    }
    r = check_expected(s, m, &f);
    if (r == 0 && f.schedule) {
        r = js_schedule_check(s, m, now, &v->schedule);
        if (r == 0)
            r = js_schedule_load(s);
        v->rollup = 's';
    }
    return r;
}

void js_rules_end_schedule(struct js_stream *s, struct js_writer *w, const struct js_new_msg *m) {
    (void)js_schedule_stored(s, w, m, 0);
}

int js_rules_stored(struct js_stream *s, struct js_writer *w, const struct js_new_msg *m,
                    const struct js_verdict *v, struct js_gone *gone) {
    int r = 0;

    s->last_id_known = true;
    s->last_id_len = 0;
    if (v->id && v->id_len) {
        if (v->id_len <= sizeof s->last_id) {
            memcpy(s->last_id, v->id, v->id_len);
            s->last_id_len = v->id_len;
        } else {
            s->last_id_known = false;
        }
        if (s->config.duplicate_window > 0)
            r = js_dedup_add(s, v->id, v->id_len, m->ret_seq, m->ret_time);
    }
    if (r == 0 && v->ttl && s->config.allow_msg_ttl) {
        w->block->ttls++;
        if (v->ttl > 0)
            r = js_ttl_add(s, m->ret_seq, m->ret_time + v->ttl * 1000000000);
    }
    if (r == 0 && s->sched)
        r = js_schedule_stored(s, w, m, v->schedule);
    if (r == 0 && v->rollup) {
        /* All but the message itself. */
        bool all = v->rollup == 'a';
        r = js_writer_settle(s, w);
        if (r == 0)
            r = js_purge_matching(s, w, all ? "" : m->subject, all ? 0 : m->subject_len,
                                  m->ret_seq, 0, gone);
    }
    return r;
}

void js_rules_reset(struct js_stream *s) {
    js_dedup_free(s);
    js_ttl_free(s);
    js_schedule_free(s);
    s->last_id_known = false;
    s->expire_next = 0;
}

void js_rules_done(struct js_stream *s) {
    js_rules_reset(s);
    js_buf_done(&s->sched_hdr);
}
