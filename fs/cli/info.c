/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs info`: the state of a store or a stream; with --json what info.json of the mount holds. */
#include <stdlib.h>
#include <string.h>

#include "fs/cli/cli.h"
#include "fs/cli/source.h"
#include "fs/cli/table.h"
#include "fs/view/info.h"

#define SYSTEM_ACCOUNT "$SYS"
#define MAX_PROBLEMS   20

/* True when the source itself is what is asked about, and not one stream of it. */
static bool is_store(const struct jf_source *source) {
    enum js_source_kind kind = js_store_kind(source->store);

    return !source->call->stream && kind != JS_SOURCE_STREAM && kind != JS_SOURCE_BACKUP;
}

/* The account that a mount would show: the one asked for, or the only one besides the system's.
 * NULL: several. */
static const char *mount_account(const struct jf_source *source) {
    const char *found = NULL;

    for (size_t i = 0; i < source->ntargets; i++) {
        const char *account = source->targets[i].account;

        if (strcmp(account, SYSTEM_ACCOUNT) == 0 && !source->call->account)
            continue;
        if (found && strcmp(found, account) != 0)
            return NULL;
        found = account;
    }
    return found;
}

struct problem_list {
    struct jf_out *out;
    size_t shown;
    size_t total;
};

static int print_problem(void *ctx, const struct js_problem *problem) {
    struct problem_list *list = ctx;

    list->total++;
    if (list->shown == MAX_PROBLEMS)
        return 0;
    list->shown++;
    jf_out_printf(list->out, "  %s ", js_health_name(problem->verdict));
    jf_out_escaped(list->out, problem->file, strlen(problem->file));
    jf_out_text(list->out, ": ");
    jf_out_escaped(list->out, problem->text, strlen(problem->text));
    jf_out_text(list->out, "\n");
    return 0;
}

static void line(struct jf_out *out, const char *name, const char *text) {
    jf_out_printf(out, "%-12s ", name);
    jf_out_escaped(out, text, strlen(text));
    jf_out_text(out, "\n");
}

static void number_line(struct jf_out *out, const char *name, uint64_t value) {
    jf_out_printf(out, "%-12s %llu\n", name, (unsigned long long)value);
}

static void bytes_line(struct jf_out *out, const char *name, uint64_t bytes) {
    char text[32];

    if (out->tty)
        jf_out_printf(out, "%-12s %llu (%s)\n", name, (unsigned long long)bytes,
                      jf_bytes_text(bytes, text, sizeof text));
    else
        number_line(out, name, bytes);
}

static void place_line(struct jf_out *out, const char *name, js_seq_t seq, js_time_t time) {
    char text[48] = "-";

    if (time)
        js_time_format(time, text, sizeof text);
    jf_out_printf(out, "%-12s %llu at %s\n", name, (unsigned long long)seq, text);
}

static int print_stream(struct jf_out *out, struct js_stream *stream) {
    struct problem_list list = {.out = out};
    struct js_stream_state state = {0};
    struct js_totals totals;
    int r = js_stream_scan(stream);

    if (r == 0)
        r = js_stream_totals(stream, NULL, 0, 0, &totals);
    if (r < 0)
        return r;
    js_stream_get_state(stream, &state);
    line(out, "stream", js_stream_name(stream));
    line(out, "account", js_stream_account(stream)[0] ? js_stream_account(stream) : "-");
    line(out, "health", js_health_name(js_stream_health(stream)));
    number_line(out, "messages", state.msgs);
    bytes_line(out, "bytes", state.bytes);
    place_line(out, "first", state.first_seq, state.first_time);
    place_line(out, "last", state.last_seq, state.last_time);
    number_line(out, "subjects", state.num_subjects);
    number_line(out, "deleted", state.num_deleted);
    number_line(out, "lost", state.num_lost);
    bytes_line(out, "payload", totals.payload_bytes);
    number_line(out, "blocks", state.num_blocks);
    number_line(out, "consumers", state.num_consumers);
    line(out, "cipher", js_stream_cipher(stream));
    uint64_t kept = 0, kept_bytes = 0;
    if (js_stream_quarantine(stream, &kept, &kept_bytes) == 0 && kept)
        number_line(out, "quarantine", kept);
    r = js_stream_problems(stream, print_problem, &list);
    if (list.total > list.shown)
        jf_out_printf(out, "  and %zu more (see `jetfs verify`)\n", list.total - list.shown);
    return r;
}

static int stream_info(const struct jf_call *call, const struct jf_source *source,
                       const struct jf_target *target) {
    struct js_stream *stream;
    char *text = NULL;
    size_t len = 0;
    int r;

    r = jf_source_stream(source, target, &stream);
    if (r < 0)
        return jf_cli_exit_of(call->verb, r);
    if (call->json) {
        r = jf_info_stream(stream, &text, &len);
        if (r >= 0)
            jf_out_put(call->out, text, len);
        free(text);
    } else {
        r = print_stream(call->out, stream);
    }
    js_stream_unref(stream);
    return r < 0 ? jf_cli_error(call, NULL, r, NULL) : JF_EXIT_OK;
}

static int store_json(const struct jf_call *call, const struct jf_source *source) {
    char *text = NULL;
    size_t len = 0;
    int r = jf_info_account(source->store, mount_account(source), &text, &len);

    if (r < 0)
        return jf_cli_error(call, NULL, r, NULL);
    jf_out_put(call->out, text, len);
    free(text);
    return JF_EXIT_OK;
}

static int store_info(const struct jf_call *call, const struct jf_source *source) {
    int code = JF_EXIT_OK;

    if (call->json)
        return store_json(call, source);
    jf_out_printf(call->out, "%-12s ", "source");
    jf_out_escaped(call->out, call->source, strlen(call->source));
    jf_out_text(call->out, "\n");
    number_line(call->out, "streams", source->nstreams);
    for (size_t i = 0; i < source->ntargets && jf_out_ok(call->out); i++) {
        int one;

        if (!source->targets[i].stream)
            continue;
        jf_out_text(call->out, "\n");
        one = stream_info(call, source, &source->targets[i]);
        code = one > code ? one : code;
    }
    return code;
}

static int run(struct jf_call *call) {
    struct jf_source source;
    int code = jf_source_open(call, 0, &source);

    if (code)
        return code;
    if (is_store(&source))
        code = store_info(call, &source);
    else if (jf_source_only(&source))
        code = stream_info(call, &source, jf_source_only(&source));
    else
        code = jf_cli_error(call, NULL, JS_ERR_NO_STREAM, NULL);
    return jf_source_close(&source, code);
}

const struct jf_verb jf_verb_info = {
    .name = "info",
    .synopsis = "SOURCE[:STREAM] [OPTIONS]",
    .summary = "show the state of a store or a stream",
    .details = "Shows counts, sequences, times, health and findings. With --json the text is that\n"
               "of info.json in the mount of the same thing.\n"
               "\n"
               "Exit: 0 done; 1 usage, or not possible; 2 system error.\n",
    .min_words = 1,
    .max_words = 1,
    .usage = JF_EXIT_REFUSED,
    .refused = JF_EXIT_REFUSED,
    .failed = JF_EXIT_SYSTEM,
    .run = run,
};
