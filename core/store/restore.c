/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream from a backup. It is made under a hidden name and renamed when it is complete and on
 * disk; a restore that fails leaves nothing behind. Where name and form stay (a plain stream),
 * files are taken as they are; else every message is stored anew, because hashes and keys hang on
 * the stream's name.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/file.h"
#include "core/base/limits.h"
#include "core/consumer/consumer.h"
#include "core/consumer/load.h"
#include "core/format/subject.h"
#include "core/store/store.h"
#include "core/stream/meta_write.h"
#include "core/stream/writer.h"

struct restore {
    struct js_store *store;
    struct js_stream *from;
    const char *account, *name;
    int streams_fd, fd; /* of the account; of the stream in the making */
    char *why;
    size_t why_size;
};

static int make_dir(const struct js_env *env, int parent, const char *name, int *ret_fd) {
    int r = env->io->mkdir(env->io->ctx, parent, name, 0700);

    if (r < 0 && r != -EEXIST)
        return js_err_from_errno(-r);
    *ret_fd = env->io->open_dir(env->io->ctx, parent, name);
    return *ret_fd < 0 ? js_err_from_errno(-*ret_fd) : 0;
}

/* Writes a whole file, on disk. */
static int put_file(const struct js_env *env, int dirfd, const char *name, const struct js_buf *b) {
    return js_file_replace(env, dirfd, name, b->data, b->len, true);
}

static int copy_block(struct restore *re, int msgs_fd, uint32_t number) {
    const struct js_env *env = re->store->env;
    struct js_buf data = {.env = env};
    char name[24];
    uint64_t off = 0;
    int r = 0;

    for (;;) {
        if (js_buf_reserve(&data, 1u << 20) < 0) {
            r = JS_ERR_NOMEM;
            break;
        }
        ssize_t n =
            js_stream_read_block_file(re->from, number, data.data + data.len, 1u << 20, off);
        if (n <= 0) {
            r = (int)n;
            break;
        }
        data.len += (size_t)n;
        off += (uint64_t)n;
        if (data.len > JS_MAX_BLOCK_FILE) {
            r = JS_ERR_TOO_BIG;
            break;
        }
    }
    snprintf(name, sizeof name, "%u.blk", number);
    if (r == 0)
        r = put_file(env, msgs_fd, name, &data);
    js_buf_done(&data);
    return r;
}

struct consumers {
    struct restore *re;
    int obs_fd;
};

static int copy_consumer(void *ctx, const char *name) {
    static const char *const files[] = {"meta.inf", "meta.sum", "o.dat"};
    struct consumers *c = ctx;
    const struct js_env *env = c->re->store->env;
    char path[JS_CONSUMER_PATH];
    int fd = -1;

    if (!js_name_valid(name) || name[0] == '.')
        return 0;
    int r = make_dir(env, c->obs_fd, name, &fd);
    for (size_t i = 0; i < sizeof files / sizeof *files && r == 0; i++) {
        struct js_buf data = {.env = env};
        r = js_files_slurp(&c->re->from->files, js_consumer_path(path, name, files[i]),
                           JS_MAX_STATE_FILE, &data);
        if (r == JS_ERR_NO_ENTRY)
            r = 0;
        else if (r == 0)
            r = put_file(env, fd, files[i], &data);
        js_buf_done(&data);
    }
    if (fd >= 0) {
        if (r == 0)
            r = js_err_from_errno(-env->io->fsync(env->io->ctx, fd));
        env->io->close(env->io->ctx, fd);
    }
    return r;
}

