/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream/peek.h"

#include "core/base/bytes.h"
#include "core/base/file.h"
#include "core/base/limits.h"
#include "core/format/s2.h"
#include "core/stream/stream.h"

#define WINDOW ((size_t)256 << 10)
/* So many times the stream's bytes may be read before it is scanned instead. */
#define PATIENCE 2
/* So many blocks may be read as a whole after they were looked into for one record. */
#define IN_VAIN 2

void js_peek_init(struct js_peek *peek) {
    *peek = (struct js_peek){0};
    pthread_mutex_init(&peek->mu, NULL);
}

void js_peek_done(struct js_peek *peek, const struct js_env *env) {
    js_free(env, peek->window);
    pthread_mutex_destroy(&peek->mu);
}

/* ---- one block -------------------------------------------------------------------------------- */

struct walk {
    struct js_stream *s;
    const struct js_block *b;
    const struct js_block_key *key; /* NULL: plain */
    const char *name; /* NULL: the record of want alone is looked for, and the walk ends there */
    uint32_t len;     /* of the name */
    js_seq_t want;
    struct js_peeked found;
    struct js_extent ext;
    uint64_t off;       /* of the next record */
    uint64_t base, end; /* what the window holds */
    js_seq_t highest;
    uint64_t msgs, bytes; /* that live */
};

/* The bytes at w->off, at least need of them if the file has so many. NULL: r says why. */
static const uint8_t *view(struct walk *w, size_t need, int *r) {
    uint8_t *window = w->s->peek.window;

    if (w->off + need > w->end && w->end < w->ext.len) {
        size_t want = w->ext.len - w->off < WINDOW ? w->ext.len - w->off : WINDOW;
        ssize_t n = js_file_read(w->s->env, w->ext.fd, window, want, w->ext.off + w->off);
        if (n < 0) {
            *r = (int)n;
            return NULL;
        }
        w->base = w->off;
        w->end = w->off + (uint64_t)n;
        if (w->key)
            *r = js_block_xor(w->key, w->base, window, (size_t)n);
        if (*r < 0)
            return NULL;
        if (w->base == 0 && js_cmp_is(window, (size_t)n))
            *r = JS_NEED_SCAN;
    }
    if (w->off + need > w->end)
        *r = JS_NEED_SCAN;
    return *r ? NULL : window + (w->off - w->base);
}

static int take(struct walk *w, const uint8_t *p, uint32_t len, uint64_t seq, uint32_t slen) {
    struct js_peek *peek = &w->s->peek;
    struct js_peeked here = {.seq = seq, .off = (uint32_t)w->off, .len = len};

    if ((seq & JS_SEQ_TOMBSTONE) || (seq & JS_SEQ_MASK) == 0 || (seq & JS_SEQ_MASK) <= w->highest)
        return 0;
    w->highest = seq & JS_SEQ_MASK;
    if ((seq & JS_SEQ_ERASED) || !js_cold_lives(w->b->cold, seq))
        return 0;
    w->msgs++;
    w->bytes += len;
    if (!w->name) {
        if (seq == w->want)
            w->found = here;
        return 0;
    }
    if (slen != w->len || memcmp(p + JS_RECORD_HEAD, w->name, slen) != 0)
        return 0;
    if (peek->n == JS_PEEKED)
        return JS_NEED_SCAN;
    peek->list[peek->n++] = here;
    return 0;
}

static int walk_block(struct walk *w) {
    int r = 0;

    while (w->off < w->ext.len && r == 0) {
        const uint8_t *p = view(w, JS_RECORD_HEAD, &r);
        if (!p)
            break;
        uint32_t len = js_get32(p) & ~JS_LEN_HAS_HEADERS, slen = js_get16(p + 20);
        uint64_t seq = js_get64(p + 4);
        if (len < JS_MIN_RECORD || len > JS_MAX_RECORD || len > w->ext.len - w->off ||
            slen > len - JS_MIN_RECORD)
            return JS_NEED_SCAN;
        if (w->name && slen == w->len)
            p = view(w, JS_RECORD_HEAD + slen, &r);
        if (r == 0)
            r = take(w, p, len, seq, slen);
        w->off += len;
        if (w->found.seq)
            return r;
    }
    return r ? r : w->msgs == w->b->msgs && w->bytes == w->b->bytes ? 0 : JS_NEED_SCAN;
}

/* The key of a block that nobody looked into yet: of our own, as others may be finding it out now. NULL: it has
 * none. NEED_SCAN when it cannot be had. */
static int open_key(struct js_stream *s, const struct js_block *b, struct js_block_key **ret) {
    enum js_scan_verdict verdict = JS_SCAN_OK;
    int r = 0;

    *ret = NULL;
    if (s->encrypted)
        r = js_stream_block_key(s, b->number, ret, &verdict);
    return r < 0 && js_is_shortage(r) ? r : r < 0 || verdict != JS_SCAN_OK ? JS_NEED_SCAN : 0;
}

