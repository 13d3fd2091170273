/* SPDX-License-Identifier: MIT */
/* Writes comma-separated values. */
#include "ctl/csv.h"

#include <stdio.h>
#include <string.h>

#include "ctl/output.h"

enum { CELL_MAX = 1 << 20 };

void csv_cell(struct buf *row, const char *text)
{
    struct buf shown;
    const char *c;

    if (row->length > 0)
        buf_puts(row, ",");
    if (text == NULL)
        return;
    buf_init(&shown, CELL_MAX);
    output_escape(&shown, text, 0);
    buf_puts(row, "\"");
    if (text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL)
        buf_puts(row, "'");
    for (c = buf_text(&shown); *c != '\0'; c++)
        buf_append(row, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
    buf_puts(row, "\"");
    buf_free(&shown);
}

void csv_end(struct buf *row)
{
    puts(buf_text(row));
    buf_reset(row);
}
