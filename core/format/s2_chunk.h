/* SPDX-License-Identifier: Apache-2.0 */
/* What the decoders of compressed blocks and their parts share: s2*.c, lz4_block.c, cmp*.c. Nothing else
 * includes this. */
#ifndef JS_S2_CHUNK_H
#define JS_S2_CHUNK_H

#include "core/format/s2.h"

#define JS_S2_HEAD      4u         /* u8 type, u24 length of the data */
#define JS_S2_CRC       4u         /* before the content of a data chunk */
#define JS_S2_ID_SIZE   10u        /* a stream identifier with its head */
#define JS_S2_MAX_CHUNK (4u << 20) /* a chunk decodes to no more */

/* Of a compressed block (cmp.c): what stands before the stream at most, and the raw bytes behind it. */
#define JS_CMP_MAX_HEAD 14u
#define JS_CMP_RAW_END  8u

enum {
    JS_S2_PACKED = 0,
    JS_S2_RAW = 1,
    JS_S2_SKIP = 0x80, /* to 0xfe: passed over */
    JS_S2_SEEK_INDEX = 0x99,
    JS_S2_PADDING = 0xfe,
    JS_S2_ID = 0xff,
};

struct js_s2_chunk {
    uint8_t type;
    uint32_t len; /* of the data behind the head */
    const uint8_t *data;
};

/* One decoding of a stream. */
struct js_s2_stream {
    const uint8_t *in;
    size_t len;
    struct js_buf *out;
    size_t base; /* out->len at the beginning */
    uint64_t expect, max_out;
    void (*bad_fn)(void *ctx, const struct js_s2_bad *bad);
    void *ctx;
    bool begun;      /* the identifier was dealt with */
    uint32_t usual;  /* decoded size of the last good data chunk, 0 before the first */
    bool mixed;      /* there were several sizes */
    uint64_t budget; /* bytes that may yet be decoded or summed to find out about damage */
};

/* The chunk at in, of which left bytes are there. False when head or data are not complete; with a
 * complete head type and len are set all the same. */
bool js_s2_chunk_at(const uint8_t *in, size_t left, struct js_s2_chunk *ret);

/* Takes the content size of a data chunk (type PACKED or RAW) and where its elements or bytes begin
 * in c->data. False when it has none that is possible. */
bool js_s2_declared(const struct js_s2_chunk *c, uint32_t *ret_size, uint32_t *ret_begin);

/* Decodes a data chunk behind out->len, which stays as it is: the caller adds *ret_size. 0,
 * JS_ERR_CORRUPT (also when the checksum is another) or JS_ERR_NOMEM. */
int js_s2_decode_chunk(const struct js_s2_chunk *c, struct js_buf *out, uint32_t *ret_size);

/* Takes note of the decoded size of a good chunk. */
static inline void js_s2_note_size(struct js_s2_stream *s, uint32_t size) {
    s->mixed |= s->usual && s->usual != size;
    s->usual = size;
}

/* A whole and correct stream identifier? */
bool js_s2_is_id(const struct js_s2_chunk *c);

/* The first bytes of a stream are no identifier, or a chunk is damaged: tells bad_fn, appends what
 * can be had and gives in *ret_next the offset of the chunk to go on with. 0, JS_ERR_NOMEM or
 * JS_ERR_TOO_BIG. */
int js_s2_over_begin(struct js_s2_stream *s, size_t *ret_next);
int js_s2_over_fault(struct js_s2_stream *s, size_t at, size_t *ret_next);

/* Decodes elements until the input ends, out_len bytes are decoded, or an element is impossible
 * (false). A literal that the input cuts is taken as far as it goes. */
bool js_s2_elements(const uint8_t *in, size_t len, uint8_t *out, size_t out_len, size_t *ret_used,
                    size_t *ret_done);

/* The head of an LZ4 piece (lz4_block.c): decoded bytes, and bytes with the head. False: it is none. */
bool js_lz4_piece(const uint8_t head[12], uint32_t *ret_raw, uint32_t *ret_len);

/* CRC-32C without inversion and masking: begin with ~0, continue with what was returned, and give
 * the last to js_s2_mask. */
uint32_t js_crc32c(uint32_t c, const uint8_t *p, size_t len);
uint32_t js_crc32c_portable(uint32_t c, const uint8_t *p, size_t len);
/* Continues *c over the fewest bytes of p (at least one) after which it is want. Returns how many,
 * 0 if it never is. */
size_t js_crc32c_until(uint32_t *c, uint32_t want, const uint8_t *p, size_t len);
uint32_t js_s2_mask(uint32_t crc);
uint32_t js_s2_unmask(uint32_t masked);

#endif
