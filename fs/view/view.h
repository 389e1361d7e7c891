/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files all.*, own.* and segments/N.*: every message of a scope, rendered one after another.
 *
 * A struct jf_view is one *epoch* of such a file. Its size is true, and only grows: appended
 * messages extend it. When messages are removed the view stays as it is for those who hold it, and
 * jf_view_current() gives a new epoch (another view, to be shown under another inode number).
 *
 * A view is shared by all its readers and locks itself. A reader (struct jf_reader) is an open
 * file: it remembers where it was, so that reading on needs no search and is exact whatever is
 * removed meanwhile: whole messages only, removed ones left out, a message that was begun is
 * finished. A read at any other offset is mapped through a table of the view: per block its
 * place and length, and a mark every JF_VIEW_MARK messages. Where messages were removed since the
 * epoch began, offsets of what follows within the next mark come earlier than in the sequential
 * reading, those after the mark hold still.
 *
 * A reader is used by one thread at a time.
 */
#ifndef JF_VIEW_VIEW_H
#define JF_VIEW_VIEW_H

#include "fs/view/render.h"
#include "fs/view/scope.h"

#define JF_VIEW_MARK 256

struct jf_view;
struct jf_reader;

/* Called whenever a measuring or a reading leaves a damaged message out, so more than once for one
 * message. Locks of the view may be held: the callback must not call into views. */
typedef void (*jf_damage_fn)(void *ctx, struct js_stream *stream, js_seq_t seq);

struct jf_view_options {
    struct jf_render render;
    jf_damage_fn damage; /* NULL: not wanted */
    void *damage_ctx;    /* borrowed while the view lives */
};

/*
 * Makes the first epoch of a view; takes references of its own. options is copied (its strings are
 * borrowed while the view lives). Cheap: the view is measured when its size is first asked for, or
 * when it is first read at an offset that a reader did not reach by reading on; a view that
 * is only followed is never measured. Measuring reads no payload for LOG and TSV; JSONL and
 * FULL are rendered once, each block once for all epochs. NOMEM.
 */
int jf_view_open(struct jf_scope *scope, const struct jf_view_options *options,
                 struct jf_view **ret_view);
/*
 * The epoch to use now: the same view (another reference) if nothing was removed since it began,
 * else a new one, which takes over what is known of blocks that did not change. The old one lives
 * on while it is referenced.
 */
int jf_view_current(struct jf_view *view, struct jf_view **ret_view);
struct jf_view *jf_view_ref(struct jf_view *view);
/* NULL is fine. */
void jf_view_unref(struct jf_view *view);

/* Counts the epochs of one scope and format, from 1; with the scope and format it makes a name
 * (inode number) for exactly these bytes. */
uint64_t jf_view_epoch(const struct jf_view *view);
/* True when jf_view_current would give another view. */
bool jf_view_is_stale(struct jf_view *view);
struct jf_scope *jf_view_scope(const struct jf_view *view);
enum jf_format jf_view_format(const struct jf_view *view);
/* Size in bytes as of now (looks for appended messages first). ret_time gets the time of the
 * newest message of the view, 0 = none; may be NULL. */
int jf_view_size(struct jf_view *view, uint64_t *ret_size, js_time_t *ret_time);
/* How often a damaged message was left out of this epoch (see jf_damage_fn). */
uint64_t jf_view_damaged(struct jf_view *view);

/* An open file; takes a reference of the view. */
int jf_reader_open(struct jf_view *view, struct jf_reader **ret_reader);
void jf_reader_close(struct jf_reader *reader);
/* pread. Returns the count, 0 at the end, or a negative error (only if nothing was read). */
ssize_t jf_reader_read(struct jf_reader *reader, void *buf, size_t size, uint64_t offset);

/*
 * Sequential reading without offsets, for follow.* and dump: the next rendered bytes of the
 * scope from where the reader stands; 0 when there is nothing yet. jf_reader_skip_to sets the
 * place (js_seq_t of the next message), e.g. last sequence + 1 at open.
 */
ssize_t jf_reader_next(struct jf_reader *reader, void *buf, size_t size);
/* True when jf_reader_next would give something (poll). */
bool jf_reader_pending(struct jf_reader *reader);
void jf_reader_skip_to(struct jf_reader *reader, js_seq_t seq);

#endif
