/* SPDX-License-Identifier: MIT */
/* From a presented secret to a principal. Any thread. */
#ifndef AGW_POLICY_AUTHENTICATE_H
#define AGW_POLICY_AUTHENTICATE_H

#include "config/config.h"
#include "util/err.h"

struct key_index; /* hash table over config.security.keys, by SHA-256 of the secret */

/* Built once per configuration. NULL when memory is out. */
struct key_index *authenticate_index_new(const struct config_security *security);
void authenticate_index_free(struct key_index **index);

/* `authorization` and `x_api_key` are the raw header values or NULL. Exactly one credential:
 * AGW_EINVALID for two (also a joined "a, b"), or an Authorization that is not "Bearer KEY";
 * AGW_ENOCRED for none; AGW_EBADKEY for unknown or expired at `now` (*key is then the expired
 * key for the audit, else NULL). Work does not depend on which key is wrong. */
int authenticate(const struct key_index *index, const char *authorization,
                 const char *x_api_key, int64_t now, const struct config_key **key,
                 struct err *e);

#endif
