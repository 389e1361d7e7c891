/* SPDX-License-Identifier: Apache-2.0 */
/* What a Nats-Schedule header says: "@at TIME", "@every DURATION", six fields of cron, "@hourly"
 * and the like (docs/disk-format.md "Schedules"). */
#ifndef JS_SCHED_SPEC_H
#define JS_SCHED_SPEC_H

#include "core/format/zone.h"

enum js_sched_kind { JS_SCHED_AT, JS_SCHED_EVERY, JS_SCHED_CRON };

struct js_sched_spec {
    enum js_sched_kind kind;
    js_time_t at;
    int64_t every; /* ns */
    /* cron: bit n allows the value n */
    uint64_t second, minute;
    uint32_t hour, day, month, weekday;
    bool any_day, any_weekday;
};

/* A duration as Go reads them ("1h30m", "1.5s", "+5s"), 0 or more; BAD_HEADER. */
int js_duration_parse(const char *text, size_t len, int64_t *ret_ns);
/* BAD_HEADER. */
int js_sched_spec_parse(const char *text, size_t len, struct js_sched_spec *ret_spec);
/* When it is due for the first time after a moment, of @at the time itself; 0 = never. */
js_time_t js_sched_spec_next(const struct js_sched_spec *spec, js_time_t after);
/* The same; fields of cron are those of clocks in a zone (NULL: UTC). What the clock passes over
 * when it is put forward is not due; what it shows twice is due twice. */
js_time_t js_sched_spec_next_in(const struct js_sched_spec *spec, const struct js_zone *zone,
                                js_time_t after);

#endif
