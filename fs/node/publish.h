/* SPDX-License-Identifier: Apache-2.0 */
/* What pub/ and spool/ share. */
#ifndef JF_NODE_PUBLISH_H
#define JF_NODE_PUBLISH_H

#include "fs/node/class.h"

/* A name below pub/ or spool/ as a subject: EINVAL when malformed or with wildcards, ENOENT when
 * the stream does not cover it. */
int jf_publish_subject(const struct jf_ref *dir, const char *name);
/* EROFS with a line in errors.log when the stream cannot be written. */
int jf_publish_writable(const struct jf_ref *ref);
/* full=block: true if r says that the stream is full and who publishes is to wait for room. */
bool jf_publish_waits(const struct jf_ref *ref, int r);
/* After messages were stored: syncs where the mount's mode says so at close. */
int jf_publish_sync(const struct jf_ref *ref);

extern const struct jf_class jf_class_pub;        /* pub/ */
extern const struct jf_class jf_class_spool;      /* spool/ */
extern const struct jf_class jf_class_spool_file; /* a staged file */
extern const struct jf_class jf_class_follow;     /* follow.log, follow.jsonl */

#endif
