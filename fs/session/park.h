/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parked requests: a request that has to wait is kept here, no thread waits with it.
 *
 * A wait queue belongs to something that changes (a stream). jf_park() puts a request into it with
 * a function that tries to answer. It is tried at once and after every jf_waitq_wake(), in the
 * pool. An interrupt of the caller's answers EINTR, the end of the mount ESHUTDOWN.
 */
#ifndef JF_SESSION_PARK_H
#define JF_SESSION_PARK_H

#include "fs/base/fs.h"

/* So many requests may wait; the next one gets EAGAIN. */
#define JF_MAX_PARKED 4096

struct jf_waitq;

/*
 * Tries to answer. True: it has replied (also with an error), the request is gone; arg is done
 * with. False: nothing yet. Never called twice at the same time for one request.
 */
typedef bool (*jf_try_fn)(void *arg, fuse_req_t req);
/* Frees arg of a request, after any reply. */
typedef void (*jf_park_done_fn)(void *arg);

struct jf_parking *jf_parking_new(void);
void jf_parking_free(struct jf_parking *parking);
/* Answers every parked request with ESHUTDOWN; from now on jf_park does so, too. */
void jf_parking_drain(struct jf_fs *fs);
/* Requests that wait. */
size_t jf_parking_count(struct jf_fs *fs);

/* NULL: no memory. The queue must be empty when freed. */
struct jf_waitq *jf_waitq_new(struct jf_fs *fs);
/*
 * A queue of readers who all want the same: the one that waits longest is tried first, and if it
 * finds nothing, nobody else would. So a message that comes wakes one of two hundred.
 */
struct jf_waitq *jf_waitq_new_ordered(struct jf_fs *fs);
void jf_waitq_free(struct jf_waitq *queue);
/* Something changed: tries all requests, tells all pollers. Returns at once; from any thread. */
void jf_waitq_wake(struct jf_waitq *queue);
/* Answers what waits on behalf of owner with err (positive errno) and forgets its poll handle. */
void jf_waitq_cancel(struct jf_waitq *queue, const void *owner, int err);

/*
 * Parks a request. owner: for jf_waitq_cancel (a handle); done may be NULL. Always takes the
 * request over, so the handler returns JF_REPLIED after it.
 */
void jf_park(struct jf_waitq *queue, const void *owner, fuse_req_t req, jf_try_fn try_fn, void *arg,
             jf_park_done_fn done);
/* Keeps a poll handle for owner, which replaces the one before. Told once, at the next wake. */
void jf_waitq_poll(struct jf_waitq *queue, const void *owner, struct fuse_pollhandle *ph);

#endif
