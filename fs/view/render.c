/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The formats. Each renderer writes into a sink, which keeps a window of the output and counts all
 * of it: the same code gives a length and any part of the bytes, so the two cannot disagree.
 */
#include "fs/view/render.h"

#include "fs/view/json_text.h"
#include "fs/view/sink.h"

struct header {
    const char *key, *value;
    size_t key_len, value_len;
};

static const char *const format_names[] = {"log", "jsonl", "tsv", "msg", "raw"};

const char *jf_format_name(enum jf_format format) {
    return format_names[format];
}

/* Decimal digits, at least width of them. */
static void put_decimal(struct jf_sink *sink, uint64_t v, int width) {
    char text[20];
    int i = (int)sizeof text;

    while (v > 0 || width > 0) {
        text[--i] = (char)('0' + v % 10);
        v /= 10;
        width--;
    }
    jf_sink_put(sink, text + i, sizeof text - (size_t)i);
}

static void put_time(struct jf_sink *sink, js_time_t time) {
    char text[40];

    js_time_format_fixed(time, text, sizeof text);
    jf_sink_text(sink, text);
}

static void put_log(struct jf_sink *sink, const struct js_msg *msg) {
    jf_sink_put(sink, msg->data, msg->data_len);
    jf_sink_put(sink, "\n", 1);
}

static void put_tsv(struct jf_sink *sink, const struct js_msg *msg) {
    size_t done = 0;

    put_decimal(sink, msg->seq, 16);
    jf_sink_put(sink, "\t", 1);
    put_time(sink, msg->time);
    jf_sink_put(sink, "\t", 1);
    put_decimal(sink, msg->data_len, 10);
    jf_sink_put(sink, "\t", 1);
    put_decimal(sink, msg->hdr_len, 10);
    jf_sink_put(sink, "\t", 1);
    for (size_t i = 0; i < msg->subject_len; i++) {
        uint8_t c = (uint8_t)msg->subject[i];

        if (c >= 0x20 && c != 0x7f)
            continue;
        jf_sink_put(sink, msg->subject + done, i - done);
        jf_sink_put(sink, "?", 1);
        done = i + 1;
    }
    jf_sink_put(sink, msg->subject + done, msg->subject_len - done);
    jf_sink_put(sink, "\n", 1);
}

/* ---- full --------------------------------------------------------------------------------- */

static void put_full(struct jf_sink *sink, const struct js_msg *msg) {
    static const char line[] = "NATS/1.0";
    const uint8_t *hdr = msg->hdr;
    size_t len = msg->hdr_len;

    if (len < sizeof line - 1 || memcmp(hdr, line, sizeof line - 1) != 0)
        jf_sink_text(sink, "NATS/1.0\r\n");
    /* The line ends that close the block go: further lines follow. */
    while (len > 0 && (hdr[len - 1] == '\n' || hdr[len - 1] == '\r'))
        len--;
    if (len > 0) {
        jf_sink_put(sink, hdr, len);
        jf_sink_text(sink, "\r\n");
    }
    jf_sink_text(sink, "Nats-Sequence: ");
    put_decimal(sink, msg->seq, 1);
    jf_sink_text(sink, "\r\nNats-Subject: ");
    jf_sink_put(sink, msg->subject, msg->subject_len);
    jf_sink_text(sink, "\r\nNats-Time-Stamp: ");
    put_time(sink, msg->time);
    jf_sink_text(sink, "\r\n\r\n");
    jf_sink_put(sink, msg->data, msg->data_len);
}

/* ---- jsonl -------------------------------------------------------------------------------- */

/* Parses at most max headers; returns how many there are, max + 1 if more. */
static size_t parse_headers(const struct js_msg *msg, struct header *headers, size_t max) {
    struct header h;
    size_t pos = 0, n = 0;

    while (js_hdr_next(msg->hdr, msg->hdr_len, &pos, &h.key, &h.key_len, &h.value, &h.value_len)) {
        if (n == max)
            return max + 1;
        headers[n++] = h;
    }
    return n;
}

