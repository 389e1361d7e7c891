/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backup archives after decompression.
 *
 * V1 is a PAX tar. A tar is a row of 512-byte blocks: a header, then the file's bytes filled up to
 * whole blocks; a header of zeros ends it. The header holds the name (100 bytes, and a prefix of
 * 155 in "ustar" form), the size in octal (or in binary when its first bit is set), the sum of all
 * header bytes with the sum itself counted as blanks, and a type. Type 'x' carries records
 * "LENGTH KEY=VALUE\n" for the next entry, of which "path" and "size" matter; type 'L' carries the
 * next entry's long name.
 *
 * V2 is "NATSARC1", then entries: uv name length, sv time, uv sequence, uv header size, uv payload
 * size, name, headers, payload. An entry of zeros ends it. Entries of sequence 0 (state, consumers)
 * come first, messages in rising sequence follow.
 *
 * Whatever a length says, nothing beyond the file's size is asked for, and no memory is taken
 * before the file is known to hold the bytes.
 */
#include "core/format/archive.h"

#include "core/base/buf.h"
#include "core/base/bytes.h"
#include "core/base/limits.h"

#define BLOCK         512u
#define MAX_TAR_EXTRA (1u << 20) /* extended headers and long names */
#define MAX_ARC_NAME  (1u << 20)
#define ARC_WINDOW    (64u << 10)
#define ARC_HEAD_MAX  50u /* five varints */

static int read_exact(const struct js_pread *src, void *buf, size_t len, uint64_t off) {
    ssize_t n = src->fn(src->ctx, buf, len, off);

    if (n < 0)
        return (int)n;
    return (size_t)n == len ? 0 : JS_ERR_TORN;
}

/* ---- tar ----------------------------------------------------------------------------------- */

/* What the entries before a file say about it. */
struct tar_next {
    struct js_buf name; /* NUL terminated when len > 0 */
    bool has_size;
    uint64_t size;
};

static bool parse_octal(const uint8_t *p, size_t len, uint64_t *ret) {
    uint64_t v = 0;
    size_t i = 0;

    while (i < len && p[i] == ' ')
        i++;
    for (; i < len && p[i] != 0 && p[i] != ' '; i++) {
        if (p[i] < '0' || p[i] > '7' || v >> 61)
            return false;
        v = v << 3 | (uint64_t)(p[i] - '0');
    }
    *ret = v;
    return true;
}

/* A number field; false when it is none or negative or beyond 63 bits. */
static bool parse_number(const uint8_t *p, size_t len, uint64_t *ret) {
    uint64_t v = 0;

    if (!(p[0] & 0x80))
        return parse_octal(p, len, ret);
    for (size_t i = 0; i < len; i++) {
        uint8_t b = i == 0 ? p[0] & 0x7f : p[i];
        if (v >> 55)
            return false;
        v = v << 8 | b;
    }
    *ret = v;
    return true;
}

static bool is_zero_block(const uint8_t *p) {
    return p[0] == 0 && memcmp(p, p + 1, BLOCK - 1) == 0;
}

static bool sum_matches(const uint8_t *h) {
    uint64_t stored;
    uint64_t sum = 0;
    int64_t with_sign = 0; /* as some old writers counted */

    if (!parse_octal(h + 148, 8, &stored))
        return false;
    for (unsigned i = 0; i < BLOCK; i++) {
        uint8_t b = i >= 148 && i < 156 ? ' ' : h[i];
        sum += b;
        with_sign += (int8_t)b;
    }
    return stored == sum || (int64_t)stored == with_sign;
}

/* Length of a text field that is not always ended by NUL. */
static size_t field_len(const uint8_t *p, size_t max) {
    const uint8_t *nul = memchr(p, 0, max);
    return nul ? (size_t)(nul - p) : max;
}

static int take_header_name(const uint8_t *h, struct js_buf *name) {
    size_t n = field_len(h, 100), prefix = field_len(h + 345, 155);

    if (memcmp(h + 257, "ustar\0", 6) == 0 && prefix > 0) {
        js_buf_append(name, h + 345, prefix);
        js_buf_append_u8(name, '/');
    }
    js_buf_append(name, h, n);
    js_buf_append_u8(name, 0);
    return name->failed ? JS_ERR_NOMEM : 0;
}

/* Keeps a name of an extended header. NUL inside would make it another name. */
static int keep_name(struct tar_next *next, const uint8_t *p, size_t len) {
    if (len == 0 || memchr(p, 0, len))
        return JS_ERR_CORRUPT;
    next->name.len = 0;
    js_buf_append(&next->name, p, len);
    js_buf_append_u8(&next->name, 0);
    return next->name.failed ? JS_ERR_NOMEM : 0;
}

