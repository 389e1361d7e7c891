/* SPDX-License-Identifier: Apache-2.0 */
/* S2 and framed Snappy streams (docs/disk-format.md "Compression"), decoding with
 * resynchronisation, and the "cmp" wrapping of a block. */
#ifndef JS_S2_H
#define JS_S2_H

#include "core/base/buf.h"
#include "core/jetstore.h"

/* Damage to a chunk. Its head, not covered by its checksum, may have been mended; else a stretch of
 * the decoded data is not proved. */
struct js_s2_bad {
    uint64_t src_off;  /* of the chunk in the whole input of the function called */
    uint64_t src_len;
    uint64_t out_off;  /* of its content, from the first byte that the function appended */
    uint64_t out_len;  /* filled with what decoded and then zeros; 0: nothing is lost, or its size
                        * is not known */
    const char *what;  /* static sentence */
};

/*
 * Decodes a whole S2 stream into out (appended). JS_ERR_TOO_BIG when good chunks give more than
 * max_out bytes, and then or on JS_ERR_NOMEM out keeps what there is. bad_fn NULL: the first fault
 * gives JS_ERR_CORRUPT, or JS_ERR_TORN when the input ends inside a chunk. Otherwise each fault is
 * reported, heads are mended where the checksum proves it, and decoding goes on at the next chunk;
 * returns 0. A stream that ends between two chunks is good. expect: decoded size when known (else
 * 0), used to size a lost chunk.
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

/* One S2 block (without framing and size) of known decoded length. JS_ERR_CORRUPT: *ret_done is
 * what was decoded before the fault; the rest of out is undefined. */
int js_s2_decode_block(const uint8_t *in, size_t len, uint8_t *out, size_t out_len,
                       size_t *ret_done);

/* Masked CRC-32C as stored in chunks. */
uint32_t js_s2_crc(const uint8_t *p, size_t len);
/* The same without instructions of this CPU; for tests. */
uint32_t js_s2_crc_portable(const uint8_t *p, size_t len);

/* Wraps data as an S2 stream: identifier, then chunks of at most 64 KiB compressed with libsnappy
 * ("sNaPpY" framing, which every server reads), stored raw where that is smaller. */
int js_s2_encode(const uint8_t *in, size_t len, struct js_buf *out);

/* ---- the "cmp" wrapping of a compressed block: "cmp", u8 1, uv size, S2 stream, last 8 bytes - */

/* True if a block file's bytes look compressed: begins with "cmp" (and is no record of that
 * length), or carries an S2 stream identifier where a compressed block has it (damage in
 * front of it). */
bool js_cmp_is(const uint8_t *in, size_t len);
/*
 * Decodes a compressed block, appending to out; never more than max_out bytes (JS_ERR_TOO_BIG).
 * Faults are reported to bad_fn as js_s2_decode does, src_off in the block file; bad_fn NULL: the
 * first gives JS_ERR_CORRUPT or JS_ERR_TORN. JS_ERR_TORN when the file ends before the stream
 * begins; JS_ERR_UNKNOWN_FORMAT for an algorithm byte other than 1 when what follows is no S2
 * stream.
 */
int js_cmp_decode(const uint8_t *in, size_t len, uint64_t max_out, struct js_buf *out,
                  void (*bad_fn)(void *ctx, const struct js_s2_bad *bad), void *ctx);

/* What the algorithm byte says. */
enum js_cmp_kind { JS_CMP_S2 = 1, JS_CMP_LZ4 = 0x4c };
/* Pieces of LZ4 (lz4_block.c); as js_s2_encode and js_s2_decode. */
int js_lz4_encode(const uint8_t *in, size_t len, struct js_buf *out);
int js_lz4_decode(const uint8_t *in, size_t len, uint64_t expect, uint64_t max_out, struct js_buf *out,
                  void (*bad_fn)(void *ctx, const struct js_s2_bad *bad), void *ctx);
/* The compressed form of a whole block (8 bytes at least), appended to out. */
int js_cmp_encode(enum js_cmp_kind kind, const uint8_t *in, size_t len, struct js_buf *out);

#endif
