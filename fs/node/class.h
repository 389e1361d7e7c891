/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A class of nodes: its handlers. session/ops.c decodes the number, finds the class and calls;
 * what is common (read-only mounts, xattr families, replies) is done there.
 *
 * Every handler returns
 *   0            success: the dispatcher replies with the out-parameters;
 *   JF_REPLIED   the handler has replied, or parks the request (session/park.h) and replies later;
 *   negative     enum js_err or errno value.
 * A handler that is NULL answers what the table below says.
 *
 * No handler waits: neither for other requests nor for messages to come. What computes long is
 * run by the pool when slow() says so; the handler is the same.
 */
#ifndef JF_NODE_CLASS_H
#define JF_NODE_CLASS_H

#include "fs/node/node.h"

/* An answer to lookup, create, mkdir. node: the hold that becomes the kernel's lookup; NULL for
 * messages. */
struct jf_entry {
    struct fuse_entry_param e;
    struct jf_node *node;
};

struct jf_dirbuf;

enum jf_op {
    JF_OP_LOOKUP,
    JF_OP_GETATTR,
    JF_OP_SETATTR,
    JF_OP_READLINK,
    JF_OP_OPEN,
    JF_OP_READ,
    JF_OP_WRITE,
    JF_OP_FLUSH,
    JF_OP_RELEASE,
    JF_OP_FSYNC,
    JF_OP_OPENDIR,
    JF_OP_READDIR,
    JF_OP_RELEASEDIR,
    JF_OP_CREATE,
    JF_OP_UNLINK,
    JF_OP_RENAME,
    JF_OP_MKDIR,
    JF_OP_RMDIR,
    JF_OP_XATTR,
    JF_OP_POLL,
    JF_OP_STATFS,
    JF_OP_FORGET,
    JF_OP_COUNT,
};

struct jf_class {
    const char *name; /* part of keys: unique */
    mode_t mode;      /* type and permissions, before the umask: S_IFREG | 0444 */

    /* True: this operation may take long, run it in the pool. name: of lookup, create, unlink,
     * mkdir, rmdir; else NULL. Optional. read and write are never moved. */
    bool (*slow)(const struct jf_ref *ref, enum jf_op op, const char *name);

    /* NULL: ENOENT. Fills ret_entry by jf_entry_node() or jf_entry_msg(). */
    int (*lookup)(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry);
    /* Required. st comes with ino, mode, uid, gid, nlink 1, blksize; timeouts come as 1 s each (in
     * seconds; entry_timeout counts in lookups only). ESTALE when the thing is gone. */
    int (*stat)(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                double *entry_timeout);
    /* When stat() says ESTALE and the file is open: what it was. NULL: ESTALE stays. */
    int (*stat_open)(const struct jf_ref *ref, const struct fuse_file_info *fi, struct stat *st);
    /* NULL: EPERM. to_set: FUSE_SET_ATTR_*. After success stat() gives the answer. */
    int (*setattr)(const struct jf_ref *ref, const struct stat *attr, int to_set,
                   struct fuse_file_info *fi);
    /* Links. Given (free()). */
    int (*readlink)(const struct jf_ref *ref, char **ret_target);

    /* NULL: EACCES for writing, else success with fh 0. req: for pid and interrupts; open, create
     * and opendir do not reply themselves. */
    int (*open)(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi);
    /* Replies itself. NULL: EBADF. */
    int (*read)(fuse_req_t req, const struct jf_ref *ref, size_t size, off_t off,
                struct fuse_file_info *fi);
    /* buf is borrowed until the handler returns. *ret_count: the answer. NULL: EBADF. */
    int (*write)(fuse_req_t req, const struct jf_ref *ref, const char *buf, size_t size, off_t off,
                 struct fuse_file_info *fi, size_t *ret_count);
    /* NULL: success. */
    int (*flush)(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi);
    /* Frees what open made. NULL: nothing to do. */
    void (*release)(const struct jf_ref *ref, struct fuse_file_info *fi);
    /* NULL: the stream is synced. */
    int (*fsync)(const struct jf_ref *ref, struct fuse_file_info *fi);
    /* NULL: always ready for reading and writing. ph may be NULL, else is taken over. */
    int (*poll)(const struct jf_ref *ref, struct fuse_file_info *fi, struct fuse_pollhandle *ph,
                unsigned *ret_revents);

