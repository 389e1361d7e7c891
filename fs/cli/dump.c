/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `jetfs dump`: messages in order to standard output. A damaged message is left out, told on
 * standard error, and makes the exit code 4; the dump goes on behind it.
 */
#include "fs/cli/dump.h"

#include <stdio.h>
#include <string.h>

#include "fs/cli/findings.h"
#include "fs/cli/progress.h"
#include "fs/cli/source.h"
#include "fs/view/render.h"

/* Findings that are told one by one, per stream. */
#define MAX_TOLD 20

enum { OPT_SUBJECT = JF_OPT_VERB, OPT_SEQ, OPT_SINCE, OPT_UNTIL, OPT_FORMAT };

struct dump {
    const struct jf_source *source;
    const struct jf_target *target;
    const struct jf_dump_options *options;
    struct jf_out *out;
    struct js_stream *stream;
    struct jf_render render;
    bool named; /* account and stream are shown */
    bool live;
    char label[1024];
    uint64_t damage; /* damaged messages or stretches met */
    uint64_t told;
    int code;
};

bool jf_dump_time_wanted(const struct jf_dump_options *options, js_time_t time) {
    return (!options->has_since || time >= options->since) &&
           (!options->has_until || time <= options->until);
}

bool jf_dump_seq_wanted(const struct jf_dump_options *options, js_seq_t seq) {
    return seq == 0 || (seq >= options->first && (options->last == 0 || seq <= options->last));
}

/* ---- options ------------------------------------------------------------------------------ */

static const char *take_subject(struct jf_dump_options *options, const char *value) {
    if (!js_filter_valid(value, strlen(value)))
        return "--subject needs a subject filter, such as orders.* or orders.>";
    if (options->nsubjects == JF_DUMP_MAX_SUBJECTS)
        return "too many --subject";
    options->subjects[options->nsubjects++] = value;
    return NULL;
}

static const char *take_time(const char *value, js_time_t *ret_time, bool *ret_has) {
    const struct js_env *env = js_env_default();

    if (js_time_parse(value, env->clock->now(env->clock->ctx), ret_time) < 0)
        return "a time is RFC 3339, a date, unix seconds, or relative such as -1h";
    *ret_has = true;
    return NULL;
}

static const char *take_format(struct jf_dump_options *options, const char *value) {
    static const struct {
        const char *name;
        enum jf_dump_format format;
    } formats[] = {{"jsonl", JF_DUMP_JSONL},
                   {"raw", JF_DUMP_RAW},
                   {"csv", JF_DUMP_CSV},
                   {"records", JF_DUMP_RECORDS}};

    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(value, formats[i].name) == 0) {
            options->format = formats[i].format;
            return NULL;
        }
    return "--format is raw, jsonl, csv or records";
}

static const char *take_option(struct jf_call *call, int id, const char *value) {
    struct jf_dump_options *options = call->data;

    switch (id) {
    case OPT_SUBJECT:
        return take_subject(options, value);
    case OPT_SEQ:
        return jf_args_parse_range(value, &options->first, &options->last) < 0
                   ? "--seq needs A..B, A.., ..B or a sequence"
                   : NULL;
    case OPT_SINCE:
        return take_time(value, &options->since, &options->has_since);
    case OPT_UNTIL:
        return take_time(value, &options->until, &options->has_until);
    case OPT_FORMAT:
    default:
        return take_format(options, value);
    }
}

static const char *check(struct jf_call *call) {
    const struct jf_dump_options *options = call->data;

    /* Two of the formats are JSON already; the other two have no other form. */
    if (call->json && options->format != JF_DUMP_JSONL && options->format != JF_DUMP_RECORDS)
        return "--json and this --format exclude each other";
    return NULL;
}

/* ---- messages ----------------------------------------------------------------------------- */

/* Renders into the room that is left; only what does not fit there costs a second rendering. */
static void emit_rendered(struct dump *dump, const struct js_msg *msg) {
    size_t left = jf_out_left(dump->out);
    uint8_t *room = jf_out_room(dump->out, left > 0 ? left : 1);
    uint64_t length;
    size_t written;

    if (!room)
        return;
    left = jf_out_left(dump->out);
    length = jf_render_both(&dump->render, msg, 0, room, left, &written);
    if (length > left) {
        room = jf_out_room(dump->out, (size_t)length);
        if (!room)
            return;
        written = jf_render_emit(&dump->render, msg, 0, room, (size_t)length);
    }
    jf_out_commit(dump->out, written);
}

static void emit(struct dump *dump, const struct js_msg *msg) {
    if (dump->options->format == JF_DUMP_CSV)
        jf_dump_csv(dump->out, dump->named ? dump->target->account : NULL,
                    dump->named ? dump->target->stream : NULL, msg);
    else
        emit_rendered(dump, msg);
}

