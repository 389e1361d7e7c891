/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every operation is put into one struct (call) and goes one way: resolve the number, ask the class
 * whether this takes long, run here or in the pool, reply.
 */
#include "fs/session/ops.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "fs/node/class.h"
#include "fs/node/dirbuf.h"
#include "fs/node/stream.h"
#include "fs/session/opens.h"
#include "fs/session/pool.h"
#include "fs/session/stats.h"

struct call {
    enum jf_op op;
    fuse_req_t req;
    fuse_ino_t ino;
    fuse_ino_t new_ino;
    const char *name;
    const char *new_name;
    const char *data; /* write, setxattr */
    size_t size;
    off_t off;
    struct fuse_file_info fi;
    bool has_fi;
    bool list;  /* listxattr */
    bool store; /* setxattr */
    bool plus;
    struct stat attr;
    int to_set;
    unsigned flags;
    mode_t mode;
    struct fuse_pollhandle *ph;
};

static struct jf_fs *fs_of(const struct call *c) {
    return fuse_req_userdata(c->req);
}

static void reply_entry(const struct call *c, const struct jf_entry *entry) {
    if (fuse_reply_entry(c->req, &entry->e) != 0 && entry->node)
        jf_node_drop(fs_of(c), entry->node, 1);
}

static int do_lookup(struct call *c, const struct jf_ref *ref) {
    struct jf_entry entry;

    if (!ref->class->lookup)
        return -ENOENT;
    int r = ref->class->lookup(ref, c->name, &entry);
    if (r == 0)
        reply_entry(c, &entry);
    return r < 0 ? r : JF_REPLIED;
}

static int do_getattr(struct call *c, const struct jf_ref *ref) {
    struct stat st;
    double timeout;
    int r = jf_stat(ref, &st, &timeout, NULL);

    if (r == -ESTALE) {
        r = jf_opens_stat(ref, &st);
        timeout = 0;
    }
    if (r == 0)
        fuse_reply_attr(c->req, &st, timeout);
    return r < 0 ? r : JF_REPLIED;
}

static int do_setattr(struct call *c, const struct jf_ref *ref) {
    if (!ref->class->setattr)
        return -EPERM;
    int r = ref->class->setattr(ref, &c->attr, c->to_set, c->has_fi ? &c->fi : NULL);
    return r == 0 ? do_getattr(c, ref) : r;
}

static int do_readlink(struct call *c, const struct jf_ref *ref) {
    char *target;

    if (!ref->class->readlink)
        return -EINVAL;
    int r = ref->class->readlink(ref, &target);
    if (r < 0)
        return r;
    fuse_reply_readlink(c->req, target);
    free(target);
    return JF_REPLIED;
}

static void release(const struct jf_ref *ref, struct fuse_file_info *fi, bool dir) {
    if (dir && ref->class->releasedir)
        ref->class->releasedir(ref, fi);
    if (!dir && ref->class->release)
        ref->class->release(ref, fi);
}

static int reply_open(struct call *c, const struct jf_ref *ref, bool dir) {
    int r = jf_opens_add(ref, &c->fi, dir);

    if (r < 0) {
        release(ref, &c->fi, dir);
        return r;
    }
    /* The caller was interrupted: the kernel will not release what it does not know. */
    if (fuse_reply_open(c->req, &c->fi) != 0) {
        jf_opens_remove(ref->fs, &c->fi);
        release(ref, &c->fi, dir);
    }
    return JF_REPLIED;
}

static int do_open(struct call *c, const struct jf_ref *ref) {
    int r = 0;

    if (ref->class->open)
        r = ref->class->open(c->req, ref, &c->fi);
    else if ((c->fi.flags & O_ACCMODE) != O_RDONLY)
        r = -EACCES;
    if (r != 0)
        return r;
    return reply_open(c, ref, false);
}

static int do_read(struct call *c, const struct jf_ref *ref) {
    return ref->class->read ? ref->class->read(c->req, ref, c->size, c->off, &c->fi) : -EBADF;
}

