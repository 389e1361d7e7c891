/* SPDX-License-Identifier: Apache-2.0 */
/* Directories of few names (accounts, streams, consumers): a snapshot taken by opendir. */
#ifndef JF_NODE_NAMES_H
#define JF_NODE_NAMES_H

#include "fs/node/class.h"

/* Calls fn for every name of the directory. */
typedef int (*jf_names_fn)(const struct jf_ref *ref, js_name_fn fn, void *ctx);

/* opendir: takes the snapshot into fi->fh. */
int jf_names_open(const struct jf_ref *ref, jf_names_fn names, struct fuse_file_info *fi);
/* releasedir. */
void jf_names_release(const struct jf_ref *ref, struct fuse_file_info *fi);
/* readdir: the names from cookie base on, escaped. False: the buffer is full. */
bool jf_names_list(struct fuse_file_info *fi, const struct jf_class *child,
                   const struct jf_stream *stream, off_t off, off_t base, struct jf_dirbuf *buf);
/* The name behind a file name, into buf[256]: unescaped, or searched if it was shortened. ENOENT.
 * Names with a dot are taken as they are. */
int jf_names_resolve(const struct jf_ref *ref, jf_names_fn names, const char *name, char *buf);

#endif
