/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inode numbers.
 *
 * The number of a message carries its address, so no table grows with the number of messages that
 * were looked at, and forgetting one costs nothing:
 *
 *     63    60 59            48 47                                              0
 *    | kind   | stream's slot  | sequence                                        |
 *
 * kind 1: a message's payload (seq/N, msgs.d/N, in every directory the same inode), kind 2: the
 * message with its headers (full/N.msg). Kind 3 are interned nodes: directories, views, links,
 * texts, staged files. Their low 60 bits are a hash of the node's key, a text that says
 * which class, stream and scope it is, so they are the same in the next mount; the node lives in a
 * table while the kernel (or we) hold it. Number 1 is the root, an interned node too. A message
 * whose slot or sequence does not fit is interned.
 *
 * A stream's slot is never used again in one mount: a stream that was removed and made anew has
 * another, so no number ever changes its meaning.
 */
#ifndef JF_NODE_NODE_H
#define JF_NODE_NODE_H

#include "fs/base/fs.h"
#include "fs/view/scope.h"

struct jf_class;
struct jf_stream;
struct jf_view;

enum jf_kind { JF_KIND_ROOT, JF_KIND_MSG, JF_KIND_FULL, JF_KIND_INTERN };

#define JF_MAX_SLOT 4095u
#define JF_MAX_SEQ  ((UINT64_C(1) << 48) - 1)

static inline fuse_ino_t jf_node_pack(enum jf_kind kind, uint32_t slot, uint64_t id) {
    return (uint64_t)kind << 60 | (uint64_t)(slot & JF_MAX_SLOT) << 48 | (id & JF_MAX_SEQ);
}
static inline enum jf_kind jf_node_kind(fuse_ino_t ino) {
    return (enum jf_kind)(ino >> 60);
}
static inline uint32_t jf_node_slot(fuse_ino_t ino) {
    return (uint32_t)(ino >> 48) & JF_MAX_SLOT;
}
static inline uint64_t jf_node_seq(fuse_ino_t ino) {
    return ino & JF_MAX_SEQ;
}

/* An interned node. All but the counts and what priv points to is fixed when it is made. */
struct jf_node {
    fuse_ino_t ino;
    const struct jf_class *class;
    struct jf_stream *stream; /* NULL above streams; lives as long as the mount */
    struct jf_scope *scope;   /* own reference; NULL where there is none */
    char *text;               /* subject prefix, account, consumer, query parameter ...; "" */
    uint64_t num;             /* block number, format ...: the class decides */
    void *priv;               /* the class's own; freed by class->node_done */
    char *key;
    struct jf_node *next; /* the table's */
    uint64_t holds;       /* the kernel's lookups and ours; under the table's lock */
};

/* What to make a node from; everything is copied or referenced, except priv, which is taken. */
struct jf_node_new {
    const struct jf_class *class;
    struct jf_stream *stream;
    struct jf_scope *scope;
    const char *text; /* NULL = "" */
    uint64_t num;
    void *priv;
    const char *key; /* what tells it from others of its class and stream; NULL = "" */
};

/* A node as handlers see it: resolved for the time of the request. */
struct jf_ref {
    struct jf_fs *fs;
    fuse_ino_t ino;
    const struct jf_class *class;
    struct jf_stream *stream; /* NULL above streams */
    js_seq_t seq;             /* of messages; else 0 */
    struct jf_node *node;     /* interned; NULL for messages with an address */
};

struct jf_intern *jf_intern_new(void);
/* Frees nodes whatever holds them. */
void jf_intern_free(struct jf_intern *intern);
/*
 * Finds the node with this class, stream and key or makes it, with one more hold for the caller.
 * If it was there, priv of init is freed by the class. NOMEM: priv has been freed, too.
 */
int jf_intern_get(struct jf_fs *fs, const struct jf_node_new *init, struct jf_node **ret_node);
/* The inode number that jf_intern_get would give, without making the node (readdir). */
fuse_ino_t jf_intern_ino(const struct jf_class *class, const struct jf_stream *stream,
                         const char *key);
/* Finds a node by number, without a hold: the kernel holds it while a request names it. */
struct jf_node *jf_intern_find(struct jf_fs *fs, fuse_ino_t ino);
void jf_node_hold(struct jf_fs *fs, struct jf_node *node);
/* Takes holds away; frees the node with the last one. */
void jf_node_drop(struct jf_fs *fs, struct jf_node *node, uint64_t holds);
size_t jf_intern_count(struct jf_fs *fs);
/* Calls fn for every node, under the table's lock: fn must not call functions of this header. */
void jf_intern_each(struct jf_fs *fs, void (*fn)(void *ctx, struct jf_node *node), void *ctx);

/* Resolves a number from the kernel. ESTALE when it is not known. */
int jf_ref_resolve(struct jf_fs *fs, fuse_ino_t ino, struct jf_ref *ret_ref);
/* The reference of an interned node. */
struct jf_ref jf_ref_of(struct jf_fs *fs, struct jf_node *node);

#endif
