/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting to the disk. A sync runs without the stream's lock, on descriptors held by references;
 * who asks while one runs waits for the next, which serves all of them. The first failure makes the
 * stream read-only until it is opened again: after a failed sync nobody knows what a second one
 * would mean.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>

#include "core/base/file.h"
#include "core/stream/block_file.h"
#include "core/stream/remove.h"
#include "core/stream/writer.h"

#define FLUSH_AFTER INT64_C(8000000) /* buffered records wait so long, ns */
#define MAX_GRAVES  64
#define SECOND      INT64_C(1000000000)
#define INDEX_AFTER (120 * SECOND) /* index.db is written so long after a change */

void js_syncer_init(struct js_syncer *syncer) {
    *syncer = (struct js_syncer){0};
    pthread_mutex_init(&syncer->mu, NULL);
    pthread_cond_init(&syncer->done, NULL);
    syncer->last = &syncer->first;
}

void js_syncer_done(struct js_syncer *syncer) {
    pthread_cond_destroy(&syncer->done);
    pthread_mutex_destroy(&syncer->mu);
}

/* What one sync has to cover. */
struct job {
    struct js_wfile *file;
    uint32_t from, to; /* numbers of earlier blocks; 0 = none */
    uint32_t *graves;
    size_t num_graves;
    bool dir;
    int error; /* why nothing of it may be done */
    uint64_t gen;
};

static void drop_file(struct js_stream *s, struct js_wfile *f) {
    if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1) {
        s->env->io->close(s->env->io->ctx, f->fd);
        js_free(s->env, f);
    }
}

static void take_graves(struct js_stream *s, struct job *job) {
    *job = (struct job){.graves = s->graves, .num_graves = s->num_graves};
    /* An index that lists what is about to go would call it lost. */
    job->error = js_stream_retire_index(s);
    js_writer_outdated(s, s->writer);
    s->graves = NULL;
    s->num_graves = s->cap_graves = 0;
}

/* Takes over what is to be synced; lock held for writing. */
static void take_job(struct js_stream *s, struct job *job) {
    struct js_writer *w = s->writer;

    *job = (struct job){0};
    if (s->num_graves && !s->backing_up)
        take_graves(s, job);
    job->gen = w->gen;
    job->dir = w->dir_dirty || job->num_graves;
    job->from = w->unsynced_from;
    job->to = w->unsynced_to;
    w->unsynced_from = w->unsynced_to = 0;
    if (w->dirty && w->file) {
        atomic_fetch_add_explicit(&w->file->refs, 1, memory_order_relaxed);
        job->file = w->file;
    }
    w->dirty = w->dir_dirty = false;
}

static int unlink_block(struct js_stream *s, uint32_t number) {
    const struct js_io *io = s->env->io;
    static const char *const suffixes[] = {"blk", "key", "idx", "fss"};
    int r = 0;

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes && r >= 0; i++) {
        char name[24];
        if (i == 1 && !s->encrypted)
            continue;
        snprintf(name, sizeof name, "%u.%s", number, suffixes[i]);
        r = io->unlink(io->ctx, s->files.msgs_fd, name);
        if (r == -ENOENT)
            r = 0;
        if (i == 0 && r < 0)
            break;
    }
    return r;
}

/* Oldest first. */
static int unlink_graves(struct js_stream *s, struct job *job) {
    int r = 0;

    for (size_t i = 0; i < job->num_graves && r >= 0; i++)
        r = unlink_block(s, job->graves[i]);
    js_free(s->env, job->graves);
    job->graves = NULL;
    job->num_graves = 0;
    return r;
}

bool js_graves_pending(struct js_stream *s) {
    pthread_mutex_lock(&s->syncer.mu);
    bool away = s->syncer.away;
    pthread_mutex_unlock(&s->syncer.mu);
    return away || s->num_graves;
}

/* A block that was rolled before it was synced. */
static int sync_block(struct js_stream *s, uint32_t number) {
    const struct js_io *io = s->env->io;
    char name[24];

    snprintf(name, sizeof name, "%u.blk", number);
    int fd = io->open_file(io->ctx, s->files.msgs_fd, name, O_RDONLY, 0);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int r = io->fdatasync(io->ctx, fd);
    io->close(io->ctx, fd);
    return r;
}

