/* SPDX-License-Identifier: MIT */
/* Any bytes as what an HTTP tool answered: a text for the model that is UTF-8 and not longer
 * than it may be. The first line holds status, limit, type and charset. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/http_answer.h"
#include "util/json_text.h"

enum { LINE = 200, MAX_MIN = 256, MAX_MORE = 4096, WORDS = 400 /* of the gateway's own around an excerpt */ };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct tool_result *result, size_t max)
{
    size_t at = 0;

    assert(result->content != NULL && result->status < TOOL_STATUSES);
    assert(result->length == strlen(result->content));
    assert(result->length <= max || (result->status == TOOL_FAILED &&
                                     result->length <= 1000 + WORDS));
    while (at < result->length) {
        size_t step = json_text_utf8(result->content + at, result->length - at);

        assert(step > 0);
        at += step;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *body = memchr(data, '\n', size);
    struct http_result head = {0};
    struct tool_result result = {0};
    char line[LINE], encoded = ' ';
    size_t length, max = 0;

    if (body == NULL || (size_t)(body - (const char *)data) >= sizeof line)
        return 0;
    memcpy(line, data, (size_t)(body - (const char *)data));
    line[body - (const char *)data] = '\0';
    body++;
    length = size - (size_t)(body - (const char *)data);
    if (sscanf(line, "%3d %4zu %c %127s %31s", &head.status, &max, &encoded, head.content_type,
               head.charset) < 3 || head.status < 200)
        return 0;
    head.encoded = encoded == 'e';
    if (strcmp(head.content_type, "-") == 0)
        head.content_type[0] = '\0';
    max = MAX_MIN + max % MAX_MORE;
    http_answer_take("tool", &head, body, length, max, &result);
    check(&result, max);
    tool_result_put(&result, TOOL_OK, body, length, max);
    check(&result, max);
    assert(result.truncated || result.length >= length);
    tool_result_clear(&result);
    return 0;
}
