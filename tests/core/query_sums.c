/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions about numbers and subjects.
 *
 * As long as index.db alone describes a block (m->fuzzy), a number may count its damaged messages;
 * then what is given must lie between the sums without and with them.
 */
#include <string.h>

#include "tests/core/query_ops.h"

static bool counted(const struct qm *m, const struct qm_filter *f, const struct qm_msg *g,
                    bool with_damaged) {
    if (g->kind == QM_LIVE || (with_damaged && m->fuzzy && g->kind == QM_DAMAGED))
        return f->match[g->sid];
    return false;
}

/* What a number may be. */
struct range {
    uint64_t lo, hi;
};

static bool within(uint64_t v, struct range r) {
    return v >= r.lo && v <= r.hi;
}

static void count(struct range *r, const struct qm_msg *g, uint64_t v) {
    r->hi += v;
    if (g->kind == QM_LIVE)
        r->lo += v;
}

int qm_ask_state(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    struct js_stream_state st;
    struct range msgs = {0, 0}, bytes = {0, 0}, subjects = {0, 0};
    uint8_t seen[QM_MAX_SUBJECTS] = {0};
    uint64_t damaged = 0;
    const struct qm_msg *newest = NULL;

    (void)rng;
    js_stream_get_state(s, &st);
    for (size_t i = 0; i < m->count; i++) {
        const struct qm_msg *g = &m->msgs[i];
        if (g->kind == QM_GONE)
            continue;
        newest = g;
        damaged += g->kind == QM_DAMAGED;
        if (g->kind == QM_DAMAGED && !m->fuzzy)
            continue;
        count(&msgs, g, 1);
        count(&bytes, g, qm_record_len(m, g));
        seen[g->sid] |= g->kind == QM_LIVE ? 1 : 2;
    }
    for (uint32_t i = 0; i < m->num_subjects; i++) {
        subjects.lo += seen[i] & 1;
        subjects.hi += seen[i] != 0;
    }
    if (st.last_seq != m->last || (m->last && st.first_seq != m->first))
        return qm_differ(m, "state: %llu to %llu, expected %llu to %llu",
                         (unsigned long long)st.first_seq, (unsigned long long)st.last_seq,
                         (unsigned long long)m->first, (unsigned long long)m->last);
    if (!within(st.msgs, msgs) || !within(st.bytes, bytes))
        return qm_differ(m, "state: %llu messages, %llu bytes; expected %llu, %llu",
                         (unsigned long long)st.msgs, (unsigned long long)st.bytes,
                         (unsigned long long)msgs.lo, (unsigned long long)bytes.lo);
    if (!within(st.num_subjects, subjects))
        return qm_differ(m, "state: %llu subjects, expected %llu",
                         (unsigned long long)st.num_subjects, (unsigned long long)subjects.lo);
    if (st.msgs + st.num_lost != msgs.lo + damaged && !m->fuzzy)
        return qm_differ(m, "state: %llu lost", (unsigned long long)st.num_lost);
    if (newest && msgs.lo && st.num_deleted != m->last - m->first + 1 - msgs.lo - damaged)
        return qm_differ(m, "state: %llu deleted", (unsigned long long)st.num_deleted);
    const struct qm_msg *first = qm_find(m, m->first);
    if (first && st.first_time != first->time)
        return qm_differ(m, "state: first time");
    if (newest && newest->seq == m->last && st.last_time != newest->time)
        return qm_differ(m, "state: last time");
    return 0;
}

