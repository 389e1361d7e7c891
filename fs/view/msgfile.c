/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser of .msg files. The header block is copied line by line, so that what is stored is always
 * well formed: the first line as given (it may carry a status), CR LF after each line, an empty
 * line at the end. Folded lines do not exist in NATS headers and are refused.
 */
#include "fs/view/msgfile.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/jetstore.h"

static const char version_line[] = "NATS/1.0";
#define VERSION_LEN (sizeof version_line - 1)

struct line {
    const char *text;
    size_t len; /* without its end */
};

/* The line at *pos, which must end in LF. */
static bool next_line(const char *text, size_t len, size_t *pos, struct line *ret_line) {
    const char *start = text + *pos;
    const char *lf = memchr(start, '\n', len - *pos);

    if (!lf)
        return false;
    *pos = (size_t)(lf - text) + 1;
    ret_line->text = start;
    ret_line->len = (size_t)(lf - start);
    if (ret_line->len > 0 && start[ret_line->len - 1] == '\r')
        ret_line->len--;
    return true;
}

static bool name_is(const struct line *line, size_t name_len, const char *name) {
    return name_len == strlen(name) && strncasecmp(line->text, name, name_len) == 0;
}

static bool name_valid(const char *name, size_t len) {
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] <= ' ' || name[i] == ':' || name[i] == 0x7f)
            return false;
    return true;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* Copies what is stored of a header line; takes Nats-Subject out. */
static int take_header(const struct line *line, struct jf_msgfile *msg, size_t *fill) {
    const char *colon = memchr(line->text, ':', line->len);
    size_t name_len = colon ? (size_t)(colon - line->text) : 0;

    if (!colon || !name_valid(line->text, name_len) || memchr(line->text, '\0', line->len) ||
        memchr(line->text, '\r', line->len))
        return JS_ERR_INVAL;
    if (name_is(line, name_len, "Nats-Sequence") || name_is(line, name_len, "Nats-Time-Stamp"))
        return 0;
    if (name_is(line, name_len, "Nats-Subject")) {
        const char *value = colon + 1;
        size_t len = line->len - name_len - 1;

        for (; len > 0 && is_blank(value[0]); len--)
            value++;
        while (len > 0 && is_blank(value[len - 1]))
            len--;
        msg->subject = value;
        msg->subject_len = len;
        return 0;
    }
    memcpy(msg->hdr + *fill, line->text, line->len);
    memcpy(msg->hdr + *fill + line->len, "\r\n", 2);
    *fill += line->len + 2;
    return 0;
}

int jf_msgfile_parse(const void *file, size_t len, struct jf_msgfile *ret_msg) {
    struct jf_msgfile msg = {0};
    const char *text = file;
    struct line line;
    /* Each line grows by one byte at most (LF to CR LF) and is two bytes long at least. */
    size_t limit = len < JF_MSGFILE_MAX_HDR ? len : JF_MSGFILE_MAX_HDR;
    size_t pos = 0, fill, first;
    int rc;

    if (len == 0 || !next_line(text, limit, &pos, &line) || line.len < VERSION_LEN ||
        memcmp(line.text, version_line, VERSION_LEN) != 0 ||
        (line.len > VERSION_LEN && !is_blank(line.text[VERSION_LEN])) ||
        memchr(line.text, '\r', line.len))
        return JS_ERR_INVAL;
    msg.hdr = malloc(limit + limit / 2 + 4);
    if (!msg.hdr)
        return JS_ERR_NOMEM;
    memcpy(msg.hdr, line.text, line.len);
    memcpy(msg.hdr + line.len, "\r\n", 2);
    first = fill = line.len + 2;
    for (;;) {
        if (!next_line(text, limit, &pos, &line)) {
            rc = limit < len ? JS_ERR_MSG_TOO_LARGE : JS_ERR_INVAL;
            goto fail;
        }
        if (line.len == 0)
            break;
        rc = take_header(&line, &msg, &fill);
        if (rc < 0)
            goto fail;
    }
    if (fill == first && first == VERSION_LEN + 2) {
        free(msg.hdr);
        msg.hdr = NULL;
    } else {
        memcpy(msg.hdr + fill, "\r\n", 2);
        msg.hdr_len = fill + 2;
    }
    msg.data = (const uint8_t *)file + pos;
    msg.data_len = len - pos;
    *ret_msg = msg;
    return 0;
fail:
    free(msg.hdr);
    return rc;
}

void jf_msgfile_done(struct jf_msgfile *msg) {
    free(msg->hdr);
    msg->hdr = NULL;
    msg->hdr_len = 0;
}

int jf_hdr_add(uint8_t **hdr, size_t *hdr_len, const char *name, size_t name_len, const char *value,
               size_t value_len) {
    size_t old = *hdr ? *hdr_len : 0;
    size_t base = old, at;
    uint8_t *block;

    if (!name_valid(name, name_len))
        return JS_ERR_INVAL;
    for (size_t i = 0; i < value_len; i++)
        if (value[i] == '\r' || value[i] == '\n' || value[i] == '\0')
            return JS_ERR_INVAL;
    if (old > 0) {
        if (old < 4 || memcmp(*hdr + old - 4, "\r\n\r\n", 4) != 0)
            return JS_ERR_INVAL;
        base = old - 2;
    }
    block = realloc(*hdr, base + VERSION_LEN + 2 + name_len + 2 + value_len + 4);
    if (!block)
        return JS_ERR_NOMEM;
    at = base;
    if (at == 0) {
        memcpy(block, "NATS/1.0\r\n", VERSION_LEN + 2);
        at = VERSION_LEN + 2;
    }
    memcpy(block + at, name, name_len);
    memcpy(block + at + name_len, ": ", 2);
    at += name_len + 2;
    if (value_len > 0)
        memcpy(block + at, value, value_len);
    memcpy(block + at + value_len, "\r\n\r\n", 4);
    *hdr = block;
    *hdr_len = at + value_len + 4;
    return 0;
}
