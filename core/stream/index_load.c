/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.db: read, checked, and held against the directory.
 *
 * Fresh (describes the directory as it is): hash and structure good, its last block exists and ends
 * with the checksum that it names, no higher block, every listed block exists, and the sums agree.
 * Then it is the authority on what was deleted.
 *
 * Stale but good (hash and structure good, only older than the blocks): what it says about deletions
 * up to its own last sequence still holds, because sequences are never given out twice. What was
 * appended later is replayed from the records. The server rebuilds everything in this case and so
 * brings back messages that limits had removed.
 */
#include <stdio.h>

#include "core/base/file.h"
#include "core/base/limits.h"
#include "core/format/subject.h"
#include "core/stream/stream.h"

void js_stream_drop_index(struct js_stream *s) {
    if (!s->index)
        return;
    js_index_db_done(s->index);
    js_free(s->env, s->index);
    s->index = NULL;
    s->index_fresh = false;
}

static int report_index(struct js_stream *s, enum js_health verdict, const char *text) {
    struct js_problem p = {.verdict = verdict, .file = "msgs/index.db"};
    return js_stream_report(s, &p, "%s", text);
}

/* Checks the trailing hash and decrypts. *ret_use false: reported, nothing to use. */
static int open_index(struct js_stream *s, struct js_buf *file, struct js_buf *plain,
                      bool *ret_use) {
    struct js_hash_key key;
    uint8_t sum[8];

    *ret_use = false;
    if (file->len < 32)
        return report_index(s, JS_HEALTH_TORN_TAIL,
                            "too short (torn while written); rebuilt from the blocks");
    size_t body = file->len - 8;
    js_hash_key_of_name(&key, s->name, strlen(s->name));
    uint64_t digest = js_hash64_one(&key, file->data, body);
    memcpy(sum, &digest, 8);
    if (memcmp(sum, file->data + body, 8) != 0)
        return report_index(s, JS_HEALTH_DAMAGED,
                            "its checksum is wrong; rebuilt from the blocks");
    if (!s->encrypted) {
        js_buf_append(plain, file->data, body);
        *ret_use = true;
        return plain->failed ? JS_ERR_NOMEM : 0;
    }
    if (!s->seed)
        return 0;
    int r = js_unseal(s->seed->cipher, s->seed->seed, file->data, body, plain);
    if (r == 0)
        *ret_use = true;
    if (r != JS_ERR_CORRUPT)
        return r;
    plain->len = 0;
    if (body && file->data[0] == 11) { /* a restored backup: not encrypted yet */
        js_buf_append(plain, file->data, body);
        *ret_use = true;
        return plain->failed ? JS_ERR_NOMEM : 0;
    }
    return report_index(s, JS_HEALTH_DAMAGED,
                        "cannot be decrypted with the stream's seed; rebuilt from the blocks");
}

/* The last 8 bytes of a block as stored, decrypted; zeros when shorter. */
static int last_bytes(struct js_stream *s, uint32_t number, uint8_t ret[8]) {
    struct js_block_key *key;
    enum js_scan_verdict verdict;
    struct js_extent ext;

    memset(ret, 0, 8);
    int r = js_stream_block_key(s, number, &key, &verdict);
    if (r < 0)
        return r;
    if (verdict != JS_SCAN_OK)
        return JS_ERR_CORRUPT;
    r = js_files_open_block(&s->files, number, &ext);
    if (r == 0) {
        if (ext.len >= 8) {
            ssize_t n = js_file_read(s->env, ext.fd, ret, 8, ext.off + ext.len - 8);
            if (n < 0)
                r = (int)n;
            else if (n < 8)
                r = JS_ERR_STALE;
            else if (key)
                r = js_block_xor(key, ext.len - 8, ret, 8);
        }
        js_extent_close(s->env, &ext);
    }
    js_vault_put(s->vault, key);
    return r;
}

static bool subjects_fine(const struct js_index_db *ix) {
    for (size_t i = 0; i < ix->num_subjects; i++)
        if (!js_subject_storable(ix->subjects[i].name, ix->subjects[i].len))
            return false;
    return true;
}

/* The sums over the blocks against the totals (docs/disk-format.md). */
static bool sums_agree(const struct js_index_db *ix) {
    uint64_t msgs = 0, bytes = 0;
    js_seq_t last = 0;

    for (size_t i = 0; i < ix->num_blocks; i++) {
        const struct js_index_block *b = &ix->blocks[i];
        msgs += js_index_msgs(b);
        bytes += b->bytes;
        if (b->last_seq > last)
            last = b->last_seq;
    }
    return msgs == ix->msgs && bytes == ix->bytes && (ix->num_blocks == 0 || last == ix->last_seq);
}

static bool has_number(const uint32_t *numbers, size_t count, uint32_t n) {
    size_t lo = 0, hi = count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (numbers[mid] < n)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < count && numbers[lo] == n;
}

/* Ascending, unique block numbers: what every later lookup relies on. */
static bool blocks_ordered(const struct js_index_db *ix) {
    for (size_t i = 1; i < ix->num_blocks; i++)
        if (ix->blocks[i].number <= ix->blocks[i - 1].number)
            return false;
    return true;
}

