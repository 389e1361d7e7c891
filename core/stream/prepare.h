/* SPDX-License-Identifier: Apache-2.0 */
/* Before the first write (docs/write-design.md). */
#ifndef JS_PREPARE_H
#define JS_PREPARE_H

#include "core/stream/stream.h"

struct js_writer;

/* lock held for writing; the writer is new and holds no block. READ_ONLY with stream->unwritable
 * set when the stream must not be written. */
int js_stream_prepare(struct js_stream *s, struct js_writer *w);
/* The same for damage that is seen when a stream that is written to is read as a whole: does that,
 * if some of it was not read yet, and mends it. What takes blocks as a whole begins with this. */
int js_stream_know_all(struct js_stream *s, struct js_writer *w);
bool js_stream_needs_mending(const struct js_stream *s);
/* Mends if that was found to be necessary. */
int js_stream_mend(struct js_stream *s, struct js_writer *w);
/* Finishes a full purge that a server began, or takes it back (interrupted.c). *ret_changed: what
 * was read from the stream is not what lies there now. */
int js_settle_purge(struct js_stream *s, bool *ret_changed);

#endif
