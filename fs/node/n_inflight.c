/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inflight/: what was delivered, is not acknowledged, and whose ack wait is not over. A name there
 * is a lease: removing it acknowledges, moving it to nak/ or term/ refuses, touching it prolongs.
 * When the lease ends the name is gone; a message that was delivered again has a lease of its own.
 *
 * ready/: what would be delivered next.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/name.h"
#include "fs/node/consumer.h"
#include "fs/node/dirbuf.h"
#include "fs/node/stream.h"

#define BATCH 128
#define SHIFT 2

static int stat_dir(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                    double *entry_timeout) {
    struct js_stream_state state;

    *attr_timeout = 0;
    (void)entry_timeout;
    js_stream_get_state(ref->stream->stream, &state);
    jf_stat_time(ref->fs, st, state.last_time);
    return 0;
}

/* Leases from `from` on; of a mount that does not deliver, what the file says. */
static int list_leases(const struct jf_ref *ref, js_seq_t from, struct js_pending *buf, size_t max,
                       size_t *ret_n) {
    struct jf_consumer *consumer;

    if (!ref->fs->options.rw) {
        int r = js_consumer_pending(ref->stream->stream, ref->node->text, from, buf, max, ret_n);
        return r == JS_ERR_NO_CONSUMER ? -ESTALE : r;
    }
    int r = jf_consumer_of(ref, &consumer);
    if (r == 0)
        r = js_consumer_inflight(consumer->c, from, buf, max, ret_n);
    return r == JS_ERR_STORE_CLOSED ? -ESTALE : r;
}

/* ESTALE: there is no lease (any more). ref's text is the consumer. */
static int find_lease(const struct jf_ref *ref, js_seq_t seq, struct js_pending *ret) {
    size_t n;
    int r = list_leases(ref, seq, ret, 1, &n);

    if (r < 0)
        return r;
    return n == 1 && ret->stream_seq == seq ? 0 : -ESTALE;
}

static int parse(const char *name, js_seq_t *ret_seq) {
    return jf_name_parse_seq(name, ret_seq) && *ret_seq ? 0 : -ENOENT;
}

static int answer(const struct jf_ref *ref, js_seq_t seq, enum js_ack_kind kind) {
    struct js_ack a = {.seq = seq, .kind = kind};
    struct jf_consumer *consumer;
    struct js_pending p;
    int r = jf_consumer_of(ref, &consumer);

    if (r == 0)
        r = find_lease(ref, seq, &p);
    if (r == 0)
        r = js_consumer_ack(consumer->c, &a, 1, NULL);
    if (r == JS_ERR_MSG_NOT_FOUND)
        return -ESTALE;
    if (r < 0 && r != -ESTALE)
        jf_log_add(ref->fs->log, "%s: consumer %s: message %" PRIu64 ": %s", ref->stream->tag,
                   ref->node->text, seq, js_err_text(r));
    return r;
}

/* ---- inflight/N ------------------------------------------------------------------------------ */

/* A lease's file is the message's payload: its handlers get a reference to that. */
static struct jf_ref payload_of(const struct jf_ref *lease) {
    struct jf_ref ref = *lease;

    ref.seq = lease->node->num;
    return ref;
}

static int stat_lease(const struct jf_ref *ref, struct stat *st, double *attr_timeout,
                      double *entry_timeout) {
    struct jf_ref msg = payload_of(ref);
    struct js_pending p;
    int r = find_lease(ref, msg.seq, &p);

    if (r == 0)
        r = jf_class_msg.stat(&msg, st, attr_timeout, entry_timeout);
    st->st_nlink = 1;
    *attr_timeout = 0;
    *entry_timeout = 0;
    return r;
}

static int stat_open_lease(const struct jf_ref *ref, const struct fuse_file_info *fi,
                           struct stat *st) {
    struct jf_ref msg = payload_of(ref);

    return jf_class_msg.stat_open(&msg, fi, st);
}

/* touch: still at work. */
static int setattr_lease(const struct jf_ref *ref, const struct stat *attr, int to_set,
                         struct fuse_file_info *fi) {
    (void)attr;
    (void)fi;
    if (!ref->fs->options.rw)
        return -EROFS;
    if (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID | FUSE_SET_ATTR_SIZE))
        return -EPERM;
    if (!(to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)))
        return 0;
    return answer(ref, ref->node->num, JS_IN_PROGRESS);
}

