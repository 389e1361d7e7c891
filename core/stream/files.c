/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "core/base/file.h"
#include "core/base/limits.h"
#include "core/store/backup.h"

uint32_t js_block_number_of(const char *name, const char *suffix) {
    uint64_t n = 0;
    const char *p = name;

    if (*p < '1' || *p > '9')
        return 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        n = n * 10 + (uint64_t)(*p - '0');
        if (n > JS_MAX_BLOCK_NUMBER)
            return 0;
    }
    return strcmp(p, suffix) == 0 ? (uint32_t)n : 0;
}

static int stop_at_block(void *arg, const char *name) {
    (void)arg;
    return js_block_number_of(name, ".blk") ? 1 : 0;
}

/* A purge of 2.14 and later stages the new directory; when it already holds a block, servers put it
 * in the place of msgs at their next start, so it is what the stream holds. */
static int open_msgs(struct js_files *files) {
    const struct js_io *io = files->env->io;
    int fd = io->open_dir(io->ctx, files->dirfd, "__new_msgs__");

    files->msgs_fd = -1;
    files->msgs_name = "__new_msgs__";
    if (fd >= 0 && io->list(io->ctx, fd, stop_at_block, NULL) != 1) {
        io->close(io->ctx, fd);
        fd = -1;
    }
    if (fd < 0) {
        files->msgs_name = "msgs";
        fd = io->open_dir(io->ctx, files->dirfd, "msgs");
    }
    /* No directory at all is told as damage of the stream. */
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
        return 0;
    if (fd < 0)
        return js_err_from_errno(-fd);
    files->msgs_fd = fd;
    return 0;
}

int js_files_open_dir(const struct js_env *env, int parent_fd, const char *name,
                      struct js_files *ret_files) {
    int fd = env->io->open_dir(env->io->ctx, parent_fd, name ? name : ".");

    if (fd < 0)
        return js_err_from_errno(-fd);
    *ret_files = (struct js_files){.env = env, .dirfd = fd, .msgs_fd = -1};
    int r = open_msgs(ret_files);
    if (r < 0)
        js_files_close(ret_files);
    return r;
}

int js_files_reopen_msgs(struct js_files *files) {
    if (files->backup)
        return 0;
    if (files->msgs_fd >= 0)
        files->env->io->close(files->env->io->ctx, files->msgs_fd);
    int r = open_msgs(files);
    return r == 0 && files->msgs_fd < 0 ? JS_ERR_NO_ENTRY : r;
}

void js_files_open_backup(struct js_backup *backup, struct js_files *ret_files) {
    *ret_files = (struct js_files){
        .env = js_backup_env(backup), .dirfd = -1, .msgs_fd = -1, .backup = js_backup_ref(backup)};
}

void js_files_close(struct js_files *files) {
    if (files->msgs_fd >= 0)
        files->env->io->close(files->env->io->ctx, files->msgs_fd);
    if (files->dirfd >= 0)
        files->env->io->close(files->env->io->ctx, files->dirfd);
    if (files->backup)
        js_backup_unref(files->backup);
    files->msgs_fd = files->dirfd = -1;
    files->backup = NULL;
}

/* Opens the directories of a path, so that no element can be a link; gives the last name. Returns
 * the directory's descriptor (*ret_close: to be closed) or a negative errno. */
static int walk_path(struct js_files *files, const char *path, const char **ret_name,
                     bool *ret_close) {
    const struct js_io *io = files->env->io;
    int fd = files->dirfd;

    *ret_close = false;
    if (strncmp(path, "msgs/", 5) == 0) {
        *ret_name = path + 5;
        return files->msgs_fd >= 0 ? files->msgs_fd : -ENOENT;
    }
    for (;;) {
        const char *slash = strchr(path, '/');
        if (!slash) {
            *ret_name = path;
            return fd;
        }
        char name[256];
        size_t n = (size_t)(slash - path);
        int sub = -ENOENT;
        if (n > 0 && n < sizeof name) {
            memcpy(name, path, n);
            name[n] = 0;
            sub = io->open_dir(io->ctx, fd, name);
        }
        if (*ret_close)
            io->close(io->ctx, fd);
        *ret_close = false;
        if (sub < 0)
            return sub;
        fd = sub;
        *ret_close = true;
        path = slash + 1;
    }
}

