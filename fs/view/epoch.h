/* SPDX-License-Identifier: Apache-2.0 */
/* What view.c and reader.c share about a view; for nobody else. */
#ifndef JF_VIEW_EPOCH_H
#define JF_VIEW_EPOCH_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/view/parts.h"
#include "fs/view/view.h"

struct jf_view {
    atomic_uint refs;
    atomic_uint_fast64_t damaged;
    struct jf_scope *scope;
    struct jf_view_options options;
    uint64_t epoch;
    js_seq_t from;   /* first sequence of the epoch */
    bool by_content; /* lengths need the messages themselves */

    pthread_mutex_t lock; /* of what follows */
    bool known;           /* measured at least once */
    uint64_t removals;    /* the stream's (or block's) count when the epoch began */
    js_seq_t covered;     /* size, msgs, time are right up to this sequence */
    uint64_t size;
    uint64_t msgs;
    js_time_t time; /* of the last message */
    struct jf_parts parts;
};

/* The last sequence that the view covers now. */
js_seq_t jf_view_limit(const struct jf_view *view);
/* The message (and the byte of it) at an offset; 1, or 0 when the offset is at or past the end. */
int jf_view_map(struct jf_view *view, uint64_t off, js_seq_t *ret_seq, uint64_t *ret_byte);
/* Counts and tells of a damaged message that was left out. */
void jf_view_note_damage(struct jf_view *view, js_seq_t seq);

#endif
