/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame around the verbs of the `jetfs` program.
 *
 * A verb is a struct jf_verb: its words, its options, its exit codes and a function that does the
 * work. The frame reads the command line, splits SOURCE[:STREAM], prints help and errors, and
 * finishes the output; so a verb's function starts with everything checked that can be checked
 * without the store.
 */
#ifndef JF_CLI_CLI_H
#define JF_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "core/jetstore.h"
#include "fs/cli/args.h"
#include "fs/cli/out.h"

#define JF_CLI_MAX_WORDS 1024

/* Exit codes; which ones a verb uses stands in its struct jf_verb. */
enum {
    JF_EXIT_OK = 0,
    JF_EXIT_REFUSED = 1,   /* ls, info, pub: usage, or the request cannot be met */
    JF_EXIT_SYSTEM = 2,    /* ls, info, pub: input/output, memory */
    JF_EXIT_DAMAGE = 4,    /* dump, verify */
    JF_EXIT_OPERATION = 8, /* dump, verify: not everything could be read or written */
    JF_EXIT_USAGE = 16,    /* verify */
};

/* Options of every verb but mount; a verb's own begin at JF_OPT_VERB. */
enum { JF_OPT_HELP = 1, JF_OPT_JSON, JF_OPT_ACCOUNT, JF_OPT_KEY, JF_OPT_PREV_KEY, JF_OPT_VERB };

struct jf_call {
    const struct jf_verb *verb;
    struct jf_out *out;
    bool json;
    const char *account;                 /* NULL: not given */
    const char *key_file;                /* NULL: not given */
    const char *prev_key_file;           /* NULL: not given */
    enum js_new_cipher cipher;           /* of streams that are made */
    const char *words[JF_CLI_MAX_WORDS]; /* as typed; the first is SOURCE */
    size_t nwords;
    char *source; /* path */
    char *stream; /* NULL: all of them */
    void *data;   /* verb->data_size bytes, zeroed, for the verb's options */
};

struct jf_verb {
    const char *name;
    const char *synopsis; /* after "jetfs NAME " */
    const char *summary;  /* one line */
    const char *details;  /* paragraphs for --help, with exit codes; ends with LF */
    const struct jf_opt *opts;
    size_t nopts;
    size_t min_words;
    size_t max_words;
    size_t data_size;
    int usage;   /* exit code: the command line is wrong */
    int refused; /* the request cannot be met: not a store, no such stream, no key ... */
    int failed;  /* the system failed: input/output, memory, permission */
    /* Takes one option of the verb's own; returns NULL or what is wrong with the value. */
    const char *(*option)(struct jf_call *call, int id, const char *value);
    /* After the whole line was read; returns NULL or what is wrong. May be NULL. */
    const char *(*check)(struct jf_call *call);
    /* Does the work and returns the exit code. */
    int (*run)(struct jf_call *call);
    /* Frees what option() allocated; may be NULL. */
    void (*done)(struct jf_call *call);
};

extern const struct jf_verb jf_verb_ls;
extern const struct jf_verb jf_verb_info;
extern const struct jf_verb jf_verb_dump;
extern const struct jf_verb jf_verb_verify;
extern const struct jf_verb jf_verb_pub;
extern const struct jf_verb jf_verb_rm;
extern const struct jf_verb jf_verb_purge;
extern const struct jf_verb jf_verb_compact;
extern const struct jf_verb jf_verb_stream_add;
extern const struct jf_verb jf_verb_stream_edit;
extern const struct jf_verb jf_verb_stream_rm;
extern const struct jf_verb jf_verb_stream_ls;
extern const struct jf_verb jf_verb_backup;
extern const struct jf_verb jf_verb_restore;
extern const struct jf_verb jf_verb_rekey;
extern const struct jf_verb jf_verb_next;
extern const struct jf_verb jf_verb_consumer_add;
extern const struct jf_verb jf_verb_consumer_rm;
extern const struct jf_verb jf_verb_consumer_ls;
extern const struct jf_verb jf_verb_consumer_info;
extern const struct jf_verb jf_verb_consumer_next;
extern const struct jf_verb jf_verb_consumer_reset;
extern const struct jf_verb jf_verb_bench;

/* The program. Returns the exit code. */
int jf_cli_main(int argc, char **argv);

/*
 * Prints "jetfs: PATH: why (what to do)" for a library error and returns the verb's exit code for
 * it. path NULL: the source. why NULL or "": the code's own text.
 */
int jf_cli_error(const struct jf_call *call, const char *path, int code, const char *why);
/* The exit code alone. */
int jf_cli_exit_of(const struct jf_verb *verb, int code);
/* Two exit codes of one run as one: verify's add up as fsck(8)'s do, of others the worse stays. */
int jf_cli_join(const struct jf_verb *verb, int a, int b);
/* The value of --cipher; NULL or what is wrong. */
const char *jf_cli_take_cipher(struct jf_call *call, const char *value);
/* What to do about an error; NULL if there is nothing to add. Static. */
const char *jf_cli_hint(int code);

#endif
