/* SPDX-License-Identifier: MIT */
/* Holds a stream open, and takes it up again when it breaks. */
#include "tools/mcp_watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/json_memory.h"

enum {
    BEGIN_MS = 2000,        /* who only looks in has left by then */
    PAUSE_MAX_MS = 60000,
    STEADY_MS = 10000,      /* a stream that lasted so long did not fail */
    STREAM_MS = 86400000
};

struct mcp_watch {
    const struct mcp_transport *transport;
    void *link;
    struct mcp_listener listener;
    _Atomic json_int_t *next_id;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t turned;
    pthread_t thread;
    bool has_thread, closing;
    bool wanted;          /* there is somebody to listen to */
    uint64_t turn;        /* raised whenever it is somebody else */
    struct mcp_peer peer;
    int hang_up;          /* shutting it down ends the stream; -1 = there is none */
};

struct mcp_watch *mcp_watch_new(const struct mcp_transport *transport, void *link,
                                const struct mcp_listener *listener,
                                _Atomic json_int_t *next_id)
{
    struct mcp_watch *watch = calloc(1, sizeof *watch);

    if (watch == NULL)
        return NULL;
    watch->transport = transport;
    watch->link = link;
    watch->listener = *listener;
    watch->next_id = next_id;
    watch->hang_up = -1;
    pthread_mutex_init(&watch->lock, NULL);
    clock_condition_init(&watch->turned);
    return watch;
}

/* Under the lock. */
static void disturb(struct mcp_watch *watch)
{
    if (watch->hang_up >= 0)
        shutdown(watch->hang_up, SHUT_RDWR);
    pthread_cond_broadcast(&watch->turned);
}

void mcp_watch_free(struct mcp_watch **slot)
{
    struct mcp_watch *watch = *slot;

    if (watch == NULL)
        return;
    pthread_mutex_lock(&watch->lock);
    watch->closing = true;
    disturb(watch);
    pthread_mutex_unlock(&watch->lock);
    if (watch->has_thread)
        pthread_join(watch->thread, NULL);
    pthread_cond_destroy(&watch->turned);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
    *slot = NULL;
}

/* ---- one stream ---- */

static char *subscription(const struct mcp_peer *peer, json_int_t id)
{
    json_t *filter = json_pack("{s:{s:b}}", "notifications", "toolsListChanged", 1);
    json_t *params = filter == NULL ? NULL : mcp_era_params(peer, filter, 0);

    json_decref(filter);
    return params == NULL ? NULL : mcp_message_request(id, "subscriptions/listen", params);
}

/* As transport->listen(); *lasted_ms: how long there was something to listen to. */
static int listen_once(struct mcp_watch *watch, const struct mcp_peer *peer, int watch_fd,
                       int64_t *lasted_ms)
{
    bool modern = peer->era == MCP_MODERN;
    json_int_t id = modern ? atomic_fetch_add(watch->next_id, 1) : 0;
    struct mcp_headers request = {0}, session = {0};
    char *text = modern ? subscription(peer, id) : NULL;
    int64_t begun = clock_mono_ms();
    struct mcp_ask ask = {.text = text, .id = id, .headers = &request, .session = &session,
                          .deadline_ms = begun + STREAM_MS, .watch_fd = watch_fd};
    struct err e = {0};
    int code = AGW_ENOMEM;

    mcp_era_session_headers(peer, &session);
    mcp_era_request_headers(peer, "subscriptions/listen", NULL, &request);
    if (!session.failed && !request.failed && (text != NULL || !modern))
        code = watch->transport->listen(watch->link, &ask, &e);
    *lasted_ms = clock_mono_ms() - begun;
    mcp_headers_free(&request);
    mcp_headers_free(&session);
    json_memory_free(text);
    return code;
}

/* Under the lock, which is given back meanwhile. */
static int listen_to(struct mcp_watch *watch, int64_t *lasted_ms)
{
    struct mcp_peer peer = watch->peer;
    int pair[2], code;

    *lasted_ms = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return AGW_EUPSTREAM;
    watch->hang_up = pair[0];
    pthread_mutex_unlock(&watch->lock);
    code = listen_once(watch, &peer, pair[1], lasted_ms);
    pthread_mutex_lock(&watch->lock);
    watch->hang_up = -1;
    close(pair[0]);
    close(pair[1]);
    return code;
}

/* ---- the thread ---- */

/* Under the lock: true when there was time to wait, and nothing turned meanwhile. */
static bool pause_for(struct mcp_watch *watch, int64_t ms)
{
    uint64_t turn = watch->turn;
    struct timespec until = clock_wait_end(ms);
    int status = 0;

    while (status != ETIMEDOUT && !watch->closing && watch->turn == turn)
        status = pthread_cond_timedwait(&watch->turned, &watch->lock, &until);
    return !watch->closing && watch->turn == turn;
}

/* Under the lock, which is given back meanwhile: what is to be asked for after a break. */
static void tell_of_break(struct mcp_watch *watch)
{
    pthread_mutex_unlock(&watch->lock);
    watch->listener.ended(watch->listener.arg);
    pthread_mutex_lock(&watch->lock);
}

static void *keep_listening(void *arg)
{
    struct mcp_watch *watch = arg;
    int64_t pause_ms = BEGIN_MS, lasted_ms;
    uint64_t turn = 0;

    pthread_mutex_lock(&watch->lock);
    while (!watch->closing) {
        int code;

        if (!watch->wanted) {
            pthread_cond_wait(&watch->turned, &watch->lock);
            continue;
        }
        if (turn != watch->turn)
            pause_ms = BEGIN_MS;
        turn = watch->turn;
        if (!pause_for(watch, pause_ms))
            continue;
        code = listen_to(watch, &lasted_ms);
        if (watch->closing || watch->turn != turn)
            continue;
        if (code == AGW_EINVALID)
            watch->wanted = false; /* it does not offer that */
        pause_ms = lasted_ms >= STEADY_MS ? BEGIN_MS : pause_ms * 2;
        pause_ms = pause_ms > PAUSE_MAX_MS ? PAUSE_MAX_MS : pause_ms;
        if (code != AGW_EINVALID && lasted_ms >= STEADY_MS)
            tell_of_break(watch);
    }
    pthread_mutex_unlock(&watch->lock);
    return NULL;
}

/* Under the lock. Without a thread the list is asked for from time to time. */
static void start_thread(struct mcp_watch *watch)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    watch->has_thread = pthread_create(&watch->thread, NULL, keep_listening, watch) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void mcp_watch_turn(struct mcp_watch *watch, const struct mcp_peer *peer)
{
    pthread_mutex_lock(&watch->lock);
    watch->turn++;
    watch->wanted = peer != NULL && peer->tells_changes;
    if (watch->wanted)
        watch->peer = *peer;
    disturb(watch);
    if (watch->wanted && !watch->has_thread && !watch->closing)
        start_thread(watch);
    pthread_mutex_unlock(&watch->lock);
}
