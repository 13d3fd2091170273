/* SPDX-License-Identifier: MIT */
/* Inside of tools/: the keeper of an MCP server that is a program, a thread that starts it, reads
 * all it writes, and sees to it that nothing of it stays behind. mcp_stdio.c carries messages
 * through it. What is marked so is under the lock, which callers take.
 */
#ifndef AGW_TOOLS_MCP_KEEPER_H
#define AGW_TOOLS_MCP_KEEPER_H

#include "tools/launch.h"
#include "tools/mcp_lines.h"
#include "tools/mcp_pending.h"
#include "util/buf.h"

enum { MCP_KEEPER_CHUNK = 16384 };

enum mcp_keeping { KEEPER_IDLE, KEEPER_WANTED, KEEPER_STARTING, KEEPER_RUNNING, KEEPER_ENDING };

struct mcp_keeper {
    const struct config_tool *config;
    struct mcp_listener listener;
    struct mcp_pending pending;
    int wake;                    /* eventfd: there is something for the keeper */
    pthread_mutex_t lock;        /* of all below, up to the keeper's own */
    pthread_cond_t turned;       /* the state is another one; its clock is CLOCK_MONOTONIC */
    enum mcp_keeping state;      /* who finds it KEEPER_IDLE may make it KEEPER_WANTED, from start_at on */
    int64_t start_at;
    uint64_t life;               /* of the program; raised with each start */
    unsigned starts, failures;   /* failures: it could not be started */
    char problem[MCP_PROBLEM_SIZE]; /* why it does not run */
    pid_t pid;
    json_t *sandbox;
    /* the rest is mcp_keeper.c's */
    bool has_thread, closing;
    bool given_up;               /* the program is to end */
    pthread_t thread;
    int in;                      /* the program's stdin; -1 = none */
    struct buf out;              /* not written yet */
    int64_t pause_ms, started_at;
    /* the keeper's own */
    struct launch_child child;
    struct mcp_lines said, muttered;
    char chunk[MCP_KEEPER_CHUNK];
    int64_t log_since;
    int logged;
};

/* NULL with *e; nothing is started. */
struct mcp_keeper *mcp_keeper_new(const struct config_tool *config,
                                  const struct mcp_listener *listener, struct err *e);
/* Ends the program, and waits until it is gone. */
void mcp_keeper_free(struct mcp_keeper *keeper);

/* Under the lock: there is a thread to make the state another one. */
int mcp_keeper_begin(struct mcp_keeper *keeper, struct err *e);
/* Under the lock. */
void mcp_keeper_turn(struct mcp_keeper *keeper, enum mcp_keeping state);

/* Under the lock, while KEEPER_RUNNING: writes a message and the end of its line, behind what waits
 * already; never blocks. AGW_EUNAVAILABLE: nobody reads it, the program is about to end (then
 * it is KEEPER_ENDING), or it has been asked too much already; AGW_ENOMEM. */
int mcp_keeper_put(struct mcp_keeper *keeper, const char *text, struct err *e);

/* Under the lock: the program is to end, and the next one to be started when it is wanted. */
void mcp_keeper_give_up(struct mcp_keeper *keeper);

#endif
