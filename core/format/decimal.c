/* SPDX-License-Identifier: Apache-2.0 */
#include "core/format/decimal.h"

struct number {
    bool negative;
    const char *digits; /* without leading zeros; none: 0 */
    size_t len;
};

bool js_decimal_valid(const char *text, size_t len) {
    size_t i = len && (*text == '-' || *text == '+');

    if (i == len)
        return false;
    for (; i < len; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return true;
}

static struct number take(const char *text, size_t len) {
    struct number n = {.negative = *text == '-', .digits = text, .len = len};
    size_t skip = *text == '-' || *text == '+';

    while (skip < n.len && n.digits[skip] == '0')
        skip++;
    n.digits += skip;
    n.len -= skip;
    return n;
}

/* The i-th digit from the right. */
static int digit(const struct number *n, size_t i) {
    return i < n->len ? n->digits[n->len - 1 - i] - '0' : 0;
}

static bool smaller(const struct number *a, const struct number *b) {
    return a->len != b->len ? a->len < b->len : memcmp(a->digits, b->digits, a->len) < 0;
}

void js_decimal_add(const char *a, size_t a_len, const char *b, size_t b_len, struct js_buf *out) {
    struct number x = take(a, a_len), y = take(b, b_len);
    int carry = 0;

    if (smaller(&x, &y)) {
        struct number t = x;
        x = y;
        y = t;
    }
    /* The longer one, and the other added to it or taken from it. */
    int sign = x.negative == y.negative ? 1 : -1;
    size_t n = x.len + 1;
    if (js_buf_reserve(out, n + 1) < 0)
        return;
    char *to = (char *)out->data + out->len + 1;
    for (size_t i = 0; i < n; i++) {
        int v = digit(&x, i) + sign * digit(&y, i) + carry;
        carry = v < 0 ? -1 : v / 10;
        to[n - 1 - i] = (char)('0' + (v < 0 ? v + 10 : v % 10));
    }
    size_t zeros = 0;
    while (zeros + 1 < n && to[zeros] == '0')
        zeros++;
    size_t len = n - zeros;
    bool minus = x.negative && !(len == 1 && to[zeros] == '0');
    if (minus)
        to[-1] = '-';
    memmove(to - 1 + minus, to + zeros, len);
    out->len += len + minus;
}
