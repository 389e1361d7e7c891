/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damage in S2 streams. A chunk's checksum covers what it decodes to, not its head; so what a head
 * must have said can be found by trial, and the checksum proves it:
 *
 *   type     the other data types
 *   size     decoding to the chunk's end gives it
 *   length   decoding until the size is reached gives it; of a raw chunk, the place where the
 *            running checksum becomes the one stored and another chunk begins
 *
 * What cannot be mended is lost up to the next chunk: where the length says, if chunks follow
 * there, else at the next offset where one proves itself. All trials together are bounded by a
 * budget, the search by the length of the input.
 */
#include "core/base/bytes.h"
#include "core/format/s2_chunk.h"

#define MIN_LIKE_ID 7 /* bytes of ten that make a damaged identifier */
#define MAX_HOPS 8    /* chunks looked at to believe in a place without a good one among them */

static void charge(struct js_s2_stream *s, uint64_t cost) {
    s->budget -= cost < s->budget ? cost : s->budget;
}

static void tell(struct js_s2_stream *s, size_t at, size_t next, uint64_t out_off,
                 const char *what) {
    struct js_s2_bad bad = {.src_off = at, .src_len = next - at, .out_off = out_off, .what = what};

    s->bad_fn(s->ctx, &bad);
}

/* ---- places where a chunk may begin ---------------------------------------------------------- */

/* Could a chunk that servers write stand at q? Looks at a few bytes only. *ret_size is what it
 * decodes to. */
static bool plausible(const struct js_s2_stream *s, size_t q, struct js_s2_chunk *c,
                      uint32_t *ret_size) {
    uint32_t begin;

    *ret_size = 0;
    if (!js_s2_chunk_at(s->in + q, s->len - q, c))
        return false;
    if (c->type > JS_S2_RAW)
        return js_s2_is_id(c) || c->type == JS_S2_PADDING || c->type == JS_S2_SEEK_INDEX;
    if (!js_s2_declared(c, ret_size, &begin))
        return false;
    /* Nothing can be copied before there is a literal. */
    return c->type == JS_S2_RAW || *ret_size == 0 || (c->data[begin] & 3) == 0;
}

/* Does another chunk, or the end, stand at q as far as a few bytes tell? */
static bool goes_on(const struct js_s2_stream *s, size_t q) {
    struct js_s2_chunk c;
    uint32_t size;

    return q == s->len || plausible(s, q, &c, &size);
}

/* Elements at p decode to at most room bytes with this checksum, all of the input or all of the
 * room being used? They are left behind out->len. */
static bool packed_proves(struct js_s2_stream *s, const uint8_t *p, size_t len, size_t room,
                          bool all_in, bool all_out, uint32_t crc, size_t *ret_used,
                          size_t *ret_size) {
    if (s->budget == 0 || js_buf_reserve(s->out, room) < 0)
        return false;
    uint8_t *out = s->out->data + s->out->len;
    bool good = js_s2_elements(p, len, out, room, ret_used, ret_size);
    charge(s, *ret_used + *ret_size);
    return good && (!all_in || *ret_used == len) && (!all_out || *ret_size == room) &&
           *ret_size > 0 && js_s2_crc(out, *ret_size) == crc;
}

static bool data_proves(struct js_s2_stream *s, const struct js_s2_chunk *c, uint32_t *ret_size) {
    uint32_t begin;
    size_t used, size;

    if (s->budget == 0 || !js_s2_declared(c, ret_size, &begin))
        return false;
    if (c->type == JS_S2_PACKED && *ret_size)
        return packed_proves(s, c->data + begin, c->len - begin, *ret_size, true, true,
                             js_get32(c->data), &used, &size);
    charge(s, c->len);
    return js_s2_decode_chunk(c, s->out, ret_size) == 0;
}

/* Is the chunk at q right beyond doubt? */
static bool proves(struct js_s2_stream *s, size_t q) {
    struct js_s2_chunk c;
    uint32_t size;

    return plausible(s, q, &c, &size) && c.type != JS_S2_PADDING && c.type != JS_S2_SEEK_INDEX &&
           (js_s2_is_id(&c) || data_proves(s, &c, &size));
}

