/* SPDX-License-Identifier: Apache-2.0 */
/* o.dat: a consumer's state (docs/disk-format.md "Consumer state"), versions 1 and 2. The state itself
 * and its decoder are public (core/jetstore_consumer.h). */
#ifndef JS_CONSUMER_STATE_H
#define JS_CONSUMER_STATE_H

#include "core/base/buf.h"
#include "core/jetstore.h"

/* Version 2; now is the base time. */
int js_consumer_state_encode(const struct js_consumer_state *state, js_time_t now,
                             struct js_buf *out);

#endif
