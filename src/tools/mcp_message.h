/* SPDX-License-Identifier: MIT */
/* Inside of tools/: JSON-RPC 2.0 as the Model Context Protocol uses it. Pure; any thread. */
#ifndef AGW_TOOLS_MCP_MESSAGE_H
#define AGW_TOOLS_MCP_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

/* A longer message is not read. */
enum { MCP_MESSAGE_MAX = 8 << 20, MCP_TEXT_SIZE = 600 };

/* Codes of errors that mean something to a client. */
enum {
    MCP_METHOD_NOT_FOUND = -32601,
    MCP_SERVER_ERROR = -32000,     /* with HTTP 400: the session is not known, among others */
    MCP_HEADER_MISMATCH = -32020,  /* modern */
    MCP_VERSION_UNSUPPORTED = -32022
};

enum mcp_kind { MCP_RESULT, MCP_ERROR, MCP_REQUEST, MCP_NOTIFICATION };

/* One message; all pointers are into `whole`, which it owns. */
struct mcp_message {
    enum mcp_kind kind;
    json_t *whole;
    const json_t *id;      /* text or integer; of errors also NULL: the peer could not tell */
    const char *method;    /* of requests and notifications */
    const json_t *result;  /* an object */
    json_int_t code;       /* of errors, with */
    char text[MCP_TEXT_SIZE]; /* ... of one line, see mcp_message_clean() */
    const json_t *data;    /* ... or NULL */
};

/* AGW_EINVALID with *e (whose text is clean): not JSON, not JSON-RPC, a batch (which no revision needs and the newer
 * ones forbid), too deep or too large; AGW_ENOMEM. */
int mcp_message_parse(const char *text, size_t length, struct mcp_message *message,
                      struct err *e);
void mcp_message_clear(struct mcp_message *message);

/* Makes a stranger's text fit for our own messages: one line of UTF-8, and nothing in it that
 * drives a terminal or turns the direction of writing. */
void mcp_message_clean(char *text);

/* Whether it is the answer to our request `id`. */
bool mcp_message_answers(const struct mcp_message *message, json_int_t id);

/* The text of a message on one line, to be freed by json_memory_free(); NULL = memory is out.
 * `params` (NULL = none) is taken over in any case. */
char *mcp_message_request(json_int_t id, const char *method, json_t *params_take);
char *mcp_message_notify(const char *method, json_t *params_take);

/* What we answer a server that asks us something: a ping is answered, of all else we say that
 * we do not offer it (sampling, roots, elicitation). */
char *mcp_message_reply(const struct mcp_message *request);

#endif
