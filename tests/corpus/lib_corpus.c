/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every golden store through the library: state, subjects, messages and consumers of each stream
 * are those that the server reported. What to expect comes from `test_corpus.py --expect`, so that
 * the exceptions stand in one place. Prints TAP.
 *
 * usage: lib_corpus EXPECT.json
 */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/jetstore.h"

#define MAX_FAILURES 5 /* told per stream */

struct run {
    const char *name;   /* of the case */
    const char *key;    /* NULL: none */
    const char *stream; /* of the stream that is compared, for messages */
    unsigned failures;  /* in it */
    unsigned tests;
    unsigned failed;
};

__attribute__((format(printf, 2, 3))) static void fail(struct run *run, const char *fmt, ...) {
    va_list ap;

    if (run->failures++ >= MAX_FAILURES)
        return;
    printf("# %s %s: ", run->name, run->stream);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

static void result(struct run *run) {
    run->tests++;
    run->failed += run->failures > 0;
    printf("%s %u - %s %s through the library\n", run->failures ? "not ok" : "ok", run->tests,
           run->name, run->stream);
    fflush(stdout);
    run->failures = 0;
}

static void same(struct run *run, const char *what, uint64_t got, uint64_t want) {
    if (got != want)
        fail(run, "%s is %" PRIu64 ", expected %" PRIu64, what, got, want);
}

static uint64_t number(const json_t *object, const char *name) {
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static const char *text(const json_t *object, const char *name) {
    return json_string_value(json_object_get(object, name));
}

static void hash(const uint8_t *data, size_t len, char ret_hex[65]) {
    uint8_t digest[32] = {0};

    if (EVP_Digest(data ? data : (const uint8_t *)"", len, digest, NULL, EVP_sha256(), NULL) != 1)
        abort();
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(ret_hex + 2 * i, 3, "%02x", digest[i]);
}

static int kek(void *ctx, const char *account, const char *context, uint8_t ret_kek[32]) {
    const struct run *run = ctx;

    return js_kek_derive(run->key, strlen(run->key), account, context, ret_kek);
}

/* ---- state -------------------------------------------------------------------------------- */

static void compare_state(struct run *run, struct js_stream *stream, const json_t *want) {
    struct js_stream_state state;

    js_stream_get_state(stream, &state);
    same(run, "messages", state.msgs, number(want, "messages"));
    same(run, "bytes", state.bytes, number(want, "bytes"));
    same(run, "first_seq", state.first_seq, number(want, "first_seq"));
    same(run, "last_seq", state.last_seq, number(want, "last_seq"));
    if (!json_is_null(json_object_get(want, "first_time")))
        same(run, "first_time", (uint64_t)state.first_time, number(want, "first_time"));
    if (!json_is_null(json_object_get(want, "last_time")))
        same(run, "last_time", (uint64_t)state.last_time, number(want, "last_time"));
    same(run, "num_deleted", state.num_deleted, number(want, "num_deleted"));
    same(run, "num_lost", state.num_lost, 0);
    same(run, "num_consumers", state.num_consumers,
         json_array_size(json_object_get(want, "consumers")));
    if (json_is_object(json_object_get(want, "subjects")))
        same(run, "num_subjects", state.num_subjects, number(want, "num_subjects"));
    if (strcmp(js_stream_name(stream), run->stream) != 0)
        fail(run, "the name is %s", js_stream_name(stream));
}

struct subject_check {
    struct run *run;
    const json_t *want;
    size_t seen;
};

static int compare_subject(void *ctx, const char *subject, size_t len,
                           const struct js_subject_state *state) {
    struct subject_check *check = ctx;
    char *name = strndup(subject, len);

    if (!name)
        abort();
    check->seen++;
    same(check->run, name, state->msgs, number(check->want, name));
    free(name);
    return 0;
}

static void compare_subjects(struct run *run, struct js_stream *stream, const json_t *want) {
    struct subject_check check = {.run = run, .want = json_object_get(want, "subjects")};
    int r;

    if (!json_is_object(check.want))
        return;
    r = js_stream_subjects(stream, NULL, compare_subject, &check);
    if (r < 0)
        fail(run, "js_stream_subjects: %s", js_err_name(r));
    same(run, "subjects", check.seen, json_object_size(check.want));
}

/* ---- messages ----------------------------------------------------------------------------- */

static void compare_msg(struct run *run, const struct js_msg *msg, const json_t *want) {
    const char *subject = text(want, "subject");
    const char *hdr_hash = text(want, "hdr_sha256");
    char hex[65];

    if (msg->seq != number(want, "seq")) {
        fail(run, "sequence %" PRIu64 " in place of %" PRIu64, msg->seq, number(want, "seq"));
        return;
    }
    if (!subject) /* nobody noted what it holds */
        return;
    if (strlen(subject) != msg->subject_len || memcmp(subject, msg->subject, msg->subject_len) != 0)
        fail(run, "subject of %" PRIu64 " is %.*s", msg->seq, (int)msg->subject_len, msg->subject);
    same(run, "time", (uint64_t)msg->time, number(want, "time"));
    same(run, "size", msg->data_len, number(want, "size"));
    same(run, "header size", msg->hdr_len, number(want, "hdr_size"));
    hash(msg->data, msg->data_len, hex);
    if (strcmp(hex, text(want, "sha256")) != 0)
        fail(run, "the payload of %" PRIu64 " differs", msg->seq);
    hash(msg->hdr, msg->hdr_len, hex);
    if (hdr_hash && strcmp(hex, hdr_hash) != 0)
        fail(run, "the headers of %" PRIu64 " differ", msg->seq);
}

/* In order with one iterator. */
static void walk(struct run *run, struct js_stream *stream, const json_t *msgs) {
    struct js_iter *iter;
    js_seq_t from = 0;
    size_t n = 0;
    int r = js_iter_open(stream, NULL, &iter);

    if (r < 0) {
        fail(run, "js_iter_open: %s", js_err_name(r));
        return;
    }
    for (;;) {
        struct js_msg msg;

        r = js_iter_next(iter, from, &msg);
        if (r < 0)
            break;
        if (n < json_array_size(msgs))
            compare_msg(run, &msg, json_array_get(msgs, n));
        n++;
        from = msg.seq + 1;
    }
    if (r != JS_ERR_EOF)
        fail(run, "js_iter_next: %s", js_err_name(r));
    same(run, "messages met", n, json_array_size(msgs));
    js_iter_close(iter);
}

/* One by one, from the last to the first; removed ones between them are told as removed. */
static void pick(struct run *run, struct js_stream *stream, const json_t *msgs) {
    js_seq_t above = 0;

    for (size_t n = json_array_size(msgs); n > 0; n--) {
        const json_t *want = json_array_get(msgs, n - 1);
        js_seq_t seq = number(want, "seq");
        struct js_msg_stat stat;
        struct js_msg msg;
        int r = js_stream_load_msg(stream, seq, &msg);

        if (r < 0) {
            fail(run, "js_stream_load_msg(%" PRIu64 "): %s", seq, js_err_name(r));
            continue;
        }
        compare_msg(run, &msg, want);
        r = js_stream_stat_msg(stream, seq, &stat);
        if (r < 0 || stat.damaged || stat.data_len != msg.data_len || stat.hdr_len != msg.hdr_len)
            fail(run, "js_stream_stat_msg(%" PRIu64 ") differs", seq);
        js_msg_release(&msg);
        /* Inside a block, or in a gap between two. */
        if (above > seq + 1 && (r = js_stream_load_msg(stream, seq + 1, &msg)) !=
            JS_ERR_DELETED_MSG && r != JS_ERR_MSG_NOT_FOUND)
            fail(run, "%" PRIu64 " is not told as deleted", seq + 1);
        above = seq;
    }
}

static void compare_ends(struct run *run, struct js_stream *stream, const json_t *want) {
    struct js_msg msg;
    int r = js_stream_load_msg(stream, number(want, "last_seq") + 1, &msg);

    if (r != JS_ERR_EOF)
        fail(run, "the message behind the last: %s", js_err_name(r));
    r = js_stream_load_next_msg(stream, NULL, 0, &msg);
    if (number(want, "messages") == 0) {
        if (r != JS_ERR_EOF)
            fail(run, "the first message of an empty stream: %s", js_err_name(r));
        return;
    }
    if (r < 0) {
        fail(run, "the first message: %s", js_err_name(r));
        return;
    }
    compare_msg(run, &msg, json_array_get(json_object_get(want, "msgs"), 0));
    js_msg_release(&msg);
}

/* ---- consumers ---------------------------------------------------------------------------- */

struct consumer_check {
    struct run *run;
    const json_t *want;
};

static int compare_consumer(void *ctx, const struct js_consumer_info *info) {
    const struct consumer_check *check = ctx;
    const json_t *delivered = json_object_get(check->want, "delivered");
    const json_t *floor = json_object_get(check->want, "ack_floor");
    struct run *run = check->run;

    if (info->health != JS_HEALTH_OK)
        fail(run, "consumer %s: %s", info->name, info->problem);
    same(run, "delivered.consumer", info->delivered_consumer,
         (uint64_t)json_integer_value(json_array_get(delivered, 0)));
    same(run, "delivered.stream", info->delivered_stream,
         (uint64_t)json_integer_value(json_array_get(delivered, 1)));
    same(run, "ack_floor.consumer", info->ack_floor_consumer,
         (uint64_t)json_integer_value(json_array_get(floor, 0)));
    same(run, "ack_floor.stream", info->ack_floor_stream,
         (uint64_t)json_integer_value(json_array_get(floor, 1)));
    same(run, "num_ack_pending", info->num_ack_pending, number(check->want, "num_ack_pending"));
    same(run, "num_redelivered", info->num_redelivered, number(check->want, "num_redelivered"));
    same(run, "num_pending", info->num_pending, number(check->want, "num_pending"));
    return 0;
}

static void compare_consumers(struct run *run, struct js_stream *stream, const json_t *want) {
    size_t i;
    json_t *one;

    json_array_foreach(json_object_get(want, "consumers"), i, one) {
        struct consumer_check check = {.run = run, .want = one};
        struct js_pending pending[64];
        size_t n = 0;
        int r = js_consumer_get(stream, text(one, "name"), compare_consumer, &check);

        if (r >= 0)
            r = js_consumer_pending(stream, text(one, "name"), 0, pending, 64, &n);
        if (r < 0)
            fail(run, "consumer %s: %s", text(one, "name"), js_err_name(r));
        else
            same(run, "pending listed", n, number(one, "num_ack_pending"));
    }
}

/* ---- all ---------------------------------------------------------------------------------- */

static int tell_problem(void *ctx, const struct js_problem *problem) {
    fail(ctx, "finding: %s: %s: %s", problem->file, js_health_name(problem->verdict),
         problem->text);
    return 0;
}

static void compare_stream(struct run *run, struct js_stream *stream, const json_t *want) {
    const char *exception = text(want, "exception");
    const json_t *msgs = json_object_get(want, "msgs");
    int r;

    compare_state(run, stream, want);
    compare_subjects(run, stream, want);
    walk(run, stream, msgs);
    pick(run, stream, msgs);
    compare_ends(run, stream, want);
    compare_consumers(run, stream, want);
    r = js_stream_verify(stream);
    if (exception && strcmp(exception, "unreadable") == 0) {
        if (js_stream_health(stream) == JS_HEALTH_OK)
            fail(run, "an unreadable configuration is not told");
        return;
    }
    if (r < 0)
        fail(run, "js_stream_verify: %s", js_err_name(r));
    r = js_stream_problems(stream, tell_problem, run);
    if (r != 0)
        fail(run, "js_stream_problems: %s", js_err_name(r));
}

static int first_name(void *ctx, const char *name) {
    char **found = ctx;

    *found = strdup(name);
    return 1;
}

/* A backup does not show its account: it is the one there is. */
static void run_stream(struct run *run, struct js_store *store, const json_t *want) {
    const char *account = text(want, "account");
    char *only = NULL;
    struct js_stream *stream;
    int r;

    run->stream = text(want, "name");
    if (account[0] == '\0') {
        js_store_list_accounts(store, first_name, &only);
        account = only ? only : "";
    }
    r = js_store_get_stream(store, account, run->stream, &stream);
    if (r < 0) {
        fail(run, "js_store_get_stream: %s", js_err_name(r));
    } else {
        compare_stream(run, stream, want);
        js_stream_unref(stream);
    }
    free(only);
    result(run);
}

static void run_case(struct run *run, const json_t *json) {
    struct js_store_options options = {.key_ctx = run};
    struct js_store *store;
    char why[256] = "";
    size_t i;
    json_t *want;
    int r;

    run->name = text(json, "name");
    run->key = text(json, "key");
    run->stream = "the store";
    if (run->key)
        options.key = kek;
    r = js_store_open(js_env_default(), text(json, "source"), &options, &store, why, sizeof why);
    if (r < 0) {
        fail(run, "js_store_open: %s: %s", js_err_name(r), why);
        result(run);
        return;
    }
    json_array_foreach(json_object_get(json, "streams"), i, want) run_stream(run, store, want);
    run->stream = "the store";
    r = js_store_close(store);
    if (r < 0)
        fail(run, "js_store_close: %s", js_err_name(r));
    result(run);
}

int main(int argc, char **argv) {
    struct run run = {0};
    json_error_t error;
    json_t *cases;
    json_t *one;
    size_t i;

    if (argc != 2) {
        fprintf(stderr, "usage: lib_corpus EXPECT.json\n");
        return 2;
    }
    cases = json_load_file(argv[1], 0, &error);
    if (!cases) {
        fprintf(stderr, "lib_corpus: %s: %s\n", argv[1], error.text);
        return 2;
    }
    json_array_foreach(cases, i, one) run_case(&run, one);
    json_decref(cases);
    printf("1..%u\n", run.tests);
    return run.failed || !run.tests ? 1 : 0;
}
