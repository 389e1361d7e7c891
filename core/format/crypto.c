/* SPDX-License-Identifier: Apache-2.0 */
#include "core/format/crypto.h"

#include <openssl/evp.h>
#include <sodium.h>

#include "core/base/limits.h"

const char *js_cipher_name(enum js_cipher cipher) {
    switch (cipher) {
    case JS_CIPHER_CHACHA:
        return "chacha";
    case JS_CIPHER_AES:
        return "aes";
    case JS_CIPHER_NONE:
        break;
    }
    return "none";
}

size_t js_cipher_nonce_size(enum js_cipher cipher) {
    return cipher == JS_CIPHER_CHACHA ? 24 : 16;
}

void js_crypto_init(void) {
    /* If it fails the slow way is as right, and randomness does not come from there. */
    if (sodium_init() < 0)
        return;
}

/* Of the stack below a call that had to do with keys: libsodium leaves what it encrypts or decrypts
 * there when it is shorter than 64 bytes, as keys are. */
#define BELOW 4096

int js_kek_derive(const void *server_key, size_t len, const char *account, const char *context,
                  uint8_t ret_kek[32]) {
    crypto_auth_hmacsha256_state st;

    crypto_auth_hmacsha256_init(&st, server_key, len);
    crypto_auth_hmacsha256_update(&st, (const unsigned char *)account, strlen(account));
    crypto_auth_hmacsha256_update(&st, (const unsigned char *)context, strlen(context));
    crypto_auth_hmacsha256_final(&st, ret_kek);
    js_wipe(&st, sizeof st);
    sodium_stackzero(BELOW);
    return 0;
}

/* ---- AEAD ---------------------------------------------------------------------------------- */

static int chacha_open(const uint8_t key[32], const uint8_t *nonce, const uint8_t *in, size_t len,
                       uint8_t *out) {
    return crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, in, len, NULL, 0, nonce,
                                                      key) == 0
               ? 0
               : JS_ERR_CORRUPT;
}

/* len counts the tag. */
static int aes_open(const uint8_t key[32], const uint8_t *nonce, const uint8_t *in, size_t len,
                    uint8_t *out) {
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t tag[JS_TAG_SIZE], end[16];
    size_t body = len - JS_TAG_SIZE;
    int n = 0, r = JS_ERR_CORRUPT;

    if (!ctx)
        return JS_ERR_NOMEM;
    memcpy(tag, in + body, sizeof tag);
    if (EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, NULL, NULL) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, 16, NULL) == 1 &&
        EVP_DecryptInit_ex(ctx, NULL, NULL, key, nonce) == 1 &&
        (body == 0 || EVP_DecryptUpdate(ctx, out, &n, in, (int)body) == 1) &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, JS_TAG_SIZE, tag) == 1 &&
        EVP_DecryptFinal_ex(ctx, end, &n) == 1)
        r = 0;
    EVP_CIPHER_CTX_free(ctx);
    return r;
}

static int aes_seal(const uint8_t key[32], const uint8_t *nonce, const uint8_t *in, size_t len,
                    uint8_t *out) {
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t end[16];
    int n = 0, r = JS_ERR_IO;

    if (!ctx)
        return JS_ERR_NOMEM;
    if (EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, NULL, NULL) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, 16, NULL) == 1 &&
        EVP_EncryptInit_ex(ctx, NULL, NULL, key, nonce) == 1 &&
        (len == 0 || EVP_EncryptUpdate(ctx, out, &n, in, (int)len) == 1) &&
        EVP_EncryptFinal_ex(ctx, end, &n) == 1 &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, JS_TAG_SIZE, out + len) == 1)
        r = 0;
    EVP_CIPHER_CTX_free(ctx);
    return r;
}

static int aead_open(enum js_cipher cipher, const uint8_t key[32], const uint8_t *nonce,
                     const uint8_t *in, size_t len, uint8_t *out) {
    if (len < JS_TAG_SIZE || len > JS_MAX_STATE_FILE)
        return JS_ERR_CORRUPT;
    return cipher == JS_CIPHER_CHACHA ? chacha_open(key, nonce, in, len, out)
                                      : aes_open(key, nonce, in, len, out);
}

static int aead_seal(enum js_cipher cipher, const uint8_t key[32], const uint8_t *nonce,
                     const uint8_t *in, size_t len, uint8_t *out) {
    if (len > JS_MAX_STATE_FILE)
        return JS_ERR_TOO_BIG;
    if (cipher == JS_CIPHER_AES)
        return aes_seal(key, nonce, in, len, out);
    crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, in, len, NULL, 0, NULL, nonce, key);
    return 0;
}

/* ---- key files ----------------------------------------------------------------------------- */

int js_key_unwrap(const uint8_t *file, size_t len, const uint8_t kek[32],
                  struct js_block_key *ret_key) {
    struct js_block_key key = {0};

    key.cipher = len == 72 ? JS_CIPHER_CHACHA : len == 64 ? JS_CIPHER_AES : JS_CIPHER_NONE;
    if (key.cipher == JS_CIPHER_NONE)
        return JS_ERR_CORRUPT;
    size_t n = js_cipher_nonce_size(key.cipher);
    memcpy(key.nonce, file, n);
    int r = aead_open(key.cipher, kek, key.nonce, file + n, len - n, key.seed);
    sodium_stackzero(BELOW);
    if (r == JS_ERR_CORRUPT)
        r = JS_ERR_WRONG_KEY;
    if (r == 0)
        *ret_key = key;
    js_wipe(&key, sizeof key);
    return r;
}

