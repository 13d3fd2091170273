/* SPDX-License-Identifier: MIT */
/* Inside of tools/: servers may quote what they were sent, and neither models nor logs nor
 * administrators are to see it. Any thread.
 */
#ifndef AGW_TOOLS_CREDENTIAL_H
#define AGW_TOOLS_CREDENTIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

/* What is said instead. */
#define CREDENTIAL_QUOTED "its answer quotes a credential"

/* Whether the value of a header with a ${NAME} stands in these bytes. */
bool credential_is_quoted(const struct config_tool *config, const char *bytes, size_t length);

#endif
