/* SPDX-License-Identifier: Apache-2.0 */
/* The configured limits while storing; lock held for writing. */
#ifndef JS_STREAM_LIMITS_H
#define JS_STREAM_LIMITS_H

#include "core/stream/remove.h"

/* Before storing: what a discard-new stream refuses. sid JS_NO_ID: a new subject. */
int js_limits_check(struct js_stream *s, uint32_t sid, uint32_t len, bool rollup);
/* After a message was put: its subject's oldest leave. */
int js_limits_subject(struct js_stream *s, struct js_writer *w, const struct js_new_msg *m,
                      struct js_gone *gone);
/* After storing: the stream's oldest leave. */
int js_limits_total(struct js_stream *s, struct js_writer *w, struct js_gone *gone);
/* All of them, after the configuration changed. */
int js_limits_all(struct js_stream *s, struct js_writer *w, struct js_gone *gone);

#endif
