/* SPDX-License-Identifier: Apache-2.0 */
/* From the bytes of a block file to decoded bytes: decryption, then decompression. */
#include "core/block/scan.h"

#include "core/base/limits.h"
#include "core/format/s2.h"

void js_scan_init(struct js_scan *scan, const struct js_env *env) {
    *scan = (struct js_scan){.env = env, .data.env = env, .raw.env = env};
}

void js_scan_reset(struct js_scan *scan) {
    /* Decoding a plain block swaps the two: read into the one that has the memory already. */
    if (scan->raw.cap < scan->data.cap) {
        struct js_buf t = scan->data;
        scan->data = scan->raw;
        scan->raw = t;
    }
    scan->data.len = scan->raw.len = 0;
    scan->data.failed = scan->raw.failed = false;
    scan->count = scan->num_damages = 0;
    scan->verdict = JS_SCAN_OK;
    scan->error = 0;
    scan->file_size = 0;
    scan->compressed = scan->encrypted = scan->failed = false;
    memset(scan->last_sum, 0, sizeof scan->last_sum);
}

void js_scan_done(struct js_scan *scan) {
    js_buf_done(&scan->data);
    js_buf_done(&scan->raw);
    js_free(scan->env, scan->recs);
    js_free(scan->env, scan->damages);
    scan->recs = NULL;
    scan->damages = NULL;
    scan->count = scan->cap = scan->num_damages = scan->cap_damages = 0;
}

static void on_bad_chunk(void *ctx, const struct js_s2_bad *bad) {
    struct js_scan *scan = ctx;
    js_scan_add_damage(scan, JS_DAMAGE_CHUNK, bad->out_off, bad->out_len, 0, bad->what);
}

int js_scan_decode(struct js_scan *scan, const struct js_block_key *key) {
    if (key) {
        scan->encrypted = true;
        int r = js_block_xor(key, 0, scan->raw.data, scan->raw.len);
        if (r < 0)
            return r;
    }
    if (scan->raw.len >= 8)
        memcpy(scan->last_sum, scan->raw.data + scan->raw.len - 8, 8);
    if (!js_cmp_is(scan->raw.data, scan->raw.len)) {
        struct js_buf t = scan->data;
        scan->data = scan->raw;
        scan->raw = t;
        scan->raw.len = 0;
        return 0;
    }
    scan->compressed = true;
    int r = js_cmp_decode(scan->raw.data, scan->raw.len, JS_MAX_BLOCK_FILE, &scan->data,
                          on_bad_chunk, scan);
    if (r == JS_ERR_NOMEM)
        return r;
    if (r == JS_ERR_UNKNOWN_FORMAT) {
        scan->verdict = JS_SCAN_UNKNOWN;
    } else if (r < 0) {
        js_scan_add_damage(scan, JS_DAMAGE_CHUNK, 0, 0, 0,
                           "the compressed block cannot be decoded to its end");
    }
    return 0;
}
