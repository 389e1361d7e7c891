/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of subject ids that match a filter. Matching every name costs some ten nanoseconds a name,
 * read in the order of the ids; a walk over the order visits only what can match, but in an order
 * that jumps. The walk pays when many names are undecided and literal tokens narrow it.
 */
#include "core/base/mem.h"
#include "core/format/subject.h"
#include "core/stream/subjects.h"

#define WALK_FROM 2048u /* undecided names from which a walk pays */

void js_id_set_init(struct js_id_set *set, const struct js_env *env) {
    *set = (struct js_id_set){.env = env, .only = JS_NO_ID};
}

void js_id_set_done(struct js_id_set *set) {
    if (set->env)
        js_free(set->env, set->bits);
    js_id_set_init(set, set->env);
}

static int grow(struct js_id_set *set, uint32_t count) {
    uint32_t words = (uint32_t)(((uint64_t)count + 63) / 64);

    if (words <= set->cap_words)
        return 0;
    uint64_t cap = set->cap_words * 3ull / 2;
    if (cap < words)
        cap = words;
    uint64_t *bits = js_realloc_array(set->env, set->bits, (size_t)cap, sizeof *bits);
    if (!bits)
        return JS_ERR_NOMEM;
    memset(bits + set->cap_words, 0, (size_t)(cap - set->cap_words) * sizeof *bits);
    set->bits = bits;
    set->cap_words = (uint32_t)cap;
    return 0;
}

int js_id_set_copy(struct js_id_set *set, const struct js_id_set *from) {
    int r = grow(set, from->upto);

    if (r < 0)
        return r;
    if (from->upto)
        memcpy(set->bits, from->bits, ((size_t)from->upto + 63) / 64 * sizeof *set->bits);
    set->upto = from->upto;
    set->members = from->members;
    set->only = from->only;
    return 0;
}

static void add(struct js_id_set *set, uint32_t id) {
    uint64_t bit = UINT64_C(1) << (id & 63);

    if (set->bits[id >> 6] & bit)
        return;
    set->bits[id >> 6] |= bit;
    set->only = set->members++ == 0 ? id : JS_NO_ID;
}

static bool in_subtree(const char *name, size_t len, const struct js_filter *filter) {
    size_t n = filter->subtree ? filter->subtree_len : 0;

    return n == 0 ||
           (len >= n && memcmp(name, filter->subtree, n) == 0 && (len == n || name[n] == '.'));
}

static bool passes(const struct js_subject_line *line, const struct js_filter *filter) {
    const char *name = js_subject_name(line);

    if (!in_subtree(name, line->len, filter))
        return false;
    for (size_t i = 0; i < filter->count; i++) {
        const char *pattern = filter->patterns[i];
        bool hit = js_subject_matches(name, line->len, pattern, strlen(pattern));
        if (hit == filter->any_of)
            return hit;
    }
    return filter->count == 0 || !filter->any_of;
}

/* Number of literal tokens' bytes: how much a pattern narrows a walk. */
static size_t narrowness(const char *pattern) {
    size_t n = 0;

    for (const char *p = pattern; *p; p++)
        n += *p != '*' && *p != '>' && *p != '.';
    return n;
}

struct walk {
    struct js_id_set *set;
    const struct js_subjects *subjects;
    const struct js_filter *filter;
};

static int walk_one(void *ctx, uint32_t id) {
    const struct walk *w = ctx;

    if (id >= w->set->upto && passes(&w->subjects->lines[id], w->filter))
        add(w->set, id);
    return 0;
}

static void walk_pattern(struct walk *w, const char *pattern) {
    js_subjects_match_all(w->subjects, pattern, strlen(pattern), walk_one, w);
}

/* Decides by walking the order; false if the filter does not narrow enough. */
static bool decide_by_walk(struct walk *w) {
    const struct js_filter *f = w->filter;
    size_t best = 0;

    if (f->count == 0)
        return false;
    for (size_t i = 1; i < f->count; i++) {
        bool better = narrowness(f->patterns[i]) > narrowness(f->patterns[best]);
        /* All must match: the narrowest is walked. One is enough: the widest decides. */
        if (better != f->any_of)
            best = i;
    }
    if (narrowness(f->patterns[best]) == 0)
        return false;
    if (!f->any_of)
        walk_pattern(w, f->patterns[best]);
    for (size_t i = 0; i < f->count && f->any_of; i++)
        walk_pattern(w, f->patterns[i]);
    return true;
}

int js_id_set_update(struct js_id_set *set, const struct js_subjects *subjects,
                     const struct js_filter *filter) {
    uint32_t count = subjects->count;
    struct walk w = {.set = set, .subjects = subjects, .filter = filter};

    if (set->upto >= count)
        return 0;
    int r = grow(set, count);
    if (r < 0)
        return r;
    /* A walk pays per visited subject of the whole order, so most must be undecided. */
    if (count - set->upto < WALK_FROM || count - set->upto < count / 4 ||
        !js_subjects_order_ready(subjects) || !decide_by_walk(&w)) {
        for (uint32_t id = set->upto; id < count; id++) {
            if (passes(&subjects->lines[id], filter))
                add(set, id);
        }
    }
    set->upto = count;
    return 0;
}
