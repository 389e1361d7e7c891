/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON strings and base64 straight into a sink. Runs that need no escape are found eight bytes at a
 * time and copied whole; base64 skips what the sink does not want without encoding it.
 */
#include "fs/view/json_text.h"

#define ONES  0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL

/* Set high bits where a byte is 0x00..0x1f, '"' or '\\'. A borrow can set a bit too many behind a
 * true one, never one too few: the caller looks at the bytes one by one then. */
static uint64_t needs_escape(uint64_t v) {
    uint64_t quote = v ^ (ONES * '"');
    uint64_t slash = v ^ (ONES * '\\');

    return (((v - ONES * 0x20) & ~v) | ((quote - ONES) & ~quote) | ((slash - ONES) & ~slash)) &
           HIGHS;
}

static bool is_plain(uint8_t c) {
    return c >= 0x20 && c != '"' && c != '\\';
}

static size_t plain_run(const uint8_t *p, size_t len) {
    size_t i = 0;

    while (len - i >= sizeof(uint64_t)) {
        uint64_t v;

        memcpy(&v, p + i, sizeof v);
        if (needs_escape(v))
            break;
        i += sizeof v;
    }
    while (i < len && is_plain(p[i]))
        i++;
    return i;
}

static void put_escape(struct jf_sink *sink, uint8_t c) {
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

    switch (c) {
    case '"':
    case '\\':
        text[1] = (char)c;
        break;
    case '\b':
        text[1] = 'b';
        break;
    case '\t':
        text[1] = 't';
        break;
    case '\n':
        text[1] = 'n';
        break;
    case '\f':
        text[1] = 'f';
        break;
    case '\r':
        text[1] = 'r';
        break;
    default:
        jf_sink_put(sink, text, 6);
        return;
    }
    jf_sink_put(sink, text, 2);
}

void jf_json_string(struct jf_sink *sink, const void *data, size_t len) {
    const uint8_t *p = data;
    size_t i = 0;

    jf_sink_put(sink, "\"", 1);
    while (i < len && !jf_sink_full(sink)) {
        size_t n = plain_run(p + i, len - i);

        if (n > 0)
            jf_sink_put(sink, p + i, n);
        i += n;
        if (i < len)
            put_escape(sink, p[i++]);
    }
    jf_sink_put(sink, "\"", 1);
}

/* Encodes up to three bytes into four characters. */
static void encode_group(const uint8_t *p, size_t n, char out[4]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t v = (uint32_t)p[0] << 16;

    if (n > 1)
        v |= (uint32_t)p[1] << 8;
    if (n > 2)
        v |= p[2];
    out[0] = digits[v >> 18];
    out[1] = digits[(v >> 12) & 63];
    out[2] = n > 1 ? digits[(v >> 6) & 63] : '=';
    out[3] = n > 2 ? digits[v & 63] : '=';
}

void jf_json_base64(struct jf_sink *sink, const void *data, size_t len) {
    const uint8_t *p = data;
    uint64_t groups = (uint64_t)len / 3 + (len % 3 != 0);
    uint64_t g = 0;
    char chunk[256];

    jf_sink_put(sink, "\"", 1);
    if (sink->skip > sink->pos) {
        g = (sink->skip - sink->pos) / 4;
        if (g > groups)
            g = groups;
        sink->pos += g * 4;
    }
    while (g < groups) {
        size_t n = 0;

        if (sink->len == sink->cap) {
            sink->pos += (groups - g) * 4;
            break;
        }
        for (; n < sizeof chunk && g < groups; n += 4, g++) {
            size_t at = (size_t)g * 3;

            encode_group(p + at, len - at < 3 ? len - at : 3, chunk + n);
        }
        jf_sink_put(sink, chunk, n);
    }
    jf_sink_put(sink, "\"", 1);
}
