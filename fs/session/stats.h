/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of operations, for .jetfs/metrics and .jetfs/stats.json. */
#ifndef JF_SESSION_STATS_H
#define JF_SESSION_STATS_H

#include "fs/node/class.h"

struct jf_stats {
    struct {
        atomic_ullong count;
        atomic_ullong errors;
    } op[JF_OP_COUNT];
    atomic_ullong write_bytes;
};

/* "lookup", "getattr" ...; static. */
const char *jf_op_name(enum jf_op op);
/* OpenMetrics text / JSON; given (free()), NULL: no memory. */
char *jf_stats_metrics(struct jf_fs *fs, size_t *ret_len);
char *jf_stats_json(struct jf_fs *fs, size_t *ret_len);

#endif
