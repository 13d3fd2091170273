/* SPDX-License-Identifier: MIT */
/* Holds the line to the runner. */
#include "runner/link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runner/link_state.h"
#include "util/clock.h"
#include "util/folder.h"

enum {
    HELLO_MS = 5000,
    PAUSE_MIN_MS = 50, PAUSE_MAX_MS = 2000, /* between two attempts to connect */
    NAP_MS = 1000,
    NEWS_MS = 3000, /* it is news that a runner is away which never came, after so long */
};

/* ---- state ---- */

void link_wake(const struct link *link)
{
    const uint64_t one = 1;

    (void)!write(link->wake, &one, sizeof one);
}

/* In the link's thread, without the lock. */
static void tell(struct link *link, const struct dropins *now, const struct dropins *before)
{
    if (link->on_change != NULL)
        link->on_change(link->arg, now, before);
}

static void go_down(struct link *link, const char *reason)
{
    bool news;

    pthread_mutex_lock(&link->lock);
    if (link->up)
        link->away_since_ms = clock_mono_ms();
    news = link->up || (!link->known_away && clock_mono_ms() - link->away_since_ms > NEWS_MS);
    link->known_away |= news;
    link->up = false;
    wire_close(&link->wire);
    snprintf(link->reason, sizeof link->reason, "%s", reason);
    link_ask_fail(link);
    pthread_cond_broadcast(&link->changed);
    pthread_mutex_unlock(&link->lock);
    if (news)
        tell(link, NULL, NULL);
}

/* ---- messages, under the lock ---- */

/* What is sent in one go when a runner is there. */
static int greet(struct link *link, struct err *e)
{
    json_t *hello = json_pack("{s:s,s:i,s:i,s:s}", "t", "hello", "v", WIRE_VERSION, "pid",
                              (int)getpid(), "software", "agent-gateway " PACKAGE_VERSION);
    int status = hello == NULL ? err_set(e, AGW_ENOMEM, "hello")
                               : wire_send(&link->wire, hello, e);

    json_decref(hello);
    return status;
}

static int on_hello(struct link *link, const json_t *message, struct err *e)
{
    int64_t version = json_integer_value(json_object_get(message, "v"));

    if (version != WIRE_VERSION)
        return err_set(e, AGW_EINVALID, "it speaks version %lld of the wire, this gateway %d",
                       (long long)version, WIRE_VERSION);
    link->pid = json_integer_value(json_object_get(message, "pid"));
    link->up = true;
    link->known_away = false;
    if (link->told != 0 && link->told != link->generation)
        link_ask_refresh(link);
    link->told = link->generation;
    pthread_cond_broadcast(&link->changed);
    return 0;
}

/* Takes a list over. In the link's thread, without the lock. */
static int take_list(struct link *link, json_t *message)
{
    struct dropins *fresh = dropins_new(json_incref(message)), *before;

    if (fresh == NULL)
        return AGW_ENOMEM;
    pthread_mutex_lock(&link->lock);
    before = link->dropins;
    link->dropins = dropins_acquire(fresh);
    atomic_fetch_add(&link->serial, 1);
    pthread_cond_broadcast(&link->changed);
    pthread_mutex_unlock(&link->lock);
    tell(link, fresh, before);
    dropins_release(&before);
    dropins_release(&fresh);
    return 0;
}

static int handle(struct link *link, json_t *message, int *fd, struct err *e)
{
    const char *type = wire_type(message);
    int status = 0;

    pthread_mutex_lock(&link->lock);
    if (strcmp(type, "hello") == 0)
        status = on_hello(link, message, e);
    else if (strcmp(type, "error") == 0)
        status = err_set(e, AGW_EINVALID, "it says: %.200s",
                         json_string_value(json_object_get(message, "message")) ?: "error");
    else if (strcmp(type, "opened") == 0 || strcmp(type, "refused") == 0 ||
             strcmp(type, "refreshed") == 0)
        link_ask_answer(link, message, fd);
    pthread_mutex_unlock(&link->lock);
    pthread_cond_broadcast(&link->changed); /* who waits takes the lock at once */
    if (strcmp(type, "hello") == 0 && status == 0)
        tell(link, NULL, NULL);
    if (strcmp(type, "agents") == 0 && take_list(link, message) != 0)
        status = err_set(e, AGW_ENOMEM, "a list of agents");
    return status;
}

