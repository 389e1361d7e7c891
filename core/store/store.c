/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "core/base/file.h"
#include "core/consumer/consumer.h"
#include "core/stream/writer.h"

#define DEFAULT_INDEX (UINT64_C(1) << 30)
#define COMPACT_MIN   (2u << 20)
#define DEFAULT_CACHE (256u << 20)

int js_store_open(const struct js_env *env, const char *source,
                  const struct js_store_options *options, struct js_store **ret_store,
                  char *ret_why, size_t why_size) {
    struct js_store *s = js_calloc(env, 1, sizeof *s);

    if (ret_why && why_size)
        ret_why[0] = 0;
    if (!s)
        return JS_ERR_NOMEM;
    s->env = env;
    s->fd = -1;
    if (options)
        s->options = *options;
    s->options.account = NULL;
    if (s->options.key)
        js_crypto_init();
    pthread_mutex_init(&s->mu, NULL);
    pthread_cond_init(&s->opened, NULL);
    js_background_init(&s->background);
    js_vault_init(&s->vault, env);
    js_cache_init(&s->cache, env,
                  s->options.cache_bytes ? s->options.cache_bytes : DEFAULT_CACHE);
    s->cache.keep_walked = s->options.flags & JS_OPEN_KEEP;
    s->options.account = options ? options->account : NULL;
    int r = js_store_discover(s, source, ret_why, why_size);
    s->options.account = NULL; /* was borrowed for this call */
    if (r == 0 && s->kind == JS_SOURCE_BACKUP && (s->options.flags & JS_OPEN_RW)) {
        js_why(ret_why, why_size, "a backup can only be read");
        r = JS_ERR_READ_ONLY;
    }
    if (r < 0) {
        js_store_close(s);
        return r;
    }
    *ret_store = s;
    return 0;
}

int js_store_close(struct js_store *store) {
    if (!store)
        return 0;
    int r = js_background_done(&store->background);
    while (store->streams) {
        struct js_open_stream *o = store->streams;
        store->streams = o->next;
        int e = js_consumers_stop(o->stream);
        if (r == 0)
            r = e;
        e = js_stream_finish(o->stream);
        if (r == 0)
            r = e;
        js_stream_unref(o->stream);
        js_free(store->env, o->account);
        js_free(store->env, o->name);
        js_free(store->env, o);
    }
    if (store->backup)
        js_backup_unref(store->backup);
    if (store->fd >= 0)
        store->env->io->close(store->env->io->ctx, store->fd);
    js_cache_done(&store->cache);
    js_vault_done(&store->vault);
    pthread_cond_destroy(&store->opened);
    pthread_mutex_destroy(&store->mu);
    js_free(store->env, store->account);
    js_free(store->env, store->stream);
    js_free(store->env, store);
    return r;
}

enum js_source_kind js_store_kind(const struct js_store *store) {
    return store->kind;
}

bool js_store_writable(const struct js_store *store) {
    return store->options.flags & JS_OPEN_RW;
}

/* ---- listing ------------------------------------------------------------------------------- */

struct names {
    const struct js_env *env;
    int fd;
    bool accounts;
    char **list;
    size_t count, cap;
};

static int take_name(void *arg, const char *name) {
    struct names *n = arg;
    struct stat st;

    if (name[0] == '.')
        return 0;
    if (n->env->io->stat(n->env->io->ctx, n->fd, name, &st) < 0 || !S_ISDIR(st.st_mode))
        return 0;
    if (n->accounts) {
        int fd = n->env->io->open_dir(n->env->io->ctx, n->fd, name);
        if (fd < 0)
            return 0;
        int r = n->env->io->stat(n->env->io->ctx, fd, "streams", &st);
        n->env->io->close(n->env->io->ctx, fd);
        if (r < 0 || !S_ISDIR(st.st_mode))
            return 0;
    } else if (!js_name_valid(name)) {
        return 0;
    }
    if (n->count == n->cap) {
        size_t cap = n->cap ? n->cap * 2 : 16;
        char **p = js_realloc_array(n->env, n->list, cap, sizeof *p);
        if (!p)
            return JS_ERR_NOMEM;
        n->list = p;
        n->cap = cap;
    }
    n->list[n->count] = js_strdup(n->env, name);
    return n->list[n->count++] ? 0 : JS_ERR_NOMEM;
}

static int cmp_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Calls fn for what was collected, each name once, and frees it. */
static int give_sorted(struct names *n, int r, js_name_fn fn, void *ctx) {
    if (r == 0 && n->count)
        qsort(n->list, n->count, sizeof *n->list, cmp_name);
    for (size_t i = 0; i < n->count && r == 0; i++)
        if (i == 0 || strcmp(n->list[i - 1], n->list[i]) != 0)
            r = fn(ctx, n->list[i]);
    for (size_t i = 0; i < n->count; i++)
        js_free(n->env, n->list[i]);
    js_free(n->env, n->list);
    return r;
}

