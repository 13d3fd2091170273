/* SPDX-License-Identifier: MIT */
/* Runs an agent whose module another process hosts. */
#include "agent/run_sdk.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/sdk_run.h"
#include "util/clock.h"

enum { GOODBYE_MS = 500 }; /* a module that is told to end reads that soon, or sees the end */

void sdk_run_break(struct sdk_run *r, const struct err *e)
{
    pthread_mutex_lock(&r->lock);
    if (r->broken.code == 0)
        r->broken = *e;
    pthread_mutex_unlock(&r->lock);
}

/* The caller's copy differs in one: its calls end with the run, not only with the client. */
static int open_run(struct sdk_run *r, struct err *e)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, r->gone) != 0)
        return err_set(e, AGW_EOVERLOAD, "a pair of sockets for a run: %s", strerror(errno));
    r->caller = *r->run->caller;
    r->caller.watch_fd = r->gone[0];
    r->waiting_end = &r->waiting;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->idle, NULL);
    return 0;
}

static void close_run(struct sdk_run *r)
{
    close(r->gone[0]);
    sdk_handover_close(r);
    json_decref(r->reported);
    pthread_cond_destroy(&r->idle);
    pthread_mutex_destroy(&r->lock);
}

/* Nothing is waited for that is not listened to: a module that does not read hangs, too. */
static int begin(struct sdk_run *r, struct err *e)
{
    const struct chat_sink *sink = r->run->sink;
    int status = session_post(&r->session, sdk_start_hello(r->run), e);

    if (status == 0)
        status = session_post(&r->session, sdk_start_run(r->run, r->dropin, r->deadline_ms), e);
    if (status == AGW_EGONE) /* what it has said before may say why */
        status = 0;
    if (status == 0 && sink->sent != NULL)
        status = sink->sent(sink->arg);
    return status;
}

static void say_goodbye(struct sdk_run *r, int status)
{
    json_t *message = status == 0 ? NULL
                                  : json_pack("{s:s,s:s}", "t", "run.cancel", "reason",
                                              status == AGW_EGONE ? "client_gone" : "failed");

    session_hush(&r->session, message, clock_mono_ms() + GOODBYE_MS);
}

/* On a connection that is the run's. *heard: the module has said anything. */
static int run_on(struct sdk_run *r, int fd, bool *heard, struct err *e)
{
    int status = open_run(r, e);

    if (status != 0) {
        close(fd);
        return status;
    }
    session_init(&r->session, fd);
    status = sdk_handover_open(r, e);
    if (status == 0)
        status = begin(r, e);
    if (status == 0)
        status = sdk_listen(r, heard, e);
    say_goodbye(r, status);
    close(r->gone[1]);
    sdk_calls_end(r);
    sdk_tools_end(r, status == AGW_EGONE ? TOOL_CANCELLED : TOOL_UNAVAILABLE);
    session_close(&r->session);
    close_run(r);
    return status;
}

/* What no run.error tells: its process has ended, hangs, or goes beyond limits. */
static void log_end(struct sdk_run *r, int status, const struct err *e)
{
    if (status == AGW_EAGENT)
        sdk_error_log(r, e->status == SDK_CRASH ? "crash" : "internal", e->message);
    else if (status == AGW_ETIMEOUT)
        sdk_error_log(r, "timeout", e->message);
}

static int run_once(const struct agent_run *run, int64_t deadline_ms, bool is_last, bool *heard,
                    struct chat_usage *usage, struct err *e)
{
    struct sdk_run r = {.run = run, .dropin = run->agent->dropin, .deadline_ms = deadline_ms,
                        .usage = {.prompt_tokens = -1, .completion_tokens = -1}};
    int fd, status = link_open(run->link, run->agent->spec->id, deadline_ms,
                               run->sink->watch_fd, &fd, &r.process, e);

    *heard = status != 0;
    if (status == 0)
        status = run_on(&r, fd, heard, e);
    if (*heard || is_last)
        log_end(&r, status, e);
    *usage = r.usage;
    return status;
}

/* A connection may be to a process that is just ending: one that says nothing at all has begun
 * nothing either. */
int run_sdk(const struct agent_run *run, struct chat_usage *usage, struct err *e)
{
    int64_t deadline = clock_mono_ms() + run->total_ms;
    bool heard;
    int status = run_once(run, deadline, false, &heard, usage, e);

    if (status == AGW_EAGENT && !heard)
        status = run_once(run, deadline, true, &heard, usage, e);
    return status;
}