/* Fills the list of the subject's messages in the block; mu held. */
static int list_block(struct js_stream *s, const struct js_block *b, const struct js_block_key *key,
                      uint32_t sid) {
    const struct js_subject_line *line = &s->subjects.lines[sid];
    struct js_peek *peek = &s->peek;
    struct walk w = {.s = s, .b = b, .key = key, .name = js_subject_name(line), .len = line->len};

    if (peek->number == b->number && peek->sid == sid && peek->version == b->version &&
        peek->removals == b->removals)
        return 0;
    peek->number = 0;
    peek->n = 0;
    if (!b->cold->unread || peek->read > PATIENCE * s->bytes)
        return JS_NEED_SCAN;
    if (!peek->window && !(peek->window = js_malloc(s->env, WINDOW)))
        return JS_ERR_NOMEM;
    int r = js_files_open_block(&s->files, b->number, &w.ext);
    if (r == 0) {
        r = w.ext.len > JS_MAX_BLOCK_FILE ? JS_NEED_SCAN : walk_block(&w);
        js_extent_close(s->env, &w.ext);
    }
    peek->read += w.ext.len;
    if (r < 0 && !js_is_shortage(r))
        return JS_NEED_SCAN;
    if (r == 0) {
        peek->number = b->number;
        peek->version = b->version;
        peek->removals = b->removals;
        peek->sid = sid;
    }
    return r;
}

/* No checksum covers where a subject ends: it must be one that index.db lists. */
static bool is_listed(const struct js_stream *s, const struct js_record *rec) {
    uint32_t sid = js_subjects_find(&s->subjects, (const char *)rec->subject, rec->subject_len);

    return sid != JS_NO_ID && s->subjects.lines[sid].count != 0;
}

/* The message that was found, proved by its checksum. line NULL: of any subject. */
static int load(struct js_stream *s, struct js_block *b, const struct js_block_key *key,
                const struct js_subject_line *line, const struct js_peeked *found,
                struct js_msg *ret_msg) {
    struct js_record rec;
    struct js_cached *e;
    const uint8_t *p;
    /* What was walked is not compressed; what else is known of the block others may be finding out now. */
    int r = js_stream_plain_part(s, b, key, found->off, found->len, &e, &p);

    if (r < 0)
        return js_is_shortage(r) ? r : JS_NEED_SCAN;
    if (!js_record_parse(p, found->len, &rec) || rec.len != found->len || rec.seq != found->seq ||
        rec.erased || rec.tombstone ||
        (!line && !is_listed(s, &rec)) ||
        (line && (rec.subject_len != line->len ||
                  memcmp(rec.subject, js_subject_name(line), line->len) != 0)) ||
        !js_record_verify(&rec, &b->hash_key, p) || js_scan_fix_header(&rec, false)) {
        js_cached_unref(e);
        return JS_NEED_SCAN;
    }
    *ret_msg = (struct js_msg){.seq = rec.seq,
                               .time = rec.time,
                               .subject = (const char *)rec.subject,
                               .subject_len = rec.subject_len,
                               .hdr = rec.hdr_len ? rec.hdr : NULL,
                               .hdr_len = rec.hdr_len,
                               .data = rec.data,
                               .data_len = rec.data_len,
                               .owner = e};
    return 1;
}

/* ---- over the blocks --------------------------------------------------------------------------- */

/* In a block: the first message with sequence >= seq, or the last one. *ret_alone: it has all messages
 * of the subject. */
static int in_block(struct js_stream *s, size_t bi, uint32_t sid, js_seq_t seq, bool last,
                    bool *ret_alone, struct js_msg *ret_msg) {
    struct js_block *b = s->blocks[bi];
    struct js_peeked found = {0};
    struct js_place at = {0};
    int r;

    *ret_alone = false;
    if (!b->cold || atomic_load_explicit(&b->cold->kept, memory_order_acquire)) {
        r = js_place_at(s, &at, bi);
        if (r == 0)
            r = js_stream_find_in(&at, sid, seq, last) ? js_stream_slot_msg(s, &at, false, ret_msg) : 1;
        js_place_done(s, &at);
        return r == 0 ? 1 : r == 1 ? 0 : r;
    }
    struct js_block_key *key;
    r = open_key(s, b, &key);
    if (r != 0)
        return r;
    pthread_mutex_lock(&s->peek.mu);
    r = list_block(s, b, key, sid);
    if (r == 0) {
        *ret_alone = s->peek.n == s->subjects.lines[sid].count;
        for (size_t i = 0; i < s->peek.n; i++)
            if (last || (found.seq == 0 && s->peek.list[i].seq >= seq))
                found = s->peek.list[i];
    }
    pthread_mutex_unlock(&s->peek.mu);
    if (r == 0 && found.seq)
        r = load(s, b, key, &s->subjects.lines[sid], &found, ret_msg);
    js_vault_put(s->vault, key);
    return r;
}

