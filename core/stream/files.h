/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a stream's files come from: a directory, or an unpacked backup. Both give the same names
 * ("meta.inf", "msgs/index.db", "obs/<consumer>/o.dat") and blocks as extents of open files, so
 * that everything above reads them alike. No descriptor is held per block.
 */
#ifndef JS_FILES_H
#define JS_FILES_H

#include "core/base/buf.h"

struct js_backup;

/* Paths are "name", "msgs/name" or "obs/<consumer>/name". */
struct js_files {
    const struct js_env *env;
    int dirfd;   /* the stream's directory; -1 for a backup */
    int msgs_fd; /* -1 when missing */
    const char *msgs_name; /* "msgs", or "__new_msgs__" after an interrupted purge */
    struct js_backup *backup; /* shared, reference counted; NULL for a directory */
};

/* Opens the directory `name` below parent_fd (or an already open one: name NULL takes parent_fd's
 * duplicate ".") */
int js_files_open_dir(const struct js_env *env, int parent_fd, const char *name,
                      struct js_files *ret_files);
/* Takes a reference of the backup. */
void js_files_open_backup(struct js_backup *backup, struct js_files *ret_files);
void js_files_close(struct js_files *files);
/* Opens msgs again (after another process replaced it). */
int js_files_reopen_msgs(struct js_files *files);

/* Whole small file, appended to out. NO_ENTRY, TOO_BIG, NOT_REGULAR, IO ... */
int js_files_slurp(struct js_files *files, const char *path, uint64_t max, struct js_buf *out);
/* stat of a path; for a backup only size and type are filled. */
int js_files_stat(struct js_files *files, const char *path, struct stat *ret_st);

/* An open stretch of a file. */
struct js_extent {
    int fd;
    uint64_t off;
    uint64_t len;
    bool close_fd;
};
/* Opens N.blk. NO_ENTRY, NOT_REGULAR ... */
int js_files_open_block(struct js_files *files, uint32_t number, struct js_extent *ret_extent);
void js_extent_close(const struct js_env *env, struct js_extent *extent);

/* Names in msgs/ ("" if msgs is missing: NO_ENTRY), and the consumers' names in obs/. */
int js_files_list_msgs(struct js_files *files, int (*fn)(void *ctx, const char *name), void *ctx);
int js_files_list_consumers(struct js_files *files, int (*fn)(void *ctx, const char *name),
                            void *ctx);

/* "12.blk" -> 12; 0 when the name is not exactly <decimal without leading zeros><suffix>. */
uint32_t js_block_number_of(const char *name, const char *suffix);

#endif
