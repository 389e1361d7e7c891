/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorting many subjects by name without reading each name log2(n) times.
 *
 * Eight bytes of every name, mapped so that '.' is lowest, stand beside the id in an array that is
 * sorted by them alone. Runs that are equal so far are put on a list and sorted again by their next
 * eight bytes; short runs are finished by comparing names. Sorting by eight bytes is quicksort,
 * ending in heap sort when it splits badly, so that no input makes it slow.
 */
#include "core/stream/subject_sort.h"

#include "core/base/mem.h"
#include "core/format/subject.h"

#define SHORT_RUN 12u

struct entry {
    uint64_t chunk; /* eight mapped bytes from the current depth on, big-endian, 0 behind the end */
    uint32_t left;  /* how many of them are the name's: an ended name sorts first */
    uint32_t id;
};

/* Entries lo..hi-1 agree in their first depth bytes. */
struct run {
    uint32_t lo, hi, depth;
};

struct sorter {
    const struct js_subjects *subjects;
    struct entry *e;
    struct run *runs; /* waiting */
    size_t num_runs;
    size_t cap_runs;
};

static void load_chunk(const struct js_subjects *s, struct entry *e, uint32_t depth) {
    const struct js_subject_line *line = &s->lines[e->id];
    const unsigned char *p = (const unsigned char *)js_subject_name(line) + depth;
    uint32_t n = line->len - depth;
    uint64_t v = 0;

    e->left = n < 8 ? n : 8;
    for (uint32_t i = 0; i < e->left; i++) {
        uint64_t b = p[i] == '.' ? 0 : p[i] < '.' ? p[i] + 1u : p[i];
        v |= b << (56 - 8 * i);
    }
    e->chunk = v;
}

static bool less(const struct entry *a, const struct entry *b) {
    return a->chunk != b->chunk ? a->chunk < b->chunk : a->left < b->left;
}

static void swap(struct entry *a, struct entry *b) {
    struct entry t = *a;
    *a = *b;
    *b = t;
}

static void insertion_sort(struct entry *e, size_t n) {
    for (size_t i = 1; i < n; i++) {
        struct entry x = e[i];
        size_t j = i;
        for (; j > 0 && less(&x, &e[j - 1]); j--)
            e[j] = e[j - 1];
        e[j] = x;
    }
}

static void sift_down(struct entry *e, size_t i, size_t n) {
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && less(&e[child], &e[child + 1]))
            child++;
        if (!less(&e[i], &e[child]))
            return;
        swap(&e[i], &e[child]);
    }
}

static void heap_sort(struct entry *e, size_t n) {
    for (size_t i = n / 2; i > 0; i--)
        sift_down(e, i - 1, n);
    for (size_t i = n; i > 1; i--) {
        swap(&e[0], &e[i - 1]);
        sift_down(e, 0, i - 1);
    }
}

/* Splits n > 2 entries around their median of three; the pivot ends at the place returned. */
static size_t split(struct entry *e, size_t n) {
    size_t mid = n / 2, last = n - 1;

    if (less(&e[mid], &e[0]))
        swap(&e[mid], &e[0]);
    if (less(&e[last], &e[0]))
        swap(&e[last], &e[0]);
    if (less(&e[last], &e[mid]))
        swap(&e[last], &e[mid]);
    swap(&e[mid], &e[last - 1]);
    const struct entry pivot = e[last - 1];
    size_t i = 0, j = last - 1;
    for (;;) {
        while (less(&e[++i], &pivot))
            ;
        while (less(&pivot, &e[--j]))
            ;
        if (i >= j)
            break;
        swap(&e[i], &e[j]);
    }
    swap(&e[i], &e[last - 1]);
    return i;
}

static void sort_chunks(struct entry *entries, size_t count) {
    /* The larger part waits, the smaller is gone on with: 64 places are enough. */
    struct {
        struct entry *e;
        size_t n;
        unsigned budget;
    } stack[64];
    unsigned depth = 0;
    struct entry *e = entries;
    size_t n = count;
    unsigned budget = 2 * (64 - (unsigned)__builtin_clzll(count | 1));

    for (;;) {
        while (n > 16 && budget > 0) {
            size_t p = split(e, n);
            size_t right = n - p - 1;
            budget--;
            if (p < right) {
                stack[depth].e = e + p + 1;
                stack[depth].n = right;
                stack[depth++].budget = budget;
                n = p;
            } else {
                stack[depth].e = e;
                stack[depth].n = p;
                stack[depth++].budget = budget;
                e += p + 1;
                n = right;
            }
        }
        if (n > 16)
            heap_sort(e, n);
        else
            insertion_sort(e, n);
        if (depth == 0)
            return;
        e = stack[--depth].e;
        n = stack[depth].n;
        budget = stack[depth].budget;
    }
}

/* A few entries that agree so far: by their names. */
static void sort_short(const struct js_subjects *s, struct entry *e, size_t n, uint32_t depth) {
    for (size_t i = 1; i < n; i++) {
        struct entry x = e[i];
        const struct js_subject_line *a = &s->lines[x.id];
        size_t j = i;
        for (; j > 0; j--) {
            const struct js_subject_line *b = &s->lines[e[j - 1].id];
            if (js_subject_cmp(js_subject_name(a) + depth, a->len - depth,
                               js_subject_name(b) + depth, b->len - depth) >= 0)
                break;
            e[j] = e[j - 1];
        }
        e[j] = x;
    }
}

static int push_run(struct sorter *t, uint32_t lo, uint32_t hi, uint32_t depth) {
    if (t->num_runs == t->cap_runs) {
        const struct js_env *env = t->subjects->env;
        size_t cap = t->cap_runs ? t->cap_runs * 2 : 64;
        struct run *runs = js_realloc_array(env, t->runs, cap, sizeof *runs);
        if (!runs)
            return JS_ERR_NOMEM;
        t->runs = runs;
        t->cap_runs = cap;
    }
    t->runs[t->num_runs++] = (struct run){lo, hi, depth};
    return 0;
}

/* Sorts one run by eight bytes and lists the runs that are still equal. */
static int sort_run(struct sorter *t, struct run run) {
    struct entry *e = t->e;

    for (uint32_t i = run.lo; i < run.hi; i++)
        load_chunk(t->subjects, &e[i], run.depth);
    sort_chunks(e + run.lo, run.hi - run.lo);
    for (uint32_t i = run.lo, j; i < run.hi; i = j) {
        for (j = i + 1; j < run.hi && e[j].chunk == e[i].chunk && e[j].left == e[i].left; j++)
            ;
        /* Names differ, so equal ones go on behind these eight bytes. */
        if (j - i < 2 || e[i].left < 8)
            continue;
        if (j - i <= SHORT_RUN) {
            sort_short(t->subjects, e + i, j - i, run.depth + 8);
        } else {
            int r = push_run(t, i, j, run.depth + 8);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

int js_subjects_sort_ids(const struct js_subjects *subjects, uint32_t *ids, uint32_t n) {
    const struct js_env *env = subjects->env;
    struct sorter t = {.subjects = subjects};

    t.e = js_realloc_array(env, NULL, n, sizeof *t.e);
    if (!t.e)
        return JS_ERR_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        t.e[i].id = ids[i];
    int r = push_run(&t, 0, n, 0);
    while (r == 0 && t.num_runs > 0)
        r = sort_run(&t, t.runs[--t.num_runs]);
    for (uint32_t i = 0; i < n && r == 0; i++)
        ids[i] = t.e[i].id;
    js_free(env, t.runs);
    js_free(env, t.e);
    return r;
}
