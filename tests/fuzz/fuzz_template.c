/* SPDX-License-Identifier: MIT */
/* Lines of a path with templates, a header's value and arguments: refused, or a request that
 * the arguments cannot have led elsewhere. */
#include <assert.h>
#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/build.h"
#include "tools/http_template.h"
#include "util/json_limits.h"
#include "util/json_text.h"
#include "util/template.h"

enum { TEXT_MAX = 1024, ROOM = 65536 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A NUL-terminated copy of the line, which the configuration might have. */
static bool take_line(const char **at, const char *end, const char *prefix, char text[TEXT_MAX])
{
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    size_t before = strlen(prefix), length;

    if (stop == NULL)
        return false;
    length = (size_t)(stop - *at);
    if (before + length >= TEXT_MAX)
        return false;
    memcpy(text, prefix, before);
    memcpy(text + before, *at, length);
    text[before + length] = '\0';
    for (const char *c = text; c < text + before + length; c++)
        if ((unsigned char)*c < 0x21 || (unsigned char)*c > 0x7e)
            return false;
    *at = stop + 1;
    return true;
}

static size_t count(const char *text, size_t length, char what)
{
    size_t found = 0;

    for (size_t i = 0; i < length; i++)
        found += text[i] == what;
    return found;
}

static void assert_plain(const char *text)
{
    for (; *text != '\0'; text++)
        assert((unsigned char)*text > 0x20 && (unsigned char)*text < 0x7f);
}

/* What the literals of a template begin and end stays what begins and ends in the URL. */
static void check_url(const struct config_tool *tool, const char *url)
{
    size_t path = strcspn(tool->url, "?"), got = strcspn(url, "?");
    const char *query = url + got;
    CURLU *parsed = curl_url();
    char *host = NULL;

    assert_plain(url);
    assert(strncmp(url, "https://h.example/", 18) == 0 && strchr(url, '#') == NULL);
    assert(count(url, got, '/') == count(tool->url, path, '/'));
    if (strcmp(tool->method, "GET") != 0) {
        assert((*query == '?') == (tool->url[path] == '?'));
        assert(count(query, strlen(query), '&') ==
               count(tool->url + path, strlen(tool->url + path), '&'));
    }
    assert(parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, CURLU_PATH_AS_IS) == 0);
    assert(curl_url_get(parsed, CURLUPART_HOST, &host, 0) == 0);
    assert(strcmp(host, "h.example") == 0);
    curl_free(host);
    curl_url_cleanup(parsed);
}

static void check_body(const struct config_tool *tool, const json_t *arguments,
                       const struct buf *body)
{
    json_t *sent = json_loadb(body->data, body->length, 0, NULL);
    const char *name;
    json_t *value;
    size_t placed = 0;

    assert(json_is_object(sent));
    json_object_foreach((json_t *)(uintptr_t)arguments, name, value)
    {
        bool there = template_names(tool->url, name) ||
                     template_names(tool->headers[0].value, name);

        assert(there == (json_object_get(sent, name) == NULL));
        placed += there;
    }
    assert(json_object_size(sent) + placed == json_object_size(arguments));
    json_decref(sent);
}

static void expand(const struct config_tool *tool, const json_t *arguments)
{
    char problem[HTTP_TEMPLATE_PROBLEM_SIZE] = "";
    struct buf out;
    int code;

    buf_init(&out, ROOM);
    code = http_template_url(tool, arguments, &out, problem);
    assert(code == 0 || (code == AGW_EINVALID && problem[0] != '\0'));
    if (code == 0)
        check_url(tool, buf_text(&out));
    buf_reset(&out);
    code = http_template_header(&tool->headers[0], arguments, &out, problem);
    if (code == 0 && out.length > 0) {
        assert(strncmp(out.data, "X: ", 3) == 0 && strpbrk(out.data, "\r\n") == NULL);
        assert(strlen(out.data) == out.length);
    }
    buf_reset(&out);
    code = http_template_body(tool, arguments, &out, problem);
    if (code == 0)
        check_body(tool, arguments, &out);
    for (const char *at = problem; *at != '\0'; at += json_text_utf8(at, strlen(at)))
        assert(json_text_utf8(at, strlen(at)) > 0);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct json_limits limits = {.depth = 20, .tokens = 2000};
    const char *at = (const char *)data, *end = at + size;
    char url[TEXT_MAX], value[TEXT_MAX];
    struct config_header header = {.name = "X", .value = value};
    struct config_tool tool = {.url = url, .headers = &header, .header_count = 1};
    json_t *arguments = NULL;

    if (!take_line(&at, end, "https://h.example/", url) || !take_line(&at, end, "", value) ||
        tools_check_url(url) != NULL)
        return 0;
    if (json_limits_parse(at, (size_t)(end - at), &limits, &arguments, NULL) == 0 &&
        json_is_object(arguments)) {
        tool.method = "GET";
        expand(&tool, arguments);
        tool.method = "POST";
        expand(&tool, arguments);
    }
    json_decref(arguments);
    return 0;
}
