/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The meta.inf of a new stream, from what a user wrote.
 *
 * Servers from 2.11.9 on decode strictly: one field that a server does not know takes the stream
 * offline. So the text holds the fields of 2.9, in the order in which servers write them, and newer
 * ones only where the user asked for something that needs them. What we could not honour when
 * messages are appended is refused here, where the user sees it, not later.
 */
#include "core/base/limits.h"
#include "core/base/time.h"
#include "core/format/json_fields.h"
#include "core/format/meta.h"
#include "core/format/subject.h"

#define MS              INT64_C(1000000)
#define MIN_AGE         (100 * MS)
#define DEFAULT_WINDOW  (INT64_C(120000) * MS)
#define MAX_DESCRIPTION 4096u
/* Servers do not load a stream with more than 128 KiB; they count entries that they add, too. */
#define MAX_METADATA    (131072u - 256u)

/* A configuration in the making. */
struct maker {
    const char *name;
    struct js_fields user;
    json_t *out;
    char *why;
    size_t why_size;
    bool update; /* of a stream that is there: it may be sealed, and have a first sequence */
};

enum field_kind {
    TAKEN,     /* handled by a function below */
    FLAG_2_9,  /* always written */
    FLAG_SET,  /* written when true */
    NOT_BUILT, /* refused unless absent, null, false, 0 or empty */
};

/* Every field any known server writes. */
static const struct {
    const char *name;
    enum field_kind kind;
} known[] = {
    {"Created", TAKEN},
    {"name", TAKEN},
    {"description", TAKEN},
    {"subjects", TAKEN},
    {"retention", TAKEN},
    {"max_consumers", TAKEN},
    {"max_msgs", TAKEN},
    {"max_bytes", TAKEN},
    {"max_age", TAKEN},
    {"max_msgs_per_subject", TAKEN},
    {"max_msg_size", TAKEN},
    {"discard", TAKEN},
    {"storage", TAKEN},
    {"num_replicas", TAKEN},
    {"no_ack", FLAG_SET},
    {"duplicate_window", TAKEN},
    {"compression", TAKEN},
    {"first_seq", TAKEN},
    {"allow_direct", FLAG_2_9},
    {"mirror_direct", FLAG_2_9},
    {"discard_new_per_subject", FLAG_SET},
    {"sealed", FLAG_2_9},
    {"deny_delete", FLAG_2_9},
    {"deny_purge", FLAG_2_9},
    {"allow_rollup_hdrs", FLAG_2_9},
    {"consumer_limits", TAKEN},
    {"metadata", TAKEN},
    {"persist_mode", TAKEN},
    {"template_owner", NOT_BUILT},
    {"placement", NOT_BUILT},
    {"mirror", NOT_BUILT},
    {"sources", NOT_BUILT},
    {"subject_transform", NOT_BUILT},
    {"republish", NOT_BUILT},
    {"allow_msg_ttl", FLAG_SET},
    {"subject_delete_marker_ttl", TAKEN},
    {"allow_msg_counter", FLAG_SET},
    {"allow_atomic", NOT_BUILT},
    {"allow_msg_schedules", FLAG_SET},
    {"allow_batched", NOT_BUILT},
};
#define NUM_KNOWN (sizeof known / sizeof *known)

#define REFUSE(m, ...) (js_fields_why((m)->why, (m)->why_size, __VA_ARGS__), JS_ERR_INVAL)

/* Takes the value; NULL (out of memory) is an error. */
static int put(struct maker *m, const char *key, json_t *value) {
    return json_object_set_new(m->out, key, value) < 0 ? JS_ERR_NOMEM : 0;
}

static bool is_nothing(const json_t *v) {
    return !v || json_is_false(v) || (json_is_integer(v) && json_integer_value(v) == 0) ||
           (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0);
}

static int check_known(struct maker *m) {
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)m->user.object, key, value) {
        size_t i = 0;
        while (i < NUM_KNOWN && strcmp(known[i].name, key) != 0)
            i++;
        if (i == NUM_KNOWN)
            return REFUSE(m, "the field \"%.80s\" is not known", key);
        if (known[i].kind == NOT_BUILT && !json_is_null(value) && !is_nothing(value)) {
            js_fields_why(m->why, m->why_size, "the field \"%s\" is not built yet", key);
            return JS_ERR_UNSUPPORTED;
        }
    }
    return 0;
}

