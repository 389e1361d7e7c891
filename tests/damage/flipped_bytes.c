/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One byte of one block is changed, 1,000 times per kind of block: verifying tells it every time,
 * nothing that is served differs from what was stored, and no more is lost than the byte can hit:
 * one record, or in compressed blocks what lies in that block.
 *
 * Two things no reader can tell, and they are counted apart: a byte of a compressed block may
 * change without changing what it decodes to; and the length of a header block is covered by no
 * checksum, so its end may move when more than one bit of it changes.
 *
 * The files stay as they are: the byte changes on its way, in the table of file operations that the
 * library is given. Prints TAP.
 *
 * usage: flipped_bytes GOLDEN [COUNT]
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/jetstore.h"

#define MAX_FD   1024
#define MAX_MSGS 1000
#define MAX_TOLD 5

struct kind {
    const char *name;
    const char *stream; /* directory below the golden stores */
    bool encrypted;
    bool compressed;
};

static const struct kind kinds[] = {
    {"plain", "2.15.1/blocks/store/jetstream/$G/streams/BLK", false, false},
    {"S2", "2.15.1/s2/store/jetstream/$G/streams/S2", false, true},
    {"ChaCha", "2.15.1/chacha/store/jetstream/$G/streams/MIX", true, false},
    {"AES", "2.15.1/aes/store/jetstream/$G/streams/MIX", true, false},
    {"AES and S2", "2.15.1/aes-s2/store/jetstream/$G/streams/MIXS2", true, true},
    {"ChaCha and S2", "2.10.27/chacha-s2/store/jetstream/$G/streams/MIXS2", true, true},
};

struct stored {
    js_seq_t seq;
    js_time_t time;
    size_t subject_len, hdr_len, data_len;
    uint8_t *bytes; /* subject, headers, payload */
    uint32_t block;
};

struct flip {
    char file[32]; /* "" for none */
    uint64_t offset;
    uint8_t mask;
    atomic_bool fds[MAX_FD]; /* open descriptors of that file */
};

static struct flip flip;
static const struct js_io *real;

static int flip_open_file(void *ctx, int dirfd, const char *name, int flags, unsigned mode) {
    int fd = real->open_file(ctx, dirfd, name, flags, mode);

    if (fd >= 0 && fd < MAX_FD)
        flip.fds[fd] = strcmp(name, flip.file) == 0;
    return fd;
}

static int flip_close(void *ctx, int fd) {
    if (fd >= 0 && fd < MAX_FD)
        flip.fds[fd] = false;
    return real->close(ctx, fd);
}

static ssize_t flip_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off) {
    ssize_t n = real->pread(ctx, fd, buf, len, off);

    if (n > 0 && fd < MAX_FD && flip.fds[fd] && flip.offset >= off &&
        flip.offset - off < (uint64_t)n)
        ((uint8_t *)buf)[flip.offset - off] ^= flip.mask;
    return n;
}

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int kek(void *ctx, const char *account, const char *context, uint8_t ret_kek[32]) {
    static const char key[] = "corpus-secret-key";

    (void)ctx;
    return js_kek_derive(key, sizeof key - 1, account, context, ret_kek);
}

/* ---- opening and reading ------------------------------------------------------------------ */

static int first_name(void *ctx, const char *name) {
    snprintf(ctx, 64, "%s", name);
    return 1;
}

static bool open_stream(const struct js_env *env, const struct kind *kind, const char *path,
                        struct js_store **ret_store, struct js_stream **ret_stream) {
    struct js_store_options options = {.account = "$G", .key = kind->encrypted ? kek : NULL};
    char account[64] = "", name[64] = "";

    if (js_store_open(env, path, &options, ret_store, NULL, 0) < 0)
        return false;
    js_store_list_accounts(*ret_store, first_name, account);
    js_store_list_streams(*ret_store, account, first_name, name);
    if (js_store_get_stream(*ret_store, account, name, ret_stream) == 0)
        return true;
    js_store_close(*ret_store);
    return false;
}

/* The same bytes, divided at another place into headers and payload. */
static bool shifted_msg(const struct stored *stored, const struct js_msg *msg) {
    return msg->hdr_len > 0 && stored->time == msg->time &&
           stored->subject_len == msg->subject_len && stored->hdr_len != msg->hdr_len &&
           stored->hdr_len + stored->data_len == msg->hdr_len + msg->data_len &&
           memcmp(stored->bytes, msg->subject, msg->subject_len) == 0 &&
           memcmp(stored->bytes + stored->subject_len, msg->hdr, msg->hdr_len) == 0 &&
           memcmp(stored->bytes + stored->subject_len + msg->hdr_len, msg->data, msg->data_len) ==
               0;
}

