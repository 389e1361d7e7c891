/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/base/name.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/view/render.h"

/* A shortened name keeps this much of the escaped form. */
#define KEEP 200

uint64_t jf_hash(const void *data, size_t len) {
    const uint8_t *p = data;
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < len; i++) {
        h ^= p[i];
        h *= UINT64_C(0x100000001b3);
    }
    /* FNV leaves the high bits of short texts alike; inode numbers use all of them. */
    h ^= h >> 32;
    h *= UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

static bool must_escape(uint8_t c) {
    return c < 0x20 || c == 0x7f || c == '/' || c == '%';
}

/* Bytes of the well-formed character that begins here; 0 = not well-formed. */
static size_t char_len(const uint8_t *p, size_t left) {
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

    return n <= left && jf_utf8_valid(p, n) ? n : 0;
}

size_t jf_name_escape(const char *token, size_t len, char *buf) {
    static const char hex[] = "0123456789ABCDEF";
    const uint8_t *p = (const uint8_t *)token;
    size_t out = 0;
    size_t keep = 0; /* end of the last whole character that a shortened name keeps */

    for (size_t i = 0; i < len;) {
        size_t n = must_escape(p[i]) ? 0 : char_len(p + i, len - i);
        size_t need = n ? n : 3;

        if (out <= KEEP)
            keep = out;
        if (out + need > JF_NAME_MAX) {
            snprintf(buf + keep, JF_NAME_BUF - keep, "%%~%016" PRIx64, jf_hash(token, len));
            return keep + 18;
        }
        if (n) {
            memcpy(buf + out, p + i, n);
        } else {
            buf[out] = '%';
            buf[out + 1] = hex[p[i] >> 4];
            buf[out + 2] = hex[p[i] & 15];
            n = 1;
        }
        out += need;
        i += n;
    }
    buf[out] = 0;
    return out;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int jf_name_unescape(const char *name, char *buf) {
    size_t len = strlen(name);
    size_t out = 0;
    char again[JF_NAME_BUF];

    if (len == 0)
        return -EINVAL;
    if (len > JF_NAME_MAX)
        return -ENAMETOOLONG;
    for (size_t i = 0; i < len; i++) {
        if (name[i] == '.')
            return -EINVAL;
        if (name[i] != '%') {
            buf[out++] = name[i];
            continue;
        }
        if (name[i + 1] == '~')
            return -EAGAIN;
        int hi = hex_digit(name[i + 1]);
        int lo = hi < 0 ? -1 : hex_digit(name[i + 2]);
        if (lo < 0)
            return -EINVAL;
        buf[out++] = (char)(hi << 4 | lo);
        i += 2;
    }
    buf[out] = 0;
    /* One name for each token: another spelling of it would be another path to the same node. */
    if (jf_name_escape(buf, out, again) != len || memcmp(again, name, len) != 0)
        return -EINVAL;
    return (int)out;
}

bool jf_name_parse_seq_suffix(const char *name, const char *suffix, uint64_t *ret_seq) {
    uint64_t v = 0;
    const char *p = name;

    for (; *p >= '0' && *p <= '9'; p++) {
        if (v > (UINT64_MAX >> 1) / 10)
            return false;
        v = v * 10 + (uint64_t)(*p - '0');
        if (v > UINT64_MAX >> 1)
            return false;
    }
    if (p == name || strcmp(p, suffix) != 0)
        return false;
    *ret_seq = v;
    return true;
}

bool jf_name_parse_seq(const char *name, uint64_t *ret_seq) {
    return jf_name_parse_seq_suffix(name, "", ret_seq);
}

size_t jf_name_of_seq(uint64_t seq, const char *suffix, char *buf) {
    char digits[24];
    size_t n = 0;

    do {
        digits[n++] = (char)('0' + seq % 10);
        seq /= 10;
    } while (seq > 0);
    while (n < JF_SEQ_WIDTH)
        digits[n++] = '0';
    for (size_t i = 0; i < n; i++)
        buf[i] = digits[n - 1 - i];
    size_t slen = strlen(suffix);
    memcpy(buf + n, suffix, slen + 1);
    return n + slen;
}

bool jf_name_is_ours(const char *name) {
    return strchr(name, '.') != NULL;
}
