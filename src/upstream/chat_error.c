/* SPDX-License-Identifier: MIT */
/* Translates an upstream's refusal without giving anything away. */
#include "upstream/chat_error.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "util/json_limits.h"
#include "util/json_text.h"

enum { MESSAGE_MAX = 500, PARAM_MAX = 60 };

bool chat_error_is_transient(int status)
{
    return status == 408 || status == 409 || status == 429 || status == 500 || status == 502 ||
           status == 503 || status == 504;
}

bool chat_error_is_final(int status)
{
    return status == 400 || status == 404 || status == 413 || status == 422;
}

/* {"error":{"message":…}}, {"error":…}, {"message":…} and {"detail":…} are in use. */
static const char *find_message(const json_t *body)
{
    const json_t *error = json_object_get(body, "error");
    const char *text = json_string_value(json_object_get(error, "message"));

    if (text == NULL)
        text = json_string_value(error);
    if (text == NULL)
        text = json_string_value(json_object_get(body, "message"));
    if (text == NULL)
        text = json_string_value(json_object_get(body, "detail"));
    return text;
}

/* One line, cut between characters. `out` has room for MESSAGE_MAX + 1. */
static void clean(const char *text, char *out)
{
    size_t length = strlen(text), used = 0;

    for (size_t at = 0; at < length;) {
        size_t bytes = json_text_utf8(text + at, length - at);

        if (bytes == 0 || used + bytes > MESSAGE_MAX)
            break;
        if (bytes == 1 && ((unsigned char)text[at] < ' ' || text[at] == 0x7f))
            out[used] = ' ';
        else
            memcpy(out + used, text + at, bytes);
        used += bytes;
        at += bytes;
    }
    out[used] = '\0';
}

static const char *find_param(const json_t *body)
{
    const char *param = json_string_value(
        json_object_get(json_object_get(body, "error"), "param"));

    if (param == NULL || strlen(param) > PARAM_MAX ||
        strspn(param, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.[]-") !=
            strlen(param))
        return NULL;
    return param;
}

int chat_error_map(const struct upstream_entry *entry, const struct http_result *result,
                   const struct buf *body, struct err *e)
{
    char message[MESSAGE_MAX + 1] = "";
    const char *text, *param;
    json_t *json = NULL;

    if (result->status != 429 && !chat_error_is_final(result->status)) {
        err_set(e, AGW_EUPSTREAM, "it answered with status %d", result->status);
        if (e != NULL)
            e->retry_after_s = result->retry_after_s;
        return AGW_EUPSTREAM;
    }
    json_limits_parse(buf_text(body), body->length, &json_limits_default, &json, NULL);
    text = find_message(json);
    if (text != NULL && !entry_leaks(entry, text))
        clean(text, message);
    param = find_param(json);
    if (param != NULL && entry_leaks(entry, param))
        param = NULL;
    if (message[0] != '\0')
        err_set_public(e, AGW_EUPSTREAMREQ, param, "%s", message);
    else
        err_set_public(e, AGW_EUPSTREAMREQ, param,
                       "The model provider refused the request with status %d.",
                       result->status);
    if (e != NULL) {
        e->status = result->status;
        e->retry_after_s = result->retry_after_s;
    }
    json_decref(json);
    return AGW_EUPSTREAMREQ;
}
