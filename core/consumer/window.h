/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer's state in memory: what was delivered, how far everything is acknowledged, what is
 * pending between, and how often what was delivered again.
 *
 * Deliveries come in ascending stream sequence, so the pending ones are an array that grows at its
 * end: entries head..tail-1 ascend, acknowledged ones are dead and stay until the array is packed.
 * A sequence is found by where it would be if none were missing, and by halving if some are. The
 * first entry is alive. Counts of messages that are not pending (delivered too often) are a small
 * sorted list.
 */
#ifndef JS_WINDOW_H
#define JS_WINDOW_H

#include "core/base/buf.h"
#include "core/jetstore.h"

#define JS_NO_ENTRY SIZE_MAX

enum js_entry_flags {
    JS_ENTRY_LIVE = 1,
    JS_ENTRY_DUE = 2,    /* its ack wait is over (or it was refused): it comes again */
    JS_ENTRY_UNSEEN = 4, /* the delivery that was taken back does not count */
};

struct js_entry {
    js_seq_t seq;
    uint64_t dseq; /* the consumer's number of the first delivery */
    js_time_t time;
    uint32_t redelivered;
    uint32_t flags;
};

struct js_window {
    const struct js_env *env;
    uint64_t delivered_consumer, delivered_stream;
    uint64_t floor_consumer, floor_stream;
    struct js_entry *entries;
    size_t head, tail, cap;
    size_t live;
    size_t counted;                         /* live ones with redelivered > 0 */
    struct js_consumer_redelivered *others; /* ascending */
    size_t num_others, cap_others;
};

/* What of the configuration the rules depend on. */
struct js_window_rules {
    char ack_policy;     /* as in js_consumer_config */
    int64_t max_deliver; /* <= 0: no limit */
};

void js_window_done(struct js_window *w);
/* Everything zero. Keeps memory. */
void js_window_clear(struct js_window *w);
/* Takes over what a state says; the state stays the caller's. NOMEM: the window is as it was. */
int js_window_set(struct js_window *w, const struct js_consumer_state *state);
/* The same, and the memory of the pending ones becomes the window's. */
int js_window_take(struct js_window *w, struct js_consumer_state *state);
/* INVAL if floor and pending do not lie as they must. */
int js_window_check(const struct js_consumer_state *state);
int js_window_copy(const struct js_window *w, struct js_consumer_state *ret_state);
/* The bytes of o.dat, appended to out. NOMEM. */
int js_window_encode(const struct js_window *w, js_time_t now, struct js_buf *out);

/* Index of a pending sequence, or JS_NO_ENTRY. */
size_t js_window_find(const struct js_window *w, js_seq_t seq);
/* Index of the first live entry with sequence >= seq, or JS_NO_ENTRY. */
size_t js_window_from(const struct js_window *w, js_seq_t seq);
/* The next live one after an index. */
size_t js_window_after(const struct js_window *w, size_t i);
/* How often a message was delivered beyond the first time. */
uint64_t js_window_redelivered(const struct js_window *w, js_seq_t seq);
/* The consumer's number of an entry, above the floor whatever a file says (version 1 has none). */
static inline uint64_t js_window_dseq(const struct js_window *w, const struct js_entry *e) {
    return e->dseq > w->floor_consumer ? e->dseq : w->floor_consumer + 1;
}
/* Room for n more entries, so that as many js_window_deliver cannot fail. */
int js_window_reserve(struct js_window *w, size_t n);

/* The rules of the store (UpdateDelivered, UpdateAcks ...). *ret_changed says whether anything did.
 */
int js_window_deliver(struct js_window *w, const struct js_window_rules *rules, uint64_t dseq,
                      js_seq_t seq, uint64_t count, js_time_t time);
int js_window_ack(struct js_window *w, const struct js_window_rules *rules, uint64_t dseq,
                  js_seq_t seq, bool *ret_changed);
bool js_window_forget_counts_below(struct js_window *w, js_seq_t seq);
/* Takes out what lies past the end of the stream. True if there was something. */
bool js_window_cut(struct js_window *w, js_seq_t last);

#endif
