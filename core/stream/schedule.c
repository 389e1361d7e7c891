/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message schedules: what headers say, which schedule each subject has, and storing what is due.
 * The newest schedule of a subject counts; a message that no schedule made ends it. A binary heap
 * orders them by time; an entry that its subject's schedule does not confirm any more is passed
 * over. sched.db holds them beside index.db; what it does not cover is found by the headers of the
 * messages.
 */
#include <errno.h>
#include <stdio.h>

#include "core/base/file.h"
#include "core/base/time.h"
#include "core/format/sched_spec.h"
#include "core/format/small_state.h"
#include "core/stream/limits.h"
#include "core/stream/rules.h"

#define RETRY INT64_C(1000000000)

struct sched {
    uint32_t sid;
    js_seq_t seq; /* of the message; 0 = none now */
    js_time_t next;
};

struct due {
    js_time_t next;
    js_seq_t seq;
    uint32_t sid;
};

struct js_sched {
    struct sched *list;
    size_t count, cap, live;
    uint32_t *table; /* by sid: place in the list + 1; 2 * cap entries, a power of two */
    struct due *heap;
    size_t heap_count, heap_cap;
    bool late;    /* see js_ttl_was_late() */
    bool foreign; /* there are some in time zones that are not known here */
};

/* ---- the schedules ----------------------------------------------------------------------------
 */

static size_t home(const struct js_sched *t, uint32_t sid) {
    return (sid * UINT32_C(2654435761)) & (2 * t->cap - 1);
}

static struct sched *find(struct js_sched *t, uint32_t sid) {
    if (!t->cap)
        return NULL;
    for (size_t i = home(t, sid); t->table[i]; i = (i + 1) & (2 * t->cap - 1))
        if (t->list[t->table[i] - 1].sid == sid)
            return &t->list[t->table[i] - 1];
    return NULL;
}

static void enter(struct js_sched *t, size_t n) {
    size_t i = home(t, t->list[n].sid);

    while (t->table[i])
        i = (i + 1) & (2 * t->cap - 1);
    t->table[i] = (uint32_t)n + 1;
}

/* Makes room; subjects without a schedule are forgotten on the way. */
static int grow(struct js_stream *s, struct js_sched *t) {
    size_t cap = 64, n = 0;

    while (cap < 2 * (t->live + 1))
        cap *= 2;
    struct sched *list = js_realloc_array(s->env, NULL, cap, sizeof *list);
    uint32_t *table = js_calloc(s->env, 2 * cap, sizeof *table);
    if (!list || !table) {
        js_free(s->env, list);
        js_free(s->env, table);
        return JS_ERR_NOMEM;
    }
    for (size_t i = 0; i < t->count; i++)
        if (t->list[i].seq)
            list[n++] = t->list[i];
    js_free(s->env, t->list);
    js_free(s->env, t->table);
    t->list = list;
    t->table = table;
    t->count = n;
    t->cap = cap;
    for (size_t i = 0; i < n; i++)
        enter(t, i);
    return 0;
}

static bool sooner(const struct due *a, const struct due *b) {
    return a->next < b->next || (a->next == b->next && a->seq < b->seq);
}

static void sift_up(struct js_sched *t, size_t i, struct due d) {
    for (; i > 0 && sooner(&d, &t->heap[(i - 1) / 2]); i = (i - 1) / 2)
        t->heap[i] = t->heap[(i - 1) / 2];
    t->heap[i] = d;
}

static void pop(struct js_sched *t) {
    struct due d = t->heap[--t->heap_count];
    size_t i = 0;

    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= t->heap_count)
            break;
        if (c + 1 < t->heap_count && sooner(&t->heap[c + 1], &t->heap[c]))
            c++;
        if (!sooner(&t->heap[c], &d))
            break;
        t->heap[i] = t->heap[c];
        i = c;
    }
    if (t->heap_count)
        t->heap[i] = d;
}

static bool confirmed(struct js_sched *t, const struct due *d) {
    const struct sched *e = find(t, d->sid);
    return e && e->seq == d->seq && e->next == d->next;
}

