/* SPDX-License-Identifier: Apache-2.0 */
#include "core/format/small_state.h"

#define VERSION 1

static int read_head(struct js_reader *r, struct js_small_head *head) {
    uint8_t version = js_read_u8(r);

    if (r->bad)
        return JS_ERR_CORRUPT;
    if (version != VERSION)
        return JS_ERR_UNKNOWN_FORMAT;
    head->count = js_read_u64(r);
    head->stamp = js_read_u64(r);
    /* No entry is shorter than two bytes. */
    return r->bad || head->count > js_reader_left(r) / 2 ? JS_ERR_CORRUPT : 0;
}

int js_thw_decode(const uint8_t *in, size_t len, struct js_small_head *ret_head,
                  int (*fn)(void *ctx, js_time_t expires, js_seq_t seq), void *ctx) {
    struct js_reader r = js_reader_of(in, len);
    struct js_small_head head = {0};
    int e = read_head(&r, &head);

    for (uint64_t i = 0; i < head.count && e == 0; i++) {
        js_time_t expires = js_read_sv(&r);
        js_seq_t seq = js_read_uv(&r);
        if (r.bad)
            e = JS_ERR_CORRUPT;
        else if (fn)
            e = fn(ctx, expires, seq);
    }
    if (e == 0)
        *ret_head = head;
    return e;
}

int js_sched_decode(const uint8_t *in, size_t len, struct js_small_head *ret_head,
                    int (*fn)(void *ctx, const char *subject, size_t slen, js_time_t next,
                              js_seq_t seq),
                    void *ctx) {
    struct js_reader r = js_reader_of(in, len);
    struct js_small_head head = {0};
    int e = read_head(&r, &head);

    for (uint64_t i = 0; i < head.count && e == 0; i++) {
        uint16_t n = js_read_u16(&r);
        const uint8_t *subject = js_read_bytes(&r, n);
        js_time_t next = js_read_sv(&r);
        js_seq_t seq = js_read_uv(&r);
        if (r.bad)
            e = JS_ERR_CORRUPT;
        else if (fn)
            e = fn(ctx, (const char *)subject, n, next, seq);
    }
    if (e == 0)
        *ret_head = head;
    return e;
}

int js_sources_decode(const uint8_t *in, size_t len, struct js_small_head *ret_head,
                      int (*fn)(void *ctx, const char *name, size_t nlen, js_seq_t seq,
                                const char *ident, size_t ilen),
                      void *ctx) {
    struct js_reader r = js_reader_of(in, len);
    struct js_small_head head = {0};
    int e = read_head(&r, &head);

    for (uint64_t i = 0; i < head.count && e == 0; i++) {
        uint64_t nlen = js_read_uv(&r);
        const uint8_t *name = js_read_bytes(&r, nlen);
        js_seq_t seq = js_read_uv(&r);
        uint64_t ilen = js_read_uv(&r);
        const uint8_t *ident = js_read_bytes(&r, ilen);
        if (r.bad)
            e = JS_ERR_CORRUPT;
        else if (fn)
            e = fn(ctx, (const char *)name, nlen, seq, (const char *)ident, ilen);
    }
    if (e == 0)
        *ret_head = head;
    return e;
}
