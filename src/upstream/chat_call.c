/* SPDX-License-Identifier: MIT */
/* Gets a chat completion from whichever upstream can give it. */
#include "upstream/chat_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/metrics.h"
#include "upstream/chat_answer.h"
#include "upstream/chat_error.h"
#include "upstream/chat_request.h"
#include "upstream/echo.h"
#include "upstream/health.h"
#include "upstream/select.h"
#include "util/clock.h"

enum {
    URL_MAX = 4096,
    RETRY_AFTER_WORTH_MS = 5000, /* longer than that another upstream is the better answer */
    BACKOFF_MAX_MS = 5000
};

struct chat {
    const struct chat_sink *sink;
    struct chat_usage *usage;
    struct err *e;
    json_t *body;            /* as it is sent */
    struct buf text;         /* the same, serialized when first needed */
    const char *model, *request_id;
    bool streaming;
    bool attempted;          /* e tells of a real attempt */
    int64_t deadline;        /* monotonic ms, INT64_MAX = none */
    int64_t quiet_since;
    int64_t shortest_wait;   /* of the breakers that refused, ms */
    int code;
};

enum next {
    DONE,      /* chat->code is final */
    RETRY,     /* the same upstream may do better */
    FAILOVER   /* another one may */
};

/* Ends a call whose error is not about any upstream. */
static enum next stop(struct chat *chat, int code)
{
    chat->code = code;
    return DONE;
}

static int64_t remaining(const struct chat *chat)
{
    return chat->deadline == INT64_MAX ? INT64_MAX : chat->deadline - clock_mono_ms();
}

static void count_attempt(const struct upstream_entry *entry, const struct http_result *result,
                          const struct chat_answer *answer, int code)
{
    char status[16];

    if (code == AGW_EGONE)
        snprintf(status, sizeof status, "client_gone");
    else if (code == AGW_ETIMEOUT)
        snprintf(status, sizeof status, "timeout");
    else if (result->status == 0)
        snprintf(status, sizeof status, result->connected ? "broken" : "no_connection");
    else if (code == AGW_EUPSTREAM && result->status < 300)
        snprintf(status, sizeof status, answer->passed ? "cut" : "invalid");
    else
        snprintf(status, sizeof status, "%d", result->status);
    metrics_add(METRIC_UPSTREAM_REQUESTS, 1, entry->name, status);
    metrics_observe_us(METRIC_UPSTREAM_LATENCY, result->duration_us, entry->name);
}

/* What this attempt says about the upstream's health. A refusal of the request itself is
 * the sign of a working upstream. */
static enum health_verdict verdict_for(const struct chat_answer *answer,
                                       const struct http_result *result, int code)
{
    if (answer->sink_refused || code == AGW_EGONE || code == AGW_ENOMEM ||
        code == AGW_EINTERNAL || code == AGW_EOVERLOAD)
        return HEALTH_NOTHING;
    if (code == 0 || chat_error_is_final(result->status))
        return HEALTH_SUCCESS;
    return result->status == 429 ? HEALTH_NOTHING : HEALTH_FAILURE;
}

static enum next next_after(const struct chat_answer *answer, const struct http_result *result,
                            int code)
{
    if (code == 0 || answer->sink_refused || answer->passed)
        return DONE;
    if (code != AGW_EUPSTREAM && code != AGW_ETIMEOUT && code != AGW_EUPSTREAMREQ)
        return DONE;
    if (!result->connected) /* nobody saw the request */
        return RETRY;
    if (code == AGW_ETIMEOUT) /* it may still be at work: asking it again doubles that */
        return FAILOVER;
    if (result->status == 0)
        return RETRY;
    if (result->status < 300) /* a broken transfer may heal, a wrong answer will not */
        return answer->rejected || result->too_large ? FAILOVER : RETRY;
    if (chat_error_is_final(result->status))
        return DONE;
    return chat_error_is_transient(result->status) && !result->retry_is_useless ? RETRY
                                                                                : FAILOVER;
}

/* Names the upstream in a private message. */
static void name_culprit(struct err *e, const struct upstream_entry *entry)
{
    char detail[600];

    if (e->is_public || e->code == 0)
        return;
    snprintf(detail, sizeof detail, "%.599s", e->message);
    snprintf(e->message, sizeof e->message, "upstream %.64s: %s", entry->name, detail);
}

static int add_piece(const char *piece, size_t length, void *text)
{
    return buf_append(text, piece, length);
}

static int serialize(struct chat *chat)
{
    if (chat->text.length > 0)
        return 0;
    return json_dump_callback(chat->body, add_piece, &chat->text,
                              JSON_COMPACT | JSON_REAL_PRECISION(15));
}

