/* SPDX-License-Identifier: Apache-2.0 */
/* The root of a store and the directories of accounts: streams, info.json, .jetfs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/name.h"
#include "fs/node/dirbuf.h"
#include "fs/node/items.h"
#include "fs/node/names.h"
#include "fs/node/stream.h"

static int stat_dir(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                    double *entry_timeout) {
    (void)ref;
    (void)attr_timeout;
    (void)entry_timeout;
    st->st_nlink = 1;
    return 0;
}

static int find_name(void *ctx, const char *name) {
    return strcmp(name, ctx) == 0 ? 1 : 0;
}

static int collect_accounts(const struct jf_ref *ref, js_name_fn fn, void *ctx) {
    return js_store_list_accounts(ref->fs->store, fn, ctx);
}

static int collect_streams(const struct jf_ref *ref, js_name_fn fn, void *ctx) {
    return js_store_list_streams(ref->fs->store, ref->node->text, fn, ctx);
}

static int lookup_account(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    char account[JF_NAME_BUF];

    if (strcmp(name, "info.json") == 0)
        return jf_text_entry(dir, JF_TEXT_STORE_INFO, NULL, "", ret_entry);
    if (strcmp(name, ".jetfs") == 0)
        return jf_hidden_entry(dir, ret_entry);
    int r = jf_names_resolve(dir, collect_accounts, name, account);
    if (r < 0)
        return r;
    r = js_store_list_accounts(dir->fs->store, find_name, account);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct jf_node_new init = {.class = &jf_class_account, .text = account, .key = account};
    return jf_entry_new(dir->fs, &init, ret_entry);
}

static int lookup_stream(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    struct jf_stream *stream;
    const char *account = dir->node->text;
    char resolved[JF_NAME_BUF];

    if (strcmp(name, "info.json") == 0)
        return jf_text_entry(dir, JF_TEXT_ACCOUNT_INFO, NULL, account, ret_entry);
    if (strcmp(name, ".jetfs") == 0)
        return jf_hidden_entry(dir, ret_entry);
    int r = jf_names_resolve(dir, collect_streams, name, resolved);
    if (r < 0)
        return r;
    if (!jf_stream_peek(dir->fs, account, resolved) && !js_name_valid(resolved))
        return -ENOENT;
    r = jf_stream_get(dir->fs, account, resolved, &stream);
    if (r < 0)
        return r;
    jf_stream_touch(stream);
    struct jf_node_new init = {.class = &jf_class_stream, .stream = stream, .scope = stream->scope};
    return jf_entry_new(dir->fs, &init, ret_entry);
}

/* Opening a stream scans it. */
static bool slow(const struct jf_ref *ref, enum jf_op op, const char *name) {
    if (op == JF_OP_LOOKUP)
        return jf_name_is_ours(name) || !jf_stream_peek(ref->fs, ref->node->text, name);
    return op == JF_OP_MKDIR || op == JF_OP_RMDIR || op == JF_OP_OPENDIR;
}

static int make_stream(const struct jf_ref *dir, const char *name, mode_t mode,
                       struct jf_entry *ret_entry) {
    char stream[JF_NAME_BUF], why[256] = "";

    (void)mode;
    if (!dir->fs->options.allow_admin)
        return -EPERM;
    if (strlen(name) > JF_NAME_MAX)
        return -ENAMETOOLONG;
    if (jf_name_is_ours(name) || jf_name_unescape(name, stream) < 0 || !js_name_valid(stream))
        return -EINVAL;
    int r = js_store_create_stream(dir->fs->store, dir->node->text, stream, NULL, why, sizeof(why));
    if (r < 0) {
        jf_log_add(dir->fs->log, "making stream %s: %s", name, why[0] ? why : js_err_text(r));
        return r;
    }
    return lookup_stream(dir, name, ret_entry);
}

static int remove_stream(const struct jf_ref *dir, const char *name) {
    if (!dir->fs->options.allow_admin)
        return -EPERM;
    char resolved[JF_NAME_BUF];
    int r = jf_names_resolve(dir, collect_streams, name, resolved);
    if (r < 0)
        return r;
    struct jf_stream *stream = jf_stream_peek(dir->fs, dir->node->text, resolved);
    r = js_store_remove_empty_stream(dir->fs->store, dir->node->text, resolved);
    if (r == 0 && stream)
        jf_stream_gone(stream);
    return r;
}

static int open_accounts(const struct jf_ref *ref, struct fuse_file_info *fi) {
    return jf_names_open(ref, collect_accounts, fi);
}

static int open_streams(const struct jf_ref *ref, struct fuse_file_info *fi) {
    return jf_names_open(ref, collect_streams, fi);
}

static int list(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                struct jf_dirbuf *buf) {
    const struct jf_class *child =
        ref->class == &jf_class_accounts ? &jf_class_account : &jf_class_stream;

    if (!jf_dirbuf_dots(buf, off))
        return 0;
    if (off < JF_COOKIE_FIRST &&
        !jf_dirbuf_add(buf, "info.json", jf_intern_ino(&jf_class_text, NULL, ref->node->key),
                       S_IFREG, JF_COOKIE_FIRST))
        return 0;
    jf_names_list(fi, child, NULL, off, JF_COOKIE_FIRST + 1, buf);
    return 0;
}

const struct jf_class jf_class_accounts = {
    .name = "accounts",
    .mode = S_IFDIR | 0755,
    .lookup = lookup_account,
    .stat = stat_dir,
    .opendir = open_accounts,
    .readdir = list,
    .releasedir = jf_names_release,
};

const struct jf_class jf_class_account = {
    .name = "account",
    .mode = S_IFDIR | 0755,
    .slow = slow,
    .lookup = lookup_stream,
    .stat = stat_dir,
    .opendir = open_streams,
    .readdir = list,
    .releasedir = jf_names_release,
    .mkdir = make_stream,
    .rmdir = remove_stream,
};
