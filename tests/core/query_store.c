/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core/query_store.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/format/crypto.h"
#include "core/format/index_db.h"
#include "core/format/meta.h"
#include "core/format/record.h"
#include "core/format/s2.h"

#define STREAM_DIR "jetstream/$G/streams/S"

int qs_key(void *ctx, const char *account, const char *context, uint8_t ret_kek[32]) {
    (void)ctx;
    return js_kek_derive("the server's key", 16, account, context, ret_kek);
}

int qs_open(const struct js_env *env, const char *dir, unsigned open_flags, uint64_t index_bytes,
            struct js_store **ret_store, struct js_stream **ret_stream) {
    struct js_store_options options = {.flags = open_flags,
                                       .key = qs_key,
                                       .scan_threads = 1,
                                       .sync = JS_SYNC_OS,
                                       .index_bytes = index_bytes};
    int r = js_store_open(env ? env : js_env_default(), dir, &options, ret_store, NULL, 0);

    if (r < 0)
        return r;
    r = js_store_get_stream(*ret_store, "$G", "S", ret_stream);
    if (r < 0)
        js_store_close(*ret_store);
    return r;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void qs_remove(const char *dir) {
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- what happens to the stream ------------------------------------------------------------- */

struct tomb {
    size_t after; /* how many records of the model were written before it */
    uint32_t block;
    js_seq_t seq;
    js_time_t time;
};

struct plan {
    const char *dir;
    unsigned flags;
    struct qm_rng *rng;
    struct qm *m;
    bool *erased; /* by record: overwritten, or a skip record */
    struct tomb *tombs;
    size_t num_tombs;
    uint8_t seed[JS_SEED_SIZE];
    enum js_cipher cipher;
    bool stale_hints; /* first and last blocks of subjects in index.db are bounds only */
    uint8_t version;  /* of index.db */
    uint8_t last_sum[8];
};

static bool has_index(const struct plan *p) {
    return !(p->flags & QS_NO_INDEX);
}

static uint32_t data_len(struct plan *p) {
    if (p->flags & QS_LARGE)
        return (uint32_t)qm_below(p->rng, 3000);
    return (uint32_t)qm_below(p->rng, qm_once_in(p->rng, 20) ? 1500 : 60);
}

static void bury(struct plan *p, size_t i, uint32_t block) {
    p->m->msgs[i].kind = QM_GONE;
    p->tombs[p->num_tombs++] = (struct tomb){.after = p->m->count,
                                             .block = block,
                                             .seq = p->m->msgs[i].seq,
                                             .time = qm_once_in(p->rng, 4)
                                                         ? JS_TIME_ZERO
                                                         : p->m->msgs[p->m->count - 1].time};
}

/* Records, block after block, with the tombstones between them. */
static void make_history(struct plan *p, size_t n) {
    struct qm *m = p->m;
    struct qm_rng *rng = p->rng;
    struct qm_msg g = {.seq = qm_once_in(rng, 3) ? 1 + qm_below(rng, 1u << 20) : 1,
                       .time = INT64_C(1700000000000000000),
                       .block = 1 + (uint32_t)qm_below(rng, 3)};
    uint64_t room = 0;

    while (m->count < n) {
        bool wide = false;
        if (room == 0) {
            g.block += m->count ? 1 + (qm_once_in(rng, 10) ? (uint32_t)qm_below(rng, 4) : 0) : 0;
            room = p->flags & QS_TINY ? 1 + qm_below(rng, 3) : 3 + qm_below(rng, 60);
            wide = m->count > 0;
        }
        room--;
        bool skip = false;
        if ((p->flags & QS_SPARSE) && qm_once_in(rng, 8)) {
            /* index.db lists what is missing inside a block: there gaps are smaller. */
            uint64_t bits = wide ? 33 : has_index(p) ? 13 : 40;
            g.seq += qm_below(rng, 1ull << (1 + qm_below(rng, bits)));
            skip = qm_once_in(rng, 2);
        }
        g.time += (js_time_t)qm_below(rng, qm_once_in(rng, 3) ? 1 : 2000000000);
        g.sid = (uint32_t)qm_below(rng, m->num_subjects);
        if (qm_once_in(rng, 2)) /* some subjects are rare */
            g.sid = (uint32_t)qm_below(rng, g.sid + 1);
        g.has_hdr = !skip && qm_once_in(rng, 5);
        g.data_len = skip ? 0 : data_len(p);
        g.kind = skip ? QM_GONE : QM_LIVE;
        p->erased[m->count] = skip;
        qm_add(m, &g);
        g.seq++;
        while ((p->flags & QS_TOMBSTONES) && qm_once_in(rng, 5)) {
            size_t i = qm_once_in(rng, 3) ? m->count - 1 : qm_below(rng, m->count);
            if (m->msgs[i].kind == QM_LIVE)
                bury(p, i, g.block);
        }
    }
}

/* Runs and single messages that only index.db says are gone. */
static void delete_by_index(struct plan *p) {
    struct qm *m = p->m;
    size_t runs = 1 + qm_below(p->rng, 4), front = 0;

    if (qm_once_in(p->rng, 2)) /* what max_msgs does */
        front = qm_below(p->rng, m->count);
    for (size_t i = 0; i < front; i++)
        m->msgs[i].kind = QM_GONE;
    for (size_t i = 0; i < m->count; i++)
        if (qm_once_in(p->rng, 12))
            m->msgs[i].kind = QM_GONE;
    while (runs--) {
        size_t at = qm_below(p->rng, m->count), len = qm_below(p->rng, m->count / 4 + 1);
        for (size_t i = at; i < m->count && i < at + len; i++)
            m->msgs[i].kind = QM_GONE;
    }
}

/* A whole block, deleted by tombstones in the last one, and some records overwritten. */
static void delete_more(struct plan *p) {
    struct qm *m = p->m;
    uint32_t last = m->msgs[m->count - 1].block, victim;

    victim = m->msgs[qm_below(p->rng, m->count)].block;
    for (size_t i = 0; i < m->count; i++)
        if (m->msgs[i].kind == QM_LIVE && m->msgs[i].block == victim)
            bury(p, i, last);
    for (size_t i = 0; i < m->count; i++) {
        if (m->msgs[i].kind == QM_LIVE && qm_once_in(p->rng, 25)) {
            m->msgs[i].kind = QM_GONE;
            p->erased[i] = true;
        }
    }
}

static void damage(struct plan *p) {
    struct qm *m = p->m;
    size_t first = qm_lower(m, m->first), last = m->count;

    while (last > 0 && m->msgs[last - 1].kind != QM_LIVE)
        last--;
    for (size_t i = first + 1; i + 1 < last; i++) {
        const struct qm_msg *a = &m->msgs[i - 1], *g = &m->msgs[i], *b = &m->msgs[i + 1];
        /* Both neighbours stand beside it, so that it is known which one is missing. */
        if (g->kind == QM_LIVE && a->kind != QM_DAMAGED && a->block == b->block &&
            a->seq + 1 == g->seq && g->seq + 1 == b->seq && qm_once_in(p->rng, 10)) {
            m->msgs[i].kind = QM_DAMAGED;
            m->damage = true;
        }
    }
}

static bool block_lives(const struct qm *m, uint32_t block) {
    for (size_t i = 0; i < m->count; i++)
        if (m->msgs[i].block == block && m->msgs[i].kind != QM_GONE)
            return true;
    return false;
}

/* Takes away the files of blocks in which nothing is left, as servers do. */
static void drop_dead_blocks(struct plan *p) {
    struct qm *m = p->m;
    size_t out = 0;

    for (size_t i = 0; i < m->count;) {
        uint32_t block = m->msgs[i].block;
        size_t end = i, moved = 0;
        bool keep = block_lives(m, block) || block == m->msgs[m->count - 1].block ||
                    qm_once_in(p->rng, 2);
        for (size_t t = 0; t < p->num_tombs; t++)
            keep |= p->tombs[t].block == block;
        for (; end < m->count && m->msgs[end].block == block; end++) {
            if (!keep) {
                moved++;
                continue;
            }
            m->msgs[out] = m->msgs[end];
            p->erased[out++] = p->erased[end];
        }
        for (size_t t = 0; moved && t < p->num_tombs; t++)
            if (p->tombs[t].after > out)
                p->tombs[t].after -= moved;
        i = end;
    }
    m->count = out;
}

/* ---- files ---------------------------------------------------------------------------------- */

static int put_file(const struct plan *p, const char *name, const void *data, size_t len) {
    char path[512];

    snprintf(path, sizeof path, "%s/" STREAM_DIR "/%s", p->dir, name);
    FILE *f = fopen(path, "wb");
    if (!f)
        return -1;
    bool good = fwrite(data, 1, len, f) == len;
    return fclose(f) == 0 && good ? 0 : -1;
}

static int make_dirs(const struct plan *p) {
    static const char *const parts[] = {"jetstream", "jetstream/$G", "jetstream/$G/streams",
                                        STREAM_DIR, STREAM_DIR "/msgs", STREAM_DIR "/obs"};
    char path[512];

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(path, sizeof path, "%s/%s", p->dir, parts[i]);
        if (mkdir(path, 0700) < 0)
            return -1;
    }
    return 0;
}

static void random_bytes(struct plan *p, uint8_t *out, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)qm_next(p->rng);
}

