/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `dump` and `verify` make of a stream's findings: which exit code each stands for, and how it
 * is written.
 *
 *   torn_tail, damaged, unknown_format   damage (4)
 *   wrong_key, no_key                    operational (8): nothing is known about the bytes
 *
 * A torn tail counts, although a crash leaves one behind as a matter of course: what was cut off is
 * gone, and a store with such an end is not clean. Only while a process has the stream open
 * for writing is its unfinished end nothing to report.
 */
#ifndef JF_CLI_FINDINGS_H
#define JF_CLI_FINDINGS_H

#include "core/jetstore.h"
#include "fs/cli/out.h"

/* JF_EXIT_OK, JF_EXIT_DAMAGE or JF_EXIT_OPERATION. live: see jf_source_is_live. */
int jf_finding_exit(enum js_health verdict, bool live);
/* True when it is about messages: a file of a block, or the whole stream. */
bool jf_finding_in_blocks(const struct js_problem *problem);
/* N of "msgs/N.blk"; false if the finding is about another file. */
bool jf_finding_block(const struct js_problem *problem, uint32_t *ret_number);

/* One line: "damaged msgs/3.blk: 99 bytes at 1234, sequences 17..18 (2 lost): text". */
void jf_finding_print(struct jf_out *out, const struct js_problem *problem);
/* One object, all members of struct js_problem and "block" (null if none). */
void jf_finding_json(struct jf_out *out, const struct js_problem *problem);
/* The line of jf_finding_print as one message about label on standard error. */
void jf_finding_say(const char *label, const struct js_problem *problem);

#endif
