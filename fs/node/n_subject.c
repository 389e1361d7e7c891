/* SPDX-License-Identifier: Apache-2.0 */
/* by-subject/ and below: one directory for each token of the live subjects. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/name.h"
#include "fs/node/admin.h"
#include "fs/node/dirbuf.h"
#include "fs/node/items.h"
#include "fs/node/remembered.h"
#include "fs/node/stream.h"

/* Cookies of tokens: above those of the fixed names, the id says where to go on. */
#define TOKEN_BASE ((off_t)1 << 40)
/* Of directories that were made here: above those, their place. */
#define MADE_BASE ((off_t)1 << 50)

static int any(void *ctx, const struct js_token *token) {
    (void)ctx;
    (void)token;
    return 1;
}

/* Are there live messages of this subject or below it? */
static int exists(struct js_stream *stream, const char *subject) {
    struct js_subject_state own;
    size_t len = strlen(subject);

    if (js_stream_subject(stream, subject, len, &own) == 0)
        return 1;
    return js_stream_list_tokens(stream, subject, len, JS_NO_ID, any, NULL);
}

struct search {
    const char *name;
    char *token; /* given */
};

static int match_short(void *ctx, const struct js_token *token) {
    struct search *s = ctx;
    char shown[JF_NAME_BUF];

    jf_name_escape(token->name, token->len, shown);
    if (strcmp(shown, s->name) != 0)
        return 0;
    s->token = strndup(token->name, token->len);
    return s->token ? 1 : JS_ERR_NOMEM;
}

/* The token that a name shows; given. */
static int resolve(const struct jf_ref *dir, const char *name, char **ret_token) {
    char buf[JF_NAME_BUF];
    const char *prefix = dir->node->text;
    int r = jf_name_unescape(name, buf);

    if (r == -EAGAIN) {
        struct search s = {.name = name};
        r = js_stream_list_tokens(dir->stream->stream, prefix, strlen(prefix), JS_NO_ID,
                                  match_short, &s);
        if (r <= 0)
            return r < 0 ? r : -ENOENT;
        *ret_token = s.token;
        return 0;
    }
    if (r < 0)
        return -ENOENT;
    *ret_token = strndup(buf, (size_t)r);
    return *ret_token ? 0 : JS_ERR_NOMEM;
}

static int token_entry(const struct jf_ref *dir, const char *subject, struct jf_entry *ret_entry) {
    struct jf_scope *scope;
    int r = exists(dir->stream->stream, subject);

    if (r == 0 && jf_is_remembered(dir->stream, subject))
        r = 1;
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    r = jf_scope_subtree(dir->stream->scope, subject, strlen(subject), &scope);
    if (r < 0)
        return r;
    struct jf_node_new init = {.class = &jf_class_subject,
                               .stream = dir->stream,
                               .scope = scope,
                               .text = subject,
                               .key = subject};
    r = jf_entry_new(dir->fs, &init, ret_entry);
    jf_scope_unref(scope);
    return r;
}

static int lookup(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    const char *prefix = dir->node->text;
    char *token;
    char *subject;

    jf_stream_touch(dir->stream);
    if (strlen(name) > JF_NAME_MAX)
        return -ENAMETOOLONG;
    if (jf_name_is_ours(name))
        return jf_items_lookup(dir, JF_PLACE_SUBJECT, name, ret_entry);
    int r = resolve(dir, name, &token);
    if (r == 0) {
        r = asprintf(&subject, "%s%s%s", prefix, prefix[0] ? "." : "", token);
        free(token);
        if (r < 0)
            return JS_ERR_NOMEM;
        r = token_entry(dir, subject, ret_entry);
        free(subject);
    }
    /* A token of the data comes before since/ from/ tail/ match/. */
    if (r == -ENOENT)
        r = jf_items_lookup(dir, JF_PLACE_SUBJECT, name, ret_entry);
    return r;
}

/* ---- making directories before there is a message */

/* The next token of a subject or filter; its length. */
static size_t token_len(const char *at) {
    return strcspn(at, ".");
}

/* May the stream ever hold a message of this subject, or below it? */
static bool may_hold(const char *filter, const char *subject) {
    for (;;) {
        size_t n = token_len(filter), k = token_len(subject);
        if (n == 1 && *filter == '>')
            return true;
        if (!(n == 1 && *filter == '*') && (n != k || memcmp(filter, subject, n) != 0))
            return false;
        if (!subject[k])
            return true; /* the filter may go on */
        if (!filter[n])
            return false;
        filter += n + 1;
        subject += k + 1;
    }
}

static bool stream_may_hold(const struct jf_ref *dir, const char *subject) {
    const char *text = js_stream_config_json(dir->stream->stream);
    json_t *config = text ? json_loads(text, 0, NULL) : NULL;
    json_t *item;
    size_t i;
    bool found = false;

    json_array_foreach(json_object_get(config, "subjects"), i, item) found =
        found || (json_is_string(item) && may_hold(json_string_value(item), subject));
    json_decref(config);
    return found;
}