/* A key of its own, wrapped into a file. */
static int make_key(struct plan *p, const char *context, const char *file,
                    struct js_block_key *ret_key) {
    uint8_t kek[32], wrapped[72];

    ret_key->cipher = p->cipher;
    random_bytes(p, ret_key->seed, sizeof ret_key->seed);
    random_bytes(p, ret_key->nonce, sizeof ret_key->nonce);
    if (qs_key(NULL, "$G", context, kek) < 0)
        return -1;
    size_t len = js_key_wrap(ret_key, kek, wrapped);
    return put_file(p, file, wrapped, len);
}

static int put_meta(struct plan *p) {
    static const char text[] =
        "{\"name\":\"S\",\"subjects\":[\">\"],\"retention\":\"limits\",\"storage\":\"file\","
        "\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1,\"max_msg_size\":-1,"
        "\"discard\":\"old\",\"num_replicas\":1}";
    struct js_buf out = {.env = js_env_default()};
    char sum[17];

    if (p->cipher != JS_CIPHER_NONE) {
        struct js_block_key key;
        if (make_key(p, "S", "meta.key", &key) < 0)
            return -1;
        memcpy(p->seed, key.seed, sizeof p->seed);
        if (js_seal(out.env, p->cipher, p->seed, (const uint8_t *)text, sizeof text - 1, &out) < 0)
            return -1;
    } else {
        js_buf_append(&out, text, sizeof text - 1);
    }
    js_meta_sum("S", out.data, out.len, sum);
    int r = put_file(p, "meta.inf", out.data, out.len);
    js_buf_done(&out);
    return r < 0 ? r : put_file(p, "meta.sum", sum, 16);
}