int qm_ask_totals(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    struct qm_filter f;
    struct js_totals t;
    struct range msgs = {0, 0}, bytes = {0, 0}, payload = {0, 0}, hdrs = {0, 0}, names = {0, 0};
    js_seq_t from = qm_once_in(rng, 3) ? 0 : qm_random_seq(m, rng);
    js_seq_t to = qm_once_in(rng, 3) ? 0 : qm_random_seq(m, rng), first = 0, last = 0;
    bool unsure = false;
    char hdr[64];

    qm_random_filter(m, rng, &f);
    for (size_t i = qm_lower(m, from); i < m->count; i++) {
        const struct qm_msg *g = &m->msgs[i];
        if (to && g->seq > to)
            break;
        if (!counted(m, &f, g, true))
            continue;
        count(&msgs, g, 1);
        count(&bytes, g, qm_record_len(m, g));
        count(&payload, g, g->data_len);
        count(&hdrs, g, qm_hdr(g, hdr));
        count(&names, g, strlen(m->subjects[g->sid]));
        unsure |= g->kind == QM_DAMAGED;
        if (g->kind != QM_LIVE)
            continue;
        first = first ? first : g->seq;
        last = g->seq;
    }
    int r = js_stream_totals(s, f.given, from, to, &t);
    if (r < 0)
        return qm_unexpected(m, "totals", r, 0);
    if (!within(t.msgs, msgs) || !within(t.bytes, bytes) || !within(t.payload_bytes, payload) ||
        !within(t.hdr_bytes, hdrs) || !within(t.subject_bytes, names))
        return qm_differ(m, "totals %s of %llu to %llu: %llu messages, %llu bytes; expected %llu, %llu",
                         qm_filter_text(&f), (unsigned long long)from, (unsigned long long)to,
                         (unsigned long long)t.msgs, (unsigned long long)t.bytes,
                         (unsigned long long)msgs.lo, (unsigned long long)bytes.lo);
    if (!unsure && (t.first_seq != first || t.last_seq != last))
        return qm_differ(m, "totals %s of %llu to %llu: from %llu to %llu, expected %llu to %llu",
                         qm_filter_text(&f), (unsigned long long)from, (unsigned long long)to,
                         (unsigned long long)t.first_seq, (unsigned long long)t.last_seq,
                         (unsigned long long)first, (unsigned long long)last);
    return 0;
}

int qm_ask_pending(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    struct qm_filter f;
    struct range want = {0, 0};
    bool per_subject = qm_once_in(rng, 3);
    js_seq_t start = qm_once_in(rng, 4) ? 0 : qm_random_seq(m, rng), through = UINT64_MAX;
    uint64_t got = UINT64_MAX;

    qm_random_filter(m, rng, &f);
    if (per_subject) {
        uint8_t seen[QM_MAX_SUBJECTS] = {0};
        for (size_t i = qm_lower(m, start); i < m->count; i++)
            if (counted(m, &f, &m->msgs[i], true))
                seen[m->msgs[i].sid] |= m->msgs[i].kind == QM_LIVE ? 1 : 2;
        for (uint32_t i = 0; i < m->num_subjects; i++) {
            want.lo += seen[i] & 1;
            want.hi += seen[i] != 0;
        }
    } else {
        for (size_t i = qm_lower(m, start); i < m->count; i++)
            if (counted(m, &f, &m->msgs[i], true))
                count(&want, &m->msgs[i], 1);
    }
    int r = js_stream_num_pending(s, start, f.given, per_subject, &got,
                                  qm_once_in(rng, 4) ? NULL : &through);
    if (r < 0)
        return qm_unexpected(m, "pending", r, 0);
    if (!within(got, want) || (through != UINT64_MAX && through != m->last))
        return qm_differ(m, "pending %s%s from %llu: %llu through %llu, expected %llu",
                         qm_filter_text(&f), per_subject ? " per subject" : "",
                         (unsigned long long)start, (unsigned long long)got,
                         (unsigned long long)through, (unsigned long long)want.lo);
    return 0;
}

