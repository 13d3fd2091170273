/* SPDX-License-Identifier: MIT */
/* sse_parse.c against the transcripts of tests/cases/sse/, cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "net/sse_parse.h"
#include "util/buf.h"

enum { DEFAULT_MAX = 65536 };

static int collect(void *arg, const char *event, const char *data, size_t length)
{
    json_array_append_new(arg, json_pack("[s, s%]", event, data, length));
    return 0;
}

/* "in" is a string or an array of strings and [string, times]. */
static void build(const json_t *in, struct buf *b)
{
    size_t i;
    json_t *part;

    buf_init(b, 4 << 20);
    if (json_is_string(in))
        buf_append(b, json_string_value(in), json_string_length(in));
    json_array_foreach(in, i, part) {
        const json_t *text = json_is_string(part) ? part : json_array_get(part, 0);
        json_int_t times =
            json_is_string(part) ? 1 : json_integer_value(json_array_get(part, 1));

        while (times-- > 0)
            buf_append(b, json_string_value(text), json_string_length(text));
    }
    assert_false(b->failed);
}

/* Feeds `input` in pieces: one cut at `cut`, and after it every `step` bytes (0 = the rest). */
static void run(const json_t *entry, const struct buf *input, size_t cut, size_t step)
{
    const char *name = json_string_value(json_object_get(entry, "name"));
    json_int_t max = json_integer_value(json_object_get(entry, "max"));
    bool refused = json_is_true(json_object_get(entry, "refused"));
    json_t *got = json_array();
    struct sse_parser *parser =
        sse_parse_new(max > 0 ? (size_t)max : DEFAULT_MAX, collect, got);
    struct err e;
    int status = cut > 0 ? sse_parse_feed(parser, input->data, cut, &e) : 0;

    for (size_t at = cut; at < input->length && status == 0;) {
        size_t length = step == 0 || step > input->length - at ? input->length - at : step;

        status = sse_parse_feed(parser, input->data + at, length, &e);
        at += length;
    }
    if (status != (refused ? AGW_EUPSTREAM : 0))
        fail_msg("%s, cut at %zu: status %d", name, cut, status);
    if (!json_equal(got, json_object_get(entry, "events")))
        fail_msg("%s, cut at %zu: got %s", name, cut, json_dumps(got, 0));
    json_decref(got);
    sse_parse_free(&parser);
}

static void transcripts(void **state)
{
    json_error_t problem;
    json_t *cases = json_load_file(AGW_SOURCE_DIR "/tests/cases/sse/transcripts.json",
                                   JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &problem);
    json_t *entry;
    size_t i;

    (void)state;
    if (cases == NULL)
        fail_msg("transcripts.json:%d: %s", problem.line, problem.text);
    assert_true(json_array_size(cases) > 20);
    json_array_foreach(cases, i, entry) {
        struct buf input;

        build(json_object_get(entry, "in"), &input);
        for (size_t cut = 0; cut <= input.length; cut += input.length > 4096 ? 65521 : 1)
            run(entry, &input, cut, 0);
        if (input.length <= 4096)
            run(entry, &input, 0, 1);
        buf_free(&input);
    }
    json_decref(cases);
}

static int stop_at_two(void *arg, const char *event, const char *data, size_t length)
{
    int *seen = arg;

    (void)event, (void)data, (void)length;
    return ++*seen == 2 ? AGW_EGONE : 0;
}

static void callback_stops_the_parser(void **state)
{
    static const char text[] = "data: 1\n\ndata: 2\n\ndata: 3\n\n";
    int seen = 0;
    struct sse_parser *parser = sse_parse_new(100, stop_at_two, &seen);
    struct err e;

    (void)state;
    assert_int_equal(sse_parse_feed(parser, text, sizeof text - 1, &e), AGW_EGONE);
    assert_int_equal(seen, 2);
    sse_parse_free(&parser);
    assert_null(parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transcripts),
        cmocka_unit_test(callback_stops_the_parser),
    };

    return cmocka_run_group_tests_name("net/sse_parse", tests, NULL, NULL);
}
