/* SPDX-License-Identifier: Apache-2.0 */
#include "core/format/sched_spec.h"

#include <string.h>

#include "core/base/time.h"

#define SECOND INT64_C(1000000000)
#define DAY    INT64_C(86400)

/* ---- durations ------------------------------------------------------------------------------- */

static const struct unit {
    const char *name;
    int64_t ns;
} units[] = {{"ns", 1},        {"us", 1000},        {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
             {"ms", 1000000},  {"s", SECOND},       {"m", 60 * SECOND},  {"h", 3600 * SECOND}};

/* The longest unit that the text begins with. */
static const struct unit *unit_of(const char *text, size_t len, size_t *ret_len) {
    const struct unit *best = NULL;

    *ret_len = 0;
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        size_t n = strlen(units[u].name);
        if (n > *ret_len && n <= len && memcmp(text, units[u].name, n) == 0) {
            best = &units[u];
            *ret_len = n;
        }
    }
    return best;
}

int js_duration_parse(const char *text, size_t len, int64_t *ret_ns) {
    int64_t sum = 0;
    size_t i = len > 1 && text[0] == '+';

    if (len - i == 1 && text[i] == '0') {
        *ret_ns = 0;
        return 0;
    }
    if (i >= len)
        return JS_ERR_BAD_HEADER;
    while (i < len) {
        int64_t whole = 0, part = 0, scale = 1, ns;
        size_t from = i, point = 0, unit_len;
        for (; i < len && text[i] >= '0' && text[i] <= '9'; i++)
            if (__builtin_mul_overflow(whole, 10, &whole) ||
                __builtin_add_overflow(whole, text[i] - '0', &whole))
                return JS_ERR_BAD_HEADER;
        if (i < len && text[i] == '.') {
            point = 1;
            for (i++; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
                if (scale < SECOND) { /* finer than anything counts */
                    part = part * 10 + (text[i] - '0');
                    scale *= 10;
                }
            }
        }
        const struct unit *u = unit_of(text + i, len - i, &unit_len);
        if (!u || i - from <= point)
            return JS_ERR_BAD_HEADER;
        ns = (int64_t)((__int128)part * u->ns / scale);
        if (__builtin_mul_overflow(whole, u->ns, &whole) ||
            __builtin_add_overflow(sum, whole, &sum) || __builtin_add_overflow(sum, ns, &sum))
            return JS_ERR_BAD_HEADER;
        i += unit_len;
    }
    *ret_ns = sum;
    return 0;
}

/* ---- cron -------------------------------------------------------------------------------------- */

struct field {
    unsigned min, max;
    const char *names; /* three letters each, from min on; NULL: none */
};

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* A number or a name at *text. */
static bool value_of(const struct field *f, const char **text, const char *end, unsigned *ret) {
    const char *p = *text;
    unsigned v = 0;

    while (p < end && *p >= '0' && *p <= '9' && p - *text < 4)
        v = v * 10 + (unsigned)(*p++ - '0');
    if (p > *text) {
        *text = p;
        *ret = v;
        return true;
    }
    for (unsigned i = 0; f->names && f->names[3 * i]; i++) {
        const char *n = f->names + (size_t)3 * i;
        if (end - p >= 3 && lower(p[0]) == n[0] && lower(p[1]) == n[1] && lower(p[2]) == n[2]) {
            *text = p + 3;
            *ret = f->min + i;
            return true;
        }
    }
    return false;
}

