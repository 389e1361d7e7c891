/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the disk in memory share. */
#ifndef TESTS_RAMDISK_IMPL_H
#define TESTS_RAMDISK_IMPL_H

#include <pthread.h>

#include "tests/support/ramdisk.h"

struct rd_blob { /* bytes, shared until one of its owners changes them */
    unsigned refs;
    size_t len, cap;
    uint8_t bytes[];
};

struct rd_entry {
    char *name;
    uint32_t ino;
};

struct rd_inode {
    bool is_dir;
    bool locked;
    uint64_t mtime;
    struct rd_blob *blob;     /* file; NULL = empty */
    struct rd_entry *entries; /* directory */
    size_t count, cap;
};

enum rd_op_kind { RD_OP_WRITE, RD_OP_CUT, RD_OP_SYNC, RD_OP_ENTER, RD_OP_LEAVE, RD_OP_MOVE, RD_OP_SWAP };

struct rd_op {
    enum rd_op_kind kind;
    uint32_t ino;       /* the file written or synced, or what gets a name */
    uint32_t dir, dir2; /* of names */
    bool is_dir;        /* ENTER: what kind it is */
    char *name, *name2;
    uint64_t off; /* WRITE; CUT: the new length */
    size_t len;
    uint8_t *data;
};

struct rd_fd {
    uint32_t ino;
    bool used, writable, holds_lock;
};

struct ramdisk {
    struct js_io io;
    pthread_mutex_t mu;
    struct rd_inode *inodes; /* 0 is the root */
    size_t num_inodes, cap_inodes;
    struct rd_fd *fds;
    size_t num_fds;
    uint64_t tick;
    bool recording;
    struct ramdisk *base; /* when recording began */
    struct rd_op *ops;
    size_t num_ops, cap_ops;
    struct rd_fault fault;
    long fault_calls, fired;
    bool fault_paused;
};

void rd_init_io(struct ramdisk *disk);
uint32_t rd_new_inode(struct ramdisk *disk, bool is_dir);
/* The entry or NULL. */
struct rd_entry *rd_find(const struct rd_inode *dir, const char *name);
void rd_enter(struct ramdisk *disk, uint32_t dir, const char *name, uint32_t ino);
void rd_leave(struct ramdisk *disk, uint32_t dir, const char *name);
/* Two names of a directory change places; nothing happens if one is not there. */
void rd_swap(struct ramdisk *disk, uint32_t dir, const char *a, const char *b);
void rd_write(struct ramdisk *disk, uint32_t ino, const void *data, size_t len, uint64_t off);
void rd_cut(struct ramdisk *disk, uint32_t ino, uint64_t len);
size_t rd_len(const struct rd_inode *inode);
void *rd_need(void *p);

#endif
