/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has to be in order before a stream is written to for the first time since it was opened.
 * What a server would cut off or unlink is kept in quarantine/; nothing is touched in a stream that
 * cannot be understood as a whole.
 */
#include "core/stream/prepare.h"

#include <errno.h>
#include <stdio.h>

#include "core/base/limits.h"
#include "core/stream/block_file.h"
#include "core/stream/limits.h"

static int refuse(struct js_stream *s, const char *why) {
    s->unwritable = why;
    return JS_ERR_READ_ONLY;
}

/* Blocks that nobody can judge: who wrote to the stream could harm them. */
static int check_blocks(struct js_stream *s) {
    switch (s->health) {
    case JS_HEALTH_NO_KEY:
    case JS_HEALTH_WRONG_KEY:
        return refuse(s, "some of its blocks are encrypted and the key is missing or wrong");
    case JS_HEALTH_UNKNOWN_FORMAT:
        return refuse(s, "it holds blocks of an unknown form (a newer version?)");
    default:
        break;
    }
    for (size_t i = 0; i < s->num_blocks; i++)
        if (s->blocks[i]->unreadable && !s->blocks[i]->missing)
            return refuse(s, "some of its blocks cannot be read");
    return 0;
}

struct names {
    struct js_stream *s;
    char list[64][32];
    size_t count;
};

/* Unfinished replacements: N.new, N.blk.tmp, *.tmp. */
static int see_leftover(void *ctx, const char *name) {
    struct names *n = ctx;
    size_t len = strlen(name);
    bool leftover = js_block_number_of(name, ".new") || js_block_number_of(name, ".blk.tmp") ||
                    js_block_number_of(name, ".key.tmp") || strcmp(name, "index.db.tmp") == 0 ||
                    strcmp(name, "thw.db.tmp") == 0 || strcmp(name, "sched.db.tmp") == 0;

    if (!leftover || len >= sizeof n->list[0])
        return 0;
    memcpy(n->list[n->count++], name, len + 1);
    return n->count == 64;
}

static int clear_leftovers(struct js_stream *s) {
    const struct js_io *io = s->env->io;
    struct names n = {.s = s};
    int r = 0;

    do {
        n.count = 0;
        r = js_files_list_msgs(&s->files, see_leftover, &n);
        for (size_t i = 0; i < n.count && r >= 0; i++) {
            /* Ours hold nothing of their own; of others' nobody knows. */
            if (js_block_number_of(n.list[i], ".blk.tmp"))
                r = js_quarantine(s, n.list[i]);
            if (r >= 0) {
                int u = io->unlink(io->ctx, s->files.msgs_fd, n.list[i]);
                r = u < 0 ? js_err_from_errno(-u) : 0;
            }
        }
    } while (r >= 0 && n.count == 64);
    return r < 0 ? r : 0;
}

static bool needs_mending(const struct js_block *b) {
    return !b->missing && !(b->cold && b->cold->unread) && (b->odd || b->good_size != b->raw_size);
}

/* Damaged and torn blocks: the file goes to quarantine, its good records stay. */
static int mend_blocks(struct js_stream *s, bool *ret_mended) {
    for (size_t i = 0; i < s->num_blocks; i++) {
        struct js_block *b = s->blocks[i];
        if (!needs_mending(b))
            continue;
        bool newest = i + 1 == s->num_blocks;
        struct js_rewrite how = {.quarantine = true,
                                 .compression =
                                     b->compressed && !newest ? js_stream_compression(s) : 'n'};
        int r = js_block_rewrite(s, i, &how, NULL);
        if (r < 0)
            return r;
        *ret_mended = true;
    }
    return 0;
}

/* After blocks were mended: what is lost is lost, and the files that show it are in quarantine/.
 * From now on those sequences are like removed ones, so that index.db can be written again. */
static int settle_lost(struct js_stream *s) {
    uint64_t lost = s->lost;

    for (size_t i = 0; i < s->num_blocks; i++) {
        struct js_block *b = s->blocks[i];
        if (b->unreadable || !b->slots)
            continue;
        for (uint32_t k = 0; k < b->slots->count; k++)
            if (b->slots->at[k].len == JS_LEN_DAMAGED) {
                int r = js_stream_drop_slot(s, b, k);
                if (r < 0)
                    return r;
            }
        b->odd = b->good_size != b->raw_size;
    }
    if (s->lost)
        return 0; /* of blocks that are missing or cannot be read */
    js_stream_clear_problems(s);
    struct js_problem p = {.verdict = JS_HEALTH_OK, .file = "quarantine"};
    int r = js_stream_report(s, &p, "%llu messages were lost; the damaged files are kept there",
                             (unsigned long long)lost);
    if (r == 0)
        js_move_first(s);
    return r < 0 ? r : 0;
}

/* What the files say of the stream's end; sequences must not be given out twice. */
static js_seq_t proved_last(const struct js_stream *s) {
    js_seq_t top = 0;

    for (size_t i = 0; i < s->num_blocks; i++) {
        const struct js_block *b = s->blocks[i];
        js_seq_t t = b->cold && b->cold->unread ? b->pos_last : b->rec_last;
        if (b->tomb_last > t)
            t = b->tomb_last;
        if (t > top)
            top = t;
    }
    return top;
}

