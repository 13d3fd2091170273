/* SPDX-License-Identifier: MIT */
/* Addresses a chat completion to an upstream. */
#include "upstream/chat_request.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"

static void add_encoded(struct buf *url, const char *text)
{
    for (; *text != '\0'; text++) {
        if (isalnum((unsigned char)*text) || strchr("-._~", *text) != NULL)
            buf_append(url, text, 1);
        else
            buf_printf(url, "%%%02X", (unsigned char)*text);
    }
}

static bool ends_in_v1(const char *text, size_t length)
{
    return length >= 3 && memcmp(text + length - 3, "/v1", 3) == 0;
}

/* Azure's older surface names the deployment in the path, its /v1 surface does not. */
static void add_azure_path(struct buf *url, const char *base, size_t length, const char *model)
{
    static const char deployments[] = "/deployments/";

    if (ends_in_v1(base, length) ||
        memmem(base, length, deployments, sizeof deployments - 1) != NULL)
        return;
    if (length < 7 || memcmp(base + length - 7, "/openai", 7) != 0)
        buf_puts(url, "/openai");
    buf_puts(url, deployments);
    add_encoded(url, model);
}

int chat_request_url(const struct upstream_entry *entry, const char *model, struct buf *url)
{
    const char *base = entry->base_url == NULL ? "" : entry->base_url;
    size_t length = strcspn(base, "?#");
    const char *query = base[length] == '?' ? base + length : NULL;

    while (length > 0 && base[length - 1] == '/')
        length--;
    buf_append(url, base, length);
    if (entry->provider == PROVIDER_AZURE)
        add_azure_path(url, base, length, model);
    buf_puts(url, "/chat/completions");
    if (query != NULL)
        buf_puts(url, query);
    if (entry->api_version != NULL && (query == NULL || strstr(query, "api-version=") == NULL)) {
        buf_puts(url, query == NULL ? "?api-version=" : "&api-version=");
        add_encoded(url, entry->api_version);
    }
    return url->failed ? AGW_EUPSTREAM : 0;
}

int chat_request_headers_init(struct chat_request_headers *headers,
                              const struct upstream_entry *entry, const char *request_id,
                              bool streaming)
{
    size_t count = 0;

    headers->lines = calloc(entry->header_count + 3, sizeof *headers->lines);
    if (headers->lines == NULL)
        return AGW_ENOMEM;
    for (; count < entry->header_count; count++)
        headers->lines[count] = entry->headers[count];
    snprintf(headers->accept, sizeof headers->accept, "Accept: %s",
             streaming ? "text/event-stream" : "application/json");
    headers->lines[count++] = headers->accept;
    if (request_id != NULL && request_id[0] != '\0') {
        snprintf(headers->id, sizeof headers->id, "x-request-id: %s", request_id);
        headers->lines[count++] = headers->id;
    }
    return 0;
}

void chat_request_headers_reset(struct chat_request_headers *headers)
{
    free(headers->lines);
    headers->lines = NULL;
}
