/* SPDX-License-Identifier: MIT */
/* Plays the module, the model and the client of a run that another process hosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "build_config.h"
#include "fine_tool.h"
#include "sdk_scene.h"

/* ---- the host ---- */

static struct sdk_scene *on_stage;

static bool is_answered(const struct sdk_scene *s)
{
    return strstr(s->heard, "llm.end") != NULL || strstr(s->heard, "llm.error") != NULL ||
           strstr(s->heard, "llm.response") != NULL;
}

static bool wait_lines(struct sdk_scene *s, int lines, size_t *length)
{
    while (lines > 0 || (lines < 0 && !is_answered(s))) {
        ssize_t got = recv(s->peer, s->heard + *length, sizeof s->heard - 1 - *length, 0);

        if (got <= 0)
            return false;
        for (ssize_t i = 0; i < got; i++)
            lines -= lines > 0 && s->heard[*length + (size_t)i] == '\n';
        *length += (size_t)got;
        s->heard[*length] = '\0';
    }
    return true;
}

static void *play(void *arg)
{
    struct sdk_scene *s = arg;
    size_t length = 0;

    for (const struct sdk_step *step = s->steps; step->text != NULL; step++) {
        size_t size = strlen(step->text);

        if (send(s->peer, step->text, size, MSG_NOSIGNAL) != (ssize_t)size ||
            !wait_lines(s, step->lines, &length))
            break;
    }
    shutdown(s->peer, SHUT_WR);
    while (wait_lines(s, 1, &length))
        ;
    close(s->peer);
    return NULL;
}

void sdk_scene_clean_up(struct sdk_scene *s)
{
    if (s->opened > 0)
        pthread_join(s->host, NULL);
    s->opened = 0;
}

int __wrap_link_open(struct link *link, const char *id, int64_t deadline_ms, int watch_fd, int *fd,
                     int64_t *process, struct err *e);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *arg);

int __wrap_link_open(struct link *link, const char *id, int64_t deadline_ms, int watch_fd, int *fd,
                     int64_t *process, struct err *e)
{
    struct sdk_scene *s = on_stage;
    int ends[2];

    (void)link, (void)deadline_ms, (void)watch_fd;
    assert_string_equal(id, "a/x");
    *process = 7;
    if (s->refuse != 0)
        return err_set_public(e, s->refuse, NULL, "refused");
    sdk_scene_clean_up(s); /* of the try before */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return err_set(e, AGW_ENOMEM, "sockets");
    *fd = ends[0];
    s->peer = ends[1];
    s->heard[0] = '\0';
    s->opened = 1;
    return __real_pthread_create(&s->host, NULL, play, s);
}

_Atomic int sdk_scene_hangs;

void __wrap_link_report_hang(struct link *link, const char *id, int64_t process);
void __wrap_link_report_hang(struct link *link, const char *id, int64_t process)
{
    (void)link, (void)id;
    assert_int_equal(process, 7);
    sdk_scene_hangs++;
}

/* ---- the model: the echo, or what a case lets it say ---- */

const char *sdk_scene_model;

int __real_chat_call(struct upstreams *upstreams, const char *first, const json_t *body,
                     const char *request_id, const struct chat_sink *sink,
                     struct chat_part *part, struct chat_usage *usage, struct err *e);
int __wrap_chat_call(struct upstreams *upstreams, const char *first, const json_t *body,
                     const char *request_id, const struct chat_sink *sink,
                     struct chat_part *part, struct chat_usage *usage, struct err *e);

char sdk_scene_asked[8192];

static void note_question(const json_t *body)
{
    json_t *about = json_pack("{s:O*,s:O*,s:O*}", "tools", json_object_get(body, "tools"), "choice",
                              json_object_get(body, "tool_choice"), "parallel",
                              json_object_get(body, "parallel_tool_calls"));
    size_t length = strlen(sdk_scene_asked);

    length += json_dumpb(about, sdk_scene_asked + length, sizeof sdk_scene_asked - 1 - length,
                         JSON_COMPACT | JSON_SORT_KEYS);
    sdk_scene_asked[length] = '\0';
    json_decref(about);
}

static int say(const struct chat_sink *sink, bool streaming, struct err *e)
{
    json_t *said = json_loads(sdk_scene_model, 0, NULL), *piece;
    int status = 0;
    size_t i;

    if (said == NULL)
        return err_set(e, AGW_ENOMEM, "a model");
    if (!streaming)
        status = sink->completion(sink->arg, said);
    json_array_foreach(said, i, piece)
        if (status == 0)
            status = sink->chunk(sink->arg, piece);
    json_decref(said);
    return status;
}

int __wrap_chat_call(struct upstreams *upstreams, const char *first, const json_t *body,
                     const char *request_id, const struct chat_sink *sink,
                     struct chat_part *part, struct chat_usage *usage, struct err *e)
{
    if (sdk_scene_model == NULL)
        return __real_chat_call(upstreams, first, body, request_id, sink, part, usage, e);
    note_question(body);
    *usage = (struct chat_usage){.prompt_tokens = -1, .completion_tokens = -1};
    return say(sink, json_is_true(json_object_get(body, "stream")), e);
}

/* ---- the client ---- */

static void add(struct sdk_scene *s, const char *before, const char *text, const char *after)
{
    size_t length = strlen(s->told);

    if (text != NULL)
        snprintf(s->told + length, sizeof s->told - length, "%s%s%s", before, text, after);
}

