/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core/query_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- random numbers ------------------------------------------------------------------------- */

uint64_t qm_next(struct qm_rng *rng) {
    uint64_t z = rng->state += 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

uint64_t qm_below(struct qm_rng *rng, uint64_t n) {
    return qm_next(rng) % n;
}

bool qm_once_in(struct qm_rng *rng, uint64_t n) {
    return qm_below(rng, n) == 0;
}

uint64_t qm_seed(void) {
    const char *text = getenv("JETFS_TEST_SEED");
    return text ? strtoull(text, NULL, 0) : 20261124;
}

/* ---- the model ------------------------------------------------------------------------------ */

void qm_init(struct qm *m) {
    memset(m, 0, sizeof *m);
}

void qm_done(struct qm *m) {
    free(m->msgs);
    m->msgs = NULL;
    m->count = m->cap = 0;
}

/* Tokens with '-' and '!' sort before '.', so that the order of names is not that of tokens. */
static void random_subject(struct qm_rng *rng, uint32_t variety, char *buf) {
    static const char *const tokens[] = {"a", "b", "a-b", "a!", "ab", "x", "orders", "Z", "9", "_"};
    size_t len = 0, n = 1 + qm_below(rng, 5);

    for (size_t i = 0; i < n; i++) {
        if (i == 1 && variety > 64)
            len += (size_t)sprintf(buf + len, "%s%u", i ? "." : "",
                                   (unsigned)qm_below(rng, variety));
        else
            len += (size_t)sprintf(buf + len, "%s%s", i ? "." : "",
                                   tokens[qm_below(rng, sizeof tokens / sizeof *tokens)]);
    }
}

void qm_make_subjects(struct qm *m, struct qm_rng *rng, uint32_t n) {
    while (m->num_subjects < n) {
        char name[QM_SUBJECT_SIZE];
        bool seen = false;
        random_subject(rng, n, name);
        for (uint32_t i = 0; i < m->num_subjects; i++)
            seen |= strcmp(m->subjects[i], name) == 0;
        if (!seen)
            strcpy(m->subjects[m->num_subjects++], name);
    }
}

struct qm_msg *qm_add(struct qm *m, const struct qm_msg *msg) {
    if (m->count == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 256;
        m->msgs = realloc(m->msgs, m->cap * sizeof *m->msgs);
        if (!m->msgs)
            abort();
    }
    m->msgs[m->count] = *msg;
    m->last = msg->seq;
    return &m->msgs[m->count++];
}

size_t qm_lower(const struct qm *m, js_seq_t seq) {
    size_t lo = 0, hi = m->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (m->msgs[mid].seq < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct qm_msg *qm_find(const struct qm *m, js_seq_t seq) {
    size_t i = qm_lower(m, seq);
    return i < m->count && m->msgs[i].seq == seq ? &m->msgs[i] : NULL;
}

void qm_settle(struct qm *m) {
    m->first = m->last + 1;
    for (size_t i = 0; i < m->count; i++) {
        if (m->msgs[i].kind == QM_LIVE) {
            m->first = m->msgs[i].seq;
            break;
        }
    }
}

int qm_absent(const struct qm *m, js_seq_t seq, bool *ret_either) {
    size_t i = qm_lower(m, seq);
    const struct qm_msg *at = i < m->count ? &m->msgs[i] : NULL;
    uint32_t block = 0;

    *ret_either = false;
    if (seq > m->last)
        return JS_ERR_EOF;
    if (seq < m->first)
        return JS_ERR_MSG_NOT_FOUND;
    if (at && at->seq == seq && at->kind != QM_GONE)
        return at->kind == QM_LIVE ? 0 : JS_ERR_BAD_MSG;
    if (at && (at->seq == seq || (i > 0 && m->msgs[i - 1].block == at->block)))
        block = at->block;
    *ret_either = m->blocks_unknown;
    if (block == 0)
        return JS_ERR_MSG_NOT_FOUND;
    /* Deleted inside a block; at its front, or in one where nothing is left, the block may as well
     * be seen as beginning behind it. */
    while (i-- > 0 && m->msgs[i].block == block)
        if (m->msgs[i].kind != QM_GONE)
            break;
    bool inside = i != SIZE_MAX && m->msgs[i].block == block;
    if (inside && m->gone_unknown) {
        /* Behind the last live message of a block its records may have been cut off. */
        size_t k = qm_lower(m, seq);
        while (k < m->count && m->msgs[k].block == block && m->msgs[k].kind == QM_GONE)
            k++;
        inside = k < m->count && m->msgs[k].block == block;
    }
    *ret_either |= !inside;
    return JS_ERR_DELETED_MSG;
}

size_t qm_hdr(const struct qm_msg *msg, char *buf) {
    if (!msg->has_hdr)
        return 0;
    return (size_t)sprintf(buf, "NATS/1.0\r\nNumber: %llu\r\n\r\n", (unsigned long long)msg->seq);
}

void qm_data(const struct qm_msg *msg, uint8_t *buf) {
    uint64_t x = msg->seq * 0x9e3779b97f4a7c15ull;

    for (uint32_t i = 0; i < msg->data_len; i++)
        buf[i] = (uint8_t)(i & 16 ? 'x' : x >> (i & 7) * 8);
}

uint32_t qm_record_len(const struct qm *m, const struct qm_msg *msg) {
    char hdr[64];
    size_t hdr_len = qm_hdr(msg, hdr);

    return (uint32_t)(30 + strlen(m->subjects[msg->sid]) + msg->data_len +
                      (hdr_len ? hdr_len + 4 : 0));
}

/* ---- filters -------------------------------------------------------------------------------- */

bool qm_matches(const char *subject, const char *pattern) {
    for (;;) {
        size_t s = strcspn(subject, "."), p = strcspn(pattern, ".");
        if (p == 1 && *pattern == '>' && !pattern[1])
            return true;
        if (!(p == 1 && *pattern == '*') && (s != p || memcmp(subject, pattern, s) != 0))
            return false;
        if (!subject[s] || !pattern[p])
            return !subject[s] && !pattern[p];
        subject += s + 1;
        pattern += p + 1;
    }
}

void qm_random_pattern(const struct qm *m, struct qm_rng *rng, char *buf) {
    char name[QM_SUBJECT_SIZE];
    unsigned form = (unsigned)qm_below(rng, 10);

    strcpy(name, m->subjects[qm_below(rng, m->num_subjects)]);
    if (form < 4) {
        strcpy(buf, name);
        return;
    }
    if (form == 4) {
        static const char *const odd[] = {"none", "a.none.b", "*", "*.*", "*.>", "a.>", "*.*.*.*.*"};
        strcpy(buf, odd[qm_below(rng, 7)]);
        return;
    }
    size_t len = 0;
    for (char *save, *t = strtok_r(name, ".", &save); t; t = strtok_r(NULL, ".", &save)) {
        if (form >= 7 && len && qm_once_in(rng, 3)) {
            strcpy(buf + len, ".>");
            return;
        }
        len += (size_t)sprintf(buf + len, "%s%s", len ? "." : "", qm_once_in(rng, 2) ? "*" : t);
    }
}

static void random_subtree(const struct qm *m, struct qm_rng *rng, char *buf) {
    strcpy(buf, m->subjects[qm_below(rng, m->num_subjects)]);
    while (qm_once_in(rng, 2)) {
        char *dot = strrchr(buf, '.');
        if (!dot)
            break;
        *dot = 0;
    }
}

static bool filter_takes(const struct qm_filter *f, const char *subject) {
    size_t hits = 0, len = f->f.subtree_len;

    if (len && !(strncmp(subject, f->subtree, len) == 0 &&
                 (subject[len] == 0 || subject[len] == '.')))
        return false;
    for (size_t i = 0; i < f->f.count; i++)
        hits += qm_matches(subject, f->list[i]);
    return f->f.count == 0 || (f->f.any_of ? hits > 0 : hits == f->f.count);
}

void qm_random_filter(const struct qm *m, struct qm_rng *rng, struct qm_filter *f) {
    unsigned form = (unsigned)qm_below(rng, 12);
    size_t n = form < 2 ? 0 : form < 8 ? 1 : 2 + qm_below(rng, QM_PATTERNS - 1);

    memset(f, 0, offsetof(struct qm_filter, match));
    f->given = form == 0 ? NULL : &f->f;
    f->f.patterns = f->list;
    f->f.count = n;
    f->f.any_of = n > 1 ? form < 11 : qm_once_in(rng, 2);
    for (size_t i = 0; i < n; i++) {
        f->list[i] = f->patterns[i];
        qm_random_pattern(m, rng, f->patterns[i]);
    }
    if (form == 2)
        strcpy(f->patterns[0], ">");
    /* Damaged messages match everything; whether a list that holds ">" is that is nowhere said. */
    if (n > 1 && !m->damage && qm_once_in(rng, 6))
        strcpy(f->patterns[qm_below(rng, n)], ">");
    if (form && qm_once_in(rng, 5)) {
        random_subtree(m, rng, f->subtree);
        f->f.subtree = f->subtree;
        f->f.subtree_len = strlen(f->subtree);
    }
    f->all = !f->f.subtree_len && (n == 0 || (n == 1 && strcmp(f->list[0], ">") == 0));
    f->everything = true;
    for (uint32_t i = 0; i < m->num_subjects; i++) {
        f->match[i] = filter_takes(f, m->subjects[i]);
        f->everything &= f->match[i];
    }
}
