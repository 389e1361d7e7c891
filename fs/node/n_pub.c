/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pub/<subject>: every line that is written becomes a message, during write(2), which so reports
 * what went wrong: a failure in the middle gives the count of bytes that belong to stored lines,
 * and the next write the error. With full=block a write to a full stream is parked until there is
 * room. What stands behind the last line feed is published by the opener's close.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/errmap.h"
#include "fs/base/name.h"
#include "fs/node/opener.h"
#include "fs/node/publish.h"
#include "fs/node/stream.h"
#include "fs/session/park.h"
#include "fs/view/lines.h"
#include "fs/view/msgfile.h"

#define BATCH 512

struct handle {
    pthread_mutex_t lock;
    struct jf_lines lines;
    pid_t opener;
    int failed; /* why a write failed: what it left unfinished is no message */
    bool unsynced;
};

int jf_publish_subject(const struct jf_ref *dir, const char *name) {
    size_t len = strlen(name);

    if (len > JF_NAME_MAX)
        return -ENAMETOOLONG;
    if (!js_subject_valid(name, len))
        return -EINVAL;
    return js_stream_covers(dir->stream->stream, name, len) ? 0 : -ENOENT;
}

int jf_publish_writable(const struct jf_ref *ref) {
    char why[200];

    if (!ref->fs->options.rw)
        return -EROFS;
    if (js_stream_writable(ref->stream->stream, why, sizeof(why)) == 1)
        return 0;
    jf_log_add(ref->fs->log, "%s: cannot be written: %s", ref->stream->name, why);
    return -EROFS;
}

bool jf_publish_waits(const struct jf_ref *ref, int r) {
    return ref->fs->options.full == JF_FULL_BLOCK &&
           (r == JS_ERR_MAX_MSGS || r == JS_ERR_MAX_BYTES || r == JS_ERR_MAX_MSGS_PER_SUBJECT);
}

int jf_publish_sync(const struct jf_ref *ref) {
    /* JS_SYNC_ALWAYS did it in the write; the other modes have their own time. */
    if (ref->fs->options.sync != JS_SYNC_CLOSE)
        return 0;
    return js_stream_sync(ref->stream->stream);
}

static int stat_dir(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                    double *entry_timeout) {
    (void)ref;
    (void)st;
    (void)attr_timeout;
    (void)entry_timeout;
    return 0;
}

static int stat_pub(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                    double *entry_timeout) {
    (void)ref;
    st->st_size = 0;
    *attr_timeout = 0;
    *entry_timeout = 0;
    return 0;
}

static int open_pub(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    if ((fi->flags & O_ACCMODE) != O_RDONLY) {
        int r = jf_publish_writable(ref);
        if (r < 0)
            return r;
    }
    struct handle *h = calloc(1, sizeof(*h));
    if (!h)
        return JS_ERR_NOMEM;
    pthread_mutex_init(&h->lock, NULL);
    jf_lines_init(&h->lines, ref->fs->options.max_payload, ref->fs->options.empty_lines);
    h->opener = fuse_req_ctx(req)->pid;
    fi->fh = (uint64_t)(uintptr_t)h;
    fi->direct_io = 1;
    fi->nonseekable = 1;
    return 0;
}

static struct handle *handle_of(const struct fuse_file_info *fi) {
    return (struct handle *)(uintptr_t)fi->fh;
}

static int read_pub(fuse_req_t req, const struct jf_ref *ref, size_t size, off_t off,
                    struct fuse_file_info *fi) {
    (void)ref;
    (void)fi;
    return jf_reply_text(req, "", 0, size, off);
}

