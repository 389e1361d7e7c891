/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of text: aligned columns for a person, fields divided by tabs for everything else. The first
 * row is the heading. Cells are escaped, so that a row is one line and a field one field.
 */
#ifndef JF_CLI_TABLE_H
#define JF_CLI_TABLE_H

#include "fs/cli/out.h"

struct jf_table {
    size_t columns;
    char **cells; /* rows * columns */
    size_t ncells;
    size_t cap;
    bool failed; /* out of memory */
};

void jf_table_init(struct jf_table *table, size_t columns);
/* Adds a cell at the end of the last row. The text is copied and escaped. */
void jf_table_add(struct jf_table *table, const char *text);
__attribute__((format(printf, 2, 3))) void jf_table_addf(struct jf_table *table, const char *fmt,
                                                         ...);
/* A number of bytes: "1.5 MiB" for a person, digits otherwise. */
void jf_table_add_bytes(struct jf_table *table, uint64_t bytes, bool person);
/* A time, "-" if there is none. */
void jf_table_add_time(struct jf_table *table, int64_t time);
/* Prints and frees. Columns that hold numbers only are set to the right. */
void jf_table_finish(struct jf_table *table, struct jf_out *out);

/* "1.5 MiB"; buf >= 24 bytes. */
const char *jf_bytes_text(uint64_t bytes, char *buf, size_t size);

#endif