static int give_names(struct names *n, js_name_fn fn, void *ctx) {
    return give_sorted(n, js_io_result(n->env->io->list(n->env->io->ctx, n->fd, take_name, n)), fn,
                       ctx);
}

int js_store_list_accounts(struct js_store *store, js_name_fn fn, void *ctx) {
    const struct js_io *io = store->env->io;
    struct names n = {.env = store->env, .accounts = true, .fd = store->fd};

    if (store->kind != JS_SOURCE_STORE && store->kind != JS_SOURCE_JETSTREAM)
        return fn(ctx, store->account);
    if (store->kind == JS_SOURCE_STORE) {
        n.fd = io->open_dir(io->ctx, store->fd, "jetstream");
        if (n.fd < 0)
            return js_err_from_errno(-n.fd);
    }
    int r = give_names(&n, fn, ctx);
    if (n.fd != store->fd)
        io->close(io->ctx, n.fd);
    return r;
}

int js_store_list_streams(struct js_store *store, const char *account, js_name_fn fn, void *ctx) {
    struct names n = {.env = store->env};

    if (store->kind == JS_SOURCE_STREAM || store->kind == JS_SOURCE_BACKUP)
        return strcmp(account, store->account) == 0 ? fn(ctx, store->stream) : JS_ERR_NO_ACCOUNT;
    int r = js_store_open_streams_dir(store, account, &n.fd), more;
    if (r < 0)
        return r;
    r = js_io_result(n.env->io->list(n.env->io->ctx, n.fd, take_name, &n));
    store->env->io->close(store->env->io->ctx, n.fd);
    /* Those that only we read (LZ4) lie beside. */
    if (r == 0 && js_store_open_world(store, account, "jetfs", &more) == 0) {
        n.fd = more;
        r = js_io_result(n.env->io->list(n.env->io->ctx, n.fd, take_name, &n));
        store->env->io->close(store->env->io->ctx, n.fd);
    }
    return give_sorted(&n, r, fn, ctx);
}

/* ---- streams ------------------------------------------------------------------------------- */

static int open_files(struct js_store *store, const char *account, const char *name,
                      struct js_files *ret, bool *ret_lz4) {
    int fd;

    *ret_lz4 = false;

    if (store->kind == JS_SOURCE_BACKUP || store->kind == JS_SOURCE_STREAM) {
        if (strcmp(account, store->account) != 0)
            return JS_ERR_NO_ACCOUNT;
        if (strcmp(name, store->stream) != 0)
            return JS_ERR_NO_STREAM;
        if (store->kind == JS_SOURCE_STREAM)
            return js_files_open_dir(store->env, store->fd, NULL, ret);
        js_files_open_backup(store->backup, ret);
        return 0;
    }
    if (!js_name_valid(name) || name[0] == '.')
        return JS_ERR_NO_STREAM;
    int r = js_store_open_streams_dir(store, account, &fd);
    if (r < 0)
        return r;
    r = js_files_open_dir(store->env, fd, name, ret);
    store->env->io->close(store->env->io->ctx, fd);
    if (r == JS_ERR_NO_ENTRY && js_store_open_world(store, account, "jetfs", &fd) == 0) {
        r = js_files_open_dir(store->env, fd, name, ret);
        store->env->io->close(store->env->io->ctx, fd);
        *ret_lz4 = r == 0;
    }
    return r == JS_ERR_NO_ENTRY ? JS_ERR_NO_STREAM : r;
}

/* That this process may use. */
static unsigned num_cores(void) {
    cpu_set_t set;

    CPU_ZERO(&set);
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 8 ? 8 : n < 1 ? 1 : (unsigned)n;
}

