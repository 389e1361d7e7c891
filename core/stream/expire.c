/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What time does: it takes out by max_age (from the front; blocks that are old as a whole leave at
 * once) and by TTLs, and stores what schedules make. Where delete markers are configured, the last
 * message of a subject leaves one behind.
 */
#include <stdio.h>

#include "core/stream/limits.h"
#include "core/stream/rules.h"

#define SECOND INT64_C(1000000000)
#define FLOOR  INT64_C(250000000) /* two looks are at least so far apart */
#define RETRY  SECOND             /* after a failure */

static bool has_times(const struct js_stream *s) {
    return s->config.max_age > 0 || s->config.allow_msg_ttl || s->config.allow_msg_schedules;
}

/* Limits are looked at once: the configuration may have been changed while nobody had it open. */
static bool has_limits(const struct js_stream *s) {
    return s->config.max_msgs_per_subject > 0 ||
           (s->config.discard == 'o' && (s->config.max_msgs > 0 || s->config.max_bytes > 0));
}

static bool concerned(const struct js_stream *s) {
    return s->rw && !s->no_expire && s->has_config && !s->write_error && !s->unwritable &&
           !s->gone && !s->config.sealed && (has_times(s) || (!s->expire_looked && has_limits(s)));
}

js_time_t js_stream_expire_deadline(struct js_stream *s) {
    js_time_t due = 0;

    pthread_rwlock_rdlock(&s->lock);
    if (concerned(s)) {
        due = s->expire_next ? s->expire_next : 1;
        js_time_t t = js_ttl_soonest(s), sched = js_sched_soonest(s);
        if (sched && (!t || sched < t))
            t = sched;
        if (s->expire_looked && t && t < due)
            due = t;
        if (s->expire_looked && s->expire_next == INT64_MAX)
            due = t;
        /* Nothing to expire before something is stored. */
        if (s->expire_looked && s->msgs == 0)
            due = 0;
        if (s->expire_retry)
            due = s->expire_retry;
    }
    pthread_rwlock_unlock(&s->lock);
    return due == INT64_MAX ? 0 : due;
}

/* Go's way to write a duration of whole seconds. */
static void write_duration(int64_t ns, char *buf, size_t size) {
    int64_t s = ns / SECOND;

    if (s >= 3600)
        snprintf(buf, size, "%lldh%lldm%llds", (long long)(s / 3600), (long long)(s / 60 % 60),
                 (long long)(s % 60));
    else if (s >= 60)
        snprintf(buf, size, "%lldm%llds", (long long)(s / 60), (long long)(s % 60));
    else
        snprintf(buf, size, "%llds", (long long)s);
}

static bool header_is(const struct js_msg *msg, const char *name, const char *want) {
    const char *v;
    size_t n;

    if (!msg->hdr || !js_hdr_get(msg->hdr, msg->hdr_len, name, &v, &n))
        return false;
    return !want || (n == strlen(want) && memcmp(v, want, n) == 0);
}

/* A marker for the subject of a message that is about to leave, if it is the last one and no marker
 * itself. */
static int leave_marker(struct js_stream *s, struct js_writer *w, const struct js_msg *msg) {
    char hdr[200], ttl[40];
    uint32_t sid = js_subjects_find(&s->subjects, msg->subject, msg->subject_len);

    if (s->config.delete_marker_ttl <= 0 || sid == JS_NO_ID || s->subjects.lines[sid].count != 1 ||
        header_is(msg, "Nats-Marker-Reason", NULL) || header_is(msg, "KV-Operation", "PURGE"))
        return 0;
    write_duration(s->config.delete_marker_ttl, ttl, sizeof ttl);
    int n = snprintf(hdr, sizeof hdr,
                     "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: %s\r\n"
                     "Nats-Rollup: sub\r\n\r\n",
                     ttl);
    js_time_t now = s->env->clock->now(s->env->clock->ctx);
    struct js_new_msg m = {.subject = msg->subject,
                           .subject_len = msg->subject_len,
                           .hdr = (const uint8_t *)hdr,
                           .hdr_len = (size_t)n,
                           .ret_seq = s->last_seq + 1,
                           .ret_time = now < w->last_stamp ? w->last_stamp : now};
    int r = js_writer_put_msg(s, w, &m, sid);
    if (r < 0)
        return r;
    w->last_stamp = m.ret_time;
    js_rules_stored_plain(s, &m);
    w->block->ttls++;
    return js_ttl_add(s, m.ret_seq, js_ttl_end(m.ret_time, s->config.delete_marker_ttl / SECOND));
}

