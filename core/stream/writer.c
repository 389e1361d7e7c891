/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "core/base/bytes.h"
#include "core/base/file.h"
#include "core/base/limits.h"
#include "core/stream/block_file.h"
#include "core/stream/flight.h"
#include "core/stream/prepare.h"

/* A batch is written in pieces of about this size. */
#define FLUSH_BYTES (1u << 20)

int js_stream_fail_writes(struct js_stream *stream, int err) {
    if (!stream->write_error)
        stream->write_error = err;
    return err;
}

/* Why a stream cannot be written; NULL if it can. */
static const char *not_writable(const struct js_stream *s) {
    const struct js_stream_config *c = &s->config;

    if (!s->rw)
        return "the store is opened read-only";
    if (s->write_error)
        return "an earlier write or sync failed; reopen the store";
    if (s->gone)
        return "the stream was deleted";
    if (s->files.backup)
        return "a backup can only be read";
    if (s->encrypted && !s->seed)
        return s->health == JS_HEALTH_NO_KEY      ? "encrypted, and no key was given"
               : s->health == JS_HEALTH_WRONG_KEY ? "encrypted, and the key given is the wrong key"
                                                  : "its meta.key is damaged";
    if (!s->has_config)
        return "its meta.inf is damaged";
    if (s->unwritable)
        return s->unwritable;
    if (c->memory)
        return "it is a memory stream";
    if (c->has_mirror || c->has_sources)
        return "mirrors and streams with sources are fed by a server";
    if (c->has_transform)
        return "subject transforms (\"subject_transform\") are not built yet";
    if (c->allow_atomic)
        return "atomic batches (\"allow_atomic\") are not built yet";
    return NULL;
}

int js_stream_writable(struct js_stream *stream, char *ret_why, size_t why_size) {
    pthread_rwlock_rdlock(&stream->lock);
    const char *why = not_writable(stream);
    if (ret_why && why_size)
        snprintf(ret_why, why_size, "%s", why ? why : "");
    pthread_rwlock_unlock(&stream->lock);
    return why ? 0 : 1;
}

void js_writer_reconfigure(struct js_stream *s) {
    struct js_writer *w = s->writer;

    if (!w)
        return;
    w->limit = s->block_size ? s->block_size : js_block_size_of(&s->config, s->encrypted);
    w->async = s->async || s->config.persist_async;
}

int js_writer_open(struct js_stream *s, struct js_writer **ret_writer) {
    if (s->writer && !s->write_error && !s->gone && !s->unwritable) {
        *ret_writer = s->writer;
        return js_stream_mend(s, s->writer);
    }
    if (s->write_error)
        return JS_ERR_WRITE_FAILED;
    if (not_writable(s))
        return s->gone ? JS_ERR_STORE_CLOSED : JS_ERR_READ_ONLY;
    struct js_writer *w = js_calloc(s->env, 1, sizeof *w);
    if (!w)
        return JS_ERR_NOMEM;
    w->buf.env = w->cipher.env = s->env;
    w->last_stamp = s->last_time;
    w->gen = s->last_gen; /* js_sync_wait compares with those of earlier writers */
    s->writer = w;
    js_writer_reconfigure(s);
    int r = js_stream_prepare(s, w);
    if (r < 0) {
        js_writer_free(s);
        return r;
    }
    *ret_writer = w;
    return 0;
}

static void wfile_unref(struct js_stream *s, struct js_wfile *f) {
    if (f && atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1) {
        s->env->io->close(s->env->io->ctx, f->fd);
        js_free(s->env, f);
    }
}

void js_writer_free(struct js_stream *s) {
    struct js_writer *w = s->writer;

    if (!w)
        return;
    s->last_gen = w->gen;
    js_flight_free(s, w);
    wfile_unref(s, w->file);
    js_buf_done(&w->buf);
    js_buf_done(&w->cipher);
    js_free(s->env, w->recs);
    js_free(s->env, w);
    s->writer = NULL;
}

static int open_msgs_dir(struct js_stream *s) {
    const struct js_io *io = s->env->io;

    if (s->files.msgs_fd >= 0)
        return 0;
    int r = io->mkdir(io->ctx, s->files.dirfd, "msgs", 0700);
    if (r < 0 && r != -EEXIST)
        return js_err_from_errno(-r);
    r = io->fsync(io->ctx, s->files.dirfd);
    if (r < 0)
        return js_err_from_errno(-r);
    return js_files_reopen_msgs(&s->files);
}

/* Can records be added behind what is in this block? */
static bool appendable(const struct js_stream *s, const struct js_block *b, uint64_t file_len) {
    return !b->unreadable && !b->compressed && !b->key == !s->encrypted &&
           b->good_size == b->raw_size && b->raw_size == file_len;
}

