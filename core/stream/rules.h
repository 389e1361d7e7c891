/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What headers ask for when a message is published, and what time makes due in a stream: duplicate
 * window (dedup.c), expected positions and rollup (rules.c), TTLs (ttl.c), age (expire.c). lock held for
 * writing unless said otherwise.
 */
#ifndef JS_RULES_H
#define JS_RULES_H

#include "core/stream/remove.h"

#define JS_TTL_NEVER INT64_C(-1)

/* What a message's headers say. */
struct js_verdict {
    const char *id; /* Nats-Msg-Id, borrowed; NULL if none */
    size_t id_len;
    int64_t ttl;    /* seconds, 0 = none, JS_TTL_NEVER */
    char rollup;    /* 's'ubject, 'a'll, 0 */
    bool duplicate;
    js_time_t schedule; /* when it fires first; 0 = no schedule. s->sched_hdr is the header then */
    js_seq_t first; /* of a duplicate */
    js_time_t first_time;
};

/* Before a message with headers is stored. */
int js_rules_check(struct js_stream *s, const struct js_new_msg *m, js_time_t now,
                   struct js_verdict *ret);
/* After it was put: m->ret_seq, m->ret_time are set. */
int js_rules_stored(struct js_stream *s, struct js_writer *w, const struct js_new_msg *m,
                    const struct js_verdict *v, struct js_gone *gone);
/* A message without headers was put. */
void js_rules_end_schedule(struct js_stream *s, struct js_writer *w, const struct js_new_msg *m);
static inline void js_rules_stored_plain(struct js_stream *s, struct js_writer *w,
                                         const struct js_new_msg *m) {
    s->last_id_len = 0;
    s->last_id_known = true;
    if (s->sched)
        js_rules_end_schedule(s, w, m);
}
/* The stream's end moved back: what was known of messages is forgotten. */
void js_rules_reset(struct js_stream *s);
void js_rules_done(struct js_stream *s);

/* When expiry is due next (wall clock, 0 = never), and doing it; no lock held. */
js_time_t js_stream_expire_deadline(struct js_stream *s);
int js_stream_expire_due(struct js_stream *s, js_time_t now);

/* ---- dedup.c ----------------------------------------------------------------------------------- */

struct js_dedup;
/* 1 with *ret_seq: the id was stored within the window. */
int js_dedup_find(struct js_stream *s, const char *id, size_t len, js_time_t now, js_seq_t *ret_seq,
                  js_time_t *ret_time);
int js_dedup_add(struct js_stream *s, const char *id, size_t len, js_seq_t seq, js_time_t time);
void js_dedup_free(struct js_stream *s);
/* Nats-Msg-Id of the newest message; *ret_len 0: none. Valid until the next store. */
int js_dedup_last(struct js_stream *s, const char **ret_id, size_t *ret_len);

/* ---- ttl.c ------------------------------------------------------------------------------------- */

struct js_ttl;
/* "5s", "1h30m", "90", "never": JS_TTL_NEVER or seconds; BAD_HEADER. */
int js_ttl_parse(const char *text, size_t len, int64_t *ret_seconds);
/* Reads thw.db, and the headers of what it does not cover. Cheap when done before. */
int js_ttl_load(struct js_stream *s);
int js_ttl_add(struct js_stream *s, js_seq_t seq, js_time_t expires);
/* The soonest expiry; 0 = none. */
js_time_t js_ttl_soonest(const struct js_stream *s);
/* Takes out one that is due: its sequence, 0 if none is. */
js_seq_t js_ttl_pop(struct js_stream *s, js_time_t now);
/* Writes thw.db (beside index.db). */
int js_ttl_write(struct js_stream *s);
void js_ttl_free(struct js_stream *s);

/* Value of a header (exact name), or false. */
bool js_hdr_get(const uint8_t *hdr, size_t hdr_len, const char *name, const char **ret_value,
                size_t *ret_len);

#endif
