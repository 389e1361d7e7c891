/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New streams, and the removal of empty ones. A stream is built under a name that begins with a dot
 * and renamed when it is complete, so that no crash leaves half of one: servers pass over such names
 * or remove them.
 */
#include <errno.h>
#include <stdio.h>

#include "core/base/file.h"
#include "core/format/subject.h"
#include "core/store/store.h"

static int sync_fd(const struct js_env *env, int fd) {
    return js_err_from_errno(-env->io->fsync(env->io->ctx, fd));
}

static int make_stream(struct js_store *s, int streams_fd, const char *account, const char *name,
                       const struct js_buf *meta) {
    const struct js_io *io = s->env->io;
    struct stat st;
    char tmp[JS_MAX_NAME + 1];

    if (io->stat(io->ctx, streams_fd, name, &st) == 0)
        return JS_ERR_EXISTS;
    js_name_hidden(tmp, name, ".new");
    /* What an earlier crash left. */
    int r = js_store_clear_dir(s->env, streams_fd, tmp);
    if (r == 0)
        r = js_err_from_errno(-io->mkdir(io->ctx, streams_fd, tmp, 0700));
    if (r < 0)
        return r;
    int fd = io->open_dir(io->ctx, streams_fd, tmp);
    r = fd < 0 ? js_err_from_errno(-fd)
               : js_store_fill_new(s, fd, account, name, meta->data, meta->len,
                                   js_store_cipher(s->options.cipher));
    if (fd >= 0)
        io->close(io->ctx, fd);
    if (r == 0)
        r = js_err_from_errno(-io->rename(io->ctx, streams_fd, tmp, streams_fd, name));
    if (r == 0)
        r = sync_fd(s->env, streams_fd);
    else
        (void)js_store_clear_dir(s->env, streams_fd, tmp);
    return r;
}

/* An account's first stream makes its directories. */
int js_store_provide_account(struct js_store *s, const char *account, int *ret_fd) {
    const struct js_io *io = s->env->io;
    int r = js_store_open_streams_dir(s, account, ret_fd);

    if (r != JS_ERR_NO_ACCOUNT || (s->kind != JS_SOURCE_STORE && s->kind != JS_SOURCE_JETSTREAM) ||
        !*account || account[0] == '.' || strchr(account, '/'))
        return r;
    int base = s->kind == JS_SOURCE_STORE ? io->open_dir(io->ctx, s->fd, "jetstream") : s->fd;
    if (base < 0)
        return js_err_from_errno(-base);
    r = io->mkdir(io->ctx, base, account, 0700);
    int acc = r == 0 || r == -EEXIST ? io->open_dir(io->ctx, base, account) : r;
    r = acc < 0 ? acc : io->mkdir(io->ctx, acc, "streams", 0700);
    if (r == 0 || r == -EEXIST)
        r = io->fsync(io->ctx, acc);
    if (r == 0)
        r = io->fsync(io->ctx, base);
    if (acc >= 0)
        io->close(io->ctx, acc);
    if (base != s->fd)
        io->close(io->ctx, base);
    return r < 0 ? js_err_from_errno(-r) : js_store_open_streams_dir(s, account, ret_fd);
}

int js_store_create_stream(struct js_store *store, const char *account, const char *name,
                           const char *config_json, char *ret_why, size_t why_size) {
    struct js_buf meta = {.env = store->env};
    int fd = -1;

    if (ret_why && why_size)
        ret_why[0] = 0;
    if (!(store->options.flags & JS_OPEN_RW))
        return JS_ERR_READ_ONLY;
    if (!js_name_valid(name) || name[0] == '.') {
        js_why(ret_why, why_size, "a stream's name holds none of . * > / \\ or blanks, and has at "
                                  "most 255 bytes");
        return JS_ERR_INVAL;
    }
    js_time_t now = store->env->clock->now(store->env->clock->ctx);
    int r = js_stream_config_make(store->env, name, config_json, now, &meta, ret_why, why_size);
    struct js_stream_config config = {.env = store->env};
    if (r == 0)
        r = js_stream_config_parse(store->env, (const char *)meta.data, meta.len, &config, ret_why,
                                   why_size);
    if (r == 0 && config.compression == 'l') {
        js_why(ret_why, why_size, JS_WHY_LZ4);
        r = JS_ERR_INVAL;
    }
    if (r == 0)
        r = js_store_check_subjects(store, account, name, &config, ret_why, why_size);
    js_stream_config_done(&config);
    /* With LZ4 blocks it lies beside. */
    if (r == 0 && store->kind != JS_SOURCE_STREAM && store->kind != JS_SOURCE_BACKUP)
        r = js_store_check_name(store, account, "jetfs", name);
    if (r == 0)
        r = js_store_provide_account(store, account, &fd);
    if (r == 0) {
        pthread_mutex_lock(&store->mu);
        r = make_stream(store, fd, account, name, &meta);
        pthread_mutex_unlock(&store->mu);
    }
    if (fd >= 0)
        store->env->io->close(store->env->io->ctx, fd);
    js_buf_done(&meta);
    if (r < 0 && ret_why && why_size && !ret_why[0])
        js_why(ret_why, why_size, "%s", js_err_text(r));
    return r;
}

/* ---- removal of an empty stream -------------------------------------------------------------- */

static int refuse_any(void *arg, const char *name) {
    (void)arg;
    (void)name;
    return 1;
}

struct unlinker {
    struct js_store *s;
    int fd;
};

/* Files that may stand in an empty stream's msgs/ and go with it. */
static int expect_known(void *arg, const char *name) {
    (void)arg;
    return js_block_number_of(name, ".blk") || js_block_number_of(name, ".key") ||
                   strcmp(name, "index.db") == 0 || strcmp(name, "thw.db") == 0 ||
                   strcmp(name, "sched.db") == 0
               ? 0
               : JS_ERR_NOT_EMPTY;
}