static struct js_wfile *new_wfile(struct js_stream *s, int fd) {
    struct js_wfile *f = js_malloc(s->env, sizeof *f);

    if (!f) {
        s->env->io->close(s->env->io->ctx, fd);
        return NULL;
    }
    atomic_init(&f->refs, 1);
    f->fd = fd;
    return f;
}

static int open_last(struct js_stream *s, struct js_writer *w) {
    const struct js_io *io = s->env->io;
    struct stat st;
    char name[24];

    if (s->num_blocks == 0)
        return JS_ERR_NO_ENTRY;
    struct js_block *b = s->blocks[s->num_blocks - 1];
    int r = js_block_look(s, s->num_blocks - 1);
    if (r < 0)
        return r;
    snprintf(name, sizeof name, "%u.blk", b->number);
    int fd = io->open_file(io->ctx, s->files.msgs_fd, name, O_RDWR, 0);
    if (fd < 0)
        return js_err_from_errno(-fd);
    r = io->fstat(io->ctx, fd, &st);
    if (r < 0 || !appendable(s, b, (uint64_t)st.st_size)) {
        io->close(io->ctx, fd);
        return r < 0 ? js_err_from_errno(-r) : JS_ERR_NO_ENTRY;
    }
    r = js_block_warm(s, s->num_blocks - 1);
    if (r != 0) {
        io->close(io->ctx, fd);
        return r < 0 ? r : JS_ERR_STALE;
    }
    w->file = new_wfile(s, fd);
    if (!w->file)
        return JS_ERR_NOMEM;
    w->block = b;
    w->length = (uint64_t)st.st_size;
    return 0;
}

/* What is in the block before must not get to the disk after what is in the next one: what a crash
 * takes is the end of a stream, not its middle. */
static int sync_in_order(struct js_stream *s, struct js_writer *w, struct js_wfile *f) {
    const struct js_io *io = s->env->io;
    int r = io->fdatasync(io->ctx, f->fd);

    if (r >= 0 && w->dir_dirty)
        r = io->fsync(io->ctx, s->files.msgs_fd);
    if (r < 0)
        return js_stream_fail_writes(s, js_err_from_errno(-r));
    w->dir_dirty = false;
    return 0;
}

/* Lets go of the block. Its data is synced now, or later if it has to be. */
static int let_go(struct js_stream *s, struct js_writer *w) {
    struct js_wfile *f = w->file;
    int r = 0;

    if (!f)
        return 0;
    uint32_t number = w->block->number;
    w->file = NULL;
    w->block = NULL;
    if (s->sync_mode == JS_SYNC_ALWAYS || s->sync_mode == JS_SYNC_CLOSE) {
        /* What another thread took to the disk may not be there yet. */
        r = js_writer_await_sync(s);
        if (r == 0 && w->dirty)
            r = sync_in_order(s, w, f);
    } else if (w->dirty) {
        /* By number: who asks for a sync opens it again. */
        if (!w->unsynced_from)
            w->unsynced_from = number;
        w->unsynced_to = number;
    }
    wfile_unref(s, f);
    return r;
}

static int begin_block(struct js_stream *s, struct js_writer *w) {
    const struct js_io *io = s->env->io;
    uint64_t number = s->num_blocks ? (uint64_t)s->blocks[s->num_blocks - 1]->number + 1 : 1;
    struct js_block_key *key = NULL;
    char name[24];

    if (number < s->min_block)
        number = s->min_block;
    if (number > JS_MAX_BLOCK_NUMBER)
        return JS_ERR_NO_SPACE;
    int r = let_go(s, w);
    if (r == 0 && s->encrypted)
        r = js_block_key_make(s, (uint32_t)number, &key);
    if (r < 0)
        return r;
    snprintf(name, sizeof name, "%u.blk", (uint32_t)number);
    int fd = io->open_file(io->ctx, s->files.msgs_fd, name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0) {
        js_block_key_drop(s, (uint32_t)number, key);
        return js_err_from_errno(-fd);
    }
    struct js_wfile *f = new_wfile(s, fd);
    struct js_block *b = f ? js_stream_add_block(s, (uint32_t)number) : NULL;
    if (!b) {
        wfile_unref(s, f);
        io->unlink(io->ctx, s->files.msgs_fd, name);
        js_block_key_drop(s, (uint32_t)number, key);
        return JS_ERR_NOMEM;
    }
    b->key = key;
    if (s->num_blocks > 1) {
        s->blocks[s->num_blocks - 2]->sealed_plain = true;
        js_block_count(s, s->blocks[s->num_blocks - 2]);
        js_stream_trim(s);
    }
    w->file = f;
    w->block = b;
    w->length = 0;
    w->dir_dirty = true;
    return 0;
}

