/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "core/base/bytes.h"
#include "core/base/file.h"
#include "core/base/limits.h"

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
    if (s->files.backup)
        return "a backup can only be read";
    if (!s->has_config)
        return "its meta.inf is damaged";
    if (s->encrypted)
        return "writing encrypted streams is not built yet";
    if (c->sealed)
        return "the stream is sealed";
    if (c->memory)
        return "it is a memory stream";
    if (c->has_mirror || c->has_sources)
        return "mirrors and streams with sources are fed by a server";
    if (c->has_transform)
        return "subject transforms are not built yet";
    if (c->allow_msg_ttl || c->allow_msg_schedules || c->allow_msg_counter || c->allow_atomic)
        return "message TTLs, schedules, counters and atomic batches are not built yet";
    return NULL;
}

int js_stream_writable(struct js_stream *stream, char *ret_why, size_t why_size) {
    pthread_rwlock_rdlock(&stream->lock);
    const char *why = not_writable(stream);
    pthread_rwlock_unlock(&stream->lock);
    if (ret_why && why_size)
        snprintf(ret_why, why_size, "%s", why ? why : "");
    return why ? 0 : 1;
}

int js_writer_open(struct js_stream *s, struct js_writer **ret_writer) {
    if (s->write_error)
        return JS_ERR_WRITE_FAILED;
    if (not_writable(s))
        return JS_ERR_READ_ONLY;
    int r = js_stream_scan_locked(s);
    if (r < 0)
        return r;
    if (!s->writer) {
        struct js_writer *w = js_calloc(s->env, 1, sizeof *w);
        if (!w)
            return JS_ERR_NOMEM;
        w->fd = -1;
        w->buf.env = s->env;
        w->limit = s->block_size ? s->block_size : js_block_size_of(&s->config, false);
        w->last_stamp = s->last_time;
        s->writer = w;
    }
    *ret_writer = s->writer;
    return 0;
}