static int put_name(struct maker *m, js_time_t created) {
    const char *name = js_field_str(&m->user, "name", m->name);
    const char *description = js_field_str(&m->user, "description", "");
    char text[40];

    if (strcmp(name, m->name) != 0)
        return REFUSE(m, "the configuration is named \"%.255s\", the stream \"%.255s\"", name,
                      m->name);
    if (strlen(description) > MAX_DESCRIPTION)
        return REFUSE(m, "the description is longer than %u bytes", MAX_DESCRIPTION);
    js_time_format(created, text, sizeof text);
    int r = put(m, "Created", json_string(text));
    if (r == 0)
        r = put(m, "name", json_string(name));
    if (r == 0 && *description)
        r = put(m, "description", json_string(description));
    return r;
}

static int check_subjects(struct maker *m, const json_t *subjects) {
    static const char *const api[] = {"$JS.>", "$JSC.>", "$SYS.>"};
    size_t n = json_array_size(subjects);

    for (size_t i = 0; i < n; i++) {
        const char *a = json_string_value(json_array_get(subjects, i));
        size_t alen = strlen(a);
        if (!js_filter_valid(a, alen))
            return REFUSE(m, "the subject \"%.200s\" is malformed", a);
        /* Servers' own subjects: only a stream that never acknowledges may take them, but for
         * events. */
        bool events = strncmp(a, "$JS.EVENT.", 10) == 0 || strncmp(a, "$SYS.ACCOUNT.", 13) == 0;
        for (size_t k = 0; k < sizeof api / sizeof *api && !events; k++) {
            if (js_filters_overlap(a, alen, api[k], strlen(api[k])) &&
                !js_field_bool(&m->user, "no_ack"))
                return REFUSE(m, "the subject \"%.200s\" overlaps with those of the server", a);
        }
        for (size_t j = 0; j < i; j++) {
            const char *b = json_string_value(json_array_get(subjects, j));
            if (js_filters_overlap(a, alen, b, strlen(b)))
                return REFUSE(m, "the subjects \"%.100s\" and \"%.100s\" overlap", b, a);
        }
    }
    return 0;
}

static int put_subjects(struct maker *m, bool defaults) {
    const json_t *subjects = js_field_strings(&m->user, "subjects");

    if (m->user.bad)
        return REFUSE(m, "\"subjects\" must be an array of strings");
    if (subjects) {
        int r = check_subjects(m, subjects);
        return r < 0 ? r : put(m, "subjects", json_deep_copy(subjects));
    }
    /* Servers give a stream without subjects its name; without any wish, what lies below too. */
    if (!defaults)
        return put(m, "subjects", json_pack("[s]", m->name));
    char below[JS_MAX_NAME + 4];
    size_t len = strlen(m->name);
    memcpy(below, m->name, len);
    memcpy(below + len, ".>", 3);
    return put(m, "subjects", json_pack("[s,s]", m->name, below));
}

static int put_word(struct maker *m, const char *key, const char *const *words) {
    const char *text = js_field_str(&m->user, key, "");

    if (!*text)
        text = words[0];
    for (size_t i = 0; words[i]; i++) {
        if (strcmp(text, words[i]) == 0)
            return put(m, key, json_string(text));
    }
    return REFUSE(m, "\"%s\" cannot be \"%.40s\"", key, text);
}

static int put_limit(struct maker *m, const char *key, int64_t max) {
    int64_t v = js_field_int(&m->user, key, -1);

    /* As servers do. */
    if (v == 0 || (v < 0 && strcmp(key, "max_msgs_per_subject") == 0))
        v = -1;
    if (v < -1 || v > max)
        return REFUSE(m, "\"%s\" is out of range", key);
    return put(m, key, json_integer(v));
}