/* "*", "?", "a", "a-b", each with "/step"; commas between them. */
static bool parse_field(const struct field *f, const char *p, const char *end, uint64_t *ret,
                        bool *ret_any) {
    *ret = 0;
    *ret_any = false;
    do {
        unsigned first, last, step = 1;
        bool open = false;
        if (p < end && (*p == '*' || *p == '?')) {
            first = f->min;
            last = f->max;
            p++;
            *ret_any = true;
        } else {
            if (!value_of(f, &p, end, &first))
                return false;
            last = first;
            open = true;
            if (p < end && *p == '-') {
                p++;
                open = false;
                if (!value_of(f, &p, end, &last))
                    return false;
            }
        }
        if (p < end && *p == '/') {
            static const struct field number = {0, 9999, NULL};
            p++;
            if (!value_of(&number, &p, end, &step) || step == 0)
                return false;
            last = open ? f->max : last;
            if (step > 1)
                *ret_any = false;
        }
        if (first < f->min || last > f->max || first > last)
            return false;
        for (unsigned v = first; v <= last; v += step)
            *ret |= UINT64_C(1) << v;
    } while (p < end && *p++ == ',');
    return p == end;
}

static bool parse_cron(const char *text, size_t len, struct js_sched_spec *c) {
    static const struct field fields[6] = {
        {0, 59, NULL}, {0, 59, NULL}, {0, 23, NULL}, {1, 31, NULL},
        {1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"}, {0, 6, "sunmontuewedthufrisat"}};
    const char *p = text, *end = text + len;
    uint64_t set[6];
    bool any[6];

    for (int i = 0; i < 6; i++) {
        while (p < end && *p == ' ')
            p++;
        const char *from = p;
        while (p < end && *p != ' ')
            p++;
        if (from == p || !parse_field(&fields[i], from, p, &set[i], &any[i]))
            return false;
    }
    while (p < end && *p == ' ')
        p++;
    c->kind = JS_SCHED_CRON;
    c->second = set[0];
    c->minute = set[1];
    c->hour = (uint32_t)set[2];
    c->day = (uint32_t)set[3];
    c->month = (uint32_t)set[4];
    c->weekday = (uint32_t)set[5];
    c->any_day = any[3];
    c->any_weekday = any[5];
    return p == end;
}

struct date {
    int64_t year;
    unsigned month, day; /* from 1 */
};

/* The Gregorian date of a day since 1970-01-01. */
static struct date date_of(int64_t days) {
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    unsigned month = mp < 10 ? mp + 3 : mp - 9;

    return (struct date){.year = (int64_t)yoe + era * 400 + (month <= 2),
                         .month = month,
                         .day = doy - (153 * mp + 2) / 5 + 1};
}

static bool day_matches(const struct js_sched_spec *c, int64_t days) {
    struct date d = date_of(days);
    unsigned weekday = (unsigned)(((days + 4) % 7 + 7) % 7);
    bool day = c->day >> d.day & 1, week = c->weekday >> weekday & 1;

    if (!(c->month >> d.month & 1))
        return false;
    /* Where both are given, one of them is enough. */
    return c->any_day || c->any_weekday ? day && week : day || week;
}

/* The smallest allowed value >= from, or -1. */
static int least(uint64_t set, int from) {
    uint64_t rest = from < 64 ? set >> from << from : 0;
    return rest ? __builtin_ctzll(rest) : -1;
}

/* The first second of a day, from a second on; -1 if there is none. */
static int64_t second_of_day(const struct js_sched_spec *c, int64_t from) {
    int fh = (int)(from / 3600), fm = (int)(from / 60 % 60), fs = (int)(from % 60);

    for (int h = least(c->hour, fh); h >= 0; h = least(c->hour, h + 1)) {
        for (int m = least(c->minute, h == fh ? fm : 0); m >= 0; m = least(c->minute, m + 1)) {
            int s = least(c->second, h == fh && m == fm ? fs : 0);
            if (s >= 0)
                return h * INT64_C(3600) + m * INT64_C(60) + s;
        }
    }
    return -1;
}

static int64_t floor_div(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

static js_time_t next_cron(const struct js_sched_spec *c, js_time_t after) {
    int64_t from = floor_div(after, SECOND) + 1, day = floor_div(from, DAY);

    /* Five years see every date but some 29ths of February. */
    for (int i = 0; i < 5 * 366; i++, day++, from = day * DAY) {
        if (!day_matches(c, day))
            continue;
        int64_t s = second_of_day(c, from - day * DAY);
        js_time_t t;
        if (s >= 0)
            return __builtin_mul_overflow(day * DAY + s, SECOND, &t) ? 0 : t;
    }
    return 0;
}

/* ---- both --------------------------------------------------------------------------------------- */

static bool begins(const char *text, size_t len, const char *with, size_t *ret_rest) {
    size_t n = strlen(with);

    *ret_rest = n;
    return len > n && memcmp(text, with, n) == 0;
}

int js_sched_spec_parse(const char *text, size_t len, struct js_sched_spec *ret) {
    static const char *const words[][2] = {
        {"@yearly", "0 0 0 1 1 *"},  {"@annually", "0 0 0 1 1 *"}, {"@monthly", "0 0 0 1 * *"},
        {"@weekly", "0 0 0 * * 0"},  {"@daily", "0 0 0 * * *"},    {"@midnight", "0 0 0 * * *"},
        {"@hourly", "0 0 * * * *"},
    };
    struct js_sched_spec c = {0};
    size_t n;

    if (begins(text, len, "@at ", &n)) {
        if (js_time_parse_rfc3339(text + n, len - n, &c.at) < 0)
            return JS_ERR_BAD_HEADER;
        c.kind = JS_SCHED_AT;
    } else if (begins(text, len, "@every ", &n)) {
        if (js_duration_parse(text + n, len - n, &c.every) < 0 || c.every < SECOND)
            return JS_ERR_BAD_HEADER;
        c.kind = JS_SCHED_EVERY;
    } else {
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            if (len == strlen(words[i][0]) && memcmp(text, words[i][0], len) == 0) {
                text = words[i][1];
                len = strlen(text);
                break;
            }
        }
        if (!parse_cron(text, len, &c))
            return JS_ERR_BAD_HEADER;
        /* A date that never comes. */
        if (next_cron(&c, 0) == 0 && next_cron(&c, 1700000000 * SECOND) == 0)
            return JS_ERR_BAD_HEADER;
    }
    *ret = c;
    return 0;
}

js_time_t js_sched_spec_next(const struct js_sched_spec *c, js_time_t after) {
    js_time_t t;

    switch (c->kind) {
    case JS_SCHED_AT:
        return c->at;
    case JS_SCHED_EVERY:
        /* Servers count from the nearest whole second. */
        t = floor_div(after, SECOND) * SECOND;
        if (after - t >= SECOND / 2 && __builtin_add_overflow(t, SECOND, &t))
            return 0;
        return __builtin_add_overflow(t, c->every, &t) ? 0 : t;
    default:
        return next_cron(c, after);
    }
}

js_time_t js_sched_spec_next_in(const struct js_sched_spec *c, const struct js_zone *zone,
                                js_time_t after) {
    int64_t from = floor_div(after, SECOND), change = from, offset;

    if (!zone || c->kind != JS_SCHED_CRON)
        return js_sched_spec_next(c, after);
    offset = js_zone_offset(zone, from);
    /* Between two changes the clock is that of UTC, but for an offset. Ten years have few. */
    for (int i = 0; i < 64; i++) {
        bool changes = js_zone_next_change(zone, change, &change);
        js_time_t local, t;
        if (__builtin_mul_overflow(from + offset, SECOND, &local))
            return 0;
        local = next_cron(c, local);
        if (local == 0 || __builtin_sub_overflow(local, offset * SECOND, &t))
            return 0;
        if (!changes || change > INT64_MAX / SECOND || t < change * SECOND)
            return t;
        /* What is due at the very change counts by the new offset. */
        offset = js_zone_offset(zone, change);
        from = change - 1;
        if (i && from - floor_div(after, SECOND) > 6 * 366 * DAY)
            return 0;
    }
    return 0;
}
