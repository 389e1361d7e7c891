/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `--format records`: what lies in the blocks, record by record, as JSON lines:
 *
 *   [account, stream,] block, offset, length, kind, seq, time, subject (subject_b64), hdr_size,
 *   size, checksum, live
 *
 * kind is msg, erased, skip, tombstone or damage. Members that a kind does not have are left out;
 * damage has block, offset and length, and what sequence it is if that is known.
 */
#include <string.h>

#include "fs/cli/dump.h"
#include "fs/cli/progress.h"
#include "fs/view/json_text.h"
#include "fs/view/render.h"

struct walk {
    struct jf_out *out;
    const struct jf_dump_options *options;
    const char *account; /* NULL: not shown */
    const char *stream;  /* NULL: not shown */
    uint64_t damage;
};

static const char *kind_name(enum js_record_kind kind) {
    switch (kind) {
    case JS_RECORD_MSG:
        return "msg";
    case JS_RECORD_ERASED:
        return "erased";
    case JS_RECORD_SKIP:
        return "skip";
    case JS_RECORD_TOMBSTONE:
        return "tombstone";
    case JS_RECORD_DAMAGE:
    default:
        return "damage";
    }
}

/* Damage is always shown: what was wanted may have stood there. */
static bool wanted(const struct jf_dump_options *options, const struct js_record_info *record) {
    const struct js_msg *msg = &record->msg;

    if (record->kind == JS_RECORD_DAMAGE)
        return jf_dump_seq_wanted(options, msg->seq);
    if (!jf_dump_seq_wanted(options, msg->seq) || !jf_dump_time_wanted(options, msg->time))
        return false;
    if (options->nsubjects == 0)
        return true;
    if (record->kind != JS_RECORD_MSG)
        return false;
    for (size_t i = 0; i < options->nsubjects; i++)
        if (js_subject_matches(msg->subject, msg->subject_len, options->subjects[i],
                               strlen(options->subjects[i])))
            return true;
    return false;
}

static void put_subject(struct jf_out *out, const struct js_msg *msg) {
    size_t cap = (msg->subject_len + 2) / 3 * 4 + 2;
    struct jf_sink sink = {.cap = cap};

    if (jf_utf8_valid(msg->subject, msg->subject_len)) {
        jf_out_text(out, ",\"subject\":");
        jf_out_json(out, msg->subject, msg->subject_len);
        return;
    }
    jf_out_text(out, ",\"subject_b64\":");
    sink.buf = jf_out_room(out, cap);
    if (!sink.buf)
        return;
    jf_json_base64(&sink, msg->subject, msg->subject_len);
    jf_out_commit(out, sink.len);
}

static void put_content(struct jf_out *out, const struct js_record_info *record) {
    char time[48];

    if (record->msg.time != 0) {
        js_time_format(record->msg.time, time, sizeof time);
        jf_out_printf(out, ",\"time\":\"%s\"", time);
    }
    if (record->kind == JS_RECORD_MSG) {
        put_subject(out, &record->msg);
        jf_out_printf(out, ",\"hdr_size\":%zu,\"size\":%zu", record->msg.hdr_len,
                      record->msg.data_len);
    }
    jf_out_text(out, ",\"checksum\":\"");
    for (size_t i = 0; i < sizeof record->checksum; i++)
        jf_out_printf(out, "%02x", record->checksum[i]);
    jf_out_printf(out, "\",\"live\":%s", record->live ? "true" : "false");
}

static int show(void *ctx, const struct js_record_info *record) {
    struct walk *walk = ctx;
    struct jf_out *out = walk->out;

    jf_progress_add(1);
    if (!wanted(walk->options, record))
        return 0;
    walk->damage += record->kind == JS_RECORD_DAMAGE;
    jf_out_text(out, "{");
    if (walk->account) {
        jf_out_text(out, "\"account\":");
        jf_out_json_text(out, walk->account);
        jf_out_text(out, ",\"stream\":");
        jf_out_json_text(out, walk->stream);
        jf_out_text(out, ",");
    }
    jf_out_printf(out, "\"block\":%u,\"offset\":%llu,\"length\":%llu,\"kind\":\"%s\"",
                  record->block, (unsigned long long)record->offset,
                  (unsigned long long)record->length, kind_name(record->kind));
    if (record->msg.seq != 0)
        jf_out_printf(out, ",\"seq\":%llu", (unsigned long long)record->msg.seq);
    if (record->kind != JS_RECORD_DAMAGE)
        put_content(out, record);
    jf_out_text(out, "}\n");
    return jf_out_ok(out) ? 0 : 1;
}

int jf_dump_records(struct jf_out *out, const struct jf_dump_options *options, const char *account,
                    const char *name, struct js_stream *stream, uint64_t *ret_damage) {
    struct walk walk = {.out = out, .options = options, .account = account, .stream = name};
    int r = js_stream_walk_records(stream, show, &walk);

    *ret_damage += walk.damage;
    return r < 0 ? r : 0;
}
