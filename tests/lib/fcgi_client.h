/* SPDX-License-Identifier: MIT */
/* A web server's side of FastCGI, small and willing to misbehave. For tests. */
#ifndef AGW_TESTS_FCGI_CLIENT_H
#define AGW_TESTS_FCGI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "util/buf.h"

struct fcgi_client_request {
    bool keep;                    /* FCGI_KEEP_CONN */
    const char *const *params;    /* name, value, name, value ... NULL */
    const char *body;             /* NULL = none */
    size_t body_length;
    size_t record;                /* body bytes a STDIN record, 0 = as many as fit */
    bool open_end;                /* no closing STDIN record */
    int role;                     /* 0 = responder */
};

struct fcgi_client_reply {
    bool ended;                   /* END_REQUEST came */
    int status;                   /* of the Status header, 0 = none */
    struct buf output;            /* headers and body as sent */
    const char *body;             /* in `output`, NULL without a blank line */
    size_t body_length;
};

/* A listening Unix socket at `path` / a connection to one; -1 on failure. */
int fcgi_client_listen(const char *path);
int fcgi_client_connect(const char *path);

/* The bytes of a request appended to `out`. */
void fcgi_client_build(const struct fcgi_client_request *request, struct buf *out);

/* Builds and sends; 0 or -1. */
int fcgi_client_send(int fd, const struct fcgi_client_request *request);
int fcgi_client_send_bytes(int fd, const void *bytes, size_t length);

/* Reads to END_REQUEST or the end of the connection (at most 20 s). False: nothing that is
 * a reply. */
bool fcgi_client_receive(int fd, struct fcgi_client_reply *reply);
void fcgi_client_reply_free(struct fcgi_client_reply *reply);

/* The value of a response header copied to `value`, "" when absent. */
void fcgi_client_header(const struct fcgi_client_reply *reply, const char *name, char *value,
                        size_t size);

/* connect, send, receive, close. */
bool fcgi_client_ask(const char *path, const struct fcgi_client_request *request,
                     struct fcgi_client_reply *reply);

#endif
