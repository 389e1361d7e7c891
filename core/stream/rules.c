/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers that a publisher gives to the stream: expected positions, duplicates, rollup, TTL. Names
 * are compared exactly, as servers do. A message that is refused changes nothing.
 */
#include "core/stream/rules.h"

#include <stdio.h>

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
    const char *stream, *last_seq, *last_subj, *filter, *last_id, *rollup, *ttl, *incr;
    size_t stream_len, last_seq_len, last_subj_len, filter_len, last_id_len, rollup_len, ttl_len;
    size_t incr_len;
    bool schedule, batch; /* any header of schedules */
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
        {"Nats-Incr", &f->incr, &f->incr_len},
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
        f->schedule |= klen >= 13 && memcmp(key, "Nats-Schedule", 13) == 0;
        f->batch |= klen == 13 && vlen && memcmp(key, "Nats-Batch-Id", 13) == 0;
    }
}

/* Positions come before duplicates, as with servers: who repeats a message with the old position is
 * told so. An empty value is none. */
static int check_expected(struct js_stream *s, const struct js_new_msg *m, const struct found *f) {
    uint64_t want;
    js_seq_t have;

    if (f->stream_len &&
        (f->stream_len != strlen(s->name) || memcmp(f->stream, s->name, f->stream_len) != 0))
        return JS_ERR_WRONG_STREAM;
    if (f->last_seq_len) {
        if (!parse_u64(f->last_seq, f->last_seq_len, &want))
            return JS_ERR_BAD_HEADER;
        if (want != s->last_seq)
            return JS_ERR_WRONG_LAST_SEQ;
    }
    if (f->filter && !f->last_subj)
        return JS_ERR_BAD_HEADER;
    if (f->last_subj_len) {
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
    return 0;
}

static int check_last_id(struct js_stream *s, const struct found *f) {
    const char *id;
    size_t len;

    if (f->last_id_len == 0)
        return 0;
    int r = js_dedup_last(s, &id, &len);
    if (r < 0)
        return r;
    return len == f->last_id_len && memcmp(id, f->last_id, len) == 0 ? 0 : JS_ERR_WRONG_LAST_MSG_ID;
}

static bool is_word(const char *text, size_t len, const char *word) {
    if (len != strlen(word))
        return false;
    for (size_t i = 0; i < len; i++)
        if ((text[i] | 0x20) != word[i])
            return false;
    return true;
}

static int check_rollup(const struct js_stream_config *c, const struct found *f,
                        struct js_verdict *v) {
    if (f->rollup_len == 0)
        return 0;
    if (!c->allow_rollup_hdrs || c->deny_purge)
        return JS_ERR_NOT_PERMITTED;
    if (is_word(f->rollup, f->rollup_len, "sub"))
        v->rollup = 's';
    else if (is_word(f->rollup, f->rollup_len, "all"))
        v->rollup = 'a';
    return v->rollup ? 0 : JS_ERR_BAD_HEADER;
}

/* The headers that are stored instead of the published ones: a schedule replaces the one before,
 * and a TTL is no shorter than a delete marker's. */
static int own_headers(struct js_stream *s, const struct js_new_msg *m, const struct found *f,
                       struct js_verdict *v, bool longer_ttl) {
    const char *key, *value;
    size_t pos = 0, klen, vlen;
    char text[24];

    v->own.env = s->env;
    js_buf_append(&v->own, "NATS/1.0\r\n", 10);
    while (js_hdr_next(m->hdr, m->hdr_len, &pos, &key, &klen, &value, &vlen)) {
        if (longer_ttl && klen == 8 && memcmp(key, "Nats-TTL", 8) == 0)
            continue;
        js_buf_append(&v->own, key, klen);
        js_buf_append(&v->own, ": ", 2);
        js_buf_append(&v->own, value, vlen);
        js_buf_append(&v->own, "\r\n", 2);
    }
    if (longer_ttl) {
        int n = snprintf(text, sizeof text, "%lld", (long long)v->ttl);
        js_buf_append(&v->own, "Nats-TTL: ", 10);
        js_buf_append(&v->own, text, (size_t)n);
        js_buf_append(&v->own, "\r\n", 2);
    }
    if (v->schedule && f->rollup_len == 0)
        js_buf_append(&v->own, "Nats-Rollup: sub\r\n", 18);
    js_buf_append(&v->own, "\r\n", 2);
    /* What headers say is borrowed from the published ones, which stay. */
    return v->own.failed ? JS_ERR_NOMEM : 0;
}

int js_rules_check(struct js_stream *s, const struct js_new_msg *m, js_time_t now,
                   struct js_verdict *v) {
    const struct js_stream_config *c = &s->config;
    struct found f = {0};

    *v = (struct js_verdict){0};
    find_headers(m, v, &f);
    if (f.batch)
        return JS_ERR_UNSUPPORTED;
    /* A counter looks at nothing else. */
    if (c->allow_msg_counter && (f.incr_len == 0 || f.stream_len || f.last_seq_len ||
                                 f.last_subj_len || f.last_id_len || f.rollup_len))
        return JS_ERR_BAD_HEADER;
    if (!c->allow_msg_counter && f.incr_len)
        return JS_ERR_NOT_PERMITTED;
    int r = f.schedule ? js_sched_check(s, m, &v->schedule) : 0;
    if (r == 0)
        r = check_expected(s, m, &f);
    /* One that would count is refused to duplicates, too; one that is none is not looked at yet. */
    if (r == 0 && f.ttl_len && !c->allow_msg_ttl && js_ttl_parse(f.ttl, f.ttl_len, &v->ttl) == 0 &&
        v->ttl)
        r = JS_ERR_NOT_PERMITTED;
    if (r < 0)
        return r;
    if (v->id && v->id_len && c->duplicate_window > 0) {
        r = js_dedup_find(s, v->id, v->id_len, now, &v->first, &v->first_time);
        if (r != 0) {
            v->duplicate = r == 1;
            return r < 0 ? r : 0;
        }
    }
    r = check_last_id(s, &f);
    if (r == 0 && !v->schedule)
        r = check_rollup(c, &f, v);
    if (r == 0 && f.ttl_len)
        r = js_ttl_parse(f.ttl, f.ttl_len, &v->ttl);
    if (r == 0 && f.ttl_len && !c->allow_msg_ttl)
        r = JS_ERR_NOT_PERMITTED;
    if (r == 0 && v->schedule) {
        v->rollup = 's';
        if (f.rollup_len && !is_word(f.rollup, f.rollup_len, "sub"))
            r = JS_ERR_BAD_HEADER;
    }
    if (r == 0 && c->allow_msg_counter)
        r = js_counter_check(s, m, f.incr, f.incr_len, &v->count);
    if (r < 0)
        return r;
    bool longer = js_ttl_raise(s, &v->ttl);
    return longer || (v->schedule && !f.rollup_len) ? own_headers(s, m, &f, v, longer) : 0;
}

int js_rules_stored(struct js_stream *s, struct js_writer *w, const struct js_new_msg *m,
                    const struct js_verdict *v, struct js_gone *gone) {
    js_seq_t over = 0;
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
        /* Whatever cannot be noted is found in the message when it is asked for. */
        if (r < 0)
            js_dedup_free(s);
    }
    if (v->ttl && s->config.allow_msg_ttl) {
        w->block->ttls++;
        if (v->ttl > 0)
            (void)js_ttl_add(s, m->ret_seq, js_ttl_end(m->ret_time, v->ttl));
    }
    r = s->config.allow_msg_schedules ? js_sched_note(s, w->block, m, &over) : 0;
    if (r == 0 && v->rollup) {
        /* All but the message itself. */
        bool all = v->rollup == 'a';
        r = js_writer_settle(s, w);
        if (r == 0)
            r = js_purge_matching(s, w, all ? "" : m->subject, all ? 0 : m->subject_len, m->ret_seq,
                                  0, gone);
    }
    if (r == 0 && over) {
        r = js_remove_seqs(s, w, &over, 1, true, gone);
        r = r > 0 ? 0 : r;
    }
    return r;
}

void js_rules_reset(struct js_stream *s) {
    js_dedup_free(s);
    js_ttl_free(s);
    js_sched_free(s);
    s->last_id_known = false;
    s->expire_next = 0;
}

void js_rules_done(struct js_stream *s) {
    js_rules_reset(s);
}
