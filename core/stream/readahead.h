/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that reads the block after the one a long scan is in: bytes into the cache, decoded, and
 * every record verified, so that the scan only copies. It is the scan's own and ends with it.
 */
#ifndef JS_READAHEAD_H
#define JS_READAHEAD_H

#include <pthread.h>

#include "core/jetstore.h"

struct js_readahead;

/* Messages loaded one by one in order, by whoever: the same is done for them. */
struct js_walk {
    pthread_mutex_t mu;
    pthread_mutex_t loading; /* whole blocks for those who go on in order: read by one at a time. Held
                              * only by who has the stream's lock for reading */
    /* guarded by mu: */
    struct js_readahead *ahead; /* NULL until it pays */
    size_t asked;               /* index of the block that was asked for last */
};

/* How far who reads a block message by message has come: begun or ended, forward or backward. */
enum js_walk_at { JS_WALK_INSIDE, JS_WALK_BEGUN, JS_WALK_BEGUN_BACK, JS_WALK_ENDED, JS_WALK_ENDED_BACK };

void js_walk_init(struct js_walk *walk);
/* Ends the thread; no lock held. */
void js_walk_done(struct js_walk *walk);
/* Someone came so far (not inside) in the block of this index, and needs no subject ids if bare. Lock
 * held for reading. */
void js_walk_on(struct js_stream *stream, size_t block, enum js_walk_at where, bool bare);

/* Who looks for matches came from one block into a later one. Lock held for reading. */
void js_walk_over(struct js_stream *stream, size_t from, size_t to);

/* Borrows the stream, which must outlive it. NOMEM, also when no thread could be had. */
int js_readahead_new(struct js_stream *stream, struct js_readahead **ret_ahead);
/* Asks for the block that holds the first message with sequence >= seq; replaces what was asked for
 * and not begun. bare: its slots may be. Does not wait. May be called with the stream's lock held for
 * reading. */
void js_readahead_want(struct js_readahead *ahead, js_seq_t seq, bool bare);
/* Waits until the bytes of what was asked for last are in the cache (or cannot be had): reading them
 * a second time would take longer. Must not be called with a lock of the stream held. */
void js_readahead_settle(struct js_readahead *ahead);
/* Ends the thread; waits until it has finished at most one piece of its work. Must not be called
 * with the stream's lock held for writing. NULL is fine. */
void js_readahead_free(struct js_readahead *ahead);

#endif
