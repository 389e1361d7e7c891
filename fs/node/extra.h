/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that other parts of the filesystem put into directories of scopes: pub/, spool/,
 * follow.log, follow.jsonl. To add one, add a line to the table in extra.c.
 */
#ifndef JF_NODE_EXTRA_H
#define JF_NODE_EXTRA_H

#include "fs/node/class.h"

enum jf_place { JF_PLACE_STREAM = 1, JF_PLACE_SUBJECT = 2, JF_PLACE_QUERY = 4 };

struct jf_extra {
    const char *name;
    unsigned places; /* enum jf_place: in which directories */
    bool listed;     /* shown by readdir */
    const struct jf_class *class;
    uint64_t num; /* becomes the node's num */
};

/* Ends with a line whose name is NULL. The made node has the directory's stream, scope and text,
 * and a key made of its name and the directory's scope. */
extern const struct jf_extra jf_extras[];
/* Every class that wants to be told of the end (shutdown); ends with NULL. */
extern const struct jf_class *const jf_extra_classes[];

/* The entry of an extra name in a directory with a scope; ENOENT when there is none there. */
int jf_extra_lookup(const struct jf_ref *dir, enum jf_place place, const char *name,
                    struct jf_entry *ret_entry);

#endif
