/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What thw.db and sched.db do not cover is found by the headers of the messages: those from the
 * file's stamp on, in blocks that are known to have such headers. Blocks that nobody has counted
 * yet are read as a whole, once.
 */
#include "core/base/limits.h"
#include "core/format/small_state.h"
#include "core/stream/rules.h"

int js_uncovered_file(struct js_stream *s, const char *name, struct js_buf *ret_file) {
    int r;

    if (!s->index_spoke)
        return JS_ERR_NO_ENTRY; /* the sequences that it speaks of may have been given out anew */
    r = js_files_slurp(&s->files, name, JS_MAX_STATE_FILE, ret_file);
    return r == 0 || js_is_shortage(r) ? r : JS_ERR_NO_ENTRY;
}

js_seq_t js_uncovered_from(const struct js_stream *s, const struct js_small_head *head) {
    /* It was written beside an index.db that knew as much as the blocks, or less. */
    if (head->stamp == 0 || head->stamp > s->last_seq + 1)
        return 0;
    return head->stamp < s->first_seq ? s->first_seq : head->stamp;
}

static uint32_t *counter(const struct js_uncovered *u, struct js_block *b) {
    return u->what == JS_COUNTED_TTLS ? &b->ttls : &b->schedules;
}

static int look_at(struct js_stream *s, const struct js_uncovered *u, const struct js_place *at,
                   bool count) {
    js_seq_t seq = js_place_seq(at);
    struct js_msg msg;

    if (!js_slot_live(at->slots, at->slot))
        return 0;
    if (at->slots->at[at->slot].hlen == 0 && (seq < u->from || !u->plain || !u->plain(u->ctx)))
        return 0;
    int r = js_stream_slot_msg(s, at, true, &msg);
    if (r < 0)
        return r == JS_ERR_BAD_MSG ? 0 : r;
    r = u->fn(u->ctx, &msg, seq >= u->from);
    js_msg_release(&msg);
    if (r > 0 && count)
        ++*counter(u, at->block);
    return r < 0 ? r : 0;
}

int js_uncovered_walk(struct js_stream *s, struct js_uncovered *u) {
    struct js_place at = {0};
    int r = 0;

    for (size_t i = 0; i < s->num_blocks && r == 0; i++) {
        struct js_block *b = s->blocks[i];
        bool count = b->uncounted & u->what;
        if (!count &&
            (b->pos_last < u->from || (*counter(u, b) == 0 && !(u->plain && u->plain(u->ctx)))))
            continue;
        if (count)
            *counter(u, b) = 0;
        u->looked |= b->msgs != 0;
        if (b->msgs)
            r = js_place_at(s, &at, i);
        uint32_t k = b->msgs && r == 0 ? js_slots_lower(at.slots, count ? 0 : u->from) : 0;
        for (; b->msgs && r == 0 && k < at.slots->count; k++) {
            at.slot = k;
            r = look_at(s, u, &at, count);
        }
        if (r == 0)
            b->uncounted &= (unsigned char)~u->what;
    }
    js_place_done(s, &at);
    return r;
}

int js_uncovered_load(struct js_stream *s, int (*load)(struct js_stream *s)) {
    int r = load(s);

    if (r != JS_NEED_SCAN)
        return r;
    /* index.db was wrong about a block: what was written beside it may be, too. */
    r = js_stream_scan_locked(s);
    s->index_spoke = false;
    if (r == 0)
        r = load(s);
    return r == JS_NEED_SCAN ? JS_ERR_STALE : r;
}