static void put_record(struct plan *p, struct js_buf *out, size_t i,
                       const struct js_hash_key *key) {
    const struct qm_msg *g = &p->m->msgs[i];
    const char *subject = p->m->subjects[g->sid];
    char hdr[64];
    uint8_t data[8192];
    bool skip = p->erased[i] && g->data_len == 0;
    size_t slen = skip ? 0 : strlen(subject), hlen = skip ? 0 : qm_hdr(g, hdr);
    uint32_t len = js_record_size(slen, hlen, g->data_len);

    qm_data(g, data);
    if (p->erased[i])
        random_bytes(p, data, g->data_len);
    if (js_buf_reserve(out, len) < 0)
        abort();
    uint8_t *at = out->data + out->len;
    js_record_encode(at, g->seq | (p->erased[i] ? JS_SEQ_ERASED : 0), g->time, subject, slen,
                     (const uint8_t *)hdr, hlen, data, g->data_len, key);
    out->len += len;
    if (g->kind == QM_DAMAGED) /* the payload or the sum */
        at[len - 1 - qm_below(p->rng, 8 + g->data_len)] ^= (uint8_t)(1 + qm_below(p->rng, 255));
}

static void put_tombs(struct plan *p, struct js_buf *out, size_t *next, uint32_t block,
                      size_t written, const struct js_hash_key *key) {
    for (; *next < p->num_tombs && p->tombs[*next].block == block &&
           p->tombs[*next].after <= written;
         ++*next) {
        if (js_buf_reserve(out, 30) < 0)
            abort();
        js_record_encode(out->data + out->len, p->tombs[*next].seq | JS_SEQ_TOMBSTONE,
                         p->tombs[*next].time, NULL, 0, NULL, 0, NULL, 0, key);
        out->len += 30;
    }
}