static int write_position(struct js_stream *s, struct js_writer *w) {
    if (s->last_seq == 0 && s->num_blocks == 0 && s->config.first_seq > 1) {
        s->last_seq = s->config.first_seq - 1;
        s->first_seq = s->config.first_seq;
        return 0;
    }
    if (s->last_seq == 0 || proved_last(s) >= s->last_seq)
        return 0;
    int r = js_writer_roll(s, w);
    if (r == 0)
        r = js_writer_put_mark(s, w, s->last_seq | JS_SEQ_TOMBSTONE, s->last_time);
    if (r == 0)
        r = js_writer_sync_locked(s, w);
    return r;
}

bool js_stream_needs_mending(const struct js_stream *s) {
    for (size_t i = 0; i < s->num_blocks; i++)
        if (needs_mending(s->blocks[i]))
            return true;
    return false;
}

/* Puts all damage aside. */
static int mend(struct js_stream *s, struct js_writer *w) {
    js_seq_t last = s->last_seq;
    js_time_t last_time = s->last_time;
    uint64_t msgs = s->msgs;
    bool mended = false;

    if (!js_stream_needs_mending(s))
        return 0;
    /* Damage may be all that shows how far the sequences went: before it leaves the block, a record
     * tells. */
    int r = write_position(s, w);
    if (r == 0)
        r = js_writer_release(s, w);
    if (r == 0)
        r = mend_blocks(s, &mended);
    if (r == 0 && mended)
        r = js_stream_reload(s, true, true);
    if (r < 0 || !mended)
        return r;
    if (s->msgs != msgs)
        s->removals++;
    /* What was lost stays used up. */
    if (s->last_seq < last) {
        s->last_seq = last;
        s->last_time = last_time;
        if (s->msgs == 0)
            s->first_seq = last + 1;
    }
    return settle_lost(s);
}

int js_stream_mend(struct js_stream *s, struct js_writer *w) {
    if (!s->unmended || s->backing_up)
        return 0;
    int r = js_writer_sync_locked(s, w);
    /* What limits took out is known to index.db alone. */
    if (r == 0 && w->changed)
        r = js_stream_write_index(s);
    if (r == 0)
        r = js_writer_release(s, w);
    if (r == 0 && !js_stream_needs_mending(s)) /* a rewrite came upon it */
        r = js_stream_reload(s, true, true);
    if (r == 0)
        r = check_blocks(s);
    if (r == 0)
        r = mend(s, w);
    if (r < 0)
        return r;
    s->unmended = false;
    js_writer_touched(s, w);
    return 0;
}

int js_stream_know_all(struct js_stream *s, struct js_writer *w) {
    int r = js_stream_scan_locked(s);

    return r < 0 ? r : js_stream_mend(s, w);
}

int js_stream_prepare(struct js_stream *s, struct js_writer *w) {
    bool changed = false;
    int r = s->files.dirfd >= 0 ? js_settle_purge(s, &changed) : 0;

    if (r == 0 && changed)
        r = js_stream_reload(s, true, true);
    if (r == 0)
        r = check_blocks(s);
    if (r == 0 && s->sum_staged) {
        const struct js_io *io = s->env->io;
        r = js_err_from_errno(
            -io->rename(io->ctx, s->files.dirfd, "meta.sum.tmp", s->files.dirfd, "meta.sum"));
        if (r == 0)
            r = js_err_from_errno(-io->fsync(io->ctx, s->files.dirfd));
        s->sum_staged = r < 0;
    }
    if (r == 0 && s->files.msgs_fd >= 0)
        r = clear_leftovers(s);
    if (r == 0)
        r = mend(s, w);
    if (r == 0)
        s->unmended = false;
    if (r == 0)
        r = write_position(s, w);
    if (r == 0)
        w->last_stamp = s->last_time;
    /* A crash may have come between a new configuration and what it takes out. */
    if (r == 0 && !s->config.sealed && js_stream_over_limits(s)) {
        struct js_gone gone = {0};
        s->writer = w;
        r = js_limits_all(s, w, &gone);
    }
    return r;
}

struct kept {
    const struct js_io *io;
    int fd;
    unsigned depth;
    uint64_t files, bytes;
};

static int count_kept(void *ctx, const char *name) {
    struct kept *k = ctx;
    struct stat st;

    if (k->io->stat(k->io->ctx, k->fd, name, &st) < 0)
        return 0;
    if (S_ISREG(st.st_mode)) {
        k->files++;
        k->bytes += (uint64_t)st.st_size;
    } else if (S_ISDIR(st.st_mode) && k->depth == 0) {
        /* A purged msgs/. */
        struct kept below = {.io = k->io, .depth = 1};
        below.fd = k->io->open_dir(k->io->ctx, k->fd, name);
        int r = below.fd < 0 ? below.fd : k->io->list(k->io->ctx, below.fd, count_kept, &below);
        if (below.fd >= 0)
            k->io->close(k->io->ctx, below.fd);
        k->files += below.files;
        k->bytes += below.bytes;
        return r;
    }
    return 0;
}

int js_stream_quarantine(struct js_stream *stream, uint64_t *ret_files, uint64_t *ret_bytes) {
    struct kept k = {.io = stream->env->io};
    int r = 0;

    if (stream->files.dirfd >= 0) {
        k.fd = k.io->open_dir(k.io->ctx, stream->files.dirfd, "quarantine");
        if (k.fd >= 0) {
            r = k.io->list(k.io->ctx, k.fd, count_kept, &k);
            k.io->close(k.io->ctx, k.fd);
        } else if (k.fd != -ENOENT) {
            r = k.fd;
        }
    }
    if (r < 0)
        return js_err_from_errno(-r);
    *ret_files = k.files;
    *ret_bytes = k.bytes;
    return 0;
}
