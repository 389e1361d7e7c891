/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks whose slots are not in memory.
 *
 * A block is cold because index.db described it when the stream was opened, so that nobody had to
 * read it (`unread`), or because the slots of all blocks together went over the budget and its own
 * were dropped. Either way it is known which of its records live: those in first..upto that are not
 * in `deleted`. Slots are made anew from the block's bytes when they are asked for. Unread blocks keep
 * them as long as the budget allows; else the last few are kept. They show the same messages as
 * before, but their chains end with the block. Who asks for a sequence, or for all messages, is served
 * from bare slots while there is room for them.
 *
 * A block in which something is lost stays in memory. An unread one that turns out not to be what
 * index.db says makes the whole stream be scanned (js_stream_scan); so does looking at more of them
 * again and again than are kept.
 */
#ifndef JS_COLD_H
#define JS_COLD_H

#include <pthread.h>

#include "core/format/seqset.h"
#include "core/stream/slots.h"

struct js_stream;
struct js_block;

struct js_cold {
    bool unread;
    /* guarded by js_recent.making: */
    bool prepared; /* unread: its key and form are known by now */
    bool made;     /* slots were made of it once */
    atomic_bool peeked; /* one record was looked for without them (peek.c); a hint */
    /* unread: its slots, while there is room. Set once (by readers, with js_recent.mu); they go under
     * the stream's lock for writing only, so that readers need no reference */
    _Atomic(struct js_slots *) kept;
    _Atomic(struct js_slots *) bare; /* the same, and bare */
    js_seq_t first, upto; /* first > upto: nothing lives */
    js_seq_t first_live, last_live; /* exact for dropped ones; 0 = none or not known */
    struct js_seqset deleted; /* within first..upto; may hold more */
};

static inline bool js_cold_lives(const struct js_cold *cold, js_seq_t seq) {
    return seq >= cold->first && seq <= cold->upto &&
           (cold->deleted.members == 0 || !js_seqset_has(&cold->deleted, seq));
}

#define JS_RECENT_SLOTS 8

/* The slots made last; its own lock, taken with the stream's lock held. */
struct js_recent {
    pthread_mutex_t mu;
    pthread_mutex_t making; /* taken before mu: slots are made by one at a time */
    struct js_recent_entry {
        struct js_slots *slots; /* NULL: free */
        uint32_t number, version;
        uint64_t removals;
        uint64_t used;
    } entries[JS_RECENT_SLOTS];
    /* guarded by making: scratch of js_make_slots */
    uint32_t *tails;
    size_t num_tails;
    uint64_t clock;
    unsigned made_again; /* how often slots of unread blocks were made that had been made before */
    uint64_t kept_memory; /* of the slots that unread blocks keep */
};

void js_recent_init(struct js_recent *recent);
void js_recent_done(struct js_recent *recent, const struct js_env *env);
/* Forgets them all. */
void js_recent_clear(struct js_recent *recent, const struct js_env *env);

/*
 * Makes slots of a cold block from its bytes, each record verified; the block is in the cache then. One
 * reference. CORRUPT: it is not what is known of it. recent.making held.
 */
int js_make_slots(struct js_stream *stream, struct js_block *block, bool bare,
                  struct js_slots **ret_slots);

/*
 * Where a search stands: a block with its slots, held until js_place_done() or the next move. Zero
 * it before the first use. Only valid while the stream's lock is held.
 */
struct js_place {
    struct js_block *block;
    const struct js_slots *slots;
    uint32_t slot;
    bool bare;    /* set by who needs no subject ids: the slots may be bare */
    bool peek;    /* set by who may do without slots that would have to be made */
    size_t index; /* of the block */
    uint32_t expected; /* so many messages of the block are likely to be asked for; 0 = who knows */
    struct js_slots *held;
};

/* Moves to a block (slot 0). 0; JS_NEED_SCAN: index.db was wrong about it, scan the stream; NOMEM,
 * IO, STALE (not the bytes that were there). */
int js_place_at(struct js_stream *stream, struct js_place *place, size_t index);
void js_place_done(struct js_stream *stream, struct js_place *place);
#define JS_NEED_SCAN 2
#define JS_MAY_PEEK  3 /* nobody has looked into the block yet, and place->peek is set */

/* First and last live sequence of a block that was read; 0 and 0 if there is none. */
void js_block_live_range(const struct js_block *block, js_seq_t *ret_first, js_seq_t *ret_last);
/* Takes a message of a cold block out of all sums (nothing happens if it is not there); lock held for
 * writing. As js_place_at. */
int js_cold_remove(struct js_stream *stream, size_t index, js_seq_t seq);
/* Puts the slots of a cold block back into memory for good; lock held for writing. */
int js_block_warm(struct js_stream *stream, size_t index);
/* Brings the stream's slots_memory up to date after a block's slots grew or were made. */
void js_block_count(struct js_stream *stream, struct js_block *block);
/* Drops slots of the oldest blocks until the budget holds; lock held for writing. Running out of
 * memory drops nothing (and is no error: it is only kept). */
void js_stream_trim(struct js_stream *stream);
void js_cold_free(struct js_cold *cold, const struct js_env *env);
/* Lets go of the slots that an unread block keeps; lock held for writing. */
void js_cold_forget(struct js_stream *stream, struct js_cold *cold);

#endif
