/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files of a view. A reader stands at a message and a byte of it. While it reads on, it takes
 * batches of messages from an iterator and never looks at offsets; a message that did not
 * fit stays borrowed from the iterator, so that it is finished even if it is removed meanwhile, and
 * those of the batch that were not begun are asked for again, because they may be removed by then.
 * At the end the iterator goes, because it pins a block and `tail -f` waits long.
 */
#include <stdlib.h>
#include <string.h>

#include "fs/view/epoch.h"

#define BATCH 128
/* Formatting a message of this many bytes again for each read would show. */
#define BIG (4u << 10)
/* Kept for the next such message up to this size. */
#define KEEP (4u << 20)

struct jf_reader {
    struct jf_view *view;
    struct js_iter *iter;
    uint64_t off;   /* of the next byte */
    js_seq_t next;  /* message to take next, if none is held */
    uint64_t byte;  /* where to begin in it, should it still be there */
    js_seq_t limit; /* last known sequence of the view */
    struct js_msg msgs[BATCH];
    size_t n, i; /* msgs[i..n) are held: bytes before byte of the first were given */
    /* A message that does not fit into a read, rendered once; big_len 0: none. */
    uint8_t *big;
    size_t big_len, big_cap;
};

int jf_reader_open(struct jf_view *view, struct jf_reader **ret_reader) {
    struct jf_reader *reader = calloc(1, sizeof *reader);

    if (!reader)
        return JS_ERR_NOMEM;
    reader->view = jf_view_ref(view);
    reader->next = view->from;
    *ret_reader = reader;
    return 0;
}

void jf_reader_close(struct jf_reader *reader) {
    if (!reader)
        return;
    js_iter_close(reader->iter);
    jf_view_unref(reader->view);
    free(reader->big);
    free(reader);
}

static bool have(const struct jf_reader *reader) {
    return reader->i < reader->n;
}

static void place(struct jf_reader *reader, js_seq_t seq, uint64_t byte) {
    reader->n = reader->i = 0;
    reader->big_len = 0;
    reader->next = seq;
    reader->byte = byte;
}

void jf_reader_skip_to(struct jf_reader *reader, js_seq_t seq) {
    place(reader, seq, 0);
}

static bool within_limit(struct jf_reader *reader, js_seq_t seq) {
    if (seq > reader->limit)
        reader->limit = jf_view_limit(reader->view);
    return seq <= reader->limit;
}

/* Takes the next messages, about as many as bytes: 1, 0 at the end, or an error. */
static int take(struct jf_reader *reader, size_t bytes) {
    struct jf_scope *scope = reader->view->scope;
    struct js_msg *msgs = reader->msgs;
    size_t n;
    int rc;

    if (jf_scope_is_void(scope) || !within_limit(reader, reader->next))
        return 0;
    if (!reader->iter) {
        rc = js_iter_open(jf_scope_stream(scope), jf_scope_filter(scope), &reader->iter);
        if (rc < 0)
            return rc;
    }
    for (;;) {
        rc = js_iter_next_batch(reader->iter, reader->next, bytes, msgs, BATCH, &n);
        if (rc == JS_ERR_EOF)
            return 0;
        if (rc < 0 && rc != JS_ERR_BAD_MSG)
            return rc;
        if (!within_limit(reader, msgs[0].seq))
            return 0;
        if (msgs[0].seq != reader->next)
            reader->byte = 0;
        if (rc == 0)
            break;
        jf_view_note_damage(reader->view, msgs[0].seq);
        place(reader, msgs[0].seq + 1, 0);
    }
    while (!within_limit(reader, msgs[n - 1].seq))
        n--;
    reader->i = 0;
    reader->n = n;
    return 1;
}

/* The held message was given. */
static void step(struct jf_reader *reader) {
    reader->next = reader->msgs[reader->i++].seq + 1;
    reader->byte = 0;
    reader->big_len = 0;
    if (reader->big_cap > KEEP) {
        free(reader->big);
        reader->big = NULL;
        reader->big_cap = 0;
    }
}

