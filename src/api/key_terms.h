/* SPDX-License-Identifier: MIT */
/* The terms of a run-time key as JSON: what a request may ask for, and what is answered. */
#ifndef AGW_API_KEY_TERMS_H
#define AGW_API_KEY_TERMS_H

#include <jansson.h>

#include "api/fields.h"
#include "store/keys.h"
#include "util/arena.h"
#include "util/err.h"

extern const struct field_set key_terms_fields;

/* Reads {"id", "description"?, "roles"?, "allow_agents"?, "deny_agents"?, "allow_tools"?,
 * "deny_tools"?,
 * "rate_limit"?: {"per_minute"}, "budget"?: {"requests_per_day"?, "tokens_per_day"?},
 * "expires_at"? or "ttl_seconds"?} by the rules of
 * security.yaml; `now` is store_now(). Texts go to the arena or stay the body's. AGW_EINVALID
 * with param = the member. */
int key_terms_read(const json_t *body, int64_t now, struct arena *arena, struct key_row *row,
                   struct err *e);

/* The key as answers show it, never a hash; with its secret when that is not NULL. NULL when
 * memory is out. */
json_t *key_terms_json(const struct key_record *key, const char *secret);
/* Overwrites the secret in such an answer, or does nothing to any other; NULL is one. */
void key_terms_wipe(json_t *answer);

#endif
