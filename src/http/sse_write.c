/* SPDX-License-Identifier: MIT */
/* Frames events. */
#include "http/sse_write.h"


int sse_write_begin(struct response *r)
{
    response_header(r, "content-type", "text/event-stream; charset=utf-8");
    /* nginx would collect the whole stream otherwise; the others ignore it */
    response_header(r, "x-accel-buffering", "no");
    r->streaming = true;
    fcgi_end_reading(r->request->x);
    return response_head(r, 200);
}

static int send_frame(struct response *r, const char *frame, size_t length)
{
    int rc = fcgi_write(r->request->x, frame, length);

    if (rc != 0)
        return rc;
    r->bytes += (int64_t)length;
    return fcgi_flush(r->request->x);
}

int sse_write_json(struct response *r, const json_t *value)
{
    struct buf frame;
    int rc;

    /* a dumped value has no raw line break, so one data line takes it whole */
    buf_init(&frame, RESPONSE_BODY_MAX);
    buf_puts(&frame, "data: ");
    rc = response_dump(value, &frame);
    if (rc == 0 && buf_puts(&frame, "\n\n") != 0)
        rc = AGW_ENOMEM;
    if (rc == 0)
        rc = send_frame(r, frame.data, frame.length);
    buf_free(&frame);
    return rc;
}

int sse_write_done(struct response *r)
{
    return send_frame(r, "data: [DONE]\n\n", 14);
}

int sse_write_ping(struct response *r)
{
    return send_frame(r, ": ping\n\n", 8);
}
