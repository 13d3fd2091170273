/* SPDX-License-Identifier: MIT */
/* Turns FastCGI parameters into a request, or refuses them. */
#include "http/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/uri.h"
#include "util/buf.h"
#include "util/clock.h"
#include "util/secret.h"

struct raw {
    const char *method, *target, *length, *request_id;
};

/* Where each parameter goes: offsets into struct request or struct raw. */
static const struct wanted {
    const char *name;
    size_t offset;
    bool is_raw, is_credential;
} wanted[] = {
#define HEADER(name, field) {name, offsetof(struct request, field), false, false}
#define CREDENTIAL(name, field) {name, offsetof(struct request, field), false, true}
#define RAW(name, field) {name, offsetof(struct raw, field), true, false}
    RAW("REQUEST_METHOD", method),
    RAW("REQUEST_URI", target),
    RAW("CONTENT_LENGTH", length),
    RAW("HTTP_X_REQUEST_ID", request_id),
    CREDENTIAL("HTTP_AUTHORIZATION", authorization),
    CREDENTIAL("HTTP_X_API_KEY", x_api_key),
    HEADER("HTTP_ORIGIN", origin),
    HEADER("HTTP_ACCESS_CONTROL_REQUEST_METHOD", access_request_method),
    HEADER("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", access_request_headers),
    HEADER("HTTP_USER_AGENT", user_agent),
    HEADER("CONTENT_TYPE", content_type),
    HEADER("REMOTE_ADDR", remote_addr),
};

static const char **slot(struct request *r, struct raw *raw, const struct wanted *w)
{
    return (const char **)((w->is_raw ? (char *)raw : (char *)r) + w->offset);
}

/* One parameter "NAME=value". The first of a name counts; a second credential is an error
 * that is remembered, so that the request id is still found. */
static const char *take_param(struct request *r, struct raw *raw, const char *param)
{
    size_t length = strcspn(param, "=");
    const char *value = param + length + (param[length] == '=');

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const struct wanted *w = &wanted[i];
        const char **at;

        if (strncmp(w->name, param, length) != 0 || w->name[length] != '\0')
            continue;
        at = slot(r, raw, w);
        if (*at != NULL)
            return w->is_credential ? "A credential was given twice." : NULL;
        if (!w->is_raw && strlen(value) > REQUEST_HEADER_MAX)
            return "A header is too long.";
        *at = value;
        break;
    }
    return NULL;
}

static bool id_is_fine(const char *id)
{
    size_t length = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789._-");

    return length > 0 && length <= REQUEST_ID_MAX && id[length] == '\0';
}

void request_id_choose(const char *wish, char id[REQUEST_ID_MAX + 1])
{
    if (wish != NULL && id_is_fine(wish)) {
        snprintf(id, REQUEST_ID_MAX + 1, "%s", wish);
        return;
    }
    /* The time comes first: the audit trail's index of ids then grows at its end, where
     * random ones would touch a page each. */
    snprintf(id, REQUEST_ID_MAX + 1, "req_%012llx",
             (unsigned long long)clock_wall_ms() & 0xffffffffffff);
    if (secret_random_hex(id + 16, 6) != 0)
        snprintf(id + 16, 13, "%012llx", (unsigned long long)clock_mono_us() & 0xffffffffffff);
}

static bool method_is_fine(const char *method)
{
    size_t length = method == NULL ? 0 : strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

    return length > 0 && length <= 16 && method[length] == '\0';
}

int request_parse(struct fcgi *x, struct arena *arena, struct request *r, struct err *e)
{
    struct raw raw = {0};
    const char *problem = NULL;

    *r = (struct request){.arena = arena, .x = x, .method = "", .path = "", .query = ""};
    r->started_us = clock_mono_us();
    for (char *const *p = fcgi_params(x); *p != NULL; p++) {
        const char *trouble = take_param(r, &raw, *p);

        if (problem == NULL)
            problem = trouble;
    }
    request_id_choose(raw.request_id, r->id);
    if (method_is_fine(raw.method))
        r->method = raw.method;
    else if (problem == NULL)
        problem = "The request has no proper method.";
    if (problem != NULL)
        return err_set_public(e, AGW_EINVALID, NULL, "%s", problem);
    if (raw.target == NULL)
        return err_set(e, AGW_EINVALID, "the web server passes no REQUEST_URI");
    return uri_split(arena, raw.target, REQUEST_IDS_BELOW, REQUEST_PATH_MAX,
                     REQUEST_HEADER_MAX, &r->path, &r->query, e);
}

/* -1: absent, -2: not a number, else at most `max` + 1. */
static int64_t content_length(const struct request *r, size_t max)
{
    const char *text = fcgi_param(r->x, "CONTENT_LENGTH");
    int64_t n = 0;

    if (text == NULL || text[0] == '\0')
        return -1;
    for (; *text >= '0' && *text <= '9'; text++)
        if (n <= (int64_t)max)
            n = n * 10 + (*text - '0');
    if (*text != '\0')
        return -2;
    return n > (int64_t)max ? (int64_t)max + 1 : n;
}

static int broken_body(struct err *e)
{
    return err_set_public(e, AGW_EINVALID, NULL,
                          "The request body ended before its content-length.");
}

static int too_large(struct err *e, size_t max)
{
    return err_set_public(e, AGW_ETOOLARGE, NULL,
                          "The request body is larger than the %zu bytes that are allowed.",
                          max);
}

static int read_known(struct request *r, size_t length, struct err *e)
{
    char *body = malloc(length + 1);
    size_t have = 0;

    if (body == NULL || arena_cleanup(r->arena, free, body) != 0)
        return err_set(e, AGW_ENOMEM, "no memory for a body of %zu bytes", length);
    while (have < length) {
        ssize_t n = fcgi_read(r->x, body + have, length - have);

        if (n <= 0)
            return broken_body(e);
        have += (size_t)n;
    }
    body[length] = '\0';
    r->body = body;
    r->body_length = length;
    return 0;
}

static int read_to_end(struct request *r, size_t max, struct err *e)
{
    char chunk[4096];
    struct buf body;
    ssize_t n;

    buf_init(&body, max);
    while ((n = fcgi_read(r->x, chunk, sizeof chunk)) > 0)
        if (buf_append(&body, chunk, (size_t)n) != 0)
            break;
    if (n != 0) {
        bool full = n > 0 && body.length + (size_t)n > max;

        buf_free(&body);
        if (n < 0)
            return broken_body(e);
        return full ? too_large(e, max) : err_set(e, AGW_ENOMEM, "no memory for a body");
    }
    r->body_length = body.length;
    buf_append(&body, "", 0);
    r->body = buf_take(&body);
    if (r->body == NULL || arena_cleanup(r->arena, free, r->body) != 0) {
        r->body = NULL;
        return err_set(e, AGW_ENOMEM, "no memory for a body");
    }
    return 0;
}

int request_read_body(struct request *r, size_t max, struct err *e)
{
    int64_t length = content_length(r, max);

    if (length == -2)
        return err_set_public(e, AGW_EINVALID, NULL, "The content-length is not a number.");
    if (length > (int64_t)max)
        return too_large(e, max);
    return length >= 0 ? read_known(r, (size_t)length, e) : read_to_end(r, max, e);
}

const char *request_query(struct request *r, const char *name)
{
    return uri_query_value(r->arena, r->query, name);
}
