/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs ls`: accounts, their streams, and the streams' consumers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cli/cli.h"
#include "fs/cli/source.h"
#include "fs/cli/table.h"

/* Consumers' names as they go into the row: "a,b" or "a","b". */
struct name_list {
    char *text;
    size_t len;
    struct jf_out *json; /* NULL: into text */
    size_t count;
};

static int add_consumer(void *ctx, const char *name) {
    struct name_list *names = ctx;
    size_t n = strlen(name);
    char *grown;

    if (names->json) {
        jf_out_text(names->json, names->count++ ? ", " : "");
        jf_out_json_text(names->json, name);
        return 0;
    }
    grown = realloc(names->text, names->len + n + 2);
    if (!grown)
        return JS_ERR_NOMEM;
    names->text = grown;
    if (names->count++)
        grown[names->len++] = ',';
    memcpy(grown + names->len, name, n + 1);
    names->len += n;
    return 0;
}

static void row_of_error(struct jf_table *table, const struct jf_target *target, int code) {
    jf_table_add(table, target->account);
    jf_table_add(table, target->stream ? target->stream : "-");
    for (int i = 0; i < 6; i++)
        jf_table_add(table, "-");
    jf_table_add(table, code < 0 ? js_err_text(code) : "-");
    jf_table_add(table, "-");
}

/* So many bytes of blocks are read by one `ls` to tell the health of what index.db describes; the
 * streams beyond are "unchecked" unless something is known against them. */
#define MAX_READ (UINT64_C(256) << 20)

/* The state of a stream and what is known of its health. *budget: bytes that may still be read. */
static const char *look_at(struct js_stream *stream, uint64_t *budget,
                           struct js_stream_state *ret_state) {
    enum js_health health;

    js_stream_get_state(stream, ret_state);
    if (!ret_state->scanned && ret_state->bytes <= *budget) {
        *budget -= ret_state->bytes;
        if (js_stream_scan(stream) == 0)
            js_stream_get_state(stream, ret_state);
    }
    health = js_stream_health(stream);
    return health == JS_HEALTH_OK && !ret_state->scanned ? "unchecked" : js_health_name(health);
}

static int row_of_stream(const struct jf_call *call, struct jf_table *table,
                         const struct jf_target *target, struct js_stream *stream,
                         uint64_t *budget) {
    struct js_stream_state state = {0};
    struct name_list names = {0};
    const char *health = look_at(stream, budget, &state);
    int r;

    r = js_stream_list_consumers(stream, add_consumer, &names);
    jf_table_add(table, target->account);
    jf_table_add(table, target->stream);
    jf_table_addf(table, "%llu", (unsigned long long)state.msgs);
    jf_table_add_bytes(table, state.bytes, call->out->tty);
    jf_table_addf(table, "%llu", (unsigned long long)state.first_seq);
    jf_table_addf(table, "%llu", (unsigned long long)state.last_seq);
    jf_table_add_time(table, state.first_time);
    jf_table_add_time(table, state.last_time);
    jf_table_add(table, health);
    jf_table_add(table, r < 0 ? js_err_text(r) : names.text ? names.text : "-");
    free(names.text);
    return r;
}

static int print_rows(const struct jf_call *call, const struct jf_source *source) {
    static const char *const heads[] = {"ACCOUNT", "STREAM",   "MESSAGES",   "BYTES",
                                        "FIRST",   "LAST",     "FIRST_TIME", "LAST_TIME",
                                        "HEALTH",  "CONSUMERS"};
    struct jf_table table;
    uint64_t budget = MAX_READ;
    int code = JF_EXIT_OK;

    jf_table_init(&table, 10);
    for (size_t i = 0; i < 10; i++)
        jf_table_add(&table, heads[i]);
    for (size_t i = 0; i < source->ntargets; i++) {
        const struct jf_target *target = &source->targets[i];
        struct js_stream *stream;
        int r = 0;

        if (target->stream)
            r = jf_source_stream(source, target, &stream);
        if (!target->stream || r < 0) {
            row_of_error(&table, target, r);
        } else {
            r = row_of_stream(call, &table, target, stream, &budget);
            js_stream_unref(stream);
        }
        if (r < 0)
            code = jf_cli_exit_of(call->verb, r);
    }
    jf_table_finish(&table, call->out);
    return code;
}

static int json_of_stream(struct jf_out *out, struct js_stream *stream, uint64_t *budget) {
    struct js_stream_state state = {0};
    struct name_list names = {.json = out};
    const char *health = look_at(stream, budget, &state);
    int r;

    jf_out_printf(out,
                  ", \"messages\": %llu, \"bytes\": %llu, \"first_seq\": %llu, \"first_time\": ",
                  (unsigned long long)state.msgs, (unsigned long long)state.bytes,
                  (unsigned long long)state.first_seq);
    jf_out_json_time(out, state.first_time);
    jf_out_printf(out, ", \"last_seq\": %llu, \"last_time\": ", (unsigned long long)state.last_seq);
    jf_out_json_time(out, state.last_time);
    jf_out_printf(out, ", \"health\": \"%s\", \"consumers\": [", health);
    r = js_stream_list_consumers(stream, add_consumer, &names);
    jf_out_text(out, "]");
    return r;
}

static void json_error(struct jf_out *out, int code) {
    jf_out_text(out, ", \"error\": ");
    jf_out_json_text(out, js_err_text(code));
}

/* Targets come sorted by account: a change of account opens the next object. */
static int print_json(const struct jf_call *call, const struct jf_source *source) {
    struct jf_out *out = call->out;
    const char *account = NULL;
    uint64_t budget = MAX_READ;
    int code = JF_EXIT_OK;

    jf_out_text(out, "{\n  \"source\": ");
    jf_out_json_text(out, call->source);
    jf_out_text(out, ",\n  \"accounts\": [");
    for (size_t i = 0; i < source->ntargets; i++) {
        const struct jf_target *target = &source->targets[i];
        bool next = !account || strcmp(account, target->account) != 0;
        struct js_stream *stream;
        int r;

        if (next) {
            jf_out_text(out, account ? "]},\n    {\"name\": " : "\n    {\"name\": ");
            account = target->account;
            jf_out_json_text(out, account);
            jf_out_text(out, ", \"streams\": [");
        }
        if (!target->stream)
            continue;
        jf_out_text(out, next ? "\n      {\"name\": " : ",\n      {\"name\": ");
        jf_out_json_text(out, target->stream);
        r = jf_source_stream(source, target, &stream);
        if (r >= 0) {
            r = json_of_stream(out, stream, &budget);
            js_stream_unref(stream);
        }
        if (r < 0) {
            json_error(out, r);
            code = jf_cli_exit_of(call->verb, r);
        }
        jf_out_text(out, "}");
    }
    jf_out_text(out, account ? "]}\n  ]\n}\n" : "]\n}\n");
    return code;
}

static int run(struct jf_call *call) {
    struct jf_source source;
    int code = jf_source_open(call, 0, &source);

    if (code)
        return code;
    code = call->json ? print_json(call, &source) : print_rows(call, &source);
    return jf_source_close(&source, code);
}

const struct jf_verb jf_verb_ls = {
    .name = "ls",
    .synopsis = "SOURCE[:STREAM] [OPTIONS]",
    .summary = "list accounts, streams and consumers",
    .details = "Lists the accounts of SOURCE, their streams (messages, bytes, first and last\n"
               "sequence and time, health) and the streams' consumers. Aligned on a terminal,\n"
               "fields divided by tabs otherwise.\n"
               "\n"
               "Exit: 0 done; 1 usage, or not possible; 2 system error.\n",
    .min_words = 1,
    .max_words = 1,
    .usage = JF_EXIT_REFUSED,
    .refused = JF_EXIT_REFUSED,
    .failed = JF_EXIT_SYSTEM,
    .run = run,
};

/* The words of the `nats` tool for the same. */
const struct jf_verb jf_verb_stream_ls = {
    .name = "stream ls",
    .synopsis = "SOURCE[:STREAM] [OPTIONS]",
    .summary = "list accounts, streams and consumers",
    .details = "Lists the accounts of SOURCE, their streams (messages, bytes, first and last\n"
               "sequence and time, health) and the streams' consumers. Aligned on a terminal,\n"
               "fields divided by tabs otherwise.\n"
               "\n"
               "Exit: 0 done; 1 usage, or not possible; 2 system error.\n",
    .min_words = 1,
    .max_words = 1,
    .usage = JF_EXIT_REFUSED,
    .refused = JF_EXIT_REFUSED,
    .failed = JF_EXIT_SYSTEM,
    .run = run,
};
