/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/opener.h"

#include <stdio.h>
#include <unistd.h>

bool jf_is_opener(pid_t opener, pid_t closer) {
    char path[64];

    if (closer == opener)
        return true;
    snprintf(path, sizeof(path), "/proc/%ld/task/%ld", (long)opener, (long)closer);
    return access(path, F_OK) == 0;
}