/* The backup's files under the same name. */
static int copy_files(struct restore *re) {
    const struct js_env *env = re->store->env;
    struct js_buf index = {.env = env};
    struct js_buf text = {.env = env};
    struct js_block_info info;
    int msgs = -1, obs = -1;

    int r = js_store_config_for_servers(js_stream_config_json(re->from), &text);
    if (r == 0)
        r = js_meta_write(env, re->fd, re->name, text.data, text.len, NULL);
    js_buf_done(&text);
    if (r == 0)
        r = make_dir(env, re->fd, "msgs", &msgs);
    if (r == 0)
        r = make_dir(env, re->fd, "obs", &obs);
    for (size_t i = 0; r == 0; i++) {
        r = js_stream_block(re->from, i, &info);
        if (r == JS_ERR_EOF) {
            r = 0;
            break;
        }
        if (r == 0)
            r = copy_block(re, msgs, info.number);
    }
    if (r == 0) {
        r = js_files_slurp(&re->from->files, "msgs/index.db", JS_MAX_STATE_FILE, &index);
        if (r == 0)
            r = put_file(env, msgs, "index.db", &index);
        else if (r == JS_ERR_NO_ENTRY)
            r = 0;
    }
    struct consumers c = {.re = re, .obs_fd = obs};
    if (r == 0)
        r = js_stream_list_consumers(re->from, copy_consumer, &c);
    for (int i = 0; i < 2; i++) {
        int fd = i ? obs : msgs;
        if (fd < 0)
            continue;
        if (r == 0)
            r = js_err_from_errno(-env->io->fsync(env->io->ctx, fd));
        env->io->close(env->io->ctx, fd);
    }
    js_buf_done(&index);
    return r < 0 ? r : js_err_from_errno(-env->io->fsync(env->io->ctx, re->fd));
}

/* ---- anew: another name, or encrypted ----------------------------------------------------------
 */

static int store_messages(struct js_stream *from, struct js_stream *to) {
    struct js_stream_state st;
    struct js_iter *it;
    struct js_msg msg;
    js_seq_t next;

    js_stream_get_state(from, &st);
    if (st.msgs == 0 && st.num_lost == 0)
        return js_stream_end_at(to, st.last_seq, st.last_time);
    int r = st.first_seq > 1 ? js_stream_compact(to, st.first_seq, NULL) : 0;
    if (r < 0)
        return r;
    r = js_iter_open(from, NULL, &it);
    if (r < 0)
        return r;
    next = st.first_seq ? st.first_seq : 1;
    while ((r = js_iter_next(it, next, &msg)) != JS_ERR_EOF) {
        if (r < 0 && r != JS_ERR_BAD_MSG)
            break;
        js_seq_t seq = msg.seq;
        int e = seq > next ? js_stream_skip_msgs(to, next, seq - next) : 0;
        if (e == 0 && r == JS_ERR_BAD_MSG) {
            /* Its place stays used up. */
            e = js_stream_skip_msgs(to, seq, 1);
        } else if (e == 0) {
            struct js_new_msg m = {.subject = msg.subject,
                                   .subject_len = msg.subject_len,
                                   .hdr = msg.hdr,
                                   .hdr_len = msg.hdr_len,
                                   .data = msg.data,
                                   .data_len = msg.data_len};
            e = js_stream_store_raw_msg(to, &m, seq, msg.time, false);
        }
        if (e < 0) {
            r = e;
            break;
        }
        next = seq + 1;
    }
    js_iter_close(it);
    if (r == JS_ERR_EOF)
        r = next <= st.last_seq ? js_stream_end_at(to, st.last_seq, st.last_time) : 0;
    return r;
}

struct making {
    struct js_stream *from, *to;
};

static int make_consumer(void *ctx, const char *name) {
    struct making *m = ctx;
    struct js_consumer_loaded c;
    struct js_consumer *made;
    int r = js_consumer_load(m->from, name, &c);

    if (r < 0)
        return r;
    /* What is made anew would lack what cannot be read. */
    r = c.config_error ? c.config_error : c.state_error;
    if (r == 0)
        r = js_stream_copy_consumer(m->to, name, (const char *)c.config.data);
    if (r == 0 && c.info.has_state) {
        r = js_stream_open_consumer(m->to, name, &made);
        if (r == 0) {
            r = js_consumer_force_update(made, &c.state);
            js_consumer_unref(made);
        }
    }
    js_consumer_loaded_done(&c);
    return r;
}

