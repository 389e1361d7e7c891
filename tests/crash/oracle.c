/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a stream may hold after a failure. Between the last step that was promised to be on disk and
 * the step that was running, every message is in one of the conditions it was in after one of these
 * steps; what never changed in between is as it was.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/crash/crash.h"

#define NOT(...) (snprintf(why, why_size, __VA_ARGS__), -1)
#define LL(x)    ((unsigned long long)(x))

struct span { /* the steps that count */
    const struct theme *theme;
    const struct step *from, *to; /* inclusive */
    bool evicts;
};

/* A message that had been removed by name is back with what told of that, and makes the stream
 * larger than its limit, for which older ones leave: right if no more left than had to. */
static bool made_room(const struct span *sp, const struct snap *seen, js_seq_t seq) {
    const char *limit = strstr(sp->theme->config, "\"max_bytes\":");
    uint64_t bytes = seen->bytes;

    /* When this one had to leave, those between were there at most. */
    for (js_seq_t q = seq; limit && q < seen->first; q++) {
        const struct snap_msg *m = NULL;
        for (const struct step *s = sp->from; s <= sp->to && !m; s++)
            m = snap_find(&s->after, q);
        bytes += m ? m->size : 0;
    }
    return limit && seq < seen->first && bytes > strtoull(limit + 12, NULL, 10);
}

/* One sequence: was it there always, ever, with these bytes? */
static int check_seq(const struct span *sp, js_seq_t seq, const struct snap *seen, char *why,
                     size_t why_size) {
    const struct snap_msg *found = snap_find(seen, seq);
    bool always = true, ever = false, same = false;

    for (const struct step *s = sp->from; s <= sp->to; s++) {
        const struct snap_msg *m = snap_find(&s->after, seq);
        always &= m != NULL;
        ever |= m != NULL;
        same |= m && found && m->hash == found->hash;
    }
    if (found && !ever && !sp->evicts)
        return NOT("message %llu had been removed (durable step \"%s\"), and is back", LL(seq),
                   sp->from->text);
    if (found && ever && !same)
        return NOT("message %llu has other bytes", LL(seq));
    if (!found && always && !made_room(sp, seen, seq))
        return NOT("message %llu was durable at \"%s\", was not removed, and is gone", LL(seq),
                   sp->from->text);
    return 0;
}

/* Of the messages that were stored after the durable step and never removed since, the first ones
 * are there and the later ones not. */
static int check_prefix(const struct span *sp, const struct snap *seen, char *why,
                        size_t why_size) {
    js_seq_t missing = 0;

    if (!sp->theme->keeps_order || seen->lost)
        return 0;
    for (size_t i = 0; i < sp->to->after.count; i++) {
        js_seq_t seq = sp->to->after.msgs[i].seq;
        bool stays = !snap_find(&sp->from->after, seq);
        bool stored = false;
        for (const struct step *s = sp->from; s <= sp->to && stays; s++) {
            bool there = snap_find(&s->after, seq);
            stays = there || !stored;
            stored |= there;
        }
        if (!stays)
            continue;
        if (!snap_find(seen, seq))
            missing = missing || made_room(sp, seen, seq) ? missing : seq;
        else if (missing)
            return NOT("message %llu is there, and the earlier %llu is not", LL(seq), LL(missing));
    }
    return 0;
}

int oracle_allows(const struct theme *theme, const struct step *steps, size_t num_steps, size_t at,
                  const struct snap *seen, char *why, size_t why_size) {
    struct span sp = {.theme = theme, .from = steps, .to = steps};
    js_seq_t least = UINT64_MAX, most = 0, top = seen->last;

    for (const struct step *s = steps; s < steps + num_steps && s->end <= at; s++)
        if (s->durable)
            sp.from = s;
    /* The step that was running has effects, too. */
    for (const struct step *s = steps; s < steps + num_steps; s++)
        if (s->begin <= at)
            sp.to = s;
    if (sp.to < sp.from)
        sp.to = sp.from;
    for (const struct step *s = steps; s <= sp.to; s++)
        sp.evicts |= s->evicts;
    for (const struct step *s = sp.from; s <= sp.to; s++) {
        least = s->after.last < least ? s->after.last : least;
        most = s->after.last > most ? s->after.last : most;
        if (s->after.count && s->after.msgs[s->after.count - 1].seq > top)
            top = s->after.msgs[s->after.count - 1].seq;
    }
    /* What is lost may count further than what anybody was told: the head of a record shows a sequence. */
    if (seen->last < least || (seen->last > most && !seen->lost))
        return NOT("the last sequence is %llu, and was %llu..%llu since \"%s\"", LL(seen->last),
                   LL(least), LL(most), sp.from->text);
    for (js_seq_t seq = 1; seq <= top; seq++)
        if (check_seq(&sp, seq, seen, why, why_size) < 0)
            return -1;
    return check_prefix(&sp, seen, why, why_size);
}
