/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixed names in directories that have a scope: a stream's, a subject's, a query's. One table
 * says which name is where and what it is.
 */
#ifndef JF_NODE_ITEMS_H
#define JF_NODE_ITEMS_H

#include "fs/node/class.h"
#include "fs/node/extra.h"
#include "fs/view/render.h"

/* num of a text node: which text it shows. */
enum jf_text {
    JF_TEXT_STREAM_INFO,
    JF_TEXT_SUBJECT_INFO,
    JF_TEXT_ACCOUNT_INFO,
    JF_TEXT_STORE_INFO,
    JF_TEXT_CONSUMER_INFO,
    JF_TEXT_CONSUMER_CONFIG,
    JF_TEXT_VERSION,
    JF_TEXT_OPTIONS,
    JF_TEXT_METRICS,
    JF_TEXT_HEALTH,
    JF_TEXT_ERRORS,
    JF_TEXT_STATS,
};

/* num of a link node. */
enum jf_link { JF_LINK_FIRST, JF_LINK_LAST, JF_LINK_LAST_MSG };

/* num of a parameter directory. */
enum jf_param { JF_PARAM_SINCE, JF_PARAM_FROM, JF_PARAM_TAIL, JF_PARAM_MATCH };

/* Looks a fixed or extra name up in a directory with a scope. ENOENT: it is neither. */
int jf_items_lookup(const struct jf_ref *dir, enum jf_place place, const char *name,
                    struct jf_entry *ret_entry);
/* Lists the fixed and extra names that are shown, with cookies from JF_COOKIE_FIRST on. False: the
 * buffer is full. */
bool jf_items_list(const struct jf_ref *dir, enum jf_place place, off_t off, struct jf_dirbuf *buf);
/* Above every cookie that jf_items_list gives. */
#define JF_COOKIE_ITEMS_END 100
/* True for names whose lookup may read much: views that must be rendered to know their size. */
bool jf_items_slow(const char *name);

/* The entry of a view of this scope, of its present epoch. */
int jf_view_entry(const struct jf_ref *dir, struct jf_scope *scope, enum jf_format format,
                  struct jf_entry *ret_entry);
/* A text's entry. text: what belongs to it (account, consumer, subject). scope may be NULL. */
int jf_text_entry(const struct jf_ref *dir, enum jf_text kind, struct jf_scope *scope,
                  const char *text, struct jf_entry *ret_entry);
/* .jetfs at the root; ENOENT elsewhere. */
int jf_hidden_entry(const struct jf_ref *dir, struct jf_entry *ret_entry);

#endif
