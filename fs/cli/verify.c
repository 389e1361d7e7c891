/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs verify`: reads everything a server would read, changes nothing, reports per stream. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cli/cli.h"
#include "fs/cli/findings.h"
#include "fs/cli/progress.h"
#include "fs/cli/source.h"

struct report {
    const struct jf_call *call;
    struct jf_out *out;
    bool live;
    int code;
    uint64_t total;
    uint64_t damaged; /* findings per verdict */
    uint64_t unknown;
};

/* First pass over the findings: sums and the exit code. */
static int count_finding(void *ctx, const struct js_problem *problem) {
    struct report *report = ctx;

    report->code |= jf_finding_exit(problem->verdict, report->live);
    report->total++;
    report->damaged += problem->verdict == JS_HEALTH_DAMAGED;
    report->unknown += problem->verdict == JS_HEALTH_UNKNOWN_FORMAT;
    return 0;
}

static int print_finding(void *ctx, const struct js_problem *problem) {
    struct report *report = ctx;

    if (report->call->json) {
        jf_out_text(report->out, report->total++ ? ",\n        " : "\n        ");
        jf_finding_json(report->out, problem);
    } else {
        jf_out_text(report->out, "  ");
        jf_finding_print(report->out, problem);
    }
    return jf_out_ok(report->out) ? 0 : 1;
}

static const char *conclusion(int code) {
    if (code & JF_EXIT_OPERATION)
        return "not verified";
    return code & JF_EXIT_DAMAGE ? "damaged" : "clean";
}

static void print_name(struct jf_out *out, const struct jf_target *target) {
    if (target->account[0]) {
        jf_out_escaped(out, target->account, strlen(target->account));
        jf_out_text(out, "/");
    }
    jf_out_escaped(out, target->stream, strlen(target->stream));
}

static int print_stream(struct report *report, const struct jf_target *target,
                        struct js_stream *stream) {
    struct js_stream_state state = {0};
    struct jf_out *out = report->out;
    const char *health = js_health_name(js_stream_health(stream));

    js_stream_get_state(stream, &state);
    print_name(out, target);
    jf_out_printf(out, ": %s (%s): %llu live, %llu deleted, %llu lost, %llu blocks, %llu consumers",
                  conclusion(report->code), health, (unsigned long long)state.msgs,
                  (unsigned long long)state.num_deleted, (unsigned long long)state.num_lost,
                  (unsigned long long)state.num_blocks, (unsigned long long)state.num_consumers);
    if (report->total > 0)
        jf_out_printf(out, "; findings: %llu, damaged %llu, unknown %llu",
                      (unsigned long long)report->total, (unsigned long long)report->damaged,
                      (unsigned long long)report->unknown);
    jf_out_text(out, "\n");
    return js_stream_problems(stream, print_finding, report);
}

static void json_name(struct jf_out *out, const struct jf_target *target) {
    jf_out_text(out, "{\"account\": ");
    jf_out_json_text(out, target->account);
    jf_out_text(out, ", \"name\": ");
    jf_out_json_text(out, target->stream);
}

static int json_stream(struct report *report, const struct jf_target *target,
                       struct js_stream *stream, int verify_error) {
    struct js_stream_state state = {0};
    struct jf_out *out = report->out;
    int r;

    js_stream_get_state(stream, &state);
    json_name(out, target);
    jf_out_printf(out, ", \"result\": \"%s\", \"health\": \"%s\", \"live_writer\": %s",
                  conclusion(report->code), js_health_name(js_stream_health(stream)),
                  report->live ? "true" : "false");
    jf_out_printf(out,
                  ",\n      \"live\": %llu, \"deleted\": %llu, \"lost\": %llu, \"damaged\": %llu, "
                  "\"unknown\": %llu, \"blocks\": %llu, \"consumers\": %llu",
                  (unsigned long long)state.msgs, (unsigned long long)state.num_deleted,
                  (unsigned long long)state.num_lost, (unsigned long long)report->damaged,
                  (unsigned long long)report->unknown, (unsigned long long)state.num_blocks,
                  (unsigned long long)state.num_consumers);
    if (verify_error < 0) {
        jf_out_text(out, ", \"error\": ");
        jf_out_json_text(out, js_err_text(verify_error));
    }
    jf_out_text(out, ",\n      \"problems\": [");
    report->total = 0;
    r = js_stream_problems(stream, print_finding, report);
    jf_out_text(out, report->total ? "\n      ]}" : "]}");
    return r;
}

/* A key that is missing or wrong is told on standard error too: it is the user's to mend. */
static int say_key(const struct jf_call *call, const char *label, enum js_health health) {
    if (health == JS_HEALTH_WRONG_KEY)
        return jf_cli_error(call, label, JS_ERR_WRONG_KEY, NULL);
    if (health == JS_HEALTH_NO_KEY)
        return jf_cli_error(call, label, JS_ERR_NO_KEY, NULL);
    return JF_EXIT_OK;
}

static int verify_stream(const struct jf_source *source, const struct jf_target *target) {
    const struct jf_call *call = source->call;
    struct report report = {.call = call, .out = call->out};
    struct js_stream *stream;
    char label[1024];
    int verified;
    int r = jf_source_stream(source, target, &stream);

    jf_source_label(source, target, label, sizeof label);
    if (r < 0) {
        if (call->json) {
            json_name(call->out, target);
            jf_out_text(call->out, ", \"result\": \"not verified\", \"error\": ");
            jf_out_json_text(call->out, js_err_text(r));
            jf_out_text(call->out, ", \"problems\": []}");
        }
        return jf_cli_exit_of(call->verb, r);
    }
    verified = js_stream_verify(stream);
    if (verified < 0)
        report.code |= jf_cli_error(call, label, verified, NULL);
    report.code |= say_key(call, label, js_stream_health(stream));
    if (js_stream_health(stream) == JS_HEALTH_TORN_TAIL)
        report.live = jf_source_is_live(source, target);
    r = js_stream_problems(stream, count_finding, &report);
    if (r >= 0)
        r = call->json ? json_stream(&report, target, stream, verified)
                       : print_stream(&report, target, stream);
    if (r < 0)
        report.code |= jf_cli_error(call, label, r, NULL);
    js_stream_unref(stream);
    return report.code;
}

static int run(struct jf_call *call) {
    struct jf_source source;
    struct jf_out *out = call->out;
    size_t shown = 0;
    int code = jf_source_open(call, 0, &source);

    if (code)
        return code;
    jf_progress_begin("verify", "streams", source.nstreams, out->tty);
    if (call->json) {
        jf_out_text(out, "{\n  \"source\": ");
        jf_out_json_text(out, call->source);
        jf_out_text(out, ",\n  \"streams\": [");
    }
    for (size_t i = 0; i < source.ntargets && jf_out_ok(out); i++) {
        if (!source.targets[i].stream)
            continue;
        if (call->json)
            jf_out_text(out, shown ? ",\n    " : "\n    ");
        code |= verify_stream(&source, &source.targets[i]);
        shown++;
        jf_progress_add(1);
    }
    code = jf_source_close(&source, code);
    if (call->json)
        jf_out_printf(out, "%s],\n  \"exit\": %d\n}\n", shown ? "\n  " : "", code);
    else if (shown == 0)
        jf_out_text(out, "no streams\n");
    return code;
}

const struct jf_verb jf_verb_verify = {
    .name = "verify",
    .synopsis = "SOURCE[:STREAM] [OPTIONS]",
    .summary = "check every byte and report; changes nothing",
    .details =
        "Reads every file that a server would read, compares blocks, index and consumers,\n"
        "and reports per stream what is live, deleted, lost, damaged (file, offset, length,\n"
        "sequences) and unknown. Changes nothing.\n"
        "\n"
        "Exit, as fsck(8), where codes add up: 0 clean; 4 damage, a torn tail or an unknown\n"
        "format; 8 operational error, also a missing or wrong key; 16 usage. The unfinished\n"
        "end of a stream that a server is writing to just now is clean.\n",
    .min_words = 1,
    .max_words = 1,
    .usage = JF_EXIT_USAGE,
    .refused = JF_EXIT_OPERATION,
    .failed = JF_EXIT_OPERATION,
    .run = run,
};
