/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ack: a line for each message: N [ack|nak [DELAY]|term|wpi]. Lines are taken during write(2),
 * which so tells what went wrong: a bad line in the middle gives the count of bytes before it, and
 * the next write the error. Lines of one write become durable together.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fs/node/consumer.h"
#include "fs/node/opener.h"
#include "fs/node/stream.h"
#include "fs/view/duration.h"
#include "fs/view/lines.h"

#define BATCH    512
#define MAX_LINE 200

struct handle {
    pthread_mutex_t lock;
    struct jf_consumer *consumer;
    struct jf_lines lines;
    pid_t opener;
};

static int stat_ack(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                    double *entry_timeout) {
    (void)ref;
    st->st_size = 0;
    *attr_timeout = 0;
    *entry_timeout = 0;
    return 0;
}

static int setattr_ack(const struct jf_ref *ref, const struct stat *attr, int to_set,
                       struct fuse_file_info *fi) {
    (void)attr;
    (void)fi;
    if (!ref->fs->options.rw)
        return -EROFS;
    /* Truncating means nothing here, times neither. */
    return to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) ? -EPERM : 0;
}

static int open_ack(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct jf_consumer *consumer;

    if ((fi->flags & O_ACCMODE) != O_WRONLY)
        return -EACCES;
    int r = jf_consumer_of(ref, &consumer);
    if (r < 0)
        return r;
    struct handle *h = calloc(1, sizeof(*h));
    if (!h)
        return JS_ERR_NOMEM;
    pthread_mutex_init(&h->lock, NULL);
    h->consumer = consumer;
    jf_lines_init(&h->lines, MAX_LINE, false);
    h->opener = fuse_req_ctx(req)->pid;
    fi->fh = (uint64_t)(uintptr_t)h;
    fi->direct_io = 1;
    fi->nonseekable = 1;
    return 0;
}

static struct handle *handle_of(const struct fuse_file_info *fi) {
    return (struct handle *)(uintptr_t)fi->fh;
}

/* The next word of a line that ends with NUL; NULL at its end. */
static char *word(char **at) {
    char *p = *at + strspn(*at, " \t\r");

    if (!*p)
        return NULL;
    *at = p + strcspn(p, " \t\r");
    if (**at)
        *(*at)++ = 0;
    return p;
}

static int parse_ack(const uint8_t *data, size_t len, struct js_ack *ret_ack) {
    static const struct {
        const char *name;
        enum js_ack_kind kind;
    } kinds[] = {{"ack", JS_ACK}, {"nak", JS_NAK}, {"term", JS_TERM}, {"wpi", JS_IN_PROGRESS}};
    char line[MAX_LINE + 1], *at = line, *end;
    struct js_ack a = {.kind = JS_ACK};

    if (len > MAX_LINE || memchr(data, 0, len))
        return -EINVAL;
    memcpy(line, data, len);
    line[len] = 0;
    char *seq = word(&at), *kind = word(&at), *delay = word(&at);
    if (!seq || !isdigit((unsigned char)*seq) || word(&at))
        return -EINVAL;
    errno = 0;
    a.seq = strtoull(seq, &end, 10);
    if (*end || errno || a.seq == 0)
        return -EINVAL;
    size_t i = 0, n = sizeof(kinds) / sizeof(kinds[0]);
    while (kind && i < n && strcmp(kinds[i].name, kind) != 0)
        i++;
    if (i == n)
        return -EINVAL;
    a.kind = kind ? kinds[i].kind : JS_ACK;
    if (delay && (a.kind != JS_NAK || jf_duration_parse(delay, &a.delay) < 0))
        return -EINVAL;
    *ret_ack = a;
    return 0;
}

/* Takes lines; *ret_end is the end of the last one taken (untouched if none). */
static int take_lines(struct handle *h, const struct jf_line *lines, size_t n, size_t *ret_end) {
    struct js_ack acks[BATCH];
    size_t good = 0, done = 0;
    int bad = 0, r = 0;

    while (good < n && (bad = parse_ack(lines[good].data, lines[good].len, &acks[good])) == 0)
        good++;
    if (good)
        r = js_consumer_ack(h->consumer->c, acks, good, &done);
    if (done)
        *ret_end = lines[done - 1].end;
    return r < 0 ? r : bad;
}

static int write_ack(fuse_req_t req, const struct jf_ref *ref, const char *buf, size_t size,
                     off_t off, struct fuse_file_info *fi, size_t *ret_count) {
    struct handle *h = handle_of(fi);
    struct jf_line lines[BATCH];
    size_t end = 0;
    int n = 0, r = 0;

    (void)req;
    (void)ref;
    (void)off;
    pthread_mutex_lock(&h->lock);
    jf_lines_feed(&h->lines, buf, size);
    while (r == 0 && (n = jf_lines_take(&h->lines, lines, BATCH)) > 0)
        r = take_lines(h, lines, (size_t)n, &end);
    if (r == 0 && n < 0)
        r = n == JS_ERR_MSG_TOO_LARGE ? -EINVAL : n;
    if (r < 0)
        end = jf_lines_stop(&h->lines, end);
    pthread_mutex_unlock(&h->lock);
    if (r < 0 && end == 0)
        return r;
    *ret_count = r < 0 ? end : size;
    return 0;
}

/* A line without its end. */
static int finish(struct handle *h) {
    const uint8_t *data;
    struct js_ack a;
    size_t len = jf_lines_rest(&h->lines, &data);

    if (len == 0)
        return 0;
    int r = parse_ack(data, len, &a);
    jf_lines_drop_rest(&h->lines);
    return r < 0 ? r : js_consumer_ack(h->consumer->c, &a, 1, NULL);
}

static int flush_ack(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct handle *h = handle_of(fi);
    int r = 0;

    (void)ref;
    pthread_mutex_lock(&h->lock);
    if (jf_is_opener(h->opener, fuse_req_ctx(req)->pid))
        r = finish(h);
    pthread_mutex_unlock(&h->lock);
    return r;
}

static void release_ack(const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct handle *h = handle_of(fi);
    int r = finish(h);

    if (r < 0)
        jf_log_add(ref->fs->log, "%s: consumer %s: the last line of ack: %s", ref->stream->tag,
                   h->consumer->name, js_err_text(r));
    jf_lines_done(&h->lines);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

const struct jf_class jf_class_ack = {
    .name = "ack",
    .mode = S_IFREG | 0222,
    .stat = stat_ack,
    .setattr = setattr_ack,
    .open = open_ack,
    .write = write_ack,
    .flush = flush_ack,
    .release = release_ack,
};
