/* SPDX-License-Identifier: Apache-2.0 */
/* The I/O table over the disk in memory: recording and faults. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/ramdisk_impl.h"

/* Descriptors are numbers that no system call would take for one of its own by accident. */
#define FD_BASE 100000

/* ---- faults -----------------------------------------------------------------------------------
 */

/* True if this call is to fail. */
static bool due(struct ramdisk *d, unsigned call) {
    struct rd_fault *f = &d->fault;

    if (!(f->calls & call) || d->fault_paused)
        return false;
    d->fault_calls++;
    if (f->countdown <= 0 || --f->countdown > 0)
        return false;
    if (f->sticky)
        f->countdown = 1;
    d->fired++;
    return true;
}

static int enter(struct ramdisk *d, unsigned call) {
    pthread_mutex_lock(&d->mu);
    return due(d, call) && d->fault.kind != RD_SHORT ? -d->fault.err : 0;
}

static int leave(struct ramdisk *d, int r) {
    pthread_mutex_unlock(&d->mu);
    return r;
}

void rd_set_fault(struct ramdisk *d, const struct rd_fault *fault) {
    pthread_mutex_lock(&d->mu);
    d->fault = fault ? *fault : (struct rd_fault){0};
    d->fault_calls = d->fired = 0;
    pthread_mutex_unlock(&d->mu);
}

void rd_pause_fault(struct ramdisk *d, bool paused) {
    pthread_mutex_lock(&d->mu);
    d->fault_paused = paused;
    pthread_mutex_unlock(&d->mu);
}

long rd_fault_calls(const struct ramdisk *d) {
    return d->fault_calls;
}

long rd_faults_fired(const struct ramdisk *d) {
    return d->fired;
}

/* ---- record -----------------------------------------------------------------------------------
 */

static void note(struct ramdisk *d, const struct rd_op *op) {
    if (!d->recording)
        return;
    if (d->num_ops == d->cap_ops) {
        d->cap_ops = d->cap_ops ? d->cap_ops * 2 : 128;
        d->ops = rd_need(realloc(d->ops, d->cap_ops * sizeof *d->ops));
    }
    struct rd_op *o = &d->ops[d->num_ops++];
    *o = *op;
    o->name = op->name ? rd_need(strdup(op->name)) : NULL;
    o->name2 = op->name2 ? rd_need(strdup(op->name2)) : NULL;
    if (op->data) {
        o->data = rd_need(malloc(op->len ? op->len : 1));
        memcpy(o->data, op->data, op->len);
    }
}

void rd_record(struct ramdisk *d) {
    pthread_mutex_lock(&d->mu);
    d->base = rd_clone(d);
    d->recording = true;
    pthread_mutex_unlock(&d->mu);
}

size_t rd_recorded(const struct ramdisk *d) {
    return d->num_ops;
}

/* ---- names ------------------------------------------------------------------------------------
 */

static struct rd_fd *fd_of(struct ramdisk *d, int fd) {
    size_t i = (size_t)(fd - FD_BASE);

    return fd >= FD_BASE && i < d->num_fds && d->fds[i].used ? &d->fds[i] : NULL;
}

static int new_fd(struct ramdisk *d, uint32_t ino, bool writable) {
    size_t i = 0;

    while (i < d->num_fds && d->fds[i].used)
        i++;
    if (i == d->num_fds) {
        d->fds = rd_need(realloc(d->fds, (i + 1) * sizeof *d->fds));
        d->num_fds++;
    }
    d->fds[i] = (struct rd_fd){.ino = ino, .used = true, .writable = writable};
    return (int)i + FD_BASE;
}

