/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules for subjects, filters and names.
 *
 * A subject is a row of tokens joined by '.'. In a filter, '*' as a whole token stands for exactly
 * one token and '>' as the last token for one or more. Anywhere else the two are ordinary bytes
 * ("a*b" is a literal). Matching never rejects anything: subjects read from disk may be malformed
 * (empty tokens, any bytes), and then an empty token is a token like any other.
 */
#include "core/format/subject.h"

#include <stdio.h>
#include <string.h>

#include "core/base/limits.h"
#include "core/format/hash64.h"

/* One token of a subject, found by next_token. */
struct token {
    const char *p;
    size_t len;
    bool last;
};

static struct token next_token(const char *s, size_t len, size_t off) {
    const char *dot = len > off ? memchr(s + off, '.', len - off) : NULL;

    if (!dot)
        return (struct token){.p = s + off, .len = len - off, .last = true};
    return (struct token){.p = s + off, .len = (size_t)(dot - (s + off)), .last = false};
}

static bool is_star(struct token t) {
    return t.len == 1 && t.p[0] == '*';
}

static bool is_rest(struct token t) {
    return t.len == 1 && t.p[0] == '>' && t.last;
}

static bool bytes_allowed(const char *s, size_t len) {
    for (size_t i = 0; i < len; i++) {
        switch (s[i]) {
        case 0:
        case ' ':
        case '\t':
        case '\n':
        case '\f':
        case '\r':
            return false;
        default:
            break;
        }
    }
    return true;
}

static bool tokens_valid(const char *s, size_t len, bool wildcards) {
    if (!s || len == 0 || len > JS_MAX_SUBJECT || !bytes_allowed(s, len))
        return false;
    for (size_t off = 0;;) {
        struct token t = next_token(s, len, off);
        bool rest = t.len == 1 && t.p[0] == '>';

        if (t.len == 0)
            return false;
        if ((is_star(t) || rest) && !wildcards)
            return false;
        if (rest && !t.last)
            return false;
        if (t.last)
            return true;
        off += t.len + 1;
    }
}

bool js_subject_valid(const char *subject, size_t len) {
    return tokens_valid(subject, len, false);
}

bool js_subject_storable(const char *subject, size_t len) {
    char before = '.';

    if (!subject || len == 0 || len > JS_MAX_SUBJECT || subject[len - 1] == '.')
        return false;
    for (size_t i = 0; i < len; before = subject[i++])
        if (subject[i] == ' ' || subject[i] == '\t' || subject[i] == '\r' || subject[i] == '\n' ||
            (subject[i] == '.' && before == '.'))
            return false;
    return true;
}

bool js_filter_valid(const char *filter, size_t len) {
    return tokens_valid(filter, len, true);
}

/* Byte by byte: tokens are short, and this runs once for every subject of a stream. */
bool js_subject_matches(const char *subject, size_t slen, const char *filter, size_t flen) {
    size_t s = 0, f = 0;

    for (;;) {
        /* Both stand at the beginning of a token. */
        bool single = f < flen && (f + 1 == flen || filter[f + 1] == '.');

        if (single && filter[f] == '>' && f + 1 == flen)
            return true;
        if (single && filter[f] == '*') {
            while (s < slen && subject[s] != '.')
                s++;
            f++;
        } else {
            while (f < flen && filter[f] != '.') {
                if (s == slen || subject[s] != filter[f])
                    return false;
                s++;
                f++;
            }
        }
        if (s == slen || f == flen)
            return s == slen && f == flen;
        if (subject[s] != '.')
            return false;
        s++;
        f++;
    }
}

bool js_filters_overlap(const char *a, size_t alen, const char *b, size_t blen) {
    size_t i = 0, j = 0;

    for (;;) {
        struct token ta = next_token(a, alen, i);
        struct token tb = next_token(b, blen, j);

        if (is_rest(ta) || is_rest(tb))
            return true;
        if (!is_star(ta) && !is_star(tb) &&
            (ta.len != tb.len || (ta.len && memcmp(ta.p, tb.p, ta.len) != 0)))
            return false;
        if (ta.last || tb.last)
            return ta.last && tb.last;
        i += ta.len + 1;
        j += tb.len + 1;
    }
}

size_t js_filter_literal_prefix(const char *filter, size_t len, bool *ret_literal) {
    for (size_t off = 0;;) {
        struct token t = next_token(filter, len, off);

        if (is_star(t) || is_rest(t)) {
            *ret_literal = false;
            return off;
        }
        if (t.last) {
            *ret_literal = true;
            return len;
        }
        off += t.len + 1;
    }
}

int js_subject_cmp(const char *a, size_t alen, const char *b, size_t blen) {
    size_t n = alen < blen ? alen : blen;
    size_t i = 0;

    /* Eight equal bytes at a time: subjects share long prefixes. */
    while (i + 8 <= n && memcmp(a + i, b + i, 8) == 0)
        i += 8;
    for (; i < n; i++) {
        if (a[i] == b[i])
            continue;
        if (a[i] == '.')
            return -1;
        if (b[i] == '.')
            return 1;
        return (unsigned char)a[i] < (unsigned char)b[i] ? -1 : 1;
    }
    return (alen > blen) - (alen < blen);
}

/* Length of the valid UTF-8 sequence at s (NUL terminated), 0 if it is none. */
static size_t utf8_len(const unsigned char *s) {
    unsigned c = s[0];
    size_t n = c < 0x80                ? 1
               : c >= 0xc2 && c < 0xe0 ? 2
               : (c & 0xf0) == 0xe0    ? 3
               : c >= 0xf0 && c < 0xf5 ? 4
                                       : 0;

    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    /* Overlong forms, surrogates and what lies above U+10FFFF. */
    if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] > 0x9f) || (c == 0xf0 && s[1] < 0x90) ||
        (c == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

bool js_name_valid(const char *name) {
    if (!name || !*name)
        return false;
    const unsigned char *p = (const unsigned char *)name;
    while (*p) {
        if (strchr(".*>\\/ \t\r\n\f", *p))
            return false;
        size_t n = utf8_len(p);
        if (n == 0)
            return false;
        p += n;
        if (p - (const unsigned char *)name > (ptrdiff_t)JS_MAX_NAME)
            return false;
    }
    return true;
}

void js_name_hidden(char ret[JS_MAX_NAME + 1], const char *name, const char *end) {
    size_t len = strlen(name), room = JS_MAX_NAME - 1 - strlen(end);
    struct js_hash_key key;

    if (len <= room) {
        snprintf(ret, JS_MAX_NAME + 1, ".%s%s", name, end);
        return;
    }
    js_hash_key_of_name(&key, name, len);
    snprintf(ret, JS_MAX_NAME + 1, ".%.*s~%016llx%s", (int)(room - 17), name,
             (unsigned long long)js_hash64_one(&key, name, len), end);
}
