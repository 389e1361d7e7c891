/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backup as a source: the S2 archive is decompressed into an unlinked scratch file outside the
 * store; its members are then extents of that file. A V2 archive (NATSARC1) holds messages instead
 * of blocks: they are written to the scratch file as blocks of our own, so that the layers above
 * need not know.
 */
#ifndef JS_BACKUP_H
#define JS_BACKUP_H

#include "core/stream/files.h"

/* True if the file's first bytes are an S2 stream whose content begins like a tar or NATSARC1. */
bool js_backup_detect(const struct js_env *env, int fd);

/*
 * Opens an archive (fd is borrowed for the call). config_json: text of backup.json if there is one
 * (NULL otherwise); its "config" names the stream when the archive holds no meta.inf.
 */
int js_backup_open(const struct js_env *env, int fd, const char *config_json,
                   struct js_backup **ret_backup, char *ret_why, size_t why_size);
struct js_backup *js_backup_ref(struct js_backup *backup);
void js_backup_unref(struct js_backup *backup);
const struct js_env *js_backup_env(struct js_backup *backup);
/* The stream's name by meta.inf or backup.json. */
const char *js_backup_stream_name(struct js_backup *backup);

int js_backup_slurp(struct js_backup *backup, const char *path, uint64_t max, struct js_buf *out);
int js_backup_stat(struct js_backup *backup, const char *path, struct stat *ret_st);
int js_backup_open_block(struct js_backup *backup, uint32_t number, struct js_extent *ret_extent);
/* Immediate children of a prefix ("msgs/", "obs/"), each once. */
int js_backup_list(struct js_backup *backup, const char *prefix,
                   int (*fn)(void *ctx, const char *name), void *ctx);

#endif
