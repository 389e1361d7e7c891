/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What headers ask for when a message is published, and what time makes due in a stream: duplicate
 * window (dedup.c), expected positions and rollup (rules.c), TTLs (ttl.c), age (expire.c). lock
 * held for writing unless said otherwise.
 */
#ifndef JS_RULES_H
#define JS_RULES_H

#include "core/stream/remove.h"

#define JS_TTL_NEVER INT64_C(-1)

/* What a message's headers say. */
struct js_verdict {
    const char *id; /* Nats-Msg-Id, borrowed; NULL if none */
    size_t id_len;
    int64_t ttl; /* seconds, 0 = none, JS_TTL_NEVER */
    char rollup; /* 's'ubject, 'a'll, 0 */
    bool duplicate;
    bool schedule;
    /* Headers and payload to store instead, if they hold any; js_verdict_done() */
    struct js_buf own, count;
    js_seq_t first; /* of a duplicate */
    js_time_t first_time;
};

/* Before a message with headers is stored. js_verdict_done() afterwards, in any case. */
int js_rules_check(struct js_stream *s, const struct js_new_msg *m, js_time_t now,
                   struct js_verdict *ret);
static inline void js_verdict_done(struct js_verdict *v) {
    if (v->own.data)
        js_buf_done(&v->own);
    if (v->count.data)
        js_buf_done(&v->count);
}
/* After it was put: m->ret_seq, m->ret_time are set. */
int js_rules_stored(struct js_stream *s, struct js_writer *w, const struct js_new_msg *m,
                    const struct js_verdict *v, struct js_gone *gone);
void js_sched_plain(struct js_stream *s, const struct js_new_msg *m);
/* A message without headers was put. */
static inline void js_rules_stored_plain(struct js_stream *s, const struct js_new_msg *m) {
    s->last_id_len = 0;
    s->last_id_known = true;
    if (s->sched)
        js_sched_plain(s, m);
}
/* The stream's end moved back: what was known of messages is forgotten. */
void js_rules_reset(struct js_stream *s);
void js_rules_done(struct js_stream *s);

/* When expiry is due next (wall clock, 0 = never), and doing it; no lock held. */
js_time_t js_stream_expire_deadline(struct js_stream *s);
int js_stream_expire_due(struct js_stream *s, js_time_t now);

/* ---- dedup.c -----------------------------------------------------------------------------------
 */

struct js_dedup;
/* 1 with *ret_seq: the id was stored within the window. */
int js_dedup_find(struct js_stream *s, const char *id, size_t len, js_time_t now, js_seq_t *ret_seq,
                  js_time_t *ret_time);
int js_dedup_add(struct js_stream *s, const char *id, size_t len, js_seq_t seq, js_time_t time);
void js_dedup_free(struct js_stream *s);
/* Nats-Msg-Id of the newest message; *ret_len 0: none. Valid until the next store. */
int js_dedup_last(struct js_stream *s, const char **ret_id, size_t *ret_len);

/* ---- counter.c ---------------------------------------------------------------------------------
 */

/* In a stream of counters: the payload that a message with this increment gets. */
int js_counter_check(struct js_stream *s, const struct js_new_msg *m, const char *incr, size_t len,
                     struct js_buf *ret);

/* ---- ttl.c -------------------------------------------------------------------------------------
 */

struct js_ttl;
/* A TTL is no shorter than a delete marker's: true if it was. */
static inline bool js_ttl_raise(const struct js_stream *s, int64_t *seconds) {
    int64_t marker = s->config.delete_marker_ttl / INT64_C(1000000000);
    if (*seconds <= 0 || *seconds >= marker || s->config.max_msgs_per_subject == 1)
        return false;
    *seconds = marker;
    return true;
}
/* "5s", "1h30m", "90", "never": JS_TTL_NEVER or seconds; BAD_HEADER. */
int js_ttl_parse(const char *text, size_t len, int64_t *ret_seconds);
/* Reads thw.db, and the headers of what it does not cover. Cheap when done before. */
int js_ttl_load(struct js_stream *s);
int js_ttl_add(struct js_stream *s, js_seq_t seq, js_time_t expires);
/* The soonest expiry; 0 = none. */
js_time_t js_ttl_soonest(const struct js_stream *s);
/* The sequence of the one that is due first; 0 if none is. It stays until js_ttl_drop(). */
js_seq_t js_ttl_due(const struct js_stream *s, js_time_t now);
/* True if only thw.db says so of the one that is due first. */
bool js_ttl_doubtful(const struct js_stream *s);
/* Forgets the soonest one. What is added meanwhile is due later. */
void js_ttl_drop(struct js_stream *s);
/* When a message is to leave by its headers; 0 = never, INT64_MAX = beyond all times. */
js_time_t js_ttl_of(const struct js_msg *msg);
/* True once after headers were read that thw.db did not cover: writing it spares that the next
 * time. */
