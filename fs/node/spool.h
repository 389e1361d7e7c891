/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JF_NODE_SPOOL_H
#define JF_NODE_SPOOL_H

#include "fs/node/class.h"

/* Opens a staged file (create does it in one step). */
int jf_spool_open(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi);

#endif
