/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs stream add|edit|rm|ls`. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cli/cli.h"
#include "fs/cli/consumer.h"

#define EXITS     .usage = JF_EXIT_REFUSED, .refused = JF_EXIT_REFUSED, .failed = JF_EXIT_SYSTEM
#define EXIT_TEXT "\nExit: 0 done; 1 usage, or refused; 2 system error.\n"
#define MAX_SUBJECTS 64

enum { OPT_CONFIG = JF_OPT_VERB, OPT_SUBJECT, OPT_FORCE, OPT_CIPHER };

struct options {
    const char *config;
    const char *subjects[MAX_SUBJECTS];
    size_t num_subjects;
    bool force;
};

static const char *take_option(struct jf_call *call, int id, const char *value) {
    struct options *o = call->data;

    switch (id) {
    case OPT_CONFIG:
        o->config = value;
        return NULL;
    case OPT_FORCE:
        o->force = true;
        return NULL;
    case OPT_SUBJECT:
        if (o->num_subjects == MAX_SUBJECTS)
            return "too many subjects";
        o->subjects[o->num_subjects++] = value;
        return js_filter_valid(value, strlen(value)) ? NULL : "--subject needs a subject filter";
    default:
        return jf_cli_take_cipher(call, value);
    }
}

static const char *needs_stream(struct jf_call *call) {
    return call->stream ? NULL : "which stream? (use SOURCE:STREAM)";
}

/* The configuration that the options describe, over `base` (taken; may be NULL). NULL after telling
 * why. */
static char *read_config(struct jf_call *call, json_t *base) {
    const struct options *o = call->data;
    json_error_t error;
    json_t *given = NULL;

    if (o->config) {
        FILE *in = strcmp(o->config, "-") == 0 ? stdin : fopen(o->config, "re");
        if (!in) {
            jf_say(o->config, "%s", strerror(errno));
            json_decref(base);
            return NULL;
        }
        given = json_loadf(in, JSON_REJECT_DUPLICATES, &error);
        if (in != stdin)
            fclose(in);
        if (!json_is_object(given)) {
            jf_say(o->config, "no JSON object: %s (line %d)", given ? "something else" : error.text,
                   error.line);
            json_decref(given);
            json_decref(base);
            return NULL;
        }
    }
    json_t *root = base ? base : json_object();
    if (given)
        json_object_update(root, given);
    json_decref(given);
    if (o->num_subjects) {
        json_t *list = json_array();
        for (size_t i = 0; i < o->num_subjects; i++)
            json_array_append_new(list, json_string(o->subjects[i]));
        json_object_set_new(root, "subjects", list);
    }
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return text;
}

static void tell_name(struct jf_call *call, const char *key, const char *name) {
    if (!call->json) {
        jf_out_printf(call->out, "%s\n", name);
        return;
    }
    jf_out_printf(call->out, "{\"%s\": ", key);
    jf_out_json_text(call->out, name);
    jf_out_text(call->out, "}\n");
}

/* Opens the store without asking for the stream. 0, or the exit code. */
static int open_store(struct jf_call *call, unsigned flags, struct jf_source *source,
                      const char **ret_account) {
    char *name = call->stream;

    call->stream = NULL;
    int code = jf_source_open(call, flags, source);
    call->stream = name;
    if (code)
        return code;
    int r = jf_source_account(source, ret_account);
    return r < 0 ? jf_source_close(source, jf_cli_exit_of(call->verb, r)) : 0;
}

static int run_add(struct jf_call *call) {
    const struct options *o = call->data;
    struct jf_source source;
    const char *account;
    char why[300] = "";
    char *config = NULL, *made = NULL; /* account of a store that is made for this */

    if (o->config || o->num_subjects) {
        config = read_config(call, NULL);
        if (!config)
            return call->verb->refused;
    }
    bool is_new = jf_source_is_new(call);
    int code = open_store(call, JS_OPEN_RW | JS_OPEN_CREATE, &source, &account);
    if (code == 0) {
        if (is_new)
            made = strdup(account);
        int r = js_store_create_stream(source.store, account, call->stream, config, why, sizeof why);
        if (r < 0)
            code = jf_cli_error(call, call->words[0], r, why);
        else
            tell_name(call, "created", call->stream);
        code = jf_source_close(&source, code);
        if (r < 0 && made)
            jf_source_unmake(call->source, made);
    }
    free(made);
    free(config);
    return code;
}

static int run_edit(struct jf_call *call) {
    struct jf_source source;
    struct js_stream *stream;
    char why[300] = "";
    int code = jf_consumer_stream(call, JS_OPEN_RW, &source, &stream);

    if (code)
        return code;
    json_t *base = json_loads(js_stream_config_json(stream), 0, NULL);
    json_object_del(base, "Created");
    char *config = read_config(call, base);
    if (!config) {
        code = call->verb->refused;
    } else {
        int r = js_stream_update_config(stream, config, why, sizeof why);
        if (r < 0)
            code = jf_cli_error(call, call->words[0], r, why);
        else
            tell_name(call, "changed", call->stream);
    }
    free(config);
    js_stream_unref(stream);
    return jf_source_close(&source, code);
}

static int run_rm(struct jf_call *call) {
    const struct options *o = call->data;
    struct jf_source source;
    const char *account;

    if (!o->force) {
        jf_say(call->words[0], "this deletes the stream with all its messages and consumers (say "
                               "--force if that is meant)");
        return call->verb->refused;
    }
    int code = open_store(call, JS_OPEN_RW, &source, &account);
    if (code)
        return code;
    int r = js_store_delete_stream(source.store, account, call->stream);
    if (r < 0)
        code = jf_cli_error(call, call->words[0], r, NULL);
    else
        tell_name(call, "deleted", call->stream);
    return jf_source_close(&source, code);
}

static const struct jf_opt add_opts[] = {
    {"config", 0, "FILE", OPT_CONFIG, "its configuration as JSON (- = standard input)"},
    {"subject", 0, "FILTER", OPT_SUBJECT, "a subject that it takes (repeat for more)"},
    {"cipher", 0, "CIPHER", OPT_CIPHER, "encrypt it: chacha or aes (needs --key-file)"},
};
static const struct jf_opt edit_opts[] = {
    {"config", 0, "FILE", OPT_CONFIG, "fields to change, as JSON (- = standard input)"},
    {"subject", 0, "FILTER", OPT_SUBJECT, "the subjects that it takes (repeat for more)"},
};
static const struct jf_opt rm_opts[] = {
    {"force", 0, NULL, OPT_FORCE, "it is meant"},
};

const struct jf_verb jf_verb_stream_add = {
    .name = "stream add",
    .synopsis = "SOURCE:STREAM [OPTIONS]",
    .summary = "create a stream",
    .details = "Without options the stream takes the subjects STREAM and STREAM.>, on file storage,\n"
               "with limits retention. SOURCE is made if it is not there.\n" EXIT_TEXT,
    .opts = add_opts,
    .nopts = 3,
    .min_words = 1,
    .max_words = 1,
    .data_size = sizeof(struct options),
    EXITS,
    .option = take_option,
    .check = needs_stream,
    .run = run_add,
};

const struct jf_verb jf_verb_stream_edit = {
    .name = "stream edit",
    .synopsis = "SOURCE:STREAM [OPTIONS]",
    .summary = "change a stream's configuration",
    .details = "Fields that are not given stay. Limits act at once. What servers do not allow to\n"
               "change is refused.\n" EXIT_TEXT,
    .opts = edit_opts,
    .nopts = 2,
    .min_words = 1,
    .max_words = 1,
    .data_size = sizeof(struct options),
    EXITS,
    .option = take_option,
    .check = needs_stream,
    .run = run_edit,
};

const struct jf_verb jf_verb_stream_rm = {
    .name = "stream rm",
    .synopsis = "SOURCE:STREAM --force",
    .summary = "delete a stream with all it holds",
    .details = "Needs --force, because nothing brings the messages back.\n" EXIT_TEXT,
    .opts = rm_opts,
    .nopts = 1,
    .min_words = 1,
    .max_words = 1,
    .data_size = sizeof(struct options),
    EXITS,
    .option = take_option,
    .check = needs_stream,
    .run = run_rm,
};
