/* SPDX-License-Identifier: Apache-2.0 */
/* A stream's directory, and the links first, last and last.msg. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/name.h"
#include "fs/node/admin.h"
#include "fs/node/dirbuf.h"
#include "fs/node/items.h"
#include "fs/node/stream.h"

static int lookup(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    jf_stream_touch(dir->stream);
    if (strcmp(name, ".jetfs") == 0)
        return jf_hidden_entry(dir, ret_entry);
    int r = jf_items_lookup(dir, JF_PLACE_STREAM, name, ret_entry);
    return r == -ENOENT ? jf_config_lookup(dir, name, ret_entry) : r;
}

static bool slow(const struct jf_ref *ref, enum jf_op op, const char *name) {
    (void)ref;
    return op == JF_OP_LOOKUP && jf_items_slow(name);
}

static int stat_stream(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                       double *entry_timeout) {
    struct js_stream_state state;

    (void)attr_timeout;
    (void)entry_timeout;
    jf_stream_touch(ref->stream);
    js_stream_get_state(ref->stream->stream, &state);
    jf_stat_time(ref->fs, st, state.last_time);
    return 0;
}

static int list(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                struct jf_dirbuf *buf) {
    (void)fi;
    jf_stream_touch(ref->stream);
    if (jf_dirbuf_dots(buf, off))
        jf_items_list(ref, JF_PLACE_STREAM, off, buf);
    return 0;
}

const struct jf_class jf_class_stream = {
    .name = "stream",
    .mode = S_IFDIR | 0755,
    .slow = slow,
    .lookup = lookup,
    .stat = stat_stream,
    .readdir = list,
    .create = jf_config_create,
    .unlink = jf_config_unlink,
    .rename = jf_config_rename,
};

/* Where a link leads: 0 and the sequence, or ENOENT. */
static int target_seq(const struct jf_ref *ref, js_seq_t *ret_seq) {
    struct js_stream *stream = ref->stream->stream;
    const char *subject = ref->node->text;
    struct js_subject_state own;
    struct js_totals totals;

    jf_stream_touch(ref->stream);
    if (ref->node->num == JF_LINK_LAST_MSG) {
        int r = js_stream_subject(stream, subject, strlen(subject), &own);
        if (r == 0)
            *ret_seq = own.last_seq;
        return r;
    }
    int r = js_stream_totals(stream, NULL, 1, 0, &totals);
    if (r < 0)
        return r;
    *ret_seq = ref->node->num == JF_LINK_FIRST ? totals.first_seq : totals.last_seq;
    return *ret_seq ? 0 : -ENOENT;
}

static int target(const struct jf_ref *ref, char *buf, size_t size) {
    char name[JF_NAME_BUF];
    js_seq_t seq = 0;
    int r = target_seq(ref, &seq);

    if (r < 0)
        return r;
    jf_name_of_seq(seq, "", name);
    return snprintf(buf, size, "%s/%s", ref->node->num == JF_LINK_LAST_MSG ? "msgs.d" : "seq",
                    name);
}

static int stat_link(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                     double *entry_timeout) {
    char buf[JF_NAME_BUF + 16];
    int r = target(ref, buf, sizeof(buf));

    if (r < 0)
        return r;
    st->st_size = r;
    *attr_timeout = 0;
    *entry_timeout = 0;
    return 0;
}

static int read_link(const struct jf_ref *ref, char **ret_target) {
    char buf[JF_NAME_BUF + 16];
    int r = target(ref, buf, sizeof(buf));

    if (r < 0)
        return r;
    char *copy = strdup(buf);
    if (!copy)
        return JS_ERR_NOMEM;
    *ret_target = copy;
    return 0;
}

const struct jf_class jf_class_link = {
    .name = "link",
    .mode = S_IFLNK | 0777,
    .stat = stat_link,
    .readlink = read_link,
};
