/* SPDX-License-Identifier: MIT */
/* Inside of agent/: one run of an agent whose module another process hosts, as its threads share
 * it. The request's thread listens (sdk_listen.c) and answers the client (sdk_answer.c); model
 * calls and tool calls of the module have threads of their own (sdk_calls.c), which serve them
 * (sdk_model.c, sdk_tools.c). The module may be hostile: everything it can ask for has its limit.
 */
#ifndef AGW_AGENT_SDK_RUN_H
#define AGW_AGENT_SDK_RUN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "agent/run.h"
#include "agent/tool_turn.h"
#include "runner/session.h"

enum {
    SDK_CALLS_MAX = 32,        /* under way at once in one run */
    SDK_WAITING_MAX = 128,     /* ... and so many more wait for their turn; the rest is refused */
    SDK_HELD_MAX = 64 << 20,   /* bytes of memory for what all of these ask; one may take more */
    SDK_TURNS_MAX = 32,        /* of the SDK's loop */
    SDK_MODEL_CALLS_MAX = 256, /* in one run: a module that never ends costs no more than that */
    SDK_TOOL_CALLS_MAX = 1024, /* the same, for each leaves rows in the trail */
    SDK_MESSAGES_MAX = 200000, /* from the module in one run */
    SDK_BYTES_MAX = 256 << 20, /* of all of them */
    SDK_TEXT_MAX = 16 << 20,   /* that a client is streamed */
    SDK_HEARTBEAT_MS = 2000,
    SDK_HANG_MS = 3 * SDK_HEARTBEAT_MS /* without a line */
};

/* The status that tells a failed module from a failed request. */
enum { SDK_CRASH = 502 };

struct sdk_run;

/* Something that the module asks for. */
struct sdk_call {
    struct sdk_run *r;
    json_t *message;
    json_int_t id;
    size_t weight;  /* of the message in memory */
    atomic_bool cancelled;
    struct sdk_call *next;
};

/* A tool of the module itself that was allowed and has not ended. */
struct sdk_own {
    json_int_t id;
    char *name, *call_id;
    struct invoke_own *own;
    struct sdk_own *next;
};

struct sdk_run {
    const struct agent_run *run;
    const struct dropin *dropin;
    struct invoke_caller caller;  /* the run's, but that its calls end when the run does */
    struct session session;
    int64_t process;              /* of the runner's, that the session leads to */
    struct toolbox box;           /* the client's tools, when this agent's model may call them */
    int64_t deadline_ms;          /* clock_mono_ms(): the run's end */
    int gone[2];                  /* calls watch the first; the second is closed at the end */

    pthread_mutex_t lock;         /* guards what follows */
    pthread_cond_t idle;          /* `calls` has become 0 */
    int calls;                    /* threads that run */
    struct sdk_call *under_way;
    struct sdk_call *waiting, **waiting_end;
    int waiting_count;
    size_t held;                  /* bytes of calls that are under way or wait */
    int model_calls, tool_calls;  /* so far */
    struct chat_usage usage;      /* of all model calls */
    json_t *reported;             /* the same, as their upstreams report it */
    struct sdk_own *own;          /* tools of the module that run */
    bool has_chosen;              /* the client's tool_choice was obeyed */
    bool is_told;                 /* the log has how the run failed */
    json_t *handed;               /* calls of the client's tools, which end the run; NULL = none */
    char handed_reason[32];       /* finish_reason of the turn that made them */
    struct err failed;            /* the last model call that failed, code 0 = none */
    struct err broken;            /* what ends the run whatever the module does; code 0 = nothing */
};

/* The run is to end with *e, if nothing else has ended it yet. Any thread. */
void sdk_run_break(struct sdk_run *r, const struct err *e);

/* ---- sdk_start.c ---- */

/* hello and run.start; NULL when memory is out. */
json_t *sdk_start_hello(const struct agent_run *run);
json_t *sdk_start_run(const struct agent_run *run, const struct dropin *dropin,
                      int64_t deadline_ms);

/* ---- sdk_listen.c ---- */

/* Until the run has ended: 0 when the client has its answer. *heard: the module has said
 * anything. */
int sdk_listen(struct sdk_run *r, bool *heard, struct err *e);

/* ---- sdk_answer.c ---- */

/* What the client has been told. */
struct sdk_answer {
    struct sdk_run *r;
    struct err *e;
    int64_t quiet_since_ms;
    size_t text;          /* bytes of it, streamed so far */
};

/* delta; tick: nothing else is to be said now. */
int sdk_answer_delta(struct sdk_answer *answer, const json_t *message);
int sdk_answer_tick(struct sdk_answer *answer);
/* run.done; NULL: the client is given the calls of its tools, whatever the module were to say. */
int sdk_answer_done(struct sdk_answer *answer, const json_t *message);
/* What was said cannot be taken back: the stream ends as one that a provider's filter stops. */
int sdk_answer_filtered(struct sdk_answer *answer);

