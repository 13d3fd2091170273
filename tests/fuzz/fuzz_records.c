/* SPDX-License-Identifier: MIT */
/* Any bytes as FastCGI records: followed alike however they arrive, parameters within bounds. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "http/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Feeds pieces of `piece` bytes; returns how many bytes were taken. */
static size_t follow(struct records *r, const uint8_t *data, size_t size, size_t piece)
{
    size_t used = 0, n = 1;

    while (used < size && n > 0) {
        size_t given = size - used < piece ? size - used : piece;

        if (records_complete(r))
            break;
        n = records_feed(r, data + used, given);
        assert(n <= given);
        used += n;
    }
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole_params, byte_params;
    struct records whole, bytes;
    const char *value;
    size_t length;

    buf_init(&whole_params, 2000);
    buf_init(&byte_params, 2000);
    records_init(&whole, &whole_params);
    records_init(&bytes, &byte_params);
    assert(follow(&whole, data, size, size) == follow(&bytes, data, size, 1));
    assert(whole.broken == bytes.broken && whole.keep == bytes.keep);
    assert(records_complete(&whole) == records_complete(&bytes));
    /* Over its maximum a collection is given up, and where depends on the pieces. */
    if (!whole_params.failed && !byte_params.failed) {
        assert(whole_params.length == byte_params.length);
        assert(strcmp(buf_text(&whole_params), buf_text(&byte_params)) == 0);
    }
    value = records_param(&whole_params, "HTTP_X_REQUEST_ID", &length);
    assert(value == NULL || (value >= whole_params.data &&
                             value + length <= whole_params.data + whole_params.length));
    buf_free(&whole_params);
    buf_free(&byte_params);
    return 0;
}
