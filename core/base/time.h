/* SPDX-License-Identifier: Apache-2.0 */
/* Times as text (the public functions are in jetstore.h). */
#ifndef JS_TIME_H
#define JS_TIME_H

#include "core/jetstore.h"

/* Exactly RFC 3339 with a zone, as servers store times; more than nine digits of fraction are cut.
 * INVAL, also for times outside 1677..2262. */
int js_time_parse_rfc3339(const char *text, size_t len, js_time_t *ret_time);

#endif
