/* SPDX-License-Identifier: MIT */
/* From a presented secret to a principal. Any thread. */
#ifndef AGW_POLICY_AUTHENTICATE_H
#define AGW_POLICY_AUTHENTICATE_H

#include "config/config.h"
#include "policy/key_set.h"
#include "util/err.h"

/* The keys of a configuration and those made at run time: by SHA-256 of the secret, and by
 * id. Of two with one id or secret, which neither side lets happen, the file's counts. */
struct key_index;

/* `set` may be NULL. The keys must outlive the index. NULL when memory is out. */
struct key_index *authenticate_index_new(const struct config_security *security,
                                         const struct key_set *set);
void authenticate_index_free(struct key_index **index);

/* How many keys there are, and the one with a number, in the order of ids. */
size_t authenticate_count(const struct key_index *index);
const struct config_key *authenticate_key(const struct key_index *index, size_t number);

/* The key with this id, NULL when there is none. */
const struct config_key *authenticate_find_id(const struct key_index *index, const char *id);

/* `authorization` and `x_api_key` are the raw header values or NULL. Exactly one credential:
 * AGW_EINVALID for two (also a joined "a, b"), or an Authorization that is not "Bearer KEY";
 * AGW_ENOCRED for none; AGW_EBADKEY for unknown or expired at `now`, or a secret that was
 * replaced and whose overlap is over (*key is then the key for the audit, else NULL). Work does not depend on which key is wrong. */
int authenticate(const struct key_index *index, const char *authorization,
                 const char *x_api_key, int64_t now, const struct config_key **key,
                 struct err *e);

#endif
