/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/session/pool.h"

#include <stdlib.h>

struct job {
    struct job *next;
    void (*fn)(void *arg);
    void *arg;
};

struct jf_pool {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    struct job *first;
    struct job **last;
    bool ending;
    unsigned nthreads;
    pthread_t threads[];
};

static void *work(void *arg) {
    struct jf_pool *pool = arg;

    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->first && !pool->ending)
            pthread_cond_wait(&pool->cond, &pool->lock);
        struct job *job = pool->first;
        if (!job)
            break;
        pool->first = job->next;
        if (!pool->first)
            pool->last = &pool->first;
        pthread_mutex_unlock(&pool->lock);
        job->fn(job->arg);
        free(job);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct jf_pool *jf_pool_new(unsigned threads) {
    struct jf_pool *pool = calloc(1, sizeof(*pool) + threads * sizeof(pthread_t));

    if (!pool)
        return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->cond, NULL);
    pool->last = &pool->first;
    while (pool->nthreads < threads &&
           pthread_create(&pool->threads[pool->nthreads], NULL, work, pool) == 0)
        pool->nthreads++;
    if (pool->nthreads == 0) {
        jf_pool_free(pool);
        return NULL;
    }
    return pool;
}

void jf_pool_free(struct jf_pool *pool) {
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->cond);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->nthreads; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->cond);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

int jf_pool_run(struct jf_pool *pool, void (*fn)(void *arg), void *arg) {
    struct job *job = malloc(sizeof(*job));

    if (!job)
        return JS_ERR_NOMEM;
    *job = (struct job){.fn = fn, .arg = arg};
    pthread_mutex_lock(&pool->lock);
    *pool->last = job;
    pool->last = &job->next;
    pthread_cond_signal(&pool->cond);
    pthread_mutex_unlock(&pool->lock);
    return 0;
}