    /* NULL: success with fh 0. */
    int (*opendir)(const struct jf_ref *ref, struct fuse_file_info *fi);
    /* Adds entries after cookie off (0 = from the beginning) until jf_dirbuf_add says full. "." and
     * ".." are the handler's (jf_dirbuf_dots). NULL: an empty directory. */
    int (*readdir)(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                   struct jf_dirbuf *buf);
    void (*releasedir)(const struct jf_ref *ref, struct fuse_file_info *fi);

    /* NULL: EPERM, all of these. */
    int (*create)(fuse_req_t req, const struct jf_ref *dir, const char *name, mode_t mode,
                  struct fuse_file_info *fi, struct jf_entry *ret_entry);
    int (*mkdir)(const struct jf_ref *dir, const char *name, mode_t mode,
                 struct jf_entry *ret_entry);
    int (*unlink)(const struct jf_ref *dir, const char *name);
    int (*rmdir)(const struct jf_ref *dir, const char *name);
    /* Called for the directory that is renamed from. NULL: EXDEV. */
    int (*rename)(const struct jf_ref *from, const char *name, const struct jf_ref *to,
                  const char *new_name, unsigned flags);

    /* user.* only; others are answered by the dispatcher. Value given (free()). NULL: ENODATA. */
    int (*getxattr)(const struct jf_ref *ref, const char *name, char **ret_value, size_t *ret_len);
    /* Names, each with its NUL, given (free()). NULL: none. */
    int (*listxattr)(const struct jf_ref *ref, char **ret_names, size_t *ret_len);
    /* NULL: EPERM. value is borrowed. */
    int (*setxattr)(const struct jf_ref *ref, const char *name, const char *value, size_t len,
                    int flags);

    /* Frees node->priv. Called without locks. NULL: nothing to free. */
    void (*node_done)(struct jf_node *node);
    /* Called once at the end of the mount, after parked requests were answered and before the
     * store is synced: publish or drop what is unfinished. NULL: nothing. */
    void (*shutdown)(struct jf_fs *fs);
};

/* Fills an entry with an interned node: the hold of jf_intern_get is taken over. Calls stat(); on
 * failure the hold is dropped and the error returned. */
int jf_entry_node(struct jf_fs *fs, struct jf_node *node, struct jf_entry *ret_entry);
/* jf_intern_get and jf_entry_node. */
int jf_entry_new(struct jf_fs *fs, const struct jf_node_new *init, struct jf_entry *ret_entry);
/* The entry of a message: full false = its payload. MSG_NOT_FOUND ... */
int jf_entry_msg(struct jf_fs *fs, struct jf_stream *stream, js_seq_t seq, bool full,
                 struct jf_entry *ret_entry);
/* Calls the class's stat with everything common filled in. Timeouts may be NULL. */
int jf_stat(const struct jf_ref *ref, struct stat *ret_st, double *ret_attr_timeout,
            double *ret_entry_timeout);

/* Replies to READ with the part of a text that was asked for. Returns JF_REPLIED. */
int jf_reply_text(fuse_req_t req, const char *text, size_t len, size_t size, off_t off);

/* Sets the times of a file to a stored time; 0 = when the mount began. */
void jf_stat_time(struct jf_fs *fs, struct stat *st, js_time_t time);

extern const struct jf_class jf_class_accounts;  /* root with account=all */
extern const struct jf_class jf_class_account;   /* an account's directory, or the root */
extern const struct jf_class jf_class_stream;    /* a stream's directory, or the root */
extern const struct jf_class jf_class_text;      /* info.json, config.json, .jetfs/ */
extern const struct jf_class jf_class_link;      /* first, last, last.msg */
extern const struct jf_class jf_class_seqs;      /* seq/, full/, msgs.d/ */
extern const struct jf_class jf_class_msg;       /* a message's payload */
extern const struct jf_class jf_class_full;      /* a message with its headers */
extern const struct jf_class jf_class_subject;   /* by-subject/ and below */
extern const struct jf_class jf_class_param;     /* since/ from/ tail/ match/ */
extern const struct jf_class jf_class_query;     /* what they name */
extern const struct jf_class jf_class_view;      /* all.* own.* segments/N.* */
extern const struct jf_class jf_class_segments;  /* segments/ */
extern const struct jf_class jf_class_raw;       /* segments/N.raw */
extern const struct jf_class jf_class_consumers; /* consumers/ */
extern const struct jf_class jf_class_consumer;  /* consumers/NAME/ */
extern const struct jf_class jf_class_inflight;  /* consumers/NAME/inflight/ */
extern const struct jf_class jf_class_hidden;    /* .jetfs/ */

#endif
