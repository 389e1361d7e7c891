/* SPDX-License-Identifier: Apache-2.0 */
#include "core/format/json_fields.h"

#include <stdio.h>
#include <string.h>

#include "core/base/time.h"

void js_fields_why(char *ret_why, size_t why_size, const char *format, ...) {
    va_list ap;

    if (!ret_why || why_size == 0)
        return;
    va_start(ap, format);
    vsnprintf(ret_why, why_size, format, ap);
    va_end(ap);
}

int js_fields_load(const char *json, size_t len, json_t **ret_object, char *ret_why,
                   size_t why_size) {
    json_error_t error;
    json_t *root = json_loadb(json, len, 0, &error);

    if (!root) {
        if (json_error_code(&error) == json_error_out_of_memory)
            return JS_ERR_NOMEM;
        js_fields_why(ret_why, why_size, "no JSON: %s (byte %d)", error.text, error.position);
        return JS_ERR_CORRUPT;
    }
    if (!json_is_object(root)) {
        json_decref(root);
        js_fields_why(ret_why, why_size, "no JSON object");
        return JS_ERR_CORRUPT;
    }
    *ret_object = root;
    return 0;
}

static void note_bad(struct js_fields *fields, const char *key) {
    if (!fields->bad)
        fields->bad = key;
}

json_t *js_field(const struct js_fields *fields, const char *key) {
    json_t *v = json_object_get(fields->object, key);

    return json_is_null(v) ? NULL : v;
}

const char *js_field_str(struct js_fields *fields, const char *key, const char *otherwise) {
    json_t *v = js_field(fields, key);

    if (json_is_string(v))
        return json_string_value(v);
    if (v)
        note_bad(fields, key);
    return otherwise;
}

int64_t js_field_int(struct js_fields *fields, const char *key, int64_t otherwise) {
    json_t *v = js_field(fields, key);

    if (json_is_integer(v))
        return json_integer_value(v);
    if (v)
        note_bad(fields, key);
    return otherwise;
}

bool js_field_bool(struct js_fields *fields, const char *key) {
    json_t *v = js_field(fields, key);

    if (v && !json_is_boolean(v))
        note_bad(fields, key);
    return json_is_true(v);
}

js_time_t js_field_time(struct js_fields *fields, const char *key) {
    const char *text = js_field_str(fields, key, "");
    js_time_t t = 0;

    if (!*text || strncmp(text, "0001-01-01T", 11) == 0)
        return 0;
    if (js_time_parse_rfc3339(text, strlen(text), &t) < 0)
        note_bad(fields, key);
    return t;
}

const json_t *js_field_strings(struct js_fields *fields, const char *key) {
    json_t *v = js_field(fields, key);

    if (!v)
        return NULL;
    if (!json_is_array(v)) {
        note_bad(fields, key);
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(v); i++) {
        if (!json_is_string(json_array_get(v, i))) {
            note_bad(fields, key);
            return NULL;
        }
    }
    return json_array_size(v) ? v : NULL;
}
