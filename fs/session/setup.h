/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the mount's context from options: opens the store, chooses what stands at the root. */
#ifndef JF_SESSION_SETUP_H
#define JF_SESSION_SETUP_H

#include "fs/base/fs.h"

/* Sentences for the user fit into this. */
#define JF_WHY_SIZE 1024

struct jf_keys;

/*
 * Fills fs from fs->options: store, root, tables. On failure a sentence in why, and what was made
 * is freed by jf_setup_done as usual. ret_keys: to be freed after jf_setup_done.
 */
int jf_setup(struct jf_fs *fs, struct jf_keys **ret_keys, char *why, size_t why_size);
/* Closes the store (its error is returned) and frees all. The session is gone by then. */
int jf_setup_done(struct jf_fs *fs);

#endif
