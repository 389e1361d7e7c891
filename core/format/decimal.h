/* SPDX-License-Identifier: Apache-2.0 */
/* Whole numbers of any length in decimal, for counters. */
#ifndef JS_DECIMAL_H
#define JS_DECIMAL_H

#include "core/base/buf.h"

/* An optional sign, and digits. */
bool js_decimal_valid(const char *text, size_t len);
/* Appends a + b, without leading zeros or plus. Both are valid. */
void js_decimal_add(const char *a, size_t a_len, const char *b, size_t b_len, struct js_buf *out);

#endif
