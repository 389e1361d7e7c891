/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/cli/out.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/jetstore.h"
#include "fs/cli/progress.h"
#include "fs/view/json_text.h"
#include "fs/view/render.h"

#define OUT_PIECE ((size_t)256 << 10)

void jf_out_init(struct jf_out *out, int fd) {
    *out = (struct jf_out){.fd = fd, .tty = isatty(fd) == 1};
}

bool jf_out_ok(const struct jf_out *out) {
    return out->err == 0;
}

void jf_out_flush(struct jf_out *out) {
    size_t done = 0;

    while (out->err == 0 && done < out->len) {
        ssize_t n = write(out->fd, out->buf + done, out->len - done);

        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            out->err = errno;
    }
    out->len = 0;
}

int jf_out_finish(struct jf_out *out) {
    jf_out_flush(out);
    free(out->buf);
    out->buf = NULL;
    out->cap = 0;
    return out->err == EPIPE ? 0 : out->err;
}

size_t jf_out_left(const struct jf_out *out) {
    return out->cap - out->len;
}

uint8_t *jf_out_room(struct jf_out *out, size_t len) {
    size_t cap = len > OUT_PIECE ? len : OUT_PIECE;
    uint8_t *buf;

    if (out->err)
        return NULL;
    if (out->len > 0 && jf_out_left(out) < len)
        jf_out_flush(out);
    if (out->err)
        return NULL;
    if (out->cap >= len && out->cap > 0)
        return out->buf + out->len;
    buf = realloc(out->buf, cap);
    if (!buf) {
        out->err = ENOMEM;
        return NULL;
    }
    out->buf = buf;
    out->cap = cap;
    return out->buf + out->len;
}

void jf_out_commit(struct jf_out *out, size_t len) {
    out->len += len;
}

void jf_out_put(struct jf_out *out, const void *data, size_t len) {
    const uint8_t *p = data;

    while (len > 0) {
        size_t n = len < OUT_PIECE ? len : OUT_PIECE;
        uint8_t *room = jf_out_room(out, n);

        if (!room)
            return;
        memcpy(room, p, n);
        jf_out_commit(out, n);
        p += n;
        len -= n;
    }
}

void jf_out_text(struct jf_out *out, const char *text) {
    jf_out_put(out, text, strlen(text));
}

void jf_out_printf(struct jf_out *out, const char *fmt, ...) {
    char *text = NULL;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        out->err = out->err ? out->err : ENOMEM;
        return;
    }
    jf_out_put(out, text, (size_t)n);
    free(text);
}

/* One well-formed stretch of a JSON string, without its quotes. */
static void json_stretch(struct jf_out *out, const uint8_t *data, size_t len) {
    struct jf_sink sink = {.cap = 6 * len + 2};

    sink.buf = jf_out_room(out, sink.cap);
    if (!sink.buf)
        return;
    jf_json_string(&sink, data, len);
    memmove(sink.buf, sink.buf + 1, sink.len - 2);
    jf_out_commit(out, sink.len - 2);
}

void jf_out_json(struct jf_out *out, const void *data, size_t len) {
    const uint8_t *p = data;

    jf_out_text(out, "\"");
    while (len > 0) {
        size_t good = jf_utf8_prefix(p, len);

        if (good > 0)
            json_stretch(out, p, good);
        if (good < len) {
            jf_out_text(out, "\\ufffd");
            good++;
        }
        p += good;
        len -= good;
    }
    jf_out_text(out, "\"");
}

void jf_out_json_text(struct jf_out *out, const char *text) {
    jf_out_json(out, text, strlen(text));
}

void jf_out_json_time(struct jf_out *out, int64_t time) {
    char text[48];

    if (time == 0) {
        jf_out_text(out, "null");
        return;
    }
    js_time_format(time, text, sizeof text);
    jf_out_printf(out, "\"%s\"", text);
}

/* Bytes of the character at p that may be shown as they are; 0 if it must be escaped. */
static size_t showable(const uint8_t *p, size_t len) {
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

    if (p[0] < 0x20 || p[0] == 0x7f || p[0] == '\\')
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (n > len)
        return 0;
    if (!jf_utf8_valid(p, n))
        return 0;
    if (p[0] == 0xc2 && p[1] < 0xa0)
        return 0; /* C1 controls */
    if (p[0] == 0xe2 && p[1] == 0x80 &&
        (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xa8 && p[2] <= 0xae)))
        return 0; /* line separators and direction marks */
    if (p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9)
        return 0; /* direction isolates */
    return n;
}

size_t jf_escape(const void *data, size_t len, char *buf, size_t size) {
    const uint8_t *p = data;
    size_t total = 0;
    size_t written = 0;

    for (size_t i = 0; i < len;) {
        char code[5];
        size_t n = showable(p + i, len - i);
        const void *from = p + i;
        size_t out = n;

        if (n == 0) {
            snprintf(code, sizeof code, "\\x%02x", p[i]);
            from = code;
            out = 4;
            n = 1;
        }
        /* A character is written whole or not at all, and nothing after one that was not. */
        if (written == total && size > 0 && total + out < size) {
            memcpy(buf + written, from, out);
            written += out;
        }
        total += out;
        i += n;
    }
    if (size > 0)
        buf[written] = '\0';
    return total;
}

void jf_out_escaped(struct jf_out *out, const void *data, size_t len) {
    size_t size = 4 * len + 1;
    uint8_t *room = jf_out_room(out, size);

    if (room)
        jf_out_commit(out, jf_escape(data, len, (char *)room, size));
}

void jf_say(const char *path, const char *fmt, ...) {
    char line[4096];
    char text[2048];
    size_t len = 0;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    memcpy(line, "jetfs: ", 7);
    len = 7;
    if (path) {
        /* The end of a long path says more than its beginning. */
        size_t n = strlen(path);
        size_t from = n > 400 ? n - 400 : 0;

        jf_escape(path + from, n - from, line + len, 1700);
        len += strlen(line + len);
        memcpy(line + len, ": ", 2);
        len += 2;
    }
    jf_escape(text, strlen(text), line + len, sizeof line - len - 1);
    len += strlen(line + len);
    line[len++] = '\n';
    jf_progress_pause();
    for (size_t done = 0; done < len;) {
        ssize_t n = write(STDERR_FILENO, line + done, len - done);

        if (n < 0 && errno != EINTR)
            break; /* There is nobody left to tell. */
        done += n > 0 ? (size_t)n : 0;
    }
    jf_progress_resume();
}
