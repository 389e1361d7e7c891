/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream/meta_write.h"

#include <fcntl.h>

#include "core/base/file.h"

static int stage(const struct js_env *env, int dirfd, const char *name, const void *data,
                 size_t len) {
    const struct js_io *io = env->io;
    int fd = io->open_file(io->ctx, dirfd, name, O_RDWR | O_CREAT | O_TRUNC, 0600);

    if (fd < 0)
        return js_err_from_errno(-fd);
    int r = js_file_write(env, fd, data, len, 0, NULL);
    if (r == 0)
        r = js_err_from_errno(-io->fsync(io->ctx, fd));
    int c = io->close(io->ctx, fd);
    return r == 0 && c < 0 ? js_err_from_errno(-c) : r;
}

int js_meta_write(const struct js_env *env, int dirfd, const char *name, const uint8_t *text,
                  size_t len, const struct js_block_key *key) {
    const struct js_io *io = env->io;
    struct js_buf stored = {.env = env};
    char sum[17];
    int r = 0;

    if (key)
        r = js_seal(env, key->cipher, key->seed, text, len, &stored);
    else
        js_buf_append(&stored, text, len);
    if (r == 0 && stored.failed)
        r = JS_ERR_NOMEM;
    if (r == 0) {
        js_meta_sum(name, stored.data, stored.len, sum);
        r = stage(env, dirfd, "meta.inf.tmp", stored.data, stored.len);
    }
    if (r == 0)
        r = stage(env, dirfd, "meta.sum.tmp", sum, 16);
    /* Both names are to be there before one of them changes. */
    if (r == 0)
        r = js_err_from_errno(-io->fsync(io->ctx, dirfd));
    if (r == 0)
        r = js_err_from_errno(-io->rename(io->ctx, dirfd, "meta.inf.tmp", dirfd, "meta.inf"));
    if (r < 0) {
        io->unlink(io->ctx, dirfd, "meta.inf.tmp");
        io->unlink(io->ctx, dirfd, "meta.sum.tmp");
    } else {
        r = js_err_from_errno(-io->rename(io->ctx, dirfd, "meta.sum.tmp", dirfd, "meta.sum"));
        if (r == 0)
            r = js_err_from_errno(-io->fsync(io->ctx, dirfd));
    }
    js_buf_done(&stored);
    return r;
}

int js_key_file_make(const struct js_env *env, int dirfd, const char *file, js_key_fn fn, void *ctx,
                     const char *account, const char *context, enum js_cipher cipher,
                     struct js_block_key *ret_key) {
    struct js_block_key key = {.cipher = cipher};
    uint8_t kek[32], wrapped[72];

    if (!fn)
        return JS_ERR_NO_KEY;
    int r = env->rand->fill(env->rand->ctx, key.seed, sizeof key.seed);
    if (r >= 0)
        r = env->rand->fill(env->rand->ctx, key.nonce, js_cipher_nonce_size(cipher));
    r = r < 0 ? JS_ERR_IO : fn(ctx, account, context, kek);
    if (r == 0) {
        size_t n = js_key_wrap(&key, kek, wrapped);
        r = n ? js_file_replace(env, dirfd, file, wrapped, n, true) : JS_ERR_NOMEM;
    }
    js_wipe(kek, sizeof kek);
    if (r == 0)
        *ret_key = key;
    js_wipe(&key, sizeof key);
    return r;
}
