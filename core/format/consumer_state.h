/* SPDX-License-Identifier: Apache-2.0 */
/* o.dat: a consumer's state (docs/disk-format.md "Consumer state"), versions 1 and 2. */
#ifndef JS_CONSUMER_STATE_H
#define JS_CONSUMER_STATE_H

#include "core/base/buf.h"
#include "core/jetstore.h"

struct js_consumer_redelivered {
    js_seq_t stream_seq;
    uint64_t count;
};

struct js_consumer_state {
    const struct js_env *env;
    uint64_t delivered_consumer, delivered_stream;
    uint64_t floor_consumer, floor_stream;
    struct js_pending *pending; /* ascending stream_seq; redelivered filled in */
    size_t num_pending;
    struct js_consumer_redelivered *redelivered; /* ascending */
    size_t num_redelivered;
};

/* Errors: CORRUPT, UNKNOWN_FORMAT (version), NOMEM. */
int js_consumer_state_decode(const struct js_env *env, const uint8_t *in, size_t len,
                             struct js_consumer_state *ret_state);
/* Version 2; now is the base time. */
int js_consumer_state_encode(const struct js_consumer_state *state, js_time_t now,
                             struct js_buf *out);
void js_consumer_state_done(struct js_consumer_state *state);

#endif
