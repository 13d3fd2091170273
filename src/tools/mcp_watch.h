/* SPDX-License-Identifier: MIT */
/* Inside of tools/: listens to what a server over HTTP says without being asked, which is how it
 * tells that its list of tools has changed: a stream that is held open, by GET in the legacy
 * era and by subscriptions/listen in the modern one. A thread, from the first server on that
 * says that it tells of changes. Any thread.
 */
#ifndef AGW_TOOLS_MCP_WATCH_H
#define AGW_TOOLS_MCP_WATCH_H

#include "tools/mcp_era.h"

struct mcp_watch;

/* `next_id` gives ids for requests of our own. NULL: memory is out. */
struct mcp_watch *mcp_watch_new(const struct mcp_transport *transport, void *link,
                                const struct mcp_listener *listener,
                                _Atomic json_int_t *next_id);
/* Hangs up, and waits for the thread. */
void mcp_watch_free(struct mcp_watch **watch);

/* This is whom to listen to from now on; NULL: to nobody, the session is lost. */
void mcp_watch_turn(struct mcp_watch *watch, const struct mcp_peer *peer);

#endif
