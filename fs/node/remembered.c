/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/remembered.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A place keeps its number, so that listings find where they were. */
static struct {
    pthread_mutex_t lock;
    struct place {
        const struct jf_stream *stream; /* NULL: free */
        char *subject;
    } places[JF_MAX_REMEMBERED];
    unsigned used; /* places before this one were ever taken */
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* With the table's lock. */
static struct place *find(const struct jf_stream *stream, const char *subject) {
    for (unsigned i = 0; i < table.used; i++)
        if (table.places[i].stream == stream && strcmp(table.places[i].subject, subject) == 0)
            return &table.places[i];
    return NULL;
}

/* What stands behind "subject." in a name; NULL if it is not below the subject. */
static const char *below(const char *name, const char *subject) {
    size_t n = strlen(subject);

    if (n == 0)
        return name;
    return strncmp(name, subject, n) == 0 && name[n] == '.' ? name + n + 1 : NULL;
}

bool jf_is_remembered(const struct jf_stream *stream, const char *subject) {
    pthread_mutex_lock(&table.lock);
    bool found = find(stream, subject) != NULL;
    pthread_mutex_unlock(&table.lock);
    return found;
}

int jf_remember(const struct jf_stream *stream, const char *subject) {
    char *copy = strdup(subject);
    unsigned i = 0;
    int r = 0;

    if (!copy)
        return JS_ERR_NOMEM;
    pthread_mutex_lock(&table.lock);
    while (i < table.used && table.places[i].stream)
        i++;
    if (find(stream, subject))
        r = -EEXIST;
    else if (i == JF_MAX_REMEMBERED)
        r = -ENOSPC;
    if (r == 0) {
        table.places[i] = (struct place){.stream = stream, .subject = copy};
        table.used += i == table.used;
    }
    pthread_mutex_unlock(&table.lock);
    if (r < 0)
        free(copy);
    return r;
}

int jf_forget_remembered(const struct jf_stream *stream, const char *subject) {
    int r = 0;

    pthread_mutex_lock(&table.lock);
    struct place *p = find(stream, subject);
    if (!p)
        r = -ENOENT;
    for (unsigned i = 0; i < table.used && r == 0; i++)
        if (table.places[i].stream == stream && &table.places[i] != p &&
            below(table.places[i].subject, subject))
            r = -ENOTEMPTY;
    if (r == 0) {
        free(p->subject);
        *p = (struct place){0};
    }
    pthread_mutex_unlock(&table.lock);
    return r;
}

int jf_list_remembered(const struct jf_stream *stream, const char *subject, unsigned from,
                       jf_remembered_fn fn, void *ctx) {
    int r = 0;

    for (unsigned i = from; i < JF_MAX_REMEMBERED && r == 0; i++) {
        /* fn asks the stream: not under the lock. */
        pthread_mutex_lock(&table.lock);
        const char *token = i < table.used && table.places[i].stream == stream
                                ? below(table.places[i].subject, subject)
                                : NULL;
        char *copy = token && !strchr(token, '.') ? strdup(table.places[i].subject) : NULL;
        bool end = i >= table.used;
        pthread_mutex_unlock(&table.lock);
        if (end)
            break;
        if (copy)
            r = fn(ctx, copy, below(copy, subject), i);
        free(copy);
    }
    return r;
}
