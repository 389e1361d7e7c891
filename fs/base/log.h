/* SPDX-License-Identifier: Apache-2.0 */
/* The mount's journal: the last 1,000 lines, shown by .jetfs/errors.log and, in the foreground, on
 * standard error; and counters of operations. */
#ifndef JF_BASE_LOG_H
#define JF_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#define JF_LOG_LINES 1000

struct jf_log;

/* NULL: no memory. */
struct jf_log *jf_log_new(bool to_stderr);
void jf_log_free(struct jf_log *log);
/* Adds a line "TIME text". Control characters are replaced. From any thread. */
__attribute__((format(printf, 2, 3))) void jf_log_add(struct jf_log *log, const char *fmt, ...);
/* All lines, oldest first; given (free()). NULL: no memory. */
char *jf_log_text(struct jf_log *log, size_t *ret_len);

#endif
