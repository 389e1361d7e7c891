/* SPDX-License-Identifier: Apache-2.0 */
/* Durations as users write them. */
#ifndef JF_VIEW_DURATION_H
#define JF_VIEW_DURATION_H

#include "core/jetstore.h"

/* "90" (seconds), "250ms", "1m30s", "1.5h": units ns, us, ms, s, m, h, d. -EINVAL. */
int jf_duration_parse(const char *text, js_time_t *ret_ns);

#endif
