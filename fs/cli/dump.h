/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of `jetfs dump` share. */
#ifndef JF_CLI_DUMP_H
#define JF_CLI_DUMP_H

#include "core/jetstore.h"
#include "fs/cli/cli.h"

#define JF_DUMP_MAX_SUBJECTS 16

enum jf_dump_format { JF_DUMP_JSONL, JF_DUMP_RAW, JF_DUMP_CSV, JF_DUMP_RECORDS };

struct jf_dump_options {
    enum jf_dump_format format;
    const char *subjects[JF_DUMP_MAX_SUBJECTS]; /* one must match; none: all do */
    size_t nsubjects;
    js_seq_t first; /* 0 or 1: from the beginning */
    js_seq_t last;  /* 0: to the end */
    bool has_since;
    bool has_until;
    js_time_t since;
    js_time_t until;
};

/* True when a message of that time is wanted. */
bool jf_dump_time_wanted(const struct jf_dump_options *options, js_time_t time);
/* True when a sequence is wanted; 0 (not known) always is. */
bool jf_dump_seq_wanted(const struct jf_dump_options *options, js_seq_t seq);

/* The heading row, and one row. account and stream are columns if not NULL. */
void jf_dump_csv_head(struct jf_out *out, bool named);
void jf_dump_csv(struct jf_out *out, const char *account, const char *stream,
                 const struct js_msg *msg);

/*
 * All records of a stream, as JSON lines, after the filters. *ret_damage grows by each damaged
 * stretch. Returns 0 or a negative js_err.
 */
int jf_dump_records(struct jf_out *out, const struct jf_dump_options *options, const char *account,
                    const char *name, struct js_stream *stream, uint64_t *ret_damage);

#endif