static bool same_key(const struct header *a, const struct header *b) {
    return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

/* One member per name in the order of first appearance, all its values in the order stored. */
static void put_header_object(struct jf_sink *sink, struct header *headers, size_t n) {
    bool first = true;

    jf_sink_text(sink, ",\"hdrs\":{");
    for (size_t i = 0; i < n; i++) {
        if (!headers[i].value)
            continue; /* written with an earlier one */
        if (!first)
            jf_sink_put(sink, ",", 1);
        first = false;
        jf_json_string(sink, headers[i].key, headers[i].key_len);
        jf_sink_text(sink, ":[");
        jf_json_string(sink, headers[i].value, headers[i].value_len);
        for (size_t j = i + 1; j < n; j++) {
            if (!headers[j].value || !same_key(&headers[i], &headers[j]))
                continue;
            jf_sink_put(sink, ",", 1);
            jf_json_string(sink, headers[j].value, headers[j].value_len);
            headers[j].value = NULL;
        }
        jf_sink_put(sink, "]", 1);
    }
    jf_sink_put(sink, "}", 1);
}

static void put_headers(struct jf_sink *sink, const struct js_msg *msg) {
    struct header headers[JF_RENDER_MAX_HDRS];
    size_t n;

    if (msg->hdr_len == 0)
        return;
    if (jf_utf8_valid(msg->hdr, msg->hdr_len)) {
        n = parse_headers(msg, headers, JF_RENDER_MAX_HDRS);
        if (n == 0)
            return;
        if (n <= JF_RENDER_MAX_HDRS) {
            put_header_object(sink, headers, n);
            return;
        }
    }
    jf_sink_text(sink, ",\"hdrs_b64\":");
    jf_json_base64(sink, msg->hdr, msg->hdr_len);
}

/* ,"name": and a string, or ,"name_b64": and base64. */
static void put_bytes(struct jf_sink *sink, const char *name, const void *data, size_t len) {
    bool text = jf_utf8_valid(data, len);

    jf_sink_text(sink, ",\"");
    jf_sink_text(sink, name);
    if (text) {
        jf_sink_text(sink, "\":");
        jf_json_string(sink, data, len);
    } else {
        jf_sink_text(sink, "_b64\":");
        jf_json_base64(sink, data, len);
    }
}

static void put_jsonl(struct jf_sink *sink, const struct jf_render *render,
                      const struct js_msg *msg) {
    jf_sink_put(sink, "{", 1);
    if (render->account) {
        jf_sink_text(sink, "\"account\":");
        jf_json_string(sink, render->account, strlen(render->account));
        jf_sink_put(sink, ",", 1);
    }
    if (render->stream) {
        jf_sink_text(sink, "\"stream\":");
        jf_json_string(sink, render->stream, strlen(render->stream));
        jf_sink_put(sink, ",", 1);
    }
    jf_sink_text(sink, "\"seq\":");
    put_decimal(sink, msg->seq, 1);
    put_bytes(sink, "subject", msg->subject, msg->subject_len);
    jf_sink_text(sink, ",\"time\":\"");
    put_time(sink, msg->time);
    jf_sink_put(sink, "\"", 1);
    put_headers(sink, msg);
    put_bytes(sink, "data", msg->data, msg->data_len);
    jf_sink_text(sink, "}\n");
}

/* ---- all ---------------------------------------------------------------------------------- */

static void put_msg(struct jf_sink *sink, const struct jf_render *render,
                    const struct js_msg *msg) {
    switch (render->format) {
    case JF_LOG:
        put_log(sink, msg);
        break;
    case JF_JSONL:
        put_jsonl(sink, render, msg);
        break;
    case JF_TSV:
        put_tsv(sink, msg);
        break;
    case JF_FULL:
        put_full(sink, msg);
        break;
    case JF_RAW:
        jf_sink_put(sink, msg->data, msg->data_len);
        break;
    }
}

uint64_t jf_render_length(const struct jf_render *render, const struct js_msg *msg) {
    struct jf_sink sink = {0};

    put_msg(&sink, render, msg);
    return sink.pos;
}

size_t jf_render_emit(const struct jf_render *render, const struct js_msg *msg, uint64_t skip,
                      void *buf, size_t size) {
    struct jf_sink sink = {.skip = skip, .buf = buf, .cap = size, .stop = true};

    put_msg(&sink, render, msg);
    return sink.len;
}

uint64_t jf_render_both(const struct jf_render *render, const struct js_msg *msg, uint64_t skip,
                        void *buf, size_t size, size_t *ret_written) {
    struct jf_sink sink = {.skip = skip, .buf = buf, .cap = size};

    put_msg(&sink, render, msg);
    *ret_written = sink.len;
    return sink.pos;
}

bool jf_render_length_of_stat(const struct jf_render *render, const struct js_msg_stat *stat,
                              uint64_t *ret_length) {
    if (stat->damaged)
        return false;
    if (render->format == JF_TSV && stat->seq <= JF_TSV_MAX_SEQ)
        *ret_length = JF_TSV_FIXED + (uint64_t)stat->subject_len;
    else if (render->format == JF_LOG)
        *ret_length = (uint64_t)stat->data_len + 1;
    else if (render->format == JF_RAW)
        *ret_length = stat->data_len;
    else
        return false;
    return true;
}
