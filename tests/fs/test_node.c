/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/node/class.h"
#include "fs/node/stream.h"
#include "fs/session/opens.h"
#include "fs/session/pool.h"

static unsigned freed;

static void count_done(struct jf_node *node) {
    if (node->priv)
        freed++;
    free(node->priv);
}

static const struct jf_class one = {.name = "one", .mode = S_IFREG, .node_done = count_done};
static const struct jf_class two = {.name = "two", .mode = S_IFDIR};

static int setup(void **state) {
    struct jf_fs *fs = calloc(1, sizeof(*fs));

    fs->intern = jf_intern_new();
    fs->streams = jf_streams_new();
    fs->opens = jf_opens_new();
    freed = 0;
    *state = fs;
    return 0;
}

static int teardown(void **state) {
    struct jf_fs *fs = *state;

    jf_opens_free(fs);
    jf_intern_free(fs->intern);
    jf_streams_free(fs);
    free(fs);
    return 0;
}

static struct jf_node *get(struct jf_fs *fs, const struct jf_class *class, const char *key) {
    struct jf_node_new init = {.class = class, .key = key};
    struct jf_node *node;

    assert_int_equal(jf_intern_get(fs, &init, &node), 0);
    return node;
}

static void numbers_carry_kind_slot_and_sequence(void **state) {
    fuse_ino_t ino = jf_node_pack(JF_KIND_FULL, JF_MAX_SLOT, JF_MAX_SEQ);
    (void)state;

    assert_int_equal(jf_node_kind(ino), JF_KIND_FULL);
    assert_int_equal(jf_node_slot(ino), JF_MAX_SLOT);
    assert_true(jf_node_seq(ino) == JF_MAX_SEQ);
    ino = jf_node_pack(JF_KIND_MSG, 0, 1);
    assert_int_equal(jf_node_kind(ino), JF_KIND_MSG);
    assert_int_equal(jf_node_slot(ino), 0);
    assert_true(jf_node_seq(ino) == 1);
}

static void one_key_is_one_node(void **state) {
    struct jf_fs *fs = *state;
    struct jf_node *a = get(fs, &one, "x");

    assert_ptr_equal(get(fs, &one, "x"), a);
    assert_ptr_not_equal(get(fs, &one, "y"), a);
    assert_ptr_not_equal(get(fs, &two, "x"), a);
    assert_int_equal(jf_intern_count(fs), 3);
    assert_true(a->ino == jf_intern_ino(&one, NULL, "x"));
    assert_int_equal(jf_node_kind(a->ino), JF_KIND_INTERN);
    assert_ptr_equal(jf_intern_find(fs, a->ino), a);
}

static void a_node_lives_as_long_as_it_is_held(void **state) {
    struct jf_fs *fs = *state;
    struct jf_node *a = get(fs, &one, "x");
    fuse_ino_t ino = a->ino;

    get(fs, &one, "x");
    jf_node_hold(fs, a);
    jf_node_drop(fs, a, 2);
    assert_ptr_equal(jf_intern_find(fs, ino), a);
    jf_node_drop(fs, a, 1);
    assert_null(jf_intern_find(fs, ino));
    assert_int_equal(jf_intern_count(fs), 0);
    assert_true(get(fs, &one, "x")->ino == ino);
}

static void what_a_found_node_does_not_need_is_freed(void **state) {
    struct jf_fs *fs = *state;
    struct jf_node_new init = {.class = &one, .key = "k", .priv = malloc(1)};
    struct jf_node *a;
    struct jf_node *b;

    assert_int_equal(jf_intern_get(fs, &init, &a), 0);
    init.priv = malloc(1);
    assert_int_equal(jf_intern_get(fs, &init, &b), 0);
    assert_ptr_equal(a, b);
    assert_int_equal(freed, 1);
    jf_node_drop(fs, a, 2);
    assert_int_equal(freed, 2);
}

static void a_hundred_thousand_nodes_are_found_again(void **state) {
    struct jf_fs *fs = *state;
    char key[16];

    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        get(fs, &one, key);
    }
    assert_int_equal(jf_intern_count(fs), 100000);
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        struct jf_node *node = jf_intern_find(fs, jf_intern_ino(&one, NULL, key));
        assert_non_null(node);
        assert_string_equal(node->key, key);
        jf_node_drop(fs, node, 1);
    }
    assert_int_equal(jf_intern_count(fs), 0);
}

static void numbers_that_nobody_gave_are_stale(void **state) {
    struct jf_fs *fs = *state;
    struct jf_ref ref;

    assert_int_equal(jf_ref_resolve(fs, jf_node_pack(JF_KIND_MSG, 5, 1), &ref), -ESTALE);
    assert_int_equal(jf_ref_resolve(fs, jf_intern_ino(&one, NULL, "none"), &ref), -ESTALE);
    assert_int_equal(jf_ref_resolve(fs, 7, &ref), -ESTALE);
}

static void the_root_has_number_one(void **state) {
    struct jf_fs *fs = *state;
    struct jf_ref ref;

    fs->root = get(fs, &two, "root");
    assert_int_equal(jf_ref_resolve(fs, FUSE_ROOT_ID, &ref), 0);
    assert_int_equal(ref.ino, FUSE_ROOT_ID);
    assert_ptr_equal(ref.node, fs->root);
}

static unsigned released;

static void count_release(const struct jf_ref *ref, struct fuse_file_info *fi) {
    (void)ref;
    assert_int_equal(fi->fh, 42);
    released++;
}

static void what_is_open_at_the_end_is_released(void **state) {
    static const struct jf_class file = {.name = "f", .mode = S_IFREG, .release = count_release};
    struct jf_fs *fs = *state;
    struct jf_ref ref = {.fs = fs, .class = &file};
    struct fuse_file_info a = {.fh = 42};
    struct fuse_file_info b = {.fh = 42};
    struct fuse_file_info c = {.fh = 0};

    released = 0;
    assert_int_equal(jf_opens_add(&ref, &a, false), 0);
    assert_int_equal(jf_opens_add(&ref, &b, false), 0);
    assert_int_equal(jf_opens_add(&ref, &c, false), 0);
    struct fuse_file_info again = a;
    jf_opens_resolve(&again);
    assert_int_equal(again.fh, 42);
    jf_opens_remove(fs, &a);
    assert_int_equal(a.fh, 42);
    jf_opens_remove(fs, &c);
    jf_opens_free(fs);
    assert_int_equal(released, 1);
}

static atomic_uint ran;

static void count_run(void *arg) {
    (void)arg;
    atomic_fetch_add(&ran, 1);
}

static void the_pool_finishes_what_is_queued(void **state) {
    struct jf_pool *pool = jf_pool_new(2);
    (void)state;

    atomic_store(&ran, 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(jf_pool_run(pool, count_run, NULL), 0);
    jf_pool_free(pool);
    assert_int_equal(atomic_load(&ran), 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_carry_kind_slot_and_sequence),
        cmocka_unit_test_setup_teardown(one_key_is_one_node, setup, teardown),
        cmocka_unit_test_setup_teardown(a_node_lives_as_long_as_it_is_held, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_found_node_does_not_need_is_freed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hundred_thousand_nodes_are_found_again, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_that_nobody_gave_are_stale, setup, teardown),
        cmocka_unit_test_setup_teardown(the_root_has_number_one, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_open_at_the_end_is_released, setup, teardown),
        cmocka_unit_test(the_pool_finishes_what_is_queued),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