size_t js_key_wrap(const struct js_block_key *key, const uint8_t kek[32], uint8_t ret_file[72]) {
    size_t n = js_cipher_nonce_size(key->cipher);

    memcpy(ret_file, key->nonce, n);
    int r = aead_seal(key->cipher, kek, key->nonce, key->seed, JS_SEED_SIZE, ret_file + n);
    sodium_stackzero(BELOW);
    if (r < 0)
        return 0;
    return n + JS_SEED_SIZE + JS_TAG_SIZE;
}

/* ---- sealed files -------------------------------------------------------------------------- */

int js_unseal_with_nonce(enum js_cipher cipher, const uint8_t seed[32], const uint8_t *nonce,
                         const uint8_t *in, size_t len, struct js_buf *out) {
    if (len < JS_TAG_SIZE)
        return JS_ERR_CORRUPT;
    int r = js_buf_reserve(out, len);
    if (r == 0)
        r = aead_open(cipher, seed, nonce, in, len, out->data + out->len);
    if (r == 0)
        out->len += len - JS_TAG_SIZE;
    return r;
}

int js_unseal(enum js_cipher cipher, const uint8_t seed[32], const uint8_t *in, size_t len,
              struct js_buf *out) {
    size_t n = js_cipher_nonce_size(cipher);

    if (len < n + JS_TAG_SIZE)
        return JS_ERR_CORRUPT;
    return js_unseal_with_nonce(cipher, seed, in, in + n, len - n, out);
}

int js_seal(const struct js_env *env, enum js_cipher cipher, const uint8_t seed[32],
            const uint8_t *in, size_t len, struct js_buf *out) {
    size_t n = js_cipher_nonce_size(cipher);
    int r = js_buf_reserve(out, n + len + JS_TAG_SIZE);

    if (r < 0)
        return r;
    uint8_t *p = out->data + out->len;
    r = env->rand->fill(env->rand->ctx, p, n);
    if (r < 0)
        return js_err_from_errno(-r);
    r = aead_seal(cipher, seed, p, in, len, p + n);
    if (r == 0)
        out->len += n + len + JS_TAG_SIZE;
    return r;
}

/* ---- block key streams --------------------------------------------------------------------- */

static void chacha_xor(const struct js_block_key *key, uint64_t off, uint8_t *p, size_t len) {
    size_t skip = off & 63;
    const uint8_t *nonce = key->nonce + crypto_core_hchacha20_INPUTBYTES;
    /* XChaCha20 in its two steps: libsodium's function for both leaves the key between them on the
     * stack. */
    uint8_t sub[crypto_core_hchacha20_OUTPUTBYTES];

    crypto_core_hchacha20(sub, key->nonce, key->seed, NULL);

    if (skip) {
        /* The rest of a block of 64 bytes, through a block of its own. */
        uint8_t block[64] = {0};
        size_t n = 64 - skip < len ? 64 - skip : len;
        memcpy(block + skip, p, n);
        crypto_stream_chacha20_xor_ic(block, block, 64, nonce, off / 64, sub);
        memcpy(p, block + skip, n);
        js_wipe(block, sizeof block);
        p += n;
        len -= n;
        off += n;
    }
    if (len)
        crypto_stream_chacha20_xor_ic(p, p, len, nonce, off / 64, sub);
    js_wipe(sub, sizeof sub);
}

static int aes_xor(const struct js_block_key *key, uint64_t off, uint8_t *p, size_t len) {
    uint8_t counter[16], skip[16] = {0};
    uint64_t add = off / 16;
    size_t begin = off & 15;
    int n, r = JS_ERR_IO;

    /* 128-bit big-endian counter plus the number of blocks before off. */
    memcpy(counter, key->nonce, 16);
    for (int i = 15; i >= 0 && add; i--) {
        add += counter[i];
        counter[i] = (uint8_t)add;
        add >>= 8;
    }
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!ctx)
        return JS_ERR_NOMEM;
    if (EVP_EncryptInit_ex(ctx, EVP_aes_256_ctr(), NULL, key->seed, counter) != 1 ||
        (begin && EVP_EncryptUpdate(ctx, skip, &n, skip, (int)begin) != 1))
        goto out;
    while (len) {
        size_t part = len < (1u << 30) ? len : 1u << 30;
        if (EVP_EncryptUpdate(ctx, p, &n, p, (int)part) != 1)
            goto out;
        p += part;
        len -= part;
    }
    r = 0;
out:
    EVP_CIPHER_CTX_free(ctx);
    return r;
}

int js_block_xor(const struct js_block_key *key, uint64_t off, uint8_t *p, size_t len) {
    if (key->cipher == JS_CIPHER_AES)
        return aes_xor(key, off, p, len);
    chacha_xor(key, off, p, len);
    return 0;
}
