/* SPDX-License-Identifier: Apache-2.0 */
/* The table of low-level operations: decodes, finds the class, calls, replies; nothing else. */
#ifndef JF_SESSION_OPS_H
#define JF_SESSION_OPS_H

#include "fs/base/fs.h"

/* userdata of the session is the struct jf_fs. init and destroy are left to the session. */
void jf_ops_fill(struct fuse_lowlevel_ops *ops);
/* The answer to statfs. */
int jf_statfs(const struct jf_fs *fs, struct js_stream *stream, struct statvfs *ret_st);

#endif
