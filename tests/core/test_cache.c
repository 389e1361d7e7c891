/* SPDX-License-Identifier: Apache-2.0 */
/* The block cache and its open files: budget, order of leaving, idle time, buffers and descriptors. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/block/cache.h"

#define MIB (UINT64_C(1) << 20)

static js_time_t fake_now;

static js_time_t fake_monotonic(void *ctx) {
    (void)ctx;
    return fake_now;
}

static const struct js_env *make_env(void) {
    static struct js_clock clock;
    static struct js_env env;

    clock = *js_env_default()->clock;
    clock.monotonic = fake_monotonic;
    env = *js_env_default();
    env.clock = &clock;
    fake_now = 1;
    return &env;
}

/* Puts a block of 1 MiB in and lets go of it. */
static void put(struct js_cache *cache, uint64_t owner, uint32_t number) {
    struct js_cached *e = js_cached_new(cache->env, cache, MIB);

    assert_non_null(e);
    e->len = MIB;
    e->owner = owner;
    e->number = number;
    e->version = 1;
    js_cache_put(cache, e);
    js_cached_unref(e);
}

static bool has(struct js_cache *cache, uint64_t owner, uint32_t number) {
    for (struct js_cached *e = cache->newest; e; e = e->next)
        if (e->owner == owner && e->number == number)
            return true;
    return false;
}

static void use(struct js_cache *cache, uint64_t owner, uint32_t number, bool walk) {
    struct js_cached *e = js_cache_get(cache, owner, number, 1);

    assert_non_null(e);
    if (walk)
        atomic_store(&e->walked, true);
    js_cached_unref(e);
}

static void what_was_not_used_leaves_first(void **state) {
    struct js_cache cache;

    (void)state;
    js_cache_init(&cache, make_env(), 3 * MIB);
    for (uint32_t n = 1; n <= 3; n++)
        put(&cache, 7, n);
    use(&cache, 7, 1, false);
    put(&cache, 7, 4);
    assert_true(has(&cache, 7, 1));
    assert_false(has(&cache, 7, 2));
    assert_true(has(&cache, 7, 3) && has(&cache, 7, 4));
    assert_int_equal(cache.bytes, 3 * MIB);
    js_cache_done(&cache);
}

static void what_was_walked_through_leaves_before(void **state) {
    struct js_cache cache;

    (void)state;
    js_cache_init(&cache, make_env(), 3 * MIB);
    for (uint32_t n = 1; n <= 3; n++)
        put(&cache, 7, n);
    use(&cache, 7, 2, true);
    put(&cache, 7, 4);
    assert_true(has(&cache, 7, 1));
    assert_false(has(&cache, 7, 2));
    /* Without being asked to keep them they leave at once; those of others stay. */
    use(&cache, 7, 3, true);
    put(&cache, 8, 1);
    use(&cache, 8, 1, true);
    js_cache_retire(&cache, 7);
    assert_false(has(&cache, 7, 3));
    assert_true(has(&cache, 8, 1));
    js_cache_done(&cache);
}

static void idle_blocks_expire(void **state) {
    struct js_cache cache;

    (void)state;
    js_cache_init(&cache, make_env(), 8 * MIB);
    put(&cache, 7, 1);
    put(&cache, 7, 2);
    js_cache_expire_idle(&cache, fake_now);
    fake_now += JS_CACHE_EXPIRE / 2 + 1;
    use(&cache, 7, 2, false);
    js_cache_expire_idle(&cache, fake_now);
    fake_now += JS_CACHE_EXPIRE / 2 + 1;
    js_cache_expire_idle(&cache, fake_now);
    assert_false(has(&cache, 7, 1));
    assert_true(has(&cache, 7, 2));
    fake_now += JS_CACHE_EXPIRE;
    js_cache_expire_idle(&cache, fake_now);
    assert_null(cache.newest);
    assert_int_equal(cache.bytes, 0);
    js_cache_done(&cache);
}

