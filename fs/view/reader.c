/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files of a view. A reader stands at a message and a byte of it. While it reads on, it takes
 * message after message from an iterator and never looks at offsets; a message that did not
 * fit stays borrowed from the iterator, so that it is finished even if it is removed meanwhile. At
 * the end the iterator goes, because it pins a block and `tail -f` waits long.
 */
#include <stdlib.h>

#include "fs/view/epoch.h"

struct jf_reader {
    struct jf_view *view;
    struct js_iter *iter;
    uint64_t off;   /* of the next byte */
    js_seq_t next;  /* message to take next, if none is held */
    uint64_t byte;  /* where to begin in it, should it still be there */
    js_seq_t limit; /* last known sequence of the view */
    bool have;      /* msg is held: bytes before byte were given */
    struct js_msg msg;
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
    free(reader);
}

static void place(struct jf_reader *reader, js_seq_t seq, uint64_t byte) {
    reader->have = false;
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

/* Takes the next message: 1, 0 at the end, or an error. */
static int take(struct jf_reader *reader) {
    struct jf_scope *scope = reader->view->scope;
    struct js_msg msg;
    int rc;

    if (jf_scope_is_void(scope) || !within_limit(reader, reader->next))
        return 0;
    if (!reader->iter) {
        rc = js_iter_open(jf_scope_stream(scope), jf_scope_filter(scope), &reader->iter);
        if (rc < 0)
            return rc;
    }
    for (;;) {
        rc = js_iter_next(reader->iter, reader->next, &msg);
        if (rc == JS_ERR_EOF)
            return 0;
        if (rc < 0 && rc != JS_ERR_BAD_MSG)
            return rc;
        if (!within_limit(reader, msg.seq))
            return 0;
        if (msg.seq != reader->next)
            reader->byte = 0;
        if (rc == 0)
            break;
        jf_view_note_damage(reader->view, msg.seq);
        place(reader, msg.seq + 1, 0);
    }
    reader->msg = msg;
    reader->have = true;
    return 1;
}

/* Fills the buffer with whole messages and the beginning of one. */
static ssize_t fill(struct jf_reader *reader, uint8_t *buf, size_t size) {
    size_t n = 0;
    int rc = 0;

    while (n < size) {
        size_t m;

        if (!reader->have) {
            rc = take(reader);
            if (rc <= 0)
                break;
        }
        m = jf_render_emit(&reader->view->options.render, &reader->msg, reader->byte, buf + n,
                           size - n);
        n += m;
        if (n < size)
            place(reader, reader->msg.seq + 1, 0);
        else
            reader->byte += m;
    }
    if (n < size && !reader->have) {
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

    if (reader->have)
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
