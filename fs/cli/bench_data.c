/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/cli/bench_data.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CYCLE 65536
#define TABLE_SIZE (CYCLE + JF_BENCH_MAX_SIZE)

static const char *const words[] = {
    "alpha",  "bravo",   "charlie", "delta",  "echo",    "foxtrot", "golf",   "hotel",   "india",
    "juliet", "kilo",    "lima",    "mike",   "november", "oscar",  "papa",   "quebec",  "romeo",
    "sierra", "tango",   "uniform", "victor", "whiskey", "xray",    "yankee", "zulu",    "sensor",
    "value",  "temp",    "unit",    "status", "ok",      "error",   "warn",   "info",    "host",
    "port",   "user",    "order",   "item",   "price",   "count",   "total",  "region",  "zone",
    "rack",   "node",    "cpu",     "memory", "disk",    "network", "bytes",  "packets", "latency",
    "p99",    "json",    "true",    "false",  "null",    "id",
};

uint64_t jf_bench_mix(uint64_t x) {
    x += 0x9E3779B97F4A7C15ull;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

uint64_t jf_bench_subject_id(uint64_t subjects, uint64_t i) {
    return subjects == 1 ? 0 : jf_bench_mix(i) % subjects;
}

size_t jf_bench_subject(uint64_t subjects, uint64_t id, char *ret_subject) {
    int len = subjects == 1
                  ? snprintf(ret_subject, JF_BENCH_SUBJECT_SIZE, "bench.one")
                  : snprintf(ret_subject, JF_BENCH_SUBJECT_SIZE, "dev.%" PRIu64 ".%" PRIu64 ".temp",
                             id / 1000, id % 1000);
    return (size_t)len;
}

/* Words and blanks, no newline (each message is a line of the text views); or noise. */
static void fill_table(uint8_t *table, bool noise) {
    size_t count = sizeof words / sizeof *words, len = 0;
    for (uint64_t k = 0; len < TABLE_SIZE; k++) {
        if (noise) {
            uint64_t v = jf_bench_mix(k);
            for (int j = 0; j < 8 && len < TABLE_SIZE; j++)
                table[len++] = (uint8_t)(v >> (8 * j));
            continue;
        }
        for (const char *c = words[jf_bench_mix(k) % count]; *c && len < TABLE_SIZE; c++)
            table[len++] = (uint8_t)*c;
        if (len < TABLE_SIZE)
            table[len++] = ' ';
    }
}

const uint8_t *jf_bench_payload(bool noise, uint64_t i) {
    static uint8_t table[TABLE_SIZE];
    static bool filled;

    if (!filled)
        fill_table(table, noise);
    filled = true;
    return table + (i * 131) % CYCLE;
}

const uint8_t *jf_bench_header(size_t len) {
    static const char head[] = "NATS/1.0\r\nX-Bench: ", tail[] = "\r\n\r\n";
    static uint8_t header[JF_BENCH_MAX_HEADER];

    if (len == 0)
        return NULL;
    memset(header, 'h', len);
    memcpy(header, head, sizeof head - 1);
    memcpy(header + len - (sizeof tail - 1), tail, sizeof tail - 1);
    return header;
}

void jf_bench_reset_peak(void) {
    malloc_trim(0);
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, "5", 1) != 1) /* the peak is that of the whole process then */
        fprintf(stderr, "jetfs: bench: the peak of memory cannot be set back\n");
    close(fd);
}

uint64_t jf_bench_peak(void) {
    char line[256];
    unsigned long kib = 0;
    FILE *status = fopen("/proc/self/status", "re");

    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %lu", &kib) == 1)
            break;
    if (status)
        fclose(status);
    return (uint64_t)kib * 1024;
}
