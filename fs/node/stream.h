/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams in use by the mount: slots, refreshing, and who waits for changes.
 */
#ifndef JF_NODE_STREAM_H
#define JF_NODE_STREAM_H

#include "fs/base/fs.h"
#include "fs/view/scope.h"

struct jf_consumer;
struct jf_waitq;

/* Lives until the end of the mount, also after the stream was removed. */
struct jf_stream {
    struct jf_fs *fs;
    uint32_t slot;
    struct js_stream *stream; /* own reference */
    const char *account;
    const char *name;
    char *tag;              /* "account/name", "#n" if it was made anew: part of keys */
    struct jf_scope *scope; /* every message */
    struct jf_waitq *waitq; /* woken after every change */
    atomic_bool gone;       /* removed: ESTALE */
    atomic_uint watchers;   /* > 0: looked at every 250 ms also without requests */
    atomic_bool changed;    /* the notifier has work */
    atomic_llong refreshed; /* monotonic time of the last refresh */
    pthread_mutex_t consumers_lock;
    struct jf_consumer *consumers; /* guarded by consumers_lock (fs/node/consumer.h) */
};

struct jf_streams *jf_streams_new(void);
/* Ends subscriptions, frees everything, gives streams back. */
void jf_streams_free(struct jf_fs *fs);
/* Finds or opens. NO_STREAM ... Borrowed: lives as long as the mount. May take long. */
int jf_stream_get(struct jf_fs *fs, const char *account, const char *name,
                  struct jf_stream **ret_stream);
/* The same, if it is open already; NULL if not. Never takes long. */
struct jf_stream *jf_stream_peek(struct jf_fs *fs, const char *account, const char *name);
/* NULL if there is none. */
struct jf_stream *jf_stream_of_slot(struct jf_fs *fs, uint32_t slot);
/* Forgets a name: the next jf_stream_get opens it anew in another slot. */
void jf_stream_gone(struct jf_stream *stream);
/* On a read-only mount, sees what another process appended, at most every 250 ms. Cheap. */
void jf_stream_touch(struct jf_stream *stream);
/* Touches all streams that are watched. */
void jf_streams_tick(struct jf_fs *fs);
void jf_streams_each(struct jf_fs *fs, void (*fn)(void *ctx, struct jf_stream *stream), void *ctx);
/* While watched, appends of another process are seen without requests (follow.*). */
void jf_stream_watch(struct jf_stream *stream);
void jf_stream_unwatch(struct jf_stream *stream);

#endif
