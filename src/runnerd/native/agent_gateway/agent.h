/* SPDX-License-Identifier: MIT */
/* Agents of Agent Gateway in C.
 *
 * agent.c in a folder of its own below `agents/` defines one descriptor with the name `agent`:
 *
 *     #include <agent_gateway/agent.h>
 *
 *     const struct agw_agent agent = {
 *         .version = AGW_AGENT_VERSION,
 *         .name = "Poet",
 *         .instructions = "You answer in verse.",
 *     };
 *
 * `contrib/build-agent agents/Poet` makes agent.so of it, and that is served as default/poet. An
 * agent without a function `run` asks its model, calls the tools that the model wants, and asks
 * again until there is an answer, as agents of agents.yaml do. doc/DROPIN-AGENTS.md has an example.
 *
 * All texts are UTF-8 and end with NUL. Descriptors are read when the module is loaded and must
 * never change. Functions of an agent run in threads, for many requests at once; each has a
 * stack of about 200 KiB. What they get lives until they return, and must not be used after.
 *
 * Functions that work for longer than a second call agw_cancelled() now and then: it is their
 * sign of life. A function that gives none for as long as three heartbeats (six seconds) is
 * taken for hung: the request fails, and the module's process is replaced.
 */
#ifndef AGW_RUNNERD_NATIVE_AGENT_GATEWAY_AGENT_H
#define AGW_RUNNERD_NATIVE_AGENT_GATEWAY_AGENT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of this header. A module that was built for another one is refused, with a message. */
#define AGW_AGENT_VERSION 1

/* One request, from its start to its answer. */
struct agw_run;

/* A text that grows. */
struct agw_text;

/* What functions return, the agent's and those below. */
enum agw_status {
    AGW_DONE = 0,
    AGW_FAILED,   /* it did not work, and one can go on */
    AGW_STOP,     /* of a guardrail: the request is to be stopped */
    AGW_FATAL,    /* the run cannot go on */
    AGW_CANCELLED /* the client has left, or the time is over: return soon */
};

struct agw_tool {
    const char *name;        /* as the model sees it: letters, digits, _ and -, at most 64 */
    const char *description;
    const char *parameters;  /* JSON Schema of an object; NULL = there are none */
    /* `arguments` is a JSON object that fits the schema. What is written to `result` is told to the
     * model, also with AGW_FAILED. AGW_FATAL ends the run, and the text is for the log alone. */
    int (*call)(struct agw_run *run, const char *arguments, struct agw_text *result);
};

struct agw_guardrail {
    const char *name;
    /* AGW_DONE lets the request go on, AGW_STOP ends it; `why` is for the log. `text` is the last
     * message of the user, or the answer. */
    int (*check)(struct agw_run *run, const char *text, struct agw_text *why);
};

/* Only `version` and `name` have to be there; with `run` the members from `instructions` to
 * `max_tool_rounds` that it makes no use of have no effect. */
struct agw_agent {
    unsigned version;                     /* AGW_AGENT_VERSION */
    const char *name;                     /* "Trip Planner" */
    const char *instructions;             /* the system message */
    /* Writes the instructions of one request, instead of `instructions`. */
    int (*instruct)(struct agw_run *run, struct agw_text *instructions);
    const char *model;                    /* NULL = the gateway's default */
    const char *settings;                 /* JSON object: {"temperature": 0.2}; what the client
                                             sends overrides it */
    const char *output_schema;            /* JSON Schema: the answer is JSON that fits it */
    const struct agw_tool *tools;         /* the last one has no name */
    const char *const *gateway_tools;     /* names of entries of tools.yaml, then NULL */
    const struct agw_agent *const *handoffs; /* agents that may take over, then NULL */
    const char *handoff_description;      /* when this one should */
    const struct agw_guardrail *input_guardrails, *output_guardrails; /* the last has no name */
    int max_tool_rounds;                  /* 0 = 8 */
    /* Answers the request itself. The answer is what it said with agw_say(), and then `answer`. */
    int (*run)(struct agw_run *run, struct agw_text *answer);

