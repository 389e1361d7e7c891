/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/session/opens.h"

#include <errno.h>
#include <stdlib.h>

struct open_file {
    struct open_file *next;
    struct open_file **slot; /* what points here */
    struct jf_ref ref;
    struct fuse_file_info fi; /* with the class's fh */
    bool dir;
};

struct jf_opens {
    pthread_mutex_t lock;
    struct open_file *first;
};

struct jf_opens *jf_opens_new(void) {
    struct jf_opens *opens = calloc(1, sizeof(*opens));

    if (opens)
        pthread_mutex_init(&opens->lock, NULL);
    return opens;
}

static void unlink_file(struct open_file *f) {
    *f->slot = f->next;
    if (f->next)
        f->next->slot = f->slot;
}

static void release(struct open_file *f) {
    if (f->dir && f->ref.class->releasedir)
        f->ref.class->releasedir(&f->ref, &f->fi);
    if (!f->dir && f->ref.class->release)
        f->ref.class->release(&f->ref, &f->fi);
}

void jf_opens_free(struct jf_fs *fs) {
    struct jf_opens *opens = fs->opens;

    if (!opens)
        return;
    while (opens->first) {
        struct open_file *f = opens->first;
        unlink_file(f);
        release(f);
        free(f);
    }
    pthread_mutex_destroy(&opens->lock);
    free(opens);
    fs->opens = NULL;
}

int jf_opens_add(const struct jf_ref *ref, struct fuse_file_info *fi, bool dir) {
    struct jf_opens *opens = ref->fs->opens;

    if (fi->fh == 0)
        return 0;
    struct open_file *f = malloc(sizeof(*f));
    if (!f)
        return JS_ERR_NOMEM;
    *f = (struct open_file){.ref = *ref, .fi = *fi, .dir = dir, .slot = &opens->first};
    pthread_mutex_lock(&opens->lock);
    f->next = opens->first;
    if (f->next)
        f->next->slot = &f->next;
    opens->first = f;
    pthread_mutex_unlock(&opens->lock);
    fi->fh = (uintptr_t)f;
    return 0;
}

void jf_opens_resolve(struct fuse_file_info *fi) {
    const struct open_file *f = (const struct open_file *)(uintptr_t)fi->fh;

    if (f)
        fi->fh = f->fi.fh;
}

void jf_opens_remove(struct jf_fs *fs, struct fuse_file_info *fi) {
    struct open_file *f = (struct open_file *)(uintptr_t)fi->fh;

    if (!f)
        return;
    pthread_mutex_lock(&fs->opens->lock);
    unlink_file(f);
    pthread_mutex_unlock(&fs->opens->lock);
    fi->fh = f->fi.fh;
    free(f);
}

int jf_opens_stat(const struct jf_ref *ref, struct stat *ret_st) {
    struct jf_opens *opens = ref->fs->opens;
    int r = -ESTALE;

    if (!ref->class->stat_open)
        return r;
    pthread_mutex_lock(&opens->lock);
    for (struct open_file *f = opens->first; f && r < 0; f = f->next)
        if (f->ref.ino == ref->ino && !f->dir)
            r = ref->class->stat_open(ref, &f->fi, ret_st);
    pthread_mutex_unlock(&opens->lock);
    return r;
}
