/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/cli/progress.h"
#include "fs/session/mount.h"

static const struct jf_opt common_opts[] = {
    {"help", 'h', NULL, JF_OPT_HELP, "print this text"},
    {"json", 0, NULL, JF_OPT_JSON, "print JSON, for programs"},
    {"account", 0, "NAME", JF_OPT_ACCOUNT, "only this account of the store"},
    {"key-file", 0, "FILE", JF_OPT_KEY, "the server's jetstream key (- = standard input, credential:NAME = by systemd)"},
    {"prev-key-file", 0, "FILE", JF_OPT_PREV_KEY, "the key before the last change of keys"},
};
#define NCOMMON (sizeof common_opts / sizeof common_opts[0])

static const struct jf_verb *const verbs[] = {
    &jf_verb_ls,
    &jf_verb_info,
    &jf_verb_dump,
    &jf_verb_verify,
    &jf_verb_pub,
    &jf_verb_rm,
    &jf_verb_purge,
    &jf_verb_compact,
    &jf_verb_stream_add,
    &jf_verb_stream_edit,
    &jf_verb_stream_rm,
    &jf_verb_stream_ls,
    &jf_verb_backup,
    &jf_verb_restore,
    &jf_verb_rekey,
    &jf_verb_next,
    &jf_verb_consumer_add,
    &jf_verb_consumer_rm,
    &jf_verb_consumer_ls,
    &jf_verb_consumer_info,
    &jf_verb_consumer_next,
    &jf_verb_consumer_reset,
    &jf_verb_bench,
};
#define NVERBS (sizeof verbs / sizeof verbs[0])

/* A verb of one word, or of two ("consumer add"); *ret_words is how many. */
static const struct jf_verb *find_verb(int argc, char **argv, int *ret_words) {
    for (size_t i = 0; i < NVERBS; i++) {
        const char *name = verbs[i]->name, *blank = strchr(name, ' ');
        size_t len = blank ? (size_t)(blank - name) : strlen(name);
        if (argc < 2 || strlen(argv[1]) != len || strncmp(name, argv[1], len) != 0)
            continue;
        *ret_words = blank ? 2 : 1;
        if (!blank || (argc > 2 && strcmp(blank + 1, argv[2]) == 0))
            return verbs[i];
    }
    return NULL;
}

/* ---- errors ------------------------------------------------------------------------------- */

int jf_cli_exit_of(const struct jf_verb *verb, int code) {
    switch (code) {
    case JS_ERR_NOMEM:
    case JS_ERR_IO:
    case JS_ERR_NO_SPACE:
    case JS_ERR_QUOTA:
    case JS_ERR_ACCESS:
    case JS_ERR_TOO_MANY_FILES:
    case JS_ERR_WRITE_FAILED:
    case JS_ERR_STALE:
        return verb->failed;
    default:
        return verb->refused;
    }
}

int jf_cli_join(const struct jf_verb *verb, int a, int b) {
    if (verb == &jf_verb_verify)
        return a | b;
    return a > b ? a : b;
}

const char *jf_cli_take_cipher(struct jf_call *call, const char *value) {
    if (strcmp(value, "chacha") == 0)
        call->cipher = JS_CIPHER_NEW_CHACHA;
    else if (strcmp(value, "aes") == 0)
        call->cipher = JS_CIPHER_NEW_AES;
    else
        return "--cipher is chacha or aes";
    return NULL;
}

const char *jf_cli_hint(int code) {
    switch (code) {
    case JS_ERR_NO_KEY:
        return "give the server's jetstream key with --key-file";
    case JS_ERR_WRONG_KEY:
        return "check --key-file; a key from before a change goes into --prev-key-file";
    case JS_ERR_ACCESS:
        return "run as the user who owns the store";
    case JS_ERR_NO_STREAM:
    case JS_ERR_NO_ACCOUNT:
        return "`jetfs ls SOURCE` lists what there is";
    case JS_ERR_LOCKED:
        return "stop the other writer, or leave the store alone";
    case JS_ERR_TOO_MANY_FILES:
        return "raise `ulimit -n`";
    case JS_ERR_UNKNOWN_FORMAT:
        return "a newer jetfs may know it";
    case JS_ERR_WRITE_FAILED:
    case JS_ERR_IO:
        return "see the kernel's log for the disk";
    default:
        return NULL;
    }
}

