/* SPDX-License-Identifier: MIT */
/* Values that answers are made of. New references, NULL when memory is out. */
#ifndef AGW_API_JSON_VALUES_H
#define AGW_API_JSON_VALUES_H

#include <jansson.h>
#include <stdint.h>

#include "config/config.h"
#include "store/overrides.h"

json_t *json_values_text(const char *text);  /* NULL = null */
json_t *json_values_time(int64_t ms);        /* RFC 3339 text, 0 = null */
json_t *json_values_patterns(const struct config_patterns *list);
/* `uses` is what the caller counted. */
json_t *json_values_override(const struct override *o, int64_t now);

#endif
