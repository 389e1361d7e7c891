/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts of info.json and config.json: JSON, indented by two spaces, LF at the end. All are given:
 * freed by the caller with free(). ret_len does not count the NUL that follows.
 */
#ifndef JF_VIEW_INFO_H
#define JF_VIEW_INFO_H

#include "fs/view/scope.h"

/* At most this many findings are listed; "problems_total" counts all. */
#define JF_INFO_MAX_PROBLEMS 1000

/*
 * A stream: name, account, messages, bytes, first_seq, first_time, last_seq, last_time, subjects,
 * deleted, lost, payload_bytes, blocks, consumers, cipher, config_name, health, problems_total,
 * problems [].
 */
int jf_info_stream(struct js_stream *stream, char **ret_text, size_t *ret_len);
/*
 * A subject directory (scope: the directory's own, narrowed by jf_scope_subtree; subject: its
 * dotted name, "" for by-subject/ itself): messages, bytes, first_seq, last_seq of the subtree,
 * and under "own" of exactly this subject.
 */
int jf_info_subject(struct jf_scope *scope, const char *subject, size_t len, char **ret_text,
                    size_t *ret_len);
/* A consumer. NO_CONSUMER. */
int jf_info_consumer(struct js_stream *stream, const char *name, char **ret_text, size_t *ret_len);
/* An account's directory: streams, with messages, bytes, sequences and health of each, and sums.
 * account NULL: the store, all accounts. A stream that cannot be opened has "error". */
int jf_info_account(struct js_store *store, const char *account, char **ret_text, size_t *ret_len);
/* The stream's configuration; the raw text if it is no JSON, "{}" if there is none. */
int jf_info_config(struct js_stream *stream, char **ret_text, size_t *ret_len);
/* The consumer's configuration, likewise. NO_CONSUMER. */
int jf_info_consumer_config(struct js_stream *stream, const char *name, char **ret_text,
                            size_t *ret_len);

#endif
