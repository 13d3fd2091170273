/* SPDX-License-Identifier: MIT */
/* Inside of tools/: the requests of many threads that wait for answers from one stream. Any
 * thread.
 */
#ifndef AGW_TOOLS_MCP_PENDING_H
#define AGW_TOOLS_MCP_PENDING_H

#include <pthread.h>

#include "tools/mcp_link.h"

enum { MCP_PROBLEM_SIZE = 256 };

struct mcp_waiter {
    json_int_t id;
    int event;                      /* eventfd: it is done */
    bool done;
    int code;
    char problem[MCP_PROBLEM_SIZE];
    struct mcp_message message;     /* with code 0 */
    struct mcp_waiter *next;
};

struct mcp_pending {
    pthread_mutex_t lock;
    struct mcp_waiter *first;
};

void mcp_pending_init(struct mcp_pending *pending);
void mcp_pending_destroy(struct mcp_pending *pending);

/* Before the request is sent. AGW_ENOMEM with *e. */
int mcp_pending_add(struct mcp_pending *pending, struct mcp_waiter *waiter, json_int_t id,
                    struct err *e);
/* Blocks, giving the run permit back, until there is an answer, `deadline_ms` or a hang-up of
 * watch_fd; 0: waiter->message is the caller's. Ends what _add() began. */
int mcp_pending_wait(struct mcp_pending *pending, struct mcp_waiter *waiter, int64_t deadline_ms,
                     int watch_fd, struct err *e);
/* Instead of waiting. */
void mcp_pending_drop(struct mcp_pending *pending, struct mcp_waiter *waiter);

/* Takes one line of the stream: an answer goes to who waits for it (one that nobody waits for,
 * or no longer, is forgotten), notifications to `listener`, and of what the server asks the
 * answer to `reply`. A line that begins like a message and is none ends all of them: it may have
 * been any one's answer. Other lines are talk. */
void mcp_pending_take(struct mcp_pending *pending, const char *line, size_t length,
                      const struct mcp_listener *listener,
                      void (*reply)(void *arg, const char *text), void *arg);
/* Ends all of them. */
void mcp_pending_fail(struct mcp_pending *pending, int code, const char *problem);

#endif
