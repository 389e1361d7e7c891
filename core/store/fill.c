/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the directory of a new stream holds: meta.inf, meta.sum, msgs/ and obs/; of an encrypted one
 * also meta.key and an index.db.
 *
 * nats-server 2.10.27 reads meta.key when it decrypts index.db, and at no other time. Where there
 * is no index.db it opens the stream, and when it stops it makes another meta.key: then nobody
 * reads meta.inf any more, and at the next start the stream is gone. So there is an index.db from
 * the beginning. It is such that servers find it old and look at what there is: where 2.10.27
 * believes one and appends to an empty encrypted block, the messages cannot be read after a crash.
 */
#include "core/base/file.h"
#include "core/store/store.h"
#include "core/stream/meta_write.h"
#include "core/stream/writer.h"

static int sync_fd(const struct js_env *env, int fd) {
    return js_err_from_errno(-env->io->fsync(env->io->ctx, fd));
}

/* Of a stream that never had a message. */
static int first_index(const struct js_env *env, int fd, const char *name,
                       const struct js_block_key *seed) {
    int msgs = env->io->open_dir(env->io->ctx, fd, "msgs");

    if (msgs < 0)
        return js_err_from_errno(-msgs);
    int r = js_index_write_blank(env, msgs, name, seed);
    if (r == 0)
        r = sync_fd(env, msgs);
    env->io->close(env->io->ctx, msgs);
    return r;
}

enum js_cipher js_store_cipher(enum js_new_cipher cipher) {
    return cipher == JS_CIPHER_NEW_AES      ? JS_CIPHER_AES
           : cipher == JS_CIPHER_NEW_CHACHA ? JS_CIPHER_CHACHA
                                            : JS_CIPHER_NONE;
}

int js_store_fill_new(struct js_store *store, int fd, const char *account, const char *name,
                      const uint8_t *text, size_t len, enum js_cipher cipher) {
    const struct js_env *env = store->env;
    bool sealed = cipher != JS_CIPHER_NONE;
    struct js_block_key seed;
    int r = 0;

    if (sealed)
        r = js_key_file_make(env, fd, "meta.key", store->options.key, store->options.key_ctx,
                             account, name, cipher, &seed);
    if (r < 0)
        return r;
    r = js_meta_write(env, fd, name, text, len, sealed ? &seed : NULL);
    if (r == 0)
        r = js_err_from_errno(-env->io->mkdir(env->io->ctx, fd, "msgs", 0700));
    if (r == 0)
        r = js_err_from_errno(-env->io->mkdir(env->io->ctx, fd, "obs", 0700));
    if (r == 0 && sealed)
        r = first_index(env, fd, name, &seed);
    if (sealed)
        js_wipe(&seed, sizeof seed);
    return r < 0 ? r : sync_fd(env, fd);
}
