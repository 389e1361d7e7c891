/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times as text, without locale and time zone tables. Nanoseconds in an int64 reach from 1677 to
 * 2262; what lies outside is refused. Dates are the proleptic Gregorian calendar: a year counted
 * from March has its leap day at the end, so days follow from years and months by one formula each.
 */
#include "core/base/time.h"

#include <stdio.h>
#include <string.h>

#define NS  INT64_C(1000000000)
#define DAY INT64_C(86400)

struct civil {
    int64_t year;
    unsigned month; /* 1..12 */
    unsigned day;   /* 1..31 */
};

/* Days since 1970-01-01. */
static int64_t days_of(struct civil c) {
    int64_t y = c.month <= 2 ? c.year - 1 : c.year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (c.month + (c.month > 2 ? -3 : 9)) + 2) / 5 + c.day - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

    return era * 146097 + doe - 719468;
}

static struct civil civil_of(int64_t days) {
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    struct civil c = {.day = (unsigned)(doy - (153 * mp + 2) / 5 + 1),
                      .month = (unsigned)(mp < 10 ? mp + 3 : mp - 9)};

    c.year = yoe + era * 400 + (c.month <= 2);
    return c;
}

static unsigned days_in_month(int64_t year, unsigned month) {
    static const unsigned char days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : days[month - 1];
}

/* ---- writing ------------------------------------------------------------------------------- */

/* n decimal digits, leading zeros. */
static void put_digits(char *p, int n, uint32_t v) {
    while (n-- > 0) {
        p[n] = (char)('0' + v % 10);
        v /= 10;
    }
}

void js_time_format_fixed(js_time_t t, char *buf, size_t size) {
    int64_t sec = t / NS, ns = t % NS;

    if (ns < 0) {
        ns += NS;
        sec--;
    }
    int64_t days = sec / DAY, left = sec % DAY;
    if (left < 0) {
        left += DAY;
        days--;
    }
    struct civil c = civil_of(days);
    /* By hand: views format a time for each of millions of messages. */
    char text[31] = "0000-00-00T00:00:00.000000000Z";
    put_digits(text, 4, (uint32_t)c.year);
    put_digits(text + 5, 2, c.month);
    put_digits(text + 8, 2, c.day);
    put_digits(text + 11, 2, (uint32_t)(left / 3600));
    put_digits(text + 14, 2, (uint32_t)(left / 60 % 60));
    put_digits(text + 17, 2, (uint32_t)(left % 60));
    put_digits(text + 20, 9, (uint32_t)ns);
    size_t n = sizeof text < size ? sizeof text : size;
    if (n) {
        memcpy(buf, text, n);
        buf[n - 1] = 0;
    }
}

void js_time_format(js_time_t t, char *buf, size_t size) {
    char text[40];

    js_time_format_fixed(t, text, sizeof text);
    /* As servers do: no zeros at the end of the fraction, no point without a fraction. */
    char *end = text + strlen(text) - 1;
    while (end[-1] == '0')
        end--;
    if (end[-1] == '.')
        end--;
    memcpy(end, "Z", 2);
    snprintf(buf, size, "%s", text);
}

/* ---- reading ------------------------------------------------------------------------------- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Takes exactly n digits. */
static bool take_digits(const char **p, const char *end, unsigned n, unsigned *ret) {
    unsigned v = 0;

    if (end - *p < (ptrdiff_t)n)
        return false;
    for (unsigned i = 0; i < n; i++) {
        char c = (*p)[i];
        if (!is_digit(c))
            return false;
        v = v * 10 + (unsigned)(c - '0');
    }
    *p += n;
    *ret = v;
    return true;
}

static bool take_char(const char **p, const char *end, const char *any_of) {
    if (*p == end || !**p || !strchr(any_of, **p))
        return false;
    ++*p;
    return true;
}

/* Takes ".123" if it is there, in billionths; false for a point without digits. */
static bool take_fraction(const char **p, const char *end, int64_t *ret) {
    int64_t v = 0, unit = NS / 10;

    *ret = 0;
    if (!take_char(p, end, "."))
        return true;
    if (*p == end || !is_digit(**p))
        return false;
    for (; *p < end && is_digit(**p); ++*p, unit /= 10)
        v += unit * (**p - '0');
    *ret = v;
    return true;
}

static int join(int64_t sec, int64_t ns, js_time_t *ret_time) {
    int64_t t;

    /* ns >= 0: a time before 1970 is counted down from the second behind it. */
    if (sec < 0 && ns > 0) {
        sec++;
        ns -= NS;
    }
    if (__builtin_mul_overflow(sec, NS, &t) || __builtin_add_overflow(t, ns, &t))
        return JS_ERR_INVAL;
    *ret_time = t;
    return 0;
}

