/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs bench`: the store that is measured, and storing. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cli/bench.h"

#define ACCOUNT "$G"
#define STREAM  "BENCH"

/* ---- the store ---------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st;
    (void)type;
    /* The directory itself stays: it was made for us. */
    return at->level == 0 ? 0 : remove(path);
}

static int server_key(void *ctx, const char *account, const char *context, uint8_t ret_kek[32]) {
    (void)ctx;
    return js_kek_derive("bench", 5, account, context, ret_kek);
}

static int open_store(struct jf_bench *bench, unsigned flags) {
    struct js_store_options options = {
        .flags = flags, .sync = bench->sync, .cipher = bench->cipher, .key = server_key};
    char why[256] = "";
    int r = js_store_open(js_env_default(), bench->dir, &options, &bench->store, why, sizeof why);

    if (r < 0) {
        jf_cli_error(bench->call, bench->dir, r, why);
        return JF_BENCH_TOLD;
    }
    return 0;
}

static unsigned write_flags(const struct jf_bench *bench) {
    return JS_OPEN_RW | (bench->in_place ? 0 : JS_OPEN_ASYNC);
}

int jf_bench_create(struct jf_bench *bench) {
    char config[512], limits[128] = "", why[256] = "";

    if (nftw(bench->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        return JS_ERR_IO;
    int r = open_store(bench, write_flags(bench) | JS_OPEN_CREATE);
    if (r)
        return r;
    if (bench->max_msgs)
        snprintf(limits, sizeof limits, ",\"max_msgs\":%llu", (unsigned long long)bench->max_msgs);
    if (bench->max_per_subject)
        snprintf(limits + strlen(limits), sizeof limits - strlen(limits),
                 ",\"max_msgs_per_subject\":%llu", (unsigned long long)bench->max_per_subject);
    if (bench->max_age)
        snprintf(limits + strlen(limits), sizeof limits - strlen(limits),
                 ",\"max_age\":%llu000000000", (unsigned long long)bench->max_age);
    snprintf(config, sizeof config,
             "{\"subjects\":[\"bench.>\",\"dev.>\"],\"compression\":\"%s\"%s}", bench->compression,
             limits);
    r = js_store_create_stream(bench->store, ACCOUNT, STREAM, config, why, sizeof why);
    if (r == 0)
        r = js_store_get_stream(bench->store, ACCOUNT, STREAM, &bench->stream);
    if (r < 0) {
        jf_cli_error(bench->call, bench->dir, r, why);
        return jf_bench_close(bench, JF_BENCH_TOLD);
    }
    return 0;
}

int jf_bench_open(struct jf_bench *bench, unsigned flags) {
    int r = open_store(bench, flags);

    if (r)
        return r;
    r = js_store_get_stream(bench->store, ACCOUNT, STREAM, &bench->stream);
    return r < 0 ? jf_bench_close(bench, r) : 0;
}

int jf_bench_close(struct jf_bench *bench, int r) {
    js_stream_unref(bench->stream);
    int e = js_store_close(bench->store);

    bench->stream = NULL;
    bench->store = NULL;
    return r ? r : e;
}

/* ---- storing ------------------------------------------------------------------------------ */

static int store_batch(struct jf_bench *bench, struct js_new_msg *msgs, size_t n) {
    int err = 0;

    if (js_stream_store_msgs(bench->stream, msgs, n, &err) == (ssize_t)n)
        return 0;
    return err < 0 ? err : JS_ERR_IO;
}

int jf_bench_fill(struct jf_bench *bench, uint64_t from, uint64_t to) {
    struct js_new_msg *msgs = calloc(bench->batch, sizeof *msgs);
    const uint8_t *hdr = jf_bench_header(bench->hdr);
    int r = msgs ? 0 : JS_ERR_NOMEM;

    for (uint64_t i = from; i <= to && r == 0;) {
        size_t n = 0;
        for (; n < bench->batch && i <= to; n++, i++) {
            uint64_t id = jf_bench_subject_id(bench->subjects, i);
            msgs[n] = (struct js_new_msg){.subject = bench->names[id],
                                          .subject_len = bench->name_lens[id],
                                          .hdr = hdr,
                                          .hdr_len = bench->hdr,
                                          .data = jf_bench_payload(bench->noise, i),
                                          .data_len = bench->size};
        }
        r = store_batch(bench, msgs, n);
    }
    free(msgs);
    return r ? r : js_stream_flush_all_pending(bench->stream);
}

int jf_bench_prepare(struct jf_bench *bench, bool once) {
    uint64_t batch = bench->batch;

    if (once && bench->run > 0)
        return 0;
    int r = jf_bench_create(bench);
    if (r)
        return r;
    if (bench->batch < 256) /* this is not what is measured */
        bench->batch = 256;
    r = jf_bench_fill(bench, 1, bench->msgs);
    bench->batch = batch;
    return jf_bench_close(bench, r);
}

/* How many messages the limits leave. */
static uint64_t expected(const struct jf_bench *bench) {
    uint64_t most = bench->msgs;

    if (bench->max_per_subject) {
        uint32_t *seen = calloc(bench->subjects, sizeof *seen);
        most = 0;
        for (uint64_t i = bench->msgs; seen && i >= 1; i--)
            most += seen[jf_bench_subject_id(bench->subjects, i)]++ < bench->max_per_subject;
        free(seen);
    }
    return bench->max_msgs && bench->max_msgs < most ? bench->max_msgs : most;
}

int jf_bench_run_store(struct jf_bench *bench) {
    struct js_stream_state st;
    int r = jf_bench_create(bench);

    if (r)
        return r;
    jf_bench_payload(bench->noise, 1); /* making it is not part of what is measured */
    jf_bench_start(bench);
    r = jf_bench_fill(bench, 1, bench->msgs);
    if (r == 0)
        r = jf_bench_stop(bench, "store", bench->msgs, bench->msgs * bench->size);
    if (r == 0) {
        js_stream_get_state(bench->stream, &st);
        r = jf_bench_expect(bench, "last sequence", st.last_seq, bench->msgs);
        if (r == 0)
            r = jf_bench_expect(bench, "messages", st.msgs, expected(bench));
    }
    return jf_bench_close(bench, r);
}
