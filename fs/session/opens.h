/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and directories that are open. When the mount ends while programs hold files, the kernel
 * releases nothing; these are released here, so that streams are given back before the store
 * is closed.
 */
#ifndef JF_SESSION_OPENS_H
#define JF_SESSION_OPENS_H

#include "fs/node/class.h"

struct jf_opens;

struct jf_opens *jf_opens_new(void);
/* Calls the class's release for what is open still. Requests are not handled any more. */
void jf_opens_free(struct jf_fs *fs);
/* Notes an open file: fi->fh, the class's, becomes ours. fh 0 stays 0: nothing to release. NOMEM.
 */
int jf_opens_add(const struct jf_ref *ref, struct fuse_file_info *fi, bool dir);
/* fi->fh, ours, becomes the class's again. */
void jf_opens_resolve(struct fuse_file_info *fi);
/* The attributes of a file that is gone but open: the removal concerns its names only. ESTALE: it
 * is not open. */
int jf_opens_stat(const struct jf_ref *ref, struct stat *ret_st);
/* Forgets; fi->fh is ours and becomes the class's. */
void jf_opens_remove(struct jf_fs *fs, struct fuse_file_info *fi);

#endif