static int push(struct js_stream *s, struct js_sched *t, const struct sched *e) {
    if (t->heap_count == t->heap_cap) {
        /* Mostly leftovers: they go first. */
        size_t n = 0;
        for (size_t i = 0; i < t->heap_count; i++)
            if (confirmed(t, &t->heap[i]))
                sift_up(t, n++, t->heap[i]);
        t->heap_count = n;
        if (n >= t->heap_cap / 2) {
            size_t cap = t->heap_cap ? t->heap_cap * 2 : 64;
            struct due *p = js_realloc_array(s->env, t->heap, cap, sizeof *p);
            if (!p)
                return JS_ERR_NOMEM;
            t->heap = p;
            t->heap_cap = cap;
        }
    }
    sift_up(t, t->heap_count++, (struct due){.next = e->next, .seq = e->seq, .sid = e->sid});
    return 0;
}

static int set(struct js_stream *s, struct js_sched *t, uint32_t sid, js_seq_t seq,
               js_time_t next) {
    struct sched *e = find(t, sid);

    if (!e) {
        int r = t->count == t->cap ? grow(s, t) : 0;
        if (r < 0)
            return r;
        e = &t->list[t->count];
        *e = (struct sched){.sid = sid};
        enter(t, t->count++);
    }
    t->live += e->seq == 0;
    e->seq = seq;
    e->next = next;
    return push(s, t, e);
}

static void cancel(struct js_sched *t, uint32_t sid) {
    struct sched *e = sid == JS_NO_ID ? NULL : find(t, sid);

    if (e && e->seq) {
        e->seq = 0;
        t->live--;
    }
}

js_time_t js_sched_soonest(const struct js_stream *s) {
    return s->sched && s->sched->heap_count ? s->sched->heap[0].next : 0;
}

void js_sched_free(struct js_stream *s) {
    if (!s->sched)
        return;
    js_free(s->env, s->sched->list);
    js_free(s->env, s->sched->table);
    js_free(s->env, s->sched->heap);
    js_free(s->env, s->sched);
    s->sched = NULL;
}

void js_sched_plain(struct js_stream *s, const struct js_new_msg *m) {
    if (s->sched->live)
        cancel(s->sched, js_subjects_find(&s->subjects, m->subject, m->subject_len));
}

js_seq_t js_sched_of(const struct js_stream *s, const char *subject, size_t len) {
    uint32_t sid = s->sched ? js_subjects_find(&s->subjects, subject, len) : JS_NO_ID;
    const struct sched *e = sid == JS_NO_ID ? NULL : find(s->sched, sid);

    return e ? e->seq : 0;
}

/* ---- headers ------------------------------------------------------------------------------------
 */

struct sched_hdrs {
    struct js_hdr_text schedule, target, source, ttl, zone, rollup, scheduler, next;
};

static void read_headers(const uint8_t *hdr, size_t hdr_len, struct sched_hdrs *h) {
    const struct {
        const char *name;
        struct js_hdr_text *text;
    } known[] = {
        {"Nats-Schedule", &h->schedule},       {"Nats-Schedule-Target", &h->target},
        {"Nats-Schedule-Source", &h->source},  {"Nats-Schedule-TTL", &h->ttl},
        {"Nats-Schedule-Time-Zone", &h->zone}, {"Nats-Schedule-Rollup", &h->rollup},
        {"Nats-Scheduler", &h->scheduler},     {"Nats-Schedule-Next", &h->next},
    };
    size_t pos = 0, klen, vlen;
    const char *key, *value;

    *h = (struct sched_hdrs){0};
    while (js_hdr_next(hdr, hdr_len, &pos, &key, &klen, &value, &vlen)) {
        if (klen < 13 || memcmp(key, "Nats-Schedule", 13) != 0)
            continue;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (!known[i].text->at && strlen(known[i].name) == klen &&
                memcmp(known[i].name, key, klen) == 0)
                *known[i].text = (struct js_hdr_text){.at = value, .len = vlen};
    }
}

static bool text_is(const struct js_hdr_text *t, const char *want) {
    return t->len == strlen(want) && memcmp(t->at, want, t->len) == 0;
}

static bool same(const struct js_hdr_text *t, const char *other, size_t len) {
    return t->len == len && memcmp(t->at, other, len) == 0;
}

#define ZONES    "/usr/share/zoneinfo/"
#define MAX_ZONE (1u << 20)

/* When a schedule is due after a moment, by the clock of its zone; *ret 0: never. UNSUPPORTED: its
 * zone is not known here. */
