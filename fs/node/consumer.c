/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/consumer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/node/stream.h"
#include "fs/session/park.h"

static void on_ready(void *ctx, struct js_consumer *c) {
    struct jf_consumer *consumer = ctx;

    (void)c;
    jf_waitq_wake(consumer->waitq);
}

static void free_consumer(struct jf_consumer *c) {
    if (c->c) {
        js_consumer_on_ready(c->c, NULL, NULL);
        js_consumer_unref(c->c);
    }
    jf_waitq_free(c->waitq);
    free(c->name);
    free(c);
}

void jf_consumers_free(struct jf_stream *stream) {
    while (stream->consumers) {
        struct jf_consumer *c = stream->consumers;
        stream->consumers = c->next;
        free_consumer(c);
    }
}

/* With the stream's consumers_lock. */
static struct jf_consumer *find(struct jf_stream *stream, const char *name) {
    struct jf_consumer *c = stream->consumers;

    while (c && (atomic_load(&c->gone) || strcmp(c->name, name) != 0))
        c = c->next;
    return c;
}

static int make(struct jf_stream *stream, const char *name, struct jf_consumer **ret) {
    struct jf_consumer *c = calloc(1, sizeof(*c));

    if (!c)
        return JS_ERR_NOMEM;
    c->name = strdup(name);
    c->waitq = jf_waitq_new_ordered(stream->fs);
    int r =
        c->name && c->waitq ? js_stream_open_consumer(stream->stream, name, &c->c) : JS_ERR_NOMEM;
    if (r < 0) {
        c->c = NULL;
        free_consumer(c);
        return r;
    }
    js_consumer_on_ready(c->c, on_ready, c);
    *ret = c;
    return 0;
}

int jf_consumer_get(struct jf_stream *stream, const char *name, struct jf_consumer **ret_consumer) {
    int r = 0;

    if (!stream->fs->options.rw)
        return -EROFS;
    pthread_mutex_lock(&stream->consumers_lock);
    struct jf_consumer *c = find(stream, name);
    if (!c) {
        r = make(stream, name, &c);
        if (r == 0) {
            c->next = stream->consumers;
            stream->consumers = c;
        }
    }
    pthread_mutex_unlock(&stream->consumers_lock);
    if (r == 0)
        *ret_consumer = c;
    else if (r != JS_ERR_NO_CONSUMER)
        jf_log_add(stream->fs->log, "%s: consumer %s: %s", stream->tag, name, js_err_text(r));
    return r;
}

void jf_consumer_gone(struct jf_stream *stream, const char *name) {
    pthread_mutex_lock(&stream->consumers_lock);
    struct jf_consumer *c = find(stream, name);
    if (c)
        atomic_store(&c->gone, true);
    pthread_mutex_unlock(&stream->consumers_lock);
    if (c)
        jf_waitq_wake(c->waitq);
}

int jf_consumer_of(const struct jf_ref *ref, struct jf_consumer **ret_consumer) {
    int r = jf_consumer_get(ref->stream, ref->node->text, ret_consumer);

    return r == JS_ERR_NO_CONSUMER ? -ESTALE : r;
}
