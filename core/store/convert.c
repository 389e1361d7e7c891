/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversions of a whole stream.
 *
 * Another key: every key file is wrapped anew, one after the other; the seeds stay, so no block changes.
 * Whoever has both keys opens the stream at any step, and a second run goes on where the first stopped.
 *
 * Another cipher, to or from plain: the stream is stored anew under a hidden name, and when it is on disk
 * the two directories change places in one step.
 *
 * Another compression: the blocks are rewritten one by one; a stream with LZ4 blocks lies in jetfs/
 * beside streams/, where no server looks, and is moved there before its first block becomes LZ4, and
 * back after the last one is not.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/limits.h"
#include "core/consumer/consumer.h"
#include "core/format/subject.h"
#include "core/store/store.h"
#include "core/stream/block_file.h"
#include "core/stream/writer.h"

/* ---- another key --------------------------------------------------------------------------------- */

/* Wraps one key file with the current key if it is not. 1 changed, 0 it was, NO_ENTRY. */
static int rewrap_file(struct js_stream *s, int dirfd, const char *name, const char *context) {
    struct js_buf file = {.env = s->env};
    struct js_block_key key;
    uint8_t kek[32], wrapped[72];
    int r = js_file_slurp(s->env, dirfd, name, JS_MAX_KEY_FILE, &file);

    if (r == 0)
        r = s->key_fn ? s->key_fn(s->key_ctx, s->account, context, kek) : JS_ERR_NO_KEY;
    if (r == 0) {
        r = js_key_unwrap(file.data, file.len, kek, &key);
        if (r == JS_ERR_WRONG_KEY && s->prev_key_fn) {
            r = js_stream_open_key(s, file.data, file.len, context, &key);
            size_t n = r == 0 ? js_key_wrap(&key, kek, wrapped) : 0;
            if (r == 0)
                r = n ? js_file_replace(s->env, dirfd, name, wrapped, n, true) : JS_ERR_NOMEM;
            if (r == 0)
                r = 1;
        }
        js_wipe(&key, sizeof key);
    }
    js_wipe(kek, sizeof kek);
    js_buf_done(&file);
    return r;
}

struct rewrap {
    struct js_stream *s;
    int obs_fd;
    uint64_t changed;
};

static int rewrap_consumer(void *ctx, const char *name) {
    struct rewrap *w = ctx;
    const struct js_io *io = w->s->env->io;
    char context[600];

    if (!js_name_valid(name))
        return 0;
    int fd = io->open_dir(io->ctx, w->obs_fd, name);
    if (fd < 0)
        return js_err_from_errno(-fd);
    snprintf(context, sizeof context, "%s.%s", w->s->name, name);
    int r = rewrap_file(w->s, fd, "meta.key", context);
    if (r == 1) {
        w->changed++;
        r = js_err_from_errno(-io->fsync(io->ctx, fd));
    }
    io->close(io->ctx, fd);
    return r == JS_ERR_NO_ENTRY ? 0 : r;
}

static int rewrap_block(void *ctx, const char *name) {
    struct rewrap *w = ctx;
    uint32_t number = js_block_number_of(name, ".key");
    char context[300];

    if (!number)
        return 0;
    snprintf(context, sizeof context, "%s:%u", w->s->name, number);
    int r = rewrap_file(w->s, w->s->files.msgs_fd, name, context);
    w->changed += r == 1;
    return r == JS_ERR_NO_ENTRY || r == 1 ? 0 : r;
}

static int rewrap_all(struct js_stream *s, uint64_t *ret_changed) {
    const struct js_io *io = s->env->io;
    struct rewrap w = {.s = s};
    int r = js_files_list_msgs(&s->files, rewrap_block, &w);

    if (r == 0 && w.changed)
        r = js_err_from_errno(-io->fsync(io->ctx, s->files.msgs_fd));
    w.obs_fd = io->open_dir(io->ctx, s->files.dirfd, "obs");
    if (r == 0 && w.obs_fd >= 0)
        r = js_files_list_consumers(&s->files, rewrap_consumer, &w);
    if (w.obs_fd >= 0)
        io->close(io->ctx, w.obs_fd);
    /* Last: it tells whether the stream has the new key. */
    if (r == 0) {
        r = rewrap_file(s, s->files.dirfd, "meta.key", s->name);
        w.changed += r == 1;
        if (r == 1)
            r = js_err_from_errno(-io->fsync(io->ctx, s->files.dirfd));
    }
    *ret_changed = w.changed;
    return r;
}

/* ---- another cipher ------------------------------------------------------------------------------ */

/* Nobody writes to a stream while it is copied: what came in the middle would stay behind. */
static int hold_still(struct js_stream *s) {
    pthread_rwlock_wrlock(&s->lock);
    struct js_writer *w = s->writer;
    int r = w ? js_writer_sync_locked(s, w) : 0;
    if (r == 0 && w && w->changed)
        r = js_stream_write_index(s);
    if (r == 0) {
        js_writer_free(s);
        s->unwritable = "it is being converted";
    }
    pthread_rwlock_unlock(&s->lock);
    return r;
}