static int next_due(struct js_stream *s, const struct sched_hdrs *h,
                    const struct js_sched_spec *spec, js_time_t after, js_time_t *ret) {
    struct js_buf file = {.env = s->env};
    struct js_zone zone;
    char path[100];
    int r = 0;

    bool utc = !h->zone.at || text_is(&h->zone, "UTC") || text_is(&h->zone, "Local");
    if (!utc && !js_zone_name_valid(h->zone.at, h->zone.len))
        return JS_ERR_BAD_HEADER;
    if (!utc) {
        snprintf(path, sizeof path, ZONES "%.*s", (int)h->zone.len, h->zone.at);
        r = js_file_slurp(s->env, -1, path, MAX_ZONE, &file);
    }
    if (!utc && r == 0)
        r = js_zone_decode(file.data, file.len, &zone);
    if (r == 0)
        *ret = js_sched_spec_next_in(spec, utc ? NULL : &zone, after);
    js_buf_done(&file);
    return r == 0 || js_is_shortage(r) ? r : JS_ERR_UNSUPPORTED;
}

int js_sched_check(struct js_stream *s, const struct js_new_msg *m, bool *ret_schedule) {
    struct js_sched_spec spec;
    struct sched_hdrs h;
    js_time_t next;
    int64_t ttl;

    *ret_schedule = false;
    read_headers(m->hdr, m->hdr_len, &h);
    if (h.schedule.len == 0) {
        /* Only the store itself says what its schedules made, but anybody may end one. */
        if (!s->config.allow_msg_schedules || (!h.scheduler.len && !h.next.len))
            return 0;
        int r = js_sched_load(s);
        if (r < 0)
            return r;
        return text_is(&h.next, "purge") && !same(&h.scheduler, m->subject, m->subject_len) &&
                       js_sched_of(s, h.scheduler.at, h.scheduler.len)
                   ? 0
                   : JS_ERR_BAD_HEADER;
    }
    if (!s->config.allow_msg_schedules)
        return JS_ERR_NOT_PERMITTED;
    if (js_sched_spec_parse(h.schedule.at, h.schedule.len, &spec) < 0 ||
        (h.zone.at && spec.kind != JS_SCHED_CRON) || (h.zone.at && h.zone.len == 0))
        return JS_ERR_BAD_HEADER;
    int z = next_due(s, &h, &spec, 0, &next);
    if (z < 0)
        return z;
    if (h.ttl.len && (js_ttl_parse(h.ttl.at, h.ttl.len, &ttl) < 0))
        return JS_ERR_BAD_HEADER;
    if (h.ttl.len && !s->config.allow_msg_ttl)
        return JS_ERR_NOT_PERMITTED;
    if (h.target.len == 0 || !js_subject_valid(h.target.at, h.target.len) ||
        same(&h.target, m->subject, m->subject_len) ||
        !js_stream_takes(s, h.target.at, h.target.len))
        return JS_ERR_BAD_HEADER;
    if (h.source.len &&
        (!js_subject_valid(h.source.at, h.source.len) ||
         same(&h.source, m->subject, m->subject_len) || same(&h.source, h.target.at, h.target.len)))
        return JS_ERR_BAD_HEADER;
    if (h.rollup.len && !text_is(&h.rollup, "sub"))
        return JS_ERR_BAD_HEADER;
    *ret_schedule = true;
    return 0;
}

/* See js_sched_note(). *ret_schedule: it is one. */
static int note(struct js_stream *s, const struct js_new_msg *m, bool *ret_schedule,
                js_seq_t *ret_purge) {
    struct js_sched *t = s->sched;
    struct js_sched_spec spec;
    struct sched_hdrs h;

    *ret_purge = 0;
    *ret_schedule = false;
    read_headers(m->hdr, m->hdr_len, &h);
    uint32_t sid = t ? js_subjects_find(&s->subjects, m->subject, m->subject_len) : JS_NO_ID;
    if (h.schedule.len && js_sched_spec_parse(h.schedule.at, h.schedule.len, &spec) == 0) {
        *ret_schedule = true;
        if (!t || sid == JS_NO_ID)
            return 0;
        js_time_t next = 0;
        int r = next_due(s, &h, &spec, m->ret_time, &next);
        if (r < 0 && r != JS_ERR_UNSUPPORTED && r != JS_ERR_BAD_HEADER)
            return r;
        t->foreign |= r < 0;
        if (next)
            return set(s, t, sid, m->ret_seq, next);
        cancel(t, sid);
    } else if (!t) {
        return 0;
    } else if (h.scheduler.len && h.next.len) {
        js_time_t next;
        sid = js_subjects_find(&s->subjects, h.scheduler.at, h.scheduler.len);
        const struct sched *e = sid == JS_NO_ID ? NULL : find(t, sid);
        if (!e || !e->seq)
            return 0;
        if (text_is(&h.next, "purge")) {
            *ret_purge = e->seq;
            cancel(t, sid);
        } else if (js_time_parse_rfc3339(h.next.at, h.next.len, &next) == 0) {
            return set(s, t, sid, e->seq, next);
        }
    } else {
        cancel(t, sid);
    }
    return 0;
}

