/* SPDX-License-Identifier: MIT */
/* Brings connections and threads together. */
#include "http/server.h"

#include <stdlib.h>
#include <unistd.h>

#include "http/pool.h"
#include "http/waiter.h"
#include "util/clock.h"

struct server {
    struct server_options options;
    struct pool *pool;
    struct waiter *waiter;
};

/* In a worker thread: one request. */
static int serve(void *arg, void *task)
{
    struct server *s = arg;
    struct conn *conn = task;
    struct fcgi *x;
    int fd = -1;

    x = fcgi_accept(conn_fd(conn), s->options.read_timeout_ms, s->options.write_timeout_ms);
    if (x != NULL) {
        s->options.handle(s->options.arg, x);
        fd = fcgi_finish(&x);
    }
    return fd;
}

static void served(void *arg, void *task, int fd)
{
    struct server *s = arg;

    waiter_return(s->waiter, task, fd);
}

static int ready(void *arg, struct conn *conn)
{
    struct server *s = arg;

    return pool_give(s->pool, conn);
}

static void overloaded(void *arg)
{
    struct server *s = arg;

    s->options.overloaded(s->options.arg);
}

int server_start(const struct server_options *options, struct server **server, struct err *e)
{
    struct server *s = calloc(1, sizeof *s);
    struct pool_options pool = {.min_threads = options->min_threads,
                                .max_threads = options->max_threads,
                                .idle_ms = options->thread_idle_ms,
                                .run = serve, .after = served, .arg = s};
    struct waiter_options waiter = {.listen_fd = options->listen_fd,
                                    .max_busy = options->max_threads,
                                    .siblings = options->siblings, .slot = options->slot,
                                    .read_timeout_ms = options->read_timeout_ms,
                                    .ready = ready, .overloaded = overloaded, .arg = s};
    int rc;

    if (s == NULL)
        return err_set(e, AGW_ENOMEM, "no memory for the server");
    s->options = *options;
    s->pool = pool_new(&pool);
    rc = s->pool == NULL ? err_set(e, AGW_ENOMEM, "no memory for the threads")
                         : waiter_start(&waiter, &s->waiter, e);
    if (rc != 0) {
        if (s->pool != NULL)
            pool_stop(&s->pool, 0);
        free(s);
        return rc;
    }
    *server = s;
    return 0;
}

int server_drain(struct server **server, int64_t drain_ms)
{
    struct server *s = *server;
    int64_t deadline = clock_mono_ms() + drain_ms, left_ms;
    int left;

    *server = NULL;
    waiter_stop(s->waiter);
    close(s->options.listen_fd); /* with the last one gone, who comes is turned away at once */
    left_ms = deadline - clock_mono_ms();
    left = pool_stop(&s->pool, left_ms > 0 ? left_ms : 0);
    if (left > 0) /* threads still use what would be freed; the process is about to end */
        return left;
    waiter_free(&s->waiter);
    free(s);
    return 0;
}
