/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/base/keyfile.h"

static char dir[] = "/tmp/jf-keyfile-XXXXXX";

static const char *write_key(const char *name, const void *data, size_t len) {
    static char path[2][80];
    static int turn;
    char *p = path[turn++ % 2];
    FILE *f;

    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    f = fopen(p, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    return p;
}

static void expect_kek(js_key_fn fn, struct jf_keys *keys, const char *key, size_t len) {
    uint8_t want[32];
    uint8_t got[32];

    assert_int_equal(js_kek_derive(key, len, "ACC", "STREAM", want), 0);
    assert_int_equal(fn(keys, "ACC", "STREAM", got), 0);
    assert_memory_equal(got, want, sizeof want);
}

static void both_keys_are_read_and_kept_apart(void **state) {
    struct jf_keys *keys = NULL;
    const char *now = write_key("now", "secret", 6);
    const char *before = write_key("before", "older", 5);

    (void)state;
    assert_int_equal(jf_keys_load(now, before, &keys, NULL, 0), 0);
    expect_kek(jf_keys_current, keys, "secret", 6);
    expect_kek(jf_keys_previous, keys, "older", 5);
    jf_keys_free(keys);
}

static void one_line_end_is_not_part_of_the_key(void **state) {
    static const struct {
        const char *content;
        const char *key;
    } cases[] = {
        {"k1\n", "k1"}, {"k1\r\n", "k1"}, {"k1\n\n", "k1\n"}, {"k1\r", "k1\r"}, {" k ", " k "}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct jf_keys *keys = NULL;
        const char *path = write_key("end", cases[i].content, strlen(cases[i].content));

        assert_int_equal(jf_keys_load(path, NULL, &keys, NULL, 0), 0);
        expect_kek(jf_keys_current, keys, cases[i].key, strlen(cases[i].key));
        jf_keys_free(keys);
    }
}

static void a_key_that_was_not_given_is_no_key(void **state) {
    struct jf_keys *keys = NULL;
    uint8_t kek[32];

    (void)state;
    assert_int_equal(jf_keys_load(write_key("one", "x", 1), NULL, &keys, NULL, 0), 0);
    assert_int_equal(jf_keys_previous(keys, "A", "S", kek), JS_ERR_NO_KEY);
    jf_keys_free(keys);
}

static void bad_key_files_are_refused_by_name(void **state) {
    struct jf_keys *keys = NULL;
    char *big = calloc(1, JF_KEY_MAX + 1);
    char why[200] = "";

    (void)state;
    assert_non_null(big);
    assert_int_equal(jf_keys_load(write_key("empty", "\n", 1), NULL, &keys, why, sizeof why),
                     JS_ERR_INVAL);
    assert_non_null(strstr(why, "/empty: the key file is empty"));
    assert_int_equal(
        jf_keys_load(write_key("big", big, JF_KEY_MAX + 1), NULL, &keys, why, sizeof why),
        JS_ERR_TOO_BIG);
    assert_int_equal(jf_keys_load("/nonexistent/key", NULL, &keys, why, sizeof why),
                     JS_ERR_NO_ENTRY);
    assert_non_null(strstr(why, "/nonexistent/key: "));
    assert_int_equal(jf_keys_load(dir, NULL, &keys, why, sizeof why), js_err_from_errno(EISDIR));
    assert_null(keys);
    free(big);
}

static void the_longest_key_fits_with_its_line_end(void **state) {
    struct jf_keys *keys = NULL;
    char *big = malloc(JF_KEY_MAX + 2);

    (void)state;
    assert_non_null(big);
    memset(big, 'k', JF_KEY_MAX);
    memcpy(big + JF_KEY_MAX, "\r\n", 2);
    assert_int_equal(jf_keys_load(write_key("long", big, JF_KEY_MAX + 2), NULL, &keys, NULL, 0), 0);
    expect_kek(jf_keys_current, keys, big, JF_KEY_MAX);
    jf_keys_free(keys);
    free(big);
}

static int make_dir(void **state) {
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    static const char *const names[] = {"now", "before", "end", "one", "empty", "big", "long"};
    char path[80];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static void credentials_come_by_name(void **state) {
    struct jf_keys *keys = NULL;
    char why[200] = "";

    (void)state;
    const char *path = write_key("js-key", "secret", 6);
    unsetenv("CREDENTIALS_DIRECTORY");
    assert_int_equal(jf_keys_load("credential:js-key", NULL, &keys, why, sizeof why),
                     JS_ERR_NO_ENTRY);
    assert_non_null(strstr(why, "LoadCredential"));
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", dir, 1), 0);
    assert_int_equal(jf_keys_load("credential:../x", NULL, &keys, why, sizeof why),
                     JS_ERR_NO_ENTRY);
    assert_int_equal(jf_keys_load("credential:none", NULL, &keys, why, sizeof why),
                     JS_ERR_NO_ENTRY);
    assert_int_equal(jf_keys_load("credential:js-key", NULL, &keys, why, sizeof why), 0);
    expect_kek(jf_keys_current, keys, "secret", 6);
    jf_keys_free(keys);
    /* Who has keys leaves no core dump. */
    assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_keys_are_read_and_kept_apart),
        cmocka_unit_test(one_line_end_is_not_part_of_the_key),
        cmocka_unit_test(a_key_that_was_not_given_is_no_key),
        cmocka_unit_test(bad_key_files_are_refused_by_name),
        cmocka_unit_test(credentials_come_by_name),
        cmocka_unit_test(the_longest_key_fits_with_its_line_end),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
