/* SPDX-License-Identifier: MIT */
/* Brings answers to those who asked. */
#include "tools/mcp_pending.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/json_memory.h"
#include "util/permit.h"

enum { WAIT_MAX_MS = 10000 };

void mcp_pending_init(struct mcp_pending *pending)
{
    pending->first = NULL;
    pthread_mutex_init(&pending->lock, NULL);
}

void mcp_pending_destroy(struct mcp_pending *pending)
{
    pthread_mutex_destroy(&pending->lock);
}

int mcp_pending_add(struct mcp_pending *pending, struct mcp_waiter *waiter, json_int_t id,
                    struct err *e)
{
    *waiter = (struct mcp_waiter){.id = id, .event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (waiter->event < 0)
        return err_set(e, AGW_ENOMEM, "waiting for an answer: %s", strerror(errno));
    pthread_mutex_lock(&pending->lock);
    waiter->next = pending->first;
    pending->first = waiter;
    pthread_mutex_unlock(&pending->lock);
    return 0;
}

/* Under the lock. */
static void unlink_waiter(struct mcp_pending *pending, const struct mcp_waiter *waiter)
{
    struct mcp_waiter **at = &pending->first;

    while (*at != NULL && *at != waiter)
        at = &(*at)->next;
    if (*at != NULL)
        *at = waiter->next;
}

/* Under the lock. It is no longer in the list: nobody but its owner touches it then. */
static void settle(struct mcp_pending *pending, struct mcp_waiter *waiter, int code)
{
    static const uint64_t one = 1;

    unlink_waiter(pending, waiter);
    waiter->done = true;
    waiter->code = code;
    while (write(waiter->event, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* 0: something happened; or why there is no more waiting. */
static int sleep_for(const struct mcp_waiter *waiter, int64_t deadline_ms, int watch_fd,
                     struct err *e)
{
    struct pollfd fds[2] = {{.fd = waiter->event, .events = POLLIN},
                            {.fd = watch_fd, .events = POLLRDHUP}};
    int64_t left = deadline_ms - clock_mono_ms();
    int ready;

    if (left <= 0)
        return err_set(e, AGW_ETIMEOUT, "its server did not answer in time");
    permit_wait_begin();
    ready = poll(fds, 2, left < WAIT_MAX_MS ? (int)left : WAIT_MAX_MS);
    permit_wait_end();
    if (ready > 0 && fds[0].revents == 0 && fds[1].revents != 0)
        return err_set(e, AGW_EGONE, "the client hung up");
    return 0;
}

int mcp_pending_wait(struct mcp_pending *pending, struct mcp_waiter *waiter, int64_t deadline_ms,
                     int watch_fd, struct err *e)
{
    int code = 0;
    bool done;

    do {
        if (code == 0)
            code = sleep_for(waiter, deadline_ms, watch_fd, e);
        pthread_mutex_lock(&pending->lock);
        done = waiter->done;
        if (!done && code != 0)
            unlink_waiter(pending, waiter);
        pthread_mutex_unlock(&pending->lock);
    } while (!done && code == 0);
    close(waiter->event);
    if (done && waiter->code != 0)
        return err_set(e, waiter->code, "%s", waiter->problem);
    return done ? 0 : code;
}

void mcp_pending_drop(struct mcp_pending *pending, struct mcp_waiter *waiter)
{
    pthread_mutex_lock(&pending->lock);
    unlink_waiter(pending, waiter);
    pthread_mutex_unlock(&pending->lock);
    close(waiter->event);
    mcp_message_clear(&waiter->message);
}

static void answer(struct mcp_pending *pending, struct mcp_message *message)
{
    struct mcp_waiter *waiter;

    pthread_mutex_lock(&pending->lock);
    waiter = pending->first;
    while (waiter != NULL && !mcp_message_answers(message, waiter->id))
        waiter = waiter->next;
    if (waiter != NULL) {
        waiter->message = *message;
        memset(message, 0, sizeof *message);
        settle(pending, waiter, 0);
    }
    pthread_mutex_unlock(&pending->lock);
    mcp_message_clear(message);
}

void mcp_pending_fail(struct mcp_pending *pending, int code, const char *problem)
{
    struct mcp_waiter *waiter;

    pthread_mutex_lock(&pending->lock);
    while ((waiter = pending->first) != NULL) {
        snprintf(waiter->problem, sizeof waiter->problem, "%.255s", problem);
        settle(pending, waiter, code);
    }
    pthread_mutex_unlock(&pending->lock);
}

static void answer_server(const struct mcp_message *request,
                          void (*reply)(void *arg, const char *text), void *arg)
{
    char *text = mcp_message_reply(request);

    if (text != NULL)
        reply(arg, text);
    json_memory_free(text);
}

void mcp_pending_take(struct mcp_pending *pending, const char *line, size_t length,
                      const struct mcp_listener *listener,
                      void (*reply)(void *arg, const char *text), void *arg)
{
    struct mcp_message message;
    struct err e = {0};
    int code;

    if (length == 0 || (line[0] != '{' && line[0] != '['))
        return;
    code = mcp_message_parse(line, length, &message, &e);
    if (code != 0)
        mcp_pending_fail(pending, code == AGW_ENOMEM ? code : AGW_EUPSTREAM, e.message);
    else if (message.kind == MCP_REQUEST)
        answer_server(&message, reply, arg);
    else if (message.kind == MCP_NOTIFICATION)
        listener->notified(listener->arg, &message);
    else
        answer(pending, &message);
    mcp_message_clear(&message);
}
