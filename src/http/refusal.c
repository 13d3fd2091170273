/* SPDX-License-Identifier: MIT */
/* Turns one request away politely. */
#include "http/refusal.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "http/records.h"
#include "http/request.h"
#include "http/response.h"
#include "util/secret.h"

/* Enough to find x-request-id among the parameters of an ordinary request. */
enum { PARAMS_MAX = 16384, ANSWER_MAX = 4096, STEPS_MAX = 16 };

struct refusal {
    struct records records;
    struct buf params;
    bool answered;
};

struct refusal *refusal_new(void)
{
    struct refusal *r = calloc(1, sizeof *r);

    if (r == NULL)
        return NULL;
    buf_init_secret(&r->params, PARAMS_MAX); /* credentials are among them */
    records_init(&r->records, &r->params);
    return r;
}

void refusal_free(struct refusal **r)
{
    if (*r == NULL)
        return;
    buf_free(&(*r)->params);
    free(*r);
    *r = NULL;
}

static void choose_id(const struct refusal *r, char id[REQUEST_ID_MAX + 1])
{
    char wish[REQUEST_ID_MAX + 1];
    size_t length;
    const char *value = records_param(&r->params, "HTTP_X_REQUEST_ID", &length);

    if (value == NULL || length > REQUEST_ID_MAX)
        length = 0;
    for (size_t i = 0; i < length; i++)
        wish[i] = value[i];
    wish[length] = '\0';
    request_id_choose(wish, id);
}

static void write_answer(const struct refusal *r, struct buf *out)
{
    char id[REQUEST_ID_MAX + 1];
    const struct err_info *info = err_info(AGW_EOVERLOAD);
    json_t *error = response_error_json(AGW_EOVERLOAD, NULL);
    struct buf body;

    choose_id(r, id);
    buf_init(&body, ANSWER_MAX);
    if (error != NULL)
        response_dump(error, &body);
    json_decref(error);
    buf_printf(out,
               "Status: %d %s\r\nx-request-id: %s\r\ncache-control: no-store\r\n"
               "x-content-type-options: nosniff\r\nretry-after: 1\r\n"
               "content-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
               info->status, response_reason(info->status), id, body.length, buf_text(&body));
    buf_free(&body);
}

static bool answer(struct refusal *r, int fd)
{
    static const unsigned char end[8] = {0}; /* status 0, FCGI_REQUEST_COMPLETE */
    struct buf http, out;
    ssize_t n = -1;

    buf_init(&http, ANSWER_MAX);
    buf_init(&out, ANSWER_MAX + 64);
    write_answer(r, &http);
    records_put(&out, RECORDS_STDOUT, r->records.request_id, http.data, http.length);
    records_put(&out, RECORDS_STDOUT, r->records.request_id, NULL, 0);
    records_put(&out, RECORDS_END, r->records.request_id, end, sizeof end);
    if (!out.failed && !http.failed)
        n = send(fd, out.data, out.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    r->answered = n == (ssize_t)out.length;
    buf_free(&http);
    buf_free(&out);
    return r->answered;
}

static enum refusal_state take_bytes(struct refusal *r, int fd, unsigned char *bytes, size_t size,
                                     void (*counted)(void *arg), void *arg)
{
    for (int i = 0; i < STEPS_MAX; i++) {
        ssize_t n = recv(fd, bytes, size, MSG_DONTWAIT);
        size_t used;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return REFUSAL_MORE;
        if (n <= 0)
            return REFUSAL_CLOSE;
        used = records_feed(&r->records, bytes, (size_t)n);
        if (r->records.broken)
            return REFUSAL_CLOSE;
        if (r->records.params_done && !r->answered) {
            counted(arg);
            if (!answer(r, fd))
                return REFUSAL_CLOSE;
        }
        if (records_complete(&r->records))
            return r->records.keep && used == (size_t)n ? REFUSAL_KEEP : REFUSAL_CLOSE;
    }
    return REFUSAL_MORE;
}

enum refusal_state refusal_step(struct refusal *r, int fd, void (*counted)(void *arg),
                                void *arg)
{
    unsigned char bytes[8192];
    enum refusal_state state = take_bytes(r, fd, bytes, sizeof bytes, counted, arg);

    secret_wipe(bytes, sizeof bytes);
    return state;
}
