/* SPDX-License-Identifier: Apache-2.0 */
/* The subject table, its order, its walks and id sets, against brute force. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/format/subject.h"
#include "core/stream/subjects.h"

/* ---- an environment whose memory can run out ----------------------------------------------- */

static long allocs_left = -1; /* -1: unlimited */

static void *count_realloc(void *ctx, void *p, size_t size) {
    (void)ctx;
    if (allocs_left == 0)
        return NULL;
    if (allocs_left > 0)
        allocs_left--;
    return realloc(p, size);
}

static void count_free(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

static uint64_t rng_state = 88172645463325252ull;

static uint64_t rng(void) {
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state * UINT64_C(0x2545f4914f6cdd1d);
}

static uint32_t below(uint32_t n) {
    return (uint32_t)((rng() >> 32) % n);
}

static int fill_rand(void *ctx, void *buf, size_t len) {
    (void)ctx;
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)rng();
    return 0;
}

static const struct js_alloc test_alloc = {.realloc = count_realloc, .free = count_free};
static const struct js_rand test_rand = {.fill = fill_rand};
static const struct js_env env = {.alloc = &test_alloc, .rand = &test_rand};

/* ---- the model ------------------------------------------------------------------------------ */

#define MAX_NAMES 40000

struct model {
    char *names[MAX_NAMES]; /* by id */
    uint32_t count;
};

static size_t random_name(char *buf, bool filter) {
    static const char *const words[] = {"a",
                                        "b",
                                        "aa",
                                        "ab",
                                        "a-",
                                        "a!",
                                        "b0",
                                        "zebra",
                                        "x1",
                                        "x2",
                                        "a-rather-long-token-that-leaves-the-line"};
    uint32_t tokens = 1 + below(5);
    char *p = buf;

    for (uint32_t i = 0; i < tokens; i++) {
        if (i)
            *p++ = '.';
        uint32_t kind = below(10);
        if (filter && kind < 4) {
            *p++ = '*';
        } else if (filter && kind == 4 && i + 1 == tokens) {
            *p++ = '>';
        } else if (kind < 9) {
            p = stpcpy(p, words[below(sizeof words / sizeof *words)]);
        } else {
            p += sprintf(p, "%u", below(8));
        }
    }
    *p = 0;
    return (size_t)(p - buf);
}

static void intern_checked(struct js_subjects *s, struct model *m, const char *name, size_t len) {
    uint32_t id;
    uint32_t before = js_subjects_find(s, name, len);

    uint32_t hash = js_subjects_ahead(s, name, len);
    assert_int_equal(js_subjects_find_hashed(s, hash, name, len), before);
    /* Probably the one; never one that does not exist. */
    uint32_t near = js_subjects_nearer(s, hash);
    assert_true(near == JS_NO_ID || near < s->count);
    assert_int_equal(js_subjects_intern(s, name, len, &id), 0);
    if (before != JS_NO_ID) {
        assert_int_equal(id, before);
    } else {
        assert_int_equal(id, m->count);
        m->names[m->count++] = strndup(name, len);
    }
    assert_string_equal(m->names[id], name);
    assert_int_equal(s->lines[id].len, len);
    assert_memory_equal(js_subject_name(&s->lines[id]), name, len);
}

static void model_free(struct model *m) {
    for (uint32_t i = 0; i < m->count; i++)
        free(m->names[i]);
    free(m);
}

/* Interns n random names; a third of the subjects stays without messages. */
static struct model *fill(struct js_subjects *s, uint32_t n) {
    struct model *m = calloc(1, sizeof *m);
    char name[512];

    for (uint32_t i = 0; i < n; i++) {
        size_t len = random_name(name, false);
        intern_checked(s, m, name, len);
        if (i % 997 == 0)
            assert_int_equal(js_subjects_build_order(s), 0);
    }
    for (uint32_t i = 0; i < m->count; i++)
        s->lines[i].count = below(3);
    assert_int_equal(js_subjects_build_order(s), 0);
    return m;
}

static void check_order(const struct js_subjects *s) {
    uint8_t *seen = calloc(s->count ? s->count : 1, 1);

    assert_int_equal(s->ordered, s->count);
    for (uint32_t i = 0; i < s->ordered; i++) {
        const struct js_subject_line *b = &s->lines[s->order[i]];
        assert_false(seen[s->order[i]]);
        seen[s->order[i]] = 1;
        if (i == 0)
            continue;
        const struct js_subject_line *a = &s->lines[s->order[i - 1]];
        assert_true(js_subject_cmp(js_subject_name(a), a->len, js_subject_name(b), b->len) < 0);
    }
    free(seen);
}