/* The subject that a name in a directory means; given. */
static int subject_of(const struct jf_ref *dir, const char *name, char **ret_subject) {
    const char *prefix = dir->node->text;
    char *token;

    if (strlen(name) > JF_NAME_MAX)
        return -ENAMETOOLONG;
    if (jf_name_is_ours(name))
        return -EINVAL;
    int r = resolve(dir, name, &token);
    if (r < 0)
        return r == -ENOENT ? -EINVAL : r;
    int n = asprintf(ret_subject, "%s%s%s", prefix, prefix[0] ? "." : "", token);
    free(token);
    return n < 0 ? JS_ERR_NOMEM : 0;
}

static int make_dir(const struct jf_ref *dir, const char *name, mode_t mode,
                    struct jf_entry *ret_entry) {
    char *subject;
    int r = subject_of(dir, name, &subject);

    (void)mode;
    if (r < 0)
        return r;
    if (!js_subject_valid(subject, strlen(subject)))
        r = -EINVAL;
    else if ((r = exists(dir->stream->stream, subject)) > 0)
        r = -EEXIST;
    else if (r == 0 && !stream_may_hold(dir, subject))
        r = -EACCES;
    if (r == 0)
        r = jf_remember(dir->stream, subject);
    if (r == 0) {
        r = token_entry(dir, subject, ret_entry);
        if (r < 0)
            (void)jf_forget_remembered(dir->stream, subject);
    }
    free(subject);
    return r;
}

static int remove_dir(const struct jf_ref *dir, const char *name) {
    char *subject;
    int r = subject_of(dir, name, &subject);

    if (r < 0)
        return r == -EINVAL ? -ENOENT : r;
    r = exists(dir->stream->stream, subject);
    if (r == 0)
        r = jf_forget_remembered(dir->stream, subject);
    else if (r > 0)
        r = -ENOTEMPTY;
    free(subject);
    return r;
}

static bool slow(const struct jf_ref *ref, enum jf_op op, const char *name) {
    (void)ref;
    return op == JF_OP_LOOKUP && jf_items_slow(name);
}

static int stat_dir(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                    double *entry_timeout) {
    struct js_stream_state state;
    (void)attr_timeout;
    (void)entry_timeout;
    js_stream_get_state(ref->stream->stream, &state);
    jf_stat_time(ref->fs, st, state.last_time);
    return 0;
}

struct listing {
    struct jf_dirbuf *buf;
    const struct jf_ref *ref;
};

static int add_token(void *ctx, const struct js_token *token) {
    struct listing *l = ctx;
    char name[JF_NAME_BUF];
    char key[JF_NAME_BUF * 2];

    jf_name_escape(token->name, token->len, name);
    snprintf(key, sizeof(key), "%.200s.%s", l->ref->node->text, name);
    return !jf_dirbuf_add(l->buf, name, jf_intern_ino(&jf_class_subject, l->ref->stream, key),
                          S_IFDIR, TOKEN_BASE + (off_t)token->id);
}

static int add_made(void *ctx, const char *subject, const char *token, unsigned place) {
    struct listing *l = ctx;
    char name[JF_NAME_BUF];
    char key[JF_NAME_BUF * 2];
    int r = exists(l->ref->stream->stream, subject);

    if (r != 0) /* listed with the others */
        return r < 0 ? r : 0;
    jf_name_escape(token, strlen(token), name);
    snprintf(key, sizeof(key), "%.200s.%s", l->ref->node->text, name);
    return !jf_dirbuf_add(l->buf, name, jf_intern_ino(&jf_class_subject, l->ref->stream, key),
                          S_IFDIR, MADE_BASE + (off_t)place);
}

static int list(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                struct jf_dirbuf *buf) {
    struct listing l = {buf, ref};
    const char *prefix = ref->node->text;

    (void)fi;
    jf_stream_touch(ref->stream);
    if (!jf_dirbuf_dots(buf, off) ||
        (off < JF_COOKIE_ITEMS_END && !jf_items_list(ref, JF_PLACE_SUBJECT, off, buf)))
        return 0;
    uint32_t after = off >= TOKEN_BASE ? (uint32_t)(off - TOKEN_BASE) : JS_NO_ID;
    int r = 0;
    if (off < MADE_BASE)
        r = js_stream_list_tokens(ref->stream->stream, prefix, strlen(prefix), after, add_token,
                                  &l);
    if (r == 0)
        r = jf_list_remembered(ref->stream, prefix,
                               off < MADE_BASE ? 0 : (unsigned)(off - MADE_BASE) + 1, add_made, &l);
    return r < 0 ? r : 0;
}

const struct jf_class jf_class_subject = {
    .name = "subject",
    .mode = S_IFDIR | 0755,
    .slow = slow,
    .lookup = lookup,
    .stat = stat_dir,
    .mkdir = make_dir,
    .rmdir = remove_dir,
    .unlink = jf_purge_unlink,
    .readdir = list,
};
