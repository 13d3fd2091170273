/* SPDX-License-Identifier: MIT */
/* Follows JSON pointers through schemas. */
#include "util/json_schema_place.h"

#include <stdbool.h>
#include <stdlib.h>

#include "util/json_schema.h"
#include "util/sha.h"

/* One segment of a pointer in a URI fragment, decoded; the length taken from `text`, or 0 when
 * it is malformed or too long. */
static size_t read_segment(const char *text, char segment[JSON_SCHEMA_POINTER_SIZE])
{
    size_t at = 0, used = 0;
    bool escaped = false;

    while (text[at] != '\0' && text[at] != '/') {
        char byte = text[at++];

        if (byte == '%') {
            int decoded = sha_unhex_byte(text + at);

            if (decoded < 0)
                return 0;
            byte = (char)decoded;
            at += 2;
        }
        if (escaped && (byte == '0' || byte == '1'))
            byte = byte == '0' ? '~' : '/';
        else if (escaped)
            return 0;
        else if (byte == '~') {
            escaped = true;
            continue;
        }
        escaped = false;
        if (used + 1 >= JSON_SCHEMA_POINTER_SIZE)
            return 0;
        segment[used++] = byte;
    }
    segment[used] = '\0';
    return escaped ? 0 : at;
}

const json_t *json_schema_place_find(const json_t *root, const char *fragment)
{
    char segment[JSON_SCHEMA_POINTER_SIZE];

    while (*fragment == '/' && root != NULL) {
        size_t length = read_segment(fragment + 1, segment);

        if (length == 0 && fragment[1] != '/' && fragment[1] != '\0')
            return NULL;
        if (json_is_array(root)) {
            char *end;
            unsigned long index = strtoul(segment, &end, 10);

            root = *end == '\0' && segment[0] >= '0' && segment[0] <= '9'
                       ? json_array_get(root, index)
                       : NULL;
        } else {
            root = json_object_get(root, segment);
        }
        fragment += 1 + length;
    }
    return *fragment == '\0' ? root : NULL;
}
