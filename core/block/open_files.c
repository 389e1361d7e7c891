/* SPDX-License-Identifier: Apache-2.0 */
#include "core/block/open_files.h"

void js_open_files_init(struct js_open_files *files, const struct js_env *env) {
    *files = (struct js_open_files){.env = env};
    pthread_mutex_init(&files->mu, NULL);
}

void js_open_files_done(struct js_open_files *files) {
    js_open_files_drop(files, 0);
    pthread_mutex_destroy(&files->mu);
}

/* lock held */
static void close_file(struct js_open_files *files, struct js_open_file *f) {
    files->env->io->close(files->env->io->ctx, f->fd);
    *f = (struct js_open_file){0};
}

struct js_open_file *js_open_files_get(struct js_open_files *files, uint64_t owner, uint32_t number,
                                       uint64_t need) {
    struct js_open_file *found = NULL;

    pthread_mutex_lock(&files->mu);
    for (size_t i = 0; i < JS_OPEN_FILES && !found; i++) {
        struct js_open_file *f = &files->list[i];
        if (f->owner != owner || f->number != number || f->doomed || f->len < need)
            continue;
        f->users++;
        f->used = ++files->clock;
        found = f;
    }
    pthread_mutex_unlock(&files->mu);
    return found;
}

/* A free place, or that of the file that nobody reads and that was used longest ago. lock held. */
static struct js_open_file *make_place(struct js_open_files *files) {
    struct js_open_file *place = NULL;

    for (size_t i = 0; i < JS_OPEN_FILES; i++) {
        struct js_open_file *f = &files->list[i];
        if (f->owner == 0)
            return f;
        if (f->users == 0 && (!place || f->used < place->used))
            place = f;
    }
    if (place)
        close_file(files, place);
    return place;
}

struct js_open_file *js_open_files_put(struct js_open_files *files, uint64_t owner, uint32_t number,
                                       int fd, uint64_t len) {
    pthread_mutex_lock(&files->mu);
    struct js_open_file *f = make_place(files);
    if (f)
        *f = (struct js_open_file){.owner = owner,
                                   .number = number,
                                   .fd = fd,
                                   .len = len,
                                   .users = 1,
                                   .used = ++files->clock};
    pthread_mutex_unlock(&files->mu);
    return f;
}

void js_open_files_release(struct js_open_files *files, struct js_open_file *file) {
    pthread_mutex_lock(&files->mu);
    if (--file->users == 0 && file->doomed)
        close_file(files, file);
    pthread_mutex_unlock(&files->mu);
}

void js_open_files_drop(struct js_open_files *files, uint64_t owner) {
    pthread_mutex_lock(&files->mu);
    for (size_t i = 0; i < JS_OPEN_FILES; i++) {
        struct js_open_file *f = &files->list[i];
        if (f->owner == 0 || (owner && f->owner != owner))
            continue;
        if (f->users)
            f->doomed = true;
        else
            close_file(files, f);
    }
    pthread_mutex_unlock(&files->mu);
}