int jf_cli_error(const struct jf_call *call, const char *path, int code, const char *why) {
    const char *hint = jf_cli_hint(code);

    jf_say(path ? path : call->words[0], "%s%s%s%s", why && why[0] ? why : js_err_text(code),
           hint ? " (" : "", hint ? hint : "", hint ? ")" : "");
    return jf_cli_exit_of(call->verb, code);
}

/* ---- help --------------------------------------------------------------------------------- */

static void print_usage(struct jf_out *out) {
    jf_out_text(out, "Usage: jetfs VERB ...\n"
                     "       jetfs SOURCE MOUNTPOINT [-o OPTIONS]\n"
                     "\n"
                     "Opens JetStream stores without a server.\n"
                     "\n"
                     "Verbs:\n");
    jf_out_printf(out, "  %-14s %s\n", "mount", "mount a store as files");
    for (size_t i = 0; i < NVERBS; i++)
        jf_out_printf(out, "  %-14s %s\n", verbs[i]->name, verbs[i]->summary);
    jf_out_text(out,
                "\n"
                "SOURCE is a server's store directory, its jetstream/ directory, one account's\n"
                "or one stream's directory, or a backup made by `nats stream backup`.\n"
                "\n"
                "`jetfs VERB --help` tells about a verb, `jetfs --version` about the program.\n");
}

static void print_options(struct jf_out *out, const struct jf_opt *opts, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char left[64];

        snprintf(left, sizeof left, "%c%c%s --%s%s%s", opts[i].letter ? '-' : ' ',
                 opts[i].letter ? opts[i].letter : ' ', opts[i].letter ? "," : " ", opts[i].name,
                 opts[i].value ? " " : "", opts[i].value ? opts[i].value : "");
        jf_out_printf(out, "  %-27s %s\n", left, opts[i].help);
    }
}

static void print_help(struct jf_out *out, const struct jf_verb *verb) {
    jf_out_printf(out, "Usage: jetfs %s %s\n\n%s\nOptions:\n", verb->name, verb->synopsis,
                  verb->details);
    print_options(out, verb->opts, verb->nopts);
    print_options(out, common_opts, NCOMMON);
}

/* ---- running a verb ----------------------------------------------------------------------- */

static int usage_error(const struct jf_verb *verb, const char *why) {
    jf_say(NULL, "%s: %s (see `jetfs %s --help`)", verb->name, why, verb->name);
    return verb->usage;
}

static const char *take_common(struct jf_call *call, int id, const char *value) {
    switch (id) {
    case JF_OPT_JSON:
        call->json = true;
        return NULL;
    case JF_OPT_ACCOUNT:
        call->account = value;
        return value[0] ? NULL : "--account needs a name";
    case JF_OPT_KEY:
        call->key_file = value;
        return NULL;
    case JF_OPT_PREV_KEY:
        call->prev_key_file = value;
        return NULL;
    default:
        return call->verb->option(call, id, value);
    }
}

/* Reads the words after the verb. Returns NULL, or what is wrong (kept in args if made up). */
static const char *read_line(struct jf_call *call, struct jf_args *args, bool *ret_help) {
    const struct jf_verb *verb = call->verb;
    const char *value;
    const char *why;
    int id;

    while ((id = jf_args_next(args, &value)) != JF_ARGS_END) {
        if (id == JF_ARGS_BAD)
            return args->why;
        if (id == JF_OPT_HELP) {
            *ret_help = true;
            return NULL;
        }
        if (id == JF_ARGS_WORD) {
            if (call->nwords >= verb->max_words)
                return "too many arguments";
            call->words[call->nwords++] = value;
            continue;
        }
        why = take_common(call, id, value);
        if (why)
            return why;
    }
    if (call->nwords < verb->min_words)
        return call->nwords == 0 ? "SOURCE is missing" : "an argument is missing";
    if (call->key_file && call->prev_key_file && strcmp(call->key_file, "-") == 0 &&
        strcmp(call->prev_key_file, "-") == 0)
        return "only one key can come from standard input";
    if (strstr(call->words[0], "://"))
        return "live servers are not built in; SOURCE must be a directory or a backup";
    if (jf_args_split_source(call->words[0], jf_path_exists, &call->source, &call->stream) < 0)
        return "SOURCE must be PATH or PATH:STREAM";
    return verb->check ? verb->check(call) : NULL;
}

