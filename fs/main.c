/* SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>

#include "fs/cli/cli.h"

int main(int argc, char **argv) {
    /* Decoded blocks are allocated by one thread and freed by another: with an arena for each
     * thread the memory of evicted blocks would stay with them and count beside the budget. */
    mallopt(M_ARENA_MAX, 1);
    return jf_cli_main(argc, argv);
}