/* The directory of a name and its last part. Only the source itself is given as a path. */
static int dir_of(struct ramdisk *d, int dirfd, const char **name, uint32_t *ret_dir) {
    if (dirfd >= 0) {
        const struct rd_fd *f = fd_of(d, dirfd);
        if (!f)
            return -EBADF;
        if (!d->inodes[f->ino].is_dir)
            return -ENOTDIR;
        if (strchr(*name, '/') || !**name)
            return -EINVAL;
        *ret_dir = f->ino;
        return 0;
    }
    uint32_t ino = 0;
    const char *p = *name;
    for (;;) {
        char part[256];
        while (*p == '/')
            p++;
        size_t n = strcspn(p, "/");
        if (!p[n] || !p[n + strspn(p + n, "/")])
            break;
        if (n >= sizeof part)
            return -ENAMETOOLONG;
        memcpy(part, p, n);
        part[n] = 0;
        const struct rd_entry *e = rd_find(&d->inodes[ino], part);
        if (!e || !d->inodes[e->ino].is_dir)
            return -ENOENT;
        ino = e->ino;
        p += n;
    }
    *name = *p ? p : ".";
    *ret_dir = ino;
    return 0;
}

static int lookup(struct ramdisk *d, int dirfd, const char *name, uint32_t *ret_ino) {
    uint32_t dir;
    int r = dir_of(d, dirfd, &name, &dir);

    if (r < 0)
        return r;
    if (strcmp(name, ".") == 0) {
        *ret_ino = dir;
        return 0;
    }
    const struct rd_entry *e = rd_find(&d->inodes[dir], name);
    if (!e)
        return -ENOENT;
    *ret_ino = e->ino;
    return 0;
}

static int io_open_dir(void *ctx, int dirfd, const char *name) {
    struct ramdisk *d = ctx;
    uint32_t ino;
    int r = enter(d, RD_OPENS);

    if (r == 0)
        r = lookup(d, dirfd, name, &ino);
    if (r == 0)
        r = d->inodes[ino].is_dir ? new_fd(d, ino, false) : -ENOTDIR;
    return leave(d, r);
}

static int open_file(struct ramdisk *d, int dirfd, const char *name, int flags) {
    uint32_t dir, ino = 0;
    int r = dir_of(d, dirfd, &name, &dir);

    if (r < 0)
        return r;
    const struct rd_entry *e = rd_find(&d->inodes[dir], name);
    if (e && (flags & O_CREAT) && (flags & O_EXCL))
        return -EEXIST;
    if (e && d->inodes[e->ino].is_dir)
        return -ENOTSUP;
    if (!e && !(flags & O_CREAT))
        return -ENOENT;
    if (e) {
        ino = e->ino;
    } else {
        ino = rd_new_inode(d, false);
        rd_enter(d, dir, name, ino);
        note(d, &(struct rd_op){
                    .kind = RD_OP_ENTER, .dir = dir, .ino = ino, .name = (char *)(uintptr_t)name});
    }
    if ((flags & O_TRUNC) && rd_len(&d->inodes[ino])) {
        rd_cut(d, ino, 0);
        note(d, &(struct rd_op){.kind = RD_OP_CUT, .ino = ino});
    }
    return new_fd(d, ino, (flags & O_ACCMODE) != O_RDONLY);
}

static int io_open_file(void *ctx, int dirfd, const char *name, int flags, unsigned mode) {
    struct ramdisk *d = ctx;
    int r = enter(d, RD_OPENS);

    (void)mode;
    return leave(d, r < 0 ? r : open_file(d, dirfd, name, flags));
}

static int io_open_temp(void *ctx) {
    struct ramdisk *d = ctx;
    int r = enter(d, RD_OPENS);

    return leave(d, r < 0 ? r : new_fd(d, rd_new_inode(d, false), true));
}

static int io_close(void *ctx, int fd) {
    struct ramdisk *d = ctx;

    pthread_mutex_lock(&d->mu);
    struct rd_fd *f = fd_of(d, fd);
    if (!f)
        abort(); /* closed twice, or never open */
    if (f->holds_lock)
        d->inodes[f->ino].locked = false;
    f->used = false;
    return leave(d, 0);
}

static int make_name(struct ramdisk *d, uint32_t dir, const char *name, uint32_t ino, bool is_dir) {
    rd_enter(d, dir, name, ino);
    note(d, &(struct rd_op){.kind = RD_OP_ENTER,
                            .dir = dir,
                            .ino = ino,
                            .is_dir = is_dir,
                            .name = (char *)(uintptr_t)name});
    return 0;
}

