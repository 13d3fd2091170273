/* SPDX-License-Identifier: MIT */
/* The terms of a temporary grant as JSON, one set of rules for requests and for agwctl, and in
 * the log. */
#ifndef AGW_API_OVERRIDE_TERMS_H
#define AGW_API_OVERRIDE_TERMS_H

#include <jansson.h>

#include "agent/catalog.h"
#include "api/fields.h"
#include "policy/state.h"
#include "util/log.h"

extern const struct field_set override_terms_fields;

/* Reads {"agent", "ttl_seconds", "reason"?, "key_id"?, "ticket"?, "max_uses"?} into a new grant
 * with an id of its own, made at `now` (store_now()); a bare agent name is spelled out by the
 * catalog. Texts stay the body's or the catalog's. AGW_EINVALID with param = the member. */
int override_terms_read(const json_t *body, const struct policy *policy,
                        const struct catalog *catalog, int64_t now, struct override *o,
                        struct err *e);

/* Adds what a line about a grant says of the grant itself. */
void override_terms_log(struct log_line *line, const struct override *o);

#endif
