/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of a view: one part per message block that holds messages of the view, in order, each
 * with its place in the rendered file, and, once they were needed, marks inside of it.
 */
#ifndef JF_VIEW_PARTS_H
#define JF_VIEW_PARTS_H

#include <stddef.h>
#include <stdint.h>

#include "core/jetstore.h"

struct jf_mark {
    js_seq_t seq;
    uint64_t off; /* from the part's beginning */
};

struct jf_part {
    js_seq_t first, last; /* sequences; no message of the view lies between parts */
    uint32_t block;
    uint64_t removals; /* the block's count when the part was measured */
    uint64_t off, len;
    /* Marks stand before message 0, JF_VIEW_MARK, 2 * JF_VIEW_MARK ... of the part, as far as it
     * was walked. */
    struct jf_mark *marks;
    size_t num_marks, cap_marks;
    js_seq_t walked;     /* last sequence walked; 0 = none */
    uint64_t walked_len; /* rendered length of what was walked */
    uint64_t walked_msgs;
};

struct jf_parts {
    struct jf_part *list;
    size_t n, cap;
    js_seq_t mapped; /* every message up to here is in a part */
};

/* The end of the last part. */
uint64_t jf_parts_end(const struct jf_parts *parts);
/* Appends a part (off is set) and gives it; NULL when out of memory. */
struct jf_part *jf_parts_push(struct jf_parts *parts);
/* Appends a deep copy of another table's part, placed at the end. 0 or NOMEM. */
int jf_parts_push_copy(struct jf_parts *parts, const struct jf_part *part);
/* The part that holds an offset (index), or n if it lies at or past the end. */
size_t jf_parts_find(const struct jf_parts *parts, uint64_t off);
/* The part of a block, NULL if none: blocks ascend with the parts. */
const struct jf_part *jf_parts_of_block(const struct jf_parts *parts, uint32_t block);
/* Adds a mark. 0 or NOMEM. */
int jf_part_add_mark(struct jf_part *part, js_seq_t seq, uint64_t off);
/* The last mark at or before an offset within the part; NULL if there is none. */
const struct jf_mark *jf_part_find_mark(const struct jf_part *part, uint64_t off);
void jf_parts_done(struct jf_parts *parts);

#endif
