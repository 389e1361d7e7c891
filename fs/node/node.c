/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/name.h"
#include "fs/node/class.h"
#include "fs/node/stream.h"

struct jf_intern {
    pthread_mutex_t lock;
    struct jf_node **buckets;
    size_t nbuckets; /* power of two */
    size_t count;
    bool closing; /* all nodes are being freed: holds count no more */
};

struct jf_intern *jf_intern_new(void) {
    struct jf_intern *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->nbuckets = 256;
    t->buckets = calloc(t->nbuckets, sizeof(*t->buckets));
    if (!t->buckets) {
        free(t);
        return NULL;
    }
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

static void free_node(struct jf_node *node) {
    if (node->class->node_done)
        node->class->node_done(node);
    jf_scope_unref(node->scope);
    free(node->text);
    free(node->key);
    free(node);
}

void jf_intern_free(struct jf_intern *t) {
    if (!t)
        return;
    t->closing = true;
    for (size_t i = 0; i < t->nbuckets; i++) {
        while (t->buckets[i]) {
            struct jf_node *node = t->buckets[i];
            t->buckets[i] = node->next;
            free_node(node);
        }
    }
    pthread_mutex_destroy(&t->lock);
    free(t->buckets);
    free(t);
}

static fuse_ino_t ino_of(const struct jf_class *class, const struct jf_stream *stream,
                         const char *key) {
    const char *tag = stream ? stream->tag : "";
    uint64_t h = jf_hash(class->name, strlen(class->name));

    h = h * 31 + jf_hash(tag, strlen(tag));
    h = h * 31 + jf_hash(key, strlen(key));
    return (uint64_t)JF_KIND_INTERN << 60 | (h >> 4);
}

fuse_ino_t jf_intern_ino(const struct jf_class *class, const struct jf_stream *stream,
                         const char *key) {
    return ino_of(class, stream, key ? key : "");
}

static struct jf_node *find(struct jf_intern *t, fuse_ino_t ino) {
    struct jf_node *node = t->buckets[ino & (t->nbuckets - 1)];

    while (node && node->ino != ino)
        node = node->next;
    return node;
}

static void insert(struct jf_intern *t, struct jf_node *node) {
    struct jf_node **slot = &t->buckets[node->ino & (t->nbuckets - 1)];

    node->next = *slot;
    *slot = node;
    t->count++;
}

/* Longer chains are no error, so a failed allocation is not one either. */
static void grow(struct jf_intern *t) {
    if (t->count < t->nbuckets)
        return;
    size_t n = t->nbuckets * 2;
    struct jf_node **buckets = calloc(n, sizeof(*buckets));
    if (!buckets)
        return;
    for (size_t i = 0; i < t->nbuckets; i++) {
        while (t->buckets[i]) {
            struct jf_node *node = t->buckets[i];
            t->buckets[i] = node->next;
            node->next = buckets[node->ino & (n - 1)];
            buckets[node->ino & (n - 1)] = node;
        }
    }
    free(t->buckets);
    t->buckets = buckets;
    t->nbuckets = n;
}

static struct jf_node *make_node(const struct jf_node_new *init, const char *key) {
    struct jf_node *node = calloc(1, sizeof(*node));

