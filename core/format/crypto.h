/* SPDX-License-Identifier: Apache-2.0 */
/* Encryption of stores (docs/disk-format.md "Encryption"): key files, sealed files, block key
 * streams that can seek. XChaCha20 by libsodium, AES-CTR/GCM by libcrypto. */
#ifndef JS_CRYPTO_H
#define JS_CRYPTO_H

#include "core/base/buf.h"
#include "core/base/vault.h"
#include "core/jetstore.h"

enum js_cipher { JS_CIPHER_NONE, JS_CIPHER_CHACHA, JS_CIPHER_AES };
const char *js_cipher_name(enum js_cipher cipher); /* "none", "chacha", "aes" */

#define JS_SEED_SIZE 32
#define JS_TAG_SIZE 16
/* 24 (chacha) or 16 (aes) */
size_t js_cipher_nonce_size(enum js_cipher cipher);

struct js_block_key {
    enum js_cipher cipher;
    uint8_t seed[JS_SEED_SIZE];
    uint8_t nonce[24];
};
_Static_assert(sizeof(struct js_block_key) <= JS_VAULT_SLOT, "keys that stay lie in a vault");

/*
 * Opens a key file (nonce || AEAD(kek, nonce, seed)). The cipher is found by the file's size and by
 * trying. Errors: CORRUPT (length no cipher has), WRONG_KEY (authentication failed).
 */
int js_key_unwrap(const uint8_t *file, size_t len, const uint8_t kek[32],
                  struct js_block_key *ret_key);
/* Writes a key file for a seed and nonce; returns its length (64 or 72). */
size_t js_key_wrap(const struct js_block_key *key, const uint8_t kek[32], uint8_t ret_file[72]);

/* Opens nonce || AEAD(seed, nonce, plaintext), appending to out. CORRUPT when it does not
 * authenticate. */
int js_unseal(enum js_cipher cipher, const uint8_t seed[32], const uint8_t *in, size_t len,
              struct js_buf *out);
/* Same where the nonce is not stored in the file (N.idx). */
int js_unseal_with_nonce(enum js_cipher cipher, const uint8_t seed[32], const uint8_t *nonce,
                         const uint8_t *in, size_t len, struct js_buf *out);
/* nonce || AEAD: nonce is drawn from env->rand. */
int js_seal(const struct js_env *env, enum js_cipher cipher, const uint8_t seed[32],
            const uint8_t *in, size_t len, struct js_buf *out);

/* XORs the block key stream of file offset off.. over len bytes, in place (from any offset). */
int js_block_xor(const struct js_block_key *key, uint64_t off, uint8_t *p, size_t len);

/* Lets libsodium look at the processor: until then it uses what runs everywhere, which is several times as
 * slow. May be called often and from any thread. */
void js_crypto_init(void);

#endif
