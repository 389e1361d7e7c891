/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/buf.h"

#include "core/base/bytes.h"

int js_buf_reserve(struct js_buf *buf, size_t n) {
    size_t need;

    if (buf->failed)
        return JS_ERR_NOMEM;
    if (buf->cap - buf->len >= n)
        return 0;
    if (__builtin_add_overflow(buf->len, n, &need) || need > SIZE_MAX / 2) {
        buf->failed = true;
        return JS_ERR_NOMEM;
    }
    size_t cap = buf->cap ? buf->cap : 64;
    while (cap < need)
        cap *= 2;
    uint8_t *p = js_realloc(buf->env, buf->data, cap);
    if (!p) {
        buf->failed = true;
        return JS_ERR_NOMEM;
    }
    buf->data = p;
    buf->cap = cap;
    return 0;
}

void js_buf_append(struct js_buf *buf, const void *data, size_t n) {
    if (n == 0 || js_buf_reserve(buf, n) < 0)
        return;
    memcpy(buf->data + buf->len, data, n);
    buf->len += n;
}

void js_buf_append_u8(struct js_buf *buf, uint8_t v) {
    js_buf_append(buf, &v, 1);
}

void js_buf_append_u16(struct js_buf *buf, uint16_t v) {
    uint8_t b[2];
    js_put16(b, v);
    js_buf_append(buf, b, sizeof b);
}

void js_buf_append_u32(struct js_buf *buf, uint32_t v) {
    uint8_t b[4];
    js_put32(b, v);
    js_buf_append(buf, b, sizeof b);
}

void js_buf_append_u64(struct js_buf *buf, uint64_t v) {
    uint8_t b[8];
    js_put64(b, v);
    js_buf_append(buf, b, sizeof b);
}

void js_buf_append_uv(struct js_buf *buf, uint64_t v) {
    uint8_t b[10];
    js_buf_append(buf, b, js_put_uv(b, v));
}

void js_buf_append_sv(struct js_buf *buf, int64_t v) {
    uint8_t b[10];
    js_buf_append(buf, b, js_put_sv(b, v));
}

void js_buf_done(struct js_buf *buf) {
    js_free(buf->env, buf->data);
    buf->data = NULL;
    buf->len = buf->cap = 0;
    buf->failed = false;
}
