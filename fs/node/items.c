/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/items.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/node/admin.h"
#include "fs/node/dirbuf.h"
#include "fs/node/stream.h"

enum scope_of { WHOLE, OWN }; /* of the directory, or only its exact subject */

struct item {
    const char *name;
    unsigned places;
    bool listed;
    const struct jf_class *class;
    uint64_t num;
    enum scope_of scope;
};

#define STREAM  JF_PLACE_STREAM
#define SUBJECT JF_PLACE_SUBJECT
#define QUERY   JF_PLACE_QUERY
#define ANY     (STREAM | SUBJECT | QUERY)

static const struct item items[] = {
    {"info.json", STREAM, true, &jf_class_text, JF_TEXT_STREAM_INFO, WHOLE},
    {"config.json", STREAM, true, &jf_class_config, 0, WHOLE},
    {"ctl", STREAM, true, &jf_class_ctl, 0, WHOLE},
    {"first", STREAM, true, &jf_class_link, JF_LINK_FIRST, WHOLE},
    {"last", STREAM, true, &jf_class_link, JF_LINK_LAST, WHOLE},
    {"info.json", SUBJECT, true, &jf_class_text, JF_TEXT_SUBJECT_INFO, WHOLE},
    {"all.log", ANY, true, &jf_class_view, JF_LOG, WHOLE},
    {"all.jsonl", ANY, true, &jf_class_view, JF_JSONL, WHOLE},
    {"all.tsv", ANY, true, &jf_class_view, JF_TSV, WHOLE},
    {"own.log", SUBJECT, true, &jf_class_view, JF_LOG, OWN},
    {"own.jsonl", SUBJECT, true, &jf_class_view, JF_JSONL, OWN},
    {"own.tsv", SUBJECT, true, &jf_class_view, JF_TSV, OWN},
    {"last.msg", SUBJECT, true, &jf_class_link, JF_LINK_LAST_MSG, OWN},
    {"msgs.d", SUBJECT, true, &jf_class_seqs, 0, OWN},
    {"seq", STREAM | QUERY, true, &jf_class_seqs, 0, WHOLE},
    {"full", STREAM | QUERY, true, &jf_class_seqs, 1, WHOLE},
    {"segments", STREAM, true, &jf_class_segments, 0, WHOLE},
    {"by-subject", STREAM, true, &jf_class_subject, 0, WHOLE},
    {"consumers", STREAM, true, &jf_class_consumers, 0, WHOLE},
    {"since", ANY, false, &jf_class_param, JF_PARAM_SINCE, WHOLE},
    {"from", ANY, false, &jf_class_param, JF_PARAM_FROM, WHOLE},
    {"tail", ANY, false, &jf_class_param, JF_PARAM_TAIL, WHOLE},
    {"match", ANY, false, &jf_class_param, JF_PARAM_MATCH, WHOLE},
};

#define NITEMS (sizeof(items) / sizeof(items[0]))

bool jf_items_slow(const char *name) {
    size_t n = strlen(name);

    return n > 6 && strcmp(name + n - 6, ".jsonl") == 0;
}

/* by-subject/ itself holds the tokens, its info.json, and no files of messages: they would be those
 * of the stream once more. */
static bool is_here(const struct jf_ref *dir, enum jf_place place, const struct item *item) {
    if (!(item->places & (unsigned)place))
        return false;
    if (place != JF_PLACE_SUBJECT || dir->node->text[0])
        return true;
    return item->class == &jf_class_text || item->class == &jf_class_param;
}

/* Links that lead nowhere are not shown. */
static bool is_shown(const struct jf_ref *dir, const struct item *item) {
    struct js_stream_state state;
    struct js_subject_state own;
    const char *subject = dir->node->text;

    if (!item->listed)
        return false;
    if (item->class != &jf_class_link)
        return true;
    if (item->num == JF_LINK_LAST_MSG)
        return js_stream_subject(dir->stream->stream, subject, strlen(subject), &own) == 0;
    js_stream_get_state(dir->stream->stream, &state);
    return state.msgs > 0;
}

static int make(const struct jf_ref *dir, const struct item *item, struct jf_scope *scope,
                struct jf_entry *ret_entry) {
    char *key;

    if (item->class == &jf_class_view)
        return jf_view_entry(dir, scope, (enum jf_format)item->num, ret_entry);
    if (item->class == &jf_class_text)
        return jf_text_entry(dir, (enum jf_text)item->num, scope, dir->node->text, ret_entry);
    /* A directory has one place: the kernel moves one that it meets in another. */
    if (asprintf(&key, "%llx\n%llu\n%s\n%s", (unsigned long long)dir->ino,
                 (unsigned long long)item->num, dir->node->text, jf_scope_key(scope)) < 0)
        return JS_ERR_NOMEM;
    struct jf_node_new init = {.class = item->class,
                               .stream = dir->stream,
                               .scope = scope,
                               .text = dir->node->text,
                               .num = item->num,
                               .key = key};
    int r = jf_entry_new(dir->fs, &init, ret_entry);
    free(key);
    return r;
}

int jf_items_lookup(const struct jf_ref *dir, enum jf_place place, const char *name,
                    struct jf_entry *ret_entry) {
    for (size_t i = 0; i < NITEMS; i++) {
        if (strcmp(items[i].name, name) != 0 || !is_here(dir, place, &items[i]))
            continue;
        struct jf_scope *scope = jf_scope_ref(dir->node->scope);
        if (items[i].scope == OWN) {
            struct jf_scope *own;
            const char *subject = dir->node->text;
            int r = jf_scope_subject(scope, subject, strlen(subject), &own);
            jf_scope_unref(scope);
            if (r < 0)
                return r;
            scope = own;
        }
        int r = make(dir, &items[i], scope, ret_entry);
        jf_scope_unref(scope);
        return r;
    }
    return jf_extra_lookup(dir, place, name, ret_entry);
}

bool jf_items_list(const struct jf_ref *dir, enum jf_place place, off_t off,
                   struct jf_dirbuf *buf) {
    off_t cookie = JF_COOKIE_FIRST;

    for (size_t i = 0; i < NITEMS; i++, cookie++) {
        if (off >= cookie || !is_here(dir, place, &items[i]) || !is_shown(dir, &items[i]))
            continue;
        if (!jf_dirbuf_add(buf, items[i].name,
                           jf_intern_ino(items[i].class, dir->stream, items[i].name),
                           items[i].class->mode, cookie))
            return false;
    }
    for (const struct jf_extra *x = jf_extras; x->name; x++, cookie++) {
        if (off >= cookie || !x->listed || !(x->places & (unsigned)place))
            continue;
        if (!jf_dirbuf_add(buf, x->name, jf_intern_ino(x->class, dir->stream, x->name),
                           x->class->mode, cookie))
            return false;
    }
    return true;
}
