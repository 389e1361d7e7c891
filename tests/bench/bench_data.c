/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_data.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CYCLE 65536
#define TABLE_SIZE (CYCLE + 262144)

static const char *const words[] = {
    "alpha",  "bravo",   "charlie", "delta",  "echo",    "foxtrot", "golf",   "hotel",   "india",
    "juliet", "kilo",    "lima",    "mike",   "november", "oscar",  "papa",   "quebec",  "romeo",
    "sierra", "tango",   "uniform", "victor", "whiskey", "xray",    "yankee", "zulu",    "sensor",
    "value",  "temp",    "unit",    "status", "ok",      "error",   "warn",   "info",    "host",
    "port",   "user",    "order",   "item",   "price",   "count",   "total",  "region",  "zone",
    "rack",   "node",    "cpu",     "memory", "disk",    "network", "bytes",  "packets", "latency",
    "p99",    "json",    "true",    "false",  "null",    "id",
};

uint64_t bench_mix(uint64_t x) {
    x += 0x9E3779B97F4A7C15ull;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

uint64_t bench_subject_id(const struct bench *bench, uint64_t i) {
    return bench_mix(i) % bench->subjects;
}

size_t bench_subject(const struct bench *bench, uint64_t id, char *ret_subject) {
    int len = bench->subjects == 1
                  ? snprintf(ret_subject, BENCH_SUBJECT_SIZE, "bench.one")
                  : snprintf(ret_subject, BENCH_SUBJECT_SIZE, "dev.%" PRIu64 ".%" PRIu64 ".temp",
                             id / 1000, id % 1000);
    return (size_t)len;
}

/* Words and blanks, no newline (each message is a line of the text views); or noise. */
static void fill_table(uint8_t *table, bool noise) {
    size_t count = sizeof words / sizeof *words, len = 0;
    for (uint64_t k = 0; len < TABLE_SIZE; k++) {
        if (noise) {
            uint64_t v = bench_mix(k);
            for (int j = 0; j < 8 && len < TABLE_SIZE; j++)
                table[len++] = (uint8_t)(v >> (8 * j));
            continue;
        }
        for (const char *c = words[bench_mix(k) % count]; *c && len < TABLE_SIZE; c++)
            table[len++] = (uint8_t)*c;
        if (len < TABLE_SIZE)
            table[len++] = ' ';
    }
}

const uint8_t *bench_payload(const struct bench *bench, uint64_t i) {
    static uint8_t table[TABLE_SIZE];
    if (table[0] == 0)
        fill_table(table, bench->random_table);
    return table + (i * 131) % CYCLE;
}

const uint8_t *bench_header(const struct bench *bench) {
    static const char head[] = "NATS/1.0\r\nX-Bench: ", tail[] = "\r\n\r\n";
    static uint8_t header[4096];
    size_t len = (size_t)bench->hdr;
    if (len == 0)
        return NULL;
    memset(header, 'h', len);
    memcpy(header, head, sizeof head - 1);
    memcpy(header + len - (sizeof tail - 1), tail, sizeof tail - 1);
    return header;
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
    malloc_trim(0);
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, "5", 1) != 1) /* without it the peak is that of the whole process */
            fprintf(stderr, "bench_store: the peak of memory cannot be set back\n");
        close(fd);
    }
    timer.start = js_env_default()->clock->monotonic(NULL);
    return timer;
}

static double peak_mib(void) {
    char line[256];
    unsigned long kib = 0;
    FILE *status = fopen("/proc/self/status", "re");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %lu", &kib) == 1)
            break;
    if (status)
        fclose(status);
    return (double)kib / 1024;
}

void bench_stop(const struct bench_timer *timer, uint64_t ops, uint64_t bytes, uint64_t result) {
    double ns = (double)(js_env_default()->clock->monotonic(NULL) - timer->start);
    printf("{\"case\": \"%s\", \"ops\": %" PRIu64 ", \"ns_per_op\": %.1f, \"mb_per_s\": %.1f, "
           "\"peak_rss_mib\": %.1f, \"result\": %" PRIu64 "}\n",
           timer->name, ops, ns / (double)(ops ? ops : 1), (double)bytes * 1e3 / ns, peak_mib(),
           result);
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
