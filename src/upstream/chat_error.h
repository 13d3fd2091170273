/* SPDX-License-Identifier: MIT */
/* What an upstream's error answer becomes for the client and the operator. */
#ifndef AGW_UPSTREAM_CHAT_ERROR_H
#define AGW_UPSTREAM_CHAT_ERROR_H

#include <stdbool.h>

#include "net/http_client.h"
#include "upstream/entry.h"
#include "util/buf.h"

/* AGW_EUPSTREAMREQ with a public message for 400, 404, 413, 422 and 429, else AGW_EUPSTREAM.
 * 401 and 403 are about the gateway's own credential: nothing of their text is used. */
int chat_error_map(const struct upstream_entry *entry, const struct http_result *result,
                   const struct buf *body, struct err *e);

/* Whether the same upstream may do better at once: 408, 409, 429, 500, 502, 503, 504. */
bool chat_error_is_transient(int status);
/* Whether the answer is final: asking another upstream would not change it. */
bool chat_error_is_final(int status);

#endif
