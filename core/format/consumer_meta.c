/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meta.inf of a consumer: "Created" and "Name" (which is the directory's) beside the consumer's
 * configuration. An absent ack_policy is "none".
 */
#include "core/format/json_fields.h"
#include "core/format/meta.h"

struct word {
    const char *text;
    char code;
};

static char code_of(struct js_fields *f, const char *key, const struct word *words) {
    const char *text = js_field_str(f, key, "");

    if (!*text)
        return words[0].code;
    for (size_t i = 0; words[i].text; i++) {
        if (strcmp(text, words[i].text) == 0)
            return words[i].code;
    }
    if (!f->bad)
        f->bad = key;
    return words[0].code;
}

void js_consumer_config_done(struct js_consumer_config *config) {
    if (!config->env)
        return;
    for (size_t i = 0; i < config->num_filters; i++)
        js_free(config->env, config->filters[i]);
    js_free(config->env, config->filters);
    js_free(config->env, config->name);
    js_free(config->env, config->backoff);
    *config = (struct js_consumer_config){.env = config->env};
}

static int add_filter(struct js_consumer_config *c, const char *text) {
    if (!*text)
        return 0;
    c->filters[c->num_filters] = js_strdup(c->env, text);
    if (!c->filters[c->num_filters])
        return JS_ERR_NOMEM;
    c->num_filters++;
    return 0;
}

static int take_strings(struct js_fields *f, struct js_consumer_config *c) {
    const char *durable = js_field_str(f, "durable_name", "");
    const char *name = js_field_str(f, "name", durable);
    const json_t *filters = js_field_strings(f, "filter_subjects");
    size_t n = json_array_size(filters);

    c->durable = *durable != 0;
    c->name = js_strdup(c->env, js_field_str(f, "Name", name));
    c->filters = js_calloc(c->env, n + 1, sizeof *c->filters);
    if (!c->name || !c->filters)
        return JS_ERR_NOMEM;
    int r = add_filter(c, js_field_str(f, "filter_subject", ""));
    for (size_t i = 0; i < n && r == 0; i++)
        r = add_filter(c, json_string_value(json_array_get(filters, i)));
    return r;
}

#define SECOND INT64_C(1000000000)

static int take_backoff(struct js_fields *f, struct js_consumer_config *c) {
    const json_t *list = js_field(f, "backoff");
    size_t n = json_array_size(list);

    if (list && !json_is_array(list) && !f->bad)
        f->bad = "backoff";
    if (n == 0)
        return 0;
    c->backoff = js_calloc(c->env, n, sizeof *c->backoff);
    if (!c->backoff)
        return JS_ERR_NOMEM;
    c->num_backoff = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v) && !f->bad)
            f->bad = "backoff";
        c->backoff[i] = json_integer_value(v) > 0 ? json_integer_value(v) : 0;
    }
    return 0;
}

static void take_numbers(struct js_fields *f, struct js_consumer_config *c) {
    int64_t start = js_field_int(f, "opt_start_seq", 0);

    c->opt_start_seq = start > 0 ? (js_seq_t)start : 0;
    c->opt_start_time = js_field_time(f, "opt_start_time");
    c->created = js_field_time(f, "Created");
    c->pause_until = js_field_time(f, "pause_until");
    c->ack_wait = js_field_int(f, "ack_wait", 0);
    if (c->ack_wait <= 0)
        c->ack_wait = 30 * SECOND;
    c->max_deliver = js_field_int(f, "max_deliver", -1);
    c->max_ack_pending = js_field_int(f, "max_ack_pending", c->ack_policy == 'n' ? -1 : 1000);
    c->push = *js_field_str(f, "deliver_subject", "") != 0;
    c->mem_storage = js_field_bool(f, "mem_storage");
}

int js_consumer_config_parse(const struct js_env *env, const char *json, size_t len,
                             struct js_consumer_config *ret_config) {
    static const struct word acks[] = {
        {"none", 'n'}, {"all", 'a'}, {"explicit", 'e'}, {"flow_control", 'f'}, {NULL, 0}};
    static const struct word delivers[] = {{"all", 'a'},
                                           {"last", 'l'},
                                           {"new", 'n'},
                                           {"by_start_sequence", 's'},
                                           {"by_start_time", 't'},
                                           {"last_per_subject", 'p'},
                                           {NULL, 0}};
    struct js_consumer_config c = {.env = env};
    json_t *root;
    int r = js_fields_load(json, len, &root, NULL, 0);

    if (r < 0)
        return r;
    struct js_fields f = {.object = root};
    c.ack_policy = code_of(&f, "ack_policy", acks);
    c.deliver_policy = code_of(&f, "deliver_policy", delivers);
    take_numbers(&f, &c);
    r = take_backoff(&f, &c);
    if (r == 0)
        r = take_strings(&f, &c);
    if (r == 0 && f.bad)
        r = JS_ERR_CORRUPT;
    json_decref(root);
    if (r < 0) {
        js_consumer_config_done(&c);
        return r;
    }
    *ret_config = c;
    return 0;
}
