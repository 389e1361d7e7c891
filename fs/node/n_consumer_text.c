/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer's info.json and config.json. Reading gives the text as it was when the file was
 * opened. What is written is taken when its opener closes: to config.json a whole new
 * configuration, to info.json {"seek": SEQ} or {"seek": "TIME"}. Why something was refused stands
 * in errors.log.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fs/node/consumer.h"
#include "fs/node/items.h"
#include "fs/node/opener.h"
#include "fs/node/stream.h"
#include "fs/view/info.h"

#define MAX_TEXT (256u << 10)

struct handle {
    atomic_uint users; /* a release may overtake the end of the last read */
    pthread_mutex_t lock;
    char *text;
    size_t len;
    bool writing, changed;
    pid_t opener;
};

static bool is_config(const struct jf_ref *ref) {
    return ref->node->num == JF_TEXT_CONSUMER_CONFIG;
}

static int make_text(const struct jf_ref *ref, char **ret_text, size_t *ret_len) {
    struct js_stream *stream = ref->stream->stream;

    jf_stream_touch(ref->stream);
    return is_config(ref) ? jf_info_consumer_config(stream, ref->node->text, ret_text, ret_len)
                          : jf_info_consumer(stream, ref->node->text, ret_text, ret_len);
}

static int stat_text(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                     double *entry_timeout) {
    struct js_stream_state state;
    char *text;
    size_t len;
    int r = make_text(ref, &text, &len);

    if (r < 0)
        return r == JS_ERR_NO_CONSUMER ? -ENOENT : r;
    free(text);
    st->st_size = (off_t)len;
    js_stream_get_state(ref->stream->stream, &state);
    jf_stat_time(ref->fs, st, state.last_time);
    *attr_timeout = 0;
    *entry_timeout = 1;
    return 0;
}

static void unuse(struct handle *h) {
    if (atomic_fetch_sub(&h->users, 1) != 1)
        return;
    pthread_mutex_destroy(&h->lock);
    free(h->text);
    free(h);
}

static int open_text(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    bool writing = (fi->flags & O_ACCMODE) != O_RDONLY;

    if (writing && !ref->fs->options.rw)
        return -EROFS;
    if (writing && !ref->fs->options.allow_admin)
        return -EPERM;
    struct handle *h = calloc(1, sizeof(*h));
    if (!h)
        return JS_ERR_NOMEM;
    atomic_init(&h->users, 1);
    pthread_mutex_init(&h->lock, NULL);
    h->writing = writing;
    h->opener = fuse_req_ctx(req)->pid;
    /* What is written to info.json is a command, not the text anew. */
    int r = writing && (!is_config(ref) || (fi->flags & O_TRUNC))
                ? 0
                : make_text(ref, &h->text, &h->len);
    if (r < 0) {
        unuse(h);
        return r;
    }
    fi->fh = (uintptr_t)h;
    fi->direct_io = 1;
    fi->noflush = !writing;
    return 0;
}

static struct handle *handle_of(const struct fuse_file_info *fi) {
    return (struct handle *)(uintptr_t)fi->fh;
}

static int read_text(fuse_req_t req, const struct jf_ref *ref, size_t size, off_t off,
                     struct fuse_file_info *fi) {
    struct handle *h = handle_of(fi);

    (void)ref;
    atomic_fetch_add(&h->users, 1);
    pthread_mutex_lock(&h->lock);
    jf_reply_text(req, h->text ? h->text : "", h->len, size, off);
    pthread_mutex_unlock(&h->lock);
    unuse(h);
    return JF_REPLIED;
}

/* With the lock. Makes the text so long; what is new is zeros. */
static int set_length(struct handle *h, size_t len) {
    if (len > MAX_TEXT)
        return -EFBIG;
    if (len > h->len || !h->text) {
        char *p = realloc(h->text, len + 1);
        if (!p)
            return JS_ERR_NOMEM;
        h->text = p;
        if (len > h->len)
            memset(p + h->len, 0, len - h->len);
    }
    h->len = len;
    h->text[len] = 0;
    h->changed = true;
    return 0;
}

static int write_text(fuse_req_t req, const struct jf_ref *ref, const char *buf, size_t size,
                      off_t off, struct fuse_file_info *fi, size_t *ret_count) {
    struct handle *h = handle_of(fi);
    int r = 0;

    (void)req;
    (void)ref;
    if (off < 0 || (uint64_t)off > MAX_TEXT || size > MAX_TEXT)
        return -EFBIG;
    pthread_mutex_lock(&h->lock);
    /* >> to info.json begins at what the kernel takes for its end. */
    size_t at = is_config(ref) || (size_t)off <= h->len ? (size_t)off : h->len;
    size_t end = at + size;
    if (end > h->len || !h->text)
        r = set_length(h, end);
    if (r == 0) {
        memcpy(h->text + at, buf, size);
        h->changed = true;
        *ret_count = size;
    }
    pthread_mutex_unlock(&h->lock);
    return r;
}

