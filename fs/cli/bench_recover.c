/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs bench recover`: opening the stream with what a clean end, no index.db, or a crash left. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/cli/bench.h"

#define APPENDED 10 /* after index.db was written */

static int open_index(const struct jf_bench *bench, int flags) {
    char path[sizeof bench->dir + 64];

    snprintf(path, sizeof path, "%s/jetstream/$G/streams/BENCH/msgs/index.db", bench->dir);
    return open(path, flags | O_CLOEXEC, 0640);
}

/* The whole file; given (free()). */
static int read_index(const struct jf_bench *bench, uint8_t **ret_data, size_t *ret_len) {
    int fd = open_index(bench, O_RDONLY);
    off_t len = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

    *ret_data = len > 0 ? malloc((size_t)len) : NULL;
    ssize_t n = *ret_data ? pread(fd, *ret_data, (size_t)len, 0) : -1;
    if (fd >= 0)
        close(fd);
    if (n < 0 || n != len) {
        free(*ret_data);
        *ret_data = NULL;
        return JS_ERR_IO;
    }
    *ret_len = (size_t)len;
    return 0;
}

static int write_index(const struct jf_bench *bench, const uint8_t *data, size_t len) {
    int fd = open_index(bench, O_WRONLY | O_CREAT | O_TRUNC);
    ssize_t n = fd < 0 ? -1 : write(fd, data, len);

    if (fd >= 0)
        close(fd);
    return n >= 0 && (size_t)n == len ? 0 : JS_ERR_IO;
}

static int remove_index(const struct jf_bench *bench) {
    char path[sizeof bench->dir + 64];

    snprintf(path, sizeof path, "%s/jetstream/$G/streams/BENCH/msgs/index.db", bench->dir);
    return unlink(path) < 0 && errno != ENOENT ? JS_ERR_IO : 0;
}

/* Opens once; one operation is one opening. */
static int timed_open(struct jf_bench *bench, const char *name, uint64_t want) {
    struct js_stream_state st;

    jf_bench_start(bench);
    int r = jf_bench_open(bench, 0);
    if (r)
        return r;
    r = jf_bench_stop(bench, name, 1, 0);
    if (r == 0) {
        js_stream_get_state(bench->stream, &st);
        r = jf_bench_expect(bench, "messages", st.msgs, want);
        if (r == 0)
            r = jf_bench_expect(bench, "last sequence", st.last_seq, want);
    }
    return jf_bench_close(bench, r);
}

int jf_bench_run_recover(struct jf_bench *bench) {
    uint8_t *index = NULL;
    size_t len = 0;
    int r = jf_bench_prepare(bench, false);

    if (r == 0)
        r = timed_open(bench, "open_index", bench->msgs);
    if (r == 0)
        r = read_index(bench, &index, &len);
    if (r == 0)
        r = jf_bench_open(bench, JS_OPEN_RW);
    if (r == 0)
        r = jf_bench_close(bench, jf_bench_fill(bench, bench->msgs + 1, bench->msgs + APPENDED));
    if (r == 0)
        r = write_index(bench, index, len);
    if (r == 0)
        r = timed_open(bench, "open_after_crash", bench->msgs + APPENDED);
    if (r == 0)
        r = remove_index(bench);
    if (r == 0)
        r = timed_open(bench, "open_without_index", bench->msgs + APPENDED);
    free(index);
    return r;
}
