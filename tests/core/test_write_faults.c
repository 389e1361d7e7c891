/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing while the disk or memory fails: in scripted work every call of the I/O table and every
 * allocation fails once, or from then on. The caller is told, what was acknowledged is there before
 * and after opening again, nothing else is, and nothing leaks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "tests/crash/crash.h"

#define MAX_TRIES 40 /* a fault and a script: so many of the calls, evenly; FAULT_TRIES=N */
#define SEED      99 /* of the scripts; FAULT_SEED=N */

struct fault {
    const char *name;
    unsigned calls; /* enum rd_calls; 0 = allocations */
    enum rd_fault_kind kind;
    int err;
    bool sticky;
};

struct run {
    const struct theme *theme;
    const struct fault *fault;
    const struct step *ideal; /* what each step does when nothing fails */
    size_t num_ideal;
    struct script sc;
    long n;
    struct snap before; /* the state that was acknowledged last */
    struct step step;
};

#define WRONG(run, ...)                                                                            \
    do {                                                                                           \
        char why_[400];                                                                            \
        snprintf(why_, sizeof why_, __VA_ARGS__);                                                  \
        fail_msg("%s, call %ld of \"%s\", step %zu (%s): %s", (run)->fault->name, (run)->n,        \
                 (run)->theme->name, (run)->sc.num_steps, (run)->step.text, why_);                 \
    } while (0)

static void arm(struct run *run, long n) {
    const struct fault *f = run->fault;
    struct rd_fault rf = {
        .calls = f->calls, .kind = f->kind, .err = f->err, .countdown = n, .sticky = f->sticky};

    if (f->calls)
        rd_set_fault(run->sc.disk, &rf);
    else
        te_fail_alloc(&run->sc.te, n, f->sticky);
}

static void pause_fault(struct run *run, bool paused) {
    rd_pause_fault(run->sc.disk, paused);
    atomic_store(&run->sc.te.alloc_paused, paused);
}

static bool fired(struct run *run) {
    return run->fault->calls ? rd_faults_fired(run->sc.disk) > 0
                             : atomic_load(&run->sc.te.alloc_fired) > 0;
}

static long calls(struct run *run) {
    return run->fault->calls ? rd_fault_calls(run->sc.disk) : atomic_load(&run->sc.te.allocs);
}

static void take(struct run *run, struct snap *ret) {
    char why[200];

    if (snap_take(run->sc.stream, ret, why) < 0)
        WRONG(run, "%s", why);
}

static void keep(struct run *run, const struct snap *now) {
    snap_done(&run->before);
    run->before = *now;
}

/* A state that lies between the one before the step and the one that the step leads to; or, when it
 * is what the disk showed, between the last one that was promised to be there. */
static void check_between(struct run *run, const struct snap *now, bool disk, const char *when) {
    size_t i = run->sc.num_steps, n = 0;
    struct step steps[64];
    char why[240];

    assert_true(i < 63);
    for (size_t k = 0; k < i && disk && run->theme->sync != JS_SYNC_ALWAYS; k++)
        steps[n++] = run->ideal[k];
    if (n == 0)
        steps[n++] = (struct step){.after = run->before, .durable = true};
    steps[0].durable = true;
    steps[n - 1].evicts |= run->sc.limited;
    steps[n++] = (struct step){.after = run->ideal[i].after};
    if (oracle_allows(run->theme, steps, n, 1, now, why, sizeof why) < 0)
        WRONG(run, "%s: %s", when, why);
}

static bool is_single(char op) {
    return strchr("sLryc", op) != NULL;
}

static void close_all(struct run *run) {
    js_stream_unref(run->sc.stream);
    run->sc.stream = NULL;
    (void)js_store_close(run->sc.store);
    run->sc.store = NULL;
    if (rd_open_files(run->sc.disk) || atomic_load(&run->sc.te.memory))
        WRONG(run, "%zu files and %ld allocations are left", rd_open_files(run->sc.disk),
              atomic_load(&run->sc.te.memory));
}

static void open_again(struct run *run) {
    close_all(run);
    if (script_open(run->theme, &run->sc.te, &run->sc.store, &run->sc.stream, run->sc.why) < 0)
        WRONG(run, "opened without faults: %s", run->sc.why);
}

static bool is_refusal(int r) {
    return r == JS_ERR_EOF || r == JS_ERR_MSG_NOT_FOUND || r == JS_ERR_MAX_MSGS ||
           r == JS_ERR_MAX_BYTES || r == JS_ERR_MAX_MSGS_PER_SUBJECT;
}

