/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: crash [--states N] [--seed S] [--theme TEXT] [--one THEME:SEED:CALL:LOSS:LOSSSEED]
 *   --states N   how many different disks, over all themes (2000)
 *   --one ...    one disk again, as a failure printed it, with the calls that led there;
 *                CRASH_TRACE=1 shows those of a broken recovery, too; CRASH_EXPORT=DIR (an empty
 * one) writes the disk there
 *
 * TAP: one line for each theme.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/crash/crash.h"

#define NESTED_EVERY  8 /* of the disks, one in so many is broken again while it recovers */
#define NESTED_STATES 6

static struct {
    size_t states, nested;
    unsigned long torn, damaged;
} sums;

/* ---- disks already seen ------------------------------------------------------------------------
 */

static struct {
    uint64_t *slots;
    size_t count, cap;
} seen;

/* False if it was there already. */
static bool remember(uint64_t hash) {
    if (seen.count * 2 >= seen.cap) {
        size_t cap = seen.cap ? seen.cap * 2 : 4096;
        uint64_t *slots = calloc(cap, sizeof *slots);
        if (!slots)
            abort();
        for (size_t i = 0; i < seen.cap; i++) {
            size_t k = seen.slots[i] & (cap - 1);
            while (seen.slots[i] && slots[k])
                k = (k + 1) & (cap - 1);
            if (seen.slots[i])
                slots[k] = seen.slots[i];
        }
        free(seen.slots);
        seen.slots = slots;
        seen.cap = cap;
    }
    hash |= 1;
    size_t k = hash & (seen.cap - 1);
    for (; seen.slots[k]; k = (k + 1) & (seen.cap - 1))
        if (seen.slots[k] == hash)
            return false;
    seen.slots[k] = hash;
    seen.count++;
    return true;
}

/* ---- one disk ----------------------------------------------------------------------------------
 */

struct verdict {
    char why[300];
};

__attribute__((format(printf, 2, 3))) static int wrong(struct verdict *v, const char *format, ...) {
    va_list ap;

    va_start(ap, format);
    vsnprintf(v->why, sizeof v->why, format, ap);
    va_end(ap);
    return -1;
}

struct recovery {
    const struct theme *theme;
    struct ramdisk *disk;
    struct testenv te;
    struct step steps[3]; /* as it opened; after one more message; after closing */
    size_t num_steps;
    bool evicts;   /* new limits took messages out, of which an index from before may not know */
    uint64_t hash; /* of the directory once it was closed */
};

static int store_one(struct js_stream *s, js_seq_t *ret_seq) {
    int r = js_stream_store_msg(s, "s.recovered", 11, NULL, 0, (const uint8_t *)"after all", 9,
                                ret_seq, NULL);

    return r;
}

static int note_step(struct recovery *rec, struct js_stream *s, size_t begin, const char *text,
                     struct verdict *v) {
    struct step *st = &rec->steps[rec->num_steps];

    *st = (struct step){.begin = begin, .durable = true, .evicts = rec->evicts};
    snprintf(st->text, sizeof st->text, "%s", text);
    st->end = rd_recorded(rec->disk);
    if (snap_take(s, &st->after, v->why) < 0)
        return -1;
    rec->num_steps++;
    return 0;
}

/* Closes and looks whether nothing is left open or allocated. */
static int shut(struct recovery *rec, struct js_store *store, struct js_stream *s,
                struct verdict *v) {
    js_stream_unref(s);
    int r = js_store_close(store);

    if (r < 0)
        return wrong(v, "close: %s", js_err_name(r));
    if (rd_open_files(rec->disk) || atomic_load(&rec->te.memory))
        return wrong(v, "%zu files and %ld allocations are left", rd_open_files(rec->disk),
                     atomic_load(&rec->te.memory));
    return 0;
}

static int open_again(struct recovery *rec, struct js_store **store, struct js_stream **s,
                      struct verdict *v) {
    char why[256] = "";
    int r = script_open(rec->theme, &rec->te, store, s, why);

    return r < 0 ? wrong(v, "%s", why) : 0;
}

/* Opens, stores one more, closes; what it did is recorded when `record` says so. */
static int recover(struct recovery *rec, bool record, struct verdict *v) {
    struct js_store *store;
    struct js_stream *s;
    js_seq_t seq = 0;

    if (record)
        rd_record(rec->disk);
    if (open_again(rec, &store, &s, v) < 0)
        return -1;
    enum js_health health = js_stream_health(s);
    sums.torn += health == JS_HEALTH_TORN_TAIL;
    sums.damaged += health == JS_HEALTH_DAMAGED;
    int r = note_step(rec, s, 0, "as it opened", v);
    if (r == 0) {
        size_t begin = rd_recorded(rec->disk);
        r = store_one(s, &seq);
        if (r == JS_ERR_MAX_MSGS || r == JS_ERR_MAX_BYTES || r == JS_ERR_MAX_MSGS_PER_SUBJECT)
            r = 0;
        else if (r < 0)
            wrong(v, "store: %s", js_err_name(r));
        else if (seq != rec->steps[0].after.last + 1)
            r = wrong(v, "the next sequence is %llu, after %llu", (unsigned long long)seq,
                      (unsigned long long)rec->steps[0].after.last);
        int y = r < 0 ? r : js_stream_sync(s);
        if (r == 0 && y < 0)
            r = wrong(v, "sync: %s", js_err_name(y));
        if (r == 0)
            r = note_step(rec, s, begin, "stored one more", v);
    }
    if (r < 0) {
        js_stream_unref(s);
        js_store_close(store);
        return r;
    }
    rec->steps[0].durable = true;
    r = shut(rec, store, s, v);
    rec->hash = rd_hash(rec->disk, "/s");
    return r;
}