static int open_block(struct js_stream *s, struct js_writer *w) {
    int r = open_msgs_dir(s);

    if (r == 0) {
        r = open_last(s, w);
        if (r == JS_ERR_NO_ENTRY)
            r = begin_block(s, w);
    }
    return r;
}

int js_writer_roll(struct js_stream *s, struct js_writer *w) {
    int r = open_msgs_dir(s);

    if (r == 0)
        r = js_writer_flush(s, w);
    return r < 0 ? r : begin_block(s, w);
}

static void note_base(const struct js_stream *s, struct js_writer *w) {
    const struct js_block *b = w->block;

    w->base = (struct js_writer_base){
        .good_size = b->good_size,
        .raw_size = b->raw_size,
        .first_pos = b->first_pos,
        .rec_first = b->rec_first,
        .pos_last = b->pos_last,
        .tomb_top = b->tomb_top,
        .tomb_last = b->tomb_last,
        .rec_last = b->rec_last,
        .pos_last_time = b->pos_last_time,
        .min_time = b->min_time,
        .max_time = b->max_time,
        .reach_time = b->reach_time,
        .block_msgs = b->msgs,
        .block_bytes = b->bytes,
        .payload_bytes = b->payload_bytes,
        .hdr_bytes = b->hdr_bytes,
        .subject_bytes = b->subject_bytes,
        .msgs = s->msgs,
        .bytes = s->bytes,
        .first_seq = s->first_seq,
        .last_seq = s->last_seq,
        .first_time = s->first_time,
        .last_time = s->last_time,
        .last_stamp = w->last_stamp,
        .first_time_stale = s->first_time_stale,
    };
    memcpy(w->base.last_sum, b->last_sum, 8);
    w->buffered_since = s->env->clock->monotonic(s->env->clock->ctx);
}

/* Room in the buffer. While a part of it is being written it stays where it is. */
static int reserve(struct js_stream *s, struct js_writer *w, uint32_t need) {
    if (w->buf.cap - w->buf.len < need && w->done + w->flying) {
        int r = js_flight_land(s, w);
        if (r < 0)
            return r;
        js_flight_shift(w);
    }
    if (js_buf_reserve(&w->buf, need) < 0) {
        w->buf.failed = false;
        return JS_ERR_NOMEM;
    }
    return 0;
}

/* Room for a record of this length in buffer and block. */
static int provide(struct js_stream *s, struct js_writer *w, uint32_t need) {
    int r = w->stuck ? js_writer_flush(s, w) : 0;

    if (r == 0 && !w->file)
        r = open_block(s, w);
    if (r < 0)
        return r;
    uint64_t used = w->length + js_writer_buffered(w);
    size_t filled = js_writer_buffered(w) - w->flying;
    if (used > 0 && used + need > w->limit)
        r = js_writer_roll(s, w);
    else if (filled && filled + need > JS_FLIGHT_BYTES && js_flight_may(s, w))
        r = js_flight_begin(s, w);
    else if (filled && filled + need > FLUSH_BYTES)
        r = js_writer_flush(s, w);
    if (r == 0)
        r = reserve(s, w, need);
    if (r == 0 && w->buf.len == 0)
        note_base(s, w);
    return r;
}

static void grew(struct js_writer *w, uint32_t len) {
    struct js_block *b = w->block;

    w->buf.len += len;
    b->good_size += len;
    b->raw_size = w->length + js_writer_buffered(w);
}

void js_writer_sum(struct js_writer *w) {
    if (w->unsummed)
        js_record_sum(w->buf.data + w->unsummed - 1, &w->block->hash_key);
    w->unsummed = 0;
    if (w->buf.len)
        memcpy(w->block->last_sum, w->buf.data + w->buf.len - 8, 8);
}

/* The record at the buffer's end needs its checksum: soon, with the next one, as two are made at once. */
static void sum_soon(struct js_writer *w, size_t at) {
    uint8_t *buf = w->buf.data;

    if (!w->unsummed) {
        w->unsummed = at + 1;
        return;
    }
    js_record_sum_two(buf + w->unsummed - 1, buf + at, &w->block->hash_key);
    w->unsummed = 0;
}