static int do_write(struct call *c, const struct jf_ref *ref) {
    size_t count = 0;

    if (!ref->class->write)
        return -EBADF;
    int r = ref->class->write(c->req, ref, c->data, c->size, c->off, &c->fi, &count);
    if (r != 0)
        return r;
    atomic_fetch_add_explicit(&ref->fs->stats->write_bytes, count, memory_order_relaxed);
    fuse_reply_write(c->req, count);
    return JF_REPLIED;
}

static int do_fsync(struct call *c, const struct jf_ref *ref) {
    if (ref->class->fsync)
        return ref->class->fsync(ref, c->has_fi ? &c->fi : NULL);
    if (!ref->fs->options.rw || !ref->stream)
        return 0;
    int r = js_stream_sync(ref->stream->stream);
    if (r == 0)
        r = js_stream_sync_consumers(ref->stream->stream);
    if (r < 0)
        jf_log_add(ref->fs->log, "%s: sync: %s", ref->stream->tag, js_err_text(r));
    return r;
}

static int do_opendir(struct call *c, const struct jf_ref *ref) {
    int r = ref->class->opendir ? ref->class->opendir(ref, &c->fi) : 0;

    if (r != 0)
        return r;
    return reply_open(c, ref, true);
}

static int do_readdir(struct call *c, const struct jf_ref *ref) {
    struct jf_dirbuf buf = {.req = c->req, .dir = ref, .cap = c->size, .plus = c->plus};
    int r = 0;

    buf.data = malloc(c->size ? c->size : 1);
    if (!buf.data)
        return JS_ERR_NOMEM;
    if (ref->class->readdir)
        r = ref->class->readdir(ref, c->off, &c->fi, &buf);
    else
        jf_dirbuf_dots(&buf, c->off);
    if (r == 0)
        fuse_reply_buf(c->req, buf.data, buf.len);
    free(buf.data);
    return r < 0 ? r : JF_REPLIED;
}

static int do_create(struct call *c, const struct jf_ref *ref) {
    struct jf_entry entry;

    if (!ref->class->create)
        return -EPERM;
    int r = ref->class->create(c->req, ref, c->name, c->mode, &c->fi, &entry);
    if (r != 0)
        return r;
    struct jf_ref file = jf_ref_of(ref->fs, entry.node);
    r = jf_opens_add(&file, &c->fi, false);
    if (r == 0 && fuse_reply_create(c->req, &entry.e, &c->fi) == 0)
        return JF_REPLIED;
    if (r == 0)
        jf_opens_remove(ref->fs, &c->fi);
    release(&file, &c->fi, false);
    jf_node_drop(ref->fs, entry.node, 1);
    return r < 0 ? r : JF_REPLIED;
}

static int do_mkdir(struct call *c, const struct jf_ref *ref) {
    struct jf_entry entry;

    if (!ref->class->mkdir)
        return -EPERM;
    int r = ref->class->mkdir(ref, c->name, c->mode, &entry);
    if (r == 0)
        reply_entry(c, &entry);
    return r < 0 ? r : JF_REPLIED;
}

static int do_rename(struct call *c, const struct jf_ref *ref) {
    struct jf_ref to;

    if (!ref->class->rename)
        return -EXDEV;
    int r = jf_ref_resolve(ref->fs, c->new_ino, &to);
    return r < 0 ? r : ref->class->rename(ref, c->name, &to, c->new_name, c->flags);
}

/* Replies to getxattr and listxattr: the length, or the bytes if they fit. */
static int reply_xattr(const struct call *c, const char *data, size_t len) {
    if (c->size == 0)
        fuse_reply_xattr(c->req, len);
    else if (len > c->size)
        return -ERANGE;
    else
        fuse_reply_buf(c->req, data, len);
    return JF_REPLIED;
}

static int do_xattr(struct call *c, const struct jf_ref *ref) {
    char *data = NULL;
    size_t len = 0;
    int r = 0;

    /* EOPNOTSUPP makes ls and cp stop asking; ENODATA would cost two requests a file. */
    if (!c->list && strncmp(c->name, "user.", 5) != 0)
        return -EOPNOTSUPP;
    if (c->store)
        return ref->class->setxattr
                   ? ref->class->setxattr(ref, c->name, c->data, c->size, (int)c->flags)
                   : -EPERM;
    if (c->list && ref->class->listxattr)
        r = ref->class->listxattr(ref, &data, &len);
    else if (!c->list)
        r = ref->class->getxattr ? ref->class->getxattr(ref, c->name, &data, &len) : -ENODATA;
    if (r == 0)
        r = reply_xattr(c, data, len);
    free(data);
    return r;
}

