/* SPDX-License-Identifier: Apache-2.0 */
/* JSON strings and base64 straight into a sink. */
#ifndef JF_VIEW_JSON_TEXT_H
#define JF_VIEW_JSON_TEXT_H

#include "fs/view/sink.h"

/* A quoted, escaped string; data must be valid UTF-8. */
void jf_json_string(struct jf_sink *sink, const void *data, size_t len);
/* A quoted string of base64 (RFC 4648, padded). */
void jf_json_base64(struct jf_sink *sink, const void *data, size_t len);

#endif
