/* SPDX-License-Identifier: Apache-2.0 */
/* Taking messages out of a stream; lock held for writing. */
#ifndef JS_REMOVE_H
#define JS_REMOVE_H

#include "core/stream/writer.h"

/* Removes the oldest live message of a subject, or of the stream (JS_NO_ID), because of a limit. 1,
 * or 0 if there is none. */
int js_remove_oldest(struct js_stream *s, struct js_writer *w, uint32_t sid);

/* js_stream_remove_msg() for messages that consumers are done with: deny_delete does not matter. Takes
 * the lock itself. */
int js_stream_remove_acked(struct js_stream *stream, js_seq_t seq);

#endif