static bool parse_decimal(const uint8_t *p, size_t len, uint64_t *ret) {
    uint64_t v = 0;

    if (len == 0 || len > 18)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(p[i] - '0');
    }
    *ret = v;
    return true;
}

static bool key_is(const uint8_t *p, size_t len, const char *key) {
    return strlen(key) == len && memcmp(p, key, len) == 0;
}

static int take_pax(struct tar_next *next, const uint8_t *p, size_t len) {
    while (len > 0) {
        const uint8_t *blank = memchr(p, ' ', len);
        uint64_t n;
        if (!blank || !parse_decimal(p, (size_t)(blank - p), &n) || n > len ||
            n < (size_t)(blank - p) + 3 || p[n - 1] != '\n')
            return JS_ERR_CORRUPT;
        const uint8_t *key = blank + 1;
        const uint8_t *end = p + n - 1;
        const uint8_t *eq = memchr(key, '=', (size_t)(end - key));
        if (!eq)
            return JS_ERR_CORRUPT;
        size_t key_len = (size_t)(eq - key), value_len = (size_t)(end - eq - 1);
        if (key_is(key, key_len, "path")) {
            int r = keep_name(next, eq + 1, value_len);
            if (r < 0)
                return r;
        } else if (key_is(key, key_len, "size")) {
            if (!parse_decimal(eq + 1, value_len, &next->size))
                return JS_ERR_CORRUPT;
            next->has_size = true;
        }
        p += n;
        len -= n;
    }
    return 0;
}

/* An entry whose bytes describe the next one. */
static int take_extra(const struct js_env *env, const struct js_pread *src, char type, uint64_t off,
                      uint64_t size, struct tar_next *next) {
    if (size > MAX_TAR_EXTRA)
        return JS_ERR_CORRUPT;
    uint8_t *p = js_malloc(env, (size_t)size);
    if (!p)
        return JS_ERR_NOMEM;
    int r = read_exact(src, p, (size_t)size, off);
    if (r == 0)
        r = type == 'L' ? keep_name(next, p, field_len(p, (size_t)size))
                        : take_pax(next, p, (size_t)size);
    js_free(env, p);
    return r;
}

/* Links, devices, directories and pipes have no bytes, whatever their size field says. */
static bool has_no_bytes(char type) {
    return type >= '1' && type <= '6';
}

/* One entry; *off moves behind it. 0, an error, or fn's value. */
static int tar_entry(const struct js_env *env, const struct js_pread *src, uint64_t *off,
                     struct tar_next *next,
                     int (*fn)(void *ctx, const char *name, uint64_t off, uint64_t size), void *ctx,
                     bool *ret_end) {
    uint8_t h[BLOCK];
    uint64_t size;
    int r = read_exact(src, h, BLOCK, *off);

    if (r < 0)
        return r;
    if (is_zero_block(h)) {
        *ret_end = true;
        /* An extended header that describes nothing. */
        return next->name.len || next->has_size ? JS_ERR_CORRUPT : 0;
    }
    if (!sum_matches(h) || !parse_number(h + 124, 12, &size))
        return JS_ERR_CORRUPT;
    char type = (char)h[156];
    bool extra = type == 'x' || type == 'L';
    bool file = type == '0' || type == 0 || type == '7';
    if (!extra && next->has_size)
        size = next->size;
    if (has_no_bytes(type))
        size = 0;
    uint64_t data = *off + BLOCK;
    if (size > src->size - data)
        return JS_ERR_TORN;
    if (size > JS_MAX_TAR_ENTRY)
        return JS_ERR_TOO_BIG;
    *off = data + (size + BLOCK - 1) / BLOCK * BLOCK;
    if (extra)
        return take_extra(env, src, type, data, size, next);
    if (type == 'S') /* sparse files: no server writes them, and their bytes are not in a row */
        return JS_ERR_CORRUPT;
    if (file) {
        if (next->name.len == 0)
            r = take_header_name(h, &next->name);
        if (r == 0)
            r = fn(ctx, (const char *)next->name.data, data, size);
    }
    if (type != 'K' && type != 'g') {
        next->name.len = 0;
        next->has_size = false;
    }
    return r;
}

int js_tar_walk(const struct js_env *env, const struct js_pread *src,
                int (*fn)(void *ctx, const char *name, uint64_t off, uint64_t size), void *ctx) {
    struct tar_next next = {.name.env = env};
    uint64_t off = 0;
    bool end = false;
    int r = 0;

    while (r == 0 && !end) {
        if (off > src->size || src->size - off < BLOCK)
            r = JS_ERR_TORN;
        else
            r = tar_entry(env, src, &off, &next, fn, ctx, &end);
    }
    js_buf_done(&next.name);
    return r;
}

