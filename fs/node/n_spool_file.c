/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file in spool/<subject>/ until it is a message.
 *
 * When is it finished? Shells close copies of a descriptor before they write, children close what
 * they inherited, and the kernel's RELEASE comes after close(2) has returned. So the commit is: the
 * first FLUSH that finds something written and comes from the process that opened the file; else
 * fsync(2); else RELEASE, whose error can only be logged. A temporary name is committed by
 * its rename, never by a close. After the commit the file is sealed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/errmap.h"
#include "fs/node/opener.h"
#include "fs/node/publish.h"
#include "fs/node/spool.h"
#include "fs/node/stage.h"
#include "fs/node/stream.h"
#include "fs/node/xattr.h"
#include "fs/session/park.h"
#include "fs/view/msgfile.h"

static struct jf_stage *stage_of(const struct jf_ref *ref) {
    return ref->node->priv;
}

static bool is_temporary(struct jf_stage *s) {
    /* The name changes only by rename, which takes the stage's lock as the callers do. */
    return s->name && jf_stage_is_temporary(s->name);
}

static int stat_file(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                     double *entry_timeout) {
    struct jf_stage *s = stage_of(ref);

    pthread_mutex_lock(&s->lock);
    st->st_size = (off_t)s->len;
    jf_stat_time(ref->fs, st, s->mtime);
    pthread_mutex_unlock(&s->lock);
    /* It changes only by what goes through this file. */
    (void)attr_timeout;
    *entry_timeout = 0;
    return 0;
}

static int setattr_file(const struct jf_ref *ref, const struct stat *attr, int to_set,
                        struct fuse_file_info *fi) {
    struct jf_stage *s = stage_of(ref);
    int r = 0;

    (void)fi;
    /* Owner, mode and times are accepted and mean nothing: cp -a, rsync and tar set them. */
    if (!(to_set & FUSE_SET_ATTR_SIZE))
        return 0;
    pthread_mutex_lock(&s->lock);
    if (s->committed)
        r = -EPERM;
    else
        r = jf_stage_resize(s, (uint64_t)attr->st_size, ref->fs->options.max_payload);
    if (r == 0 && attr->st_size)
        s->dirty = true;
    if (r == 0 && attr->st_size == 0)
        s->failed = 0;
    pthread_mutex_unlock(&s->lock);
    return r;
}

int jf_spool_open(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct jf_stage *s = stage_of(ref);
    bool writing = (fi->flags & O_ACCMODE) != O_RDONLY;
    int r = 0;

    pthread_mutex_lock(&s->lock);
    if (writing && s->committed)
        r = -EPERM;
    if (r == 0 && writing) {
        s->opener = fuse_req_ctx(req)->pid;
        if (fi->flags & O_TRUNC) {
            r = jf_stage_resize(s, 0, ref->fs->options.max_payload);
            s->failed = 0;
        }
    }
    pthread_mutex_unlock(&s->lock);
    fi->direct_io = 1;
    return r;
}

static int read_file(fuse_req_t req, const struct jf_ref *ref, size_t size, off_t off,
                     struct fuse_file_info *fi) {
    struct jf_stage *s = stage_of(ref);

    (void)fi;
    pthread_mutex_lock(&s->lock);
    jf_reply_text(req, s->data ? (const char *)s->data : "", s->len, size, off);
    pthread_mutex_unlock(&s->lock);
    return JF_REPLIED;
}