static int judge(struct js_stream *s, const uint32_t *numbers, size_t count) {
    struct js_index_db *ix = s->index;
    uint8_t sum[8];
    bool missing = false;

    if (!subjects_fine(ix) || !sums_agree(ix) || !blocks_ordered(ix) || ix->num_blocks == 0 ||
        ix->blocks[ix->num_blocks - 1].number != ix->last_block) {
        js_stream_drop_index(s);
        return report_index(s, JS_HEALTH_DAMAGED,
                            "its parts contradict each other; rebuilt from the blocks");
    }
    for (size_t i = 0; i < ix->num_blocks; i++)
        missing |= !has_number(numbers, count, ix->blocks[i].number);
    if (!has_number(numbers, count, ix->last_block)) {
        s->index_fresh = false;
        return 0;
    }
    int r = last_bytes(s, ix->last_block, sum);
    if (js_is_shortage(r))
        return r;
    s->index_fresh = r == 0 && memcmp(sum, ix->last_sum, 8) == 0 &&
                     (count == 0 || numbers[count - 1] <= ix->last_block);
    (void)missing; /* a fresh index makes missing blocks lost ones: ingest reports them */
    return 0;
}

static bool sum_right(const struct js_stream *s, const struct js_buf *file) {
    struct js_hash_key key;

    if (file->len < 32)
        return false;
    js_hash_key_of_name(&key, s->name, strlen(s->name));
    return js_hash64_one(&key, file->data, file->len - 8) ==
           js_get64(file->data + file->len - 8);
}

/* Servers write the file in place: one that is wrong is read again as long as it changes. */
static int read_index(struct js_stream *s, struct js_buf *file) {
    struct js_buf again = {.env = s->env};
    int r = js_files_slurp(&s->files, "msgs/index.db", JS_MAX_STATE_FILE, file);

    for (int tries = 0; r == 0 && tries < 20 && !sum_right(s, file); tries++) {
        again.len = 0;
        r = js_files_slurp(&s->files, "msgs/index.db", JS_MAX_STATE_FILE, &again);
        bool same = again.len >= 32 && again.len == file->len &&
                    memcmp(again.data, file->data, file->len) == 0;
        struct js_buf t = *file;
        *file = again;
        again = t;
        if (same)
            break;
    }
    js_buf_done(&again);
    return r;
}

int js_stream_load_index(struct js_stream *s, const uint32_t *numbers, size_t count) {
    struct js_buf file = {.env = s->env}, plain = {.env = s->env};
    bool use = false;
    int r = read_index(s, &file);

    if (r == JS_ERR_NO_ENTRY) {
        r = 0;
        goto out;
    }
    if (r < 0) {
        if (!js_is_shortage(r))
            r = report_index(s, JS_HEALTH_DAMAGED, js_err_text(r));
        goto out;
    }
    r = open_index(s, &file, &plain, &use);
    if (r < 0 || !use)
        goto out;
    s->index = js_calloc(s->env, 1, sizeof *s->index);
    if (!s->index) {
        r = JS_ERR_NOMEM;
        goto out;
    }
    r = js_index_db_decode(s->env, plain.data, plain.len, s->index);
    if (r < 0) {
        js_free(s->env, s->index);
        s->index = NULL;
        if (r == JS_ERR_UNKNOWN_FORMAT)
            r = report_index(s, JS_HEALTH_UNKNOWN_FORMAT,
                             "written by a newer version; the blocks are read instead");
        else if (r == JS_ERR_CORRUPT)
            r = report_index(s, JS_HEALTH_DAMAGED,
                             "its structure is wrong; rebuilt from the blocks");
        goto out;
    }
    r = judge(s, numbers, count);
out:
    js_buf_done(&file);
    js_buf_done(&plain);
    return r;
}

static int cmp_index_subject(const struct js_index_subject *a, const char *name, size_t len) {
    size_t n = a->len < len ? a->len : len;
    int c = memcmp(a->name, name, n);
    return c ? c : (a->len > len) - (a->len < len);
}

/* The index lists subjects in no order: a linear look is only made for subjects that the
 * configuration does not know, which is rare. */
static bool index_knows(const struct js_stream *s, const char *subject, size_t len) {
    for (size_t i = 0; i < s->index->num_subjects; i++)
        if (cmp_index_subject(&s->index->subjects[i], subject, len) == 0)
            return true;
    return false;
}

bool js_stream_lists_subjects(const struct js_stream *s) {
    return s->index && s->index_fresh && s->index->num_subjects <= 4096;
}

bool js_stream_knows_subject(struct js_stream *s, const char *subject, size_t len) {
    if (js_stream_lists_subjects(s))
        return index_knows(s, subject, len);
    for (size_t i = 0; i < s->config.num_subjects; i++)
        if (js_subject_matches(subject, len, s->config.subjects[i],
                               strlen(s->config.subjects[i])))
            return true;
    return s->config.num_subjects == 0;
}