/* Do chunks follow from q on? One that is right, or the end, must be reached in few steps. */
static bool believable(struct js_s2_stream *s, size_t q) {
    struct js_s2_chunk c;
    uint32_t size;

    for (int hops = 0; hops < MAX_HOPS && q < s->len; hops++) {
        if (!plausible(s, q, &c, &size))
            return false;
        if (proves(s, q))
            return true;
        q += JS_S2_HEAD + c.len;
    }
    return true;
}

/* The first offset from q on where a chunk proves itself; the end if there is none. */
static size_t search(struct js_s2_stream *s, size_t q) {
    struct js_s2_chunk c;
    uint32_t size;

    for (; q + JS_S2_HEAD <= s->len && s->budget; q++) {
        uint8_t type = s->in[q];
        if ((type > JS_S2_RAW && type != JS_S2_ID) || !plausible(s, q, &c, &size))
            continue;
        /* Decoding nonsense ends soon, but a checksum over nonsense costs its whole length. */
        if (type == JS_S2_RAW && !goes_on(s, q + JS_S2_HEAD + c.len))
            continue;
        if (proves(s, q))
            return q;
    }
    return s->len;
}

/* ---- heads that can be mended ---------------------------------------------------------------- */

struct mended {
    size_t size; /* of the content, which lies behind out->len */
    size_t next; /* where the next chunk begins */
    const char *what;
};

static bool mend_type(struct js_s2_stream *s, const struct js_s2_chunk *c, struct mended *m) {
    struct js_s2_chunk t = *c;
    uint32_t size;

    for (t.type = JS_S2_PACKED; t.type <= JS_S2_RAW; t.type++) {
        if (t.type == c->type || !data_proves(s, &t, &size))
            continue;
        m->size = size;
        m->what = "a chunk's type is damaged; its checksum proves the content";
        return true;
    }
    return false;
}

/* How many bytes the size takes may be damaged too: each is tried. */
static bool mend_size(struct js_s2_stream *s, const struct js_s2_chunk *c, struct mended *m) {
    size_t used;

    for (uint32_t begin = JS_S2_CRC + 1; begin <= JS_S2_CRC + 5 && begin < c->len; begin++)
        if (packed_proves(s, c->data + begin, c->len - begin, JS_S2_MAX_CHUNK, true, false,
                          js_get32(c->data), &used, &m->size)) {
            m->what = "a chunk's decoded size is damaged; its checksum proves the content";
            return true;
        }
    return false;
}

static bool mend_packed_length(struct js_s2_stream *s, size_t at, struct mended *m) {
    const uint8_t *crc = s->in + at + JS_S2_HEAD;
    struct js_reader r = js_reader_of(crc + JS_S2_CRC, s->len - at - JS_S2_HEAD - JS_S2_CRC);
    uint64_t size = js_read_uv(&r);
    size_t used;

    if (r.bad || size == 0 || size > JS_S2_MAX_CHUNK ||
        !packed_proves(s, r.p, js_reader_left(&r), size, false, true, js_get32(crc), &used,
                       &m->size))
        return false;
    m->next = (size_t)(r.p - s->in) + used;
    return true;
}

static bool mend_raw_length(struct js_s2_stream *s, size_t at, struct mended *m) {
    const uint8_t *p = s->in + at + JS_S2_HEAD + JS_S2_CRC;
    size_t left = s->len - at - JS_S2_HEAD - JS_S2_CRC;
    size_t max = left < JS_S2_MAX_CHUNK ? left : JS_S2_MAX_CHUNK, n = 0;
    uint32_t want = js_s2_unmask(js_get32(p - JS_S2_CRC)), crc = ~0u;

    if (s->budget == 0)
        return false;
    charge(s, max);
    while (n < max) {
        size_t step = js_crc32c_until(&crc, want, p + n, max - n);
        if (step == 0)
            return false;
        n += step;
        m->next = (size_t)(p - s->in) + n;
        if (goes_on(s, m->next) && js_buf_reserve(s->out, n) == 0) {
            memcpy(s->out->data + s->out->len, p, n);
            m->size = n;
            return true;
        }
    }
    return false;
}