static void add_usage(struct sdk_scene *s, const json_t *answer)
{
    const json_t *usage = json_object_get(answer, "usage");
    char text[64];

    if (usage == NULL)
        return;
    snprintf(text, sizeof text, "%d+%d",
             (int)json_integer_value(json_object_get(usage, "prompt_tokens")),
             (int)json_integer_value(json_object_get(usage, "completion_tokens")));
    add(s, "{", text, "}");
}

static void add_calls(struct sdk_scene *s, const json_t *calls)
{
    char text[1024] = "";
    json_t *call;
    size_t i;

    json_array_foreach((json_t *)calls, i, call)
    {
        json_t *function = json_object_get(call, "function");

        snprintf(text, sizeof text, "%s:%s(%s)%s", json_string_value(json_object_get(call, "id")),
                 json_string_value(json_object_get(function, "name")),
                 json_string_value(json_object_get(function, "arguments")),
                 json_is_integer(json_object_get(call, "index")) ? "" : " whole");
        add(s, "[", text, "]");
    }
}

static int on_answer(struct sdk_scene *s, json_t *answer, const char *where)
{
    const json_t *choice = json_array_get(json_object_get(answer, "choices"), 0);
    const json_t *message = json_object_get(choice, where);

    add(s, "", json_string_value(json_object_get(message, "content")), "");
    add(s, "!", json_string_value(json_object_get(message, "refusal")), "");
    add(s, "?", json_string_value(json_object_get(message, "reasoning_content")), "");
    add_calls(s, json_object_get(message, "tool_calls"));
    add(s, "<", json_string_value(json_object_get(choice, "finish_reason")), ">");
    add_usage(s, answer);
    return s->sink_code;
}

static int on_chunk(void *arg, json_t *chunk)
{
    return on_answer(arg, chunk, "delta");
}

static int on_completion(void *arg, json_t *completion)
{
    struct sdk_scene *s = arg;

    s->answers++;
    return on_answer(s, completion, "message");
}

static void on_denied(void *arg, const char *tool)
{
    struct sdk_scene *s = arg;

    assert_string_equal(tool, "forbidden");
    s->violations++;
}

/* ---- the scene ---- */

static const char security_text[] =
    "version: 1\n"
    "default: {local_tools_allowlist: ['*'], deny_tools: [forbidden]}\n"
    "api_keys:\n"
    "  - {id: k, hashed_key: \"sha256:"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n";

int sdk_scene_setup(void **state)
{
    struct sdk_scene *s = calloc(1, sizeof *s);

    s->config = build_config_tools(security_text, NULL,
                                   "version: 1\ntools:\n"
                                   "  - {name: one, provider: local, command: [x],"
                                   " description: The first.}\n");
    s->dropins = dropins_new(json_loads(
        "{\"agents\":[{\"id\":\"a/x\",\"namespace\":\"a\",\"name\":\"x\",\"lang\":\"python\","
        "\"module\":\"m\",\"path\":\"/p\",\"attr\":\"agent\",\"model\":\"echo-1\",\"upstream\":"
        "\"echo\",\"available\":true,\"tools\":[\"own\"]}]}", 0, NULL));
    s->catalog = catalog_new(s->config, s->dropins);
    s->toolset = toolset_new(fine_tool_providers);
    s->upstreams = upstreams_new();
    assert_int_equal(toolset_update(s->toolset, s->config, &s->e), 0);
    assert_int_equal(upstreams_update(s->upstreams, s->config, &s->e), 0);
    s->caller = (struct invoke_caller){
        .toolset = s->toolset, .security = &s->config->security,
        .key = &s->config->security.keys[0], .agent = "a/x", .ns = "a", .source = "sdk",
        .watch_fd = -1, .denied = on_denied, .denied_arg = s};
    s->sink = (struct chat_sink){.chunk = on_chunk, .completion = on_completion, .watch_fd = -1,
                                 .arg = s};
    s->request = json_loads("{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", 0, NULL);
    s->run = (struct agent_run){
        .agent = catalog_find(s->catalog, "a/x"), .request = s->request, .request_id = "r",
        .upstreams = s->upstreams, .sink = &s->sink, .caller = &s->caller, .total_ms = 60000,
        .hops = &s->hops};
    on_stage = s;
    *state = s;
    return 0;
}

int sdk_scene_teardown(void **state)
{
    struct sdk_scene *s = *state;

    sdk_scene_clean_up(s);
    json_decref(s->request);
    upstreams_free(&s->upstreams);
    toolset_free(&s->toolset);
    catalog_release(&s->catalog);
    dropins_release(&s->dropins);
    config_release(&s->config);
    free(s);
    return 0;
}

void sdk_scene_run(void *arg)
{
    struct sdk_scene *s = arg;
    struct chat_usage usage;

    s->told[0] = '\0';
    s->answers = s->violations = 0;
    s->hops = (struct agent_hops){0};
    err_reset(&s->e);
    s->status = agent_run(&s->run, &usage, &s->e);
}

void sdk_scene_perform(struct sdk_scene *s, const struct sdk_step *steps, bool streaming)
{
    s->steps = steps;
    s->run.streaming = streaming;
    sdk_scene_run(s);
    sdk_scene_clean_up(s);
}
