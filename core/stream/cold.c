/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream/stream.h"

void js_recent_init(struct js_recent *recent) {
    *recent = (struct js_recent){0};
    pthread_mutex_init(&recent->mu, NULL);
    pthread_mutex_init(&recent->making, NULL);
}

void js_recent_clear(struct js_recent *recent, const struct js_env *env) {
    pthread_mutex_lock(&recent->mu);
    for (size_t i = 0; i < JS_RECENT_SLOTS; i++) {
        js_slots_unref(recent->entries[i].slots, env);
        recent->entries[i] = (struct js_recent_entry){0};
    }
    recent->made_again = 0;
    pthread_mutex_unlock(&recent->mu);
}

void js_recent_done(struct js_recent *recent, const struct js_env *env) {
    js_recent_clear(recent, env);
    js_free(env, recent->tails);
    pthread_mutex_destroy(&recent->mu);
    pthread_mutex_destroy(&recent->making);
}

void js_cold_free(struct js_cold *cold, const struct js_env *env) {
    if (!cold)
        return;
    js_seqset_done(&cold->deleted);
    js_slots_unref(atomic_load_explicit(&cold->kept, memory_order_relaxed), env);
    js_slots_unref(atomic_load_explicit(&cold->bare, memory_order_relaxed), env);
    js_free(env, cold);
}

static void forget(struct js_stream *s, _Atomic(struct js_slots *) *kept) {
    struct js_slots *slots = atomic_load_explicit(kept, memory_order_relaxed);

    if (!slots)
        return;
    uint64_t size = js_slots_memory(slots), all = s->recent.kept_memory;
    atomic_store_explicit(kept, NULL, memory_order_relaxed);
    s->recent.kept_memory = all > size ? all - size : 0;
    js_slots_unref(slots, s->env);
}

void js_cold_forget(struct js_stream *s, struct js_cold *cold) {
    forget(s, &cold->kept);
    forget(s, &cold->bare);
}

/* ---- the last few ---------------------------------------------------------------------------- */

static struct js_slots *find_recent(struct js_recent *recent, const struct js_block *b) {
    for (size_t i = 0; i < JS_RECENT_SLOTS; i++) {
        struct js_recent_entry *e = &recent->entries[i];
        if (e->slots && e->number == b->number && e->version == b->version &&
            e->removals == b->removals) {
            e->used = ++recent->clock;
            atomic_fetch_add_explicit(&e->slots->refs, 1, memory_order_relaxed);
            return e->slots;
        }
    }
    return NULL;
}

static void keep_recent(struct js_recent *recent, const struct js_env *env,
                        const struct js_block *b, struct js_slots *slots) {
    struct js_recent_entry *oldest = &recent->entries[0];

    for (size_t i = 1; i < JS_RECENT_SLOTS; i++)
        if (recent->entries[i].used < oldest->used)
            oldest = &recent->entries[i];
    js_slots_unref(oldest->slots, env);
    atomic_fetch_add_explicit(&slots->refs, 1, memory_order_relaxed);
    *oldest = (struct js_recent_entry){.slots = slots,
                                       .number = b->number,
                                       .version = b->version,
                                       .removals = b->removals,
                                       .used = ++recent->clock};
}

static bool has_room(const struct js_stream *s, uint64_t size) {
    return s->slots_memory + s->recent.kept_memory + size <= s->index_budget;
}

/* Keeps slots that were made: with their unread block if there is room, else among the last few. */
static void keep_slots(struct js_stream *s, struct js_block *b, struct js_slots *slots) {
    uint64_t size = js_slots_memory(slots);

    pthread_mutex_lock(&s->recent.mu);
    if (!b->cold->unread || !has_room(s, size)) {
        keep_recent(&s->recent, s->env, b, slots);
    } else {
        atomic_fetch_add_explicit(&slots->refs, 1, memory_order_relaxed);
        atomic_store_explicit(&b->cold->kept, slots, memory_order_release);
        s->recent.kept_memory += size;
    }
    pthread_mutex_unlock(&s->recent.mu);
}

static struct js_slots *find_slots(struct js_stream *s, struct js_block *b) {
    pthread_mutex_lock(&s->recent.mu);
    struct js_slots *slots = atomic_load_explicit(&b->cold->kept, memory_order_relaxed);
    if (slots)
        atomic_fetch_add_explicit(&slots->refs, 1, memory_order_relaxed);
    else
        slots = find_recent(&s->recent, b);
    pthread_mutex_unlock(&s->recent.mu);
    return slots;
}