/* The step failed (no fault is active): what is there, and does it work when asked again? */
static void after_failure(struct run *run, char op, int err, uint64_t rng, uint64_t stored) {
    bool unknown = !run->sc.stream || js_stream_writable(run->sc.stream, NULL, 0) != 1;
    struct snap now;

    if (!fired(run))
        WRONG(run, "%s %s, and no call failed", js_err_name(err), run->sc.why);
    if (run->sc.stream && unknown) {
        /* It is not known what is on disk; reading goes on. */
        take(run, &now);
        check_between(run, &now, false, "in memory");
        snap_done(&now);
    }
    if (unknown)
        open_again(run);
    take(run, &now);
    const char *differs = snap_differs(&run->before, &now);
    if (differs && !unknown && is_single(op))
        WRONG(run, "%s, and something changed: %s", js_err_name(err), differs);
    check_between(run, &now, unknown, "after the failure");
    keep(run, &now);
    /* Again, and now it works. */
    run->sc.rng = rng;
    run->sc.stored = stored;
    int r = script_do(&run->sc, op, &run->step);
    if (r == JS_ERR_READ_ONLY && js_stream_health(run->sc.stream) != JS_HEALTH_OK) {
        /* Blocks that could not be read count as such until the stream is opened again. */
        open_again(run);
        run->sc.rng = rng;
        run->sc.stored = stored;
        r = script_do(&run->sc, op, &run->step);
    }
    if (r < 0 && !is_refusal(r))
        WRONG(run, "asked again: %s %s", js_err_name(r), run->sc.why);
    take(run, &now);
    keep(run, &now);
}

static bool limits_lag(const struct run *run) {
    const struct snap *now = &run->before, *want = &run->ideal[run->sc.num_steps].after;
    size_t more = now->count - want->count;

    if (!run->sc.limited || strncmp(run->step.text, "store", 5) != 0 || now->count <= want->count)
        return false;
    for (size_t i = 0; i < want->count; i++)
        if (now->msgs[i + more].seq != want->msgs[i].seq ||
            now->msgs[i + more].hash != want->msgs[i].hash)
            return false;
    return true;
}

/* A message is stored, and too old ones could not be taken out: the next one makes up for that. */
static void after_lag(struct run *run) {
    struct snap now;
    js_seq_t seq;

    int r =
        js_stream_store_msg(run->sc.stream, "s.x", 3, NULL, 0, (const uint8_t *)"x", 1, &seq, NULL);
    if (r < 0)
        WRONG(run, "limits lag, and then: %s", js_err_name(r));
    take(run, &now);
    /* Not all that were too many, and this one on top. */
    if (now.count > run->ideal[run->sc.num_steps].after.count + 1 || !snap_find(&now, seq))
        WRONG(run, "limits lag after another message, too");
    keep(run, &now);
}

/* What could not be read while opening is told as damage. Then, too, nothing goes: neither by
 * opening nor by storing into it. */
static void after_doubt(struct run *run) {
    struct snap now;
    js_seq_t seq;

    /* Only index.db knew what limits took out; if it could not be read, that is back. */
    bool healthy = run->step.text[0] == 'c' && run->sc.limited;
    /* Nothing expires either from a stream whose metadata could not be read. */
    bool kept =
        strcmp(run->step.text, "wait") == 0 && js_stream_writable(run->sc.stream, NULL, 0) != 1;
    if (!kept && (run->step.text[0] != 'c' ||
                  (!healthy && js_stream_health(run->sc.stream) == JS_HEALTH_OK)))
        WRONG(run, "succeeded, but: %s",
              snap_differs(&run->ideal[run->sc.num_steps].after, &run->before));
    int r =
        js_stream_store_msg(run->sc.stream, "s.x", 3, NULL, 0, (const uint8_t *)"x", 1, &seq, NULL);
    open_again(run);
    take(run, &now);
    const struct snap *want = &run->ideal[run->sc.num_steps].after;
    for (size_t i = 0; i < want->count; i++) {
        const struct snap_msg *m = snap_find(&now, want->msgs[i].seq);
        if (!m || m->hash != want->msgs[i].hash)
            WRONG(run,
                  "a block could not be read when the stream was opened; then %s, and message "
                  "%llu is %s",
                  r < 0 ? "nothing was stored" : "one was stored",
                  (unsigned long long)want->msgs[i].seq, m ? "another" : "gone");
    }
    keep(run, &now);
}

/* One step; false when it failed and the script ends. */
static bool run_step(struct run *run, size_t i) {
    struct script *sc = &run->sc;
    char op = i ? script_next_op(sc) : 'c';
    uint64_t rng = sc->rng, stored = sc->stored;
    struct snap now;

    run->step = (struct step){0};
    sc->num_steps = i;
    pause_fault(run, false);
    int r = script_do(sc, op, &run->step);
    pause_fault(run, true);
    if (r < 0 && !is_refusal(r)) {
        after_failure(run, op, r, rng, stored);
        return false;
    }
    take(run, &now);
    if (run->n == 0) {
        sc->steps[i] = run->step;
        sc->steps[i].after = now;
    } else {
        bool differs = snap_differs(&run->ideal[i].after, &now) != NULL;
        keep(run, &now);
        if (differs) {
            if (limits_lag(run))
                after_lag(run);
            else
                after_doubt(run);
            return false;
        }
    }
    te_advance(&sc->te, 1000000);
    return true;
}

