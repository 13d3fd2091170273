/* SPDX-License-Identifier: MIT */
/* Uses an MCP server's message in each way that there is. */
#include "mcp_consume.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tools/mcp_content.h"
#include "tools/mcp_era.h"
#include "tools/mcp_tools.h"
#include "util/json_memory.h"
#include "util/json_text.h"

enum { RESULT_MAX = 300 };

static void assert_clean(const char *text)
{
    for (size_t at = 0, step; text[at] != '\0'; at += step) {
        step = json_text_utf8(text + at, strlen(text) - at);
        assert(step > 0 && (unsigned char)text[at] >= ' ' && text[at] != 0x7f);
    }
}

static void use_as_content(const json_t *result)
{
    struct tool_result shown = {0};

    mcp_content_take(result, RESULT_MAX, &shown);
    assert(shown.content != NULL && shown.length <= RESULT_MAX);
    assert(shown.status == TOOL_OK || shown.status == TOOL_FAILED);
    assert(strlen(shown.content) == shown.length);
    tool_result_clear(&shown);
}

static void use_as_list(const json_t *result)
{
    struct tool_offers offers = {0};
    struct mcp_headers headers = {0};
    struct mcp_tools tools;
    const char *cursor;
    struct err e = {0};

    assert(mcp_tools_begin(&tools, &offers) == 0);
    mcp_tools_page(&tools, result, &cursor, &e);
    for (size_t i = 0; i < offers.count; i++)
        mcp_headers_params(&headers,
                           json_object_get(json_object_get(tools.known, offers.list[i].name),
                                           "headers"), result);
    for (size_t i = 0; i < headers.count; i++)
        assert(strpbrk(headers.lines[i], "\r\n") == NULL);
    mcp_headers_free(&headers);
    mcp_tools_clear(&tools);
    tool_offers_clear(&offers);
}

static void use_as_agreement(const struct mcp_message *message)
{
    static const int statuses[] = {0, 200, 202, 307, 400, 401, 404, 500};
    struct mcp_answer answer = {.message = *message, .session_id = "s"};

    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct mcp_peer peer = {0};
        struct err e = {0};

        answer.status = statuses[i];
        if (mcp_era_discovered(&answer, &peer, &e) == 0)
            assert(peer.era != MCP_UNKNOWN);
        else
            assert_clean(e.message);
        if (mcp_era_initialized(&answer, &peer, &e) == 0)
            assert(peer.era == MCP_LEGACY && peer.version[0] != '\0');
        assert(mcp_era_agreement(&peer, &answer) <= MCP_LOST);
    }
}

void mcp_consume(const struct mcp_message *message)
{
    char *text;

    if (message->kind == MCP_REQUEST) {
        text = mcp_message_reply(message);
        assert(text != NULL && strchr(text, '\n') == NULL);
        json_memory_free(text);
        return;
    }
    if (message->kind == MCP_NOTIFICATION)
        return;
    use_as_agreement(message);
    if (message->kind == MCP_RESULT) {
        use_as_content(message->result);
        use_as_list(message->result);
    } else {
        assert_clean(message->text);
    }
}
