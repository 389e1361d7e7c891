/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs bench remove`: messages taken out one by one. Each case has a store of its own, because it
 * leaves half of it. */
#include <stdlib.h>

#include "fs/cli/bench.h"

/* The first half of a Fisher-Yates permutation of the sequences; given (free()). */
static js_seq_t *random_half(const struct jf_bench *bench) {
    js_seq_t *seqs = malloc(bench->msgs * sizeof *seqs);

    if (!seqs)
        return NULL;
    for (uint64_t i = 0; i < bench->msgs; i++)
        seqs[i] = i + 1;
    for (uint64_t i = bench->msgs - 1; i > 0; i--) {
        uint64_t k = jf_bench_mix(i) % (i + 1);
        js_seq_t t = seqs[i];
        seqs[i] = seqs[k];
        seqs[k] = t;
    }
    return seqs;
}

/* Removes n messages: those listed, or every step-th. */
static int remove_all(struct jf_bench *bench, const char *name, const js_seq_t *seqs, uint64_t step) {
    uint64_t n = bench->msgs / 2;
    struct js_stream_state st;
    int r = jf_bench_open(bench, JS_OPEN_RW | (bench->in_place ? 0 : JS_OPEN_ASYNC));

    if (r)
        return r;
    r = js_stream_scan(bench->stream); /* opening is not what is measured */
    jf_bench_start(bench);
    for (uint64_t i = 0; i < n && r == 0; i++) {
        r = js_stream_remove_msg(bench->stream, seqs ? seqs[i] : 1 + i * step);
        r = r == 1 ? 0 : r < 0 ? r : jf_bench_expect(bench, "removed", 0, 1);
    }
    if (r == 0)
        r = js_stream_flush_all_pending(bench->stream);
    if (r == 0)
        r = jf_bench_stop(bench, name, n, 0);
    if (r == 0) {
        js_stream_get_state(bench->stream, &st);
        r = jf_bench_expect(bench, "messages left", st.msgs, bench->msgs - n);
    }
    return jf_bench_close(bench, r);
}

int jf_bench_run_remove(struct jf_bench *bench) {
    js_seq_t *seqs = random_half(bench);
    int r = seqs ? jf_bench_prepare(bench, false) : JS_ERR_NOMEM;

    if (r == 0)
        r = remove_all(bench, "remove_random_half", seqs, 0);
    free(seqs);
    if (r == 0)
        r = jf_bench_prepare(bench, false);
    if (r == 0)
        r = remove_all(bench, "remove_every_second", NULL, 2);
    if (r == 0)
        r = jf_bench_prepare(bench, false);
    if (r == 0)
        r = remove_all(bench, "remove_first_half", NULL, 1);
    return r;
}
