/* SPDX-License-Identifier: Apache-2.0 */
/* Small texts that are made when they are opened: info.json, config.json, and those of .jetfs/.
 * An open file keeps the text it was opened with. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/node/dirbuf.h"
#include "fs/node/items.h"
#include "fs/node/stream.h"
#include "fs/session/stats.h"
#include "fs/view/info.h"

struct handle {
    char *text;
    size_t len;
    atomic_uint users; /* a release may overtake the end of the last read */
};

static const struct {
    const char *name;
    enum jf_text kind;
} hidden[] = {
    {"version", JF_TEXT_VERSION},  {"options", JF_TEXT_OPTIONS},    {"metrics", JF_TEXT_METRICS},
    {"stats.json", JF_TEXT_STATS}, {"health.json", JF_TEXT_HEALTH}, {"errors.log", JF_TEXT_ERRORS},
};

#define NHIDDEN (sizeof(hidden) / sizeof(hidden[0]))

static int given(char *text, size_t len, char **ret_text, size_t *ret_len) {
    if (!text)
        return JS_ERR_NOMEM;
    *ret_text = text;
    *ret_len = len;
    return 0;
}

struct health {
    json_t *streams;
    enum js_health worst;
};

static void add_health(void *ctx, struct jf_stream *stream) {
    struct health *h = ctx;
    enum js_health health = js_stream_health(stream->stream);

    if (atomic_load(&stream->gone))
        return;
    if (health > h->worst)
        h->worst = health;
    json_array_append_new(h->streams,
                          json_pack("{s:s, s:s, s:s}", "account", stream->account, "stream",
                                    stream->name, "health", js_health_name(health)));
}

/* Streams that nobody has looked at are not opened for this. */
static int health_text(struct jf_fs *fs, char **ret_text, size_t *ret_len) {
    struct health h = {json_array(), JS_HEALTH_OK};

    jf_streams_each(fs, add_health, &h);
    json_t *root = json_pack("{s:s, s:o}", "health", js_health_name(h.worst), "streams", h.streams);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!text)
        return JS_ERR_NOMEM;
    size_t len = strlen(text);
    char *line = realloc(text, len + 2);
    if (!line) {
        free(text);
        return JS_ERR_NOMEM;
    }
    line[len] = '\n';
    line[len + 1] = 0;
    return given(line, len + 1, ret_text, ret_len);
}

static int hidden_text(struct jf_fs *fs, enum jf_text kind, char **ret_text, size_t *ret_len) {
    char *text = NULL;
    size_t len = 0;

    switch (kind) {
    case JF_TEXT_VERSION:
        if (asprintf(&text, "jetfs %s\n", js_version()) < 0)
            return JS_ERR_NOMEM;
        len = strlen(text);
        break;
    case JF_TEXT_OPTIONS:
        text = jf_options_text(&fs->options);
        len = text ? strlen(text) : 0;
        break;
    case JF_TEXT_METRICS:
        text = jf_stats_metrics(fs, &len);
        break;
    case JF_TEXT_STATS:
        text = jf_stats_json(fs, &len);
        break;
    case JF_TEXT_ERRORS:
        text = jf_log_text(fs->log, &len);
        break;
    default:
        return health_text(fs, ret_text, ret_len);
    }
    return given(text, len, ret_text, ret_len);
}

static int make_text(const struct jf_ref *ref, char **ret_text, size_t *ret_len) {
    enum jf_text kind = (enum jf_text)ref->node->num;
    const char *arg = ref->node->text;
    struct js_stream *stream = ref->stream ? ref->stream->stream : NULL;

    if (ref->stream)
        jf_stream_touch(ref->stream);
    switch (kind) {
    case JF_TEXT_STREAM_INFO:
        return jf_info_stream(stream, ret_text, ret_len);
    case JF_TEXT_SUBJECT_INFO:
        return jf_info_subject(ref->node->scope, arg, strlen(arg), ret_text, ret_len);
    case JF_TEXT_ACCOUNT_INFO:
        return jf_info_account(ref->fs->store, arg, ret_text, ret_len);
    case JF_TEXT_STORE_INFO:
        return jf_info_account(ref->fs->store, NULL, ret_text, ret_len);
    case JF_TEXT_CONSUMER_INFO:
        return jf_info_consumer(stream, arg, ret_text, ret_len);
    case JF_TEXT_CONSUMER_CONFIG:
        return jf_info_consumer_config(stream, arg, ret_text, ret_len);
    default:
        return hidden_text(ref->fs, kind, ret_text, ret_len);
    }
}

