/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a stream: meta, index.db, then every block once, in order. Nothing is written. What each
 * source of knowledge is trusted for is told in docs/disk-format.md ("Reading a stream").
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/limits.h"
#include "core/format/block_idx.h"
#include "core/stream/prepare.h"
#include "core/stream/scan_pool.h"
#include "core/stream/unread.h"
#include "core/stream/writer.h"

struct numbers {
    const struct js_env *env;
    struct js_stream *stream;
    uint32_t *list;
    size_t count, cap;
    int error;
};

static int add_number(struct numbers *n, uint32_t number) {
    if (n->count == n->cap) {
        size_t cap = n->cap ? n->cap * 2 : 64;
        uint32_t *p = js_realloc_array(n->env, n->list, cap, sizeof *p);
        if (!p)
            return JS_ERR_NOMEM;
        n->list = p;
        n->cap = cap;
    }
    n->list[n->count++] = number;
    return 0;
}

static bool ends_with(const char *s, const char *suffix) {
    size_t a = strlen(s), b = strlen(suffix);
    return a >= b && strcmp(s + a - b, suffix) == 0;
}

static int on_name(void *ctx, const char *name) {
    struct numbers *n = ctx;
    uint32_t number = js_block_number_of(name, ".blk");

    /* A backup or a sync may be all that its file waits for. */
    for (size_t i = 0; i < n->stream->num_graves && number; i++)
        if (n->stream->graves[i] == number)
            return 0;
    if (number)
        return add_number(n, number);
    if (ends_with(name, ".blk")) {
        char path[300];
        snprintf(path, sizeof path, "msgs/%s", name);
        struct js_problem p = {.verdict = JS_HEALTH_UNKNOWN_FORMAT, .file = path};
        return js_stream_report(n->stream, &p, "not a name that servers give to a block; not read");
    }
    return 0;
}

