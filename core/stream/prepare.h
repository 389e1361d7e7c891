/* SPDX-License-Identifier: Apache-2.0 */
/* Before the first write (docs/write-design.md). */
#ifndef JS_PREPARE_H
#define JS_PREPARE_H

struct js_stream;
struct js_writer;

/* lock held for writing; the writer is new and holds no block. READ_ONLY with stream->unwritable set
 * when the stream must not be written. */
int js_stream_prepare(struct js_stream *s, struct js_writer *w);

#endif
