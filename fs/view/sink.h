/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a renderer writes: a window [skip, skip + cap) of its output goes into a buffer, all of it
 * is counted. With stop set, writers may end early once the window is full.
 */
#ifndef JF_VIEW_SINK_H
#define JF_VIEW_SINK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct jf_sink {
    uint64_t pos;  /* bytes put so far */
    uint64_t skip; /* those before this are not wanted */
    uint8_t *buf;
    size_t cap;
    size_t len; /* bytes in buf */
    bool stop;
};

static inline bool jf_sink_full(const struct jf_sink *s) {
    return s->stop && s->len == s->cap;
}

static inline void jf_sink_put(struct jf_sink *s, const void *data, size_t n) {
    uint64_t before = s->pos < s->skip ? s->skip - s->pos : 0;

    if (before < n && s->len < s->cap) {
        size_t m = n - (size_t)before;

        if (m > s->cap - s->len)
            m = s->cap - s->len;
        memcpy(s->buf + s->len, (const uint8_t *)data + before, m);
        s->len += m;
    }
    s->pos += n;
}

static inline void jf_sink_text(struct jf_sink *s, const char *text) {
    jf_sink_put(s, text, strlen(text));
}

#endif
