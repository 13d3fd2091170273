/* SPDX-License-Identifier: MIT */
/* Memory that is out while an HTTP tool is called: a result that says that it failed, or none
 * at all, and never a request that lacks something. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "inject.h"
#include "net/http_client.h"
#include "tools/http_answer.h"
#include "tools/http_tool.h"
#include "util/clock.h"

struct scene {
    struct config_header header;
    struct config_tool config;
    struct tool tool;
    json_t *arguments;
    struct tool_result result;
};

/* Nobody listens there: what is looked at is the way to the connection. */
static void call(void *arg)
{
    struct scene *s = arg;
    struct tool_call call = {.tool = &s->tool, .arguments = s->arguments, .call_id = "",
                             .request_id = "req", .deadline_ms = clock_mono_ms() + 30000,
                             .max_result = 1000, .watch_fd = -1};
    struct err e;
    void *state = http_tool_provider.open(&s->config, NULL, NULL, &e);

    if (state == NULL)
        return;
    http_tool_provider.call(state, &call, &s->result);
    http_tool_provider.close(state);
}

static void check(void *arg)
{
    struct scene *s = arg;

    if (s->result.content != NULL && s->result.status != TOOL_FAILED &&
        s->result.status != TOOL_INVALID && s->result.status != TOOL_UNAVAILABLE)
        fail_msg("%d: %s", s->result.status, s->result.content);
    tool_result_clear(&s->result);
}

static void calls(void **state)
{
    struct scene s = {
        .header = {"X-A", "{a}", false},
        .config = {.name = "t", .provider = TOOL_HTTP, .url = "http://127.0.0.1:1/{b}",
                   .header_count = 1, .allow_private = true, .timeout_ms = 1000}};

    (void)state;
    s.config.headers = &s.header;
    s.tool = (struct tool){.name = "t", .config = &s.config};
    s.arguments = json_pack("{s:s,s:i,s:[i,s],s:{s:n}}", "a", "x", "b", 1, "c", 2, "y", "d", "e");
    for (int i = 0; i < 2; i++) {
        s.config.method = i == 0 ? "GET" : "POST";
        assert_true(inject_each(INJECT_MEMORY, call, check, &s) > 10);
        call(&s);
        assert_int_equal(s.result.status, TOOL_UNAVAILABLE);
        tool_result_clear(&s.result);
    }
    json_decref(s.arguments);
}

static void answer(void *arg)
{
    static const struct {
        int status;
        const char *type, *charset;
    } heads[] = {{200, "application/json", ""}, {200, "text/plain", "iso-8859-1"},
                 {200, "image/png", ""}, {204, "", ""}, {404, "text/plain", ""},
                 {500, "text/plain", "latin1"}, {302, "", ""}};
    struct tool_result *result = arg;

    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct http_result head = {.status = heads[i].status};

        snprintf(head.content_type, sizeof head.content_type, "%s", heads[i].type);
        snprintf(head.charset, sizeof head.charset, "%s", heads[i].charset);
        http_answer_take("t", &head, "body", heads[i].status == 204 ? 0 : 4, 1000, result);
        assert_int_equal(result->content == NULL ? 0 : strlen(result->content), result->length);
        tool_result_clear(result);
    }
}

static void check_answer(void *arg)
{
    (void)arg;
}

static void answers(void **state)
{
    struct tool_result result = {0};

    (void)state;
    assert_true(inject_each(INJECT_MEMORY, answer, check_answer, &result) > 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls),
        cmocka_unit_test(answers),
    };

    if (http_client_init() != 0)
        return 1;
    return cmocka_run_group_tests_name("tools/http_memory", tests, NULL, NULL);
}
