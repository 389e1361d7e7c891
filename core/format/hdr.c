/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header blocks: "NATS/1.0" and an optional status, then "Key: value" lines ended by CR LF, then an
 * empty line. Stored bytes are what the publisher sent, so the reader is tolerant: the empty line
 * may be missing, a line may end in LF only, and a line without a key is passed over.
 */
#include <string.h>

#include "core/jetstore.h"

static const char first_line[] = "NATS/1.0";

/* Takes the line at *pos; false at the end. The length leaves out the line's end. */
static bool next_line(const char *text, size_t len, size_t *pos, const char **ret_line,
                      size_t *ret_len) {
    if (*pos >= len)
        return false;
    const char *line = text + *pos;
    const char *lf = memchr(line, '\n', len - *pos);
    size_t n = lf ? (size_t)(lf - line) : len - *pos;

    *pos += n + (lf ? 1 : 0);
    if (n > 0 && line[n - 1] == '\r')
        n--;
    *ret_line = line;
    *ret_len = n;
    return true;
}

bool js_hdr_next(const uint8_t *hdr, size_t hdr_len, size_t *pos, const char **ret_key,
                 size_t *ret_key_len, const char **ret_value, size_t *ret_value_len) {
    const char *text = (const char *)hdr;
    const char *line;
    size_t len;

    if (!hdr)
        return false;
    if (*pos == 0) {
        size_t n = sizeof first_line - 1;
        if (!next_line(text, hdr_len, pos, &line, &len) || len < n ||
            memcmp(line, first_line, n) != 0) {
            *pos = hdr_len;
            return false;
        }
    }
    while (next_line(text, hdr_len, pos, &line, &len)) {
        if (len == 0)
            break;
        const char *colon = memchr(line, ':', len);
        if (!colon || colon == line)
            continue;
        const char *value = colon + 1;
        while (value < line + len && (*value == ' ' || *value == '\t'))
            value++;
        *ret_key = line;
        *ret_key_len = (size_t)(colon - line);
        *ret_value = value;
        *ret_value_len = (size_t)(line + len - value);
        return true;
    }
    *pos = hdr_len;
    return false;
}
