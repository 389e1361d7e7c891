/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about messages, and the choice among all questions; those about numbers and subjects are
 * in query_sums.c. */
#include "tests/core/query_ops.h"

#include <string.h>

int qm_differ(struct qm *m, const char *format, ...) {
    va_list ap;

    va_start(ap, format);
    vsnprintf(m->why, sizeof m->why, format, ap);
    va_end(ap);
    return 1;
}

bool qm_operational(int r) {
    return r == JS_ERR_NOMEM || r == JS_ERR_IO || r == JS_ERR_TOO_MANY_FILES ||
           r == JS_ERR_ACCESS;
}

int qm_unexpected(struct qm *m, const char *what, int r, int want) {
    if (qm_operational(r))
        return r;
    return qm_differ(m, "%s: result %s, expected %s", what, js_err_name(r), js_err_name(want));
}

const char *qm_filter_text(const struct qm_filter *f) {
    static _Thread_local char text[QM_PATTERNS * (QM_SUBJECT_SIZE + 10) + QM_SUBJECT_SIZE + 32];
    size_t n = 0;

    if (!f->given)
        return "NULL";
    text[0] = 0;
    for (size_t i = 0; i < f->f.count; i++)
        n += (size_t)sprintf(text + n, "%s%s", i ? (f->f.any_of ? " or " : " and ") : "",
                             f->list[i]);
    if (f->f.subtree_len)
        sprintf(text + n, " below %s", f->subtree);
    return text;
}

js_seq_t qm_random_seq(const struct qm *m, struct qm_rng *rng) {
    js_seq_t span = m->last >= m->first ? m->last - m->first + 1 : 1;

    switch (qm_below(rng, 10)) {
    case 0:
        return m->first + qm_below(rng, 3) - 1;
    case 1:
        return m->last + qm_below(rng, 4) - (m->last ? 1 : 0);
    case 2:
        return m->first + qm_below(rng, span);
    case 3:
        return qm_once_in(rng, 4) ? UINT64_MAX : qm_below(rng, m->last + 3);
    default: { /* at or beside a record */
        if (!m->count)
            return qm_below(rng, 3);
        js_seq_t seq = m->msgs[qm_below(rng, m->count)].seq;
        return seq + qm_below(rng, 8) / 6 - (seq > 1 ? qm_below(rng, 8) / 7 : 0);
    }
    }
}

/* ---- one message ---------------------------------------------------------------------------- */

/* Holds a message that was given against the model's, and releases it. */
static int check_msg(struct qm *m, const char *what, const struct qm_msg *g, struct js_msg *msg,
                     bool release) {
    char hdr[64];
    uint8_t data[8192];
    size_t hdr_len = qm_hdr(g, hdr);
    const char *subject = m->subjects[g->sid];
    int r = 0;

    qm_data(g, data);
    if (msg->seq != g->seq)
        r = qm_differ(m, "%s: sequence %llu, expected %llu", what, (unsigned long long)msg->seq,
                      (unsigned long long)g->seq);
    else if (msg->time != g->time)
        r = qm_differ(m, "%s: time of %llu", what, (unsigned long long)g->seq);
    else if (msg->subject_len != strlen(subject) ||
             memcmp(msg->subject, subject, msg->subject_len) != 0)
        r = qm_differ(m, "%s: subject of %llu", what, (unsigned long long)g->seq);
    else if (msg->hdr_len != hdr_len || (hdr_len && memcmp(msg->hdr, hdr, hdr_len) != 0))
        r = qm_differ(m, "%s: header of %llu", what, (unsigned long long)g->seq);
    else if (msg->data_len != g->data_len || memcmp(msg->data, data, g->data_len) != 0)
        r = qm_differ(m, "%s: payload of %llu", what, (unsigned long long)g->seq);
    if (release)
        js_msg_release(msg);
    return r;
}