static int put_limits(struct maker *m) {
    static const char *const retentions[] = {"limits", "interest", "workqueue", NULL};
    static const char *const discards[] = {"old", "new", NULL};
    static const char *const storages[] = {"file", NULL};
    int64_t age = js_field_int(&m->user, "max_age", 0);
    int64_t replicas = js_field_int(&m->user, "num_replicas", 1);
    int r = put_word(m, "retention", retentions);

    if (age < 0 || (age > 0 && age < MIN_AGE))
        return REFUSE(m, "\"max_age\" must be 0 or at least 100 ms (in nanoseconds)");
    if (replicas != 0 && replicas != 1)
        return REFUSE(m, "\"num_replicas\" must be 1: replicas need a cluster of servers");
    if (r == 0)
        r = put_limit(m, "max_consumers", INT32_MAX);
    if (r == 0)
        r = put_limit(m, "max_msgs", INT64_MAX);
    if (r == 0)
        r = put_limit(m, "max_bytes", INT64_MAX);
    if (r == 0)
        r = put(m, "max_age", json_integer(age));
    if (r == 0)
        r = put_limit(m, "max_msgs_per_subject", INT64_MAX);
    if (r == 0)
        r = put_limit(m, "max_msg_size", INT32_MAX);
    if (r == 0)
        r = put_word(m, "discard", discards);
    if (r == 0)
        r = put_word(m, "storage", storages);
    if (r == 0)
        r = put(m, "num_replicas", json_integer(1));
    return r;
}

static int put_window(struct maker *m) {
    int64_t age = js_field_int(&m->user, "max_age", 0);
    int64_t window = js_field_int(&m->user, "duplicate_window", 0);

    if (window == 0)
        window = age > 0 && age < DEFAULT_WINDOW ? age : DEFAULT_WINDOW;
    if (window < MIN_AGE)
        return REFUSE(m, "\"duplicate_window\" must be 0 or at least 100 ms (in nanoseconds)");
    if (age > 0 && window > age)
        return REFUSE(m, "\"duplicate_window\" cannot be longer than \"max_age\"");
    return put(m, "duplicate_window", json_integer(window));
}

/* Fields of servers newer than 2.9 that mean something to the store. */
static int put_newer(struct maker *m) {
    const char *compression = js_field_str(&m->user, "compression", "none");
    const char *persist = js_field_str(&m->user, "persist_mode", "default");

    int64_t first = js_field_int(&m->user, "first_seq", 0);
    int64_t marker = js_field_int(&m->user, "subject_delete_marker_ttl", 0);
    int r = 0;

    if (first != 0 && m->update)
        r = put(m, "first_seq", json_integer(first));
    else if (first != 0)
        return REFUSE(m, "\"first_seq\" is refused: servers 2.10.0 to 2.10.27 and 2.11.0 to 2.11.1 "
                         "purge such a stream at every start");
    if (*persist && strcmp(persist, "default") != 0 && strcmp(persist, "async") != 0)
        return REFUSE(m, "\"persist_mode\" must be \"default\" or \"async\"");
    if (r == 0 && strcmp(persist, "async") == 0)
        r = put(m, "persist_mode", json_string(persist));
    if (marker != 0 && marker < 1000 * MS)
        return REFUSE(m, "\"subject_delete_marker_ttl\" must be 0 or at least 1 s (in nanoseconds)");
    /* Markers are messages that expire. */
    if (r == 0 && marker)
        r = put(m, "subject_delete_marker_ttl", json_integer(marker));
    if (r == 0 && marker)
        r = put(m, "allow_msg_ttl", json_true());
    if (js_field_bool(&m->user, "allow_msg_schedules") && !js_field_bool(&m->user, "sealed") &&
        strcmp(js_field_str(&m->user, "discard", ""), "new") == 0)
        return REFUSE(m, "\"allow_msg_schedules\" needs \"discard\":\"old\"");
    if (r < 0)
        return r;
    if (!*compression || strcmp(compression, "none") == 0)
        return 0;
    if (strcmp(compression, "s2") != 0 && strcmp(compression, "lz4") != 0)
        return REFUSE(m, "\"compression\" cannot be \"%.40s\"", compression);
    return put(m, "compression", json_string(compression));
}

