/* SPDX-License-Identifier: Apache-2.0 */
/* Growable byte buffer. After an allocation failure, failed is set and appends do nothing, so a
 * run of appends needs one check at its end. */
#ifndef JS_BUF_H
#define JS_BUF_H

#include "core/base/mem.h"

struct js_buf {
    const struct js_env *env; /* set by the owner before first use */
    uint8_t *data;
    size_t len;
    size_t cap;
    bool failed;
};

/* Makes room for n more bytes. 0 or JS_ERR_NOMEM. */
int js_buf_reserve(struct js_buf *buf, size_t n);
void js_buf_append(struct js_buf *buf, const void *data, size_t n);
void js_buf_append_u8(struct js_buf *buf, uint8_t v);
void js_buf_append_u16(struct js_buf *buf, uint16_t v);
void js_buf_append_u32(struct js_buf *buf, uint32_t v);
void js_buf_append_u64(struct js_buf *buf, uint64_t v);
void js_buf_append_uv(struct js_buf *buf, uint64_t v);
void js_buf_append_sv(struct js_buf *buf, int64_t v);
/* Frees the memory; the buffer can be used again. */
void js_buf_done(struct js_buf *buf);

#endif
