/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/session/stats.h"

#include <stdio.h>
#include <stdlib.h>

#include "fs/session/park.h"

static const char *const names[JF_OP_COUNT] = {
    "lookup",  "getattr", "setattr", "readlink", "open",       "read",   "write",  "flush",
    "release", "fsync",   "opendir", "readdir",  "releasedir", "create", "unlink", "rename",
    "mkdir",   "rmdir",   "xattr",   "poll",     "statfs",     "forget",
};

const char *jf_op_name(enum jf_op op) {
    return names[op];
}

static unsigned long long get(const atomic_ullong *v) {
    return atomic_load_explicit(v, memory_order_relaxed);
}

char *jf_stats_metrics(struct jf_fs *fs, size_t *ret_len) {
    struct jf_stats *s = fs->stats;
    char *text = NULL;
    FILE *f = open_memstream(&text, ret_len);

    if (!f)
        return NULL;
    fputs("# TYPE jetfs_operations counter\n# HELP jetfs_operations Requests of the kernel.\n", f);
    for (int i = 0; i < JF_OP_COUNT; i++)
        fprintf(f, "jetfs_operations_total{op=\"%s\"} %llu\n", names[i], get(&s->op[i].count));
    fputs("# TYPE jetfs_operation_errors counter\n"
          "# HELP jetfs_operation_errors Requests that were answered with an error.\n",
          f);
    for (int i = 0; i < JF_OP_COUNT; i++)
        fprintf(f, "jetfs_operation_errors_total{op=\"%s\"} %llu\n", names[i],
                get(&s->op[i].errors));
    fprintf(f, "# TYPE jetfs_written_bytes counter\njetfs_written_bytes_total %llu\n",
            get(&s->write_bytes));
    fprintf(f, "# TYPE jetfs_parked_requests gauge\njetfs_parked_requests %zu\n",
            jf_parking_count(fs));
    fprintf(f, "# TYPE jetfs_interned_nodes gauge\njetfs_interned_nodes %zu\n# EOF\n",
            jf_intern_count(fs));
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

char *jf_stats_json(struct jf_fs *fs, size_t *ret_len) {
    struct jf_stats *s = fs->stats;
    char *text = NULL;
    FILE *f = open_memstream(&text, ret_len);

    if (!f)
        return NULL;
    fputs("{\n  \"operations\": {", f);
    for (int i = 0; i < JF_OP_COUNT; i++)
        fprintf(f, "%s\n    \"%s\": {\"count\": %llu, \"errors\": %llu}", i ? "," : "", names[i],
                get(&s->op[i].count), get(&s->op[i].errors));
    fprintf(f, "\n  },\n  \"written_bytes\": %llu,\n  \"parked\": %zu,\n  \"nodes\": %zu\n}\n",
            get(&s->write_bytes), jf_parking_count(fs), jf_intern_count(fs));
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