int js_sched_note(struct js_stream *s, struct js_block *b, const struct js_new_msg *m,
                  js_seq_t *ret_purge) {
    bool schedule;
    int r = note(s, m, &schedule, ret_purge);

    b->schedules += schedule;
    return r;
}

/* ---- files
 * --------------------------------------------------------------------------------------- */

static int take_entry(void *ctx, const char *subject, size_t len, js_time_t next, js_seq_t seq) {
    struct js_stream *s = ctx;
    uint32_t sid = js_subjects_find(&s->subjects, subject, len);

    if (sid == JS_NO_ID || seq < s->first_seq || seq > s->last_seq || seq == 0)
        return 0;
    return set(s, s->sched, sid, seq, next);
}

static bool any_live(void *ctx) {
    struct js_stream *s = ctx;
    return s->sched->live != 0;
}

static int take_msg(void *ctx, const struct js_msg *msg, bool matters) {
    struct js_stream *s = ctx;
    struct js_new_msg m = {.subject = msg->subject,
                           .subject_len = msg->subject_len,
                           .hdr = msg->hdr,
                           .hdr_len = msg->hdr_len,
                           .ret_seq = msg->seq,
                           .ret_time = msg->time};
    bool schedule;
    js_seq_t purge;

    if (matters) {
        int r = note(s, &m, &schedule, &purge);
        return r < 0 ? r : schedule;
    }
    struct js_hdr_text text;
    return js_hdr_get(msg->hdr, msg->hdr_len, "Nats-Schedule", &text.at, &text.len);
}

static int load(struct js_stream *s) {
    struct js_buf file = {.env = s->env};
    struct js_small_head head = {0};
    struct js_uncovered u = {
        .what = JS_COUNTED_SCHEDULES, .plain = any_live, .fn = take_msg, .ctx = s};

    s->sched = js_calloc(s->env, 1, sizeof *s->sched);
    if (!s->sched)
        return JS_ERR_NOMEM;
    int r = js_uncovered_file(s, "msgs/sched.db", &file);
    if (r == 0)
        r = js_sched_decode(file.data, file.len, &head, take_entry, s);
    js_buf_done(&file);
    if (r == 0)
        u.from = js_uncovered_from(s, &head);
    if (u.from == 0 && !js_is_shortage(r)) {
        /* Nothing of a file that is wrong counts. */
        js_sched_free(s);
        s->sched = js_calloc(s->env, 1, sizeof *s->sched);
        r = s->sched ? 0 : JS_ERR_NOMEM;
        u.from = s->first_seq;
    }
    if (r == 0)
        r = js_uncovered_walk(s, &u);
    if (r != 0)
        js_sched_free(s);
    else
        s->sched->late = u.looked;
    return r;
}

bool js_sched_was_late(struct js_stream *s) {
    bool late = s->sched && s->sched->late;

    if (late)
        s->sched->late = false;
    return late;
}

int js_sched_load(struct js_stream *s) {
    return s->sched ? 0 : js_uncovered_load(s, load);
}