/* ---- NATSARC1 ------------------------------------------------------------------------------ */

static const char arc_magic[8] = {'N', 'A', 'T', 'S', 'A', 'R', 'C', '1'};

/* A stretch of the file in memory. Entries are small, so one read serves many. */
struct window {
    const struct js_env *env;
    const struct js_pread *src;
    uint8_t *buf;
    size_t cap;
    uint64_t off; /* of buf[0] */
    size_t len;
};

/* Gives len bytes at off (borrowed until the next call). TORN when the file ends before. */
static int window_get(struct window *w, uint64_t off, size_t len, const uint8_t **ret) {
    if (off > w->src->size || len > w->src->size - off)
        return JS_ERR_TORN;
    if (off < w->off || off - w->off > w->len || w->len - (off - w->off) < len) {
        size_t want = len > ARC_WINDOW ? len : ARC_WINDOW;
        if (want > w->src->size - off)
            want = (size_t)(w->src->size - off);
        if (want > w->cap) {
            uint8_t *buf = js_realloc(w->env, w->buf, want);
            if (!buf)
                return JS_ERR_NOMEM;
            w->buf = buf;
            w->cap = want;
        }
        w->len = 0;
        int r = read_exact(w->src, w->buf, want, off);
        if (r < 0)
            return r;
        w->off = off;
        w->len = want;
    }
    *ret = w->buf + (off - w->off);
    return 0;
}

/* Reads the entry's numbers and name at *off, and moves *off behind its payload. */
static int arc_entry(struct window *w, uint64_t *off, struct js_buf *name,
                     struct js_arc_entry *ret) {
    uint64_t left = w->src->size - *off;
    size_t head_len = left < ARC_HEAD_MAX ? (size_t)left : ARC_HEAD_MAX;
    const uint8_t *p;
    int r = window_get(w, *off, head_len, &p);

    if (r < 0)
        return r;
    struct js_reader head = js_reader_of(p, head_len);
    struct js_arc_entry e = {0};
    uint64_t name_len = js_read_uv(&head);
    e.time = js_read_sv(&head);
    e.seq = js_read_uv(&head);
    e.hdr_size = js_read_uv(&head);
    e.data_size = js_read_uv(&head);
    if (head.bad)
        return js_reader_left(&head) == 0 && head_len < ARC_HEAD_MAX ? JS_ERR_TORN : JS_ERR_CORRUPT;
    if (name_len > MAX_ARC_NAME)
        return JS_ERR_CORRUPT;
    *off += head_len - js_reader_left(&head);
    r = window_get(w, *off, (size_t)name_len, &p);
    if (r < 0)
        return r;
    name->len = 0;
    js_buf_append(name, p, (size_t)name_len);
    js_buf_append_u8(name, 0);
    if (name->failed)
        return JS_ERR_NOMEM;
    e.name = (const char *)name->data;
    e.name_len = (size_t)name_len;
    e.hdr_off = *off + name_len;
    left = w->src->size - e.hdr_off;
    if (e.hdr_size > left || e.data_size > left - e.hdr_size)
        return JS_ERR_TORN;
    e.data_off = e.hdr_off + e.hdr_size;
    *off = e.data_off + e.data_size;
    *ret = e;
    return 0;
}

static bool is_closing(const struct js_arc_entry *e) {
    return e->name_len == 0 && e->time == 0 && e->seq == 0 && e->hdr_size == 0 && e->data_size == 0;
}

int js_arc_walk(const struct js_env *env, const struct js_pread *src,
                int (*fn)(void *ctx, const struct js_arc_entry *entry), void *ctx) {
    struct window w = {.env = env, .src = src};
    struct js_buf name = {.env = env};
    uint64_t off = sizeof arc_magic;
    js_seq_t prev = 0;
    const uint8_t *magic;
    int r = window_get(&w, 0, sizeof arc_magic, &magic);

    if (r == JS_ERR_TORN || (r == 0 && memcmp(magic, arc_magic, sizeof arc_magic) != 0))
        r = JS_ERR_UNKNOWN_FORMAT;
    while (r == 0) {
        struct js_arc_entry e = {0};
        r = arc_entry(&w, &off, &name, &e);
        if (r < 0 || is_closing(&e))
            break;
        /* Sequences rise; entries without one stand before the messages. */
        if (e.seq == 0 ? prev != 0 : e.seq <= prev)
            r = JS_ERR_CORRUPT;
        prev = e.seq;
        if (r == 0)
            r = fn(ctx, &e);
    }
    js_buf_done(&name);
    js_free(env, w.buf);
    return r;
}
