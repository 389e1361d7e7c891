/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation through the environment's table, with overflow checks. */
#ifndef JS_MEM_H
#define JS_MEM_H

#include <string.h>

#include "core/jetstore.h"

/* Lack of memory or of descriptors: it says nothing about the files, and is never told as damage. */
static inline bool js_is_shortage(int r) {
    return r == JS_ERR_NOMEM || r == JS_ERR_TOO_MANY_FILES;
}

/* Of this machine (env.c). */
size_t js_page_size(void);

static inline void *js_malloc(const struct js_env *env, size_t size) {
    return env->alloc->realloc(env->alloc->ctx, NULL, size ? size : 1);
}

static inline void *js_realloc(const struct js_env *env, void *p, size_t size) {
    return env->alloc->realloc(env->alloc->ctx, p, size ? size : 1);
}

static inline void js_free(const struct js_env *env, void *p) {
    if (p)
        env->alloc->free(env->alloc->ctx, p);
}

static inline void *js_calloc(const struct js_env *env, size_t n, size_t size) {
    size_t total;

    if (__builtin_mul_overflow(n, size, &total))
        return NULL;
    void *p = js_malloc(env, total);
    if (p)
        memset(p, 0, total ? total : 1);
    return p;
}

/* NULL when out of memory or when n * size overflows. */
static inline void *js_realloc_array(const struct js_env *env, void *p, size_t n, size_t size) {
    size_t total;

    if (__builtin_mul_overflow(n, size, &total))
        return NULL;
    return js_realloc(env, p, total);
}

static inline char *js_strndup(const struct js_env *env, const char *s, size_t len) {
    char *p = js_malloc(env, len + 1);

    if (p) {
        if (len)
            memcpy(p, s, len);
        p[len] = 0;
    }
    return p;
}

static inline char *js_strdup(const struct js_env *env, const char *s) {
    return js_strndup(env, s, strlen(s));
}

#endif
