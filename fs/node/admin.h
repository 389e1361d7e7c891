/* SPDX-License-Identifier: Apache-2.0 */
/* Administration through the mount: config.json and ctl of a stream, purging by unlink, moving
 * messages by rename. */
#ifndef JF_NODE_ADMIN_H
#define JF_NODE_ADMIN_H

#include "fs/node/class.h"

extern const struct jf_class jf_class_config;
extern const struct jf_class jf_class_ctl;

/* Of a stream's or a consumer's directory: config.json.* beside config.json (n_config.c). */
int jf_config_lookup(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry);
int jf_config_create(fuse_req_t req, const struct jf_ref *dir, const char *name, mode_t mode,
                     struct fuse_file_info *fi, struct jf_entry *ret_entry);
int jf_config_unlink(const struct jf_ref *dir, const char *name);
int jf_config_rename(const struct jf_ref *from, const char *name, const struct jf_ref *to,
                     const char *new_name, unsigned flags);

/* rm of all.log and own.log below by-subject/ purges (purge.c). */
int jf_purge_unlink(const struct jf_ref *dir, const char *name);
/* Renames a message into another stream's spool/SUBJECT/ or spool/any.d/: stored there, then removed
 * here (move.c). EXDEV for other places. */
int jf_move_msg(const struct jf_ref *from, js_seq_t seq, const struct jf_ref *to);

#endif