static int do_job(struct js_stream *s, struct job *job) {
    const struct js_io *io = s->env->io;
    int r = job->error ? -EIO : 0;

    for (uint32_t n = job->from; n && n <= job->to && r >= 0; n++)
        r = sync_block(s, n);
    if (job->file) {
        if (r >= 0)
            r = io->fdatasync(io->ctx, job->file->fd);
        drop_file(s, job->file);
    }
    if (r > 0)
        r = 0;
    if (r == 0 && job->dir)
        r = io->fsync(io->ctx, s->files.msgs_fd);
    /* What says where the stream stands is on disk: blocks that hold nothing may go. */
    bool buried = job->num_graves != 0;
    if (r >= 0)
        r = unlink_graves(s, job);
    else
        js_free(s->env, job->graves);
    if (r >= 0 && buried)
        r = io->fsync(io->ctx, s->files.msgs_fd);
    if (job->error)
        return job->error;
    return r < 0 ? js_err_from_errno(-r) : 0;
}

/* Waits for what another thread took to the disk; that one needs the stream's lock no more before
 * it is done. Once it failed nobody else may take it for synced. */
static int await_away(struct js_syncer *sy) {
    pthread_mutex_lock(&sy->mu);
    while (sy->away)
        pthread_cond_wait(&sy->done, &sy->mu);
    int r = sy->failed;
    pthread_mutex_unlock(&sy->mu);
    return r;
}

static void set_away(struct js_syncer *sy, bool away, int r) {
    pthread_mutex_lock(&sy->mu);
    sy->away = away;
    if (r < 0)
        sy->failed = r;
    pthread_cond_broadcast(&sy->done);
    pthread_mutex_unlock(&sy->mu);
}

int js_writer_await_sync(struct js_stream *s) {
    int r = await_away(&s->syncer);

    return r < 0 ? js_stream_fail_writes(s, r) : 0;
}

int js_writer_sync_locked(struct js_stream *s, struct js_writer *w) {
    struct job job;
    int r = js_writer_flush(s, w);

    if (r < 0)
        return r;
    if (s->write_error)
        return JS_ERR_WRITE_FAILED;
    r = js_writer_await_sync(s);
    if (r < 0)
        return r;
    take_job(s, &job);
    r = do_job(s, &job);
    return r < 0 ? js_stream_fail_writes(s, r) : 0;
}

/* Runs one sync of everything written so far; syncer->running is ours. */
static int run_sync(struct js_stream *stream, uint64_t *ret_gen) {
    struct job job;

    pthread_rwlock_wrlock(&stream->lock);
    int r = stream->write_error ? JS_ERR_WRITE_FAILED : 0;
    /* What shows where the stream stands without the files that will go may be buffered yet. */
    if (r == 0 && stream->writer && stream->num_graves && !stream->backing_up)
        r = js_writer_flush(stream, stream->writer);
    if (r == 0 && stream->writer)
        take_job(stream, &job);
    else
        job = (struct job){.gen = UINT64_MAX};
    if (r == 0)
        set_away(&stream->syncer, true, 0);
    pthread_rwlock_unlock(&stream->lock);
    if (r < 0)
        return r;
    r = do_job(stream, &job);
    set_away(&stream->syncer, false, r);
    if (r < 0) {
        pthread_rwlock_wrlock(&stream->lock);
        js_stream_fail_writes(stream, r);
        pthread_rwlock_unlock(&stream->lock);
        return r;
    }
    *ret_gen = job.gen;
    return 0;
}

/* Who waits for a sync sleeps on a semaphore of its own, and needs no lock when it is woken: all of those that
 * a sync served would come for it at once. */
struct js_sync_waiter {
    struct js_sync_waiter *next;
    uint64_t gen;
    sem_t woken;
    bool leads; /* woken to sync, not because it was done */
};

/* Those whom the last sync served write again now, and come one after another: a sync for the first alone
 * would let all the others wait for two. As long as they come that is worth up to the time of a sync. */
static void gather(struct js_stream *s, unsigned want, js_time_t took) {
    const struct js_clock *c = s->env->clock;
    js_time_t now = c->monotonic(c->ctx), end = now + took, next = now + took / 2;
    unsigned seen = 0, here;

    while ((here = atomic_load_explicit(&s->syncer.waiting, memory_order_relaxed)) + 1 < want &&
           now < end && now < next) {
        if (here != seen)
            next = now + took / 2;
        seen = here;
        sched_yield();
        now = c->monotonic(c->ctx);
    }
}