/* Opening and closing once more shows the same and changes nothing. */
static int settle(struct recovery *rec, struct verdict *v) {
    for (int i = 0; i < 2; i++) {
        struct js_store *store;
        struct js_stream *s;
        struct snap now;
        if (open_again(rec, &store, &s, v) < 0)
            return -1;
        int r = snap_take(s, &now, v->why);
        if (r == 0) {
            const char *differs = snap_differs(&rec->steps[rec->num_steps - 1].after, &now);
            if (differs)
                r = wrong(v, "opened again it is different: %s", differs);
            snap_done(&now);
        }
        if (shut(rec, store, s, r < 0 ? &(struct verdict){""} : v) < 0 || r < 0)
            return -1;
        if (rd_hash(rec->disk, "/s") != rec->hash)
            return wrong(v, "opened and closed again, the directory has changed");
    }
    return 0;
}

static void recovery_init(struct recovery *rec, const struct theme *theme, struct ramdisk *disk,
                          js_time_t now) {
    *rec = (struct recovery){.theme = theme, .disk = disk};
    te_init(&rec->te, rd_io(disk));
    atomic_store(&rec->te.now, now);
    atomic_store(&rec->te.rng, 77);
}

static void recovery_done(struct recovery *rec) {
    for (size_t i = 0; i < rec->num_steps; i++)
        snap_done(&rec->steps[i].after);
    rd_free(rec->disk);
}

/* The recovery fails as well, at some of its calls: what opens then must be what the first one
 * showed, or that and its message. */
static int check_nested(const struct recovery *first, uint64_t seed, struct verdict *v) {
    size_t calls = rd_recorded(first->disk);
    uint64_t rng = seed;

    for (int i = 0; i < NESTED_STATES && calls; i++) {
        struct recovery rec;
        size_t at = (size_t)(crash_next(&rng) % (calls + 1));
        enum rd_loss loss = (enum rd_loss)(crash_next(&rng) % RD_LOSSES);
        struct ramdisk *disk = rd_crash(first->disk, at, loss, crash_next(&rng));
        if (!remember(rd_hash(disk, "/"))) {
            rd_free(disk);
            continue;
        }
        recovery_init(&rec, first->theme, disk, atomic_load(&first->te.now));
        char why[200] = "";
        sums.nested++;
        int r = recover(&rec, false, v);
        if (r == 0 && oracle_allows(first->theme, first->steps, first->num_steps, at,
                                    &rec.steps[0].after, why, sizeof why) < 0)
            r = wrong(v, "%s", why);
        if (r == 0)
            r = settle(&rec, v);
        recovery_done(&rec);
        if (r < 0) {
            snprintf(why, sizeof why, "%.199s", v->why);
            if (getenv("CRASH_TRACE"))
                rd_print_log(first->disk, at);
            return wrong(v, "recovery broken at its call %zu of %zu, loss %d: %s", at, calls,
                         (int)loss, why);
        }
    }
    return 0;
}

static int check_disk(struct script *sc, struct ramdisk *disk, size_t at, bool nested,
                      uint64_t seed, struct verdict *v) {
    struct recovery rec;
    char why[240] = "";

    recovery_init(&rec, sc->theme, disk, atomic_load(&sc->te.now));
    rec.evicts = sc->limited && !strstr(sc->theme->config, "\"max_");
    int r = recover(&rec, nested, v);
    if (rec.num_steps && oracle_allows(sc->theme, sc->steps, sc->num_steps, at, &rec.steps[0].after,
                                       why, sizeof why) < 0)
        r = wrong(v, "%s", why);
    if (r == 0)
        r = settle(&rec, v);
    if (r == 0 && nested)
        r = check_nested(&rec, seed, v);
    recovery_done(&rec);
    return r;
}

/* ---- all of them -------------------------------------------------------------------------------
 */

struct pick {
    size_t theme;
    uint64_t seed; /* of the script */
    size_t call;
    int loss;
    uint64_t loss_seed;
};

static bool is_nested(const struct pick *p) {
    return (p->loss_seed >> 8) % NESTED_EVERY == 0;
}

