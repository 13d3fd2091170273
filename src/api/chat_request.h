/* SPDX-License-Identifier: MIT */
/* The rules for a chat completion request, as data. */
#ifndef AGW_API_CHAT_REQUEST_H
#define AGW_API_CHAT_REQUEST_H

#include <jansson.h>
#include <stdbool.h>

#include "api/fields.h"
#include "util/err.h"

extern const struct field_set chat_request_fields;

/* AGW_EINVALID with the member at fault ("messages[2].role"). What the table does not know is
 * passed on: client libraries learn parameters before gateways do. */
int chat_request_check(const json_t *body, struct err *e);

bool chat_request_streams(const json_t *body);
bool chat_request_wants_usage(const json_t *body);

#endif
