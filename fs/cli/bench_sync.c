/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs bench sync`: messages that are on disk when the call returns, stored by one thread and by
 * sixteen, beside the same number of bytes appended to a plain file. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/cli/bench.h"

#define WRITERS      16
#define RECORD_EXTRA 30 /* what a record has besides subject, header and payload */
#define MOST         5000 /* messages of one writer */

struct shared {
    struct jf_bench *bench;
    atomic_uint_fast64_t next;
    uint64_t msgs;
    atomic_int error;
};

static void *store_some(void *arg) {
    struct shared *sh = arg;
    const struct jf_bench *b = sh->bench;
    uint64_t i;

    while ((i = atomic_fetch_add(&sh->next, 1)) <= sh->msgs) {
        uint64_t id = jf_bench_subject_id(b->subjects, i);
        int r = js_stream_store_msg(b->stream, b->names[id], b->name_lens[id],
                                    jf_bench_header(b->hdr), b->hdr, jf_bench_payload(b->noise, i),
                                    b->size, NULL, NULL);
        if (r < 0)
            atomic_store(&sh->error, r);
        if (r < 0)
            break;
    }
    return NULL;
}

static int store_by(struct jf_bench *bench, const char *name, unsigned writers, uint64_t msgs) {
    struct shared sh = {.bench = bench, .msgs = msgs};
    struct js_stream_state st;
    pthread_t threads[WRITERS];
    unsigned n = 0;
    int r = jf_bench_create(bench);

    if (r)
        return r;
    atomic_init(&sh.next, 1);
    jf_bench_payload(bench->noise, 1);
    jf_bench_header(bench->hdr);
    jf_bench_start(bench);
    while (n < writers && pthread_create(&threads[n], NULL, store_some, &sh) == 0)
        n++;
    r = n == writers ? 0 : JS_ERR_NOMEM;
    while (n > 0)
        pthread_join(threads[--n], NULL);
    if (r == 0)
        r = atomic_load(&sh.error);
    if (r == 0)
        r = jf_bench_stop(bench, name, msgs, msgs * bench->size);
    if (r == 0) {
        js_stream_get_state(bench->stream, &st);
        r = jf_bench_expect(bench, name, st.msgs, msgs);
    }
    return jf_bench_close(bench, r);
}

/* The same bytes to a plain file. */
static int append_raw(struct jf_bench *bench, uint64_t msgs) {
    char path[sizeof bench->dir + 16];
    size_t len = bench->size + bench->hdr + bench->name_lens[0] + RECORD_EXTRA;

    snprintf(path, sizeof path, "%s/raw", bench->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    int r = fd < 0 ? -errno : 0;
    uint8_t *buf = calloc(1, len);
    if (!buf && r == 0)
        r = -ENOMEM;
    jf_bench_start(bench);
    for (uint64_t i = 0; i < msgs && r == 0; i++) {
        if (pwrite(fd, buf, len, (off_t)(i * len)) != (ssize_t)len || fdatasync(fd) < 0)
            r = -EIO;
    }
    if (r == 0)
        r = jf_bench_stop(bench, "append_and_fdatasync", msgs, msgs * bench->size);
    if (fd >= 0)
        close(fd);
    free(buf);
    return r < 0 && r > -600 ? js_err_from_errno(-r) : r;
}

int jf_bench_run_sync(struct jf_bench *bench) {
    uint64_t msgs = bench->msgs < MOST ? bench->msgs : MOST;
    enum js_sync_mode mode = bench->sync;

    bench->sync = JS_SYNC_ALWAYS;
    int r = append_raw(bench, msgs);
    if (r == 0)
        r = store_by(bench, "sync_1_writer", 1, msgs);
    if (r == 0)
        r = store_by(bench, "sync_16_writers", WRITERS, bench->msgs < MOST * 8 ? bench->msgs : MOST * 8);
    bench->sync = mode;
    return r;
}
