/* SPDX-License-Identifier: MIT */
/* One HTTP call through libcurl with deadlines, caps and cancellation.
 *
 * A pool keeps curl handles, and with them warm connections, apart per pool (one pool an
 * upstream). No redirects, no proxy from the environment, http and https only. Which addresses
 * may be reached is judged when the socket is made, after every resolution: a name that comes
 * to stand for another address changes nothing. The calling
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

enum { HTTP_WANTED_SIZE = 256 };

struct http_result {
    int status;                  /* 0 = no response */
    char content_type[128];      /* lower case, without parameters; "" = none */
    char charset[32];            /* of the content type, lower case; "" = none */
    bool encoded;                /* it has a Content-Encoding, which is left as it is */
    int retry_after_s;           /* Retry-After as seconds from now, 0 = none */
    bool retry_is_useless;       /* it said "x-should-retry: false" */
    bool connected;              /* a connection was there: the request may have been seen */
    bool any_byte;               /* some response byte arrived */
    bool too_large;              /* max_response was exceeded */
    bool starved;                /* this process or host had no socket left to connect with */
    bool refused_address;        /* `reach` forbade an address; then *e names it */
    char wanted[HTTP_WANTED_SIZE]; /* value of the header `wanted`; "" = none, or longer */
    int64_t duration_us;
};

enum http_reach {
    HTTP_REACH_ANY,
    HTTP_REACH_PUBLIC /* addresses of the public Internet only (net/http_address.h) */
};

/* What on_body returns when it needs nothing more: the call ends well, at once if the
 * response ends within HTTP_CLIENT_TAIL_MS (the connection stays warm), else by closing. */
enum { HTTP_CLIENT_ENOUGH = 1, HTTP_CLIENT_TAIL_MS = 250 };

struct http_call {
    const char *method;          /* "POST" */
    const char *url;
    const char *const *headers;  /* "Name: value", NULL-terminated; values may be secrets */
    const char *body;            /* NULL = none */
    size_t body_length;
    /* 0 = none. first_byte counts from the connection's being there, idle from the last
     * response byte, total from the start. */
    int64_t connect_ms, first_byte_ms, idle_ms, total_ms;
    enum http_reach reach;
    /* Sent at most once. Otherwise a kept connection that breaks before the first byte of an
     * answer is replaced and the request sent anew, whatever became of it. */
    bool once;
    const char *wanted;          /* a further header of the answer, to be kept; NULL = none */
    size_t max_response;         /* bytes of body, decoded */
    int watch_fd;                /* client's socket: hang-up cancels; -1 = none */
    int64_t tick_ms;             /* call on_tick when nothing arrived for so long; 0 = never */
    /* NULL, or the monotonic ms since when it is quiet: then the caller decides what ends
     * the silence (by moving it forward); arriving bytes do not. A tick moves it. */
    int64_t *quiet_since_ms;
    /* Callbacks (any may be NULL) return 0 or an AGW_E* that ends the call with that code. */
    int (*on_head)(void *arg, const struct http_result *head); /* final status and headers */
    int (*on_body)(void *arg, const char *bytes, size_t length);
    int (*on_tick)(void *arg);
    /* At most once, when the request is on its way and its answer is not there yet: for what
     * has to be waited for anyway. Not called when there is no connection. */
    int (*on_sent)(void *arg);
    void *arg;
};

/* 0 when a whole response arrived (whatever its status). AGW_ETIMEOUT, AGW_EUPSTREAM (broken
 * transfer, cap), AGW_EGONE (watch_fd hung up), or what a callback said. *result is filled
 * in every case. */
int http_client_call(struct http_pool *pool, const struct http_call *call,
                     struct http_result *result, struct err *e);

/* Whether the peer of a socket has closed or reset it (unread bytes do not hide that). */
bool http_client_peer_gone(int fd);

/* Sleeps (giving the run permit back); AGW_EGONE as soon as watch_fd hangs up. */
int http_client_pause(int watch_fd, int64_t ms);

#endif
