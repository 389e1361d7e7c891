/* SPDX-License-Identifier: Apache-2.0 */
/* consumers/ and a consumer's directory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/name.h"
#include "fs/node/admin.h"
#include "fs/node/consumer.h"
#include "fs/node/dirbuf.h"
#include "fs/node/items.h"
#include "fs/node/names.h"
#include "fs/node/stream.h"

static int stat_dir(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                    double *entry_timeout) {
    struct js_stream_state state;

    (void)attr_timeout;
    (void)entry_timeout;
    js_stream_get_state(ref->stream->stream, &state);
    jf_stat_time(ref->fs, st, state.last_time);
    return 0;
}

static int collect(const struct jf_ref *ref, js_name_fn fn, void *ctx) {
    return js_stream_list_consumers(ref->stream->stream, fn, ctx);
}

static int find_name(void *ctx, const char *name) {
    return strcmp(name, ctx) == 0 ? 1 : 0;
}

static int lookup_consumer(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    char consumer[JF_NAME_BUF];

    jf_stream_touch(dir->stream);
    int r = jf_names_resolve(dir, collect, name, consumer);
    if (r < 0)
        return r;
    r = collect(dir, find_name, consumer);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct jf_node_new init = {.class = &jf_class_consumer,
                               .stream = dir->stream,
                               .scope = dir->node->scope,
                               .text = consumer,
                               .key = consumer};
    return jf_entry_new(dir->fs, &init, ret_entry);
}

static int open_consumers(const struct jf_ref *ref, struct fuse_file_info *fi) {
    jf_stream_touch(ref->stream);
    return jf_names_open(ref, collect, fi);
}

static int list_consumers(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                          struct jf_dirbuf *buf) {
    if (jf_dirbuf_dots(buf, off))
        jf_names_list(fi, &jf_class_consumer, ref->stream, off, JF_COOKIE_FIRST, buf);
    return 0;
}

/* A durable pull consumer with explicit acknowledgements. */
static int make_consumer(const struct jf_ref *dir, const char *name, mode_t mode,
                         struct jf_entry *ret_entry) {
    char consumer[JF_NAME_BUF], why[256] = "";

    (void)mode;
    if (!dir->fs->options.rw)
        return -EROFS;
    if (!dir->fs->options.allow_admin)
        return -EPERM;
    if (strlen(name) > JF_NAME_MAX)
        return -ENAMETOOLONG;
    if (jf_name_is_ours(name) || jf_name_unescape(name, consumer) < 0 || !js_name_valid(consumer))
        return -EINVAL;
    int r = js_stream_create_consumer(dir->stream->stream, consumer, NULL, why, sizeof(why));
    if (r < 0) {
        jf_log_add(dir->fs->log, "%s: making consumer %s: %s", dir->stream->tag, consumer,
                   why[0] ? why : js_err_text(r));
        return r;
    }
    return lookup_consumer(dir, name, ret_entry);
}

static int remove_consumer(const struct jf_ref *dir, const char *name) {
    char consumer[JF_NAME_BUF];

    if (!dir->fs->options.rw)
        return -EROFS;
    if (!dir->fs->options.allow_admin)
        return -EPERM;
    int r = jf_names_resolve(dir, collect, name, consumer);
    if (r < 0)
        return r;
    r = js_stream_delete_consumer(dir->stream->stream, consumer, dir->fs->options.force);
    if (r == 0)
        jf_consumer_gone(dir->stream, consumer);
    return r == JS_ERR_LOCKED ? -EBUSY : r == JS_ERR_NO_CONSUMER ? -ENOENT : r;
}

const struct jf_class jf_class_consumers = {
    .name = "consumers",
    .mode = S_IFDIR | 0755,
    .lookup = lookup_consumer,
    .stat = stat_dir,
    .opendir = open_consumers,
    .readdir = list_consumers,
    .releasedir = jf_names_release,
    .mkdir = make_consumer,
    .rmdir = remove_consumer,
};

/* ---- a consumer's directory
 * ----------------------------------------------------------------------- */

/* take, next and ack do something when they are read or written: they are not listed. */
static const struct {
    const char *name;
    const struct jf_class *class;
    uint64_t num;
    bool listed;
} items[] = {
    {"info.json", &jf_class_consumer_text, JF_TEXT_CONSUMER_INFO, true},
    {"config.json", &jf_class_consumer_text, JF_TEXT_CONSUMER_CONFIG, true},
    {"inflight", &jf_class_inflight, 0, true},
    {"nak", &jf_class_drop, JS_NAK, true},
    {"term", &jf_class_drop, JS_TERM, true},
    {"ready", &jf_class_ready, 0, true},
    {"take", &jf_class_take, 0, false},
    {"next", &jf_class_next, 0, false},
    {"ack", &jf_class_ack, 0, false},
};
#define NUM_ITEMS (sizeof(items) / sizeof(items[0]))

static char *item_key(const char *consumer, const char *name) {
    char *key;

    return asprintf(&key, "%s\n%s", consumer, name) < 0 ? NULL : key;
}

static int lookup(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    size_t i = 0;

    while (i < NUM_ITEMS && strcmp(items[i].name, name) != 0)
        i++;
    if (i == NUM_ITEMS)
        return jf_config_lookup(dir, name, ret_entry);
    char *key = item_key(dir->node->text, name);
    if (!key)
        return JS_ERR_NOMEM;
    struct jf_node_new init = {.class = items[i].class,
                               .stream = dir->stream,
                               .text = dir->node->text,
                               .num = items[i].num,
                               .key = key};
    int r = jf_entry_new(dir->fs, &init, ret_entry);
    free(key);
    return r;
}

static int list(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                struct jf_dirbuf *buf) {
    (void)fi;
    if (!jf_dirbuf_dots(buf, off))
        return 0;
    for (size_t i = 0; i < NUM_ITEMS; i++) {
        off_t cookie = JF_COOKIE_FIRST + (off_t)i;
        if (off >= cookie || !items[i].listed)
            continue;
        char *key = item_key(ref->node->text, items[i].name);
        if (!key)
            return JS_ERR_NOMEM;
        bool room =
            jf_dirbuf_add(buf, items[i].name, jf_intern_ino(items[i].class, ref->stream, key),
                          items[i].class->mode, cookie);
        free(key);
        if (!room)
            return 0;
    }
    return 0;
}

const struct jf_class jf_class_consumer = {
    .name = "consumer",
    .mode = S_IFDIR | 0755,
    .lookup = lookup,
    .stat = stat_dir,
    .readdir = list,
    .create = jf_config_create,
    .unlink = jf_config_unlink,
    .rename = jf_config_rename,
};
