/* SPDX-License-Identifier: MIT */
/* Texts with "{name}" in them, where a value is to stand. Any thread. */
#ifndef AGW_UTIL_TEMPLATE_H
#define AGW_UTIL_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

struct template_piece {
    bool is_name;      /* the text is the name inside of the braces, else a literal */
    const char *text;  /* not NUL-terminated */
    size_t length;     /* never 0 */
};

/* The piece that begins at *at, which moves to the next one; false at the end (or at `end`,
 * unless that is NULL). Names are of letters, digits, '_', '-' and '.'; braces around anything
 * else are literal. */
bool template_next(const char **at, const char *end, struct template_piece *piece);

bool template_names(const char *text, const char *name);

#endif