static int io_mkdir(void *ctx, int dirfd, const char *name, unsigned mode) {
    struct ramdisk *d = ctx;
    uint32_t dir;
    int r = enter(d, RD_NAMES);

    (void)mode;
    if (r == 0)
        r = dir_of(d, dirfd, &name, &dir);
    if (r == 0)
        r = rd_find(&d->inodes[dir], name) ? -EEXIST
                                           : make_name(d, dir, name, rd_new_inode(d, true), true);
    return leave(d, r);
}

static int io_link(void *ctx, int from_dirfd, const char *from, int to_dirfd, const char *to) {
    struct ramdisk *d = ctx;
    uint32_t ino, dir;
    int r = enter(d, RD_NAMES);

    if (r == 0)
        r = lookup(d, from_dirfd, from, &ino);
    if (r == 0)
        r = dir_of(d, to_dirfd, &to, &dir);
    if (r == 0 && d->inodes[ino].is_dir)
        r = -EPERM;
    if (r == 0)
        r = rd_find(&d->inodes[dir], to) ? -EEXIST : make_name(d, dir, to, ino, false);
    return leave(d, r);
}

static int remove_name(struct ramdisk *d, int dirfd, const char *name, bool is_dir) {
    uint32_t dir, ino = 0;
    int r = dir_of(d, dirfd, &name, &dir);

    if (r == 0)
        r = lookup(d, dirfd, name, &ino);
    if (r < 0)
        return r;
    if (d->inodes[ino].is_dir != is_dir)
        return is_dir ? -ENOTDIR : -EISDIR;
    if (is_dir && d->inodes[ino].count)
        return -ENOTEMPTY;
    note(d, &(struct rd_op){
                .kind = RD_OP_LEAVE, .dir = dir, .ino = ino, .name = (char *)(uintptr_t)name});
    rd_leave(d, dir, name);
    return 0;
}

static int io_unlink(void *ctx, int dirfd, const char *name) {
    struct ramdisk *d = ctx;
    int r = enter(d, RD_NAMES);

    return leave(d, r < 0 ? r : remove_name(d, dirfd, name, false));
}

static int io_rmdir(void *ctx, int dirfd, const char *name) {
    struct ramdisk *d = ctx;
    int r = enter(d, RD_NAMES);

    return leave(d, r < 0 ? r : remove_name(d, dirfd, name, true));
}

static int rename_one(struct ramdisk *d, int from_dirfd, const char *from, int to_dirfd,
                      const char *to) {
    uint32_t from_dir, to_dir, ino;
    int r = lookup(d, from_dirfd, from, &ino);

    if (r == 0)
        r = dir_of(d, from_dirfd, &from, &from_dir);
    if (r == 0)
        r = dir_of(d, to_dirfd, &to, &to_dir);
    if (r < 0)
        return r;
    const struct rd_entry *e = rd_find(&d->inodes[to_dir], to);
    if (e && e->ino == ino)
        return 0; /* as rename(2): two names of one file stay */
    if (e && d->inodes[e->ino].is_dir != d->inodes[ino].is_dir)
        return d->inodes[ino].is_dir ? -ENOTDIR : -EISDIR;
    if (e && d->inodes[e->ino].is_dir && d->inodes[e->ino].count)
        return -ENOTEMPTY;
    note(d, &(struct rd_op){.kind = RD_OP_MOVE,
                            .ino = ino,
                            .dir = from_dir,
                            .dir2 = to_dir,
                            .name = (char *)(uintptr_t)from,
                            .name2 = (char *)(uintptr_t)to});
    rd_leave(d, from_dir, from);
    rd_enter(d, to_dir, to, ino);
    return 0;
}

static int io_rename(void *ctx, int from_dirfd, const char *from, int to_dirfd, const char *to) {
    struct ramdisk *d = ctx;
    int r = enter(d, RD_NAMES);

    return leave(d, r < 0 ? r : rename_one(d, from_dirfd, from, to_dirfd, to));
}

