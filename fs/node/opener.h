/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JF_NODE_OPENER_H
#define JF_NODE_OPENER_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Whether a file is closed by who opened it, and not by a child that inherited it. The kernel names
 * threads: any of the opener's may close what another one opened. false when the opening thread is
 * gone: what must not be lost is done at release, too.
 */
bool jf_is_opener(pid_t opener, pid_t closer);

#endif
