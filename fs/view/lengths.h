/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the messages of a scope in order and tells how long each is when rendered. */
#ifndef JF_VIEW_LENGTHS_H
#define JF_VIEW_LENGTHS_H

#include "fs/view/view.h"

#define JF_LENGTHS_BATCH 256

struct jf_lengths {
    struct js_stream *stream;       /* borrowed */
    const struct js_filter *filter; /* borrowed */
    const struct jf_render *render; /* borrowed */
    struct js_iter *iter;           /* when lengths need the content */
    bool by_content;
    js_seq_t next;
    js_seq_t seqs[JF_LENGTHS_BATCH]; /* when they do not */
    size_t n, i;
    void (*damage)(void *ctx, js_seq_t seq); /* set by the caller if wanted */
    void *damage_ctx;
};

/* by_content: render each message; else its facts from the index are enough. */
int jf_lengths_open(struct jf_lengths *lengths, struct js_stream *stream,
                    const struct js_filter *filter, const struct jf_render *render, bool by_content,
                    js_seq_t from);
/* The next readable message up to last: 1, or 0 at the end, or an error. */
int jf_lengths_next(struct jf_lengths *lengths, js_seq_t last, js_seq_t *ret_seq,
                    uint64_t *ret_length);
void jf_lengths_close(struct jf_lengths *lengths);

#endif
