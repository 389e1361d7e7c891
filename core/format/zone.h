/* SPDX-License-Identifier: Apache-2.0 */
/* Time zones as files of the zone database (TZif, RFC 8536) describe them. */
#ifndef JS_ZONE_H
#define JS_ZONE_H

#include "core/jetstore.h"

/* When summer or winter begins in a year. */
struct js_zone_day {
    char form; /* 'M'onth, week, weekday; 'J'ulian day without February 29; 'n'th day from 0 */
    int month, week, day;
    int32_t time; /* seconds of the day, by the clock that ends */
};

/* Borrows the file's bytes. */
struct js_zone {
    const uint8_t *times, *kinds, *types;
    uint32_t count, num_types;
    bool has_rule; /* for the time after the last change that is listed */
    bool has_summer;
    int32_t standard, summer;        /* seconds east of UTC */
    struct js_zone_day begins, ends; /* of summer time */
};

/* A name that can be looked for in the zone database. */
bool js_zone_name_valid(const char *name, size_t len);
/* CORRUPT. */
int js_zone_decode(const uint8_t *in, size_t len, struct js_zone *ret);
/* Seconds east of UTC at a time (Unix seconds). */
int32_t js_zone_offset(const struct js_zone *zone, int64_t at);
/* The first change of the clock after a time; false: there is none. */
bool js_zone_next_change(const struct js_zone *zone, int64_t after, int64_t *ret);

#endif
