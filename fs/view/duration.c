/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/view/duration.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    double ns;
} units[] = {
    {"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9},
};
#define NUM_UNITS (sizeof(units) / sizeof(units[0]))

/* A hundred years: more than any wait. */
#define MAX_NS 3.2e18

/* The longest unit that the text begins with, so that "ms" is not "m". */
static size_t find_unit(const char *text) {
    for (size_t i = 0; i < NUM_UNITS; i++) {
        size_t n = strlen(units[i].name);
        if (strncmp(text, units[i].name, n) == 0 && (n > 1 || text[1] != 's'))
            return i;
    }
    return NUM_UNITS;
}

int jf_duration_parse(const char *text, js_time_t *ret_ns) {
    double sum = 0;

    if (!*text)
        return -EINVAL;
    for (const char *p = text; *p;) {
        size_t digits = strspn(p, "0123456789."), unit;
        char *end;
        if (digits == 0 || digits > 30)
            return -EINVAL;
        double v = strtod(p, &end);
        if (end != p + digits)
            return -EINVAL;
        p = end;
        /* A lone number is seconds. */
        if (!*p && p == text + digits) {
            sum = v * 1e9;
            break;
        }
        unit = find_unit(p);
        if (unit == NUM_UNITS)
            return -EINVAL;
        sum += v * units[unit].ns;
        p += strlen(units[unit].name);
    }
    if (!(sum <= MAX_NS))
        return -EINVAL;
    *ret_ns = (js_time_t)(sum + 0.5);
    return 0;
}
