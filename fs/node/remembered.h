/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories below by-subject/ that somebody made although no message is there yet, so that paths
 * can be typed before the first message. They live in memory, as long as the mount.
 */
#ifndef JF_NODE_REMEMBERED_H
#define JF_NODE_REMEMBERED_H

#include "fs/node/stream.h"

#define JF_MAX_REMEMBERED 4096

bool jf_is_remembered(const struct jf_stream *stream, const char *subject);
/* ENOSPC, EEXIST, NOMEM. */
int jf_remember(const struct jf_stream *stream, const char *subject);
/* ENOENT; ENOTEMPTY: there are others below. */
int jf_forget_remembered(const struct jf_stream *stream, const char *subject);
/* Those directly below a subject ("" = by-subject/), from place `from` on, until fn returns other
 * than 0, which is returned. place: where to go on. */
typedef int (*jf_remembered_fn)(void *ctx, const char *subject, const char *token, unsigned place);
int jf_list_remembered(const struct jf_stream *stream, const char *subject, unsigned from,
                       jf_remembered_fn fn, void *ctx);

#endif
