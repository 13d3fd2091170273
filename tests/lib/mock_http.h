/* SPDX-License-Identifier: MIT */
/* An HTTP server on loopback whose every answer a test writes itself: a thread a connection,
 * a handler call a request. For unit tests of whatever speaks HTTP.
 */
#ifndef AGW_TESTS_LIB_MOCK_HTTP_H
#define AGW_TESTS_LIB_MOCK_HTTP_H

#include <stdbool.h>
#include <stddef.h>

struct mock_http;
struct mock_conn; /* one connection */

struct mock_request {
    int number;           /* of this server, from 1 */
    int on_connection;    /* of this connection, from 1 */
    char head[8192];      /* request line and headers */
    char *body;           /* NUL-terminated */
    size_t body_length;
};

/* Answers through the functions below. Returns whether the connection stays open. */
typedef bool (*mock_handler)(struct mock_conn *conn, const struct mock_request *request,
                             void *arg);

struct mock_http *mock_http_start(mock_handler handler, void *arg);
void mock_http_stop(struct mock_http **server);
int mock_http_port(const struct mock_http *server);
int mock_http_requests(struct mock_http *server);
int mock_http_connections(struct mock_http *server);

/* A whole answer with Content-Length; `headers` is "" or lines ending in CRLF. */
void mock_reply(struct mock_conn *conn, int status, const char *type, const char *headers,
                const char *body);
/* The head of an answer that ends with the connection or with mock_end(). */
void mock_head(struct mock_conn *conn, int status, const char *type, bool chunked);
/* Bytes as they are; a chunk; the last chunk. False when the client is gone. */
bool mock_write(struct mock_conn *conn, const char *bytes, size_t length);
bool mock_chunk(struct mock_conn *conn, const char *text);
bool mock_end(struct mock_conn *conn);
/* Closes with a reset. */
void mock_reset(struct mock_conn *conn);
/* Sleeps, but not beyond the client's leaving or the server's stop; true if the client left. */
bool mock_sleep(struct mock_conn *conn, int ms);

#endif
