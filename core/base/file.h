/* SPDX-License-Identifier: Apache-2.0 */
/* Small file helpers over the I/O table; results are js_err codes. */
#ifndef JS_FILE_H
#define JS_FILE_H

#include "core/base/buf.h"

/* Result of an I/O table call (count or negative errno) or of a callback it passed on (negative
 * js_err), as a js_err. */
static inline int js_io_result(int r) {
    return r < 0 && r > JS__ERR_FIRST / 2 ? js_err_from_errno(-r) : r;
}

/* Reads exactly up to len bytes: the count (short only at the end of the file) or an error. */
ssize_t js_file_read(const struct js_env *env, int fd, void *buf, size_t len, uint64_t off);
/* Writes all of it or fails. On failure *ret_done (may be NULL) says how much was written. */
int js_file_write(const struct js_env *env, int fd, const void *buf, size_t len, uint64_t off,
                  size_t *ret_done);
/* Reads a whole small file below dirfd into out (appended). NO_ENTRY, TOO_BIG above max,
 * NOT_REGULAR, ... */
int js_file_slurp(const struct js_env *env, int dirfd, const char *name, uint64_t max,
                  struct js_buf *out);
/* Unlinks a name; that it is not there is no error. */
int js_file_unlink(const struct js_env *env, int dirfd, const char *name);
/* Replaces or creates name below dirfd: writes "<name>.tmp", syncs it if sync, renames. The
 * directory is not synced. */
int js_file_replace(const struct js_env *env, int dirfd, const char *name, const void *data,
                    size_t len, bool sync);

#endif
