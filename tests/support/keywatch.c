/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/keywatch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need(bool ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "keywatch: %s\n", what);
    abort();
}

/* Keys are compared where they lie: a copy would be found. */
static bool is_key(const struct keywatch *kw, const uint8_t *p) {
    for (size_t k = 0; k < kw->num_keys; k++) {
        size_t i = 0;
        while (i < 32 && (p[i] ^ kw->keys[k][i]) == 0xff)
            i++;
        if (i == 32)
            return true;
    }
    return false;
}

/* Where keys begin in len bytes, but in locked pages. */
__attribute__((no_sanitize("address", "thread"))) static size_t
count_in(const struct keywatch *kw, const uint8_t *p, size_t len, bool locked_too) {
    size_t n = 0;

    for (size_t i = 0; i + 32 <= len; i++) {
        unsigned two = p[i] | (unsigned)p[i + 1] << 8;
        if (!(kw->begins[two >> 3] >> (two & 7) & 1) || !is_key(kw, p + i))
            continue;
        bool locked = false;
        for (size_t k = 0; k < kw->num_locked; k++)
            locked |= p + i >= kw->locked[k].p && p + i < kw->locked[k].p + kw->locked[k].size;
        n += locked_too || !locked;
    }
    return n;
}

void kw_add_key(struct keywatch *kw, const uint8_t key[32]) {
    pthread_mutex_lock(&kw->mu);
    if (!is_key(kw, key)) {
        need(kw->num_keys < KW_KEYS, "too many keys");
        unsigned two = key[0] | (unsigned)key[1] << 8;
        kw->begins[two >> 3] |= (uint8_t)(1u << (two & 7));
        for (size_t i = 0; i < 32; i++)
            kw->keys[kw->num_keys][i] = (uint8_t)~key[i];
        kw->num_keys++;
    }
    pthread_mutex_unlock(&kw->mu);
}

/* ---- the tables --------------------------------------------------------------------------------
 */

static int kw_fill(void *ctx, void *buf, size_t len) {
    struct keywatch *kw = ctx;
    int r = kw->te.rand.fill(&kw->te, buf, len);

    if (r == 0 && len == 32)
        kw_add_key(kw, buf);
    return r;
}

/* With mu. */
static void forget(struct keywatch *kw, const void *p) {
    size_t i = 0;

    while (i < kw->num_blocks && kw->blocks[i].p != p)
        i++;
    need(i < kw->num_blocks, "freed what was not allocated");
    kw->leaks += count_in(kw, kw->blocks[i].p, kw->blocks[i].size, true);
    kw->blocks[i] = kw->blocks[--kw->num_blocks];
}

/* Always moves, so that what realloc leaves behind is seen. */
static void *kw_realloc(void *ctx, void *p, size_t size) {
    struct keywatch *kw = ctx;
    uint8_t *fresh = kw->below.realloc(kw->below.ctx, NULL, size);

    if (!fresh)
        return NULL;
    pthread_mutex_lock(&kw->mu);
    if (p) {
        size_t i = 0;
        while (i < kw->num_blocks && kw->blocks[i].p != p)
            i++;
        need(i < kw->num_blocks, "moved what was not allocated");
        memcpy(fresh, p, kw->blocks[i].size < size ? kw->blocks[i].size : size);
        forget(kw, p);
    }
    if (kw->num_blocks == kw->cap_blocks) {
        kw->cap_blocks = kw->cap_blocks ? kw->cap_blocks * 2 : 256;
        kw->blocks = realloc(kw->blocks, kw->cap_blocks * sizeof *kw->blocks);
        need(kw->blocks, "no memory");
    }
    kw->blocks[kw->num_blocks++] = (struct kw_block){fresh, size};
    pthread_mutex_unlock(&kw->mu);
    if (p)
        kw->below.free(kw->below.ctx, p);
    return fresh;
}

static void kw_free(void *ctx, void *p) {
    struct keywatch *kw = ctx;

    pthread_mutex_lock(&kw->mu);
    for (size_t k = 0; k < kw->num_locked; k++)
        need((uint8_t *)p >= kw->locked[k].p + kw->locked[k].size ||
                 (uint8_t *)p + 1 < kw->locked[k].p,
             "freed what is locked");
    forget(kw, p);
    pthread_mutex_unlock(&kw->mu);
    kw->below.free(kw->below.ctx, p);
}

static int kw_lock(void *ctx, void *pages, size_t len) {
    struct keywatch *kw = ctx;

    pthread_mutex_lock(&kw->mu);
    kw->locks++;
    need(((uintptr_t)pages | len) % 4096 == 0, "not whole pages");
    if (!kw->refuse_lock) {
        need(kw->num_locked < KW_LOCKED, "too many locked");
        kw->locked[kw->num_locked++] = (struct kw_block){pages, len};
    }
    pthread_mutex_unlock(&kw->mu);
    return -kw->refuse_lock;
}

static void kw_unlock(void *ctx, void *pages, size_t len) {
    struct keywatch *kw = ctx;
    size_t k = 0;

    pthread_mutex_lock(&kw->mu);
    kw->unlocks++;
    kw->leaks += count_in(kw, pages, len, true);
    while (k < kw->num_locked && kw->locked[k].p != pages)
        k++;
    if (k < kw->num_locked) {
        need(kw->locked[k].size == len, "unlocked a part");
        kw->locked[k] = kw->locked[--kw->num_locked];
    }
    pthread_mutex_unlock(&kw->mu);
}

void kw_init(struct keywatch *kw, const struct js_io *io) {
    memset(kw, 0, sizeof *kw);
    te_init(&kw->te, io);
    pthread_mutex_init(&kw->mu, NULL);
    kw->below = kw->te.alloc;
    kw->te.alloc = (struct js_alloc){
        .ctx = kw, .realloc = kw_realloc, .free = kw_free, .lock = kw_lock, .unlock = kw_unlock};
    kw->rand = (struct js_rand){.ctx = kw, .fill = kw_fill};
    kw->te.env.rand = &kw->rand;
}

void kw_done(struct keywatch *kw) {
    need(kw->num_blocks == 0 && kw->num_locked == 0, "memory was not given back");
    need(kw->locks == kw->unlocks, "not unlocked as often as locked");
    free(kw->blocks);
    pthread_mutex_destroy(&kw->mu);
}

/* ---- looking -----------------------------------------------------------------------------------
 */

size_t kw_in_locked(struct keywatch *kw) {
    size_t n = 0;

    pthread_mutex_lock(&kw->mu);
    for (size_t k = 0; k < kw->num_locked; k++)
        n += count_in(kw, kw->locked[k].p, kw->locked[k].size, true);
    pthread_mutex_unlock(&kw->mu);
    return n;
}

size_t kw_in_ordinary(struct keywatch *kw) {
    size_t n = 0;

    pthread_mutex_lock(&kw->mu);
    for (size_t i = 0; i < kw->num_blocks; i++)
        n += count_in(kw, kw->blocks[i].p, kw->blocks[i].size, false);
    pthread_mutex_unlock(&kw->mu);
    return n;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
size_t kw_in_process(struct keywatch *kw) {
    (void)kw;
    return 0;
}
#else
size_t kw_in_process(struct keywatch *kw) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    size_t n = 0;

    if (!maps)
        return 0;
    while (fgets(line, sizeof line, maps)) {
        uintptr_t from, to;
        char mode[8];
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &from, &to, mode) == 3 &&
            strncmp(mode, "rw", 2) == 0)
            n += count_in(kw, (const uint8_t *)from, to - from, false);
    }
    fclose(maps);
    return n;
}
#endif
