/* SPDX-License-Identifier: Apache-2.0 */
/* Room for keys (core/base/vault.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/vault.h"
#include "tests/support/keywatch.h"

#define SLOTS 1000

static bool all_zero(const uint8_t *p, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (p[i])
            return false;
    return true;
}

static bool is_locked(const struct keywatch *kw, const uint8_t *p) {
    for (size_t k = 0; k < kw->num_locked; k++)
        if (p >= kw->locked[k].p && p + JS_VAULT_SLOT <= kw->locked[k].p + kw->locked[k].size)
            return true;
    return false;
}

static void slots_are_locked_and_apart(void **state) {
    struct keywatch kw;
    struct js_vault vault;
    uint8_t *slots[SLOTS];

    (void)state;
    kw_init(&kw, NULL);
    js_vault_init(&vault, &kw.te.env);
    assert_int_equal(kw.num_blocks, 0); /* who has no keys pays nothing */
    for (size_t i = 0; i < SLOTS; i++) {
        slots[i] = js_vault_take(&vault);
        assert_non_null(slots[i]);
        assert_int_equal((uintptr_t)slots[i] % 8, 0);
        assert_true(is_locked(&kw, slots[i]));
        assert_true(all_zero(slots[i], JS_VAULT_SLOT));
        memset(slots[i], (int)(i % 255) + 1, JS_VAULT_SLOT);
    }
    /* Many share a page. */
    assert_true(kw.locks > 1 && kw.locks < 10);
    for (size_t i = 0; i < SLOTS; i++)
        for (size_t k = 0; k < JS_VAULT_SLOT; k++)
            assert_int_equal(slots[i][k], i % 255 + 1);
    js_vault_done(&vault);
    kw_done(&kw);
}

static void what_is_given_back_is_wiped_and_used_again(void **state) {
    struct keywatch kw;
    struct js_vault vault;

    (void)state;
    kw_init(&kw, NULL);
    js_vault_init(&vault, &kw.te.env);
    js_vault_put(&vault, NULL);
    uint8_t *a = js_vault_take(&vault), *b = js_vault_take(&vault);
    memset(a, 0xaa, JS_VAULT_SLOT);
    memset(b, 0xbb, JS_VAULT_SLOT);
    js_vault_put(&vault, a);
    /* All of it, but for what the vault keeps there itself. */
    assert_true(all_zero(a + sizeof(void *), JS_VAULT_SLOT - sizeof(void *)));
    assert_int_equal(b[0], 0xbb);
    assert_ptr_equal(js_vault_take(&vault), a);
    assert_true(all_zero(a, JS_VAULT_SLOT));
    /* A turnover of many keys needs no more than are there at a time. */
    for (size_t i = 0; i < 10000; i++)
        js_vault_put(&vault, js_vault_take(&vault));
    assert_int_equal(kw.locks, 1);
    js_vault_done(&vault);
    kw_done(&kw);
}

/* The watch counts as a leak what holds a key when it is unlocked or freed. */
static void what_was_not_given_back_is_wiped_at_the_end(void **state) {
    struct keywatch kw;
    struct js_vault vault;
    uint8_t key[32] = "a key of exactly this many bytes";

    (void)state;
    kw_init(&kw, NULL);
    kw_add_key(&kw, key);
    js_vault_init(&vault, &kw.te.env);
    for (size_t i = 0; i < SLOTS; i++)
        memcpy(js_vault_take(&vault), key, sizeof key);
    assert_int_equal(kw_in_locked(&kw), SLOTS);
    assert_int_equal(kw_in_ordinary(&kw), 0);
    js_vault_done(&vault);
    assert_int_equal(kw.leaks, 0);
    kw_done(&kw);
    /* It would see it. */
    kw_init(&kw, NULL);
    kw_add_key(&kw, key);
    void *p = kw.te.env.alloc->realloc(kw.te.env.alloc->ctx, NULL, 100);
    memcpy((uint8_t *)p + 7, key, sizeof key);
    assert_int_equal(kw_in_ordinary(&kw), 1);
    kw.te.env.alloc->free(kw.te.env.alloc->ctx, p);
    assert_int_equal(kw.leaks, 1);
    kw_done(&kw);
}

