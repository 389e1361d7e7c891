/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that reads the block after the one a long scan is in: bytes into the cache, decoded, and
 * every record verified, so that the scan only copies. It is the scan's own and ends with it.
 */
#ifndef JS_READAHEAD_H
#define JS_READAHEAD_H

#include "core/jetstore.h"

struct js_readahead;

/* Borrows the stream, which must outlive it. NOMEM, also when no thread could be had. */
int js_readahead_new(struct js_stream *stream, struct js_readahead **ret_ahead);
/* Asks for the block that holds the first message with sequence >= seq; replaces what was asked for
 * and not begun. Does not wait. May be called with the stream's lock held for reading. */
void js_readahead_want(struct js_readahead *ahead, js_seq_t seq);
/* Waits until the bytes of what was asked for last are in the cache (or cannot be had): reading them
 * a second time would take longer. Must not be called with a lock of the stream held. */
void js_readahead_settle(struct js_readahead *ahead);
/* Ends the thread; waits until it has finished at most one piece of its work. Must not be called
 * with the stream's lock held for writing. NULL is fine. */
void js_readahead_free(struct js_readahead *ahead);

#endif
