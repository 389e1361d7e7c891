/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meta.inf and meta.sum of a stream.
 *
 * meta.inf is one JSON object: "Created" and the stream's configuration at one level. meta.sum is
 * the hex of the keyed hash of meta.inf's bytes as they are on disk. A reader takes what it needs
 * and passes over fields it does not know: newer servers add some with every version.
 */
#include "core/format/meta.h"

#include <stdlib.h>

#include "core/format/hash64.h"
#include "core/format/json_fields.h"
#include "core/format/subject.h"

void js_meta_sum(const char *key_name, const uint8_t *stored, size_t len, char ret_hex[17]) {
    struct js_hash_key key;

    js_hash_key_of_name(&key, key_name, strlen(key_name));
    js_hash64_hex(js_hash64_one(&key, stored, len), ret_hex);
}

void js_stream_config_done(struct js_stream_config *config) {
    if (!config->env)
        return;
    for (size_t i = 0; i < config->num_subjects; i++)
        js_free(config->env, config->subjects[i]);
    js_free(config->env, config->subjects);
    js_free(config->env, config->name);
    *config = (struct js_stream_config){.env = config->env};
}

#define TWO_MINUTES INT64_C(120000000000)

/* Servers read 0 as no limit. */
static int64_t limit_of(struct js_fields *f, const char *key) {
    int64_t v = js_field_int(f, key, -1);

    return v <= 0 ? -1 : v;
}

/* One of the words, by its first letter; an unknown one is a wrong type. */
static char word_of(struct js_fields *f, const char *key, const char *const *words) {
    const char *text = js_field_str(f, key, "");

    if (!*text)
        return words[0][0];
    for (size_t i = 0; words[i]; i++) {
        if (strcmp(text, words[i]) == 0)
            return words[i][0];
    }
    if (!f->bad)
        f->bad = key;
    return words[0][0];
}

static void take_words(struct js_fields *f, struct js_stream_config *c) {
    static const char *const retentions[] = {"limits", "interest", "workqueue", NULL};
    static const char *const discards[] = {"old", "new", NULL};
    static const char *const compressions[] = {"none", "s2", "lz4", NULL};
    static const char *const storages[] = {"file", "memory", NULL};

    c->retention = word_of(f, "retention", retentions);
    c->discard = word_of(f, "discard", discards);
    c->compression = word_of(f, "compression", compressions);
    c->memory = word_of(f, "storage", storages) == 'm';
}

static void take_scalars(struct js_fields *f, struct js_stream_config *c) {
    c->created = js_field_time(f, "Created");
    c->max_msgs = limit_of(f, "max_msgs");
    c->max_bytes = limit_of(f, "max_bytes");
    c->max_msgs_per_subject = limit_of(f, "max_msgs_per_subject");
    c->max_msg_size = limit_of(f, "max_msg_size");
    c->max_age = js_field_int(f, "max_age", 0);
    if (c->max_age < 0)
        c->max_age = 0;
    c->duplicate_window = js_field_int(f, "duplicate_window", 0);
    if (c->duplicate_window <= 0 && !js_field(f, "mirror") && !js_field(f, "sources"))
        c->duplicate_window = c->max_age > 0 && c->max_age < TWO_MINUTES ? c->max_age : TWO_MINUTES;
    c->delete_marker_ttl = js_field_int(f, "subject_delete_marker_ttl", 0);
    c->persist_async = strcmp(js_field_str(f, "persist_mode", ""), "async") == 0;
    int64_t first = js_field_int(f, "first_seq", 0);
    c->first_seq = first > 0 ? (uint64_t)first : 0;
    c->discard_new_per_subject = js_field_bool(f, "discard_new_per_subject");
    c->sealed = js_field_bool(f, "sealed");
    c->deny_delete = js_field_bool(f, "deny_delete");
    c->deny_purge = js_field_bool(f, "deny_purge");
    c->allow_rollup_hdrs = js_field_bool(f, "allow_rollup_hdrs");
    c->allow_msg_ttl = js_field_bool(f, "allow_msg_ttl");
    c->allow_msg_counter = js_field_bool(f, "allow_msg_counter");
    c->allow_msg_schedules = js_field_bool(f, "allow_msg_schedules");
    c->allow_atomic = js_field_bool(f, "allow_atomic");
    c->template_owned = *js_field_str(f, "template_owner", "") != 0;
    /* Delete markers are messages that expire and that replace the subject's older ones. */
    if (js_field_int(f, "subject_delete_marker_ttl", 0) > 0) {
        c->allow_msg_ttl = true;
        c->allow_rollup_hdrs = true;
    }
}

