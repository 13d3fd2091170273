/* SPDX-License-Identifier: MIT */
/* A strictly parsed request: what does not fit is refused before anything looks at it. */
#ifndef AGW_HTTP_REQUEST_H
#define AGW_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/fcgi.h"
#include "util/arena.h"
#include "util/err.h"

/* Model ids hold a '/', which clients may send as "%2F" below this path, and only there. */
#define REQUEST_IDS_BELOW "/v1/models/"

enum { REQUEST_ID_MAX = 128, REQUEST_PATH_MAX = 1024, REQUEST_HEADER_MAX = 8192 };

struct request {
    struct arena *arena;         /* everything below lives in it */
    struct fcgi *x;
    const char *method;          /* "GET" ... as sent */
    const char *path;            /* decoded once, strictly; "/" first; "" when malformed */
    const char *query;           /* raw, "" = none */
    const char *authorization, *x_api_key; /* raw values, NULL = absent */
    const char *origin;          /* CORS */
    const char *access_request_method, *access_request_headers;
    const char *content_type, *user_agent, *remote_addr;
    char id[REQUEST_ID_MAX + 1]; /* x-request-id: the client's when it is well-formed */
    char *body;                  /* NUL-terminated; NULL until request_read_body() */
    size_t body_length;
    int64_t started_us;          /* clock_mono_us() at arrival */
};

/* Fills *r from the FastCGI parameters. The path comes from REQUEST_URI alone (PATH_INFO is
 * decoded and dot-resolved by web servers); dot segments, empty segments, encoded separators,
 * control bytes and broken escapes are AGW_EINVALID. HTTP_PROXY is ignored. The id is set
 * even on failure. A header given twice (two parameters of one name) is AGW_EINVALID when it
 * is a credential. */
int request_parse(struct fcgi *x, struct arena *arena, struct request *r, struct err *e);

/* The id of a request: `wish` if it matches [A-Za-z0-9._-]{1,128}, else a random one. */
void request_id_choose(const char *wish, char id[REQUEST_ID_MAX + 1]);

/* Reads to CONTENT_LENGTH, or without it to the end of the stream. AGW_ETOOLARGE over `max`;
 * AGW_EINVALID when the body is shorter than CONTENT_LENGTH or that is no number. */
int request_read_body(struct request *r, size_t max, struct err *e);

/* The decoded value of a query parameter in the arena; NULL when absent; repeated ones:
 * the first. */
const char *request_query(struct request *r, const char *name);

#endif
