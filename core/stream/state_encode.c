/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream's state as replicas exchange it: [42][1], uvarints messages, bytes, first, last, failed,
 * number of deleted; then the deleted sequences in blocks: 33, uvarint first, uvarint number (a run), or
 * a sequence set (22 ...).
 */
#include "core/base/bytes.h"
#include "core/base/buf.h"
#include "core/format/seqset.h"
#include "core/stream/stream.h"

#define MAGIC   42
#define VERSION 1
#define RUN     33
#define SET     22
#define LONG    64 /* shorter runs are members of a set */

struct encoding {
    const struct js_env *env;
    struct js_buf out;
    struct js_seqset set;
    uint64_t deleted;
};

static void end_set(struct encoding *e) {
    if (e->set.members)
        js_seqset_encode(&e->set, &e->out);
    js_seqset_done(&e->set);
    js_seqset_init(&e->set, e->env);
}

static int add_run(void *ctx, js_seq_t first, js_seq_t last) {
    struct encoding *e = ctx;

    e->deleted += last - first + 1;
    if (last - first + 1 >= LONG) {
        end_set(e);
        js_buf_append_u8(&e->out, RUN);
        js_buf_append_uv(&e->out, first);
        js_buf_append_uv(&e->out, last - first + 1);
        return 0;
    }
    for (js_seq_t q = first; q <= last; q++)
        if (js_seqset_add(&e->set, q) < 0)
            return JS_ERR_NOMEM;
    return 0;
}

int js_stream_encoded_state(struct js_stream *stream, uint64_t failed, js_sink_fn sink, void *ctx) {
    struct encoding e = {.env = stream->env, .out = {.env = stream->env}};
    struct js_buf head = {.env = stream->env};
    struct js_stream_state before, after;
    int r;

    js_seqset_init(&e.set, stream->env);
    /* State and deletions are to belong together: until nothing changed in between. */
    do {
        e.out.len = 0;
        e.deleted = 0;
        js_seqset_done(&e.set);
        js_seqset_init(&e.set, stream->env);
        js_stream_get_state(stream, &before);
        r = js_stream_deleted(stream, add_run, &e);
        js_stream_get_state(stream, &after);
    } while (r == 0 && (before.last_seq != after.last_seq || before.removals != after.removals));
    end_set(&e);
    js_buf_append_u8(&head, MAGIC);
    js_buf_append_u8(&head, VERSION);
    js_buf_append_uv(&head, after.msgs);
    js_buf_append_uv(&head, after.bytes);
    js_buf_append_uv(&head, after.first_seq);
    js_buf_append_uv(&head, after.last_seq);
    js_buf_append_uv(&head, failed);
    js_buf_append_uv(&head, e.deleted);
    if (r == 0 && (head.failed || e.out.failed))
        r = JS_ERR_NOMEM;
    if (r == 0)
        r = sink(ctx, head.data, head.len);
    if (r >= 0 && e.out.len)
        r = sink(ctx, e.out.data, e.out.len);
    js_seqset_done(&e.set);
    js_buf_done(&e.out);
    js_buf_done(&head);
    return r < 0 ? r : 0;
}

static int add_block(const struct js_env *env, struct js_decoded_state *s, size_t *cap,
                     struct js_delete_block b) {
    if (s->num_blocks == *cap) {
        size_t n = *cap ? *cap * 2 : 16;
        struct js_delete_block *p = js_realloc_array(env, s->deleted, n, sizeof *p);
        if (!p)
            return JS_ERR_NOMEM;
        s->deleted = p;
        *cap = n;
    }
    s->deleted[s->num_blocks++] = b;
    return 0;
}

static int read_set(const struct js_env *env, struct js_reader *r, struct js_decoded_state *s,
                    size_t *cap) {
    struct js_seqset set;

    js_seqset_init(&set, env);
    int e = js_seqset_decode(r, &set);
    js_seq_t *list = NULL, seq = 0;
    uint64_t n = 0;
    if (e == 0) {
        list = js_realloc_array(env, NULL, set.members ? set.members : 1, sizeof *list);
        e = list ? 0 : JS_ERR_NOMEM;
    }
    while (e == 0 && n < set.members && js_seqset_next(&set, seq, &seq))
        list[n++] = seq++;
    if (e == 0)
        e = add_block(env, s, cap,
                      (struct js_delete_block){.first = n ? list[0] : 0, .num = n, .list = list});
    if (e < 0)
        js_free(env, list);
    js_seqset_done(&set);
    return e;
}

int js_decode_stream_state(const struct js_env *env, const uint8_t *data, size_t len,
                           struct js_decoded_state *ret_state) {
    struct js_reader r = js_reader_of(data, len);
    struct js_decoded_state s = {0};
    size_t cap = 0;
    int e = 0;

    if (len < 2 || data[0] != MAGIC || data[1] != VERSION)
        return JS_ERR_BAD_STATE_ENCODING;
    (void)js_read_u8(&r);
    (void)js_read_u8(&r);
    s.msgs = js_read_uv(&r);
    s.bytes = js_read_uv(&r);
    s.first_seq = js_read_uv(&r);
    s.last_seq = js_read_uv(&r);
    s.failed = js_read_uv(&r);
    s.num_deleted = js_read_uv(&r);
    if (r.bad)
        e = JS_ERR_CORRUPT;
    while (e == 0 && s.num_deleted && js_reader_left(&r)) {
        uint8_t tag = data[len - js_reader_left(&r)];
        if (tag == RUN) {
            (void)js_read_u8(&r);
            struct js_delete_block b = {0};
            b.first = js_read_uv(&r);
            b.num = js_read_uv(&r);
            e = r.bad || b.num > UINT64_MAX - b.first ? JS_ERR_CORRUPT : add_block(env, &s, &cap, b);
        } else if (tag == SET) {
            e = read_set(env, &r, &s, &cap);
        } else {
            e = JS_ERR_CORRUPT;
        }
    }
    if (e < 0) {
        js_decoded_state_free(env, &s);
        return e;
    }
    *ret_state = s;
    return 0;
}

void js_decoded_state_free(const struct js_env *env, struct js_decoded_state *state) {
    for (size_t i = 0; i < state->num_blocks; i++) {
        void *list = (void *)(uintptr_t)state->deleted[i].list;
        js_free(env, list);
    }
    js_free(env, state->deleted);
    *state = (struct js_decoded_state){0};
}
