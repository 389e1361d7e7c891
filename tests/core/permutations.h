/* SPDX-License-Identifier: Apache-2.0 */
/* The ways in which a store can keep its blocks: tests of the engine run in each that is enabled.
 */
#ifndef TESTS_PERMUTATIONS_H
#define TESTS_PERMUTATIONS_H

#include <stdbool.h>

struct permutation {
    const char *cipher;      /* "none", "chacha", "aes" */
    const char *compression; /* "none", "s2", "lz4" */
    bool enabled;
};

static const struct permutation permutations[] = {
    {"none", "none", true},   {"none", "s2", true},   {"none", "lz4", true},
    {"chacha", "none", true}, {"chacha", "s2", true}, {"chacha", "lz4", true},
    {"aes", "none", true},    {"aes", "s2", true},    {"aes", "lz4", true},
};
#define NUM_PERMUTATIONS (sizeof permutations / sizeof *permutations)

#endif