int js_files_slurp(struct js_files *files, const char *path, uint64_t max, struct js_buf *out) {
    const char *name;
    bool close_dir;

    if (files->backup)
        return js_backup_slurp(files->backup, path, max, out);
    int fd = walk_path(files, path, &name, &close_dir);
    if (fd < 0)
        return js_err_from_errno(-fd);
    int r = js_file_slurp(files->env, fd, name, max, out);
    if (close_dir)
        files->env->io->close(files->env->io->ctx, fd);
    return r;
}

int js_files_stat(struct js_files *files, const char *path, struct stat *ret_st) {
    const char *name;
    bool close_dir;

    if (files->backup)
        return js_backup_stat(files->backup, path, ret_st);
    int fd = walk_path(files, path, &name, &close_dir);
    if (fd < 0)
        return js_err_from_errno(-fd);
    int r = files->env->io->stat(files->env->io->ctx, fd, name, ret_st);
    if (close_dir)
        files->env->io->close(files->env->io->ctx, fd);
    return r < 0 ? js_err_from_errno(-r) : 0;
}

int js_files_open_block(struct js_files *files, uint32_t number, struct js_extent *ret_extent) {
    char name[24];
    struct stat st;
    const struct js_io *io = files->env->io;

    snprintf(name, sizeof name, "%u.blk", number);
    if (files->backup)
        return js_backup_open_block(files->backup, number, ret_extent);
    if (files->msgs_fd < 0)
        return JS_ERR_NO_ENTRY;
    int fd = io->open_file(io->ctx, files->msgs_fd, name, O_RDONLY, 0);
    if (fd < 0)
        return js_err_from_errno(-fd);
    int r = io->fstat(io->ctx, fd, &st);
    if (r < 0) {
        io->close(io->ctx, fd);
        return js_err_from_errno(-r);
    }
    *ret_extent = (struct js_extent){
        .fd = fd, .len = st.st_size > 0 ? (uint64_t)st.st_size : 0, .close_fd = true};
    return 0;
}

void js_extent_close(const struct js_env *env, struct js_extent *extent) {
    if (extent->close_fd)
        env->io->close(env->io->ctx, extent->fd);
    extent->fd = -1;
    extent->close_fd = false;
}

int js_files_list_msgs(struct js_files *files, int (*fn)(void *ctx, const char *name), void *ctx) {
    if (files->backup)
        return js_backup_list(files->backup, "msgs/", fn, ctx);
    if (files->msgs_fd < 0)
        return JS_ERR_NO_ENTRY;
    int r = files->env->io->list(files->env->io->ctx, files->msgs_fd, fn, ctx);
    return js_io_result(r);
}

struct only_dirs {
    const struct js_io *io;
    int fd;
    int (*fn)(void *ctx, const char *name);
    void *ctx;
};

static int take_dir(void *ctx, const char *name) {
    const struct only_dirs *d = ctx;
    struct stat st;

    if (d->io->stat(d->io->ctx, d->fd, name, &st) == 0 && !S_ISDIR(st.st_mode))
        return 0; /* nobody's consumer */
    return d->fn(d->ctx, name);
}

int js_files_list_consumers(struct js_files *files, int (*fn)(void *ctx, const char *name),
                            void *ctx) {
    const struct js_io *io = files->env->io;

    if (files->backup)
        return js_backup_list(files->backup, "obs/", fn, ctx);
    int fd = io->open_dir(io->ctx, files->dirfd, "obs");
    if (fd < 0)
        return fd == -ENOENT ? 0 : js_err_from_errno(-fd);
    struct only_dirs dirs = {.io = io, .fd = fd, .fn = fn, .ctx = ctx};
    int r = io->list(io->ctx, fd, take_dir, &dirs);
    io->close(io->ctx, fd);
    return js_io_result(r);
}
