/* SPDX-License-Identifier: Apache-2.0 */
/*
 * all.*, own.* and segments/N.*: rendered files.
 *
 * A node of class view is one epoch of one view; its number never shows other bytes. A node of
 * class viewset, which the kernel never sees, holds the present epoch of a scope and format for all
 * directories that lead there; the views hold it. So an epoch ends for new lookups as soon as
 * something was removed, and goes on for those who have it.
 */
#include "fs/view/view.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/node/items.h"
#include "fs/node/stream.h"

#define DAY 86400.0

struct viewset {
    pthread_mutex_t lock;
    struct jf_view *current;
    uint64_t removals; /* of the stream or block when the epoch began */
};

struct view {
    struct jf_view *view;
    struct jf_node *set; /* held */
    bool sealed;         /* a segment that does not grow any more */
};

struct handle {
    pthread_mutex_t lock;
    struct jf_reader *reader;
};

static void set_done(struct jf_node *node) {
    struct viewset *set = node->priv;

    if (!set)
        return;
    jf_view_unref(set->current);
    pthread_mutex_destroy(&set->lock);
    free(set);
}

static int stat_set(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                    double *entry_timeout) {
    (void)ref;
    (void)st;
    (void)attr_timeout;
    (void)entry_timeout;
    return -ESTALE;
}

static const struct jf_class viewset_class = {
    .name = "viewset", .mode = S_IFREG, .stat = stat_set, .node_done = set_done};

static void on_damage(void *ctx, struct js_stream *stream, js_seq_t seq) {
    struct jf_fs *fs = ctx;

    jf_log_add(fs->log, "%s/%s: message %" PRIu64 " is damaged: left out of a view",
               js_stream_account(stream), js_stream_name(stream), seq);
}

/* What counts removals of this scope, and whether it can still grow. */
static uint64_t removals_of(struct jf_stream *stream, struct jf_scope *scope, bool *ret_sealed) {
    struct js_stream_state state;
    struct js_block_info block;
    uint32_t number;

    *ret_sealed = false;
    if (jf_scope_is_block(scope, &number) &&
        js_stream_block_by_number(stream->stream, number, &block) == 0) {
        *ret_sealed = block.sealed;
        return block.removals;
    }
    js_stream_get_state(stream->stream, &state);
    return state.removals;
}

/* With the set's lock: brings the epoch up to date. */
static int renew(struct jf_stream *stream, struct viewset *set, struct jf_scope *scope,
                 enum jf_format format, bool *ret_sealed) {
    struct jf_view_options options = {
        .render = {.format = format}, .damage = on_damage, .damage_ctx = stream->fs};
    struct jf_view *view;
    uint64_t removals = removals_of(stream, scope, ret_sealed);
    int r =
        set->current ? jf_view_current(set->current, &view) : jf_view_open(scope, &options, &view);

    if (r < 0)
        return r;
    if (view == set->current) {
        jf_view_unref(view);
        return 0;
    }
    jf_view_unref(set->current);
    set->current = view;
    set->removals = removals;
    return 0;
}

static int view_node(const struct jf_ref *dir, struct jf_scope *scope, enum jf_format format,
                     struct jf_node *set_node, const char *base, struct jf_node **ret_node) {
    struct viewset *set = set_node->priv;
    char *key = NULL;
    struct view *priv = calloc(1, sizeof(*priv));
    int r = JS_ERR_NOMEM;

    if (priv) {
        pthread_mutex_lock(&set->lock);
        r = renew(dir->stream, set, scope, format, &priv->sealed);
        /* A segment that was sealed since is another node: it is cached in another way. */
        if (r == 0 && asprintf(&key, "%s\n%" PRIu64 "\n%" PRIu64 "%s", base, set->removals,
                               jf_view_epoch(set->current), priv->sealed ? "s" : "") < 0)
            r = JS_ERR_NOMEM;
        if (r == 0) {
            priv->view = jf_view_ref(set->current);
            priv->set = set_node;
        }
        pthread_mutex_unlock(&set->lock);
    }
    if (r < 0) {
        free(priv);
        jf_node_drop(dir->fs, set_node, 1);
        return r;
    }
    struct jf_node_new init = {.class = &jf_class_view,
                               .stream = dir->stream,
                               .scope = scope,
                               .num = format,
                               .priv = priv,
                               .key = key};
    r = jf_intern_get(dir->fs, &init, ret_node);
    free(key);
    return r;
}

