/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bar on standard error for work of more than two seconds, when a person looks at it. There is at
 * most one at a time. It is drawn by a thread of its own, because the work it tells about may be
 * one long call into the library.
 */
#ifndef JF_CLI_PROGRESS_H
#define JF_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Begins. what: a few words ("verify"), borrowed until the end. unit: what is counted. total 0 =
 * not known. Does nothing if standard error is no terminal, or if quiet.
 */
void jf_progress_begin(const char *what, const char *unit, uint64_t total, bool quiet);
/* Tells how much is done. Cheap: may be called for each message. */
void jf_progress_set(uint64_t done);
void jf_progress_add(uint64_t n);
/* Ends and erases the bar. Harmless without a beginning. */
void jf_progress_end(void);

/* Around any other output on standard error: erases the bar, and keeps it away until resumed. */
void jf_progress_pause(void);
void jf_progress_resume(void);

#endif
