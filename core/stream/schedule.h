/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message schedules (allow_msg_schedules): a message with the header Nats-Schedule waits on its subject
 * and makes messages for Nats-Schedule-Target when it is time. One schedule a subject; a plain message
 * on the subject ends it. lock held for writing.
 */
#ifndef JS_SCHEDULE_H
#define JS_SCHEDULE_H

#include "core/stream/rules.h"

struct js_sched;

/* The next time after `after` that a schedule's text names; *ret_once: the only one. BAD_HEADER. */
int js_schedule_next(const char *text, size_t len, js_time_t after, js_time_t *ret_next,
                     bool *ret_once);
/* Checks a message's schedule headers and gives the header block to store: the same, and
 * "Nats-Rollup: sub", in s->sched_hdr. BAD_HEADER, NOT_PERMITTED, SUBJECT, NOT_BOUND. */
int js_schedule_check(struct js_stream *s, const struct js_new_msg *m, js_time_t now,
                      js_time_t *ret_next);
/* A message was stored: a schedule (next != 0), one that a schedule made, or any other. */
int js_schedule_stored(struct js_stream *s, struct js_writer *w, const struct js_new_msg *m,
                       js_time_t next);
/* Reads sched.db, and the headers of what it does not cover. Cheap when done before. */
int js_schedule_load(struct js_stream *s);
/* When the next one fires; 0 = none. */
js_time_t js_schedule_soonest(const struct js_stream *s);
/* Fires what is due: stores the messages. */
int js_schedule_run(struct js_stream *s, struct js_writer *w, js_time_t now, struct js_gone *gone);
/* Writes sched.db (beside index.db). */
int js_schedule_write(struct js_stream *s);
void js_schedule_free(struct js_stream *s);

#endif
