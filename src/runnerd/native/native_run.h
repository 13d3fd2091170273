/* SPDX-License-Identifier: MIT */
/* One run of an agent in C. Its thread (and threads of its tools) work; the host's main thread
 * reads the run's connection, hands out what came, and beats for it (native_host.c).
 */
#ifndef AGW_RUNNERD_NATIVE_NATIVE_RUN_H
#define AGW_RUNNERD_NATIVE_NATIVE_RUN_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "runner/wire.h"
#include "runnerd/native/native_module.h"

enum { NATIVE_TEXT_MAX = 4 << 20, NATIVE_HEARTBEAT_MS = 2000, NATIVE_DEPTH_MAX = 8 };

struct agw_text {
    struct buf buf;
    struct agw_text *next; /* of those that live as long as the run */
};

/* Code of the agent, entered by a thread: how long it gives no sign of life is looked at. */
struct native_visit {
    struct agw_run *run;
    const struct descriptor *descriptor; /* whose code it is */
    int depth;                   /* of agents that run agents */
    _Atomic int64_t since;       /* clock_mono_ms() of the last sign; INT64_MAX while it waits */
    struct native_visit *outer;  /* of the same thread */
    struct native_visit *next;   /* of the run */
};

/* A question to the gateway, while it is open. */
struct native_call {
    json_int_t id;
    json_t *inbox;               /* what came and nobody took */
    pthread_cond_t arrived;
    struct native_call *next;
};

/* Why a run fails: the fields of run.error. */
struct native_failure {
    char class[24];              /* "" = nothing is known */
    int status;
    char code[64], param[64], message[600];
    double retry_after;          /* < 0: none */
};

struct agw_run {
    struct native_module *module;
    int wake_fd;                 /* wakes the main thread */
    struct agw_run *next;
    /* the main thread's own */
    bool has_thread, paused;
    int64_t next_beat_ms, linger_ms, cancelled_ms;

    /* from run.start on, constant */
    json_t *start, *gateway_tools, *messages, *params;
    int64_t heartbeat_ms, deadline_ms;
    const char *attr, *model;
    char *messages_text, *params_text, *context_text, *input_text;
    bool streaming;

    atomic_bool cancelled;       /* its code is to end */
    atomic_bool finished;        /* its thread has nothing more to do */
    pthread_mutex_t lock;        /* guards what follows */
    pthread_cond_t changed;      /* cancelled, or there is room to send */
    struct wire wire;
    bool gone;                   /* the gateway is */
    char reason[40];             /* why it is cancelled */
    json_int_t last_id;
    struct native_call *calls;
    size_t waiting;              /* messages in inboxes */
    struct native_visit *visits;
    struct agw_text *texts;
    struct native_failure failure;
    int64_t prompt_tokens, completion_tokens;
    struct buf said, refused;    /* by code that answers itself */
};

/* ---- its life; main thread ---- */

/* Takes the connection over and says hello. NULL: memory is out. */
struct agw_run *native_run_new(struct native_module *module, int fd, int wake_fd);
void native_run_free(struct agw_run **run);

/* What came; takes `message` over. True when it is run.start: its thread may begin. */
bool native_run_take(struct agw_run *run, json_t *message);
void native_run_cancel(struct agw_run *run, const char *reason);
/* Whether code of it has given no sign of life for longer than that, or goes on though it was
 * cancelled long ago. */
bool native_run_is_silent(struct agw_run *run, int64_t ms);

/* The run's thread, from start to end (native_serve.c). */
void native_serve(void *run);

/* ---- any thread of it ---- */

/* Takes `message` (NULL: memory is out). AGW_EGONE, AGW_ENOMEM, AGW_ETOOLARGE. */
int native_run_send(struct agw_run *run, json_t *message_take, struct err *e);
/* The same for text of the answer, in pieces; waits while the gateway is slower than the agent. */
int native_run_delta(struct agw_run *run, const char *field, const char *text, size_t length,
                     struct err *e);
void native_run_log(struct agw_run *run, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Why the run fails, if it does; returns `code`. */
int native_run_fail(struct agw_run *run, int code, const char *class, int status,
                    const char *error_code, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* Asks: gives `message` an id. To be ended in any case. */
int native_call_begin(struct agw_run *run, struct native_call *call, json_t *message_take,
                      struct err *e);
/* The next answer. AGW_EGONE when the run is cancelled. */
int native_call_next(struct agw_run *run, struct native_call *call, json_t **message,
                     struct err *e);
void native_call_end(struct agw_run *run, struct native_call *call);

/* ---- code of the agent ---- */

/* `depth`: how many agents ran agents to get here. */
void native_visit_begin(struct agw_run *run, const struct descriptor *d, int depth,
                        struct native_visit *visit);
void native_visit_end(struct native_visit *visit);
/* The calling thread's, NULL = it is none that the host lent. */
struct native_visit *native_visit_of(const struct agw_run *run);
/* A function of the host was called, which may wait until native_visit_back(). */
void native_visit_wait(const struct agw_run *run);
void native_visit_back(const struct agw_run *run);

#endif
