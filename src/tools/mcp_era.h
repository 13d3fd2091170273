/* SPDX-License-Identifier: MIT */
/* Inside of tools/: what servers of the two eras of MCP say of themselves, and what follows.
 * Pure; any thread.
 */
#ifndef AGW_TOOLS_MCP_ERA_H
#define AGW_TOOLS_MCP_ERA_H

#include "tools/mcp_link.h"

#define MCP_MODERN_VERSION "2026-07-28"
#define MCP_LEGACY_VERSION "2025-11-25" /* the one we ask for; older ones are taken */

enum mcp_era { MCP_UNKNOWN, MCP_MODERN, MCP_LEGACY };

/* What is known of a server. */
struct mcp_peer {
    enum mcp_era era;
    char version[16];                    /* of the protocol */
    char session_id[MCP_SESSION_ID_MAX]; /* legacy HTTP, "" = none */
    char name[128], release[64];         /* its own, "" = it does not say */
    bool tells_changes;                  /* of its list of tools */
};

/* The parameters of a request: a copy of `params` (NULL = none) with the `_meta` that `peer`'s
 * era wants; a token for progress is the request's id, 0 = none. New reference, NULL = memory
 * is out. */
json_t *mcp_era_params(const struct mcp_peer *peer, const json_t *params, json_int_t token);
json_t *mcp_era_initialize(void);

/* The headers that every message to `peer` has, and those of one request. */
void mcp_era_session_headers(const struct mcp_peer *peer, struct mcp_headers *headers);
void mcp_era_request_headers(const struct mcp_peer *peer, const char *method, const char *name,
                             struct mcp_headers *headers);

/* Judges the answer to server/discover: *peer is modern, or legacy and still to be initialised.
 * AGW_EUPSTREAM with *e: neither will do. */
int mcp_era_discovered(const struct mcp_answer *answer, struct mcp_peer *peer, struct err *e);
/* Judges the answer to initialize. */
int mcp_era_initialized(const struct mcp_answer *answer, struct mcp_peer *peer, struct err *e);

/* What the answer says of the agreement: it holds; it may be with another server by now, which
 * may or may not have run what it was asked; or the server no longer knows the session or the
 * revision, and has run nothing. If it is not kept another one is to be made. */
enum mcp_agreement { MCP_KEPT, MCP_DOUBTED, MCP_LOST };
enum mcp_agreement mcp_era_agreement(const struct mcp_peer *peer,
                                     const struct mcp_answer *answer);

#endif