static int open_lease(fuse_req_t req, const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct jf_ref msg = payload_of(ref);
    struct js_pending p;
    int r = find_lease(ref, msg.seq, &p);

    return r < 0 ? r : jf_class_msg.open(req, &msg, fi);
}

static int read_lease(fuse_req_t req, const struct jf_ref *ref, size_t size, off_t off,
                      struct fuse_file_info *fi) {
    struct jf_ref msg = payload_of(ref);

    return jf_class_msg.read(req, &msg, size, off, fi);
}

static void release_lease(const struct jf_ref *ref, struct fuse_file_info *fi) {
    struct jf_ref msg = payload_of(ref);

    jf_class_msg.release(&msg, fi);
}

static int give_text(char *text, char **ret_value, size_t *ret_len) {
    if (!text)
        return JS_ERR_NOMEM;
    *ret_value = text;
    *ret_len = strlen(text);
    return 0;
}

/* What the message has, and how often it was delivered. */
static int getxattr_lease(const struct jf_ref *ref, const char *name, char **ret_value,
                          size_t *ret_len) {
    struct jf_ref msg = payload_of(ref);
    struct js_pending p;
    char *text;

    if (strcmp(name, "user.nats.delivered") != 0)
        return jf_class_msg.getxattr(&msg, name, ret_value, ret_len);
    int r = find_lease(ref, msg.seq, &p);
    if (r < 0)
        return r;
    if (asprintf(&text, "%" PRIu64, p.redelivered + 1) < 0)
        text = NULL;
    return give_text(text, ret_value, ret_len);
}

static int listxattr_lease(const struct jf_ref *ref, char **ret_names, size_t *ret_len) {
    static const char own[] = "user.nats.delivered";
    struct jf_ref msg = payload_of(ref);
    char *names;
    size_t len;
    int r = jf_class_msg.listxattr(&msg, &names, &len);

    if (r < 0)
        return r;
    char *all = realloc(names, len + sizeof(own));
    if (!all) {
        free(names);
        return JS_ERR_NOMEM;
    }
    memcpy(all + len, own, sizeof(own));
    *ret_names = all;
    *ret_len = len + sizeof(own);
    return 0;
}

const struct jf_class jf_class_lease = {
    .name = "lease",
    .mode = S_IFREG | 0444,
    .stat = stat_lease,
    .stat_open = stat_open_lease,
    .setattr = setattr_lease,
    .open = open_lease,
    .read = read_lease,
    .release = release_lease,
    .getxattr = getxattr_lease,
    .listxattr = listxattr_lease,
};

/* ---- inflight/ ---------------------------------------------------------------------------------
 */

static char *lease_key(const char *consumer, js_seq_t seq) {
    char *key;

    return asprintf(&key, "%s\n%" PRIu64, consumer, seq) < 0 ? NULL : key;
}

static int lookup_inflight(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    js_seq_t seq;

    if (parse(name, &seq) < 0)
        return -ENOENT;
    jf_stream_touch(dir->stream);
    char *key = lease_key(dir->node->text, seq);
    if (!key)
        return JS_ERR_NOMEM;
    struct jf_node_new init = {.class = &jf_class_lease,
                               .stream = dir->stream,
                               .text = dir->node->text,
                               .num = seq,
                               .key = key};
    int r = jf_entry_new(dir->fs, &init, ret_entry);
    free(key);
    return r == -ESTALE ? -ENOENT : r;
}

/* Messages that were removed since their delivery have no name. */
static int list_inflight(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                         struct jf_dirbuf *buf) {
    struct js_pending pending[BATCH];
    struct js_msg_stat info;
    char name[JF_NAME_BUF];
    js_seq_t from = off > SHIFT ? (js_seq_t)off - SHIFT + 1 : 1;
    size_t n = BATCH;

    (void)fi;
    if (!jf_dirbuf_dots(buf, off))
        return 0;
    while (n == BATCH) {
        int r = list_leases(ref, from, pending, BATCH, &n);
        if (r < 0)
            return buf->len ? 0 : r;
        for (size_t i = 0; i < n; i++) {
            js_seq_t seq = pending[i].stream_seq;
            from = seq + 1;
            if (js_stream_stat_msg(ref->stream->stream, seq, &info) < 0)
                continue;
            char *key = lease_key(ref->node->text, seq);
            if (!key)
                return JS_ERR_NOMEM;
            jf_name_of_seq(seq, "", name);
            bool room = jf_dirbuf_add(buf, name, jf_intern_ino(&jf_class_lease, ref->stream, key),
                                      S_IFREG, (off_t)seq + SHIFT);
            free(key);
            if (!room)
                return 0;
        }
    }
    return 0;
}