/* Stores n lines; *ret_end is the end of the last stored one (untouched if none). */
static int store_lines(const struct jf_ref *ref, const struct jf_line *lines, size_t n,
                       size_t *ret_end) {
    struct js_new_msg msgs[BATCH];
    const char *subject = ref->node->text;
    size_t slen = strlen(subject);
    int err = 0;

    for (size_t i = 0; i < n; i++)
        msgs[i] = (struct js_new_msg){.subject = subject,
                                      .subject_len = slen,
                                      .data = lines[i].data,
                                      .data_len = lines[i].len};
    ssize_t done = js_stream_store_msgs(ref->stream->stream, msgs, n, &err);
    if (done > 0)
        *ret_end = lines[done - 1].end;
    return done == (ssize_t)n ? 0 : err;
}

/* Stores what is complete; *ret_count: bytes that are dealt with. With the handle's lock. */
static int take_lines(const struct jf_ref *ref, struct handle *h, const char *buf, size_t size,
                      size_t *ret_count) {
    struct jf_line lines[BATCH];
    size_t end = 0;
    int n = 0, r = 0;

    jf_lines_feed(&h->lines, buf, size);
    while (r == 0 && (n = jf_lines_take(&h->lines, lines, BATCH)) > 0)
        r = store_lines(ref, lines, (size_t)n, &end);
    if (r == 0 && n < 0)
        r = n;
    if (end)
        h->unsynced = true;
    if (r < 0)
        end = jf_lines_stop(&h->lines, end);
    if (r < 0 && end == 0)
        return r;
    *ret_count = r < 0 ? end : size;
    return 0;
}

/* A request that waits for room in the stream. */
struct waiting {
    struct jf_ref ref;
    struct handle *h;
    size_t size;
    char data[]; /* what is written */
};

static struct waiting *new_waiting(const struct jf_ref *ref, struct handle *h, const char *buf,
                                   size_t size) {
    struct waiting *w = malloc(sizeof(*w) + size);

    if (w) {
        *w = (struct waiting){.ref = *ref, .h = h, .size = size};
        if (size)
            memcpy(w->data, buf, size);
    }
    return w;
}

/* The reply comes last: after it the handle may be gone. */
static bool try_write(void *arg, fuse_req_t req) {
    struct waiting *w = arg;
    size_t count = 0;

    pthread_mutex_lock(&w->h->lock);
    int r = take_lines(&w->ref, w->h, w->data, w->size, &count);
    bool wait = jf_publish_waits(&w->ref, r);
    if (r < 0 && !wait)
        w->h->failed = r;
    pthread_mutex_unlock(&w->h->lock);
    if (wait)
        return false;
    if (r < 0)
        fuse_reply_err(req, jf_errno(r));
    else
        fuse_reply_write(req, count);
    return true;
}

static int write_pub(fuse_req_t req, const struct jf_ref *ref, const char *buf, size_t size,
                     off_t off, struct fuse_file_info *fi, size_t *ret_count) {
    struct handle *h = handle_of(fi);

    (void)off; /* what the kernel passes for a file without positions means nothing */
    pthread_mutex_lock(&h->lock);
    int r = take_lines(ref, h, buf, size, ret_count);
    bool wait = jf_publish_waits(ref, r);
    if (r < 0 && !wait)
        h->failed = r;
    pthread_mutex_unlock(&h->lock);
    if (!wait)
        return r;
    if (fi->flags & O_NONBLOCK)
        return -EAGAIN;
    struct waiting *w = new_waiting(ref, h, buf, size);
    if (!w)
        return JS_ERR_NOMEM;
    jf_park(ref->stream->waitq, h, req, try_write, w, free);
    return JF_REPLIED;
}

/* The line without its end, marked as such. */
static int publish_rest(const struct jf_ref *ref, struct handle *h) {
    const uint8_t *data;
    uint8_t *hdr = NULL;
    size_t hdr_len = 0, len = jf_lines_rest(&h->lines, &data);

    if (len == 0)
        return 0;
    if (ref->fs->options.partial_drop) {
        jf_lines_drop_rest(&h->lines);
        return 0;
    }
    int r = jf_hdr_add(&hdr, &hdr_len, "Jetfs-Partial", 13, "true", 4);
    if (r == 0)
        r = js_stream_store_msg(ref->stream->stream, ref->node->text, strlen(ref->node->text), hdr,
                                hdr_len, data, len, NULL, NULL);
    free(hdr);
    if (r == 0) {
        jf_lines_drop_rest(&h->lines);
        h->unsynced = true;
    }
    return r;
}