static int finish_output(struct jf_out *out, const struct jf_verb *verb, int code) {
    int errnum = jf_out_finish(out);

    if (errnum == 0)
        return code;
    jf_say("standard output", "%s", strerror(errnum));
    return jf_cli_join(verb, code, verb->failed);
}

static int run_verb(const struct jf_verb *verb, int argc, char **argv) {
    struct jf_args args = {.argc = argc,
                           .argv = argv,
                           .opts = {common_opts, verb->opts},
                           .nopts = {NCOMMON, verb->nopts}};
    struct jf_out out;
    struct jf_call call = {.verb = verb, .out = &out};
    const char *why = NULL;
    bool help = false;
    int code;

    call.data = calloc(1, verb->data_size ? verb->data_size : 1);
    if (!call.data) {
        jf_say(NULL, "%s", js_err_text(JS_ERR_NOMEM));
        return verb->failed;
    }
    jf_out_init(&out, STDOUT_FILENO);
    why = read_line(&call, &args, &help);
    if (help) {
        print_help(&out, verb);
        code = JF_EXIT_OK;
    } else if (why) {
        code = usage_error(verb, why);
    } else {
        code = verb->run(&call);
    }
    jf_progress_end();
    code = finish_output(&out, verb, code);
    if (verb->done)
        verb->done(&call);
    free(call.source);
    free(call.stream);
    free(call.data);
    return code;
}

/* ---- the program -------------------------------------------------------------------------- */

/*
 * mount(8) calls `jetfs SOURCE MOUNTPOINT -o ...`. What is no verb is taken for that when it looks
 * like it: options are given with -o, or the first word is a path.
 */
static bool is_bare_mount(int argc, char **argv) {
    if (argc < 3)
        return false;
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "-o", 2) == 0)
            return true;
    return strchr(argv[1], '/') || jf_path_exists(argv[1]);
}

static int print_and_finish(void (*print)(struct jf_out *out)) {
    struct jf_out out;

    jf_out_init(&out, STDOUT_FILENO);
    print(&out);
    return finish_output(&out, &jf_verb_ls, JF_EXIT_OK);
}

static void print_version(struct jf_out *out) {
    jf_out_printf(out, "jetfs %s\n", js_version());
}

/* Without them the store's own files would get these numbers, and output would go there. */
static void occupy_standard_fds(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            /* Opened the wrong way round on purpose: using it still fails. */
            int got = open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);

            if (got >= 0 && got != fd)
                close(got);
        }
}

int jf_cli_main(int argc, char **argv) {
    const struct jf_verb *verb;
    const char *word = argc > 1 ? argv[1] : "";
    int words = 0;

    occupy_standard_fds();
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return print_and_finish(print_usage);
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        return print_and_finish(print_version);
    if (strcmp(word, "mount") == 0) {
        argv[1] = argv[0];
        return jf_mount_main(argc - 1, argv + 1);
    }
    verb = find_verb(argc, argv, &words);
    if (verb) {
        /* A reader that goes away is seen as EPIPE by write. */
        signal(SIGPIPE, SIG_IGN);
        return run_verb(verb, argc - 1 - words, argv + 1 + words);
    }
    if (words == 0 && is_bare_mount(argc, argv))
        return jf_mount_main(argc, argv);
    if (words == 2)
        jf_say(NULL, "%s: which action? (see `jetfs --help`)", word);
    else if (argc < 2)
        jf_say(NULL, "a verb is missing (see `jetfs --help`)");
    else
        jf_say(NULL, "%s: unknown verb (see `jetfs --help`)", word);
    return JF_EXIT_REFUSED;
}
