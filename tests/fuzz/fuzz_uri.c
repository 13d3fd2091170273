/* SPDX-License-Identifier: MIT */
/* Any text as a request target: refused, or a path that means one thing everywhere. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "http/uri.h"
#include "util/json_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_harmless(const char *path)
{
    size_t length = strlen(path);

    assert(path[0] == '/' && strstr(path, "//") == NULL);
    assert(strstr(path, "/./") == NULL && strstr(path, "/../") == NULL);
    for (size_t at = 0; at < length;) {
        size_t n = json_text_utf8(path + at, length - at);

        assert(n > 0 && (unsigned char)path[at] >= 0x20 && path[at] != 0x7f);
        at += n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(1 << 16);
    const char *path = NULL, *query = NULL;
    char target[2048];
    struct err e = {0};
    int status;

    assert(arena != NULL);
    size = size < sizeof target ? size : sizeof target - 1;
    memcpy(target, data, size);
    target[size] = '\0';
    status = uri_split(arena, target, "/v1/models/", 500, 500, &path, &query, &e);
    assert(status == 0 || (status == AGW_EINVALID && e.message[0] != '\0') ||
           status == AGW_ENOMEM);
    if (status == 0) {
        assert_harmless(path);
        assert(strlen(path) <= 500 && strlen(query) <= 500);
        uri_query_value(arena, query, "limit");
    }
    arena_free(&arena);
    return 0;
}
