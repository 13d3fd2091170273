/* SPDX-License-Identifier: MIT */
/* The HTTP request for one chat completion: where it goes and what heads it. */
#ifndef AGW_UPSTREAM_CHAT_REQUEST_H
#define AGW_UPSTREAM_CHAT_REQUEST_H

#include <stdbool.h>

#include "upstream/entry.h"
#include "util/buf.h"

/* Appends the URL for `model`. base_url may end in a query, which stays at the end. Azure:
 * …/openai/deployments/MODEL/chat/completions?api-version=…, where base_url may already name
 * the deployment, or the /v1 surface, which has none. 0 or AGW_EUPSTREAM. */
int chat_request_url(const struct upstream_entry *entry, const char *model, struct buf *url);

struct chat_request_headers {
    char id[160], accept[40];
    const char **lines; /* borrowed from the entry but for the two above; NULL-terminated */
};

/* 0 or AGW_ENOMEM. */
int chat_request_headers_init(struct chat_request_headers *headers,
                              const struct upstream_entry *entry, const char *request_id,
                              bool streaming);
void chat_request_headers_reset(struct chat_request_headers *headers);

#endif
