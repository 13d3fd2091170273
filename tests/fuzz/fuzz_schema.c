/* SPDX-License-Identifier: MIT */
/* Any bytes as a JSON Schema and a value (a line each): refused or compiled, strictly or not,
 * then checked, with a reason for whatever does not fit, and never for long. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "util/clock.h"
#include "util/err.h"
#include "util/json_limits.h"
#include "util/json_schema.h"

enum { LONGEST_MS = 20000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(json_t *schema, const json_t *value, bool strict)
{
    struct json_schema *compiled;
    struct json_schema_problem problem;
    int status = json_schema_compile(schema, strict, &compiled, &problem);

    assert((status == 0) == (compiled != NULL));
    assert(status == 0 || (status == AGW_EINVALID && problem.message[0] != '\0'));
    if (status != 0)
        return;
    assert(!strict || json_schema_ignored(compiled)[0] == '\0');
    if (!json_schema_fits(compiled, value, &problem)) {
        json_t *text = json_string(problem.message), *pointer = json_string(problem.pointer);

        assert(problem.message[0] != '\0');
        assert(text != NULL && pointer != NULL); /* both are UTF-8 */
        json_decref(text);
        json_decref(pointer);
    }
    json_schema_free(&compiled);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct json_limits limits = {.depth = 40, .tokens = 5000};
    const char *text = (const char *)data, *split = memchr(data, '\n', size);
    json_t *schema = NULL, *value = NULL;
    int64_t before = clock_mono_ms();

    if (split == NULL)
        return 0;
    if (json_limits_parse(text, (size_t)(split - text), &limits, &schema, NULL) == 0 &&
        json_limits_parse(split + 1, size - (size_t)(split + 1 - text), &limits, &value,
                          NULL) == 0) {
        check(schema, value, true);
        check(schema, value, false);
        assert(clock_mono_ms() - before < LONGEST_MS);
    }
    json_decref(schema);
    json_decref(value);
    return 0;
}
