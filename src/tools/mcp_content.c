/* SPDX-License-Identifier: MIT */
/* Makes one text of the blocks that a tool's answer has. */
#include "tools/mcp_content.h"

#include <string.h>

#include "util/buf.h"
#include "util/json_memory.h"

enum { LABEL_MAX = 300 }; /* names and URIs in our own lines */

/* Text that grows up to one byte more than may be shown, so that a cut is noticed. */
struct page {
    struct buf text;
    size_t max;
};

static void add(struct page *page, const char *text, size_t length)
{
    size_t room = page->max + 1 - page->text.length;

    buf_append(&page->text, text, length < room ? length : room);
}

static void add_text(struct page *page, const char *text)
{
    add(page, text, strlen(text));
}

static const char *member(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void add_label(struct page *page, const char *text)
{
    if (text == NULL || *text == '\0')
        return;
    add_text(page, " ");
    add(page, text, strnlen(text, LABEL_MAX));
}

/* "[image image/png, 1234 bytes]": base64 is of no use to who reads text. */
static void add_bytes(struct page *page, const char *what, const char *name, const char *type,
                      const json_t *base64)
{
    char size[64];

    add_text(page, "[");
    add_text(page, what);
    add_label(page, name);
    add_label(page, type);
    snprintf(size, sizeof size, ", %zu bytes]", json_string_length(base64) / 4 * 3);
    add_text(page, size);
}

static void add_resource(struct page *page, const json_t *resource)
{
    const json_t *text = json_object_get(resource, "text");
    const char *uri = member(resource, "uri"), *type = member(resource, "mimeType");

    if (!json_is_string(text)) {
        add_bytes(page, "resource", uri, type, json_object_get(resource, "blob"));
        return;
    }
    add_text(page, "[resource");
    add_label(page, uri);
    add_text(page, "]\n");
    add(page, json_string_value(text), json_string_length(text));
}

static void add_link(struct page *page, const json_t *link)
{
    add_text(page, "[link");
    add_label(page, member(link, "name"));
    add_label(page, member(link, "uri"));
    add_label(page, member(link, "mimeType"));
    add_text(page, "]");
    add_label(page, member(link, "description"));
}

static void add_block(struct page *page, const json_t *block)
{
    const char *type = member(block, "type");
    const json_t *text = json_object_get(block, "text");

    if (type == NULL)
        type = "unknown";
    if (page->text.length > 0)
        add_text(page, "\n");
    if (strcmp(type, "text") == 0 && json_is_string(text)) {
        add(page, json_string_value(text), json_string_length(text));
    } else if (strcmp(type, "image") == 0 || strcmp(type, "audio") == 0) {
        add_bytes(page, type, NULL, member(block, "mimeType"), json_object_get(block, "data"));
    } else if (strcmp(type, "resource") == 0) {
        add_resource(page, json_object_get(block, "resource"));
    } else if (strcmp(type, "resource_link") == 0) {
        add_link(page, block);
    } else {
        add_text(page, "[content of the type");
        add_label(page, type);
        add_text(page, ", which cannot be shown]");
    }
}

static void add_structured(struct page *page, const json_t *structured)
{
    char *text = json_dumps(structured, JSON_COMPACT | JSON_ENCODE_ANY);

    if (text == NULL)
        page->text.failed = true;
    else
        add_text(page, text);
    json_memory_free(text);
}

/* Why this is no answer that can be shown, or NULL. */
static const char *problem_of(const json_t *answer)
{
    const char *type = member(answer, "resultType");
    const json_t *content = json_object_get(answer, "content");

    if (type != NULL && strcmp(type, "input_required") == 0)
        return "the tool asks for further input, which agents cannot give";
    if (type != NULL && strcmp(type, "complete") != 0)
        return "the tool's answer is of a kind that this gateway does not know";
    if (content == NULL && json_object_get(answer, "structuredContent") == NULL)
        return "the tool's answer has no content";
    if (content != NULL && !json_is_array(content))
        return "the content of the tool's answer is no list";
    return NULL;
}

void mcp_content_take(const json_t *answer, size_t max, struct tool_result *result)
{
    const json_t *structured = json_object_get(answer, "structuredContent");
    const char *problem = problem_of(answer);
    enum tool_status status =
        json_is_true(json_object_get(answer, "isError")) ? TOOL_FAILED : TOOL_OK;
    struct page page = {.max = max};
    json_t *block;
    size_t i;

    if (problem != NULL) {
        tool_result_say(result, TOOL_FAILED, "%s", problem);
        return;
    }
    buf_init(&page.text, max + 1);
    json_array_foreach(json_object_get(answer, "content"), i, block)
    {
        if (page.text.length > max)
            break;
        add_block(&page, block);
    }
    if (i == 0 && structured != NULL)
        add_structured(&page, structured);
    if (page.text.failed)
        tool_result_say(result, TOOL_FAILED, "the gateway is out of memory");
    else
        tool_result_put(result, status, buf_text(&page.text), page.text.length, max);
    if (structured != NULL && !page.text.failed)
        result->structured = json_deep_copy(structured);
    buf_free(&page.text);
}
