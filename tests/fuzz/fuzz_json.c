/* SPDX-License-Identifier: MIT */
/* Any bytes as a request's body: parsed within limits, checked, and never half refused. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "api/chat_request.h"
#include "util/json_limits.h"
#include "util/json_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void escape_and_read_back(const char *text, size_t length)
{
    char line[4096];
    size_t used, n;
    json_t *value;

    if (length > 500)
        length = 500;
    line[0] = '[';
    line[1] = '"';
    n = json_text_escape(line + 2, sizeof line - 4, text, length, &used);
    assert(used == length);
    line[n + 2] = '"';
    line[n + 3] = ']';
    value = json_loadb(line, n + 4, JSON_ALLOW_NUL, NULL);
    assert(value != NULL);
    json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct json_limits limits = {.depth = 16, .tokens = 2000};
    struct err e = {0};
    json_t *value;
    int status = json_limits_parse((const char *)data, size, &limits, &value, &e);

    assert((status == 0) == (value != NULL));
    assert(status == 0 || (e.code == status && e.message[0] != '\0'));
    if (status == 0 && json_is_object(value)) {
        err_reset(&e);
        status = chat_request_check(value, &e);
        assert(status == 0 || (status == AGW_EINVALID && e.is_public && e.message[0] != '\0'));
        if (status == 0) {
            assert(json_is_string(json_object_get(value, "model")));
            assert(json_array_size(json_object_get(value, "messages")) > 0);
        }
    }
    json_decref(value);
    escape_and_read_back((const char *)data, size);
    return 0;
}
