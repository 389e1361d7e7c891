/* SPDX-License-Identifier: Apache-2.0 */
/* spool/ and spool/<subject>/: directories whose files become messages. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/name.h"
#include "fs/node/dirbuf.h"
#include "fs/node/publish.h"
#include "fs/node/spool.h"
#include "fs/node/stage.h"
#include "fs/node/stream.h"

#define ANY "any.d"

static int stat_dir(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                    double *entry_timeout) {
    (void)ref;
    (void)st;
    (void)attr_timeout;
    (void)entry_timeout;
    return 0;
}

/* The entry of a staged file. */
static int stage_entry(const struct jf_ref *dir, struct jf_stage *stage,
                       struct jf_entry *ret_entry) {
    char key[40];

    snprintf(key, sizeof(key), "%llu", (unsigned long long)stage->id);
    struct jf_node_new init = {.class = &jf_class_spool_file,
                               .stream = dir->stream,
                               .priv = jf_stage_ref(stage),
                               .key = key};
    return jf_entry_new(dir->fs, &init, ret_entry);
}

static int lookup_file(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    struct jf_stage *stage = jf_stage_find(dir->stream, dir->node->text, name);
    int r;

    if (!stage)
        return -ENOENT;
    pthread_mutex_lock(&stage->lock);
    js_seq_t seq = stage->committed ? stage->seq : 0;
    pthread_mutex_unlock(&stage->lock);
    if (seq) {
        size_t n = strlen(name);
        bool full = n > 4 && strcmp(name + n - 4, ".msg") == 0;
        r = jf_entry_msg(dir->fs, dir->stream, seq, full, ret_entry);
        if (r == 0)
            ret_entry->e.entry_timeout = 0;
    } else {
        r = stage_entry(dir, stage, ret_entry);
    }
    jf_stage_unref(stage);
    return r;
}

static int create_file(fuse_req_t req, const struct jf_ref *dir, const char *name, mode_t mode,
                       struct fuse_file_info *fi, struct jf_entry *ret_entry) {
    struct jf_stage *stage;

    (void)mode;
    if (strlen(name) > JF_NAME_MAX)
        return -ENAMETOOLONG;
    int r = jf_publish_writable(dir);
    /* The kernel may remember the directory from before the stream's subjects were changed. */
    if (r == 0 && strcmp(dir->node->text, ANY) != 0)
        r = jf_publish_subject(dir, dir->node->text);
    if (r == 0)
        r = jf_stage_new(dir->stream, dir->node->text, name, fuse_req_ctx(req)->pid, &stage);
    if (r < 0)
        return r;
    r = stage_entry(dir, stage, ret_entry);
    if (r == 0) {
        struct jf_ref ref = jf_ref_of(dir->fs, ret_entry->node);
        r = jf_spool_open(req, &ref, fi);
        if (r < 0)
            jf_node_drop(dir->fs, ret_entry->node, 1);
    }
    if (r < 0)
        jf_stage_unlink(stage);
    jf_stage_unref(stage);
    return r;
}

static int unlink_file(const struct jf_ref *dir, const char *name) {
    struct jf_stage *stage = jf_stage_find(dir->stream, dir->node->text, name);

    if (!stage)
        return -ENOENT;
    jf_stage_unlink(stage);
    jf_stage_unref(stage);
    return 0;
}

static int rename_file(const struct jf_ref *from, const char *name, const struct jf_ref *to,
                       const char *new_name, unsigned flags) {
    if (to->class != from->class || to->stream != from->stream)
        return -EXDEV;
    if (flags & ~1u) /* RENAME_NOREPLACE is what the table does anyway */
        return -EINVAL;
    struct jf_stage *stage = jf_stage_find(from->stream, from->node->text, name);
    if (!stage)
        return -ENOENT;
    pthread_mutex_lock(&stage->lock);
    int r = stage->committed ? -EPERM : stage->failed;
    if (r == 0)
        r = jf_stage_rename(stage, to->node->text, new_name);
    /* The name is final now: that is what rename(2) says, and its answer is the store's. */
    if (r == 0 && !jf_stage_is_temporary(new_name) && (stage->len || stage->dirty)) {
        r = jf_stage_commit(stage);
        if (r == 0)
            r = jf_publish_sync(from);
        else
            (void)jf_stage_rename(stage, from->node->text, name);
    }
    pthread_mutex_unlock(&stage->lock);
    jf_stage_unref(stage);
    return r;
}

/* Cookies are the files' numbers, which only grow. */
static int list_files(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                      struct jf_dirbuf *buf) {
    uint64_t after = off < JF_COOKIE_FIRST ? 0 : (uint64_t)off - JF_COOKIE_FIRST;
    struct jf_stage *stage;
    char *name;

    (void)fi;
    if (!jf_dirbuf_dots(buf, off))
        return 0;
    while ((stage = jf_stage_next(ref->stream, ref->node->text, after, &name))) {
        char key[40];
        after = stage->id;
        snprintf(key, sizeof(key), "%llu", (unsigned long long)stage->id);
        bool room = jf_dirbuf_add(buf, name, jf_intern_ino(&jf_class_spool_file, ref->stream, key),
                                  S_IFREG, (off_t)(after + JF_COOKIE_FIRST));
        free(name);
        jf_stage_unref(stage);
        if (!room)
            break;
    }
    return 0;
}

static const struct jf_class spool_dir_class = {
    .name = "spooldir",
    .mode = S_IFDIR | 0755,
    .lookup = lookup_file,
    .stat = stat_dir,
    .readdir = list_files,
    .create = create_file,
    .unlink = unlink_file,
    .rename = rename_file,
};

static int lookup_dir(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    int r = strcmp(name, ANY) == 0 ? 0 : jf_publish_subject(dir, name);

    if (r < 0)
        return r;
    struct jf_node_new init = {
        .class = &spool_dir_class, .stream = dir->stream, .text = name, .key = name};
    return jf_entry_new(dir->fs, &init, ret_entry);
}

const struct jf_class jf_class_spool = {
    .name = "spool",
    .mode = S_IFDIR | 0755,
    .lookup = lookup_dir,
    .stat = stat_dir,
};
