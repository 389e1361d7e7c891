/* SPDX-License-Identifier: Apache-2.0 */
#include "core/format/seqset.h"

#include "core/base/limits.h"

#define NODE_SPAN 2048u
#define NODE_BYTES (8 + 32 * 8 + 2)
#define NODE_BYTES_V1 (8 + 64 * 8 + 2)

void js_seqset_init(struct js_seqset *set, const struct js_env *env) {
    *set = (struct js_seqset){.env = env};
}

void js_seqset_done(struct js_seqset *set) {
    if (set->env)
        js_free(set->env, set->nodes);
    set->nodes = NULL;
    set->count = set->cap = 0;
    set->members = 0;
}

/* Index of the first node with base >= base. */
static size_t lower(const struct js_seqset *set, uint64_t base) {
    size_t lo = 0, hi = set->count;

    if (hi && set->nodes[hi - 1].base < base)
        return hi;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (set->nodes[mid].base < base)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static int node_for(struct js_seqset *set, uint64_t base, struct js_seqset_node **ret) {
    size_t i = lower(set, base);

    if (i == set->count || set->nodes[i].base != base) {
        if (set->count == set->cap) {
            size_t cap = set->cap ? set->cap * 2 : 4;
            struct js_seqset_node *p =
                js_realloc_array(set->env, set->nodes, cap, sizeof *set->nodes);
            if (!p)
                return JS_ERR_NOMEM;
            set->nodes = p;
            set->cap = cap;
        }
        memmove(&set->nodes[i + 1], &set->nodes[i], (set->count - i) * sizeof *set->nodes);
        set->nodes[i] = (struct js_seqset_node){.base = base};
        set->count++;
    }
    *ret = &set->nodes[i];
    return 0;
}

int js_seqset_add(struct js_seqset *set, uint64_t seq) {
    struct js_seqset_node *n;
    int r = node_for(set, seq - seq % NODE_SPAN, &n);

    if (r < 0)
        return r;
    uint64_t bit = 1ull << (seq & 63);
    unsigned word = (unsigned)(seq - n->base) / 64;
    if (n->bits[word] & bit)
        return 0;
    n->bits[word] |= bit;
    set->members++;
    return 1;
}

bool js_seqset_has(const struct js_seqset *set, uint64_t seq) {
    uint64_t base = seq - seq % NODE_SPAN;
    size_t i = lower(set, base);

    return i < set->count && set->nodes[i].base == base &&
           (set->nodes[i].bits[(seq - base) / 64] >> (seq & 63) & 1);
}

bool js_seqset_remove(struct js_seqset *set, uint64_t seq) {
    if (!js_seqset_has(set, seq))
        return false;
    uint64_t base = seq - seq % NODE_SPAN;
    set->nodes[lower(set, base)].bits[(seq - base) / 64] &= ~(1ull << (seq & 63));
    set->members--;
    return true;
}

bool js_seqset_next(const struct js_seqset *set, uint64_t seq, uint64_t *ret_seq) {
    uint64_t base = seq - seq % NODE_SPAN;

    for (size_t i = lower(set, base); i < set->count; i++) {
        const struct js_seqset_node *n = &set->nodes[i];
        uint64_t from = n->base == base ? seq - base : 0;
        for (unsigned w = (unsigned)(from / 64); w < 32; w++) {
            uint64_t bits = n->bits[w];
            if (w == from / 64)
                bits &= ~0ull << (from & 63);
            if (bits) {
                *ret_seq = n->base + w * 64u + (unsigned)__builtin_ctzll(bits);
                return true;
            }
        }
    }
    return false;
}

/* One node's words into the set; v1 nodes cover two of ours. */
static int take_words(struct js_seqset *set, uint64_t base, struct js_reader *r, unsigned words) {
    for (unsigned w = 0; w < words; w++) {
        uint64_t bits = js_read_u64(r);
        if (!bits)
            continue;
        uint64_t first = base + w * 64u;
        struct js_seqset_node *n;
        if (first < base)
            return JS_ERR_CORRUPT;
        int e = node_for(set, first - first % NODE_SPAN, &n);
        if (e < 0)
            return e;
        uint64_t *at = &n->bits[(first - n->base) / 64];
        set->members += (unsigned)__builtin_popcountll(bits & ~*at);
        *at |= bits;
    }
    return 0;
}

int js_seqset_decode(struct js_reader *r, struct js_seqset *set) {
    uint8_t magic = js_read_u8(r), version = js_read_u8(r);
    uint32_t nodes = js_read_u32(r), members = js_read_u32(r);
    size_t node_bytes = version == 1 ? NODE_BYTES_V1 : NODE_BYTES;

    if (r->bad || magic != 22 || (version != 1 && version != 2) || nodes > JS_MAX_SEQSET_NODES ||
        nodes > js_reader_left(r) / node_bytes)
        return JS_ERR_CORRUPT;
    for (uint32_t i = 0; i < nodes; i++) {
        uint64_t base = js_read_u64(r);
        if (base % 64)
            return JS_ERR_CORRUPT;
        int e = take_words(set, base, r, version == 1 ? 64 : 32);
        if (e < 0)
            return e;
        js_read_u16(r);
    }
    return r->bad || set->members != members ? JS_ERR_CORRUPT : 0;
}

static unsigned height_of(size_t n) {
    unsigned h = 0;
    while (n) {
        h++;
        n /= 2;
    }
    return h;
}

/* The middle node, then the left half, then the right one; depth is at most 32. */
static void encode_range(const struct js_seqset_node *nodes, size_t n, struct js_buf *out) {
    if (n == 0)
        return;
    size_t mid = n / 2;
    js_buf_append_u64(out, nodes[mid].base);
    for (unsigned w = 0; w < 32; w++)
        js_buf_append_u64(out, nodes[mid].bits[w]);
    js_buf_append_u16(out, (uint16_t)height_of(n));
    encode_range(nodes, mid, out);
    encode_range(nodes + mid + 1, n - mid - 1, out);
}

void js_seqset_encode(const struct js_seqset *set, struct js_buf *out) {
    js_buf_append_u8(out, 22);
    js_buf_append_u8(out, 2);
    js_buf_append_u32(out, (uint32_t)set->count);
    js_buf_append_u32(out, (uint32_t)set->members);
    encode_range(set->nodes, set->count, out);
}