/* First sequence that can be wanted. */
static int first_wanted(const struct dump *dump, js_seq_t *ret_seq) {
    const struct jf_dump_options *options = dump->options;
    js_seq_t first = options->first > 0 ? options->first : 1;
    js_seq_t since = 0;

    if (options->has_since) {
        int r = js_stream_seq_from_time(dump->stream, options->since, &since);

        if (r < 0 && r != JS_ERR_EOF)
            return r;
        if (r >= 0 && since > first)
            first = since;
    }
    *ret_seq = first;
    return 0;
}

static int walk_messages(struct dump *dump, struct js_iter *iter, js_seq_t from) {
    const struct jf_dump_options *options = dump->options;

    while (jf_out_ok(dump->out)) {
        struct js_msg msg = {0};
        int r = js_iter_next(iter, from, &msg);

        if (r == JS_ERR_EOF)
            return 0;
        if (r < 0 && (r != JS_ERR_BAD_MSG || msg.seq < from))
            return r;
        if (options->last != 0 && msg.seq > options->last)
            return 0;
        if (r == JS_ERR_BAD_MSG)
            dump->damage++;
        else if (jf_dump_time_wanted(options, msg.time))
            emit(dump, &msg);
        jf_progress_add(1);
        if (msg.seq == UINT64_MAX)
            return 0;
        from = msg.seq + 1;
    }
    return 0;
}

static int dump_messages(struct dump *dump) {
    struct js_filter filter = {
        .patterns = dump->options->subjects, .count = dump->options->nsubjects, .any_of = true};
    struct js_iter *iter;
    js_seq_t from;
    int r = first_wanted(dump, &from);

    if (r < 0)
        return r;
    r = js_iter_open(dump->stream, filter.count ? &filter : NULL, &iter);
    if (r < 0)
        return r;
    r = walk_messages(dump, iter, from);
    js_iter_close(iter);
    return r;
}

/* ---- damage ------------------------------------------------------------------------------- */

/* Is this finding within what was asked for? Subjects of lost messages are not known. */
static bool concerns(const struct dump *dump, const struct js_problem *problem) {
    const struct jf_dump_options *options = dump->options;
    js_seq_t end = problem->seq_last > problem->seq_first ? problem->seq_last : problem->seq_first;

    if (!jf_finding_in_blocks(problem))
        return false;
    if (problem->seq_first == 0)
        return true;
    return end >= options->first && (options->last == 0 || problem->seq_first <= options->last);
}

static int tell_finding(void *ctx, const struct js_problem *problem) {
    struct dump *dump = ctx;
    int code = jf_finding_exit(problem->verdict, dump->live);

    if (code == JF_EXIT_OPERATION || code == JF_EXIT_OK || !concerns(dump, problem))
        return 0;
    dump->code |= code;
    if (dump->told++ < MAX_TOLD)
        jf_finding_say(dump->label, problem);
    return 0;
}

static void tell_damage(struct dump *dump) {
    const struct jf_call *call = dump->source->call;
    int scanned = js_stream_scan(dump->stream);
    enum js_health health = js_stream_health(dump->stream);
    int r;

    if (health == JS_HEALTH_WRONG_KEY)
        dump->code |= jf_cli_error(call, dump->label, JS_ERR_WRONG_KEY, NULL);
    else if (health == JS_HEALTH_NO_KEY)
        dump->code |= jf_cli_error(call, dump->label, JS_ERR_NO_KEY, NULL);
    else if (health == JS_HEALTH_TORN_TAIL)
        dump->live = jf_source_is_live(dump->source, dump->target);
    r = scanned < 0 ? scanned : js_stream_problems(dump->stream, tell_finding, dump);
    if (r < 0)
        dump->code |= jf_cli_error(call, dump->label, r, NULL);
    if (dump->told > MAX_TOLD)
        jf_say(dump->label, "%llu more findings (see `jetfs verify`)",
               (unsigned long long)(dump->told - MAX_TOLD));
    if (dump->damage > 0 && !(dump->live && dump->options->format == JF_DUMP_RECORDS)) {
        dump->code |= JF_EXIT_DAMAGE;
        if (dump->options->format != JF_DUMP_RECORDS)
            jf_say(dump->label, "damaged messages left out: %llu",
                   (unsigned long long)dump->damage);
    }
}

