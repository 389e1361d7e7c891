/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters: a message carries an increment (Nats-Incr) and no payload; stored is {"val":"N"}, the
 * sum with what the newest message of its subject holds.
 */
#include "core/format/decimal.h"
#include "core/stream/rules.h"

#define BEFORE "{\"val\":\""
#define AFTER  "\"}"

static int add_to(const struct js_msg *msg, const char *incr, size_t len, struct js_buf *out) {
    const size_t head = sizeof BEFORE - 1, tail = sizeof AFTER - 1;
    const char *text = (const char *)msg->data;

    /* A message of something else: nobody can count on. */
    if (msg->data_len < head + tail || memcmp(text, BEFORE, head) != 0 ||
        memcmp(text + msg->data_len - tail, AFTER, tail) != 0 ||
        !js_decimal_valid(text + head, msg->data_len - head - tail))
        return JS_ERR_BAD_MSG;
    js_decimal_add(text + head, msg->data_len - head - tail, incr, len, out);
    return 0;
}

int js_counter_check(struct js_stream *s, const struct js_new_msg *m, const char *incr, size_t len,
                     struct js_buf *out) {
    struct js_place at = {0};
    struct js_msg msg;

    if (m->data_len || !js_decimal_valid(incr, len))
        return JS_ERR_BAD_HEADER;
    int r = js_stream_scan_locked(s);
    uint32_t sid = r < 0 ? JS_NO_ID : js_subjects_find(&s->subjects, m->subject, m->subject_len);
    if (sid != JS_NO_ID)
        r = js_stream_last_of(s, sid, &at);
    if (r < 0) {
        js_place_done(s, &at);
        return r;
    }
    out->env = s->env;
    js_buf_append(out, BEFORE, sizeof BEFORE - 1);
    if (r == 1) {
        r = js_stream_slot_msg(s, &at, false, &msg);
        if (r == 0) {
            r = add_to(&msg, incr, len, out);
            js_msg_release(&msg);
        }
    } else {
        js_decimal_add("0", 1, incr, len, out);
    }
    js_place_done(s, &at);
    js_buf_append(out, AFTER, sizeof AFTER - 1);
    return r < 0 ? r : out->failed ? JS_ERR_NOMEM : 0;
}
