/* SPDX-License-Identifier: Apache-2.0 */
/* Files and directories in memory, and what is asked of them from outside. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/ramdisk_impl.h"

void *rd_need(void *p) {
    if (!p)
        abort();
    return p;
}

/* ---- inodes ---------------------------------------------------------------------------------- */

uint32_t rd_new_inode(struct ramdisk *d, bool is_dir) {
    if (d->num_inodes == d->cap_inodes) {
        d->cap_inodes = d->cap_inodes ? d->cap_inodes * 2 : 32;
        d->inodes = rd_need(realloc(d->inodes, d->cap_inodes * sizeof *d->inodes));
    }
    d->inodes[d->num_inodes] = (struct rd_inode){.is_dir = is_dir, .mtime = ++d->tick};
    return (uint32_t)d->num_inodes++;
}

struct rd_entry *rd_find(const struct rd_inode *dir, const char *name) {
    for (size_t i = 0; i < dir->count; i++)
        if (strcmp(dir->entries[i].name, name) == 0)
            return &dir->entries[i];
    return NULL;
}

void rd_enter(struct ramdisk *d, uint32_t dir, const char *name, uint32_t ino) {
    struct rd_inode *in = &d->inodes[dir];
    struct rd_entry *e = rd_find(in, name);

    in->mtime = ++d->tick;
    if (e) {
        e->ino = ino;
        return;
    }
    if (in->count == in->cap) {
        in->cap = in->cap ? in->cap * 2 : 8;
        in->entries = rd_need(realloc(in->entries, in->cap * sizeof *in->entries));
    }
    in->entries[in->count++] = (struct rd_entry){.name = rd_need(strdup(name)), .ino = ino};
}

void rd_leave(struct ramdisk *d, uint32_t dir, const char *name) {
    struct rd_inode *in = &d->inodes[dir];
    struct rd_entry *e = rd_find(in, name);

    if (!e)
        return;
    in->mtime = ++d->tick;
    free(e->name);
    size_t at = (size_t)(e - in->entries);
    memmove(e, e + 1, (in->count - at - 1) * sizeof *e);
    in->count--;
}

void rd_swap(struct ramdisk *d, uint32_t dir, const char *a, const char *b) {
    struct rd_entry *x = rd_find(&d->inodes[dir], a), *y = rd_find(&d->inodes[dir], b);

    if (!x || !y)
        return;
    uint32_t ino = x->ino;
    x->ino = y->ino;
    y->ino = ino;
    d->inodes[dir].mtime = ++d->tick;
}

size_t rd_len(const struct rd_inode *in) {
    return in->blob ? in->blob->len : 0;
}

static void drop_blob(struct rd_blob *b) {
    if (b && --b->refs == 0)
        free(b);
}

/* A blob of its own with room for len bytes; what is between the old length and len is zero. */
static struct rd_blob *own_blob(struct rd_inode *in, size_t len) {
    struct rd_blob *old = in->blob;

    if (old && old->refs == 1 && old->cap >= len)
        return old;
    size_t cap = len + len / 2 + 64;
    struct rd_blob *b = rd_need(malloc(sizeof *b + cap));
    b->refs = 1;
    b->cap = cap;
    b->len = old ? old->len : 0;
    if (b->len > cap)
        b->len = cap;
    if (old)
        memcpy(b->bytes, old->bytes, b->len);
    drop_blob(old);
    in->blob = b;
    return b;
}

void rd_write(struct ramdisk *d, uint32_t ino, const void *data, size_t len, uint64_t off) {
    struct rd_inode *in = &d->inodes[ino];
    size_t end = (size_t)off + len, had = rd_len(in);
    struct rd_blob *b = own_blob(in, end > had ? end : had);

    if (off > b->len)
        memset(b->bytes + b->len, 0, (size_t)off - b->len);
    if (data)
        memcpy(b->bytes + off, data, len);
    if (end > b->len)
        b->len = end;
    in->mtime = ++d->tick;
}