    if (!node)
        return NULL;
    node->class = init->class;
    node->stream = init->stream;
    node->scope = init->scope ? jf_scope_ref(init->scope) : NULL;
    node->num = init->num;
    node->priv = init->priv;
    node->text = strdup(init->text ? init->text : "");
    node->key = strdup(key);
    node->holds = 1;
    if (!node->text || !node->key) {
        /* priv stays the caller's. */
        jf_scope_unref(node->scope);
        free(node->text);
        free(node->key);
        free(node);
        return NULL;
    }
    return node;
}

/* The class frees what it gave, by the same function as for a node in the table. */
static void drop_priv(const struct jf_node_new *init) {
    struct jf_node tmp = {.class = init->class, .stream = init->stream, .priv = init->priv};

    if (init->priv && init->class->node_done)
        init->class->node_done(&tmp);
}

int jf_intern_get(struct jf_fs *fs, const struct jf_node_new *init, struct jf_node **ret_node) {
    struct jf_intern *t = fs->intern;
    const char *key = init->key ? init->key : "";
    fuse_ino_t ino = ino_of(init->class, init->stream, key);
    struct jf_node *node;

    pthread_mutex_lock(&t->lock);
    /* Two keys with one hash: the later one takes the next number. */
    while ((node = find(t, ino)) != NULL) {
        if (node->class == init->class && node->stream == init->stream &&
            strcmp(node->key, key) == 0)
            break;
        ino = (uint64_t)JF_KIND_INTERN << 60 | ((ino + 1) & (UINT64_MAX >> 4));
    }
    bool found = node != NULL;
    if (found) {
        node->holds++;
    } else {
        node = make_node(init, key);
        if (node) {
            node->ino = ino;
            insert(t, node);
            grow(t);
        }
    }
    pthread_mutex_unlock(&t->lock);
    if (found || !node)
        drop_priv(init);
    if (!node)
        return JS_ERR_NOMEM;
    *ret_node = node;
    return 0;
}

struct jf_node *jf_intern_find(struct jf_fs *fs, fuse_ino_t ino) {
    if (ino == FUSE_ROOT_ID)
        return fs->root;
    pthread_mutex_lock(&fs->intern->lock);
    struct jf_node *node = find(fs->intern, ino);
    pthread_mutex_unlock(&fs->intern->lock);
    return node;
}

void jf_node_hold(struct jf_fs *fs, struct jf_node *node) {
    pthread_mutex_lock(&fs->intern->lock);
    node->holds++;
    pthread_mutex_unlock(&fs->intern->lock);
}

void jf_node_drop(struct jf_fs *fs, struct jf_node *node, uint64_t holds) {
    struct jf_intern *t = fs->intern;
    bool last = false;

    if (t->closing)
        return;
    pthread_mutex_lock(&t->lock);
    node->holds = node->holds > holds ? node->holds - holds : 0;
    if (node->holds == 0) {
        struct jf_node **slot = &t->buckets[node->ino & (t->nbuckets - 1)];
        while (*slot != node)
            slot = &(*slot)->next;
        *slot = node->next;
        t->count--;
        last = true;
    }
    pthread_mutex_unlock(&t->lock);
    if (last)
        free_node(node);
}

size_t jf_intern_count(struct jf_fs *fs) {
    pthread_mutex_lock(&fs->intern->lock);
    size_t n = fs->intern->count;
    pthread_mutex_unlock(&fs->intern->lock);
    return n;
}

void jf_intern_each(struct jf_fs *fs, void (*fn)(void *ctx, struct jf_node *node), void *ctx) {
    struct jf_intern *t = fs->intern;

    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < t->nbuckets; i++)
        for (struct jf_node *node = t->buckets[i]; node; node = node->next)
            fn(ctx, node);
    pthread_mutex_unlock(&t->lock);
}

struct jf_ref jf_ref_of(struct jf_fs *fs, struct jf_node *node) {
    bool msg = node->class == &jf_class_msg || node->class == &jf_class_full;

    return (struct jf_ref){.fs = fs,
                           .ino = node == fs->root ? FUSE_ROOT_ID : node->ino,
                           .class = node->class,
                           .stream = node->stream,
                           .seq = msg ? node->num : 0,
                           .node = node};
}

int jf_ref_resolve(struct jf_fs *fs, fuse_ino_t ino, struct jf_ref *ret_ref) {
    enum jf_kind kind = jf_node_kind(ino);

    if (kind == JF_KIND_MSG || kind == JF_KIND_FULL) {
        struct jf_stream *stream = jf_stream_of_slot(fs, jf_node_slot(ino));
        if (!stream)
            return -ESTALE;
        *ret_ref = (struct jf_ref){.fs = fs,
                                   .ino = ino,
                                   .class = kind == JF_KIND_MSG ? &jf_class_msg : &jf_class_full,
                                   .stream = stream,
                                   .seq = jf_node_seq(ino)};
    } else {
        struct jf_node *node = jf_intern_find(fs, ino);
        if (!node)
            return -ESTALE;
        *ret_ref = jf_ref_of(fs, node);
    }
    if (ret_ref->stream && atomic_load(&ret_ref->stream->gone))
        return -ESTALE;
    return 0;
}
