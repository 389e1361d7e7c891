/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message TTLs: a binary heap of (expiry, sequence). An entry outlives its message when that is
 * removed otherwise; who takes it out of the heap looks, and who lacks room throws such entries
 * out. thw.db holds the heap; what it does not cover is found by the headers of the messages.
 */
#include <stdlib.h>

#include "core/base/file.h"
#include "core/format/sched_spec.h"
#include "core/format/small_state.h"
#include "core/stream/rules.h"

/* In the sequence of an entry: nobody has looked whether the message says so, too. thw.db has no
 * checksum. */
#define DOUBTFUL (UINT64_C(1) << 63)

struct ttl_entry {
    js_time_t expires;
    js_seq_t seq; /* may be DOUBTFUL */
};

struct js_ttl {
    struct ttl_entry *heap;
    size_t count, cap;
    bool late;
};

int js_ttl_parse(const char *text, size_t len, int64_t *ret_seconds) {
    static const char never[] = "never";
    int64_t v = 0, ns;
    size_t i = 0;

    while (i < 5 && i < len && (text[i] | 0x20) == never[i])
        i++;
    if (i == 5 && len == 5) {
        *ret_seconds = JS_TTL_NEVER;
        return 0;
    }
    for (i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, text[i] - '0', &v))
            return JS_ERR_BAD_HEADER;
    if (i < len || len == 0) {
        if (js_duration_parse(text, len, &ns) < 0)
            return JS_ERR_BAD_HEADER;
        v = ns / 1000000000;
    }
    if (v < 1)
        return JS_ERR_BAD_HEADER;
    *ret_seconds = v;
    return 0;
}

static bool sooner(const struct ttl_entry *a, const struct ttl_entry *b) {
    return a->expires < b->expires ||
           (a->expires == b->expires && (a->seq & ~DOUBTFUL) < (b->seq & ~DOUBTFUL));
}

static void sift_up(struct js_ttl *t, size_t i, struct ttl_entry e) {
    for (; i > 0 && sooner(&e, &t->heap[(i - 1) / 2]); i = (i - 1) / 2)
        t->heap[i] = t->heap[(i - 1) / 2];
    t->heap[i] = e;
}

static bool lives(const struct js_stream *s, js_seq_t seq) {
    size_t i;
    const struct js_block *b = js_stream_block_of(s, seq, &i);

    if (!b || b->msgs == 0)
        return false;
    if (!b->slots)
        return js_cold_lives(b->cold, seq);
    uint32_t slot = js_slots_find(b->slots, seq);
    return slot != JS_NO_SLOT && js_slot_live(b->slots, slot);
}

static int push(struct js_stream *s, struct js_ttl *t, js_seq_t seq, js_time_t expires) {
    if (t->count == t->cap) {
        /* Those whose messages left otherwise go first. */
        size_t n = 0;
        for (size_t i = 0; i < t->count; i++)
            if (lives(s, t->heap[i].seq & ~DOUBTFUL))
                sift_up(t, n++, t->heap[i]);
        t->count = n;
        if (n >= t->cap / 2) {
            size_t cap = t->cap ? t->cap * 2 : 64;
            struct ttl_entry *p = js_realloc_array(s->env, t->heap, cap, sizeof *p);
            if (!p)
                return JS_ERR_NOMEM;
            t->heap = p;
            t->cap = cap;
        }
    }
    sift_up(t, t->count++, (struct ttl_entry){.expires = expires, .seq = seq});
    return 0;
}

static void pop(struct js_ttl *t) {
    struct ttl_entry e = t->heap[--t->count];
    size_t i = 0;

    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= t->count)
            break;
        if (c + 1 < t->count && sooner(&t->heap[c + 1], &t->heap[c]))
            c++;
        if (!sooner(&t->heap[c], &e))
            break;
        t->heap[i] = t->heap[c];
        i = c;
    }
    if (t->count)
        t->heap[i] = e;
}

static int take_entry(void *ctx, js_time_t expires, js_seq_t seq) {
    struct js_stream *s = ctx;

    if (seq < s->first_seq || seq > s->last_seq || seq == 0)
        return 0;
    return push(s, s->ttl, seq | DOUBTFUL, expires);
}

