/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream/scan_pool.h"

#define MAX_THREADS 8

struct js_scan_pool {
    struct js_stream *stream;
    const uint32_t *numbers;
    size_t count;
    size_t window;
    struct js_scan_item *items; /* window of them */
    unsigned threads;
    pthread_t ids[MAX_THREADS];
    pthread_mutex_t mu;
    pthread_cond_t changed;
    /* guarded by mu: */
    size_t next;
    size_t released;
    bool stop;
};

static void scan_one(struct js_scan_pool *pool, size_t i) {
    struct js_scan_item *item = &pool->items[i % pool->window];
    item->error = js_stream_scan_block(pool->stream, pool->numbers[i], &item->key, &item->scan);
}

static void *worker(void *arg) {
    struct js_scan_pool *pool = arg;

    pthread_mutex_lock(&pool->mu);
    for (;;) {
        while (!pool->stop && pool->next < pool->count &&
               pool->next - pool->released >= pool->window)
            pthread_cond_wait(&pool->changed, &pool->mu);
        if (pool->stop || pool->next >= pool->count)
            break;
        size_t i = pool->next++;
        pthread_mutex_unlock(&pool->mu);
        scan_one(pool, i);
        pthread_mutex_lock(&pool->mu);
        pool->items[i % pool->window].ready = true;
        pthread_cond_broadcast(&pool->changed);
    }
    pthread_mutex_unlock(&pool->mu);
    return NULL;
}

int js_scan_pool_begin(struct js_stream *stream, const uint32_t *numbers, size_t count,
                       struct js_scan_pool **ret_pool) {
    const struct js_env *env = stream->env;
    struct js_scan_pool *pool = js_calloc(env, 1, sizeof *pool);

    if (!pool)
        return JS_ERR_NOMEM;
    pool->stream = stream;
    pool->numbers = numbers;
    pool->count = count;
    /* The receiver is a thread, too. */
    unsigned want = stream->scan_threads > 1 ? stream->scan_threads - 1 : 1;
    if (want > MAX_THREADS)
        want = MAX_THREADS;
    if (want > count)
        want = count ? (unsigned)count : 1;
    pool->window = want + 1;
    pool->items = js_calloc(env, pool->window, sizeof *pool->items);
    if (!pool->items) {
        js_free(env, pool);
        return JS_ERR_NOMEM;
    }
    for (size_t i = 0; i < pool->window; i++)
        js_scan_init(&pool->items[i].scan, env);
    pthread_mutex_init(&pool->mu, NULL);
    pthread_cond_init(&pool->changed, NULL);
    /* One or two blocks are not worth a thread; a thread that cannot be had is done without. */
    if (count > 2 && stream->scan_threads != 1)
        while (pool->threads < want &&
               pthread_create(&pool->ids[pool->threads], NULL, worker, pool) == 0)
            pool->threads++;
    *ret_pool = pool;
    return 0;
}

struct js_scan_item *js_scan_pool_item(struct js_scan_pool *pool, size_t i) {
    if (i >= pool->count)
        return NULL;
    struct js_scan_item *item = &pool->items[i % pool->window];
    if (pool->threads == 0) {
        for (; pool->next <= i; pool->next++) {
            scan_one(pool, pool->next);
            pool->items[pool->next % pool->window].ready = true;
        }
        return item;
    }
    pthread_mutex_lock(&pool->mu);
    while (!item->ready)
        pthread_cond_wait(&pool->changed, &pool->mu);
    pthread_mutex_unlock(&pool->mu);
    return item;
}

void js_scan_pool_release(struct js_scan_pool *pool, size_t i) {
    pthread_mutex_lock(&pool->mu);
    pool->items[i % pool->window].ready = false;
    pool->items[i % pool->window].key = NULL;
    pool->released = i + 1;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->mu);
}

void js_scan_pool_end(struct js_scan_pool *pool) {
    const struct js_env *env = pool->stream->env;

    pthread_mutex_lock(&pool->mu);
    pool->stop = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->mu);
    for (unsigned i = 0; i < pool->threads; i++)
        pthread_join(pool->ids[i], NULL);
    for (size_t i = 0; i < pool->window; i++) {
        if (pool->items[i].ready)
            js_vault_put(pool->stream->vault, pool->items[i].key);
        js_scan_done(&pool->items[i].scan);
    }
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->mu);
    js_free(env, pool->items);
    js_free(env, pool);
}