int js_sched_write(struct js_stream *s) {
    struct js_buf out = {.env = s->env};
    struct js_sched *t = s->sched;

    if (!t || s->files.msgs_fd < 0)
        return 0;
    if (t->foreign) {
        /* A server finds those by their headers if there is no file. */
        int u = s->env->io->unlink(s->env->io->ctx, s->files.msgs_fd, "sched.db");
        return u < 0 && u != -ENOENT ? js_err_from_errno(-u) : 0;
    }
    js_buf_append_u8(&out, 1);
    js_buf_append_u64(&out, t->live);
    js_buf_append_u64(&out, s->last_seq + 1);
    for (size_t i = 0; i < t->count; i++) {
        const struct sched *e = &t->list[i];
        if (!e->seq)
            continue;
        const struct js_subject_line *line = &s->subjects.lines[e->sid];
        js_buf_append_u16(&out, (uint16_t)line->len);
        js_buf_append(&out, js_subject_name(line), line->len);
        js_buf_append_sv(&out, e->next);
        js_buf_append_uv(&out, e->seq);
    }
    int r = out.failed
                ? JS_ERR_NOMEM
                : js_file_replace(s->env, s->files.msgs_fd, "sched.db", out.data, out.len, true);
    js_buf_done(&out);
    return r;
}

/* ---- firing
 * -------------------------------------------------------------------------------------- */

static void put_header(struct js_buf *out, const char *name, const char *value, size_t len) {
    js_buf_append(out, name, strlen(name));
    js_buf_append(out, ": ", 2);
    js_buf_append(out, value, len);
    js_buf_append(out, "\r\n", 2);
}

/* Headers of a message that go on to what a schedule makes of it. */
static void copy_headers(struct js_buf *out, const struct js_msg *msg) {
    static const char *const not [] = {"Nats-Schedule", "Nats-Expected-", "Nats-Rollup", "Nats-TTL",
                                       "Nats-Msg-Id"};
    const char *key, *value;
    size_t pos = 0, klen, vlen;

    while (msg->hdr && js_hdr_next(msg->hdr, msg->hdr_len, &pos, &key, &klen, &value, &vlen)) {
        bool copy = true;
        for (size_t i = 0; i < sizeof not / sizeof *not ; i++) {
            size_t n = strlen(not [i]);
            copy = copy && !(klen >= n && memcmp(key, not [i], n) == 0 && (i < 2 || klen == n));
        }
        if (!copy)
            continue;
        js_buf_append(out, key, klen);
        js_buf_append(out, ": ", 2);
        js_buf_append(out, value, vlen);
        js_buf_append(out, "\r\n", 2);
    }
}

/* The newest message of the subject that a schedule samples: 1, 0 if there is none. */
static int newest(struct js_stream *s, const char *subject, size_t len, struct js_msg *ret) {
    struct js_place at = {0};
    int r = js_stream_scan_locked(s);
    uint32_t sid = r < 0 ? JS_NO_ID : js_subjects_find(&s->subjects, subject, len);

    if (sid != JS_NO_ID)
        r = js_stream_last_of(s, sid, &at);
    if (r == 1) {
        r = js_stream_slot_msg(s, &at, false, ret);
        r = r == JS_ERR_BAD_MSG ? 0 : r < 0 ? r : 1;
    }
    js_place_done(s, &at);
    return r;
}

/* What a schedule makes, in buffers of its own. */
struct made {
    struct js_buf target, hdr, data;
    struct js_verdict v;
    js_time_t next; /* of its schedule; 0 = it is over */
};

