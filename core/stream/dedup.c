/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The duplicate window: ids of messages stored within the last duplicate_window, in a hash table
 * and, by age, in a ring. Made from the messages themselves when it is first needed after opening;
 * only those young enough, and with headers, are read.
 */
#include "core/stream/rules.h"

#define MAX_IDS (1u << 22) /* above that the oldest are forgotten early */

struct entry {
    char *id;
    uint32_t len;
    uint32_t hash;
    js_seq_t seq;
    js_time_t time;
};

struct js_dedup {
    struct entry *ring;  /* capacity a power of two */
    uint64_t head, tail; /* numbers of entries: oldest, one past the newest */
    uint64_t cap;
    uint32_t *table; /* ring place + 1 */
    uint32_t mask;
};

static uint32_t hash_id(const char *id, size_t len) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)id[i]) * UINT64_C(0x100000001b3);
    return (uint32_t)(h ^ h >> 29);
}

static struct entry *at(struct js_dedup *d, uint64_t n) {
    return &d->ring[n & (d->cap - 1)];
}

static void table_put(struct js_dedup *d, uint64_t n) {
    uint32_t i = at(d, n)->hash & d->mask;

    while (d->table[i])
        i = (i + 1) & d->mask;
    d->table[i] = (uint32_t)(n & (d->cap - 1)) + 1;
}

static uint32_t *table_find(struct js_dedup *d, const char *id, size_t len, uint32_t hash) {
    for (uint32_t i = hash & d->mask; d->table[i]; i = (i + 1) & d->mask) {
        const struct entry *e = &d->ring[d->table[i] - 1];
        if (e->hash == hash && e->len == len && memcmp(e->id, id, len) == 0)
            return &d->table[i];
    }
    return NULL;
}

/* Backward-shift removal keeps probe sequences whole. */
static void table_remove(struct js_dedup *d, uint32_t i) {
    uint32_t hole = i;

    for (uint32_t k = (i + 1) & d->mask; d->table[k]; k = (k + 1) & d->mask) {
        uint32_t want = d->ring[d->table[k] - 1].hash & d->mask;
        if (((k - want) & d->mask) >= ((k - hole) & d->mask)) {
            d->table[hole] = d->table[k];
            hole = k;
        }
    }
    d->table[hole] = 0;
}

static void drop_oldest(struct js_stream *s, struct js_dedup *d) {
    struct entry *e = at(d, d->head);
    uint32_t place = (uint32_t)(d->head & (d->cap - 1)) + 1;

    for (uint32_t i = e->hash & d->mask; d->table[i]; i = (i + 1) & d->mask) {
        if (d->table[i] == place) {
            table_remove(d, i);
            break;
        }
    }
    js_free(s->env, e->id);
    e->id = NULL;
    d->head++;
}

static int grow(struct js_stream *s, struct js_dedup *d) {
    uint64_t cap = d->cap ? d->cap * 2 : 256, n = d->tail - d->head;
    struct entry *ring = js_realloc_array(s->env, NULL, cap, sizeof *ring);
    uint32_t *table = js_calloc(s->env, cap * 2, sizeof *table);

    if (!ring || !table) {
        js_free(s->env, ring);
        js_free(s->env, table);
        return JS_ERR_NOMEM;
    }
    for (uint64_t i = 0; i < n; i++)
        ring[i] = *at(d, d->head + i);
    js_free(s->env, d->ring);
    js_free(s->env, d->table);
    d->ring = ring;
    d->table = table;
    d->cap = cap;
    d->mask = (uint32_t)(cap * 2 - 1);
    d->head = 0;
    d->tail = n;
    for (uint64_t i = 0; i < n; i++)
        table_put(d, i);
    return 0;
}

static int add(struct js_stream *s, struct js_dedup *d, const char *id, size_t len, js_seq_t seq,
               js_time_t time) {
    if (d->tail - d->head == d->cap) {
        if (d->cap >= MAX_IDS) {
            drop_oldest(s, d);
        } else {
            int r = grow(s, d);
            if (r < 0)
                return r;
        }
    }
    struct entry *e = at(d, d->tail);
    e->id = js_malloc(s->env, len ? len : 1);
    if (!e->id)
        return JS_ERR_NOMEM;
    memcpy(e->id, id, len);
    e->len = (uint32_t)len;
    e->hash = hash_id(id, len);
    e->seq = seq;
    e->time = time;
    table_put(d, d->tail++);
    return 0;
}

