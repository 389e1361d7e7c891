/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the kernel that attributes changed. One thread, attributes only (offset -1: the kernel
 * never waits for pages in that form), at most 50 times a second, so bursts become one call.
 */
#ifndef JF_SESSION_NOTIFY_H
#define JF_SESSION_NOTIFY_H

#include "fs/base/fs.h"

struct jf_stream;

int jf_notify_start(struct jf_fs *fs);
/* Ends the thread. */
void jf_notify_stop(struct jf_fs *fs);
/* Frees, after the last stream could report a change. */
void jf_notify_free(struct jf_fs *fs);
/* A stream changed: its open views grew, or messages were removed. From any thread. */
void jf_notify_stream(struct jf_stream *stream);
/* A message was removed by us: its two inodes. */
void jf_notify_msg(struct jf_stream *stream, js_seq_t seq);
/* Remembers that the kernel was told of a message, so that it can be told of its removal. */
void jf_notify_seen(struct jf_fs *fs, fuse_ino_t ino);

#endif