static int unlink_lease(const struct jf_ref *dir, const char *name) {
    js_seq_t seq;

    if (parse(name, &seq) < 0)
        return -ENOENT;
    return answer(dir, seq, JS_ACK);
}

static int rename_lease(const struct jf_ref *from, const char *name, const struct jf_ref *to,
                        const char *new_name, unsigned flags) {
    js_seq_t seq;

    (void)new_name; /* what is dropped there is gone */
    if (to->class != &jf_class_drop || to->stream != from->stream ||
        strcmp(to->node->text, from->node->text) != 0)
        return -EXDEV;
    if (flags & ~1u) /* there is never anything to replace */
        return -EINVAL;
    if (!from->fs->options.rw)
        return -EROFS;
    if (parse(name, &seq) < 0)
        return -ENOENT;
    return answer(from, seq, (enum js_ack_kind)to->node->num);
}

const struct jf_class jf_class_inflight = {
    .name = "inflight",
    .mode = S_IFDIR | 0755,
    .lookup = lookup_inflight,
    .stat = stat_dir,
    .readdir = list_inflight,
    .unlink = unlink_lease,
    .rename = rename_lease,
};

const struct jf_class jf_class_drop = {
    .name = "drop",
    .mode = S_IFDIR | 0755,
    .stat = stat_dir,
};

/* ---- ready/
 * -------------------------------------------------------------------------------------- */

static int lookup_ready(const struct jf_ref *dir, const char *name, struct jf_entry *ret_entry) {
    struct jf_consumer *consumer;
    js_seq_t seq, found;
    size_t n;

    if (parse(name, &seq) < 0)
        return -ENOENT;
    int r = jf_consumer_of(dir, &consumer);
    if (r == 0)
        r = js_consumer_peek(consumer->c, seq, &found, 1, &n);
    if (r < 0)
        return r == -EROFS ? -ENOENT : r;
    if (n == 0 || found != seq)
        return -ENOENT;
    r = jf_entry_msg(dir->fs, dir->stream, seq, false, ret_entry);
    if (r == 0)
        ret_entry->e.entry_timeout = 0;
    return r == -ESTALE ? -ENOENT : r;
}

static int list_ready(const struct jf_ref *ref, off_t off, struct fuse_file_info *fi,
                      struct jf_dirbuf *buf) {
    struct jf_consumer *consumer;
    js_seq_t seqs[BATCH];
    char name[JF_NAME_BUF];
    js_seq_t from = off > SHIFT ? (js_seq_t)off - SHIFT + 1 : 1;
    size_t n = BATCH;

    (void)fi;
    if (!jf_dirbuf_dots(buf, off))
        return 0;
    int r = jf_consumer_of(ref, &consumer);
    /* A mount that delivers nothing has nothing ready. */
    if (r < 0)
        return r == -EROFS ? 0 : r;
    while (n == BATCH) {
        r = js_consumer_peek(consumer->c, from, seqs, BATCH, &n);
        if (r < 0)
            return buf->len ? 0 : r;
        for (size_t i = 0; i < n; i++) {
            from = seqs[i] + 1;
            jf_name_of_seq(seqs[i], "", name);
            if (!jf_dirbuf_add(buf, name, jf_node_pack(JF_KIND_MSG, ref->stream->slot, seqs[i]),
                               S_IFREG, (off_t)seqs[i] + SHIFT))
                return 0;
        }
    }
    return 0;
}

const struct jf_class jf_class_ready = {
    .name = "ready",
    .mode = S_IFDIR | 0755,
    .lookup = lookup_ready,
    .stat = stat_dir,
    .readdir = list_ready,
};
