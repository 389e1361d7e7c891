/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order over subject names, and the walks over it.
 *
 * Names sort with '.' lowest (js_subject_cmp), so a subject is followed at once by everything below
 * it, and each subtree is one stretch of the order. A walk therefore is a cursor that looks at one
 * name and then either steps or seeks: forward to the next place a filter's literal tokens allow,
 * or past the subtree it stands in. A seek doubles its stride until it is past the goal and then
 * halves (galloping), so near goals cost little and far ones log2(distance).
 *
 * What is new is sorted alone (subject_sort.c) and merged from the back: each new name gallops from
 * the place of its successor, and what lies between moves in one piece.
 */
#include <string.h>

#include "core/base/mem.h"
#include "core/format/subject.h"
#include "core/stream/subject_sort.h"
#include "core/stream/subjects.h"

/* A key in two pieces: text that a name begins with, and a filter's tokens behind it. */
struct key {
    const char *a;
    size_t alen;
    const char *b;
    size_t blen;
};

static const struct js_subject_line *line_at(const struct js_subjects *s, uint32_t pos) {
    return &s->lines[s->order[pos]];
}

static int cmp_key(const struct js_subject_line *line, const struct key *key) {
    const char *name = js_subject_name(line);
    size_t n = line->len < key->alen ? line->len : key->alen;
    int c = js_subject_cmp(name, n, key->a, key->alen);

    return c != 0 ? c : js_subject_cmp(name + n, line->len - n, key->b, key->blen);
}

/* True if the name is the prefix (without trailing dot) or lies below it. */
static bool is_under(const struct js_subject_line *line, const char *prefix, size_t len) {
    const char *name = js_subject_name(line);

    return line->len >= len && (len == 0 || memcmp(name, prefix, len) == 0) &&
           (line->len == len || name[len] == '.');
}

/* True if the name stands before the goal: below the key, or (past) not yet behind key's subtree.
 */
static bool before(const struct js_subjects *s, uint32_t pos, const struct key *key, bool past) {
    const struct js_subject_line *line = line_at(s, pos);

    if (past && is_under(line, key->a, key->alen))
        return true;
    return cmp_key(line, key) < 0;
}

/* First position >= pos that is not before the goal. */
static uint32_t seek(const struct js_subjects *s, uint32_t pos, const struct key *key, bool past) {
    uint64_t step = 1, lo = pos, hi = pos;

    while (hi < s->ordered && before(s, (uint32_t)hi, key, past)) {
        lo = hi + 1;
        hi += step;
        step *= 2;
    }
    if (hi > s->ordered)
        hi = s->ordered;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (before(s, (uint32_t)mid, key, past))
            lo = mid + 1;
        else
            hi = mid;
    }
    return (uint32_t)lo;
}

/* First position >= pos behind the prefix and all that lies below it. */
static uint32_t seek_past(const struct js_subjects *s, uint32_t pos, const char *prefix,
                          size_t len) {
    struct key key = {.a = prefix, .alen = len};
    return seek(s, pos, &key, true);
}

bool js_subjects_order_ready(const struct js_subjects *subjects) {
    return subjects->ordered == subjects->count;
}