/* Opens, locks and reads a stream; no lock of the store is held. */
static int bring_in(struct js_store *store, const char *account, const char *name,
                    const char *hidden, bool lz4, uint64_t identity, struct js_stream **ret) {
    const struct js_io *io = store->env->io;
    struct js_stream *s = js_stream_new(store, store->env, account, name);

    if (!s)
        return JS_ERR_NOMEM;
    s->identity = identity;
    s->cache = &store->cache;
    s->vault = &store->vault;
    s->key_fn = store->options.key;
    s->prev_key_fn = store->options.prev_key;
    s->key_ctx = store->options.key_ctx;
    s->rw = store->options.flags & JS_OPEN_RW;
    s->sync_mode = store->options.sync;
    s->sync_interval = store->options.sync_interval ? store->options.sync_interval : 120;
    s->scan_threads = store->options.scan_threads ? store->options.scan_threads : num_cores();
    s->scan_all = store->options.flags & JS_OPEN_SCAN;
    s->index_budget = store->options.index_bytes ? store->options.index_bytes : DEFAULT_INDEX;
    s->compact_min = store->options.compact_min ? store->options.compact_min : COMPACT_MIN;
    s->async = store->options.flags & JS_OPEN_ASYNC;
    s->no_expire = store->options.no_expire;
    s->block_size = store->options.block_size;
    int r = 0;
    if (hidden) {
        int streams = -1;
        s->lz4 = lz4;
        r = lz4 ? js_store_open_world(store, account, "jetfs", &streams)
                : js_store_open_streams_dir(store, account, &streams);
        if (r == 0)
            r = js_files_open_dir(store->env, streams, hidden, &s->files);
        if (streams >= 0)
            io->close(io->ctx, streams);
    } else {
        r = open_files(store, account, name, &s->files, &s->lz4);
    }
    if (r == 0 && s->rw) {
        int l = io->lock(io->ctx, s->files.dirfd);
        if (l < 0)
            r = js_err_from_errno(-l);
        else if (io->holder(io->ctx, s->files.dirfd) > 0)
            r = JS_ERR_LOCKED;
    }
    if (r == 0)
        r = js_stream_load(s, false);
    if (r < 0) {
        js_stream_unref(s);
        return r;
    }
    *ret = s;
    return 0;
}

int js_store_open_hidden(struct js_store *store, const char *account, const char *name,
                         const char *hidden, bool lz4, struct js_stream **ret_stream) {
    pthread_mutex_lock(&store->mu);
    uint64_t identity = ++store->next_identity;
    pthread_mutex_unlock(&store->mu);
    return bring_in(store, account, name, hidden, lz4, identity, ret_stream);
}

static struct js_open_stream *find_open(struct js_store *store, const char *account,
                                        const char *name) {
    struct js_open_stream *o = store->streams;

    while (o && !(strcmp(o->name, name) == 0 && strcmp(o->account, account) == 0))
        o = o->next;
    return o;
}

static void forget_open(struct js_store *store, struct js_open_stream *gone) {
    struct js_open_stream **p = &store->streams;

    while (*p != gone)
        p = &(*p)->next;
    *p = gone->next;
    js_free(store->env, gone->account);
    js_free(store->env, gone->name);
    js_free(store->env, gone);
}

int js_store_get_stream(struct js_store *store, const char *account, const char *name,
                        struct js_stream **ret_stream) {
    struct js_stream *s = NULL;
    struct js_open_stream *o;

    pthread_mutex_lock(&store->mu);
    while ((o = find_open(store, account, name)) && !o->stream)
        pthread_cond_wait(&store->opened, &store->mu);
    if (o) {
        *ret_stream = js_stream_ref(o->stream);
        pthread_mutex_unlock(&store->mu);
        return 0;
    }
    o = js_calloc(store->env, 1, sizeof *o);
    if (o) {
        o->account = js_strdup(store->env, account);
        o->name = js_strdup(store->env, name);
    }
    if (!o || !o->account || !o->name) {
        if (o) {
            js_free(store->env, o->account);
            js_free(store->env, o->name);
        }
        js_free(store->env, o);
        pthread_mutex_unlock(&store->mu);
        return JS_ERR_NOMEM;
    }
    o->next = store->streams;
    store->streams = o;
    uint64_t identity = ++store->next_identity;
    pthread_mutex_unlock(&store->mu);
    int r = bring_in(store, account, name, NULL, false, identity, &s);
    pthread_mutex_lock(&store->mu);
    if (r < 0) {
        forget_open(store, o);
    } else {
        o->stream = s;
        *ret_stream = js_stream_ref(s);
    }
    pthread_cond_broadcast(&store->opened);
    pthread_mutex_unlock(&store->mu);
    return r;
}

int js_store_lock_holder(struct js_store *store, const char *account, const char *name) {
    struct js_files files;
    bool lz4;

    if (open_files(store, account, name, &files, &lz4) < 0)
        return 0;
    int pid = files.dirfd >= 0 ? store->env->io->holder(store->env->io->ctx, files.dirfd) : 0;
    js_files_close(&files);
    return pid;
}

/* Closes a stream that its directory is about to leave. BUSY while others hold it. */
int js_store_drop_stream(struct js_store *store, const char *account, const char *name) {
    pthread_mutex_lock(&store->mu);
    struct js_open_stream *o = find_open(store, account, name);
    struct js_stream *s = o ? o->stream : NULL;
    if (o && s)
        forget_open(store, o);
    pthread_mutex_unlock(&store->mu);
    int r = s ? js_consumers_stop(s) : 0;
    int e = s ? js_stream_finish(s) : 0;
    if (r == 0)
        r = e;
    if (s)
        js_stream_unref(s);
    return r;
}