static void without_memory_there_is_no_slot(void **state) {
    (void)state;
    for (long n = 1;; n++) {
        struct keywatch kw;
        struct js_vault vault;
        size_t got = 0;

        kw_init(&kw, NULL);
        js_vault_init(&vault, &kw.te.env);
        te_fail_alloc(&kw.te, n, false);
        for (size_t i = 0; i < SLOTS; i++) {
            void *slot = js_vault_take(&vault);
            got += slot != NULL;
        }
        bool fired = atomic_load(&kw.te.alloc_fired);
        assert_int_equal(got, SLOTS - fired);
        /* What failed once works the next time. */
        assert_non_null(js_vault_take(&vault));
        js_vault_done(&vault);
        kw_done(&kw);
        if (!fired)
            break;
        assert_true(n < 100);
    }
}

static void a_refused_lock_stops_nobody(void **state) {
    struct keywatch kw;
    struct js_vault vault;

    (void)state;
    kw_init(&kw, NULL);
    kw.refuse_lock = ENOMEM;
    js_vault_init(&vault, &kw.te.env);
    uint8_t *slot = js_vault_take(&vault);
    assert_non_null(slot);
    assert_int_equal(kw.locks, 1);
    assert_int_equal(kw.num_locked, 0);
    memset(slot, 1, JS_VAULT_SLOT);
    js_vault_put(&vault, slot);
    assert_true(all_zero(slot + sizeof(void *), JS_VAULT_SLOT - sizeof(void *)));
    js_vault_done(&vault);
    kw_done(&kw); /* unlocked all the same */
    /* Tables that cannot lock. */
    kw_init(&kw, NULL);
    kw.te.alloc.lock = NULL;
    kw.te.alloc.unlock = NULL;
    js_vault_init(&vault, &kw.te.env);
    assert_non_null(js_vault_take(&vault));
    js_vault_done(&vault);
    kw_done(&kw);
}

static void *take_and_put(void *arg) {
    struct js_vault *vault = arg;
    uint8_t *mine[50];

    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < 50; i++) {
            mine[i] = js_vault_take(vault);
            if (!mine[i] || !all_zero(mine[i], JS_VAULT_SLOT))
                return "not zero";
            memset(mine[i], (int)i + 1, JS_VAULT_SLOT);
        }
        for (size_t i = 0; i < 50; i++) {
            if (mine[i][0] != i + 1 || mine[i][JS_VAULT_SLOT - 1] != i + 1)
                return "another one has it, too";
            js_vault_put(vault, mine[i]);
        }
    }
    return NULL;
}

static void threads_share_one(void **state) {
    struct keywatch kw;
    struct js_vault vault;
    pthread_t ids[4];
    void *why;

    (void)state;
    kw_init(&kw, NULL);
    js_vault_init(&vault, &kw.te.env);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, take_and_put, &vault), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(ids[i], &why);
        assert_null(why);
    }
    js_vault_done(&vault);
    kw_done(&kw);
}

/* The flags that the kernel shows for an address; "" if it shows none. */
static void vm_flags(const void *p, char *buf, size_t size) {
    FILE *smaps = fopen("/proc/self/smaps", "r");
    char line[1024];
    bool here = false;

    buf[0] = 0;
    while (smaps && fgets(line, sizeof line, smaps)) {
        uintptr_t from, to;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
            here = (uintptr_t)p >= from && (uintptr_t)p < to;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            snprintf(buf, size, "%.*s", (int)size - 1, line + 8);
    }
    if (smaps)
        fclose(smaps);
}

/* What the real tables make of it. */
static void pages_stay_out_of_swap_and_dumps(void **state) {
    struct js_vault vault;
    char flags[256];

    (void)state;
    js_vault_init(&vault, js_env_default());
    void *slot = js_vault_take(&vault);
    assert_non_null(slot);
    vm_flags(slot, flags, sizeof flags);
    if (!flags[0])
        print_message("# the kernel does not tell\n");
    else if (!strstr(flags, " dd "))
        fail_msg("in core dumps: %s", flags);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    /* Sanitizers take mlock(2) away. */
    if (flags[0] && !strstr(flags, " lo "))
        print_message("# not locked here (ulimit -l): %s\n", flags);
#endif
    js_vault_done(&vault);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_locked_and_apart),
        cmocka_unit_test(what_is_given_back_is_wiped_and_used_again),
        cmocka_unit_test(what_was_not_given_back_is_wiped_at_the_end),
        cmocka_unit_test(without_memory_there_is_no_slot),
        cmocka_unit_test(a_refused_lock_stops_nobody),
        cmocka_unit_test(threads_share_one),
        cmocka_unit_test(pages_stay_out_of_swap_and_dumps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