static int dump_stream(const struct jf_source *source, const struct jf_target *target) {
    const struct jf_call *call = source->call;
    const struct jf_dump_options *options = call->data;
    struct dump dump = {.source = source,
                        .target = target,
                        .options = options,
                        .out = call->out,
                        .named = source->nstreams > 1};
    int r = jf_source_stream(source, target, &dump.stream);

    if (r < 0)
        return jf_cli_exit_of(call->verb, r);
    jf_source_label(source, target, dump.label, sizeof dump.label);
    dump.render.format = options->format == JF_DUMP_RAW ? JF_LOG : JF_JSONL;
    if (dump.named) {
        dump.render.account = target->account;
        dump.render.stream = target->stream;
    }
    if (options->format == JF_DUMP_RECORDS)
        r = jf_dump_records(dump.out, options, dump.render.account, dump.render.stream, dump.stream,
                            &dump.damage);
    else
        r = dump_messages(&dump);
    if (r < 0 && r != JS_ERR_NO_KEY && r != JS_ERR_WRONG_KEY)
        dump.code |= jf_cli_error(call, dump.label, r, NULL);
    tell_damage(&dump);
    if (r < 0)
        dump.code |= JF_EXIT_OPERATION;
    js_stream_unref(dump.stream);
    return dump.code;
}

/* Messages to come, for the bar: those of all streams, whatever the filters leave of them. */
static uint64_t count_messages(const struct jf_source *source) {
    uint64_t total = 0;

    for (size_t i = 0; i < source->ntargets; i++) {
        struct js_stream_state state = {0};
        struct js_stream *stream;

        if (!source->targets[i].stream ||
            js_store_get_stream(source->store, source->targets[i].account,
                                source->targets[i].stream, &stream) < 0)
            continue;
        js_stream_get_state(stream, &state);
        total += state.msgs;
        js_stream_unref(stream);
    }
    return total;
}

static int run(struct jf_call *call) {
    const struct jf_dump_options *options = call->data;
    struct jf_source source;
    int code = jf_source_open(call, 0, &source);
    bool whole;

    if (code)
        return code;
    whole = options->nsubjects == 0 && options->first <= 1 && options->last == 0 &&
            !options->has_since && options->format != JF_DUMP_RECORDS && source.nstreams == 1;
    jf_progress_begin("dump", options->format == JF_DUMP_RECORDS ? "records" : "messages",
                      whole ? count_messages(&source) : 0, call->out->tty);
    if (options->format == JF_DUMP_CSV)
        jf_dump_csv_head(call->out, source.nstreams > 1);
    for (size_t i = 0; i < source.ntargets && jf_out_ok(call->out); i++)
        if (source.targets[i].stream)
            code |= dump_stream(&source, &source.targets[i]);
    /* One code, the worst: only fsck's codes add up. */
    code = code & JF_EXIT_OPERATION ? JF_EXIT_OPERATION : code;
    return jf_source_close(&source, code);
}

static const struct jf_opt opts[] = {
    {"subject", 0, "F", OPT_SUBJECT, "only subjects that match (repeat: any of them)"},
    {"seq", 0, "A..B", OPT_SEQ, "only these sequences, both ends included"},
    {"since", 0, "T", OPT_SINCE, "only messages of this time or later"},
    {"until", 0, "T", OPT_UNTIL, "only messages of this time or earlier"},
    {"format", 0, "FORMAT", OPT_FORMAT, "raw, jsonl (default), csv or records"},
};

const struct jf_verb jf_verb_dump = {
    .name = "dump",
    .synopsis = "SOURCE[:STREAM] [OPTIONS]",
    .summary = "print messages in order",
    .details = "Prints the messages of a stream, or of all streams one after another, in order:\n"
               "  jsonl    an object per line, as all.jsonl of the mount; with \"account\" and\n"
               "           \"stream\" when there are several streams\n"
               "  raw      payload and a line end, as all.log of the mount\n"
               "  csv      RFC 4180: seq,time,subject,hdr_size,size,encoding,data\n"
               "  records  every record of every block, also tombstones, with its place and\n"
               "           checksum, and damaged stretches\n"
               "A time is RFC 3339, a date, unix seconds, or relative (-1h, -15m, -7d).\n"
               "Damaged messages are left out and told on standard error.\n"
               "\n"
               "Exit: 0 done; 4 damage met, all the rest was printed; 8 usage or operational\n"
               "error, also a missing or wrong key.\n",
    .opts = opts,
    .nopts = sizeof opts / sizeof opts[0],
    .min_words = 1,
    .max_words = 1,
    .data_size = sizeof(struct jf_dump_options),
    .usage = JF_EXIT_OPERATION,
    .refused = JF_EXIT_OPERATION,
    .failed = JF_EXIT_OPERATION,
    .option = take_option,
    .check = check,
    .run = run,
};
