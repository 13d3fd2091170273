/* SPDX-License-Identifier: MIT */
/* Remembers from one nightly audit to the next. */
#include "ctl/nightly_state.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "store/metrics.h"
#include "util/buf.h"

enum { STATE_MAX = 8192 };

#define X(name) #name,
const char *const nightly_outcomes[NIGHTLY_OUTCOME_COUNT] = {NIGHTLY_OUTCOMES(X)};
#undef X

int nightly_outcome(const char *name)
{
    for (int i = 0; name != NULL && i < NIGHTLY_OUTCOME_COUNT; i++)
        if (strcmp(nightly_outcomes[i], name) == 0)
            return i;
    return -1;
}

void nightly_count(int64_t counts[NIGHTLY_OUTCOME_COUNT])
{
    for (int i = 0; i < NIGHTLY_OUTCOME_COUNT; i++)
        counts[i] = (int64_t)metrics_sum(METRIC_REQUESTS, "status", nightly_outcomes[i]);
}

/* {"completed": [low, high], ...}; without all of them it counts for nothing. */
static bool read_counts(const json_t *counts, struct nightly_state *state)
{
    for (int i = 0; i < NIGHTLY_OUTCOME_COUNT; i++) {
        const json_t *pair = json_object_get(counts, nightly_outcomes[i]);

        if (!json_is_integer(json_array_get(pair, 0)) ||
            !json_is_integer(json_array_get(pair, 1)))
            return false;
        state->low[i] = json_integer_value(json_array_get(pair, 0));
        state->high[i] = json_integer_value(json_array_get(pair, 1));
    }
    return true;
}

int nightly_state_read(const char *path, struct nightly_state *state, struct err *e)
{
    char text[STATE_MAX], *line;
    json_t *more;
    FILE *file;
    size_t n;
    int status;

    memset(state, 0, sizeof *state);
    status = audit_head_read(path, &state->head, e);
    if (status != 0 || (file = fopen(path, "re")) == NULL)
        return status;
    n = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file); /* only read */
    text[n] = '\0';
    line = strchr(text, '\n');
    more = line == NULL ? NULL : json_loads(line + 1, 0, NULL);
    state->counted = read_counts(json_object_get(more, "metrics"), state);
    json_decref(more);
    return 0;
}

int nightly_state_write(const char *path, const struct nightly_state *state, int64_t at,
                        struct err *e)
{
    struct buf more;
    int status;

    buf_init(&more, STATE_MAX);
    for (int i = 0; state->counted && i < NIGHTLY_OUTCOME_COUNT; i++)
        buf_printf(&more, "%s\"%s\":[%lld,%lld]", i == 0 ? "{\"metrics\":{" : ",",
                   nightly_outcomes[i], (long long)state->low[i], (long long)state->high[i]);
    if (state->counted)
        buf_puts(&more, "}}\n");
    status = more.failed ? err_set(e, AGW_ENOMEM, "writing %s", path)
                         : audit_head_write(path, &state->head, at, buf_text(&more), e);
    buf_free(&more);
    return status;
}
