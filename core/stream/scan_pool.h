/* SPDX-License-Identifier: Apache-2.0 */
/* Scans blocks on several threads and hands them over in order, a few ahead at most. */
#ifndef JS_SCAN_POOL_H
#define JS_SCAN_POOL_H

#include "core/stream/stream.h"

struct js_scan_item {
    struct js_scan scan;
    struct js_block_key *key; /* taken by the receiver */
    int error;
    bool ready;
};

struct js_scan_pool;

/* Begins scanning numbers[0..count) (borrowed). The stream must not change what scanning reads
 * (configuration, keys, index) until js_scan_pool_end. */
int js_scan_pool_begin(struct js_stream *stream, const uint32_t *numbers, size_t count,
                       struct js_scan_pool **ret_pool);
/* Item i, waiting until it is ready; i must be the current one or the one after it. NULL past the
 * end. */
struct js_scan_item *js_scan_pool_item(struct js_scan_pool *pool, size_t i);
/* Item i is done with; its buffers are used again. */
void js_scan_pool_release(struct js_scan_pool *pool, size_t i);
void js_scan_pool_end(struct js_scan_pool *pool);

#endif