/* The result r of reading what should be g (NULL: nothing there, result want). */
static int check_read(struct qm *m, const char *what, const struct qm_msg *g, int want, int r,
                      struct js_msg *msg, bool release) {
    if (g && g->kind == QM_DAMAGED) {
        if (r == 0 && release)
            js_msg_release(msg);
        if (r != JS_ERR_BAD_MSG)
            return qm_unexpected(m, what, r, JS_ERR_BAD_MSG);
        return msg->seq == g->seq ? 0 : qm_differ(m, "%s: bad message %llu, expected %llu", what,
                                                  (unsigned long long)msg->seq,
                                                  (unsigned long long)g->seq);
    }
    if (g)
        return r == 0 ? check_msg(m, what, g, msg, release) : qm_unexpected(m, what, r, 0);
    if (r == want)
        return 0;
    if (r == 0 && release)
        js_msg_release(msg);
    return qm_unexpected(m, what, r, want);
}

/* Compares a result with what the model says of a sequence that is not there. */
static int check_absent(struct qm *m, const char *what, js_seq_t seq, int r) {
    bool either;
    int want = qm_absent(m, seq, &either);
    char text[64];

    if (r == want || (either && (r == JS_ERR_MSG_NOT_FOUND || r == JS_ERR_DELETED_MSG)))
        return 0;
    snprintf(text, sizeof text, "%s %llu", what, (unsigned long long)seq);
    return qm_unexpected(m, text, r, want);
}

int qm_check_load(struct qm *m, struct js_stream *s, js_seq_t seq) {
    struct js_msg msg = {0};
    int r = js_stream_load_msg(s, seq, &msg);

    if (seq == 0) {
        if (m->first > m->last) {
            int want = m->last == 0 ? JS_ERR_MSG_NOT_FOUND : JS_ERR_EOF;
            return check_read(m, "load the first of none", NULL, want, r, &msg, true);
        }
        seq = m->first;
    }
    const struct qm_msg *g = qm_find(m, seq);
    if (r == 0 && g && g->kind == QM_LIVE)
        return check_msg(m, "load", g, &msg, true);
    if (r == 0)
        js_msg_release(&msg);
    return check_absent(m, "load", seq, r);
}

static int ask_load(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    return qm_check_load(m, s, qm_once_in(rng, 50) ? 0 : qm_random_seq(m, rng));
}

static int ask_stat(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    struct js_msg_stat st = {0};
    js_seq_t seq = qm_random_seq(m, rng);
    const struct qm_msg *g = qm_find(m, seq);
    char hdr[64];

    if (seq == 0)
        return 0;
    int r = js_stream_stat_msg(s, seq, &st);
    if (!g || g->kind == QM_GONE)
        return check_absent(m, "stat", seq, r);
    if (r != 0)
        return qm_unexpected(m, "stat", r, 0);
    if (st.seq != seq || (!m->blocks_unknown && st.block != g->block) ||
        st.damaged != (g->kind == QM_DAMAGED))
        return qm_differ(m, "stat %llu", (unsigned long long)seq);
    if (st.damaged)
        return 0;
    if (st.time != g->time || st.subject_len != strlen(m->subjects[g->sid]) ||
        st.hdr_len != qm_hdr(g, hdr) || st.data_len != g->data_len ||
        st.record_len != qm_record_len(m, g))
        return qm_differ(m, "stat %llu: sizes or time", (unsigned long long)seq);
    return 0;
}

static int ask_damage(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    char text[200] = "";
    js_seq_t seq = qm_random_seq(m, rng);
    const struct qm_msg *g = qm_find(m, seq);
    int want = g && g->kind == QM_DAMAGED ? 0 : JS_ERR_MSG_NOT_FOUND;
    int r = js_stream_damage(s, seq, text, sizeof text);

    if (r != want)
        return qm_unexpected(m, "damage", r, want);
    return r < 0 || text[0] ? 0 : qm_differ(m, "damage of %llu: no text", (unsigned long long)seq);
}

static int ask_subject_for_seq(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    char buf[QM_SUBJECT_SIZE + 1];
    size_t len = 0, size = qm_once_in(rng, 4) ? qm_below(rng, 6) : QM_SUBJECT_SIZE;
    js_seq_t seq = qm_random_seq(m, rng);
    const struct qm_msg *g = qm_find(m, seq);
    bool there = g && g->kind == QM_LIVE;

    memset(buf, '?', sizeof buf);
    int r = js_stream_subject_for_seq(s, seq, buf, size, &len);
    if (r != (there ? 0 : JS_ERR_MSG_NOT_FOUND))
        return qm_unexpected(m, "subject of a sequence", r, there ? 0 : JS_ERR_MSG_NOT_FOUND);
    if (!there)
        return 0;
    const char *want = m->subjects[g->sid];
    if (len != strlen(want) || memcmp(buf, want, len < size ? len : size) != 0 ||
        buf[size] != '?')
        return qm_differ(m, "subject of %llu", (unsigned long long)seq);
    return 0;
}