/* Wraps a decoded block as it stands on disk. */
static int put_block(struct plan *p, uint32_t number, bool newest, struct js_buf *raw) {
    struct js_buf out = {.env = raw->env};
    char name[64], context[32];

    memcpy(p->last_sum, raw->data + raw->len - 8, 8);
    if ((p->flags & QS_COMPRESSED) && !newest) {
        js_buf_append(&out, "cmp\1", 4);
        js_buf_append_uv(&out, raw->len);
        if (js_s2_encode(raw->data, raw->len - 8, &out) < 0)
            return -1;
        js_buf_append(&out, raw->data + raw->len - 8, 8);
    } else {
        js_buf_append(&out, raw->data, raw->len);
    }
    if (p->cipher != JS_CIPHER_NONE) {
        struct js_block_key key;
        snprintf(name, sizeof name, "msgs/%u.key", number);
        snprintf(context, sizeof context, "S:%u", number);
        if (make_key(p, context, name, &key) < 0 ||
            js_block_xor(&key, 0, out.data, out.len) < 0)
            return -1;
    }
    snprintf(name, sizeof name, "msgs/%u.blk", number);
    int r = put_file(p, name, out.data, out.len);
    js_buf_done(&out);
    return r;
}

static int put_blocks(struct plan *p) {
    struct js_buf raw = {.env = js_env_default()};
    struct js_hash_key key;
    size_t tomb = 0;
    int r = 0;

    for (size_t i = 0; i < p->m->count && r == 0;) {
        uint32_t block = p->m->msgs[i].block;
        js_hash_key_of_block(&key, "S", block);
        raw.len = 0;
        while (i < p->m->count && p->m->msgs[i].block == block) {
            put_record(p, &raw, i++, &key);
            put_tombs(p, &raw, &tomb, block, i, &key);
        }
        r = put_block(p, block, i == p->m->count, &raw);
    }
    js_buf_done(&raw);
    return r;
}

/* ---- index.db ------------------------------------------------------------------------------- */

static void index_block(struct plan *p, struct js_index_db *ix, size_t from, size_t end) {
    const struct qm_msg *msgs = p->m->msgs;
    struct js_index_block *b = &ix->blocks[ix->num_blocks++];

    b->number = msgs[from].block;
    b->last_seq = msgs[end - 1].seq;
    b->last_time = msgs[end - 1].time;
    js_seqset_init(&b->deleted, ix->env);
    while (from < end && msgs[from].kind == QM_GONE)
        from++;
    b->first_seq = from < end ? msgs[from].seq : b->last_seq + 1;
    b->first_time = from < end ? msgs[from].time : 0;
    js_seq_t expect = b->first_seq;
    for (; from < end; from++) {
        for (; expect < msgs[from].seq; expect++)
            js_seqset_add(&b->deleted, expect);
        if (msgs[from].kind == QM_GONE)
            js_seqset_add(&b->deleted, expect);
        else
            b->bytes += qm_record_len(p->m, &msgs[from]);
        expect++;
    }
    ix->bytes += b->bytes;
}

static void index_subjects(struct plan *p, struct js_index_db *ix) {
    struct qm *m = p->m;

    for (uint32_t sid = 0; sid < m->num_subjects; sid++) {
        struct js_index_subject u = {.name = m->subjects[sid],
                                     .len = (uint32_t)strlen(m->subjects[sid])};
        for (size_t i = 0; i < m->count; i++) {
            if (m->msgs[i].kind == QM_GONE || m->msgs[i].sid != sid)
                continue;
            u.total++;
            u.first_block = u.first_block ? u.first_block : m->msgs[i].block;
            u.last_block = m->msgs[i].block;
        }
        if (p->stale_hints && u.total) {
            /* Servers bring them up to date when they need them: bounds, the first too low, the
             * last too high; where one is stored for both it may be either. */
            if (qm_once_in(p->rng, 2))
                u.first_block = 1 + (uint32_t)qm_below(p->rng, u.first_block);
            if (qm_once_in(p->rng, 2))
                u.last_block += (uint32_t)qm_below(p->rng, ix->last_block - u.last_block + 1);
            if (u.total == 1 && p->version < 4 && qm_once_in(p->rng, 2))
                u.first_block = u.last_block;
        }
        if (u.total)
            ix->subjects[ix->num_subjects++] = u;
    }
}

