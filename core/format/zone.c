/* SPDX-License-Identifier: Apache-2.0 */
#include "core/format/zone.h"

#include "core/base/bytes.h"

#define DAY      INT64_C(86400)
#define HEAD_LEN 44

/* ---- dates --------------------------------------------------------------------------------------
 */

static bool is_leap(int64_t y) {
    return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
}

/* Days from 1970-01-01 to the first of January. */
static int64_t days_to(int64_t y) {
    int64_t p = y - 1;
    return 365 * (y - 1970) + (p / 4 - p / 100 + p / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400);
}

static int64_t year_of(int64_t at) {
    int64_t y = 1970 + at / DAY / 366;

    while (y > 1 && days_to(y) * DAY > at)
        y--;
    while (days_to(y + 1) * DAY <= at)
        y++;
    return y;
}

static int64_t day_in(int64_t y, const struct js_zone_day *d) {
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    int64_t first = days_to(y);

    if (d->form == 'J')
        return first + d->day - 1 + (is_leap(y) && d->day >= 60);
    if (d->form == 'n')
        return first + d->day;
    int length = before[d->month] - before[d->month - 1] + (d->month == 2 && is_leap(y));
    first += before[d->month - 1] + (d->month > 2 && is_leap(y));
    int64_t weekday = ((first + 4) % 7 + 7) % 7;
    int64_t day = (d->day - weekday + 7) % 7 + 7 * (d->week - 1);
    return first + (day >= length ? day - 7 : day);
}

/* ---- the rule at the end of the file: POSIX TZ
 * ----------------------------------------------------- */

struct text {
    const char *p, *end;
};

static bool take(struct text *t, char c) {
    if (t->p == t->end || *t->p != c)
        return false;
    t->p++;
    return true;
}

static bool number(struct text *t, int max, int *ret) {
    int v = 0, digits = 0;

    for (; t->p < t->end && *t->p >= '0' && *t->p <= '9' && digits < 4; t->p++, digits++)
        v = v * 10 + (*t->p - '0');
    *ret = v;
    return digits && v <= max;
}

static bool name(struct text *t) {
    const char *from = t->p;

    if (take(t, '<')) {
        while (t->p < t->end && *t->p != '>')
            t->p++;
        return take(t, '>');
    }
    while (t->p < t->end && ((*t->p | 0x20) >= 'a' && (*t->p | 0x20) <= 'z'))
        t->p++;
    return t->p > from;
}

/* [+-]hh[:mm[:ss]] */
static bool time_of(struct text *t, int32_t *ret) {
    bool minus = take(t, '-');
    int h, m = 0, s = 0;

    if (!minus)
        (void)take(t, '+');
    if (!number(t, 167, &h))
        return false;
    if (take(t, ':') && (!number(t, 59, &m) || (take(t, ':') && !number(t, 59, &s))))
        return false;
    *ret = (h * 60 + m) * 60 + s;
    *ret = minus ? -*ret : *ret;
    return true;
}

static bool day_of(struct text *t, struct js_zone_day *d) {
    *d = (struct js_zone_day){.form = 'n', .time = 2 * 3600};
    if (take(t, 'M')) {
        d->form = 'M';
        if (!number(t, 12, &d->month) || !d->month || !take(t, '.') || !number(t, 5, &d->week) ||
            !d->week || !take(t, '.') || !number(t, 6, &d->day))
            return false;
    } else if (take(t, 'J')) {
        d->form = 'J';
        if (!number(t, 365, &d->day) || !d->day)
            return false;
    } else if (!number(t, 365, &d->day)) {
        return false;
    }
    return !take(t, '/') || time_of(t, &d->time);
}

static bool parse_rule(const char *text, size_t len, struct js_zone *z) {
    struct text t = {text, text + len};
    int32_t west;

    if (!name(&t) || !time_of(&t, &west))
        return false;
    z->standard = -west;
    z->has_rule = true;
    if (t.p == t.end)
        return true;
    z->summer = z->standard + 3600;
    if (!name(&t))
        return false;
    if (t.p < t.end && *t.p != ',') {
        if (!time_of(&t, &west))
            return false;
        z->summer = -west;
    }
    z->has_summer = true;
    return take(&t, ',') && day_of(&t, &z->begins) && take(&t, ',') && day_of(&t, &z->ends) &&
           t.p == t.end;
}