static int receive_one(struct link *link, json_t **message, int *fd, struct err *e)
{
    int status;

    pthread_mutex_lock(&link->lock);
    status = wire_flush(&link->wire, e);
    if (status == 0)
        status = wire_receive(&link->wire, message, fd, e);
    pthread_mutex_unlock(&link->lock);
    return status;
}

/* 0 when all that came is done. */
static int receive_all(struct link *link, struct err *e)
{
    for (;;) {
        json_t *message = NULL;
        int fd = -1, status = receive_one(link, &message, &fd, e);

        if (status != 1)
            return status;
        status = handle(link, message, &fd, e);
        if (fd >= 0)
            close(fd); /* of a question that nobody asks any more */
        json_decref(message);
        if (status != 0)
            return status;
    }
}

/* ---- the thread ---- */

/* Whoever may write to the socket's folder can have put one of their own there. That is the
 * operator's choice, unless it may be anybody: then it must belong to a user who could do worse. */
static int check_peer(const char *path, int fd, struct err *e)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    char folder[sizeof((struct link *)NULL)->path];
    struct ucred peer;
    socklen_t size = sizeof peer;
    struct stat st;

    snprintf(folder, sizeof folder, "%.*s", length == 0 ? 1 : (int)length, length == 0 ? "." : path);
    if (stat(folder, &st) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return err_set(e, AGW_EUNAVAILABLE, "%s: %s", path, strerror(errno));
    if (peer.uid == 0 || peer.uid == geteuid())
        return 0;
    if (!folder_may_be_anybodys(AT_FDCWD, folder) &&
        ((st.st_mode & S_IWOTH) == 0 || peer.uid == st.st_uid))
        return 0;
    return err_set(e, AGW_EUNAVAILABLE,
                   "%s: who listens is user %u, neither this one nor root, and everybody may"
                   " write to its folder or make it: take another for runner.socket",
                   path, peer.uid);
}

