/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifying: what opening does not look at. Blocks are scanned at opening with every record's
 * checksum; here index.db is held against the result subject by subject (which also catches a
 * damaged subject length that makes another valid subject), the small state files are parsed, and
 * the consumers are held against the stream.
 */
#include <stdio.h>

#include "core/base/limits.h"
#include "core/format/block_idx.h"
#include "core/format/small_state.h"
#include "core/stream/stream.h"

static int report(struct js_stream *s, const char *file, enum js_health verdict,
                  const char *text) {
    struct js_problem p = {.verdict = verdict, .file = file};
    return js_stream_report(s, &p, "%s", text);
}

/* ---- index.db against the blocks ------------------------------------------------------------- */

static int check_index_subject(struct js_stream *s, const struct js_index_subject *is) {
    uint32_t sid = js_subjects_find(&s->subjects, is->name, is->len);
    uint64_t have = sid == JS_NO_ID ? 0 : s->subjects.lines[sid].count;

    if (have == is->total)
        return 0;
    struct js_problem p = {.verdict = JS_HEALTH_DAMAGED, .file = "msgs/index.db"};
    return js_stream_report(s, &p,
                            "counts %llu messages of subject %.*s, the blocks hold %llu",
                            (unsigned long long)is->total, (int)(is->len < 200 ? is->len : 200),
                            is->name, (unsigned long long)have);
}

/* Live subjects that the index does not list. */
static int check_unlisted(struct js_stream *s) {
    const struct js_index_db *ix = s->index;
    uint32_t listed = 0, odd = JS_NO_ID;
    uint8_t *seen;

    seen = js_calloc(s->env, s->subjects.count + 1, 1);
    if (!seen)
        return JS_ERR_NOMEM;
    for (size_t i = 0; i < ix->num_subjects; i++) {
        uint32_t sid = js_subjects_find(&s->subjects, ix->subjects[i].name, ix->subjects[i].len);
        if (sid != JS_NO_ID && !seen[sid]) {
            seen[sid] = 1;
            listed += s->subjects.lines[sid].count != 0;
        }
    }
    for (uint32_t id = 0; id < s->subjects.count && odd == JS_NO_ID; id++)
        if (s->subjects.lines[id].count && !seen[id])
            odd = id;
    js_free(s->env, seen);
    if (odd == JS_NO_ID)
        return 0;
    const struct js_subject_line *line = &s->subjects.lines[odd];
    struct js_problem p = {.verdict = JS_HEALTH_DAMAGED, .file = "msgs/index.db"};
    p.seq_first = line->first;
    p.seq_last = line->last;
    return js_stream_report(s, &p,
                            "%u subjects with messages are not in it, e.g. %.*s (a damaged subject "
                            "length?)",
                            s->subjects.live - listed, (int)(line->len < 200 ? line->len : 200),
                            js_subject_name(line));
}

static int check_index(struct js_stream *s) {
    uint32_t *numbers = js_calloc(s->env, s->num_blocks + 1, sizeof *numbers);
    size_t n = 0;
    int r = 0;

    if (!numbers)
        return JS_ERR_NOMEM;
    for (size_t i = 0; i < s->num_blocks; i++)
        if (!s->blocks[i]->unreadable)
            numbers[n++] = s->blocks[i]->number;
    /* Its faults were reported at opening: only what it says is wanted now. */
    size_t found = s->num_found;
    enum js_health health = s->health;
    r = js_stream_load_index(s, numbers, n);
    while (s->num_found > found) {
        s->num_found--;
        js_free(s->env, s->found[s->num_found].file);
        js_free(s->env, s->found[s->num_found].text);
    }
    s->health = health;
    js_free(s->env, numbers);
    /* With lost messages the counts differ anyway, and that is reported already. */
    if (r == 0 && s->index && s->index_fresh && s->lost == 0) {
        const struct js_index_db *ix = s->index;
        struct js_problem p = {.verdict = JS_HEALTH_DAMAGED, .file = "msgs/index.db"};
        if (ix->msgs != s->msgs || ix->bytes != s->bytes)
            r = js_stream_report(s, &p,
                                 "counts %llu messages and %llu bytes, the blocks hold %llu and "
                                 "%llu",
                                 (unsigned long long)ix->msgs, (unsigned long long)ix->bytes,
                                 (unsigned long long)s->msgs, (unsigned long long)s->bytes);
        for (size_t i = 0; i < ix->num_subjects && r == 0; i++)
            r = check_index_subject(s, &ix->subjects[i]);
        if (r == 0)
            r = check_unlisted(s);
    }
    js_stream_drop_index(s);
    return r;
}

/* ---- the small files ------------------------------------------------------------------------- */

