/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of an engine under test: a clock that the test turns, the same randomness every time,
 * and memory that is counted and can fail. */
#ifndef TESTS_TESTENV_H
#define TESTS_TESTENV_H

#include <stdatomic.h>

#include "core/jetstore.h"

#define TE_START  INT64_C(1700000000000000000)
#define TE_SECOND INT64_C(1000000000)

struct testenv {
    struct js_env env; /* what the engine gets */
    struct js_clock clock;
    struct js_rand rand;
    struct js_alloc alloc;
    _Atomic js_time_t now;
    js_time_t tick; /* every look at the clock takes so long: a microsecond unless changed */
    atomic_ullong rng;
    atomic_long memory; /* allocations not given back */
    atomic_long allocs, alloc_countdown, alloc_fired;
    bool alloc_sticky;
    atomic_bool alloc_paused; /* nothing fails and nothing is counted as a call */
};

/* io NULL: the real one. */
void te_init(struct testenv *te, const struct js_io *io);
void te_advance(struct testenv *te, js_time_t ns);
/* The n-th allocation from now on fails (and all after it); 0 = none. */
void te_fail_alloc(struct testenv *te, long n, bool sticky);

#endif
