/* SPDX-License-Identifier: Apache-2.0 */
/* Rewriting blocks in which little is live, and the periodic look for them. */
#include "core/base/limits.h"
#include "core/stream/block_file.h"
#include "core/stream/prepare.h"
#include "core/stream/remove.h"


/* Sealed, and wants its stream's compression. */
static bool wants_compression(const struct js_stream *s, const struct js_block *b) {
    return js_stream_compression(s) != 'n' && !b->compressed && b->sealed_plain;
}

int js_compact_inline(struct js_stream *s, size_t index) {
    struct js_block *b = s->blocks[index];

    if (index + 1 >= s->num_blocks || b->unreadable || b->odd || b->msgs == 0 || s->backing_up ||
        b->raw_size <= s->compact_min || 2 * b->bytes >= b->raw_size ||
        (b->compacted_bytes && 2 * b->bytes >= b->compacted_bytes))
        return 0;
    struct js_rewrite how = {.drop_dead = true, .compression = js_stream_compression(s)};
    return js_block_rewrite(s, index, &how, NULL);
}

enum pass_kind { PASS_SYNC, PASS_COMPRESS, PASS_ALL, PASS_RECOMPRESS };

static bool has_dead(const struct js_block *b, enum pass_kind kind) {
    if (kind == PASS_COMPRESS)
        return false;
    if (kind != PASS_SYNC)
        return b->raw_size > b->bytes || (b->cold && b->cold->unread);
    return b->raw_size && 2 * b->bytes < b->raw_size && b->compacted_bytes != b->bytes;
}

/* After PASS_RECOMPRESS the stream may go where servers look, who take it for damaged (and delete
 * it) because of a single block in a form that they do not know: none is passed over. */
static int begin_recompress(struct js_stream *s, struct js_writer *w) {
    if (s->backing_up)
        return JS_ERR_SNAPSHOT_IN_PROGRESS;
    for (size_t i = 0; i < s->num_blocks; i++)
        if (!s->blocks[i]->missing && (s->blocks[i]->unreadable || s->blocks[i]->odd))
            return JS_ERR_CORRUPT;
    /* The newest one is never compressed, unless newer ones were lost. */
    return s->num_blocks && s->blocks[s->num_blocks - 1]->compressed ? js_writer_roll(s, w) : 0;
}

/* One without messages stays as it is, as a rule: its tombstones are needed. */
static bool passes_over(const struct js_stream *s, const struct js_block *b, enum pass_kind kind) {
    return b->unreadable || b->missing || b->odd || s->backing_up ||
           (b->msgs == 0 && kind != PASS_RECOMPRESS);
}

static int pass(struct js_stream *s, struct js_writer *w, enum pass_kind kind,
                uint64_t *ret_freed) {
    int r = js_writer_flush(s, w);

    if (r == 0)
        r = js_retire_empty(s, w);
    if (r == 0 && kind == PASS_RECOMPRESS)
        r = begin_recompress(s, w);
    for (size_t i = 0; i + 1 < s->num_blocks && r == 0; i++) {
        struct js_block *b = s->blocks[i];
        if (passes_over(s, b, kind))
            continue;
        bool dead = has_dead(b, kind);
        if (!dead && !wants_compression(s, b) && kind != PASS_RECOMPRESS)
            continue;
        struct js_rewrite how = {.drop_dead = dead, .compression = js_stream_compression(s)};
        int64_t freed = 0;
        r = js_block_rewrite(s, i, &how, &freed);
        if (r == JS_ERR_CORRUPT && s->unmended && kind != PASS_RECOMPRESS)
            return 0; /* it is mended before the next write */
        b->sealed_plain = false;
        if (freed > 0)
            *ret_freed += (uint64_t)freed;
        js_writer_touched(s, w);
    }
    return r;
}

int js_tidy_empty(struct js_stream *s, struct js_writer *w) {
    struct js_gone gone = {0};

    if (s->msgs || s->lost || s->backing_up || s->num_blocks == 0 ||
        s->blocks[s->num_blocks - 1]->raw_size <= JS_MIN_RECORD)
        return 0;
    for (size_t i = 0; i < s->num_blocks; i++)
        if (s->blocks[i]->unreadable || s->blocks[i]->odd)
            return 0;
    return js_purge_all(s, w, &gone);
}

static int run_pass(struct js_stream *stream, enum pass_kind kind, uint64_t *ret_freed) {
    struct js_writer *w;
    uint64_t freed = 0;

    pthread_rwlock_wrlock(&stream->lock);
    int r = js_writer_open(stream, &w);
    if (r == 0 && (kind == PASS_ALL || kind == PASS_RECOMPRESS))
        r = js_stream_know_all(stream, w);
    if (r == 0)
        r = pass(stream, w, kind, &freed);
    if (r == 0 && w->changed && kind != PASS_COMPRESS)
        r = js_tidy_empty(stream, w);
    if (r == 0 && kind != PASS_COMPRESS)
        r = js_writer_sync_locked(stream, w);
    if (r == 0 && w->changed && kind != PASS_COMPRESS)
        r = js_stream_write_index(stream);
    pthread_rwlock_unlock(&stream->lock);
    if (ret_freed)
        *ret_freed = freed;
    return r;
}

int js_stream_sync_blocks(struct js_stream *stream) {
    return run_pass(stream, PASS_SYNC, NULL);
}

int js_stream_compact_blocks(struct js_stream *stream, uint64_t *ret_freed) {
    return run_pass(stream, PASS_ALL, ret_freed);
}

int js_stream_recompress_blocks(struct js_stream *stream, uint64_t *ret_freed) {
    return run_pass(stream, PASS_RECOMPRESS, ret_freed);
}

int js_stream_compress_sealed(struct js_stream *s, struct js_writer *w) {
    uint64_t freed;

    return js_stream_compression(s) == 'n' ? 0 : pass(s, w, PASS_COMPRESS, &freed);
}

bool js_stream_wants_compression(const struct js_stream *s) {
    for (size_t i = 0; i + 1 < s->num_blocks; i++)
        if (s->blocks[i]->sealed_plain)
            return js_stream_compression(s) != 'n';
    return false;
}
