/* SPDX-License-Identifier: Apache-2.0 */
/* Our HighwayHash-64 against Debian's libhighwayhash, on random keys and lengths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <highwayhash/c_bindings.h>
#include <stdlib.h>
#include <string.h>

#include "core/format/hash64.h"

static void digests_are_those_of_the_library(void **state) {
    uint8_t key[32], msg[700];

    (void)state;
    srand(20261124);
    for (int round = 0; round < 20000; round++) {
        struct js_hash_key k;
        HHKey peer;
        size_t len = (size_t)rand() % sizeof msg, a = len ? (size_t)rand() % len : 0;
        size_t b = a + (size_t)rand() % (len - a + 1);
        for (size_t i = 0; i < len; i++)
            msg[i] = (uint8_t)rand();
        for (size_t i = 0; i < 32; i++)
            key[i] = (uint8_t)rand();
        memcpy(peer, key, 32);
        js_hash_key_init(&k, key);
        uint64_t want = HighwayHash64(peer, (const char *)msg, len);
        struct js_span pieces[3] = {{msg, a}, {msg + a, b - a}, {msg + b, len - b}};
        for (const char *const *impl = js_hash64_impls(); *impl; impl++)
            assert_int_equal(js_hash64_by(*impl, &k, pieces, 3), want);
    }
}

/* A CPU that can run an implementation gets it tested. */
static void implementations_of_this_cpu_are_listed(void **state) {
    unsigned found = 0;

    (void)state;
    for (const char *const *impl = js_hash64_impls(); *impl; impl++)
        found |= strcmp(*impl, "portable") == 0 ? 1 : strcmp(*impl, "sse41") == 0 ? 2 : 4;
#if defined(__x86_64__)
    assert_int_equal(found, 1 | (__builtin_cpu_supports("sse4.1") ? 2 : 0) |
                                (__builtin_cpu_supports("avx2") ? 4 : 0));
#else
    assert_int_equal(found, 1);
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_those_of_the_library),
        cmocka_unit_test(implementations_of_this_cpu_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