/* Copies messages as long as they fit as a whole: nothing but payloads and line ends. */
static size_t fill_log(struct jf_reader *reader, uint8_t *buf, size_t size) {
    size_t n = 0;

    while (have(reader)) {
        const struct js_msg *msg = &reader->msgs[reader->i];

        if (size - n <= msg->data_len)
            break;
        if (msg->data_len)
            memcpy(buf + n, msg->data, msg->data_len);
        n += msg->data_len;
        buf[n++] = '\n';
        step(reader);
    }
    return n;
}

/* Renders the held message once for all reads that it takes. False: no memory. */
static bool render_big(struct jf_reader *reader) {
    const struct js_msg *msg = &reader->msgs[reader->i];
    /* Text of few escapes; more of them take a second pass. */
    size_t want = msg->data_len + msg->data_len / 8 + msg->hdr_len * 2 + 1024;
    size_t written;

    for (;;) {
        uint64_t len;

        if (reader->big_cap < want) {
            uint8_t *big = realloc(reader->big, want);

            if (!big)
                return false;
            reader->big = big;
            reader->big_cap = want;
        }
        len = jf_render_both(&reader->view->options.render, msg, 0, reader->big, reader->big_cap,
                             &written);
        if (len == written) {
            reader->big_len = written;
            return true;
        }
        want = len;
    }
}

/* Writes what fits of the held message from byte on. A count below size: its end was reached. */
static size_t emit(struct jf_reader *reader, uint8_t *buf, size_t size) {
    const struct jf_render *render = &reader->view->options.render;
    const struct js_msg *msg = &reader->msgs[reader->i];
    size_t n;

    if (!reader->big_len &&
        (render->format != JF_JSONL || msg->data_len < BIG || msg->data_len < size / 8 ||
         !render_big(reader)))
        return jf_render_emit(render, msg, reader->byte, buf, size);
    n = reader->byte < reader->big_len ? reader->big_len - reader->byte : 0;
    if (n > size)
        n = size;
    if (n > 0)
        memcpy(buf, reader->big + reader->byte, n);
    return n;
}

/* Fills the buffer with whole messages and the beginning of one. */
static ssize_t fill(struct jf_reader *reader, uint8_t *buf, size_t size) {
    bool log = reader->view->options.render.format == JF_LOG;
    size_t n = 0;
    int rc = 0;

    while (n < size) {
        size_t m;

        if (!have(reader)) {
            rc = take(reader, size - n);
            if (rc <= 0)
                break;
        }
        if (log && reader->byte == 0) {
            n += fill_log(reader, buf + n, size - n);
            if (!have(reader) || n == size)
                continue;
        }
        m = emit(reader, buf + n, size - n);
        n += m;
        if (n < size)
            step(reader);
        else
            reader->byte += m;
    }
    if (have(reader) && reader->byte > 0)
        reader->n = reader->i + 1;
    else
        reader->n = reader->i;
    if (n < size && !have(reader)) {
        js_iter_close(reader->iter);
        reader->iter = NULL;
    }
    if (n == 0 && rc < 0)
        return rc;
    reader->off += n;
    return (ssize_t)n;
}

ssize_t jf_reader_read(struct jf_reader *reader, void *buf, size_t size, uint64_t offset) {
    if (offset != reader->off) {
        js_seq_t seq = reader->view->from;
        uint64_t byte = 0;

        if (offset > 0) {
            int rc = jf_view_map(reader->view, offset, &seq, &byte);

            if (rc <= 0)
                return rc;
        }
        place(reader, seq, byte);
        reader->off = offset;
    }
    return fill(reader, buf, size);
}

bool jf_reader_pending(struct jf_reader *reader) {
    const struct jf_scope *scope = jf_view_scope(reader->view);
    js_seq_t seq, last = jf_scope_last(scope);
    size_t n = 0;

    if (have(reader))
        return true;
    if (jf_scope_is_void(scope) ||
        js_stream_list_seqs(jf_scope_stream(scope), jf_scope_filter(scope), reader->next, false,
                            &seq, 1, &n) < 0)
        return false;
    return n == 1 && (!last || seq <= last);
}

ssize_t jf_reader_next(struct jf_reader *reader, void *buf, size_t size) {
    return fill(reader, buf, size);
}
