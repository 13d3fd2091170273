/* SPDX-License-Identifier: MIT */
/* One http_client_call() and a server that behaves as told, for the tests of net/. */
#ifndef AGW_TESTS_LIB_HTTP_SCENE_H
#define AGW_TESTS_LIB_HTTP_SCENE_H

#include "mock_http.h"
#include "net/http_client.h"
#include "util/buf.h"

enum scene_behaviour {
    PLAIN, SILENT, STALL_IN_HEAD, STALL_IN_BODY, DRIP, SHORT_BODY, RESET, GZIP_BOMB, ENDLESS_HEAD,
    HTTP09, REDIRECT, RETRY_LATER, NEVER_ENDS, CLOSE_AFTER, INTERIM, FOLDED,
    LEAVE_AT_SECOND /* reads the second request of a connection and closes */
};

struct scene {
    enum scene_behaviour behaviour;
    struct mock_http *server;
    struct http_pool *pool;
    struct http_call call;
    struct http_result result;
    struct err e;
    struct buf body;
    char url[64];
    int heads, ticks, enough_after;
    int64_t took;
};

/* GET on a fresh server and pool with generous deadlines; change scene->call as needed. */
void scene_open(struct scene *scene, enum scene_behaviour behaviour);
/* The call; its code. scene->took is in ms, scene->body what on_body got. */
int scene_call(struct scene *scene);
void scene_close(struct scene *scene);

#endif