static int make(struct js_stream *s, const struct js_msg *msg, js_time_t now, struct made *out) {
    struct js_sched_spec spec;
    struct js_msg source = {0};
    struct sched_hdrs h;
    char next[40] = "purge";

    if (!msg->hdr)
        return JS_ERR_BAD_HEADER;
    read_headers(msg->hdr, msg->hdr_len, &h);
    if (js_sched_spec_parse(h.schedule.at, h.schedule.len, &spec) < 0 || !h.target.len ||
        !js_subject_valid(h.target.at, h.target.len))
        return JS_ERR_BAD_HEADER;
    js_time_t t;
    int z = next_due(s, &h, &spec, now, &t);
    s->sched->foreign |= z == JS_ERR_UNSUPPORTED || z == JS_ERR_BAD_HEADER;
    if (z < 0)
        return z;
    if (spec.kind != JS_SCHED_AT) {
        if (t <= now)
            return JS_ERR_BAD_HEADER;
        js_time_format(t, next, sizeof next);
        out->next = t;
    }
    int r = h.source.len ? newest(s, h.source.at, h.source.len, &source) : 0;
    if (r < 0)
        return r;
    const struct js_msg *base = r == 1 ? &source : msg;
    js_buf_append(&out->target, h.target.at, h.target.len);
    js_buf_append(&out->data, base->data, base->data_len);
    js_buf_append(&out->hdr, "NATS/1.0\r\n", 10);
    copy_headers(&out->hdr, base);
    put_header(&out->hdr, "Nats-Scheduler", msg->subject, msg->subject_len);
    put_header(&out->hdr, "Nats-Schedule-Next", next, strlen(next));
    if (h.ttl.len && s->config.allow_msg_ttl)
        (void)js_ttl_parse(h.ttl.at, h.ttl.len, &out->v.ttl);
    bool longer = js_ttl_raise(s, &out->v.ttl);
    if (out->v.ttl && !longer)
        put_header(&out->hdr, "Nats-TTL", h.ttl.at, h.ttl.len);
    if (text_is(&h.rollup, "sub")) {
        put_header(&out->hdr, "Nats-Rollup", "sub", 3);
        out->v.rollup = 's';
    }
    if (longer) {
        char text[24];
        int n = snprintf(text, sizeof text, "%lld", (long long)out->v.ttl);
        put_header(&out->hdr, "Nats-TTL", text, (size_t)n);
    }
    js_buf_append(&out->hdr, "\r\n", 2);
    if (r == 1)
        js_msg_release(&source);
    return out->target.failed || out->hdr.failed || out->data.failed ? JS_ERR_NOMEM : 0;
}

static int store(struct js_stream *s, struct js_writer *w, struct made *made, js_time_t now,
                 struct js_gone *gone) {
    struct js_new_msg m = {.subject = (const char *)made->target.data,
                           .subject_len = made->target.len,
                           .hdr = made->hdr.data,
                           .hdr_len = made->hdr.len,
                           .data = made->data.data,
                           .data_len = made->data.len};

    return js_stream_store_made(s, w, &m, now, &made->v, gone);
}

/* Nothing will ever come of such a schedule. */
static bool hopeless(int r) {
    return r == JS_ERR_BAD_HEADER || r == JS_ERR_MSG_TOO_LARGE || r == JS_ERR_NOT_BOUND ||
           r == JS_ERR_UNSUPPORTED || r == JS_ERR_BAD_MSG;
}

static int fire(struct js_stream *s, struct js_writer *w, const struct due *d, js_time_t now,
                struct js_gone *gone) {
    struct made made = {.target = {.env = s->env}, .hdr = {.env = s->env}, .data = {.env = s->env}};
    struct js_place at = {0};
    struct js_msg msg;
    int r = js_stream_slot_at(s, d->seq, &at);

    if (r == 1 && js_slot_live(at.slots, at.slot)) {
        r = js_stream_slot_msg(s, &at, false, &msg);
        if (r == 0) {
            js_place_done(s, &at);
            r = make(s, &msg, now, &made);
            js_msg_release(&msg);
        }
    } else {
        r = r < 0 ? r : r == JS_NEED_SCAN ? JS_ERR_STALE : JS_ERR_BAD_MSG; /* removed since */
    }
    js_place_done(s, &at);
    if (r == 0)
        r = store(s, w, &made, now, gone);
    /* What its source holds may be shorter the next time. */
    if (r == JS_ERR_MSG_TOO_LARGE && made.next && s->sched)
        r = set(s, s->sched, d->sid, d->seq, made.next);
    js_buf_done(&made.target);
    js_buf_done(&made.hdr);
    js_buf_done(&made.data);
    return r;
}

int js_sched_run(struct js_stream *s, struct js_writer *w, js_time_t now, struct js_gone *gone) {
    /* A failed write makes everything forget: the table is looked at anew each time. */
    while (s->sched && s->sched->heap_count && s->sched->heap[0].next <= now) {
        struct due d = s->sched->heap[0];
        bool valid = confirmed(s->sched, &d);
        pop(s->sched);
        if (!valid)
            continue;
        int r = fire(s, w, &d, now, gone);
        struct sched *e = s->sched ? find(s->sched, d.sid) : NULL;
        if (hopeless(r)) {
            if (e && e->seq == d.seq)
                cancel(s->sched, d.sid);
        } else if (r < 0) {
            /* Later again. */
            if (e && e->seq == d.seq && e->next == d.next)
                (void)set(s, s->sched, d.sid, d.seq, now + RETRY);
            return r;
        }
    }
    return 0;
}