static int write_file(fuse_req_t req, const struct jf_ref *ref, const char *buf, size_t size,
                      off_t off, struct fuse_file_info *fi, size_t *ret_count) {
    struct jf_stage *s = stage_of(ref);
    int r = 0;

    (void)req;
    pthread_mutex_lock(&s->lock);
    uint64_t at = fi->flags & O_APPEND ? s->len : (uint64_t)off, end;
    if (s->committed)
        r = -EPERM;
    else if (__builtin_add_overflow(at, size, &end))
        r = -EFBIG;
    else if (end > s->len)
        r = jf_stage_resize(s, end, ref->fs->options.max_payload);
    if (r == 0) {
        memcpy(s->data + at, buf, size);
        s->dirty = true;
        *ret_count = size;
    } else if (!s->committed) {
        s->failed = r;
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* With the stage's lock. */
static int commit(const struct jf_ref *ref, struct jf_stage *s) {
    if (s->committed || s->discarded || !s->dirty || is_temporary(s))
        return 0;
    /* After a failed write the file lacks its end: it stays staged until it is written anew. */
    if (s->failed)
        return s->failed;
    int r = jf_stage_commit(s);
    if (jf_publish_waits(ref, r))
        s->dirty = true;
    return r < 0 ? r : jf_publish_sync(ref);
}

/* A close that waits for room in the stream. */
struct waiting {
    struct jf_ref ref;
    struct jf_stage *stage;
};

static bool try_commit(void *arg, fuse_req_t req) {
    struct waiting *w = arg;

    pthread_mutex_lock(&w->stage->lock);
    int r = commit(&w->ref, w->stage);
    pthread_mutex_unlock(&w->stage->lock);
    if (jf_publish_waits(&w->ref, r))
        return false;
    fuse_reply_err(req, jf_errno(r));
    return true;
}

static void end_waiting(void *arg) {
    struct waiting *w = arg;

    jf_stage_unref(w->stage);
    free(w);
}

static int flush_file(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct jf_stage *s = stage_of(ref);
    int r = 0;

    (void)fi; /* FLUSH does not tell how the file was opened; who only read left nothing to do */
    pthread_mutex_lock(&s->lock);
    if (jf_is_opener(s->opener, fuse_req_ctx(req)->pid))
        r = commit(ref, s);
    pthread_mutex_unlock(&s->lock);
    if (!jf_publish_waits(ref, r))
        return r;
    struct waiting *w = malloc(sizeof(*w));
    if (!w)
        return JS_ERR_NOMEM;
    *w = (struct waiting){.ref = *ref, .stage = jf_stage_ref(s)};
    jf_park(ref->stream->waitq, s, req, try_commit, w, end_waiting);
    return JF_REPLIED;
}

static int fsync_file(const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct jf_stage *s = stage_of(ref);

    (void)fi;
    pthread_mutex_lock(&s->lock);
    int r = commit(ref, s);
    pthread_mutex_unlock(&s->lock);
    return r < 0 ? r : js_stream_sync(ref->stream->stream);
}

static void release_file(const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct jf_stage *s = stage_of(ref);

    if ((fi->flags & O_ACCMODE) == O_RDONLY)
        return;
    pthread_mutex_lock(&s->lock);
    if (ref->fs->options.empty_publish && s->len == 0 && !s->committed)
        s->dirty = true;
    int r = commit(ref, s);
    if (r < 0)
        jf_log_add(ref->fs->log, "spool/%s/%s: not stored: %s", s->dir, s->name ? s->name : "",
                   strerror(jf_errno(r)));
    /* An empty file that nobody wrote to (touch) leaves nothing behind. */
    bool nothing = !s->committed && s->len == 0 && !is_temporary(s);
    pthread_mutex_unlock(&s->lock);
    if (nothing)
        jf_stage_unlink(s);
}

static int set_header(struct jf_stage *s, const char *name, const char *value, size_t len) {
    return jf_hdr_add(&s->hdr, &s->hdr_len, name, strlen(name), value, len);
}

static int setxattr_file(const struct jf_ref *ref, const char *name, const char *value, size_t len,
                         int flags) {
    struct jf_stage *s = stage_of(ref);
    int r = -EOPNOTSUPP;

    (void)flags;
    pthread_mutex_lock(&s->lock);
    if (s->committed) {
        r = -EPERM;
    } else if (strcmp(name, "user.nats.subject") == 0) {
        char *copy = js_subject_valid(value, len) ? strndup(value, len) : NULL;
        r = copy ? 0 : -EINVAL;
        if (copy) {
            free(s->xattr_subject);
            s->xattr_subject = copy;
        }
    } else if (strcmp(name, "user.nats.msgid") == 0) {
        r = set_header(s, "Nats-Msg-Id", value, len);
    } else if (strcmp(name, "user.nats.expect_last_seq") == 0) {
        r = set_header(s, "Nats-Expected-Last-Sequence", value, len);
    } else if (strncmp(name, "user.nats.hdr.", 14) == 0) {
        r = set_header(s, name + 14, value, len);
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* Of a file that is a message by now: what its opener can ask without its name. */
static int getxattr_file(const struct jf_ref *ref, const char *name, char **ret_value,
                         size_t *ret_len) {
    struct jf_stage *s = stage_of(ref);

    pthread_mutex_lock(&s->lock);
    struct jf_ref msg = *ref;
    msg.seq = s->committed ? s->seq : 0;
    pthread_mutex_unlock(&s->lock);
    return msg.seq ? jf_msg_getxattr(&msg, name, ret_value, ret_len) : -ENODATA;
}

static int listxattr_file(const struct jf_ref *ref, char **ret_names, size_t *ret_len) {
    struct jf_stage *s = stage_of(ref);

    pthread_mutex_lock(&s->lock);
    struct jf_ref msg = *ref;
    msg.seq = s->committed ? s->seq : 0;
    pthread_mutex_unlock(&s->lock);
    if (msg.seq)
        return jf_msg_listxattr(&msg, ret_names, ret_len);
    *ret_names = NULL;
    *ret_len = 0;
    return 0;
}

static void file_done(struct jf_node *node) {
    jf_stage_unref(node->priv);
}

const struct jf_class jf_class_spool_file = {
    .name = "spoolfile",
    .mode = S_IFREG | 0644,
    .stat = stat_file,
    .setattr = setattr_file,
    .open = jf_spool_open,
    .read = read_file,
    .write = write_file,
    .flush = flush_file,
    .release = release_file,
    .fsync = fsync_file,
    .getxattr = getxattr_file,
    .listxattr = listxattr_file,
    .setxattr = setxattr_file,
    .node_done = file_done,
    .shutdown = jf_stage_shutdown,
};
