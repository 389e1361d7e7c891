/* SPDX-License-Identifier: Apache-2.0 */
/* One target under libFuzzer: the one that JETFS_FUZZ_TARGET names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/targets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct fuzz_target *target;

    if (!target) {
        const char *name = getenv("JETFS_FUZZ_TARGET");
        for (target = fuzz_targets; target->name; target++)
            if (name && strcmp(target->name, name) == 0)
                break;
        if (!target->name) {
            fprintf(stderr, "fuzz: JETFS_FUZZ_TARGET names no target\n");
            exit(2);
        }
    }
    target->run(data, size);
    return 0;
}