int qm_ask_filtered(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    struct qm_filter f;
    struct js_subject_state st, want = {0};
    struct range msgs = {0, 0};
    js_seq_t start = qm_once_in(rng, 4) ? 0 : qm_random_seq(m, rng);
    bool unsure = false, whole = false;

    qm_random_filter(m, rng, &f);
    for (size_t i = qm_lower(m, start); i < m->count; i++) {
        if (!counted(m, &f, &m->msgs[i], true))
            continue;
        count(&msgs, &m->msgs[i], 1);
        unsure |= m->msgs[i].kind == QM_DAMAGED;
        if (m->msgs[i].kind != QM_LIVE)
            continue;
        want.first_seq = want.first_seq ? want.first_seq : m->msgs[i].seq;
        want.last_seq = m->msgs[i].seq;
    }
    if ((start < m->first ? m->first : start) > m->last) {
        want.first_seq = m->first;
        want.last_seq = m->last;
        unsure = m->last == 0;
    } else if (start <= m->first && f.all) {
        want.last_seq = m->last;
    } else if (start <= m->first && f.everything) {
        whole = true; /* a list that covers every subject may be seen as "everything" */
    }
    int r = js_stream_filtered_state(s, start, f.given, &st);
    if (r < 0)
        return qm_unexpected(m, "filtered state", r, 0);
    bool same = within(st.msgs, msgs) &&
                (unsure || (st.first_seq == want.first_seq &&
                            (st.last_seq == want.last_seq || (whole && st.last_seq == m->last))));
    if (!same)
        return qm_differ(m, "filtered state %s from %llu: %llu, %llu to %llu; expected %llu, %llu to %llu",
                         qm_filter_text(&f), (unsigned long long)start,
                         (unsigned long long)st.msgs, (unsigned long long)st.first_seq,
                         (unsigned long long)st.last_seq, (unsigned long long)msgs.lo,
                         (unsigned long long)want.first_seq, (unsigned long long)want.last_seq);
    return 0;
}

/* ---- subjects ------------------------------------------------------------------------------- */

struct subject_sum {
    const char *name;
    struct range msgs;
    js_seq_t first, last;
};

/* Names are listed token by token: a subject comes before all that lies below it. */
static int by_name(const void *a, const void *b) {
    const char *x = ((const struct subject_sum *)a)->name;
    const char *y = ((const struct subject_sum *)b)->name;

    while (*x && *x == *y)
        x++, y++;
    unsigned char c = (unsigned char)(*x == '.' ? 1 : *x), d = (unsigned char)(*y == '.' ? 1 : *y);
    return (c > d) - (c < d);
}

/* Sums of the subjects that match and have messages, by name; f NULL: of all. */
static size_t model_subjects(const struct qm *m, const struct qm_filter *f,
                             struct subject_sum *sums) {
    size_t n = 0;

    for (uint32_t i = 0; i < m->num_subjects; i++)
        sums[i] = (struct subject_sum){.name = m->subjects[i]};
    for (size_t i = 0; i < m->count; i++) {
        const struct qm_msg *g = &m->msgs[i];
        struct subject_sum *u = &sums[g->sid];
        if (g->kind == QM_GONE || (g->kind == QM_DAMAGED && !m->fuzzy) ||
            (f && !f->match[g->sid]))
            continue;
        count(&u->msgs, g, 1);
        if (g->kind == QM_LIVE) {
            u->first = u->first ? u->first : g->seq;
            u->last = g->seq;
        }
    }
    for (uint32_t i = 0; i < m->num_subjects; i++)
        if (sums[i].msgs.hi)
            sums[n++] = sums[i];
    qsort(sums, n, sizeof *sums, by_name);
    return n;
}

static bool state_right(const struct subject_sum *u, const struct js_subject_state *st) {
    bool unsure = u->msgs.lo != u->msgs.hi;
    return within(st->msgs, u->msgs) &&
           (unsure || (st->first_seq == u->first && st->last_seq == u->last));
}

int qm_ask_subject(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    struct js_subject_state st = {0};
    const char *name = m->subjects[qm_below(rng, m->num_subjects)];
    struct subject_sum u = {.name = name};

    if (qm_once_in(rng, 20))
        u.name = name = "none.at.all";
    for (size_t i = 0; i < m->count; i++) {
        const struct qm_msg *g = &m->msgs[i];
        if (g->kind == QM_GONE || (g->kind == QM_DAMAGED && !m->fuzzy) ||
            strcmp(m->subjects[g->sid], name) != 0)
            continue;
        count(&u.msgs, g, 1);
        if (g->kind == QM_LIVE) {
            u.first = u.first ? u.first : g->seq;
            u.last = g->seq;
        }
    }
    int r = js_stream_subject(s, name, strlen(name), &st);
    if (r == JS_ERR_MSG_NOT_FOUND && u.msgs.lo == 0)
        return 0;
    if (r != 0)
        return qm_unexpected(m, "subject", r, u.msgs.lo ? 0 : JS_ERR_MSG_NOT_FOUND);
    return u.msgs.hi && state_right(&u, &st)
               ? 0
               : qm_differ(m, "subject %s: %llu, %llu to %llu; expected %llu, %llu to %llu", name,
                           (unsigned long long)st.msgs, (unsigned long long)st.first_seq,
                           (unsigned long long)st.last_seq, (unsigned long long)u.msgs.lo,
                           (unsigned long long)u.first, (unsigned long long)u.last);
}

