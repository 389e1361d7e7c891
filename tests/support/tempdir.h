/* SPDX-License-Identifier: Apache-2.0 */
/* A directory below /tmp for a test that needs real files. */
#ifndef TESTS_TEMPDIR_H
#define TESTS_TEMPDIR_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#define TEMPDIR_SIZE 64

/* 0, or -1. */
static inline int tempdir_make(char ret_dir[TEMPDIR_SIZE], const char *name) {
    snprintf(ret_dir, TEMPDIR_SIZE, "/tmp/jetfs-%s-XXXXXX", name);
    return mkdtemp(ret_dir) ? 0 : -1;
}

static inline int tempdir_remove_one(const char *path, const struct stat *st, int type,
                                     struct FTW *at) {
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline int tempdir_remove(const char *dir) {
    return *dir ? nftw(dir, tempdir_remove_one, 16, FTW_DEPTH | FTW_PHYS) : 0;
}

#endif