void rd_cut(struct ramdisk *d, uint32_t ino, uint64_t len) {
    struct rd_inode *in = &d->inodes[ino];
    size_t had = rd_len(in);
    struct rd_blob *b = own_blob(in, len > had ? (size_t)len : had);

    if (len > b->len)
        memset(b->bytes + b->len, 0, (size_t)len - b->len);
    b->len = (size_t)len;
    in->mtime = ++d->tick;
}

/* ---- a disk as a whole ------------------------------------------------------------------------
 */

static struct ramdisk *bare(void) {
    struct ramdisk *d = rd_need(calloc(1, sizeof *d));

    pthread_mutex_init(&d->mu, NULL);
    rd_init_io(d);
    return d;
}

struct ramdisk *rd_new(void) {
    struct ramdisk *d = bare();

    rd_new_inode(d, true);
    rd_enter(d, 0, "s", rd_new_inode(d, true));
    return d;
}

struct ramdisk *rd_clone(const struct ramdisk *from) {
    struct ramdisk *d = bare();

    d->tick = from->tick;
    d->num_inodes = d->cap_inodes = from->num_inodes;
    d->inodes = rd_need(calloc(d->num_inodes, sizeof *d->inodes));
    for (size_t i = 0; i < d->num_inodes; i++) {
        const struct rd_inode *f = &from->inodes[i];
        struct rd_inode *t = &d->inodes[i];
        *t = *f;
        t->locked = false;
        if (f->blob)
            f->blob->refs++;
        t->cap = f->count;
        t->entries = f->count ? rd_need(malloc(f->count * sizeof *t->entries)) : NULL;
        for (size_t k = 0; k < f->count; k++)
            t->entries[k] = (struct rd_entry){.name = rd_need(strdup(f->entries[k].name)),
                                              .ino = f->entries[k].ino};
    }
    return d;
}

void rd_free(struct ramdisk *d) {
    if (!d)
        return;
    for (size_t i = 0; i < d->num_inodes; i++) {
        drop_blob(d->inodes[i].blob);
        for (size_t k = 0; k < d->inodes[i].count; k++)
            free(d->inodes[i].entries[k].name);
        free(d->inodes[i].entries);
    }
    for (size_t i = 0; i < d->num_ops; i++) {
        free(d->ops[i].name);
        free(d->ops[i].name2);
        free(d->ops[i].data);
    }
    rd_free(d->base);
    free(d->ops);
    free(d->inodes);
    free(d->fds);
    pthread_mutex_destroy(&d->mu);
    free(d);
}

size_t rd_open_files(const struct ramdisk *d) {
    size_t n = 0;

    for (size_t i = 0; i < d->num_fds; i++)
        n += d->fds[i].used;
    return n;
}

/* ---- from outside -----------------------------------------------------------------------------
 */

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

static uint64_t hash_bytes(uint64_t h, const uint8_t *p, size_t len) {
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        h = mix(h, v);
    }
    for (; len; p++, len--)
        h = mix(h, *p + 1u);
    return h;
}

static uint64_t hash_inode(const struct ramdisk *d, uint32_t ino) {
    const struct rd_inode *in = &d->inodes[ino];

    if (!in->is_dir)
        return in->blob ? hash_bytes(in->blob->len + 1, in->blob->bytes, in->blob->len) : 1;
    uint64_t sum = 2;
    for (size_t i = 0; i < in->count; i++) {
        const char *name = in->entries[i].name;
        uint64_t h = hash_bytes(3, (const uint8_t *)name, strlen(name));
        sum += mix(h, hash_inode(d, in->entries[i].ino));
    }
    return mix(sum, in->count);
}

