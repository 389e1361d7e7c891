/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream's config.json: read, it is the configuration; written, what was written is a whole new one
 * that is tried when the file is closed by who opened it. Editors may write config.json.ANYTHING beside
 * it, which is kept in memory, and rename that over config.json. So they may beside a consumer's, whose
 * config.json itself is in n_consumer_text.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/node/admin.h"
#include "fs/node/consumer.h"
#include "fs/node/opener.h"
#include "fs/node/stream.h"
#include "fs/view/info.h"

#define MAX_TEXT  (4u << 20)
#define MAX_FILES 64 /* beside config.json, in all streams */

/* What is written: in a handle of config.json, or a file beside it. */
struct draft {
    unsigned refs; /* under table_lock */
    pthread_mutex_t lock;
    char *data;
    size_t len;
    pid_t opener;
    bool dirty;
    /* of a file beside it, under table_lock: */
    struct jf_stream *stream;
    char *consumer; /* "" = of the stream itself */
    char *name; /* NULL: no name any more */
    uint64_t id;
    struct draft *next;
};

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct draft *table;
static unsigned num_files;
static uint64_t last_id;

static struct draft *draft_new(void) {
    struct draft *d = calloc(1, sizeof(*d));

    if (d) {
        d->refs = 1;
        pthread_mutex_init(&d->lock, NULL);
    }
    return d;
}

static void draft_unref(struct draft *d) {
    pthread_mutex_lock(&table_lock);
    bool last = --d->refs == 0;
    pthread_mutex_unlock(&table_lock);
    if (!last)
        return;
    pthread_mutex_destroy(&d->lock);
    free(d->data);
    free(d->consumer);
    free(d->name);
    free(d);
}

/* With the draft's lock. */
static int resize(struct draft *d, size_t len) {
    if (len > MAX_TEXT)
        return -EFBIG;
    char *p = realloc(d->data, len + 1);
    if (!p)
        return JS_ERR_NOMEM;
    if (len > d->len)
        memset(p + d->len, 0, len - d->len);
    p[len] = 0;
    d->data = p;
    d->len = len;
    return 0;
}

/* ---- files beside config.json ------------------------------------------------------------------ */

static bool is_beside(const char *name) {
    return strncmp(name, "config.json.", 12) == 0 && name[12];
}

/* The consumer whose directory it is; "" for a stream's. */
static const char *consumer_of(const struct jf_ref *dir) {
    return dir->class == &jf_class_consumer ? dir->node->text : "";
}

static bool is_file(const struct draft *d, const struct jf_ref *dir, const char *name) {
    return d->stream == dir->stream && d->name && strcmp(d->name, name) == 0 &&
           strcmp(d->consumer, consumer_of(dir)) == 0;
}

/* With a reference, or NULL. */
static struct draft *find_file(const struct jf_ref *dir, const char *name) {
    pthread_mutex_lock(&table_lock);
    struct draft *d = table;
    while (d && !is_file(d, dir, name))
        d = d->next;
    if (d)
        d->refs++;
    pthread_mutex_unlock(&table_lock);
    return d;
}

/* Takes a file out of the table; its reference there goes to the caller. */
static void take_out(struct draft *d) {
    pthread_mutex_lock(&table_lock);
    struct draft **p = &table;
    while (*p && *p != d)
        p = &(*p)->next;
    if (*p) {
        *p = d->next;
        num_files--;
        d->refs--;
    }
    free(d->name);
    d->name = NULL;
    pthread_mutex_unlock(&table_lock);
}

static int admit(const struct jf_ref *ref) {
    if (!ref->fs->options.rw)
        return -EROFS;
    return ref->fs->options.allow_admin ? 0 : -EPERM;
}

/* Makes the text the stream's configuration. */
static int apply(const struct jf_ref *ref, const char *text) {
    char why[300] = "";

    if (ref->class == &jf_class_consumer)
        return jf_consumer_set_config(ref, text);
    int r = js_stream_update_config(ref->stream->stream, text, why, sizeof(why));

    if (r < 0)
        jf_log_add(ref->fs->log, "%s: config.json: %s", ref->stream->tag,
                   why[0] ? why : js_err_text(r));
    return r;
}

static int apply_draft(const struct jf_ref *ref, struct draft *d) {
    pthread_mutex_lock(&d->lock);
    int r = apply(ref, d->data ? d->data : "");
    pthread_mutex_unlock(&d->lock);
    return r;
}

/* ---- handles: of config.json itself and of files beside ------------------------------------------ */

static struct draft *draft_of(const struct fuse_file_info *fi) {
    return (struct draft *)(uintptr_t)fi->fh;
}