/* ---- interning ------------------------------------------------------------------------------ */

static void interning_gives_each_name_one_id(void **state) {
    (void)state;
    struct js_subjects s;
    js_subjects_init(&s, &env);
    assert_int_equal(js_subjects_find(&s, "a", 1), JS_NO_ID);
    struct model *m = fill(&s, 100000);
    assert_true(m->count > 5000);
    for (uint32_t i = 0; i < m->count; i++)
        assert_int_equal(js_subjects_find(&s, m->names[i], strlen(m->names[i])), i);
    assert_int_equal(js_subjects_find(&s, "not.there", 9), JS_NO_ID);
    assert_true(js_subjects_memory(&s) >= m->count * 64ull);
    assert_int_equal((uintptr_t)s.lines % 64, 0);
    check_order(&s);
    model_free(m);
    js_subjects_done(&s);
}

static void names_of_any_bytes_and_lengths_are_kept(void **state) {
    (void)state;
    struct js_subjects s;
    js_subjects_init(&s, &env);
    char *big = malloc(65535);
    uint32_t id;
    for (size_t i = 0; i < 65535; i++)
        big[i] = (char)(i * 7 % 251);
    /* Every length around the line's and the chunk's edges, all prefixes of one text. */
    size_t n = 0;
    for (size_t len = 0; len <= 65535; len = len < 300 ? len + 1 : len * 2 + 1, n++) {
        assert_int_equal(js_subjects_intern(&s, big, len, &id), 0);
        assert_int_equal(id, n);
    }
    assert_int_equal(js_subjects_intern(&s, big, 65535, &id), 0);
    for (size_t len = 0, k = 0; len <= 65535; len = len < 300 ? len + 1 : len * 2 + 1, k++) {
        assert_int_equal(js_subjects_find(&s, big, len), k);
        assert_memory_equal(js_subject_name(&s.lines[k]), big, len);
    }
    assert_int_equal(js_subjects_build_order(&s), 0);
    check_order(&s);
    free(big);
    js_subjects_done(&s);
}

static void long_runs_make_the_table_choose_a_new_seed(void **state) {
    (void)state;
    struct js_subjects s;
    char name[32];
    uint32_t id;
    js_subjects_init(&s, &env);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(js_subjects_intern(&s, name, (size_t)sprintf(name, "n.%u", i), &id), 0);
    /* Stands in for names made to collide: no group may be left after the first. */
    uint64_t seed = s.seed;
    s.run_limit = 1;
    uint32_t limit = s.run_limit;
    for (uint32_t i = 1000; i < 20000; i++)
        assert_int_equal(js_subjects_intern(&s, name, (size_t)sprintf(name, "n.%u", i), &id), 0);
    assert_true(s.seed != seed);
    assert_true(s.run_limit > limit && s.run_limit <= 64);
    for (uint32_t i = 0; i < 20000; i++)
        assert_int_equal(js_subjects_find(&s, name, (size_t)sprintf(name, "n.%u", i)), i);
    js_subjects_done(&s);
}

static void spans_widen_and_are_forgotten_with_the_messages(void **state) {
    (void)state;
    struct js_subjects s;
    char name[32];
    uint32_t id;
    js_subjects_init(&s, &env);
    for (uint32_t i = 0; i < 300; i++)
        assert_int_equal(js_subjects_intern(&s, name, (size_t)sprintf(name, "n.%u", i), &id), 0);
    assert_null(js_subjects_span(&s, 0));
    allocs_left = 0;
    assert_int_equal(js_subjects_widen(&s, 7, 3, 5), JS_ERR_NOMEM);
    allocs_left = -1;
    assert_int_equal(js_subjects_widen(&s, 7, 3, 5), 0);
    assert_int_equal(js_subjects_widen(&s, 299, 9, 9), 0);
    assert_int_equal(js_subjects_widen(&s, 7, 6, 6), 0);
    assert_int_equal(js_subjects_span(&s, 7)->first, 3);
    assert_int_equal(js_subjects_span(&s, 7)->last, 6);
    assert_int_equal(js_subjects_widen(&s, 7, 2, 4), 0);
    assert_int_equal(js_subjects_span(&s, 7)->first, 2);
    assert_int_equal(js_subjects_span(&s, 7)->last, 6);
    assert_int_equal(js_subjects_span(&s, 299)->first, 9);
    assert_int_equal(js_subjects_span(&s, 8)->first, 0);
    assert_int_equal(js_subjects_intern(&s, "late", 4, &id), 0);
    assert_int_equal(js_subjects_widen(&s, id, 11, 12), 0);
    assert_int_equal(js_subjects_span(&s, id)->last, 12);
    js_subjects_forget_msgs(&s);
    assert_null(js_subjects_span(&s, 7));
    js_subjects_done(&s);
}

