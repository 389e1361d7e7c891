/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Full purges by servers that were interrupted (docs/disk-format.md "Interrupted purges"). A server
 * that is started next goes on by what lies there; whoever writes to the stream before that has to
 * leave one directory msgs/ with all its keys, and nothing beside it.
 *
 * Before 2.14: msgs/ becomes __msgs__, then a new msgs/ is made, then its first block says where the
 * stream stands. Since: the block is made first, __new_msgs__ gets its key, then the block, then the
 * directories change places.
 */
#include <errno.h>
#include <stdio.h>

#include "core/base/limits.h"
#include "core/stream/prepare.h"

#define STAGED "__new_msgs__"
#define OLD    "__msgs__"

/* Moves a directory of the stream into quarantine/, as msgs.TIME. */
static int keep_dir(struct js_stream *s, const char *name) {
    const struct js_io *io = s->env->io;
    char kept[64];
    int r = io->mkdir(io->ctx, s->files.dirfd, "quarantine", 0700);

    if (r < 0 && r != -EEXIST)
        return r;
    int fd = io->open_dir(io->ctx, s->files.dirfd, "quarantine");
    if (fd < 0)
        return fd;
    long long now = (long long)(s->env->clock->now(s->env->clock->ctx) / 1000000000);
    r = -EEXIST;
    for (unsigned k = 0; k < 100 && (r == -EEXIST || r == -ENOTEMPTY); k++) {
        if (k)
            snprintf(kept, sizeof kept, "msgs.%lld.%u", now, k);
        else
            snprintf(kept, sizeof kept, "msgs.%lld", now);
        r = io->rename(io->ctx, s->files.dirfd, name, fd, kept);
    }
    if (r >= 0)
        r = io->fsync(io->ctx, fd);
    io->close(io->ctx, fd);
    return r < 0 ? r : 0;
}

/* 1, 0 or an error. */
static int has_dir(struct js_stream *s, const char *name) {
    const struct js_io *io = s->env->io;
    struct stat st;
    int r = io->stat(io->ctx, s->files.dirfd, name, &st);

    return r == -ENOENT ? 0 : r < 0 ? r : S_ISDIR(st.st_mode) != 0;
}

struct keys {
    char list[32][24];
    size_t count;
};

static int see_key(void *ctx, const char *name) {
    struct keys *k = ctx;

    if (js_block_number_of(name, ".key"))
        snprintf(k->list[k->count++], sizeof k->list[0], "%.23s", name);
    return k->count == sizeof k->list / sizeof k->list[0];
}

/* The staged directory holds no block: the purge has not happened. Its keys belong to blocks that are
 * still in msgs/. */
static int roll_back(struct js_stream *s, bool *ret_changed) {
    const struct js_io *io = s->env->io;
    int fd = io->open_dir(io->ctx, s->files.dirfd, STAGED);
    struct keys k;
    int r = 0;

    if (fd < 0)
        return fd;
    do {
        k.count = 0;
        r = s->files.msgs_fd >= 0 ? io->list(io->ctx, fd, see_key, &k) : 0;
        for (size_t i = 0; i < k.count && r >= 0; i++) {
            r = io->rename(io->ctx, fd, k.list[i], s->files.msgs_fd, k.list[i]);
            *ret_changed = true;
        }
    } while (r >= 0 && k.count == sizeof k.list / sizeof k.list[0]);
    if (r >= 0 && *ret_changed)
        r = io->fsync(io->ctx, s->files.msgs_fd);
    io->close(io->ctx, fd);
    if (r >= 0) {
        r = io->rmdir(io->ctx, s->files.dirfd, STAGED);
        if (r == -ENOTEMPTY || r == -EEXIST)
            r = keep_dir(s, STAGED);
    }
    return r < 0 ? r : 0;
}

/* What was purged is still there, under another name. */
static int settle_old(struct js_stream *s, bool *ret_changed) {
    const struct js_io *io = s->env->io;
    bool there = s->files.msgs_fd >= 0;

    if (there && (s->last_seq || s->msgs))
        return keep_dir(s, OLD);
    /* Nothing says where the stream stood but what was to go: it was not over. */
    int r = there ? keep_dir(s, "msgs") : 0;
    if (r >= 0)
        r = io->rename(io->ctx, s->files.dirfd, OLD, s->files.dirfd, "msgs");
    if (r >= 0) {
        *ret_changed = true;
        r = js_files_reopen_msgs(&s->files) < 0 ? -EIO : 0;
    }
    return r;
}

/* The staged directory holds a block: the purge has happened. */
static int finish(struct js_stream *s) {
    const struct js_io *io = s->env->io;
    int r = has_dir(s, "msgs");

    if (r == 1)
        r = keep_dir(s, "msgs");
    return r < 0 ? r : io->rename(io->ctx, s->files.dirfd, STAGED, s->files.dirfd, "msgs");
}

int js_settle_purge(struct js_stream *s, bool *ret_changed) {
    const struct js_io *io = s->env->io;
    int staged = has_dir(s, STAGED), old = has_dir(s, OLD);
    int r = staged < 0 ? staged : old < 0 ? old : 0;

    *ret_changed = false;
    if (r == 0 && staged && s->files.msgs_fd >= 0 && strcmp(s->files.msgs_name, STAGED) == 0) {
        r = finish(s);
        if (r >= 0 && js_files_reopen_msgs(&s->files) < 0)
            r = -EIO;
    } else if (r == 0 && staged) {
        r = roll_back(s, ret_changed);
    }
    if (r >= 0 && old)
        r = settle_old(s, ret_changed);
    if (r >= 0 && (staged || old))
        r = io->fsync(io->ctx, s->files.dirfd);
    return r < 0 ? js_err_from_errno(-r) : 0;
}
