/* SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>

#include "fs/cli/cli.h"

/* Every open stream holds two files, and the usual limit is for programs that use select(2). */
static void allow_many_files(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv) {
    /* A file that may not grow is an error of the write (EFBIG). */
    signal(SIGXFSZ, SIG_IGN);
    allow_many_files();
    /* Decoded blocks are allocated by one thread and freed by another: with an arena for each
     * thread the memory of evicted blocks would stay with them and count beside the budget. */
    mallopt(M_ARENA_MAX, 1);
    return jf_cli_main(argc, argv);
}