/* Within one directory: more is not needed. */
static int io_exchange(void *ctx, int a_dirfd, const char *a, int b_dirfd, const char *b) {
    struct ramdisk *d = ctx;
    uint32_t a_dir, b_dir;
    int r = enter(d, RD_NAMES);

    if (r == 0)
        r = dir_of(d, a_dirfd, &a, &a_dir);
    if (r == 0)
        r = dir_of(d, b_dirfd, &b, &b_dir);
    if (r == 0 && a_dir != b_dir)
        r = -EXDEV;
    if (r == 0 && (!rd_find(&d->inodes[a_dir], a) || !rd_find(&d->inodes[a_dir], b)))
        r = -ENOENT;
    if (r == 0) {
        note(d, &(struct rd_op){.kind = RD_OP_SWAP,
                                .ino = rd_find(&d->inodes[a_dir], a)->ino,
                                .dir = a_dir,
                                .dir2 = a_dir,
                                .name = (char *)(uintptr_t)a,
                                .name2 = (char *)(uintptr_t)b});
        rd_swap(d, a_dir, a, b);
    }
    return leave(d, r);
}

static int io_list(void *ctx, int dirfd, int (*fn)(void *arg, const char *name), void *arg) {
    struct ramdisk *d = ctx;
    int r = enter(d, RD_STATS);
    const struct rd_fd *f = fd_of(d, dirfd);
    char **names = NULL;
    size_t n = 0;

    if (r == 0 && !f)
        r = -EBADF;
    if (r == 0) {
        const struct rd_inode *in = &d->inodes[f->ino];
        names = rd_need(calloc(in->count + 1, sizeof *names));
        for (; n < in->count; n++)
            names[n] = rd_need(strdup(in->entries[n].name));
    }
    leave(d, 0);
    for (size_t i = 0; i < n; i++) {
        if (r == 0)
            r = fn(arg, names[i]);
        free(names[i]);
    }
    free(names);
    return r;
}

/* ---- contents ---------------------------------------------------------------------------------
 */

static size_t shortened(struct ramdisk *d, unsigned call, size_t len) {
    return due(d, call) && d->fault.kind == RD_SHORT && len > 1 ? (len % 3 ? len / 2 : 1) : len;
}

static ssize_t io_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off) {
    struct ramdisk *d = ctx;
    ssize_t r = 0;

    pthread_mutex_lock(&d->mu);
    if (d->fault.kind == RD_SHORT)
        len = shortened(d, RD_READS, len);
    else if (due(d, RD_READS))
        r = -d->fault.err;
    const struct rd_fd *f = fd_of(d, fd);
    if (r == 0 && !f)
        r = -EBADF;
    if (r == 0 && d->inodes[f->ino].is_dir)
        r = -EISDIR;
    if (r == 0) {
        const struct rd_inode *in = &d->inodes[f->ino];
        size_t have = rd_len(in);
        size_t n = off >= have ? 0 : have - (size_t)off;
        if (n > len)
            n = len;
        if (n)
            memcpy(buf, in->blob->bytes + off, n);
        r = (ssize_t)n;
    }
    leave(d, 0);
    return r;
}

static ssize_t io_pwrite(void *ctx, int fd, const void *buf, size_t len, uint64_t off) {
    struct ramdisk *d = ctx;
    ssize_t r = 0;

    pthread_mutex_lock(&d->mu);
    if (d->fault.kind == RD_SHORT)
        len = shortened(d, RD_WRITES, len);
    else if (due(d, RD_WRITES))
        r = -d->fault.err;
    const struct rd_fd *f = fd_of(d, fd);
    if (!f || !f->writable)
        abort(); /* nothing is written through a descriptor that is not for that */
    size_t done = r == 0 ? len : d->fault.kind == RD_PARTIAL ? len / 2 : 0;
    if (done || r == 0) {
        rd_write(d, f->ino, buf, done, off);
        note(d, &(struct rd_op){.kind = RD_OP_WRITE,
                                .ino = f->ino,
                                .off = off,
                                .len = done,
                                .data = (uint8_t *)(uintptr_t)buf});
    }
    leave(d, 0);
    return r < 0 ? r : (ssize_t)done;
}

