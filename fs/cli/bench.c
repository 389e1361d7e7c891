/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs bench`: how fast this machine stores, reads, removes and recovers. */
#include "fs/cli/bench.h"

#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cli/table.h"

#define MAX_RUNS 1000

enum {
    OPT_MESSAGES = JF_OPT_VERB, OPT_SIZE, OPT_SUBJECTS, OPT_HEADER, OPT_BATCH, OPT_RUNS,
    OPT_MAX_MSGS, OPT_MAX_PER_SUBJECT, OPT_WINDOW, OPT_NOISE, OPT_IN_PLACE, OPT_SYNC, OPT_COMPRESSION,
    OPT_CIPHER
};

static const struct jf_bench_workload workloads[] = {
    {"store", "storing, --batch messages a call", jf_bench_run_store},
    {"read", "loading in order and at random, matches, questions", jf_bench_run_read},
    {"remove", "removing one by one: half at random, every second, the first half",
     jf_bench_run_remove},
    {"purge", "removing by one call: all, a wildcard, one subject", jf_bench_run_purge},
    {"compact", "removing the first half by one call", jf_bench_run_compact},
    {"truncate", "removing the second half by one call", jf_bench_run_truncate},
    {"sync", "storing onto the disk, one and sixteen writers", jf_bench_run_sync},
    {"expire", "messages that age takes out", jf_bench_run_expire},
    {"backup", "the stream as an archive", jf_bench_run_backup},
    {"recover", "opening: by index.db, without it, after a crash", jf_bench_run_recover},
    {"consumer", "deliveries and acknowledgements, states, taking what comes next",
     jf_bench_run_consumer},
};
#define NWORKLOADS (sizeof workloads / sizeof workloads[0])

struct sample {
    double ns; /* per operation */
    uint64_t peak;
};

struct jf_bench_case {
    char name[48];
    uint64_t ops, bytes; /* of one run */
    struct sample *samples;
    size_t count;
};

/* ---- options ------------------------------------------------------------------------------ */

static const struct jf_opt opts[] = {
    {"messages", 'n', "N", OPT_MESSAGES, "messages in the stream (1000000)"},
    {"size", 's', "BYTES", OPT_SIZE, "payload of a message (128, at most 262144)"},
    {"subjects", 0, "N", OPT_SUBJECTS, "subjects that they are spread over (1)"},
    {"header", 0, "BYTES", OPT_HEADER, "header of a message (0, or 24 to 4096)"},
    {"batch", 0, "N", OPT_BATCH, "messages a call when storing (1024)"},
    {"runs", 0, "N", OPT_RUNS, "repeat; medians are printed (5)"},
    {"max-msgs", 0, "N", OPT_MAX_MSGS, "limit of the stream"},
    {"max-msgs-per-subject", 0, "N", OPT_MAX_PER_SUBJECT, "limit of the stream"},
    {"window", 0, "N", OPT_WINDOW, "messages in flight of a consumer (1000)"},
    {"noise", 0, NULL, OPT_NOISE, "payload without words"},
    {"in-place", 0, NULL, OPT_IN_PLACE, "every call hands its messages to the kernel"},
    {"sync", 0, NULL, OPT_SYNC, "every call waits until its messages are on disk"},
    {"cipher", 0, "NAME", OPT_CIPHER, "none, chacha or aes (none)"},
    {"compression", 0, "NAME", OPT_COMPRESSION, "none or s2 (none)"},
};

static const char *const cipher_names[] = {[JS_CIPHER_NEW_NONE] = "none",
                                           [JS_CIPHER_NEW_CHACHA] = "chacha",
                                           [JS_CIPHER_NEW_AES] = "aes"};

/* A whole number in min..max; false if the text is none. */
static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *ret) {
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno || *end || v < min || v > max)
        return false;
    *ret = v;
    return true;
}

static const char *take_option(struct jf_call *call, int id, const char *value) {
    struct jf_bench *b = call->data;

    switch (id) {
    case OPT_MESSAGES:
        return number(value, 1, UINT32_MAX, &b->msgs) ? NULL : "--messages needs a number from 1 on";
    case OPT_SIZE:
        b->size_given = true;
        return number(value, 0, JF_BENCH_MAX_SIZE, &b->size) ? NULL
                                                             : "--size needs a number up to 262144";
    case OPT_SUBJECTS:
        return number(value, 1, 100000000, &b->subjects) ? NULL
                                                         : "--subjects needs a number from 1 on";
    case OPT_HEADER:
        return number(value, 0, JF_BENCH_MAX_HEADER, &b->hdr) &&
                       (b->hdr == 0 || b->hdr >= JF_BENCH_MIN_HEADER)
                   ? NULL
                   : "--header needs 0 or a number from 24 to 4096";
    case OPT_BATCH:
        return number(value, 1, 65536, &b->batch) ? NULL : "--batch needs a number from 1 to 65536";
    case OPT_RUNS:
        return number(value, 1, MAX_RUNS, &b->runs) ? NULL : "--runs needs a number from 1 to 1000";
    case OPT_MAX_MSGS:
        return number(value, 1, INT64_MAX, &b->max_msgs) ? NULL
                                                         : "--max-msgs needs a number from 1 on";
    case OPT_MAX_PER_SUBJECT:
        return number(value, 1, INT64_MAX, &b->max_per_subject)
                   ? NULL
                   : "--max-msgs-per-subject needs a number from 1 on";
    case OPT_WINDOW:
        return number(value, 1, 10000000, &b->window) ? NULL : "--window needs a number from 1 on";
    case OPT_NOISE:
        b->noise = true;
        return NULL;
    case OPT_IN_PLACE:
        b->in_place = true;
        return NULL;
    case OPT_SYNC:
        b->sync = JS_SYNC_ALWAYS;
        return NULL;
    case OPT_CIPHER:
        for (int i = JS_CIPHER_NEW_NONE; i <= JS_CIPHER_NEW_AES; i++) {
            if (strcmp(value, cipher_names[i]) == 0) {
                b->cipher = (enum js_new_cipher)i;
                return NULL;
            }
        }
        return "--cipher needs none, chacha or aes";
    default:
        b->compression = value;
        return strcmp(value, "none") == 0 || strcmp(value, "s2") == 0
                   ? NULL
                   : "--compression needs none or s2";
    }
}

static const struct jf_bench_workload *find_workload(const char *name) {
    for (size_t i = 0; i < NWORKLOADS; i++)
        if (strcmp(workloads[i].name, name) == 0)
            return &workloads[i];
    return NULL;
}

/* What was not given. */
static const char *check(struct jf_call *call) {
    static const struct {
        size_t at;
        uint64_t value;
    } defaults[] = {
        {offsetof(struct jf_bench, msgs), 1000000}, {offsetof(struct jf_bench, subjects), 1},
        {offsetof(struct jf_bench, batch), 1024},   {offsetof(struct jf_bench, runs), 5},
        {offsetof(struct jf_bench, window), 1000},
    };
    struct jf_bench *b = call->data;

    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        uint64_t *field = (uint64_t *)(void *)((char *)b + defaults[i].at);
        if (*field == 0)
            *field = defaults[i].value;
    }
    if (!b->size_given)
        b->size = 128;
    if (b->sync != JS_SYNC_ALWAYS)
        b->sync = JS_SYNC_OS;
    if (!b->compression)
        b->compression = "none";
    return find_workload(call->words[0]) ? NULL : "no such workload";
}

/* ---- measuring ---------------------------------------------------------------------------- */

void jf_bench_start(struct jf_bench *b) {
    jf_bench_reset_peak();
    b->started = js_env_default()->clock->monotonic(NULL);
}

static struct jf_bench_case *case_of(struct jf_bench *b, const char *name) {
    for (size_t i = 0; i < b->ncases; i++)
        if (strcmp(b->cases[i].name, name) == 0)
            return &b->cases[i];
    struct jf_bench_case *p = realloc(b->cases, (b->ncases + 1) * sizeof *p);
    if (!p)
        return NULL;
    b->cases = p;
    p += b->ncases;
    *p = (struct jf_bench_case){.samples = calloc(b->runs, sizeof *p->samples)};
    if (!p->samples)
        return NULL;
    snprintf(p->name, sizeof p->name, "%s", name);
    b->ncases++;
    return p;
}

int jf_bench_stop(struct jf_bench *b, const char *name, uint64_t ops, uint64_t bytes) {
    double ns = (double)(js_env_default()->clock->monotonic(NULL) - b->started);
    uint64_t peak = jf_bench_peak();
    struct jf_bench_case *c = case_of(b, name);

    if (!c)
        return JS_ERR_NOMEM;
    c->ops = ops;
    c->bytes = bytes;
    if (c->count < b->runs)
        c->samples[c->count++] = (struct sample){.ns = ns / (double)(ops ? ops : 1), .peak = peak};
    return 0;
}

int jf_bench_expect(const struct jf_bench *b, const char *what, uint64_t got, uint64_t want) {
    if (got == want)
        return 0;
    jf_say(b->call->words[0], "%s: %" PRIu64 ", not %" PRIu64 ": this is a bug of jetfs", what, got,
           want);
    return JF_BENCH_TOLD;
}

/* ---- results ------------------------------------------------------------------------------ */

static int cmp_ns(const void *a, const void *b) {
    double x = ((const struct sample *)a)->ns, y = ((const struct sample *)b)->ns;
    return (x > y) - (x < y);
}

/* The sample in the middle. */
static struct sample median(struct jf_bench_case *c) {
    qsort(c->samples, c->count, sizeof *c->samples, cmp_ns);
    return c->samples[c->count / 2];
}

static double rate(double ns) {
    return ns > 0 ? 1e9 / ns : 0;
}

static double megabytes(const struct jf_bench_case *c, double ns) {
    double per_op = (double)c->bytes / (double)(c->ops ? c->ops : 1);
    return ns > 0 ? per_op * 1e3 / ns : 0;
}

static void print_text(struct jf_bench *b, struct jf_out *out) {
    static const char *const heads[] = {"case", "ops", "ops/s", "ns/op", "MB/s", "peak RSS MiB"};
    struct jf_table t;

    jf_table_init(&t, sizeof heads / sizeof heads[0]);
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        jf_table_add(&t, heads[i]);
    for (size_t i = 0; i < b->ncases; i++) {
        struct jf_bench_case *c = &b->cases[i];
        struct sample s = median(c);
        jf_table_add(&t, c->name);
        jf_table_addf(&t, "%" PRIu64, c->ops);
        jf_table_addf(&t, "%.0f", rate(s.ns));
        jf_table_addf(&t, "%.1f", s.ns);
        jf_table_addf(&t, "%.1f", megabytes(c, s.ns));
        jf_table_addf(&t, "%.1f", (double)s.peak / (1 << 20));
    }
    jf_table_finish(&t, out);
}

static void print_json(struct jf_bench *b, struct jf_out *out) {
    jf_out_printf(out, "{\n  \"workload\": \"%s\",\n", b->call->words[0]);
    jf_out_printf(out,
                  "  \"messages\": %" PRIu64 ", \"size\": %" PRIu64 ", \"subjects\": %" PRIu64
                  ", \"header\": %" PRIu64 ", \"batch\": %" PRIu64 ", \"runs\": %" PRIu64 ",\n",
                  b->msgs, b->size, b->subjects, b->hdr, b->batch, b->runs);
    jf_out_printf(out,
                  "  \"flush\": \"%s\", \"sync\": \"%s\", \"compression\": \"%s\", \"cipher\": \"%s\",\n",
                  b->in_place ? "in place" : "asynchronous",
                  b->sync == JS_SYNC_ALWAYS ? "always" : "os", b->compression,
                  cipher_names[b->cipher]);
    jf_out_text(out, "  \"cases\": [");
    for (size_t i = 0; i < b->ncases; i++) {
        struct jf_bench_case *c = &b->cases[i];
        struct sample s = median(c);
        jf_out_printf(out,
                      "%s\n    {\"case\": \"%s\", \"ops\": %" PRIu64 ", \"ops_per_s\": %.1f, "
                      "\"ns_per_op\": %.1f, \"mb_per_s\": %.1f, \"peak_rss_mib\": %.1f, \"ns_runs\": [",
                      i ? "," : "", c->name, c->ops, rate(s.ns), s.ns, megabytes(c, s.ns),
                      (double)s.peak / (1 << 20));
        for (size_t k = 0; k < c->count; k++)
            jf_out_printf(out, "%s%.1f", k ? ", " : "", c->samples[k].ns);
        jf_out_text(out, "]}");
    }
    jf_out_text(out, "\n  ]\n}\n");
}

/* ---- running ------------------------------------------------------------------------------ */

static int make_names(struct jf_bench *b) {
    b->names = calloc(b->subjects, sizeof *b->names);
    b->name_lens = calloc(b->subjects, sizeof *b->name_lens);
    if (!b->names || !b->name_lens)
        return JS_ERR_NOMEM;
    for (uint64_t id = 0; id < b->subjects; id++)
        b->name_lens[id] = (uint32_t)jf_bench_subject(b->subjects, id, b->names[id]);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int run(struct jf_call *call) {
    struct jf_bench *b = call->data;
    const struct jf_bench_workload *w = find_workload(call->words[0]);
    const char *tmp = getenv("TMPDIR");
    const char *where = call->nwords > 1 ? call->words[1] : tmp && tmp[0] ? tmp : "/tmp";
    int n = snprintf(b->dir, sizeof b->dir, "%s/jetfs-bench.XXXXXX", where);

    b->call = call;
    if (n < 0 || (size_t)n >= sizeof b->dir || !mkdtemp(b->dir)) {
        jf_say(where, "%s", strerror(errno));
        return JF_EXIT_SYSTEM;
    }
    int r = make_names(b);
    for (b->run = 0; b->run < b->runs && r == 0; b->run++)
        r = w->run(b);
    nftw(b->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (r < 0)
        return jf_cli_error(call, call->words[0], r, NULL);
    if (r > 0)
        return JF_EXIT_SYSTEM;
    if (call->json)
        print_json(b, call->out);
    else
        print_text(b, call->out);
    return JF_EXIT_OK;
}

static void done(struct jf_call *call) {
    struct jf_bench *b = call->data;

    for (size_t i = 0; i < b->ncases; i++)
        free(b->cases[i].samples);
    free(b->cases);
    free(b->names);
    free(b->name_lens);
}

const struct jf_verb jf_verb_bench = {
    .name = "bench",
    .synopsis = "WORKLOAD [DIR] [OPTIONS]",
    .summary = "measure storing, reading, removing, opening",
    .details = "Makes a stream in a new directory below DIR ($TMPDIR, or /tmp), does what WORKLOAD\n"
               "says with it, as often as --runs says, and removes it. Prints the median of each\n"
               "case: operations a second, nanoseconds each, payload, peak of resident memory.\n"
               "Answers are checked; a wrong one is an error.\n"
               "\n"
               "Workloads:\n"
               "  store    storing, --batch messages a call\n"
               "  read     loading in order and at random, by subject and filter, counting\n"
               "  remove   removing one by one: half at random, every second, the first half\n"
               "  purge    removing by one call: all, a wildcard, one subject\n"
               "  compact  removing the first half by one call\n"
               "  truncate removing the second half by one call\n"
               "  sync     storing onto the disk, one and sixteen writers, at most 5,000 each\n"
               "  expire   messages that age takes out\n"
               "  backup   the stream as an archive, without and with a check of each message\n"
               "  recover  opening: by index.db, without it, after a crash\n"
               "\n"
               "Exit: 0 done; 1 usage, or not possible; 2 system error, or a wrong answer.\n",
    .opts = opts,
    .nopts = sizeof opts / sizeof opts[0],
    .min_words = 1,
    .max_words = 2,
    .data_size = sizeof(struct jf_bench),
    .usage = JF_EXIT_REFUSED,
    .refused = JF_EXIT_REFUSED,
    .failed = JF_EXIT_SYSTEM,
    .option = take_option,
    .check = check,
    .run = run,
    .done = done,
};
