/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a command line: options in any place, `--` ends them, `--name=value` and `--name value`,
 * `-x value` and `-xvalue`. Names are not abbreviated: a script that works keeps working when an
 * option is added. Nothing here prints or allocates, except where said.
 */
#ifndef JF_CLI_ARGS_H
#define JF_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/jetstore.h"

struct jf_opt {
    const char *name;  /* without dashes */
    char letter;       /* 0 = none */
    const char *value; /* what the help calls its value; NULL = takes none */
    int id;            /* > 0 */
    const char *help;
};

struct jf_args {
    int argc;
    char **argv;                  /* borrowed */
    int pos;                      /* next word */
    const struct jf_opt *opts[2]; /* two tables: the common one and the verb's; borrowed */
    size_t nopts[2];
    bool ended;    /* `--` was seen */
    char why[160]; /* what is wrong, after JF_ARGS_BAD */
};

enum { JF_ARGS_END = 0, JF_ARGS_WORD = -1, JF_ARGS_BAD = -2 };

/*
 * The next option's id (> 0; ret_value is its value or NULL), JF_ARGS_WORD (ret_value is the word),
 * JF_ARGS_END, or JF_ARGS_BAD. Values are borrowed from argv.
 */
int jf_args_next(struct jf_args *args, const char **ret_value);

/*
 * Splits SOURCE[:STREAM]. A path that exists is a SOURCE whatever it contains; else the text after
 * the last ':' is the stream, if there is one and it holds no '/'. Both results are given (free());
 * *ret_stream is NULL when no stream was named. exists tells whether a path is there.
 * INVAL: nothing before or after the ':'. NOMEM.
 */
int jf_args_split_source(const char *text, bool (*exists)(const char *path), char **ret_source,
                         char **ret_stream);
/* True if something has that path, even a broken link. */
bool jf_path_exists(const char *path);

/* "A..B", "A..", "..B" or "A": both ends belong to the range. *ret_last 0 = no end. INVAL. */
int jf_args_parse_range(const char *text, js_seq_t *ret_first, js_seq_t *ret_last);

/*
 * Appends "-H key:value" to a header block that is being built (*block NULL: none yet; grown by
 * realloc(), given). Blanks around the value are dropped. INVAL: no key, or a byte that would break
 * the block (control characters; a blank in the key). NOMEM. *len counts without the last empty
 * line, which jf_args_end_headers adds.
 */
int jf_args_add_header(const char *text, char **block, size_t *len);
/* Adds the empty line that ends the block. Nothing happens if *block is NULL. NOMEM. */
int jf_args_end_headers(char **block, size_t *len);

#endif