static void let_write(struct js_stream *s) {
    pthread_rwlock_wrlock(&s->lock);
    s->unwritable = NULL;
    pthread_rwlock_unlock(&s->lock);
}

/* *ret_exchanged: the name stands for the new directory, and the open stream is the old one, whatever is
 * returned. */
static int convert_cipher(struct js_store *store, struct js_stream *from,
                          enum js_new_cipher cipher, bool *ret_exchanged) {
    const struct js_io *io = store->env->io;
    const char *text = js_stream_config_json(from);
    char hidden[JS_MAX_NAME + 1];
    int streams, fd;

    if (!io->exchange)
        return JS_ERR_UNSUPPORTED;
    int r = js_store_open_home(store, from, &streams);
    if (r < 0)
        return r;
    js_name_hidden(hidden, from->name, ".convert");
    /* An exchange that was not synced must not be undone by a crash when the other directory is gone. */
    r = js_err_from_errno(-io->fsync(io->ctx, streams));
    if (r == 0)
        r = js_store_clear_dir(store->env, streams, hidden);
    if (r == 0)
        r = js_err_from_errno(-io->mkdir(io->ctx, streams, hidden, 0700));
    if (r == 0) {
        fd = io->open_dir(io->ctx, streams, hidden);
        r = fd < 0 ? js_err_from_errno(-fd)
                   : js_store_fill_new(store, fd, from->account, from->name, (const uint8_t *)text,
                                       strlen(text), js_store_cipher(cipher));
        if (fd >= 0)
            io->close(io->ctx, fd);
    }
    if (r == 0)
        r = js_store_fill_hidden(store, from, from->account, from->name, hidden, from->lz4,
                                 NULL, NULL, 0);
    if (r == 0)
        r = js_err_from_errno(-io->exchange(io->ctx, streams, hidden, streams, from->name));
    *ret_exchanged = r == 0;
    if (r == 0)
        r = js_err_from_errno(-io->fsync(io->ctx, streams));
    /* What has the hidden name now is the old stream, or the copy that did not come about. As long as the
     * exchange may not be on disk the old one stays. */
    int c = r < 0 && *ret_exchanged ? 0 : js_store_clear_dir(store->env, streams, hidden);
    io->close(io->ctx, streams);
    return r < 0 ? r : c;
}

/* What an interrupted conversion to this cipher left: the old stream, or a part of a copy. */
static int clear_left(struct js_store *store, struct js_stream *s) {
    const struct js_io *io = store->env->io;
    char hidden[JS_MAX_NAME + 1];
    int streams;

    if (store->kind == JS_SOURCE_STREAM)
        return 0;
    int r = js_store_open_home(store, s, &streams);
    if (r < 0)
        return r;
    js_name_hidden(hidden, s->name, ".convert");
    /* As in convert_cipher(). */
    r = js_err_from_errno(-io->fsync(io->ctx, streams));
    if (r == 0)
        r = js_store_clear_dir(store->env, streams, hidden);
    io->close(io->ctx, streams);
    return r;
}

static int forget_stream(struct js_store *store, const char *account, const char *name,
                         struct js_stream *s) {
    pthread_rwlock_wrlock(&s->lock);
    s->gone = true;
    js_writer_free(s);
    pthread_rwlock_unlock(&s->lock);
    js_stream_unref(s);
    return js_store_drop_stream(store, account, name);
}

int js_store_rekey(struct js_store *store, const char *account, const char *name,
                   const enum js_new_cipher *cipher, uint64_t *ret_changed) {
    struct js_stream *s;
    uint64_t changed = 0;

    if (!(store->options.flags & JS_OPEN_RW))
        return JS_ERR_READ_ONLY;
    int r = js_store_get_stream(store, account, name, &s);
    if (r < 0)
        return r;
    if (js_stream_writable(s, NULL, 0) != 1)
        r = s->health == JS_HEALTH_NO_KEY      ? JS_ERR_NO_KEY
            : s->health == JS_HEALTH_WRONG_KEY ? JS_ERR_WRONG_KEY
                                               : JS_ERR_READ_ONLY;
    if (r == 0)
        r = js_stream_scan(s);
    if (r == 0 && js_stream_health(s) != JS_HEALTH_OK)
        r = JS_ERR_CORRUPT; /* salvage first: what cannot be read would be left behind */
    enum js_cipher now = s->seed ? s->seed->cipher : JS_CIPHER_NONE;
    if (r == 0 && cipher && js_store_cipher(*cipher) != now) {
        /* Of consumers their files are copied. */
        r = js_stream_sync_consumers(s);
        if (r == 0)
            r = hold_still(s);
        bool held = r == 0, exchanged = false;
        if (r == 0)
            r = convert_cipher(store, s, *cipher, &exchanged);
        changed = 1;
        if (held && !exchanged)
            let_write(s);
        int f = 0;
        if (exchanged)
            f = forget_stream(store, account, name, s);
        else
            js_stream_unref(s);
        r = r < 0 ? r : f;
    } else {
        if (r == 0 && s->encrypted) {
            pthread_rwlock_wrlock(&s->lock);
            r = rewrap_all(s, &changed);
            pthread_rwlock_unlock(&s->lock);
        }
        if (r >= 0 && cipher)
            r = clear_left(store, s);
        js_stream_unref(s);
    }
    if (r >= 0 && ret_changed)
        *ret_changed = changed;
    return r < 0 ? r : 0;
}