int jf_view_entry(const struct jf_ref *dir, struct jf_scope *scope, enum jf_format format,
                  struct jf_entry *ret_entry) {
    struct viewset *set = calloc(1, sizeof(*set));
    struct jf_node *set_node;
    struct jf_node *node = NULL;
    char *base;

    if (!set)
        return JS_ERR_NOMEM;
    pthread_mutex_init(&set->lock, NULL);
    if (asprintf(&base, "%s\n%s", jf_format_name(format), jf_scope_key(scope)) < 0) {
        free(set);
        return JS_ERR_NOMEM;
    }
    struct jf_node_new init = {
        .class = &viewset_class, .stream = dir->stream, .priv = set, .key = base};
    int r = jf_intern_get(dir->fs, &init, &set_node);
    if (r == 0)
        r = view_node(dir, scope, format, set_node, base, &node);
    free(base);
    return r < 0 ? r : jf_entry_node(dir->fs, node, ret_entry);
}

static void view_done(struct jf_node *node) {
    struct view *v = node->priv;

    if (!v)
        return;
    jf_view_unref(v->view);
    jf_node_drop(node->stream->fs, v->set, 1);
    free(v);
}

static int stat_view(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                     double *entry_timeout) {
    const struct view *v = ref->node->priv;
    js_time_t time = 0;
    uint64_t size;

    jf_stream_touch(ref->stream);
    int r = jf_view_size(v->view, &size, &time);
    if (r < 0)
        return r;
    st->st_size = (off_t)size;
    jf_stat_time(ref->fs, st, time);
    *attr_timeout = v->sealed ? DAY : 0.2;
    *entry_timeout = v->sealed ? 1 : 0;
    return 0;
}

/* Growth of a .jsonl is rendered to be measured. */
static bool slow(const struct jf_ref *ref, enum jf_op op, const char *name) {
    (void)name;
    return op == JF_OP_GETATTR && ref->node->num == JF_JSONL;
}

static int open_view(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    const struct view *v = ref->node->priv;
    bool cached = v->sealed || ref->fs->options.views_cached;

    (void)req;
    if (fi->flags & O_TRUNC)
        return -EPERM;
    if ((fi->flags & O_ACCMODE) != O_RDONLY)
        return -EACCES;
    struct handle *h = calloc(1, sizeof(*h));
    if (!h)
        return JS_ERR_NOMEM;
    int r = jf_reader_open(v->view, &h->reader);
    if (r < 0) {
        free(h);
        return r;
    }
    pthread_mutex_init(&h->lock, NULL);
    fi->fh = (uintptr_t)h;
    fi->direct_io = !cached;
    fi->keep_cache = cached;
    fi->noflush = 1;
    return 0;
}

static int read_view(fuse_req_t req, const struct jf_ref *ref, size_t size, off_t off,
                     struct fuse_file_info *fi) {
    struct handle *h = (struct handle *)(uintptr_t)fi->fh;
    size_t len = 0;
    ssize_t n = 0;

    char *buf = malloc(size ? size : 1);
    if (!buf)
        return JS_ERR_NOMEM;
    if (off == 0)
        jf_stream_touch(ref->stream);
    pthread_mutex_lock(&h->lock);
    /* The page cache takes a short answer for the end of the file. */
    while (len < size) {
        n = jf_reader_read(h->reader, buf + len, size - len, (uint64_t)off + len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    pthread_mutex_unlock(&h->lock);
    if (n < 0 && len == 0) {
        jf_log_add(ref->fs->log, "%s: reading a view at %lld: %s", ref->stream->tag, (long long)off,
                   js_err_text((int)n));
        free(buf);
        return (int)n;
    }
    fuse_reply_buf(req, buf, len);
    free(buf);
    return JF_REPLIED;
}

static void release_view(const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct handle *h = (struct handle *)(uintptr_t)fi->fh;

    (void)ref;
    jf_reader_close(h->reader);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

const struct jf_class jf_class_view = {
    .name = "view",
    .mode = S_IFREG | 0444,
    .slow = slow,
    .stat = stat_view,
    .open = open_view,
    .read = read_view,
    .release = release_view,
    .node_done = view_done,
};