/* Finds out what the head of the chunk at `at` must have said. */
static bool mend(struct js_s2_stream *s, size_t at, struct mended *m) {
    struct js_s2_chunk c;

    if (s->len - at <= JS_S2_HEAD + JS_S2_CRC)
        return false;
    bool whole = js_s2_chunk_at(s->in + at, s->len - at, &c);
    if (whole && c.len > JS_S2_CRC) {
        m->next = at + JS_S2_HEAD + c.len;
        if (mend_type(s, &c, m) || (c.type != JS_S2_RAW && mend_size(s, &c, m)))
            return true;
    }
    m->what = "a chunk's length is damaged; its checksum proves the content";
    if (c.type != JS_S2_RAW && mend_packed_length(s, at, m))
        return true;
    bool right = whole && at + JS_S2_HEAD + c.len < s->len && proves(s, at + JS_S2_HEAD + c.len);
    return c.type != JS_S2_PACKED && !right && mend_raw_length(s, at, m);
}

/* ---- what is lost ---------------------------------------------------------------------------- */

/* Adds up what all chunks from q to the end decode to. False when a head there is damaged too. */
static bool size_behind(struct js_s2_stream *s, size_t q, uint64_t *ret_size) {
    struct js_s2_chunk c;
    uint32_t size;

    for (*ret_size = 0; q < s->len; q += JS_S2_HEAD + c.len) {
        if (s->budget == 0 || !plausible(s, q, &c, &size))
            return false;
        charge(s, 16);
        *ret_size += size;
    }
    return true;
}

/* What the chunk at `at` says that it decodes to; 0 when it does not, or when it lies about its
 * length and has nothing but that. *ret_cut: the input ends inside. */
static uint32_t declared_size(const struct js_s2_stream *s, size_t at, bool length_good,
                              bool *ret_cut) {
    struct js_s2_chunk c;
    size_t left = s->len - at;
    uint32_t size, begin;

    *ret_cut = !js_s2_chunk_at(s->in + at, left, &c);
    if (left <= JS_S2_HEAD + JS_S2_CRC)
        return 0;
    if (*ret_cut && c.type == JS_S2_PACKED)
        c.len = (uint32_t)(left - JS_S2_HEAD); /* the size stands in front */
    if (c.type == JS_S2_RAW && !length_good && !*ret_cut)
        return 0;
    return js_s2_declared(&c, &size, &begin) ? size : 0;
}

/* How many bytes of output the chunk at `at`, and what else stands up to next, should have given.
 * length_good: its length is believed, so that it is one chunk. */
static uint64_t lost_size(struct js_s2_stream *s, size_t at, size_t next, bool length_good) {
    struct js_s2_chunk after;
    bool cut;
    uint32_t declared = declared_size(s, at, length_good, &cut), usual = s->usual;
    uint64_t behind, out_off = s->out->len - s->base;

    if (usual == 0 && next < s->len)
        (void)plausible(s, next, &after, &usual);
    /* Writers cut into equal pieces: two that agree are right. */
    if (length_good && declared && declared == usual)
        return declared;
    if (s->expect && size_behind(s, next, &behind)) {
        uint64_t want = s->expect > out_off + behind ? s->expect - out_off - behind : 0;
        /* A file that was cut needs no more zeros than the one chunk would have had. */
        if (cut && next == s->len && (declared || want > JS_S2_MAX_CHUNK))
            return want < declared ? want : declared;
        /* One chunk in the midst of equal ones that fits neither: more is damaged than it. */
        if (length_good && want != declared && next < s->len && usual && !s->mixed)
            return usual;
        if (want <= JS_S2_MAX_CHUNK + 64 * (uint64_t)(next - at))
            return want;
    }
    if (next == s->len || s->mixed || usual == 0)
        return declared;
    /* What is too short to be a chunk was put in between two. */
    return next - at <= 64 ? declared : usual;
}