/* The inode of a path and, if asked, of its directory; -1 when a part is missing. */
static long resolve(const struct ramdisk *d, const char *path, uint32_t *ret_dir,
                    const char **ret_name) {
    uint32_t ino = 0;
    char name[256];

    for (const char *p = path;;) {
        while (*p == '/')
            p++;
        if (!*p)
            return ino;
        size_t n = strcspn(p, "/");
        if (n >= sizeof name || !d->inodes[ino].is_dir)
            return -1;
        memcpy(name, p, n);
        name[n] = 0;
        if (!p[n] && ret_dir) {
            *ret_dir = ino;
            *ret_name = p;
        }
        const struct rd_entry *e = rd_find(&d->inodes[ino], name);
        if (!e)
            return -1;
        ino = e->ino;
        p += n;
    }
}

uint64_t rd_hash(const struct ramdisk *d, const char *path) {
    long ino = resolve(d, path, NULL, NULL);

    return ino < 0 ? 0 : hash_inode(d, (uint32_t)ino);
}

long rd_get(const struct ramdisk *d, const char *path, uint8_t **ret_data) {
    long ino = resolve(d, path, NULL, NULL);

    if (ino < 0 || d->inodes[ino].is_dir)
        return -1;
    size_t len = rd_len(&d->inodes[ino]);
    if (ret_data) {
        *ret_data = rd_need(malloc(len + 1));
        if (len)
            memcpy(*ret_data, d->inodes[ino].blob->bytes, len);
        (*ret_data)[len] = 0;
    }
    return (long)len;
}

int rd_put(struct ramdisk *d, const char *path, const void *data, size_t len) {
    uint32_t dir = UINT32_MAX;
    const char *name = NULL;
    long ino = resolve(d, path, &dir, &name);

    if (dir == UINT32_MAX)
        return -1;
    if (ino < 0) {
        ino = rd_new_inode(d, false);
        rd_enter(d, dir, name, (uint32_t)ino);
    }
    rd_cut(d, (uint32_t)ino, 0);
    rd_write(d, (uint32_t)ino, data, len, 0);
    return 0;
}

int rd_remove(struct ramdisk *d, const char *path) {
    uint32_t dir = UINT32_MAX;
    const char *name = NULL;

    if (resolve(d, path, &dir, &name) < 0 || dir == UINT32_MAX)
        return -1;
    rd_leave(d, dir, name);
    return 0;
}

static void dump_inode(const struct ramdisk *d, uint32_t ino, const char *name, int depth) {
    const struct rd_inode *in = &d->inodes[ino];

    fprintf(stderr, "#   %*s%s", depth * 2, "", name);
    if (!in->is_dir) {
        fprintf(stderr, " %zu bytes\n", rd_len(in));
        return;
    }
    fprintf(stderr, "/\n");
    for (size_t i = 0; i < in->count; i++)
        dump_inode(d, in->entries[i].ino, in->entries[i].name, depth + 1);
}

void rd_dump(const struct ramdisk *d) {
    dump_inode(d, 0, "", 0);
}

static int export_inode(const struct ramdisk *d, uint32_t ino, int dirfd) {
    const struct rd_inode *in = &d->inodes[ino];

    for (size_t i = 0; i < in->count; i++) {
        const struct rd_inode *e = &d->inodes[in->entries[i].ino];
        const char *name = in->entries[i].name;
        int flags = e->is_dir ? O_RDONLY | O_DIRECTORY : O_WRONLY | O_CREAT | O_TRUNC;
        if (e->is_dir && mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
            return -1;
        int fd = openat(dirfd, name, flags | O_CLOEXEC, 0600);
        if (fd < 0)
            return -1;
        int r = 0;
        if (e->is_dir)
            r = export_inode(d, in->entries[i].ino, fd);
        else if (rd_len(e) && write(fd, e->blob->bytes, e->blob->len) != (ssize_t)e->blob->len)
            r = -1;
        close(fd);
        if (r < 0)
            return r;
    }
    return 0;
}

int rd_export(const struct ramdisk *d, const char *dir) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 ? -1 : export_inode(d, 0, fd);

    if (fd >= 0)
        close(fd);
    return r;
}