/* One reference. Two readers make the same slots once; others go on meanwhile. */
static int get_slots(struct js_stream *s, struct js_block *b, struct js_slots **ret) {
    int r = 0;

    *ret = find_slots(s, b);
    if (*ret)
        return 0;
    pthread_mutex_lock(&s->recent.making);
    *ret = find_slots(s, b);
    if (!*ret && b->cold->unread && b->cold->made && s->recent.made_again++ >= JS_RECENT_SLOTS) {
        r = JS_ERR_CORRUPT;
    } else if (!*ret) {
        b->cold->made = true;
        r = js_make_slots(s, b, false, ret);
        if (r == 0)
            keep_slots(s, b, *ret);
    }
    pthread_mutex_unlock(&s->recent.making);
    if (r == JS_ERR_CORRUPT)
        return b->cold->unread ? JS_NEED_SCAN : JS_ERR_STALE;
    return r;
}

/* Bare slots of an unread block, which keeps them. 1: done. 0: it has others, or there is no room.
 */
static int get_bare(struct js_stream *s, struct js_block *b, const struct js_slots **ret) {
    struct js_cold *cold = b->cold;
    struct js_slots *slots;
    int r = 0;

    *ret = atomic_load_explicit(&cold->bare, memory_order_acquire);
    if (*ret || !cold->unread)
        return *ret != NULL;
    pthread_mutex_lock(&s->recent.making);
    pthread_mutex_lock(&s->recent.mu);
    *ret = atomic_load_explicit(&cold->bare, memory_order_relaxed);
    bool make = !*ret && !cold->made && has_room(s, b->msgs * sizeof(struct js_slot));
    pthread_mutex_unlock(&s->recent.mu);
    if (make) {
        if (atomic_load_explicit(&cold->peeked, memory_order_relaxed))
            atomic_fetch_add_explicit(&s->peek.in_vain, 1, memory_order_relaxed);
        r = js_make_slots(s, b, true, &slots);
        if (r == 0) {
            pthread_mutex_lock(&s->recent.mu);
            atomic_store_explicit(&cold->bare, slots, memory_order_release);
            s->recent.kept_memory += js_slots_memory(slots);
            pthread_mutex_unlock(&s->recent.mu);
            *ret = slots;
        }
    }
    pthread_mutex_unlock(&s->recent.making);
    if (r == JS_ERR_CORRUPT)
        return JS_NEED_SCAN;
    return r < 0 ? r : *ret != NULL;
}

void js_place_done(struct js_stream *s, struct js_place *place) {
    if (place->held)
        js_slots_unref(place->held, s->env);
    place->held = NULL;
    place->block = NULL;
    place->slots = NULL;
}

int js_place_at(struct js_stream *s, struct js_place *place, size_t index) {
    struct js_block *b = s->blocks[index];

    place->slot = 0;
    if (place->block == b)
        return 0;
    if (place->held)
        js_place_done(s, place);
    const struct js_slots *slots = b->slots;
    /* What a block keeps goes only under the lock for writing. */
    if (!slots)
        slots = atomic_load_explicit(&b->cold->kept, memory_order_acquire);
    int r = 0;
    if (!slots && place->bare && place->peek && js_may_peek(s, b))
        r = JS_MAY_PEEK;
    else if (!slots && place->bare)
        r = get_bare(s, b, &slots);
    if (!slots && r == 0) {
        r = get_slots(s, b, &place->held);
        slots = place->held;
    }
    if (!slots) {
        place->block = NULL;
        return r;
    }
    place->block = b;
    place->index = index;
    place->slots = slots;
    return 0;
}

void js_block_live_range(const struct js_block *b, js_seq_t *ret_first, js_seq_t *ret_last) {
    *ret_first = *ret_last = 0;
    if (b->msgs == 0)
        return;
    if (b->cold) {
        *ret_first = b->cold->first_live;
        *ret_last = b->cold->last_live;
        return;
    }
    const struct js_slots *sl = b->slots;
    uint32_t k = 0, z = sl->count;
    while (!js_slot_live(sl, k))
        k++;
    while (!js_slot_live(sl, z - 1))
        z--;
    *ret_first = js_slot_seq(sl, k);
    *ret_last = js_slot_seq(sl, z - 1);
}

/* First and last of a dropped block, after a removal. */
static void settle_ends(struct js_cold *c) {
    while (c->first_live <= c->last_live && js_seqset_has(&c->deleted, c->first_live))
        c->first_live++;
    while (c->first_live <= c->last_live && js_seqset_has(&c->deleted, c->last_live))
        c->last_live--;
}