struct listing {
    const struct subject_sum *want;
    size_t n, next, stop_at;
    bool totals_only;
    const char *wrong; /* the first name that is not what was expected */
    char buf[QM_SUBJECT_SIZE];
};

static int take_subject(void *ctx, const char *subject, size_t len,
                        const struct js_subject_state *state) {
    struct listing *l = ctx;

    /* What only damaged messages carry may or may not be there. */
    while (l->next < l->n && l->want[l->next].msgs.lo == 0 &&
           (strlen(l->want[l->next].name) != len ||
            memcmp(l->want[l->next].name, subject, len) != 0))
        l->next++;
    const struct subject_sum *u = l->next < l->n ? &l->want[l->next] : NULL;
    if (!u || strlen(u->name) != len || memcmp(u->name, subject, len) != 0 ||
        !(l->totals_only ? within(state->msgs, u->msgs) : state_right(u, state))) {
        snprintf(l->buf, sizeof l->buf, "%.*s", (int)len, subject);
        l->wrong = l->buf;
        return -1;
    }
    l->next++;
    return l->next == l->stop_at ? 77 : 0;
}

static int take_total(void *ctx, const char *subject, size_t len, uint64_t msgs) {
    return take_subject(ctx, subject, len, &(struct js_subject_state){.msgs = msgs});
}

static int list_subjects(struct qm *m, struct js_stream *s, struct qm_rng *rng, bool totals) {
    struct qm_filter f;
    struct subject_sum want[QM_MAX_SUBJECTS];
    struct listing l = {.want = want, .totals_only = totals};

    qm_random_filter(m, rng, &f);
    l.n = model_subjects(m, &f, want);
    if (!m->fuzzy && l.n && qm_once_in(rng, 6))
        l.stop_at = 1 + qm_below(rng, l.n);
    int r = totals ? js_stream_subject_totals(s, f.given, take_total, &l)
                   : js_stream_subjects(s, f.given, take_subject, &l);
    if (l.wrong)
        return qm_differ(m, "subjects %s: \"%s\" at %zu of %zu", qm_filter_text(&f), l.wrong,
                         l.next, l.n);
    if (r != (l.stop_at ? 77 : 0))
        return qm_unexpected(m, "subjects", r, 0);
    while (!l.stop_at && l.next < l.n && want[l.next].msgs.lo == 0)
        l.next++;
    if (!l.stop_at && l.next != l.n)
        return qm_differ(m, "subjects %s: %zu, expected %zu", qm_filter_text(&f), l.next, l.n);
    return 0;
}

int qm_ask_subjects(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    return list_subjects(m, s, rng, false);
}

int qm_ask_counts(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    return list_subjects(m, s, rng, true);
}

/* ---- tokens --------------------------------------------------------------------------------- */

struct token {
    char name[QM_SUBJECT_SIZE];
    bool exact, children;
};

static int by_token(const void *a, const void *b) {
    return strcmp(((const struct token *)a)->name, ((const struct token *)b)->name);
}

static size_t model_tokens(const struct qm *m, const char *prefix, struct token *tokens) {
    struct subject_sum sums[QM_MAX_SUBJECTS];
    size_t n = model_subjects(m, NULL, sums), count_tokens = 0, skip = strlen(prefix);

    for (size_t i = 0; i < n; i++) {
        const char *rest = sums[i].name;
        if (skip) {
            if (strncmp(rest, prefix, skip) != 0 || rest[skip] != '.')
                continue;
            rest += skip + 1;
        }
        size_t len = strcspn(rest, "."), k = 0;
        while (k < count_tokens &&
               (strlen(tokens[k].name) != len || memcmp(tokens[k].name, rest, len) != 0))
            k++;
        if (k == count_tokens) {
            memset(&tokens[k], 0, sizeof tokens[k]);
            memcpy(tokens[k].name, rest, len);
            count_tokens++;
        }
        tokens[k].exact |= !rest[len];
        tokens[k].children |= rest[len] != 0;
    }
    qsort(tokens, count_tokens, sizeof *tokens, by_token);
    return count_tokens;
}

