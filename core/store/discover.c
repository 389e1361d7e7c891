/* SPDX-License-Identifier: Apache-2.0 */
/* What a SOURCE is (docs/jetfs.1, "SOURCE"). Only looks, except when a new store is asked for. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "core/base/file.h"
#include "core/base/limits.h"
#include "core/store/store.h"

void js_why(char *ret_why, size_t why_size, const char *format, ...) {
    va_list ap;

    if (!ret_why || !why_size)
        return;
    va_start(ap, format);
    vsnprintf(ret_why, why_size, format, ap);
    va_end(ap);
}

/* 1 if the entry is of this type, 0 if not or not there; an error when nobody can tell. */
static int is_type(const struct js_env *env, int fd, const char *name, mode_t type) {
    struct stat st;
    int r = env->io->stat(env->io->ctx, fd, name, &st);

    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    return r < 0 ? js_err_from_errno(-r) : (st.st_mode & S_IFMT) == type;
}

struct probe {
    const struct js_env *env;
    int fd;
    bool any;         /* an entry at all */
    bool any_streams; /* a child directory that holds streams/ */
    bool any_block;
};

static int probe_child(void *arg, const char *name) {
    struct probe *p = arg;

    p->any = true;
    if (js_block_number_of(name, ".blk"))
        p->any_block = true;
    int fd = p->env->io->open_dir(p->env->io->ctx, p->fd, name);
    if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -EIO || fd == -EINTR)
        return js_err_from_errno(-fd);
    if (fd < 0)
        return 0; /* a file, or somebody else's */
    int r = is_type(p->env, fd, "streams", S_IFDIR);
    p->env->io->close(p->env->io->ctx, fd);
    p->any_streams |= r == 1;
    return r;
}

/* What lies in a directory, up to the first that tells. */
static int probe(const struct js_env *env, int fd, struct probe *ret) {
    *ret = (struct probe){.env = env, .fd = fd};
    int r = js_io_result(env->io->list(env->io->ctx, fd, probe_child, ret));
    return r < 0 ? r : 0;
}

/* Name of the n-th directory from the end of an absolute path (1 = last). */
static char *path_element(const struct js_env *env, const char *path, int n) {
    const char *end = path + strlen(path);

    for (;;) {
        while (end > path && end[-1] == '/')
            end--;
        const char *start = end;
        while (start > path && start[-1] != '/')
            start--;
        if (--n == 0 || start == path)
            return js_strndup(env, start, n == 0 ? (size_t)(end - start) : 0);
        end = start;
    }
}

/* Names of the account and stream by where the directory lies. */
static int names_by_path(struct js_store *s, const char *source) {
    char path[4096];
    ssize_t n = s->env->io->real_path(s->env->io->ctx, source, path, sizeof path);

    if (n < 0)
        path[0] = 0;
    const char *account = s->options.account;
    if (s->kind == JS_SOURCE_ACCOUNT) {
        s->account = account ? js_strdup(s->env, account) : path_element(s->env, path, 1);
    } else {
        s->stream = path_element(s->env, path, 1);
        s->account = account ? js_strdup(s->env, account) : path_element(s->env, path, 3);
        if (!s->stream)
            return JS_ERR_NOMEM;
    }
    return s->account ? 0 : JS_ERR_NOMEM;
}

static int make_dir(const struct js_env *env, int fd, const char *name, int *ret_fd) {
    int r = env->io->mkdir(env->io->ctx, fd, name, 0700);
    if (r < 0 && r != -EEXIST)
        return js_err_from_errno(-r);
    int sub = env->io->open_dir(env->io->ctx, fd, name);
    if (sub < 0)
        return js_err_from_errno(-sub);
    *ret_fd = sub;
    return 0;
}

/* jetstream/$G/streams below an empty directory, on disk. */
static int make_store(struct js_store *s) {
    static const char *const names[] = {"jetstream", "$G", "streams"};
    const struct js_io *io = s->env->io;
    int fd = s->fd, r = 0;

    for (int i = 0; i < 3 && r == 0; i++) {
        int sub = -1;
        r = make_dir(s->env, fd, names[i], &sub);
        if (r == 0)
            r = js_err_from_errno(-io->fsync(io->ctx, fd));
        if (fd != s->fd)
            io->close(io->ctx, fd);
        fd = r == 0 ? sub : s->fd;
        if (r < 0 && sub >= 0)
            io->close(io->ctx, sub);
    }
    if (fd != s->fd)
        io->close(io->ctx, fd);
    return r;
}

