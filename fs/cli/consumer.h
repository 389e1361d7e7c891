/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of consumers share. */
#ifndef JF_CLI_CONSUMER_H
#define JF_CLI_CONSUMER_H

#include "fs/cli/source.h"

/* Opens the source and its only stream. 0, or the exit code after telling why (then nothing is
 * open). */
int jf_consumer_stream(struct jf_call *call, unsigned flags, struct jf_source *source,
                       struct js_stream **ret_stream);

#endif
