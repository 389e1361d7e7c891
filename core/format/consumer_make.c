/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The meta.inf of a new consumer, from what a user wrote. Like a stream's (config_make.c): fields
 * in the order of the servers, nothing newer than the user's wish demands, everything checked by
 * the servers' own rules (found by asking 2.15.1). Only pull consumers are made here: nobody is
 * there whom a push consumer could deliver to.
 */
#include "core/base/time.h"
#include "core/format/json_fields.h"
#include "core/format/meta.h"
#include "core/format/subject.h"

#define SECOND          INT64_C(1000000000)
#define DEFAULT_WAIT    (30 * SECOND)
#define DEFAULT_PENDING 1000
#define DEFAULT_WAITING 512
#define MAX_DESCRIPTION 4096u

struct maker {
    const char *name;
    struct js_fields user;
    json_t *out;
    char ack, retention;
    char *why;
    size_t why_size;
};

#define REFUSE(m, ...) (js_fields_why((m)->why, (m)->why_size, __VA_ARGS__), JS_ERR_INVAL)
#define FORBID(m, ...) (js_fields_why((m)->why, (m)->why_size, __VA_ARGS__), JS_ERR_NOT_PERMITTED)

enum field_kind {
    TAKEN,
    PUSH_ONLY, /* needs a push consumer */
    NOT_BUILT,
};

static const struct {
    const char *name;
    enum field_kind kind;
} known[] = {
    {"Created", TAKEN},
    {"Name", TAKEN},
    {"durable_name", TAKEN},
    {"name", TAKEN},
    {"description", TAKEN},
    {"deliver_policy", TAKEN},
    {"opt_start_seq", TAKEN},
    {"opt_start_time", TAKEN},
    {"ack_policy", TAKEN},
    {"ack_wait", TAKEN},
    {"max_deliver", TAKEN},
    {"backoff", TAKEN},
    {"filter_subject", TAKEN},
    {"filter_subjects", TAKEN},
    {"replay_policy", TAKEN},
    {"sample_freq", TAKEN},
    {"max_waiting", TAKEN},
    {"max_ack_pending", TAKEN},
    {"headers_only", TAKEN},
    {"max_batch", TAKEN},
    {"max_expires", TAKEN},
    {"max_bytes", TAKEN},
    {"inactive_threshold", TAKEN},
    {"num_replicas", TAKEN},
    {"metadata", TAKEN},
    {"pause_until", TAKEN},
    {"rate_limit_bps", PUSH_ONLY},
    {"flow_control", PUSH_ONLY},
    {"idle_heartbeat", PUSH_ONLY},
    {"deliver_subject", NOT_BUILT},
    {"deliver_group", NOT_BUILT},
    {"mem_storage", NOT_BUILT},
    {"direct", NOT_BUILT},
    {"priority_groups", NOT_BUILT},
    {"priority_policy", NOT_BUILT},
    {"priority_timeout", NOT_BUILT},
    {"sourcing", NOT_BUILT},
};
#define NUM_KNOWN (sizeof known / sizeof *known)

static int put(struct maker *m, const char *key, json_t *value) {
    return json_object_set_new(m->out, key, value) < 0 ? JS_ERR_NOMEM : 0;
}

static bool is_nothing(const json_t *v) {
    return json_is_null(v) || json_is_false(v) ||
           (json_is_integer(v) && json_integer_value(v) == 0) ||
           (json_is_string(v) &&
            (json_string_length(v) == 0 || strcmp(json_string_value(v), "none") == 0)) ||
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
        if (known[i].kind == TAKEN || is_nothing(value))
            continue;
        if (known[i].kind == PUSH_ONLY)
            return REFUSE(m, "\"%s\" needs a push consumer", key);
        js_fields_why(m->why, m->why_size, "the field \"%s\" is not built yet", key);
        return JS_ERR_UNSUPPORTED;
    }
    return 0;
}