/* ---- by filter ------------------------------------------------------------------------------ */

/* The first match from start on, or the last one up to it; NULL if none. */
static const struct qm_msg *model_next(const struct qm *m, const struct qm_filter *f,
                                       js_seq_t start) {
    for (size_t i = qm_lower(m, start); i < m->count; i++)
        if (qm_live_match(f, &m->msgs[i]) || (m->msgs[i].kind == QM_DAMAGED && f->all))
            return &m->msgs[i];
    return NULL;
}

static const struct qm_msg *model_prev(const struct qm *m, const struct qm_filter *f,
                                       js_seq_t start) {
    size_t i = start == UINT64_MAX ? m->count : qm_lower(m, start + 1);

    while (i-- > 0)
        if (qm_live_match(f, &m->msgs[i]) || (m->msgs[i].kind == QM_DAMAGED && f->all))
            return &m->msgs[i];
    return NULL;
}

static int ask_next(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    struct qm_filter f;
    struct js_msg msg = {0};
    js_seq_t start = qm_random_seq(m, rng);
    char what[400];

    qm_random_filter(m, rng, &f);
    int r = js_stream_load_next_msg(s, f.given, start, &msg);
    snprintf(what, sizeof what, "next %s from %llu", qm_filter_text(&f),
             (unsigned long long)start);
    return check_read(m, what, model_next(m, &f, start), JS_ERR_EOF, r, &msg, true);
}

static int ask_prev(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    struct qm_filter f;
    struct js_msg msg = {0};
    js_seq_t start = qm_random_seq(m, rng);
    char what[400];

    qm_random_filter(m, rng, &f);
    int r = js_stream_load_prev_msg(s, f.given, start, &msg);
    snprintf(what, sizeof what, "prev %s from %llu", qm_filter_text(&f),
             (unsigned long long)start);
    return check_read(m, what, model_prev(m, &f, start), JS_ERR_EOF, r, &msg, true);
}

static int ask_last(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    char pattern[QM_SUBJECT_SIZE + 8], what[200];
    struct js_msg msg = {0};
    const struct qm_msg *g = NULL;

    qm_random_pattern(m, rng, pattern);
    if (qm_once_in(rng, 8))
        strcpy(pattern, qm_once_in(rng, 2) ? "" : ">");
    if (!pattern[0] || strcmp(pattern, ">") == 0) {
        g = qm_find(m, m->last);
        if (g && g->kind == QM_GONE)
            g = NULL;
    } else {
        for (size_t i = m->count; i-- > 0 && !g;)
            if (m->msgs[i].kind == QM_LIVE &&
                qm_matches(m->subjects[m->msgs[i].sid], pattern))
                g = &m->msgs[i];
    }
    int r = js_stream_load_last_msg(s, pattern, strlen(pattern), &msg);
    snprintf(what, sizeof what, "last of \"%s\"", pattern);
    return check_read(m, what, g, JS_ERR_MSG_NOT_FOUND, r, &msg, true);
}

static int ask_iter(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    struct qm_filter f;
    struct js_iter *it;
    js_seq_t from = qm_random_seq(m, rng);
    char what[400];

    qm_random_filter(m, rng, &f);
    size_t steps = 1 + qm_below(rng, 12);
    int r = js_iter_open(s, f.given, &it);
    if (r < 0)
        return qm_unexpected(m, "iterator", r, 0);
    for (size_t i = 0; i < steps && r == 0; i++) {
        struct js_msg msg = {0};
        const struct qm_msg *g = model_next(m, &f, from);
        snprintf(what, sizeof what, "iterator %s from %llu", qm_filter_text(&f),
                 (unsigned long long)from);
        r = check_read(m, what, g, JS_ERR_EOF, js_iter_next(it, from, &msg), &msg, false);
        if (!g)
            break;
        from = qm_once_in(rng, 10) ? qm_random_seq(m, rng) : g->seq + 1 + qm_below(rng, 8) / 7;
    }
    js_iter_close(it);
    return r;
}

