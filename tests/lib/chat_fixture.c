/* SPDX-License-Identifier: MIT */
/* Sets a scene for chat_call(). */
#include "chat_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void keep(struct fixture_sink *sink, json_t *value, const char *part)
{
    const json_t *choice = json_array_get(json_object_get(value, "choices"), 0);
    const char *text =
        json_string_value(json_object_get(json_object_get(choice, part), "content"));
    const char *reason = json_string_value(json_object_get(choice, "finish_reason"));
    size_t used = strlen(sink->text);

    if (text != NULL)
        snprintf(sink->text + used, sizeof sink->text - used, "%s", text);
    if (reason != NULL)
        snprintf(sink->finish_reason, sizeof sink->finish_reason, "%s", reason);
    json_decref(sink->last);
    sink->last = json_incref(value);
}

static int on_chunk(void *arg, json_t *chunk)
{
    struct fixture_sink *sink = arg;

    sink->chunks++;
    keep(sink, chunk, "delta");
    return sink->answer;
}

static int on_completion(void *arg, json_t *completion)
{
    struct fixture_sink *sink = arg;

    sink->completions++;
    keep(sink, completion, "message");
    return sink->answer;
}

static int on_tick(void *arg)
{
    struct fixture_sink *sink = arg;

    sink->ticks++;
    return 0;
}

void fixture_init(struct fixture *f, size_t count, const int ports[])
{
    memset(f, 0, sizeof *f);
    f->config.upstreams = f->definitions;
    f->config.upstream_count = count;
    for (size_t i = 0; i < count; i++) {
        snprintf(f->names[i], sizeof f->names[i], "u%zu", i);
        snprintf(f->urls[i], sizeof f->urls[i], "http://127.0.0.1:%d/v1", ports[i]);
        f->definitions[i] = (struct config_upstream){
            .name = f->names[i], .provider = PROVIDER_OPENAI_COMPATIBLE, .base_url = f->urls[i],
            .priority = (int)i + 1, .weight = 1, .api_key = FIXTURE_KEY, .connect_ms = 1000,
            .first_byte_ms = 2000, .idle_ms = 2000, .total_ms = 10000, .retry_attempts = 1,
            .retry_backoff_ms = 1, .breaker_failures = 0, .breaker_open_ms = 200,
            .health_timeout_ms = 1000, .health_interval_ms = 100,
            .max_response_bytes = 1 << 20,
        };
    }
    f->sink.sink = (struct chat_sink){
        .chunk = on_chunk, .completion = on_completion, .tick = on_tick, .watch_fd = -1,
        .arg = &f->sink};
    f->upstreams = upstreams_new();
    fixture_apply(f);
}

void fixture_apply(struct fixture *f)
{
    if (upstreams_update(f->upstreams, &f->config, &f->e) != 0)
        abort();
}

void fixture_free(struct fixture *f)
{
    json_decref(f->sink.last);
    upstreams_free(&f->upstreams);
}

int fixture_call_body(struct fixture *f, const char *preferred, json_t *body)
{
    int code;

    json_decref(f->sink.last);
    f->sink.last = NULL;
    f->sink.chunks = f->sink.completions = f->sink.ticks = 0;
    f->sink.text[0] = f->sink.finish_reason[0] = '\0';
    err_reset(&f->e);
    code = chat_call(f->upstreams, preferred, body, "req-1", &f->sink.sink, NULL, &f->usage,
                     &f->e);
    json_decref(body);
    return code;
}

int fixture_call(struct fixture *f, const char *preferred, bool stream)
{
    return fixture_call_body(
        f, preferred,
        json_pack("{s:s, s:[{s:s, s:s}], s:b}", "model", "m", "messages", "role", "user",
                  "content", "hello there", "stream", stream));
}
