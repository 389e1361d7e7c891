/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core/ported.h"

#include "core/format/meta.h"
#include "tests/crash/crash.h"

/* What tests use, and nothing that a server says or is asked. */
#define SUBJECTS ",\"no_ack\":true,\"subjects\":[\"*\",\"*.*\",\"foo.*.*\",\"kv.*.*\",\"a.*.*\"]"

/* Where the streams of the permutation lie, and the account, which is named like the test: so servers can
 * be given what all of them left, for keys depend on the account. */
static const char *world, *account;

const char *pt_account(void) {
    return account;
}

const char *pt_path(const char *name) {
    static char path[300];

    snprintf(path, sizeof path, "/s/jetstream/%s/%s/S/%s", account, world, name);
    return path;
}

int pt_must(struct pt *p, int r, const char *what) {
    if (r < 0)
        fail_msg("%s: %s (%s, %s)", what, js_err_name(r), p->perm->cipher, p->perm->compression);
    return r;
}

/* ---- opening and closing ----------------------------------------------------------------------
 */

static bool is(const char *a, const char *b) {
    return strcmp(a, b) == 0;
}

bool pt_is_plain(const struct pt *p) {
    return is(p->perm->cipher, "none");
}

/* new: of a stream that is made. One with LZ4 blocks is made without, and moves. */
static void make_config(struct pt *p, const char *rest, bool new) {
    snprintf(p->config, sizeof p->config, "{\"name\":\"S\",\"storage\":\"file\"%s%s%s%s}",
             strstr(rest, "\"subjects\"") ? "" : SUBJECTS,
             is(p->perm->compression, "none") || new
                 ? ""
             : is(p->perm->compression, "s2") ? ",\"compression\":\"s2\""
                                              : ",\"compression\":\"lz4\"",
             *rest ? "," : "", rest);
}

void pt_make_config(struct pt *p, const char *rest) {
    make_config(p, rest, false);
}

static int kek(void *ctx, const char *of, const char *context, uint8_t ret[32]) {
    (void)ctx;
    return js_kek_derive("s3cr3t", 6, of, context, ret);
}

static int open_store(struct pt *p) {
    bool aes = is(p->perm->cipher, "aes"), chacha = is(p->perm->cipher, "chacha");
    struct js_store_options options = {.flags = JS_OPEN_RW | JS_OPEN_CREATE | p->flags,
                                       .sync = p->sync,
                                       .block_size = p->block_size,
                                       .key = aes || chacha ? kek : NULL,
                                       .cipher = aes      ? JS_CIPHER_NEW_AES
                                                 : chacha ? JS_CIPHER_NEW_CHACHA
                                                          : JS_CIPHER_NEW_NONE,
                                       .scan_threads = p->threads ? p->threads : 1};
    char why[200];

    return js_store_open(&p->te.env, "/s", &options, &p->store, why, sizeof why);
}

void pt_open(struct pt *p, const char *rest, uint64_t block_size) {
    bool lz4 = is(p->perm->compression, "lz4");
    char why[200] = "";

    make_config(p, rest, lz4);
    p->block_size = block_size;
    pt_must(p, open_store(p), "open");
    int r = js_store_create_stream(p->store, account, "S", p->config, why, sizeof why);
    if (r < 0)
        fail_msg("create %s: %s %s", p->config, js_err_name(r), why);
    if (lz4)
        pt_must(p, js_store_recompress(p->store, account, "S", "lz4", NULL, why, sizeof why), "lz4");
    pt_must(p, js_store_get_stream(p->store, account, "S", &p->stream), "get_stream");
}

void pt_plant_config(struct pt *p, const char *rest) {
    char sum[17];

    pt_make_config(p, rest);
    js_meta_sum("S", (const uint8_t *)p->config, strlen(p->config), sum);
    assert_int_equal(rd_put(p->disk, pt_path("meta.inf"), p->config, strlen(p->config)), 0);
    assert_int_equal(rd_put(p->disk, pt_path("meta.sum"), sum, 16), 0);
}

