/* SPDX-License-Identifier: MIT */
/* Puts a call of a tool together. */
#include "agent/turn_call.h"

#include <stdio.h>
#include <string.h>

#include "util/json_memory.h"
#include "util/secret.h"

enum { NAME_MAX_BYTES = 64 };

bool turn_call_is_custom(const struct turn_call *call)
{
    return json_object_get(call->value, "custom") != NULL;
}

static const char *kind_of(const struct turn_call *call)
{
    return turn_call_is_custom(call) ? "custom" : "function";
}

static const char *input_of(const struct turn_call *call)
{
    return turn_call_is_custom(call) ? "input" : "arguments";
}

static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));

    return text == NULL ? "" : text;
}

const char *turn_call_id(const struct turn_call *call)
{
    return text_of(call->value, "id");
}

const char *turn_call_name(const struct turn_call *call)
{
    return text_of(json_object_get(call->value, kind_of(call)), "name");
}

bool turn_call_is_other(const struct turn_call *call, const json_t *piece)
{
    const char *id = text_of(piece, "id");

    return id[0] != '\0' && call->given_id != NULL &&
           strcmp(id, json_string_value(call->given_id)) != 0 &&
           text_of(json_object_get(piece, kind_of(call)), "name")[0] != '\0';
}

/* Some providers send arguments as the object that they stand for. */
static int add_arguments(struct turn_call *call, const json_t *arguments)
{
    char *text;
    int status;

    if (json_is_string(arguments))
        return buf_append(&call->arguments, json_string_value(arguments),
                          json_string_length(arguments));
    if (!json_is_object(arguments))
        return 0;
    text = json_dumps(arguments, JSON_COMPACT);
    status = text == NULL ? -1 : buf_puts(&call->arguments, text);
    json_memory_free(text);
    return status;
}

/* What other members there are (a signature of the model's thoughts, say) is kept: the upstream
 * may want it back. */
static int add_rest(struct turn_call *call, const json_t *piece)
{
    static const char *const own[] = {"index", "id", "type", "function", "custom"};
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)piece, name, value)
    {
        bool is_own = json_is_null(value);

        for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
            is_own = is_own || strcmp(own[i], name) == 0;
        if (!is_own && json_object_set(call->value, name, value) != 0)
            return -1;
    }
    return 0;
}

int turn_call_add(struct turn_call *call, const json_t *piece, struct err *e)
{
    const json_t *what = json_object_get(piece, kind_of(call));
    json_t *mine = json_object_get(call->value, kind_of(call));
    const char *name = text_of(what, "name");

    if (call->given_id == NULL && text_of(piece, "id")[0] != '\0') {
        call->given_id = json_incref(json_object_get(piece, "id"));
        if (!call->shown && json_object_set(call->value, "id", call->given_id) != 0)
            return err_set(e, AGW_ENOMEM, "a call of a tool");
    }
    if ((turn_call_name(call)[0] == '\0' && name[0] != '\0' &&
         json_object_set_new(mine, "name", json_string(name)) != 0) ||
        add_rest(call, piece) != 0)
        return err_set(e, AGW_ENOMEM, "a call of a tool");
    if (add_arguments(call, json_object_get(what, input_of(call))) != 0)
        return err_set(e, AGW_EUPSTREAM, "it wrote more than %zu bytes of arguments in one call",
                       call->arguments.max);
    return 0;
}

int turn_call_begin(struct turn_call *call, const json_t *piece, size_t arguments_max,
                    struct err *e)
{
    bool is_custom = strcmp(text_of(piece, "type"), "custom") == 0 ||
                     json_is_object(json_object_get(piece, "custom"));
    const char *kind = is_custom ? "custom" : "function";

    *call = (struct turn_call){0};
    buf_init(&call->arguments, arguments_max);
    call->value = json_pack("{s:s,s:s,s:{s:s}}", "id", "", "type", kind, kind, "name", "");
    if (call->value == NULL)
        return err_set(e, AGW_ENOMEM, "a call of a tool");
    return turn_call_add(call, piece, e);
}

void turn_call_free(struct turn_call *call)
{
    json_decref(call->value);
    json_decref(call->given_id);
    buf_free(&call->arguments);
}

int turn_call_fix_id(struct turn_call *call, const struct turn_call *calls, size_t count)
{
    const char *id = turn_call_id(call);
    bool good = id[0] != '\0' && strlen(id) <= TURN_CALL_ID_MAX;
    char hex[25] = "", fresh[40];

    for (const struct turn_call *other = calls; other < calls + count && good; other++)
        if (other < call || (other > call && other->shown))
            good = strcmp(turn_call_id(other), id) != 0;
    if (good)
        return 0;
    secret_random_hex(hex, 12);
    snprintf(fresh, sizeof fresh, "call_%s", hex);
    return json_object_set_new(call->value, "id", json_string(fresh)) == 0 ? 0 : AGW_ENOMEM;
}

/* A name that the model made up goes back to it as near as upstreams allow. */
static int fix_name(struct turn_call *call)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    const char *name = turn_call_name(call);
    char fixed[NAME_MAX_BYTES + 1];
    size_t length = strlen(name);

    if (length > 0 && length <= NAME_MAX_BYTES && strspn(name, letters) == length)
        return 0;
    snprintf(fixed, sizeof fixed, "%s", length == 0 ? "unnamed" : name);
    for (char *c = fixed; *c != '\0'; c++)
        if (strchr(letters, *c) == NULL)
            *c = '_';
    return json_object_set_new(json_object_get(call->value, kind_of(call)), "name",
                               json_string(fixed));
}

int turn_call_settle(struct turn_call *call)
{
    const struct buf *arguments = &call->arguments;
    const char *text = arguments->length == 0 && !turn_call_is_custom(call)
                           ? "{}"
                           : buf_text(arguments);
    size_t length = arguments->length == 0 ? strlen(text) : arguments->length;

    if ((!turn_call_is_custom(call) && fix_name(call) != 0) ||
        json_object_set_new(json_object_get(call->value, kind_of(call)), input_of(call),
                            json_stringn(text, length)) != 0)
        return AGW_ENOMEM;
    return 0;
}

struct invoke_request turn_call_request(const struct turn_call *call)
{
    const json_t *arguments =
        json_object_get(json_object_get(call->value, "function"), "arguments");

    return (struct invoke_request){
        .tool = call->tool, .name = turn_call_name(call), .unknown = true,
        .call_id = turn_call_id(call), .arguments = json_string_value(arguments),
        .arguments_length = json_string_length(arguments)};
}

static json_t *whole(const struct turn_call *call)
{
    json_t *shown = json_copy(call->value);
    json_t *what = json_copy(json_object_get(call->value, kind_of(call)));

    if (json_object_set_new(shown, "index", json_integer(call->place)) != 0 ||
        json_object_set_new(what, input_of(call),
                            json_stringn(buf_text(&call->arguments), call->arguments.length)) !=
            0 ||
        json_object_set(shown, kind_of(call), what) != 0) {
        json_decref(shown);
        shown = NULL;
    }
    json_decref(what);
    return shown;
}

json_t *turn_call_show(struct turn_call *call, const json_t *piece)
{
    const json_t *what = json_object_get(piece, kind_of(call));

    if (!call->shown) {
        call->shown = true;
        return whole(call);
    }
    return json_pack("{s:I,s:{s:s}}", "index", (json_int_t)call->place, kind_of(call),
                     input_of(call), text_of(what, input_of(call)));
}
