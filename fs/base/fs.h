/* SPDX-License-Identifier: Apache-2.0 */
/* The mount: what every handler can reach. */
#ifndef JF_BASE_FS_H
#define JF_BASE_FS_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif
#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/jetstore.h"
#include "fs/base/errmap.h"
#include "fs/base/log.h"
#include "fs/base/options.h"

struct jf_intern;
struct jf_node;
struct jf_notify;
struct jf_opens;
struct jf_parking;
struct jf_pool;
struct jf_stats;
struct jf_streams;

#define JF_PUSHED_BITS  20
#define JF_PUSHED_WORDS (1u << (JF_PUSHED_BITS - 6))

enum jf_root_kind { JF_ROOT_STREAM, JF_ROOT_ACCOUNT, JF_ROOT_ACCOUNTS };

struct jf_fs {
    const struct js_env *env;
    struct jf_options options;
    struct js_store *store;
    enum jf_root_kind root_kind;
    char *root_account; /* account at the root (JF_ROOT_STREAM, JF_ROOT_ACCOUNT) */
    char *root_stream;  /* JF_ROOT_STREAM */
    char *source;       /* absolute path of SOURCE, for statfs */

    struct fuse_session *session;
    struct jf_node *root; /* nodeid 1 */
    struct jf_intern *intern;
    struct jf_streams *streams;
    struct jf_parking *parking;
    struct jf_pool *pool;
    struct jf_notify *notify;
    struct jf_opens *opens;
    struct jf_stats *stats;
    struct jf_log *log;

    js_time_t mounted;    /* wall clock */
    /* Payloads in the page cache (fs/node/n_msg.c): a thread is putting one there, or must not because
     * it is the only one; which files it was done for, a bit for each number's hash. */
    atomic_bool pushing;
    atomic_uint num_pushed;
    atomic_ullong pushed[JF_PUSHED_WORDS];
    atomic_bool stopping; /* blocking operations answer ESHUTDOWN */
};

#endif
