/* SPDX-License-Identifier: MIT */
/* Inside of tools/: an understanding with an MCP server, whatever carries the messages.
 *
 * Two eras of the protocol: in the modern one (from revision 2026-07-28) each request says all
 * that is to be known of it; in the legacy one there is a handshake first, and over HTTP often
 * a session. Which one a server speaks is found out by asking in the modern way first, and is
 * remembered. A session that the server has forgotten is begun again, once a request. Any
 * thread, many requests at once.
 */
#ifndef AGW_TOOLS_MCP_SESSION_H
#define AGW_TOOLS_MCP_SESSION_H

#include "tools/mcp_link.h"

struct mcp_session;

/* No I/O. NULL with *e. `config` lives until the session is closed. */
struct mcp_session *mcp_session_new(const struct config_tool *config,
                                    const struct mcp_listener *listener, struct err *e);
/* No request may run any more. Takes leave of the server, within a second or so. */
void mcp_session_close(struct mcp_session **session);

struct mcp_request {
    const char *method;
    const char *name;        /* the tool it is about, NULL = none */
    json_t *params;          /* an object, borrowed; its values are not changed */
    const struct mcp_headers *headers; /* modern HTTP: those of the tool's arguments; or NULL */
    bool repeatable;         /* may be sent again when nobody knows what became of it */
    int64_t deadline_ms;
    int watch_fd;
};

struct mcp_reply {
    json_t *result;          /* new reference */
    json_int_t code;         /* of the server's error, 0 = none */
};

/* 0; AGW_EINVALID: the server says no, *e has its text and reply->code its number;
 * AGW_EUNAVAILABLE (it does not know of the request), AGW_EUPSTREAM (nobody can tell what became
 * of it), AGW_ETIMEOUT, AGW_EGONE (watch_fd hung up; the server is told in both cases),
 * AGW_ENOMEM. */
int mcp_session_request(struct mcp_session *session, const struct mcp_request *request,
                        struct mcp_reply *reply, struct err *e);

/* For GET /tools: protocol, server, and what the transport knows. */
void mcp_session_describe(struct mcp_session *session, json_t *object);

#endif
