/* SPDX-License-Identifier: Apache-2.0 */
/* The mount's options. Parsing is strict: what is not known is refused. */
#ifndef JF_BASE_OPTIONS_H
#define JF_BASE_OPTIONS_H

#include "core/jetstore.h"

enum jf_full { JF_FULL_FAIL, JF_FULL_BLOCK };

struct jf_options {
    char *source;     /* as given */
    char *mountpoint; /* as given */
    bool foreground;
    bool debug;
    bool help;

    bool rw;
    bool allow_delete;
    bool allow_admin;
    char *account; /* NULL: not chosen; "all": every account */
    enum js_sync_mode sync;
    unsigned sync_interval; /* seconds */
    char *key_file;         /* NULL: none; "-": standard input */
    char *prev_key_file;
    char *cipher; /* "chacha", "aes" or NULL; accepted, used by new encrypted stores only */
    uint64_t max_payload;
    enum jf_full full;
    bool erase;
    bool force; /* consumers with messages in flight can be removed */
    unsigned threads; /* 0 = min(4, cores) */
    bool seq_hidden;
    bool views_cached;
    bool empty_lines;     /* empty lines are messages */
    bool partial_drop;    /* an unfinished last line is dropped instead of published */
    bool empty_publish;   /* an empty file is an empty message */
    bool expire;          /* rw: retention runs */
    uint64_t cache_bytes; /* block cache; 0 = the library's choice */
    uid_t uid;
    gid_t gid;
    mode_t umask;
    bool allow_other;
    bool allow_root;
    bool auto_unmount;
    char *fuse_opts; /* generic options to hand to libfuse, comma separated; "" if none */
};

/* Defaults; everything is freed by jf_options_done. */
void jf_options_init(struct jf_options *options);
void jf_options_done(struct jf_options *options);
/*
 * Reads the arguments after the verb: SOURCE MOUNTPOINT [-o OPTIONS] [-f] [-d]; argv[0] is not
 * looked at. 0, or a negative error with a sentence for the user in ret_why.
 */
int jf_options_parse(struct jf_options *options, int argc, char **argv, char *ret_why,
                     size_t why_size);
/* One "a,b=c" list, as after -o. A backslash makes the next comma part of a value. */
int jf_options_parse_list(struct jf_options *options, const char *list, char *ret_why,
                          size_t why_size);
/* The options in effect, one "name=value" a line, keys left out; given (free()), NULL: no memory.
 */
char *jf_options_text(const struct jf_options *options);
/* Help for -o, printed by `jetfs mount --help`. Static. */
const char *jf_options_help(void);

#endif
