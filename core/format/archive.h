/* SPDX-License-Identifier: Apache-2.0 */
/* Backup archives, decompressed (docs/disk-format.md "Backups"): V1 PAX tar of a stream's directory
 * and V2 "NATSARC1". Both are walked from a file that can be read at any offset. */
#ifndef JS_ARCHIVE_H
#define JS_ARCHIVE_H

#include "core/jetstore.h"

/* Reads len bytes at off: bytes read (short only at the end) or a negative js_err. */
struct js_pread {
    ssize_t (*fn)(void *ctx, void *buf, size_t len, uint64_t off);
    void *ctx;
    uint64_t size;
};

/* Calls fn for each regular file of a tar (ustar, PAX path/size records, GNU long names). Names are
 * given as they stand; the caller judges them. Links, devices and directories are passed over.
 * CORRUPT (checksum, sizes), TORN (ends early), or fn's value. */
int js_tar_walk(const struct js_env *env, const struct js_pread *src,
                int (*fn)(void *ctx, const char *name, uint64_t off, uint64_t size), void *ctx);

/* One entry of NATSARC1. */
struct js_arc_entry {
    const char *name; /* NUL terminated, borrowed */
    size_t name_len;
    js_time_t time;
    js_seq_t seq;
    uint64_t hdr_off, hdr_size; /* in src */
    uint64_t data_off, data_size;
};
/* Entries in order, without the closing one. TORN when that is missing. UNKNOWN_FORMAT without the
 * magic. */
int js_arc_walk(const struct js_env *env, const struct js_pread *src,
                int (*fn)(void *ctx, const struct js_arc_entry *entry), void *ctx);

#endif