static int do_poll(struct call *c, const struct jf_ref *ref) {
    unsigned revents = POLLIN | POLLOUT;
    int r = 0;

    if (ref->class->poll)
        r = ref->class->poll(ref, &c->fi, c->ph, &revents);
    else if (c->ph)
        fuse_pollhandle_destroy(c->ph);
    if (r == 0)
        fuse_reply_poll(c->req, revents);
    return r < 0 ? r : JF_REPLIED;
}

static int do_statfs(struct call *c, const struct jf_ref *ref) {
    struct statvfs st;
    int r = jf_statfs(ref->fs, ref->stream ? ref->stream->stream : NULL, &st);

    if (r == 0)
        fuse_reply_statfs(c->req, &st);
    return r < 0 ? r : JF_REPLIED;
}

static int run_op(struct call *c, const struct jf_ref *ref) {
    const struct jf_class *class = ref->class;

    switch (c->op) {
    case JF_OP_LOOKUP:
        return do_lookup(c, ref);
    case JF_OP_GETATTR:
        return do_getattr(c, ref);
    case JF_OP_SETATTR:
        return do_setattr(c, ref);
    case JF_OP_READLINK:
        return do_readlink(c, ref);
    case JF_OP_OPEN:
        return do_open(c, ref);
    case JF_OP_READ:
        return do_read(c, ref);
    case JF_OP_WRITE:
        return do_write(c, ref);
    case JF_OP_FLUSH:
        return class->flush ? class->flush(c->req, ref, &c->fi) : 0;
    case JF_OP_RELEASE:
        release(ref, &c->fi, false);
        return 0;
    case JF_OP_FSYNC:
        return do_fsync(c, ref);
    case JF_OP_OPENDIR:
        return do_opendir(c, ref);
    case JF_OP_READDIR:
        return do_readdir(c, ref);
    case JF_OP_RELEASEDIR:
        release(ref, &c->fi, true);
        return 0;
    case JF_OP_CREATE:
        return do_create(c, ref);
    case JF_OP_UNLINK:
        return class->unlink ? class->unlink(ref, c->name) : -EPERM;
    case JF_OP_RENAME:
        return do_rename(c, ref);
    case JF_OP_MKDIR:
        return do_mkdir(c, ref);
    case JF_OP_RMDIR:
        return class->rmdir ? class->rmdir(ref, c->name) : -EPERM;
    case JF_OP_XATTR:
        return do_xattr(c, ref);
    case JF_OP_POLL:
        return do_poll(c, ref);
    case JF_OP_STATFS:
        return do_statfs(c, ref);
    default:
        return -ENOSYS;
    }
}

static void answer(struct jf_fs *fs, struct call *c, int r) {
    if (r == JF_REPLIED)
        return;
    if (r < 0)
        atomic_fetch_add_explicit(&fs->stats->op[c->op].errors, 1, memory_order_relaxed);
    fuse_reply_err(c->req, jf_errno(r));
}

static bool changes(const struct call *c) {
    return c->op == JF_OP_SETATTR || c->op == JF_OP_WRITE || c->op == JF_OP_CREATE ||
           c->op == JF_OP_UNLINK || c->op == JF_OP_RENAME || c->op == JF_OP_MKDIR ||
           c->op == JF_OP_RMDIR || c->store;
}

/* A call for the pool: the names are its own. */
struct job {
    struct call call;
    struct jf_ref ref;
    char names[];
};

static void run_job(void *arg) {
    struct job *job = arg;
    struct jf_fs *fs = job->ref.fs;

    answer(fs, &job->call, run_op(&job->call, &job->ref));
    free(job);
}

static bool defer(struct call *c, const struct jf_ref *ref) {
    size_t len = c->name ? strlen(c->name) + 1 : 0;
    struct job *job = malloc(sizeof(*job) + len);

    if (!job)
        return false;
    job->call = *c;
    job->ref = *ref;
    if (c->name)
        job->call.name = memcpy(job->names, c->name, len);
    if (jf_pool_run(ref->fs->pool, run_job, job) < 0) {
        free(job);
        return false;
    }
    return true;
}