static int send_request(struct chat *chat, const struct upstream_entry *entry,
                        struct chat_answer *answer, struct http_result *result)
{
    struct chat_request_headers headers;
    int64_t left = remaining(chat);
    struct http_call call = {
        .method = "POST", .connect_ms = entry->connect_ms,
        .first_byte_ms = entry->first_byte_ms, .idle_ms = entry->idle_ms,
        .total_ms = entry->total_ms > 0 && entry->total_ms < left ? entry->total_ms
                    : left == INT64_MAX                           ? 0
                                                                  : left,
        .max_response = (size_t)entry->max_response_bytes, .watch_fd = chat->sink->watch_fd,
        .tick_ms = chat->sink->tick_ms, .quiet_since_ms = &chat->quiet_since,
        .on_head = chat_answer_head, .on_body = chat_answer_body,
        .on_tick = chat->sink->tick == NULL ? NULL : chat_answer_tick,
        .on_sent = chat->sink->sent == NULL ? NULL : chat_answer_sent, .arg = answer,
    };
    struct buf url;
    int code;

    if (serialize(chat) != 0 ||
        chat_request_headers_init(&headers, entry, chat->request_id, chat->streaming) != 0)
        return err_set(chat->e, AGW_ENOMEM, "preparing the request");
    buf_init(&url, URL_MAX);
    code = chat_request_url(entry, chat->model, &url);
    if (code != 0) {
        err_set(chat->e, code, "its URL is too long");
    } else {
        call.url = url.data;
        call.headers = headers.lines;
        call.body = chat->text.data;
        call.body_length = chat->text.length;
        code = http_client_call(entry->pool, &call, result, chat->e);
        if (code == AGW_EUPSTREAM && result->starved && !result->connected) /* no fault of the upstream */
            code = err_set(chat->e, AGW_EOVERLOAD, "no socket is left to connect with");
        if (code == 0)
            code = chat_answer_finish(answer, result);
    }
    buf_free(&url);
    chat_request_headers_reset(&headers);
    return code;
}

static int ask_echo(struct chat *chat, struct chat_answer *answer, struct http_result *result)
{
    int64_t before = clock_mono_us();
    int code = echo_answer(chat->body, chat->sink, chat->usage, chat->e);

    result->connected = true;
    result->status = code == AGW_EUPSTREAMREQ ? 400 : 200;
    result->duration_us = clock_mono_us() - before;
    answer->sink_refused = code != 0 && code != AGW_EUPSTREAMREQ;
    return code;
}

static enum next attempt(struct chat *chat, struct upstream_entry *entry,
                         enum breaker_verdict entered, int *retry_after_s)
{
    struct http_result result = {0};
    struct chat_answer answer = {
        .entry = entry, .sink = chat->sink, .usage = chat->usage, .e = chat->e,
        .quiet_since_ms = &chat->quiet_since, .streaming = chat->streaming,
    };
    enum health_verdict verdict;
    int code;

    err_reset(chat->e);
    chat->attempted = true;
    chat->usage->attempts++;
    snprintf(chat->usage->upstream, sizeof chat->usage->upstream, "%s", entry->name);
    if (entry->provider == PROVIDER_ECHO)
        code = ask_echo(chat, &answer, &result);
    else
        code = send_request(chat, entry, &answer, &result);
    /* An upstream may quote what it was sent. */
    if (entry_leaks(entry, chat->e->message))
        err_set(chat->e, code, "its answer quotes a credential");
    verdict = verdict_for(&answer, &result, code);
    *retry_after_s = result.status == 429 || result.status == 503 ? result.retry_after_s : 0;
    health_leave(entry, entered, verdict, chat->e->message, (int64_t)*retry_after_s * 1000);
    count_attempt(entry, &result, &answer, code);
    name_culprit(chat->e, entry);
    chat_answer_reset(&answer);
    chat->code = code;
    return next_after(&answer, &result, code);
}

/* Doubling, and anywhere in the upper half of it, so that clients do not come back in step. */
static int64_t backoff(const struct upstream_entry *entry, int tries)
{
    int64_t full = entry->retry_backoff_ms << (tries < 10 ? tries : 10);

    if (full > BACKOFF_MAX_MS)
        full = BACKOFF_MAX_MS;
    return full / 2 + arc4random_uniform((uint32_t)(full - full / 2) + 1);
}

static int pause_quietly(struct chat *chat, int64_t ms)
{
    const struct chat_sink *sink = chat->sink;
    int64_t now = clock_mono_ms(), until = now + ms;

    for (; now < until; now = clock_mono_ms()) {
        int64_t step = until - now;

        if (sink->tick_ms > 0 && sink->tick != NULL) {
            int64_t due = chat->quiet_since + sink->tick_ms - now;

            if (due <= 0) {
                int code = sink->tick(sink->arg);

                if (code != 0)
                    return code;
                chat->quiet_since = now;
                continue;
            }
            step = due < step ? due : step;
        }
        if (http_client_pause(sink->watch_fd, step) != 0)
            return err_set(chat->e, AGW_EGONE, "the client hung up");
    }
    return 0;
}

