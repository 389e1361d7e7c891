/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block files that are open for reading single records: the last few of a store, so that a record
 * costs one read instead of four calls. A file stays open while somebody reads it, and otherwise until
 * others take its place, its stream is read anew or closed, or nobody used it for a while.
 */
#ifndef JS_OPEN_FILES_H
#define JS_OPEN_FILES_H

#include <pthread.h>

#include "core/jetstore.h"

#define JS_OPEN_FILES 16

struct js_open_files {
    const struct js_env *env;
    pthread_mutex_t mu;
    uint64_t clock;
    struct js_open_file {
        uint64_t owner; /* identity of the stream; 0 = free */
        uint64_t used;
        uint64_t len; /* of the file when it was opened */
        uint32_t number;
        uint32_t users;
        int fd;
        bool doomed; /* closed by its last user */
    } list[JS_OPEN_FILES];
};

void js_open_files_init(struct js_open_files *files, const struct js_env *env);
void js_open_files_done(struct js_open_files *files);

/* The open file of (owner, number) with at least need bytes, with one more user, or NULL. */
struct js_open_file *js_open_files_get(struct js_open_files *files, uint64_t owner, uint32_t number,
                                       uint64_t need);
/* Takes over a descriptor, with one user. NULL if all places are in use: it is still the caller's. */
struct js_open_file *js_open_files_put(struct js_open_files *files, uint64_t owner, uint32_t number,
                                       int fd, uint64_t len);
void js_open_files_release(struct js_open_files *files, struct js_open_file *file);
/* Closes those of an owner (0: all) that nobody reads; the others when they are released. */
void js_open_files_drop(struct js_open_files *files, uint64_t owner);

#endif