static bool may_defer(const struct call *c) {
    return c->op != JF_OP_READ && c->op != JF_OP_WRITE && c->op != JF_OP_RENAME && !c->store &&
           c->op != JF_OP_CREATE && c->op != JF_OP_POLL;
}

static void dispatch(struct call *c) {
    struct jf_fs *fs = fs_of(c);
    struct jf_ref ref;

    atomic_fetch_add_explicit(&fs->stats->op[c->op].count, 1, memory_order_relaxed);
    int r = jf_ref_resolve(fs, c->ino, &ref);

    if (c->op == JF_OP_RELEASE || c->op == JF_OP_RELEASEDIR)
        jf_opens_remove(fs, &c->fi);
    else
        jf_opens_resolve(&c->fi);
    /* What is gone still has open files to give back. */
    if (r == -ESTALE && (c->op == JF_OP_RELEASE || c->op == JF_OP_RELEASEDIR)) {
        struct jf_node *node = jf_intern_find(fs, c->ino);
        r = node ? 0 : r;
        if (node)
            ref = jf_ref_of(fs, node);
    }
    if (r == 0 && changes(c) && !fs->options.rw)
        r = -EROFS;
    if (r == 0 && may_defer(c) && ref.class->slow && ref.class->slow(&ref, c->op, c->name) &&
        defer(c, &ref))
        return;
    answer(fs, c, r < 0 ? r : run_op(c, &ref));
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name) {
    dispatch(&(struct call){.op = JF_OP_LOOKUP, .req = req, .ino = parent, .name = name});
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
    (void)fi;
    dispatch(&(struct call){.op = JF_OP_GETATTR, .req = req, .ino = ino});
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi) {
    struct call c = {.op = JF_OP_SETATTR, .req = req, .ino = ino, .attr = *attr, .to_set = to_set};

    if (fi) {
        c.fi = *fi;
        c.has_fi = true;
    }
    dispatch(&c);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino) {
    dispatch(&(struct call){.op = JF_OP_READLINK, .req = req, .ino = ino});
}

static void op_fi(enum jf_op op, fuse_req_t req, fuse_ino_t ino, const struct fuse_file_info *fi) {
    dispatch(&(struct call){.op = op, .req = req, .ino = ino, .fi = *fi, .has_fi = true});
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
    op_fi(JF_OP_OPEN, req, ino, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi) {
    dispatch(&(struct call){
        .op = JF_OP_READ, .req = req, .ino = ino, .size = size, .off = off, .fi = *fi});
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
                     struct fuse_file_info *fi) {
    dispatch(&(struct call){.op = JF_OP_WRITE,
                            .req = req,
                            .ino = ino,
                            .data = buf,
                            .size = size,
                            .off = off,
                            .fi = *fi});
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
    op_fi(JF_OP_FLUSH, req, ino, fi);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
    op_fi(JF_OP_RELEASE, req, ino, fi);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi) {
    (void)datasync;
    op_fi(JF_OP_FSYNC, req, ino, fi);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
    op_fi(JF_OP_OPENDIR, req, ino, fi);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                       struct fuse_file_info *fi) {
    dispatch(&(struct call){
        .op = JF_OP_READDIR, .req = req, .ino = ino, .size = size, .off = off, .fi = *fi});
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                           struct fuse_file_info *fi) {
    dispatch(&(struct call){.op = JF_OP_READDIR,
                            .req = req,
                            .ino = ino,
                            .size = size,
                            .off = off,
                            .fi = *fi,
                            .plus = true});
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
    op_fi(JF_OP_RELEASEDIR, req, ino, fi);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi) {
    (void)datasync;
    (void)fi;
    dispatch(&(struct call){.op = JF_OP_FSYNC, .req = req, .ino = ino});
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi) {
    dispatch(&(struct call){.op = JF_OP_CREATE,
                            .req = req,
                            .ino = parent,
                            .name = name,
                            .mode = mode,
                            .fi = *fi,
                            .has_fi = true});
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode) {
    dispatch(
        &(struct call){.op = JF_OP_MKDIR, .req = req, .ino = parent, .name = name, .mode = mode});
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name) {
    dispatch(&(struct call){.op = JF_OP_UNLINK, .req = req, .ino = parent, .name = name});
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name) {
    dispatch(&(struct call){.op = JF_OP_RMDIR, .req = req, .ino = parent, .name = name});
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned flags) {
    dispatch(&(struct call){.op = JF_OP_RENAME,
                            .req = req,
                            .ino = parent,
                            .name = name,
                            .new_ino = new_parent,
                            .new_name = new_name,
                            .flags = flags});
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size) {
    dispatch(&(struct call){.op = JF_OP_XATTR, .req = req, .ino = ino, .name = name, .size = size});
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size) {
    dispatch(&(struct call){.op = JF_OP_XATTR, .req = req, .ino = ino, .size = size, .list = true});
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                        size_t size, int flags) {
    dispatch(&(struct call){.op = JF_OP_XATTR,
                            .req = req,
                            .ino = ino,
                            .name = name,
                            .data = value,
                            .size = size,
                            .flags = (unsigned)flags,
                            .store = true});
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name) {
    (void)ino;
    fuse_reply_err(req, strncmp(name, "user.", 5) == 0 ? EPERM : EOPNOTSUPP);
}

static void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
                    struct fuse_pollhandle *ph) {
    dispatch(&(struct call){.op = JF_OP_POLL, .req = req, .ino = ino, .fi = *fi, .ph = ph});
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino) {
    dispatch(&(struct call){.op = JF_OP_STATFS, .req = req, .ino = ino ? ino : FUSE_ROOT_ID});
}

