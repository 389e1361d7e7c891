/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every target over files: those that fuzzing found (tests/fuzz/found), and the files of golden stores,
 * whole and with changes. TAP on standard output.
 *
 * usage: replay DIRECTORY...
 */
#define _XOPEN_SOURCE 700
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/targets.h"

#define MAX_FILE (256u << 10)
#define CHANGES  8 /* of each file */

static size_t files, inputs;
static uint64_t rng = 0x9E3779B97F4A7C15;

static uint64_t next(void) {
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

static void run_all(const uint8_t *data, size_t size) {
    for (const struct fuzz_target *t = fuzz_targets; t->name; t++)
        t->run(data, size);
    inputs++;
}

static int see(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
    (void)ftw;
    if (kind != FTW_F || st->st_size == 0 || st->st_size > MAX_FILE)
        return 0;
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc((size_t)st->st_size);
    if (!f || !data)
        return 1;
    size_t size = fread(data, 1, (size_t)st->st_size, f);
    fclose(f);
    files++;
    run_all(data, size);
    bool large = size > 8192;
    for (int i = 0; i < (large ? 1 : CHANGES); i++) {
        /* A copy of the exact size: the sanitizer sees a step beyond it. */
        size_t n = next() % 4 ? size : next() % (size + 1);
        uint8_t *changed = malloc(n ? n : 1);
        if (!changed)
            return 1;
        memcpy(changed, data, n);
        for (uint64_t k = next() % 4; n && k > 0; k--)
            changed[next() % n] = (uint8_t)next();
        run_all(changed, n);
        free(changed);
    }
    free(data);
    return 0;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (nftw(argv[i], see, 16, FTW_PHYS) != 0) {
            printf("not ok 1 - %s cannot be read\n1..1\n", argv[i]);
            return 1;
        }
    printf("%s 1 - %zu inputs of %zu files\n1..1\n", files > 10 ? "ok" : "not ok", inputs, files);
    return files > 10 ? 0 : 1;
}
