/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream/slots.h"

struct js_slots *js_slots_new(const struct js_env *env) {
    struct js_slots *slots = js_calloc(env, 1, sizeof *slots);

    if (slots)
        atomic_init(&slots->refs, 1);
    return slots;
}

void js_slots_unref(struct js_slots *slots, const struct js_env *env) {
    if (!slots || atomic_fetch_sub_explicit(&slots->refs, 1, memory_order_acq_rel) != 1)
        return;
    js_free(env, slots->at);
    js_free(env, slots->sid);
    js_free(env, slots->next);
    js_free(env, slots->seqs);
    js_free(env, slots);
}

static int resize_array(const struct js_env *env, void **array, uint32_t cap, size_t size) {
    void *p = js_realloc_array(env, *array, cap, size);

    if (!p)
        return JS_ERR_NOMEM;
    *array = p;
    return 0;
}

static int resize(struct js_slots *s, const struct js_env *env, uint32_t cap) {
    int r = resize_array(env, (void **)&s->at, cap, sizeof *s->at);

    if (r == 0 && !s->bare)
        r = resize_array(env, (void **)&s->sid, cap, sizeof *s->sid);
    if (r == 0 && !s->bare)
        r = resize_array(env, (void **)&s->next, cap, sizeof *s->next);
    if (r == 0 && s->sparse)
        r = resize_array(env, (void **)&s->seqs, cap, sizeof *s->seqs);
    if (r == 0)
        s->cap = cap;
    return r;
}

static int make_room(struct js_slots *s, const struct js_env *env, uint64_t need) {
    if (need <= s->cap)
        return 0;
    if (need > UINT32_MAX / 2)
        return JS_ERR_NOMEM;
    uint64_t cap = s->cap ? s->cap + s->cap / 2 : 64;
    if (cap < need)
        cap = need;
    return resize(s, env, (uint32_t)cap);
}

int js_slots_reserve(struct js_slots *s, const struct js_env *env, size_t n) {
    uint64_t need = s->count + (uint64_t)n;

    if (need <= s->cap)
        return 0;
    return need > UINT32_MAX / 2 ? JS_ERR_NOMEM : resize(s, env, (uint32_t)need);
}

/* Drops the holes and keeps sequences instead. */
static int make_sparse(struct js_slots *s, const struct js_env *env) {
    js_seq_t *seqs = js_realloc_array(env, NULL, s->cap ? s->cap : 1, sizeof *seqs);
    uint32_t n = 0;

    if (!seqs)
        return JS_ERR_NOMEM;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->at[i].len == 0 && (s->bare || s->sid[i] == JS_NO_ID))
            continue;
        s->at[n] = s->at[i];
        if (!s->bare) {
            s->sid[n] = s->sid[i];
            s->next[n] = s->next[i];
        }
        seqs[n] = s->base + i;
        n++;
    }
    s->seqs = seqs;
    s->count = n;
    s->sparse = true;
    return 0;
}

int js_slots_append(struct js_slots *s, const struct js_env *env, js_seq_t seq,
                    const struct js_slot *value, uint32_t sid, uint32_t *ret_slot) {
    if (s->count == 0 && !s->sparse)
        s->base = seq;
    if (!s->sparse) {
        uint64_t at = seq - s->base;
        /* Holes may cost at most a few times what the messages cost. */
        if (at >= 8ull * s->used + 4096) {
            int r = make_sparse(s, env);
            if (r < 0)
                return r;
        } else {
            int r = make_room(s, env, at + 1);
            if (r < 0)
                return r;
            for (uint32_t i = s->count; i < at; i++) {
                s->at[i] = (struct js_slot){0};
                if (s->bare)
                    continue;
                s->next[i] = 0;
                s->sid[i] = JS_NO_ID;
            }
            s->count = (uint32_t)at;
        }
    }
    int r = make_room(s, env, (uint64_t)s->count + 1);
    if (r < 0)
        return r;
    uint32_t i = s->count++;
    s->at[i] = *value;
    if (!s->bare) {
        s->sid[i] = sid;
        s->next[i] = 0;
    }
    if (s->sparse)
        s->seqs[i] = seq;
    s->used++;
    *ret_slot = i;
    return 0;
}

uint32_t js_slots_lower(const struct js_slots *s, js_seq_t seq) {
    if (!s->sparse) {
        if (s->count == 0 || seq <= s->base)
            return 0;
        return seq - s->base < s->count ? (uint32_t)(seq - s->base) : s->count;
    }
    uint32_t lo = 0, hi = s->count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (s->seqs[mid] < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

uint32_t js_slots_find(const struct js_slots *s, js_seq_t seq) {
    if (!s->sparse)
        return seq >= s->base && seq - s->base < s->count ? (uint32_t)(seq - s->base) : JS_NO_SLOT;
    uint32_t i = js_slots_lower(s, seq);
    return i < s->count && s->seqs[i] == seq ? i : JS_NO_SLOT;
}

void js_slots_trim(struct js_slots *s, const struct js_env *env) {
    /* Shrinking may fail; then the memory is simply kept. */
    if (s->count && s->cap > s->count)
        (void)resize(s, env, s->count);
}

uint64_t js_slots_memory(const struct js_slots *s) {
    return sizeof *s +
           (uint64_t)s->cap * (sizeof *s->at + (s->bare ? 0 : 4 + 4) + (s->sparse ? 8 : 0));
}