static int cmp_u32(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Blocks on disk, ascending. */
static int list_blocks(struct js_stream *s, struct numbers *n) {
    int r = js_files_list_msgs(&s->files, on_name, n);

    if (r == 0 && s->files.dirfd >= 0 && strcmp(s->files.msgs_name, "msgs") != 0) {
        struct js_problem p = {.verdict = JS_HEALTH_OK, .file = s->files.msgs_name};
        r = js_stream_report(s, &p,
                             "a purge was interrupted: servers put this directory in the "
                             "place of msgs when they start");
    }
    if (r == JS_ERR_NO_ENTRY) {
        struct js_problem p = {.verdict = JS_HEALTH_DAMAGED, .file = "msgs"};
        if (s->files.backup) /* a stream that was empty when it was backed up */
            return 0;
        return js_stream_report(s, &p, "the directory of the messages is missing");
    }
    if (r < 0)
        return r;
    if (n->count)
        qsort(n->list, n->count, sizeof *n->list, cmp_u32);
    return 0;
}

/* An index that is older than the blocks: looks for its last record in its last block. */
static int place_stale_index(struct js_stream *s, struct index_use *use) {
    struct js_block_key *key = NULL;
    struct js_scan scan;
    js_seq_t highest = 0;

    js_scan_init(&scan, s->env);
    int r = js_stream_scan_block(s, s->index->last_block, &key, &scan);
    js_vault_put(s->vault, key);
    if (r < 0 || scan.verdict != JS_SCAN_OK) {
        js_scan_done(&scan);
        return r;
    }
    for (size_t i = 0; i < scan.count; i++) {
        const struct js_scan_rec *rec = &scan.recs[i];
        const uint8_t *sum = scan.data.data + rec->off + rec->len - 8;
        if (!(rec->seq & JS_SEQ_TOMBSTONE) && (rec->seq & JS_SEQ_MASK) > highest)
            highest = rec->seq & JS_SEQ_MASK;
        if (memcmp(sum, s->index->last_sum, 8) == 0) {
            use->speaks = true;
            use->upto_rec = i + 1;
        }
    }
    if (!use->speaks && highest && highest < s->index->last_seq)
        use->speaks = use->cut = true;
    js_scan_done(&scan);
    return 0;
}

static int decide_index(struct js_stream *s, struct index_use *use) {
    *use = (struct index_use){.upto_rec = SIZE_MAX};
    if (!s->index)
        return 0;
    use->floor = s->index->last_seq;
    use->floor_time = s->index->last_time;
    if (s->index_fresh) {
        use->speaks = true;
        return 0;
    }
    return place_stale_index(s, use);
}

/* Reads and decodes N.idx once; what was read stays in file. */
static int read_idx(struct js_stream *s, const char *path, const struct js_block_key *key,
                    struct js_buf *file, struct js_block_idx *idx) {
    struct js_buf plain = {.env = s->env};
    int r = js_files_slurp(&s->files, path, JS_MAX_STATE_FILE, file);

    if (r == 0 && key)
        r = js_unseal_with_nonce(key->cipher, key->seed, key->nonce, file->data, file->len, &plain);
    else if (r == 0)
        js_buf_append(&plain, file->data, file->len);
    if (r == 0 && plain.failed)
        r = JS_ERR_NOMEM;
    if (r == 0)
        r = js_block_idx_decode(s->env, plain.data, plain.len, idx);
    js_buf_done(&plain);
    return r;
}

/* N.idx of 2.9: its first sequence and deletions count even when it is stale. A live server writes
 * it in place, so one that is wrong is read again as long as it changes. */
static int load_idx(struct js_stream *s, uint32_t number, const struct js_scan_item *item,
                    struct js_block_idx *idx, bool *ret_found) {
    struct js_buf file = {.env = s->env}, before = {.env = s->env};
    char path[32];
    int r = 0;

    *ret_found = false;
    snprintf(path, sizeof path, "msgs/%u.idx", number);
    for (int tries = 0; tries < 100; tries++) {
        struct js_buf t = before;
        before = file;
        file = t;
        file.len = 0;
        r = read_idx(s, path, item->key, &file, idx);
        if (r != JS_ERR_CORRUPT || (tries && file.len && file.len == before.len &&
                                    memcmp(file.data, before.data, file.len) == 0))
            break;
    }
    if (r == 0) {
        *ret_found = true;
    } else if (r == JS_ERR_NO_ENTRY) {
        r = 0;
    } else if (!js_is_shortage(r)) {
        struct js_problem p = {.verdict = file.len ? JS_HEALTH_DAMAGED : JS_HEALTH_TORN_TAIL,
                               .file = path};
        r = js_stream_report(s, &p, "cannot be used: %s",
                             file.len ? js_err_text(r) : "empty (torn while it was written)");
    }
    js_buf_done(&file);
    js_buf_done(&before);
    return r;
}

static void prior_from_index(const struct js_stream *s, const struct js_index_block *e,
                             const struct index_use *use, struct js_block_prior *prior) {
    bool last = e->number == s->index->last_block;

    prior->first = e->first_seq;
    prior->deleted = &e->deleted;
    prior->upto = e->last_seq;
    prior->upto_rec = last && !use->cut ? use->upto_rec : SIZE_MAX;
    prior->last = e->last_seq;
    prior->last_time = e->last_time;
    prior->fresh = s->index_fresh || (use->cut && last);
    prior->gaps_only = use->cut && last;
    prior->counted = s->unread > 0;
    prior->msgs = js_index_msgs(e);
}

static void prior_from_idx(const struct js_block_idx *idx, const struct js_scan *scan,
                           struct js_block_prior *prior) {
    bool trusted =
        memcmp(idx->last_sum, scan->last_sum, 8) == 0 || (scan->file_size == 0 && idx->msgs == 0);

    prior->first = idx->first_seq;
    prior->deleted = &idx->deleted;
    if (trusted) {
        prior->last = idx->last_seq;
        prior->last_time = idx->last_time;
    }
}

/* Where the sequences of a scanned block begin; 0 when it does not tell. */
static js_seq_t first_position(const struct js_scan_item *item) {
    js_seq_t tomb = 0;

    if (!item || item->error || item->scan.verdict != JS_SCAN_OK)
        return 0;
    for (size_t i = 0; i < item->scan.count; i++) {
        uint64_t seq = item->scan.recs[i].seq;
        if (!(seq & JS_SEQ_TOMBSTONE))
            return seq & JS_SEQ_MASK;
        if ((seq & JS_SEQ_MASK) >= tomb)
            tomb = (seq & JS_SEQ_MASK) + 1;
    }
    return tomb;
}

static int ingest_item(struct js_stream *s, const struct index_use *use, struct js_scan_item *item,
                       bool newest, js_seq_t next_first, struct js_tombs *tombs) {
    struct js_block_prior prior = {.newest = newest};
    struct js_block_idx idx = {0};
    const struct js_index_block *e = NULL;
    bool has_idx = false;
    int r = item->error;

    if (r == 0 && use->speaks) {
        e = js_index_entry(s->index, item->scan.number);
        if (e)
            prior_from_index(s, e, use, &prior);
        else if (item->scan.number <= s->index->last_block)
            prior.first = UINT64_MAX; /* a leftover: the index says that nothing in it counts */
    } else if (r == 0 && item->scan.verdict == JS_SCAN_OK) {
        r = load_idx(s, item->scan.number, item, &idx, &has_idx);
        if (has_idx)
            prior_from_idx(&idx, &item->scan, &prior);
    }
    if (r == 0)
        r = js_stream_ingest(s, &item->scan, item->key, &prior, next_first, tombs);
    else
        js_vault_put(s->vault, item->key);
    item->key = NULL;
    js_block_idx_done(&idx);
    return r;
}

static int scan_all(struct js_stream *s, const struct index_use *use, const struct numbers *n,
                    struct js_tombs *tombs) {
    struct js_scan_pool *pool;
    int r = js_scan_pool_begin(s, n->list, n->count, &pool);

    if (r < 0)
        return r;
    for (size_t i = 0; i < n->count && r == 0; i++) {
        struct js_scan_item *item = js_scan_pool_item(pool, i);
        js_seq_t next_first = 0;
        /* Only damage at the end makes it matter where the next block begins. */
        if (item->scan.num_damages)
            next_first = first_position(js_scan_pool_item(pool, i + 1));
        r = ingest_item(s, use, item, i + 1 == n->count, next_first, tombs);
        js_scan_pool_release(pool, i);
        if (r < 0)
            break;
        struct js_block *b = s->blocks[s->num_blocks - 1];
        if (i + 1 < n->count)
            js_slots_trim(b->slots, s->env);
        js_block_count(s, b);
        js_stream_trim(s);
    }
    js_scan_pool_end(pool);
    return r;
}

/* Blocks that a fresh index lists but that are gone get a place, so that what is lost shows. */
static int add_missing(struct js_stream *s, const struct index_use *use, struct numbers *n) {
    if (!s->index || !use->speaks)
        return 0;
    size_t on_disk = n->count;
    for (size_t i = 0; i < s->index->num_blocks; i++) {
        const struct js_index_block *e = &s->index->blocks[i];
        bool there = bsearch(&e->number, n->list, on_disk, sizeof *n->list, cmp_u32) != NULL;
        if (!there && s->index_fresh && e->last_seq >= e->first_seq) {
            int r = add_number(n, e->number);
            if (r < 0)
                return r;
        }
    }
    if (n->count > on_disk)
        qsort(n->list, n->count, sizeof *n->list, cmp_u32);
    return 0;
}

int js_stream_find_first(struct js_stream *s) {
    struct js_place at = {0};
    struct js_msg msg;

    s->first_time = 0;
    s->first_time_stale = false;
    int r = js_stream_slot_from(s, 0, true, &at);
    if (r == 0) {
        s->first_seq = s->last_seq ? s->last_seq + 1 : 0;
    } else if (r == 1) {
        s->first_seq = js_place_seq(&at);
        r = js_stream_slot_msg(s, &at, false, &msg);
        if (r == 0) {
            s->first_time = msg.time;
            js_msg_release(&msg);
        } else if (r == JS_ERR_BAD_MSG) {
            r = 0; /* it has no time that could be trusted */
        }
    }
    js_place_done(s, &at);
    return r;
}

/* First and last of the stream, once all blocks are in. */
static int set_bounds(struct js_stream *s, const struct index_use *use) {
    if (use->floor > s->last_seq || (use->floor == s->last_seq && s->index_fresh)) {
        s->last_seq = use->floor;
        s->last_time = use->floor_time;
    }
    if (s->index_fresh && s->msgs == 0 && s->lost == 0) {
        int r = js_stream_find_first(s);
        s->first_seq = s->index->first_seq;
        return r;
    }
    if (js_unread_knows_first(s)) {
        s->first_seq = s->index->first_seq;
        s->first_time = s->index->first_time;
        return 0;
    }
    return js_stream_find_first(s);
}

static int read_blocks(struct js_stream *s, const struct index_use *use, struct numbers *n) {
    struct js_tombs tombs = {.env = s->env};
    uint64_t described = s->num_blocks; /* unread */

    int r = scan_all(s, use, n, &tombs);
    if (r == 0)
        r = js_stream_apply_tombs(s, &tombs);
    if (r == 0 && described)
        r = js_unread_check(s);
    /* The configuration may have been changed after a fresh index was written. */
    if (r == 0 && (!s->index_fresh || js_stream_over_totals(s)))
        r = js_stream_limit_loaded(s);
    js_free(s->env, tombs.list);
    return r;
}

static int load(struct js_stream *s, bool scan) {
    struct numbers n = {.env = s->env, .stream = s};
    struct index_use use = {0};
    size_t skip = 0;

    if (!s->subjects.env)
        js_subjects_init(&s->subjects, s->env);
    int r = js_stream_load_meta(s);
    if (r == 0)
        r = list_blocks(s, &n);
    /* Without the key nothing more can be told. */
    if (r == 0 && (s->health == JS_HEALTH_NO_KEY || s->health == JS_HEALTH_WRONG_KEY))
        goto out;
    if (r == 0)
        r = js_stream_load_index(s, n.list, n.count);
    if (r == 0)
        r = decide_index(s, &use);
    s->index_spoke = use.speaks && !use.cut;
    if (r == 0 && !scan && use.speaks && !use.cut)
        r = js_unread_add(s, n.list, n.count, &skip);
    if (r == 0 && skip == 0)
        r = add_missing(s, &use, &n);
    if (r == 0) {
        struct numbers rest = n;
        rest.list += skip;
        rest.count -= skip;
        r = read_blocks(s, &use, &rest);
    }
    if (r == 0)
        r = set_bounds(s, &use);
    js_stream_drop_index(s);
out:
    js_free(s->env, n.list);
    return r;
}

static int load_trusting(struct js_stream *s, bool scan) {
    int r = load(s, scan || s->scan_all);

    if (r != JS_NEED_SCAN)
        return r;
    /* index.db is not what it seemed to be. */
    js_stream_unload(s, true);
    return load(s, true);
}

static bool lacks_blocks(const struct js_stream *s) {
    for (size_t i = 0; i < s->num_blocks; i++)
        if (s->blocks[i]->missing)
            return true;
    return false;
}

/* Any number may stand on disk. */
static js_time_t changed_at(const struct stat *st) {
    return (js_time_t)((uint64_t)st->st_mtim.tv_sec * 1000000000 + (uint64_t)st->st_mtim.tv_nsec);
}

/* When the directory of the messages last changed; 0: that cannot be told. */
static js_time_t msgs_changed(struct js_stream *s) {
    struct stat st;

    if (s->files.backup || js_files_stat(&s->files, s->files.msgs_name, &st) < 0)
        return 0;
    return changed_at(&st);
}

#define JUST_NOW  INT64_C(2000000000) /* what changed so lately may be changing yet */
#define A_MOMENT  INT64_C(20000000)
#define PATIENCE  10

/* A server up to 2.10 cuts a block down and writes it anew in its place: who reads meanwhile sees it empty
 * or without its end. */
static bool is_being_written(struct js_stream *s) {
    const struct js_clock *c = s->env->clock;
    char path[32];
    struct stat st;

    if (s->rw || s->files.backup || s->num_blocks == 0 || !c->wait)
        return false;
    const struct js_block *b = s->blocks[s->num_blocks - 1];
    if (b->cold || b->unreadable || b->compressed ||
        (b->file_size && b->good_size == b->raw_size))
        return false;
    if (js_files_stat(&s->files, js_block_file(path, b->number), &st) < 0)
        return false;
    js_time_t age = (js_time_t)((uint64_t)c->now(c->ctx) - (uint64_t)changed_at(&st));
    return age > -JUST_NOW && age < JUST_NOW;
}

int js_stream_load(struct js_stream *s, bool scan) {
    int r, waits = 0;

    for (int tries = 0;; tries++) {
        js_time_t before = msgs_changed(s);
        r = load_trusting(s, scan);
        /* Whoever writes the directory may have removed a block after it was listed. */
        bool raced = r == JS_ERR_STALE || (r == 0 && lacks_blocks(s));
        /* It may have replaced one, too, so that not all was read from the same file. */
        raced |= r == 0 && !s->rw && tries < 3;
        if (r == 0 && waits < PATIENCE && is_being_written(s)) {
            s->env->clock->wait(s->env->clock->ctx, A_MOMENT);
            js_stream_unload(s, true);
            waits++;
            tries = 0;
            continue;
        }
        if (tries == JS_REREADS || !raced || msgs_changed(s) == before)
            return r;
        js_stream_unload(s, true);
    }
}

int js_stream_scan_locked(struct js_stream *s) {
    uint64_t msgs = s->msgs;

    if (!s->unread)
        return 0;
    int r = 0;
    if (s->writer) {
        if (!s->write_error && js_graves_pending(s))
            r = js_writer_sync_locked(s, s->writer);
        /* What limits took out is known to index.db alone. */
        if (r == 0 && (s->writer->changed || s->writer->buf.len))
            r = js_stream_write_index(s);
        if (r == 0)
            r = js_writer_release(s, s->writer);
    }
    if (r < 0)
        return r;
    r = js_stream_is_same(s);
    if (r < 0)
        return r;
    bool same = r;
    r = js_stream_reload(s, true, same);
    if (r < 0)
        return r;
    if (!same)
        s->generation++;
    if (!same || s->msgs != msgs || s->lost)
        s->removals++;
    s->unmended = s->writer && js_stream_needs_mending(s);
    return 0;
}

int js_stream_lock_scanned(struct js_stream *stream) {
    pthread_rwlock_rdlock(&stream->lock);
    while (stream->unread) {
        pthread_rwlock_unlock(&stream->lock);
        int r = js_stream_scan(stream);
        if (r < 0)
            return r;
        pthread_rwlock_rdlock(&stream->lock);
    }
    return 0;
}

int js_stream_scan(struct js_stream *stream) {
    pthread_rwlock_wrlock(&stream->lock);
    int r = js_stream_scan_locked(stream);
    pthread_rwlock_unlock(&stream->lock);
    return r;
}

void js_stream_unload(struct js_stream *s, bool keep_subjects) {
    js_cache_drop(s->cache, s->identity, 0);
    js_recent_clear(&s->recent, s->env);
    for (size_t i = 0; i < s->num_blocks; i++) {
        struct js_block *b = s->blocks[i];
        js_block_forget_key(s, b);
        js_slots_unref(b->slots, s->env);
        js_cold_free(b->cold, s->env);
        js_free(s->env, b);
    }
    js_free(s->env, s->blocks);
    s->blocks = NULL;
    s->num_blocks = s->cap_blocks = 0;
    s->unread = s->trimmed = 0;
    s->miscounted = false;
    atomic_store(&s->stale_firsts, false);
    atomic_store(&s->stale_lasts, false);
    s->slots_memory = s->recent.kept_memory = 0;
    js_stream_drop_index(s);
    if (keep_subjects)
        js_subjects_forget_msgs(&s->subjects);
    else if (s->subjects.env)
        js_subjects_done(&s->subjects);
    js_stream_config_done(&s->config);
    s->has_config = s->encrypted = false;
    js_vault_put(s->vault, s->seed);
    s->seed = NULL;
    js_stream_clear_problems(s);
    s->msgs = s->bytes = s->lost = 0;
    s->first_seq = s->last_seq = 0;
    s->first_time = s->last_time = 0;
    s->first_time_stale = false;
}

js_time_t js_stream_first_time(struct js_stream *s) {
    struct js_place at = {0};
    struct js_msg msg;
    js_time_t t = 0;

    if (!__atomic_load_n(&s->first_time_stale, __ATOMIC_ACQUIRE))
        return s->first_time;
    int r = js_stream_slot_at(s, s->first_seq, &at);
    if (r == 1)
        r = js_stream_slot_msg(s, &at, false, &msg);
    if (r == 0) {
        t = msg.time;
        js_msg_release(&msg);
    }
    js_place_done(s, &at);
    /* Readers may do this at the same time: they find the same. */
    if (r == 0) {
        __atomic_store_n(&s->first_time, t, __ATOMIC_RELAXED);
        __atomic_store_n(&s->first_time_stale, false, __ATOMIC_RELEASE);
    }
    return t;
}