static int note_rec(struct js_stream *s, struct js_writer *w, js_seq_t seq, uint32_t sid) {
    if (w->promised)
        return 0; /* never undone */
    if (w->num_recs == w->cap_recs) {
        size_t cap = w->cap_recs ? w->cap_recs * 2 : 256;
        struct js_pending_rec *p = js_realloc_array(s->env, w->recs, cap, sizeof *p);
        if (!p)
            return JS_ERR_NOMEM;
        w->recs = p;
        w->cap_recs = cap;
    }
    w->recs[w->num_recs++] =
        (struct js_pending_rec){.seq = seq, .prev_last = s->subjects.lines[sid].last, .sid = sid};
    return 0;
}

int js_writer_put_msg(struct js_stream *s, struct js_writer *w, const struct js_new_msg *m,
                      uint32_t sid) {
    uint32_t len = js_record_size(m->subject_len, m->hdr_len, m->data_len);
    int r = len ? 0 : JS_ERR_MSG_TOO_LARGE;

    if (r == 0 && sid == JS_NO_ID)
        r = js_subjects_intern(&s->subjects, m->subject, m->subject_len, &sid);
    if (r == 0)
        r = provide(s, w, len);
    if (r == 0)
        r = note_rec(s, w, m->ret_seq, sid);
    if (r < 0)
        return r;
    struct js_block *b = w->block;
    uint32_t off = (uint32_t)(w->length + js_writer_buffered(w));
    struct js_record rec = {.len = len,
                            .has_hdr = m->hdr_len != 0,
                            .seq = m->ret_seq,
                            .time = m->ret_time,
                            .subject_len = (uint32_t)m->subject_len,
                            .hdr_len = (uint32_t)m->hdr_len,
                            .data_len = (uint32_t)m->data_len};
    r = js_stream_add_known(s, b, &rec, off, sid);
    if (r < 0) {
        w->num_recs -= !w->promised;
        return r;
    }
    size_t at = w->buf.len;
    js_record_lay_out(w->buf.data + at, m->ret_seq, m->ret_time, m->subject, m->subject_len, m->hdr,
                      m->hdr_len, m->data, m->data_len);
    grew(w, len);
    sum_soon(w, at);
    s->last_seq = b->pos_last = b->rec_last = m->ret_seq;
    s->last_time = b->pos_last_time = m->ret_time;
    if (s->msgs == 1 && s->lost == 0) {
        s->first_seq = m->ret_seq;
        s->first_time = m->ret_time;
        s->first_time_stale = false;
    }
    return 0;
}

int js_writer_put_mark(struct js_stream *s, struct js_writer *w, uint64_t seq_and_flags,
                       js_time_t time) {
    int r = provide(s, w, JS_MIN_RECORD);

    if (r < 0)
        return r;
    js_record_encode(w->buf.data + w->buf.len, seq_and_flags, time, "", 0, NULL, 0, NULL, 0,
                     &w->block->hash_key);
    grew(w, JS_MIN_RECORD);
    if (seq_and_flags & JS_SEQ_TOMBSTONE)
        js_block_note_tomb(w->block, seq_and_flags & JS_SEQ_MASK);
    return 0;
}

/* Takes the buffer's messages out of the index again, newest first. */
static void forget_recs(struct js_stream *s, struct js_writer *w) {
    struct js_block *b = w->block;
    struct js_slots *sl = b->slots;

    while (w->num_recs) {
        const struct js_pending_rec *rec = &w->recs[--w->num_recs];
        struct js_subject_line *line = &s->subjects.lines[rec->sid];
        uint32_t slot = js_slots_find(sl, rec->seq);
        sl->count = slot;
        sl->used--;
        if (--line->count == 0)
            s->subjects.live--;
        line->last = rec->prev_last;
        size_t bi;
        struct js_block *pb = rec->prev_last ? js_stream_block_of(s, rec->prev_last, &bi) : NULL;
        uint32_t prev = pb && pb->slots ? js_slots_find(pb->slots, rec->prev_last) : JS_NO_SLOT;
        if (prev != JS_NO_SLOT)
            pb->slots->next[prev] = 0;
        w->undone++;
    }
}