static int try_one(struct script *sc, const struct pick *p, size_t *count, struct verdict *v) {
    struct ramdisk *disk = rd_crash(sc->disk, p->call, (enum rd_loss)p->loss, p->loss_seed);

    if (!remember(rd_hash(disk, "/"))) {
        rd_free(disk);
        return 0;
    }
    ++*count;
    sums.states++;
    int r = check_disk(sc, disk, p->call, is_nested(p), p->loss_seed, v);
    if (r < 0)
        printf("# %s: %s\n# again: --one %zu:%llu:%zu:%d:%llu\n", sc->theme->name, v->why, p->theme,
               (unsigned long long)p->seed, p->call, p->loss, (unsigned long long)p->loss_seed);
    return r;
}

/* Some of one script's disks. */
static int sample_script(size_t theme, uint64_t seed, size_t quota, size_t *count) {
    struct script sc;
    struct verdict v = {""};
    uint64_t rng = seed ^ 0x5eed;
    int r = script_run(&sc, &themes[theme], seed);
    size_t had = *count;

    if (r < 0)
        printf("# %s, seed %llu: %s\n", themes[theme].name, (unsigned long long)seed, sc.why);
    size_t calls = r < 0 ? 0 : rd_recorded(sc.disk);
    for (size_t i = 0; r == 0 && i < quota * 6 && *count - had < quota; i++) {
        struct pick p = {.theme = theme, .seed = seed};
        p.call = (size_t)(crash_next(&rng) % (calls + 1));
        int loss = (int)(crash_next(&rng) % 10);
        p.loss = loss < RD_LOSSES ? loss : RD_RANDOM;
        p.loss_seed = crash_next(&rng);
        r = try_one(&sc, &p, count, &v);
    }
    script_done(&sc);
    return r;
}

static int run_theme(size_t theme, uint64_t seed, size_t quota) {
    size_t count = 0;

    for (uint64_t i = 0; count < quota && i < 10000; i++) {
        size_t part = quota - count < 150 ? quota - count : 150;
        if (sample_script(theme, seed + i * 1000003, part, &count) < 0)
            return -1;
    }
    return 0;
}

static int run_one(const char *text) {
    struct pick p;
    struct script sc;
    struct verdict v = {""};
    size_t count = 0;
    unsigned long long seed, loss_seed;

    if (sscanf(text, "%zu:%llu:%zu:%d:%llu", &p.theme, &seed, &p.call, &p.loss, &loss_seed) != 5 ||
        p.theme >= num_themes)
        return 2;
    p.seed = seed;
    p.loss_seed = loss_seed;
    if (script_run(&sc, &themes[p.theme], p.seed) < 0) {
        printf("# %s\n", sc.why);
        return 1;
    }
    rd_print_log(sc.disk, p.call);
    for (size_t i = 0; i < sc.num_steps; i++)
        fprintf(stderr, "# step %zu: calls %zu..%zu%s %s: first %llu last %llu, %zu messages\n", i,
                sc.steps[i].begin, sc.steps[i].end, sc.steps[i].durable ? " durable" : "",
                sc.steps[i].text, (unsigned long long)sc.steps[i].after.first,
                (unsigned long long)sc.steps[i].after.last, sc.steps[i].after.count);
    struct ramdisk *disk = rd_crash(sc.disk, p.call, (enum rd_loss)p.loss, p.loss_seed);
    rd_dump(disk);
    if (getenv("CRASH_EXPORT") && rd_export(disk, getenv("CRASH_EXPORT")) < 0)
        printf("# not exported\n");
    rd_free(disk);
    int r = try_one(&sc, &p, &count, &v);
    script_done(&sc);
    printf("# %s\n", r < 0 ? "wrong" : "fine");
    return r < 0;
}

int main(int argc, char **argv) {
    size_t states = 2000;
    uint64_t seed = 1;
    const char *only = NULL;
    int failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!value) {
            fprintf(stderr, "%s: what is it?\n", argv[i]);
            return 2;
        }
        if (strcmp(argv[i], "--states") == 0)
            states = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--theme") == 0)
            only = value;
        else if (strcmp(argv[i], "--one") == 0)
            return run_one(value);
        i++;
    }
    printf("TAP version 13\n1..%zu\n", num_themes);
    for (size_t t = 0; t < num_themes; t++) {
        time_t start = time(NULL);
        size_t before = sums.states;
        if (only && !strstr(themes[t].name, only)) {
            printf("ok %zu - %s # SKIP not asked for\n", t + 1, themes[t].name);
            continue;
        }
        int r = run_theme(t, seed + t * 7919, states / num_themes + 1);
        failed += r < 0;
        printf("%s %zu - %s\n", r < 0 ? "not ok" : "ok", t + 1, themes[t].name);
        printf("# %zu states, %ld s\n", sums.states - before, (long)(time(NULL) - start));
    }
    printf("# %zu states, %zu more while recovering; %lu with a torn end, %lu with damage\n",
           sums.states, sums.nested, sums.torn, sums.damaged);
    free(seen.slots);
    return failed != 0;
}