static bool equal_msg(const struct stored *stored, const struct js_msg *msg) {
    const uint8_t *p = stored->bytes;

    return stored->time == msg->time && stored->subject_len == msg->subject_len &&
           stored->hdr_len == msg->hdr_len && stored->data_len == msg->data_len &&
           memcmp(p, msg->subject, msg->subject_len) == 0 &&
           (msg->hdr_len == 0 || memcmp(p + stored->subject_len, msg->hdr, msg->hdr_len) == 0) &&
           (msg->data_len == 0 ||
            memcmp(p + stored->subject_len + stored->hdr_len, msg->data, msg->data_len) == 0);
}

static struct stored keep(struct js_stream *stream, const struct js_msg *msg) {
    struct stored stored = {.seq = msg->seq,
                            .time = msg->time,
                            .subject_len = msg->subject_len,
                            .hdr_len = msg->hdr_len,
                            .data_len = msg->data_len};
    struct js_msg_stat stat = {0};

    stored.bytes = malloc(msg->subject_len + msg->hdr_len + msg->data_len + 1);
    if (!stored.bytes || js_stream_stat_msg(stream, msg->seq, &stat) < 0)
        abort();
    memcpy(stored.bytes, msg->subject, msg->subject_len);
    if (msg->hdr_len > 0)
        memcpy(stored.bytes + msg->subject_len, msg->hdr, msg->hdr_len);
    if (msg->data_len > 0)
        memcpy(stored.bytes + msg->subject_len + msg->hdr_len, msg->data, msg->data_len);
    stored.block = stat.block;
    return stored;
}

static size_t read_all(struct js_stream *stream, struct stored *list) {
    struct js_msg msg;
    size_t n = 0;

    for (js_seq_t from = 0; n < MAX_MSGS; from = list[n - 1].seq + 1) {
        if (js_stream_load_next_msg(stream, NULL, from, &msg) < 0)
            break;
        list[n++] = keep(stream, &msg);
        js_msg_release(&msg);
    }
    return n;
}

/* ---- one damage --------------------------------------------------------------------------- */

struct outcome {
    bool told;       /* verifying found something */
    size_t lost;     /* messages of the block that was hit */
    size_t innocent; /* lost messages of other blocks */
    size_t altered;  /* served, and not what was stored */
    size_t shifted;  /* served, with the end of the headers at another place */
    size_t extra;    /* served, though they had been removed */
};

/* Single messages by their sequence, of a stream that nobody has read yet: those of the block, newest
 * first. */
static size_t altered_alone(struct js_stream *stream, const struct stored *list, size_t count,
                            uint32_t block) {
    size_t altered = 0;

    for (size_t i = count; i-- > 0;) {
        struct js_msg msg;
        if (list[i].block != block || js_stream_load_msg(stream, list[i].seq, &msg) != 0)
            continue;
        altered += !equal_msg(&list[i], &msg) && !shifted_msg(&list[i], &msg);
        js_msg_release(&msg);
    }
    return altered;
}

static struct outcome compare(struct js_stream *stream, const struct stored *list, size_t count,
                              uint32_t block) {
    struct outcome outcome = {0};
    struct js_iter *iter;
    js_seq_t from = 0;
    size_t at = 0;

    if (js_iter_open(stream, NULL, &iter) < 0)
        abort();
    for (;;) {
        struct js_msg msg = {0};
        int r = js_iter_next(iter, from, &msg);

        if (r == JS_ERR_EOF || (r < 0 && r != JS_ERR_BAD_MSG))
            break;
        from = msg.seq + 1;
        if (r < 0)
            continue;
        for (; at < count && list[at].seq < msg.seq; at++)
            *(list[at].block == block ? &outcome.lost : &outcome.innocent) += 1;
        if (at == count || list[at].seq != msg.seq) {
            outcome.extra++;
            continue;
        }
        if (shifted_msg(&list[at], &msg))
            outcome.shifted++;
        else
            outcome.altered += !equal_msg(&list[at], &msg);
        at++;
    }
    for (; at < count; at++)
        *(list[at].block == block ? &outcome.lost : &outcome.innocent) += 1;
    js_iter_close(iter);
    outcome.told = js_stream_verify(stream) == 0 && js_stream_health(stream) != JS_HEALTH_OK;
    return outcome;
}

