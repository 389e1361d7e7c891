/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs bench consumer`: the consumer store (deliveries and acknowledgements, its state's encoding
 * and reading), and delivering from the stream. */
#include <string.h>

#include "fs/cli/bench.h"

#define NAME    "bench"
#define PENDING 100000
#define BATCH   256

static const char config[] = "{\"ack_policy\":\"explicit\",\"max_ack_pending\":-1}";

static js_time_t wall(void) {
    const struct js_env *env = js_env_default();

    return env->clock->now(env->clock->ctx);
}

/* A new consumer; one of that name goes. */
static int begin(struct jf_bench *bench, struct js_consumer **ret) {
    char why[200];
    int r = js_stream_delete_consumer(bench->stream, NAME, true);

    if (r == 0 || r == JS_ERR_NO_CONSUMER)
        r = js_stream_create_consumer(bench->stream, NAME, config, why, sizeof why);
    return r < 0 ? r : js_stream_open_consumer(bench->stream, NAME, ret);
}

static int expect_floor(struct jf_bench *bench, struct js_consumer *c, uint64_t want) {
    struct js_consumer_state st;
    int r = js_consumer_state(c, &st);

    if (r < 0)
        return r;
    r = jf_bench_expect(bench, "acknowledged", st.floor_stream, want);
    js_consumer_state_done(&st);
    return r;
}

/* Deliveries and acknowledgements, as many in flight as the window; acknowledged in order or, a
 * window at a time, from the last to the first. */
static int pairs(struct jf_bench *bench, const char *name, uint64_t window, bool reversed) {
    uint64_t n = bench->msgs - bench->msgs % window;
    js_time_t now = wall();
    struct js_consumer *c;
    int r = begin(bench, &c);

    if (r < 0)
        return r;
    jf_bench_start(bench);
    for (uint64_t base = 0; base < n && r == 0; base += window) {
        for (uint64_t i = 1; i <= window && r == 0; i++)
            r = js_consumer_update_delivered(c, base + i, base + i, 1, now);
        for (uint64_t i = 1; i <= window && r == 0; i++) {
            uint64_t seq = reversed ? base + window + 1 - i : base + i;
            r = js_consumer_update_acks(c, seq, seq);
        }
    }
    if (r == 0)
        r = jf_bench_stop(bench, name, n, 0);
    if (r == 0)
        r = expect_floor(bench, c, n);
    js_consumer_unref(c);
    return r;
}

static int add_length(void *ctx, const void *data, size_t len) {
    (void)data;
    *(uint64_t *)ctx += len;
    return 0;
}

static int look(void *ctx, const struct js_consumer_state *st) {
    *(uint64_t *)ctx = st->num_pending;
    return 0;
}

/* With many pending: the state encoded, put on disk, and read again. */
static int states(struct jf_bench *bench) {
    uint64_t n = bench->msgs < PENDING ? bench->msgs : PENDING, len = 0, pending = 0;
    js_time_t now = wall();
    struct js_consumer *c;
    int r = begin(bench, &c);

    if (r < 0)
        return r;
    for (uint64_t i = 1; i <= n && r == 0; i++)
        r = js_consumer_update_delivered(c, i, i, 1, now);
    jf_bench_start(bench);
    if (r == 0)
        r = js_consumer_encoded_state(c, add_length, &len);
    if (r == 0)
        r = jf_bench_stop(bench, "state_encode", 1, len);
    jf_bench_start(bench);
    if (r == 0)
        r = js_consumer_sync(c);
    if (r == 0)
        r = jf_bench_stop(bench, "state_write", 1, len);
    if (r == 0)
        r = js_consumer_stop(c);
    js_consumer_unref(c);
    if (r < 0)
        return r;
    jf_bench_start(bench);
    r = js_stream_open_consumer(bench->stream, NAME, &c);
    if (r < 0)
        return r;
    r = jf_bench_stop(bench, "state_reload", 1, len);
    if (r == 0)
        r = js_consumer_borrow_state(c, look, &pending);
    if (r == 0)
        r = jf_bench_expect(bench, "pending", pending, n);
    js_consumer_unref(c);
    return r;
}

/* What comes next and its acknowledgement, by the stream's index. */
static int deliver(struct jf_bench *bench, const char *name, size_t batch) {
    struct js_delivery d[BATCH];
    struct js_ack acks[BATCH];
    struct js_consumer *c;
    uint64_t n = 0, left = 1;
    int r = begin(bench, &c);

    if (r < 0)
        return r;
    jf_bench_start(bench);
    while (n < bench->msgs && r == 0) {
        size_t k = 0;
        r = js_consumer_next(c, d, batch, &k);
        for (size_t i = 0; i < k; i++)
            acks[i] = (struct js_ack){.seq = d[i].seq};
        if (r == 0)
            r = js_consumer_ack(c, acks, k, NULL);
        if (k)
            left = d[k - 1].num_pending;
        n += k;
    }
    if (r == 0)
        r = jf_bench_stop(bench, name, n, 0);
    if (r == 0)
        r = jf_bench_expect(bench, "left", left, 0);
    if (r == 0)
        r = expect_floor(bench, c, bench->msgs);
    js_consumer_unref(c);
    return r;
}

int jf_bench_run_consumer(struct jf_bench *bench) {
    uint64_t window = bench->window < bench->msgs ? bench->window : bench->msgs;
    int r = jf_bench_prepare(bench, true);

    if (r == 0)
        r = jf_bench_open(bench, JS_OPEN_RW);
    if (r)
        return r;
    r = js_stream_scan(bench->stream);
    if (r == 0)
        r = pairs(bench, "pairs_one_in_flight", 1, false);
    if (r == 0)
        r = pairs(bench, "pairs_in_order", window, false);
    if (r == 0)
        r = pairs(bench, "pairs_reversed", window, true);
    if (r == 0)
        r = states(bench);
    if (r == 0)
        r = deliver(bench, "next_ack", 1);
    if (r == 0)
        r = deliver(bench, "next_ack_batch", BATCH);
    return jf_bench_close(bench, r);
}