static bool take_date(const char **p, const char *end, int64_t *ret_days) {
    unsigned y, m, d;

    if (!take_digits(p, end, 4, &y) || !take_char(p, end, "-") || !take_digits(p, end, 2, &m) ||
        !take_char(p, end, "-") || !take_digits(p, end, 2, &d))
        return false;
    if (m < 1 || m > 12 || d < 1 || d > days_in_month(y, m))
        return false;
    *ret_days = days_of((struct civil){.year = y, .month = m, .day = d});
    return true;
}

/* "Z" or "+hh:mm"; seconds east of UTC. */
static bool take_zone(const char **p, const char *end, int64_t *ret_offset) {
    unsigned h, m;

    *ret_offset = 0;
    if (take_char(p, end, "Zz"))
        return true;
    bool west = *p < end && **p == '-';
    if (!take_char(p, end, "+-") || !take_digits(p, end, 2, &h) || !take_char(p, end, ":") ||
        !take_digits(p, end, 2, &m) || h > 23 || m > 59)
        return false;
    *ret_offset = (int64_t)(h * 3600 + m * 60) * (west ? -1 : 1);
    return true;
}

int js_time_parse_rfc3339(const char *text, size_t len, js_time_t *ret_time) {
    const char *p = text, *end = text + len;
    unsigned h, m, s;
    int64_t days, ns, offset;

    if (!take_date(&p, end, &days) || !take_char(&p, end, "Tt ") || !take_digits(&p, end, 2, &h) ||
        !take_char(&p, end, ":") || !take_digits(&p, end, 2, &m) || !take_char(&p, end, ":") ||
        !take_digits(&p, end, 2, &s))
        return JS_ERR_INVAL;
    if (h > 23 || m > 59 || s > 59)
        return JS_ERR_INVAL;
    if (!take_fraction(&p, end, &ns) || !take_zone(&p, end, &offset) || p != end)
        return JS_ERR_INVAL;
    return join(days * DAY + h * 3600 + m * 60 + s - offset, ns, ret_time);
}

/* Takes digits and an optional fraction. */
static bool take_number(const char **p, const char *end, int64_t *ret_whole, int64_t *ret_ns) {
    int64_t v = 0;

    if (*p == end || !is_digit(**p))
        return false;
    for (; *p < end && is_digit(**p); ++*p) {
        if (__builtin_mul_overflow(v, INT64_C(10), &v) ||
            __builtin_add_overflow(v, (int64_t)(**p - '0'), &v))
            return false;
    }
    *ret_whole = v;
    return take_fraction(p, end, ret_ns);
}

/* Takes a unit of time; its nanoseconds, or 0. */
static int64_t take_unit(const char **p, const char *end) {
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {
        {"ns", 1},      {"us", 1000},     {"ms", 1000000}, {"s", NS},
        {"m", 60 * NS}, {"h", 3600 * NS}, {"d", DAY * NS}, {"w", 7 * DAY * NS},
    };
    size_t n = 0;

    while (*p + n < end && !is_digit((*p)[n]))
        n++;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strlen(units[i].name) == n && memcmp(units[i].name, *p, n) == 0) {
            *p += n;
            return units[i].ns;
        }
    }
    return 0;
}

/* "1h30m" from p to the end. */
static int parse_duration(const char *p, const char *end, int64_t *ret_ns) {
    int64_t total = 0;

    if (p == end)
        return JS_ERR_INVAL;
    while (p < end) {
        int64_t whole, frac, ns;
        if (!take_number(&p, end, &whole, &frac))
            return JS_ERR_INVAL;
        int64_t unit = take_unit(&p, end);
        if (unit == 0 || __builtin_mul_overflow(whole, unit, &ns))
            return JS_ERR_INVAL;
        /* In 128 bits: a fraction of weeks would overflow. */
        ns = __builtin_add_overflow(ns, (int64_t)((__int128)frac * unit / NS), &ns) ? -1 : ns;
        if (ns < 0 || __builtin_add_overflow(total, ns, &total))
            return JS_ERR_INVAL;
    }
    *ret_ns = total;
    return 0;
}

int js_time_parse(const char *text, js_time_t now, js_time_t *ret_time) {
    if (!text)
        return JS_ERR_INVAL;
    const char *p = text, *end = text + strlen(text);
    int64_t a, b;

    if (*p == '-' || *p == '+') {
        js_time_t t;
        if (parse_duration(p + 1, end, &a) < 0)
            return JS_ERR_INVAL;
        bool over =
            *p == '-' ? __builtin_sub_overflow(now, a, &t) : __builtin_add_overflow(now, a, &t);
        if (over)
            return JS_ERR_INVAL;
        *ret_time = t;
        return 0;
    }
    if (take_number(&p, end, &a, &b) && p == end)
        return join(a, b, ret_time);
    p = text;
    if (take_date(&p, end, &a) && p == end)
        return join(a * DAY, 0, ret_time);
    return js_time_parse_rfc3339(text, (size_t)(end - text), ret_time);
}
