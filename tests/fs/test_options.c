/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/base/errmap.h"
#include "fs/base/options.h"

#include <errno.h>

#define ARGS(...) ((char *[]){"mount", __VA_ARGS__, NULL})

static int parse(struct jf_options *o, char **argv, char *why) {
    int argc = 0;

    while (argv[argc])
        argc++;
    jf_options_init(o);
    return jf_options_parse(o, argc, argv, why, 256);
}

static void defaults_are_read_only(void **state) {
    struct jf_options o;
    char why[256];
    (void)state;

    assert_int_equal(parse(&o, ARGS("/s", "/m"), why), 0);
    assert_string_equal(o.source, "/s");
    assert_string_equal(o.mountpoint, "/m");
    assert_false(o.rw);
    assert_int_equal(o.sync, JS_SYNC_CLOSE);
    assert_int_equal(o.max_payload, 8 << 20);
    jf_options_done(&o);
}

static void options_are_read_wherever_they_stand(void **state) {
    struct jf_options o;
    char why[256];
    (void)state;

    assert_int_equal(parse(&o,
                           ARGS("-o", "rw,allow_delete,sync=interval:7", "/s", "-f", "/m",
                                "-ocache=64M,account=a\\,b,umask=077,threads=3"),
                           why),
                     0);
    assert_true(o.rw && o.allow_delete && o.foreground);
    assert_false(o.allow_admin);
    assert_int_equal(o.sync, JS_SYNC_INTERVAL);
    assert_int_equal(o.sync_interval, 7);
    assert_int_equal(o.cache_bytes, 64 << 20);
    assert_string_equal(o.account, "a,b");
    assert_int_equal(o.umask, 077);
    assert_int_equal(o.threads, 3);
    jf_options_done(&o);
}

static void unknown_or_wrong_options_are_refused_by_name(void **state) {
    static char *const bad[] = {
        "bogus",      "sync=never", "threads=0", "cache=1X",        "max_payload=0",
        "umask=9",    "uid=-1",     "seq=maybe", "sync=interval:0", "allow_delete",
        "key=secret", "fsname=",    "rw=1",      "account="};
    struct jf_options o;
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char why[256] = "";
        int r = parse(&o, ARGS("/s", "/m", "-o", bad[i]), why);
        assert_int_equal(r, JS_ERR_INVAL);
        assert_true(strlen(why) > 0);
        assert_null(strstr(why, "secret"));
        jf_options_done(&o);
    }
}

static void words_are_counted(void **state) {
    struct jf_options o;
    char why[256];
    (void)state;

    assert_int_equal(parse(&o, ARGS("/s"), why), JS_ERR_INVAL);
    jf_options_done(&o);
    assert_int_equal(parse(&o, ARGS("/s", "/m", "/x"), why), JS_ERR_INVAL);
    jf_options_done(&o);
    assert_int_equal(parse(&o, ARGS("--", "-s", "-m"), why), 0);
    assert_string_equal(o.source, "-s");
    jf_options_done(&o);
    assert_int_equal(parse(&o, ARGS("/s", "/m", "--frob"), why), JS_ERR_INVAL);
    jf_options_done(&o);
}

static void generic_options_are_handed_on_or_left_alone(void **state) {
    struct jf_options o;
    char why[256];
    (void)state;

    assert_int_equal(
        parse(&o, ARGS("/s", "/m", "-o", "noatime,_netdev,x-systemd.automount,nosuid,fsname=q"),
              why),
        0);
    assert_string_equal(o.fuse_opts, "noatime,fsname=q");
    jf_options_done(&o);
}

static void keys_do_not_appear_in_the_options_text(void **state) {
    struct jf_options o;
    char why[256];
    (void)state;

    assert_int_equal(parse(&o, ARGS("/s", "/m", "-o", "key_file=/etc/secret"), why), 0);
    char *text = jf_options_text(&o);
    assert_non_null(text);
    assert_null(strstr(text, "secret"));
    assert_non_null(strstr(text, "mode=ro\n"));
    free(text);
    jf_options_done(&o);
}

static void errors_become_errno(void **state) {
    (void)state;
    assert_int_equal(jf_errno(0), 0);
    assert_int_equal(jf_errno(JF_REPLIED), 0);
    assert_int_equal(jf_errno(-EPERM), EPERM);
    assert_int_equal(jf_errno(JS_ERR_MSG_TOO_LARGE), EFBIG);
    assert_int_equal(jf_errno(JS_ERR_MAX_MSGS), EDQUOT);
    assert_int_equal(jf_errno(JS_ERR_BAD_MSG), EIO);
    assert_int_equal(jf_errno(JS_ERR_STALE), ESTALE);
    assert_int_equal(jf_errno(-5000), EIO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_read_only),
        cmocka_unit_test(options_are_read_wherever_they_stand),
        cmocka_unit_test(unknown_or_wrong_options_are_refused_by_name),
        cmocka_unit_test(words_are_counted),
        cmocka_unit_test(generic_options_are_handed_on_or_left_alone),
        cmocka_unit_test(keys_do_not_appear_in_the_options_text),
        cmocka_unit_test(errors_become_errno),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
