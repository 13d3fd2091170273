/* SPDX-License-Identifier: MIT */
/* Carries MCP messages to a program and back: a line each, over its standard input and output. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "net/http_client.h"
#include "tools/mcp_keeper.h"
#include "tools/mcp_link.h"
#include "util/clock.h"
#include "util/permit.h"

enum {
    PATIENCE_MS = 2000,   /* a longer pause before a start is not waited for */
    LOOK_MS = 200,
    SPEECHLESS_MS = 60000 /* who says nothing for so long from its start on is hung */
};

static void *open_link(const struct config_tool *config, const struct mcp_listener *listener,
                       struct err *e)
{
    return mcp_keeper_new(config, listener, e);
}

static void close_link(void *state)
{
    mcp_keeper_free(state);
}

/* Under the lock, which is given back meanwhile: until something may be different. */
static int wait_a_little(struct mcp_keeper *keeper, int64_t deadline_ms, int watch_fd,
                         struct err *e)
{
    struct timespec until = clock_wait_end(LOOK_MS);

    permit_wait_begin();
    pthread_cond_timedwait(&keeper->turned, &keeper->lock, &until);
    pthread_mutex_unlock(&keeper->lock);
    permit_wait_end();
    pthread_mutex_lock(&keeper->lock);
    if (http_client_peer_gone(watch_fd))
        return err_set(e, AGW_EGONE, "the client hung up");
    if (clock_mono_ms() >= deadline_ms)
        return err_set(e, AGW_ETIMEOUT, "its server was not started in time");
    return 0;
}

/* Under the lock, which is given back meanwhile: until it may be started. */
static int wait_out_pause(struct mcp_keeper *keeper, int64_t deadline_ms, int watch_fd,
                          struct err *e)
{
    int64_t left = keeper->start_at - clock_mono_ms();
    int code;

    if (left <= 0)
        return 0;
    if (left > PATIENCE_MS || clock_mono_ms() + left >= deadline_ms)
        return err_set(e, AGW_EUNAVAILABLE, "%s; it is started again in %lld s", keeper->problem,
                       (long long)(left + 999) / 1000);
    pthread_mutex_unlock(&keeper->lock);
    code = http_client_pause(watch_fd, left);
    pthread_mutex_lock(&keeper->lock);
    return code == 0 ? 0 : err_set(e, code, "the client hung up");
}

static int connect_link(void *state, int64_t deadline_ms, int watch_fd, uint64_t *life,
                        struct err *e)
{
    struct mcp_keeper *keeper = state;
    unsigned failures;
    int code;

    pthread_mutex_lock(&keeper->lock);
    failures = keeper->failures;
    code = mcp_keeper_begin(keeper, e);
    while (code == 0 && keeper->state != KEEPER_RUNNING) {
        if (keeper->failures != failures) {
            code = err_set(e, AGW_EUNAVAILABLE, "%s", keeper->problem);
            break;
        }
        if (keeper->state == KEEPER_IDLE) {
            code = wait_out_pause(keeper, deadline_ms, watch_fd, e);
            if (code == 0 && keeper->state == KEEPER_IDLE && clock_mono_ms() >= keeper->start_at)
                mcp_keeper_turn(keeper, KEEPER_WANTED);
        } else {
            code = wait_a_little(keeper, deadline_ms, watch_fd, e);
        }
    }
    *life = keeper->life;
    pthread_mutex_unlock(&keeper->lock);
    return code;
}

static int exchange(void *state, const struct mcp_ask *ask, struct mcp_answer *answer,
                    struct err *e)
{
    struct mcp_keeper *keeper = state;
    struct mcp_waiter waiter;
    int gone = 0, code = ask->id == 0 ? 0 : mcp_pending_add(&keeper->pending, &waiter, ask->id, e);

    memset(answer, 0, sizeof *answer);
    if (code != 0)
        return code;
    pthread_mutex_lock(&keeper->lock);
    if (keeper->state == KEEPER_RUNNING && keeper->life == ask->life)
        code = mcp_keeper_put(keeper, ask->text, e);
    while (keeper->life == ask->life && keeper->state == KEEPER_ENDING && gone == 0)
        gone = wait_a_little(keeper, ask->deadline_ms, ask->watch_fd, e);
    if (gone != 0 || keeper->state != KEEPER_RUNNING || keeper->life != ask->life)
        code = gone != 0 ? gone : err_set(e, AGW_EUNAVAILABLE, "%s", keeper->problem);
    pthread_mutex_unlock(&keeper->lock);
    answer->sent = code == 0;
    if (ask->id == 0)
        return code;
    if (code != 0) {
        mcp_pending_drop(&keeper->pending, &waiter);
        return code;
    }
    code = mcp_pending_wait(&keeper->pending, &waiter, ask->deadline_ms, ask->watch_fd, e);
    answer->message = waiter.message;
    return code;
}

/* A slow start is no reason: only who never came to an agreement in all its life is hung. */
static void give_up(void *state, uint64_t life)
{
    struct mcp_keeper *keeper = state;

    pthread_mutex_lock(&keeper->lock);
    if (keeper->state == KEEPER_RUNNING && keeper->life == life &&
        clock_mono_ms() - keeper->started_at >= SPEECHLESS_MS)
        mcp_keeper_give_up(keeper);
    pthread_mutex_unlock(&keeper->lock);
}

static void describe(void *state, json_t *object)
{
    static const char *const states[] = {"not running", "not running", "starting", "running",
                                         "ending"};
    struct mcp_keeper *keeper = state;

    pthread_mutex_lock(&keeper->lock);
    json_object_set_new(object, "state", json_string(states[keeper->state]));
    json_object_set_new(object, "pid", keeper->pid > 0 ? json_integer(keeper->pid) : json_null());
    json_object_set_new(object, "restarts",
                        json_integer(keeper->starts > 1 ? keeper->starts - 1 : 0));
    if (keeper->sandbox != NULL)
        json_object_set_new(object, "sandbox", json_deep_copy(keeper->sandbox));
    pthread_mutex_unlock(&keeper->lock);
}

const struct mcp_transport mcp_stdio = {
    .name = "stdio",
    .open = open_link,
    .close = close_link,
    .connect = connect_link,
    .exchange = exchange,
    .give_up = give_up,
    .describe = describe,
};
