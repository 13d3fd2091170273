/* SPDX-License-Identifier: MIT */
/* What the trail says was used: requests and tokens of a key in a day, uses of a grant. Days
 * are numbered from 1970-01-01 and end at midnight UTC.
 */
#ifndef AGW_STORE_USAGE_H
#define AGW_STORE_USAGE_H

#include <jansson.h>
#include <stdint.h>

#include "store/store.h"

enum { USAGE_DAY_MS = 86400000 };

/* Chat requests of the key that were let run. Reads that day's rows of the key. */
int usage_requests(struct db *db, const char *key_id, int64_t day, int64_t *count,
                   struct err *e);
/* Tokens of prompts and completions in its requests that ended. */
int usage_tokens(struct db *db, const char *key_id, int64_t day, int64_t *count, struct err *e);
/* Requests that ran because of the grant; `before` NULL = until now, else those whose row is
 * before the one with this seq, or, seq 0, earlier than this time. */
struct usage_before {
    int64_t seq, at;
};
int usage_override(struct db *db, const char *override_id, const struct usage_before *before,
                   int64_t *count, struct err *e);

struct usage_filter {
    const char *key_id, *agent; /* NULL = any */
    int64_t since, until;       /* UTC ms, days that they touch; 0 = open */
};

/* Array of {"day","key_id","agent","requests","completed","denied","prompt_tokens",
 * "completion_tokens","duration_ms"}, by day (newest first), key and agent. */
int usage_list(struct db *db, const struct usage_filter *filter, json_t **rows, struct err *e);

#endif
