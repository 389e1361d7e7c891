/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables that watch over keys: everything of 32 bytes that the engine draws at random is taken for
 * one, and what a test adds. None may lie in memory that is not locked, nor in any that is given
 * back.
 */
#ifndef TESTS_KEYWATCH_H
#define TESTS_KEYWATCH_H

#include <pthread.h>

#include "tests/support/testenv.h"

#define KW_KEYS   512
#define KW_LOCKED 64

struct kw_block {
    uint8_t *p;
    size_t size;
};

struct keywatch {
    struct testenv te; /* te.env is what the engine gets */
    struct js_alloc below;
    struct js_rand rand;
    pthread_mutex_t mu;
    struct kw_block *blocks; /* allocated */
    size_t num_blocks, cap_blocks;
    struct kw_block locked[KW_LOCKED];
    size_t num_locked, locks, unlocks;
    int refuse_lock;           /* an errno: what lock returns */
    uint8_t keys[KW_KEYS][32]; /* inverted: the watch is not to find its own */
    size_t num_keys;
    uint8_t begins[1 << 13]; /* a bit for each two bytes a key begins with */
    size_t leaks;            /* of memory that was given back with a key in it */
};

void kw_init(struct keywatch *kw, const struct js_io *io);
/* All memory was given back, and nothing is locked. */
void kw_done(struct keywatch *kw);
void kw_add_key(struct keywatch *kw, const uint8_t key[32]);
/* How many keys lie in allocated memory: locked, and not. */
size_t kw_in_locked(struct keywatch *kw);
size_t kw_in_ordinary(struct keywatch *kw);
/* The same of all memory of the process that can be written, stacks and what libraries allocate
 * too. Sanitizers make that memory too large to look at: 0. */
size_t kw_in_process(struct keywatch *kw);

#endif