static void take_objects(struct js_fields *f, struct js_stream_config *c) {
    const json_t *mirror = js_field(f, "mirror");
    const json_t *sources = js_field(f, "sources");
    const json_t *transform = js_field(f, "subject_transform");
    const json_t *metadata = js_field(f, "metadata");

    c->has_mirror = mirror != NULL;
    c->has_sources = json_array_size(sources) > 0;
    c->has_transform = transform != NULL;
    if (mirror && !json_is_object(mirror) && !f->bad)
        f->bad = "mirror";
    if (sources && !json_is_array(sources) && !f->bad)
        f->bad = "sources";
    if (transform && !json_is_object(transform) && !f->bad)
        f->bad = "subject_transform";
    if (metadata && !json_is_object(metadata) && !f->bad)
        f->bad = "metadata";
    const char *level = json_string_value(json_object_get(metadata, "_nats.req.level"));
    long v = level ? strtol(level, NULL, 10) : 0;
    c->api_level = v < 0 ? 0 : v > INT32_MAX ? INT32_MAX : (int)v;
}

/* Copies the name and the subjects. NOMEM. */
static int take_strings(struct js_fields *f, struct js_stream_config *c) {
    const char *name = js_field_str(f, "name", NULL);
    const json_t *subjects = js_field_strings(f, "subjects");
    size_t n = json_array_size(subjects);

    if (name) {
        c->name = js_strdup(c->env, name);
        if (!c->name)
            return JS_ERR_NOMEM;
    }
    /* Without subjects a stream takes its own name, unless it is fed by others. */
    bool own = n == 0 && name && !c->has_mirror && !c->has_sources;
    c->subjects = js_calloc(c->env, n + 1, sizeof *c->subjects);
    if (!c->subjects)
        return JS_ERR_NOMEM;
    for (size_t i = 0; i < n + own; i++) {
        const char *text = own ? name : json_string_value(json_array_get(subjects, i));
        c->subjects[i] = js_strdup(c->env, text);
        if (!c->subjects[i])
            return JS_ERR_NOMEM;
        c->num_subjects++;
    }
    return 0;
}

int js_stream_config_parse(const struct js_env *env, const char *json, size_t len,
                           struct js_stream_config *ret_config, char *ret_why, size_t why_size) {
    struct js_stream_config c = {.env = env};
    json_t *root;
    int r = js_fields_load(json, len, &root, ret_why, why_size);

    if (r < 0)
        return r;
    struct js_fields f = {.object = root};
    take_words(&f, &c);
    take_scalars(&f, &c);
    take_objects(&f, &c);
    r = take_strings(&f, &c);
    if (r == 0 && f.bad) {
        js_fields_why(ret_why, why_size, "the field \"%s\" has no value that servers write", f.bad);
        r = JS_ERR_CORRUPT;
    } else if (r == 0 && !c.name) {
        js_fields_why(ret_why, why_size, "the field \"name\" is missing");
        r = JS_ERR_CORRUPT;
    }
    json_decref(root);
    if (r < 0) {
        js_stream_config_done(&c);
        return r;
    }
    *ret_config = c;
    return 0;
}

/* ---- block size ---------------------------------------------------------------------------- */

#define BLOCK_LARGE     8388608u
#define BLOCK_MIDDLE    4194304u
#define BLOCK_SMALL     32000u
#define BLOCK_ENCRYPTED 2097152u
#define DEFAULT_PAYLOAD 1048576u /* a server's largest message unless configured otherwise */
#define WILD_SUBJECT    256u     /* assumed length where all subjects have wildcards */

static uint64_t subject_room(const struct js_stream_config *c) {
    uint64_t longest = 0;

    for (size_t i = 0; i < c->num_subjects; i++) {
        size_t len = strlen(c->subjects[i]);
        bool literal;
        js_filter_literal_prefix(c->subjects[i], len, &literal);
        if (literal && len > longest)
            longest = len;
    }
    return longest ? longest : WILD_SUBJECT;
}

uint64_t js_block_size_of(const struct js_stream_config *config, bool encrypted) {
    uint64_t expected;

    if (config->max_bytes > 0) {
        expected = (uint64_t)config->max_bytes;
    } else if (config->max_msgs > 0) {
        uint64_t payload =
            config->max_msg_size > 0 ? (uint64_t)config->max_msg_size : DEFAULT_PAYLOAD;
        if (__builtin_mul_overflow((uint64_t)config->max_msgs, 34 + subject_room(config) + payload,
                                   &expected))
            expected = UINT64_MAX;
    } else if (config->max_msgs_per_subject > 0) {
        return BLOCK_MIDDLE;
    } else if (encrypted) {
        return BLOCK_ENCRYPTED;
    } else {
        return config->retention == 'l' ? BLOCK_LARGE : BLOCK_MIDDLE;
    }
    uint64_t size = (expected / 4 + 1 + 99) / 100 * 100;
    if (size <= BLOCK_SMALL)
        return BLOCK_SMALL;
    return size >= BLOCK_LARGE ? BLOCK_LARGE : BLOCK_MIDDLE;
}
