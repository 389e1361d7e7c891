/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interning of subjects: a hash table of slots {hash, id} over an array of lines.
 *
 * A slot carries the 32-bit hash of its name, so a probe reads one group of eight slots (one cache
 * line) and then, as a rule, only the line of the subject looked for. Groups are probed by
 * triangular numbers. Growing the table needs the hashes only and never touches the lines.
 *
 * The hash is seeded. Names made to collide fill groups, and a probe becomes long: when one visits
 * more than run_limit groups, the table is built anew with a random seed. The limit then doubles,
 * so that even names that collide under every seed cost a bounded number of rebuilds.
 *
 * Memory for ten million short names: lines 610 MiB, table 128 MiB, order 38 MiB.
 */
#include "core/stream/subjects.h"

#include "core/base/bytes.h"
#include "core/base/mem.h"

#define GROUP_SLOTS 8u
#define CACHE_LINE  64u
#define MIN_GROUPS  8u
#define RUN_LIMIT   64u
#define ARENA_CHUNK (256u << 10)
#define ARENA_OWN   (16u << 10) /* longer names get a chunk of their own */
#define FIRST_SEED  UINT64_C(0x9e3779b97f4a7c15)

/* Names that do not fit into their line; never moved, freed together. */
struct js_subjects_arena {
    struct js_subjects_arena *next;
    size_t used;
    size_t size;
    char text[];
};

static uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 p = (unsigned __int128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* The seed enters every product, so that no input makes one of them zero for all seeds. */
static uint32_t hash_name(uint64_t seed, const char *name, size_t len) {
    const uint8_t *p = (const uint8_t *)name;
    uint64_t h = seed ^ UINT64_C(0xa0761d6478bd642f);
    uint64_t a = 0, b = 0;
    size_t left = len;

    for (; left > 16; p += 16, left -= 16)
        h = fold(js_get64(p) ^ seed, js_get64(p + 8) ^ h);
    if (left >= 8) {
        a = js_get64(p);
        b = js_get64(p + left - 8);
    } else if (left >= 4) {
        a = js_get32(p);
        b = js_get32(p + left - 4);
    } else if (left > 0) {
        a = (uint64_t)p[0] << 16 | (uint64_t)p[left >> 1] << 8 | p[left - 1];
    }
    h = fold(a ^ seed ^ UINT64_C(0xe7037ed1a0b428db), b ^ h);
    h = fold(h ^ UINT64_C(0x8ebc6af09c88c6e3), (uint64_t)len ^ seed);
    return (uint32_t)(h ^ h >> 32);
}

static uint32_t group_of(const struct js_subjects *s, uint32_t hash) {
    /* The high bits: growing then reads and writes the tables from front to back. */
    return (uint32_t)((uint64_t)hash * s->num_groups >> 32);
}

static char *align_up(void *p) {
    return (char *)(((uintptr_t)p + CACHE_LINE - 1) & ~(uintptr_t)(CACHE_LINE - 1));
}

void js_subjects_init(struct js_subjects *subjects, const struct js_env *env) {
    *subjects = (struct js_subjects){.env = env, .seed = FIRST_SEED, .run_limit = RUN_LIMIT};
}

void js_subjects_done(struct js_subjects *subjects) {
    if (!subjects->env)
        return;
    while (subjects->arena) {
        struct js_subjects_arena *next = subjects->arena->next;
        js_free(subjects->env, subjects->arena);
        subjects->arena = next;
    }
    js_free(subjects->env, subjects->lines_mem);
    js_free(subjects->env, subjects->table_mem);
    js_free(subjects->env, subjects->order);
    js_free(subjects->env, subjects->spans);
    js_subjects_init(subjects, subjects->env);
}

uint64_t js_subjects_memory(const struct js_subjects *subjects) {
    return (uint64_t)subjects->cap * sizeof *subjects->lines +
           (uint64_t)subjects->num_groups * GROUP_SLOTS * sizeof *subjects->table +
           (uint64_t)subjects->ordered * sizeof *subjects->order +
           (uint64_t)subjects->num_spans * sizeof *subjects->spans + subjects->arena_bytes;
}

static bool line_is(const struct js_subject_line *line, const char *name, size_t len) {
    return line->len == len && (len == 0 || memcmp(js_subject_name(line), name, len) == 0);
}

/* The slot that holds the name, or the free one where it belongs (*ret_id JS_NO_ID). NULL when
 * more than run_limit groups would have to be visited. */
static uint64_t *probe(const struct js_subjects *s, uint32_t hash, const char *name, size_t len,
                       uint32_t *ret_id) {
    uint32_t g = group_of(s, hash);

    for (uint32_t step = 1; step <= s->run_limit && step <= s->num_groups; step++) {
        uint64_t *group = s->table + (size_t)g * GROUP_SLOTS;
        for (unsigned i = 0; i < GROUP_SLOTS; i++) {
            if (group[i] == 0) {
                *ret_id = JS_NO_ID;
                return &group[i];
            }
            if (group[i] >> 32 != hash)
                continue;
            uint32_t id = (uint32_t)group[i] - 1;
            if (line_is(&s->lines[id], name, len)) {
                *ret_id = id;
                return &group[i];
            }
        }
        g = (g + step) & (s->num_groups - 1);
    }
    return NULL;
}

/* Puts a slot value into the first free place of its probe sequence; false when that is too far. */
static bool place(struct js_subjects *s, uint64_t value) {
    uint32_t g = group_of(s, (uint32_t)(value >> 32));

    for (uint32_t step = 1; step <= s->run_limit && step <= s->num_groups; step++) {
        uint64_t *group = s->table + (size_t)g * GROUP_SLOTS;
        for (unsigned i = 0; i < GROUP_SLOTS; i++) {
            if (group[i] == 0) {
                group[i] = value;
                return true;
            }
        }
        g = (g + step) & (s->num_groups - 1);
    }
    return false;
}

/* Hashes every name with a new seed. */
static void new_seed(struct js_subjects *s) {
    uint64_t seed;

    /* Without randomness a next seed does as well against names that collide by chance. */
    if (s->env->rand->fill(s->env->rand->ctx, &seed, sizeof seed) < 0)
        seed = fold(s->seed, FIRST_SEED ^ s->count);
    s->seed = seed | 1;
    for (uint32_t id = 0; id < s->count; id++) {
        struct js_subject_line *line = &s->lines[id];
        line->tag = hash_name(s->seed, js_subject_name(line), line->len);
    }
}

/* Builds the table with num_groups groups; with a new seed too if asked or if places run out. */
static int rebuild(struct js_subjects *s, uint32_t num_groups, bool reseed) {
    size_t size = (size_t)num_groups * GROUP_SLOTS * sizeof *s->table;
    void *mem = js_malloc(s->env, size + CACHE_LINE);

    if (!mem)
        return JS_ERR_NOMEM;
    const uint64_t *old = s->table;
    void *old_mem = s->table_mem;
    size_t old_slots = (size_t)s->num_groups * GROUP_SLOTS;

    s->table_mem = mem;
    s->table = (uint64_t *)(void *)align_up(mem);
    s->num_groups = num_groups;
    for (bool placed = false; !placed; reseed = true) {
        placed = true;
        memset(s->table, 0, size);
        if (reseed) {
            s->run_limit = s->run_limit < UINT32_MAX / 2 ? s->run_limit * 2 : UINT32_MAX;
            new_seed(s);
            for (uint32_t id = 0; id < s->count && placed; id++)
                placed = place(s, (uint64_t)s->lines[id].tag << 32 | (id + 1));
        } else {
            for (size_t i = 0; i < old_slots && placed; i++)
                placed = old[i] == 0 || place(s, old[i]);
        }
    }
    js_free(s->env, old_mem);
    return 0;
}

/* Room for one more line. The C library moves big arrays by remapping pages, so small steps are
 * cheap, and keep a large table from doubling. */
static int grow_lines(struct js_subjects *s) {
    if (s->count >= JS_NO_ID - 1)
        return JS_ERR_NOMEM;
    uint64_t cap = s->cap == 0 ? 64 : s->cap < 1u << 20 ? s->cap * 2ull : s->cap + s->cap / 8ull;
    if (cap > JS_NO_ID - 1)
        cap = JS_NO_ID - 1;
    size_t shift = s->lines_mem ? (size_t)((char *)s->lines - (char *)s->lines_mem) : 0;
    char *mem = js_realloc(s->env, s->lines_mem, (size_t)cap * sizeof *s->lines + CACHE_LINE);
    if (!mem)
        return JS_ERR_NOMEM;
    char *lines = align_up(mem);
    if (s->lines_mem && (size_t)(lines - mem) != shift)
        memmove(lines, mem + shift, (size_t)s->count * sizeof *s->lines);
    s->lines_mem = mem;
    s->lines = (struct js_subject_line *)(void *)lines;
    s->cap = (uint32_t)cap;
    return 0;
}

/* Copies a long name to where it stays. NULL when out of memory. */
static char *arena_add(struct js_subjects *s, const char *name, size_t len) {
    struct js_subjects_arena *chunk = s->arena;

    if (!chunk || len > chunk->size - chunk->used) {
        bool own = len > ARENA_OWN;
        size_t size = own ? len : ARENA_CHUNK;
        struct js_subjects_arena *fresh = js_malloc(s->env, sizeof *fresh + size);
        if (!fresh)
            return NULL;
        fresh->size = size;
        fresh->used = 0;
        if (own && chunk) {
            /* Behind the head, which may have room for the next short name. */
            fresh->next = chunk->next;
            chunk->next = fresh;
        } else {
            fresh->next = chunk;
            s->arena = fresh;
        }
        s->arena_bytes += sizeof *fresh + size;
        chunk = fresh;
    }
    char *p = chunk->text + chunk->used;
    memcpy(p, name, len);
    chunk->used += len;
    return p;
}

static int add_line(struct js_subjects *s, uint32_t hash, const char *name, size_t len) {
    const char *kept = NULL;

    if (s->count == s->cap) {
        int r = grow_lines(s);
        if (r < 0)
            return r;
    }
    struct js_subject_line *line = &s->lines[s->count];
    if (len > sizeof line->name.text) {
        kept = arena_add(s, name, len);
        if (!kept)
            return JS_ERR_NOMEM;
    }
    *line = (struct js_subject_line){.tag = hash, .len = (uint32_t)len};
    if (kept)
        line->name.ptr = kept;
    else if (len)
        memcpy(line->name.text, name, len);
    return 0;
}

int js_subjects_intern(struct js_subjects *subjects, const char *name, size_t len,
                       uint32_t *ret_id) {
    struct js_subjects *s = subjects;
    uint32_t id;
    int r;

    if (s->num_groups == 0) {
        r = rebuild(s, MIN_GROUPS, false);
        if (r < 0)
            return r;
    }
    uint32_t hash = hash_name(s->seed, name, len);
    uint64_t *slot = probe(s, hash, name, len, &id);
    if (slot && id != JS_NO_ID) {
        *ret_id = id;
        return 0;
    }
    /* At most 3/4 full, so that a free slot is near. */
    bool full = s->count >= (uint64_t)s->num_groups * GROUP_SLOTS / 4 * 3;
    while (full || !slot) {
        if (full && s->num_groups > UINT32_MAX / 2)
            return JS_ERR_NOMEM;
        r = rebuild(s, full ? s->num_groups * 2 : s->num_groups, !slot);
        if (r < 0)
            return r;
        full = false;
        hash = hash_name(s->seed, name, len);
        slot = probe(s, hash, name, len, &id);
    }
    r = add_line(s, hash, name, len);
    if (r < 0)
        return r;
    *slot = (uint64_t)hash << 32 | (s->count + 1);
    *ret_id = s->count++;
    return 0;
}

int js_subjects_reserve(struct js_subjects *s, size_t more) {
    uint64_t need = (uint64_t)s->count + more;
    uint32_t groups = s->num_groups ? s->num_groups : MIN_GROUPS;

    if (need > UINT32_MAX / 4)
        return JS_ERR_NOMEM;
    while ((uint64_t)groups * GROUP_SLOTS / 4 * 3 <= need)
        groups *= 2;
    return groups > s->num_groups ? rebuild(s, groups, false) : 0;
}

void js_subjects_forget_msgs(struct js_subjects *s) {
    for (uint32_t id = 0; id < s->count; id++)
        s->lines[id].count = s->lines[id].first = s->lines[id].last = 0;
    s->live = 0;
    js_free(s->env, s->spans);
    s->spans = NULL;
    s->num_spans = 0;
}

int js_subjects_widen(struct js_subjects *s, uint32_t id, uint32_t first, uint32_t last) {
    if (id >= s->num_spans) {
        uint32_t num = s->cap > id ? s->cap : id + 1;
        struct js_subject_span *p = js_realloc_array(s->env, s->spans, num, sizeof *p);
        if (!p)
            return JS_ERR_NOMEM;
        memset(p + s->num_spans, 0, (num - s->num_spans) * sizeof *p);
        s->spans = p;
        s->num_spans = num;
    }
    struct js_subject_span *span = &s->spans[id];
    if (span->first == 0 || first < span->first)
        span->first = first;
    if (last > span->last)
        span->last = last;
    return 0;
}

uint32_t js_subjects_find(const struct js_subjects *subjects, const char *name, size_t len) {
    uint32_t id;

    if (subjects->num_groups == 0)
        return JS_NO_ID;
    uint32_t hash = hash_name(subjects->seed, name, len);
    return probe(subjects, hash, name, len, &id) ? id : JS_NO_ID;
}

uint32_t js_subjects_find_hashed(const struct js_subjects *subjects, uint32_t hash,
                                 const char *name, size_t len) {
    uint32_t id;

    if (subjects->num_groups == 0)
        return JS_NO_ID;
    return probe(subjects, hash, name, len, &id) ? id : JS_NO_ID;
}

uint32_t js_subjects_ahead(const struct js_subjects *subjects, const char *name, size_t len) {
    uint32_t hash = hash_name(subjects->seed, name, len);

    if (subjects->num_groups)
        __builtin_prefetch(subjects->table + (size_t)group_of(subjects, hash) * GROUP_SLOTS);
    return hash;
}

uint32_t js_subjects_nearer(const struct js_subjects *subjects, uint32_t hash) {
    if (subjects->num_groups == 0)
        return JS_NO_ID;
    const uint64_t *group = subjects->table + (size_t)group_of(subjects, hash) * GROUP_SLOTS;
    for (unsigned i = 0; i < GROUP_SLOTS && group[i]; i++) {
        if (group[i] >> 32 == hash) {
            uint32_t id = (uint32_t)group[i] - 1;
            __builtin_prefetch(&subjects->lines[id]);
            return id;
        }
    }
    return JS_NO_ID;
}

bool js_subjects_likely(const struct js_subjects *s, uint32_t hash) {
    if (s->num_groups == 0)
        return false;
    uint32_t g = group_of(s, hash);
    for (uint32_t step = 1; step <= s->run_limit && step <= s->num_groups; step++) {
        const uint64_t *group = s->table + (size_t)g * GROUP_SLOTS;
        for (unsigned i = 0; i < GROUP_SLOTS; i++) {
            if (group[i] == 0)
                return false;
            if (group[i] >> 32 == hash)
                return true;
        }
        g = (g + step) & (s->num_groups - 1);
    }
    return false;
}
