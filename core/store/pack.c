/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/pack.h"

#include <pthread.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/format/s2.h"

#define PIECE       (1u << 20)
#define MAX_THREADS 8

enum piece_state { FILLING, FILLED, TAKEN, DONE };

struct piece {
    uint8_t *in; /* PIECE bytes; NULL until first used */
    size_t len;
    struct js_buf out;
    enum piece_state state; /* guarded by mu */
    int error;
};

struct js_pack {
    const struct js_env *env;
    js_sink_fn sink;
    void *ctx;
    int error; /* sticky */
    struct piece pieces[MAX_THREADS + 1];
    size_t count; /* of pieces, a ring */
    size_t fill;  /* the one that is filled; those before it, if not FILLING, are older */
    pthread_t ids[MAX_THREADS];
    unsigned threads;
    pthread_mutex_t mu;
    pthread_cond_t changed;
    size_t next; /* to be taken; guarded by mu */
    bool stop;   /* the same */
};

static void compress(struct piece *p) {
    p->out.len = 0;
    p->error = js_s2_encode(p->in, p->len, &p->out);
    if (p->error == 0 && p->out.failed)
        p->error = JS_ERR_NOMEM;
}

static void *work(void *arg) {
    struct js_pack *pack = arg;

    pthread_mutex_lock(&pack->mu);
    while (!pack->stop) {
        struct piece *p = &pack->pieces[pack->next];
        if (p->state != FILLED) {
            pthread_cond_wait(&pack->changed, &pack->mu);
            continue;
        }
        p->state = TAKEN;
        pack->next = (pack->next + 1) % pack->count;
        pthread_mutex_unlock(&pack->mu);
        compress(p);
        pthread_mutex_lock(&pack->mu);
        p->state = DONE;
        pthread_cond_broadcast(&pack->changed);
    }
    pthread_mutex_unlock(&pack->mu);
    return NULL;
}

int js_pack_new(const struct js_env *env, unsigned threads, js_sink_fn sink, void *ctx,
                struct js_pack **ret_pack) {
    struct js_pack *pack = js_calloc(env, 1, sizeof *pack);

    if (!pack)
        return JS_ERR_NOMEM;
    pack->env = env;
    pack->sink = sink;
    pack->ctx = ctx;
    if (threads > MAX_THREADS)
        threads = MAX_THREADS;
    pack->count = threads > 1 ? threads + 1 : 1;
    for (size_t i = 0; i < pack->count; i++)
        pack->pieces[i].out.env = env;
    pthread_mutex_init(&pack->mu, NULL);
    pthread_cond_init(&pack->changed, NULL);
    while (threads > 1 && pack->threads < threads &&
           pthread_create(&pack->ids[pack->threads], NULL, work, pack) == 0)
        pack->threads++;
    *ret_pack = pack;
    return 0;
}

/* Waits until a piece is done if it was filled, and hands it out: then it can be filled. */
static int empty(struct js_pack *pack, struct piece *p) {
    pthread_mutex_lock(&pack->mu);
    while (p->state == FILLED || p->state == TAKEN)
        pthread_cond_wait(&pack->changed, &pack->mu);
    bool done = p->state == DONE;
    p->state = FILLING;
    pthread_mutex_unlock(&pack->mu);
    p->len = 0;
    if (!done || pack->error)
        return pack->error;
    pack->error = p->error;
    if (pack->error == 0) {
        int r = pack->sink(pack->ctx, p->out.data, p->out.len);
        pack->error = r < 0 ? r : 0;
    }
    return pack->error;
}

static int send(struct js_pack *pack) {
    struct piece *p = &pack->pieces[pack->fill];

    if (pack->threads == 0) {
        compress(p);
        p->state = DONE;
        return empty(pack, p);
    }
    pthread_mutex_lock(&pack->mu);
    p->state = FILLED;
    pthread_cond_broadcast(&pack->changed);
    pthread_mutex_unlock(&pack->mu);
    pack->fill = (pack->fill + 1) % pack->count;
    return empty(pack, &pack->pieces[pack->fill]);
}

int js_pack_put(struct js_pack *pack, const void *data, size_t n) {
    const uint8_t *bytes = data;

    while (n && pack->error == 0) {
        struct piece *p = &pack->pieces[pack->fill];
        if (!p->in && !(p->in = js_malloc(pack->env, PIECE))) {
            pack->error = JS_ERR_NOMEM;
            break;
        }
        size_t part = PIECE - p->len < n ? PIECE - p->len : n;
        memcpy(p->in + p->len, bytes, part);
        p->len += part;
        bytes += part;
        n -= part;
        if (p->len == PIECE)
            (void)send(pack);
    }
    return pack->error;
}

int js_pack_end(struct js_pack *pack) {
    if (pack->error == 0 && pack->pieces[pack->fill].len)
        (void)send(pack);
    for (size_t i = 0; i < pack->count; i++)
        (void)empty(pack, &pack->pieces[(pack->fill + i) % pack->count]);
    return pack->error;
}

void js_pack_free(struct js_pack *pack) {
    if (!pack)
        return;
    pthread_mutex_lock(&pack->mu);
    pack->stop = true;
    pthread_cond_broadcast(&pack->changed);
    pthread_mutex_unlock(&pack->mu);
    for (unsigned i = 0; i < pack->threads; i++)
        pthread_join(pack->ids[i], NULL);
    for (size_t i = 0; i < pack->count; i++) {
        js_free(pack->env, pack->pieces[i].in);
        js_buf_done(&pack->pieces[i].out);
    }
    pthread_cond_destroy(&pack->changed);
    pthread_mutex_destroy(&pack->mu);
    js_free(pack->env, pack);
}
