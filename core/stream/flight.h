/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing while the buffer is filled on: of a stream that flushes asynchronously a thread of its own puts
 * the part that is complete into the file (docs/write-design.md). At most one part is in the air; it is of
 * the newest block, and nobody but that thread touches the file until it has landed. Before anything that
 * depends on the file (another block, a sync, a flush, a rewrite) it is landed: js_writer_flush does.
 *
 * Who reads gets those bytes from the buffer until they have landed. What is in the air counts as told to
 * callers: if it cannot be written it stays in the buffer, as after any flush that failed.
 *
 * All of this needs the stream's lock for writing.
 */
#ifndef JS_FLIGHT_H
#define JS_FLIGHT_H

#include "core/stream/writer.h"

#define JS_FLIGHT_BYTES (256u * 1024)

/* May this stream's bytes be written by another thread? */
bool js_flight_may(const struct js_stream *s, const struct js_writer *w);
/* Lands the part before, and sends off all that is in the buffer. Without memory or a thread for it that is
 * written here and now. The errors of js_writer_flush. */
int js_flight_begin(struct js_stream *s, struct js_writer *w);
/* Waits until what is in the air is in the file. The error of its writing: then it is still in the buffer,
 * and the next flush tries again. */
int js_flight_land(struct js_stream *s, struct js_writer *w);
/* Lets the bytes that are in the file go from the front of the buffer; nothing is in the air. */
void js_flight_shift(struct js_writer *w);
/* Waits for what is in the air, and ends the thread. */
void js_flight_free(struct js_stream *s, struct js_writer *w);

#endif