struct token_walk {
    const struct token *want;
    size_t n, next, room;
    uint32_t last_id;
    bool wrong;
};

static int take_token(void *ctx, const struct js_token *token) {
    struct token_walk *w = ctx;

    if (w->room == 0)
        return 1;
    const struct token *t = w->next < w->n ? &w->want[w->next] : NULL;
    if (!t || strlen(t->name) != token->len || memcmp(t->name, token->name, token->len) != 0 ||
        t->exact != token->exact || t->children != token->children) {
        w->wrong = true;
        return -1;
    }
    w->last_id = token->id;
    w->next++;
    w->room--;
    return 0;
}

int qm_ask_tokens(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    struct token want[QM_MAX_SUBJECTS];
    char prefix[QM_SUBJECT_SIZE] = "";

    if (!qm_once_in(rng, 3)) {
        strcpy(prefix, m->subjects[qm_below(rng, m->num_subjects)]);
        for (char *dot; qm_once_in(rng, 2) && (dot = strrchr(prefix, '.')) != NULL;)
            *dot = 0;
    }
    if (m->fuzzy)
        return 0;
    struct token_walk w = {.want = want, .last_id = JS_NO_ID};
    w.n = model_tokens(m, prefix, want);
    int r;
    do {
        w.room = 1 + qm_below(rng, 8);
        r = js_stream_list_tokens(s, prefix, strlen(prefix), w.last_id, take_token, &w);
        if (r < 0 && !w.wrong)
            return qm_unexpected(m, "tokens", r, 0);
    } while (r == 1 && !w.wrong);
    if (w.wrong || w.next != w.n)
        return qm_differ(m, "tokens below \"%s\": %zu, expected %zu", prefix, w.next, w.n);
    return 0;
}

/* ---- deleted ranges -------------------------------------------------------------------------- */

struct gaps {
    const struct qm *m;
    size_t next;     /* record that the next run lies before or at */
    js_seq_t at;     /* next sequence that is not accounted for */
    size_t stop_at, runs;
    bool wrong;
};

/* The next run of deleted sequences from g->at on; false if there is none. */
static bool model_run(struct gaps *g, js_seq_t *ret_first, js_seq_t *ret_last) {
    const struct qm *m = g->m;

    for (; g->next < m->count; g->next++) {
        const struct qm_msg *x = &m->msgs[g->next];
        if (x->kind == QM_GONE || x->seq < g->at)
            continue;
        if (x->seq == g->at) {
            g->at++;
            continue;
        }
        *ret_first = g->at;
        *ret_last = x->seq - 1;
        g->at = x->seq;
        return true;
    }
    if (g->at > m->last)
        return false;
    *ret_first = g->at;
    *ret_last = m->last;
    g->at = m->last + 1;
    return true;
}

static int take_run(void *ctx, js_seq_t first, js_seq_t last) {
    struct gaps *g = ctx;
    js_seq_t lo, hi;

    if (!model_run(g, &lo, &hi) || lo != first || hi != last) {
        g->wrong = true;
        return -1;
    }
    return ++g->runs == g->stop_at ? 55 : 0;
}

int qm_ask_deleted(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    struct gaps g = {.m = m, .at = m->first};
    js_seq_t lo, hi;

    if (qm_once_in(rng, 6))
        g.stop_at = 1 + qm_below(rng, 5);
    int r = js_stream_deleted(s, take_run, &g);
    if (g.wrong)
        return qm_differ(m, "deleted: run %zu", g.runs);
    if (g.stop_at && g.runs == g.stop_at)
        return r == 55 ? 0 : qm_unexpected(m, "deleted", r, 55);
    if (r != 0)
        return qm_unexpected(m, "deleted", r, 0);
    return model_run(&g, &lo, &hi) ? qm_differ(m, "deleted: only %zu runs", g.runs) : 0;
}
