/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs consumer add|rm|ls|info|reset`: the words are those of the `nats` tool. */
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cli/cli.h"
#include "fs/cli/consumer.h"
#include "fs/cli/table.h"
#include "fs/view/duration.h"
#include "fs/view/info.h"

int jf_consumer_stream(struct jf_call *call, unsigned flags, struct jf_source *source,
                       struct js_stream **ret_stream) {
    int code = jf_source_open(call, flags, source);
    const struct jf_target *target;

    if (code)
        return code;
    target = jf_source_only(source);
    if (!target) {
        jf_say(call->words[0], "which stream? (use SOURCE:STREAM)");
        return jf_source_close(source, call->verb->refused);
    }
    int r = jf_source_stream(source, target, ret_stream);
    return r < 0 ? jf_source_close(source, jf_cli_exit_of(call->verb, r)) : 0;
}

/* Runs fn with the stream of the call. */
static int with_stream(struct jf_call *call, unsigned flags,
                       int (*fn)(struct jf_call *call, struct js_stream *stream)) {
    struct jf_source source;
    struct js_stream *stream;
    int code = jf_consumer_stream(call, flags, &source, &stream);

    if (code)
        return code;
    code = fn(call, stream);
    js_stream_unref(stream);
    return jf_source_close(&source, code);
}

/* ---- info ---------------------------------------------------------------------------------- */

/* The text of info.json with the configuration in it. */
static int show(struct jf_call *call, struct js_stream *stream) {
    char *state = NULL, *config = NULL, *text = NULL;
    size_t len;
    int r = jf_info_consumer(stream, call->words[1], &state, &len);

    if (r >= 0)
        r = jf_info_consumer_config(stream, call->words[1], &config, &len);
    json_t *root = r >= 0 ? json_loads(state, 0, NULL) : NULL;
    json_t *inner = r >= 0 ? json_loads(config, 0, NULL) : NULL;
    if (root)
        json_object_set_new(root, "config", inner ? inner : json_null());
    text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    if (r >= 0 && !text)
        r = JS_ERR_NOMEM;
    if (text) {
        jf_out_text(call->out, text);
        jf_out_text(call->out, "\n");
    }
    json_decref(root);
    free(text);
    free(state);
    free(config);
    return r < 0 ? jf_cli_error(call, call->words[1], r, NULL) : JF_EXIT_OK;
}

static int run_info(struct jf_call *call) {
    return with_stream(call, 0, show);
}

#define EXITS     .usage = JF_EXIT_REFUSED, .refused = JF_EXIT_REFUSED, .failed = JF_EXIT_SYSTEM
#define EXIT_TEXT "\nExit: 0 done; 1 usage, or refused; 2 system error.\n"

const struct jf_verb jf_verb_consumer_info = {
    .name = "consumer info",
    .synopsis = "SOURCE:STREAM CONSUMER [OPTIONS]",
    .summary = "show a consumer's state and configuration",
    .details =
        "Prints the state (as info.json in a mount) and the configuration, as JSON.\n" EXIT_TEXT,
    .min_words = 2,
    .max_words = 2,
    EXITS,
    .run = run_info,
};

/* ---- ls ---------------------------------------------------------------------------------------
 */

struct rows {
    struct jf_table *table;
    struct js_stream *stream;
};

static int add_row(void *ctx, const struct js_consumer_info *info) {
    struct rows *rows = ctx;
    const uint64_t numbers[] = {info->delivered_stream, info->ack_floor_stream,
                                info->num_ack_pending, info->num_redelivered, info->num_pending};

    jf_table_add(rows->table, js_stream_account(rows->stream));
    jf_table_add(rows->table, js_stream_name(rows->stream));
    jf_table_add(rows->table, info->name);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        jf_table_addf(rows->table, "%llu", (unsigned long long)numbers[i]);
    jf_table_add(rows->table, js_health_name(info->health));
    return 0;
}

static int add_json(void *ctx, const struct js_consumer_info *info) {
    json_t *list = ctx;
    json_t *item = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:s}", "name", info->name,
                             "delivered_stream_seq", (json_int_t)info->delivered_stream,
                             "ack_floor_stream_seq", (json_int_t)info->ack_floor_stream,
                             "num_ack_pending", (json_int_t)info->num_ack_pending,
                             "num_redelivered", (json_int_t)info->num_redelivered, "num_pending",
                             (json_int_t)info->num_pending, "health", js_health_name(info->health));

    return json_array_append_new(list, item) < 0 ? JS_ERR_NOMEM : 0;
}

/* A listing holds no lock of the stream while its consumers are looked at. */
struct names {
    char **list;
    size_t n;
};

static int keep_name(void *ctx, const char *name) {
    struct names *names = ctx;
    char **list = realloc(names->list, (names->n + 1) * sizeof *list);

    if (!list)
        return JS_ERR_NOMEM;
    names->list = list;
    list[names->n] = strdup(name);
    return list[names->n++] ? 0 : JS_ERR_NOMEM;
}

static int each_consumer(struct js_stream *stream,
                         int (*fn)(void *ctx, const struct js_consumer_info *info), void *ctx) {
    struct names names = {0};
    int r = js_stream_list_consumers(stream, keep_name, &names);

    for (size_t i = 0; i < names.n; i++) {
        if (r >= 0 && names.list[i])
            r = js_consumer_get(stream, names.list[i], fn, ctx);
        free(names.list[i]);
    }
    free(names.list);
    return r;
}

static int list_json(struct jf_call *call, const struct jf_source *source) {
    json_t *root = json_array();
    int r = root ? 0 : JS_ERR_NOMEM;

    for (size_t i = 0; i < source->ntargets && r >= 0; i++) {
        const struct jf_target *target = &source->targets[i];
        struct js_stream *stream;
        if (!target->stream)
            continue;
        r = jf_source_stream(source, target, &stream);
        if (r < 0)
            break;
        json_t *list = json_array();
        r = each_consumer(stream, add_json, list);
        json_array_append_new(root, json_pack("{s:s, s:s, s:o}", "account", target->account,
                                              "stream", target->stream, "consumers", list));
        js_stream_unref(stream);
    }
    char *text = r >= 0 ? json_dumps(root, JSON_INDENT(2)) : NULL;
    if (text) {
        jf_out_text(call->out, text);
        jf_out_text(call->out, "\n");
    }
    free(text);
    json_decref(root);
    return r < 0 ? jf_cli_error(call, NULL, r, NULL) : JF_EXIT_OK;
}

static int list_rows(struct jf_call *call, const struct jf_source *source) {
    static const char *const heads[] = {"ACCOUNT",     "STREAM",  "CONSUMER",
                                        "DELIVERED",   "FLOOR",   "ACK_PENDING",
                                        "REDELIVERED", "PENDING", "HEALTH"};
    struct jf_table table;
    int code = JF_EXIT_OK;

    jf_table_init(&table, 9);
    for (size_t i = 0; i < 9; i++)
        jf_table_add(&table, heads[i]);
    for (size_t i = 0; i < source->ntargets; i++) {
        struct rows rows = {.table = &table};
        const struct jf_target *target = &source->targets[i];
        if (!target->stream)
            continue;
        int r = jf_source_stream(source, target, &rows.stream);
        if (r >= 0) {
            r = each_consumer(rows.stream, add_row, &rows);
            if (r < 0)
                jf_cli_error(call, target->stream, r, NULL);
            js_stream_unref(rows.stream);
        }
        if (r < 0)
            code = jf_cli_exit_of(call->verb, r);
    }
    jf_table_finish(&table, call->out);
    return code;
}

static int run_ls(struct jf_call *call) {
    struct jf_source source;
    int code = jf_source_open(call, 0, &source);

    if (code)
        return code;
    code = call->json ? list_json(call, &source) : list_rows(call, &source);
    return jf_source_close(&source, code);
}

const struct jf_verb jf_verb_consumer_ls = {
    .name = "consumer ls",
    .synopsis = "SOURCE[:STREAM] [OPTIONS]",
    .summary = "list consumers and how far they are",
    .details = "Lists the consumers of all streams of SOURCE, or of one.\n" EXIT_TEXT,
    .min_words = 1,
    .max_words = 1,
    EXITS,
    .run = run_ls,
};

/* ---- rm ---------------------------------------------------------------------------------------
 */

enum { OPT_FORCE = JF_OPT_VERB };

static const char *take_force(struct jf_call *call, int id, const char *value) {
    (void)id;
    (void)value;
    *(bool *)call->data = true;
    return NULL;
}

static int removing(struct jf_call *call, struct js_stream *stream) {
    int r = js_stream_delete_consumer(stream, call->words[1], *(bool *)call->data);

    if (r == JS_ERR_LOCKED) {
        jf_say(call->words[1], "messages are in flight (use --force)");
        return call->verb->refused;
    }
    return r < 0 ? jf_cli_error(call, call->words[1], r, NULL) : JF_EXIT_OK;
}

static int run_rm(struct jf_call *call) {
    return with_stream(call, JS_OPEN_RW, removing);
}

static const struct jf_opt rm_opts[] = {
    {"force", 'f', NULL, OPT_FORCE, "also with messages in flight"},
};

const struct jf_verb jf_verb_consumer_rm = {
    .name = "consumer rm",
    .synopsis = "SOURCE:STREAM CONSUMER [OPTIONS]",
    .summary = "delete a consumer",
    .details =
        "Deletes a consumer and what it knows. Messages stay, but on a stream with retention\n"
        "by interest those go that only it wanted.\n" EXIT_TEXT,
    .opts = rm_opts,
    .nopts = sizeof rm_opts / sizeof rm_opts[0],
    .min_words = 2,
    .max_words = 2,
    .data_size = sizeof(bool),
    EXITS,
    .option = take_force,
    .run = run_rm,
};

/* ---- reset --------------------------------------------------------------------------------------
 */

enum { OPT_SEQ = JF_OPT_VERB, OPT_TIME };

struct where {
    js_seq_t seq;
    js_time_t time;
    bool by_time;
};

static const char *take_where(struct jf_call *call, int id, const char *value) {
    const struct js_env *env = js_env_default();
    struct where *where = call->data;
    js_seq_t last;

    if (id == OPT_SEQ)
        return jf_args_parse_range(value, &where->seq, &last) < 0 || where->seq != last ||
                       where->seq == 0
                   ? "--seq needs a sequence"
                   : NULL;
    where->by_time = true;
    return js_time_parse(value, env->clock->now(env->clock->ctx), &where->time) < 0
               ? "--time needs a time, such as 2026-07-14T13:00:00Z or -1h"
               : NULL;
}

static int resetting(struct jf_call *call, struct js_stream *stream) {
    const struct where *where = call->data;
    js_seq_t seq = where->seq;
    int r = 0;

    if (where->by_time) {
        r = js_stream_seq_from_time(stream, where->time, &seq);
    }
    if (r == 0)
        r = js_stream_repair_consumer(stream, call->words[1], seq);
    return r < 0 ? jf_cli_error(call, call->words[1], r, NULL) : show(call, stream);
}

static int run_reset(struct jf_call *call) {
    return with_stream(call, JS_OPEN_RW, resetting);
}

static const struct jf_opt reset_opts[] = {
    {"seq", 0, "N", OPT_SEQ, "delivery goes on at this sequence"},
    {"time", 0, "T", OPT_TIME, "delivery goes on at the first message from this time on"},
};

const struct jf_verb jf_verb_consumer_reset = {
    .name = "consumer reset",
    .synopsis = "SOURCE:STREAM CONSUMER [OPTIONS]",
    .summary = "set where a consumer goes on, mend its state",
    .details =
        "With --seq or --time, delivery goes on there and what was pending is forgotten.\n"
        "Without, a state that cannot be right is mended: one that cannot be read begins anew,\n"
        "one that is past the stream's end is brought back to it. Prints the new "
        "state.\n" EXIT_TEXT,
    .opts = reset_opts,
    .nopts = sizeof reset_opts / sizeof reset_opts[0],
    .min_words = 2,
    .max_words = 2,
    .data_size = sizeof(struct where),
    EXITS,
    .option = take_where,
    .run = run_reset,
};

/* ---- add ----------------------------------------------------------------------------------------
 */

enum {
    OPT_FILTER = JF_OPT_VERB,
    OPT_DELIVER,
    OPT_ACK,
    OPT_WAIT,
    OPT_MAX_DELIVER,
    OPT_MAX_PENDING,
    OPT_BACKOFF,
    OPT_DESCRIPTION,
    OPT_CONFIG,
};

struct adding {
    json_t *config; /* owned; NULL: nothing yet */
    json_t *filters;
};

static const char *set(struct adding *a, const char *key, json_t *value) {
    if (!a->config)
        a->config = json_object();
    return json_object_set_new(a->config, key, value) < 0 ? js_err_text(JS_ERR_NOMEM) : NULL;
}

/* A word of the server's, a sequence, or a time. */
static const char *set_deliver(struct adding *a, const char *value) {
    static const char *const words[] = {"all", "last", "new", "last_per_subject"};
    const struct js_env *env = js_env_default();
    char word[40], text[40];
    js_time_t time;

    snprintf(word, sizeof word, "%s", value);
    for (char *p = word; *p; p++)
        if (*p == '-' && isalpha((unsigned char)p[1]))
            *p = '_';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0)
            return set(a, "deliver_policy", json_string(words[i]));
    if (*value && value[strspn(value, "0123456789")] == 0) {
        const char *why = set(a, "deliver_policy", json_string("by_start_sequence"));
        return why ? why : set(a, "opt_start_seq", json_integer(strtoll(value, NULL, 10)));
    }
    if (js_time_parse(value, env->clock->now(env->clock->ctx), &time) < 0)
        return "--deliver needs all, last, new, last-per-subject, a sequence or a time";
    js_time_format(time, text, sizeof text);
    const char *why = set(a, "deliver_policy", json_string("by_start_time"));
    return why ? why : set(a, "opt_start_time", json_string(text));
}

static const char *set_backoff(struct adding *a, const char *value) {
    json_t *list = json_array();
    char text[200];
    char *rest = text, *word;
    js_time_t t;

    if (!list || strlen(value) >= sizeof text) {
        json_decref(list);
        return "--backoff needs durations with commas between them";
    }
    strcpy(text, value);
    while ((word = strsep(&rest, ","))) {
        if (jf_duration_parse(word, &t) < 0 || json_array_append_new(list, json_integer(t)) < 0) {
            json_decref(list);
            return "--backoff needs durations with commas between them";
        }
    }
    return set(a, "backoff", list);
}

static const char *set_number(struct adding *a, const char *key, const char *value) {
    char *end;
    long long v = strtoll(value, &end, 10);

    if (!*value || *end)
        return "a number is needed";
    return set(a, key, json_integer(v));
}

/* A configuration as in meta.inf; what other options say is put into it. */
static const char *load_config(struct adding *a, const char *path) {
    json_t *file =
        strcmp(path, "-") == 0 ? json_loadf(stdin, 0, NULL) : json_load_file(path, 0, NULL);

    if (!json_is_object(file)) {
        json_decref(file);
        return "--config needs a file with a JSON object";
    }
    if (a->config)
        json_object_update(file, a->config);
    json_decref(a->config);
    a->config = file;
    return NULL;
}

static const char *take_add(struct jf_call *call, int id, const char *value) {
    struct adding *a = call->data;
    js_time_t t;

    switch (id) {
    case OPT_FILTER:
        if (!a->filters)
            a->filters = json_array();
        return json_array_append_new(a->filters, json_string(value)) < 0
                   ? "--filter needs a subject filter"
                   : NULL;
    case OPT_DELIVER:
        return set_deliver(a, value);
    case OPT_ACK:
        return set(a, "ack_policy", json_string(value));
    case OPT_WAIT:
        if (jf_duration_parse(value, &t) < 0)
            return "--wait needs a duration, such as 30s";
        return set(a, "ack_wait", json_integer(t));
    case OPT_MAX_DELIVER:
        return set_number(a, "max_deliver", value);
    case OPT_MAX_PENDING:
        return set_number(a, "max_ack_pending", value);
    case OPT_BACKOFF:
        return set_backoff(a, value);
    case OPT_DESCRIPTION:
        return set(a, "description", json_string(value));
    default:
        return load_config(a, value);
    }
}

static const char *check_add(struct jf_call *call) {
    struct adding *a = call->data;

    if (!a->filters)
        return NULL;
    if (json_array_size(a->filters) == 1)
        return set(a, "filter_subject", json_incref(json_array_get(a->filters, 0)));
    return set(a, "filter_subjects", json_incref(a->filters));
}

static void done_add(struct jf_call *call) {
    struct adding *a = call->data;

    json_decref(a->config);
    json_decref(a->filters);
}

static int adding(struct jf_call *call, struct js_stream *stream) {
    struct adding *a = call->data;
    char why[256] = "";
    char *text = a->config ? json_dumps(a->config, JSON_COMPACT) : NULL;

    if (a->config && !text)
        return jf_cli_error(call, NULL, JS_ERR_NOMEM, NULL);
    int r = js_stream_create_consumer(stream, call->words[1], text, why, sizeof why);
    free(text);
    return r < 0 ? jf_cli_error(call, call->words[1], r, why) : show(call, stream);
}

static int run_add(struct jf_call *call) {
    return with_stream(call, JS_OPEN_RW, adding);
}

static const struct jf_opt add_opts[] = {
    {"filter", 0, "F", OPT_FILTER, "only these subjects (repeat for more)"},
    {"deliver", 0, "P", OPT_DELIVER, "all, last, new, last-per-subject, a sequence or time"},
    {"ack", 0, "P", OPT_ACK, "explicit, all or none (explicit)"},
    {"wait", 0, "DUR", OPT_WAIT, "how long an acknowledgement may take (30s)"},
    {"max-deliver", 0, "N", OPT_MAX_DELIVER, "deliveries of one message (no limit)"},
    {"max-pending", 0, "N", OPT_MAX_PENDING, "messages in flight (1000)"},
    {"backoff", 0, "D,D", OPT_BACKOFF, "waits of the deliveries one after another"},
    {"description", 0, "TEXT", OPT_DESCRIPTION, "what it is for"},
    {"config", 0, "FILE", OPT_CONFIG, "a configuration in JSON (- = standard input)"},
};

const struct jf_verb jf_verb_consumer_add = {
    .name = "consumer add",
    .synopsis = "SOURCE:STREAM CONSUMER [OPTIONS]",
    .summary = "create a consumer",
    .details =
        "Creates a durable pull consumer by the server's rules and prints its state.\n" EXIT_TEXT,
    .opts = add_opts,
    .nopts = sizeof add_opts / sizeof add_opts[0],
    .min_words = 2,
    .max_words = 2,
    .data_size = sizeof(struct adding),
    EXITS,
    .option = take_add,
    .check = check_add,
    .run = run_add,
    .done = done_add,
};