/* The directory that a file stands in, or negative. */
static int open_parent(const struct js_env *env, const char *path) {
    char real[4096];

    if (env->io->real_path(env->io->ctx, path, real, sizeof real) < 0)
        return -1;
    char *slash = strrchr(real, '/');
    if (!slash)
        return -1;
    slash[slash == real] = 0;
    return env->io->open_dir(env->io->ctx, -1, real);
}

/* A backup: the file itself, or the directory that `nats stream backup` writes. */
static int open_backup(struct js_store *s, int dirfd, const char *name, char *ret_why,
                       size_t why_size) {
    const struct js_io *io = s->env->io;
    struct js_buf config = {.env = s->env};
    int fd = io->open_file(io->ctx, dirfd, name, O_RDONLY, 0);

    if (fd < 0)
        return js_err_from_errno(-fd);
    int beside = dirfd >= 0 ? dirfd : open_parent(s->env, name);
    if (beside >= 0 &&
        js_file_slurp(s->env, beside, "backup.json", JS_MAX_META_FILE, &config) == 0)
        js_buf_append_u8(&config, 0);
    if (beside >= 0 && dirfd < 0)
        io->close(io->ctx, beside);
    int r = js_backup_open(s->env, fd, config.len ? (const char *)config.data : NULL, &s->backup,
                           ret_why, why_size);
    io->close(io->ctx, fd);
    js_buf_done(&config);
    if (r < 0)
        return r;
    s->kind = JS_SOURCE_BACKUP;
    s->stream = js_strdup(s->env, js_backup_stream_name(s->backup));
    s->account = js_strdup(s->env, s->options.account ? s->options.account : "");
    return s->stream && s->account ? 0 : JS_ERR_NOMEM;
}

/* What kind of source the directory is by the names in it: 1 and the kind (for a backup its file), 0
 * if none of these names is there. */
static int kind_by_names(struct js_store *s, const char **ret_backup) {
    static const struct {
        const char *name;
        mode_t type;
        enum js_source_kind kind;
    } marks[] = {
        {"jetstream", S_IFDIR, JS_SOURCE_STORE},
        {"streams", S_IFDIR, JS_SOURCE_ACCOUNT},
        {"meta.inf", S_IFREG, JS_SOURCE_STREAM}, /* with msgs/ */
        {"stream.tar.s2", S_IFREG, JS_SOURCE_BACKUP},
        {"stream.arc.s2", S_IFREG, JS_SOURCE_BACKUP},
    };

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        int r = is_type(s->env, s->fd, marks[i].name, marks[i].type);
        if (r == 1 && marks[i].kind == JS_SOURCE_STREAM)
            r = is_type(s->env, s->fd, "msgs", S_IFDIR);
        if (r < 0)
            return r;
        if (r == 1) {
            s->kind = marks[i].kind;
            *ret_backup = marks[i].name;
            return 1;
        }
    }
    return 0;
}

/* A directory without these names: accounts below it, or blocks of a stream that lost its meta.inf?
 * 1 and the kind, 0 if neither. */
static int kind_by_content(struct js_store *s, struct probe *p) {
    const struct js_env *env = s->env;
    struct probe m;
    int r = probe(env, s->fd, p);

    if (r == 0 && p->any_streams) {
        s->kind = JS_SOURCE_JETSTREAM;
        return 1;
    }
    if (r == 0)
        r = is_type(env, s->fd, "msgs", S_IFDIR);
    if (r <= 0)
        return r;
    int fd = env->io->open_dir(env->io->ctx, s->fd, "msgs");
    if (fd < 0)
        return js_err_from_errno(-fd);
    r = probe(env, fd, &m);
    env->io->close(env->io->ctx, fd);
    if (r < 0 || !m.any_block)
        return r;
    s->kind = JS_SOURCE_STREAM;
    return 1;
}

static int judge_dir(struct js_store *s, const char *source, char *ret_why, size_t why_size) {
    const char *backup = NULL;
    struct probe p = {0};
    int r = kind_by_names(s, &backup);

    if (r == 0)
        r = kind_by_content(s, &p);
    if (r < 0)
        return r;
    if (r == 1 && s->kind == JS_SOURCE_BACKUP)
        return open_backup(s, s->fd, backup, ret_why, why_size);
    if (r == 1)
        return s->kind == JS_SOURCE_ACCOUNT || s->kind == JS_SOURCE_STREAM
                   ? names_by_path(s, source)
                   : 0;
    if (!p.any && (s->options.flags & JS_OPEN_RW) && (s->options.flags & JS_OPEN_CREATE)) {
        s->kind = JS_SOURCE_STORE;
        return make_store(s);
    }
    js_why(ret_why, why_size,
           "not a JetStream store (looked for jetstream/, */streams/, streams/, meta.inf with "
           "msgs/, stream.tar.s2%s)",
           p.any ? "" : "; the directory is empty: a new store needs rw");
    return JS_ERR_NOT_A_STORE;
}

