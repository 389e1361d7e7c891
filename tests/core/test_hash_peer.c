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
        for (size_t i = 0; i < len; i++)
            msg[i] = (uint8_t)rand();
        for (size_t i = 0; i < 32; i++)
            key[i] = (uint8_t)rand();
        memcpy(peer, key, 32);
        js_hash_key_init(&k, key);
        uint64_t want = HighwayHash64(peer, (const char *)msg, len);
        struct js_span pieces[2] = {{msg, a}, {msg + a, len - a}};
        for (const char *const *impl = js_hash64_impls(); *impl; impl++)
            assert_int_equal(js_hash64_by(*impl, &k, pieces, 2), want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(digests_are_those_of_the_library)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