static void forget_one(struct jf_fs *fs, fuse_ino_t ino, uint64_t nlookup) {
    enum jf_kind kind = jf_node_kind(ino);
    struct jf_node *node;

    if (kind == JF_KIND_MSG || kind == JF_KIND_FULL || ino == FUSE_ROOT_ID)
        return;
    node = jf_intern_find(fs, ino);
    if (node)
        jf_node_drop(fs, node, nlookup);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup) {
    forget_one(fuse_req_userdata(req), ino, nlookup);
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets) {
    struct jf_fs *fs = fuse_req_userdata(req);

    for (size_t i = 0; i < count; i++)
        forget_one(fs, forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev) {
    (void)parent;
    (void)name;
    (void)mode;
    (void)dev;
    fuse_reply_err(req, EPERM);
}

static void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name) {
    (void)link;
    (void)parent;
    (void)name;
    fuse_reply_err(req, EPERM);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name) {
    (void)ino;
    (void)parent;
    (void)name;
    fuse_reply_err(req, EPERM);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                         struct fuse_file_info *fi) {
    (void)ino;
    (void)mode;
    (void)off;
    (void)len;
    (void)fi;
    fuse_reply_err(req, EOPNOTSUPP);
}

void jf_ops_fill(struct fuse_lowlevel_ops *ops) {
    *ops = (struct fuse_lowlevel_ops){
        .lookup = op_lookup,
        .forget = op_forget,
        .forget_multi = op_forget_multi,
        .getattr = op_getattr,
        .setattr = op_setattr,
        .readlink = op_readlink,
        .mknod = op_mknod,
        .mkdir = op_mkdir,
        .unlink = op_unlink,
        .rmdir = op_rmdir,
        .symlink = op_symlink,
        .rename = op_rename,
        .link = op_link,
        .open = op_open,
        .read = op_read,
        .write = op_write,
        .flush = op_flush,
        .release = op_release,
        .fsync = op_fsync,
        .opendir = op_opendir,
        .readdir = op_readdir,
        .readdirplus = op_readdirplus,
        .releasedir = op_releasedir,
        .fsyncdir = op_fsyncdir,
        .statfs = op_statfs,
        .setxattr = op_setxattr,
        .getxattr = op_getxattr,
        .listxattr = op_listxattr,
        .removexattr = op_removexattr,
        .create = op_create,
        .poll = op_poll,
        .fallocate = op_fallocate,
    };
}
