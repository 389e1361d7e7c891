/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

ssize_t js_file_read(const struct js_env *env, int fd, void *buf, size_t len, uint64_t off) {
    uint8_t *p = buf;
    size_t done = 0;

    while (done < len) {
        ssize_t n = env->io->pread(env->io->ctx, fd, p + done, len - done, off + done);
        if (n == -EINTR || n == -EAGAIN)
            continue;
        if (n < 0)
            return js_err_from_errno((int)-n);
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int js_file_write(const struct js_env *env, int fd, const void *buf, size_t len, uint64_t off,
                  size_t *ret_done) {
    const uint8_t *p = buf;
    size_t done = 0;
    int r = 0;

    while (done < len) {
        ssize_t n = env->io->pwrite(env->io->ctx, fd, p + done, len - done, off + done);
        if (n == -EINTR || n == -EAGAIN)
            continue;
        if (n <= 0) {
            r = n < 0 ? js_err_from_errno((int)-n) : JS_ERR_IO;
            break;
        }
        done += (size_t)n;
    }
    if (ret_done)
        *ret_done = done;
    return r;
}

int js_file_slurp(const struct js_env *env, int dirfd, const char *name, uint64_t max,
                  struct js_buf *out) {
    struct stat st;
    int fd = env->io->open_file(env->io->ctx, dirfd, name, O_RDONLY, 0);

    if (fd < 0)
        return js_err_from_errno(-fd);
    int r = env->io->fstat(env->io->ctx, fd, &st);
    if (r < 0) {
        r = js_err_from_errno(-r);
    } else if (st.st_size < 0 || (uint64_t)st.st_size > max) {
        r = JS_ERR_TOO_BIG;
    } else {
        size_t size = (size_t)st.st_size;
        r = js_buf_reserve(out, size ? size : 1);
        if (r == 0) {
            ssize_t n = js_file_read(env, fd, out->data + out->len, size, 0);
            if (n < 0)
                r = (int)n;
            else
                out->len += (size_t)n;
        }
    }
    env->io->close(env->io->ctx, fd);
    return r;
}

int js_file_unlink(const struct js_env *env, int dirfd, const char *name) {
    int r = env->io->unlink(env->io->ctx, dirfd, name);

    return r < 0 && r != -ENOENT ? js_err_from_errno(-r) : 0;
}

int js_file_replace(const struct js_env *env, int dirfd, const char *name, const void *data,
                    size_t len, bool sync) {
    char tmp[300];
    int n = snprintf(tmp, sizeof tmp, "%s.tmp", name);

    if (n < 0 || (size_t)n >= sizeof tmp)
        return JS_ERR_INVAL;
    int fd = env->io->open_file(env->io->ctx, dirfd, tmp, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return js_err_from_errno(-fd);
    int r = js_file_write(env, fd, data, len, 0, NULL);
    if (r == 0 && sync)
        r = js_err_from_errno(-env->io->fsync(env->io->ctx, fd));
    int c = env->io->close(env->io->ctx, fd);
    if (r == 0 && c < 0)
        r = js_err_from_errno(-c);
    if (r == 0)
        r = js_err_from_errno(-env->io->rename(env->io->ctx, dirfd, tmp, dirfd, name));
    if (r < 0)
        env->io->unlink(env->io->ctx, dirfd, tmp);
    return r;
}