    /* Of the module, in the descriptor `agent` alone; all optional. */
    const char *in_namespace, *display_name, *description, *upstream;
    const struct agw_agent *const *others; /* served as NAMESPACE/NAME-OTHER, then NULL */
};

/* ---- the request ---- */

/* Texts that live as long as the run. */
const char *agw_messages(struct agw_run *run); /* JSON array, as the client sent it */
const char *agw_input(struct agw_run *run);    /* text of the last message of the user */
const char *agw_params(struct agw_run *run);   /* JSON object: temperature, stop ... */
const char *agw_context(struct agw_run *run);  /* JSON object: request_id key_id agent user metadata */
const char *agw_model(struct agw_run *run);

/* Whether the run should end: the client has left, or the time is over. */
bool agw_cancelled(struct agw_run *run);

/* Waits. AGW_CANCELLED when it was cut short. */
int agw_wait(struct agw_run *run, unsigned milliseconds);

/* Adds a line to the gateway's log. `level`: "debug" "info" "warning" "error". */
void agw_log(struct agw_run *run, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- models, agents, tools ---- */

/* Asks a model: `request` is a JSON object with "messages" and whatever a chat completion takes;
 * without a "model" it is the run's. *answer gets the chat completion as JSON. AGW_FAILED: the
 * model's provider has failed, and *answer is {"status","code","message"}. A `run` function that
 * returns AGW_FAILED then ends the run with that error. */
int agw_ask(struct agw_run *run, const char *request, struct agw_text *answer);

/* The same as a stream: each chunk goes to take(), which returns AGW_DONE or ends the stream. */
int agw_ask_stream(struct agw_run *run, const char *request,
                   int (*take)(void *arg, const char *chunk), void *arg);

/* Runs an agent with one message of the user; its answer is no part of this run's. */
int agw_run_agent(struct agw_run *run, const struct agw_agent *agent, const char *input,
                  struct agw_text *answer);

/* Calls a tool of the agent that runs, or of the gateway. AGW_FAILED: *result says why, a denial
 * by policy included. */
int agw_call_tool(struct agw_run *run, const char *name, const char *arguments,
                  struct agw_text *result);

/* ---- the answer, for `run` ---- */

/* The next piece of the answer; the client of a stream sees it at once. Waits for slow ones. */
int agw_say(struct agw_run *run, const char *text);
int agw_say_reasoning(struct agw_run *run, const char *text);
/* The answer is a refusal. */
int agw_refuse(struct agw_run *run, const char *text);

/* ---- texts ---- */

/* AGW_DONE or AGW_FAILED: it would become longer than 4 MiB, or memory is out. What is not UTF-8
 * becomes U+FFFD before anybody sees it. */
int agw_text_add(struct agw_text *text, const char *more);
int agw_text_addf(struct agw_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int agw_text_add_bytes(struct agw_text *text, const void *bytes, size_t length);
/* As a JSON string, with its quotes. */
int agw_text_add_json(struct agw_text *text, const char *more);
const char *agw_text_get(const struct agw_text *text); /* until it is changed */
void agw_text_clear(struct agw_text *text);

/* An empty one. It lives as long as the run. NULL when memory is out. */
struct agw_text *agw_text_new(struct agw_run *run);

/* ---- reading JSON ---- */

/* `pointer` is a JSON pointer: "/city", "/choices/0/message/content", "" for the whole. AGW_FAILED:
 * there is no such value, it is of another type, or it has no room. */
int agw_json_string(const char *json, const char *pointer, char *out, size_t size);
int agw_json_integer(const char *json, const char *pointer, long long *out);
int agw_json_number(const char *json, const char *pointer, double *out);
int agw_json_bool(const char *json, const char *pointer, bool *out);
/* A string as it is, any other value as JSON; added to *out. */
int agw_json_get(const char *json, const char *pointer, struct agw_text *out);

#ifdef __cplusplus
}
#endif

#endif