static int put_index(struct plan *p) {
    struct qm *m = p->m;
    const struct js_env *env = js_env_default();
    struct js_index_db ix = {.env = env, .first_seq = m->first, .last_seq = m->last};
    struct js_buf plain = {.env = env}, out = {.env = env};
    struct js_hash_key key;
    int r = 0;

    ix.subjects = calloc(m->num_subjects, sizeof *ix.subjects);
    ix.blocks = calloc(m->count, sizeof *ix.blocks);
    if (!ix.subjects || !ix.blocks)
        abort();
    ix.last_block = m->msgs[m->count - 1].block;
    ix.last_time = m->msgs[m->count - 1].time;
    memcpy(ix.last_sum, p->last_sum, 8);
    for (size_t i = 0; i < m->count;) {
        size_t end = i;
        bool lives = block_lives(m, m->msgs[i].block);
        while (end < m->count && m->msgs[end].block == m->msgs[i].block) {
            if (m->msgs[end].kind != QM_GONE) {
                ix.msgs++;
                if (ix.first_time == 0)
                    ix.first_time = m->msgs[end].time;
            }
            end++;
        }
        if (lives || end == m->count || qm_once_in(p->rng, 2))
            index_block(p, &ix, i, end);
        i = end;
    }
    index_subjects(p, &ix);
    if (js_index_db_encode(&ix, p->version, &plain) < 0)
        abort();
    if (p->cipher != JS_CIPHER_NONE)
        r = js_seal(env, p->cipher, p->seed, plain.data, plain.len, &out);
    else
        js_buf_append(&out, plain.data, plain.len);
    js_hash_key_of_name(&key, "S", 1);
    js_buf_append_u64(&out, js_hash64_one(&key, out.data, out.len));
    if (r == 0)
        r = put_file(p, "msgs/index.db", out.data, out.len);
    js_buf_done(&plain);
    js_buf_done(&out);
    js_index_db_done(&ix);
    return r;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static uint32_t num_subjects(unsigned flags, struct qm_rng *rng) {
    if (flags & QS_FEW_SUBJECTS)
        return 1 + (uint32_t)qm_below(rng, 4);
    return flags & QS_MANY_SUBJECTS ? 300 + (uint32_t)qm_below(rng, 200)
                                    : 8 + (uint32_t)qm_below(rng, 40);
}

int qs_plant(const char *dir, unsigned flags, struct qm_rng *rng, struct qm *m) {
    size_t n = flags & (QS_LARGE | QS_MANY_SUBJECTS) ? 400 + qm_below(rng, 400)
                                                     : 3 + qm_below(rng, 250);
    struct plan p = {.dir = dir, .flags = flags, .rng = rng, .m = m};

    if (flags & QS_INDEX_DELETES)
        p.flags &= ~(unsigned)QS_NO_INDEX;
    p.cipher = flags & QS_CHACHA ? JS_CIPHER_CHACHA : flags & QS_AES ? JS_CIPHER_AES
                                                                    : JS_CIPHER_NONE;
    p.version = (uint8_t)(1 + qm_below(rng, 4));
    p.stale_hints = qm_once_in(rng, 3);
    p.erased = calloc(n, sizeof *p.erased);
    p.tombs = calloc(n, sizeof *p.tombs);
    if (!p.erased || !p.tombs)
        abort();
    qm_init(m);
    qm_make_subjects(m, rng, num_subjects(flags, rng));
    make_history(&p, n);
    if (flags & QS_INDEX_DELETES)
        delete_by_index(&p);
    if ((flags & QS_TOMBSTONES) && qm_once_in(rng, 2))
        delete_more(&p);
    drop_dead_blocks(&p);
    qm_settle(m);
    if (flags & QS_DAMAGE)
        damage(&p);
    int r = make_dirs(&p);
    if (r == 0)
        r = put_meta(&p);
    if (r == 0)
        r = put_blocks(&p);
    if (r == 0 && has_index(&p))
        r = put_index(&p);
    m->fuzzy = m->damage && has_index(&p);
    free(p.erased);
    free(p.tombs);
    return r;
}
