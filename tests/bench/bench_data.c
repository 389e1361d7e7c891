/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_data.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cli/bench_data.h"

uint64_t bench_mix(uint64_t x) {
    return jf_bench_mix(x);
}

uint64_t bench_subject_id(const struct bench *bench, uint64_t i) {
    return jf_bench_subject_id(bench->subjects, i);
}

size_t bench_subject(const struct bench *bench, uint64_t id, char *ret_subject) {
    return jf_bench_subject(bench->subjects, id, ret_subject);
}

const uint8_t *bench_payload(const struct bench *bench, uint64_t i) {
    return jf_bench_payload(bench->random_table, i);
}

const uint8_t *bench_header(const struct bench *bench) {
    return jf_bench_header((size_t)bench->hdr);
}

static int first_account(void *ctx, const char *name) {
    snprintf(ctx, 256, "%s", name);
    return 1;
}

/* The peer's encrypted stores are written with the server key "bench" and no account. */
static int key(void *ctx, const char *account, const char *context, uint8_t ret_kek[32]) {
    (void)ctx;
    (void)account;
    return js_kek_derive("bench", 5, "", context, ret_kek);
}

void bench_open(struct bench *bench, unsigned flags) {
    struct js_store_options options = {.flags = flags, .sync = JS_SYNC_OS, .key = key};
    char why[256] = "", account[256] = "";
    int r = js_store_open(js_env_default(), bench->dir, &options, &bench->store, why, sizeof why);
    bench_ok(why[0] ? why : bench->dir, r);
    js_store_list_accounts(bench->store, first_account, account);
    bench_ok("stream BENCH", js_store_get_stream(bench->store, account, "BENCH", &bench->stream));
}

void bench_close(struct bench *bench) {
    js_stream_unref(bench->stream);
    bench_ok("close", js_store_close(bench->store));
    bench->stream = NULL;
    bench->store = NULL;
}

void bench_open_scanned(struct bench *bench) {
    bench_open(bench, 0);
    bench_ok("scan", js_stream_scan(bench->stream));
}

struct bench_timer bench_start(const char *name) {
    struct bench_timer timer = {.name = name};
    jf_bench_reset_peak();
    timer.start = js_env_default()->clock->monotonic(NULL);
    return timer;
}

void bench_stop(const struct bench_timer *timer, uint64_t ops, uint64_t bytes, uint64_t result) {
    double ns = (double)(js_env_default()->clock->monotonic(NULL) - timer->start);
    printf("{\"case\": \"%s\", \"ops\": %" PRIu64 ", \"ns_per_op\": %.1f, \"mb_per_s\": %.1f, "
           "\"peak_rss_mib\": %.1f, \"result\": %" PRIu64 "}\n",
           timer->name, ops, ns / (double)(ops ? ops : 1), (double)bytes * 1e3 / ns,
           (double)jf_bench_peak() / (1 << 20), result);
    fflush(stdout);
}

void bench_ok(const char *what, int r) {
    if (r >= 0)
        return;
    fprintf(stderr, "bench_store: %s: %s\n", what, js_err_text(r));
    exit(1);
}

void bench_check(const char *what, uint64_t got, uint64_t want) {
    if (got == want)
        return;
    fprintf(stderr, "bench_store: %s: %" PRIu64 ", not %" PRIu64 "\n", what, got, want);
    exit(1);
}

void bench_check_msg(const struct bench *bench, const struct js_msg *msg, uint64_t i) {
    char subject[BENCH_SUBJECT_SIZE];
    size_t len = bench_subject(bench, bench_subject_id(bench, i), subject);
    bool same = msg->seq == i && msg->subject_len == len &&
                memcmp(msg->subject, subject, len) == 0 && msg->hdr_len == bench->hdr &&
                (bench->hdr == 0 || memcmp(msg->hdr, bench_header(bench), msg->hdr_len) == 0) &&
                msg->data_len == bench->size &&
                memcmp(msg->data, bench_payload(bench, i), msg->data_len) == 0;
    if (same)
        return;
    fprintf(stderr, "bench_store: message %" PRIu64 " is not what was stored\n", i);
    exit(1);
}
