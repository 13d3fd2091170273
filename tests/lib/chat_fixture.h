/* SPDX-License-Identifier: MIT */
/* For tests of the upstream floor: a configuration over mock servers, and a sink that
 * remembers what it got. */
#ifndef AGW_TESTS_LIB_CHAT_FIXTURE_H
#define AGW_TESTS_LIB_CHAT_FIXTURE_H

#include "mock_http.h"
#include "upstream/chat_call.h"

enum { FIXTURE_UPSTREAMS = 4 };

#define FIXTURE_KEY "sk-canary-7f3a9b"

struct fixture_sink {
    struct chat_sink sink;  /* give this to chat_call() */
    int chunks, completions, ticks;
    int answer;             /* what chunk() and completion() return */
    char text[4096];        /* all contents, joined */
    char finish_reason[32];
    json_t *last;           /* the last chunk or the completion */
};

struct fixture {
    struct config config;
    struct config_upstream definitions[FIXTURE_UPSTREAMS];
    char names[FIXTURE_UPSTREAMS][32], urls[FIXTURE_UPSTREAMS][128];
    struct upstreams *upstreams;
    struct fixture_sink sink;
    struct chat_usage usage;
    struct err e;
};

/* Upstreams "u0", "u1" … at these ports with short deadlines, one retry, 1 ms back-off and
 * rising priority; change fixture->definitions, then fixture_apply(). */
void fixture_init(struct fixture *f, size_t count, const int ports[]);
void fixture_apply(struct fixture *f);
void fixture_free(struct fixture *f);

/* One chat_call() with a fresh sink (watch_fd, tick_ms and answer are kept). */
int fixture_call(struct fixture *f, const char *preferred, bool stream);
int fixture_call_body(struct fixture *f, const char *preferred, json_t *body_taken);

/* A whole completion and a whole stream with this text, as text. */
#define FIXTURE_COMPLETION(text)                                                              \
    "{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\","             \
    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"" text       \
    "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,"                        \
    "\"completion_tokens\":5,\"total_tokens\":8}}"
#define FIXTURE_CHUNK(text)                                                                   \
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\"," \
    "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define FIXTURE_END                                                                           \
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\"," \
    "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define FIXTURE_USAGE                                                                         \
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\"," \
    "\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5,"                  \
    "\"total_tokens\":8}}\n\n"
#define FIXTURE_DONE "data: [DONE]\n\n"

#endif
