/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8 validity as RFC 3629 has it. Payloads are mostly ASCII, so eight bytes are looked at in one
 * step while no high bit is set; a longer form is checked by the range its second byte may have,
 * which excludes overlong forms, surrogates and code points above U+10FFFF in one comparison.
 */
#include <string.h>

#include "fs/view/render.h"

/* Length of the well-formed sequence at p (n bytes are there), 0 if there is none. */
static size_t sequence_length(const uint8_t *p, size_t n) {
    uint8_t low = 0x80, high = 0xbf;
    size_t need;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        need = 2;
    else if ((p[0] & 0xf0) == 0xe0)
        need = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        need = 4;
    else
        return 0;
    if (n < need)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return need;
}

size_t jf_utf8_prefix(const void *data, size_t len) {
    const uint8_t *p = data;
    size_t i = 0;

    while (i < len) {
        uint64_t word;
        size_t n;

        if (len - i >= sizeof word) {
            memcpy(&word, p + i, sizeof word);
            if (!(word & 0x8080808080808080ULL)) {
                i += sizeof word;
                continue;
            }
        }
        n = sequence_length(p + i, len - i);
        if (n == 0)
            break;
        i += n;
    }
    return i;
}

bool jf_utf8_valid(const void *data, size_t len) {
    return jf_utf8_prefix(data, len) == len;
}