static int setattr_text(const struct jf_ref *ref, const struct stat *attr, int to_set,
                        struct fuse_file_info *fi) {
    if (!ref->fs->options.rw)
        return -EROFS;
    if (!ref->fs->options.allow_admin ||
        (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)))
        return -EPERM;
    if (!(to_set & FUSE_SET_ATTR_SIZE) || !fi)
        return 0; /* truncated by name: what is opened then begins empty */
    struct handle *h = handle_of(fi);
    if (attr->st_size < 0 || (uint64_t)attr->st_size > MAX_TEXT)
        return -EFBIG;
    pthread_mutex_lock(&h->lock);
    int r = h->writing ? set_length(h, (size_t)attr->st_size) : -EBADF;
    pthread_mutex_unlock(&h->lock);
    return r;
}

int jf_consumer_set_config(const struct jf_ref *ref, const char *text) {
    struct jf_consumer *consumer;
    char why[256] = "";
    int r = jf_consumer_of(ref, &consumer);

    if (r == 0)
        r = js_consumer_update_config(consumer->c, text, why, sizeof(why));
    if (r < 0)
        jf_log_add(ref->fs->log, "%s: configuration of consumer %s: %s", ref->stream->tag,
                   ref->node->text, why[0] ? why : js_err_text(r));
    return r;
}

/* Where {"seek": ...} points. */
static int seek_of(const struct jf_ref *ref, const char *text, js_seq_t *ret_seq,
                   js_time_t *ret_time) {
    json_t *root = json_loads(text, 0, NULL);
    json_t *seek = json_object_get(root, "seek");
    js_time_t now = ref->fs->env->clock->now(ref->fs->env->clock->ctx);
    int r = -EINVAL;

    *ret_seq = 0;
    if (json_object_size(root) == 1 && json_is_integer(seek) && json_integer_value(seek) > 0) {
        *ret_seq = (js_seq_t)json_integer_value(seek);
        r = 0;
    } else if (json_object_size(root) == 1 && json_is_string(seek)) {
        r = js_time_parse(json_string_value(seek), now, ret_time);
    }
    json_decref(root);
    return r;
}

static int seek(const struct jf_ref *ref, const char *text) {
    struct jf_consumer *consumer;
    js_time_t time;
    js_seq_t seq;
    int r = seek_of(ref, text, &seq, &time);

    if (r < 0) {
        jf_log_add(ref->fs->log,
                   "%s: consumer %s: info.json takes {\"seek\": SEQ} or {\"seek\": \"TIME\"}",
                   ref->stream->tag, ref->node->text);
        return -EINVAL;
    }
    r = jf_consumer_of(ref, &consumer);
    /* A state that cannot be read keeps the consumer from opening; a sequence replaces it. */
    if ((r == JS_ERR_CORRUPT || r == JS_ERR_TORN) && seq)
        return js_stream_repair_consumer(ref->stream->stream, ref->node->text, seq);
    if (r == 0)
        r = seq ? js_consumer_seek(consumer->c, seq) : js_consumer_seek_time(consumer->c, time);
    return r;
}

/* With the lock. */
static int commit(const struct jf_ref *ref, struct handle *h) {
    if (!h->writing || !h->changed)
        return 0;
    h->changed = false;
    return is_config(ref) ? jf_consumer_set_config(ref, h->text) : seek(ref, h->text);
}

static int flush_text(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct handle *h = handle_of(fi);
    int r = 0;

    pthread_mutex_lock(&h->lock);
    if (jf_is_opener(h->opener, fuse_req_ctx(req)->pid))
        r = commit(ref, h);
    pthread_mutex_unlock(&h->lock);
    return r;
}

static void release_text(const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct handle *h = handle_of(fi);

    pthread_mutex_lock(&h->lock);
    (void)commit(ref, h); /* an error stands in the log */
    pthread_mutex_unlock(&h->lock);
    unuse(h);
}

static int fsync_text(const struct jf_ref *ref, struct fuse_file_info *fi) {
    int r = 0;

    if (fi) {
        struct handle *h = handle_of(fi);
        pthread_mutex_lock(&h->lock);
        r = commit(ref, h);
        pthread_mutex_unlock(&h->lock);
    }
    return r;
}

const struct jf_class jf_class_consumer_text = {
    .name = "consumertext",
    .mode = S_IFREG | 0644,
    .stat = stat_text,
    .setattr = setattr_text,
    .open = open_text,
    .read = read_text,
    .write = write_text,
    .flush = flush_text,
    .fsync = fsync_text,
    .release = release_text,
};