static int unlink_known(void *arg, const char *name) {
    struct unlinker *u = arg;
    int r = expect_known(NULL, name);

    if (r == 0)
        r = js_file_unlink(u->s->env, u->fd, name);
    return r;
}

static int expect_own(void *arg, const char *name) {
    static const char *const own[] = {"msgs",     "obs",          "meta.inf",     "meta.sum",
                                      "meta.key", "meta.inf.tmp", "meta.sum.tmp", "meta.key.tmp"};
    (void)arg;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (strcmp(name, own[i]) == 0)
            return 0;
    return JS_ERR_NOT_EMPTY;
}

static int expect_names(const struct js_env *env, int parent, const char *dir,
                        int (*fn)(void *, const char *)) {
    int fd = env->io->open_dir(env->io->ctx, parent, dir);

    if (fd < 0)
        return fd == -ENOENT ? 0 : js_err_from_errno(-fd);
    int r = js_io_result(env->io->list(env->io->ctx, fd, fn, NULL));
    env->io->close(env->io->ctx, fd);
    return r;
}

/* Nothing of it goes if something stands in it that is not ours, or that was kept for the user. */
static int expect_nothing_else(struct js_store *s, int stream_fd) {
    int r = expect_names(s->env, stream_fd, ".", expect_own);

    if (r == 0)
        r = expect_names(s->env, stream_fd, "msgs", expect_known);
    return r == 0 ? expect_names(s->env, stream_fd, "obs", expect_known) : r;
}

/* Finds it empty, and lets nobody write to it from then on: what came now would go with it. */
static int close_empty(struct js_stream *s) {
    int r = js_stream_list_consumers(s, refuse_any, NULL) != 0 ? JS_ERR_NOT_EMPTY : 0;

    pthread_rwlock_wrlock(&s->lock);
    if (s->gone)
        r = JS_ERR_NO_STREAM;
    else if (s->msgs || s->lost || s->health != JS_HEALTH_OK)
        r = JS_ERR_NOT_EMPTY;
    if (r == 0)
        s->gone = true;
    pthread_rwlock_unlock(&s->lock);
    return r;
}

static void reopen_empty(struct js_stream *s) {
    pthread_rwlock_wrlock(&s->lock);
    s->gone = false;
    pthread_rwlock_unlock(&s->lock);
}

static int clear_dir(struct js_store *s, int parent, const char *name) {
    const struct js_io *io = s->env->io;
    struct unlinker u = {.s = s, .fd = io->open_dir(io->ctx, parent, name)};

    if (u.fd < 0)
        return u.fd == -ENOENT ? 0 : js_err_from_errno(-u.fd);
    int r = js_io_result(io->list(io->ctx, u.fd, unlink_known, &u));
    io->close(io->ctx, u.fd);
    return r < 0 ? r : js_err_from_errno(-io->rmdir(io->ctx, parent, name));
}

/* Takes apart what lies under its hidden name. */
static int clear_hidden(struct js_store *store, int streams, int fd, const char *gone) {
    static const char *const files[] = {"meta.inf",     "meta.sum",     "meta.key",
                                        "meta.inf.tmp", "meta.sum.tmp", "meta.key.tmp"};
    int r = clear_dir(store, fd, "msgs");

    if (r == 0)
        r = clear_dir(store, fd, "obs");
    for (size_t i = 0; r == 0 && i < sizeof files / sizeof files[0]; i++)
        r = js_file_unlink(store->env, fd, files[i]);
    return r < 0 ? r
                 : js_err_from_errno(-store->env->io->rmdir(store->env->io->ctx, streams, gone));
}

static int remove_closed(struct js_store *store, struct js_stream *s, int streams) {
    const struct js_io *io = store->env->io;
    char gone[JS_MAX_NAME + 1];

    js_name_hidden(gone, s->name, "");
    int fd = io->open_dir(io->ctx, streams, s->name);
    int r = fd < 0 ? js_err_from_errno(-fd) : expect_nothing_else(store, fd);
    /* What an earlier crash left. */
    if (r == 0)
        r = js_store_clear_dir(store->env, streams, gone);
    /* Out of sight first, by a name that servers finish deleting should we crash. */
    if (r == 0)
        r = js_err_from_errno(-io->rename(io->ctx, streams, s->name, streams, gone));
    if (r < 0) {
        if (fd >= 0)
            io->close(io->ctx, fd);
        reopen_empty(s);
        return r;
    }
    /* The old name may not come back with half of what was in it. */
    r = sync_fd(store->env, streams);
    if (r == 0)
        r = js_store_drop_stream(store, s->account, s->name);
    if (r == 0)
        r = clear_hidden(store, streams, fd, gone);
    io->close(io->ctx, fd);
    /* Something that is not ours stands in it: it keeps its name. */
    if (r < 0)
        (void)io->rename(io->ctx, streams, gone, streams, s->name);
    int f = sync_fd(store->env, streams);
    return r < 0 ? r : f;
}

int js_store_remove_empty_stream(struct js_store *store, const char *account, const char *name) {
    struct js_stream *s;
    int streams;

    if (!(store->options.flags & JS_OPEN_RW))
        return JS_ERR_READ_ONLY;
    int r = js_store_get_stream(store, account, name, &s);
    if (r < 0)
        return r;
    r = js_store_open_home(store, s, &streams);
    if (r == 0) {
        r = close_empty(s);
        if (r == 0)
            r = remove_closed(store, s, streams);
        store->env->io->close(store->env->io->ctx, streams);
    }
    js_stream_unref(s);
    return r;
}