/* Ids of one block's messages that are young enough. */
static int load_block(struct js_stream *s, struct js_dedup *d, size_t index, js_time_t oldest) {
    struct js_place place = {0};
    int r = js_place_at(s, &place, index);

    for (uint32_t k = 0; r == 0 && k < place.slots->count; k++) {
        struct js_msg msg;
        const char *id;
        size_t len;
        if (!js_slot_live(place.slots, k) || place.slots->at[k].hlen == 0)
            continue;
        place.slot = k;
        int e = js_stream_slot_msg(s, &place, true, &msg);
        if (e == JS_ERR_BAD_MSG)
            continue;
        if (e < 0) {
            r = e;
            break;
        }
        if (msg.time >= oldest && js_hdr_get(msg.hdr, msg.hdr_len, "Nats-Msg-Id", &id, &len) &&
            len && !(d->cap && table_find(d, id, len, hash_id(id, len))))
            r = add(s, d, id, len, msg.seq, msg.time);
        js_msg_release(&msg);
    }
    js_place_done(s, &place);
    return r == JS_NEED_SCAN ? JS_ERR_STALE : r;
}

static int load_once(struct js_stream *s, js_time_t now, struct js_dedup **ret) {
    js_time_t oldest = now - s->config.duplicate_window;
    size_t i = s->num_blocks;
    int r = 0;

    if (s->dedup) {
        *ret = s->dedup;
        return 0;
    }
    struct js_dedup *d = js_calloc(s->env, 1, sizeof *d);
    if (!d)
        return JS_ERR_NOMEM;
    s->dedup = d;
    /* reach_time ascends: blocks before one that is too old are too old. */
    while (i > 0 && s->blocks[i - 1]->reach_time >= oldest)
        i--;
    for (; i < s->num_blocks && r == 0; i++)
        if (s->blocks[i]->msgs && s->blocks[i]->max_time >= oldest)
            r = load_block(s, d, i, oldest);
    if (r < 0) {
        js_dedup_free(s);
        return r;
    }
    *ret = d;
    return 0;
}

static int load(struct js_stream *s, js_time_t now, struct js_dedup **ret) {
    int r = load_once(s, now, ret);

    if (r != JS_ERR_STALE || !s->unread)
        return r;
    /* index.db was wrong about a block. */
    r = js_stream_scan_locked(s);
    return r < 0 ? r : load_once(s, now, ret);
}

static void forget_old(struct js_stream *s, struct js_dedup *d, js_time_t now) {
    js_time_t oldest = now - s->config.duplicate_window;

    while (d->head < d->tail && at(d, d->head)->time < oldest)
        drop_oldest(s, d);
}

int js_dedup_find(struct js_stream *s, const char *id, size_t len, js_time_t now, js_seq_t *ret_seq,
                  js_time_t *ret_time) {
    struct js_dedup *d;
    int r = load(s, now, &d);

    if (r < 0)
        return r;
    forget_old(s, d, now);
    uint32_t *place = d->cap ? table_find(d, id, len, hash_id(id, len)) : NULL;
    if (!place)
        return 0;
    const struct entry *e = &d->ring[*place - 1];
    /* The end of the stream was taken back (a failed write): nothing is there. */
    if (e->seq > s->last_seq) {
        js_dedup_free(s);
        return js_dedup_find(s, id, len, now, ret_seq, ret_time);
    }
    *ret_seq = e->seq;
    *ret_time = e->time;
    return 1;
}

int js_dedup_add(struct js_stream *s, const char *id, size_t len, js_seq_t seq, js_time_t time) {
    struct js_dedup *d;

    /* Who never asked has no table; it is made of the messages when somebody does. */
    if (!s->dedup)
        return 0;
    d = s->dedup;
    forget_old(s, d, time);
    if (d->cap && table_find(d, id, len, hash_id(id, len)))
        return 0;
    return add(s, d, id, len, seq, time);
}

void js_dedup_free(struct js_stream *s) {
    struct js_dedup *d = s->dedup;

    if (!d)
        return;
    for (uint64_t i = d->head; i < d->tail; i++)
        js_free(s->env, at(d, i)->id);
    js_free(s->env, d->ring);
    js_free(s->env, d->table);
    js_free(s->env, d);
    s->dedup = NULL;
}

int js_dedup_last(struct js_stream *s, const char **ret_id, size_t *ret_len) {
    struct js_place place = {0};
    struct js_msg msg;
    const char *id;
    size_t len;
    int r = 0;

    if (!s->last_id_known) {
        s->last_id_len = 0;
        r = s->last_seq ? js_stream_slot_before(s, s->last_seq, false, &place) : 0;
        if (r == 1)
            r = js_stream_slot_msg(s, &place, false, &msg);
        else if (r == 0)
            r = JS_ERR_EOF;
        js_place_done(s, &place);
        if (r < 0 && r != JS_ERR_EOF && r != JS_ERR_BAD_MSG)
            return r;
        if (r == 0) {
            if (js_hdr_get(msg.hdr, msg.hdr_len, "Nats-Msg-Id", &id, &len) &&
                len <= sizeof s->last_id) {
                memcpy(s->last_id, id, len);
                s->last_id_len = len;
            }
            js_msg_release(&msg);
        }
        s->last_id_known = true;
    }
    *ret_id = s->last_id;
    *ret_len = s->last_id_len;
    return 0;
}
