/* SPDX-License-Identifier: MIT */
/* Waiting for an upstream and for the client's leaving at once; for http_client.c. */
#ifndef AGW_NET_HTTP_WAIT_H
#define AGW_NET_HTTP_WAIT_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

struct http_watch {
    int fd;       /* -1 = nobody */
    bool chatty;  /* unread bytes wait there: readable no longer means gone */
};

/* Until curl has something to do, `until` (monotonic ms; INT64_MAX = never) or a hang-up.
 * 0, or -1 when the client is gone. */
int http_wait_for(CURLM *multi, struct http_watch *watch, int64_t now, int64_t until);

/* Wipes (they hold keys) and frees; nulls the pointer. */
void http_wait_free_headers(struct curl_slist **headers);

#endif