int js_store_discover(struct js_store *store, const char *source, char *ret_why,
                      size_t why_size) {
    const struct js_io *io = store->env->io;
    struct stat st;
    int r = io->stat(io->ctx, -1, source, &st);
    bool create = (store->options.flags & JS_OPEN_RW) && (store->options.flags & JS_OPEN_CREATE);

    store->fd = -1;
    if (r == -ENOENT && create) {
        r = io->mkdir(io->ctx, -1, source, 0700);
        if (r == 0)
            r = io->stat(io->ctx, -1, source, &st);
    }
    if (r < 0) {
        js_why(ret_why, why_size, "%s", js_err_text(js_err_from_errno(-r)));
        return js_err_from_errno(-r);
    }
    if (S_ISREG(st.st_mode))
        return open_backup(store, -1, source, ret_why, why_size);
    if (!S_ISDIR(st.st_mode)) {
        js_why(ret_why, why_size, "neither a directory nor a backup file");
        return JS_ERR_NOT_A_STORE;
    }
    store->fd = io->open_dir(io->ctx, -1, source);
    if (store->fd < 0) {
        r = js_err_from_errno(-store->fd);
        store->fd = -1;
        js_why(ret_why, why_size, "%s", js_err_text(r));
        return r;
    }
    r = judge_dir(store, source, ret_why, why_size);
    if (r < 0 && ret_why && why_size && !ret_why[0])
        js_why(ret_why, why_size, "%s", js_err_text(r));
    return r;
}

int js_store_open_account_dir(struct js_store *s, const char *account, int *ret_fd) {
    const struct js_io *io = s->env->io;
    int base = s->fd;

    if (s->kind == JS_SOURCE_ACCOUNT) {
        if (strcmp(account, s->account) != 0)
            return JS_ERR_NO_ACCOUNT;
        *ret_fd = io->open_dir(io->ctx, base, ".");
        return *ret_fd < 0 ? js_err_from_errno(-*ret_fd) : 0;
    }
    if (s->kind != JS_SOURCE_STORE && s->kind != JS_SOURCE_JETSTREAM)
        return JS_ERR_NO_ACCOUNT;
    if (!*account || account[0] == '.' || strchr(account, '/'))
        return JS_ERR_NO_ACCOUNT;
    if (s->kind == JS_SOURCE_STORE) {
        base = io->open_dir(io->ctx, s->fd, "jetstream");
        if (base < 0)
            return js_err_from_errno(-base);
    }
    int acc = io->open_dir(io->ctx, base, account);
    if (base != s->fd)
        io->close(io->ctx, base);
    if (acc < 0)
        return acc == -ENOENT ? JS_ERR_NO_ACCOUNT : js_err_from_errno(-acc);
    *ret_fd = acc;
    return 0;
}

int js_store_open_world(struct js_store *s, const char *account, const char *world, int *ret_fd) {
    const struct js_io *io = s->env->io;
    int acc = -1;
    int r = js_store_open_account_dir(s, account, &acc);

    if (r < 0)
        return r;
    int fd = io->open_dir(io->ctx, acc, world);
    io->close(io->ctx, acc);
    if (fd < 0)
        return fd == -ENOENT ? JS_ERR_NO_ACCOUNT : js_err_from_errno(-fd);
    *ret_fd = fd;
    return 0;
}

int js_store_check_name(struct js_store *s, const char *account, const char *world,
                        const char *name) {
    struct stat st;
    int fd = -1, r = js_store_open_world(s, account, world, &fd);

    if (r < 0)
        return r == JS_ERR_NO_ACCOUNT ? 0 : r;
    r = s->env->io->stat(s->env->io->ctx, fd, name, &st);
    s->env->io->close(s->env->io->ctx, fd);
    return r >= 0 ? JS_ERR_EXISTS : r == -ENOENT ? 0 : js_err_from_errno(-r);
}

int js_store_open_streams_dir(struct js_store *s, const char *account, int *ret_fd) {
    int r = js_store_open_world(s, account, "streams", ret_fd);

    /* An account's directory is known by it. */
    return r == JS_ERR_NO_ACCOUNT && s->kind == JS_SOURCE_ACCOUNT &&
                   strcmp(account, s->account) == 0
               ? JS_ERR_NO_ENTRY
               : r;
}

int js_store_open_home(struct js_store *store, const struct js_stream *stream, int *ret_fd) {
    return stream->lz4 ? js_store_open_world(store, stream->account, "jetfs", ret_fd)
                       : js_store_open_streams_dir(store, stream->account, ret_fd);
}
