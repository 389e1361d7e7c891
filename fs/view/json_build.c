/* SPDX-License-Identifier: Apache-2.0 */
/* Members are set one by one; jansson frees a value it could not set, so nothing leaks. */
#include "fs/view/json_build.h"

#include <stdlib.h>
#include <string.h>

#include "fs/view/render.h"

struct jf_json jf_json_object(void) {
    struct jf_json json = {.object = json_object()};

    json.failed = json.object == NULL;
    return json;
}

void jf_json_child(struct jf_json *json, const char *name, json_t *child) {
    if (json_object_set_new(json->object, name, child) < 0)
        json->failed = true;
}

/* A JSON string of bytes that may be no UTF-8; NULL when out of memory. */
static json_t *lossy_string(const char *text) {
    static const char replacement[] = "\xef\xbf\xbd";
    size_t len = strlen(text), n = 0;
    char *copy = malloc(len * 3 + 1);
    json_t *string;

    if (!copy)
        return NULL;
    while (len > 0) {
        size_t good = jf_utf8_prefix(text, len);

        memcpy(copy + n, text, good);
        n += good;
        text += good;
        len -= good;
        if (len == 0)
            break;
        memcpy(copy + n, replacement, 3);
        n += 3;
        text++;
        len--;
    }
    string = json_stringn(copy, n);
    free(copy);
    return string;
}

void jf_json_text(struct jf_json *json, const char *name, const char *text) {
    jf_json_child(json, name, lossy_string(text));
}

void jf_json_number(struct jf_json *json, const char *name, uint64_t value) {
    jf_json_child(json, name, json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value));
}

void jf_json_time(struct jf_json *json, const char *name, js_time_t time) {
    char text[40];

    if (time == 0) {
        jf_json_child(json, name, json_null());
        return;
    }
    js_time_format_fixed(time, text, sizeof text);
    jf_json_child(json, name, json_string(text));
}

void jf_json_bool(struct jf_json *json, const char *name, bool value) {
    jf_json_child(json, name, json_boolean(value));
}

void jf_json_nest(struct jf_json *json, const char *name, struct jf_json *child) {
    if (child->failed)
        json->failed = true;
    jf_json_child(json, name, child->object);
    child->object = NULL;
}

void jf_json_append(struct jf_json *json, json_t *array, struct jf_json *element) {
    if (element->failed || json_array_append_new(array, element->object) < 0)
        json->failed = true;
    element->object = NULL;
}

void jf_json_drop(struct jf_json *json) {
    json_decref(json->object);
    json->object = NULL;
}

int jf_json_finish(struct jf_json *json, char **ret_text, size_t *ret_len) {
    char *dump = NULL, *text = NULL;
    size_t len;

    if (!json->failed)
        dump = json_dumps(json->object, JSON_INDENT(2));
    jf_json_drop(json);
    if (dump) {
        len = strlen(dump);
        text = realloc(dump, len + 2);
        if (!text)
            free(dump);
    }
    if (!text)
        return JS_ERR_NOMEM;
    memcpy(text + len, "\n", 2);
    *ret_text = text;
    *ret_len = len + 1;
    return 0;
}
