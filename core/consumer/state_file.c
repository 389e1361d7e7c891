/* SPDX-License-Identifier: Apache-2.0 */
/*
 * o.dat and its replacement.
 *
 * A state is written to o.dat.tmp, synced and renamed, so o.dat is whole at any time. Only where
 * nothing is synced (JS_SYNC_OS) could a crash leave a torn one: there the last state that is known
 * to be on disk stays as o.dat.prev until a newer one is (servers leave that name alone). Every
 * change has a number, so no change that comes during a write is forgotten.
 *
 * On streams that lose what is acknowledged, the stream is synced first: no state on disk says that
 * a message is done which a crash brings back.
 */
#include <errno.h>
#include <stdio.h>

#include "core/base/file.h"
#include "core/consumer/consumer.h"
#include "core/stream/meta_write.h"

struct js_window_rules js_consumer_rules(const struct js_consumer *c) {
    return (struct js_window_rules){.ack_policy = c->config.ack_policy,
                                    .max_deliver = c->config.max_deliver};
}

void js_consumer_changed(struct js_consumer *c) {
    c->changes++;
}

static int sync_dir(const struct js_env *env, int fd) {
    return js_err_from_errno(-env->io->fsync(env->io->ctx, fd));
}

/* The last synced state gets a second name before it is replaced by one that is not synced. Where
 * files have no second names, the new one must be synced (*sync). */
static int keep_prev(struct js_consumer *c, bool *sync) {
    const struct js_io *io = c->env->io;
    int r = io->unlink(io->ctx, c->dirfd, "o.dat.prev");

    if (r == 0 || r == -ENOENT)
        r = io->link(io->ctx, c->dirfd, "o.dat", c->dirfd, "o.dat.prev");
    if (r == -EPERM || r == -EOPNOTSUPP || r == -ENOSYS || r == -EMLINK || r == -ENOENT) {
        *sync = true;
        return 0;
    }
    return js_err_from_errno(-r);
}

/* One writer at a time; mu not held. has_file, file_synced: of the o.dat there is. */
static int replace_state(struct js_consumer *c, const struct js_buf *bytes, bool on_disk,
                         bool prev_needed, bool *ret_synced) {
    const struct js_io *io = c->env->io;
    bool sync = on_disk || c->stream->sync_mode != JS_SYNC_OS;
    int r = 0;

    if (!sync && prev_needed)
        r = keep_prev(c, &sync);
    if (r == 0)
        r = js_file_replace(c->env, c->dirfd, "o.dat", bytes->data, bytes->len, sync);
    if (r == 0 && on_disk) {
        r = sync_dir(c->env, c->dirfd);
        int u = r == 0 ? io->unlink(io->ctx, c->dirfd, "o.dat.prev") : -ENOENT;
        if (u < 0 && u != -ENOENT)
            r = js_err_from_errno(-u);
    }
    *ret_synced = sync;
    return r;
}

static int seal(const struct js_consumer *c, struct js_buf *plain, struct js_buf *out) {
    if (!c->encrypted) {
        *out = *plain;
        *plain = (struct js_buf){.env = out->env};
        return 0;
    }
    return js_seal(c->env, c->key->cipher, c->key->seed, plain->data, plain->len, out);
}

/* plain is used up. */
static int write_state(struct js_consumer *c, struct js_buf *plain, bool on_disk, bool prev_needed,
                       bool *ret_synced) {
    struct js_buf sealed = {.env = c->env};
    int r = 0;

    if (js_stream_retires(c->stream))
        r = js_stream_sync(c->stream);
    if (r == 0)
        r = seal(c, plain, &sealed);
    if (r == 0)
        r = replace_state(c, &sealed, on_disk, prev_needed, ret_synced);
    js_buf_done(&sealed);
    return r;
}

int js_consumer_write(struct js_consumer *c, bool on_disk) {
    uint64_t upto = c->changes;

    for (;;) {
        while (c->writing)
            pthread_cond_wait(&c->idle, &c->mu);
        if ((on_disk ? c->synced : c->written) >= upto)
            return 0;
        if (c->dirfd < 0)
            return JS_ERR_STORE_CLOSED;
        struct js_buf plain = {.env = c->env};
        uint64_t mark = c->changes;
        bool synced = false, prev_needed = c->has_file && c->file_synced;
        int r = js_window_encode(&c->w, c->env->clock->now(c->env->clock->ctx), &plain);
        if (r < 0)
            return r;
        c->writing = true;
        pthread_mutex_unlock(&c->mu);
        r = write_state(c, &plain, on_disk, prev_needed, &synced);
        js_buf_done(&plain);
        pthread_mutex_lock(&c->mu);
        c->writing = false;
        js_time_t now = c->env->clock->now(c->env->clock->ctx);
        c->write_at = now + (r < 0 ? JS_STATE_RETRY : JS_STATE_INTERVAL);
        if (r == 0) {
            c->written = mark;
            c->has_file = true;
            c->file_synced = synced;
            if (on_disk)
                c->synced = mark;
        }
        pthread_cond_broadcast(&c->idle);
        if (r < 0)
            return r;
    }
}

int js_consumer_make_durable(struct js_consumer *c) {
    enum js_sync_mode mode = c->stream->sync_mode;

    if (mode != JS_SYNC_CLOSE && mode != JS_SYNC_ALWAYS)
        return 0;
    return js_consumer_write(c, true);
}

int js_consumer_write_meta(struct js_stream *s, int dirfd, const char *name,
                           const struct js_block_key *key, const uint8_t *text, size_t len) {
    char key_name[600];

    snprintf(key_name, sizeof key_name, "%s/%s", s->name, name);
    return js_meta_write(s->env, dirfd, key_name, text, len, key);
}
