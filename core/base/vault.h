/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room for keys: slots in pages that are locked and left out of core dumps, wiped when they are
 * given back. One for all streams of a store, so that a key takes a slot and not a page.
 *
 * Where the system refuses to lock (RLIMIT_MEMLOCK) the pages serve all the same: an encrypted
 * stream that cannot be read would cost more than a key that may reach the swap.
 */
#ifndef JS_VAULT_H
#define JS_VAULT_H

#include <pthread.h>

#include "core/jetstore.h"

#define JS_VAULT_SLOT 64

struct js_vault_chunk;
struct js_vault_slot;

struct js_vault {
    const struct js_env *env;
    pthread_mutex_t mu;
    struct js_vault_chunk *chunks; /* guarded by mu */
    struct js_vault_slot *free;    /* so is this */
};

void js_vault_init(struct js_vault *vault, const struct js_env *env);
/* Wipes and frees everything, slots that were not given back too. */
void js_vault_done(struct js_vault *vault);
/* A slot of JS_VAULT_SLOT zeros; NULL without memory. From any thread. */
void *js_vault_take(struct js_vault *vault);
/* Wipes a slot and keeps it for the next taker. NULL is fine. */
void js_vault_put(struct js_vault *vault, void *slot);

/* Overwrites key material so that the compiler keeps it. */
void js_wipe(void *p, size_t len);

#endif
