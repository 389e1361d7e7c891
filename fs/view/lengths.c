/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two ways to the lengths of rendered messages: LOG and TSV lengths follow from what the index
 * knows, in batches of sequences and without touching a block; JSONL has to render each message.
 */
#include "fs/view/lengths.h"

int jf_lengths_open(struct jf_lengths *lengths, struct js_stream *stream,
                    const struct js_filter *filter, const struct jf_render *render, bool by_content,
                    js_seq_t from) {
    lengths->stream = stream;
    lengths->filter = filter;
    lengths->render = render;
    lengths->iter = NULL;
    lengths->by_content = by_content;
    lengths->next = from;
    lengths->n = lengths->i = 0;
    lengths->damage = NULL;
    lengths->damage_ctx = NULL;
    return by_content ? js_iter_open(stream, filter, &lengths->iter) : 0;
}

static int next_by_content(struct jf_lengths *lengths, js_seq_t last, js_seq_t *ret_seq,
                           uint64_t *ret_length) {
    while (lengths->next <= last) {
        struct js_msg msg;
        int rc = js_iter_next(lengths->iter, lengths->next, &msg);

        if (rc == JS_ERR_EOF)
            return 0;
        if (rc < 0 && rc != JS_ERR_BAD_MSG)
            return rc;
        if (msg.seq > last)
            return 0;
        lengths->next = msg.seq + 1;
        if (rc == JS_ERR_BAD_MSG) {
            if (lengths->damage)
                lengths->damage(lengths->damage_ctx, msg.seq);
            continue;
        }
        *ret_seq = msg.seq;
        *ret_length = jf_render_length(lengths->render, &msg);
        return 1;
    }
    return 0;
}

static int next_by_index(struct jf_lengths *lengths, js_seq_t last, js_seq_t *ret_seq,
                         uint64_t *ret_length) {
    for (;;) {
        struct js_msg_stat stat;
        js_seq_t seq;
        int rc;

        if (lengths->i == lengths->n) {
            if (lengths->next > last)
                return 0;
            rc = js_stream_list_seqs(lengths->stream, lengths->filter, lengths->next, false,
                                     lengths->seqs, JF_LENGTHS_BATCH, &lengths->n);
            if (rc < 0)
                return rc;
            lengths->i = 0;
            if (lengths->n == 0)
                return 0;
        }
        seq = lengths->seqs[lengths->i];
        if (seq > last)
            return 0;
        lengths->i++;
        lengths->next = seq + 1;
        if (js_stream_stat_msg(lengths->stream, seq, &stat) < 0)
            continue; /* removed since it was listed */
        if (!jf_render_length_of_stat(lengths->render, &stat, ret_length))
            continue;
        *ret_seq = seq;
        return 1;
    }
}

int jf_lengths_next(struct jf_lengths *lengths, js_seq_t last, js_seq_t *ret_seq,
                    uint64_t *ret_length) {
    if (lengths->by_content)
        return next_by_content(lengths, last, ret_seq, ret_length);
    return next_by_index(lengths, last, ret_seq, ret_length);
}

void jf_lengths_close(struct jf_lengths *lengths) {
    js_iter_close(lengths->iter);
    lengths->iter = NULL;
}