static void freed_buffers_serve_again(void **state) {
    struct js_cache cache;

    (void)state;
    js_cache_init(&cache, make_env(), 8 * MIB);
    struct js_cached *e = js_cached_new(cache.env, &cache, MIB);
    uint8_t *data = e->data;
    js_cached_unref(e);
    e = js_cached_new(cache.env, &cache, MIB - 5);
    assert_ptr_equal(e->data, data);
    /* Too much room would be wasted: another one. */
    struct js_cached *small = js_cached_new(cache.env, &cache, MIB / 3);
    assert_ptr_not_equal(small->data, data);
    js_cached_unref(small);
    /* An entry may be released after its cache is gone. */
    js_cache_done(&cache);
    js_cached_unref(e);
}

static void a_record_is_checked_once(void **state) {
    struct js_cached *e = js_cached_new(make_env(), NULL, 1000);

    (void)state;
    e->len = 1000;
    assert_false(js_cached_is_checked(e, 0)); /* no flags yet */
    assert_int_equal(js_cached_add_flags(e, e->len), 0);
    for (uint32_t off = 0; off < 1000; off += 30) {
        assert_false(js_cached_is_checked(e, off));
        js_cached_set_checked(e, off);
        assert_true(js_cached_is_checked(e, off));
    }
    assert_false(js_cached_is_checked(e, 5000));
    js_cached_unref(e);
}

static int some_fd(void) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

static void files_stay_open_while_they_are_used(void **state) {
    struct js_open_files files;
    int fds[JS_OPEN_FILES + 1];

    (void)state;
    js_open_files_init(&files, make_env());
    assert_null(js_open_files_get(&files, 1, 1, 0));
    struct js_open_file *used = js_open_files_put(&files, 1, 1, fds[0] = some_fd(), 100);
    assert_non_null(used);
    for (uint32_t n = 1; n < JS_OPEN_FILES; n++)
        js_open_files_release(&files,
                              js_open_files_put(&files, 2, n, fds[n] = some_fd(), 100));
    /* The oldest that nobody reads makes room. */
    fds[JS_OPEN_FILES] = some_fd();
    js_open_files_release(&files, js_open_files_put(&files, 3, 1, fds[JS_OPEN_FILES], 100));
    assert_true(is_open(fds[0]));
    assert_false(is_open(fds[1]));
    /* One that was shorter when it was opened does not serve. */
    assert_null(js_open_files_get(&files, 1, 1, 101));
    assert_ptr_equal(js_open_files_get(&files, 1, 1, 100), used);
    js_open_files_release(&files, used);
    /* Dropped while it is read: found no more, closed by its reader. */
    js_open_files_drop(&files, 1);
    assert_null(js_open_files_get(&files, 1, 1, 0));
    assert_true(is_open(fds[0]));
    js_open_files_release(&files, used);
    assert_false(is_open(fds[0]));
    js_open_files_done(&files);
    assert_false(is_open(fds[JS_OPEN_FILES]));
}

static void all_places_in_use(void **state) {
    struct js_open_files files;
    struct js_open_file *list[JS_OPEN_FILES];

    (void)state;
    js_open_files_init(&files, make_env());
    for (uint32_t n = 0; n < JS_OPEN_FILES; n++)
        list[n] = js_open_files_put(&files, 1, n + 1, some_fd(), 1);
    int fd = some_fd();
    assert_null(js_open_files_put(&files, 1, 100, fd, 1));
    assert_true(is_open(fd));
    close(fd);
    for (uint32_t n = 0; n < JS_OPEN_FILES; n++)
        js_open_files_release(&files, list[n]);
    js_open_files_done(&files);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_used_leaves_first),
        cmocka_unit_test(what_was_walked_through_leaves_before),
        cmocka_unit_test(idle_blocks_expire),
        cmocka_unit_test(freed_buffers_serve_again),
        cmocka_unit_test(a_record_is_checked_once),
        cmocka_unit_test(files_stay_open_while_they_are_used),
        cmocka_unit_test(all_places_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
