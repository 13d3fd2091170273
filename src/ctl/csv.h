/* SPDX-License-Identifier: MIT */
/* Comma-separated values (RFC 4180) that a spreadsheet shows and never runs: a cell that begins
 * like a formula gets an apostrophe before it, control characters are shown as in tables.
 */
#ifndef AGW_CTL_CSV_H
#define AGW_CTL_CSV_H

#include "util/buf.h"

/* Appends a cell, behind a comma unless it is the row's first; NULL is an empty one. */
void csv_cell(struct buf *row, const char *text);

/* Prints the row and empties it. */
void csv_end(struct buf *row);

#endif
