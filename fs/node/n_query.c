/* SPDX-License-Identifier: Apache-2.0 */
/* since/ from/ tail/ match/: directories without a listing, and what their names stand for. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/name.h"
#include "fs/node/dirbuf.h"
#include "fs/node/items.h"
#include "fs/node/stream.h"

static int stat_dir(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                    double *entry_timeout) {
    (void)ref;
    (void)st;
    (void)attr_timeout;
    /* Names are resolved anew each time: -1h is another hour a minute later. */
    *entry_timeout = 0;
    return 0;
}

static int narrow(const struct jf_ref *dir, const char *name, struct jf_scope **ret_scope) {
    struct jf_scope *base = dir->node->scope;
    const struct js_clock *clock = dir->fs->env->clock;
    js_time_t time;
    uint64_t n;
    int r;

    switch ((enum jf_param)dir->node->num) {
    case JF_PARAM_SINCE:
        r = js_time_parse(name, clock->now(clock->ctx), &time);
        return r < 0 ? -EINVAL : jf_scope_since(base, time, ret_scope);
    case JF_PARAM_FROM:
        return jf_name_parse_seq(name, &n) ? jf_scope_from(base, n ? n : 1, ret_scope) : -EINVAL;
    case JF_PARAM_TAIL:
        return jf_name_parse_seq(name, &n) ? jf_scope_tail(base, n, ret_scope) : -EINVAL;
    case JF_PARAM_MATCH:
        return jf_scope_match(base, name, strlen(name), ret_scope);
    }
    return -EINVAL;
}

static int lookup_param(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    struct jf_scope *scope;

    jf_stream_touch(dir->stream);
    if (strlen(name) > JF_NAME_MAX)
        return -ENAMETOOLONG;
    int r = narrow(dir, name, &scope);
    if (r < 0)
        return r;
    /* Different paths may mean the same messages; a directory has one place all the same. */
    char *key;
    if (asprintf(&key, "%llx\n%s\n%s", (unsigned long long)dir->ino, name, jf_scope_key(scope)) <
        0) {
        jf_scope_unref(scope);
        return JS_ERR_NOMEM;
    }
    struct jf_node_new init = {
        .class = &jf_class_query, .stream = dir->stream, .scope = scope, .key = key};
    r = jf_entry_new(dir->fs, &init, ret_entry);
    free(key);
    jf_scope_unref(scope);
    return r;
}

/* tail/ with a filter searches. */
static bool slow(const struct jf_ref *ref, enum jf_op op, const char *name) {
    if (ref->class == &jf_class_param)
        return op == JF_OP_LOOKUP;
    return op == JF_OP_LOOKUP && jf_items_slow(name);
}

static int list_param(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                      struct jf_dirbuf *buf) {
    (void)ref;
    (void)fi;
    jf_dirbuf_dots(buf, off);
    return 0;
}

const struct jf_class jf_class_param = {
    .name = "param",
    .mode = S_IFDIR | 0755,
    .slow = slow,
    .lookup = lookup_param,
    .stat = stat_dir,
    .readdir = list_param,
};

static int lookup(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    jf_stream_touch(dir->stream);
    return jf_items_lookup(dir, JF_PLACE_QUERY, name, ret_entry);
}

static int list(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                struct jf_dirbuf *buf) {
    (void)fi;
    if (jf_dirbuf_dots(buf, off))
        jf_items_list(ref, JF_PLACE_QUERY, off, buf);
    return 0;
}

const struct jf_class jf_class_query = {
    .name = "query",
    .mode = S_IFDIR | 0755,
    .slow = slow,
    .lookup = lookup,
    .stat = stat_dir,
    .readdir = list,
};