/* Takes out one message that is due: marker, tombstone, removal. */
static int expire_one(struct js_stream *s, struct js_writer *w, js_seq_t seq, bool tombstone,
                      struct js_gone *gone) {
    struct js_place at = {0};
    struct js_msg msg;
    int r = js_stream_slot_at(s, seq, &at);

    if (r == 1 && s->config.delete_marker_ttl > 0 && js_slot_live(at.slots, at.slot)) {
        r = js_stream_slot_msg(s, &at, false, &msg);
        if (r == 0) {
            r = leave_marker(s, w, &msg);
            js_msg_release(&msg);
            tombstone = true;
        }
        r = r < 0 && r != JS_ERR_BAD_MSG ? r : 1;
    }
    js_place_done(s, &at);
    if (r != 1)
        return r == JS_NEED_SCAN ? JS_ERR_STALE : r;
    r = js_remove_seqs(s, w, &seq, 1, tombstone, gone);
    return r < 0 ? r : 0;
}

/* What only thw.db says is due: 1 if the message says so, too. Else its own word counts. */
static int is_due(struct js_stream *s, const struct js_place *at, js_time_t now) {
    struct js_msg msg;
    int r = js_slot_live(at->slots, at->slot) ? js_stream_slot_msg(s, at, false, &msg) : 0;

    if (r < 0 || !js_slot_live(at->slots, at->slot))
        return r == JS_ERR_BAD_MSG ? 0 : r;
    js_time_t end = js_ttl_of(&msg);
    js_seq_t seq = msg.seq;
    js_msg_release(&msg);
    return end == 0 ? 0 : end <= now ? 1 : js_ttl_add(s, seq, end);
}

/* Takes out a message whose TTL is over. */
static int expire_ttl(struct js_stream *s, struct js_writer *w, js_seq_t seq, js_time_t now,
                      struct js_gone *gone) {
    struct js_place at = {0};
    int r = 1;

    if (js_ttl_doubtful(s)) {
        r = js_stream_slot_at(s, seq, &at);
        if (r == 1)
            r = is_due(s, &at, now);
        js_place_done(s, &at);
    }
    if (r != 1)
        return r == JS_NEED_SCAN ? JS_ERR_STALE : r;
    return expire_one(s, w, seq, true, gone);
}

static bool is_never(const struct js_msg *msg) {
    return header_is(msg, "Nats-TTL", "never");
}

/* The block in which the age limit falls: one message after the other. 1: all of it is old. */
static int age_block(struct js_stream *s, struct js_writer *w, size_t *index, js_time_t cutoff,
                     struct js_gone *gone, js_time_t *ret_next) {
    struct js_block *b = s->blocks[*index];
    uint32_t number = b->number;
    js_seq_t seq = 0;
    int r = js_block_warm(s, *index);

    if (r != 0)
        return r < 0 ? r : JS_ERR_STALE;
    for (;;) {
        /* Blocks may leave the list while this goes on. */
        if (*index >= s->num_blocks || s->blocks[*index]->number != number)
            return 2;
        struct js_place at = {
            .block = s->blocks[*index], .slots = s->blocks[*index]->slots, .index = *index};
        struct js_msg msg;
        uint32_t k = js_slots_lower(at.slots, seq);
        while (k < at.slots->count && !js_slot_live(at.slots, k))
            k++;
        if (k >= at.slots->count)
            return 1;
        at.slot = k;
        seq = js_place_seq(&at) + 1;
        r = js_stream_slot_msg(s, &at, true, &msg);
        if (r == JS_ERR_BAD_MSG)
            continue;
        if (r < 0)
            return r;
        js_time_t time = msg.time;
        bool never = s->config.allow_msg_ttl && is_never(&msg);
        js_msg_release(&msg);
        if (time > cutoff) {
            if (!*ret_next || time < *ret_next)
                *ret_next = time;
            return 0;
        }
        if (never)
            continue;
        r = expire_one(s, w, seq - 1, false, gone);
        if (r < 0)
            return r;
    }
}

