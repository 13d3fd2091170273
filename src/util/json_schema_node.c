/* SPDX-License-Identifier: MIT */
/* Spells the types and places of compiled schemas. */
#include "util/json_schema_node.h"

#include <stdio.h>
#include <string.h>

/* In the order of the bits of enum node_type. */
static const char *const type_names[] = {"null",   "boolean", "object", "array",
                                         "number", "string",  "integer"};
enum { TYPES = sizeof type_names / sizeof type_names[0] };

void node_pointer_push(char *pointer, size_t *length, const char *segment)
{
    size_t at = *length;

    if (at + 1 < JSON_SCHEMA_POINTER_SIZE)
        pointer[at++] = '/';
    for (; *segment != '\0' && at + 2 < JSON_SCHEMA_POINTER_SIZE; segment++) {
        if (*segment == '~' || *segment == '/') {
            pointer[at++] = '~';
            pointer[at++] = *segment == '~' ? '0' : '1';
        } else {
            pointer[at++] = *segment;
        }
    }
    pointer[at] = '\0';
    *length = at;
}

unsigned node_type_named(const char *name)
{
    for (unsigned i = 0; name != NULL && i < TYPES; i++)
        if (strcmp(name, type_names[i]) == 0)
            return 1u << i;
    return 0;
}

const char *node_types_text(unsigned types, char text[80])
{
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < TYPES; i++)
        if (types & 1u << i)
            used += (size_t)snprintf(text + used, 80 - used, "%s%s", used > 0 ? " or " : "",
                                     type_names[i]);
    return text;
}
