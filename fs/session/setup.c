/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/session/setup.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/base/keyfile.h"
#include "fs/node/class.h"
#include "fs/node/stream.h"
#include "fs/session/notify.h"
#include "fs/session/opens.h"
#include "fs/session/park.h"
#include "fs/session/pool.h"
#include "fs/session/stats.h"

#define SYSTEM_ACCOUNT "$SYS"
#define POOL_THREADS   2

/* True if path is dir or below it. Both are absolute, without links. */
static bool is_below(const char *path, const char *dir) {
    size_t n = strlen(dir);

    return strncmp(path, dir, n) == 0 && (path[n] == 0 || path[n] == '/' || n == 1);
}

/* The store must not stand below its own mount: reading it would wait for itself. */
static int check_places(struct jf_fs *fs, char *why, size_t size) {
    char *mountpoint = realpath(fs->options.mountpoint, NULL);

    if (!mountpoint) {
        snprintf(why, size, "%s: %s", fs->options.mountpoint, strerror(errno));
        return -errno;
    }
    fs->source = realpath(fs->options.source, NULL);
    /* A new store's directory may be missing; the library says what is wrong with others. */
    if (!fs->source)
        fs->source = strdup(fs->options.source);
    int r = fs->source ? 0 : JS_ERR_NOMEM;
    if (r == 0 && (is_below(fs->source, mountpoint) || is_below(mountpoint, fs->source))) {
        snprintf(why, size, "SOURCE and MOUNTPOINT must not lie within each other");
        r = JS_ERR_INVAL;
    }
    free(fs->options.mountpoint);
    fs->options.mountpoint = mountpoint;
    return r;
}

static int open_store(struct jf_fs *fs, struct jf_keys **ret_keys, char *why, size_t size) {
    const struct jf_options *o = &fs->options;
    char text[JF_WHY_SIZE / 2] = "";
    bool all = o->account && strcmp(o->account, "all") == 0;
    struct js_store_options so = {.flags = JS_OPEN_KEEP | (o->rw ? JS_OPEN_RW | JS_OPEN_CREATE : 0),
                                  .account = all ? NULL : o->account,
                                  .cache_bytes = o->cache_bytes,
                                  .sync = o->sync,
                                  .sync_interval = o->sync_interval,
                                  .no_expire = !o->expire};

    if (o->key_file || o->prev_key_file) {
        int r = jf_keys_load(o->key_file, o->prev_key_file, ret_keys, why, size);
        if (r < 0)
            return r;
        so.key = o->key_file ? jf_keys_current : NULL;
        so.prev_key = o->prev_key_file ? jf_keys_previous : NULL;
        so.key_ctx = *ret_keys;
        if (o->cipher)
            so.cipher = strcmp(o->cipher, "aes") == 0 ? JS_CIPHER_NEW_AES : JS_CIPHER_NEW_CHACHA;
    }
    int r = js_store_open(fs->env, o->source, &so, &fs->store, text, sizeof(text));
    if (r < 0) {
        snprintf(why, size, "%s: %s", o->source, text[0] ? text : js_err_text(r));
        return r;
    }
    /* A store that was just made has a place now. */
    char *source = realpath(o->source, NULL);
    if (source) {
        free(fs->source);
        fs->source = source;
    }
    return 0;
}

struct accounts {
    char list[JF_WHY_SIZE / 2];
    char only[256];
    unsigned users; /* without the system account */
    unsigned all;
    const char *wanted;
    bool found;
};

static int see_account(void *ctx, const char *name) {
    struct accounts *a = ctx;
    size_t len = strlen(a->list);

    a->all++;
    if (a->wanted && strcmp(name, a->wanted) == 0)
        a->found = true;
    snprintf(a->list + len, sizeof(a->list) - len, "%s%s", len ? ", " : "", name);
    if (strcmp(name, SYSTEM_ACCOUNT) != 0 || a->all == 1)
        snprintf(a->only, sizeof(a->only), "%s", name);
    if (strcmp(name, SYSTEM_ACCOUNT) != 0)
        a->users++;
    return 0;
}

static int choose_account(struct jf_fs *fs, char *why, size_t size) {
    struct accounts a = {.wanted = fs->options.account};
    enum js_source_kind kind = js_store_kind(fs->store);
    bool many = kind == JS_SOURCE_STORE || kind == JS_SOURCE_JETSTREAM;
    int r = js_store_list_accounts(fs->store, see_account, &a);

    if (r < 0) {
        snprintf(why, size, "listing accounts: %s", js_err_text(r));
        return r;
    }
    fs->root_kind = JF_ROOT_ACCOUNT;
    if (many && a.wanted && strcmp(a.wanted, "all") == 0 && !a.found) {
        fs->root_kind = JF_ROOT_ACCOUNTS;
        return 0;
    }
    if (many && a.wanted && !a.found) {
        snprintf(why, size, "no account %s; there are: %s", a.wanted, a.list);
        return JS_ERR_NO_ACCOUNT;
    }
    if (!a.wanted && a.users > 1) {
        snprintf(why, size, "several accounts: %s; choose one with -o account=NAME, or account=all",
                 a.list);
        return JS_ERR_INVAL;
    }
    const char *account = many && a.wanted ? a.wanted : a.only;
    fs->root_account = strdup(a.all || !many ? account : "$G");
    return fs->root_account ? 0 : JS_ERR_NOMEM;
}

