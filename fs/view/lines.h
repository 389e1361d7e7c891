/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cuts what is written to pub/<subject> into messages: LF ends a message, a CR before it is kept,
 * empty lines are left out unless asked for. Writes cut lines anywhere; the unfinished end waits
 * here for the next write.
 *
 * Use: jf_lines_feed(), then jf_lines_take() until it gives 0; store the messages of each batch
 * before the next is taken; if only the first k were stored, jf_lines_stop() tells how many bytes
 * of this write belong to them: the write's short count. Pointers are borrowed: from the fed
 * buffer, or, for the first line of a feed, from the remainder; valid until the next call.
 */
#ifndef JF_VIEW_LINES_H
#define JF_VIEW_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jf_line {
    const uint8_t *data;
    size_t len;
    size_t end; /* bytes of the fed buffer up to and with this line's LF */
};

struct jf_lines {
    uint8_t *rest; /* the unfinished line */
    size_t rest_len;
    size_t rest_cap;
    size_t max_line;
    bool keep_empty;
    const uint8_t *in; /* the feed that is being taken */
    size_t in_len;
    size_t in_pos;      /* begins a line, or 0 */
    size_t rest_before; /* rest_len when the feed began */
    bool rest_joined;   /* the first line of the feed was completed into rest */
};

/* max_line: most bytes of a message; keep_empty: empty lines are messages too. */
void jf_lines_init(struct jf_lines *lines, size_t max_line, bool keep_empty);
void jf_lines_done(struct jf_lines *lines);

/* Begins with a written chunk; buf is borrowed until the chunk is taken or stopped. */
void jf_lines_feed(struct jf_lines *lines, const void *buf, size_t len);
/*
 * Gives the next complete lines, at most max. When there are none left (0), the unfinished end has
 * been kept for the next feed. Errors: MSG_TOO_LARGE when a line (finished or not) is longer than
 * max_line, NOMEM; the lines before it have been given by then, so jf_lines_stop() with the last
 * end gives the short count.
 */
int jf_lines_take(struct jf_lines *lines, struct jf_line *ret_lines, size_t max);
/*
 * Gives up the rest of the feed after end bytes of it (the `end` of the last stored line; 0 = not
 * one line was stored). What was kept from earlier feeds is put back as it was if end is 0,
 * so that the caller may write the same bytes again. Returns end.
 */
size_t jf_lines_stop(struct jf_lines *lines, size_t end);
/* The unfinished line; length 0 = none. Borrowed until the next call. For close: partial=publish.
 */
size_t jf_lines_rest(const struct jf_lines *lines, const uint8_t **ret_data);
/* Forgets the unfinished line. */
void jf_lines_drop_rest(struct jf_lines *lines);

#endif
