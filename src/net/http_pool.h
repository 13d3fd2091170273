/* SPDX-License-Identifier: MIT */
/* The curl handles of a pool; for http_client.c. A handle is one connection's home: its own
 * multi handle keeps that connection warm. Any thread; a handle belongs to who acquired it.
 */
#ifndef AGW_NET_HTTP_POOL_H
#define AGW_NET_HTTP_POOL_H

#include <curl/curl.h>

#include "net/http_client.h"

struct http_handle {
    CURLM *multi;
    CURL *easy;            /* of this call */
    enum http_reach reach; /* of all its calls, and so of its connection */
    char detail[CURL_ERROR_SIZE];
};

/* The handle used last for this reach (its connection is the likeliest to be alive), or a new
 * one; NULL when memory is out. */
struct http_handle *http_pool_acquire(struct http_pool *pool, enum http_reach reach);
/* Keeps it for the next call, or frees it when enough are idle. NULL is allowed. */
void http_pool_release(struct http_pool *pool, struct http_handle *handle);

#endif
