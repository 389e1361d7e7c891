/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream/flight.h"

#include "core/base/file.h"
#include "core/stream/block_file.h"

/* Room for what is in the air, what is being filled, and two parts more: the buffer's bytes are moved to
 * its front at every third part. */
#define BUFFER_BYTES (4 * JS_FLIGHT_BYTES)

struct js_flight {
    const struct js_env *env;
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t changed;
    /* guarded by mu: */
    bool stop;
    bool busy; /* what follows is the thread's */
    int fd;
    const uint8_t *bytes;
    size_t len;
    uint64_t at;
    const struct js_block_key *key; /* NULL: plain */
    uint8_t *cipher;                /* room for len bytes */
    int result;
};

static int write_part(const struct js_flight *f) {
    const uint8_t *bytes = f->bytes;
    int r = 0;

    if (f->key) {
        memcpy(f->cipher, f->bytes, f->len);
        r = js_block_xor(f->key, f->at, f->cipher, f->len);
        bytes = f->cipher;
    }
    return r < 0 ? r : js_file_write(f->env, f->fd, bytes, f->len, f->at, NULL);
}

static void *work(void *arg) {
    struct js_flight *f = arg;

    pthread_mutex_lock(&f->mu);
    while (!f->stop || f->busy) {
        if (!f->busy) {
            pthread_cond_wait(&f->changed, &f->mu);
            continue;
        }
        pthread_mutex_unlock(&f->mu);
        int r = write_part(f);
        pthread_mutex_lock(&f->mu);
        f->result = r;
        f->busy = false;
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->mu);
    return NULL;
}

static int start(struct js_stream *s, struct js_writer *w) {
    struct js_flight *f = js_calloc(s->env, 1, sizeof *f);

    if (!f)
        return JS_ERR_NOMEM;
    f->env = s->env;
    pthread_mutex_init(&f->mu, NULL);
    pthread_cond_init(&f->changed, NULL);
    if (pthread_create(&f->thread, NULL, work, f) != 0) {
        pthread_cond_destroy(&f->changed);
        pthread_mutex_destroy(&f->mu);
        js_free(s->env, f);
        return JS_ERR_NOMEM;
    }
    w->flight = f;
    return 0;
}

bool js_flight_may(const struct js_stream *s, const struct js_writer *w) {
    return w->async && s->sync_mode != JS_SYNC_ALWAYS && s->scan_threads != 1;
}

/* Nothing is in the air: memory may move. */
static int prepare(struct js_stream *s, struct js_writer *w) {
    int r = w->flight ? 0 : start(s, w);

    if (r == 0 && w->buf.cap < BUFFER_BYTES)
        r = js_buf_reserve(&w->buf, BUFFER_BYTES - w->buf.len);
    w->buf.failed = false;
    if (r == 0 && w->block->key) {
        w->cipher.len = 0;
        r = js_buf_reserve(&w->cipher, js_writer_buffered(w));
        w->cipher.failed = false;
    }
    return r;
}

int js_flight_begin(struct js_stream *s, struct js_writer *w) {
    int r = js_flight_land(s, w);

    if (r < 0)
        return r;
    if (s->write_error || w->buf.len == 0 || prepare(s, w) < 0)
        return js_writer_flush(s, w);
    js_writer_sum(w);
    if (w->buf.cap - w->buf.len < JS_FLIGHT_BYTES)
        js_flight_shift(w);
    struct js_flight *f = w->flight;
    pthread_mutex_lock(&f->mu);
    f->fd = w->file->fd;
    f->bytes = w->buf.data + w->done;
    f->len = js_writer_buffered(w);
    f->at = w->length;
    f->key = w->block->key;
    f->cipher = w->cipher.data;
    f->busy = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mu);
    w->flying = f->len;
    w->promised = true;
    w->num_recs = 0;
    w->buffered_since = s->env->clock->monotonic(s->env->clock->ctx);
    return 0;
}

int js_flight_land(struct js_stream *s, struct js_writer *w) {
    struct js_flight *f = w->flight;
    size_t n = w->flying;

    if (!n)
        return 0;
    pthread_mutex_lock(&f->mu);
    while (f->busy)
        pthread_cond_wait(&f->changed, &f->mu);
    int r = f->result;
    pthread_mutex_unlock(&f->mu);
    w->flying = 0;
    if (r < 0) {
        w->stuck = true;
        return js_writer_cut_back(s, w, r);
    }
    js_writer_wrote(s, w, n);
    return 0;
}

void js_flight_shift(struct js_writer *w) {
    js_writer_sum(w);
    w->buf.len -= w->done;
    memmove(w->buf.data, w->buf.data + w->done, w->buf.len);
    w->done = 0;
}

void js_flight_free(struct js_stream *s, struct js_writer *w) {
    struct js_flight *f = w->flight;

    if (!f)
        return;
    pthread_mutex_lock(&f->mu);
    f->stop = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mu);
    pthread_join(f->thread, NULL);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->mu);
    js_free(s->env, f);
    w->flight = NULL;
    w->flying = 0;
}
