/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message TTLs: a binary heap of (expiry, sequence). An entry outlives its message when that is removed
 * otherwise; who takes it out of the heap looks. thw.db holds the heap; what it does not cover is found
 * by the headers of the messages.
 */
#include <stdlib.h>

#include "core/base/file.h"
#include "core/base/limits.h"
#include "core/format/sched_spec.h"
#include "core/format/small_state.h"
#include "core/stream/rules.h"

struct ttl_entry {
    js_time_t expires;
    js_seq_t seq;
};

struct js_ttl {
    struct ttl_entry *heap;
    size_t count, cap;
    bool changed;
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
    return a->expires < b->expires || (a->expires == b->expires && a->seq < b->seq);
}

static int push(struct js_stream *s, struct js_ttl *t, js_seq_t seq, js_time_t expires) {
    if (t->count == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        struct ttl_entry *p = js_realloc_array(s->env, t->heap, cap, sizeof *p);
        if (!p)
            return JS_ERR_NOMEM;
        t->heap = p;
        t->cap = cap;
    }
    struct ttl_entry e = {.expires = expires, .seq = seq};
    size_t i = t->count++;
    for (; i > 0 && sooner(&e, &t->heap[(i - 1) / 2]); i = (i - 1) / 2)
        t->heap[i] = t->heap[(i - 1) / 2];
    t->heap[i] = e;
    t->changed = true;
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
    t->changed = true;
}

struct loading {
    struct js_stream *s;
    struct js_ttl *t;
};

static int take_entry(void *ctx, js_time_t expires, js_seq_t seq) {
    struct loading *l = ctx;

    if (seq < l->s->first_seq || seq > l->s->last_seq)
        return 0;
    return push(l->s, l->t, seq, expires);
}

/* The TTLs of messages from seq on, by their headers. */
static int scan_headers(struct js_stream *s, struct js_ttl *t, js_seq_t seq) {
    struct js_place at = {0};
    int r = 0;

    while ((r = js_stream_slot_from(s, seq, false, &at)) == 1) {
        const char *text;
        struct js_msg msg;
        size_t len;
        int64_t ttl;
        seq = js_place_seq(&at) + 1;
        if (at.slots->at[at.slot].hlen == 0)
            continue;
        int e = js_stream_slot_msg(s, &at, true, &msg);
        if (e == JS_ERR_BAD_MSG)
            continue;
        if (e < 0) {
            r = e;
            break;
        }
        if (js_hdr_get(msg.hdr, msg.hdr_len, "Nats-TTL", &text, &len) &&
            js_ttl_parse(text, len, &ttl) == 0 && ttl != 0) {
            at.block->ttls++;
            if (ttl > 0)
                e = push(s, t, msg.seq, js_ttl_end(msg.time, ttl));
        }
        js_msg_release(&msg);
        if (e < 0) {
            r = e;
            break;
        }
    }
    js_place_done(s, &at);
    return r < 0 ? r : 0;
}

int js_ttl_load(struct js_stream *s) {
    struct js_buf file = {.env = s->env};
    struct js_small_head head = {0};

    if (s->ttl)
        return 0;
    struct js_ttl *t = js_calloc(s->env, 1, sizeof *t);
    if (!t)
        return JS_ERR_NOMEM;
    s->ttl = t;
    struct loading l = {.s = s, .t = t};
    js_seq_t from = s->first_seq;
    int r = js_stream_scan_locked(s);
    if (r == 0)
        r = js_files_slurp(&s->files, "msgs/thw.db", JS_MAX_STATE_FILE, &file);
    if (r == 0) {
        r = js_thw_decode(file.data, file.len, &head, take_entry, &l);
        if (r == 0 && head.stamp > from)
            from = head.stamp;
        if (r == JS_ERR_CORRUPT || r == JS_ERR_UNKNOWN_FORMAT) {
            t->count = 0; /* nothing of a file that is wrong counts */
            r = 0;
        }
    } else if (r == JS_ERR_NO_ENTRY) {
        r = 0;
    }
    js_buf_done(&file);
    /* The blocks' counters are made anew with it. */
    for (size_t i = 0; i < s->num_blocks; i++)
        s->blocks[i]->ttls = 0;
    if (r == 0) {
        t->count = 0;
        r = scan_headers(s, t, s->first_seq);
        (void)from;
    }
    if (r < 0)
        js_ttl_free(s);
    else
        t->changed = false;
    return r;
}

int js_ttl_add(struct js_stream *s, js_seq_t seq, js_time_t expires) {
    return s->ttl ? push(s, s->ttl, seq, expires) : 0;
}

js_time_t js_ttl_soonest(const struct js_stream *s) {
    return s->ttl && s->ttl->count ? s->ttl->heap[0].expires : 0;
}

js_seq_t js_ttl_due(const struct js_stream *s, js_time_t now) {
    const struct js_ttl *t = s->ttl;

    return t && t->count && t->heap[0].expires <= now ? t->heap[0].seq : 0;
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
        js_buf_append_uv(&out, t->heap[i].seq);
    }
    int r = out.failed ? JS_ERR_NOMEM
                       : js_file_replace(s->env, s->files.msgs_fd, "thw.db", out.data, out.len, true);
    js_buf_done(&out);
    if (r == 0)
        t->changed = false;
    return r;
}

void js_ttl_free(struct js_stream *s) {
    if (!s->ttl)
        return;
    js_free(s->env, s->ttl->heap);
    js_free(s->env, s->ttl);
    s->ttl = NULL;
}