/* Whether to wait and ask the same upstream again; then the wait is over. */
static enum next wait_for_retry(struct chat *chat, const struct upstream_entry *entry, int tries,
                                int retry_after_s)
{
    int64_t wait = backoff(entry, tries);
    int code;

    if ((int64_t)retry_after_s * 1000 > RETRY_AFTER_WORTH_MS)
        return FAILOVER;
    if (retry_after_s > 0)
        wait = (int64_t)retry_after_s * 1000 + wait / 4;
    if (wait >= remaining(chat))
        return FAILOVER;
    code = pause_quietly(chat, wait);
    return code == 0 ? RETRY : stop(chat, code);
}

static enum next try_upstream(struct chat *chat, struct upstream_entry *entry)
{
    for (int tries = 0;; tries++) {
        int retry_after_s = 0;
        enum breaker_verdict entered;
        enum next next;

        if (remaining(chat) <= 0) {
            return stop(chat, err_set(chat->e, AGW_ETIMEOUT, "the total deadline passed after "
                                      "%d attempts", chat->usage->attempts));
        }
        entered = health_enter(entry);
        if (entered == BREAKER_REFUSE) {
            int64_t wait = health_wait_ms(entry);

            if (wait < chat->shortest_wait)
                chat->shortest_wait = wait;
            return FAILOVER;
        }
        next = attempt(chat, entry, entered, &retry_after_s);
        if (next != RETRY)
            return next;
        if (tries >= entry->retry_attempts)
            return FAILOVER;
        next = wait_for_retry(chat, entry, tries, retry_after_s);
        if (next != RETRY)
            return next;
    }
}

/* Everybody's breaker is open, or nobody serves the model at all. */
static int unavailable(struct chat *chat, size_t count)
{
    int64_t wait = chat->shortest_wait;

    if (count == 0)
        return err_set(chat->e, AGW_EUNAVAILABLE, "no upstream serves the model '%.100s'",
                       chat->model);
    err_set(chat->e, AGW_EUNAVAILABLE, "all %zu upstreams for the model '%.100s' are resting",
            count, chat->model);
    chat->e->retry_after_s = wait > 60000 ? 60 : wait < 1000 ? 1 : (int)((wait + 999) / 1000);
    return AGW_EUNAVAILABLE;
}

/* The caller's body stays as it is. */
static json_t *copy_body(json_t *body, bool streaming)
{
    json_t *copy, *options;

    if (!streaming)
        return json_incref(body);
    copy = json_copy(body);
    if (copy == NULL)
        return NULL;
    options = json_copy(json_object_get(body, "stream_options"));
    if (!json_is_object(options)) {
        json_decref(options);
        options = json_object();
    }
    if (json_object_set_new(options, "include_usage", json_true()) != 0 ||
        json_object_set(copy, "stream_options", options) != 0) {
        json_decref(copy);
        copy = NULL;
    }
    json_decref(options);
    return copy;
}

int chat_call(struct upstreams *upstreams, const char *preferred, json_t *body,
              const char *request_id, const struct chat_sink *sink, struct chat_part *part,
              struct chat_usage *usage, struct err *e)
{
    const char *model = json_string_value(json_object_get(body, "model"));
    struct chat chat = {
        .sink = sink, .usage = usage, .e = e, .model = model == NULL ? "" : model,
        .request_id = request_id, .streaming = json_is_true(json_object_get(body, "stream")),
        .deadline = INT64_MAX, .quiet_since = clock_mono_ms(), .shortest_wait = INT64_MAX,
    };
    struct upstream_entry **candidates;
    struct err unread;
    enum next next = FAILOVER;
    size_t count = 0;

    if (chat.e == NULL)
        chat.e = &unread;
    buf_init(&chat.text, SIZE_MAX / 2);
    *usage = (struct chat_usage){.prompt_tokens = -1, .completion_tokens = -1};
    chat.body = copy_body(body, chat.streaming);
    candidates = select_candidates(upstreams, preferred, chat.model, &count);
    if (chat.body == NULL || candidates == NULL) {
        chat.code = err_set(chat.e, AGW_ENOMEM, "preparing a call");
        goto out;
    }
    if (part != NULL && part->deadline_ms != 0)
        chat.deadline = part->deadline_ms;
    else if (count > 0 && candidates[0]->total_ms > 0)
        chat.deadline = chat.quiet_since + candidates[0]->total_ms;
    if (part != NULL)
        part->deadline_ms = chat.deadline;
    for (size_t i = 0; i < count && next == FAILOVER; i++)
        next = try_upstream(&chat, candidates[i]);
    if (!chat.attempted && next == FAILOVER)
        chat.code = unavailable(&chat, count);
out:
    buf_free(&chat.text);
    json_decref(chat.body);
    if (candidates != NULL)
        select_free(candidates, count);
    return chat.code;
}
