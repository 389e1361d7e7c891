/* SPDX-License-Identifier: Apache-2.0 */
/* What the consumers of a stream with retention by interest want. */
#ifndef JS_INTEREST_H
#define JS_INTEREST_H

#include "core/stream/stream.h"

/* Does any consumer select this subject? The stream's lock is held for writing. NOMEM ... */
int js_interest_wants(struct js_stream *stream, const char *subject, size_t len, bool *ret_yes);
/* A consumer was made, changed or deleted. Takes the lock. */
void js_interest_forget(struct js_stream *stream);
/* Frees what is known. */
void js_interest_done(struct js_stream *stream);

#endif