static int settle(const struct jf_ref *ref, struct handle *h) {
    const uint8_t *data;
    int r = h->failed;

    /* Bytes that an earlier write accepted cannot be kept: close says so. */
    if (r < 0 && jf_lines_rest(&h->lines, &data))
        jf_lines_drop_rest(&h->lines);
    else
        r = publish_rest(ref, h);
    if (r == 0 && h->unsynced) {
        r = jf_publish_sync(ref);
        h->unsynced = false;
    }
    return r;
}

static bool try_flush(void *arg, fuse_req_t req) {
    struct waiting *w = arg;

    pthread_mutex_lock(&w->h->lock);
    int r = settle(&w->ref, w->h);
    pthread_mutex_unlock(&w->h->lock);
    if (jf_publish_waits(&w->ref, r))
        return false;
    fuse_reply_err(req, jf_errno(r));
    return true;
}

static int flush_pub(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct handle *h = handle_of(fi);
    int r = 0;

    pthread_mutex_lock(&h->lock);
    /* A child's close of a descriptor it inherited ends nothing. */
    if (jf_is_opener(h->opener, fuse_req_ctx(req)->pid))
        r = settle(ref, h);
    pthread_mutex_unlock(&h->lock);
    if (!jf_publish_waits(ref, r))
        return r;
    struct waiting *w = new_waiting(ref, h, NULL, 0);
    if (!w)
        return JS_ERR_NOMEM;
    jf_park(ref->stream->waitq, h, req, try_flush, w, free);
    return JF_REPLIED;
}

static void release_pub(const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct handle *h = handle_of(fi);
    int r = settle(ref, h);

    if (r < 0)
        jf_log_add(ref->fs->log, "pub/%s: the end of the file was not stored: %s", ref->node->text,
                   js_err_text(r));
    jf_lines_done(&h->lines);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static int setattr_pub(const struct jf_ref *ref, const struct stat *attr, int to_set,
                       struct fuse_file_info *fi) {
    (void)attr;
    (void)fi;
    if (!ref->fs->options.rw)
        return -EROFS;
    /* As with a terminal: truncating means nothing, times neither. */
    return to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) ? -EPERM : 0;
}

static const struct jf_class pub_file_class = {
    .name = "pubfile",
    .mode = S_IFREG | 0222,
    .stat = stat_pub,
    .setattr = setattr_pub,
    .open = open_pub,
    .read = read_pub,
    .write = write_pub,
    .flush = flush_pub,
    .release = release_pub,
};

static int lookup_pub(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    int r = jf_publish_subject(dir, name);

    if (r < 0)
        return r;
    struct jf_node_new init = {
        .class = &pub_file_class, .stream = dir->stream, .text = name, .key = name};
    return jf_entry_new(dir->fs, &init, ret_entry);
}

/* `>` and `>>` on a name that was not looked up yet. */
static int create_pub(fuse_req_t req, const struct jf_ref *dir, const char *name, mode_t mode,
                      struct fuse_file_info *fi, struct jf_entry *ret_entry) {
    struct jf_entry entry;
    int r = lookup_pub(dir, name, &entry);

    (void)mode;
    if (r < 0)
        return r;
    struct jf_ref ref = jf_ref_of(dir->fs, entry.node);
    r = open_pub(req, &ref, fi);
    if (r < 0)
        jf_node_drop(dir->fs, entry.node, 1);
    else
        *ret_entry = entry;
    return r;
}

const struct jf_class jf_class_pub = {
    .name = "pub",
    .mode = S_IFDIR | 0755,
    .lookup = lookup_pub,
    .stat = stat_dir,
    .create = create_pub,
};
