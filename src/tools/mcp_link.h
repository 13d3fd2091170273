/* SPDX-License-Identifier: MIT */
/* Inside of tools/: what a transport of MCP does: carry one message to a server, and bring the
 * answer to it. mcp_http.c and mcp_stdio.c are the two there are; mcp_session.c speaks through
 * them. All functions but open and close: any thread, many at once.
 */
#ifndef AGW_TOOLS_MCP_LINK_H
#define AGW_TOOLS_MCP_LINK_H

#include "config/config.h"
#include "tools/mcp_headers.h"
#include "tools/mcp_message.h"

/* Of a server's own: more of them in one exchange is an attack. */
enum { MCP_ASIDES_MAX = 10000, MCP_SESSION_ID_MAX = 256 };

/* Told of a server's notifications, and that one which was running has ended, from any thread;
 * quick. */
struct mcp_listener {
    void (*notified)(void *arg, const struct mcp_message *notification);
    void (*ended)(void *arg);
    void *arg;
};

/* One message to be carried. */
struct mcp_ask {
    const char *text;                  /* one line of JSON */
    json_int_t id;                     /* whose answer is waited for; 0: a notification */
    const struct mcp_headers *headers; /* HTTP only; of this message */
    const struct mcp_headers *session; /* HTTP only; of every message of the session */
    bool resumable;                    /* HTTP: a stream that breaks is taken up again by GET */
    bool repeatable;                   /* it does no harm to send it twice */
    uint64_t life;                     /* of the connection it belongs to, see connect() */
    int64_t deadline_ms;               /* clock_mono_ms() */
    int watch_fd;                      /* a hang-up ends it; -1 = none */
};

/* What came back; mcp_message_clear(&answer.message) by the caller. */
struct mcp_answer {
    struct mcp_message message;        /* message.whole NULL: none */
    int status;                        /* HTTP's; 0 over stdio */
    char session_id[MCP_SESSION_ID_MAX]; /* Mcp-Session-Id, "" = none */
    bool sent;                         /* the server may have seen the message */
};

struct mcp_transport {
    const char *name; /* "http" "stdio" */
    bool is_http;

    /* No I/O. NULL with *e. */
    void *(*open)(const struct config_tool *config, const struct mcp_listener *listener,
                  struct err *e);
    /* No exchange runs any more. */
    void (*close)(void *link);

    /* Makes sure that there is somebody to speak to, and says which life of it that is: what
     * was agreed upon in another life no longer holds. 0, AGW_EUNAVAILABLE, AGW_ETIMEOUT,
     * AGW_EGONE, AGW_ENOMEM with *e. */
    int (*connect)(void *link, int64_t deadline_ms, int watch_fd, uint64_t *life,
                   struct err *e);

    /* Carries a message out and waits for its answer, giving the run permit back meanwhile. 0:
     * *answer says what came, over HTTP maybe a status without a message. AGW_EUNAVAILABLE:
     * not sent; AGW_EUPSTREAM: broken off, or not the protocol; AGW_ETIMEOUT, AGW_EGONE,
     * AGW_ENOMEM. */
    int (*exchange)(void *link, const struct mcp_ask *ask, struct mcp_answer *answer,
                    struct err *e);

    /* Listens to what the server says unasked, by GET, or by POST of ask->text, until
     * ask->watch_fd hangs up: AGW_EGONE. AGW_EUPSTREAM (or 0): it broke off; AGW_EINVALID: the
     * server has nothing of that kind. NULL: what it says comes by itself. */
    int (*listen)(void *link, const struct mcp_ask *ask, struct err *e);

    /* Ends a session that the server keeps; may be NULL. */
    void (*farewell)(void *link, const struct mcp_headers *session);

    /* In this life of it no agreement could be reached in time: may be NULL. */
    void (*give_up)(void *link, uint64_t life);

    /* For GET /tools; may be NULL. */
    void (*describe)(void *link, json_t *object);
};

extern const struct mcp_transport mcp_http, mcp_stdio;

#endif
