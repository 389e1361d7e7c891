/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building JSON objects with jansson without a check after every member: a failure (no memory) is
 * remembered and comes out at the end.
 */
#ifndef JF_VIEW_JSON_BUILD_H
#define JF_VIEW_JSON_BUILD_H

#include <jansson.h>
#include <stdbool.h>

#include "core/jetstore.h"

struct jf_json {
    json_t *object; /* NULL after a failure to make it */
    bool failed;
};

struct jf_json jf_json_object(void);
/* Bytes that are not UTF-8 become U+FFFD. */
void jf_json_text(struct jf_json *json, const char *name, const char *text);
/* Values above INT64_MAX (only damage makes them) are shown as INT64_MAX. */
void jf_json_number(struct jf_json *json, const char *name, uint64_t value);
/* RFC 3339; null if the time is 0. */
void jf_json_time(struct jf_json *json, const char *name, js_time_t time);
void jf_json_bool(struct jf_json *json, const char *name, bool value);
/* Takes child, which may be NULL (a failure). */
void jf_json_child(struct jf_json *json, const char *name, json_t *child);
/* Takes the object of child and its failure. */
void jf_json_nest(struct jf_json *json, const char *name, struct jf_json *child);
void jf_json_append(struct jf_json *json, json_t *array, struct jf_json *element);
/* Text, indented, LF at the end (given, free); frees the object. 0 or NOMEM. */
int jf_json_finish(struct jf_json *json, char **ret_text, size_t *ret_len);
/* Frees the object without a text. */
void jf_json_drop(struct jf_json *json);

#endif
