/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/cli/cli.h"

int main(int argc, char **argv) {
    return jf_cli_main(argc, argv);
}
