/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CSV as RFC 4180 has it: fields divided by commas, records ended by CR LF, fields with a comma, a
 * quote, CR or LF in quotes, a quote doubled. The first record names the fields:
 *
 *   [account,stream,]seq,time,subject,hdr_size,size,encoding,data
 *
 * hdr_size and size are bytes of header block and payload. encoding is "utf8" when data is the
 * payload itself, "base64" when the payload is no UTF-8 or holds a NUL, which readers of CSV cannot
 * take. Headers are not shown: jsonl has them. A subject that is no UTF-8 has U+FFFD in the places.
 */
#include <string.h>

#include "fs/cli/dump.h"
#include "fs/view/json_text.h"
#include "fs/view/render.h"

static bool needs_quotes(const uint8_t *data, size_t len) {
    return memchr(data, ',', len) || memchr(data, '"', len) || memchr(data, '\r', len) ||
           memchr(data, '\n', len) || (len > 0 && (data[0] == ' ' || data[len - 1] == ' '));
}

static void put_quoted(struct jf_out *out, const uint8_t *data, size_t len) {
    jf_out_text(out, "\"");
    while (len > 0) {
        const uint8_t *quote = memchr(data, '"', len);
        size_t n = quote ? (size_t)(quote - data) + 1 : len;

        jf_out_put(out, data, n);
        if (quote)
            jf_out_text(out, "\"");
        data += n;
        len -= n;
    }
    jf_out_text(out, "\"");
}

static void put_field(struct jf_out *out, const void *data, size_t len) {
    if (len > 0 && needs_quotes(data, len))
        put_quoted(out, data, len);
    else
        jf_out_put(out, data, len);
}

/* Names and subjects, where what is no UTF-8 is replaced. */
static void put_name(struct jf_out *out, const char *data, size_t len) {
    static const char replacement[] = "\xef\xbf\xbd";

    if (jf_utf8_valid(data, len)) {
        put_field(out, data, len);
        return;
    }
    jf_out_text(out, "\"");
    while (len > 0) {
        size_t good = jf_utf8_prefix(data, len);

        for (size_t i = 0; i < good; i++) {
            jf_out_put(out, data + i, 1);
            if (data[i] == '"')
                jf_out_text(out, "\"");
        }
        if (good < len) {
            jf_out_text(out, replacement);
            good++;
        }
        data += good;
        len -= good;
    }
    jf_out_text(out, "\"");
}

static void put_base64(struct jf_out *out, const uint8_t *data, size_t len) {
    size_t cap = (len + 2) / 3 * 4 + 2;
    struct jf_sink sink = {.cap = cap, .buf = jf_out_room(out, cap)};

    if (!sink.buf)
        return;
    jf_json_base64(&sink, data, len); /* its quotes suit CSV as well */
    jf_out_commit(out, sink.len);
}

void jf_dump_csv_head(struct jf_out *out, bool named) {
    jf_out_text(out, named ? "account,stream," : "");
    jf_out_text(out, "seq,time,subject,hdr_size,size,encoding,data\r\n");
}

void jf_dump_csv(struct jf_out *out, const char *account, const char *stream,
                 const struct js_msg *msg) {
    bool text = jf_utf8_valid(msg->data, msg->data_len) &&
                (msg->data_len == 0 || !memchr(msg->data, 0, msg->data_len));
    char time[48];

    if (account) {
        put_name(out, account, strlen(account));
        jf_out_text(out, ",");
    }
    if (stream) {
        put_name(out, stream, strlen(stream));
        jf_out_text(out, ",");
    }
    js_time_format_fixed(msg->time, time, sizeof time);
    jf_out_printf(out, "%llu,%s,", (unsigned long long)msg->seq, time);
    put_name(out, msg->subject, msg->subject_len);
    jf_out_printf(out, ",%zu,%zu,%s,", msg->hdr_len, msg->data_len, text ? "utf8" : "base64");
    if (text)
        put_field(out, msg->data, msg->data_len);
    else
        put_base64(out, msg->data, msg->data_len);
    jf_out_text(out, "\r\n");
}