bool js_ttl_was_late(struct js_stream *s);
/* Writes thw.db (beside index.db). */
int js_ttl_write(struct js_stream *s);
void js_ttl_free(struct js_stream *s);

/* ---- uncovered.c --------------------------------------------------------------------------------
 */

struct js_small_head;
/* Reads thw.db or sched.db. NO_ENTRY: it is not there, or of no use. */
int js_uncovered_file(struct js_stream *s, const char *name, struct js_buf *ret_file);
/* The first sequence that it does not cover; 0: nothing of it counts. */
js_seq_t js_uncovered_from(const struct js_stream *s, const struct js_small_head *head);

struct js_uncovered {
    js_seq_t from;            /* messages before it only count for their blocks */
    unsigned what;            /* JS_COUNTED_TTLS or _SCHEDULES */
    bool (*plain)(void *ctx); /* NULL or false: messages without headers do not matter */
    /* 1: it has such a header. matters: it is not before `from`. */
    int (*fn)(void *ctx, const struct js_msg *msg, bool matters);
    void *ctx;
    bool looked; /* afterwards: a block was read */
};
/* 0, NEED_SCAN, error. */
int js_uncovered_walk(struct js_stream *s, struct js_uncovered *u);
/* Does what may turn out to need a scan. */
int js_uncovered_load(struct js_stream *s, int (*load)(struct js_stream *s));

/* ---- schedule.c --------------------------------------------------------------------------------
 */

struct js_sched;
struct js_hdr_text {
    const char *at; /* borrowed; NULL: there is no such header */
    size_t len;
};
/* Looks at the schedule headers of a message that is published. *ret_schedule: it is a schedule. */
int js_sched_check(struct js_stream *s, const struct js_new_msg *m, bool *ret_schedule);
/* A message with headers is in the stream: it makes, moves or ends a schedule. *ret_purge: the
 * message of a schedule that is over, to be removed; 0 = none. */
int js_sched_note(struct js_stream *s, struct js_block *b, const struct js_new_msg *m,
                  js_seq_t *ret_purge);
/* Reads sched.db, and the headers of what it does not cover. Cheap when done before. */
int js_sched_load(struct js_stream *s);
/* When one may be due; 0 = none. */
js_time_t js_sched_soonest(const struct js_stream *s);
/* The message of a subject's schedule; 0 = none. */
js_seq_t js_sched_of(const struct js_stream *s, const char *subject, size_t len);
/* Stores what is due. */
int js_sched_run(struct js_stream *s, struct js_writer *w, js_time_t now, struct js_gone *gone);
bool js_sched_was_late(struct js_stream *s);
/* Writes sched.db (beside index.db). */
int js_sched_write(struct js_stream *s);
void js_sched_free(struct js_stream *s);

/* Stores what a schedule made, within the limits (append.c). */
int js_stream_store_made(struct js_stream *s, struct js_writer *w, struct js_new_msg *m,
                         js_time_t now, const struct js_verdict *v, struct js_gone *gone);
/* True if the stream is configured to take a subject (append.c). */
bool js_stream_takes(const struct js_stream *s, const char *subject, size_t len);
/* The time that a TTL ends, as far away as can be said. */
static inline js_time_t js_ttl_end(js_time_t from, int64_t seconds) {
    js_time_t ns, end;
    if (__builtin_mul_overflow(seconds, INT64_C(1000000000), &ns) ||
        __builtin_add_overflow(from, ns, &end))
        return INT64_MAX;
    return end;
}

/* Value of a header (exact name), or false. */
bool js_hdr_get(const uint8_t *hdr, size_t hdr_len, const char *name, const char **ret_value,
                size_t *ret_len);

#endif