/* The two changes of a year. */
static void changes(const struct js_zone *z, int64_t y, int64_t *ret_begin, int64_t *ret_end) {
    *ret_begin = day_in(y, &z->begins) * DAY + z->begins.time - z->standard;
    *ret_end = day_in(y, &z->ends) * DAY + z->ends.time - z->summer;
}

static int32_t offset_by_rule(const struct js_zone *z, int64_t at) {
    int64_t begin, end;

    if (!z->has_summer)
        return z->standard;
    changes(z, year_of(at + z->standard), &begin, &end);
    bool summer = begin < end ? at >= begin && at < end : at >= begin || at < end;
    return summer ? z->summer : z->standard;
}

/* ---- the file
 * ------------------------------------------------------------------------------------- */

static uint32_t be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t time_at(const struct js_zone *z, uint32_t i) {
    const uint8_t *p = z->times + (size_t)i * 8;
    return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

/* The length of what follows a header, with times of so many bytes; 0: no header. */
static size_t body_len(const uint8_t *p, size_t len, size_t time_size) {
    size_t n[6];

    if (len < HEAD_LEN || memcmp(p, "TZif", 4) != 0 || p[4] < '2')
        return 0;
    for (int i = 0; i < 6; i++) {
        n[i] = be32(p + 20 + 4 * i);
        if (n[i] > len)
            return 0;
    }
    return HEAD_LEN + n[3] * (time_size + 1) + n[4] * 6 + n[5] + n[2] * (time_size + 4) + n[1] +
           n[0];
}

int js_zone_decode(const uint8_t *in, size_t len, struct js_zone *ret) {
    struct js_zone z = {0};
    size_t skip = body_len(in, len, 4);

    if (skip == 0 || skip > len)
        return JS_ERR_CORRUPT;
    in += skip;
    len -= skip;
    size_t body = body_len(in, len, 8);
    if (body == 0 || body > len)
        return JS_ERR_CORRUPT;
    z.count = be32(in + 32);
    z.num_types = be32(in + 36);
    z.times = in + HEAD_LEN;
    z.kinds = z.times + (size_t)z.count * 8;
    z.types = z.kinds + z.count;
    if (z.num_types == 0)
        return JS_ERR_CORRUPT;
    for (uint32_t i = 0; i < z.count; i++)
        if (z.kinds[i] >= z.num_types || (i && time_at(&z, i) <= time_at(&z, i - 1)))
            return JS_ERR_CORRUPT;
    const char *rule = (const char *)in + body;
    size_t left = len - body;
    if (left < 2 || rule[0] != '\n')
        return JS_ERR_CORRUPT;
    const char *end = memchr(rule + 1, '\n', left - 1);
    if (!end || (end > rule + 1 && !parse_rule(rule + 1, (size_t)(end - rule - 1), &z)))
        return JS_ERR_CORRUPT;
    *ret = z;
    return 0;
}

static int32_t type_offset(const struct js_zone *z, uint32_t type) {
    return (int32_t)be32(z->types + (size_t)type * 6);
}

/* How many of the listed changes are not after a time. */
static uint32_t changes_until(const struct js_zone *z, int64_t at) {
    uint32_t lo = 0, hi = z->count;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (time_at(z, mid) <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int32_t js_zone_offset(const struct js_zone *z, int64_t at) {
    uint32_t n = changes_until(z, at);

    if (n == z->count && z->has_rule)
        return offset_by_rule(z, at);
    return type_offset(z, n ? z->kinds[n - 1] : 0);
}

bool js_zone_next_change(const struct js_zone *z, int64_t after, int64_t *ret) {
    uint32_t n = changes_until(z, after);
    bool found = false;

    if (n < z->count) {
        *ret = time_at(z, n);
        return true;
    }
    if (!z->has_rule || !z->has_summer)
        return false;
    for (int64_t y = year_of(after) - 1, last = y + 3; y <= last; y++) {
        int64_t at[2];
        changes(z, y, &at[0], &at[1]);
        for (int i = 0; i < 2; i++) {
            if (at[i] > after && (!found || at[i] < *ret)) {
                *ret = at[i];
                found = true;
            }
        }
    }
    return found;
}

bool js_zone_name_valid(const char *name, size_t len) {
    if (len == 0 || len > 60 || name[0] == '/' || name[len - 1] == '/')
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool word = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!word && c != '_' && c != '-' && c != '+' && c != '/')
            return false;
    }
    return true;
}