/* ---- another compression ------------------------------------------------------------------------- */

static int open_world(struct js_store *store, const char *account, const char *world, bool make,
                      int *ret_fd) {
    const struct js_io *io = store->env->io;
    int acc = -1;

    int r = js_store_open_account_dir(store, account, &acc);
    if (r < 0)
        return r;
    if (make) {
        r = io->mkdir(io->ctx, acc, world, 0700);
        r = r < 0 && r != -EEXIST ? r : io->fsync(io->ctx, acc);
    }
    *ret_fd = r < 0 ? r : io->open_dir(io->ctx, acc, world);
    io->close(io->ctx, acc);
    return *ret_fd < 0 ? js_err_from_errno(-*ret_fd) : 0;
}

static int move_world(struct js_store *store, struct js_stream *s, bool to_lz4) {
    const struct js_io *io = store->env->io;
    struct stat st;
    int from = -1, to = -1;

    int r = open_world(store, s->account, to_lz4 ? "streams" : "jetfs", false, &from);
    if (r == 0)
        r = open_world(store, s->account, to_lz4 ? "jetfs" : "streams", true, &to);
    if (r == 0 && io->stat(io->ctx, to, s->name, &st) == 0)
        r = JS_ERR_EXISTS;
    if (r == 0)
        r = js_err_from_errno(-io->rename(io->ctx, from, s->name, to, s->name));
    bool moved = r == 0;
    if (r == 0)
        r = js_err_from_errno(-io->fsync(io->ctx, to));
    if (r == 0)
        r = js_err_from_errno(-io->fsync(io->ctx, from));
    if (from >= 0)
        io->close(io->ctx, from);
    if (to >= 0)
        io->close(io->ctx, to);
    if (moved) {
        pthread_rwlock_wrlock(&s->lock);
        s->lz4 = to_lz4;
        pthread_rwlock_unlock(&s->lock);
    }
    return r;
}

static int set_compression(struct js_stream *s, const char *compression, char *why, size_t size) {
    json_t *root = json_loads(js_stream_config_json(s), 0, NULL);

    if (!root)
        return JS_ERR_CORRUPT;
    json_object_set_new(root, "compression", json_string(compression));
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    int r = text ? js_stream_update_config(s, text, why, size) : JS_ERR_NOMEM;
    free(text);
    return r;
}

static bool wants_lz4(struct js_stream *s) {
    pthread_rwlock_rdlock(&s->lock);
    bool yes = s->config.compression == 'l';
    pthread_rwlock_unlock(&s->lock);
    return yes;
}

int js_store_recompress(struct js_store *store, const char *account, const char *name,
                        const char *compression, uint64_t *ret_freed, char *ret_why,
                        size_t why_size) {
    bool lz4 = strcmp(compression, "lz4") == 0;
    struct js_stream *s;

    if (ret_why && why_size)
        ret_why[0] = 0;
    if (!(store->options.flags & JS_OPEN_RW))
        return JS_ERR_READ_ONLY;
    if (!lz4 && strcmp(compression, "none") != 0 && strcmp(compression, "s2") != 0)
        return JS_ERR_INVAL;
    int r = js_store_get_stream(store, account, name, &s);
    if (r < 0)
        return r;
    if (store->kind == JS_SOURCE_STREAM && lz4 != s->lz4) {
        js_why(ret_why, why_size, "to or from lz4 the stream moves: give the store as SOURCE");
        r = JS_ERR_INVAL;
    }
    /* It would lie where that one does. */
    if (r == 0 && !lz4 && s->lz4) {
        r = js_store_check_name(store, account, "streams", name);
        if (r == JS_ERR_EXISTS)
            js_why(ret_why, why_size, "there is another stream of this name without LZ4 blocks");
    }
    bool moved = false;
    if (r == 0 && lz4 && !s->lz4) {
        r = move_world(store, s, true);
        moved = r == 0;
    }
    if (r == 0)
        r = set_compression(s, compression, ret_why, why_size);
    /* It is what it was, and servers are to find it. */
    if (r < 0 && moved && !wants_lz4(s))
        (void)move_world(store, s, false);
    if (r == 0)
        r = js_stream_recompress_blocks(s, ret_freed);
    if (r == 0 && !lz4 && s->lz4)
        r = move_world(store, s, false);
    js_stream_unref(s);
    return r;
}
