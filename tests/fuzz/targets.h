/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is fuzzed: each target takes bytes as a file of a store might hold them, and must come back
 * without a crash, a leak or memory beyond what its limits allow. fuzz.c runs one of them under
 * libFuzzer, replay.c all of them over given files.
 */
#ifndef JS_FUZZ_TARGETS_H
#define JS_FUZZ_TARGETS_H

#include <stddef.h>
#include <stdint.h>

struct fuzz_target {
    const char *name;
    void (*run)(const uint8_t *data, size_t size);
};

/* Ends with a line whose name is NULL. */
extern const struct fuzz_target fuzz_targets[];

#endif
