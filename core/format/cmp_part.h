/* SPDX-License-Identifier: Apache-2.0 */
/* A few bytes of a compressed block, without decoding what is before and behind them. */
#ifndef JS_CMP_PART_H
#define JS_CMP_PART_H

#include "core/base/buf.h"

/* A block's file. */
struct js_cmp_source {
    /* As pread: the bytes read, less than len at the end alone, or a negative js_err. */
    ssize_t (*read)(void *ctx, uint64_t off, void *buf, size_t len);
    void *ctx;
    uint64_t len;
};

/*
 * Appends to out the decoded chunks (pieces, with LZ4) that hold the block's bytes off..off+len; *ret_begin:
 * where in the block the first of them begins. Only heads are read of the chunks before. JS_ERR_CORRUPT when
 * anything on the way is not as it is written, or the bytes are among the last eight: then the whole block
 * has to be decoded (js_cmp_decode), which knows what to do about damage.
 */
int js_cmp_part(const struct js_cmp_source *src, uint64_t off, size_t len, struct js_buf *out,
                uint64_t *ret_begin);

#endif
