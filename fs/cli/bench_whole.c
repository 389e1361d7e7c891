/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs bench expire|backup`: messages that age takes out, and a backup of the whole stream. */
#include "fs/cli/bench.h"

#define HOUR INT64_C(3600000000000)

/* Messages stamped an hour ago, one by one as a follower stores them. */
static int fill_old(struct jf_bench *bench) {
    js_time_t then = js_env_default()->clock->now(NULL) - HOUR;
    int r = 0;

    for (uint64_t i = 1; i <= bench->msgs && r == 0; i++) {
        uint64_t id = jf_bench_subject_id(bench->subjects, i);
        struct js_new_msg msg = {.subject = bench->names[id],
                                 .subject_len = bench->name_lens[id],
                                 .hdr = jf_bench_header(bench->hdr),
                                 .hdr_len = bench->hdr,
                                 .data = jf_bench_payload(bench->noise, i),
                                 .data_len = bench->size};
        r = js_stream_store_raw_msg(bench->stream, &msg, i, then + (js_time_t)i, false);
    }
    return r < 0 ? r : js_stream_flush_all_pending(bench->stream);
}

int jf_bench_run_expire(struct jf_bench *bench) {
    struct js_stream_state st = {.msgs = bench->msgs};

    bench->max_age = 60;
    int r = jf_bench_create(bench);
    bench->max_age = 0;
    if (r)
        return r;
    r = fill_old(bench);
    if (r == 0) {
        js_stream_get_state(bench->stream, &st);
        r = jf_bench_expect(bench, "messages stored", st.msgs, bench->msgs);
    }
    jf_bench_start(bench);
    /* One call may leave some to the next. */
    for (uint64_t left = UINT64_MAX; r == 0 && st.msgs > 0 && st.msgs < left;) {
        left = st.msgs;
        r = js_store_run_due(bench->store, js_env_default()->clock->now(NULL));
        js_stream_get_state(bench->stream, &st);
    }
    if (r == 0)
        r = jf_bench_stop(bench, "expire", bench->msgs, 0);
    if (r == 0)
        r = jf_bench_expect(bench, "messages left", st.msgs, 0);
    return jf_bench_close(bench, r);
}

static int count_bytes(void *ctx, const void *data, size_t len) {
    (void)data;
    *(uint64_t *)ctx += len;
    return 0;
}

int jf_bench_run_backup(struct jf_bench *bench) {
    uint64_t bytes = 0;
    int r = jf_bench_prepare(bench, true);

    if (r == 0)
        r = jf_bench_open(bench, 0);
    if (r)
        return r;
    jf_bench_start(bench);
    r = js_stream_backup(bench->stream, 0, count_bytes, &bytes);
    if (r == 0)
        r = jf_bench_stop(bench, "backup", bench->msgs, bytes);
    if (r == 0) {
        jf_bench_start(bench);
        r = js_stream_backup(bench->stream, JS_BACKUP_CHECK, count_bytes, &bytes);
        if (r == 0)
            r = jf_bench_stop(bench, "backup_checked", bench->msgs, bytes / 2);
    }
    return jf_bench_close(bench, r);
}