static int read_draft(fuse_req_t req, const struct jf_ref *ref, size_t size, off_t off,
                      struct fuse_file_info *fi) {
    struct draft *d = draft_of(fi);

    (void)ref;
    pthread_mutex_lock(&d->lock);
    jf_reply_text(req, d->data ? d->data : "", d->len, size, off);
    pthread_mutex_unlock(&d->lock);
    return JF_REPLIED;
}

static int write_draft(const struct jf_ref *ref, struct draft *d, const char *buf, size_t size,
                       off_t off, size_t *ret_count) {
    (void)ref;
    pthread_mutex_lock(&d->lock);
    size_t end = (size_t)off + size;
    int r = end < size || end > MAX_TEXT ? -EFBIG : end > d->len ? resize(d, end) : 0;
    if (r == 0) {
        memcpy(d->data + off, buf, size);
        d->dirty = true;
        *ret_count = size;
    }
    pthread_mutex_unlock(&d->lock);
    return r;
}

static int write_handle(fuse_req_t req, const struct jf_ref *ref, const char *buf, size_t size,
                        off_t off, struct fuse_file_info *fi, size_t *ret_count) {
    (void)req;
    return write_draft(ref, draft_of(fi), buf, size, off, ret_count);
}

static void release_draft(const struct jf_ref *ref, struct fuse_file_info *fi) {
    (void)ref;
    draft_unref(draft_of(fi));
}

static int open_config(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    bool write = (fi->flags & O_ACCMODE) != O_RDONLY;
    struct draft *d;
    size_t len = 0;
    int r = write || (fi->flags & O_TRUNC) ? admit(ref) : 0;

    if (r < 0)
        return r;
    d = draft_new();
    if (!d)
        return JS_ERR_NOMEM;
    d->opener = fuse_req_ctx(req)->pid;
    if (!(fi->flags & O_TRUNC))
        r = jf_info_config(ref->stream->stream, &d->data, &len);
    if (r < 0) {
        draft_unref(d);
        return r;
    }
    d->len = len;
    fi->fh = (uintptr_t)d;
    fi->direct_io = 1;
    return 0;
}

static int stat_config(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                       double *entry_timeout) {
    char *text = NULL;
    size_t len;
    int r = jf_info_config(ref->stream->stream, &text, &len);

    if (r < 0)
        return r;
    free(text);
    st->st_size = (off_t)len;
    if (!ref->fs->options.allow_admin)
        st->st_mode &= ~(mode_t)0222;
    *attr_timeout = 0;
    *entry_timeout = 1;
    return 0;
}

