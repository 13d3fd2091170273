/* SPDX-License-Identifier: MIT */
/* For tests of runs that another process hosts: a host that plays a script, a tool of the gateway,
 * a model that says what it is told to, and a client that remembers what it got. Linked with
 * --wrap of link_open, link_report_hang and chat_call. */
#ifndef AGW_TESTS_LIB_SDK_SCENE_H
#define AGW_TESTS_LIB_SDK_SCENE_H

#include <pthread.h>

#include "agent/run.h"

#define HELLO "{\"t\":\"hello\",\"v\":1}\n"
#define DONE(text) "{\"t\":\"run.done\",\"output\":\"" text "\",\"finish_reason\":\"stop\"}\n"
#define ASK(id, more)                                                                            \
    "{\"t\":\"llm.request\",\"id\":" id ",\"body\":{\"messages\":[{\"role\":\"user\","            \
    "\"content\":\"hi\"}]" more "}}\n"
#define CHECK(id, name)                                                                          \
    "{\"t\":\"tool.check\",\"id\":" id ",\"name\":\"" name "\",\"call_id\":\"c\"}\n"
#define ENDED(id) "{\"t\":\"tool.done\",\"id\":" id ",\"ok\":true}\n"
#define CALL(id, name)                                                                           \
    "{\"t\":\"tool.call\",\"id\":" id ",\"name\":\"" name "\",\"args\":\"{}\"}\n"

/* Sends a text, then waits for so many lines (-1: for the end of a model's answer), and so on;
 * then for the end. It must not need the
 * allocator, which others find empty. */
struct sdk_step {
    const char *text;
    int lines;
};

struct sdk_scene {
    struct config *config;
    struct dropins *dropins;
    struct catalog *catalog;
    struct toolset *toolset;
    struct upstreams *upstreams;
    struct invoke_caller caller;
    struct agent_run run;
    struct agent_hops hops;
    struct chat_sink sink;
    json_t *request;
    const struct sdk_step *steps;
    pthread_t host;
    int peer, opened, refuse;
    char heard[1 << 18]; /* what the host was told */
    char told[65536];  /* what the client was: texts, <reason>, {usage} */
    int answers, status, sink_code, violations;
    struct err e;
};

extern const char *sdk_scene_model; /* a message or, in a stream, deltas; NULL = the echo */
extern char sdk_scene_asked[8192];  /* tools and choice of all that it was asked */
extern _Atomic int sdk_scene_hangs; /* so many were reported */

int sdk_scene_setup(void **state);
int sdk_scene_teardown(void **state);

/* Runs the request once, with the steps that are set. */
void sdk_scene_run(void *arg);
/* Waits for the module. */
void sdk_scene_clean_up(struct sdk_scene *s);
/* Both. */
void sdk_scene_perform(struct sdk_scene *s, const struct sdk_step *steps, bool streaming);

#endif
