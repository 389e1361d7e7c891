/* SPDX-License-Identifier: Apache-2.0 */
/* S2 and framed Snappy streams (docs/disk-format.md "Compression"), decoding with
 * resynchronisation, and the "cmp" wrapping of a block. */
#ifndef JS_S2_H
#define JS_S2_H

#include "core/base/buf.h"
#include "core/jetstore.h"

/* A stretch of the decoded data that is not proved by its chunk's checksum. */
struct js_s2_bad {
    uint64_t src_off;  /* of the chunk in the compressed input given */
    uint64_t src_len;
    uint64_t out_off;  /* in the output, filled with what decoded and then zeros */
    uint64_t out_len;  /* 0 when the chunk's decoded size is not known */
    const char *what;  /* static sentence */
};

/*
 * Decodes a whole S2 stream into out (appended). At most max_out bytes are produced (JS_ERR_TOO_BIG
 * above it). bad_fn NULL: the first fault gives JS_ERR_CORRUPT (or JS_ERR_TORN when the input ends
 * inside a chunk). Otherwise each fault is reported and decoding goes on at the next chunk that
 * proves itself; returns 0. expect: decoded size when known (else 0), used to size a lost chunk.
 */
int js_s2_decode(const uint8_t *in, size_t len, uint64_t expect, uint64_t max_out,
                 struct js_buf *out, void (*bad_fn)(void *ctx, const struct js_s2_bad *bad),
                 void *ctx);

/* Streaming decoder for archives: feeds on a reader callback, gives decoded chunks to a sink. Any
 * fault ends it with JS_ERR_CORRUPT or JS_ERR_TORN. read_fn returns bytes read, 0 at the end, or a
 * negative js_err; sink_fn 0 or a negative js_err. */
int js_s2_decode_stream(const struct js_env *env,
                        ssize_t (*read_fn)(void *ctx, void *buf, size_t len), void *read_ctx,
                        int (*sink_fn)(void *ctx, const uint8_t *data, size_t len),
                        void *sink_ctx, uint64_t max_out);

/* One S2 block (without framing) of known decoded length. On failure *ret_done is what was decoded
 * before the fault. */
int js_s2_decode_block(const uint8_t *in, size_t len, uint8_t *out, size_t out_len,
                       size_t *ret_done);

/* Masked CRC-32C as stored in chunks. */
uint32_t js_s2_crc(const uint8_t *p, size_t len);

/* Wraps data as an S2 stream: identifier, then chunks of at most 64 KiB compressed with libsnappy
 * ("sNaPpY" framing, which every server reads), stored raw where that is smaller. */
int js_s2_encode(const uint8_t *in, size_t len, struct js_buf *out);

/* ---- the "cmp" wrapping of a compressed block: "cmp", u8 1, uv size, S2 stream, last 8 bytes --- */

/* True if a block file's bytes look compressed: begins with "cmp", or carries an S2 stream
 * identifier where a compressed block has it (a damaged first byte). */
bool js_cmp_is(const uint8_t *in, size_t len);
/*
 * Decodes a compressed block, appending to out. Faults are reported to bad_fn as js_s2_decode does
 * (offsets in the block file). UNKNOWN_FORMAT for an algorithm byte other than 1 when what follows
 * is no S2 stream. Never gives more than max_out.
 */
int js_cmp_decode(const uint8_t *in, size_t len, uint64_t max_out, struct js_buf *out,
                  void (*bad_fn)(void *ctx, const struct js_s2_bad *bad), void *ctx);

#endif