/* A tombstone that was hit no longer removes: one message may be back. */
static bool acceptable(const struct kind *kind, const struct outcome *outcome) {
    bool same = kind->compressed && outcome->lost + outcome->extra == 0;

    return (outcome->told || same || outcome->shifted == 1) && outcome->altered == 0 &&
           outcome->innocent == 0 && outcome->extra <= 1 &&
           (kind->compressed || outcome->lost <= 1);
}

struct block_file {
    uint32_t number;
    uint64_t size;
};

static size_t list_blocks(struct js_stream *stream, struct block_file *blocks, size_t max,
                          uint64_t *ret_total) {
    struct js_block_info info;
    size_t n = 0;

    *ret_total = 0;
    for (; n < max && js_stream_block(stream, n, &info) == 0; n++) {
        blocks[n] = (struct block_file){.number = info.number, .size = info.file_bytes};
        *ret_total += info.file_bytes;
    }
    return n;
}

static uint32_t aim(const struct block_file *blocks, uint64_t total, uint64_t *random) {
    uint64_t at = next_random(random) % total;
    size_t i = 0;

    for (; at >= blocks[i].size; i++)
        at -= blocks[i].size;
    snprintf(flip.file, sizeof flip.file, "%u.blk", blocks[i].number);
    flip.offset = at;
    flip.mask = (uint8_t)(next_random(random) % 255 + 1);
    return blocks[i].number;
}

/* Returns how many damages had an outcome that is not acceptable. */
static unsigned run_kind(const struct js_env *env, const struct kind *kind, const char *path,
                         unsigned count) {
    struct stored *list = calloc(MAX_MSGS, sizeof *list);
    struct block_file blocks[64];
    uint64_t random = 0x9e3779b97f4a7c15u, total;
    struct js_store *store;
    struct js_stream *stream;
    unsigned bad = 0, same = 0, shifted = 0;
    size_t msgs;

    flip.file[0] = '\0';
    if (!list || !open_stream(env, kind, path, &store, &stream)) {
        printf("# %s cannot be opened\n", path);
        free(list);
        return count;
    }
    msgs = read_all(stream, list);
    list_blocks(stream, blocks, 64, &total);
    js_stream_unref(stream);
    js_store_close(store);
    for (unsigned i = 0; i < count; i++) {
        uint32_t block = aim(blocks, total, &random);
        struct outcome outcome = {0};

        if (open_stream(env, kind, path, &store, &stream)) {
            size_t altered = i % 2 ? altered_alone(stream, list, msgs, block) : 0;
            outcome = compare(stream, list, msgs, block);
            outcome.altered += altered;
            js_stream_unref(stream);
            js_store_close(store);
        }
        shifted += outcome.shifted > 0;
        same += !outcome.told && outcome.shifted == 0;
        if (acceptable(kind, &outcome) || bad++ >= MAX_TOLD)
            continue;
        printf("# %s offset %" PRIu64 " xor %02x: %s, lost %zu, in other blocks %zu, altered %zu, "
               "back %zu\n",
               flip.file, flip.offset, flip.mask, outcome.told ? "told" : "not told", outcome.lost,
               outcome.innocent, outcome.altered, outcome.extra);
    }
    for (size_t i = 0; i < msgs; i++)
        free(list[i].bytes);
    free(list);
    printf("# %s: %u of %u decode to the same, %u moved the end of a header block\n", kind->name,
           same, count, shifted);
    /* Rare as they are: one in a hundred would be something else. */
    return msgs > 0 && same + shifted <= 1 + count / 100 ? bad : count;
}

int main(int argc, char **argv) {
    unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 1000;
    struct js_env env = *js_env_default();
    struct js_io io = *env.io;
    unsigned failed = 0;
    size_t n = sizeof kinds / sizeof kinds[0];

    if (argc < 2) {
        fprintf(stderr, "usage: flipped_bytes GOLDEN [COUNT]\n");
        return 2;
    }
    real = env.io;
    io.open_file = flip_open_file;
    io.close = flip_close;
    io.pread = flip_pread;
    env.io = &io;
    for (size_t i = 0; i < n; i++) {
        char path[4096];
        unsigned bad;

        snprintf(path, sizeof path, "%s/%s", argv[1], kinds[i].stream);
        bad = run_kind(&env, &kinds[i], path, count);
        failed += bad > 0;
        printf("%s %zu - %u of %u changed bytes in %s blocks are told and cost no more than they "
               "hit\n",
               bad ? "not ok" : "ok", i + 1, count - bad, count, kinds[i].name);
        fflush(stdout);
    }
    printf("1..%zu\n", n);
    return failed ? 1 : 0;
}