void pt_close(struct pt *p) {
    if (!p->store)
        return;
    js_stream_unref(p->stream);
    pt_must(p, js_store_close(p->store), "close");
    p->store = NULL;
    p->stream = NULL;
    assert_int_equal(rd_open_files(p->disk), 0);
    assert_int_equal(atomic_load(&p->te.memory), 0);
}

void pt_reopen(struct pt *p) {
    pt_must(p, open_store(p), "open");
    pt_must(p, js_store_get_stream(p->store, account, "S", &p->stream), "get_stream");
    /* Age and limits take out what came back because only index.db knew of it. */
    pt_must(p, js_store_run_due(p->store, atomic_load(&p->te.now)), "run_due");
}

void pt_restart(struct pt *p) {
    pt_close(p);
    pt_reopen(p);
}

void pt_restart_without_index(struct pt *p) {
    uint8_t *data;

    pt_close(p);
    long len = rd_get(p->disk, pt_path("msgs/index.db"), &data);
    if (len >= 0 && p->index_planted) {
        free(data);
    } else if (len >= 0) {
        free(p->index);
        p->index = data;
        p->index_len = (size_t)len;
    }
    rd_remove(p->disk, pt_path("msgs/index.db"));
    pt_reopen(p);
}

void pt_restart_scanned(struct pt *p) {
    unsigned flags = p->flags;

    pt_close(p);
    p->flags |= JS_OPEN_SCAN;
    pt_reopen(p);
    p->flags = flags;
}

static void compare(struct pt *p, const struct snap *want, const struct js_stream_state *st,
                    const char *when) {
    struct snap now;
    char why[200];

    if (snap_take(p->stream, &now, why) < 0)
        fail_msg("%s: %s", when, why);
    const char *differs = snap_differs(want, &now);
    if (differs)
        fail_msg("%s: %s", when, differs);
    struct js_stream_state again = pt_state(p);
    if (st->num_deleted != again.num_deleted || st->num_subjects != again.num_subjects ||
        st->first_time != again.first_time)
        fail_msg("%s: deleted %llu/%llu, subjects %llu/%llu, first time %lld/%lld", when,
                 (unsigned long long)st->num_deleted, (unsigned long long)again.num_deleted,
                 (unsigned long long)st->num_subjects, (unsigned long long)again.num_subjects,
                 (long long)st->first_time, (long long)again.first_time);
    snap_done(&now);
}

void pt_same_everywhere(struct pt *p) {
    struct snap want;
    char why[200];

    if (snap_take(p->stream, &want, why) < 0)
        fail_msg("%s", why);
    struct js_stream_state st = pt_state(p);
    char *deleted = strdup(pt_deleted(p));
    assert_non_null(deleted);
    pt_restart(p);
    compare(p, &want, &st, "after a restart");
    pt_restart_without_index(p);
    compare(p, &want, &st, "without index.db");
    assert_string_equal(pt_deleted(p), deleted);
    pt_restart_scanned(p);
    compare(p, &want, &st, "read anew");
    free(deleted);
    snap_done(&want);
}

static void begin(struct pt *p) {
    p->disk = rd_new();
    te_init(&p->te, rd_io(p->disk));
}

static void end(struct pt *p) {
    pt_close(p);
    free(p->index);
    p->index = NULL;
    p->index_planted = false;
    rd_free(p->disk);
}

void pt_begin_anew(struct pt *p) {
    end(p);
    begin(p);
}

static void export(struct pt *p, const char *name) {
    const char *dir = getenv("JETFS_EXPORT");
    char path[500];

    if (!dir || !p->store)
        return;
    pt_close(p);
    /* What the test itself took away, and nothing has changed since: else closing had written it. */
    if (p->index && rd_get(p->disk, pt_path("msgs/index.db"), NULL) < 0)
        assert_int_equal(rd_put(p->disk, pt_path("msgs/index.db"), p->index, p->index_len), 0);
    snprintf(path, sizeof path, "%s/%s.%s.%s", dir, name, p->perm->cipher, p->perm->compression);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(rd_export(p->disk, path), 0);
}