static int take_msg(void *ctx, const struct js_msg *msg, bool matters) {
    struct js_stream *s = ctx;
    const char *text;
    size_t len;
    int64_t ttl;

    if (!js_hdr_get(msg->hdr, msg->hdr_len, "Nats-TTL", &text, &len) ||
        js_ttl_parse(text, len, &ttl) < 0 || ttl == 0)
        return 0;
    int r = matters && ttl > 0 ? push(s, s->ttl, msg->seq, js_ttl_end(msg->time, ttl)) : 0;
    return r < 0 ? r : 1;
}

js_time_t js_ttl_of(const struct js_msg *msg) {
    const char *text;
    size_t len;
    int64_t ttl;

    if (!msg->hdr || !js_hdr_get(msg->hdr, msg->hdr_len, "Nats-TTL", &text, &len) ||
        js_ttl_parse(text, len, &ttl) < 0 || ttl <= 0)
        return 0;
    return js_ttl_end(msg->time, ttl);
}

static int load(struct js_stream *s) {
    struct js_buf file = {.env = s->env};
    struct js_small_head head = {0};
    struct js_uncovered u = {.what = JS_COUNTED_TTLS, .fn = take_msg, .ctx = s};

    s->ttl = js_calloc(s->env, 1, sizeof *s->ttl);
    if (!s->ttl)
        return JS_ERR_NOMEM;
    int r = js_uncovered_file(s, "msgs/thw.db", &file);
    if (r == 0)
        r = js_thw_decode(file.data, file.len, &head, take_entry, s);
    js_buf_done(&file);
    if (r == 0)
        u.from = js_uncovered_from(s, &head);
    if (u.from == 0) {
        s->ttl->count = 0; /* nothing of a file that is wrong counts */
        u.from = s->first_seq;
    }
    if (r == 0 || !js_is_shortage(r))
        r = js_uncovered_walk(s, &u);
    if (r != 0)
        js_ttl_free(s);
    else
        s->ttl->late = u.looked;
    return r;
}

bool js_ttl_was_late(struct js_stream *s) {
    bool late = s->ttl && s->ttl->late;

    if (late)
        s->ttl->late = false;
    return late;
}

int js_ttl_load(struct js_stream *s) {
    return s->ttl ? 0 : js_uncovered_load(s, load);
}

int js_ttl_add(struct js_stream *s, js_seq_t seq, js_time_t expires) {
    int r = s->ttl ? push(s, s->ttl, seq, expires) : 0;

    if (r < 0) {
        /* It is made anew, with this one, when something may be due. */
        js_ttl_free(s);
        s->expire_next = 0;
    }
    return r;
}

js_time_t js_ttl_soonest(const struct js_stream *s) {
    return s->ttl && s->ttl->count ? s->ttl->heap[0].expires : 0;
}

js_seq_t js_ttl_due(const struct js_stream *s, js_time_t now) {
    const struct js_ttl *t = s->ttl;

    return t && t->count && t->heap[0].expires <= now ? t->heap[0].seq & ~DOUBTFUL : 0;
}

bool js_ttl_doubtful(const struct js_stream *s) {
    return s->ttl->heap[0].seq & DOUBTFUL;
}

void js_ttl_drop(struct js_stream *s) {
    pop(s->ttl);
}

int js_ttl_write(struct js_stream *s) {
    struct js_buf out = {.env = s->env};
    struct js_ttl *t = s->ttl;

    if (!t || s->files.msgs_fd < 0)
        return 0;
    js_buf_append_u8(&out, 1);
    js_buf_append_u64(&out, t->count);
    js_buf_append_u64(&out, s->last_seq + 1);
    for (size_t i = 0; i < t->count; i++) {
        js_buf_append_sv(&out, t->heap[i].expires);
        js_buf_append_uv(&out, t->heap[i].seq & ~DOUBTFUL);
    }
    int r = out.failed
                ? JS_ERR_NOMEM
                : js_file_replace(s->env, s->files.msgs_fd, "thw.db", out.data, out.len, true);
    js_buf_done(&out);
    return r;
}

void js_ttl_free(struct js_stream *s) {
    if (!s->ttl)
        return;
    js_free(s->env, s->ttl->heap);
    js_free(s->env, s->ttl);
    s->ttl = NULL;
}
