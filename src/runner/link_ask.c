/* SPDX-License-Identifier: MIT */
/* Asks the runner for connections and refreshes, and waits for its answers. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runner/link_state.h"
#include "util/clock.h"
#include "util/permit.h"

enum {
    AWAY_MS = 3000, /* a run waits so long for a runner that is away */
    LOOK_MS = 200,  /* a waiting run looks so often at its client */
    RETRY_S = 2
};

/* ---- answers ---- */

static struct question *find(const struct link *link, const json_t *message)
{
    int64_t id = json_integer_value(json_object_get(message, "id"));
    struct question *q = link->questions;

    while (q != NULL && q->id != id)
        q = q->next;
    return q != NULL && q->sent && !q->answered ? q : NULL;
}

static void copy_text(char *to, size_t size, const json_t *message, const char *name)
{
    const char *text = json_string_value(json_object_get(message, name));

    snprintf(to, size, "%s", text == NULL ? "" : text);
}

void link_ask_answer(const struct link *link, const json_t *message, int *fd)
{
    struct question *q = find(link, message);

    if (q == NULL)
        return;
    q->answered = true;
    q->fd = *fd;
    q->lost_fd = link->wire.lost_fd;
    *fd = -1;
    copy_text(q->class, sizeof q->class, message, "class");
    copy_text(q->message, sizeof q->message, message, "message");
    q->process = json_integer_value(json_object_get(message, "process"));
    q->retry_after_ms = json_integer_value(json_object_get(message, "retry_after_ms"));
}

void link_ask_fail(const struct link *link)
{
    for (struct question *q = link->questions; q != NULL; q = q->next)
        q->sent = q->answered;
}

/* The thread sends what could not be sent at once. */
static void wake_to_send(const struct link *link)
{
    if (wire_wants_to_send(&link->wire))
        link_wake(link);
}

static void notify(struct link *link, json_t *message)
{
    struct err e;

    if (link->up && message != NULL && wire_send(&link->wire, message, &e) == 0)
        wake_to_send(link);
    json_decref(message);
}

void link_ask_refresh(struct link *link)
{
    notify(link, json_pack("{s:s,s:I}", "t", "refresh", "id", (json_int_t)++link->last_id));
}

/* ---- questions ---- */

static bool has_left(int watch_fd)
{
    struct pollfd p = {.fd = watch_fd, .events = POLLRDHUP};

    return watch_fd >= 0 && poll(&p, 1, 0) == 1 &&
           (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

/* Under the lock: until something changes, but not for long. */
static void wait_a_little(struct link *link, int64_t deadline_ms)
{
    int64_t left = deadline_ms - clock_mono_ms();
    struct timespec until;

    if (left > LOOK_MS)
        left = LOOK_MS;
    if (left <= 0)
        return;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += left * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&link->changed, &link->lock, &until);
}

/* Under the lock. When it cannot be sent the connection is about to end: the next one gets it. */
static void send_question(struct link *link, struct question *q, const char *type,
                          const char *agent)
{
    json_t *message = json_pack("{s:s,s:I,s:s*}", "t", type, "id", (json_int_t)q->id, "agent",
                                agent);
    struct err e;

    q->sent = message != NULL && wire_send(&link->wire, message, &e) == 0;
    json_decref(message);
    if (q->sent)
        wake_to_send(link);
    else
        link_wake(link); /* to find out what is wrong */
}

static void forget(struct link *link, const struct question *q)
{
    struct question **place = &link->questions;

    while (*place != NULL && *place != q)
        place = &(*place)->next;
    if (*place == q)
        *place = q->next;
}

/* Waits for the answer to `q`; 0, or AGW_E* without a word. */
static int ask(struct link *link, struct question *q, const char *type, const char *agent,
               int64_t deadline_ms, int watch_fd)
{
    int64_t away_by = clock_mono_ms() + AWAY_MS;
    int status = 0;

    permit_wait_begin();
    pthread_mutex_lock(&link->lock);
    q->fd = -1;
    q->id = ++link->last_id;
    q->next = link->questions;
    link->questions = q;
    while (!q->answered && status == 0) {
        int64_t now = clock_mono_ms();

        if (q->sent)
            away_by = now + AWAY_MS;
        if (has_left(watch_fd))
            status = AGW_EGONE;
        else if (now >= deadline_ms)
            status = AGW_ETIMEOUT;
        else if (!q->sent && (now >= away_by || !link->wanted))
            status = AGW_EUNAVAILABLE;
        else {
            if (!q->sent && link->up)
                send_question(link, q, type, agent);
            wait_a_little(link, deadline_ms);
        }
    }
    forget(link, q);
    pthread_mutex_unlock(&link->lock);
    permit_wait_end();
    return q->answered ? 0 : status;
}

static int refused(const struct question *q, const char *id, struct err *e)
{
    if (strcmp(q->class, "unknown") == 0 || strcmp(q->class, "blocked") == 0)
        return err_set(e, AGW_EMODEL, "%s: the runner refuses: %s", id, q->message);
    err_set_public(e, AGW_EUNAVAILABLE, NULL, "The agent '%.100s' cannot be run now: %.200s.", id,
                   q->message[0] == '\0' ? "its runner does not say why" : q->message);
    e->retry_after_s = q->retry_after_ms > 0 ? (int)((q->retry_after_ms + 999) / 1000) : RETRY_S;
    return AGW_EUNAVAILABLE;
}

int link_open(struct link *link, const char *id, int64_t deadline_ms, int watch_fd, int *fd,
              int64_t *process, struct err *e)
{
    struct question q = {0};
    int status = ask(link, &q, "open", id, deadline_ms, watch_fd);

    *fd = q.fd;
    if (process != NULL)
        *process = q.process;
    if (status == AGW_EGONE)
        return err_set(e, status, "the client hung up while %s was started", id);
    if (status == AGW_ETIMEOUT)
        return err_set_public(e, status, NULL, "The agent '%.100s' did not start in time.", id);
    if (status == AGW_EUNAVAILABLE) {
        err_set_public(e, status, NULL, "The agent '%.100s' cannot be run now: the agent runner is"
                       " away.", id);
        e->retry_after_s = RETRY_S;
        return status;
    }
    if (q.lost_fd)
        return err_set(e, AGW_EOVERLOAD, "no descriptor is left for a connection to %s", id);
    return q.fd >= 0 ? 0 : refused(&q, id, e);
}

bool link_refresh(struct link *link, int64_t wait_ms)
{
    struct question q = {0};

    return ask(link, &q, "refresh", NULL, clock_mono_ms() + wait_ms, -1) == 0 &&
           q.class[0] == '\0';
}

void link_report_hang(struct link *link, const char *id, int64_t process)
{
    pthread_mutex_lock(&link->lock);
    notify(link, json_pack("{s:s,s:s,s:I,s:s}", "t", "kill", "agent", id, "process",
                           (json_int_t)process, "reason", "hang"));
    pthread_mutex_unlock(&link->lock);
}
