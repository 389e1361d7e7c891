/* SPDX-License-Identifier: Apache-2.0 */
/* What can be read from a stream, remembered. */
#include <stdlib.h>
#include <string.h>

#include "tests/crash/crash.h"

static uint64_t hash_more(uint64_t h, const void *data, size_t len) {
    const uint8_t *p = data;

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * UINT64_C(1099511628211);
    return (h ^ len) * UINT64_C(1099511628211);
}

static uint64_t hash_msg(const struct js_msg *m) {
    uint64_t h = hash_more(UINT64_C(14695981039346656037), &m->time, sizeof m->time);

    h = hash_more(h, m->subject, m->subject_len);
    h = hash_more(h, m->hdr, m->hdr_len);
    return hash_more(h, m->data, m->data_len);
}

int snap_take(struct js_stream *s, struct snap *ret, char *why) {
    struct js_stream_state st;
    js_seq_t from = 1;
    size_t cap = 0, n;

    *ret = (struct snap){0};
    int r = js_stream_scan(s);
    if (r < 0) {
        snprintf(why, 200, "scan: %s", js_err_name(r));
        return r;
    }
    js_stream_get_state(s, &st);
    /* Of a stream that never held anything no file tells that it was purged. */
    ret->first = st.last_seq ? st.first_seq : 0;
    ret->last = st.last_seq;
    ret->last_time = st.last_time;
    ret->bytes = st.bytes;
    ret->lost = st.num_lost;
    do {
        js_seq_t seqs[64];
        r = js_stream_list_seqs(s, NULL, from, false, seqs, 64, &n);
        for (size_t i = 0; r == 0 && i < n; i++) {
            struct js_msg m;
            r = js_stream_load_msg(s, seqs[i], &m);
            if (r < 0) {
                snprintf(why, 200, "load of %llu: %s", (unsigned long long)seqs[i], js_err_name(r));
                break;
            }
            if (ret->count == cap) {
                cap = cap ? cap * 2 : 64;
                ret->msgs = realloc(ret->msgs, cap * sizeof *ret->msgs);
                if (!ret->msgs)
                    abort();
            }
            size_t size = 30 + m.subject_len + (m.hdr_len ? 4 + m.hdr_len : 0) + m.data_len;
            ret->msgs[ret->count++] =
                (struct snap_msg){.seq = seqs[i], .hash = hash_msg(&m), .size = (uint32_t)size};
            js_msg_release(&m);
        }
        from = n ? seqs[n - 1] + 1 : from;
    } while (r == 0 && n == 64);
    if (r == 0 && st.msgs != ret->count) {
        snprintf(why, 200, "%llu messages are counted, %zu are there", (unsigned long long)st.msgs,
                 ret->count);
        r = JS_ERR_CORRUPT;
    }
    js_seq_t first = ret->count ? ret->msgs[0].seq : st.last_seq + 1;
    if (r == 0 && st.first_seq != first && st.num_lost == 0 &&
        !(st.last_seq == 0 && st.first_seq == 0)) {
        snprintf(why, 200, "the first is told to be %llu, and is %llu (last %llu)",
                 (unsigned long long)st.first_seq, (unsigned long long)first,
                 (unsigned long long)st.last_seq);
        r = JS_ERR_CORRUPT;
    }
    if (r < 0)
        snap_done(ret);
    return r;
}

void snap_done(struct snap *snap) {
    free(snap->msgs);
    snap->msgs = NULL;
    snap->count = 0;
}

const struct snap_msg *snap_find(const struct snap *snap, js_seq_t seq) {
    size_t lo = 0, hi = snap->count;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (snap->msgs[mid].seq < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < snap->count && snap->msgs[lo].seq == seq ? &snap->msgs[lo] : NULL;
}

const char *snap_differs(const struct snap *a, const struct snap *b) {
    static char text[200];

    for (size_t i = 0; i < a->count || i < b->count; i++) {
        const struct snap_msg *x = i < a->count ? &a->msgs[i] : NULL;
        const struct snap_msg *y = i < b->count ? &b->msgs[i] : NULL;
        if (x && y && x->seq == y->seq && x->hash == y->hash)
            continue;
        snprintf(text, sizeof text, "%zu and %zu messages; the %zu-th differs: %llu and %llu",
                 a->count, b->count, i, x ? (unsigned long long)x->seq : 0,
                 y ? (unsigned long long)y->seq : 0);
        return text;
    }
    if (a->first != b->first || a->last != b->last || a->last_time != b->last_time ||
        a->bytes != b->bytes) {
        snprintf(text, sizeof text,
                 "first %llu/%llu, last %llu/%llu, last time %lld/%lld, bytes %llu/%llu",
                 (unsigned long long)a->first, (unsigned long long)b->first,
                 (unsigned long long)a->last, (unsigned long long)b->last, (long long)a->last_time,
                 (long long)b->last_time, (unsigned long long)a->bytes,
                 (unsigned long long)b->bytes);
        return text;
    }
    return NULL;
}
