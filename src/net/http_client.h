/* SPDX-License-Identifier: MIT */
/* One HTTP call through libcurl with deadlines, caps and cancellation.
 *
 * A pool keeps curl handles, and with them warm connections, apart per pool (one pool an
 * upstream). No redirects, no proxy from the environment, http and https only. The calling
 * thread waits (giving its run permit back) on the transfer and on the client's socket at
 * once. Pools: any thread; one call: one thread.
 */
#ifndef AGW_NET_HTTP_CLIENT_H
#define AGW_NET_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

/* Once per process, before threads. */
int http_client_init(void);

struct http_pool;
struct http_pool *http_pool_new(size_t max_idle_handles);
void http_pool_free(struct http_pool **pool);

struct http_call {
    const char *method;          /* "POST" */
    const char *url;
    const char *const *headers;  /* "Name: value", NULL-terminated; values may be secrets */
    const char *body;            /* NULL = none */
    size_t body_length;
    int64_t connect_ms, first_byte_ms, idle_ms, total_ms; /* 0 = none */
    size_t max_response;         /* bytes of body, decoded */
    int watch_fd;                /* client's socket: hang-up cancels; -1 = none */
    int64_t tick_ms;             /* call on_tick when nothing arrived for so long; 0 = never */
    /* Callbacks return 0 or an AGW_E* that ends the call with that code. */
    int (*on_head)(void *arg, int status); /* status line seen and first body byte or end near */
    int (*on_body)(void *arg, const char *bytes, size_t length);
    int (*on_tick)(void *arg);
    void *arg;
};

struct http_result {
    int status;                  /* 0 = no response */
    char content_type[128];      /* lower case, without parameters; "" = none */
    int retry_after_s;           /* Retry-After as seconds from now, 0 = none */
    bool connected;              /* a connection was there: the request may have been seen */
    bool any_byte;               /* some response byte arrived */
    int64_t duration_us;
};

/* 0 when a whole response arrived (whatever its status). AGW_ETIMEOUT, AGW_EUPSTREAM (broken
 * transfer, cap), AGW_EGONE (watch_fd hung up), or what a callback said. *result is filled
 * in every case. */
int http_client_call(struct http_pool *pool, const struct http_call *call,
                     struct http_result *result, struct err *e);

/* Whether the peer of a socket has closed or reset it (POLLRDHUP or end of file). */
bool http_client_peer_gone(int fd);

#endif