void pt_each(const char *name, void (*body)(struct pt *p)) {
    const char *only = getenv("PERMUTATION");

    for (size_t i = 0; i < NUM_PERMUTATIONS; i++) {
        struct pt p = {.perm = &permutations[i], .sync = JS_SYNC_OS};
        char text[32];
        snprintf(text, sizeof text, "%s.%s", p.perm->cipher, p.perm->compression);
        if (!permutations[i].enabled || (only && !is(only, text)))
            continue;
        account = name;
        world = is(p.perm->compression, "lz4") ? "jetfs" : "streams";
        begin(&p);
        body(&p);
        export(&p, name);
        end(&p);
    }
}

/* ---- changing ---------------------------------------------------------------------------------
 */

js_seq_t pt_store_hdr(struct pt *p, const char *subject, const char *hdr, const char *text) {
    js_seq_t seq = 0;

    pt_must(p,
            js_stream_store_msg(p->stream, subject, strlen(subject), (const uint8_t *)hdr,
                                hdr ? strlen(hdr) : 0, (const uint8_t *)text, strlen(text), &seq,
                                NULL),
            "store");
    return seq;
}

js_seq_t pt_store(struct pt *p, const char *subject, const char *text) {
    return pt_store_hdr(p, subject, NULL, text);
}