static void running_out_of_memory_leaves_the_table_usable(void **state) {
    (void)state;
    for (long fail_at = 0; fail_at < 40; fail_at++) {
        struct js_subjects s;
        char name[80];
        uint32_t id, done = 0;
        js_subjects_init(&s, &env);
        allocs_left = fail_at;
        for (uint32_t i = 0; i < 3000; i++) {
            size_t len = (size_t)sprintf(name, "some.prefix.that.is.long.enough.to.leave.%u", i);
            int r = js_subjects_intern(&s, name, len, &id);
            if (r == 0 && i % 500 == 0)
                r = js_subjects_build_order(&s);
            if (r < 0) {
                assert_int_equal(r, JS_ERR_NOMEM);
                allocs_left = -1;
                assert_int_equal(js_subjects_intern(&s, name, len, &id), 0);
            }
            assert_int_equal(id, done++);
        }
        allocs_left = -1;
        assert_int_equal(js_subjects_build_order(&s), 0);
        assert_int_equal(s.count, 3000);
        check_order(&s);
        js_subjects_done(&s);
    }
}

/* ---- order ---------------------------------------------------------------------------------- */

static void order_is_right_for_names_with_long_common_prefixes(void **state) {
    (void)state;
    struct js_subjects s;
    char name[700];
    uint32_t id;
    js_subjects_init(&s, &env);
    memset(name, 'p', sizeof name);
    for (uint32_t i = 0; i < 3000; i++) {
        size_t at = below(600);
        char old = name[at];
        name[at] = ".-!a"[below(4)];
        assert_int_equal(js_subjects_intern(&s, name, at + 1 + below(20), &id), 0);
        name[at] = old;
        if (i % 700 == 0)
            assert_int_equal(js_subjects_build_order(&s), 0);
    }
    assert_false(js_subjects_order_ready(&s));
    assert_int_equal(js_subjects_build_order(&s), 0);
    assert_true(js_subjects_order_ready(&s));
    check_order(&s);
    js_subjects_done(&s);
}

static void order_is_right_for_inputs_that_spoil_quicksort(void **state) {
    (void)state;
    struct js_subjects s;
    char name[16];
    uint32_t id;
    js_subjects_init(&s, &env);
    /* Organ pipe, then falling. */
    for (uint32_t i = 0; i < 60000; i++) {
        uint32_t v = i < 20000 ? i * 2 : i < 40000 ? (40000 - i) * 2 + 1 : 200000 - i;
        assert_int_equal(js_subjects_intern(&s, name, (size_t)sprintf(name, "%08u", v), &id), 0);
    }
    assert_int_equal(js_subjects_build_order(&s), 0);
    check_order(&s);
    js_subjects_done(&s);
}

/* ---- matching ------------------------------------------------------------------------------- */

struct hits {
    const struct js_subjects *s;
    uint32_t *ids;
    uint32_t n;
    uint32_t stop_at;
};

static int collect(void *ctx, uint32_t id) {
    struct hits *h = ctx;
    h->ids[h->n++] = id;
    return h->n == h->stop_at ? 77 : 0;
}

static void matching_agrees_with_brute_force(void **state) {
    (void)state;
    struct js_subjects s;
    char filter[512];
    js_subjects_init(&s, &env);
    struct model *m = fill(&s, 8000);
    struct hits h = {.s = &s, .ids = calloc(m->count, sizeof(uint32_t))};
    uint64_t total = 0;

    for (int i = 0; i < 2000; i++) {
        size_t len = random_name(filter, true);
        bool all = i % 2;
        h.n = h.stop_at = 0;
        int r = all ? js_subjects_match_all(&s, filter, len, collect, &h)
                    : js_subjects_match(&s, filter, len, collect, &h);
        assert_int_equal(r, 0);
        uint32_t k = 0;
        for (uint32_t j = 0; j < s.ordered; j++) {
            uint32_t id = s.order[j];
            if ((!all && s.lines[id].count == 0) ||
                !js_subject_matches(m->names[id], strlen(m->names[id]), filter, len))
                continue;
            assert_true(k < h.n);
            assert_int_equal(h.ids[k++], id);
        }
        assert_int_equal(k, h.n);
        total += k;
    }
    assert_true(total > 10000);
    h.n = 0;
    h.stop_at = 3;
    assert_int_equal(js_subjects_match(&s, ">", 1, collect, &h), 77);
    assert_int_equal(h.n, 3);
    free(h.ids);
    model_free(m);
    js_subjects_done(&s);
}

