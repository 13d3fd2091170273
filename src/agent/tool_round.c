/* SPDX-License-Identifier: MIT */
/* Lets a turn's tools run side by side. */
#include "agent/tool_round.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "util/clock.h"
#include "util/crew.h"
#include "util/permit.h"

/* A round while it runs. What is not constant is guarded by the lock. */
struct work {
    const struct tool_round *round;
    const struct tool_turn *turn;
    struct tool_result *results; /* one a call; each is its thread's own until that ends */
    size_t count;
    pthread_mutex_t lock;
    pthread_cond_t ended;        /* a helper has ended */
    size_t next;                 /* call that nobody makes yet */
    size_t running;              /* helpers */
    int code;                    /* of the first failure: nobody begins another call */
    struct err failure;          /* what it was, unless the sink has said it itself */
};

static void fail(struct work *work, int code, const struct err *e)
{
    pthread_mutex_lock(&work->lock);
    if (work->code == 0) {
        work->code = code;
        if (e != NULL)
            work->failure = *e;
    }
    pthread_mutex_unlock(&work->lock);
}

static void call_one(struct work *work, size_t index)
{
    const struct tool_round *round = work->round;
    const struct turn_call *call = &work->turn->calls[index];
    struct tool_result *result = &work->results[index];
    struct err e = {0};
    int code = round->call(round->arg, call, round->deadline_ms, result, &e);

    if (code == 0 && result->status == TOOL_CANCELLED)
        code = err_set(&e, AGW_EGONE, "the client hung up while the tool %s ran",
                       turn_call_name(call));
    if (code != 0)
        fail(work, code, &e);
}

static void call_all(struct work *work)
{
    for (;;) {
        size_t index;
        bool goes_on;

        pthread_mutex_lock(&work->lock);
        goes_on = work->code == 0 && work->next < work->count;
        index = work->next++;
        pthread_mutex_unlock(&work->lock);
        if (!goes_on)
            return;
        call_one(work, index);
    }
}

static void help(void *arg)
{
    struct work *work = arg;

    permit_take();
    call_all(work);
    permit_drop();
    pthread_mutex_lock(&work->lock);
    work->running--;
    pthread_cond_signal(&work->ended);
    pthread_mutex_unlock(&work->lock);
}

/* Fewer than wanted is no failure: whoever is there makes all calls. */
static size_t start_helpers(struct work *work, size_t wanted)
{
    size_t count = 0;

    work->running = wanted;
    while (count < wanted && crew_do(help, work) == 0)
        count++;
    pthread_mutex_lock(&work->lock);
    work->running -= wanted - count;
    pthread_mutex_unlock(&work->lock);
    return count;
}

/* Under the lock: until a helper has ended, or a tick is due. True when it is. */
static bool wait_for_helper(struct work *work)
{
    const struct chat_sink *sink = work->round->sink;
    int64_t due = *work->round->quiet_since_ms + sink->tick_ms;
    struct timespec until;

    if (sink->tick == NULL || sink->tick_ms <= 0) {
        pthread_cond_wait(&work->ended, &work->lock);
        return false;
    }
    due -= clock_mono_ms();
    if (due <= 0)
        return true;
    until = clock_wait_end(due);
    return pthread_cond_timedwait(&work->ended, &work->lock, &until) == ETIMEDOUT;
}

/* The web server sees by a tick that its client left, and then closes, which the tools see. */
static void tick(struct work *work)
{
    const struct chat_sink *sink = work->round->sink;
    int code = sink->tick(sink->arg);

    *work->round->quiet_since_ms = clock_mono_ms();
    if (code != 0)
        fail(work, code, NULL);
}

static void wait_for_helpers(struct work *work)
{
    permit_wait_begin();
    pthread_mutex_lock(&work->lock);
    while (work->running > 0) {
        if (!wait_for_helper(work))
            continue;
        pthread_mutex_unlock(&work->lock);
        permit_wait_end();
        tick(work);
        permit_wait_begin();
        pthread_mutex_lock(&work->lock);
    }
    pthread_mutex_unlock(&work->lock);
    permit_wait_end();
}

/* A thread that has to send ticks cannot be lent to a tool, so helpers make all calls then. */
static void run(struct work *work)
{
    const struct chat_sink *sink = work->round->sink;
    bool ticks = sink->tick != NULL && sink->tick_ms > 0;
    size_t wanted = work->round->in_turn ? 1 : TOOL_ROUND_PARALLEL;
    size_t count;

    if (wanted > work->count)
        wanted = work->count;
    count = start_helpers(work, ticks ? wanted : wanted - 1);
    if (!ticks || count == 0)
        call_all(work);
    if (count > 0)
        wait_for_helpers(work);
}

/* ---- messages ---- */

static const char too_many[] = "This call was not made: at most 32 calls of one turn are. Make it"
                               " again if it is still needed.";

static int append_results(const struct work *work, json_t *messages, size_t *added)
{
    for (size_t i = 0; i < work->turn->count; i++) {
        const struct tool_result *result = i < work->count ? &work->results[i] : NULL;
        const char *text = result == NULL ? too_many : result->content;
        size_t length = result == NULL ? sizeof too_many - 1 : result->length;
        json_t *message = json_pack("{s:s,s:s,s:o}", "role", "tool", "tool_call_id",
                                    turn_call_id(&work->turn->calls[i]), "content",
                                    json_stringn(text, length));

        if (json_array_append_new(messages, message) != 0)
            return -1;
        *added += length;
    }
    return 0;
}

int tool_round_run(const struct tool_round *round, const struct tool_turn *turn,
                   json_t *messages, size_t *added, struct err *e)
{
    struct work work = {.round = round, .turn = turn, .count = turn->count};

    _Static_assert(TOOL_ROUND_CALLS_MAX == 32, "too_many says so");
    if (work.count > TOOL_ROUND_CALLS_MAX)
        work.count = TOOL_ROUND_CALLS_MAX;
    work.results = calloc(work.count + 1, sizeof *work.results);
    if (work.results == NULL)
        return err_set(e, AGW_ENOMEM, "calling tools");
    pthread_mutex_init(&work.lock, NULL);
    clock_condition_init(&work.ended);
    run(&work);
    pthread_cond_destroy(&work.ended);
    pthread_mutex_destroy(&work.lock);
    if (work.failure.code != 0)
        *e = work.failure;
    if (work.code == 0 && append_results(&work, messages, added) != 0)
        work.code = err_set(e, AGW_ENOMEM, "the results of tools");
    for (size_t i = 0; i < work.count; i++)
        tool_result_clear(&work.results[i]);
    free(work.results);
    return work.code;
}
