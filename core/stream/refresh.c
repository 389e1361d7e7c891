/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following a directory that a server is writing. What each block file looks like (inode, size,
 * time) is remembered; when only the last one grew or newer ones came, what is new is read;
 * anything else (a block gone, replaced or cut, a purge) makes the stream be read anew.
 */
#include <stdio.h>

#include "core/stream/scan_pool.h"
#include "core/stream/stream.h"

static int64_t mtime_ns(const struct stat *st) {
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static int stat_block(struct js_stream *s, uint32_t number, struct stat *st) {
    char path[32];
    return js_files_stat(&s->files, js_block_file(path, number), st);
}

struct newest {
    uint32_t number;
    size_t count;
};

static int see_name(void *ctx, const char *name) {
    struct newest *n = ctx;
    uint32_t number = js_block_number_of(name, ".blk");

    if (number > n->number)
        n->number = number;
    n->count += number != 0;
    return 0;
}

enum change { SAME, GREW, OTHER };

static size_t blocks_there(const struct js_stream *s) {
    size_t n = 0;

    for (size_t i = 0; i < s->num_blocks; i++)
        n += !s->blocks[i]->missing;
    return n;
}

/* Compares the directory with what is remembered. */
static enum change look(struct js_stream *s) {
    struct newest n = {0};
    struct stat st, msgs;

    if (s->files.backup)
        return SAME;
    /* A purge puts another directory in the place of msgs. */
    if (s->files.msgs_fd < 0 || js_files_stat(&s->files, s->files.msgs_name, &st) < 0 ||
        s->env->io->fstat(s->env->io->ctx, s->files.msgs_fd, &msgs) < 0 || st.st_ino != msgs.st_ino)
        return OTHER;
    if (js_files_list_msgs(&s->files, see_name, &n) < 0)
        return OTHER;
    if (s->num_blocks == 0)
        return n.count ? OTHER : SAME;
    struct js_block *last = s->blocks[s->num_blocks - 1];
    /* Limits and purges take whole blocks and may write nothing. */
    if (n.count < blocks_there(s))
        return OTHER;
    if (n.number < last->number || stat_block(s, last->number, &st) < 0)
        return OTHER;
    if (last->st_ino == 0) { /* first look after opening */
        last->st_ino = st.st_ino;
        last->st_mtime_ns = mtime_ns(&st);
        if ((uint64_t)st.st_size == last->file_size && n.number == last->number)
            return SAME;
    }
    if (n.number > last->number)
        return OTHER;
    if (st.st_ino != last->st_ino || (uint64_t)st.st_size < last->file_size)
        return OTHER;
    if ((uint64_t)st.st_size == last->file_size)
        return mtime_ns(&st) == last->st_mtime_ns ? SAME : OTHER;
    return last->compressed || last->key || last->unreadable ? OTHER : GREW;
}

/* What limits take out when something is stored leaves no trace in the blocks. */
static int limit_grown(struct js_stream *s) {
    if (!js_stream_over_limits(s))
        return 0;
    int r = js_stream_limit_loaded(s);
    s->removals++;
    return r == 0 ? js_stream_find_first(s) : r;
}

/* Reads the last block again from the end of its good records. */
static int read_tail(struct js_stream *s) {
    struct js_block *b = s->blocks[s->num_blocks - 1];
    struct js_tombs tombs = {.env = s->env};
    struct js_block_key *key = NULL;
    struct js_scan scan;
    struct stat st;

    if (stat_block(s, b->number, &st) < 0)
        return JS_ERR_STALE;
    js_scan_init(&scan, s->env);
    int r = js_stream_scan_block(s, b->number, &key, &scan);
    js_vault_put(s->vault, key);
    uint64_t good = b->good_size;
    for (size_t i = 0; r == 0 && i < scan.count; i++) {
        const struct js_scan_rec *sr = &scan.recs[i];
        struct js_record rec;
        if (sr->off < good)
            continue;
        js_scan_view(sr, scan.data.data, &rec);
        b->good_size = (uint64_t)sr->off + sr->len;
        memcpy(b->last_sum, rec.sum, 8);
        if (rec.tombstone || rec.erased) {
            /* Removals are rare: the careful way. */
            r = JS_ERR_STALE;
        } else if (rec.seq > s->last_seq) {
            r = js_stream_add_slot(s, b, &rec, sr->off);
            s->last_seq = b->pos_last = rec.seq;
            s->last_time = b->pos_last_time = rec.time;
        }
    }
    if (r == 0) {
        b->file_size = scan.file_size;
        b->raw_size = scan.data.len;
        b->st_ino = st.st_ino;
        b->st_mtime_ns = mtime_ns(&st);
        if ((s->msgs && s->first_seq > s->last_seq) || s->first_seq == 0)
            r = js_stream_find_first(s);
        js_block_count(s, b);
    }
    js_scan_done(&scan);
    js_free(s->env, tombs.list);
    return r;
}

static int read_anew(struct js_stream *s) {
    /* A directory that is gone is for the reading to tell. */
    int r = js_files_reopen_msgs(&s->files);
    if (r == 0 || r == JS_ERR_NO_ENTRY)
        r = js_stream_reload(s, false, false);
    if (r == 0) {
        s->removals++;
        s->generation++;
    }
    return r;
}

/* A block that is remembered has no file any more. */
static bool lost_block(struct js_stream *s) {
    struct stat st;

    for (size_t i = 0; i < s->num_blocks; i++)
        if (!s->blocks[i]->missing && stat_block(s, s->blocks[i]->number, &st) < 0)
            return true;
    return false;
}

bool js_stream_reread(struct js_stream *s, int r, int *tries) {
    if (r != JS_ERR_STALE || s->rw || s->files.backup || (*tries)++ == JS_REREADS)
        return false;
    pthread_rwlock_wrlock(&s->lock);
    js_seq_t first = s->last_seq + 1;
    r = 0;
    /* Another reader may have done it already. */
    bool changed = look(s) != SAME || lost_block(s);
    if (changed)
        r = read_anew(s);
    js_seq_t last = s->last_seq;
    pthread_rwlock_unlock(&s->lock);
    if (changed && r == 0)
        js_stream_notify(s, first, last >= first ? last - first + 1 : 0);
    return r == 0;
}

int js_stream_is_same(struct js_stream *s) {
    /* Under our lock nobody else changes it. */
    return s->rw || look(s) == SAME;
}

int js_stream_refresh(struct js_stream *stream) {
    if (stream->rw)
        return 0;
    pthread_rwlock_wrlock(&stream->lock);
    js_seq_t first = stream->last_seq + 1;
    enum change c = look(stream);
    int r = 0;
    /* What was never read cannot be gone on with. */
    if (c == GREW && stream->blocks[stream->num_blocks - 1]->cold)
        c = OTHER;
    if (c == GREW)
        r = read_tail(stream);
    if (c == GREW && r == 0)
        r = limit_grown(stream);
    /* Also when what index.db spared turns out to be needed. */
    if (c == OTHER || r == JS_ERR_STALE || r == JS_NEED_SCAN)
        r = read_anew(stream);
    js_seq_t last = stream->last_seq;
    pthread_rwlock_unlock(&stream->lock);
    if (c != SAME && r == 0)
        js_stream_notify(stream, first, last >= first ? last - first + 1 : 0);
    return r < 0 ? r : c != SAME;
}
