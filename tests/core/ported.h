/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ported tests of the peer's file store share: a stream on a disk in memory, in each of
 * the ways of tests/core/permutations.h, and short words for what tests do over and over.
 * Everything fails the test when it does not work.
 */
#ifndef TESTS_PORTED_H
#define TESTS_PORTED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/jetstore.h"
#include "tests/core/permutations.h"
#include "tests/support/ramdisk.h"
#include "tests/support/testenv.h"

struct pt {
    uint8_t *index; /* index.db that pt_restart_without_index() took away */
    size_t index_len;
    bool index_planted; /* it was of an earlier time */
    const struct permutation *perm;
    struct ramdisk *disk;
    struct testenv te;
    struct js_store *store;
    struct js_stream *stream;
    char config[2048];
    uint64_t block_size;
    enum js_sync_mode sync;
    unsigned flags; /* of opening */
    unsigned threads; /* scan_threads; 0 is 1 here, so that every run does the same */
};

/* Fails the test when r is an error; else r. */
int pt_must(struct pt *p, int r, const char *what);
/* Bytes of messages can be seen in files, and files can be made by a test. */
bool pt_is_plain(const struct pt *p);
/* Of the stream. */
const char *pt_account(void);
/* Fills p->config. */
void pt_make_config(struct pt *p, const char *rest);
/* Runs a body once in each enabled permutation. */
void pt_each(const char *name, void (*body)(struct pt *p));

#define PORTED(name)                                                                               \
    static void name##_in(struct pt *p);                                                           \
    static void name(void **state) {                                                               \
        (void)state;                                                                               \
        pt_each(#name, name##_in);                                                                        \
    }                                                                                              \
    static void name##_in(struct pt *p)

/* Makes and opens the stream "S" with all subjects (unless rest has "subjects"). rest: fields of
 * the configuration, or "". block_size 0: by the configuration. */
void pt_open(struct pt *p, const char *rest, uint64_t block_size);
/* Replaces the configuration; returns what the engine says. */
int pt_update(struct pt *p, const char *rest);
/* Puts meta.inf and meta.sum into a closed stream without asking the engine. */
void pt_plant_config(struct pt *p, const char *rest);
void pt_close(struct pt *p);
void pt_reopen(struct pt *p);
void pt_restart(struct pt *p);
void pt_restart_without_index(struct pt *p);
/* Closes, opens with every block read. */
void pt_restart_scanned(struct pt *p);
/* The stream is the same after a restart, without index.db, and read anew. */
void pt_same_everywhere(struct pt *p);
void pt_begin_anew(struct pt *p); /* forgets stream and disk */

/* The sequence it got. */
js_seq_t pt_store(struct pt *p, const char *subject, const char *text);
js_seq_t pt_store_hdr(struct pt *p, const char *subject, const char *hdr, const char *text);
js_seq_t pt_store_size(struct pt *p, const char *subject, size_t size);
void pt_store_n(struct pt *p, size_t n, const char *subject, const char *text);
int pt_try(struct pt *p, const char *subject, const char *text);
void pt_remove(struct pt *p, js_seq_t seq); /* was there */
void pt_erase(struct pt *p, js_seq_t seq);
uint64_t pt_purge(struct pt *p);
uint64_t pt_purge_ex(struct pt *p, const char *filter, js_seq_t seq, uint64_t keep);
uint64_t pt_compact(struct pt *p, js_seq_t seq);
void pt_skip(struct pt *p, size_t n);
/* Lets time pass and does what is due. */
void pt_pass(struct pt *p, js_time_t ns);

/* 0 or the error. */
int pt_load(struct pt *p, js_seq_t seq);
int pt_load_last(struct pt *p, const char *subject, js_seq_t *ret_seq);
int pt_next(struct pt *p, const char *filter, js_seq_t from, js_seq_t *ret_seq);
struct js_subject_state pt_filtered(struct pt *p, js_seq_t from, const char *filter);
uint64_t pt_pending(struct pt *p, js_seq_t from, const char *filter, bool last_per_subject);
void pt_expect_msg(struct pt *p, js_seq_t seq, const char *subject, const char *text);
struct js_stream_state pt_state(struct pt *p);
/* The deleted sequences within first..last as "2,5-7". */
const char *pt_deleted(struct pt *p);
#define PT_STATE(p, m, f, l)                                                                       \
    do {                                                                                           \
        struct js_stream_state st_ = pt_state(p);                                                  \
        assert_int_equal(st_.msgs, m);                                                             \
        assert_int_equal(st_.first_seq, f);                                                        \
        assert_int_equal(st_.last_seq, l);                                                         \
    } while (0)

/* ---- files: names below the stream's directory ------------------------------------------------
 */

const char *pt_path(const char *name);
bool pt_has_file(struct pt *p, const char *name);
long pt_file_size(struct pt *p, const char *name);
size_t pt_num_block_files(struct pt *p);
void pt_remove_file(struct pt *p, const char *name);
/* A copy to put back later; freed by pt_put_back. */
struct pt_kept {
    uint8_t *data;
    long len;
};
struct pt_kept pt_keep_file(struct pt *p, const char *name);
void pt_put_back(struct pt *p, const char *name, struct pt_kept *kept);

static inline uint64_t pt_record(size_t subject, size_t hdr, size_t data) {
    return 22 + subject + (hdr ? 4 + hdr : 0) + data + 8;
}

#endif
