/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/testenv.h"

static js_time_t te_now(void *ctx) {
    struct testenv *te = ctx;
    return atomic_fetch_add(&te->now, te->tick) + te->tick;
}

static int te_fill(void *ctx, void *buf, size_t len) {
    struct testenv *te = ctx;
    uint8_t *p = buf;

    for (size_t i = 0; i < len; i++) {
        uint64_t z = atomic_fetch_add(&te->rng, UINT64_C(0x9e3779b97f4a7c15));
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        p[i] = (uint8_t)(z >> 40);
    }
    return 0;
}

static bool alloc_due(struct testenv *te) {
    if (atomic_load(&te->alloc_paused))
        return false;
    atomic_fetch_add(&te->allocs, 1);
    if (atomic_load(&te->alloc_countdown) <= 0)
        return false;
    if (atomic_fetch_sub(&te->alloc_countdown, 1) != 1)
        return false;
    if (te->alloc_sticky)
        atomic_store(&te->alloc_countdown, 1);
    atomic_fetch_add(&te->alloc_fired, 1);
    return true;
}

static void *te_realloc(void *ctx, void *p, size_t size) {
    struct testenv *te = ctx;

    if (alloc_due(te))
        return NULL;
    void *q = js_env_default()->alloc->realloc(NULL, p, size);
    if (!p && q)
        atomic_fetch_add(&te->memory, 1);
    return q;
}

static void te_free(void *ctx, void *p) {
    struct testenv *te = ctx;

    if (p)
        atomic_fetch_sub(&te->memory, 1);
    js_env_default()->alloc->free(NULL, p);
}

void te_init(struct testenv *te, const struct js_io *io) {
    *te = (struct testenv){
        .env = {.io = io ? io : js_env_default()->io},
        .clock = {.ctx = te, .now = te_now, .monotonic = te_now},
        .rand = {.ctx = te, .fill = te_fill},
        .alloc = {.ctx = te, .realloc = te_realloc, .free = te_free},
        .now = TE_START,
        .tick = 1000,
        .rng = 1,
    };
    te->env.clock = &te->clock;
    te->env.rand = &te->rand;
    te->env.alloc = &te->alloc;
}

void te_advance(struct testenv *te, js_time_t ns) {
    atomic_fetch_add(&te->now, ns);
}

void te_fail_alloc(struct testenv *te, long n, bool sticky) {
    te->alloc_sticky = sticky;
    atomic_store(&te->allocs, 0);
    atomic_store(&te->alloc_fired, 0);
    atomic_store(&te->alloc_countdown, n);
}
