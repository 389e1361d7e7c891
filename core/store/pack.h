/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressing a long run of bytes in S2 framing: pieces are compressed by threads of its own while the caller
 * brings the next ones; what comes out is handed to the caller's sink in order, in the caller's thread.
 */
#ifndef JS_PACK_H
#define JS_PACK_H

#include "core/jetstore.h"

struct js_pack;

/* threads: 1 = the caller's alone. Threads that cannot be had are done without. NOMEM. */
int js_pack_new(const struct js_env *env, unsigned threads, js_sink_fn sink, void *ctx,
                struct js_pack **ret_pack);
/* Appends n bytes. The first error of the sink or of compressing ends it: it is returned from then on. */
int js_pack_put(struct js_pack *pack, const void *data, size_t n);
/* Hands out everything. */
int js_pack_end(struct js_pack *pack);
void js_pack_free(struct js_pack *pack);

#endif