/* Decodes what it can of the chunk at `at` into size bytes behind out->len. Returns how many. */
static size_t salvage(struct js_s2_stream *s, size_t at, size_t next, size_t size) {
    size_t used, done = 0;

    if (next - at <= JS_S2_HEAD + JS_S2_CRC)
        return 0;
    const uint8_t *p = s->in + at + JS_S2_HEAD + JS_S2_CRC;
    size_t len = (size_t)(s->in + next - p);
    uint8_t *out = s->out->data + s->out->len;
    if (s->in[at] == JS_S2_RAW) {
        done = len < size ? len : size;
        memcpy(out, p, done);
    } else if (s->in[at] == JS_S2_PACKED) {
        struct js_reader r = js_reader_of(p, len);
        (void)js_read_uv(&r);
        if (!r.bad)
            (void)js_s2_elements(r.p, js_reader_left(&r), out, size, &used, &done);
    }
    return done;
}

static int lose(struct js_s2_stream *s, size_t at, size_t *ret_next) {
    struct js_s2_chunk c;
    struct mended m;
    uint64_t out_off = s->out->len - s->base, room = s->max_out - out_off;
    bool head = js_s2_chunk_at(s->in + at, s->len - at, &c);
    size_t given = head ? at + JS_S2_HEAD + c.len : 0;
    bool length_good = head && (believable(s, given) || mend(s, given, &m));
    size_t next = length_good ? given : search(s, at + 1);
    uint64_t size = lost_size(s, at, next, length_good);

    if (size > room)
        size = room;
    if (js_buf_reserve(s->out, size ? size : 1) < 0)
        return JS_ERR_NOMEM;
    size_t done = salvage(s, at, next, size);
    memset(s->out->data + s->out->len + done, 0, size - done);
    s->out->len += size;
    struct js_s2_bad bad = {.src_off = at,
                            .src_len = next - at,
                            .out_off = out_off,
                            .out_len = size,
                            .what = length_good ? "a chunk's checksum is wrong"
                                    : next == s->len && !head
                                        ? "the last chunk is cut"
                                        : "a chunk's head and content are damaged"};
    s->bad_fn(s->ctx, &bad);
    *ret_next = next;
    return 0;
}

/* ---- entry points ---------------------------------------------------------------------------- */

/* Does a stream identifier stand here of which some bytes are wrong, or the end is missing? */
static bool like_id(const uint8_t *p, size_t left) {
    static const uint8_t ids[2][JS_S2_ID_SIZE + 1] = {"\xff\x06\0\0S2sTwO", "\xff\x06\0\0sNaPpY"};
    size_t n = left < JS_S2_ID_SIZE ? left : JS_S2_ID_SIZE;

    for (int k = 0; k < 2; k++) {
        size_t same = 0;
        for (size_t i = 0; i < n; i++)
            same += p[i] == ids[k][i];
        if (same == n || same >= MIN_LIKE_ID)
            return true;
    }
    return false;
}

/* An identifier gives no output whatever becomes of it. */
static int over_id(struct js_s2_stream *s, size_t at, size_t *ret_next) {
    size_t left = s->len - at;

    *ret_next = at + (left < JS_S2_ID_SIZE ? left : JS_S2_ID_SIZE);
    tell(s, at, *ret_next, s->out->len - s->base, "a stream identifier is damaged");
    return 0;
}

int js_s2_over_begin(struct js_s2_stream *s, size_t *ret_next) {
    if (like_id(s->in, s->len) || (s->len > JS_S2_ID_SIZE && !believable(s, 0) &&
                                   believable(s, JS_S2_ID_SIZE)))
        return over_id(s, 0, ret_next);
    tell(s, 0, 0, 0, "the stream identifier is missing");
    *ret_next = 0;
    return 0;
}

int js_s2_over_fault(struct js_s2_stream *s, size_t at, size_t *ret_next) {
    uint64_t out_off = s->out->len - s->base;
    struct mended m;

    if (like_id(s->in + at, s->len - at))
        return over_id(s, at, ret_next);
    if (!mend(s, at, &m))
        return lose(s, at, ret_next);
    if (m.size > s->max_out - out_off)
        return JS_ERR_TOO_BIG;
    s->out->len += m.size;
    js_s2_note_size(s, (uint32_t)m.size);
    tell(s, at, m.next, out_off, m.what);
    *ret_next = m.next;
    return 0;
}