static void malformed_subjects_from_disk_do_not_confuse_a_walk(void **state) {
    (void)state;
    static const char *const names[] = {"",    ".", "..", "a",   "a.",      "a..",  "a..b", ".a",
                                        "a.*", "*", ">",  "a.>", "b\x01.c", ".a.b", "a.b"};
    static const char *const filters[] = {">",     "*",   "*.*", "a.*", "a.*.b", "*.a",
                                          "*.*.*", "a.>", "*.>", "a",   "*.*.>", "*.b"};
    struct js_subjects s;
    uint32_t id, ids[32];
    js_subjects_init(&s, &env);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(js_subjects_intern(&s, names[i], strlen(names[i]), &id), 0);
        s.lines[id].count = 1;
    }
    assert_int_equal(js_subjects_build_order(&s), 0);
    for (size_t f = 0; f < sizeof filters / sizeof *filters; f++) {
        struct hits h = {.s = &s, .ids = ids};
        assert_int_equal(js_subjects_match(&s, filters[f], strlen(filters[f]), collect, &h), 0);
        uint32_t n = 0;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            n += js_subject_matches(names[i], strlen(names[i]), filters[f], strlen(filters[f]));
        assert_int_equal(h.n, n);
    }
    js_subjects_done(&s);
}

/* ---- tokens --------------------------------------------------------------------------------- */

struct token_row {
    char name[64];
    bool exact, children;
    uint32_t id;
};
struct token_list {
    struct token_row rows[256];
    size_t n;
    size_t stop_at;
};

static int take_token(void *ctx, const struct js_token *t) {
    struct token_list *l = ctx;
    struct token_row *row = &l->rows[l->n++];
    assert_true(t->len < sizeof row->name);
    memcpy(row->name, t->name, t->len);
    row->name[t->len] = 0;
    row->exact = t->exact;
    row->children = t->children;
    row->id = t->id;
    return l->n == l->stop_at ? 5 : 0;
}

static int row_cmp(const void *a, const void *b) {
    const struct token_row *x = a, *y = b;
    return js_subject_cmp(x->name, strlen(x->name), y->name, strlen(y->name));
}

static void tokens_by_force(const struct js_subjects *s, const struct model *m, const char *prefix,
                            struct token_list *l) {
    size_t plen = strlen(prefix), base = plen ? plen + 1 : 0;
    l->n = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        const char *name = m->names[i];
        if (s->lines[i].count == 0 || strlen(name) < base || strncmp(name, prefix, plen) != 0 ||
            (plen && name[plen] != '.'))
            continue;
        size_t len = strcspn(name + base, ".");
        struct token_row *row = NULL;
        for (size_t k = 0; k < l->n && !row; k++) {
            if (strlen(l->rows[k].name) == len && !strncmp(l->rows[k].name, name + base, len))
                row = &l->rows[k];
        }
        if (!row) {
            row = &l->rows[l->n++];
            memset(row, 0, sizeof *row);
            memcpy(row->name, name + base, len);
        }
        if (name[base + len])
            row->children = true;
        else
            row->exact = true;
    }
    qsort(l->rows, l->n, sizeof *l->rows, row_cmp);
}

