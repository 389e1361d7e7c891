/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream's ctl: a verb per line; write(2) gives the verb's error, and reading from the same handle
 * what the last one said.
 *
 *   purge [subject=F] [keep=N] [seq=N]   delete N   erase N   truncate N   (allow_delete)
 *   seal                                                                   (allow_admin)
 *   sync   rotate
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/errmap.h"
#include "fs/node/admin.h"
#include "fs/node/publish.h"
#include "fs/node/stream.h"
#include "fs/session/notify.h"

#define MAX_LINE 66000

struct handle {
    pthread_mutex_t lock;
    char reply[160];
    size_t len; /* 0: nothing left to say */
    bool unsynced;
};

static bool number(const char *text, uint64_t *ret) {
    char *end;

    errno = 0;
    if (*text < '0' || *text > '9')
        return false;
    *ret = strtoull(text, &end, 10);
    return !*end && errno == 0;
}

static int need(const struct jf_ref *ref, bool allowed) {
    if (!ref->fs->options.rw)
        return -EROFS;
    return allowed ? 0 : -EPERM;
}

static int do_purge(const struct jf_ref *ref, char *args, struct handle *h) {
    const char *subject = ">";
    uint64_t keep = 0, seq = 0, n = 0;
    char *save = NULL;

    for (char *w = strtok_r(args, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
        /* What is empty or 0 would mean everything. */
        if (strncmp(w, "subject=", 8) == 0 && w[8])
            subject = w + 8;
        else if (strncmp(w, "keep=", 5) == 0 && number(w + 5, &keep) && keep)
            ;
        else if (strncmp(w, "seq=", 4) == 0 && number(w + 4, &seq) && seq)
            ;
        else
            return -EINVAL;
    }
    int r = need(ref, ref->fs->options.allow_delete);
    if (r == 0)
        r = js_stream_purge_ex(ref->stream->stream, subject, strlen(subject), seq, keep, &n);
    if (r == 0)
        snprintf(h->reply, sizeof(h->reply), "purged %llu\n", (unsigned long long)n);
    return r;
}

static int do_seq(const struct jf_ref *ref, const char *verb, const char *arg) {
    struct js_stream *s = ref->stream->stream;
    uint64_t seq;

    if (!number(arg, &seq))
        return -EINVAL;
    int r = need(ref, ref->fs->options.allow_delete);
    if (r < 0)
        return r;
    if (strcmp(verb, "truncate") == 0)
        return js_stream_truncate(s, seq);
    r = strcmp(verb, "erase") == 0 ? js_stream_erase_msg(s, seq) : js_stream_remove_msg(s, seq);
    if (r == 1)
        jf_notify_msg(ref->stream, seq);
    return r < 0 ? r : r == 1 ? 0 : -ENOENT;
}

static int do_seal(const struct jf_ref *ref) {
    char why[300] = "";
    int r = need(ref, ref->fs->options.allow_admin);

    if (r < 0)
        return r;
    json_t *root = json_loads(js_stream_config_json(ref->stream->stream), 0, NULL);
    if (!root)
        return -EIO;
    json_object_set_new(root, "sealed", json_true());
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    r = text ? js_stream_update_config(ref->stream->stream, text, why, sizeof(why)) : JS_ERR_NOMEM;
    free(text);
    if (r < 0)
        jf_log_add(ref->fs->log, "%s: seal: %s", ref->stream->tag, why);
    return r;
}

static int run_line(const struct jf_ref *ref, char *line, struct handle *h) {
    char *verb = line + strspn(line, " \t");
    char *arg = verb + strcspn(verb, " \t");
    int r;

    if (*arg)
        *arg++ = 0;
    arg += strspn(arg, " \t");
    if (!*verb)
        return 0;
    snprintf(h->reply, sizeof(h->reply), "ok\n");
    if (strcmp(verb, "purge") == 0) {
        r = do_purge(ref, arg, h);
    } else if (strcmp(verb, "delete") == 0 || strcmp(verb, "erase") == 0 ||
               strcmp(verb, "truncate") == 0) {
        r = do_seq(ref, verb, arg);
    } else if (*arg) {
        r = -EINVAL;
    } else if (strcmp(verb, "sync") == 0) {
        r = need(ref, true);
        r = r < 0 ? r : js_stream_sync(ref->stream->stream);
    } else if (strcmp(verb, "rotate") == 0) {
        r = need(ref, true);
        r = r < 0 ? r : js_stream_rotate(ref->stream->stream);
    } else if (strcmp(verb, "seal") == 0) {
        r = do_seal(ref);
    } else {
        r = -EINVAL;
    }
    if (r < 0) {
        snprintf(h->reply, sizeof(h->reply), "%s: %s\n", verb, strerror(jf_errno(r)));
        jf_log_add(ref->fs->log, "%s: ctl: %.100s: %s", ref->stream->tag, verb,
                   strerror(jf_errno(r)));
    }
    h->len = strlen(h->reply);
    return r;
}

static int open_ctl(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    (void)req;
    if ((fi->flags & O_ACCMODE) != O_RDONLY && !ref->fs->options.rw)
        return -EROFS;
    struct handle *h = calloc(1, sizeof(*h));
    if (!h)
        return JS_ERR_NOMEM;
    pthread_mutex_init(&h->lock, NULL);
    fi->fh = (uintptr_t)h;
    fi->direct_io = 1;
    fi->nonseekable = 1;
    return 0;
}

static int write_ctl(fuse_req_t req, const struct jf_ref *ref, const char *buf, size_t size,
                     off_t off, struct fuse_file_info *fi, size_t *ret_count) {
    struct handle *h = (struct handle *)(uintptr_t)fi->fh;
    size_t done = 0;
    int r = 0;

    (void)req;
    (void)off;
    if (size > MAX_LINE)
        return -EINVAL;
    pthread_mutex_lock(&h->lock);
    while (done < size && r == 0) {
        const char *lf = memchr(buf + done, '\n', size - done);
        size_t n = lf ? (size_t)(lf - buf) - done : size - done;
        char *line = strndup(buf + done, n);
        r = line ? run_line(ref, line, h) : JS_ERR_NOMEM;
        free(line);
        h->unsynced = true;
        if (r == 0)
            done += n + (lf ? 1 : 0);
    }
    pthread_mutex_unlock(&h->lock);
    /* Lines before the one that failed are done: a short count, and the next write tells. */
    if (r < 0 && done == 0)
        return r;
    *ret_count = done;
    return 0;
}

static int read_ctl(fuse_req_t req, const struct jf_ref *ref, size_t size, off_t off,
                    struct fuse_file_info *fi) {
    struct handle *h = (struct handle *)(uintptr_t)fi->fh;

    (void)ref;
    (void)off;
    pthread_mutex_lock(&h->lock);
    /* Said once; then it is the end of the file. */
    size_t n = h->len < size ? h->len : size;
    fuse_reply_buf(req, h->reply, n);
    h->len = 0;
    pthread_mutex_unlock(&h->lock);
    return JF_REPLIED;
}

/* What was asked for is on disk when the file is closed, as with everything that is written here.
 */
static int flush_ctl(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct handle *h = (struct handle *)(uintptr_t)fi->fh;

    (void)req;
    pthread_mutex_lock(&h->lock);
    bool unsynced = h->unsynced;
    h->unsynced = false;
    pthread_mutex_unlock(&h->lock);
    return unsynced ? jf_publish_sync(ref) : 0;
}

static void release_ctl(const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct handle *h = (struct handle *)(uintptr_t)fi->fh;

    (void)ref;
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static int setattr_ctl(const struct jf_ref *ref, const struct stat *attr, int to_set,
                       struct fuse_file_info *fi) {
    (void)ref;
    (void)attr;
    (void)fi;
    /* `echo x > ctl` truncates. */
    return to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) ? -EPERM : 0;
}

static int stat_ctl(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                    double *entry_timeout) {
    (void)attr_timeout;
    (void)entry_timeout;
    if (!ref->fs->options.rw)
        st->st_mode &= ~(mode_t)0222;
    return 0;
}

const struct jf_class jf_class_ctl = {
    .name = "ctl",
    .mode = S_IFREG | 0644,
    .stat = stat_ctl,
    .setattr = setattr_ctl,
    .open = open_ctl,
    .read = read_ctl,
    .write = write_ctl,
    .flush = flush_ctl,
    .release = release_ctl,
};