static int put_names(struct maker *m, js_time_t created) {
    static const char *const keys[] = {"Name", "durable_name", "name"};
    const char *description = js_field_str(&m->user, "description", "");
    char text[40];

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *name = js_field_str(&m->user, keys[i], m->name);
        if (*name && strcmp(name, m->name) != 0)
            return REFUSE(m, "the configuration is named \"%.255s\", the consumer \"%.255s\"", name,
                          m->name);
    }
    if (strlen(description) > MAX_DESCRIPTION)
        return REFUSE(m, "the description is longer than %u bytes", MAX_DESCRIPTION);
    js_time_format(created, text, sizeof text);
    int r = put(m, "Created", json_string(text));
    for (size_t i = 0; i < sizeof keys / sizeof *keys && r == 0; i++)
        r = put(m, keys[i], json_string(m->name));
    if (r == 0 && *description)
        r = put(m, "description", json_string(description));
    return r;
}

/* *ret_index: which of the words, the first if there is none. */
static int put_word(struct maker *m, const char *key, const char *const *words,
                    const char *otherwise, const char **ret_word) {
    const char *text = js_field_str(&m->user, key, "");

    if (!*text)
        text = otherwise;
    for (size_t i = 0; words[i]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret_word = words[i];
            return put(m, key, json_string(text));
        }
    }
    return REFUSE(m, "\"%s\" cannot be \"%.40s\"", key, text);
}

static int put_start(struct maker *m) {
    static const char *const policies[] = {
        "all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject", NULL};
    const char *policy = policies[0];
    int64_t seq = js_field_int(&m->user, "opt_start_seq", 0);
    const char *time = js_field_str(&m->user, "opt_start_time", "");
    int r = put_word(m, "deliver_policy", policies, policies[0], &policy);

    if (r < 0)
        return r;
    js_field_time(&m->user, "opt_start_time");
    bool by_seq = policy == policies[3], by_time = policy == policies[4];
    if (by_seq && seq <= 0)
        return REFUSE(m, "delivery by start sequence needs \"opt_start_seq\"");
    if (by_time && !*time)
        return REFUSE(m, "delivery by start time needs \"opt_start_time\"");
    if ((!by_seq && seq != 0) || (!by_time && *time))
        return REFUSE(m, "\"deliver_policy\" is \"%s\", but \"%s\" is set", policy,
                      !by_seq && seq != 0 ? "opt_start_seq" : "opt_start_time");
    if (policy == policies[5] && !*js_field_str(&m->user, "filter_subject", "") &&
        !js_field_strings(&m->user, "filter_subjects"))
        return REFUSE(m, "delivery of the last per subject needs a filter");
    if (policy != policies[0] && m->retention == 'w')
        return FORBID(m, "consumers of a workqueue stream deliver all");
    if (by_seq)
        return put(m, "opt_start_seq", json_integer(seq));
    return by_time ? put(m, "opt_start_time", json_string(time)) : 0;
}

static int put_backoff(struct maker *m, int64_t max_deliver) {
    const json_t *list = js_field(&m->user, "backoff");
    size_t n = json_array_size(list);

    if (list && !json_is_array(list))
        return REFUSE(m, "\"backoff\" must be an array of numbers");
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return REFUSE(m, "\"backoff\" must hold positive numbers (nanoseconds)");
    }
    if (max_deliver > 0 && n > (size_t)max_deliver)
        return REFUSE(m, "\"max_deliver\" must not be less than the number of \"backoff\" values");
    return n ? put(m, "backoff", json_deep_copy(list)) : 0;
}

static int put_acks(struct maker *m) {
    static const char *const policies[] = {"none", "all", "explicit", "flow_control", NULL};
    const char *policy = policies[2];
    int64_t wait = js_field_int(&m->user, "ack_wait", 0);
    int64_t max_deliver = js_field_int(&m->user, "max_deliver", -1);
    const json_t *backoff = js_field(&m->user, "backoff");
    int r = put_word(m, "ack_policy", policies, policies[2], &policy);

    if (r < 0)
        return r;
    m->ack = policy[0];
    if (m->ack == 'f')
        return REFUSE(m, "acknowledgement by flow control needs a push consumer");
    if (m->retention == 'w' && m->ack != 'e')
        return FORBID(m, "consumers of a workqueue stream acknowledge explicitly");
    if (wait < 0)
        return REFUSE(m, "\"ack_wait\" must be positive");
    if (json_array_size(backoff) && json_is_integer(json_array_get(backoff, 0)))
        wait = json_integer_value(json_array_get(backoff, 0));
    else if (wait == 0 && m->ack != 'n')
        wait = DEFAULT_WAIT;
    if (max_deliver <= 0)
        max_deliver = -1;
    if (wait > 0)
        r = put(m, "ack_wait", json_integer(wait));
    if (r == 0)
        r = put(m, "max_deliver", json_integer(max_deliver));
    return r == 0 ? put_backoff(m, max_deliver) : r;
}

