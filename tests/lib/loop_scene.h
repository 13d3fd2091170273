/* SPDX-License-Identifier: MIT */
/* For tests of agents with tools: an upstream that plays a script, tools that do what their
 * names say, and a client that remembers what it got. */
#ifndef AGW_TESTS_LIB_LOOP_SCENE_H
#define AGW_TESTS_LIB_LOOP_SCENE_H

#include <stdatomic.h>

#include "agent/run.h"
#include "mock_http.h"

/* The tools of tools.yaml in the scene, all local: "echo" gives its arguments back, "fail" fails,
 * "nap" sleeps a little and waits until `meet` calls run at once, "hang" until its deadline or the
 * client's leaving, "leave" makes the client leave and hangs, "gone" finds that it has left, "big"
 * gives a long text, "secret" is denied by policy, "strict" wants {"city": text}. */
struct loop_scene {
    /* set before loop_scene_run() */
    const char *agent;         /* members of its entry beside name, model, upstream and tools */
    const char *tools;         /* its list, NULL = all */
    const char *request;       /* JSON */
    const char *const *turns;  /* bodies that the upstream answers with, NULL-terminated; one that
                                  begins with "data:" is a stream, with "!" a status; "\1" is a
                                  pause of 30 ms */
    bool streaming;
    int64_t tick_ms, total_ms; /* 0 = none, 10 s */
    size_t added_max;          /* 0 = 1 MiB */
    int sink_code;             /* what chunk() and completion() say, after so many chunks */
    size_t sink_after;
    int tick_code;
    int watch_fd;              /* the client's socket, 0 = none */
    int peer_fd;               /* the client's end, which a failing tick closes */
    int meet;                  /* 0 = nap waits for nobody */

    /* what came of it; loop_scene_clear() frees it */
    int status;
    struct err e;
    struct chat_usage usage;
    struct agent_hops hops;
    json_t *sent;              /* what the upstream was asked, an array */
    json_t *chunks;            /* an array */
    json_t *completion;        /* or NULL */
    _Atomic int ticks, called, peak;
};

void loop_scene_run(struct loop_scene *scene);
void loop_scene_clear(struct loop_scene *scene);

/* "role: content" of the nth request's messages from `from` on, and calls as "role: name(args)",
 * joined by " | ". Static. */
const char *loop_scene_messages(const struct loop_scene *scene, size_t nth, size_t from);
/* The chunks in short: text as it is, calls of tools as "[index id name args]", the reason as
 * "<reason>", usage as "{prompt+completion=total}". Static. */
const char *loop_scene_stream(const struct loop_scene *scene);

#endif
