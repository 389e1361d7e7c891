/* SPDX-License-Identifier: Apache-2.0 */
/* thw.db, sched.db and sources.db (docs/disk-format.md "Other state files"): decoded by callback,
 * nothing is kept. All: u8 1, u64 count, u64 stamp, entries. */
#ifndef JS_SMALL_STATE_H
#define JS_SMALL_STATE_H

#include "core/base/bytes.h"
#include "core/jetstore.h"

struct js_small_head {
    uint64_t count;
    js_seq_t stamp; /* messages below it are covered */
};

/* Each returns 0, CORRUPT, UNKNOWN_FORMAT (version byte), or the callback's first value not 0.
 * fn may be NULL (check only). */
int js_thw_decode(const uint8_t *in, size_t len, struct js_small_head *ret_head,
                  int (*fn)(void *ctx, js_time_t expires, js_seq_t seq), void *ctx);
int js_sched_decode(const uint8_t *in, size_t len, struct js_small_head *ret_head,
                    int (*fn)(void *ctx, const char *subject, size_t slen, js_time_t next,
                              js_seq_t seq),
                    void *ctx);
int js_sources_decode(const uint8_t *in, size_t len, struct js_small_head *ret_head,
                      int (*fn)(void *ctx, const char *name, size_t nlen, js_seq_t seq,
                                const char *ident, size_t ilen),
                      void *ctx);

#endif
