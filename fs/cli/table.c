/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/cli/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/jetstore.h"

#define MAX_COLUMNS 16

void jf_table_init(struct jf_table *table, size_t columns) {
    *table = (struct jf_table){.columns = columns < MAX_COLUMNS ? columns : MAX_COLUMNS};
}

void jf_table_add(struct jf_table *table, const char *text) {
    size_t len = strlen(text);
    size_t size = jf_escape(text, len, NULL, 0) + 1;
    char *cell = malloc(size);

    if (cell && table->ncells == table->cap) {
        size_t cap = table->cap ? 2 * table->cap : 64;
        char **grown = realloc(table->cells, cap * sizeof *grown);

        if (grown) {
            table->cells = grown;
            table->cap = cap;
        }
    }
    if (!cell || table->ncells == table->cap) {
        free(cell);
        table->failed = true;
        return;
    }
    jf_escape(text, len, cell, size);
    table->cells[table->ncells++] = cell;
}

void jf_table_addf(struct jf_table *table, const char *fmt, ...) {
    char *text = NULL;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        table->failed = true;
        return;
    }
    jf_table_add(table, text);
    free(text);
}

const char *jf_bytes_text(uint64_t bytes, char *buf, size_t size) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1023.95 && unit < 6) {
        value /= 1024;
        unit++;
    }
    snprintf(buf, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return buf;
}

void jf_table_add_bytes(struct jf_table *table, uint64_t bytes, bool person) {
    char text[32];

    if (person)
        jf_table_add(table, jf_bytes_text(bytes, text, sizeof text));
    else
        jf_table_addf(table, "%llu", (unsigned long long)bytes);
}

void jf_table_add_time(struct jf_table *table, int64_t time) {
    char text[48] = "-";

    if (time)
        js_time_format(time, text, sizeof text);
    jf_table_add(table, text);
}

/* Columns on the screen: one per character, which is right for most scripts. */
static size_t width_of(const char *text) {
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static bool is_number(const char *text) {
    return text[0] >= '0' && text[0] <= '9' && !strchr(text, '-');
}

static void print_cell(struct jf_out *out, const char *text, size_t width, bool right, bool last) {
    size_t blanks = width - width_of(text);

    if (right)
        jf_out_printf(out, "%*s", (int)blanks, "");
    jf_out_text(out, text);
    if (!right && !last)
        jf_out_printf(out, "%*s", (int)blanks, "");
    jf_out_text(out, last ? "\n" : "  ");
}

static void print_aligned(const struct jf_table *table, struct jf_out *out) {
    size_t rows = table->ncells / table->columns;
    size_t width[MAX_COLUMNS] = {0};
    bool right[MAX_COLUMNS];

    for (size_t c = 0; c < table->columns; c++) {
        right[c] = rows > 1;
        for (size_t row = 0; row < rows; row++) {
            const char *cell = table->cells[row * table->columns + c];
            size_t w = width_of(cell);

            width[c] = w > width[c] ? w : width[c];
            if (row > 0 && !is_number(cell))
                right[c] = false;
        }
    }
    for (size_t i = 0; i < rows * table->columns; i++) {
        size_t c = i % table->columns;

        print_cell(out, table->cells[i], width[c], right[c], c + 1 == table->columns);
    }
}

void jf_table_finish(struct jf_table *table, struct jf_out *out) {
    if (table->failed)
        out->err = out->err ? out->err : ENOMEM;
    else if (out->tty)
        print_aligned(table, out);
    else
        for (size_t i = 0; i < table->ncells; i++) {
            jf_out_text(out, table->cells[i]);
            jf_out_text(out, (i + 1) % table->columns ? "\t" : "\n");
        }
    for (size_t i = 0; i < table->ncells; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct jf_table){0};
}
