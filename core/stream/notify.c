/* SPDX-License-Identifier: Apache-2.0 */
/* Who wants to hear about changes. */
#include "core/consumer/consumer.h"

int js_stream_subscribe(struct js_stream *stream, js_change_fn fn, void *ctx) {
    struct js_listener *l = js_malloc(stream->env, sizeof *l);

    if (!l)
        return JS_ERR_NOMEM;
    pthread_mutex_lock(&stream->listeners_mu);
    *l = (struct js_listener){.fn = fn, .ctx = ctx, .next = stream->listeners};
    stream->listeners = l;
    atomic_store(&stream->has_listeners, true);
    pthread_mutex_unlock(&stream->listeners_mu);
    return 0;
}

void js_stream_unsubscribe(struct js_stream *stream, js_change_fn fn, void *ctx) {
    struct js_listener *gone = NULL;

    /* Callbacks run under this mutex, so after return none is running or will run. */
    pthread_mutex_lock(&stream->listeners_mu);
    for (struct js_listener **p = &stream->listeners; *p; p = &(*p)->next) {
        if ((*p)->fn == fn && (*p)->ctx == ctx) {
            gone = *p;
            *p = gone->next;
            break;
        }
    }
    pthread_mutex_unlock(&stream->listeners_mu);
    js_free(stream->env, gone);
}

static void tell_consumer(void *ctx, struct js_consumer *c) {
    (void)ctx;
    js_consumer_tell_ready(c);
}

void js_stream_notify(struct js_stream *stream, js_seq_t first, uint64_t n) {
    pthread_mutex_lock(&stream->listeners_mu);
    for (struct js_listener *l = stream->listeners; l; l = l->next)
        l->fn(l->ctx, stream, first, n);
    pthread_mutex_unlock(&stream->listeners_mu);
    if (n)
        js_consumers_each(stream, tell_consumer, NULL);
}
