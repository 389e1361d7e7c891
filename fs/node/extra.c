/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/extra.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/node/publish.h"
#include "fs/view/render.h"

#define EVERYWHERE (JF_PLACE_STREAM | JF_PLACE_SUBJECT | JF_PLACE_QUERY)

const struct jf_extra jf_extras[] = {
    {"pub", JF_PLACE_STREAM, true, &jf_class_pub, 0},
    {"spool", JF_PLACE_STREAM, true, &jf_class_spool, 0},
    {"follow.log", EVERYWHERE, false, &jf_class_follow, JF_LOG},
    {"follow.jsonl", EVERYWHERE, false, &jf_class_follow, JF_JSONL},
    {NULL, 0, false, NULL, 0},
};

const struct jf_class *const jf_extra_classes[] = {
    &jf_class_spool_file,
    NULL,
};

int jf_extra_lookup(const struct jf_ref *dir, enum jf_place place, const char *name,
                    struct jf_entry *ret_entry) {
    for (const struct jf_extra *x = jf_extras; x->name; x++) {
        if (!(x->places & (unsigned)place) || strcmp(x->name, name) != 0)
            continue;
        char *key;
        if (asprintf(&key, "%s\n%s", name, jf_scope_key(dir->node->scope)) < 0)
            return JS_ERR_NOMEM;
        struct jf_node_new init = {.class = x->class,
                                   .stream = dir->stream,
                                   .scope = dir->node->scope,
                                   .text = dir->node->text,
                                   .num = x->num,
                                   .key = key};
        int r = jf_entry_new(dir->fs, &init, ret_entry);
        free(key);
        return r;
    }
    return -ENOENT;
}