int js_store_copy_stream(struct js_stream *from, struct js_stream *to) {
    struct making m = {.from = from, .to = to};
    bool async = to->async, no_expire = to->no_expire, sealed = to->config.sealed;

    to->async = true;
    to->no_expire = true;
    /* It is sealed when all is in it. */
    to->config.sealed = false;
    int r = store_messages(from, to);
    if (r == 0)
        r = js_stream_list_consumers(from, make_consumer, &m);
    if (r == 0)
        r = js_stream_sync(to);
    pthread_rwlock_wrlock(&to->lock);
    to->async = async;
    to->no_expire = no_expire;
    to->config.sealed = sealed;
    js_writer_reconfigure(to);
    pthread_rwlock_unlock(&to->lock);
    return r;
}

int js_store_fill_hidden(struct js_store *store, struct js_stream *from, const char *account,
                         const char *name, const char *hidden, bool lz4, const char *then,
                         char *why, size_t why_size) {
    struct js_stream *to;
    int r = js_store_open_hidden(store, account, name, hidden, lz4, &to);

    if (r < 0)
        return r;
    r = js_store_copy_stream(from, to);
    if (r == 0 && then)
        r = js_stream_update_config(to, then, why, why_size);
    int f = js_consumers_stop(to);
    if (r == 0)
        r = f;
    f = js_stream_finish(to);
    if (r == 0)
        r = f;
    js_stream_unref(to);
    return r;
}

/* The new stream's configuration, and (free(), NULL if it is the same) the one it gets when all is
 * in it. */
static int make_config(struct restore *re, struct js_buf *ret_meta, char **ret_then) {
    const struct js_env *env = re->store->env;
    json_t *root = json_loads(js_stream_config_json(re->from), 0, NULL);

    *ret_then = NULL;
    if (!root)
        return JS_ERR_CORRUPT;
    /* Servers give every stream its own name; a renamed one must not keep the old. */
    json_object_set_new(root, "name", json_string(re->name));
    json_object_del(root, "first_seq");
    /* Where it will lie servers look. */
    if (re->from->config.compression == 'l')
        json_object_del(root, "compression");
    bool sealed = json_is_true(json_object_get(root, "sealed"));
    if (sealed)
        *ret_then = json_dumps(root, JSON_COMPACT);
    json_object_del(root, "sealed");
    char *config = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    int r = config && (*ret_then || !sealed) ? 0 : JS_ERR_NOMEM;
    if (r == 0)
        r = js_stream_config_make(env, re->name, config, env->clock->now(env->clock->ctx), ret_meta,
                                  re->why, re->why_size);
    free(config);
    return r;
}

/* Stores everything anew. */
static int copy_messages(struct restore *re, const char *hidden) {
    struct js_buf meta = {.env = re->store->env};
    char *then;
    int r = make_config(re, &meta, &then);

    if (r == 0)
        r = js_store_fill_new(re->store, re->fd, re->account, re->name, meta.data, meta.len,
                              js_store_cipher(re->store->options.cipher));
    if (r == 0)
        r = js_store_fill_hidden(re->store, re->from, re->account, re->name, hidden, false, then,
                                 re->why, re->why_size);
    free(then);
    js_buf_done(&meta);
    return r;
}

/* ---- under a hidden name -----------------------------------------------------------------------
 */

static int make_stream(struct restore *re, bool files) {
    const struct js_env *env = re->store->env;
    char tmp[JS_MAX_NAME + 1];
    struct stat st;

    if (env->io->stat(env->io->ctx, re->streams_fd, re->name, &st) == 0)
        return JS_ERR_EXISTS;
    js_name_hidden(tmp, re->name, ".restore");
    int r = js_store_clear_dir(env, re->streams_fd, tmp);
    if (r == 0)
        r = make_dir(env, re->streams_fd, tmp, &re->fd);
    if (r < 0)
        return r;
    r = files ? copy_files(re) : copy_messages(re, tmp);
    env->io->close(env->io->ctx, re->fd);
    if (r == 0)
        r = js_err_from_errno(
            -env->io->rename(env->io->ctx, re->streams_fd, tmp, re->streams_fd, re->name));
    if (r == 0)
        r = js_err_from_errno(-env->io->fsync(env->io->ctx, re->streams_fd));
    else
        (void)js_store_clear_dir(env, re->streams_fd, tmp);
    return r;
}

