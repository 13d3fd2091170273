/* SPDX-License-Identifier: MIT */
/* Reads the members of a request body and says exactly what is wrong with them. */
#ifndef AGW_API_FIELDS_H
#define AGW_API_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

enum field_type { FIELD_TEXT, FIELD_INTEGER, FIELD_NUMBER, FIELD_BOOLEAN, FIELD_OBJECT,
                  FIELD_ARRAY, FIELD_TEXT_OR_TEXTS };

struct field {
    const char *name;
    enum field_type type;
    bool required;
    int64_t min, max; /* of numbers, of a text's characters, of an array's items; both 0 =
                         no bounds */
};

/* All members of a body. */
struct field_set {
    const struct field *fields;
    size_t count;
    bool closed; /* no others are taken */
};

/* Checks the members of `body` against the table; JSON null counts as absent. With `closed`
 * a member that is not in the table is refused too. AGW_EINVALID with param = the member. */
int fields_check(const json_t *body, const struct field *fields, size_t count, bool closed,
                 struct err *e);

/* The text or NULL; the number or `fallback`. After fields_check(). */
const char *fields_text(const json_t *body, const char *name);
int64_t fields_integer(const json_t *body, const char *name, int64_t fallback);

#endif