static int check_filter(struct maker *m, const char *text) {
    if (!*text)
        return REFUSE(m, "a filter of \"filter_subjects\" is empty");
    if (!js_filter_valid(text, strlen(text)))
        return REFUSE(m, "the filter \"%.200s\" is malformed", text);
    return 0;
}

static int put_filters(struct maker *m) {
    const char *one = js_field_str(&m->user, "filter_subject", "");
    const json_t *many = js_field_strings(&m->user, "filter_subjects");
    int r = *one ? check_filter(m, one) : 0;

    if (r == 0 && *one && many)
        r = REFUSE(m, "\"filter_subject\" and \"filter_subjects\" cannot both be set");
    for (size_t i = 0; i < json_array_size(many) && r == 0; i++) {
        const char *a = json_string_value(json_array_get(many, i));
        r = check_filter(m, a);
        for (size_t j = 0; j < i && r == 0; j++) {
            const char *b = json_string_value(json_array_get(many, j));
            if (js_filters_overlap(a, strlen(a), b, strlen(b)))
                r = REFUSE(m, "the filters \"%.100s\" and \"%.100s\" overlap", b, a);
        }
    }
    if (r == 0 && *one)
        r = put(m, "filter_subject", json_string(one));
    if (r == 0 && many)
        r = put(m, "filter_subjects", json_deep_copy(many));
    return r;
}

static bool is_percentage(const char *text) {
    size_t digits = strspn(text, "0123456789");

    return digits > 0 && digits < 10 && (!text[digits] || strcmp(text + digits, "%") == 0);
}

/* A number that is written if it is not 0. */
static int put_some(struct maker *m, const char *key, int64_t min) {
    int64_t v = js_field_int(&m->user, key, 0);

    if (v == 0)
        return 0;
    if (v < min)
        return REFUSE(m, "\"%s\" must be 0 or at least %lld", key, (long long)min);
    return put(m, key, json_integer(v));
}

static int put_limits(struct maker *m) {
    static const char *const replays[] = {"instant", "original", NULL};
    const char *replay = replays[0];
    const char *sample = js_field_str(&m->user, "sample_freq", "");
    int64_t waiting = js_field_int(&m->user, "max_waiting", 0);
    int64_t pending = js_field_int(&m->user, "max_ack_pending", 0);
    int r = put_word(m, "replay_policy", replays, replays[0], &replay);

    if (r < 0)
        return r;
    if (*sample && !is_percentage(sample))
        return REFUSE(m, "\"sample_freq\" must be a percentage");
    if (pending == 0 && m->ack != 'n')
        pending = DEFAULT_PENDING;
    if (*sample)
        r = put(m, "sample_freq", json_string(sample));
    if (r == 0)
        r = put(m, "max_waiting", json_integer(waiting > 0 ? waiting : DEFAULT_WAITING));
    if (r == 0 && pending)
        r = put(m, "max_ack_pending", json_integer(pending > 0 ? pending : -1));
    if (r == 0 && js_field_bool(&m->user, "headers_only"))
        r = put(m, "headers_only", json_true());
    if (r == 0)
        r = put_some(m, "max_batch", 1);
    if (r == 0)
        r = put_some(m, "max_expires", SECOND / 1000);
    if (r == 0)
        r = put_some(m, "max_bytes", 1);
    if (r == 0)
        r = put_some(m, "inactive_threshold", 1);
    return r;
}

