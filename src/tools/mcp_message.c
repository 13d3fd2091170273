/* SPDX-License-Identifier: MIT */
/* Reads and writes JSON-RPC messages. */
#include "tools/mcp_message.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "util/json_limits.h"
#include "util/json_text.h"

static bool is_id(const json_t *id)
{
    return json_is_string(id) || json_is_integer(id);
}

static int refuse(struct err *e, const char *what)
{
    return err_set(e, AGW_EINVALID, "not a JSON-RPC message: %s", what);
}

/* C1, U+200B-200F, U+2028-202E, U+2066-2069 */
static bool is_tricky(const unsigned char *at, size_t length)
{
    if (length == 2)
        return at[0] == 0xc2 && at[1] < 0xa0;
    if (length != 3 || at[0] != 0xe2)
        return false;
    return (at[1] == 0x80 && ((at[2] >= 0x8b && at[2] <= 0x8f) ||
                              (at[2] >= 0xa8 && at[2] <= 0xae))) ||
           (at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9);
}

void mcp_message_clean(char *text)
{
    size_t length = strlen(text), step;

    json_text_repair(text);
    for (size_t at = 0; at < length; at += step) {
        unsigned char *byte = (unsigned char *)text + at;

        step = json_text_utf8(text + at, length - at);
        step = step == 0 ? 1 : step;
        if (byte[0] < ' ' || byte[0] == 0x7f)
            byte[0] = ' ';
        else if (is_tricky(byte, step))
            memset(byte, ' ', step);
    }
}

static int take_error(struct mcp_message *message, const json_t *error, struct err *e)
{
    const json_t *code = json_object_get(error, "code");
    const char *text = json_string_value(json_object_get(error, "message"));

    if (!json_is_integer(code))
        return refuse(e, "its error has no code");
    message->kind = MCP_ERROR;
    message->code = json_integer_value(code);
    snprintf(message->text, sizeof message->text, "%s", text == NULL ? "" : text);
    mcp_message_clean(message->text);
    message->data = json_object_get(error, "data");
    return 0;
}

/* JSON-RPC 2.0, 4 and 5: what has a method asks or tells, all else answers. */
static int classify(struct mcp_message *message, struct err *e)
{
    const json_t *whole = message->whole;
    const char *version = json_string_value(json_object_get(whole, "jsonrpc"));
    const json_t *id = json_object_get(whole, "id"), *method = json_object_get(whole, "method");
    const json_t *result = json_object_get(whole, "result");
    const json_t *error = json_object_get(whole, "error");

    if (json_is_array(whole))
        return refuse(e, "a batch");
    if (version == NULL || strcmp(version, "2.0") != 0)
        return refuse(e, "'jsonrpc' is not \"2.0\"");
    if (id != NULL && !is_id(id) && !json_is_null(id))
        return refuse(e, "'id' is neither text nor integer");
    message->id = is_id(id) ? id : NULL;
    if (method != NULL) {
        message->method = json_string_value(method);
        message->kind = message->id != NULL ? MCP_REQUEST : MCP_NOTIFICATION;
        return message->method != NULL ? 0 : refuse(e, "'method' is no text");
    }
    if (error != NULL && result != NULL)
        return refuse(e, "it has both 'result' and 'error'");
    if (json_is_object(error))
        return take_error(message, error, e);
    if (message->id == NULL)
        return refuse(e, "it has neither 'method' nor 'id'");
    if (!json_is_object(result))
        return refuse(e, "'result' is no object");
    message->kind = MCP_RESULT;
    message->result = result;
    return 0;
}

int mcp_message_parse(const char *text, size_t length, struct mcp_message *message,
                      struct err *e)
{
    int status;

    memset(message, 0, sizeof *message);
    if (length > MCP_MESSAGE_MAX)
        return err_set(e, AGW_EINVALID, "a message exceeds %d bytes", MCP_MESSAGE_MAX);
    status = json_limits_parse(text, length, &json_limits_default, &message->whole, e);
    if (status == 0)
        status = classify(message, e);
    if (status != 0) {
        mcp_message_clear(message);
        mcp_message_clean(e->message);
    }
    return status;
}

void mcp_message_clear(struct mcp_message *message)
{
    json_decref(message->whole);
    memset(message, 0, sizeof *message);
}

bool mcp_message_answers(const struct mcp_message *message, json_int_t id)
{
    return (message->kind == MCP_RESULT || message->kind == MCP_ERROR) &&
           json_is_integer(message->id) && json_integer_value(message->id) == id;
}

static char *dump(json_t *message)
{
    char *text = message == NULL ? NULL : json_dumps(message, JSON_COMPACT);

    json_decref(message);
    return text;
}

char *mcp_message_request(json_int_t id, const char *method, json_t *params)
{
    return dump(json_pack("{s:s,s:I,s:s,s:o*}", "jsonrpc", "2.0", "id", id, "method", method,
                          "params", params));
}

char *mcp_message_notify(const char *method, json_t *params)
{
    return dump(json_pack("{s:s,s:s,s:o*}", "jsonrpc", "2.0", "method", method, "params",
                          params));
}

char *mcp_message_reply(const struct mcp_message *request)
{
    json_t *id = json_copy((json_t *)(uintptr_t)request->id);

    if (strcmp(request->method, "ping") == 0)
        return dump(json_pack("{s:s,s:o,s:{}}", "jsonrpc", "2.0", "id", id, "result"));
    return dump(json_pack("{s:s,s:o,s:{s:i,s:s}}", "jsonrpc", "2.0", "id", id, "error", "code",
                          MCP_METHOD_NOT_FOUND, "message",
                          "This client offers servers nothing but ping"));
}
