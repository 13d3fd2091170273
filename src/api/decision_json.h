/* SPDX-License-Identifier: MIT */
/* One way to write a decision as JSON: previews and explanations cannot differ. */
#ifndef AGW_API_DECISION_JSON_H
#define AGW_API_DECISION_JSON_H

#include <jansson.h>

#include "agent/catalog.h"
#include "policy/decide.h"

/* What a decision was asked about. */
struct decision_subject {
    const char *key_id;
    struct catalog_target target;
    int64_t generation;
    int64_t at;   /* when it is decided */
    int64_t uses; /* of the override that decides, -1 = as in its `uses` */
    int status; /* of the answer to a chat request, explain_status() */
};

/* {"agent","exists","decision","allowed","source","pattern","namespace","key_id","rule",
 * "generation","answer","shadow","trace"} and, where one decides, "override". NULL when memory
 * is out. */
json_t *decision_json(const struct decision_subject *subject, const struct decision *decision);

/* "file:line", "key:ID" for a list of a key made at run time, null for no rule. */
json_t *decision_json_place(const struct config_place *place);
/* Where the rule that decided is written: the same, or the override's id. */
json_t *decision_json_rule(const struct decision *decision);

/* {"name","exists","decision","allowed","source","pattern","rule","list","trace"}: what
 * decide_tool() said; `list` decided. */
json_t *decision_json_tool(const char *tool, bool exists, const struct decision *decision);

#endif
