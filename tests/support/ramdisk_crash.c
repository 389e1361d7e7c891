/* SPDX-License-Identifier: Apache-2.0 */
/* What a power failure leaves of a recorded disk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/ramdisk_impl.h"

#define SECTOR 512

struct crash {
    const struct ramdisk *from;
    struct ramdisk *to;
    size_t upto;
    enum rd_loss loss;
    uint64_t rng;
    unsigned keep_percent; /* of random losses */
    size_t *synced;        /* by inode: calls before this one are safe */
    size_t *bound;         /* by directory: entries of calls before this one are there */
};

static uint64_t next(struct crash *c) {
    uint64_t z = c->rng += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static bool chance(struct crash *c, unsigned percent) {
    return next(c) % 100 < percent;
}

/* A write that was not synced. */
static void lossy_write(struct crash *c, const struct rd_op *op) {
    struct rd_inode *in = &c->to->inodes[op->ino];
    uint64_t end = op->off + op->len;

    if (c->loss == RD_ALL_KEPT || c->loss == RD_NAMES_LOST ||
        (c->loss == RD_RANDOM && chance(c, c->keep_percent))) {
        rd_write(c->to, op->ino, op->data, op->len, op->off);
        return;
    }
    bool grow = c->loss == RD_DATA_ZERO || (c->loss == RD_RANDOM && chance(c, 50));
    if (c->loss == RD_RANDOM && chance(c, 70)) {
        /* Torn: some sectors of it; a file grows to the last of them at least. */
        for (uint64_t at = op->off; at < end;) {
            uint64_t stop = (at / SECTOR + 1) * SECTOR;
            if (stop > end)
                stop = end;
            if (chance(c, 50))
                rd_write(c->to, op->ino, op->data + (at - op->off), (size_t)(stop - at), at);
            at = stop;
        }
    }
    if (grow && end > rd_len(in))
        rd_cut(c->to, op->ino, end);
}

static void lossy_cut(struct crash *c, const struct rd_op *op) {
    if (c->loss == RD_ALL_KEPT || c->loss == RD_NAMES_LOST ||
        (c->loss == RD_RANDOM && chance(c, c->keep_percent)))
        rd_cut(c->to, op->ino, op->off);
}

static void replay_data(struct crash *c) {
    for (size_t i = 0; i < c->upto; i++) {
        const struct rd_op *op = &c->from->ops[i];
        bool safe = i < c->synced[op->ino];
        if (op->kind == RD_OP_WRITE && safe)
            rd_write(c->to, op->ino, op->data, op->len, op->off);
        else if (op->kind == RD_OP_WRITE)
            lossy_write(c, op);
        else if (op->kind == RD_OP_CUT && safe)
            rd_cut(c->to, op->ino, op->off);
        else if (op->kind == RD_OP_CUT)
            lossy_cut(c, op);
    }
}

static void choose_bounds(struct crash *c) {
    size_t n = c->to->num_inodes;

    for (size_t i = 0; i < n; i++) {
        size_t least = c->synced[i];
        c->bound[i] = c->upto;
        if (c->loss == RD_ALL_LOST || c->loss == RD_NAMES_LOST)
            c->bound[i] = least;
        else if (c->loss == RD_RANDOM && !chance(c, c->keep_percent))
            c->bound[i] = least + (size_t)(next(c) % (c->upto - least + 1));
    }
    /* A rename between directories is in both or in none. */
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < c->upto; i++) {
            const struct rd_op *op = &c->from->ops[i];
            if (op->kind != RD_OP_MOVE || op->dir == op->dir2)
                continue;
            size_t *a = &c->bound[op->dir], *b = &c->bound[op->dir2];
            if ((i < *a) == (i < *b))
                continue;
            size_t *in = i < *a ? a : b, *out = i < *a ? b : a;
            if (i < c->synced[i < *a ? op->dir : op->dir2])
                *out = i + 1;
            else
                *in = i;
            again = true;
        }
    }
}

static void replay_names(struct crash *c) {
    for (size_t i = 0; i < c->upto; i++) {
        const struct rd_op *op = &c->from->ops[i];
        if (op->kind == RD_OP_WRITE || op->kind == RD_OP_CUT || op->kind == RD_OP_SYNC ||
            i >= c->bound[op->dir])
            continue;
        if (op->kind == RD_OP_ENTER) {
            rd_enter(c->to, op->dir, op->name, op->ino);
        } else if (op->kind == RD_OP_LEAVE) {
            rd_leave(c->to, op->dir, op->name);
        } else if (op->kind == RD_OP_MOVE) {
            rd_leave(c->to, op->dir, op->name);
            rd_enter(c->to, op->dir2, op->name2, op->ino);
        } else {
            rd_swap(c->to, op->dir, op->name, op->name2);
        }
    }
}

struct ramdisk *rd_crash(const struct ramdisk *from, size_t upto, enum rd_loss loss,
                         uint64_t seed) {
    struct crash c = {.from = from, .to = rd_clone(from->base), .upto = upto, .loss = loss};

    c.rng = seed;
    c.keep_percent = (unsigned)(20 + next(&c) % 70);
    for (size_t i = c.to->num_inodes; i < from->num_inodes; i++)
        rd_new_inode(c.to, from->inodes[i].is_dir);
    c.synced = rd_need(calloc(from->num_inodes, sizeof *c.synced));
    c.bound = rd_need(calloc(from->num_inodes, sizeof *c.bound));
    for (size_t i = 0; i < upto; i++)
        if (from->ops[i].kind == RD_OP_SYNC)
            c.synced[from->ops[i].ino] = i + 1;
    replay_data(&c);
    choose_bounds(&c);
    replay_names(&c);
    free(c.synced);
    free(c.bound);
    return c.to;
}

void rd_print_log(const struct ramdisk *d, size_t upto) {
    static const char *const names[] = {"write", "cut", "sync", "enter", "leave", "move", "swap"};

    for (size_t i = 0; i < upto && i < d->num_ops; i++) {
        const struct rd_op *op = &d->ops[i];
        fprintf(stderr, "# %4zu %s #%u", i, names[op->kind], op->ino);
        if (op->kind == RD_OP_WRITE || op->kind == RD_OP_CUT)
            fprintf(stderr, " at %llu, %zu bytes", (unsigned long long)op->off, op->len);
        if (op->name)
            fprintf(stderr, " in #%u \"%s\"", op->dir, op->name);
        if (op->name2)
            fprintf(stderr, " to #%u \"%s\"", op->dir2, op->name2);
        fprintf(stderr, "\n");
    }
}
