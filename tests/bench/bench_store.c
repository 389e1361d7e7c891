/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills a store, or opens one and times it.
 *
 * usage: bench_store fill DIR MESSAGES SIZE SUBJECTS     writes stream BENCH (account $G)
 *        bench_store open DIR                            one line of JSON: seconds, bytes, RSS
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/jetstore.h"

#define BATCH 1024

static uint64_t mix(uint64_t x) {
    x += 0x9E3779B97F4A7C15ull;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

static int die(const char *what, int r) {
    fprintf(stderr, "bench_store: %s: %s\n", what, js_err_text(r));
    return 1;
}

/* Payload without newlines: lines of text for the views. */
static void fill_table(uint8_t *table, size_t len) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789 ";
    for (size_t i = 0; i < len; i++)
        table[i] = (uint8_t)letters[mix(i) % (sizeof letters - 1)];
}

static int fill(const char *dir, uint64_t n, size_t size, uint64_t subjects) {
    struct js_store_options options = {.flags = JS_OPEN_RW | JS_OPEN_CREATE, .sync = JS_SYNC_OS};
    struct js_store *store;
    struct js_stream *stream;
    char why[256];
    uint8_t *table = malloc(65536 + size);
    char (*names)[48] = malloc(BATCH * sizeof *names);
    static struct js_new_msg msgs[BATCH];
    int r, err = 0;

    if (!table || !names)
        return 1;
    fill_table(table, 65536 + size);
    r = js_store_open(js_env_default(), dir, &options, &store, why, sizeof why);
    if (r < 0)
        return die(why, r);
    r = js_store_create_stream(store, "$G", "BENCH", "{\"subjects\":[\"bench.>\",\"dev.>\"]}", why,
                               sizeof why);
    if (r == 0)
        r = js_store_get_stream(store, "$G", "BENCH", &stream);
    if (r < 0)
        return die(why, r);
    js_time_t t0 = js_env_default()->clock->monotonic(NULL);
    for (uint64_t i = 1; i <= n;) {
        size_t k = 0;
        for (; k < BATCH && i <= n; k++, i++) {
            uint64_t id = mix(i) % subjects;
            int len = subjects == 1 ? snprintf(names[k], sizeof names[k], "bench.one")
                                    : snprintf(names[k], sizeof names[k],
                                               "dev.%" PRIu64 ".%" PRIu64 ".temp", id / 1000,
                                               id % 1000);
            msgs[k] = (struct js_new_msg){.subject = names[k],
                                          .subject_len = (size_t)len,
                                          .data = table + (i * 131) % 65536,
                                          .data_len = size};
        }
        if (js_stream_store_msgs(stream, msgs, k, &err) != (ssize_t)k)
            return die("store", err);
    }
    js_time_t t1 = js_env_default()->clock->monotonic(NULL);
    js_stream_unref(stream);
    r = js_store_close(store);
    if (r < 0)
        return die("close", r);
    printf("{\"stored\": %" PRIu64 ", \"seconds\": %.3f}\n", n, (double)(t1 - t0) / 1e9);
    free(table);
    free(names);
    return 0;
}

static int open_store(const char *dir) {
    struct js_store *store;
    struct js_stream *stream;
    struct js_stream_state st;
    struct rusage ru;
    char why[256];

    int r = js_store_open(js_env_default(), dir, NULL, &store, why, sizeof why);
    if (r < 0)
        return die(why, r);
    js_time_t t0 = js_env_default()->clock->monotonic(NULL);
    r = js_store_get_stream(store, "$G", "BENCH", &stream);
    if (r < 0)
        return die("open", r);
    js_time_t t1 = js_env_default()->clock->monotonic(NULL);
    js_stream_get_state(stream, &st);
    getrusage(RUSAGE_SELF, &ru);
    double cpu = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
                 (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
    printf("{\"messages\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"seconds\": %.3f, \"cpu_seconds\": %.3f, \"rss_mib\": %.1f}\n",
           st.msgs, st.bytes, (double)(t1 - t0) / 1e9, cpu, (double)ru.ru_maxrss / 1024);
    js_stream_unref(stream);
    js_store_close(store);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 6 && strcmp(argv[1], "fill") == 0)
        return fill(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10),
                    strtoull(argv[5], NULL, 10));
    if (argc == 3 && strcmp(argv[1], "open") == 0)
        return open_store(argv[2]);
    fprintf(stderr, "usage: bench_store fill DIR MESSAGES SIZE SUBJECTS | open DIR\n");
    return 2;
}