/* Where less would be restored than the backup may hold, because of what can be read of it now. */
static int check_backup(struct restore *re) {
    struct js_stream *s = re->from;
    int r = js_stream_scan(s);

    if (r == 0 && !s->has_config) {
        js_why(re->why, re->why_size, "the configuration in the backup cannot be read");
        r = JS_ERR_CORRUPT;
    }
    pthread_rwlock_rdlock(&s->lock);
    for (size_t i = 0; i < s->num_blocks && r == 0; i++)
        if (s->blocks[i]->unreadable && !s->blocks[i]->missing) {
            js_why(re->why, re->why_size, "block %u of the backup cannot be read",
                   s->blocks[i]->number);
            r = JS_ERR_BAD_MSG;
        }
    pthread_rwlock_unlock(&s->lock);
    return r;
}

/* What was left out is told, though the rest was restored. */
static void tell_lost(struct restore *re) {
    struct js_stream_state st;

    js_stream_get_state(re->from, &st);
    if (st.num_lost)
        js_why(re->why, re->why_size, "%llu messages of the backup are damaged",
               (unsigned long long)st.num_lost);
}

static int give_name(void *ctx, const char *name) {
    snprintf(ctx, 256, "%s", name);
    return 1;
}

int js_store_restore(struct js_store *store, const char *account, const char *backup_path,
                     const char *new_name, char *ret_name, size_t name_size, char *ret_why,
                     size_t why_size) {
    struct restore re = {.store = store,
                         .account = account,
                         .streams_fd = -1,
                         .fd = -1,
                         .why = ret_why,
                         .why_size = why_size};
    struct js_store *backup;
    char name[256] = "", from_account[256] = "";

    if (ret_why && why_size)
        ret_why[0] = 0;
    if (!(store->options.flags & JS_OPEN_RW))
        return JS_ERR_READ_ONLY;
    int r = js_store_open(store->env, backup_path, NULL, &backup, ret_why, why_size);
    if (r < 0)
        return r;
    if (backup->kind != JS_SOURCE_BACKUP) {
        js_why(ret_why, why_size, "not a backup");
        r = JS_ERR_INVAL;
    }
    if (r == 0)
        r = js_store_list_accounts(backup, give_name, from_account);
    if (r >= 0)
        r = js_store_list_streams(backup, from_account, give_name, name);
    if (r >= 0)
        r = js_store_get_stream(backup, from_account, name, &re.from);
    if (r == 0) {
        re.name = new_name ? new_name : name;
        r = !js_name_valid(re.name) || re.name[0] == '.' ? JS_ERR_INVAL : check_backup(&re);
        for (size_t i = 0; i < 2 && r == 0; i++)
            r = js_store_check_name(store, account, i ? "jetfs" : "streams", re.name);
        if (r == 0)
            r = js_store_check_subjects(store, account, re.name, &re.from->config, ret_why,
                                        why_size);
        if (r == 0)
            r = js_store_provide_account(store, account, &re.streams_fd);
        if (r == 0)
            r = make_stream(&re, strcmp(re.name, name) == 0 &&
                                     store->options.cipher == JS_CIPHER_NEW_NONE);
        if (r == 0)
            tell_lost(&re);
        if (r == 0 && ret_name)
            snprintf(ret_name, name_size, "%s", re.name);
        js_stream_unref(re.from);
    }
    if (re.streams_fd >= 0)
        store->env->io->close(store->env->io->ctx, re.streams_fd);
    js_store_close(backup);
    if (r < 0 && ret_why && why_size && !ret_why[0])
        js_why(ret_why, why_size, "%s", js_err_text(r));
    return r;
}
