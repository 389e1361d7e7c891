/* SPDX-License-Identifier: Apache-2.0 */
/* What the questions of query_ops.c and query_sums.c share. */
#ifndef TESTS_QUERY_OPS_H
#define TESTS_QUERY_OPS_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/core/query_model.h"

typedef int qm_ask_fn(struct qm *m, struct js_stream *stream, struct qm_rng *rng);

/* Puts a sentence into m->why; returns 1. */
int qm_differ(struct qm *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Results that say nothing about the stream's content. */
bool qm_operational(int r);
/* r if it is operational, else qm_differ(). */
int qm_unexpected(struct qm *m, const char *what, int r, int want);
/* For sentences; static per thread. */
const char *qm_filter_text(const struct qm_filter *f);
/* Around the places where answers change: edges, records, gaps. */
js_seq_t qm_random_seq(const struct qm *m, struct qm_rng *rng);
int qm_check_load(struct qm *m, struct js_stream *stream, js_seq_t seq);

qm_ask_fn qm_ask_state, qm_ask_totals, qm_ask_pending, qm_ask_filtered, qm_ask_subject,
    qm_ask_subjects, qm_ask_counts, qm_ask_tokens, qm_ask_deleted;

#endif