/* One sync for all who wait. */
static int sync_once(struct js_stream *s, uint64_t *ret_reached) {
    const struct js_clock *c = s->env->clock;
    struct js_syncer *sy = &s->syncer;

    if (sy->served > 1) /* nobody else looks at it while we run */
        gather(s, sy->served, sy->took);
    js_time_t begun = c->monotonic(c->ctx);
    int r = run_sync(s, ret_reached);
    sy->took = c->monotonic(c->ctx) - begun;
    return r;
}

/* Takes those off the list whose writes are on disk; after a failure, when nothing is, none. The next one leads.
 * mu held. Returns those that are to be woken. */
static struct js_sync_waiter *take_served(struct js_syncer *sy, int r, uint64_t reached) {
    struct js_sync_waiter *woken = NULL, **end = &woken, **p = &sy->first;

    sy->served = 1;
    while (*p) {
        struct js_sync_waiter *w = *p;
        if (r < 0 || w->gen > reached) {
            p = &w->next;
            continue;
        }
        *p = w->next;
        *end = w;
        end = &w->next;
        sy->served++;
    }
    sy->last = p;
    sy->running = sy->first != NULL;
    if (sy->first) {
        struct js_sync_waiter *w = sy->first;
        sy->first = w->next;
        if (!sy->first)
            sy->last = &sy->first;
        w->leads = true;
        *end = w;
        end = &w->next;
    }
    *end = NULL;
    unsigned left = 0;
    for (struct js_sync_waiter *w = sy->first; w; w = w->next)
        left++;
    atomic_store_explicit(&sy->waiting, left, memory_order_relaxed);
    return woken;
}

/* Syncs until gen is on disk; running is ours. mu held, given back. */
static int lead(struct js_stream *s, uint64_t gen) {
    struct js_syncer *sy = &s->syncer;
    uint64_t reached = 0;

    pthread_mutex_unlock(&sy->mu);
    int r = sync_once(s, &reached);
    pthread_mutex_lock(&sy->mu);
    /* A writer that is gone took its count with it. */
    uint64_t upto = reached == UINT64_MAX ? gen : reached;
    if (r == 0 && upto > sy->synced)
        sy->synced = upto;
    struct js_sync_waiter *w = take_served(sy, r, reached);
    pthread_mutex_unlock(&sy->mu);
    while (w) {
        struct js_sync_waiter *next = w->next; /* it is gone once it is woken */
        sem_post(&w->woken);
        w = next;
    }
    return r;
}

int js_sync_wait(struct js_stream *stream, uint64_t gen) {
    struct js_syncer *sy = &stream->syncer;
    struct js_sync_waiter self = {.gen = gen};

    pthread_mutex_lock(&sy->mu);
    if (sy->synced >= gen) {
        pthread_mutex_unlock(&sy->mu);
        return 0;
    }
    if (!sy->running) {
        sy->running = true;
        return lead(stream, gen);
    }
    sem_init(&self.woken, 0, 0);
    *sy->last = &self;
    sy->last = &self.next;
    atomic_fetch_add_explicit(&sy->waiting, 1, memory_order_relaxed);
    pthread_mutex_unlock(&sy->mu);
    while (sem_wait(&self.woken) < 0)
        ;
    sem_destroy(&self.woken);
    if (!self.leads)
        return 0;
    pthread_mutex_lock(&sy->mu);
    return lead(stream, gen);
}

int js_stream_end_write(struct js_stream *stream, int r) {
    struct js_writer *w = stream->writer;
    uint64_t gen = 0;

    if (w) {
        int f = js_writer_settle(stream, w);
        if (r >= 0 && f < 0)
            r = f;
        gen = w->gen;
    }
    /* Files of blocks that are gone wait for a sync, whatever the mode: what tells where the stream
     * stands may be on its way. Not too many of them. */
    bool many = stream->num_graves >= MAX_GRAVES && !stream->backing_up;
    bool sync = w && (stream->sync_mode == JS_SYNC_ALWAYS || many);
    pthread_rwlock_unlock(&stream->lock);
    if (r >= 0 && sync) {
        int f = js_sync_wait(stream, gen);
        if (f < 0)
            r = f;
    }
    return r;
}

