/* SPDX-License-Identifier: MIT */
/* Any bytes as an upstream's event stream: the events are the same however they are cut. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "net/sse_parse.h"
#include "util/sha.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    int events;
    unsigned char digest[SHA_SIZE]; /* over all events */
};

static int on_event(void *arg, const char *event, const char *data, size_t length)
{
    struct seen *seen = arg;
    unsigned char both[2 * SHA_SIZE];

    assert(data[length] == '\0' && event != NULL);
    memcpy(both, seen->digest, SHA_SIZE);
    sha_256(data, length, both + SHA_SIZE);
    sha_256(both, sizeof both, seen->digest);
    sha_256(event, strlen(event), both);
    memcpy(both + SHA_SIZE, seen->digest, SHA_SIZE);
    sha_256(both, sizeof both, seen->digest);
    seen->events++;
    return 0;
}

/* Feeds pieces of 1 to `most` bytes. */
static int feed(const uint8_t *data, size_t size, size_t most, struct seen *seen)
{
    struct err e = {0};
    struct sse_parser *parser = sse_parse_new(1000, on_event, seen);
    int status = 0;

    assert(parser != NULL);
    for (size_t at = 0, step = 1; at < size && status == 0; step = step % most + 1) {
        size_t piece = size - at < step ? size - at : step;

        if (most > 64)
            piece = size;
        status = sse_parse_feed(parser, (const char *)data + at, piece, &e);
        at += piece;
    }
    sse_parse_free(&parser);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole = {0}, bytes = {0}, pieces = {0};
    int status = feed(data, size, 65, &whole);

    assert(feed(data, size, 1, &bytes) == status);
    assert(feed(data, size, 7, &pieces) == status);
    assert(whole.events == bytes.events && whole.events == pieces.events);
    assert(memcmp(whole.digest, bytes.digest, SHA_SIZE) == 0);
    assert(memcmp(whole.digest, pieces.digest, SHA_SIZE) == 0);
    return 0;
}