static int take_name(void *ctx, const char *name) {
    char **slot = ctx;

    *slot = strdup(name);
    return *slot ? 1 : JS_ERR_NOMEM;
}

/* umount(8) returns while the mount that was there still closes the store. */
#define LOCK_WAIT_NS  INT64_C(2000000000)
#define LOCK_ROUND_NS 10000000

/* A second writer is refused now, not at the first write. */
struct look {
    struct jf_fs *fs;
    const char *account;
};

static int check_lock(void *ctx, const char *name) {
    const struct look *look = ctx;
    int pid = js_store_lock_holder(look->fs->store, look->account, name);

    return pid > 0 ? pid : 0;
}

static int check_account(void *ctx, const char *account) {
    struct look look = {.fs = ctx, .account = account};

    return js_store_list_streams(look.fs->store, account, check_lock, &look);
}

static int find_holder(struct jf_fs *fs) {
    return fs->root_kind == JF_ROOT_ACCOUNTS ? js_store_list_accounts(fs->store, check_account, fs)
                                             : check_account(fs, fs->root_account);
}

static int check_locks(struct jf_fs *fs, char *why, size_t size) {
    if (!fs->options.rw)
        return 0;
    const struct js_clock *clock = fs->env->clock;
    js_time_t until = clock->monotonic(clock->ctx) + LOCK_WAIT_NS;
    int pid;
    while ((pid = find_holder(fs)) > 0 &&
           clock->monotonic(clock->ctx) < until)
        nanosleep(&(struct timespec){.tv_nsec = LOCK_ROUND_NS}, NULL);
    if (pid <= 0)
        return 0;
    snprintf(why, size, "in use by process %d, which may write; mount with -o ro", pid);
    return JS_ERR_LOCKED;
}

static int make_root(struct jf_fs *fs, char *why, size_t size) {
    struct jf_node_new init = {.key = "root", .text = fs->root_account};
    struct jf_stream *stream;
    enum js_source_kind kind = js_store_kind(fs->store);

    if (kind == JS_SOURCE_STREAM || kind == JS_SOURCE_BACKUP) {
        fs->root_kind = JF_ROOT_STREAM;
        int r = js_store_list_streams(fs->store, fs->root_account, take_name, &fs->root_stream);
        if (r >= 0 && !fs->root_stream)
            r = JS_ERR_NO_STREAM;
        if (r >= 0)
            r = jf_stream_get(fs, fs->root_account, fs->root_stream, &stream);
        if (r < 0) {
            snprintf(why, size, "%s: %s", fs->options.source, js_err_text(r));
            return r;
        }
        init = (struct jf_node_new){
            .class = &jf_class_stream, .stream = stream, .scope = stream->scope, .key = "root"};
    } else {
        init.class = fs->root_kind == JF_ROOT_ACCOUNTS ? &jf_class_accounts : &jf_class_account;
    }
    return jf_intern_get(fs, &init, &fs->root);
}

static int make_tables(struct jf_fs *fs) {
    fs->log = jf_log_new(fs->options.foreground);
    fs->intern = jf_intern_new();
    fs->streams = jf_streams_new();
    fs->parking = jf_parking_new();
    fs->stats = calloc(1, sizeof(*fs->stats));
    fs->opens = jf_opens_new();
    fs->pool = jf_pool_new(POOL_THREADS);
    return fs->log && fs->intern && fs->streams && fs->parking && fs->stats && fs->opens && fs->pool
               ? 0
               : JS_ERR_NOMEM;
}

int jf_setup(struct jf_fs *fs, struct jf_keys **ret_keys, char *why, size_t why_size) {
    fs->env = js_env_default();
    fs->mounted = fs->env->clock->now(fs->env->clock->ctx);
    why[0] = 0;
    int r = check_places(fs, why, why_size);
    if (r == 0)
        r = open_store(fs, ret_keys, why, why_size);
    if (r == 0)
        r = choose_account(fs, why, why_size);
    if (r == 0)
        r = check_locks(fs, why, why_size);
    if (r == 0)
        r = make_tables(fs);
    if (r == 0)
        r = make_root(fs, why, why_size);
    if (r < 0 && !why[0])
        snprintf(why, why_size, "%s", r > -600 ? strerror(-r) : js_err_text(r));
    return r;
}

int jf_setup_done(struct jf_fs *fs) {
    jf_pool_free(fs->pool);
    jf_opens_free(fs);
    jf_intern_free(fs->intern);
    jf_streams_free(fs);
    jf_notify_free(fs);
    int r = js_store_close(fs->store);
    jf_parking_free(fs->parking);
    jf_log_free(fs->log);
    free(fs->stats);
    free(fs->source);
    free(fs->root_account);
    free(fs->root_stream);
    return r;
}