#define MAX_LIST 64
static int ask_list_seqs(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    struct qm_filter f;
    js_seq_t from = qm_random_seq(m, rng), got[MAX_LIST], want[MAX_LIST];
    bool damaged = qm_once_in(rng, 2);
    size_t max = qm_below(rng, MAX_LIST) + 1, n = 0, k = 0;

    qm_random_filter(m, rng, &f);
    for (size_t i = qm_lower(m, from); i < m->count && k < max; i++)
        if (qm_live_match(&f, &m->msgs[i]) ||
            (damaged && m->msgs[i].kind == QM_DAMAGED && f.all))
            want[k++] = m->msgs[i].seq;
    int r = js_stream_list_seqs(s, f.given, from, damaged, got, max, &n);
    if (r < 0)
        return qm_unexpected(m, "list of sequences", r, 0);
    if (n != k || memcmp(got, want, k * sizeof *got) != 0)
        return qm_differ(m, "list of sequences %s from %llu: %zu, expected %zu",
                         qm_filter_text(&f), (unsigned long long)from, n, k);
    return 0;
}

static int ask_time(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    js_time_t t = 0;
    js_seq_t want = m->last + 1, got = 0;

    if (m->count)
        t = m->msgs[qm_below(rng, m->count)].time + (js_time_t)qm_below(rng, 3) - 1;
    if (qm_once_in(rng, 20))
        t = qm_once_in(rng, 2) ? 0 : INT64_MAX;
    for (size_t i = 0; i < m->count && want > m->last; i++)
        if (m->msgs[i].kind == QM_LIVE && m->msgs[i].time >= t)
            want = m->msgs[i].seq;
    int r = js_stream_seq_from_time(s, t, &got);
    if (r < 0)
        return qm_unexpected(m, "sequence from time", r, 0);
    return got == want ? 0 : qm_differ(m, "sequence from time %lld: %llu, expected %llu",
                                       (long long)t, (unsigned long long)got,
                                       (unsigned long long)want);
}

/* ---- newest of each subject ----------------------------------------------------------------- */

struct newest {
    js_seq_t seqs[QM_MAX_SUBJECTS];
    size_t n;
};

static int by_seq(const void *a, const void *b) {
    js_seq_t x = *(const js_seq_t *)a, y = *(const js_seq_t *)b;
    return (x > y) - (x < y);
}

static void model_newest(const struct qm *m, const struct qm_filter *f, js_seq_t upto,
                         struct newest *ret) {
    bool taken[QM_MAX_SUBJECTS] = {false};

    ret->n = 0;
    if (upto == 0)
        upto = m->last;
    if (upto < m->first || upto > m->last)
        return;
    for (size_t i = m->count; i-- > 0;) {
        const struct qm_msg *g = &m->msgs[i];
        if (g->seq > upto || !qm_live_match(f, g) || taken[g->sid])
            continue;
        taken[g->sid] = true;
        ret->seqs[ret->n++] = g->seq;
    }
    qsort(ret->seqs, ret->n, sizeof ret->seqs[0], by_seq);
}

static size_t random_max(struct qm_rng *rng, size_t n) {
    if (qm_once_in(rng, 2))
        return 0;
    return n + qm_below(rng, 3) > 1 ? n + qm_below(rng, 3) - 1 : 1;
}

static int ask_last_seqs(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    struct qm_filter f;
    struct newest want;
    js_seq_t *seqs = NULL, upto = qm_once_in(rng, 3) ? 0 : qm_random_seq(m, rng);
    size_t n = 0;

    qm_random_filter(m, rng, &f);
    model_newest(m, &f, upto, &want);
    size_t max = random_max(rng, want.n);
    int wanted = max && want.n > max ? JS_ERR_TOO_MANY_RESULTS : 0;
    int r = js_stream_last_seqs(s, f.given, upto, max, &seqs, &n);
    if (r != wanted)
        r = qm_unexpected(m, "newest sequences", r, wanted);
    else if (r < 0)
        r = 0;
    else if (n != want.n || (n ? !seqs || memcmp(seqs, want.seqs, n * sizeof *seqs) != 0
                               : seqs != NULL))
        r = qm_differ(m, "newest sequences %s upto %llu: %zu, expected %zu", qm_filter_text(&f),
                      (unsigned long long)upto, n, want.n);
    if (seqs)
        js_stream_free_seqs(s, seqs);
    return r;
}

