/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/session/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct jf_loop {
    struct jf_fs *fs;
    int stop;  /* eventfd: the threads shall end */
    int ended; /* eventfd of the session: the kernel ended it */
    unsigned count;
    pthread_t threads[];
};

static void signal_fd(int fd) {
    uint64_t one = 1;

    /* Fails only when the counter is full: then it is readable. */
    ssize_t n = write(fd, &one, sizeof(one));
    (void)n;
}

/* False: the session is over. */
static bool receive(struct jf_fs *fs, struct fuse_buf *buf) {
    int n = fuse_session_receive_buf(fs->session, buf);

    if (n > 0)
        fuse_session_process_buf(fs->session, buf);
    else if (n != -EINTR && n != -EAGAIN)
        return false;
    return !fuse_session_exited(fs->session);
}

static int make_epoll(const struct jf_loop *loop) {
    int fd = fuse_session_fd(loop->fs->session);
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event request = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = fd};
    struct epoll_event stop = {.events = EPOLLIN, .data.fd = loop->stop};

    if (ep >= 0 && (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &request) < 0 ||
                    epoll_ctl(ep, EPOLL_CTL_ADD, loop->stop, &stop) < 0)) {
        close(ep);
        return -1;
    }
    return ep;
}

static void *work(void *arg) {
    struct jf_loop *loop = arg;
    struct fuse_buf buf;
    struct epoll_event events[2];
    int ep = make_epoll(loop);
    bool alive = ep >= 0;

    memset(&buf, 0, sizeof(buf));
    while (alive) {
        int n = epoll_wait(ep, events, 2, -1);
        if (n < 0 && errno != EINTR)
            break;
        bool stopping = false;
        for (int i = 0; i < n; i++)
            stopping |= events[i].data.fd == loop->stop;
        if (stopping)
            break;
        if (n > 0)
            alive = receive(loop->fs, &buf);
    }
    if (!alive)
        signal_fd(loop->ended);
    if (ep >= 0)
        close(ep);
    free(buf.mem);
    return NULL;
}

int jf_loop_start(struct jf_fs *fs, unsigned n, int ended, struct jf_loop **ret_loop) {
    int fd = fuse_session_fd(fs->session);
    struct jf_loop *loop = calloc(1, sizeof(*loop) + n * sizeof(pthread_t));

    if (!loop)
        return JS_ERR_NOMEM;
    loop->fs = fs;
    loop->ended = ended;
    loop->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* Two threads may wake for one request. */
    if (loop->stop < 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
        int err = errno;
        if (loop->stop >= 0)
            close(loop->stop);
        free(loop);
        return -err;
    }
    while (loop->count < n && pthread_create(&loop->threads[loop->count], NULL, work, loop) == 0)
        loop->count++;
    if (loop->count == 0) {
        jf_loop_stop(loop);
        return JS_ERR_NOMEM;
    }
    *ret_loop = loop;
    return 0;
}

void jf_loop_stop(struct jf_loop *loop) {
    signal_fd(loop->stop);
    for (unsigned i = 0; i < loop->count; i++)
        pthread_join(loop->threads[i], NULL);
    close(loop->stop);
    free(loop);
}