static int dial(const char *path, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        err_set(e, AGW_EUNAVAILABLE, "%s: %s", path, strerror(errno));
    else if (check_peer(path, fd, e) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Sleeps until there is something to do; drains the eventfd. */
static void nap(struct link *link, bool connected, int64_t ms)
{
    uint64_t count;
    struct pollfd fds[2] = {{.fd = link->wake, .events = POLLIN}, {.fd = -1}};

    pthread_mutex_lock(&link->lock);
    if (connected) {
        fds[1].fd = link->wire.fd;
        fds[1].events = (short)(POLLIN | (wire_wants_to_send(&link->wire) ? POLLOUT : 0));
    }
    pthread_mutex_unlock(&link->lock);
    (void)poll(fds, 2, (int)ms);
    if (fds[0].revents != 0)
        (void)!read(link->wake, &count, sizeof count);
}

static bool goes_on(struct link *link, const char *path)
{
    bool on;

    pthread_mutex_lock(&link->lock);
    on = !link->stop && link->wanted && strcmp(link->path, path) == 0;
    pthread_mutex_unlock(&link->lock);
    return on;
}

static void serve(struct link *link, const char *path)
{
    int64_t greeted_by = clock_mono_ms() + HELLO_MS;
    struct err e = {0};
    int status, fd = dial(path, &e);

    if (fd < 0) {
        go_down(link, e.message);
        return;
    }
    pthread_mutex_lock(&link->lock);
    wire_init(&link->wire, fd, NULL);
    status = greet(link, &e);
    pthread_mutex_unlock(&link->lock);
    while (status == 0 && goes_on(link, path)) {
        if (!link_is_up(link) && clock_mono_ms() > greeted_by)
            status = err_set(&e, AGW_ETIMEOUT, "%s: no hello within %d s", path,
                             HELLO_MS / 1000);
        else
            nap(link, true, NAP_MS);
        if (status == 0)
            status = receive_all(link, &e);
    }
    go_down(link, status == AGW_EGONE ? "it has closed the connection"
                  : status != 0       ? e.message
                                      : "it is not wanted any more");
}

static void *keep(void *arg)
{
    struct link *link = arg;
    int64_t pause = PAUSE_MIN_MS;

    for (;;) {
        char path[sizeof link->path];
        bool stop, wanted;
        int64_t began = clock_mono_ms();

        pthread_mutex_lock(&link->lock);
        stop = link->stop;
        wanted = link->wanted;
        snprintf(path, sizeof path, "%s", link->path);
        pthread_mutex_unlock(&link->lock);
        if (stop)
            return NULL;
        if (wanted)
            serve(link, path);
        pause = clock_mono_ms() - began > HELLO_MS ? PAUSE_MIN_MS
                : pause * 2 < PAUSE_MAX_MS         ? pause * 2
                                                   : PAUSE_MAX_MS;
        nap(link, false, wanted ? pause : -1);
    }
}

/* ---- life ---- */

struct link *link_new(void)
{
    struct link *link = calloc(1, sizeof *link);

    if (link == NULL)
        return NULL;
    link->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (link->wake < 0) {
        free(link);
        return NULL;
    }
    link->wire.fd = -1;
    snprintf(link->reason, sizeof link->reason, "it was not asked yet");
    pthread_mutex_init(&link->lock, NULL);
    clock_condition_init(&link->changed);
    return link;
}

void link_free(struct link **out)
{
    struct link *link = *out;

    if (link == NULL)
        return;
    pthread_mutex_lock(&link->lock);
    link->stop = true;
    pthread_mutex_unlock(&link->lock);
    link_wake(link);
    if (link->runs)
        pthread_join(link->thread, NULL);
    dropins_release(&link->dropins);
    close(link->wake);
    pthread_cond_destroy(&link->changed);
    pthread_mutex_destroy(&link->lock);
    free(link);
    *out = NULL; /* not before: the thread tells that the runner is away, and is asked about it */
}

void link_on_change(struct link *link,
                    void (*fn)(void *arg, const struct dropins *now,
                               const struct dropins *before), void *arg)
{
    link->on_change = fn;
    link->arg = arg;
}

bool link_wants(const struct config *config)
{
    for (size_t i = 0; i < config->agent_count; i++)
        if (config->agents[i].kind == AGENT_SDK)
            return true;
    return config->gateway.discovery_path != NULL;
}

int link_update(struct link *link, const struct config *config, struct err *e)
{
    bool wanted = link_wants(config);
    int status = 0;

    pthread_mutex_lock(&link->lock);
    if (link->wanted != wanted) { /* there are drop-ins now, or no more */
        link->away_since_ms = clock_mono_ms();
        atomic_fetch_add(&link->serial, 1);
    }
    link->wanted = wanted;
    link->generation = config->generation;
    snprintf(link->path, sizeof link->path, "%s", config->gateway.runner.socket);
    if (wanted && link->up && link->told != link->generation) {
        link_ask_refresh(link);
        link->told = link->generation;
    }
    if (wanted && !link->runs) {
        if (pthread_create(&link->thread, NULL, keep, link) == 0)
            link->runs = true;
        else
            status = err_set(e, AGW_ENOMEM, "the thread for the runner");
    }
    pthread_mutex_unlock(&link->lock);
    link_wake(link);
    return status;
}

/* ---- what others ask ---- */

struct dropins *link_dropins(struct link *link, uint64_t *serial)
{
    struct dropins *dropins;

    pthread_mutex_lock(&link->lock);
    dropins = link->wanted ? dropins_acquire(link->dropins) : NULL;
    if (serial != NULL)
        *serial = atomic_load(&link->serial);
    pthread_mutex_unlock(&link->lock);
    return dropins;
}

uint64_t link_serial(const struct link *link)
{
    return atomic_load(&link->serial);
}

bool link_is_wanted(struct link *link)
{
    bool wanted;

    pthread_mutex_lock(&link->lock);
    wanted = link->wanted;
    pthread_mutex_unlock(&link->lock);
    return wanted;
}

bool link_is_up(struct link *link)
{
    bool up;

    pthread_mutex_lock(&link->lock);
    up = link->up;
    pthread_mutex_unlock(&link->lock);
    return up;
}

json_t *link_json(struct link *link)
{
    const char *state;
    json_t *object;

    pthread_mutex_lock(&link->lock);
    state = !link->wanted ? "unused" : link->up ? "connected" : "away";
    object = json_pack("{s:s}", "state", state);
    if (object != NULL && link->wanted && !link->up)
        json_object_set_new(object, "reason", json_string(link->reason));
    if (object != NULL && link->wanted && link->up)
        json_object_set_new(object, "pid", json_integer(link->pid));
    if (object != NULL && link->wanted && link->up && link->dropins != NULL) {
        static const char *const parts[] = {"watch", "sandbox", "modules"};

        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
            const json_t *part = json_object_get(link->dropins->message, parts[i]);

            if (part != NULL)
                json_object_set_new(object, parts[i], json_deep_copy(part));
        }
    }
    pthread_mutex_unlock(&link->lock);
    return object;
}

