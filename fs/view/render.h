/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How one message looks in each format.
 *
 *   LOG    payload, LF.
 *   JSONL  one JSON object and LF: [account, stream,] seq, subject (subject_b64 if not UTF-8),
 *          time, hdrs {name: [values]} if there are any, data (data_b64 if not UTF-8). A header
 *          block that is not UTF-8, or holds more than JF_RENDER_MAX_HDRS lines, is hdrs_b64: the
 *          whole block.
 *   TSV    five fields divided by tabs, and LF: seq (16 digits), time (30 characters), payload
 *          bytes, header bytes (10 digits each), subject. Numbers have leading zeros, so that the
 *          length is JF_TSV_FIXED + subject length as long as the sequence has 16 digits or less
 *          (JF_TSV_MAX_SEQ). Control characters in the subject are shown as '?'.
 *   FULL   a header block ("NATS/1.0", the stored headers, then Nats-Sequence, Nats-Subject and
 *          Nats-Time-Stamp), an empty line, the payload as it is.
 *   RAW    the payload as it is.
 *
 * Nothing here allocates. A rendering is a pure function of the message, so a length and the
 * bytes that are emitted always agree.
 */
#ifndef JF_VIEW_RENDER_H
#define JF_VIEW_RENDER_H

#include "core/jetstore.h"

enum jf_format { JF_LOG, JF_JSONL, JF_TSV, JF_FULL, JF_RAW };

#define JF_TSV_FIXED       71
#define JF_TSV_MAX_SEQ     9999999999999999ULL
#define JF_RENDER_MAX_HDRS 1000

struct jf_render {
    enum jf_format format;
    const char *account; /* JSONL: shown if not NULL; borrowed, UTF-8 */
    const char *stream;  /* likewise */
};

/* Length in bytes of one rendered message. */
uint64_t jf_render_length(const struct jf_render *render, const struct js_msg *msg);
/*
 * Writes the rendered bytes from skip on into buf, at most size. Returns how many were written; a
 * count below size means that the message's end was reached.
 */
size_t jf_render_emit(const struct jf_render *render, const struct js_msg *msg, uint64_t skip,
                      void *buf, size_t size);
/*
 * The same in one pass for callers that need both: returns the whole length of the rendering,
 * ret_written gets what went into buf.
 */
uint64_t jf_render_both(const struct jf_render *render, const struct js_msg *msg, uint64_t skip,
                        void *buf, size_t size, size_t *ret_written);

/* Length without the payload, for formats that need no content (LOG, RAW, TSV); false for others.
 * damaged messages have no rendering: false. */
bool jf_render_length_of_stat(const struct jf_render *render, const struct js_msg_stat *stat,
                              uint64_t *ret_length);

/* True if the bytes are well-formed UTF-8 (no surrogates, no overlong forms, <= U+10FFFF). */
bool jf_utf8_valid(const void *data, size_t len);
/* Length of the longest well-formed prefix. */
size_t jf_utf8_prefix(const void *data, size_t len);

/* "log", "jsonl", "tsv", "msg", "raw": file name extensions. */
const char *jf_format_name(enum jf_format format);

#endif
