/* SPDX-License-Identifier: MIT */
/* Reads tables of cases (tests/cases, YAML) as JSON values; any mistake fails the test. */
#ifndef AGW_TESTS_YAML_CASES_H
#define AGW_TESTS_YAML_CASES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* `name` is relative to tests/cases. New reference; plain integers and booleans become such,
 * everything else a string. */
json_t *cases_load(const char *name);

/* Members of a case; `fallback` when absent. cases_boolean() wants the member to be there. */
const char *cases_text(const json_t *one, const char *member, const char *fallback);
int64_t cases_integer(const json_t *one, const char *member, int64_t fallback);
bool cases_boolean(const json_t *one, const char *member);

#endif
