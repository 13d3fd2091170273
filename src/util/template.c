/* SPDX-License-Identifier: MIT */
/* Finds the places in a text where values are to stand. */
#include "util/template.h"

#include <string.h>

static const char name_characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789_-.";

/* Length of the "{name}" that begins here, 0 = none. */
static size_t name_at(const char *text, size_t length)
{
    size_t at = 1;

    if (length == 0 || text[0] != '{')
        return 0;
    while (at < length && strchr(name_characters, text[at]) != NULL)
        at++;
    return at > 1 && at < length && text[at] == '}' ? at + 1 : 0;
}

bool template_next(const char **at, const char *end, struct template_piece *piece)
{
    const char *text = *at;
    size_t length = end == NULL ? strlen(text) : (size_t)(end - text);
    size_t name = name_at(text, length), used = name;

    if (length == 0)
        return false;
    if (name == 0)
        for (used = 1; used < length && name_at(text + used, length - used) == 0; used++)
            ;
    *piece = (struct template_piece){name > 0, text, used};
    if (name > 0) {
        piece->text++;
        piece->length -= 2;
    }
    *at = text + used;
    return true;
}

bool template_names(const char *text, const char *name)
{
    struct template_piece piece;
    size_t length = strlen(name);

    while (template_next(&text, NULL, &piece))
        if (piece.is_name && piece.length == length && memcmp(piece.text, name, length) == 0)
            return true;
    return false;
}