/* As if the buffer had never been filled. */
static void undo(struct js_stream *s, struct js_writer *w) {
    struct js_block *b = w->block;
    const struct js_writer_base *o = &w->base;

    forget_recs(s, w);
    w->buf.len = w->unsummed = 0;
    b->good_size = o->good_size;
    b->raw_size = o->raw_size;
    memcpy(b->last_sum, o->last_sum, 8);
    b->first_pos = o->first_pos;
    b->rec_first = o->rec_first;
    b->pos_last = o->pos_last;
    /* A tombstone that is not in the file shows nobody where the stream stands. */
    b->tomb_top = o->tomb_top;
    b->tomb_last = o->tomb_last;
    b->rec_last = o->rec_last;
    b->pos_last_time = o->pos_last_time;
    b->min_time = o->min_time;
    b->max_time = o->max_time;
    b->reach_time = o->reach_time;
    b->msgs = o->block_msgs;
    b->bytes = o->block_bytes;
    b->payload_bytes = o->payload_bytes;
    b->hdr_bytes = o->hdr_bytes;
    b->subject_bytes = o->subject_bytes;
    s->msgs = o->msgs;
    s->bytes = o->bytes;
    s->first_seq = o->first_seq;
    s->last_seq = o->last_seq;
    s->first_time = o->first_time;
    s->last_time = o->last_time;
    s->first_time_stale = o->first_time_stale;
    w->last_stamp = o->last_stamp;
    /* Ids, TTLs and schedules of messages that are not there. */
    js_rules_reset(s);
    /* A copy in the cache may hold what was only in the buffer. */
    b->version++;
    js_cache_drop(s->cache, s->identity, b->number);
}

void js_writer_outdated(struct js_stream *s, struct js_writer *w) {
    if (!w->changed)
        w->changed_since = s->env->clock->now(s->env->clock->ctx);
    w->changed = true;
}

void js_writer_touched(struct js_stream *s, struct js_writer *w) {
    if (!w->dirty || !w->changed) {
        js_time_t now = s->env->clock->now(s->env->clock->ctx);
        if (!w->dirty)
            w->since = now;
        if (!w->changed)
            w->changed_since = now;
    }
    w->dirty = w->changed = true;
    w->gen++;
}

void js_writer_wrote(struct js_stream *s, struct js_writer *w, size_t n) {
    w->length += n;
    w->done += n;
    w->block->file_size = w->length;
    js_writer_touched(s, w);
    if (w->done < w->buf.len)
        return;
    w->buf.len = w->done = 0;
    w->num_recs = 0;
    w->promised = w->stuck = false;
    w->buffered_since = 0;
}

int js_writer_cut_back(struct js_stream *s, struct js_writer *w, int err) {
    const struct js_io *io = s->env->io;

    if (io->truncate(io->ctx, w->file->fd, w->length) < 0)
        js_stream_fail_writes(s, err);
    return err;
}

int js_writer_flush(struct js_stream *s, struct js_writer *w) {
    if (w->buf.len == 0)
        return 0;
    js_writer_sum(w);
    int r = js_flight_land(s, w);
    if (s->write_error)
        return JS_ERR_WRITE_FAILED;
    if (r < 0 || w->buf.len == 0)
        return r;
    const uint8_t *bytes = w->buf.data + w->done;
    size_t len = js_writer_buffered(w);
    if (w->block->key) {
        w->cipher.len = 0;
        js_buf_append(&w->cipher, bytes, len);
        r = w->cipher.failed ? JS_ERR_NOMEM
                             : js_block_xor(w->block->key, w->length, w->cipher.data, len);
        w->cipher.failed = false;
        bytes = w->cipher.data;
    }
    if (r == 0) {
        r = js_file_write(s->env, w->file->fd, bytes, len, w->length, NULL);
        if (r < 0)
            js_writer_cut_back(s, w, r);
    }
    if (r >= 0) {
        js_writer_wrote(s, w, len);
        return 0;
    }
    /* What callers were told stays in the buffer, and nothing is added to it until it is out. */
    w->stuck = w->promised;
    if (!w->promised) {
        undo(s, w);
        w->buffered_since = 0;
    }
    return r;
}

int js_writer_settle(struct js_stream *s, struct js_writer *w) {
    if (w->async && s->sync_mode != JS_SYNC_ALWAYS) {
        js_writer_sum(w);
        w->promised = w->buf.len != 0;
        return 0;
    }
    return js_writer_flush(s, w);
}

int js_writer_release(struct js_stream *s, struct js_writer *w) {
    int r = js_writer_flush(s, w);

    if (r == 0)
        r = let_go(s, w);
    return r;
}

void js_writer_forget_block(struct js_stream *s, struct js_writer *w) {
    wfile_unref(s, w->file);
    w->file = NULL;
    w->block = NULL;
}

bool js_writer_pending(const struct js_stream *s, const struct js_block *b, uint64_t off,
                       const uint8_t **ret_at, size_t *ret_len) {
    struct js_writer *w = s->writer;

    if (!w || w->block != b || off < w->length || off >= w->length + js_writer_buffered(w))
        return false;
    /* Only within the call that stored it, which holds the lock for writing. */
    if (w->unsummed)
        js_writer_sum(w);
    *ret_at = w->buf.data + w->done + (off - w->length);
    *ret_len = js_writer_buffered(w) - (size_t)(off - w->length);
    return true;
}
