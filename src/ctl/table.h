/* SPDX-License-Identifier: MIT */
/* A table with aligned columns; its cells may hold any text. */
#ifndef AGW_CTL_TABLE_H
#define AGW_CTL_TABLE_H

#include "ctl/output.h"

/* Longer texts are cut in the table; --json has all of them. */
enum { TABLE_CELL_COLUMNS = 160 };

struct table_column {
    const char *title; /* NULL ends the list */
    bool right;        /* numbers */
};

struct table; /* when memory is out it remembers that, and table_print() says so */

/* NULL when memory is out; the other functions then do nothing. */
struct table *table_new(const struct table_column *columns);
void table_free(struct table **table);

/* The next cell; a row is complete with its last column. NULL or "" is shown as "-". */
void table_text(struct table *table, enum output_style style, const char *text);
void table_cell(struct table *table, enum output_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void table_number(struct table *table, int64_t number);
/* UTC ms as "2026-11-25 19:01:17" (UTC); 0 is shown as "-". */
void table_time(struct table *table, int64_t ms);

size_t table_rows(const struct table *table);

/* To standard output, with a line of titles; `empty` instead when there are no rows. -1 when
 * memory was out. Frees the table. */
int table_print(struct table **table, bool colour, const char *empty);

#endif
