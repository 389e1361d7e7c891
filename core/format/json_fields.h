/* SPDX-License-Identifier: Apache-2.0 */
/* Typed fields of a JSON object, read with one check at the end. */
#ifndef JS_JSON_FIELDS_H
#define JS_JSON_FIELDS_H

#include <jansson.h>

#include "core/jetstore.h"

/* An absent or null field gives the default. The first field of a wrong type is kept in bad, and
 * gives the default too. */
struct js_fields {
    const json_t *object;
    const char *bad;
};

/* Parses text that must be one JSON object. CORRUPT with a sentence in ret_why (may be NULL), or
 * NOMEM. The object is given: json_decref. */
int js_fields_load(const char *json, size_t len, json_t **ret_object, char *ret_why,
                   size_t why_size);

/* The field, or NULL if absent or null. */
json_t *js_field(const struct js_fields *fields, const char *key);
/* Borrowed from the object. */
const char *js_field_str(struct js_fields *fields, const char *key, const char *otherwise);
int64_t js_field_int(struct js_fields *fields, const char *key, int64_t otherwise);
bool js_field_bool(struct js_fields *fields, const char *key);
/* A time; year 1 (a server's "no time") gives 0. */
js_time_t js_field_time(struct js_fields *fields, const char *key);
/* An array of strings, or NULL if absent or empty. */
const json_t *js_field_strings(struct js_fields *fields, const char *key);

/* Puts a sentence into ret_why, which may be NULL. */
__attribute__((format(printf, 3, 4))) void js_fields_why(char *ret_why, size_t why_size,
                                                         const char *format, ...);

#endif