int js_cold_remove(struct js_stream *s, size_t index, js_seq_t seq) {
    struct js_block *b = s->blocks[index];
    struct js_place at = {0};
    uint32_t hdr, payload;

    if (!js_cold_lives(b->cold, seq))
        return 0;
    int r = js_place_at(s, &at, index);
    if (r != 0)
        return r;
    at.slot = js_slots_find(at.slots, seq);
    if (at.slot != JS_NO_SLOT && at.slots->at[at.slot].len != 0)
        r = js_stream_slot_sizes(s, &at, &hdr, &payload);
    else
        at.slot = JS_NO_SLOT;
    if (r == 0 && at.slot != JS_NO_SLOT)
        r = js_seqset_add(&b->cold->deleted, seq);
    if (r > 0) {
        struct js_subject_line *line = &s->subjects.lines[at.slots->sid[at.slot]];
        uint32_t len = at.slots->at[at.slot].len;
        if (--line->count == 0)
            s->subjects.live--;
        atomic_store_explicit(&s->stale_firsts, true, memory_order_relaxed);
        atomic_store_explicit(&s->stale_lasts, true, memory_order_relaxed);
        struct js_slots *kept = atomic_load_explicit(&b->cold->kept, memory_order_relaxed);
        if (kept) /* others of the last few are found no more by the new number of removals */
            kept->at[at.slot].len = 0;
        struct js_slots *bare = atomic_load_explicit(&b->cold->bare, memory_order_relaxed);
        uint32_t bare_slot = bare ? js_slots_find(bare, seq) : JS_NO_SLOT;
        if (bare_slot != JS_NO_SLOT)
            bare->at[bare_slot].len = 0;
        b->msgs--;
        b->bytes -= len;
        b->removals++;
        s->msgs--;
        s->bytes -= len;
        if (!b->cold->unread) {
            b->payload_bytes -= payload;
            b->hdr_bytes -= hdr;
            b->subject_bytes -= line->len;
            settle_ends(b->cold);
        }
        r = 0;
    }
    js_place_done(s, &at);
    return r;
}

/* ---- dropping and bringing back --------------------------------------------------------------- */

void js_block_count(struct js_stream *s, struct js_block *b) {
    uint64_t now = b->slots ? js_slots_memory(b->slots) : 0;

    s->slots_memory += now - b->counted;
    b->counted = now;
}

int js_block_warm(struct js_stream *s, size_t index) {
    struct js_block *b = s->blocks[index];
    struct js_slots *slots;

    if (b->slots)
        return 0;
    int r = get_slots(s, b, &slots);
    if (r != 0)
        return r;
    /* The copy among the last few must not change with this one. */
    if (atomic_load_explicit(&b->cold->kept, memory_order_relaxed) != slots)
        js_recent_clear(&s->recent, s->env);
    b->slots = slots;
    js_block_count(s, b);
    js_cold_forget(s, b->cold);
    js_cold_free(b->cold, s->env);
    b->cold = NULL;
    if (index < s->trimmed)
        s->trimmed = index;
    return 0;
}

static int drop_slots(struct js_stream *s, struct js_block *b) {
    const struct js_slots *sl = b->slots;
    struct js_cold *cold = js_calloc(s->env, 1, sizeof *cold);
    js_seq_t expect = 0;

    if (!cold)
        return JS_ERR_NOMEM;
    js_seqset_init(&cold->deleted, s->env);
    cold->first = 1;
    for (uint32_t k = 0; k < sl->count; k++) {
        if (!js_slot_live(sl, k))
            continue;
        js_seq_t seq = js_slot_seq(sl, k);
        if (cold->first_live == 0)
            cold->first = cold->first_live = expect = seq;
        for (; expect < seq; expect++) {
            if (js_seqset_add(&cold->deleted, expect) < 0) {
                js_cold_free(cold, s->env);
                return JS_ERR_NOMEM;
            }
        }
        expect = seq + 1;
        cold->upto = cold->last_live = seq;
    }
    js_slots_unref(b->slots, s->env);
    b->slots = NULL;
    b->cold = cold;
    js_block_count(s, b);
    return 0;
}

void js_stream_trim(struct js_stream *s) {
    /* The newest block is appended to, the one before is what followers still read. */
    for (size_t i = s->trimmed; s->slots_memory > s->index_budget && i + 2 < s->num_blocks; i++) {
        struct js_block *b = s->blocks[i];
        uint64_t span = b->slots && b->slots->count
                            ? js_slot_seq(b->slots, b->slots->count - 1) - js_slot_seq(b->slots, 0)
                            : 0;
        s->trimmed = i + 1;
        /* What damage left cannot be told from the bytes alone. Thin blocks stay: the set of what
         * is missing would cost more. */
        if (!b->slots || b->odd || span / 16 > b->slots->count)
            continue;
        if (drop_slots(s, b) < 0)
            return;
    }
}