int js_stream_flush_all_pending(struct js_stream *stream) {
    pthread_rwlock_wrlock(&stream->lock);
    int r = stream->write_error ? JS_ERR_WRITE_FAILED : 0;
    if (r == 0 && stream->writer)
        r = js_writer_flush(stream, stream->writer);
    pthread_rwlock_unlock(&stream->lock);
    return r;
}

int js_stream_sync(struct js_stream *stream) {
    uint64_t gen = 0;

    pthread_rwlock_wrlock(&stream->lock);
    struct js_writer *w = stream->writer;
    int r = stream->write_error ? JS_ERR_WRITE_FAILED : 0;
    if (r == 0 && w) {
        r = js_writer_flush(stream, w);
        if (r == 0 && (w->dir_dirty || stream->num_graves) && !w->dirty)
            w->gen++; /* only names changed */
        gen = w->gen;
    }
    pthread_rwlock_unlock(&stream->lock);
    return r < 0 || gen == 0 ? r : js_sync_wait(stream, gen);
}

js_time_t js_stream_sync_deadline(struct js_stream *stream) {
    js_time_t due = 0;

    pthread_rwlock_rdlock(&stream->lock);
    struct js_writer *w = stream->writer;
    if (w && !stream->write_error) {
        const struct js_clock *c = stream->env->clock;
        if (w->buf.len && w->buffered_since)
            due = c->now(c->ctx) + (w->buffered_since + FLUSH_AFTER - c->monotonic(c->ctx));
        js_time_t t = 0;
        if (w->dirty && stream->sync_mode == JS_SYNC_CLOSE)
            t = w->since + SECOND;
        else if (w->dirty && stream->sync_mode == JS_SYNC_INTERVAL)
            t = w->since + (js_time_t)stream->sync_interval * SECOND;
        if (t && (!due || t < due))
            due = t;
        if (js_stream_wants_compression(stream))
            due = c->now(c->ctx);
        t = w->next_pass;
        if (t && (!due || t < due))
            due = t;
        t = w->changed ? w->changed_since + INDEX_AFTER : 0;
        if (t && (!due || t < due))
            due = t;
    }
    pthread_rwlock_unlock(&stream->lock);
    return due;
}

int js_stream_sync_due(struct js_stream *stream, js_time_t now) {
    js_time_t interval =
        stream->sync_mode == JS_SYNC_CLOSE ? SECOND : (js_time_t)stream->sync_interval * SECOND;
    bool sync = false, pass = false;
    int r = 0;

    pthread_rwlock_wrlock(&stream->lock);
    struct js_writer *w = stream->writer;
    if (w && !stream->write_error) {
        const struct js_clock *c = stream->env->clock;
        if (w->buf.len && c->monotonic(c->ctx) - w->buffered_since >= FLUSH_AFTER)
            r = js_writer_flush(stream, w);
        sync = w->dirty && w->since + interval <= now &&
               (stream->sync_mode == JS_SYNC_CLOSE || stream->sync_mode == JS_SYNC_INTERVAL);
        if (r == 0 && !stream->backing_up)
            r = js_stream_compress_sealed(stream, w);
        pass = w->next_pass && w->next_pass <= now;
        if (!w->next_pass || pass)
            w->next_pass = now + (js_time_t)stream->sync_interval * SECOND;
        if (r == 0 && w->changed && w->changed_since + INDEX_AFTER <= now)
            r = js_stream_write_index(stream);
    }
    pthread_rwlock_unlock(&stream->lock);
    /* Whatever went wrong with what is not due to anybody: data gets to the disk in its time. */
    if (sync) {
        int f = js_stream_sync(stream);
        r = r < 0 ? r : f;
    }
    if (r == 0 && pass)
        r = js_stream_sync_blocks(stream);
    return r;
}

int js_stream_finish(struct js_stream *stream) {
    int r = 0;

    pthread_rwlock_wrlock(&stream->lock);
    struct js_writer *w = stream->writer;
    if (w) {
        r = stream->write_error ? JS_ERR_WRITE_FAILED : js_stream_compress_sealed(stream, w);
        if (r == 0 && w->changed)
            r = js_tidy_empty(stream, w);
        /* What is stored gets to the disk, whatever became of the rest. */
        if (!stream->write_error) {
            int f = js_writer_sync_locked(stream, w);
            if (f == 0 && w->changed)
                f = js_stream_write_index(stream);
            r = r < 0 ? r : f;
        }
        js_writer_free(stream);
    }
    pthread_rwlock_unlock(&stream->lock);
    return r;
}