struct taking {
    struct qm *m;
    struct js_stream *s;
    const struct newest *want;
    size_t next, stop_after;
    int r;
};

static int take_newest(void *ctx, const struct js_msg *msg, size_t remaining) {
    struct taking *t = ctx;
    struct js_msg copy = *msg;

    if (t->next >= t->want->n) {
        t->r = qm_differ(t->m, "newest messages: too many");
        return 1;
    }
    const struct qm_msg *g = qm_find(t->m, t->want->seqs[t->next++]);
    t->r = check_msg(t->m, "newest messages", g, &copy, false);
    if (t->r == 0 && remaining != t->want->n - t->next)
        t->r = qm_differ(t->m, "newest messages: %zu remain, expected %zu", remaining,
                         t->want->n - t->next);
    /* This callback may ask the stream. */
    if (t->r == 0)
        t->r = qm_check_load(t->m, t->s, g->seq);
    return t->r || t->stop_after-- == 1;
}

static int ask_last_msgs(struct qm *m, struct js_stream *s, struct qm_rng *rng) {
    struct qm_filter f;
    struct newest want;
    js_seq_t upto = qm_once_in(rng, 3) ? 0 : qm_random_seq(m, rng);
    js_seq_t from = qm_once_in(rng, 2) ? 0 : qm_random_seq(m, rng);
    size_t total = SIZE_MAX;

    qm_random_filter(m, rng, &f);
    model_newest(m, &f, upto, &want);
    size_t max = random_max(rng, want.n);
    struct taking t = {.m = m, .s = s, .want = &want};
    while (t.next < want.n && want.seqs[t.next] < from)
        t.next++;
    if (qm_once_in(rng, 4))
        t.stop_after = 1 + qm_below(rng, 4);
    size_t until = t.stop_after && t.next + t.stop_after < want.n ? t.next + t.stop_after : want.n;
    int wanted = max && want.n > max ? JS_ERR_TOO_MANY_RESULTS : 0;
    int r = js_stream_last_msgs(s, f.given, from, upto, max, take_newest, &t,
                                qm_once_in(rng, 4) ? NULL : &total);
    if (t.r)
        return t.r;
    if (r != wanted)
        return qm_unexpected(m, "newest messages", r, wanted);
    if (r < 0)
        return 0;
    if (t.next != until || (total != SIZE_MAX && total != want.n))
        return qm_differ(m, "newest messages %s from %llu upto %llu: %zu of %zu, expected %zu of %zu",
                         qm_filter_text(&f), (unsigned long long)from, (unsigned long long)upto,
                         t.next, total, until, want.n);
    return 0;
}

/* ---- the choice ----------------------------------------------------------------------------- */

static const struct {
    qm_ask_fn *fn;
    unsigned weight;
} questions[] = {
    {ask_load, 12},      {ask_stat, 6},          {ask_damage, 2},      {ask_subject_for_seq, 5},
    {ask_next, 12},      {ask_prev, 10},         {ask_last, 8},        {ask_iter, 3},
    {ask_list_seqs, 5},  {ask_time, 5},          {ask_last_seqs, 6},   {ask_last_msgs, 2},
    {qm_ask_state, 3},   {qm_ask_totals, 5},     {qm_ask_pending, 10}, {qm_ask_filtered, 8},
    {qm_ask_subject, 6}, {qm_ask_subjects, 3},   {qm_ask_counts, 3},   {qm_ask_tokens, 4},
    {qm_ask_deleted, 2},
};

int qm_ask(struct qm *m, struct js_stream *stream, struct qm_rng *rng) {
    unsigned sum = 0;

    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
        sum += questions[i].weight;
    unsigned pick = (unsigned)qm_below(rng, sum);
    size_t i = 0;
    while (pick >= questions[i].weight)
        pick -= questions[i++].weight;
    return questions[i].fn(m, stream, rng);
}

int qm_ask_all(struct qm *m, struct js_stream *stream) {
    struct qm_rng rng = {.state = m->last};
    int r = 0;

    for (size_t i = 0; i < m->count && r == 0; i++)
        r = qm_check_load(m, stream, m->msgs[i].seq);
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
        for (int k = 0; k < 5 && r == 0; k++)
            r = questions[i].fn(m, stream, &rng);
    return r;
}