/* ---- sdk_calls.c ---- */

/* Begins what the module asks for: llm.request, tool.check, tool.call. Takes `message` over. */
void sdk_calls_begin(struct sdk_run *r, json_t *message_take);
/* llm.cancel. */
void sdk_calls_cancel(struct sdk_run *r, const json_t *message);
/* Another call of a tool. AGW_EAGENT: it is one too many, which ends the run. Any thread. */
int sdk_calls_count_tool(struct sdk_run *r, struct err *e);
/* The session is hushed: waits until all threads have ended, and forgets what waits. */
void sdk_calls_end(struct sdk_run *r);

/* For those who serve: a message with the call's id, NULL when memory is out; and sends one.
 * What cannot be said for another reason than that the run is over ends the run. */
json_t *sdk_call_head(const struct sdk_call *call, const char *type);
int sdk_call_send(const struct sdk_call *call, json_t *message_take);
/* "" when there is none. */
const char *sdk_call_text(const json_t *message, const char *name);

/* ---- sdk_model.c ---- */

void sdk_model_serve(struct sdk_call *call);

/* ---- sdk_tools.c ---- */

void sdk_tools_call(struct sdk_call *call);
void sdk_tools_check(struct sdk_call *call);
/* Takes out of a model call what policy would deny: a module cannot be trusted to. `number`: of the
 * run's model calls; the first is told of in the log. */
int sdk_tools_strip(const struct sdk_run *r, int number, json_t *body, struct err *e);
/* Whether one of the definitions is of that name. */
bool sdk_tools_has(const json_t *tools, const char *name);
/* tool.done. */
void sdk_tools_done(struct sdk_run *r, const json_t *message);
/* No thread runs any more: ends what the module has not. */
void sdk_tools_end(struct sdk_run *r, enum tool_status status);

/* ---- sdk_handover.c: tools of the client, who runs them ---- */

/* AGW_EINVALID, AGW_ENOMEM. To be closed in any case. */
int sdk_handover_open(struct sdk_run *r, struct err *e);
void sdk_handover_close(struct sdk_run *r);
/* Whether an llm.request is for an answer that the client waits for, and may so call its tools. */
bool sdk_handover_takes(const struct sdk_run *r, const json_t *message);
/* Adds the client's tools to those of the module. AGW_EINVALID: they have names in common. */
int sdk_handover_offer(struct sdk_run *r, json_t *body, struct err *e);

/* What was handed over: valid until the run is closed; NULL = nothing. */
const json_t *sdk_handover_calls(struct sdk_run *r);
/* The first turn that calls the client's tools is the last. */
void sdk_handover_take(struct sdk_run *r, const struct tool_turn *turn, json_t *calls_take);

/* ---- sdk_turn.c ---- */

/* One answer of the model, in which calls are looked for that the module does not see to. */
struct sdk_turn {
    struct tool_turn turn;
    bool takes;      /* calls of the client's tools may be in it, see sdk_handover_takes() */
    json_t *offered; /* the tools that the module has asked with */
    json_t *kept;    /* chunks that the module must not see, unless the calls are all its own */
};

/* AGW_ENOMEM. To be freed in any case, also when it was never more than zeros. */
int sdk_turn_init(struct sdk_turn *t, const struct sdk_run *r, json_t *offered, bool takes,
                  struct err *e);
void sdk_turn_free(struct sdk_turn *t);
/* *kept: the chunk is not to be sent on yet. AGW_EUPSTREAM, AGW_ENOMEM. */
int sdk_turn_chunk(struct sdk_turn *t, json_t *chunk, bool *kept, struct err *e);
/* After the whole answer, which is *completion (replaced by what the module is to see, if need
 * be) or was a stream (`kept` is then what is to be sent on). Calls of tools that the module has
 * not offered are on record then. AGW_EUPSTREAM, AGW_ENOMEM, AGW_EAUDIT, AGW_EAGENT. */
int sdk_turn_end(struct sdk_turn *t, struct sdk_run *r, json_t **completion, struct err *e);

/* ---- sdk_error.c ---- */

/* Logs that the run has failed, unless that was logged before. One thread. */
void sdk_error_log(struct sdk_run *r, const char *class, const char *message);
/* run.error, in the gateway's terms, and into the log; returns e->code. */
int sdk_error(struct sdk_run *r, const json_t *message, struct err *e);
/* {"error": {...}} for the module, as a model provider would say it; NULL: memory is out. */
json_t *sdk_error_object(const struct err *e);

#endif
