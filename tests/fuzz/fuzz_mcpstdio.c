/* SPDX-License-Identifier: MIT */
/* Any bytes as what an MCP server writes to its standard output: who waits gets the same answer
 * however the bytes are cut, and what is made of it stays within its bounds. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "mcp_consume.h"
#include "tools/mcp_lines.h"
#include "tools/mcp_pending.h"
#include "util/clock.h"

enum { LINE_MAX_BYTES = 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct scene {
    struct mcp_pending pending;
    struct mcp_listener listener;
    int notes, replies;
};

static void on_note(void *arg, const struct mcp_message *message)
{
    struct scene *scene = arg;

    assert(message->method != NULL);
    scene->notes++;
}

static void on_reply(void *arg, const char *text)
{
    struct scene *scene = arg;

    assert(text != NULL && strchr(text, '\n') == NULL);
    scene->replies++;
}

static int on_line(void *arg, const char *line, size_t length)
{
    struct scene *scene = arg;

    mcp_pending_take(&scene->pending, line, length, &scene->listener, on_reply, scene);
    return 0;
}

struct outcome {
    int fed, code, notes, replies;
    json_t *answer;
};

static struct outcome run(const uint8_t *data, size_t size, size_t most)
{
    struct scene scene = {.listener = {.notified = on_note, .arg = &scene}};
    struct outcome outcome = {0};
    struct mcp_waiter waiter;
    struct mcp_lines lines;
    struct err e = {0};

    mcp_pending_init(&scene.pending);
    mcp_lines_init(&lines, LINE_MAX_BYTES);
    assert(mcp_pending_add(&scene.pending, &waiter, 1, &e) == 0);
    for (size_t at = 0, step = 1; at < size && outcome.fed == 0; step = step % most + 1) {
        size_t piece = most > 64 || size - at < step ? size - at : step;

        outcome.fed = mcp_lines_feed(&lines, (const char *)data + at, piece, on_line, &scene);
        at += piece;
    }
    outcome.code = mcp_pending_wait(&scene.pending, &waiter, clock_mono_ms(), -1, &e);
    outcome.notes = scene.notes;
    outcome.replies = scene.replies;
    if (outcome.code == 0) {
        assert(mcp_message_answers(&waiter.message, 1));
        mcp_consume(&waiter.message);
        outcome.answer = json_incref(waiter.message.whole);
    }
    mcp_message_clear(&waiter.message);
    assert(scene.pending.first == NULL);
    mcp_lines_free(&lines);
    mcp_pending_destroy(&scene.pending);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t cuts[] = {1, 7};
    struct outcome whole = run(data, size, 65);

    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct outcome cut = run(data, size, cuts[i]);

        assert(cut.fed == whole.fed && cut.code == whole.code);
        assert(cut.notes == whole.notes && cut.replies == whole.replies);
        assert((cut.answer == NULL) == (whole.answer == NULL));
        assert(cut.answer == NULL || json_equal(cut.answer, whole.answer));
        json_decref(cut.answer);
    }
    json_decref(whole.answer);
    return 0;
}