/* The size is true for who opens now, so the text is made for it. */
static int stat_text(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                     double *entry_timeout) {
    struct js_stream_state state;
    char *text;
    size_t len;
    int r = make_text(ref, &text, &len);

    if (r < 0)
        return r == JS_ERR_NO_CONSUMER || r == JS_ERR_MSG_NOT_FOUND ? -ENOENT : r;
    free(text);
    st->st_size = (off_t)len;
    if (ref->stream) {
        js_stream_get_state(ref->stream->stream, &state);
        jf_stat_time(ref->fs, st, state.last_time);
    }
    *attr_timeout = ref->stream ? 1 : 0;
    *entry_timeout = 1;
    return 0;
}

/* An account's info.json opens its streams. */
static bool slow(const struct jf_ref *ref, enum jf_op op, const char *name) {
    (void)name;
    return (op == JF_OP_GETATTR || op == JF_OP_OPEN) &&
           (ref->node->num == JF_TEXT_ACCOUNT_INFO || ref->node->num == JF_TEXT_STORE_INFO);
}

static int open_text(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    (void)req;
    if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC))
        return -EACCES;
    struct handle *h = calloc(1, sizeof(*h));
    if (!h)
        return JS_ERR_NOMEM;
    atomic_init(&h->users, 1);
    int r = make_text(ref, &h->text, &h->len);
    if (r < 0) {
        free(h);
        return r;
    }
    fi->fh = (uintptr_t)h;
    fi->direct_io = 1;
    fi->noflush = 1;
    return 0;
}

static void unuse(struct handle *h) {
    if (atomic_fetch_sub(&h->users, 1) != 1)
        return;
    free(h->text);
    free(h);
}

static int read_text(fuse_req_t req, const struct jf_ref *ref, size_t size, off_t off,
                     struct fuse_file_info *fi) {
    struct handle *h = (struct handle *)(uintptr_t)fi->fh;

    (void)ref;
    atomic_fetch_add(&h->users, 1);
    jf_reply_text(req, h->text, h->len, size, off);
    unuse(h);
    return JF_REPLIED;
}

static void release_text(const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct handle *h = (struct handle *)(uintptr_t)fi->fh;

    (void)ref;
    unuse(h);
}

const struct jf_class jf_class_text = {
    .name = "text",
    .mode = S_IFREG | 0444,
    .slow = slow,
    .stat = stat_text,
    .open = open_text,
    .read = read_text,
    .release = release_text,
};

int jf_text_entry(const struct jf_ref *dir, enum jf_text kind, struct jf_scope *scope,
                  const char *text, struct jf_entry *ret_entry) {
    char *key;

    if (asprintf(&key, "%d\n%s\n%s", (int)kind, text, scope ? jf_scope_key(scope) : "") < 0)
        return JS_ERR_NOMEM;
    struct jf_node_new init = {.class = &jf_class_text,
                               .stream = dir->stream,
                               .scope = scope,
                               .text = text,
                               .num = kind,
                               .key = key};
    int r = jf_entry_new(dir->fs, &init, ret_entry);
    free(key);
    return r;
}

int jf_hidden_entry(const struct jf_ref *dir, struct jf_entry *ret_entry) {
    struct jf_node_new init = {.class = &jf_class_hidden};

    if (dir->node != dir->fs->root)
        return -ENOENT;
    return jf_entry_new(dir->fs, &init, ret_entry);
}

static int stat_hidden(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                       double *entry_timeout) {
    (void)ref;
    (void)st;
    (void)attr_timeout;
    (void)entry_timeout;
    return 0;
}

static int lookup_hidden(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    struct jf_ref root = *dir;

    root.stream = NULL;
    for (size_t i = 0; i < NHIDDEN; i++)
        if (strcmp(name, hidden[i].name) == 0)
            return jf_text_entry(&root, hidden[i].kind, NULL, "", ret_entry);
    return -ENOENT;
}

static int list_hidden(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                       struct jf_dirbuf *buf) {
    off_t cookie = JF_COOKIE_FIRST;

    (void)ref;
    (void)fi;
    if (!jf_dirbuf_dots(buf, off))
        return 0;
    for (size_t i = 0; i < NHIDDEN; i++, cookie++)
        if (off < cookie &&
            !jf_dirbuf_add(buf, hidden[i].name, jf_intern_ino(&jf_class_text, NULL, hidden[i].name),
                           S_IFREG, cookie))
            return 0;
    return 0;
}

const struct jf_class jf_class_hidden = {
    .name = "hidden",
    .mode = S_IFDIR | 0755,
    .lookup = lookup_hidden,
    .stat = stat_hidden,
    .readdir = list_hidden,
};