void js_writer_free(struct js_stream *s) {
    struct js_writer *w = s->writer;

    if (!w)
        return;
    if (w->fd >= 0)
        s->env->io->close(s->env->io->ctx, w->fd);
    js_buf_done(&w->buf);
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
static bool appendable(const struct js_block *b, uint64_t file_len) {
    return !b->unreadable && !b->compressed && !b->key && b->good_size == b->raw_size &&
           b->raw_size == file_len;
}

static int open_last(struct js_stream *s, struct js_writer *w) {
    const struct js_io *io = s->env->io;
    struct stat st;
    char name[24];

    if (s->num_blocks == 0)
        return JS_ERR_NO_ENTRY;
    struct js_block *b = s->blocks[s->num_blocks - 1];
    snprintf(name, sizeof name, "%u.blk", b->number);
    int fd = io->open_file(io->ctx, s->files.msgs_fd, name, O_RDWR, 0);
    if (fd < 0)
        return js_err_from_errno(-fd);
    int r = io->fstat(io->ctx, fd, &st);
    if (r < 0 || !appendable(b, (uint64_t)st.st_size)) {
        io->close(io->ctx, fd);
        return r < 0 ? js_err_from_errno(-r) : JS_ERR_NO_ENTRY;
    }
    w->fd = fd;
    w->block = b;
    w->length = (uint64_t)st.st_size;
    return 0;
}

static int close_block(struct js_stream *s, struct js_writer *w) {
    int r = 0;

    if (w->fd < 0)
        return 0;
    /* A descriptor is let go only when what it wrote is on disk (or nobody asked for that). */
    if (w->dirty && s->sync_mode != JS_SYNC_OS) {
        r = s->env->io->fdatasync(s->env->io->ctx, w->fd);
        if (r < 0)
            r = js_stream_fail_writes(s, js_err_from_errno(-r));
    }
    int c = s->env->io->close(s->env->io->ctx, w->fd);
    if (r == 0 && c < 0)
        r = js_stream_fail_writes(s, js_err_from_errno(-c));
    w->fd = -1;
    w->block = NULL;
    if (s->sync_mode != JS_SYNC_OS)
        w->dirty = false;
    return r;
}

static int begin_block(struct js_stream *s, struct js_writer *w) {
    const struct js_io *io = s->env->io;
    uint64_t number = s->num_blocks ? (uint64_t)s->blocks[s->num_blocks - 1]->number + 1 : 1;
    char name[24];

    if (number > JS_MAX_BLOCK_NUMBER)
        return JS_ERR_NO_SPACE;
    int r = close_block(s, w);
    if (r < 0)
        return r;
    snprintf(name, sizeof name, "%u.blk", (uint32_t)number);
    int fd = io->open_file(io->ctx, s->files.msgs_fd, name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return js_err_from_errno(-fd);
    struct js_block *b = js_stream_add_block(s, (uint32_t)number);
    if (!b) {
        io->close(io->ctx, fd);
        io->unlink(io->ctx, s->files.msgs_fd, name);
        return JS_ERR_NOMEM;
    }
    if (s->num_blocks > 1) {
        js_block_count(s, s->blocks[s->num_blocks - 2]);
        js_stream_trim(s);
    }
    w->fd = fd;
    w->block = b;
    w->length = 0;
    w->dir_dirty = true;
    return 0;
}

/* A block to append to with room for a record of this length. */
static int provide_block(struct js_stream *s, struct js_writer *w, uint32_t need) {
    int r = open_msgs_dir(s);

    if (r == 0 && w->fd < 0) {
        r = open_last(s, w);
        if (r == JS_ERR_NO_ENTRY)
            return begin_block(s, w);
    }
    if (r < 0)
        return r;
    uint64_t used = w->length + w->buf.len;
    if (used > 0 && used + need > w->limit) {
        /* The caller flushes before it lets a block roll. */
        if (w->buf.len)
            return JS_ERR_INVAL;
        return begin_block(s, w);
    }
    return 0;
}

static int note_rec(struct js_stream *s, struct js_writer *w, size_t msg) {
    if (w->num_recs == w->cap_recs) {
        size_t cap = w->cap_recs ? w->cap_recs * 2 : 256;
        struct js_pending_rec *p = js_realloc_array(s->env, w->recs, cap, sizeof *p);
        if (!p)
            return JS_ERR_NOMEM;
        w->recs = p;
        w->cap_recs = cap;
    }
    w->recs[w->num_recs++] = (struct js_pending_rec){.off = (uint32_t)(w->length + w->buf.len),
                                                     .buf_off = (uint32_t)w->buf.len,
                                                     .msg = msg};
    return 0;
}

int js_writer_put(struct js_stream *s, struct js_writer *w, uint64_t seq_and_flags, js_time_t time,
                  const struct js_new_msg *m, size_t index) {
    static const struct js_new_msg none;

    if (!m)
        m = &none;
    uint32_t len = js_record_size(m->subject_len, m->hdr_len, m->data_len);
    if (!len)
        return JS_ERR_MSG_TOO_LARGE;
    int r = provide_block(s, w, len);
    if (r == 0)
        r = js_buf_reserve(&w->buf, len);
    if (r == 0)
        r = note_rec(s, w, index);
    if (r < 0) {
        w->buf.failed = false;
        return r;
    }
    js_record_encode(w->buf.data + w->buf.len, seq_and_flags, time, m->subject, m->subject_len,
                     m->hdr, m->hdr_len, m->data, m->data_len, &w->block->hash_key);
    w->buf.len += len;
    return 0;
}

bool js_writer_full(const struct js_writer *w, uint32_t need) {
    if (w->buf.len == 0)
        return false;
    return w->buf.len + need > FLUSH_BYTES || w->length + w->buf.len + need > w->limit;
}

/* Tells the index of the records that are in the file now. */
static int learn(struct js_stream *s, struct js_writer *w, const struct js_new_msg *msgs,
                 size_t *ret_done) {
    struct js_block *b = w->block;

    for (size_t i = 0; i < w->num_recs; i++) {
        const struct js_pending_rec *pr = &w->recs[i];
        struct js_record rec;
        size_t left = w->buf.len - pr->buf_off;
        if (!js_record_parse(w->buf.data + pr->buf_off, left, &rec))
            return JS_ERR_CORRUPT;
        b->good_size += rec.len;
        memcpy(b->last_sum, rec.sum, 8);
        if (rec.tombstone)
            continue;
        int r = js_stream_add_slot(s, b, &rec, pr->off);
        if (r < 0)
            return r;
        s->last_seq = b->pos_last = rec.seq;
        s->last_time = b->pos_last_time = rec.time;
        if (s->msgs == 1) {
            s->first_seq = rec.seq;
            s->first_time = rec.time;
        }
        if (pr->msg != SIZE_MAX && msgs)
            ++*ret_done;
    }
    return 0;
}

/* Undoes what a failed write may have added. */
static void cut_back(struct js_stream *s, struct js_writer *w) {
    int r = s->env->io->truncate(s->env->io->ctx, w->fd, w->length);
    if (r < 0)
        js_stream_fail_writes(s, js_err_from_errno(-r));
}

int js_writer_flush(struct js_stream *s, struct js_writer *w, const struct js_new_msg *msgs,
                    size_t *ret_done) {
    if (w->buf.len == 0)
        return 0;
    int r = js_file_write(s->env, w->fd, w->buf.data, w->buf.len, w->length, NULL);
    if (r < 0) {
        cut_back(s, w);
        w->buf.len = 0;
        w->num_recs = 0;
        return r;
    }
    w->length += w->buf.len;
    w->block->file_size = w->block->raw_size = w->length;
    if (!w->dirty)
        w->since = s->env->clock->now(s->env->clock->ctx);
    w->dirty = w->changed = true;
    r = learn(s, w, msgs, ret_done);
    /* The file holds what the index could not take in: only reopening mends that. */
    if (r < 0)
        js_stream_fail_writes(s, r);
    w->buf.len = 0;
    w->num_recs = 0;
    return r;
}

int js_writer_sync(struct js_stream *s, struct js_writer *w) {
    const struct js_io *io = s->env->io;
    int r = 0;

    if (s->write_error)
        return JS_ERR_WRITE_FAILED;
    if (w->dirty && w->fd >= 0)
        r = io->fdatasync(io->ctx, w->fd);
    if (r == 0 && w->dir_dirty)
        r = io->fsync(io->ctx, s->files.msgs_fd);
    if (r < 0)
        return js_stream_fail_writes(s, js_err_from_errno(-r));
    w->dirty = w->dir_dirty = false;
    return 0;
}