static int io_truncate(void *ctx, int fd, uint64_t len) {
    struct ramdisk *d = ctx;
    int r = enter(d, RD_CUTS);
    const struct rd_fd *f = fd_of(d, fd);

    if (!f || !f->writable)
        abort();
    if (r == 0) {
        rd_cut(d, f->ino, len);
        note(d, &(struct rd_op){.kind = RD_OP_CUT, .ino = f->ino, .off = len});
    }
    return leave(d, r);
}

static void fill_stat(const struct ramdisk *d, uint32_t ino, struct stat *st) {
    const struct rd_inode *in = &d->inodes[ino];

    memset(st, 0, sizeof *st);
    st->st_ino = ino + 1;
    st->st_mode = in->is_dir ? S_IFDIR | 0700 : S_IFREG | 0600;
    st->st_nlink = 1;
    st->st_size = (off_t)rd_len(in);
    st->st_blocks = (st->st_size + 511) / 512;
    st->st_mtim.tv_sec = (time_t)in->mtime;
}

static int io_fstat(void *ctx, int fd, struct stat *ret_st) {
    struct ramdisk *d = ctx;
    int r = enter(d, RD_STATS);
    const struct rd_fd *f = fd_of(d, fd);

    if (r == 0 && !f)
        r = -EBADF;
    if (r == 0)
        fill_stat(d, f->ino, ret_st);
    return leave(d, r);
}

static int io_stat(void *ctx, int dirfd, const char *name, struct stat *ret_st) {
    struct ramdisk *d = ctx;
    uint32_t ino;
    int r = enter(d, RD_STATS);

    if (r == 0)
        r = lookup(d, dirfd, name, &ino);
    if (r == 0)
        fill_stat(d, ino, ret_st);
    return leave(d, r);
}

static int io_sync(void *ctx, int fd) {
    struct ramdisk *d = ctx;
    int r = enter(d, RD_SYNCS);
    const struct rd_fd *f = fd_of(d, fd);

    if (r == 0 && !f)
        r = -EBADF;
    if (r == 0)
        note(d, &(struct rd_op){.kind = RD_OP_SYNC, .ino = f->ino});
    return leave(d, r);
}

static int io_lock(void *ctx, int fd) {
    struct ramdisk *d = ctx;
    int r = enter(d, 0);
    struct rd_fd *f = fd_of(d, fd);

    if (!f)
        return leave(d, -EBADF);
    if (d->inodes[f->ino].locked && !f->holds_lock)
        return leave(d, -EWOULDBLOCK);
    d->inodes[f->ino].locked = f->holds_lock = true;
    return leave(d, r);
}

static ssize_t io_real_path(void *ctx, const char *path, char *buf, size_t size) {
    size_t n = strlen(path);
    (void)ctx;
    if (n >= size)
        return -ENAMETOOLONG;
    memcpy(buf, path, n + 1);
    return (ssize_t)n;
}

static int io_holder(void *ctx, int dirfd) {
    (void)ctx;
    (void)dirfd;
    return 0;
}

void rd_init_io(struct ramdisk *d) {
    d->io = (struct js_io){
        .ctx = d,
        .open_dir = io_open_dir,
        .open_file = io_open_file,
        .close = io_close,
        .pread = io_pread,
        .pwrite = io_pwrite,
        .truncate = io_truncate,
        .fstat = io_fstat,
        .stat = io_stat,
        .fsync = io_sync,
        .fdatasync = io_sync,
        .rename = io_rename,
        .exchange = io_exchange,
        .link = io_link,
        .unlink = io_unlink,
        .rmdir = io_rmdir,
        .mkdir = io_mkdir,
        .list = io_list,
        .lock = io_lock,
        .real_path = io_real_path,
        .holder = io_holder,
        .open_temp = io_open_temp,
    };
}

const struct js_io *rd_io(struct ramdisk *d) {
    return &d->io;
}