static unsigned long number(const char *name, unsigned long otherwise) {
    const char *text = getenv(name);

    return text ? strtoul(text, NULL, 10) : otherwise;
}

/* Runs the script with the n-th call failing (0: none). Returns how many calls there were. */
static long run_script(struct run *run, long n) {
    struct script *sc = &run->sc;
    size_t i = 0;

    run->n = n;
    run->step = (struct step){.text = "begin"};
    if (script_begin(sc, run->theme, number("FAULT_SEED", SEED)) < 0)
        WRONG(run, "%s", sc->why);
    sc->te.tick = 0;
    arm(run, n);
    while (i <= run->theme->steps && run_step(run, i))
        i++;
    if (n) {
        struct snap now;
        open_again(run);
        take(run, &now);
        const char *differs = snap_differs(&run->before, &now);
        if (differs)
            WRONG(run, "opened again at the end: %s", differs);
        snap_done(&now);
        close_all(run);
    }
    sc->num_steps = i;
    return calls(run);
}

static void end_script(struct run *run) {
    snap_done(&run->before);
    run->before = (struct snap){0};
    if (run->n)
        run->sc.num_steps = 0; /* the states were not kept */
    script_done(&run->sc);
}

static void every_call_fails(const struct fault *fault) {
    const char *only = getenv("FAULT_THEME");

    for (size_t t = 0; t < num_themes; t++) {
        if (only && strcmp(only, themes[t].name) != 0)
            continue;
        struct run ideal = {.theme = &themes[t], .fault = fault};
        long count = run_script(&ideal, 0),
             step = count / (long)number("FAULT_TRIES", MAX_TRIES) + 1;
        assert_true(count > 0);
        for (long n = 1; n <= count; n += step) {
            struct run run = {.theme = &themes[t],
                              .fault = fault,
                              .ideal = ideal.sc.steps,
                              .num_ideal = ideal.sc.num_steps};
            run_script(&run, n);
            end_script(&run);
        }
        end_script(&ideal);
    }
}

#define FAULT(test, title, what, how, number, forever)                                             \
    static void test(void **state) {                                                               \
        (void)state;                                                                               \
        every_call_fails(&(struct fault){title, what, how, number, forever});                      \
    }

FAULT(writes_without_space, "ENOSPC", RD_WRITES, RD_FAIL, ENOSPC, false)
FAULT(writes_without_space_for_good, "ENOSPC for good", RD_WRITES | RD_NAMES, RD_PARTIAL, ENOSPC,
      true)
FAULT(partial_writes, "partial write", RD_WRITES, RD_PARTIAL, EIO, false)
FAULT(short_transfers, "short read or write", RD_READS | RD_WRITES, RD_SHORT, 0, true)
FAULT(interrupted_transfers, "EINTR", RD_READS | RD_WRITES, RD_FAIL, EINTR, false)
FAULT(failing_syncs, "failing sync", RD_SYNCS, RD_FAIL, EIO, false)
FAULT(failing_syncs_for_good, "failing syncs", RD_SYNCS, RD_FAIL, EIO, true)
FAULT(failing_names, "failing rename, link or unlink", RD_NAMES, RD_FAIL, EIO, false)
FAULT(failing_cuts, "failing write and truncate", RD_WRITES | RD_CUTS, RD_PARTIAL, EIO, true)
FAULT(too_many_files, "EMFILE", RD_OPENS, RD_FAIL, EMFILE, false)
FAULT(too_many_files_for_good, "EMFILE for good", RD_OPENS, RD_FAIL, EMFILE, true)
FAULT(access_denied, "EACCES", RD_OPENS | RD_NAMES | RD_STATS, RD_FAIL, EACCES, false)
FAULT(failing_calls, "EIO", RD_CALLS, RD_FAIL, EIO, false)
FAULT(failing_calls_for_good, "EIO for good", RD_CALLS, RD_FAIL, EIO, true)
FAULT(failing_allocations, "allocation", 0, RD_FAIL, 0, false)
FAULT(failing_allocations_for_good, "all allocations", 0, RD_FAIL, 0, true)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_without_space),
        cmocka_unit_test(writes_without_space_for_good),
        cmocka_unit_test(partial_writes),
        cmocka_unit_test(short_transfers),
        cmocka_unit_test(interrupted_transfers),
        cmocka_unit_test(failing_syncs),
        cmocka_unit_test(failing_syncs_for_good),
        cmocka_unit_test(failing_names),
        cmocka_unit_test(failing_cuts),
        cmocka_unit_test(too_many_files),
        cmocka_unit_test(too_many_files_for_good),
        cmocka_unit_test(access_denied),
        cmocka_unit_test(failing_calls),
        cmocka_unit_test(failing_calls_for_good),
        cmocka_unit_test(failing_allocations),
        cmocka_unit_test(failing_allocations_for_good),
    };
    /* By hand: FAULT=access_denied FAULT_THEME=purge FAULT_SEED=7 FAULT_TRIES=1000 */
    cmocka_set_test_filter(getenv("FAULT"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
