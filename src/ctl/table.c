/* SPDX-License-Identifier: MIT */
/* Collects cells, then prints them in columns that fit. */
#include "ctl/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

enum { COLUMNS_MAX = 16, TEXT_MAX = 1 << 30 };

struct cell {
    size_t start; /* in `text`, NUL-terminated */
    size_t columns;
    enum output_style style;
};

struct table {
    const struct table_column *columns;
    size_t column_count, widths[COLUMNS_MAX];
    struct cell *cells;
    size_t count, room;
    struct buf text;
    bool failed;
};

struct table *table_new(const struct table_column *columns)
{
    struct table *table = calloc(1, sizeof *table);

    if (table == NULL)
        return NULL;
    table->columns = columns;
    buf_init(&table->text, TEXT_MAX);
    while (table->column_count < COLUMNS_MAX && columns[table->column_count].title != NULL) {
        table->widths[table->column_count] = strlen(columns[table->column_count].title);
        table->column_count++;
    }
    return table;
}

void table_free(struct table **table)
{
    if (*table == NULL)
        return;
    buf_free(&(*table)->text);
    free((*table)->cells);
    free(*table);
    *table = NULL;
}

static struct cell *next_cell(struct table *table)
{
    if (table->count == table->room) {
        size_t room = table->room == 0 ? 64 : table->room * 2;
        struct cell *cells = realloc(table->cells, room * sizeof *cells);

        if (cells == NULL)
            return NULL;
        table->cells = cells;
        table->room = room;
    }
    return &table->cells[table->count];
}

void table_text(struct table *table, enum output_style style, const char *text)
{
    struct cell *cell = table == NULL ? NULL : next_cell(table);
    size_t *width;

    if (cell == NULL) {
        if (table != NULL)
            table->failed = true;
        return;
    }
    width = &table->widths[table->count % table->column_count];
    cell->start = table->text.length;
    cell->style = style;
    cell->columns = output_escape(&table->text, text == NULL || text[0] == '\0' ? "-" : text,
                                  TABLE_CELL_COLUMNS);
    buf_append(&table->text, "", 1);
    if (cell->columns > *width)
        *width = cell->columns;
    table->count++;
}

void table_cell(struct table *table, enum output_style style, const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    if (text == NULL && table != NULL)
        table->failed = true;
    else
        table_text(table, style, text);
    free(text);
}

void table_number(struct table *table, int64_t number)
{
    table_cell(table, STYLE_PLAIN, "%lld", (long long)number);
}

void table_time(struct table *table, int64_t ms)
{
    char text[CLOCK_TEXT_SIZE];

    if (ms == 0) {
        table_text(table, STYLE_PLAIN, NULL);
        return;
    }
    clock_format(ms, text);
    table_cell(table, STYLE_PLAIN, "%.10s %.8s", text, text + 11);
}

size_t table_rows(const struct table *table)
{
    return table == NULL ? 0 : table->count / table->column_count;
}

/* No blanks at the end of a line: they make diffs and mails ugly. */
static void print_cell(const struct table *t, size_t column, const char *text, size_t columns,
                       enum output_style style)
{
    size_t blanks = t->widths[column] - columns;
    bool last = column + 1 == t->column_count;

    if (t->columns[column].right)
        printf("%*s", (int)blanks, "");
    if (style != STYLE_PLAIN)
        printf("%s%s" OUTPUT_RESET, output_style_begin(style), text);
    else
        fputs(text, stdout);
    if (!t->columns[column].right && !last)
        printf("%*s", (int)blanks, "");
    fputs(last ? "\n" : "  ", stdout);
}

int table_print(struct table **table, bool colour, const char *empty)
{
    struct table *t = *table;
    int status = t == NULL || t->failed || t->text.failed ? -1 : 0;

    if (status != 0) {
        fputs("agwctl: out of memory\n", stderr);
    } else if (t->count == 0) {
        puts(empty);
    } else {
        for (size_t c = 0; c < t->column_count; c++)
            print_cell(t, c, t->columns[c].title, strlen(t->columns[c].title),
                       colour ? STYLE_BOLD : STYLE_PLAIN);
        for (size_t i = 0; i < t->count; i++)
            print_cell(t, i % t->column_count, t->text.data + t->cells[i].start,
                       t->cells[i].columns, colour ? t->cells[i].style : STYLE_PLAIN);
    }
    table_free(table);
    return status;
}
