/* SPDX-License-Identifier: Apache-2.0 */
/* Subjects and filters: rules and matching (public functions are in jetstore.h). */
#ifndef JS_SUBJECT_H
#define JS_SUBJECT_H

#include "core/base/limits.h"
#include "core/jetstore.h"

/* Order of subjects and tokens: '.' sorts below every other byte, so that what lies below a prefix
 * stands together. <0, 0, >0. */
int js_subject_cmp(const char *a, size_t alen, const char *b, size_t blen);
/* Length of the literal tokens a filter begins with, with the dot after them if a wildcard
 * follows: "a.b.*" -> 4, "a.b" -> 3, ">" -> 0. *ret_literal: no wildcard at all. */
size_t js_filter_literal_prefix(const char *filter, size_t len, bool *ret_literal);
/* May a server have stored a message under it? Publishing is not as strict as the rules: a literal
 * "a.*", or a byte that a subject should not hold, gets through. */
bool js_subject_storable(const char *subject, size_t len);
/* True if some subject could match both filters. */
bool js_filters_overlap(const char *a, size_t alen, const char *b, size_t blen);
/* The name under which the directory of a stream or consumer is made or taken apart: a dot, the
 * name and an ending. Of a name that leaves no room for them the end gives way to its hash. */
void js_name_hidden(char ret[JS_MAX_NAME + 1], const char *name, const char *end);

#endif
