/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the index knows of each message of a block: where its record stands and how it is split (12
 * bytes that lie together, because whoever reads a record needs them all), subject id, and the
 * distance to the next message of the same subject: 20 bytes a message.
 *
 * Dense: slot i is sequence base + i; holes (deleted) have len 0. When sequences are so thin that
 * holes would cost more than the messages, the slots are kept sparse: only what was there, with a
 * sorted array of sequences. A removed message keeps its slot (len 0) and its next, so that chains
 * pass over it.
 *
 * A chain may have gaps: next 0 on a message that is not its subject's newest means that nobody has
 * looked yet (blocks were out of memory when it was built), and a search finds the way.
 *
 * Bare slots have neither subject ids nor chains: they lead from a sequence to its bytes, and no
 * subject has to be looked up to make them.
 */
#ifndef JS_SLOTS_H
#define JS_SLOTS_H

#include <stdatomic.h>

#include "core/base/mem.h"

#define JS_LEN_DAMAGED UINT32_MAX /* known to be there, not readable; off is the damaged stretch */
#define JS_NEXT_FAR UINT32_MAX    /* the distance does not fit: search */
#define JS_HLEN_FAR UINT16_MAX    /* the header's length does not fit: look at the record */
#define JS_OFF_GONE UINT32_MAX    /* its record is gone, and it is about to leave */
#define JS_NO_SLOT UINT32_MAX

struct js_slot {
    uint32_t off;  /* in the decoded block */
    uint32_t len;  /* record length; 0 = not live; JS_LEN_DAMAGED */
    uint16_t hlen; /* header length, JS_HLEN_FAR = look at the record */
    uint16_t slen; /* subject length */
};

struct js_slots {
    atomic_uint refs; /* of slots made for a moment (core/stream/cold.h); residents have one */
    js_seq_t base; /* dense: sequence of slot 0 */
    uint32_t count, cap;
    bool sparse;
    bool bare;
    struct js_slot *at;
    uint32_t *sid; /* subject id; JS_NO_ID for damaged ones; bare: NULL */
    uint32_t *next; /* distance to the next of the subject; 0 = none (yet); bare: NULL */
    js_seq_t *seqs; /* sparse only */
    uint32_t used;  /* slots that ever held a message */
};

/* Empty slots with one reference, or NULL. */
struct js_slots *js_slots_new(const struct js_env *env);
/* Gives back a reference; the last frees. NULL is fine. */
void js_slots_unref(struct js_slots *slots, const struct js_env *env);
/* Makes room for n more at once, so that a scan does not grow the arrays step by step. */
int js_slots_reserve(struct js_slots *slots, const struct js_env *env, size_t n);
/* Appends a sequence above all present. NOMEM. */
int js_slots_append(struct js_slots *slots, const struct js_env *env, js_seq_t seq,
                    const struct js_slot *value, uint32_t sid, uint32_t *ret_slot);
/* The slot of a sequence (live or removed), or JS_NO_SLOT. */
uint32_t js_slots_find(const struct js_slots *slots, js_seq_t seq);
/* First slot whose sequence is >= seq; count if none. */
uint32_t js_slots_lower(const struct js_slots *slots, js_seq_t seq);

static inline js_seq_t js_slot_seq(const struct js_slots *slots, uint32_t slot) {
    return slots->sparse ? slots->seqs[slot] : slots->base + slot;
}

static inline bool js_slot_live(const struct js_slots *slots, uint32_t slot) {
    uint32_t len = slots->at[slot].len;
    return len != 0 && len != JS_LEN_DAMAGED;
}

/* Gives back memory that growing took too much of (a sealed block). */
void js_slots_trim(struct js_slots *slots, const struct js_env *env);
uint64_t js_slots_memory(const struct js_slots *slots);

#endif