/* The blocks in which messages of a subject may lie. First blocks are right if nothing is missing between
 * the first and the last message: servers set them too high when the newer of two was removed. */
static bool bounds(const struct js_stream *s, uint32_t sid, uint32_t *ret_first, uint32_t *ret_last) {
    const struct js_subject_span *span = js_subjects_span(&s->subjects, sid);
    bool gapless = s->lost == 0 && s->msgs && s->msgs == s->last_seq - s->first_seq + 1;

    if (!span || span->last == 0)
        return false;
    *ret_first = gapless && !span->guessed ? span->first : 0;
    *ret_last = span->guessed ? UINT32_MAX : span->last;
    return true;
}

int js_peek_next(struct js_stream *s, uint32_t sid, js_seq_t seq, struct js_msg *ret_msg) {
    uint32_t first, last;
    bool alone = false;
    size_t bi = 0;

    if (s->subjects.lines[sid].count == 0)
        return 0;
    if (!bounds(s, sid, &first, &last))
        return JS_NEED_SCAN;
    (void)js_stream_block_of(s, seq, &bi);
    for (; bi < s->num_blocks && s->blocks[bi]->number <= last && !alone; bi++) {
        if (s->blocks[bi]->msgs == 0 || s->blocks[bi]->number < first)
            continue;
        int r = in_block(s, bi, sid, seq, false, &alone, ret_msg);
        if (r != 0)
            return r;
    }
    return 0;
}

int js_peek_last(struct js_stream *s, uint32_t sid, struct js_msg *ret_msg) {
    const struct js_subject_span *span = js_subjects_span(&s->subjects, sid);
    uint32_t first, last;
    bool alone = false;

    if (s->subjects.lines[sid].count == 0)
        return 0;
    if (!bounds(s, sid, &first, &last))
        return JS_NEED_SCAN;
    /* A single message most likely lies where the guess says. */
    for (size_t bi = 0; bi < s->num_blocks && span->guessed && !alone; bi++) {
        if (s->blocks[bi]->number != span->last || s->blocks[bi]->msgs == 0)
            continue;
        int r = in_block(s, bi, sid, 0, true, &alone, ret_msg);
        if (r == 1 && !alone)
            js_msg_release(ret_msg);
        else if (r != 0)
            return r;
    }
    for (size_t bi = s->num_blocks; bi-- > 0;) {
        if (s->blocks[bi]->msgs == 0 || s->blocks[bi]->number > last)
            continue;
        int r = in_block(s, bi, sid, 0, true, &alone, ret_msg);
        if (r != 0)
            return r;
    }
    /* It has messages, but none was found. */
    return JS_NEED_SCAN;
}

/* Where the record of a sequence stands; nothing is found where the plain way is not enough. mu
 * held. */
static int find_record(struct js_stream *s, const struct js_block *b,
                       const struct js_block_key *key, js_seq_t seq, struct js_peeked *ret_found) {
    struct walk w = {.s = s, .b = b, .key = key, .want = seq};

    if (!s->peek.window && !(s->peek.window = js_malloc(s->env, WINDOW)))
        return JS_ERR_NOMEM;
    int r = js_files_open_block(&s->files, b->number, &w.ext);
    if (r < 0)
        return r;
    r = w.ext.len > JS_MAX_BLOCK_FILE ? JS_NEED_SCAN : walk_block(&w);
    js_extent_close(s->env, &w.ext);
    *ret_found = w.found;
    return r;
}

bool js_may_peek(struct js_stream *s, const struct js_block *b) {
    const struct js_cold *cold = b->cold;

    return cold->unread && !b->unreadable &&
           atomic_load_explicit(&s->peek.in_vain, memory_order_relaxed) <= IN_VAIN &&
           !atomic_load_explicit(&cold->bare, memory_order_relaxed) &&
           !atomic_load_explicit(&cold->peeked, memory_order_relaxed);
}

int js_peek_seq(struct js_stream *s, js_seq_t seq, struct js_msg *ret_msg) {
    struct js_peeked found = {0};
    size_t bi;
    struct js_block *b = js_stream_block_of(s, seq, &bi);

    /* Who begins with a block's first message is likely to go on. */
    if (!b || seq <= b->cold->first ||
        atomic_exchange_explicit(&b->cold->peeked, true, memory_order_relaxed))
        return 0;
    struct js_block_key *key;
    int r = open_key(s, b, &key);
    if (r == 0) {
        pthread_mutex_lock(&s->peek.mu);
        r = find_record(s, b, key, seq, &found);
        pthread_mutex_unlock(&s->peek.mu);
    }
    if (r == 0 && found.seq)
        r = load(s, b, key, NULL, &found, ret_msg);
    js_vault_put(s->vault, key);
    return r < 0 && js_is_shortage(r) ? r : r == 1;
}
