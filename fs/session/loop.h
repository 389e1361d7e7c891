/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads that receive requests. Waking another thread for each request costs more than most
 * requests do, so they stand in a row: the first one serves alone. Each further one watches the one
 * before it, while that is busy, and joins when it is stuck in a request or cannot keep up.
 *
 * Each waits in its own epoll for the session's descriptor and for a common eventfd, so that the
 * end does not wait for one more request.
 */
#ifndef JF_SESSION_LOOP_H
#define JF_SESSION_LOOP_H

#include "fs/base/fs.h"

struct jf_loop;

/* Starts n threads. ended: an eventfd that is written when the session has ended (unmounted). */
int jf_loop_start(struct jf_fs *fs, unsigned n, int ended, struct jf_loop **ret_loop);
/* Ends the threads and frees. Requests that are being handled are finished first. */
void jf_loop_stop(struct jf_loop *loop);

#endif
