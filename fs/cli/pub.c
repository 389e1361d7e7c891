/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs pub`: standard input becomes one message, or a message per line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/cli/cli.h"
#include "fs/cli/progress.h"
#include "fs/cli/source.h"
#include "fs/view/lines.h"

/* Largest message, as the mount's max_payload. */
#define MAX_PAYLOAD ((size_t)8 << 20)
#define PIECE       ((size_t)1 << 20)
#define BATCH       512

enum { OPT_HEADER = JF_OPT_VERB, OPT_LINES };

struct options {
    char *hdr; /* NULL: none */
    size_t hdr_len;
    bool lines;
};

struct pub {
    const struct jf_call *call;
    const struct options *options;
    struct js_stream *stream;
    const char *subject;
    uint64_t count;
    js_seq_t first;
    js_seq_t last;
};

/* ---- options ------------------------------------------------------------------------------ */

static const char *take_option(struct jf_call *call, int id, const char *value) {
    struct options *options = call->data;
    int r;

    if (id == OPT_LINES) {
        options->lines = true;
        return NULL;
    }
    r = jf_args_add_header(value, &options->hdr, &options->hdr_len);
    if (r == JS_ERR_NOMEM)
        return js_err_text(r);
    return r < 0 ? "-H needs KEY:VALUE without control characters" : NULL;
}

static const char *check(struct jf_call *call) {
    struct options *options = call->data;

    if (!js_subject_valid(call->words[1], strlen(call->words[1])))
        return "SUBJECT must be a literal subject";
    if ((call->key_file && strcmp(call->key_file, "-") == 0) ||
        (call->prev_key_file && strcmp(call->prev_key_file, "-") == 0))
        return "standard input is the message; the key must come from a file";
    if (jf_args_end_headers(&options->hdr, &options->hdr_len) < 0)
        return js_err_text(JS_ERR_NOMEM);
    return NULL;
}

static void done(struct jf_call *call) {
    struct options *options = call->data;

    free(options->hdr);
}

/* ---- storing ------------------------------------------------------------------------------ */

static struct js_new_msg new_msg(const struct pub *pub, const uint8_t *data, size_t len) {
    return (struct js_new_msg){.subject = pub->subject,
                               .subject_len = strlen(pub->subject),
                               .hdr = (const uint8_t *)pub->options->hdr,
                               .hdr_len = pub->options->hdr_len,
                               .data = data,
                               .data_len = len};
}

static int store(struct pub *pub, struct js_new_msg *msgs, size_t n) {
    int err = JS_ERR_IO;
    ssize_t stored = js_stream_store_msgs(pub->stream, msgs, n, &err);

    if (stored > 0) {
        if (pub->count == 0)
            pub->first = msgs[0].ret_seq;
        pub->last = msgs[stored - 1].ret_seq;
        pub->count += (uint64_t)stored;
        jf_progress_add((uint64_t)stored);
    }
    if (stored < 0)
        return (int)stored;
    return (size_t)stored < n ? err : 0;
}

/* Reads up to size bytes or to the end of the input. */
static int read_full(uint8_t *buf, size_t size, size_t *ret_len) {
    size_t len = 0;

    while (len < size) {
        ssize_t n = read(STDIN_FILENO, buf + len, size - len);

        if (n == 0)
            break;
        if (n > 0)
            len += (size_t)n;
        else if (errno != EINTR)
            return js_err_from_errno(errno);
    }
    *ret_len = len;
    return 0;
}

static int pub_whole(struct pub *pub) {
    uint8_t *data = malloc(MAX_PAYLOAD + 1);
    struct js_new_msg msg;
    size_t len = 0;
    int r;

    if (!data)
        return JS_ERR_NOMEM;
    r = read_full(data, MAX_PAYLOAD + 1, &len);
    if (r >= 0 && len > MAX_PAYLOAD)
        r = JS_ERR_MSG_TOO_LARGE;
    if (r >= 0) {
        msg = new_msg(pub, data, len);
        r = store(pub, &msg, 1);
    }
    free(data);
    return r;
}

/* Stores the complete lines of what was fed; the rest stays in lines. */
static int store_lines(struct pub *pub, struct jf_lines *lines) {
    struct jf_line cut[BATCH];
    struct js_new_msg msgs[BATCH];
    int n;

    while ((n = jf_lines_take(lines, cut, BATCH)) > 0) {
        int r;

        for (int i = 0; i < n; i++)
            msgs[i] = new_msg(pub, cut[i].data, cut[i].len);
        r = store(pub, msgs, (size_t)n);
        if (r < 0)
            return r;
    }
    return n;
}

/* The end of the input ends the last line, with or without a line end. */
static int store_rest(struct pub *pub, struct jf_lines *lines) {
    const uint8_t *data;
    size_t len = jf_lines_rest(lines, &data);
    struct js_new_msg msg;

    if (len == 0)
        return 0;
    msg = new_msg(pub, data, len);
    return store(pub, &msg, 1);
}

static int pub_lines(struct pub *pub) {
    struct jf_lines lines;
    uint8_t *piece = malloc(PIECE);
    int r = 0;

    if (!piece)
        return JS_ERR_NOMEM;
    jf_lines_init(&lines, MAX_PAYLOAD, false);
    for (;;) {
        /* Not filled up: a line is stored when it comes, even from a slow writer. */
        ssize_t n = read(STDIN_FILENO, piece, PIECE);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            r = js_err_from_errno(errno);
        if (n <= 0)
            break;
        jf_lines_feed(&lines, piece, (size_t)n);
        r = store_lines(pub, &lines);
        if (r < 0)
            break;
    }
    if (r >= 0)
        r = store_rest(pub, &lines);
    jf_lines_done(&lines);
    free(piece);
    return r;
}

/* ---- telling ------------------------------------------------------------------------------ */

static void print_result(const struct pub *pub) {
    struct jf_out *out = pub->call->out;

    if (pub->call->json) {
        jf_out_text(out, "{\"stream\": ");
        jf_out_json_text(out, js_stream_name(pub->stream));
        jf_out_text(out, ", \"subject\": ");
        jf_out_json_text(out, pub->subject);
        jf_out_printf(out, ", \"messages\": %llu, \"first_seq\": %llu, \"last_seq\": %llu}\n",
                      (unsigned long long)pub->count, (unsigned long long)pub->first,
                      (unsigned long long)pub->last);
    } else if (pub->count == 1) {
        jf_out_printf(out, "%llu\n", (unsigned long long)pub->first);
    } else if (pub->count > 1) {
        jf_out_printf(out, "%llu..%llu\n", (unsigned long long)pub->first,
                      (unsigned long long)pub->last);
    }
}

static int publish(struct pub *pub) {
    char why[256] = "";
    int r;
    int synced = 0;

    if (js_stream_writable(pub->stream, why, sizeof why) != 1)
        return jf_cli_error(pub->call, NULL, JS_ERR_READ_ONLY, why);
    if (!js_stream_covers(pub->stream, pub->subject, strlen(pub->subject)))
        return jf_cli_error(pub->call, pub->subject, JS_ERR_NOT_BOUND, NULL);
    jf_progress_begin("pub", "messages", 0, pub->call->out->tty);
    r = pub->options->lines ? pub_lines(pub) : pub_whole(pub);
    /* The sequences are an answer: they are given when the messages are on disk. */
    if (pub->count > 0)
        synced = js_stream_sync(pub->stream);
    jf_progress_end();
    if (synced >= 0)
        print_result(pub);
    if (r >= 0)
        r = synced;
    return r < 0 ? jf_cli_error(pub->call, pub->subject, r, NULL) : JF_EXIT_OK;
}

static int run(struct jf_call *call) {
    struct pub pub = {.call = call, .options = call->data, .subject = call->words[1]};
    struct jf_source source;
    int code = jf_source_open(call, JS_OPEN_RW, &source);
    const struct jf_target *target;
    int r;

    if (code)
        return code;
    target = jf_source_only(&source);
    if (!target) {
        jf_say(call->words[0], "which stream? (use SOURCE:STREAM)");
        return jf_source_close(&source, call->verb->refused);
    }
    r = jf_source_stream(&source, target, &pub.stream);
    if (r < 0)
        return jf_source_close(&source, jf_cli_exit_of(call->verb, r));
    code = publish(&pub);
    js_stream_unref(pub.stream);
    return jf_source_close(&source, code);
}

static const struct jf_opt opts[] = {
    {"header", 'H', "K:V", OPT_HEADER, "a header of the message (repeat for more)"},
    {"lines", 0, NULL, OPT_LINES, "a message per line; empty lines are left out"},
};

const struct jf_verb jf_verb_pub = {
    .name = "pub",
    .synopsis = "SOURCE:STREAM SUBJECT [OPTIONS]",
    .summary = "publish standard input",
    .details =
        "Stores standard input as one message, or each line of it as one, and prints the\n"
        "sequence or FIRST..LAST once they are on disk. The stream must exist and cover the\n"
        "subject. It is locked as by a mount with rw. A message has at most 8 MiB.\n"
        "\n"
        "Exit: 0 all stored; 1 usage, or refused; 2 system error. The sequences printed are\n"
        "stored in any case.\n",
    .opts = opts,
    .nopts = sizeof opts / sizeof opts[0],
    .min_words = 2,
    .max_words = 2,
    .data_size = sizeof(struct options),
    .usage = JF_EXIT_REFUSED,
    .refused = JF_EXIT_REFUSED,
    .failed = JF_EXIT_SYSTEM,
    .option = take_option,
    .check = check,
    .run = run,
    .done = done,
};
