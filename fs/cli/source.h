/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SOURCE of a command line, opened: keys loaded, account and streams chosen. Failures are told
 * to the user here; callers pass the exit code on.
 */
#ifndef JF_CLI_SOURCE_H
#define JF_CLI_SOURCE_H

#include "core/jetstore.h"
#include "fs/base/keyfile.h"
#include "fs/cli/cli.h"

struct jf_target {
    char *account;
    char *stream; /* NULL: the account has none */
};

struct jf_source {
    const struct jf_call *call;
    struct js_store *store;
    struct jf_keys *keys;      /* NULL: none given */
    struct jf_target *targets; /* accounts, and streams within, in byte order */
    size_t ntargets;
    size_t nstreams; /* targets that name a stream */
    int trouble;     /* exit code of what could not be listed */
};

/*
 * Opens call->source with flags (enum js_open_flags) and lists the targets: all streams of the
 * source, those of --account, or the one of SOURCE:STREAM. Accounts without streams are targets
 * too. Returns 0, or the exit code after telling why.
 */
int jf_source_open(const struct jf_call *call, unsigned flags, struct jf_source *ret_source);
/* Frees; returns code joined with that of what could not be listed, and with that of closing. */
int jf_source_close(struct jf_source *source, int code);

/* True if call->source is not there: what is opened with JS_OPEN_CREATE makes it. */
bool jf_source_is_new(const struct jf_call *call);
/* Takes away a store that was made for something which then failed: its directories, as far as nothing is in
 * them. After jf_source_close. */
void jf_source_unmake(const char *path, const char *account);

/* The only target that names a stream; NULL if there are none or several. */
const struct jf_target *jf_source_only(const struct jf_source *source);
/* The account that a new stream goes to: --account, the only one there is, or $G. INVAL after telling
 * why. */
int jf_source_account(const struct jf_source *source, const char **ret_account);
/* Opens a target's stream: 0 and a reference, or a negative js_err after telling why. */
int jf_source_stream(const struct jf_source *source, const struct jf_target *target,
                     struct js_stream **ret_stream);
/* "SOURCE: ACCOUNT/STREAM" as messages name it. Writes into buf, returns it. */
const char *jf_source_label(const struct jf_source *source, const struct jf_target *target,
                            char *buf, size_t size);
/* True while a process holds the stream for writing: its unfinished end is no damage. */
bool jf_source_is_live(const struct jf_source *source, const struct jf_target *target);

#endif
