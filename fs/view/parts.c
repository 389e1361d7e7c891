/* SPDX-License-Identifier: Apache-2.0 */
/* The table of a view: arrays, grown by doubling, searched by bisection. */
#include "fs/view/parts.h"

#include <stdlib.h>
#include <string.h>

uint64_t jf_parts_end(const struct jf_parts *parts) {
    return parts->n ? parts->list[parts->n - 1].off + parts->list[parts->n - 1].len : 0;
}

struct jf_part *jf_parts_push(struct jf_parts *parts) {
    struct jf_part *part;

    if (parts->n == parts->cap) {
        size_t cap = parts->cap ? parts->cap * 2 : 4;
        struct jf_part *list = reallocarray(parts->list, cap, sizeof *list);

        if (!list)
            return NULL;
        parts->list = list;
        parts->cap = cap;
    }
    part = &parts->list[parts->n];
    *part = (struct jf_part){.off = jf_parts_end(parts)};
    parts->n++;
    return part;
}

int jf_parts_push_copy(struct jf_parts *parts, const struct jf_part *from) {
    struct jf_mark *marks = NULL;
    struct jf_part *part;
    uint64_t off;

    if (from->num_marks) {
        marks = reallocarray(NULL, from->num_marks, sizeof *marks);
        if (!marks)
            return JS_ERR_NOMEM;
        memcpy(marks, from->marks, from->num_marks * sizeof *marks);
    }
    part = jf_parts_push(parts);
    if (!part) {
        free(marks);
        return JS_ERR_NOMEM;
    }
    off = part->off;
    *part = *from;
    part->off = off;
    part->marks = marks;
    part->cap_marks = from->num_marks;
    return 0;
}

size_t jf_parts_find(const struct jf_parts *parts, uint64_t off) {
    size_t low = 0, high = parts->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (parts->list[mid].off + parts->list[mid].len <= off)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct jf_part *jf_parts_of_block(const struct jf_parts *parts, uint32_t block) {
    size_t low = 0, high = parts->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (parts->list[mid].block < block)
            low = mid + 1;
        else
            high = mid;
    }
    return low < parts->n && parts->list[low].block == block ? &parts->list[low] : NULL;
}

int jf_part_add_mark(struct jf_part *part, js_seq_t seq, uint64_t off) {
    if (part->num_marks == part->cap_marks) {
        size_t cap = part->cap_marks ? part->cap_marks * 2 : 8;
        struct jf_mark *marks = reallocarray(part->marks, cap, sizeof *marks);

        if (!marks)
            return JS_ERR_NOMEM;
        part->marks = marks;
        part->cap_marks = cap;
    }
    part->marks[part->num_marks++] = (struct jf_mark){seq, off};
    return 0;
}

const struct jf_mark *jf_part_find_mark(const struct jf_part *part, uint64_t off) {
    size_t low = 0, high = part->num_marks;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (part->marks[mid].off <= off)
            low = mid + 1;
        else
            high = mid;
    }
    return low ? &part->marks[low - 1] : NULL;
}

void jf_parts_done(struct jf_parts *parts) {
    for (size_t i = 0; i < parts->n; i++)
        free(parts->list[i].marks);
    free(parts->list);
    *parts = (struct jf_parts){0};
}