/* Number of the first `n` ordered ids that stand before id, looking from the back. */
static uint32_t rank_from_back(const struct js_subjects *s, uint32_t n, uint32_t id) {
    const struct js_subject_line *line = &s->lines[id];
    struct key key = {.a = js_subject_name(line), .alen = line->len};
    uint32_t lo = 0, hi = n;

    for (uint64_t step = 1; step <= hi; step *= 2) {
        uint32_t mid = hi - (uint32_t)step;
        if (cmp_key(line_at(s, mid), &key) < 0) {
            lo = mid + 1;
            break;
        }
        hi = mid;
    }
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (cmp_key(line_at(s, mid), &key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int js_subjects_build_order(struct js_subjects *subjects) {
    struct js_subjects *s = subjects;
    uint32_t fresh = s->count - s->ordered;

    if (fresh == 0)
        return 0;
    uint32_t *ids = js_realloc_array(s->env, NULL, fresh, sizeof *ids);
    if (!ids)
        return JS_ERR_NOMEM;
    for (uint32_t i = 0; i < fresh; i++)
        ids[i] = s->ordered + i;
    int r = js_subjects_sort_ids(s, ids, fresh);
    uint32_t *order = r < 0 ? NULL : js_realloc_array(s->env, s->order, s->count, sizeof *order);
    if (!order) {
        js_free(s->env, ids);
        return r < 0 ? r : JS_ERR_NOMEM;
    }
    s->order = order;
    uint32_t end = s->ordered;
    for (uint32_t k = fresh; k > 0; k--) {
        uint32_t pos = rank_from_back(s, end, ids[k - 1]);
        memmove(order + pos + k, order + pos, (size_t)(end - pos) * sizeof *order);
        order[pos + k - 1] = ids[k - 1];
        end = pos;
    }
    s->ordered = s->count;
    js_free(s->env, ids);
    return 0;
}

/* What to do with the name under the cursor. */
enum verdict { MATCH, STEP, SEEK, SKIP, STOP };

/* The filter's tokens from off up to the next wildcard, without the dot before it. */
static size_t literal_run(const char *filter, size_t len, size_t off) {
    bool literal;
    size_t n = js_filter_literal_prefix(filter + off, len - off, &literal);
    return literal ? n : n - 1;
}

static bool is_token(const char *p, size_t len, char c) {
    return len == 1 && *p == c;
}

/*
 * Holds a name against the filter. SEEK: *ret_key is the least name that can match from here.
 * SKIP: nothing below the first *ret_key->alen bytes of the name can match any more.
 */
static enum verdict judge(const struct js_subject_line *line, const char *filter, size_t flen,
                          struct key *ret_key) {
    const char *name = js_subject_name(line);
    size_t nlen = line->len;
    size_t n = 0, f = 0;
    bool wild = false; /* a '*' was passed; ret_key is the name up to its end */

    for (;;) {
        const char *nd = nlen > n ? memchr(name + n, '.', nlen - n) : NULL;
        const char *fd = flen > f ? memchr(filter + f, '.', flen - f) : NULL;
        size_t nt = nd ? (size_t)(nd - name) - n : nlen - n;
        size_t ft = fd ? (size_t)(fd - filter) - f : flen - f;

        if (!fd && is_token(filter + f, ft, '>'))
            return MATCH;
        if (is_token(filter + f, ft, '*')) {
            wild = true;
            *ret_key = (struct key){.a = name, .alen = n + nt};
        } else {
            int c = js_subject_cmp(name + n, nt, filter + f, ft);
            if (c < 0) {
                *ret_key = (struct key){name, n, filter + f, literal_run(filter, flen, f)};
                return SEEK;
            }
            if (c > 0)
                return wild ? SKIP : STOP;
        }
        if (!fd) {
            if (!nd)
                return MATCH;
            return wild ? SKIP : STOP;
        }
        if (!nd)
            return STEP;
        n += nt + 1;
        f += ft + 1;
    }
}

static int match(const struct js_subjects *s, const char *filter, size_t len, bool live_only,
                 int (*fn)(void *ctx, uint32_t id), void *ctx) {
    uint32_t pos = 0;

    while (pos < s->ordered) {
        const struct js_subject_line *line = line_at(s, pos);
        struct key key = {0};
        int r;

        switch (judge(line, filter, len, &key)) {
        case MATCH:
            r = !live_only || line->count > 0 ? fn(ctx, s->order[pos]) : 0;
            if (r != 0)
                return r;
            pos++;
            break;
        case STEP:
            pos++;
            break;
        case SEEK:
            pos = seek(s, pos + 1, &key, false);
            break;
        case SKIP:
            pos = seek_past(s, pos + 1, key.a, key.alen);
            break;
        case STOP:
            return 0;
        }
    }
    return 0;
}

int js_subjects_match(const struct js_subjects *subjects, const char *filter, size_t len,
                      int (*fn)(void *ctx, uint32_t id), void *ctx) {
    return match(subjects, filter, len, true, fn, ctx);
}

int js_subjects_match_all(const struct js_subjects *subjects, const char *filter, size_t len,
                          int (*fn)(void *ctx, uint32_t id), void *ctx) {
    return match(subjects, filter, len, false, fn, ctx);
}

/* Fills in what is live at and below the token; false if nothing is. pos is the first name of it.
 */
static bool look_below(const struct js_subjects *s, uint32_t pos, const char *path, size_t len,
                       struct js_token *token) {
    token->exact = false;
    token->children = false;
    for (; pos < s->ordered; pos++) {
        const struct js_subject_line *line = line_at(s, pos);
        if (!is_under(line, path, len))
            break;
        if (line->count == 0)
            continue;
        if (line->len == len) {
            token->exact = true;
        } else {
            token->children = true;
            token->id = s->order[pos];
            return true;
        }
        token->id = s->order[pos];
    }
    return token->exact;
}

int js_subjects_tokens(const struct js_subjects *subjects, const char *prefix, size_t len,
                       uint32_t after_id, int (*fn)(void *ctx, const struct js_token *token),
                       void *ctx) {
    const struct js_subjects *s = subjects;
    size_t base = len ? len + 1 : 0; /* where child tokens begin in a name */
    uint32_t pos = 0;

    if (after_id != JS_NO_ID) {
        if (after_id >= s->count || s->lines[after_id].len < base ||
            (len > 0 && !is_under(&s->lines[after_id], prefix, len)))
            return JS_ERR_INVAL;
        const struct js_subject_line *line = &s->lines[after_id];
        const char *name = js_subject_name(line);
        const char *dot = line->len > base ? memchr(name + base, '.', line->len - base) : NULL;
        pos = seek_past(s, 0, name, dot ? (size_t)(dot - name) : line->len);
    } else if (len > 0) {
        struct key key = {.a = prefix, .alen = len, .b = ".", .blen = 1};
        pos = seek(s, 0, &key, false);
    }
    while (pos < s->ordered) {
        const struct js_subject_line *line = line_at(s, pos);
        const char *name = js_subject_name(line);

        if (len > 0 && !is_under(line, prefix, len))
            break;
        const char *dot = line->len > base ? memchr(name + base, '.', line->len - base) : NULL;
        size_t end = dot ? (size_t)(dot - name) : line->len;
        struct js_token token = {.name = name + base, .len = end - base};
        if (look_below(s, pos, name, end, &token)) {
            int r = fn(ctx, &token);
            if (r != 0)
                return r;
        }
        pos = seek_past(s, pos + 1, name, end);
    }
    return 0;
}