static void child_tokens_agree_with_brute_force(void **state) {
    (void)state;
    struct js_subjects s;
    js_subjects_init(&s, &env);
    struct model *m = fill(&s, 6000);
    struct token_list *got = calloc(1, sizeof *got), *want = calloc(1, sizeof *want);
    char prefix[512];

    for (int i = 0; i < 600; i++) {
        *prefix = 0;
        if (i > 0)
            random_name(prefix, false);
        if (i % 50 == 0) /* some subtrees die whole */
            for (uint32_t k = 0; k < m->count; k++)
                s.lines[k].count = below(4) == 0;
        tokens_by_force(&s, m, prefix, want);
        got->n = got->stop_at = 0;
        assert_int_equal(js_subjects_tokens(&s, prefix, strlen(prefix), JS_NO_ID, take_token, got),
                         0);
        assert_int_equal(got->n, want->n);
        for (size_t k = 0; k < got->n; k++) {
            assert_string_equal(got->rows[k].name, want->rows[k].name);
            assert_int_equal(got->rows[k].exact, want->rows[k].exact);
            assert_int_equal(got->rows[k].children, want->rows[k].children);
        }
        /* In pieces: each goes on after the last one taken, even when that has died since. */
        size_t all = got->n;
        uint32_t after = JS_NO_ID;
        for (size_t k = 0; k < all; k++) {
            got->n = 0;
            got->stop_at = 1;
            assert_int_equal(js_subjects_tokens(&s, prefix, strlen(prefix), after, take_token, got),
                             5);
            assert_string_equal(got->rows[0].name, want->rows[k].name);
            after = got->rows[0].id;
            uint64_t kept = s.lines[after].count;
            s.lines[after].count = 0;
            got->n = got->stop_at = 0;
            js_subjects_tokens(&s, prefix, strlen(prefix), after, take_token, got);
            assert_int_equal(got->n, all - k - 1);
            s.lines[after].count = kept;
        }
    }
    assert_int_equal(js_subjects_tokens(&s, "zz", 2, 0, take_token, got), JS_ERR_INVAL);
    assert_int_equal(js_subjects_tokens(&s, "", 0, s.count, take_token, got), JS_ERR_INVAL);
    free(got);
    free(want);
    model_free(m);
    js_subjects_done(&s);
}

/* ---- id sets -------------------------------------------------------------------------------- */

static bool passes(const char *name, const struct js_filter *f) {
    bool any = false, all = true;
    for (size_t i = 0; i < f->count; i++) {
        bool hit = js_subject_matches(name, strlen(name), f->patterns[i], strlen(f->patterns[i]));
        any |= hit;
        all &= hit;
    }
    if (f->subtree && f->subtree_len &&
        (strncmp(name, f->subtree, f->subtree_len) != 0 ||
         (name[f->subtree_len] != '.' && name[f->subtree_len] != 0)))
        return false;
    return f->count == 0 || (f->any_of ? any : all);
}

static void id_sets_agree_with_brute_force_as_subjects_are_added(void **state) {
    (void)state;
    char texts[3][512], subtree[512], name[512];
    for (int round = 0; round < 120; round++) {
        struct js_subjects s;
        js_subjects_init(&s, &env);
        struct model *m = fill(&s, round % 3 == 0 ? 20000 : 500);
        const char *patterns[3] = {texts[0], texts[1], texts[2]};
        struct js_filter f = {.patterns = patterns, .count = below(4), .any_of = below(2)};
        for (size_t i = 0; i < f.count; i++)
            random_name(texts[i], true);
        if (f.count == 0 || below(3) == 0) {
            f.subtree = subtree;
            f.subtree_len = random_name(subtree, false);
        }
        struct js_id_set set;
        js_id_set_init(&set, &env);
        for (int step = 0; step < 3; step++) {
            uint32_t members = 0, last = JS_NO_ID;
            assert_int_equal(js_id_set_update(&set, &s, &f), 0);
            for (uint32_t id = 0; id < m->count; id++) {
                bool in = passes(m->names[id], &f);
                assert_int_equal(js_id_set_has(&set, id), in);
                members += in;
                last = in ? id : last;
            }
            assert_false(js_id_set_has(&set, m->count));
            assert_int_equal(set.members, members);
            if (members == 1)
                assert_int_equal(set.only, last);
            for (int i = 0; i < 300; i++)
                intern_checked(&s, m, name, random_name(name, false));
        }
        js_id_set_done(&set);
        model_free(m);
        js_subjects_done(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interning_gives_each_name_one_id),
        cmocka_unit_test(names_of_any_bytes_and_lengths_are_kept),
        cmocka_unit_test(long_runs_make_the_table_choose_a_new_seed),
        cmocka_unit_test(spans_widen_and_are_forgotten_with_the_messages),
        cmocka_unit_test(running_out_of_memory_leaves_the_table_usable),
        cmocka_unit_test(order_is_right_for_names_with_long_common_prefixes),
        cmocka_unit_test(order_is_right_for_inputs_that_spoil_quicksort),
        cmocka_unit_test(matching_agrees_with_brute_force),
        cmocka_unit_test(malformed_subjects_from_disk_do_not_confuse_a_walk),
        cmocka_unit_test(child_tokens_agree_with_brute_force),
        cmocka_unit_test(id_sets_agree_with_brute_force_as_subjects_are_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
