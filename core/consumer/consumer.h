/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open consumer. One object a consumer, listed by its stream; handles are references.
 *
 * Locks, in the order in which they are taken: the stream's retire_mu (removal of what was
 * acknowledged, streams with retention by interest or as work queue), the list's consumers_mu, a
 * consumer's mu, the stream's lock. Files are written without mu: `writing` keeps writers apart,
 * waiters wait for idle.
 */
#ifndef JS_CONSUMER_H
#define JS_CONSUMER_H

#include "core/consumer/load.h"
#include "core/consumer/window.h"

#define JS_STATE_INTERVAL INT64_C(100000000) /* at most one write of a state in so many ns */
#define JS_STATE_RETRY    INT64_C(1000000000)

/* What delivers (deliver.c, due.c, pending.c). */
struct js_dispatch {
    js_seq_t next;   /* where to look for the next new message */
    js_seq_t *lasts; /* last per subject: what is delivered first, ascending */
    size_t num_lasts, at_last;
    js_seq_t resume; /* behind lasts, everything from here on */
    js_seq_t *due;   /* ring: messages to be delivered again, in the order they became due */
    size_t due_head, due_count, due_cap;
    js_time_t paused_until;    /* wall clock; 0 = not paused */
    js_time_t check_at;        /* no ack wait ends earlier; 0 = none runs */
    uint64_t pending;          /* matching messages from next on ... */
    js_seq_t counted;          /* ... up to here */
    uint64_t removals, logged; /* the stream's counters when that was counted */
    uint32_t generation;
    bool known;     /* it was counted */
    bool lost_some; /* messages were removed otherwise than by being acknowledged */
    js_seq_t seen;  /* the stream's last sequence, as seen last */
};

struct js_consumer {
    const struct js_env *env;
    struct js_stream *stream; /* every handle holds a reference */
    struct js_consumer *next; /* of the list */
    bool unlisted;            /* it was on the list once; both with consumers_mu */
    atomic_uint refs;
    char *name;
    int dirfd;
    struct js_block_key *key; /* in the stream's vault; NULL: plain */
    bool encrypted;
    pthread_mutex_t mu;
    pthread_cond_t idle;
    /* guarded by mu: */
    struct js_window w;
    struct js_consumer_config config;
    struct js_buf config_text; /* with its NUL */
    struct js_dispatch d;
    bool closed;
    bool writing;
    bool has_file;      /* o.dat is there */
    bool file_synced;   /* its bytes are on disk */
    bool has_prev;      /* so is o.dat.prev */
    uint64_t changes;   /* grows with every change; */
    uint64_t written;   /* the state at this one is in o.dat, */
    uint64_t synced;    /* at this one for sure */
    js_time_t write_at; /* wall clock: not before */

    pthread_mutex_t ready_mu;
    js_ready_fn ready; /* guarded by ready_mu */
    void *ready_ctx;
};

/* ---- open.c ---------------------------------------------------------------------------------- */

/* An open consumer with a reference for the caller, or NULL. */
struct js_consumer *js_consumer_find(struct js_stream *stream, const char *name);
/* Gives back a reference of js_consumer_find (not one of a handle). */
void js_consumer_put(struct js_consumer *c);
/* Opens (or finds) with a reference of that kind. */
int js_consumer_bring_in(struct js_stream *stream, const char *name, struct js_consumer **ret);
/* Takes it off the stream's list. */
void js_consumer_unlist(struct js_consumer *c);
/* Locks mu; STORE_CLOSED (not locked) when it was stopped. */
int js_consumer_lock(struct js_consumer *c);
/* Calls fn for every open consumer, with no lock held; more than once when the list changes. */
void js_consumers_each(struct js_stream *stream, void (*fn)(void *ctx, struct js_consumer *c),
                       void *ctx);
/* Stops all of a stream's consumers (it closes). First error. */
int js_consumers_stop(struct js_stream *stream);
void js_consumer_tell_ready(struct js_consumer *c);

/* ---- state_file.c: mu held
 * ----------------------------------------------------------------------- */

struct js_window_rules js_consumer_rules(const struct js_consumer *c);
/* Something changed: it is written in time. */
void js_consumer_changed(struct js_consumer *c);
/* Puts what changed so far into o.dat (on disk, if asked for), waiting for a writer that runs. mu
 * is let go of meanwhile. */
int js_consumer_write(struct js_consumer *c, bool on_disk);
/* The same, on disk if the mode asks for that when a call returns; else nothing. */
int js_consumer_make_durable(struct js_consumer *c);
/* A consumer of another stream as it is, with all that only servers make: push consumers, the time
 * when it was created. */
int js_stream_copy_consumer(struct js_stream *stream, const char *name, const char *config_json);
/* Writes meta.inf and meta.sum of a consumer into its directory; text without NUL. key NULL: plain.
 */
int js_consumer_write_meta(struct js_stream *stream, int dirfd, const char *name,
                           const struct js_block_key *key, const uint8_t *text, size_t len);

/* ---- deliver.c ---------------------------------------------------------------------------------
 */

/* Sets up delivery for the state there is (mu held or not shared yet). */
int js_dispatch_begin(struct js_consumer *c);
void js_dispatch_done(struct js_consumer *c);
/* mu held: pending messages that are not there any more are pending no more. */
int js_dispatch_drop_gone(struct js_consumer *c);
/* Where a consumer that has delivered nothing begins: the sequence before it. */
int js_consumer_first(struct js_stream *stream, const struct js_consumer_config *config,
                      js_seq_t *ret_before);
/* Its filters, borrowed. */
struct js_filter js_consumer_filter(const struct js_consumer_config *config);

/* ---- pending.c: mu held
 * -------------------------------------------------------------------------- */

/* Brings d.pending up to date. */
int js_dispatch_count(struct js_consumer *c);
/* A new message is about to be delivered: one less. */
void js_dispatch_took(struct js_consumer *c, js_seq_t seq);

/* ---- due.c -------------------------------------------------------------------------------------
 */

/* How long a message may be out that was redelivered so often. */
js_time_t js_consumer_wait(const struct js_consumer_config *config, uint64_t redelivered);
/* When the ack wait of an entry, or one that begins then, is over. */
js_time_t js_consumer_end(const struct js_consumer *c, js_time_t begin, uint64_t redelivered);
/* mu held: puts an entry into the queue of those that are delivered again. NOMEM. */
int js_dispatch_push(struct js_consumer *c, size_t entry);
/* mu held: an ack wait that ends then was begun. */
void js_dispatch_expect(struct js_consumer *c, js_time_t end);
/* mu held: moves what is over into the queue. *ret_some (may be NULL): there was something. */
int js_dispatch_expire(struct js_consumer *c, js_time_t now, bool *ret_some);
/* When one of a stream's consumers wants js_consumers_run; 0 = none. */
js_time_t js_consumers_deadline(struct js_stream *stream);
int js_consumers_run(struct js_stream *stream, js_time_t now);

/* ---- retire.c
 * ------------------------------------------------------------------------------------ */

/* True if acknowledged messages leave this stream. */
bool js_stream_retires(struct js_stream *stream);
/* Removes messages that this consumer is done with, if no other one needs them. retire_mu held.
 * *ret_kept: some are needed. */
int js_consumer_retire(struct js_consumer *c, const js_seq_t *seqs, size_t n, bool *ret_kept);
/* A consumer of a stream with retention by interest is gone: removes what only it wanted. retire_mu
 * held. */
int js_stream_retire_unwanted(struct js_stream *stream, const struct js_consumer_config *config);

#endif
