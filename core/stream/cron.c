/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a schedule fires: "@at RFC3339", "@every DURATION" (a second at least), a cron line of six fields
 * (second minute hour day month weekday; lists, ranges, steps, names of months and days), or one of
 * @yearly @annually @monthly @weekly @daily @midnight @hourly. All in UTC.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/stream/schedule.h"

#define SECOND INT64_C(1000000000)
#define YEARS  6 /* a line that names no time within so many years names none */

struct cron {
    uint64_t seconds, minutes, hours, days, months, weekdays; /* bits */
    bool any_day, any_weekday;
};

static bool number(const char **p, const char *end, unsigned *ret) {
    unsigned v = 0;
    const char *q = *p;

    while (q < end && *q >= '0' && *q <= '9' && v < 10000)
        v = v * 10 + (unsigned)(*q++ - '0');
    if (q == *p)
        return false;
    *p = q;
    *ret = v;
    return true;
}

static bool name(const char **p, const char *end, const char *names, unsigned first, unsigned *ret) {
    if (!names || end - *p < 3)
        return false;
    for (unsigned i = 0; names[i * 3]; i++) {
        if (strncasecmp(names + i * 3, *p, 3) == 0) {
            *p += 3;
            *ret = first + i;
            return true;
        }
    }
    return false;
}

/* One field: items divided by commas, each '*' or a value or a range, with a step. */
static bool field(const char *p, const char *end, unsigned lo, unsigned hi, const char *names,
                  uint64_t *ret, bool *ret_any) {
    *ret = 0;
    *ret_any = false;
    for (;;) {
        unsigned from, to, step = 1;
        bool open = false;
        if (p < end && (*p == '*' || *p == '?')) {
            from = lo;
            to = hi;
            p++;
            open = true;
        } else {
            if (!name(&p, end, names, lo, &from) && !number(&p, end, &from))
                return false;
            to = from;
            if (p < end && *p == '-') {
                p++;
                if (!name(&p, end, names, lo, &to) && !number(&p, end, &to))
                    return false;
            } else if (p < end && *p == '/') {
                to = hi;
            }
        }
        if (p < end && *p == '/') {
            p++;
            if (!number(&p, end, &step) || step == 0)
                return false;
        }
        if (from < lo || to > hi || from > to)
            return false;
        *ret_any |= open && step == 1;
        for (unsigned v = from; v <= to; v += step)
            *ret |= UINT64_C(1) << v;
        if (p == end)
            return true;
        if (*p++ != ',')
            return false;
    }
}

static bool parse_cron(const char *text, size_t len, struct cron *c) {
    const struct {
        unsigned lo, hi;
        const char *names;
        uint64_t *bits;
    } fields[] = {
        {0, 59, NULL, &c->seconds},
        {0, 59, NULL, &c->minutes},
        {0, 23, NULL, &c->hours},
        {1, 31, NULL, &c->days},
        {1, 12, "janfebmaraprmayjunjulaugsepoctnovdec", &c->months},
        {0, 7, "sunmontuewedthufrisat", &c->weekdays},
    };
    const char *p = text, *end = text + len;
    bool any[6];

    for (size_t i = 0; i < 6; i++) {
        while (p < end && *p == ' ')
            p++;
        const char *q = p;
        while (q < end && *q != ' ')
            q++;
        if (p == q ||
            !field(p, q, fields[i].lo, fields[i].hi, fields[i].names, fields[i].bits, &any[i]))
            return false;
        p = q;
    }
    while (p < end && *p == ' ')
        p++;
    if (c->weekdays >> 7 & 1)
        c->weekdays |= 1; /* Sunday is 0 and 7 */
    c->any_day = any[3];
    c->any_weekday = any[5];
    return p == end;
}

/* Where both day and weekday are named, either will do. */
static bool day_fits(const struct cron *c, const struct tm *t) {
    bool day = c->days >> t->tm_mday & 1, weekday = c->weekdays >> t->tm_wday & 1;

    return c->any_day || c->any_weekday ? day && weekday : day || weekday;
}

static bool next_cron(const struct cron *c, js_time_t after, js_time_t *ret) {
    time_t t = (time_t)(after / SECOND) + 1;
    time_t limit = t + (time_t)YEARS * 366 * 86400;

    while (t < limit) {
        struct tm tm;
        gmtime_r(&t, &tm);
        if (!(c->months >> (tm.tm_mon + 1) & 1) || !day_fits(c, &tm))
            t += 86400 - (tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec);
        else if (!(c->hours >> tm.tm_hour & 1))
            t += 3600 - (tm.tm_min * 60 + tm.tm_sec);
        else if (!(c->minutes >> tm.tm_min & 1))
            t += 60 - tm.tm_sec;
        else if (!(c->seconds >> tm.tm_sec & 1))
            t++;
        else {
            *ret = (js_time_t)t * SECOND;
            return true;
        }
    }
    return false;
}

static const char *predefined(const char *text, size_t len) {
    static const struct {
        const char *name, *line;
    } known[] = {
        {"@yearly", "0 0 0 1 1 *"},  {"@annually", "0 0 0 1 1 *"}, {"@monthly", "0 0 0 1 * *"},
        {"@weekly", "0 0 0 * * 0"},  {"@daily", "0 0 0 * * *"},    {"@midnight", "0 0 0 * * *"},
        {"@hourly", "0 0 * * * *"},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == len && memcmp(known[i].name, text, len) == 0)
            return known[i].line;
    return NULL;
}

int js_schedule_next(const char *text, size_t len, js_time_t after, js_time_t *ret_next,
                     bool *ret_once) {
    struct cron c = {0};
    char copy[64];

    *ret_once = false;
    if (len > 4 && memcmp(text, "@at ", 4) == 0) {
        if (len - 4 >= sizeof copy || !memchr(text, 'T', len))
            return JS_ERR_BAD_HEADER;
        memcpy(copy, text + 4, len - 4);
        copy[len - 4] = 0;
        *ret_once = true;
        return js_time_parse(copy, 0, ret_next) < 0 ? JS_ERR_BAD_HEADER : 0;
    }
    if (len > 7 && memcmp(text, "@every ", 7) == 0) {
        int64_t seconds;
        bool unit = text[len - 1] >= 'a' && text[len - 1] <= 'z';
        if (!unit || js_ttl_parse(text + 7, len - 7, &seconds) < 0 || seconds <= 0)
            return JS_ERR_BAD_HEADER;
        /* On whole seconds, as servers do. */
        *ret_next = (after + seconds * SECOND + SECOND / 2) / SECOND * SECOND;
        return 0;
    }
    const char *line = predefined(text, len);
    if (!parse_cron(line ? line : text, line ? strlen(line) : len, &c) ||
        !next_cron(&c, after, ret_next))
        return JS_ERR_BAD_HEADER;
    return 0;
}
