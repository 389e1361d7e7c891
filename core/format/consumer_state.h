/* SPDX-License-Identifier: Apache-2.0 */
/* o.dat: a consumer's state (docs/disk-format.md "Consumer state"), versions 1 and 2. The state
 * itself and its decoder are public (core/jetstore_consumer.h). */
#ifndef JS_CONSUMER_STATE_H
#define JS_CONSUMER_STATE_H

#include "core/base/buf.h"
#include "core/base/bytes.h"
#include "core/jetstore.h"

/* Version 2; now is the base time. */
int js_consumer_state_encode(const struct js_consumer_state *state, js_time_t now,
                             struct js_buf *out);

/* ---- encoding in pieces, for who keeps a state in another form: begin, pending ones, the number
 * of counts (js_state_put), counts.
 * ------------------------------------------------------------------- */

#define JS_STATE_MAX_UV 10 /* the longest form of one number */

struct js_state_writer {
    uint8_t *p; /* where the next number goes */
    uint64_t floor_consumer, floor_stream;
    int64_t base; /* seconds */
};

/* Makes room for everything and writes the head (of head, only the four sequences count). At the
 * end out->len is set from w->p. NOMEM. */
int js_state_begin(struct js_state_writer *w, const struct js_consumer_state *head,
                   size_t num_pending, size_t num_redelivered, js_time_t now, struct js_buf *out);

static inline void js_state_put(struct js_state_writer *w, uint64_t v) {
    w->p += js_put_uv(w->p, v);
}

static inline void js_state_put_signed(struct js_state_writer *w, int64_t v) {
    js_state_put(w, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

static inline void js_state_put_pending(struct js_state_writer *w, js_seq_t seq, uint64_t dseq,
                                        js_time_t time) {
    js_state_put(w, seq - w->floor_stream);
    js_state_put(w, dseq - w->floor_consumer);
    js_state_put_signed(w, w->base - time / INT64_C(1000000000));
}

static inline void js_state_put_count(struct js_state_writer *w, js_seq_t seq, uint64_t count) {
    js_state_put(w, seq - w->floor_stream);
    js_state_put(w, count);
}

#endif
