/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing meta.inf with its sum. The new sum is staged as meta.sum.tmp before meta.inf is replaced, so
 * that a crash between the two renames leaves a pair that belongs together: who opens the stream takes
 * the staged sum, and the next writer puts it in its place.
 */
#ifndef JS_META_WRITE_H
#define JS_META_WRITE_H

#include "core/format/crypto.h"
#include "core/format/meta.h"

/* Writes both below dirfd, on disk when it returns. name keys the sum. key NULL: plain, else sealed with
 * its seed. */
int js_meta_write(const struct js_env *env, int dirfd, const char *name, const uint8_t *text,
                  size_t len, const struct js_block_key *key);
/* Makes a key and its file (meta.key, N.key) below dirfd; context as for the key function. */
int js_key_file_make(const struct js_env *env, int dirfd, const char *file, js_key_fn fn, void *ctx,
                     const char *account, const char *context, enum js_cipher cipher,
                     struct js_block_key *ret_key);

#endif
