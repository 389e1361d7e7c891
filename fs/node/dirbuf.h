/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answer to READDIR and READDIRPLUS.
 *
 * Each entry carries a cookie: where to go on after it. Cookies are positions in the data
 * (sequence, subject id, block number), never counts, so they hold still while messages come and
 * go. Cookies below JF_COOKIE_FIRST are for "." and "..".
 */
#ifndef JF_NODE_DIRBUF_H
#define JF_NODE_DIRBUF_H

#include "fs/node/class.h"

#define JF_COOKIE_FIRST 3

struct jf_dirbuf {
    fuse_req_t req;
    const struct jf_ref *dir;
    char *data;
    size_t cap;
    size_t len;
    bool plus;
    bool full;
};

/* "." and ".." where off asks for them. False: full. */
bool jf_dirbuf_dots(struct jf_dirbuf *buf, off_t off);
/* An entry without attributes (the kernel looks it up when needed). type: S_IFDIR ... False: there
 * was no room; stop. */
bool jf_dirbuf_add(struct jf_dirbuf *buf, const char *name, fuse_ino_t ino, mode_t type,
                   off_t cookie);
/* A message: with its attributes when the kernel asked for them. */
bool jf_dirbuf_add_msg(struct jf_dirbuf *buf, const char *name, js_seq_t seq, bool full_msg,
                       off_t cookie);

#endif
