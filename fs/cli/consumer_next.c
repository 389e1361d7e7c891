/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs next`: takes messages from a consumer, prints and acknowledges them. */
#include <stdlib.h>
#include <string.h>

#include "fs/cli/consumer.h"
#include "fs/view/render.h"

#define BATCH 256

enum { OPT_COUNT = JF_OPT_VERB, OPT_NO_ACK, OPT_NAK, OPT_RAW };

struct options {
    uint64_t count;
    bool no_ack, nak, raw;
};

static const char *take_option(struct jf_call *call, int id, const char *value) {
    struct options *o = call->data;
    char *end;

    switch (id) {
    case OPT_COUNT:
        o->count = strtoull(value, &end, 10);
        return *value < '0' || *value > '9' || *end || o->count == 0 ? "--count needs a number"
                                                                     : NULL;
    case OPT_NO_ACK:
        o->no_ack = true;
        return NULL;
    case OPT_NAK:
        o->nak = true;
        return NULL;
    default:
        o->raw = true;
        return NULL;
    }
}

static const char *check(struct jf_call *call) {
    const struct options *o = call->data;

    if (o->no_ack && o->nak)
        return "--no-ack and --nak exclude each other";
    return o->raw && call->json ? "--raw and --json exclude each other" : NULL;
}

static int print_msg(struct jf_call *call, struct js_stream *stream, js_seq_t seq) {
    const struct options *o = call->data;
    struct jf_render render = {.format = call->json ? JF_JSONL : o->raw ? JF_RAW : JF_LOG};
    struct js_msg msg;
    int r = js_stream_load_msg(stream, seq, &msg);

    if (r < 0)
        return r;
    uint64_t len = jf_render_length(&render, &msg);
    for (uint64_t at = 0; at < len && jf_out_ok(call->out);) {
        uint8_t *p = jf_out_room(call->out, 65536);
        if (!p)
            break;
        size_t n = jf_render_emit(&render, &msg, at, p, 65536);
        jf_out_commit(call->out, n);
        at += n;
    }
    js_msg_release(&msg);
    return 0;
}

/* What was not written to the end is nobody's: it comes again. */
static int answer(struct jf_call *call, struct js_consumer *c, const struct js_delivery *d,
                  size_t n, size_t printed) {
    const struct options *o = call->data;
    struct js_ack acks[BATCH];

    jf_out_flush(call->out);
    if (!jf_out_ok(call->out))
        printed = 0;
    for (size_t i = printed; i < n; i++)
        (void)js_consumer_undeliver(c, d[i].seq);
    if (o->no_ack || printed == 0)
        return 0;
    for (size_t i = 0; i < printed; i++)
        acks[i] = (struct js_ack){.seq = d[i].seq, .kind = o->nak ? JS_NAK : JS_ACK};
    int r = js_consumer_ack(c, acks, printed, NULL);
    return r == JS_ERR_NO_ACK_POLICY ? 0 : r;
}

static int take(struct jf_call *call, struct js_stream *stream, struct js_consumer *c) {
    const struct options *o = call->data;
    struct js_delivery d[BATCH];
    uint64_t left = o->count ? o->count : 1;
    int r = 0;

    while (left && r == 0 && jf_out_ok(call->out)) {
        size_t n, printed = 0;
        r = js_consumer_next(c, d, left < BATCH ? (size_t)left : BATCH, &n);
        if (r < 0)
            break;
        while (printed < n && r == 0) {
            r = print_msg(call, stream, d[printed].seq);
            printed += r == 0;
        }
        int a = answer(call, c, d, n, printed);
        if (r == 0)
            r = a;
        left -= n;
    }
    /* Some are better than none. */
    if (r == JS_ERR_AGAIN && left < (o->count ? o->count : 1))
        r = 0;
    return r;
}

static int run(struct jf_call *call) {
    struct js_consumer *c;
    struct jf_source source;
    struct js_stream *stream;
    int code = jf_consumer_stream(call, JS_OPEN_RW, &source, &stream);

    if (code)
        return code;
    int r = js_stream_open_consumer(stream, call->words[1], &c);
    if (r == 0) {
        r = take(call, stream, c);
        js_consumer_unref(c);
    }
    if (r == JS_ERR_AGAIN) {
        jf_say(call->words[1], "no message");
        code = call->verb->refused;
    } else if (r < 0) {
        code = jf_cli_error(call, call->words[1], r, NULL);
    }
    js_stream_unref(stream);
    return jf_source_close(&source, code);
}

static const struct jf_opt opts[] = {
    {"count", 'n', "N", OPT_COUNT, "at most so many (1)"},
    {"no-ack", 0, NULL, OPT_NO_ACK, "leave them in flight"},
    {"nak", 0, NULL, OPT_NAK, "refuse them: they come again"},
    {"raw", 0, NULL, OPT_RAW, "payloads without a line end behind them"},
};

#define NEXT_VERB(verb_name)                                                                       \
    {                                                                                              \
        .name = verb_name, .synopsis = "SOURCE:STREAM CONSUMER [OPTIONS]",                         \
        .summary = "take messages from a consumer",                                                \
        .details =                                                                                 \
            "Prints the payload of the next message and a line end, or with --json a line as\n"    \
            "in all.jsonl, and acknowledges it when it was written.\n"                             \
            "\n"                                                                                   \
            "Exit: 0 done; 1 usage, refused, or there is no message; 2 system error.\n",           \
        .opts = opts, .nopts = sizeof opts / sizeof opts[0], .min_words = 2, .max_words = 2,       \
        .data_size = sizeof(struct options), .usage = JF_EXIT_REFUSED, .refused = JF_EXIT_REFUSED, \
        .failed = JF_EXIT_SYSTEM, .option = take_option, .check = check, .run = run,               \
    }

const struct jf_verb jf_verb_next = NEXT_VERB("next");
const struct jf_verb jf_verb_consumer_next = NEXT_VERB("consumer next");
