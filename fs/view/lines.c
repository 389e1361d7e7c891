/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Line splitter. Lines that lie whole in the written chunk are given as they lie; only a line that
 * was begun in an earlier chunk is put together in a buffer of ours.
 *
 * Invariant between feeds: rest[0..rest_len) is an unfinished line without LF, not longer than
 * max_line. During a feed rest_before remembers how much of it is older than the feed, so that
 * jf_lines_stop() can put things back.
 */
#include "fs/view/lines.h"

#include <stdlib.h>
#include <string.h>

#include "core/jetstore.h"

void jf_lines_init(struct jf_lines *lines, size_t max_line, bool keep_empty) {
    *lines = (struct jf_lines){.max_line = max_line, .keep_empty = keep_empty};
}

void jf_lines_done(struct jf_lines *lines) {
    free(lines->rest);
    *lines = (struct jf_lines){.max_line = lines->max_line, .keep_empty = lines->keep_empty};
}

void jf_lines_feed(struct jf_lines *lines, const void *buf, size_t len) {
    lines->in = buf;
    lines->in_len = len;
    lines->in_pos = 0;
    lines->rest_before = lines->rest_len;
    lines->rest_joined = false;
}

/* Appends to the unfinished line; what was there before stays valid on failure. */
static int rest_append(struct jf_lines *lines, const uint8_t *data, size_t len) {
    size_t need = lines->rest_len + len;

    if (need > lines->max_line)
        return JS_ERR_MSG_TOO_LARGE;
    if (need > lines->rest_cap) {
        size_t cap = lines->rest_cap ? lines->rest_cap : 256;
        uint8_t *p;

        while (cap < need)
            cap *= 2;
        p = realloc(lines->rest, cap);
        if (!p)
            return JS_ERR_NOMEM;
        lines->rest = p;
        lines->rest_cap = cap;
    }
    if (len > 0)
        memcpy(lines->rest + lines->rest_len, data, len);
    lines->rest_len = need;
    return 0;
}

/* A line of the feed: data[0..len) and its LF. Joined with the remainder if it is the first.
 * Returns 1 if it is a message, 0 if it is left out. */
static int make_line(struct jf_lines *lines, const uint8_t *data, size_t len,
                     struct jf_line *ret_line) {
    int rc;

    if (lines->in_pos == 0 && lines->rest_len > 0) {
        rc = rest_append(lines, data, len);
        if (rc < 0)
            return rc;
        lines->rest_joined = true;
        data = lines->rest;
        len = lines->rest_len;
    } else if (len > lines->max_line) {
        return JS_ERR_MSG_TOO_LARGE;
    }
    ret_line->data = data;
    ret_line->len = len;
    return len > 0 || lines->keep_empty;
}

/* Keeps the end of the feed that has no LF. */
static int keep_rest(struct jf_lines *lines) {
    size_t len = lines->in_len - lines->in_pos;
    int rc;

    if (len == 0)
        return 0;
    if (lines->rest_joined) {
        lines->rest_len = 0;
        lines->rest_joined = false;
    }
    rc = rest_append(lines, lines->in + lines->in_pos, len);
    if (rc < 0)
        return rc;
    lines->in_pos = lines->in_len;
    return 0;
}

int jf_lines_take(struct jf_lines *lines, struct jf_line *ret_lines, size_t max) {
    size_t n = 0;

    while (n < max && lines->in_pos < lines->in_len) {
        const uint8_t *start = lines->in + lines->in_pos;
        const uint8_t *lf = memchr(start, '\n', lines->in_len - lines->in_pos);
        int rc;

        if (!lf && n > 0)
            break; /* lines given now may point into rest: keep the end at the next call */
        if (!lf)
            return keep_rest(lines);
        rc = make_line(lines, start, (size_t)(lf - start), &ret_lines[n]);
        if (rc < 0)
            return n > 0 ? (int)n : rc;
        lines->in_pos = (size_t)(lf - lines->in) + 1;
        ret_lines[n].end = lines->in_pos;
        n += (size_t)rc;
    }
    if (n == 0 && lines->rest_joined) {
        lines->rest_len = 0;
        lines->rest_joined = false;
    }
    return (int)n;
}

size_t jf_lines_stop(struct jf_lines *lines, size_t end) {
    if (end == 0)
        lines->rest_len = lines->rest_before;
    else
        lines->rest_len = 0;
    lines->rest_joined = false;
    lines->in_pos = lines->in_len = 0;
    lines->rest_before = lines->rest_len;
    return end;
}

size_t jf_lines_rest(const struct jf_lines *lines, const uint8_t **ret_data) {
    *ret_data = lines->rest;
    return lines->rest_len;
}

void jf_lines_drop_rest(struct jf_lines *lines) {
    lines->rest_len = 0;
    lines->rest_before = 0;
}