static int check_counter(struct maker *m) {
    struct js_fields *f = &m->user;

    if (!js_field_bool(f, "allow_msg_counter"))
        return 0;
    if (strcmp(js_field_str(f, "discard", ""), "new") == 0 && !js_field_bool(f, "sealed"))
        return REFUSE(m, "\"allow_msg_counter\" needs \"discard\":\"old\"");
    if (js_field_bool(f, "allow_msg_ttl"))
        return REFUSE(m, "\"allow_msg_counter\" and \"allow_msg_ttl\" exclude each other");
    if (js_field_bool(f, "allow_msg_schedules"))
        return REFUSE(m, "\"allow_msg_counter\" and \"allow_msg_schedules\" exclude each other");
    if (strcmp(js_field_str(f, "retention", "limits"), "limits") != 0)
        return REFUSE(m, "\"allow_msg_counter\" needs \"retention\":\"limits\"");
    return 0;
}

static int check_flags(struct maker *m) {
    struct js_fields *f = &m->user;
    bool per_subject = js_field_bool(f, "discard_new_per_subject");
    int r = check_counter(m);

    if (r < 0)
        return r;

    if (js_field_bool(f, "sealed") && !m->update)
        return REFUSE(m, "a stream cannot be made sealed");
    if (js_field_bool(f, "mirror_direct"))
        return REFUSE(m, "\"mirror_direct\" needs a mirror");
    if (js_field_bool(f, "deny_purge") && js_field_bool(f, "allow_rollup_hdrs"))
        return REFUSE(m, "\"allow_rollup_hdrs\" needs the permission to purge");
    if (per_subject && strcmp(js_field_str(f, "discard", ""), "new") != 0)
        return REFUSE(m, "\"discard_new_per_subject\" needs \"discard\":\"new\"");
    if (per_subject && js_field_int(f, "max_msgs_per_subject", -1) <= 0)
        return REFUSE(m, "\"discard_new_per_subject\" needs \"max_msgs_per_subject\"");
    return 0;
}

static int put_flags(struct maker *m) {
    int r = check_flags(m);

    for (size_t i = 0; i < NUM_KNOWN && r == 0; i++) {
        bool set = (known[i].kind == FLAG_2_9 || known[i].kind == FLAG_SET) &&
                   js_field_bool(&m->user, known[i].name);
        /* no_ack stands before duplicate_window. */
        if (strcmp(known[i].name, "no_ack") == 0)
            continue;
        if (set || known[i].kind == FLAG_2_9)
            r = put(m, known[i].name, json_boolean(set));
    }
    return r;
}

static int put_consumer_limits(struct maker *m) {
    json_t *limits = js_field(&m->user, "consumer_limits");
    const char *key;
    json_t *value;

    if (!limits || (json_is_object(limits) && json_object_size(limits) == 0))
        return 0;
    if (!json_is_object(limits))
        return REFUSE(m, "\"consumer_limits\" must be an object");
    json_object_foreach(limits, key, value) {
        if (strcmp(key, "inactive_threshold") != 0 && strcmp(key, "max_ack_pending") != 0)
            return REFUSE(m, "the field \"consumer_limits.%.80s\" is not known", key);
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return REFUSE(m, "\"consumer_limits.%s\" must be a number", key);
    }
    return put(m, "consumer_limits", json_deep_copy(limits));
}

static int put_metadata(struct maker *m) {
    json_t *metadata = js_field(&m->user, "metadata");
    const char *key;
    json_t *value;
    size_t size = 0;
    int r = 0;

    if (!metadata)
        return 0;
    if (!json_is_object(metadata))
        return REFUSE(m, "\"metadata\" must be an object of strings");
    json_t *copy = json_object();
    if (!copy)
        return JS_ERR_NOMEM;
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value)) {
            r = REFUSE(m, "\"metadata.%.80s\" must be a string", key);
            break;
        }
        /* The server's own entries: it computes the level, and stores no versions. */
        if (strncmp(key, "_nats.", 6) == 0)
            continue;
        size += strlen(key) + json_string_length(value);
        if (size > MAX_METADATA) {
            r = REFUSE(m, "\"metadata\" holds more than %u bytes", MAX_METADATA);
            break;
        }
        if (json_object_set(copy, key, value) < 0) {
            r = JS_ERR_NOMEM;
            break;
        }
    }
    if (r == 0 && json_object_size(copy) > 0)
        return put(m, "metadata", copy);
    json_decref(copy);
    return r;
}

