/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/vault.h"

#include <sodium.h>

#include "core/base/mem.h"

/* Slots that are locked at once (less one, which holds the chunk's head). */
#define CHUNK ((size_t)16 << 10)

struct js_vault_chunk {
    struct js_vault_chunk *next;
    void *raw; /* what was allocated: the pages begin within */
    size_t len;
};

/* A slot nobody has: zeros but for this. */
struct js_vault_slot {
    struct js_vault_slot *next;
};

_Static_assert(sizeof(struct js_vault_chunk) <= JS_VAULT_SLOT, "the head takes the first slot");

void js_wipe(void *p, size_t len) {
    sodium_memzero(p, len);
}

void js_vault_init(struct js_vault *vault, const struct js_env *env) {
    *vault = (struct js_vault){.env = env};
    pthread_mutex_init(&vault->mu, NULL);
}

void js_vault_done(struct js_vault *vault) {
    const struct js_alloc *alloc = vault->env->alloc;

    while (vault->chunks) {
        struct js_vault_chunk *c = vault->chunks, head = *c;
        vault->chunks = head.next;
        js_wipe(c, head.len);
        if (alloc->unlock)
            alloc->unlock(alloc->ctx, c, head.len);
        js_free(vault->env, head.raw);
    }
    vault->free = NULL;
    pthread_mutex_destroy(&vault->mu);
}

/* Whole pages: a lock speaks of pages, and nothing else is to lie in these. */
static bool add_chunk(struct js_vault *vault) {
    const struct js_alloc *alloc = vault->env->alloc;
    size_t page = js_page_size();
    size_t len = (CHUNK + page - 1) / page * page;
    uint8_t *raw = js_malloc(vault->env, len + page - 1);

    if (!raw)
        return false;
    uint8_t *pages = raw + (page - (uintptr_t)raw % page) % page;
    if (alloc->lock)
        (void)alloc->lock(alloc->ctx, pages, len);
    memset(pages, 0, len);
    struct js_vault_chunk *c = (struct js_vault_chunk *)(void *)pages;
    *c = (struct js_vault_chunk){.next = vault->chunks, .raw = raw, .len = len};
    vault->chunks = c;
    for (size_t off = len - JS_VAULT_SLOT; off; off -= JS_VAULT_SLOT) {
        struct js_vault_slot *slot = (struct js_vault_slot *)(void *)(pages + off);
        slot->next = vault->free;
        vault->free = slot;
    }
    return true;
}

void *js_vault_take(struct js_vault *vault) {
    pthread_mutex_lock(&vault->mu);
    struct js_vault_slot *slot = vault->free || add_chunk(vault) ? vault->free : NULL;
    if (slot) {
        vault->free = slot->next;
        slot->next = NULL;
    }
    pthread_mutex_unlock(&vault->mu);
    return slot;
}

void js_vault_put(struct js_vault *vault, void *p) {
    struct js_vault_slot *slot = p;

    if (!slot)
        return;
    pthread_mutex_lock(&vault->mu);
    js_wipe(slot, JS_VAULT_SLOT);
    slot->next = vault->free;
    vault->free = slot;
    pthread_mutex_unlock(&vault->mu);
}
