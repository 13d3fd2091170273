/* SPDX-License-Identifier: MIT */
/* Names agents after the folders they lie in. */
#include "runnerd/identity.h"

#include <stdio.h>
#include <string.h>

#include "util/json_text.h"

/* As config_name_problem() has it. */
enum { LONGEST = 100 };

void identity_clean(char out[IDENTITY_NAME], const char *text)
{
    size_t used = 0;

    while (*text != '\0' && used < LONGEST) {
        size_t length = json_text_utf8(text, strlen(text));
        char c = *text;

        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        else if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_'))
            c = '-';
        out[used++] = c;
        text += length == 0 ? 1 : length;
    }
    out[used] = '\0';
}

void identity_of(const char *folder, const char *default_ns, struct identity *identity)
{
    const char *first = strchr(folder, '/'), *last = strrchr(folder, '/');
    char ns[4 * IDENTITY_NAME];

    identity_clean(identity->name, last == NULL ? folder : last + 1);
    if (first == NULL) {
        snprintf(identity->ns, sizeof identity->ns, "%s", default_ns);
        return;
    }
    snprintf(ns, sizeof ns, "%.*s", (int)(first - folder), folder);
    identity_clean(identity->ns, ns);
}

void identity_further(struct identity *identity, const char *attribute)
{
    char both[3 * IDENTITY_NAME];

    snprintf(both, sizeof both, "%s-%.*s", identity->name, IDENTITY_NAME, attribute);
    identity_clean(identity->name, both);
}

bool identity_module(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    size_t length = dot == NULL || (slash != NULL && dot < slash) ? strlen(path)
                                                                  : (size_t)(dot - path);

    if (length >= size)
        return false;
    memcpy(out, path, length);
    out[length] = '\0';
    for (char *c = out; *c != '\0'; c++)
        if (*c == '/')
            *c = '.';
    return true;
}