/* What servers make of other fields when these are set. A sealed stream that kept its max_age would
 * lose its messages to the next server: that does expire them. */
static int imply(struct maker *m, json_t *user) {
    bool markers = js_field_int(&m->user, "subject_delete_marker_ttl", 0) != 0;
    bool schedules = js_field_bool(&m->user, "allow_msg_schedules");
    int r = 0;

    if (m->update && js_field_bool(&m->user, "sealed")) {
        r |= json_object_set_new(user, "max_age", json_integer(0));
        r |= json_object_set_new(user, "discard", json_string("new"));
        r |= json_object_set_new(user, "deny_delete", json_true());
        r |= json_object_set_new(user, "deny_purge", json_true());
        r |= json_object_set_new(user, "allow_rollup_hdrs", json_false());
    } else if (markers || schedules) {
        /* Both replace the older messages of a subject. */
        r |= json_object_set_new(user, "allow_rollup_hdrs", json_true());
        r |= json_object_set_new(user, "deny_purge", json_false());
    }
    return r ? JS_ERR_NOMEM : 0;
}

static int build(struct maker *m, json_t *user, js_time_t created, bool defaults) {
    int r = check_known(m);

    if (r == 0)
        r = imply(m, user);
    if (r == 0)
        r = put_name(m, created);
    if (r == 0)
        r = put_subjects(m, defaults);
    if (r == 0)
        r = put_limits(m);
    if (r == 0 && js_field_bool(&m->user, "no_ack"))
        r = put(m, "no_ack", json_true());
    if (r == 0)
        r = put_window(m);
    if (r == 0)
        r = put_newer(m);
    if (r == 0)
        r = put_flags(m);
    if (r == 0)
        r = put_consumer_limits(m);
    if (r == 0)
        r = put_metadata(m);
    if (r != JS_ERR_NOMEM && r != JS_ERR_UNSUPPORTED && m->user.bad)
        return REFUSE(m, "\"%s\" has a value of the wrong type", m->user.bad);
    return r;
}

static int append_json(const char *text, size_t len, void *buf) {
    js_buf_append(buf, text, len);
    return ((struct js_buf *)buf)->failed ? -1 : 0;
}

static int make(const struct js_env *env, const char *name, const char *user_json,
                js_time_t created, bool update, struct js_buf *ret_text, char *ret_why,
                size_t why_size) {
    struct maker m = {.name = name, .why = ret_why, .why_size = why_size, .update = update};
    json_t *user = NULL;
    int r = 0;

    if (!js_name_valid(name))
        return REFUSE(&m, "a stream's name holds none of . * > / \\ or blanks, and has at most 255 "
                          "bytes");
    if (user_json)
        r = js_fields_load(user_json, strlen(user_json), &user, ret_why, why_size);
    else
        user = json_object();
    if (r == JS_ERR_CORRUPT)
        return JS_ERR_INVAL;
    if (r < 0)
        return r;
    m.user.object = user;
    m.out = json_object();
    r = user && m.out ? build(&m, user, created, user_json == NULL) : JS_ERR_NOMEM;
    if (r == 0) {
        struct js_buf text = {.env = env};
        if (json_dump_callback(m.out, append_json, &text, JSON_COMPACT) < 0)
            r = JS_ERR_NOMEM;
        else
            js_buf_append(ret_text, text.data, text.len);
        js_buf_done(&text);
        if (ret_text->failed)
            r = JS_ERR_NOMEM;
    }
    json_decref(user);
    json_decref(m.out);
    return r;
}

int js_stream_config_make(const struct js_env *env, const char *name, const char *user_json,
                          js_time_t created, struct js_buf *ret_text, char *ret_why,
                          size_t why_size) {
    return make(env, name, user_json, created, false, ret_text, ret_why, why_size);
}

int js_stream_config_remake(const struct js_env *env, const char *name, const char *user_json,
                            js_time_t created, struct js_buf *ret_text, char *ret_why,
                            size_t why_size) {
    return make(env, name, user_json, created, true, ret_text, ret_why, why_size);
}
