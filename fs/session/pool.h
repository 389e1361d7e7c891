/* SPDX-License-Identifier: Apache-2.0 */
/* A few threads for what takes long, so that the threads that receive requests never do. */
#ifndef JF_SESSION_POOL_H
#define JF_SESSION_POOL_H

#include "fs/base/fs.h"

/* NULL: no memory or no thread. */
struct jf_pool *jf_pool_new(unsigned threads);
/* Finishes what is queued, ends the threads, frees. */
void jf_pool_free(struct jf_pool *pool);
/* Runs fn(arg) some time soon. NOMEM: not queued. */
int jf_pool_run(struct jf_pool *pool, void (*fn)(void *arg), void *arg);

#endif