js_seq_t pt_store_size(struct pt *p, const char *subject, size_t size) {
    uint8_t *data = malloc(size + 1);
    js_seq_t seq = 0;

    assert_non_null(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    pt_must(
        p,
        js_stream_store_msg(p->stream, subject, strlen(subject), NULL, 0, data, size, &seq, NULL),
        "store");
    free(data);
    return seq;
}

void pt_store_n(struct pt *p, size_t n, const char *subject, const char *text) {
    while (n--)
        pt_store(p, subject, text);
}

int pt_try(struct pt *p, const char *subject, const char *text) {
    return js_stream_store_msg(p->stream, subject, strlen(subject), NULL, 0, (const uint8_t *)text,
                               strlen(text), NULL, NULL);
}

void pt_remove(struct pt *p, js_seq_t seq) {
    assert_int_equal(pt_must(p, js_stream_remove_msg(p->stream, seq), "remove"), 1);
}

void pt_pass(struct pt *p, js_time_t ns) {
    js_time_t until = atomic_load(&p->te.now) + ns;

    for (int i = 0; i < 10000; i++) {
        js_time_t due = js_store_next_deadline(p->store);
        if (due == 0 || due > until)
            break;
        if (due > atomic_load(&p->te.now))
            atomic_store(&p->te.now, due);
        pt_must(p, js_store_run_due(p->store, atomic_load(&p->te.now)), "run_due");
    }
    if (atomic_load(&p->te.now) < until)
        atomic_store(&p->te.now, until);
    pt_must(p, js_store_run_due(p->store, atomic_load(&p->te.now)), "run_due");
}

/* ---- looking ----------------------------------------------------------------------------------
 */

int pt_load(struct pt *p, js_seq_t seq) {
    struct js_msg m;
    int r = js_stream_load_msg(p->stream, seq, &m);

    if (r == 0)
        js_msg_release(&m);
    return r;
}

int pt_load_last(struct pt *p, const char *subject, js_seq_t *ret_seq) {
    struct js_msg m;
    int r = js_stream_load_last_msg(p->stream, subject, strlen(subject), &m);

    if (r < 0)
        return r;
    *ret_seq = m.seq;
    js_msg_release(&m);
    return 0;
}

int pt_next(struct pt *p, const char *filter, js_seq_t from, js_seq_t *ret_seq) {
    struct js_filter f = {.patterns = &filter, .count = 1};
    struct js_msg m;
    int r = js_stream_load_next_msg(p->stream, &f, from, &m);

    if (r < 0)
        return r;
    *ret_seq = m.seq;
    js_msg_release(&m);
    return 0;
}

struct js_subject_state pt_filtered(struct pt *p, js_seq_t from, const char *filter) {
    struct js_filter f = {.patterns = &filter, .count = *filter != 0};
    struct js_subject_state st = {0};

    pt_must(p, js_stream_filtered_state(p->stream, from, &f, &st), "filtered_state");
    return st;
}

uint64_t pt_pending(struct pt *p, js_seq_t from, const char *filter, bool last_per_subject) {
    struct js_filter f = {.patterns = &filter, .count = *filter != 0};
    uint64_t n = 0;
    js_seq_t through = 0;

    pt_must(p, js_stream_num_pending(p->stream, from, &f, last_per_subject, &n, &through),
            "pending");
    assert_int_equal(through, pt_state(p).last_seq);
    return n;
}

void pt_expect_msg(struct pt *p, js_seq_t seq, const char *subject, const char *text) {
    struct js_msg m;

    pt_must(p, js_stream_load_msg(p->stream, seq, &m), "load");
    assert_int_equal(m.seq, seq);
    assert_int_equal(m.subject_len, strlen(subject));
    assert_memory_equal(m.subject, subject, m.subject_len);
    assert_int_equal(m.data_len, strlen(text));
    if (m.data_len)
        assert_memory_equal(m.data, text, m.data_len);
    js_msg_release(&m);
}

struct js_stream_state pt_state(struct pt *p) {
    struct js_stream_state st;

    js_stream_get_state(p->stream, &st);
    return st;
}

struct text {
    char s[1000];
    size_t len;
};

static int add_run(void *ctx, js_seq_t first, js_seq_t last) {
    struct text *t = ctx;
    size_t room = sizeof t->s - t->len;
    int n = first == last ? snprintf(t->s + t->len, room, "%s%llu", t->len ? "," : "",
                                     (unsigned long long)first)
                          : snprintf(t->s + t->len, room, "%s%llu-%llu", t->len ? "," : "",
                                     (unsigned long long)first, (unsigned long long)last);
    assert_true(n > 0 && (size_t)n < room);
    t->len += (size_t)n;
    return 0;
}

const char *pt_deleted(struct pt *p) {
    static struct text t;

    t.len = 0;
    t.s[0] = 0;
    pt_must(p, js_stream_deleted(p->stream, add_run, &t), "deleted");
    return t.s;
}

/* ---- files ------------------------------------------------------------------------------------
 */

bool pt_has_file(struct pt *p, const char *name) {
    return rd_get(p->disk, pt_path(name), NULL) >= 0;
}

long pt_file_size(struct pt *p, const char *name) {
    return rd_get(p->disk, pt_path(name), NULL);
}

size_t pt_num_block_files(struct pt *p) {
    size_t n = 0;
    char name[32];

    /* Files of blocks that are gone wait for a sync. */
    if (p->stream)
        pt_must(p, js_stream_sync(p->stream), "sync");
    for (unsigned i = 1; i < 3000; i++) {
        snprintf(name, sizeof name, "msgs/%u.blk", i);
        n += pt_has_file(p, name);
    }
    return n;
}

void pt_remove_file(struct pt *p, const char *name) {
    assert_int_equal(rd_remove(p->disk, pt_path(name)), 0);
}

struct pt_kept pt_keep_file(struct pt *p, const char *name) {
    struct pt_kept k = {0};

    k.len = rd_get(p->disk, pt_path(name), &k.data);
    assert_true(k.len >= 0);
    return k;
}

void pt_put_back(struct pt *p, const char *name, struct pt_kept *kept) {
    if (strcmp(name, "msgs/index.db") == 0)
        p->index_planted = true;
    assert_int_equal(rd_put(p->disk, pt_path(name), kept->data, (size_t)kept->len), 0);
    free(kept->data);
    kept->data = NULL;
}