static int expire_age(struct js_stream *s, struct js_writer *w, js_time_t now, struct js_gone *gone,
                      js_time_t *ret_next) {
    js_time_t cutoff = now - s->config.max_age;
    bool one_by_one = s->config.delete_marker_ttl > 0;
    int r = 1;

    for (size_t i = 0; i < s->num_blocks && r > 0;) {
        struct js_block *b = s->blocks[i];
        r = 1;
        if (b->msgs == 0) {
            i++;
            continue;
        }
        /* reach_time ascends, but the newest message may be in front of it. */
        if (!one_by_one && b->max_time && b->max_time <= cutoff &&
            !(s->config.allow_msg_ttl && (b->ttls || b->uncounted & JS_COUNTED_TTLS))) {
            r = js_drop_block_msgs(s, i, gone);
            r = r < 0 ? r : 1;
            i++;
            continue;
        }
        r = age_block(s, w, &i, cutoff, gone, ret_next);
        i += r == 1;
    }
    js_move_first(s);
    if (r >= 0)
        r = js_retire_empty(s, w);
    return r < 0 ? r : 0;
}

static int run(struct js_stream *s, struct js_writer *w, js_time_t now, struct js_gone *gone) {
    js_time_t next = 0;
    int r = s->config.allow_msg_ttl ? js_ttl_load(s) : 0;

    if (r == 0 && s->config.allow_msg_schedules)
        r = js_sched_load(s);
    bool late = js_ttl_was_late(s);
    if (js_sched_was_late(s) || late)
        js_writer_outdated(s, w);
    if (r == 0 && !s->expire_looked && js_stream_over_limits(s))
        r = js_limits_all(s, w, gone);
    if (r == 0 && s->config.max_age > 0)
        r = expire_age(s, w, now, gone, &next);
    js_seq_t seq;
    while (r == 0 && (seq = js_ttl_due(s, now)) != 0) {
        r = expire_ttl(s, w, seq, now, gone);
        /* What could not leave is tried again. */
        if (r == 0)
            js_ttl_drop(s);
    }
    if (r == 0 && s->config.allow_msg_schedules)
        r = js_sched_run(s, w, now, gone);
    s->expire_looked = true;
    s->expire_next = INT64_MAX;
    s->expire_retry = r < 0 ? now + RETRY : 0;
    if (s->config.max_age > 0 && r < 0) {
        s->expire_next = s->expire_retry;
    } else if (s->config.max_age > 0) {
        s->expire_next = next ? next + s->config.max_age : now + s->config.max_age;
        if (s->expire_next < now + FLOOR)
            s->expire_next = now + FLOOR;
    }
    return r;
}

int js_stream_expire_due(struct js_stream *s, js_time_t now) {
    struct js_gone gone = {0};
    struct js_writer *w;

    pthread_rwlock_wrlock(&s->lock);
    js_seq_t before = s->last_seq;
    bool due = concerned(s) && (has_times(s) || js_stream_over_limits(s));
    int r = due ? js_writer_open(s, &w) : JS_ERR_READ_ONLY;
    if (r < 0) {
        /* What cannot be written does not expire, and nobody asked for anything. Whatever else went
         * wrong is tried again. */
        if (r == JS_ERR_READ_ONLY) {
            s->expire_next = INT64_MAX;
            s->expire_looked = true;
        } else {
            s->expire_retry = now + RETRY;
        }
        pthread_rwlock_unlock(&s->lock);
        return r == JS_ERR_READ_ONLY ? 0 : r;
    }
    r = run(s, w, now, &gone);
    if (r == JS_ERR_STALE && s->unread) {
        /* index.db was wrong about a block. */
        r = js_stream_scan_locked(s);
        if (r == 0)
            r = run(s, w, now, &gone);
    }
    js_seq_t last = s->last_seq;
    r = js_stream_end_removal(s, r, &gone);
    if (last > before)
        js_stream_notify(s, before + 1, last - before);
    return r;
}
