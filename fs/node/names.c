/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/name.h"
#include "fs/node/dirbuf.h"

struct names {
    char **name;
    size_t count;
    size_t cap;
};

static int add(void *ctx, const char *name) {
    struct names *n = ctx;

    if (n->count == n->cap) {
        size_t cap = n->cap ? n->cap * 2 : 16;
        char **p = realloc(n->name, cap * sizeof(*p));
        if (!p)
            return JS_ERR_NOMEM;
        n->name = p;
        n->cap = cap;
    }
    n->name[n->count] = strdup(name);
    if (!n->name[n->count])
        return JS_ERR_NOMEM;
    n->count++;
    return 0;
}

static void free_names(struct names *n) {
    for (size_t i = 0; i < n->count; i++)
        free(n->name[i]);
    free(n->name);
    free(n);
}

int jf_names_open(const struct jf_ref *ref, jf_names_fn names, struct fuse_file_info *fi) {
    struct names *n = calloc(1, sizeof(*n));

    if (!n)
        return JS_ERR_NOMEM;
    int r = names(ref, add, n);
    if (r < 0) {
        free_names(n);
        return r;
    }
    fi->fh = (uintptr_t)n;
    return 0;
}

void jf_names_release(const struct jf_ref *ref, struct fuse_file_info *fi) {
    (void)ref;
    free_names((struct names *)(uintptr_t)fi->fh);
}

bool jf_names_list(struct fuse_file_info *fi, const struct jf_class *child,
                   const struct jf_stream *stream, off_t off, off_t base, struct jf_dirbuf *buf) {
    const struct names *n = (const struct names *)(uintptr_t)fi->fh;
    char name[JF_NAME_BUF];

    for (size_t i = off < base ? 0 : (size_t)(off - base) + 1; i < n->count; i++) {
        jf_name_escape(n->name[i], strlen(n->name[i]), name);
        if (!jf_dirbuf_add(buf, name, jf_intern_ino(child, stream, n->name[i]), child->mode,
                           base + (off_t)i))
            return false;
    }
    return true;
}

struct search {
    const char *name;
    char *found;
};

static int match_short(void *ctx, const char *name) {
    struct search *s = ctx;
    char shown[JF_NAME_BUF];

    jf_name_escape(name, strlen(name), shown);
    if (strcmp(shown, s->name) != 0 || strlen(name) >= JF_NAME_BUF)
        return 0;
    strcpy(s->found, name);
    return 1;
}

int jf_names_resolve(const struct jf_ref *ref, jf_names_fn names, const char *name, char *buf) {
    struct search s = {name, buf};

    if (strlen(name) > JF_NAME_MAX)
        return -ENAMETOOLONG;
    if (jf_name_is_ours(name)) {
        strcpy(buf, name);
        return 0;
    }
    int r = jf_name_unescape(name, buf);
    if (r == -EAGAIN) {
        r = names(ref, match_short, &s);
        return r == 1 ? 0 : r < 0 ? r : -ENOENT;
    }
    return r < 0 ? -ENOENT : 0;
}
