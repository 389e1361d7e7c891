/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes of a message: user.nats.seq, .subject, .time, .stream, .size.stored,
 * .hdr.<Name> (repeated headers joined by LF), .damage of a damaged one, .duplicate of one to which the
 * receipt of a duplicate leads.
 */
#ifndef JF_NODE_XATTR_H
#define JF_NODE_XATTR_H

#include "fs/node/class.h"

/* Handlers of struct jf_class. */
int jf_msg_getxattr(const struct jf_ref *ref, const char *name, char **ret_value, size_t *ret_len);
int jf_msg_listxattr(const struct jf_ref *ref, char **ret_names, size_t *ret_len);

#endif
