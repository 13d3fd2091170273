/* SPDX-License-Identifier: MIT */
/* Says what happened, in the words that OpenAI clients know. */
#include "http/response.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Headers stay small; a body is bounded by what the handler made. */
enum { HEADERS_MAX = 32768, RETRY_AFTER_MAX_S = 60 };

void response_init(struct response *r, struct request *request)
{
    *r = (struct response){.request = request};
    buf_init(&r->headers, HEADERS_MAX);
}

void response_free(struct response *r)
{
    buf_free(&r->headers);
}

void response_header(struct response *r, const char *name, const char *format, ...)
{
    char value[2048] __attribute__((uninitialized)); /* vsnprintf() ends it */
    size_t n = 0;
    va_list args;

    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    /* a line break in a value would begin another header */
    for (const char *p = value; *p != '\0'; p++)
        if ((unsigned char)*p >= 0x20 && *p != 0x7f)
            value[n++] = *p;
    buf_puts(&r->headers, name);
    buf_append(&r->headers, ": ", 2);
    buf_append(&r->headers, value, n);
    buf_append(&r->headers, "\r\n", 2);
}

const char *response_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},          {201, "Created"},           {204, "No Content"},
        {400, "Bad Request"}, {401, "Unauthorized"},      {403, "Forbidden"},
        {404, "Not Found"},   {405, "Method Not Allowed"}, {408, "Request Timeout"},
        {409, "Conflict"},    {413, "Content Too Large"}, {422, "Unprocessable Content"},
        {429, "Too Many Requests"}, {499, "Client Closed Request"},
        {500, "Internal Server Error"}, {502, "Bad Gateway"}, {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };

    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return status < 400 ? "OK" : "Error";
}

int response_head(struct response *r, int status)
{
    char line[REQUEST_ID_MAX + 128];
    int n;

    if (r->head_sent)
        return AGW_EINTERNAL;
    n = snprintf(line, sizeof line,
                 "Status: %d %s\r\nx-request-id: %s\r\n"
                 "cache-control: no-store\r\nx-content-type-options: nosniff\r\n",
                 status, response_reason(status), r->request->id);
    r->head_sent = true;
    r->status = status;
    if (fcgi_write(r->request->x, line, (size_t)n) != 0 ||
        fcgi_write(r->request->x, buf_text(&r->headers), r->headers.length) != 0 ||
        fcgi_write(r->request->x, "\r\n", 2) != 0)
        return AGW_EGONE;
    return 0;
}

int response_text(struct response *r, int status, const char *content_type, const char *text,
                  size_t length)
{
    int rc;

    response_header(r, "content-type", "%s", content_type);
    response_header(r, "content-length", "%zu", length);
    rc = response_head(r, status);
    if (rc != 0 || strcmp(r->request->method, "HEAD") == 0)
        return rc;
    r->bytes = (int64_t)length;
    return fcgi_write(r->request->x, text, length);
}

int response_empty(struct response *r, int status)
{
    /* 204 has no length (RFC 9110, 8.6) */
    if (status != 204)
        response_header(r, "content-length", "0");
    return response_head(r, status);
}

/* jansson escapes controls but not U+2028/9, which some consumers take for line breaks. It
 * hands strings over in pieces that never split a character. */
static int dump_piece(const char *piece, size_t length, void *arg)
{
    struct buf *out = arg;
    size_t from = 0;

    for (size_t i = 0; i + 2 < length; i++) {
        if (piece[i] != '\xe2' || piece[i + 1] != '\x80' || (piece[i + 2] & '\xfe') != '\xa8')
            continue;
        buf_append(out, piece + from, i - from);
        buf_puts(out, piece[i + 2] == '\xa8' ? "\\u2028" : "\\u2029");
        from = i + 3;
        i += 2;
    }
    return buf_append(out, piece + from, length - from);
}

int response_dump(const json_t *value, struct buf *out)
{
    if (json_dump_callback(value, dump_piece, out, JSON_COMPACT | JSON_ENCODE_ANY) != 0 ||
        out->failed)
        return AGW_ENOMEM;
    return 0;
}

int response_json(struct response *r, int status, const json_t *value)
{
    struct buf text;
    int rc;

    buf_init_secret(&text, RESPONSE_BODY_MAX); /* a new key is told its secret */
    rc = response_dump(value, &text);
    if (rc == 0)
        rc = response_text(r, status, "application/json", text.data, text.length);
    buf_free(&text);
    return rc;
}

json_t *response_error_json(int code, const struct err *e)
{
    const struct err_info *info = err_info(code);
    bool told = e != NULL && e->is_public && e->message[0] != '\0';

    return json_pack("{s:{s:s, s:s, s:s?, s:s?}}", "error",
                     "message", told ? e->message : info->text, "type", info->type,
                     "param", e != NULL && e->param[0] != '\0' ? e->param : NULL,
                     "code", info->code);
}

/* The statuses that the official clients try again by themselves. */
static bool client_would_retry(int status)
{
    return status == 408 || status == 409 || status == 429 || status >= 500;
}

static void retry_headers(struct response *r, const struct err_info *info, int status,
                          const struct err *e)
{
    int wait = e == NULL ? 0 : e->retry_after_s;

    if (!client_would_retry(status))
        return;
    /* An upstream's 429 that names a time may be tried again after it. */
    if ((!info->retry && wait <= 0) || (e != NULL && e->no_retry)) {
        response_header(r, "x-should-retry", "false");
        return;
    }
    if (wait <= 0 && (status == 429 || status == 503))
        wait = 1;
    if (wait > 0)
        response_header(r, "retry-after", "%d",
                        wait > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : wait);
}

int response_error(struct response *r, int code, const struct err *e)
{
    const struct err_info *info = err_info(code);
    int status = e != NULL && e->status != 0 ? e->status : info->status;
    json_t *body;
    int rc;

    retry_headers(r, info, status, e);
    body = response_error_json(code, e);
    if (body == NULL) { /* a public message that is not UTF-8, or no memory */
        static const char last[] = "{\"error\":{\"message\":\"The gateway failed.\",\"type\":"
                                   "\"server_error\",\"param\":null,\"code\":null}}";

        return response_text(r, status, "application/json", last, sizeof last - 1);
    }
    rc = response_json(r, status, body);
    json_decref(body);
    return rc;
}
