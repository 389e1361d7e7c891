/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deleting a stream with all it holds. Its directory is renamed to a name that begins with a dot first:
 * from then on the stream is gone, and a server that starts finishes the work if we cannot.
 */
#include <errno.h>
#include <stdio.h>

#include "core/base/file.h"
#include "core/consumer/consumer.h"
#include "core/format/subject.h"
#include "core/store/store.h"
#include "core/stream/writer.h"

#define MAX_DEPTH 6

struct clearing {
    const struct js_env *env;
    int fd;
    unsigned depth;
    bool again; /* something came while we cleared */
};

static int clear_below(const struct js_env *env, int parent, const char *name, unsigned depth);

static int clear_entry(void *ctx, const char *name) {
    struct clearing *c = ctx;
    const struct js_io *io = c->env->io;
    struct stat st;

    int r = io->stat(io->ctx, c->fd, name, &st);
    if (r < 0)
        return r == -ENOENT ? 0 : js_err_from_errno(-r);
    if (S_ISDIR(st.st_mode))
        return clear_below(c->env, c->fd, name, c->depth + 1);
    r = io->unlink(io->ctx, c->fd, name);
    return r < 0 && r != -ENOENT ? js_err_from_errno(-r) : 0;
}

static int clear_below(const struct js_env *env, int parent, const char *name, unsigned depth) {
    struct clearing c = {.env = env, .depth = depth};

    if (depth > MAX_DEPTH)
        return JS_ERR_NOT_EMPTY;
    c.fd = env->io->open_dir(env->io->ctx, parent, name);
    if (c.fd < 0)
        return c.fd == -ENOENT ? 0 : js_err_from_errno(-c.fd);
    int r = 0, d = -ENOTEMPTY;
    for (int tries = 0; tries < 100 && r == 0 && d == -ENOTEMPTY; tries++) {
        r = js_io_result(env->io->list(env->io->ctx, c.fd, clear_entry, &c));
        d = r == 0 ? env->io->rmdir(env->io->ctx, parent, name) : 0;
    }
    env->io->close(env->io->ctx, c.fd);
    if (r == 0 && d < 0 && d != -ENOENT)
        r = js_err_from_errno(-d);
    return r;
}

int js_store_clear_dir(const struct js_env *env, int parent, const char *name) {
    return clear_below(env, parent, name, 0);
}

/* Nobody writes to the open handle any more; who wants to know what leaves streams is told. */
static void retire_handle(struct js_store *store, const char *account, const char *name) {
    struct js_stream *s;

    if (js_store_get_stream(store, account, name, &s) < 0)
        return;
    pthread_rwlock_wrlock(&s->lock);
    s->gone = true;
    js_writer_free(s);
    js_removed_fn fn = s->on_removed;
    void *ctx = s->on_removed_ctx;
    uint64_t msgs = s->msgs, bytes = s->bytes;
    pthread_rwlock_unlock(&s->lock);
    if (fn)
        fn(ctx, s, msgs, bytes, 0, "", 0);
    js_stream_unref(s);
}

/* Opens the directory that holds the stream's: streams/, or jetfs/ where no server looks. */
static int open_parent(struct js_store *store, const char *account, const char *name, int *ret_fd) {
    const struct js_io *io = store->env->io;
    struct stat st;

    for (int own = 0; own < 2; own++) {
        int fd, r = own ? js_store_open_world(store, account, "jetfs", &fd)
                        : js_store_open_streams_dir(store, account, &fd);
        if (r == JS_ERR_NO_ENTRY || (own && r == JS_ERR_NO_ACCOUNT))
            continue;
        if (r < 0)
            return r;
        r = io->stat(io->ctx, fd, name, &st);
        if (r >= 0) {
            *ret_fd = fd;
            return 0;
        }
        io->close(io->ctx, fd);
        if (r != -ENOENT)
            return js_err_from_errno(-r);
    }
    return JS_ERR_NO_STREAM;
}

int js_store_delete_stream(struct js_store *store, const char *account, const char *name) {
    const struct js_io *io = store->env->io;
    char gone[JS_MAX_NAME + 1];
    int streams = -1;

    if (!(store->options.flags & JS_OPEN_RW))
        return JS_ERR_READ_ONLY;
    if (store->kind == JS_SOURCE_STREAM || store->kind == JS_SOURCE_BACKUP)
        return JS_ERR_UNSUPPORTED;
    if (!js_name_valid(name) || name[0] == '.')
        return JS_ERR_NO_STREAM;
    int r = open_parent(store, account, name, &streams);
    if (r < 0)
        return r;
    /* Our lock shows that nobody else works in it. */
    struct js_stream *s = NULL;
    r = js_store_get_stream(store, account, name, &s);
    if (r == 0) {
        js_stream_unref(s);
        js_name_hidden(gone, name, "");
        r = js_store_clear_dir(store->env, streams, gone);
    }
    if (r == 0)
        r = js_err_from_errno(-io->rename(io->ctx, streams, name, streams, gone));
    if (r == 0) {
        retire_handle(store, account, name);
        (void)js_store_drop_stream(store, account, name);
        r = js_err_from_errno(-io->fsync(io->ctx, streams));
    }
    if (r == 0)
        r = js_store_clear_dir(store->env, streams, gone);
    io->close(io->ctx, streams);
    return r;
}
