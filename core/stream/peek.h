/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for messages of one subject, or for one sequence, in blocks that nobody has read yet, without
 * making their slots: a walk from record to record that compares subjects. Nothing but what is found is verified by its
 * checksum; that the walk missed nothing follows from the sums that index.db has of the block. Cheap
 * enough for the first few questions about single subjects after an opening; who asks more makes the
 * stream be scanned, because chains answer in no time.
 */
#ifndef JS_PEEK_H
#define JS_PEEK_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/jetstore.h"

#define JS_PEEKED 64

/* What was seen last, and how much was read for it in all. */
struct js_peek {
    pthread_mutex_t mu;
    /* Blocks that were read as a whole after one record was looked for in them (a hint). */
    atomic_uint in_vain;
    /* guarded by mu: */
    uint64_t read;
    uint8_t *window;
    uint32_t sid, number, version; /* number 0: nothing is known */
    uint64_t removals;
    size_t n;
    struct js_peeked {
        js_seq_t seq;
        uint32_t off, len;
    } list[JS_PEEKED]; /* live messages of the subject in the block, ascending */
};

void js_peek_init(struct js_peek *peek);
void js_peek_done(struct js_peek *peek, const struct js_env *env);

/*
 * The first message of a subject with sequence >= seq (js_peek_last: its newest). 1; 0: there is none;
 * JS_NEED_SCAN: this cannot be told so; NOMEM, IO. The stream has unread blocks; its lock is held.
 */
int js_peek_next(struct js_stream *stream, uint32_t sid, js_seq_t seq, struct js_msg *ret_msg);
int js_peek_last(struct js_stream *stream, uint32_t sid, struct js_msg *ret_msg);
/* Is this an unread, plain block that nothing was asked of? Then js_peek_seq finds the message of a
 * sequence by reading only the bytes before it. 1; 0: look for it the long way; NOMEM,
 * TOO_MANY_FILES. Lock held. */
struct js_block;
bool js_may_peek(struct js_stream *stream, const struct js_block *block);
int js_peek_seq(struct js_stream *stream, js_seq_t seq, struct js_msg *ret_msg);

#endif
