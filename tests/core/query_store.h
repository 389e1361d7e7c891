/* SPDX-License-Identifier: Apache-2.0 */
/* Random stores, written with the library's own encoders as servers leave them, and their model. */
#ifndef TESTS_QUERY_STORE_H
#define TESTS_QUERY_STORE_H

#include "tests/core/query_model.h"

enum qs_flags {
    QS_COMPRESSED = 1,     /* all blocks but the last one */
    QS_CHACHA = 2,
    QS_AES = 4,
    QS_TINY = 8,           /* one to three messages a block */
    QS_SPARSE = 16,        /* gaps, with and without skip records */
    QS_TOMBSTONES = 32,    /* deletions that the blocks tell */
    QS_INDEX_DELETES = 64, /* deletions that index.db alone tells */
    QS_DAMAGE = 128,       /* records that do not prove themselves */
    QS_NO_INDEX = 256,
    QS_FEW_SUBJECTS = 512,
    QS_MANY_SUBJECTS = 1024,
    QS_LARGE = 2048,       /* more and larger messages */
};

/* Writes jetstream/$G/streams/S below an existing directory and fills m (to be given to qm_done).
 * Returns 0, or -1 with errno. */
int qs_plant(const char *dir, unsigned flags, struct qm_rng *rng, struct qm *m);
/* A js_key_fn for encrypted ones. */
int qs_key(void *ctx, const char *account, const char *context, uint8_t ret_kek[32]);
/* Opens it (env NULL: the default). */
int qs_open(const struct js_env *env, const char *dir, unsigned open_flags, uint64_t index_bytes,
            struct js_store **ret_store, struct js_stream **ret_stream);
/* Removes everything below dir, and dir. */
void qs_remove(const char *dir);

#endif
