/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consumers in use by a writable mount: the open consumer, and who waits for its messages. What a
 * read-only mount shows comes from the files alone and needs none of this.
 */
#ifndef JF_NODE_CONSUMER_H
#define JF_NODE_CONSUMER_H

#include "fs/node/class.h"

struct jf_waitq;

/* Lives until the end of the mount, also after the consumer was deleted. */
struct jf_consumer {
    struct jf_consumer *next; /* of the stream */
    struct js_consumer *c;
    char *name;
    struct jf_waitq *waitq; /* readers of take and next, first come first served */
    atomic_bool gone;
};

/* Finds or opens. EROFS on a read-only mount; NO_CONSUMER ... */
int jf_consumer_get(struct jf_stream *stream, const char *name, struct jf_consumer **ret_consumer);
/* It was deleted: who waits gets ESTALE, the name may come again. */
void jf_consumer_gone(struct jf_stream *stream, const char *name);
/* Frees a stream's consumers; nobody waits any more. */
void jf_consumers_free(struct jf_stream *stream);

/* A directory of a consumer; the node's text is its name. */
struct jf_ref;
int jf_consumer_of(const struct jf_ref *ref, struct jf_consumer **ret_consumer);

/* Makes the text the configuration of the consumer whose directory this is. Why not: errors.log. */
int jf_consumer_set_config(const struct jf_ref *ref, const char *text);

extern const struct jf_class jf_class_lease;         /* inflight/N */
extern const struct jf_class jf_class_drop;          /* nak/ term/; num: enum js_ack_kind */
extern const struct jf_class jf_class_ready;         /* ready/ */
extern const struct jf_class jf_class_take;          /* take */
extern const struct jf_class jf_class_next;          /* next */
extern const struct jf_class jf_class_ack;           /* ack */
extern const struct jf_class jf_class_consumer_text; /* info.json, config.json; num: enum jf_text */

#endif