static int check_small(struct js_stream *s, const char *path,
                       int (*check)(const uint8_t *in, size_t len)) {
    struct js_buf file = {.env = s->env};
    int r = js_files_slurp(&s->files, path, JS_MAX_STATE_FILE, &file);

    if (r == 0)
        r = check(file.data, file.len);
    js_buf_done(&file);
    if (r == 0 || r == JS_ERR_NO_ENTRY)
        return 0;
    if (js_is_shortage(r))
        return r;
    return report(s, path,
                  r == JS_ERR_UNKNOWN_FORMAT ? JS_HEALTH_UNKNOWN_FORMAT : JS_HEALTH_DAMAGED,
                  r == JS_ERR_UNKNOWN_FORMAT ? "written by a newer version"
                                             : "damaged (servers rebuild it from the messages)");
}

static int check_thw(const uint8_t *in, size_t len) {
    struct js_small_head head;
    return js_thw_decode(in, len, &head, NULL, NULL);
}

static int check_sched(const uint8_t *in, size_t len) {
    struct js_small_head head;
    return js_sched_decode(in, len, &head, NULL, NULL);
}

static int check_sources(const uint8_t *in, size_t len) {
    struct js_small_head head;
    return js_sources_decode(in, len, &head, NULL, NULL);
}

struct leftovers {
    struct js_stream *s;
};

/* N.fss of 2.9. */
static int see_name(void *ctx, const char *name) {
    struct leftovers *l = ctx;
    char path[300];
    uint32_t fss = js_block_number_of(name, ".fss");

    if (fss) {
        struct js_buf file = {.env = l->s->env};
        struct js_hash_key key;
        snprintf(path, sizeof path, "msgs/%s", name);
        int r = js_files_slurp(&l->s->files, path, JS_MAX_STATE_FILE, &file);
        js_hash_key_of_block(&key, l->s->name, fss);
        if (r == 0)
            r = js_block_fss_check(file.data, file.len, &key);
        js_buf_done(&file);
        if (js_is_shortage(r))
            return r;
        if (r < 0)
            return report(l->s, path, JS_HEALTH_DAMAGED, "damaged (a cache; servers rebuild it)");
    }
    return 0;
}

/* ---- consumers ------------------------------------------------------------------------------- */

struct consumers {
    struct js_stream *s;
    struct js_buf names; /* NUL separated */
};

static int keep_name(void *ctx, const char *name) {
    struct consumers *c = ctx;
    js_buf_append(&c->names, name, strlen(name) + 1);
    return c->names.failed ? JS_ERR_NOMEM : 0;
}

struct verdict {
    enum js_health health;
    char text[300];
};

static int keep_verdict(void *ctx, const struct js_consumer_info *info) {
    struct verdict *v = ctx;
    v->health = info->health;
    snprintf(v->text, sizeof v->text, "%s", info->problem);
    return 0;
}

static int check_consumers(struct js_stream *s) {
    struct consumers c = {.s = s, .names = {.env = s->env}};
    int r = js_stream_list_consumers(s, keep_name, &c);

    for (size_t at = 0; r == 0 && at < c.names.len;) {
        const char *name = (const char *)c.names.data + at;
        struct verdict v = {0};
        r = js_consumer_get(s, name, keep_verdict, &v);
        if (r == 0 && v.health != JS_HEALTH_OK) {
            char path[600];
            snprintf(path, sizeof path, "obs/%s", name);
            pthread_rwlock_wrlock(&s->lock);
            r = report(s, path, v.health, v.text);
            pthread_rwlock_unlock(&s->lock);
        }
        at += strlen(name) + 1;
    }
    js_buf_done(&c.names);
    return r;
}

int js_stream_verify(struct js_stream *stream) {
    struct leftovers l = {.s = stream};

    pthread_rwlock_wrlock(&stream->lock);
    if (stream->verified || stream->health == JS_HEALTH_NO_KEY ||
        stream->health == JS_HEALTH_WRONG_KEY) {
        pthread_rwlock_unlock(&stream->lock);
        return 0;
    }
    stream->verified = true;
    int r = js_stream_scan_locked(stream);
    if (r == 0)
        r = check_index(stream);
    if (r == 0)
        r = check_small(stream, "msgs/thw.db", check_thw);
    if (r == 0)
        r = check_small(stream, "msgs/sched.db", check_sched);
    if (r == 0)
        r = check_small(stream, "sources.db", check_sources);
    if (r == 0) {
        r = js_files_list_msgs(&stream->files, see_name, &l);
        if (r == JS_ERR_NO_ENTRY)
            r = 0;
    }
    pthread_rwlock_unlock(&stream->lock);
    return r < 0 ? r : check_consumers(stream);
}