/* A draft that is open is cut; without one there is nothing to cut, and O_TRUNC begins empty. */
static int setattr_config(const struct jf_ref *ref, const struct stat *attr, int to_set,
                          struct fuse_file_info *fi) {
    int r = admit(ref);

    if (r < 0 || !(to_set & FUSE_SET_ATTR_SIZE))
        return r < 0 ? r : (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
                               ? -EPERM
                               : 0;
    if (!fi)
        return attr->st_size == 0 ? 0 : -EPERM;
    struct draft *d = draft_of(fi);
    pthread_mutex_lock(&d->lock);
    r = resize(d, (size_t)attr->st_size);
    pthread_mutex_unlock(&d->lock);
    return r;
}

/* Once for what was written since the last time. */
static int commit(const struct jf_ref *ref, struct draft *d) {
    pthread_mutex_lock(&d->lock);
    bool dirty = d->dirty;
    d->dirty = false;
    pthread_mutex_unlock(&d->lock);
    return dirty ? apply_draft(ref, d) : 0;
}

static int flush_config(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct draft *d = draft_of(fi);

    /* A child's close of a descriptor that it inherited ends nothing. */
    return jf_is_opener(d->opener, fuse_req_ctx(req)->pid) ? commit(ref, d) : 0;
}

/* What nobody's close took is taken now; an error stands in the log. */
static void release_config(const struct jf_ref *ref, struct fuse_file_info *fi) {
    (void)commit(ref, draft_of(fi));
    draft_unref(draft_of(fi));
}

static bool slow(const struct jf_ref *ref, enum jf_op op, const char *name) {
    (void)ref;
    (void)name;
    return op == JF_OP_FLUSH;
}

const struct jf_class jf_class_config = {
    .name = "config",
    .mode = S_IFREG | 0644,
    .slow = slow,
    .stat = stat_config,
    .setattr = setattr_config,
    .open = open_config,
    .read = read_draft,
    .write = write_handle,
    .flush = flush_config,
    .release = release_config,
};

/* ---- the class of files beside -------------------------------------------------------------------- */

static struct draft *file_of(const struct jf_ref *ref) {
    return ref->node->priv;
}

static int stat_file(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                     double *entry_timeout) {
    struct draft *d = file_of(ref);

    pthread_mutex_lock(&d->lock);
    st->st_size = (off_t)d->len;
    pthread_mutex_unlock(&d->lock);
    *attr_timeout = 0;
    *entry_timeout = 0;
    return 0;
}

static int open_file(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct draft *d = file_of(ref);
    int r = 0;

    (void)req;
    pthread_mutex_lock(&d->lock);
    if (fi->flags & O_TRUNC)
        r = resize(d, 0);
    pthread_mutex_unlock(&d->lock);
    if (r < 0)
        return r;
    pthread_mutex_lock(&table_lock);
    d->refs++;
    pthread_mutex_unlock(&table_lock);
    fi->fh = (uintptr_t)d;
    fi->direct_io = 1;
    return 0;
}

static int setattr_file(const struct jf_ref *ref, const struct stat *attr, int to_set,
                        struct fuse_file_info *fi) {
    struct draft *d = file_of(ref);
    int r = 0;

    (void)fi;
    if (to_set & FUSE_SET_ATTR_SIZE) {
        pthread_mutex_lock(&d->lock);
        r = resize(d, (size_t)attr->st_size);
        pthread_mutex_unlock(&d->lock);
    }
    return r;
}

static int fsync_file(const struct jf_ref *ref, struct fuse_file_info *fi) {
    (void)ref;
    (void)fi;
    return 0;
}

static void file_done(struct jf_node *node) {
    draft_unref(node->priv);
}

static const struct jf_class file_class = {
    .name = "configfile",
    .mode = S_IFREG | 0600,
    .stat = stat_file,
    .setattr = setattr_file,
    .open = open_file,
    .read = read_draft,
    .write = write_handle,
    .fsync = fsync_file,
    .release = release_draft,
    .node_done = file_done,
};

static int file_entry(const struct jf_ref *dir, struct draft *d, struct jf_entry *ret_entry) {
    char key[40];

    snprintf(key, sizeof(key), "%llu", (unsigned long long)d->id);
    pthread_mutex_lock(&table_lock);
    d->refs++;
    pthread_mutex_unlock(&table_lock);
    struct jf_node_new init = {.class = &file_class, .stream = dir->stream, .priv = d, .key = key};
    return jf_entry_new(dir->fs, &init, ret_entry);
}

int jf_config_lookup(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    struct draft *d = is_beside(name) ? find_file(dir, name) : NULL;

    if (!d)
        return -ENOENT;
    int r = file_entry(dir, d, ret_entry);
    draft_unref(d);
    return r;
}

int jf_config_create(fuse_req_t req, const struct jf_ref *dir, const char *name, mode_t mode,
                     struct fuse_file_info *fi, struct jf_entry *ret_entry) {
    int r = is_beside(name) ? admit(dir) : -EPERM;

    (void)mode;
    if (r < 0)
        return r;
    struct draft *d = find_file(dir, name);
    if (d) {
        draft_unref(d);
        return -EEXIST;
    }
    d = draft_new();
    char *copy = strdup(name), *consumer = strdup(consumer_of(dir));
    if (!d || !copy || !consumer) {
        free(copy);
        free(consumer);
        if (d)
            draft_unref(d);
        return JS_ERR_NOMEM;
    }
    pthread_mutex_lock(&table_lock);
    bool room = num_files < MAX_FILES;
    if (room) {
        d->stream = dir->stream;
        d->consumer = consumer;
        d->name = copy;
        d->id = ++last_id;
        d->next = table;
        table = d;
        d->refs++;
        num_files++;
    }
    pthread_mutex_unlock(&table_lock);
    if (!room) {
        free(copy);
        free(consumer);
    }
    r = room ? file_entry(dir, d, ret_entry) : -ENOSPC;
    if (r == 0) {
        struct jf_ref ref = jf_ref_of(dir->fs, ret_entry->node);
        r = open_file(req, &ref, fi);
        if (r < 0)
            jf_node_drop(dir->fs, ret_entry->node, 1);
    }
    if (r < 0 && room)
        take_out(d);
    draft_unref(d);
    return r;
}

int jf_config_unlink(const struct jf_ref *dir, const char *name) {
    struct draft *d = is_beside(name) ? find_file(dir, name) : NULL;

    if (!d)
        return -EPERM;
    take_out(d);
    draft_unref(d);
    return 0;
}

int jf_config_rename(const struct jf_ref *from, const char *name, const struct jf_ref *to,
                     const char *new_name, unsigned flags) {
    struct draft *d = is_beside(name) ? find_file(from, name) : NULL;
    int r = 0;

    (void)flags;
    if (!d)
        return -EPERM;
    if (to->class != from->class || to->stream != from->stream ||
        strcmp(consumer_of(to), consumer_of(from)) != 0)
        r = -EXDEV;
    else if (strcmp(new_name, "config.json") != 0)
        r = -EPERM;
    else
        r = apply_draft(from, d);
    if (r == 0)
        take_out(d);
    draft_unref(d);
    return r;
}
