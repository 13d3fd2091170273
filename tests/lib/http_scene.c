/* SPDX-License-Identifier: MIT */
/* Plays an HTTP server in many moods. */
#include "http_scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

/* 64 MiB in 84 kB: one deflate block of 64 KiB of zeros, flushed to a byte boundary, so that
 * it may be repeated. */
static void send_bomb(struct mock_conn *conn)
{
    static const unsigned char head[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    static const unsigned char zeros[] = {
        0xec, 0xc1, 0x01, 0x01, 0, 0, 0, 0x80, 0x90, 0xfe, 0xaf, 0xee, 0x08, 0x0a, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0x6a, 0, 0, 0, 0xff, 0xff};

    mock_head(conn, 200, "application/json\r\nTransfer-Encoding: gzip", false);
    mock_write(conn, (const char *)head, sizeof head);
    for (int i = 0; i < 1024; i++)
        if (!mock_write(conn, (const char *)zeros, sizeof zeros))
            return;
}

static bool drip(struct mock_conn *conn)
{
    mock_head(conn, 200, "text/plain", true);
    while (!mock_sleep(conn, 50))
        if (!mock_chunk(conn, "x"))
            break;
    return false;
}

static bool endless_head(struct mock_conn *conn)
{
    static const char line[] = "X-Filler: 0123456789012345678901234567890123456789\r\n";

    mock_write(conn, "HTTP/1.1 200 OK\r\n", 17);
    while (mock_write(conn, line, sizeof line - 1))
        ;
    return false;
}

static bool raw(struct mock_conn *conn, const char *text)
{
    mock_write(conn, text, strlen(text));
    return false;
}

static bool stall(struct mock_conn *conn)
{
    while (!mock_sleep(conn, 10000))
        ;
    return false;
}

static bool behave(struct mock_conn *conn, const struct mock_request *request, void *arg)
{
    struct scene *scene = arg;

    switch (scene->behaviour) {
    case SILENT:
        return stall(conn);
    case STALL_IN_HEAD:
        raw(conn, "HTTP/1.1 200 OK\r\nContent-Ty");
        return stall(conn);
    case STALL_IN_BODY:
        raw(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
        return stall(conn);
    case DRIP:
        return drip(conn);
    case SHORT_BODY:
        return raw(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
    case RESET:
        mock_reset(conn);
        return false;
    case GZIP_BOMB:
        send_bomb(conn);
        return false;
    case ENDLESS_HEAD:
        return endless_head(conn);
    case HTTP09:
        return raw(conn, "<html>no status line here</html>\n\n");
    case REDIRECT:
        mock_reply(conn, 307, "text/plain", "Location: /elsewhere\r\n", "go");
        return true;
    case RETRY_LATER:
        mock_reply(conn, 503, "Text/HTML; charset=x", "Retry-After: 17\r\n", "later");
        return true;
    case NEVER_ENDS:
        mock_head(conn, 200, "text/plain", true);
        mock_chunk(conn, "enough");
        return stall(conn);
    case CLOSE_AFTER:
        mock_reply(conn, 200, "text/plain", "", "hello");
        return false;
    case INTERIM:
        raw(conn, "HTTP/1.1 103 Early Hints\r\nContent-Type: x/y\r\n\r\n");
        mock_reply(conn, 200, "text/plain", "", "hello");
        return true;
    case FOLDED:
        raw(conn, "HTTP/1.1 200 OK\r\n continued: nothing, with a text that is a little longer\r\n"
                  "Content-Type: text/plain\r\nX-Wanted: one\r\n two\r\nContent-Length: 5\r\n"
                  "\r\nhello");
        return true;
    case LEAVE_AT_SECOND:
        if (request->on_connection == 2)
            return false;
        break;
    case PLAIN:
        break;
    }
    mock_reply(conn, 200, "text/plain", "", request->body[0] ? request->body : "hello");
    return true;
}

static int on_head(void *arg, const struct http_result *head)
{
    struct scene *scene = arg;

    scene->heads++;
    if (head != &scene->result || head->status < 200)
        abort();
    return 0;
}

static int on_body(void *arg, const char *bytes, size_t length)
{
    struct scene *scene = arg;

    buf_append(&scene->body, bytes, length);
    return scene->enough_after > 0 && scene->body.length >= (size_t)scene->enough_after
               ? HTTP_CLIENT_ENOUGH
               : 0;
}

static int on_tick(void *arg)
{
    struct scene *scene = arg;

    scene->ticks++;
    return 0;
}

void scene_open(struct scene *scene, enum scene_behaviour behaviour)
{
    memset(scene, 0, sizeof *scene);
    scene->behaviour = behaviour;
    scene->server = mock_http_start(behave, scene);
    scene->pool = http_pool_new(4);
    buf_init(&scene->body, 1 << 20);
    snprintf(scene->url, sizeof scene->url, "http://127.0.0.1:%d/x",
             mock_http_port(scene->server));
    scene->call = (struct http_call){
        .method = "GET", .url = scene->url, .max_response = 100000, .watch_fd = -1,
        .total_ms = 20000, .on_head = on_head, .on_body = on_body, .on_tick = on_tick,
        .arg = scene};
}

int scene_call(struct scene *scene)
{
    int64_t before = clock_mono_ms();
    int code;

    err_reset(&scene->e);
    buf_reset(&scene->body);
    code = http_client_call(scene->pool, &scene->call, &scene->result, &scene->e);
    scene->took = clock_mono_ms() - before;
    return code;
}

void scene_close(struct scene *scene)
{
    http_pool_free(&scene->pool);
    mock_http_stop(&scene->server);
    buf_free(&scene->body);
}
