/* SPDX-License-Identifier: MIT */
/* Finds the credentials of an entry in what its server says. */
#include "tools/credential.h"

#include <string.h>

enum { SECRET_MIN = 6 }; /* shorter values ("1", "true") are no secrets, but in many texts */

bool credential_is_quoted(const struct config_tool *config, const char *bytes, size_t length)
{
    for (size_t i = 0; i < config->header_count; i++) {
        const char *value = config->headers[i].value, *space = strrchr(value, ' ');
        size_t secret;

        if (!config->headers[i].expanded)
            continue;
        if (space != NULL) /* "Bearer KEY" */
            value = space + 1;
        secret = strlen(value);
        if (secret >= SECRET_MIN && length > 0 && memmem(bytes, length, value, secret) != NULL)
            return true;
    }
    return false;
}