static int put_rest(struct maker *m) {
    int64_t replicas = js_field_int(&m->user, "num_replicas", 0);
    js_time_t pause = js_field_time(&m->user, "pause_until");
    const json_t *metadata = js_field(&m->user, "metadata");
    json_t *copy = NULL;
    const char *key;
    json_t *value;

    if (replicas != 0 && replicas != 1)
        return REFUSE(m, "\"num_replicas\" must be 0 or 1: replicas need a cluster of servers");
    if (metadata && !json_is_object(metadata))
        return REFUSE(m, "\"metadata\" must be an object of strings");
    int r = put(m, "num_replicas", json_integer(replicas));
    if (r == 0 && metadata && !(copy = json_object()))
        r = JS_ERR_NOMEM;
    json_object_foreach((json_t *)metadata, key, value) {
        if (r == 0 && !json_is_string(value))
            r = REFUSE(m, "\"metadata.%.80s\" must be a string", key);
        /* The servers' own entries: they compute the level, and store no versions. */
        if (r == 0 && strncmp(key, "_nats.", 6) != 0 && json_object_set(copy, key, value) < 0)
            r = JS_ERR_NOMEM;
    }
    if (r == 0 && json_object_size(copy))
        r = put(m, "metadata", json_incref(copy));
    json_decref(copy);
    if (r == 0 && pause)
        r = put(m, "pause_until", json_string(js_field_str(&m->user, "pause_until", "")));
    return r;
}

static int build(struct maker *m, js_time_t created) {
    int r = check_known(m);

    if (r == 0)
        r = put_names(m, created);
    if (r == 0)
        r = put_start(m);
    if (r == 0)
        r = put_acks(m);
    if (r == 0)
        r = put_filters(m);
    if (r == 0)
        r = put_limits(m);
    if (r == 0)
        r = put_rest(m);
    if (r != JS_ERR_NOMEM && r != JS_ERR_UNSUPPORTED && m->user.bad)
        return REFUSE(m, "\"%s\" has a value of the wrong type", m->user.bad);
    return r;
}

static int append_json(const char *text, size_t len, void *buf) {
    js_buf_append(buf, text, len);
    return ((struct js_buf *)buf)->failed ? -1 : 0;
}

int js_consumer_config_make(const struct js_env *env, const char *name, const char *user_json,
                            js_time_t created, char retention, struct js_buf *ret_text,
                            char *ret_why, size_t why_size) {
    struct maker m = {.name = name, .retention = retention, .why = ret_why, .why_size = why_size};
    struct js_buf text = {.env = env};
    json_t *user = NULL;
    int r = 0;

    if (!js_name_valid(name) || name[0] == '.')
        return REFUSE(&m, "a consumer's name holds none of . * > / \\ or blanks, and has at most "
                          "255 bytes");
    if (user_json)
        r = js_fields_load(user_json, strlen(user_json), &user, ret_why, why_size);
    else if (!(user = json_object()))
        r = JS_ERR_NOMEM;
    if (r < 0)
        return r == JS_ERR_CORRUPT ? JS_ERR_INVAL : r;
    m.user.object = user;
    m.out = json_object();
    r = m.out ? build(&m, created) : JS_ERR_NOMEM;
    if (r == 0 && json_dump_callback(m.out, append_json, &text, JSON_COMPACT) < 0)
        r = JS_ERR_NOMEM;
    if (r == 0) {
        js_buf_append(ret_text, text.data, text.len);
        r = ret_text->failed ? JS_ERR_NOMEM : 0;
    }
    js_buf_done(&text);
    json_decref(user);
    json_decref(m.out);
    return r;
}

int js_consumer_config_may_follow(const char *old_json, const char *new_json, char *ret_why,
                                  size_t why_size) {
    static const char *const fixed[] = {"deliver_policy", "opt_start_seq",   "opt_start_time",
                                        "ack_policy",     "replay_policy",   "max_waiting",
                                        "mem_storage",    "deliver_subject", "durable_name"};
    json_t *was, *now = NULL;
    int r = js_fields_load(old_json, strlen(old_json), &was, ret_why, why_size);

    if (r < 0)
        return r;
    r = js_fields_load(new_json, strlen(new_json), &now, ret_why, why_size);
    for (size_t i = 0; r == 0 && i < sizeof fixed / sizeof *fixed; i++) {
        const json_t *a = json_object_get(was, fixed[i]), *b = json_object_get(now, fixed[i]);
        if ((a && b && json_equal(a, b)) || (!a && !b))
            continue;
        js_fields_why(ret_why, why_size, "\"%s\" cannot be changed", fixed[i]);
        r = JS_ERR_NOT_PERMITTED;
    }
    json_decref(was);
    json_decref(now);
    return r;
}
