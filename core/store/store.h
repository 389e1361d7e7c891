/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store: what SOURCE is, its accounts, and the streams that are open. Lock order: the store's
 * mutex before a stream's lock; a stream is read in without the mutex held, others wait for it.
 */
#ifndef JS_STORE_H
#define JS_STORE_H

#include "core/store/backup.h"
#include "core/stream/stream.h"

struct js_open_stream {
    struct js_open_stream *next;
    struct js_stream *stream; /* the store's own reference; NULL while it is being opened */
    char *account;
    char *name;
};

/* The thread of js_store_run_in_background. */
struct js_background {
    pthread_t thread;
    pthread_mutex_t mu; /* guards the rest; never taken together with another one */
    pthread_cond_t stopped;
    bool running, stop;
    int error; /* the first */
};

struct js_store {
    const struct js_env *env;
    struct js_store_options options;
    enum js_source_kind kind;
    int fd;        /* the source directory; -1 for a backup */
    char *account; /* of an account's or stream's directory, and of backups ("" if unknown) */
    char *stream;  /* name of the only stream (stream directory, backup) */
    struct js_backup *backup;
    struct js_cache cache;
    struct js_vault vault; /* keys of all streams and consumers */
    pthread_mutex_t mu;
    pthread_cond_t opened;
    /* guarded by mu: */
    struct js_open_stream *streams;
    uint64_t next_identity;
    struct js_background background;
};

/* ---- discover.c -------------------------------------------------------------------------------- */

/* Finds out what SOURCE is and fills kind, fd, account, stream, backup. */
int js_store_discover(struct js_store *store, const char *source, char *ret_why, size_t why_size);
/* Opens an account's directory; the directory "streams" or "jetfs" in it. NO_ACCOUNT. */
int js_store_open_account_dir(struct js_store *store, const char *account, int *ret_fd);
/* The directory in which an open stream's lies: jetfs/ with LZ4 blocks, else streams/. */
int js_store_open_home(struct js_store *store, const struct js_stream *stream, int *ret_fd);
int js_store_open_world(struct js_store *store, const char *account, const char *world, int *ret_fd);
/* EXISTS when a stream of that name lies in that directory of an account; 0 when none does. */
int js_store_check_name(struct js_store *store, const char *account, const char *world,
                        const char *name);
/* Opens the directory that holds an account's streams. NO_ACCOUNT. */
int js_store_open_streams_dir(struct js_store *store, const char *account, int *ret_fd);

/* ---- store.c ------------------------------------------------------------------------------------ */

/* Finishes and forgets an open stream (its directory is about to go). First error. */
int js_store_drop_stream(struct js_store *store, const char *account, const char *name);

/* ---- background.c ------------------------------------------------------------------------------- */

void js_background_init(struct js_background *bg);
/* Ends the thread, if there is one. Its first error. */
int js_background_done(struct js_background *bg);

/* ---- create.c ----------------------------------------------------------------------------------- */

/* The directory of an account's streams, made if it is not there. */
int js_store_provide_account(struct js_store *store, const char *account, int *ret_fd);

/* ---- fill.c ------------------------------------------------------------------------------------- */

/* Writes what a new stream holds into its open, empty directory, on disk. text: of meta.inf. */
int js_store_fill_new(struct js_store *store, int fd, const char *account, const char *name,
                      const uint8_t *text, size_t len, enum js_cipher cipher);
enum js_cipher js_store_cipher(enum js_new_cipher cipher);

/* ---- delete.c ----------------------------------------------------------------------------------- */

/* Removes a directory with all it holds; links are not followed, depth is bounded. */
int js_store_clear_dir(const struct js_env *env, int parent, const char *name);

/* ---- overlap.c ---------------------------------------------------------------------------------- */

/* EXISTS when another stream of the account takes some of the configuration's subjects. */
int js_store_check_subjects(struct js_store *store, const char *account, const char *name,
                            const struct js_stream_config *config, char *ret_why,
                            size_t why_size);

/* Opens a directory below streams/ as a stream of that name that the store does not know (convert.c). */
int js_store_open_hidden(struct js_store *store, const char *account, const char *name,
                         const char *hidden, bool lz4, struct js_stream **ret_stream);

/* ---- restore.c ---------------------------------------------------------------------------------- */

/* Stores everything of a stream, consumers too, in an empty one: sequences, times and state stay. */
int js_store_copy_stream(struct js_stream *from, struct js_stream *to);
/* The same into the stream in the hidden directory (js_store_open_hidden), which is finished; then (may be
 * NULL): the configuration that it gets when all is in it. */
int js_store_fill_hidden(struct js_store *store, struct js_stream *from, const char *account,
                         const char *name, const char *hidden, bool lz4, const char *then, char *why,
                         size_t why_size);

/* A configuration as servers read it: none of them knows LZ4, and in a backup nothing is
 * compressed. */
int js_store_config_for_servers(const char *text, struct js_buf *ret);

#define JS_WHY_LZ4                                                                                 \
    "\"compression\" cannot be \"lz4\" here: such a stream lies elsewhere (jetfs compact "         \
    "--compression lz4 takes it there)"

void js_why(char *ret_why, size_t why_size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
